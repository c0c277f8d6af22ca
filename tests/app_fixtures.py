"""The app in AppTest, on a home of its own; tests/conftest.py loads these."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
from imagebase.settings import PROJECT_ROOT, SAMPLES_FOLDER, Limits, settings
from imagebase.store import JobInfo, Scope, Store
from imagebase.ui import identity, services
from imagebase.ui.identity import TEAM_OWNER

APP: Final = PROJECT_ROOT / "app.py"
LOOPBACK: Final = "127.0.0.1"
JOB_SECONDS: Final = 60
PHOTOGRAPHS: Final = ("kitchen.jpg", "bear.jpg")

Configure = Callable[..., None]
NewTab = Callable[[], "Tab"]


@dataclass(frozen=True)
class Tab:
    """One browser tab on the app, and the store behind it."""

    app: AppTest

    def open(self, page: str) -> AppTest:
        """Go to a page by its name."""
        return self.app.switch_page(f"pages/{page}.py").run()

    def press(self, key: str) -> AppTest:
        return self.app.button(key=key).click().run()

    def submit(self, field: str, text: str) -> AppTest:
        """Type into the field of a form, and press the form's button."""
        self.app.text_input(key=field).input(text)
        return self.press(f"{field}.submit")

    def select_rows(self, table: str, *rows: int) -> AppTest:
        """Tick rows of the table whose key begins so."""
        key = next(
            one.key
            for one in self.app.dataframe
            if one.key and one.key.startswith(table)
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
        found = [one for kind in kinds for one in self.app.get(kind)]
        return "\n".join(str(getattr(one, "value", "")) for one in found)

    def progress(self) -> str:
        """Return what the progress bars say, a bar a line."""
        return "\n".join(one.proto.text for one in self.app.get("progress"))

    def popovers(self) -> list[str]:
        """Return what is written on the buttons that open something."""
        return [one.proto.popover.label for one in self.app.get("popover")]

    def toasts(self) -> list[str]:
        return [one.value for one in self.app.toast]

    def uploads(self, *files: tuple[str, bytes]) -> AppTest:
        """Drop files on the Upload page."""
        dropped = [(name, data, "application/octet-stream") for name, data in files]
        self.app.file_uploader[0].set_value(dropped)
        return self.app.run()


@pytest.fixture
def cookies(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The cookies of the visitor's browser: AppTest has none. Emptied, it is another.

    What the app writes is still drawn, by the component that does so in a browser.
    """
    jar: dict[str, str] = {}
    draw = identity.set_cookie

    def set_cookie(name: str, value: str, *, keep: bool = False) -> None:
        draw(name, value, keep=keep)
        jar[name] = value

    monkeypatch.setattr(identity, "cookie", lambda name: jar.get(name, ""))
    monkeypatch.setattr(identity, "set_cookie", set_cookie)
    return jar


@pytest.fixture
def configure(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    migrated_sqlite: Path,
    cookies: dict[str, str],
) -> Iterator[Configure]:
    """Give the app an empty home, a mode and an address; all is closed afterwards."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(migrated_sqlite, home / "imagebase.db")
    before = st.get_option("server.address")

    def set_up(*, address: str | None = LOOPBACK, **environ: str) -> None:
        services.close()
        for name, value in ({"HOME": str(home)} | environ).items():
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


@pytest.fixture
def filled(new_tab: NewTab) -> Tab:
    """A tab whose dataset holds two photographs that nobody has looked at."""
    _begin_dataset()
    return started(new_tab)


@pytest.fixture
def labelled(new_tab: NewTab) -> Tab:
    """A tab whose photographs have boxes: two of a model's, one of a person's."""
    _begin_dataset()
    kitchen, bear = records()
    put(kitchen, model_box("bottle", 0.9), model_box("cup", 0.4, at=200))
    put(bear, Annotation(Box(50, 60, 150, 160), "bear", changed_by="ann"))
    return started(new_tab)


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


def _begin_dataset() -> None:
    store().create_dataset(TEAM_OWNER, "My images", who="ann")
    add_photographs(the_scope())


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
    chosen = [Incoming(name, photograph(name)) for name in names or PHOTOGRAPHS]
    admit(store(), scope, chosen, limits=Limits())


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
    is_models = all(box.is_untouched for box in boxes)
    status = ReviewStatus.SUGGESTED if is_models else ReviewStatus.EDITED
    store().save(the_scope(), replace(record, annotations=boxes, status=status))


def begun_elsewhere(kind: str) -> None:
    """Have a worker of another process begin a colleague's job that it never ends."""
    store().submit_job(the_scope(), kind, {})
    assert store().claim_job("elsewhere:1:x", [kind]) is not None


def ended(scope: Scope, kind: str) -> JobInfo:
    """Return the newest job of a kind once it has come to its end."""
    deadline = time.monotonic() + JOB_SECONDS
    while time.monotonic() < deadline:
        job = next(one for one in store().jobs(scope) if one.kind == kind)
        if not job.state.is_active:
            return job
        time.sleep(0.02)
    raise AssertionError(f"the job is still {job.state}")
