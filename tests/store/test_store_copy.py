"""A whole store, from SQLite and a folder to PostgreSQL and S3, and back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imagebase.annotation import Annotation, Box, utc_now
from imagebase.cli import app
from imagebase.errors import StoreError
from imagebase.settings import Settings
from imagebase.settings import settings as process_settings
from imagebase.store import Scope, Store, open_store
from imagebase.store.image_files import ImageFiles
from imagebase.store.store_copy import copy_store
from imagebase.store.tables import jobs
from tests.s3_server import s3_server
from tests.store.fixtures import (
    PostgresServer,
    add_image,
    box,
    scope_of,
    sqlite_settings,
)

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def old(tmp_path: Path) -> Settings:
    folder = tmp_path / "old"
    folder.mkdir()
    return sqlite_settings(folder)


@pytest.fixture
def scope(old: Settings) -> Scope:
    """Two datasets with boxes, history, comments and jobs; one image is in both."""
    store = open_store(old)
    other = scope_of(store, "team", who="bob", name="Other")
    add_image(store, other, "0.jpg")
    scope = scope_of(store, "team", who="ann")
    for number in range(30):
        record = add_image(store, scope, f"{number}.jpg")
        odd = Annotation(Box(0.1, 1 / 3, 20.7, 30), "été ☂", attributes={"n": 0.1})
        record = store.save(scope, record.with_annotations([box(), odd]))
        store.save(scope, record.with_annotations([odd]))
    store.submit_job(scope, "annotate", {"model": "yolov4-tiny"})
    store.close()
    return scope


@pytest.fixture
def new(postgres: PostgresServer, tmp_path: Path) -> Iterator[Settings]:
    postgres.execute("DELETE FROM owners", database="migrated")
    with s3_server("team-images"):
        yield Settings(tmp_path, postgres.url("migrated"), "s3://team-images/all")


def everything(store: Store, scope: Scope) -> list[object]:
    records = store.records(scope)
    return [
        records,
        [store.image_bytes(scope, record.image_id) for record in records],
        [store.history(scope, record.image_id) for record in records],
        store.labels(scope),
        store.jobs(scope),
    ]


def test_all_is_there_and_can_be_undone_and_edited(
    old: Settings, new: Settings, scope: Scope
) -> None:
    bytes_before = Path(old.home / "imagebase.db").read_bytes()
    done = copy_store(old, new)
    assert (done.datasets, done.images, done.boxes, done.missing) == (2, 31, 30, ())
    assert done.tables["events"] >= 90
    assert Path(old.home / "imagebase.db").read_bytes() == bytes_before
    before, after = open_store(old), open_store(new)
    assert everything(after, scope) == everything(before, scope)
    after.undo(scope)
    assert len(after.records(scope)[-1].annotations) == 2
    added = add_image(after, scope, "later.jpg")
    after.save(scope, added.with_annotations([box()]))
    before.close()
    after.close()


def test_second_copy_changes_nothing_and_another_target_is_refused(
    old: Settings, new: Settings, scope: Scope
) -> None:
    copy_store(old, new)
    assert copy_store(old, new).was_there
    store = open_store(new)
    add_image(store, scope, "of the new one.jpg")
    store.close()
    with pytest.raises(StoreError, match="holds datasets already"):
        copy_store(old, new)


def test_copy_that_was_killed_resumes(
    old: Settings, new: Settings, scope: Scope
) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from imagebase.settings import Settings\n"
        "from imagebase.store.image_files import ImageFiles\n"
        "from imagebase.store.store_copy import copy_store\n"
        "write = ImageFiles.write\n"
        "def slow(*arguments):\n"
        "    time.sleep(0.5)\n"
        "    write(*arguments)\n"
        "ImageFiles.write = slow\n"
        "here = Path('/nowhere')\n"
        "old, new = Settings(here, *sys.argv[1:3]), Settings(here, *sys.argv[3:])\n"
        "copy_store(old, new)\n"
    )
    places = (old.database_url, old.storage_url, new.database_url, new.storage_url)
    process = subprocess.Popen([sys.executable, "-c", program, *places], env=os.environ)
    files = ImageFiles(new.storage_url)
    while len(list(files.stored("team"))) < 5:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = len(list(files.stored("team")))
    assert written < 30
    with pytest.raises(StoreError, match="but images are stored"):
        open_store(new)
    assert copy_store(old, new).images == 31
    assert len(list(files.stored("team"))) == 30


def test_missing_file_is_named_and_stops_nothing(
    old: Settings, new: Settings, scope: Scope
) -> None:
    store = open_store(old)
    lost = store.records(scope)[3]
    ImageFiles(old.storage_url).delete("team", lost.image_id)
    store.close()
    done = copy_store(old, new)
    assert done.missing == ("3.jpg",)
    assert done.images == 31


def test_running_app_is_refused(old: Settings, new: Settings, scope: Scope) -> None:
    store = open_store(old)
    store.claim_job("elsewhere:1:a", ["annotate"])
    with pytest.raises(StoreError, match="A job is running; stop the app"):
        copy_store(old, new)
    with store._database.write() as connection:
        connection.execute(
            jobs.update().values(lease_until=utc_now() - timedelta(seconds=1))
        )

    def edit(title: str, done: int, total: int) -> None:
        if title == "Rows" and done == total:
            add_image(store, scope, "meanwhile.jpg")

    def rename(title: str, done: int, total: int) -> None:
        if title == "Rows" and done == total:
            store.rename_dataset(scope, "Another name")

    for meanwhile in (edit, rename):
        with pytest.raises(StoreError, match="Someone worked in the app meanwhile"):
            copy_store(old, new, on_progress=meanwhile)
    copy_store(old, new)
    store.close()


def test_way_back_to_sqlite(
    old: Settings, new: Settings, scope: Scope, tmp_path: Path
) -> None:
    copy_store(old, new)
    (tmp_path / "again").mkdir()
    copy_store(new, sqlite_settings(tmp_path / "again"))
    first, last = open_store(old), open_store(sqlite_settings(tmp_path / "again"))
    assert everything(last, scope) == everything(first, scope)
    first.close()
    last.close()


def test_command_says_what_it_did(
    old: Settings, new: Settings, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEBASE_HOME", str(old.home))
    process_settings.cache_clear()
    monkeypatch.setenv("IMAGEBASE_NEW_DATABASE_URL", new.database_url)
    result = CliRunner().invoke(app, ["move", "--storage", new.storage_url])
    process_settings.cache_clear()
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        "Copied, read back and compared: 2 datasets, 31 images"
    )
    store = open_store(replace(new))
    assert len(store.records(scope)) == 30
    store.close()
