"""Each page of the app on a large dataset, in a real browser: seconds until drawn.

    python -m benchmarks.pages [--images 100000] [--boxes 11] [--rounds 3] [--home DIR]
        [--side 400] [--only WORD …] [--build-only]

With --home a dataset made before is used again. IMAGEBASE_DATABASE_URL names another
database than the home's SQLite one. Prints the seconds, median and slowest, and the
memory and CPU seconds of the server. Needs Chromium, as the tests do.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from playwright.sync_api import Page, sync_playwright

from benchmarks.large_dataset import make_dataset
from imagebase.settings import read_settings
from imagebase.store import open_store
from imagebase.ui.identity import TEAM_OWNER
from tests.browser.conftest import (
    QUIET,
    ROOT,
    SCREEN,
    free_port,
    until,
    wait_for_health,
)

_IDLE: Final = "[data-testid='stApp'][data-test-script-state='notRunning']"
_HAS: Final = "(selector) => document.querySelector(selector) !== null"
_SERVE: Final = (sys.executable, "-m", "imagebase", "serve", "--headless")
_SETTLED_MS: Final = 150
_ORDERS: Final = ("newest change", "label", "image", "status", "user", "smallest")
_PAGES: Final = ("Upload", "Annotate", "Edit", "Export", "Models", "Evaluate", "Train")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--boxes", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--side", type=int, default=400)
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--build-only", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = arguments.home or Path(scratch)
        fill(home, arguments.images, arguments.boxes, longest_side=arguments.side)
        if arguments.build_only:
            return
        with served(home) as (url, process), browsing(url) as page:
            found = walk(page, process, arguments.rounds, arguments.only)
            print(f"\n{_memory_in_words(process)}, load {os.getloadavg()[0]:.0f}")
    print("| what | median s | slowest s | CPU s |\n|---|---|---|---|")
    for name, taken in found.items():
        seconds, cpu = zip(*taken, strict=True)
        spent = f"{median(cpu):.2f}"
        print(f"| {name} | {median(seconds):.2f} | {max(seconds):.2f} | {spent} |")


def walk(
    page: Page, server: int, rounds: int, only: Sequence[str]
) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds of each step in every round, and the server's CPU seconds."""
    found: dict[str, list[tuple[float, float]]] = {}
    for number in range(rounds):
        for name, step in steps(page).items():
            if name.startswith("page ") or any(word in name for word in only):
                before = _cpu_seconds(server)
                taken = timed(page, step)
                spent = _cpu_seconds(server) - before
                found.setdefault(name, []).append((taken, spent))
                print(f"{number} {name}: {taken:.2f}", file=sys.stderr, flush=True)
    return found


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_in_words(process: int) -> str:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    peak = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return f"peak memory {int(peak) / 1e3:,.0f} MB"


def fill(
    home: Path, images: int, boxes: int, *, longest_side: int | None = None
) -> None:
    """Make the dataset, unless this home has one."""
    store = open_store(read_settings({**os.environ, "IMAGEBASE_HOME": str(home)}))
    try:
        if not store.datasets(TEAM_OWNER):
            started = time.perf_counter()
            make_dataset(
                store,
                TEAM_OWNER,
                images=images,
                boxes_per_image=boxes,
                longest_side=longest_side,
            )
            seconds = time.perf_counter() - started
            print(f"{images:,} images made in {seconds:.0f} s", file=sys.stderr)
    finally:
        store.close()


@contextmanager
def served(home: Path) -> Iterator[tuple[str, int]]:
    """Serve the app on a home; yield its address and the process."""
    port, log = free_port(), home / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*_SERVE, "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, "IMAGEBASE_HOME": str(home)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_health(f"http://127.0.0.1:{port}", server, log)
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait(timeout=20)


