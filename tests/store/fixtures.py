"""A store for every test, on SQLite and on PostgreSQL; tests/conftest.py loads them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, LiteralString

import psycopg
import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, Size
from imagebase.settings import Settings
from imagebase.store import Scope, Store, open_store
from tests.store.server import NoServerError, postgres_server

SIZE: Final = Size(64, 48)
BACKENDS: Final = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgres),
]


def sqlite_settings(folder: Path) -> Settings:
    """Return settings for a store in one folder."""
    return Settings(
        home=folder,
        database_url=f"sqlite:///{folder / 'imagebase.db'}",
        storage_url=str(folder / "images"),
    )


@dataclass(frozen=True)
class PostgresServer:
    """A running server, with a database that has the schema.

    The tests share it, each after deleting every row: a new one takes 30 times as long.
    """

    folder: Path

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://imagebase@/{database}?host={self.folder}"

    def execute(self, statement: LiteralString, *, database: str = "postgres") -> None:
        where = f"host={self.folder} user=imagebase dbname={database}"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A real server for the whole session; skips where none can be had."""
    try:
        with postgres_server() as folder:
            server = PostgresServer(folder)
            server.execute("CREATE DATABASE migrated")
            home = tmp_path_factory.mktemp("migrated")
            open_store(Settings(home, server.url("migrated"), str(home))).close()
            yield server
    except NoServerError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that has the schema, for tests to copy."""
    folder = tmp_path_factory.mktemp("migrated-sqlite")
    open_store(sqlite_settings(folder)).close()
    return folder / "imagebase.db"


@pytest.fixture(params=BACKENDS)
def store_settings(
    request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: Path
) -> Iterator[Settings]:
    """Settings of an empty store, on each kind of database."""
    if request.param == "sqlite":
        shutil.copy(migrated_sqlite, tmp_path / "imagebase.db")
        yield sqlite_settings(tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    server.execute("DELETE FROM owners", database="migrated")
    yield Settings(tmp_path, server.url("migrated"), str(tmp_path / "images"))


@pytest.fixture
def store(store_settings: Settings) -> Iterator[Store]:
    """An empty store."""
    opened = open_store(store_settings)
    yield opened
    opened.close()


@pytest.fixture
def scope(store: Store) -> Scope:
    """An empty dataset, and Ann who works on it."""
    return scope_of(store, "team", who="ann")


def scope_of(store: Store, owner_id: str, *, who: str, name: str = "Street") -> Scope:
    """Return the scope of a new dataset."""
    created = store.create_dataset(owner_id, name, who=who)
    return Scope(owner_id, created.dataset_id, who)


def add_image(
    store: Store,
    scope: Scope,
    file_name: str = "cat.jpg",
    *,
    data: bytes = b"",
    size: Size = SIZE,
) -> ImageRecord:
    """Return the record of a new image; its content follows its name unless given."""
    content = data or file_name.encode()
    return store.add_image(
        scope, content, file_name=file_name, size=size, quality=None
    ).record


def box(label: str = "cat", *, at: float = 1.0) -> Annotation:
    """Return a person's box."""
    return Annotation(Box(at, at, at + 10, at + 8), label)
