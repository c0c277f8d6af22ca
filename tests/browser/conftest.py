"""A real Chromium, a served app, and hands to draw with."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from imagebase.annotation import ImageRecord
from imagebase.images.scan import Incoming
from imagebase.ingest.add_images import admit
from imagebase.settings import SAMPLES_FOLDER, TEAM_OWNER, Limits, read_settings
from imagebase.store import Scope, Store, open_store
from tests.store.fixtures import scope_of

ROOT = Path(__file__).parents[2]
APP = ROOT / "app.py"
SCREEN: Final[ViewportSize] = {"width": 1280, "height": 800}
START_SECONDS = 60
PATIENCE_MS: Final = 10_000  # a machine may have other things to do
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
]

Point = tuple[float, float]


class Serve(Protocol):
    """Start an app and return its address."""

    def __call__(self, app: Path, environ: Mapping[str, str] = ...) -> str: ...


class Served(NamedTuple):
    """The app's address, and the store behind it."""

    url: str
    store: Store


class Dataset(NamedTuple):
    """A dataset of a test's own, and the app that serves it."""

    url: str
    store: Store
    scope: Scope

    def at(self, page: str = "") -> str:
        """Return the address of a page with this dataset."""
        return f"{self.url}/{page}?dataset={self.scope.dataset_id[:12]}"

    def records(self) -> list[ImageRecord]:
        return self.store.records(self.scope)

    def record(self, file_name: str) -> ImageRecord:
        return next(
            record for record in self.records() if record.file_name == file_name
        )

    def add(self, *names: str) -> None:
        """Add sample photographs."""
        files = [Incoming(name, (SAMPLES_FOLDER / name).read_bytes()) for name in names]
        admit(self.store, self.scope, files, limits=Limits())


class Shown(NamedTuple):
    """A box as the editor draws it, in pixels of the image."""

    box: tuple[float, float, float, float]
    label: str
    text: str
    is_untouched: bool


class Canvas(NamedTuple):
    """The box editor; points are pixels of the image."""

    page: Page
    surface: Locator

    def get(self, name: str) -> str:
        """Return what the editor says of itself."""
        return self.surface.get_attribute(f"data-{name}") or ""

    def wait_for(self, name: str, value: str) -> None:
        """Wait until the editor says so of itself."""
        expect(self.surface).to_have_attribute(f"data-{name}", value, timeout=10_000)

    def wait_for_picture(self) -> None:
        """Wait until the picture of the image is seen, and every key counts."""
        for _ in range(400):
            image = self.get("image")
            if image and self.get("picture") == self.get("ready") == image:
                return
            self.page.wait_for_timeout(25)
        pytest.fail("the picture did not come within 10 s")

    def wait_for_rest(self) -> None:
        """Wait until the picture moves no more: the sidebar folds, labels come."""
        before = None
        for _ in range(100):
            place = (self.surface.bounding_box(), self.get("scale"), self.get("x"))
            if place == before:
                return
            before = place
            self.page.wait_for_timeout(150)
        pytest.fail("the picture did not come to rest within 15 s")

    @property
    def scale(self) -> float:
        """Pixels of the screen per pixel of the image."""
        return float(self.get("scale"))

    def at(self, point: Point) -> Point:
        """Return where on the screen a point of the image is."""
        box = self.surface.bounding_box()
        assert box is not None
        left, top, scale = (float(self.get(name)) for name in ("x", "y", "scale"))
        return box["x"] + left + point[0] * scale, box["y"] + top + point[1] * scale

    def shown(self) -> dict[str, Shown]:
        """Return what is drawn, by id."""
        found: list[dict[str, str]] = self.surface.evaluate(
            """(root) => [...root.querySelectorAll("g.box")].map((group) => ({
              ...group.dataset,
              ...Object.fromEntries(["x", "y", "width", "height"].map(
                (name) => [name, group.querySelector(".line").getAttribute(name)])),
            }))"""
        )
        left, top, scale = (float(self.get(name)) for name in ("x", "y", "scale"))
        return {
            entry["id"]: Shown(
                (
                    x := (float(entry["x"] or 0) - left) / scale,
                    y := (float(entry["y"] or 0) - top) / scale,
                    x + float(entry["width"] or 0) / scale,
                    y + float(entry["height"] or 0) / scale,
                ),
                entry["label"],
                entry["text"],
                entry["untouched"] == "true",
            )
            for entry in found
        }

    def wheel(self, point: Point, clicks: float) -> None:
        """Turn the wheel over a point; upwards, and so closer, where it is negative."""
        self.page.mouse.move(*self.at(point))
        self.page.mouse.wheel(0, 100 * clicks)
        self.page.wait_for_timeout(60)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def drag(self, start: Point, end: Point, *, steps: int = 6) -> None:
        """Press the mouse at one point and let it go at another."""
        mouse = self.page.mouse
        mouse.move(*self.at(start))
        mouse.down()
        mouse.move(*self.at(end), steps=steps)
        mouse.up()

    def click(self, point: Point) -> None:
        self.page.mouse.click(*self.at(point))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The Chromium of IMAGEBASE_TEST_CHROMIUM, or the one on the path."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = [os.environ.get("IMAGEBASE_TEST_CHROMIUM"), *map(shutil.which, names)]
    executable = next((path for path in found if path), None)
    if executable is None:
        pytest.fail(
            "The browser tests need Chromium: install it, or name it in "
            "IMAGEBASE_TEST_CHROMIUM."
        )
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=QUIET)
        yield browser
        browser.close()