@contextmanager
def browsing(url: str) -> Iterator[Page]:
    """Open the app in a headless Chromium; yield the page once it stands still."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        page = browser.new_context(viewport=SCREEN).new_page()
        page.goto(url)
        page.get_by_test_id("stTopNavLink").first.wait_for(timeout=60_000)
        settled(page)
        yield page
        browser.close()


def steps(page: Page) -> dict[str, Callable[[], None]]:
    """Return what is timed: a name, and what the person does."""

    def go_to(name: str) -> Callable[[], None]:
        link = page.get_by_test_id("stTopNavLink").filter(has_text=name)
        return lambda: link.click()

    pages = {f"page {name}": go_to(name) for name in (*_PAGES, "Review")}
    return {
        **pages,
        **_review_steps(page),
        "page Annotate again": go_to("Annotate"),
        **_annotate_steps(page),
        "page Edit again": go_to("Edit"),
        **_edit_steps(page),
        "page Upload again": go_to("Upload"),
        "Upload: a far page": _far_page(page, "upload-page"),
    }


def _choice(page: Page, key: str, name: str) -> Callable[[], None]:
    choice = page.locator(f".st-key-{key}").get_by_text(name, exact=True)
    return lambda: choice.click()


def _button(page: Page, key: str) -> Callable[[], None]:
    button = page.locator(f".st-key-{key} button").first
    return lambda: button.click()


def _far_page(page: Page, key: str) -> Callable[[], None]:
    """Return a click on the last page number but one that is drawn."""
    return lambda: page.locator(f".st-key-{key} button").nth(-2).click()


def _key_on(page: Page, key: str, pressed: str) -> Callable[[], None]:
    slider = page.locator(f".st-key-{key} input").first
    return lambda: slider.press(pressed)


def _order(page: Page, words: str) -> Callable[[], None]:
    def choose() -> None:
        page.locator(".st-key-review-order input").click()
        page.get_by_role("option", name=words, exact=True).click()

    return choose


def _annotate_steps(page: Page) -> dict[str, Callable[[], None]]:
    more = _key_on(page, "annotate-confidence", "ArrowRight")
    less = _key_on(page, "annotate-confidence", "ArrowLeft")
    return {
        "Annotate: the confidence slider": more,
        "Annotate: the slider back": less,
        "Annotate: the slider of overlaps": _key_on(page, "annotate-nms", "ArrowRight"),
        "Annotate: as uploaded": _choice(page, "annotate-order", "As uploaded"),
        "Annotate: a far page": _far_page(page, "annotate-page"),
        "Annotate: most uncertain": _choice(page, "annotate-order", "Most uncertain"),
    }


def _edit_steps(page: Page) -> dict[str, Callable[[], None]]:
    return {
        "Edit: next image": _button(page, "edit-next"),
        "Edit: previous image": _button(page, "edit-previous"),
        "Edit: approve": _button(page, "edit-approve"),
        "Edit: undo": _button(page, "edit-undo"),
    }


def _review_steps(page: Page) -> dict[str, Callable[[], None]]:
    """Return what is timed on the Review page, each step from where the last ended."""

    def view(name: str) -> Callable[[], None]:
        return _choice(page, "review-view", name)

    def search(text: str, key: str = "review-text") -> Callable[[], None]:
        field = page.locator(f".st-key-{key} input")

        def type_in() -> None:
            field.fill(text)
            field.press("Enter")

        return type_in

    crop = page.locator(".st-key-review-sheet .tile")
    label = page.locator("[class*='st-key-review-crops-label'] button").first
    clear = _button(page, "review-clear_labels")
    return {
        "view Queue": view("Queue"),
        "Queue: a reason": _choice_like(page, "queue-kind", "overlaps"),
        "Queue: every reason": _choice_like(page, "queue-kind", "overlaps"),
        "Queue: a far page": _far_page(page, "queue-page"),
        "Queue: what to label next": _choice(page, "queue-order", "What to label next"),
        "Queue: most uncertain": _choice(page, "queue-order", "Most uncertain"),
        "view Suggestions": view("Suggestions"),
        "view Boxes": view("Boxes"),
        "Boxes: a text is searched": search("skier"),
        "Boxes: the search is cleared": clear,
        "Boxes: a far page": _far_page(page, "review-labels-page"),
        "Boxes: confidence": _key_on(page, "review-confidence", "ArrowRight"),
        "Boxes: every confidence": clear,
        **{f"Boxes: by {words}": _order(page, words) for words in _ORDERS},
        "Boxes: the most uncertain first": _order(page, "most uncertain"),
        "view Crops": view("Crops"),
        "Crops: one label": lambda: label.click(),
        "Crops: one is selected": lambda: crop.first.click(),
        "Crops: a far page": _far_page(page, "review-crops-page"),
        "Crops: all labels": clear,
        "view Images": view("Images"),
        "Images: one status": _choice_like(page, "review-image_statuses", "approved"),
        "Images: every status": _choice_like(page, "review-image_statuses", "approved"),
        "Images: a text is searched": search("fruit", "review-image_text"),
        "Images: the search is cleared": search("", "review-image_text"),
        "Images: a far page": _far_page(page, "review-images-page"),
        "view Map": view("Map"),
        "Map: by label": _choice(page, "review-map-colour", "most frequent label"),
        "Map: by status": _choice(page, "review-map-colour", "status"),
        "view Near-duplicates": view("Near-duplicates"),
        "view Tags": view("Tags"),
        "view Statistics, Health": view("Statistics"),
        "Statistics: Corrections": _choice(page, "figures-view", "Corrections"),
        "Statistics: Thresholds": _choice(page, "figures-view", "Thresholds"),
        "Statistics: Health again": _choice(page, "figures-view", "Health"),
        "view Boxes again": view("Boxes"),
        "Boxes: accept above is opened": _button(page, "accept-above"),
        "Boxes: boxes are accepted": _button(page, "accept-apply"),
        "Boxes: that is undone": _button(page, "review-labels-undo"),
    }


def _choice_like(page: Page, key: str, name: str) -> Callable[[], None]:
    choice = page.locator(f".st-key-{key} button").filter(has_text=name).first
    return lambda: choice.click()


def timed(page: Page, step: Callable[[], None]) -> float:
    """Return the seconds from a step to a page that stands still."""
    started = time.perf_counter()
    step()
    return settled(page) - started


def settled(page: Page) -> float:
    """Wait until the script has not run for a moment; return when it ended."""
    page.wait_for_timeout(50)
    while True:
        # Waiting for a selector looks again after half a second only.
        until(page, _HAS, _IDLE, seconds=60)
        ended = time.perf_counter()
        page.wait_for_timeout(_SETTLED_MS)
        if page.locator(_IDLE).count():
            return ended


if __name__ == "__main__":
    main()
