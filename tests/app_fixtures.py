"""The app in AppTest, on a home of its own; tests/conftest.py loads these."""

import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import streamlit as st
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.testing.v1 import AppTest

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Source
from imagebase.images import scan
from imagebase.images.scan import Incoming
from imagebase.ingest.add_images import admit
from imagebase.settings import (
    PROJECT_ROOT,
    SAMPLES_FOLDER,
    Limits,
    read_settings,
    settings,
)
from imagebase.store import JobInfo, Scope, Store, open_store
from imagebase.ui import identity, services
from imagebase.ui.identity import TEAM_OWNER
from imagebase.ui.web import cookies as visitor_cookie
from tests.store.fixtures import scope_of

APP: Final = PROJECT_ROOT / "app.py"
LOOPBACK: Final = "127.0.0.1"
JOB_SECONDS: Final = 60
PHOTOGRAPHS: Final = ("kitchen.jpg", "bear.jpg")

Configure = Callable[..., None]
NewTab = Callable[[], "Tab"]


class Tab:
    """One browser tab on the app, and the store behind it.

    Its first page is drawn as soon as something is asked of it, or not at all where
    another page is opened first.
    """

    def __init__(self, app: AppTest, *, is_drawn: bool = True) -> None:
        self._app, self._is_drawn = app, is_drawn

    @property
    def app(self) -> AppTest:
        if not self._is_drawn:
            self._is_drawn = True
            self._app.run()
        return self._app

    def open(self, page: str) -> AppTest:
        """Go to a page by its name."""
        self._is_drawn = True
        return self._app.switch_page(f"pages/{page}.py").run()

    def press(self, key: str) -> AppTest:
        return self.app.button(key=key).click().run()

    def submit(self, field: str, text: str) -> AppTest:
        """Type into the field of a form, and press the form's button."""
        self.app.text_input(key=field).input(text)
        return self.press(f"{field}.submit")

    def select_rows(self, table: str, *rows: int) -> AppTest:
        """Tick rows of the table whose key begins so."""
        key = next(
            table_.key
            for table_ in self.app.dataframe
            if table_.key and table_.key.startswith(table)
        )
        selection = {"rows": list(rows), "columns": [], "cells": []}
        self.app.session_state[key] = {"selection": selection}
        return self.app.run()

    def wait(self, kind: str, owner_id: str = TEAM_OWNER) -> JobInfo:
        """Wait for the newest job of a kind, and draw the page again."""
        job = ended(the_scope(owner_id), kind)
        self.app.run()
        return job

    def words(self) -> str:
        """Return all that is written on the page, a piece a line."""
        kinds = ("title", "markdown", "caption", "info", "success", "warning", "error")
        found = [element for kind in kinds for element in self.app.get(kind)]
        return "\n".join(str(getattr(element, "value", "")) for element in found)

    def progress(self) -> str:
        """Return what the progress bars say, a bar a line."""
        return "\n".join(element.proto.text for element in self.app.get("progress"))

    def popovers(self) -> list[str]:
        """Return what is written on the buttons that open something."""
        return [element.proto.popover.label for element in self.app.get("popover")]

    def downloads(self) -> list[str]:
        """Return what is written on the buttons that download a file."""
        links = [widget.proto for widget in self.app.get("link_button")]
        return [link.label for link in links if link.url.startswith("/download/")]

    def toasts(self) -> list[str]:
        return [toast.value for toast in self.app.toast]

    def uploads(self, *files: tuple[str, bytes]) -> AppTest:
        """Drop files on the Upload page."""
        dropped = [(name, data, "application/octet-stream") for name, data in files]
        self.app.file_uploader[0].set_value(dropped)
        return self.app.run()


@pytest.fixture
def cookies(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The cookies of the visitor's browser: AppTest has none. Emptied, it is another.

    The server sets the visitor's. What the app writes is still drawn, by the component
    that does so in a browser.
    """
    jar: dict[str, str] = {}
    draw = identity.set_cookie

    def cookie(name: str) -> str:
        if name == visitor_cookie.NAME and not visitor_cookie.token_in(
            jar.get(name, "")
        ):
            jar[name] = visitor_cookie.value_of(visitor_cookie.new_token())
        return jar.get(name, "")

    def set_cookie(name: str, value: str, *, keep: bool = False) -> None:
        draw(name, value, keep=keep)
        jar[name] = value

    monkeypatch.setattr(identity, "cookie", cookie)
    monkeypatch.setattr(identity, "set_cookie", set_cookie)
    return jar


@pytest.fixture
def app_home(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """The app's home, with an empty database."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(migrated_sqlite, folder / "imagebase.db")
    return folder


@pytest.fixture
def configure(
    monkeypatch: pytest.MonkeyPatch, app_home: Path, cookies: dict[str, str]
) -> Iterator[Configure]:
    """Give the app a home, a mode and an address; all is closed afterwards."""
    before = st.get_option("server.address")

    def set_up(*, address: str | None = LOOPBACK, **environ: str) -> None:
        services.close()
        for name, value in ({"HOME": str(app_home)} | environ).items():
            monkeypatch.setenv(f"IMAGEBASE_{name}", value)
        settings.cache_clear()
        st.config.set_option("server.address", address)

    for name in ("MODE", "SAMPLES", "DATABASE_URL", "STORAGE_URL"):
        monkeypatch.delenv(f"IMAGEBASE_{name}", raising=False)
    set_up()
    yield set_up
    services.close()
    settings.cache_clear()
    st.config.set_option("server.address", before)


@pytest.fixture(scope="session")
def components() -> BidiComponentManager:
    """The installed components, looked for once: each AppTest would do so again."""
    found = BidiComponentManager()
    found.discover_and_register_components(start_file_watching=False)
    return found


@pytest.fixture
def new_tab(configure: Configure, components: BidiComponentManager) -> NewTab:
    """Open tabs, each of them a session."""

    def open_tab() -> Tab:
        app = AppTest.from_file(APP, default_timeout=60)
        app._bidi_component_manager = components
        return Tab(app)

    return open_tab


@pytest.fixture
def tab(new_tab: NewTab) -> Tab:
    """A team member's tab on the Upload page of an empty dataset."""
    return started(new_tab)


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path
) -> dict[str, Path]:
    """A home with two photographs, and one where they have boxes, for tests to copy."""
    homes = {}
    for name in ("filled", "labelled"):
        home = homes[name] = tmp_path_factory.mktemp(name) / "home"
        home.mkdir()
        shutil.copy(migrated_sqlite, home / "imagebase.db")
        opened = open_store(read_settings({"IMAGEBASE_HOME": str(home)}))
        scope = scope_of(opened, TEAM_OWNER, who="ann", name="My images")
        admit_photographs(opened, scope)
        if name == "labelled":
            kitchen, bear = opened.records(scope)
            bottle, cup = model_box("bottle", 0.9), model_box("cup", 0.4, at=200)
            save(opened, scope, kitchen, bottle, cup)
            found = Annotation(Box(50, 60, 150, 160), "bear", changed_by="ann")
            save(opened, scope, bear, found)
        opened.close()
    return homes


