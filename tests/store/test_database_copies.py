"""Copies of the database, and what is said where it is damaged or gone."""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from imagebase.annotation import utc_now
from imagebase.errors import StoreError
from imagebase.settings import TEAM_OWNER, Settings
from imagebase.store import Scope, Store, database_copies, open_store
from imagebase.store.database_copies import (
    CopyStoppedError,
    copies,
    copies_folder,
    copy_database,
    copy_if_due,
    damage,
    restore_copy,
    restored_copies,
)
from tests.store.fixtures import add_image, box, scope_of, sqlite_settings

_OLD_HOME = Path(__file__).parent / "data" / "home_0003.db"


@pytest.fixture
def database(tmp_path: Path, migrated_sqlite: Path) -> Path:
    return Path(shutil.copy(migrated_sqlite, tmp_path / "imagebase.db"))


@pytest.fixture
def filled(database: Path) -> Iterator[Store]:
    """A store with a dataset of three images, one with a box."""
    store = open_store(sqlite_settings(database.parent))
    scope = scope_of(store, TEAM_OWNER, who="ann")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        record = add_image(store, scope, name)
    store.save(scope, record.with_annotations([box()]))
    yield store
    store.close()


def image_names(settings: Settings) -> list[str]:
    store = open_store(settings)
    (dataset,) = store.datasets(TEAM_OWNER)
    scope = Scope(TEAM_OWNER, dataset.dataset_id, "ann")
    names = [record.file_name for record in store.records(scope)]
    store.close()
    return names


def refusal(settings: Settings) -> str:
    with pytest.raises(StoreError) as refused:
        open_store(settings)
    return str(refused.value)


