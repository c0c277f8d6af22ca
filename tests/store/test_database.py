"""Transactions, what SQLite is told, and errors in plain words."""

import sqlite3
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from imagebase.errors import DatabaseUnreachableError, StoreError
from imagebase.settings import Settings
from imagebase.store.database import Database
from tests.store.fixtures import PostgresServer, sqlite_settings

pytestmark = pytest.mark.dialect


def _database(folder: Path) -> Database:
    return Database(sqlite_settings(folder).database_url)


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("busy_timeout", 5000),
    ],
)
def test_sqlite_is_told_to_be_safe(tmp_path: Path, pragma: str, value: object) -> None:
    database = _database(tmp_path)
    with database.read() as connection:
        found = connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()
    database.close()
    assert found == value


def test_postgresql_without_its_library_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        StoreError, match=r"psycopg.*pip install 'imagebase\[postgres\]'"
    ):
        Database("postgresql://host/name")


def test_writer_has_its_lock_from_the_beginning(tmp_path: Path) -> None:
    database = _database(tmp_path)
    other = sqlite3.connect(tmp_path / "imagebase.db", timeout=0)
    with database.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    database.close()


def _insert_and_fail(database: Database) -> None:
    insert = text("INSERT INTO owners VALUES ('ann', '2026-01-01 00:00:00', NULL)")
    with database.write() as connection:
        connection.execute(insert)
        raise RuntimeError


def test_transaction_that_fails_leaves_nothing(store_settings: Settings) -> None:
    database = Database(store_settings.database_url)
    with pytest.raises(RuntimeError):
        _insert_and_fail(database)
    with database.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM owners")) == 0
    database.close()


def test_reader_sees_one_moment(store_settings: Settings) -> None:
    database = Database(store_settings.database_url)
    insert = text("INSERT INTO owners VALUES ('ann', '2026-01-01 00:00:00', NULL)")
    count = text("SELECT count(*) FROM owners")
    with database.read() as reader:
        assert reader.scalar(count) == 0
        with database.write() as writer:
            writer.execute(insert)
        assert reader.scalar(count) == 0
    database.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a database address"),
        ("postgresql://ann:p@host:port/name", "not a database address"),
        ("mysql://root@localhost/db", "use SQLite or PostgreSQL"),
        ("sqlite://", "names no file"),
    ],
)
def test_url_that_cannot_be_used_is_explained(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        Database(url)


def test_postgres_url_of_other_tools_is_understood() -> None:
    database = Database("postgres://ann@localhost/street")
    assert database.engine.url.drivername == "postgresql+psycopg"
    database.close()


def test_file_that_is_no_database_is_explained(tmp_path: Path) -> None:
    (tmp_path / "imagebase.db").write_bytes(b"not a database at all" * 100)
    database = _database(tmp_path)
    with pytest.raises(StoreError, match="not a database"), database.read():
        pass
    database.close()


def _outgrow(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 10")
        connection.exec_driver_sql("INSERT INTO big VALUES (zeroblob(10000000))")


def test_full_disk_is_named(tmp_path: Path) -> None:
    database = _database(tmp_path)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE big (data BLOB)")
    with pytest.raises(StoreError, match="disk is full"):
        _outgrow(database)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM big").scalar() == 0
    database.close()


@pytest.mark.postgres
def test_starved_pool_is_a_sentence_and_recovers(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagebase.store.database.ANSWER_SECONDS", 1)
    database = Database(postgres.url("migrated"))
    with ExitStack() as held:
        for _ in range(40):
            held.enter_context(database.read())
        with (
            pytest.raises(DatabaseUnreachableError, match="all connections are in use"),
            database.read(),
        ):
            pass
    with database.read() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    database.close()
