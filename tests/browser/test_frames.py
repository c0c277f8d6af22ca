"""Nothing on a page stands there twice while work begins, goes on and ends."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect

from imagebase.settings import read_settings
from imagebase.store import JobState, Scope, Store, open_store
from imagebase.ui.identity import TEAM_OWNER
from tests.browser.conftest import ROOT, Serve
from tests.browser.frames import Frame, frames, shown_twice, watch

pytestmark = pytest.mark.browser

IDLE = "[data-testid='stApp'][data-test-script-state='notRunning']"
# A job's line, or the line of what came of it; the page may grow by no more at once.
LINES_PX = 150


class Served(NamedTuple):
    """The app's address, and the store behind it."""

    url: str
    store: Store

    def jobs(self, kind: str) -> list[JobState]:
        (dataset,) = self.store.datasets(TEAM_OWNER)
        scope = Scope(TEAM_OWNER, dataset.dataset_id, "test")
        return [one.state for one in self.store.jobs(scope, kind=kind)]


@pytest.fixture
def served(serve: Serve, tmp_path: Path) -> Iterator[Served]:
    environ = {"IMAGEBASE_HOME": str(tmp_path / "home"), "IMAGEBASE_SAMPLES": "1"}
    url = serve(ROOT / "app.py", environ)
    store = open_store(read_settings(environ))
    yield Served(url, store)
    store.close()


def save_button(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile(r"Save \d+ boxes"))


def settle(page: Page) -> None:
    """Wait until the page has been at rest for a second."""
    for _ in range(2):
        page.wait_for_timeout(500)
        page.wait_for_selector(IDLE, state="attached")


def jumps(noted: list[Frame]) -> list[float]:
    """Return by how much the page was higher for a while than before and after."""
    heights = [one.height for one in noted if one.height]
    highest, calm = max(heights), max(heights[0], heights[-1])
    return [highest - calm] if highest - calm > LINES_PX else []


def test_annotate_draws_each_widget_once_all_along(page: Page, served: Served) -> None:
    watch(page)
    page.goto(f"{served.url}/annotate")
    page.get_by_role("button", name="Run").click()
    expect(save_button(page)).to_be_enabled(timeout=60_000)
    settle(page)
    assert shown_twice(frames(page)) == []

    save_button(page).dblclick()
    expect(page.get_by_text(re.compile(r"[1-9]\d* boxes saved"))).to_be_visible(
        timeout=30_000
    )
    settle(page)
    while_saving = frames(page)
    assert shown_twice(while_saving) == []
    assert jumps(while_saving) == []
    assert served.jobs("keep") == [JobState.DONE]

    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("16 new")).to_be_visible(timeout=30_000)
    settle(page)
    assert shown_twice(frames(page)) == []


def test_slider_that_is_moved_while_boxes_are_saved_stays_moved(
    page: Page, served: Served
) -> None:
    page.goto(f"{served.url}/annotate")
    page.get_by_role("button", name="Run").click()
    expect(save_button(page)).to_be_enabled(timeout=60_000)
    settle(page)
    save_button(page).click()
    slider = page.get_by_role("slider", name="Confidence")
    slider.press("ArrowRight")
    expect(slider).to_have_value("0.26")
    settle(page)
    expect(slider).to_have_value("0.26")
