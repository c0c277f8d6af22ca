"""Each page of the app on a large dataset, in a real browser: seconds until drawn.

    python -m benchmarks.pages [--images 10000] [--boxes 10] [--rounds 5] [--home DIR]

With --home a dataset made before is used again. Needs Chromium, as the tests do.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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
_PAGES: Final = ("Upload", "Annotate", "Edit", "Review", "Export")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--boxes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = arguments.home or Path(scratch)
        fill(home, images=arguments.images, boxes=arguments.boxes)
        with served(home) as url, browsing(url) as page:
            found = [
                {name: timed(page, step) for name, step in steps(page).items()}
                for _ in range(arguments.rounds)
            ]
    print("| what | median s | slowest s |\n|---|---|---|")
    for name in found[0]:
        taken = [page[name] for page in found]
        print(f"| {name} | {median(taken):.2f} | {max(taken):.2f} |")


def fill(home: Path, *, images: int, boxes: int) -> None:
    """Make the dataset, unless this home has one."""
    store = open_store(read_settings({"IMAGEBASE_HOME": str(home)}))
    try:
        if not store.datasets(TEAM_OWNER):
            started = time.perf_counter()
            make_dataset(store, TEAM_OWNER, images=images, boxes_per_image=boxes)
            seconds = time.perf_counter() - started
            print(f"{images:,} images made in {seconds:.0f} s", file=sys.stderr)
    finally:
        store.close()


@contextmanager
def served(home: Path) -> Iterator[str]:
    """Serve the app on a home; yield its address."""
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
        yield f"http://127.0.0.1:{port}"
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

    pages = {f"page {name}": go_to(name) for name in _PAGES}
    # From the last page back to Review, whose views and filters follow.
    return {**pages, "page Review again": go_to("Review"), **_review_steps(page)}


def _review_steps(page: Page) -> dict[str, Callable[[], None]]:
    """Return what is timed on the Review page, each step from where the last ended."""

    def switch(key: str, name: str) -> Callable[[], None]:
        choice = page.locator(f".st-key-{key}").get_by_text(name, exact=True)
        return lambda: choice.click()

    def press(key: str) -> Callable[[], None]:
        button = page.locator(f".st-key-{key} button").first
        return lambda: button.click()

    def search(text: str) -> Callable[[], None]:
        field = page.locator(".st-key-review-text input")

        def type_in() -> None:
            field.fill(text)
            field.press("Enter")

        return type_in

    crop = page.locator(".st-key-review-sheet .tile")
    label = page.locator("[class*='st-key-review-crops-label'] button").first
    page_two = page.locator("[class*='st-key-review-labels-page'] button").nth(2)
    return {
        "view Queue": switch("review-view", "Queue"),
        "view Boxes": switch("review-view", "Boxes"),
        "Labels: a text is searched": search("skier"),
        "Labels: the search is cleared": press("review-clear_labels"),
        "Labels: the second page": lambda: page_two.click(),
        "view Crops": switch("review-view", "Crops"),
        "Crops: one label": lambda: label.click(),
        "Crops: one is ticked": lambda: crop.first.click(),
        "Crops: all labels": press("review-clear_labels"),
        "view Images": switch("review-view", "Images"),
        "Images: one status": switch("review-image_statuses", "approved"),
        "Images: every status": switch("review-image_statuses", "approved"),
        "view Statistics, Health": switch("review-view", "Statistics"),
        "Statistics: Corrections": switch("figures-view", "Corrections"),
        "Statistics: Thresholds": switch("figures-view", "Thresholds"),
        "Statistics: Health again": switch("figures-view", "Health"),
        "view Boxes again": switch("review-view", "Boxes"),
    }


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
