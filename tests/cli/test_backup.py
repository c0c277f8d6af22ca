"""Datasets backed up and restored from the command line."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from imagebase.annotation import ImageRecord
from imagebase.cli import app
from imagebase.settings import TEAM_OWNER, settings
from imagebase.store import Scope, open_store
from imagebase.store.database_copies import copy_database
from tests.jobs.conftest import add
from tests.store.fixtures import box, scope_of


@pytest.fixture(autouse=True)
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrated_sqlite: Path
) -> Iterator[Path]:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(migrated_sqlite, home / "imagebase.db")
    monkeypatch.setenv("IMAGEBASE_HOME", str(home))
    settings.cache_clear()
    yield home
    settings.cache_clear()


def invoked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def street() -> list[ImageRecord]:
    """Begin a dataset with two images and a box; return its records."""
    store = open_store(settings())
    scope = scope_of(store, TEAM_OWNER, who="ann", name="Street")
    add(store, scope, "a.png", "b.png")
    first, _ = store.records(scope)
    store.save(scope, first.with_annotations([box()]))
    records = store.records(scope)
    store.close()
    return records


def datasets() -> dict[str, list[ImageRecord]]:
    """Return the records of each of the team's datasets, by its name."""
    store = open_store(settings())
    found = {
        dataset.name: store.records(Scope(TEAM_OWNER, dataset.dataset_id, "ann"))
        for dataset in store.datasets(TEAM_OWNER)
    }
    store.close()
    return found


def test_dataset_goes_out_and_comes_in(tmp_path: Path) -> None:
    records = street()
    path = tmp_path / "street.zip"
    done = invoked("backup", "Street", "--output", path)
    assert (done.exit_code, done.stdout) == (0, f"{path}: 2 images, 1 box\n")
    done = invoked("restore", path)
    assert (done.exit_code, done.stdout) == (0, "Street (restored): 2 images\n")
    assert datasets() == {"Street": records, "Street (restored)": records}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "street.zip"]


def test_image_without_its_file_is_named(tmp_path: Path, home: Path) -> None:
    lost = street()[0]
    (path,) = home.rglob(f"images/team/*/{lost.image_id}")
    path.unlink()
    done = invoked("backup", "Street", "--output", tmp_path / "street.zip")
    assert done.exit_code == 0
    assert done.stdout == f"{tmp_path / 'street.zip'}: 1 image, 0 boxes\n"
    assert done.stderr == "Not in it: a.png: its file is missing or damaged.\n"


def test_name_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    street()
    refused = invoked("backup", "Beach", "--output", tmp_path / "b.zip")
    assert refused.exit_code == 2
    assert "There is no dataset Beach; there are: Street." in refused.stderr
    assert not (tmp_path / "b.zip").exists()


def test_name_that_two_have_is_wrong_usage(tmp_path: Path) -> None:
    street()
    street()
    refused = invoked("backup", "Street", "--output", tmp_path / "b.zip")
    assert refused.exit_code == 2
    assert "There are 2 datasets Street; rename one first." in refused.stderr


def test_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    street()
    refused = invoked("backup", "Street", "--output", tmp_path / "none" / "b.zip")
    assert refused.exit_code == 1
    assert "cannot be written: No such file or directory." in refused.stderr


def test_damaged_backup_is_refused(tmp_path: Path) -> None:
    street()
    path = tmp_path / "b.zip"
    path.write_bytes(b"nope")
    refused = invoked("restore", path)
    assert refused.exit_code == 1
    assert "b.zip is not a zip file, or a broken one" in refused.stderr
    assert list(datasets()) == ["Street"]


def test_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert invoked("restore", tmp_path / "none.zip").exit_code == 2


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who is a mere number, as in many containers."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 9)


@pytest.mark.usefixtures("nameless")
def test_user_without_a_name_backs_up_and_restores(tmp_path: Path) -> None:
    street()
    path = tmp_path / "street.zip"
    assert invoked("backup", "Street", "--output", path).exit_code == 0
    assert invoked("restore", path).exit_code == 0


def test_mode_that_there_is_not_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_bytes(b"")
    monkeypatch.setenv("IMAGEBASE_MODE", "x")
    settings.cache_clear()
    refused = invoked("restore", tmp_path / "a.zip")
    assert refused.exit_code == 1
    assert "IMAGEBASE_MODE" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_copy_of_the_database_is_put_back(home: Path) -> None:
    records = street()
    copy = copy_database(home / "imagebase.db")
    (home / "imagebase.db").write_bytes(b"")
    done = invoked("backup", "Street", "--output", home / "street.zip")
    assert done.exit_code == 1
    assert f"imagebase restore --database '{copy}'" in done.stderr
    done = invoked("restore", "--database", copy)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{home / 'imagebase.db'}: as of 20")
    assert "The former database is now" in done.stderr
    assert datasets() == {"Street": records}


@pytest.mark.parametrize("arguments", [(), ("a.zip", "--database", "a.db")])
def test_restore_takes_either_a_zip_or_a_copy(arguments: tuple[str, ...]) -> None:
    done = invoked("restore", *arguments)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_database_of_a_server_is_not_restored_from_a_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEBASE_DATABASE_URL", "postgresql://ann@localhost/street")
    settings.cache_clear()
    done = invoked("restore", "--database", home / "imagebase.db")
    assert done.exit_code == 2
    assert "restore a backup of the server" in done.stderr
