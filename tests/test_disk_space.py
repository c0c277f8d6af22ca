"""The floor of free disk and the total, before anything large is written."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebase import disk_space
from imagebase.disk_space import check_room, free_bytes, used_bytes
from imagebase.errors import LimitError
from imagebase.settings import Limits, settings

GB = 1_000_000_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that does not exist yet, on a disk with room."""
    folder = tmp_path / "not yet" / "home"
    monkeypatch.setenv("IMAGEBASE_HOME", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


@pytest.mark.usefixtures("home")
def test_room_on_an_empty_disk() -> None:
    check_room(Limits(min_free_bytes=1))


def test_floor_counts_what_is_about_to_be_written(home: Path) -> None:
    free = free_bytes(home)
    limits = Limits(min_free_bytes=free // 2)
    check_room(limits)
    with pytest.raises(LimitError, match="disk is nearly full"):
        check_room(limits, wanted=free // 2 + GB)


def test_total_counts_every_file_of_the_home(home: Path) -> None:
    (home / "images").mkdir(parents=True)
    (home / "images" / "a.jpg").write_bytes(bytes(600))
    (home / "imagebase.db").write_bytes(bytes(500))
    limits = Limits(min_free_bytes=1, max_total_bytes=1200)
    check_room(limits, wanted=100)
    with pytest.raises(LimitError, match="is full"):
        check_room(limits, wanted=101)


def test_total_is_measured_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    assert used_bytes(tmp_path) == 10
    (tmp_path / "b").write_bytes(bytes(10))
    assert used_bytes(tmp_path) == 10
    monkeypatch.setattr(disk_space, "_MEASURED_SECONDS", 0.0)
    assert used_bytes(tmp_path) == 20