_failed: Final = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[_failed] = report.failed
    return report


@pytest.fixture(scope="session")
def loaded(chromium: Browser) -> Iterator[BrowserContext]:
    """A context that keeps the app's scripts from test to test: they take seconds."""
    context = chromium.new_context(viewport=SCREEN)
    yield context
    context.close()


@pytest.fixture
def context(loaded: BrowserContext) -> Iterator[BrowserContext]:
    """The browser of a visitor who was never here: nothing is stored in it."""
    yield loaded
    page = loaded.new_page()
    everything = {"origin": "*", "storageTypes": "cookies,local_storage,indexeddb"}
    loaded.new_cdp_session(page).send("Storage.clearDataForOrigin", everything)
    for app_page in loaded.pages:
        app_page.close()


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh visitor's page at 1280 × 800; a failed test prints what it showed.

    Nothing on any page may be refused by the content security policy.
    """
    page = context.new_page()
    refused: list[str] = []
    page.on(
        "console",
        lambda message: (
            refused.append(message.text)
            if "Content Security Policy" in message.text
            else None
        ),
    )
    yield page
    assert refused == []
    if request.node.stash.get(_failed, False):
        print(f"{page.url} showed:\n{page.locator('body').inner_text()}")


class Server:
    """A served app, which can be killed and started again on the same home."""

    def __init__(self, app: Path, home: Path, environ: Mapping[str, str]) -> None:
        self.app, self.home = app, home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        here = {"HOME": str(home), "PYTHONPATH": str(ROOT)}
        here |= {"IMAGEBASE_HOME": str(home / "imagebase")}
        self._environ = {**os.environ, **here, **environ}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log_path = self.home / "server.log"
        options = {
            "server.address": "127.0.0.1",
            "server.port": str(self.port),
            "server.headless": "true",
            "server.fileWatcherType": "none",
            "browser.gatherUsageStats": "false",
        }
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", str(self.app)]
                + [f"--{name}={value}" for name, value in options.items()],
                cwd=ROOT,
                env=self._environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for_health(self.url, self._process, log_path)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=20)


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Serve Streamlit apps on free loopback ports until the session is over.

    Each has a home of its own, where nobody has been before.
    """
    servers: list[Server] = []

    def start(app: Path, environ: Mapping[str, str] | None = None) -> str:
        server = Server(app, tmp_path_factory.mktemp("home"), environ or {})
        servers.append(server)
        server.start()
        return server.url

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def served(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The app as one server for all tests, each of which has a dataset of its own."""
    # Threads that wait for each other on a busy machine would take minutes to train.
    home = str(tmp_path_factory.mktemp("app") / "home")
    environ = {"IMAGEBASE_HOME": home, "OMP_NUM_THREADS": "1"}
    store = open_store(read_settings(environ))
    yield Served(serve(APP, environ), store)
    store.close()


@pytest.fixture
def dataset(served: Served, request: pytest.FixtureRequest) -> Dataset:
    """An empty dataset on the served app."""
    name = request.node.name[:60]
    scope = scope_of(served.store, TEAM_OWNER, who="ann", name=name)
    return Dataset(served.url, served.store, scope)


def until(
    page: Page, expression: str, arg: object = None, *, seconds: float = 30
) -> None:
    """Wait until JavaScript is true of a page.

    The app's content security policy refuses what Playwright's own function evaluates
    inside the page.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, f"{expression} is not true after {seconds} s"
        page.wait_for_timeout(15)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for_health(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return as soon as the server answers; fail with its log where it does not."""
    for _ in range(START_SECONDS * 10):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"{url} did not start:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture
def find_canvas() -> Callable[[Page], Canvas]:
    """Wait for the editor's canvas on a page."""

    def find(page: Page, css_class: str = "st-key-edit-canvas") -> Canvas:
        canvas = Canvas(page, page.locator(f".{css_class} .editor"))
        canvas.surface.wait_for(timeout=20_000)
        canvas.wait_for_picture()
        return canvas

    return find
