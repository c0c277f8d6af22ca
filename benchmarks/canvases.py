"""How long a box takes from the mouse's release to "Saved": two canvases, and Edit.

Three pages at several numbers of boxes: streamlit-drawable-canvas alone, the editor of
ImageBase alone, and the Edit page as it is, whose record is in the store by then. The
time is taken in the browser, from the release to the words on the screen.

    python -m benchmarks.canvases [--boxes 5 50 500] [--rounds 15]

With `--edits`, a selected box on Edit is moved by a drag and by a key, gets another
label, is deleted and drawn again instead: how long until the canvas shows it, and until
the server has saved it.

    python -m benchmarks.canvases --edits --boxes 1500

Needs Chromium, and streamlit-drawable-canvas for its column.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from playwright.sync_api import Locator, Page, sync_playwright

from benchmarks.pages import browsing, served
from imagebase.annotation import Annotation, Box
from imagebase.images.scan import Incoming
from imagebase.ingest.add_images import admit
from imagebase.settings import SAMPLES_FOLDER, Limits, read_settings
from imagebase.store import Scope, open_store
from imagebase.ui.identity import TEAM_OWNER
from tests.browser.conftest import (
    QUIET,
    ROOT,
    SCREEN,
    free_port,
    until,
    wait_for_health,
)

PHOTOGRAPH: Final = SAMPLES_FOLDER / "kitchen.jpg"
# The mark on the Edit page goes to the second.
_PAUSE_MS: Final = 1100
_COLUMNS: Final = 25
_WATCH: Final = """() => {
  window.taken = [];
  let up = null;
  const captions = "[data-testid='stCaptionContainer']";
  const words = () => [...document.querySelectorAll(captions)]
    .map((one) => one.textContent).find((text) => /^(Saved|All is)/.test(text));
  let last = words();
  addEventListener("pointerup", () => {
    up = performance.now();
    last = words();
  }, true);
  new MutationObserver(() => {
    if (up === null || words() === last) return;
    window.taken.push(performance.now() - up);
    up = null;
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
# The canvas shows it: the frame after the handlers of the event has been painted.
_WATCH_EDITS: Final = """(root) => {
  window.taken = {};
  let before = root.dataset.savedSeq;
  const start = () => {
    const at = performance.now();
    const took = (name) => { window.taken[name] ??= performance.now() - at; };
    window.taken = {};
    setTimeout(() => requestAnimationFrame(() => setTimeout(() => took("shown"))));
    new MutationObserver((_, observer) => {
      const { savedSeq } = root.dataset;
      if (!savedSeq || savedSeq === before) return;
      took("saved");
      before = savedSeq; // an edit by a key may have been counted before this is called
      observer.disconnect();
    }).observe(root, { attributes: true });
  };
  for (const type of ["pointerup", "keydown"]) addEventListener(type, start, true);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", action="store_true")
    parser.add_argument("--boxes", type=int, nargs="+", default=[5, 50, 500])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    if arguments.edits:
        show_edits(arguments.boxes, arguments.rounds)
        return
    print("| boxes | drawable canvas | own editor | Edit page |\n|---|---|---|---|")
    for count in arguments.boxes:
        cells = [
            in_words(alone("drawable", count, arguments.rounds)),
            in_words(alone("own", count, arguments.rounds)),
            in_words(on_edit(count, arguments.rounds)),
        ]
        print(f"| {count} | {' | '.join(cells)} |", flush=True)


def show_edits(counts: list[int], rounds: int) -> None:
    """Print how long edits of one box take on Edit, at these numbers of boxes."""
    print("| boxes | | on the canvas | saved |\n|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            dataset_id = fill(Path(scratch), count)
            with (
                served(Path(scratch)) as (url, _),
                browsing(f"{url}/edit?dataset={dataset_id}") as page,
            ):
                for way, taken in edits(page, rounds).items():
                    cells = [
                        in_words([one[name] / 1000 for one in taken])
                        for name in ("shown", "saved")
                    ]
                    print(f"| {count} | {way} | {' | '.join(cells)} |", flush=True)


def edits(page: Page, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Edit a box in five ways in turn; return the milliseconds of each."""
    surface = page.locator(".editor").first
    page.wait_for_timeout(2000)
    surface.evaluate(_WATCH_EDITS)
    view = surface.evaluate("(root) => ({...root.dataset})")
    area = surface.bounding_box()
    assert area is not None
    scale = float(view["scale"])
    x, y = area["x"] + float(view["x"]), area["y"] + float(view["y"])
    x, y = x + 430 * scale, y + 100 * scale  # beside the others
    drag(page, (x, y), (x + 60, y + 60))
    page.wait_for_timeout(_PAUSE_MS)
    middle, lower = (x + 30, y + 30), (x + 30, y + 42)
    ways: dict[str, Callable[[], None]] = {
        "drag": lambda: drag(page, middle, lower),
        "key": lambda: page.keyboard.press("ArrowDown"),
        "label": lambda: page.keyboard.press(other_digit(surface)),
        "delete": lambda: page.keyboard.press("Delete"),
        "new box": lambda: drag(page, (x, y), (x + 60, y + 60)),
    }
    taken: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(rounds + 1):
        for way, edit in ways.items():
            edit()
            taken[way].append(done(page))
    return {way: times[1:] for way, times in taken.items()}  # the first warms up


def other_digit(surface: Locator) -> str:
    """Return the digit of the label that the selected box does not have."""
    box = surface.locator("[data-label].selected").first
    return "1" if box.get_attribute("data-label") == "other" else "2"


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def done(page: Page) -> dict[str, float]:
    """Return the times of an edit once the server has saved it."""
    until(page, "'saved' in window.taken")
    page.wait_for_timeout(_PAUSE_MS)  # the end of the run
    times: dict[str, float] = page.evaluate("window.taken")
    return times


def grid(count: int) -> list[Box]:
    """Return small boxes on the left part of the photograph."""
    columns = max(_COLUMNS, round(count**0.5))
    across, down = 375 / columns, 440 / max(20, -(-count // columns))
    return [
        Box(
            x := 5.5 + across * (i % columns),
            y := 5.25 + down * (i // columns),
            x + 0.8 * across,
            y + 0.8 * down,
        )
        for i in range(count)
    ]


def alone(kind: str, count: int, rounds: int) -> list[float]:
    """Measure a canvas on a page of its own, seconds."""
    surface = ".editor" if kind == "own" else ".upper-canvas"
    with served_app(kind, count) as url:
        return measured(url, surface, rounds)


def on_edit(count: int, rounds: int) -> list[float]:
    """Measure the Edit page on a dataset of one photograph, seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        dataset_id = fill(home, count)
        with served(home) as (url, _):
            return measured(f"{url}/edit?dataset={dataset_id}", ".editor", rounds)


def fill(home: Path, count: int) -> str:
    """Make a dataset of one photograph with so many boxes; return its id."""
    store = open_store(read_settings({"IMAGEBASE_HOME": str(home)}))
    dataset_id = store.create_dataset(TEAM_OWNER, "Boxes", who="walk").dataset_id
    scope = Scope(TEAM_OWNER, dataset_id, "walk")
    file = Incoming(PHOTOGRAPH.name, PHOTOGRAPH.read_bytes())
    admit(store, scope, [file], limits=Limits())
    store.add_labels(scope, ["thing", "other"])
    (record,) = store.records(scope)
    boxes = tuple(Annotation(box, "thing") for box in grid(count))
    store.save(scope, replace(record, annotations=boxes))
    store.close()
    return dataset_id


@contextmanager
def served_app(kind: str, count: int) -> Iterator[str]:
    """Serve the page with one canvas; yield its address."""
    port = free_port()
    with tempfile.NamedTemporaryFile() as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamlit", "run"),
                "benchmarks/canvas_app.py",
                f"--server.port={port}",
                "--server.address=127.0.0.1",
                "--server.headless=true",
                "--server.fileWatcherType=none",
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)}
            | {"CANVAS_KIND": kind, "CANVAS_BOXES": str(count)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for_health(f"http://127.0.0.1:{port}", server, Path(log.name))
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)


def measured(url: str, surface: str, rounds: int) -> list[float]:
    """Open a page in a headless Chromium and draw on it; return the seconds."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        page = browser.new_context(viewport=SCREEN).new_page()
        page.goto(url)
        taken = draw(page, surface, rounds)
        browser.close()
    return taken


def draw(page: Page, surface: str, rounds: int) -> list[float]:
    """Draw boxes on the right part of the picture; return the seconds each took."""
    canvas = page.locator(surface).first
    canvas.wait_for(timeout=30_000)
    page.wait_for_timeout(2000)
    page.evaluate(_WATCH)
    area = canvas.bounding_box()
    assert area is not None
    for i in range(rounds + 1):
        x = area["x"] + area["width"] * (0.68 + 0.024 * (i % 8))
        y = area["y"] + area["height"] * (0.2 + 0.07 * (i % 9))
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 14, y + 16, steps=4)
        page.mouse.up()
        page.wait_for_timeout(_PAUSE_MS)
    taken: list[float] = page.evaluate("window.taken")
    return [milliseconds / 1000 for milliseconds in taken[1:]]  # the first one warms up


def in_words(seconds: list[float]) -> str:
    """Return the median, and what nine in ten stay under."""
    if len(seconds) < 2:
        return "not measured"
    return f"{median(seconds):.2f} s (9 in 10: {quantiles(seconds, n=10)[-1]:.2f} s)"


if __name__ == "__main__":
    main()
