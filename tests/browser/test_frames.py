"""Nothing on a page stands there twice while work begins, goes on and ends."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from imagebase.settings import SAMPLES_FOLDER
from imagebase.store import JobState
from tests.browser.conftest import Dataset
from tests.browser.frames import Frame, frames, shown_twice, watch

pytestmark = pytest.mark.browser

IDLE = "[data-testid='stApp'][data-test-script-state='notRunning']"
# A job's line, or the line of what came of it; the page may grow by no more at once.
LINES_PX = 150


@pytest.fixture
def filled(dataset: Dataset) -> Dataset:
    """A dataset of eight sample photographs."""
    dataset.add(*(path.name for path in sorted(SAMPLES_FOLDER.glob("*.jpg"))[:8]))
    return dataset


def save_button(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile(r"Save \d+ boxes"))


def settle(page: Page) -> None:
    """Wait until the page has been at rest for a second."""
    for _ in range(2):
        page.wait_for_timeout(500)
        page.wait_for_selector(IDLE, state="attached")


def jumps(noted: list[Frame]) -> list[float]:
    """Return by how much the page was higher for a while than before and after."""
    heights = [noted_frame.height for noted_frame in noted if noted_frame.height]
    highest, calm = max(heights), max(heights[0], heights[-1])
    return [highest - calm] if highest - calm > LINES_PX else []


def test_annotate_draws_each_widget_once_all_along(page: Page, filled: Dataset) -> None:
    watch(page)
    page.goto(filled.at("annotate"))
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
    jobs = filled.store.jobs(filled.scope, kind="keep")
    assert [job.state for job in jobs] == [JobState.DONE]

    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("8 new")).to_be_visible(timeout=30_000)
    settle(page)
    assert shown_twice(frames(page)) == []


@pytest.mark.long
def test_slider_that_is_moved_while_boxes_are_saved_stays_moved(
    page: Page, filled: Dataset
) -> None:
    page.goto(filled.at("annotate"))
    page.get_by_role("button", name="Run").click()
    expect(save_button(page)).to_be_enabled(timeout=60_000)
    settle(page)
    save_button(page).click()
    slider = page.get_by_role("slider", name="Confidence")
    slider.press("ArrowRight")
    expect(slider).to_have_value("0.26")
    settle(page)
    expect(slider).to_have_value("0.26")
