"""The migrations make exactly the tables that the code speaks of."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, MetaData, bindparam, create_engine, insert, select, text

from imagebase.annotation import Label, ReviewStatus
from imagebase.errors import StoreError, UndoRefusedError
from imagebase.settings import Settings
from imagebase.store import Scope, Store, open_store
from imagebase.store.database import Database
from imagebase.store.migrate import MIGRATIONS, bring_up_to_date
from imagebase.store.tables import SCHEMA_REVISION, events, metadata
from tests.store.fixtures import PostgresServer, sqlite_settings

pytestmark = pytest.mark.dialect

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
        server.execute(f"DROP DATABASE IF EXISTS of_{revision}")
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
    assert [record.status for record in store.records(scope)] == [
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
    assert [(record.status, record.comment) for record in store.records(scope)] == [
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


# Made by the version before 0004, whose boxes held the names of labels: dog, cat, ant,
# bee. Then cat was renamed to kitten, dog to cat; bee was merged into ant; a fox was
# drawn; fox was renamed to bee, ant to pismire.
_HOME_OF_0003 = Path(__file__).parent / "data" / "home_0003.db"


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def store_of_0003(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The home above, opened by this version."""
    if request.param == "sqlite":
        shutil.copy(_HOME_OF_0003, tmp_path / "imagebase.db")
        found = sqlite_settings(tmp_path)
    else:
        found = _database_of("0003", "SELECT 1", request, tmp_path)
        _copy_rows(_HOME_OF_0003, found.database_url)
    store = open_store(found)
    yield store
    store.close()


def _copy_rows(source: Path, target_url: str) -> None:
    """Copy every row between two databases of the same schema."""
    source_engine, target = create_engine(f"sqlite:///{source}"), Database(target_url)
    known = MetaData()
    known.reflect(target.engine)
    with source_engine.connect() as reading, target.write() as connection:
        for table in known.sorted_tables:
            rows = reading.execute(select(table)).mappings().all()
            if rows and table.name != "alembic_version":
                connection.execute(insert(table), [dict(row) for row in rows])
        for table_name, key in _SERIALS:
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table_name}', '{key}'), "
                    f"MAX({key})) FROM {table_name}"
                )
            )
    source_engine.dispose()
    target.close()


_SERIALS = (
    ("images", "image_key"),
    ("changes", "change_key"),
    ("events", "event_id"),
)

Seen = tuple[dict[str, list[str]], list[str], dict[str, str]]


def _seen(store: Store, scope: Scope) -> Seen:
    """Return the labels of each image, marks with a minus, all labels, former names."""
    boxes = {
        record.file_name: [box.label for box in record.annotations]
        + [f"-{mark.label}" for mark in record.deleted]
        for record in store.records(scope)
    }
    shown = [label.name for label in store.labels(scope) if not label.is_hidden]
    return boxes, shown, store.former_label_names(scope)


_OF_0003: Seen = (
    {"one.jpg": ["cat", "kitten", "-pismire"], "two.jpg": ["pismire"]}
    | {"three.jpg": ["bee"]},
    ["cat", "kitten", "pismire", "bee"],
    {"ant": "pismire", "dog": "cat", "fox": "bee"},
)
_UNDONE = [
    "Undone: pismire is called ant.",
    "Undone: bee is called fox.",
    "Undone on three.jpg: 1 box taken away, the label fox is removed.",
    "Undone: cat is called dog.",
    "Undone: kitten is called cat.",
    "Undone on one.jpg: 1 box put back.",
]


def _scope_of_0003(store: Store) -> Scope:
    (dataset,) = store.datasets("team")
    return Scope("team", dataset.dataset_id, "ann")


def test_labels_by_name_become_class_ids(store_of_0003: Store) -> None:
    store = store_of_0003
    scope = _scope_of_0003(store)
    assert _seen(store, scope) == _OF_0003
    assert store.label_counts(scope) == dict.fromkeys(
        ["bee", "cat", "kitten", "pismire"], 1
    )
    assert store.label_mapping(scope, "tiny") == {"hound": "cat", "insect": "pismire"}
    (box,) = store.record(scope, store.image_ids(scope)[2]).annotations
    (event,) = store.history(scope, store.image_ids(scope)[2])
    assert event.after is not None
    assert (event.after["annotation_id"], event.after["label"]) == (
        box.annotation_id,
        "fox",
    )


def test_changes_made_before_class_ids_are_undone_and_redone(
    store_of_0003: Store,
) -> None:
    store = store_of_0003
    scope = _scope_of_0003(store)
    assert [store.undo(scope).description for _ in _UNDONE] == _UNDONE
    boxes, shown, _ = _seen(store, scope)
    # Bob's merge of bee into ant stands.
    assert boxes == {
        "one.jpg": ["dog", "cat", "ant"],
        "two.jpg": ["ant"],
        "three.jpg": [],
    }
    assert shown == ["dog", "cat", "ant"]
    for _ in _UNDONE:
        store.redo(scope)
    assert _seen(store, scope) == _OF_0003
    with pytest.raises(UndoRefusedError, match="fox was changed by ann since"):
        store.undo(replace(scope, who="bob"))


def test_box_whose_label_was_in_no_list_keeps_it(tmp_path: Path) -> None:
    shutil.copy(_HOME_OF_0003, tmp_path / "imagebase.db")
    settings = sqlite_settings(tmp_path)
    database = Database(settings.database_url)
    with database.write() as connection:
        connection.execute(
            text("UPDATE annotations SET label = 'moth' WHERE label = 'bee'")
        )
        connection.execute(
            text("UPDATE annotations SET label = 'gnat' WHERE is_deleted")
        )
    database.close()
    store = open_store(settings)
    boxes, shown, _ = _seen(store, _scope_of_0003(store))
    store.close()
    assert boxes["three.jpg"] == ["moth"]
    assert boxes["one.jpg"] == ["cat", "kitten", "-gnat"]
    assert shown == ["cat", "kitten", "pismire", "bee", "moth"]


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


def test_opening_waits_for_a_migration_longer_than_for_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagebase.store.database.BUSY_SECONDS", 0.05)
    shutil.copy(_HOME_OF_0003, tmp_path / "imagebase.db")
    settings = sqlite_settings(tmp_path)
    other = Database(settings.database_url)
    with ThreadPoolExecutor() as pool:
        with other.write():
            opening = pool.submit(open_store, settings)
            assert wait([opening], timeout=0.5).not_done
        store = opening.result(timeout=60)
    assert _seen(store, _scope_of_0003(store)) == _OF_0003
    store.close()
    other.close()