def copy_home(prepared: Path, home: Path) -> None:
    """Copy a home; its dataset is another one, so that no cache knows it already."""
    shutil.copytree(prepared, home, dirs_exist_ok=True)
    with closing(sqlite3.connect(home / "imagebase.db")) as database, database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            columns = database.execute(f"PRAGMA table_info({table})").fetchall()
            if any(name == "dataset_id" for _, name, *_ in columns):
                new = (uuid.uuid5(uuid.NAMESPACE_URL, str(home)).hex,)
                database.execute(f"UPDATE {table} SET dataset_id = ?", new)


@pytest.fixture
def filled(app_home: Path, prepared: dict[str, Path], new_tab: NewTab) -> Tab:
    """A tab whose dataset holds two photographs that nobody has looked at."""
    copy_home(prepared["filled"], app_home)
    return undrawn(new_tab)


@pytest.fixture
def labelled(app_home: Path, prepared: dict[str, Path], new_tab: NewTab) -> Tab:
    """A tab whose photographs have boxes: two of a model's, one of a person's."""
    copy_home(prepared["labelled"], app_home)
    return undrawn(new_tab)


@pytest.fixture
def two_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sample photographs in place of sixteen, where no test is about how many."""
    folder = tmp_path / "samples"
    folder.mkdir()
    for name in PHOTOGRAPHS:
        (folder / name).symlink_to(SAMPLES_FOLDER / name)
    monkeypatch.setattr(scan, "SAMPLES_FOLDER", folder)


def started(new_tab: NewTab) -> Tab:
    """Return a new tab that shows its first page."""
    opened = new_tab()
    opened.app.run()
    return opened


def undrawn(new_tab: NewTab) -> Tab:
    """Return a new tab whose first page is drawn where something is asked of it."""
    return Tab(new_tab().app, is_drawn=False)


def store() -> Store:
    return services.store()


def the_scope(owner_id: str = TEAM_OWNER) -> Scope:
    """Return the scope of an owner's newest dataset."""
    return Scope(owner_id, store().datasets(owner_id)[-1].dataset_id, "ann")


def records() -> list[ImageRecord]:
    return list(store().records(the_scope()))


def photograph(name: str) -> bytes:
    return (SAMPLES_FOLDER / name).read_bytes()


def add_photographs(scope: Scope, *names: str) -> None:
    """Put sample photographs into a dataset, two unless named."""
    admit_photographs(store(), scope, *names)


def admit_photographs(into: Store, scope: Scope, *names: str) -> None:
    chosen = [Incoming(name, photograph(name)) for name in names or PHOTOGRAPHS]
    admit(into, scope, chosen, limits=Limits())


def model_box(label: str, confidence: float, *, at: float = 20) -> Annotation:
    """Return an untouched box of a model."""
    return Annotation(
        Box(at, at, at + 80, at + 60),
        label,
        source=Source.MODEL,
        confidence=confidence,
        model_id="m",
        changed_by="m",
    )


def put(record: ImageRecord, *boxes: Annotation) -> None:
    """Give an image these boxes, and the state that follows from them."""
    save(store(), the_scope(), record, *boxes)


def save(into: Store, scope: Scope, record: ImageRecord, *boxes: Annotation) -> None:
    is_models = all(box.is_untouched for box in boxes)
    status = ReviewStatus.SUGGESTED if is_models else ReviewStatus.EDITED
    into.save(scope, replace(record, annotations=boxes, status=status))


def begun_elsewhere(kind: str) -> None:
    """Have a worker of another process begin a colleague's job that it never ends."""
    store().submit_job(the_scope(), kind, {})
    assert store().claim_job("elsewhere:1:x", [kind]) is not None


def ended(scope: Scope, kind: str) -> JobInfo:
    """Return the newest job of a kind once it has come to its end."""
    deadline = time.monotonic() + JOB_SECONDS
    while time.monotonic() < deadline:
        job = next(job for job in store().jobs(scope) if job.kind == kind)
        if not job.state.is_active:
            return job
        time.sleep(0.02)
    raise AssertionError(f"the job is still {job.state}")
