"""An import that is killed, a database server that goes away, a disk without a byte."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from imagebase.annotation import Size
from imagebase.images.decode import encode_png
from imagebase.settings import TEAM_OWNER, read_settings
from imagebase.store import Scope, Store, open_store
from tests.browser.conftest import ROOT, SCREEN, Served, Server
from tests.browser.test_edit import (
    BOTTLE,
    BOTTLE_MIDDLE,
    four_photographs,
    open_editor,
)
from tests.s3_server import s3_server
from tests.store import server as postgres_control
from tests.store.fixtures import PostgresServer, scope_of

pytestmark = pytest.mark.browser

IMAGES: Final = 1039
PAGES: Final = (
    *("first", "annotate", "edit", "review"),
    *("export", "models", "evaluate", "train"),
)


def address(server: Server, scope: Scope, page: str) -> str:
    return f"{server.url}/{page}?dataset={scope.dataset_id[:12]}"


# ---------------------------------------------------------------------- an import


@pytest.fixture
def half_imported(tmp_path: Path, page: Page) -> Iterator[tuple[Server, Store, Scope]]:
    """A server that was killed while it imported labels, and started again."""
    server = Server(ROOT / "app.py", tmp_path, {})
    store = open_store(read_settings({"IMAGEBASE_HOME": str(tmp_path / "imagebase")}))
    scope = scope_of(store, TEAM_OWNER, who="ann")
    _add_images(store, scope)
    server.start()
    _begin_import(page, server, scope, _labels_file(tmp_path))
    database = tmp_path / "imagebase" / "imagebase.db"
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        while not (done := _boxes(connection)) > 0:
            page.wait_for_timeout(5)
        server.kill()
        done = _boxes(connection)
    assert 0 < done < IMAGES
    server.start()
    yield server, store, scope
    store.close()
    server.stop()


def _add_images(store: Store, scope: Scope) -> None:
    picture = np.zeros((8, 64, 3), np.uint8)
    for number in range(IMAGES):
        picture[0, :16, 0] = [(number >> bit & 1) * 255 for bit in range(16)]
        store.add_image(
            scope,
            encode_png(picture),
            file_name=f"{number:04d}.png",
            size=Size(64, 8),
            quality=None,
        )


def _labels_file(folder: Path) -> Path:
    said = {
        "images": [
            {"id": number, "file_name": f"{number:04d}.png", "width": 64, "height": 8}
            for number in range(IMAGES)
        ],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [1, 1, 9, 5]}
            for number in range(IMAGES)
        ],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(said))
    return path


def _begin_import(page: Page, server: Server, scope: Scope, labels: Path) -> None:
    page.goto(address(server, scope, ""))
    page.get_by_text("Import labels").click(timeout=60_000)
    place = page.locator("[class*='st-key-import-files'] input[type=file]")
    place.set_input_files([labels])
    page.get_by_role("button", name=f"Import {IMAGES:,} boxes").click(timeout=60_000)


def _boxes(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT count(*) FROM annotations WHERE NOT is_deleted")
    count: int = found.fetchone()[0]
    return count


def banner(page: Page) -> str:
    """Wait for what every page says at its top; return it."""
    place = page.locator(".st-key-jobs-interrupted-import")
    expect(place).to_contain_text("only partly in this dataset", timeout=60_000)
    return place.inner_text()


def boxes_of(store: Store, scope: Scope) -> int:
    return sum(len(record.annotations) for record in store.records(scope))


def test_import_that_was_killed_is_resumed_from_the_top_of_any_page(
    half_imported: tuple[Server, Store, Scope], page: Page
) -> None:
    server, store, scope = half_imported
    page.goto(address(server, scope, "review"))
    assert "The server stopped" in banner(page)
    page.locator("[class*='st-key-jobs-top-resume'] button").click()
    expect(page.locator(".st-key-jobs-interrupted-import")).to_be_hidden(timeout=30_000)
    for _ in range(600):
        job = store.latest_job(scope, "import")
        if job is not None and not job.state.is_active:
            break
        page.wait_for_timeout(100)
    assert boxes_of(store, scope) == IMAGES


def test_import_that_was_killed_is_undone_from_the_top_of_any_page(
    half_imported: tuple[Server, Store, Scope], page: Page
) -> None:
    server, store, scope = half_imported
    page.goto(address(server, scope, "export"))
    banner(page)
    page.locator("[class*='st-key-jobs-top-undo'] button").click()
    expect(page.locator(".st-key-jobs-interrupted-import")).to_be_hidden(timeout=60_000)
    assert boxes_of(store, scope) == 0
    assert len(store.image_ids(scope)) == IMAGES
    page.goto(address(server, scope, "review"))
    expect(page.get_by_text("images approved")).to_be_visible(timeout=30_000)
    expect(page.locator(".st-key-jobs-interrupted-import")).to_be_hidden()


# ---------------------------------------------------------------------- PostgreSQL


@pytest.mark.postgres
@pytest.mark.dialect
def test_editor_waits_for_postgresql_and_goes_on_by_itself(
    tmp_path: Path, context: BrowserContext
) -> None:
    with (
        suppress(postgres_control.NoServerError),
        postgres_control.postgres_server() as folder,
    ):
        _walk_through_an_outage(PostgresServer(folder), tmp_path, context)


def _walk_through_an_outage(
    postgres: PostgresServer, home: Path, context: BrowserContext
) -> None:
    postgres.execute("CREATE DATABASE street")
    environ = {
        "IMAGEBASE_HOME": str(home / "imagebase"),
        "IMAGEBASE_DATABASE_URL": postgres.url("street"),
    }
    store = open_store(read_settings(environ))
    scope = four_photographs(store, "Street")
    server = Server(ROOT / "app.py", home, environ)
    server.start()
    try:
        visit = open_editor(Served(server.url, store), context.new_page(), scope)
        before = len(visit.record().annotations)
        postgres_control.stop(postgres.folder)
        visit.canvas.drag((420, 60), (500, 120), steps=3)
        waiting = visit.page.get_by_text("The database does not answer; trying again")
        expect(waiting.first).to_be_visible(timeout=60_000)
        postgres_control.start(postgres.folder)
        expect(waiting).to_have_count(0, timeout=60_000)
        visit.canvas.surface.wait_for(timeout=30_000)
        for _ in range(300):
            if len(visit.record().annotations) == before + 1:
                break
            visit.page.wait_for_timeout(100)
        assert len(visit.record().annotations) == before + 1
        other = context.new_page()
        other.goto(address(server, scope, "review"))
        boxes = other.get_by_text(f"kitchen.jpg · 640 × 480 · {before + 1} boxes")
        expect(boxes).to_be_visible(timeout=30_000)
    finally:
        server.stop()
        store.close()


@pytest.fixture
def two_servers(tmp_path: Path) -> Iterator[tuple[list[Server], Store, Scope]]:
    """Two processes over one PostgreSQL, one S3 bucket and one home."""
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    with (
        suppress(postgres_control.NoServerError),
        postgres_control.postgres_server() as folder,
        s3_server("photos"),
    ):
        postgres = PostgresServer(folder)
        postgres.execute("CREATE DATABASE street")
        environ = {
            "IMAGEBASE_HOME": str(tmp_path / "imagebase"),
            "IMAGEBASE_DATABASE_URL": postgres.url("street"),
            "IMAGEBASE_STORAGE_URL": "s3://photos/images",
        }
        store = open_store(read_settings(environ))
        scope = four_photographs(store, "Street")
        servers = [Server(ROOT / "app.py", tmp_path, environ) for _ in range(2)]
        for server in servers:
            server.start()
        yield servers, store, scope
        for server in servers:
            server.stop()
        store.close()


@pytest.mark.postgres
@pytest.mark.dialect
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_two_processes_never_overwrite_each_other(
    two_servers: tuple[list[Server], Store, Scope],
    page: Page,
    chromium: Browser,
) -> None:
    servers, store, scope = two_servers
    context = chromium.new_context(viewport=SCREEN)
    first = open_editor(Served(servers[0].url, store), page, scope)
    second = open_editor(Served(servers[1].url, store), context.new_page(), scope)
    for visit in (first, second):
        visit.select_bottle()
    x, y = BOTTLE_MIDDLE
    before = first.record().revision
    first.canvas.drag((x, y), (x + 30, y))
    moved = first.wait_for(lambda record: record.revision > before)
    second.canvas.drag((x, y), (x, y + 30))
    asked = second.page.get_by_text("saved this image while you changed it")
    expect(asked).to_be_visible(timeout=30_000)
    assert second.record() == moved
    second.page.get_by_role("button", name="Keep mine").click()
    kept = second.wait_for(lambda record: record.revision > moved.revision)
    assert kept.annotation("bottle-box").box.y_min > BOTTLE.y_min + 20
    assert kept.annotation("bottle-box").box.x_min < BOTTLE.x_min + 10
    expect(asked).to_have_count(0)
    context.close()


# ---------------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("a file system can be mounted only as root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Take every byte of a file system."""
    with suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4096)
    assert shutil.disk_usage(folder).free < 4096


def test_pages_open_on_a_disk_without_a_byte(
    small_disk: Path, tmp_path: Path, context: BrowserContext
) -> None:
    server = Server(ROOT / "app.py", tmp_path, {"IMAGEBASE_HOME": str(small_disk)})
    environ = {"IMAGEBASE_HOME": str(small_disk)}
    store = open_store(read_settings(environ))
    scope = four_photographs(store, "Street")
    server.start()
    fill(small_disk)
    try:
        for name in PAGES:
            page = context.new_page()
            page.goto(address(server, scope, "" if name == "first" else name))
            full = page.get_by_text("The server's disk is nearly full")
            expect(full).to_be_visible(timeout=30_000)
            expect(page.get_by_test_id("stException")).to_have_count(0)
            expect(page.get_by_text("nothing was saved")).to_have_count(0)
            page.close()
        zip_path = tmp_path / "street.zip"
        command = ["-m", "imagebase", "backup", "Street", "--output", str(zip_path)]
        backed_up = subprocess.run(
            [sys.executable, *command],
            env=os.environ | environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert backed_up.returncode == 0, backed_up.stderr
        assert backed_up.stdout.startswith(f"{zip_path}: 4 images")
    finally:
        server.stop()
        store.close()
