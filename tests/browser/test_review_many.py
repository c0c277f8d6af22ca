"""Many images at once in a browser: a bar, and no click cuts the work short."""

import pytest
from playwright.sync_api import Page, expect

from imagebase.annotation import Box, ReviewStatus
from imagebase.settings import SAMPLES_FOLDER
from imagebase.store import Scope, Store
from tests.browser.conftest import Dataset
from tests.planted_logo import SIZE, model_box, with_boxes

pytestmark = pytest.mark.browser

MANY = 700
LONG_MS = 60_000


@pytest.fixture
def many(dataset: Dataset, page: Page) -> Dataset:
    """The Images view of a large dataset."""
    fill(dataset.store, dataset.scope)
    page.goto(dataset.at("review"))
    switch = page.locator(".st-key-review-view")
    switch.get_by_text("Images", exact=True).click(timeout=30_000)
    return dataset


def fill(store: Store, scope: Scope) -> None:
    """Add one photograph many times, each with other bytes after its end."""
    data = (SAMPLES_FOLDER / "bear.jpg").read_bytes()
    added = [
        store.add_image(
            scope,
            data + str(number).encode(),
            file_name=f"{number:03}.jpg",
            size=SIZE,
            quality=None,
        ).record
        for number in range(MANY)
    ]
    box = model_box(Box(40, 40, 300, 300), "bear")
    store.save_many(scope, [with_boxes(record, box) for record in added])


@pytest.mark.long
def test_a_click_meanwhile_stops_nothing(many: Dataset, page: Page) -> None:
    page.get_by_text(f"Select all {MANY} matching images").click(timeout=30_000)
    expect(page.get_by_text(f"{MANY} images selected")).to_be_visible()
    page.locator(".st-key-review-images-approve button").first.click()
    page.get_by_text("Approving: ").wait_for(timeout=LONG_MS)
    page.locator(".st-key-review-view").get_by_text("Boxes", exact=True).click()
    said = page.get_by_text(f"Approved {MANY} images")
    expect(said).to_be_visible(timeout=LONG_MS)
    assert many.store.progress(many.scope)[ReviewStatus.APPROVED] == MANY
    page.locator(".st-key-sidebar-undo button").first.click()
    page.get_by_text("Undoing: ").wait_for(timeout=LONG_MS)
    said = page.get_by_text(f"Undone on {MANY} images")
    expect(said).to_be_visible(timeout=LONG_MS)
    assert many.store.progress(many.scope)[ReviewStatus.SUGGESTED] == MANY
