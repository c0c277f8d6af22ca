"""Images deleted from a dataset in a real browser, after a confirmation."""

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Canvas, Dataset
from tests.planted_logo import fill, made_set

pytestmark = pytest.mark.browser

IMAGES = 3


class Opened(NamedTuple):
    """A dataset of three images with a box each, in a browser."""

    page: Page
    dataset: Dataset

    def go(self, page: str) -> None:
        self.page.goto(self.dataset.at(page))

    def image_ids(self) -> list[str]:
        return self.dataset.store.image_ids(self.dataset.scope)

    def delete(self, images: str) -> None:
        """Open the popover, select the checkbox, and delete permanently."""
        opening = re.compile("^Delete images?$")
        self.page.get_by_role("button", name=opening).click()
        go = self.page.get_by_role("button", name="Delete permanently")
        expect(go).to_be_disabled()
        self.page.get_by_text(f"Delete {images} with ").last.click()
        expect(go).to_be_enabled()
        go.click()


@pytest.fixture
def opened(dataset: Dataset, page: Page) -> Opened:
    fill(dataset.store, dataset.scope, made_set(with_logo=IMAGES, without=0))
    return Opened(page, dataset)


@pytest.mark.long
def test_all_images_that_pass_are_removed(opened: Opened) -> None:
    opened.go("review")
    switch = opened.page.locator(".st-key-review-view")
    switch.get_by_text("Images", exact=True).click()
    everything = f"Select all {IMAGES} matching images, on every page"
    opened.page.get_by_text(everything).click()
    opened.delete(f"{IMAGES} images")
    expect(opened.page.get_by_text("This dataset has no images yet")).to_be_visible()
    assert opened.image_ids() == []


def test_the_image_on_screen_is_removed_and_the_next_one_comes(
    opened: Opened, find_canvas: Callable[[Page], Canvas]
) -> None:
    first, second, third = opened.image_ids()
    opened.go("edit")
    canvas = find_canvas(opened.page)
    assert canvas.get("image") == first
    # A box that was drawn just now goes too, and is no reason to refuse.
    canvas.drag((3, 3), (40, 40))
    expect(opened.page.get_by_text("2 boxes", exact=True)).to_be_visible()
    opened.delete("1 image")
    canvas.wait_for("image", second)
    expect(opened.page.get_by_text("1 / 2")).to_be_visible()
    assert opened.image_ids() == [second, third]
