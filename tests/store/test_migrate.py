"""The migrations make exactly the tables that the code speaks of."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, bindparam, select, text

from imagebase.annotation import Label, ReviewStatus
from imagebase.errors import StoreError
from imagebase.settings import Settings
from imagebase.store import Scope, open_store
from imagebase.store.database import Database
from imagebase.store.migrate import MIGRATIONS, bring_up_to_date
from imagebase.store.tables import SCHEMA_REVISION, events, metadata
from tests.store.fixtures import PostgresServer, sqlite_settings

_OPEN = """
import sys
from pathlib import Path
from imagebase.settings import Settings
from imagebase.store import open_store
store = open_store(Settings(Path(sys.argv[2]), sys.argv[1], sys.argv[2]))
print(store.create_dataset("team", "Street", who="ann").name)
"""


def test_migrated_schema_equals_the_tables(store_settings: Settings) -> None:
    database = Database(store_settings.database_url)
    bring_up_to_date(database)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_tables_name_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == SCHEMA_REVISION


_ROWS_OF_0001 = """
INSERT INTO owners (owner_id, created_at) VALUES ('team', '2026-01-02 03:04:05');
INSERT INTO datasets (dataset_id, owner_id, name, created_at, created_by, version)
VALUES ('d', 'team', 'Street', '2026-01-02 03:04:05', 'ann', 3);
INSERT INTO labels (dataset_id, position, name, colour)
VALUES ('d', 0, 'cat', '#E69F00'), ('d', 1, 'dog', '#56B4E9');
INSERT INTO images (dataset_id, image_id, file_name, width, height, byte_count, status,
    comment, tags, revision, head, added_at, added_by)
VALUES ('d', 'one', 'one.jpg', 64, 48, 9, 'rejected', 'the wheel''s cut off', '[]', 1,
        'c', '2026-01-02 03:04:05', 'ann'),
       ('d', 'two', 'two.jpg', 64, 48, 9, 'rejected', '', '[]', 0,
        '', '2026-01-02 03:04:05', 'ann'),
       ('d', 'three', 'three.jpg', 64, 48, 9, 'approved', 'was dark', '[]', 0,
        '', '2026-01-02 03:04:05', 'ann')
"""


# Statuses were called `auto` until 0003, in images and in the reviews of events.
_ROWS_OF_0002 = """
INSERT INTO owners (owner_id, created_at) VALUES ('team', '2026-01-02 03:04:05');
INSERT INTO datasets (dataset_id, owner_id, name, created_at, created_by, version)
VALUES ('d', 'team', 'Street', '2026-01-02 03:04:05', 'ann', 3);
INSERT INTO images (dataset_id, image_id, file_name, width, height, byte_count, status,
    comment, tags, revision, head, added_at, added_by)
VALUES ('d', 'one', 'one.jpg', 64, 48, 9, 'edited', '', '[]', 2,
        'c', '2026-01-02 03:04:05', 'ann'),
       ('d', 'two', 'two.jpg', 64, 48, 9, 'auto', '', '[]', 1,
        '', '2026-01-02 03:04:05', 'ann');
INSERT INTO changes (dataset_id, change_id, who, kind, state, created_at)
VALUES ('d', 'c', 'ann', 'edit', 'done', '2026-01-02 03:04:05');
INSERT INTO events (change_key, dataset_id, image_id, kind, before, after, head_before,
    revision, created_at)
SELECT change_key, 'd', 'one', 'review', :before, :after, '', 2, created_at
FROM changes
"""
_REVIEWS = {
    "before": '{"status": "auto", "comment": "", "tags": []}',
    "after": r'{"status": "edited", "comment": "no \"status\": \"auto\"", "tags": []}',
}


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def settings_of_0001(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a database as the first release left it, with rows."""
    return _database_of("0001", _ROWS_OF_0001, request, tmp_path)


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def settings_of_0002(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a database of version 0002 with an image that a model labelled."""
    return _database_of("0002", _ROWS_OF_0002, request, tmp_path)


def _database_of(
    revision: str, rows: str, request: pytest.FixtureRequest, home: Path
) -> Settings:
    found = sqlite_settings(home)
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        server.execute(f"CREATE DATABASE of_{revision}")
        found = Settings(home, server.url(f"of_{revision}"), str(home / "images"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    database = Database(found.database_url)
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for statement in rows.split(";\n"):
            values = [
                bindparam(name, value, JSON) for name, value in _reviews(statement)
            ]
            connection.execute(text(statement).bindparams(*values))
    database.close()
    return found


def _reviews(statement: str) -> list[tuple[str, object]]:
    return [
        (name, json.loads(kept))
        for name, kept in _REVIEWS.items()
        if f":{name}" in statement
    ]


def test_images_that_a_model_labelled_are_suggested(settings_of_0002: Settings) -> None:
    store = open_store(settings_of_0002)
    scope = Scope("team", "d", "ann")
    assert [one.status for one in store.records(scope)] == [
        ReviewStatus.EDITED,
        ReviewStatus.SUGGESTED,
    ]
    store.close()
    database = Database(settings_of_0002.database_url)
    with database.read() as connection:
        kept = connection.execute(select(events.c.before, events.c.after)).one()
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()
    assert kept.before["status"] == "suggested"
    assert kept.after == json.loads(_REVIEWS["after"])


def test_rows_of_the_first_release_come_through(settings_of_0001: Settings) -> None:
    store = open_store(settings_of_0001)
    scope = Scope("team", "d", "ann")
    assert store.labels(scope).labels == (
        Label("cat", "#E69F00", place=0),
        Label("dog", "#56B4E9", place=1),
    )
    assert [(one.status, one.comment) for one in store.records(scope)] == [
        (ReviewStatus.REJECTED, "the wheel's cut off"),
        (ReviewStatus.REJECTED, ""),
        (ReviewStatus.APPROVED, "was dark"),
    ]
    assert store.add_labels(scope, ["bird"]).class_id("bird") == 2
    store.close()
    database = Database(settings_of_0001.database_url)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        places = text("SELECT position, place, is_hidden FROM labels ORDER BY position")
        assert connection.execute(places).all() == [(n, n, False) for n in range(3)]
        said = text(
            "SELECT images.image_id, comments.text, resolved_at FROM comments "
            "JOIN images ON images.image_key = comments.image_key"
        )
        assert connection.execute(said).all() == [("one", "the wheel's cut off", None)]
    database.close()


def test_database_of_a_newer_imagebase_is_left_alone(tmp_path: Path) -> None:
    store_settings = sqlite_settings(tmp_path)
    open_store(store_settings).close()
    database = Database(store_settings.database_url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(StoreError, match="newer ImageBase"):
        open_store(store_settings)


def _open_three_times(database_url: str, folder: Path) -> list[str]:
    command = [sys.executable, "-c", _OPEN, database_url, str(folder)]
    opening = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    return [process.communicate(timeout=60)[0].strip() for process in opening]


def test_processes_that_open_at_once_make_the_schema_once(tmp_path: Path) -> None:
    url = sqlite_settings(tmp_path).database_url
    assert _open_three_times(url, tmp_path) == ["Street"] * 3


@pytest.mark.postgres
def test_processes_that_open_at_once_on_a_server(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    postgres.execute("CREATE DATABASE opened_at_once")
    url = postgres.url("opened_at_once")
    assert _open_three_times(url, tmp_path) == ["Street"] * 3
