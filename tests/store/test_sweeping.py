"""Image files that no row counts: deleted when they are old, and surely ours."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebase.annotation import utc_now
from imagebase.settings import TEAM_OWNER
from imagebase.store import Scope, Store, open_store
from imagebase.store.database_copies import copy_database, restore_copy
from tests.store.fixtures import add_image, scope_of, sqlite_settings

_DAY: int = 24 * 3600


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(sqlite_settings(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def scope(store: Store) -> Scope:
    made = scope_of(store, TEAM_OWNER, who="ann")
    add_image(store, made, "a.jpg")
    return made


def file_of(home: Path, image_id: str) -> Path:
    return home / "images" / TEAM_OWNER / image_id[:2] / image_id


def lose(home: Path, digit: str, *, age: float = _DAY) -> Path:
    """Write a file as a process leaves it that is killed before its row is there."""
    path = file_of(home, digit * 64)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"image")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_old_file_without_a_row_is_deleted(
    store: Store, scope: Scope, tmp_path: Path
) -> None:
    old, new = lose(tmp_path, "1"), lose(tmp_path, "2", age=60)
    draft = old.with_name(".draft.1")
    draft.write_bytes(b"half")
    os.utime(draft, (time.time() - _DAY,) * 2)
    (image_id,) = store.image_ids(scope)
    os.utime(file_of(tmp_path, image_id), (time.time() - _DAY,) * 2)
    assert store.sweep_files() == 1
    assert not old.exists()
    assert not draft.exists()
    assert new.exists()
    assert file_of(tmp_path, image_id).exists()


def test_files_of_another_database_are_left_alone(
    store: Store, scope: Scope, tmp_path: Path
) -> None:
    foreign = [lose(tmp_path, f"{number:064x}"[-1]) for number in range(16)]
    folder = foreign[0].parent
    for number in range(150):
        path = folder / f"{number:064x}".replace("0", foreign[0].name[0], 2)
        path.write_bytes(b"image")
        os.utime(path, (time.time() - _DAY,) * 2)
    assert store.sweep_files() == 0
    assert all(path.exists() for path in foreign)


def test_images_that_came_after_a_restored_copy_are_left_alone(
    store: Store, scope: Scope, tmp_path: Path
) -> None:
    database = tmp_path / "imagebase.db"
    copy = copy_database(database)
    later = add_image(store, scope, "later.jpg").image_id
    store.close()
    restore_copy(database, copy)
    again = open_store(sqlite_settings(tmp_path))
    assert [record.file_name for record in again.records(scope)] == ["a.jpg"]
    tomorrow = utc_now().timestamp() + _DAY
    lost = lose(tmp_path, "1")
    with pytest.MonkeyPatch.context() as patch:
        moment = utc_now().fromtimestamp(tomorrow, utc_now().tzinfo)
        patch.setattr("imagebase.store.store.utc_now", lambda: moment)
        assert again.sweep_files() == 1
    assert not lost.exists()
    assert file_of(tmp_path, later).exists()
    again.close()