def test_copy_holds_what_was_saved(filled: Store, database: Path) -> None:
    copy = copy_database(database)
    assert copy.parent == copies_folder(database)
    assert [one.name for one in copy.parent.iterdir()] == [copy.name]
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (3,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_second_copy_is_due_after_a_day_and_a_change(
    filled: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert filled.copy_database_if_due(lambda: False) is not None
    assert filled.copy_database_if_due(lambda: False) is None
    tomorrow = utc_now() + timedelta(days=1, seconds=5)
    monkeypatch.setattr(database_copies, "utc_now", lambda: tomorrow)
    unchanged = time.time() - 60
    for path in database.parent.glob("imagebase.db*"):
        os.utime(path, (unchanged, unchanged))
    assert filled.copy_database_if_due(lambda: False) is None
    os.utime(database, (time.time() + 60, time.time() + 60))
    assert filled.copy_database_if_due(lambda: False) is not None
    assert len(copies(database)) == 2


def test_database_without_images_is_not_copied(database: Path) -> None:
    store = open_store(sqlite_settings(database.parent))
    assert store.copy_database_if_due(lambda: False) is None
    store.close()


@pytest.mark.parametrize(("limit", "kept"), [(10**9, 3), (1, 1)])
def test_oldest_copies_are_deleted(
    database: Path, monkeypatch: pytest.MonkeyPatch, limit: int, kept: int
) -> None:
    monkeypatch.setattr(database_copies, "MOST_BYTES", limit)
    start, made = utc_now(), []
    for day in range(5):
        moment = start + timedelta(days=day)
        monkeypatch.setattr(database_copies, "utc_now", lambda moment=moment: moment)
        made.append(copy_database(database))
    assert copies(database) == made[::-1][:kept]


def test_writers_do_not_wait_for_a_copy(
    filled: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_copies, "_STEP_PAGES", 1)
    (dataset,) = filled.datasets(TEAM_OWNER)
    scope = Scope(TEAM_OWNER, dataset.dataset_id, "ann")
    steps, longest = 0, 0.0

    def write() -> bool:
        nonlocal steps, longest
        steps += 1
        if steps % 5 == 0:
            started = time.monotonic()
            filled.rename_dataset(scope, f"Street {steps}")
            longest = max(longest, time.monotonic() - started)
        return False

    copy = copy_database(database, should_stop=write)
    assert steps > 20
    assert longest < 1
    with closing(sqlite3.connect(copy)) as connection:
        (name,) = connection.execute("SELECT name FROM datasets").fetchone()
    assert name == "Street"  # one moment: as it was when the copy began


def test_copy_stops_when_the_server_closes(filled: Store, database: Path) -> None:
    with pytest.raises(CopyStoppedError):
        copy_if_due(database, should_stop=lambda: True)
    assert list(copies_folder(database).iterdir()) == []


def test_no_copy_is_made_without_space(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(database)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(StoreError, match="0 MB are free"):
        copy_database(database)


def test_database_is_copied_before_it_is_migrated(tmp_path: Path) -> None:
    shutil.copy(_OLD_HOME, tmp_path / "imagebase.db")
    open_store(sqlite_settings(tmp_path)).close()
    (copy,) = copies(tmp_path / "imagebase.db")
    assert copy.name.endswith("-before-0008.db")
    with closing(sqlite3.connect(copy)) as connection:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert found == ("0003",)


def spoil(database: Path) -> None:
    """Write nonsense over all but the first page of a database."""
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (database.stat().st_size - 4096))


def cut(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def overwrite(database: Path) -> None:
    database.write_bytes(b"no database at all" * 1000)


def empty(database: Path) -> None:
    database.write_bytes(b"")


def drop_tables(database: Path) -> None:
    database.unlink()
    sqlite3.connect(database).close()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE other (a)")


def delete_rows(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM owners")
        connection.commit()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (spoil, "is damaged"),
        (cut, "is damaged"),
        (overwrite, "is damaged (file is not a database)"),
        (empty, "is missing or empty, but images are stored"),
        (Path.unlink, "is missing or empty, but images are stored"),
        (drop_tables, "is empty, but images are stored"),
        (delete_rows, "is without any dataset, but images are stored"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_database_that_is_damaged_or_gone_is_restored_by_the_command_it_names(
    filled: Store, database: Path, harm: object, said: str
) -> None:
    settings = sqlite_settings(database.parent)
    copy = copy_database(database)
    filled.close()
    assert callable(harm)
    harm(database)
    for _ in range(2):  # asking twice begins nothing either
        sentence = refusal(settings)
        assert f"The database {database} {said}" in sentence
        assert f"imagebase restore --database '{copy}'" in sentence
    restore_copy(database, copy)
    assert image_names(settings) == ["a.jpg", "b.jpg", "c.jpg"]
    assert [one.restored_at > one.made_at for one in restored_copies(database)] == [
        True
    ]


def test_damaged_copy_is_not_the_one_that_is_named(
    filled: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = copy_database(database)
    tomorrow = utc_now() + timedelta(days=1)
    monkeypatch.setattr(database_copies, "utc_now", lambda: tomorrow)
    spoil(copy_database(database))
    filled.close()
    spoil(database)
    assert str(good) in refusal(sqlite_settings(database.parent))


def test_without_a_copy_the_sentence_says_so(filled: Store, database: Path) -> None:
    filled.close()
    database.unlink()
    sentence = refusal(sqlite_settings(database.parent))
    assert "There is no good copy of it in" in sentence
    assert "move that folder away first" in sentence


@pytest.fixture
def as_nobody() -> Iterator[None]:
    if os.geteuid():
        pytest.skip("only root can become another user")
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_home_of_another_user_is_named(
    mode: int, request: pytest.FixtureRequest
) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are shut to others
        settings = sqlite_settings(Path(folder))
        open_store(settings).close()
        Path(folder).chmod(mode)
        request.getfixturevalue("as_nobody")
        sentence = refusal(settings)
        os.seteuid(0)
    assert f"{folder}/imagebase.db cannot be" in sentence
    assert "check the permissions of its folder" in sentence


def test_empty_home_starts(tmp_path: Path) -> None:
    store = open_store(sqlite_settings(tmp_path))
    assert store.datasets(TEAM_OWNER) == []
    store.close()


def test_damage_that_shows_while_the_app_runs_is_named(
    filled: Store, database: Path
) -> None:
    copy = copy_database(database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    filled.close()
    spoil(database)
    with pytest.raises(StoreError, match="is damaged") as refused:
        filled.datasets(TEAM_OWNER)
    assert f"--database '{copy}'" in str(refused.value)


def test_restoring_is_refused_while_the_app_runs(filled: Store, database: Path) -> None:
    copy = copy_database(database)
    before = filled.datasets(TEAM_OWNER)
    with pytest.raises(StoreError, match="is in use; stop the app"):
        restore_copy(database, copy)
    assert filled.datasets(TEAM_OWNER) == before


def test_damaged_copy_is_not_restored(filled: Store, database: Path) -> None:
    copy = copy_database(database)
    filled.close()
    spoil(copy)
    with pytest.raises(StoreError, match="is damaged"):
        restore_copy(database, copy)
    assert len(image_names(sqlite_settings(database.parent))) == 3


def test_check_of_a_large_database_ends_in_time(tmp_path: Path) -> None:
    database = tmp_path / "large.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            " LIMIT 300000) INSERT INTO t SELECT i, hex(randomblob(20)) FROM n"
        )
        connection.commit()
    started = time.monotonic()
    assert damage(database, seconds=0.001) == ""
    assert time.monotonic() - started < 1
