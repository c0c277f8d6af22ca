"""Suggestions in the editor: dashed, and touching one saves that one alone."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from imagebase.annotation import ImageRecord, Source
from tests.browser.conftest import ROOT, Canvas, Dataset

pytestmark = pytest.mark.browser


def only(dataset: Dataset) -> ImageRecord:
    (record,) = dataset.records()
    return record


def test_a_moved_suggestion_is_saved_and_the_others_wait(
    page: Page,
    dataset: Dataset,
    find_canvas: Callable[[Page], Canvas],
) -> None:
    page.goto(dataset.at())
    page.locator("input[type=file]").first.set_input_files(
        [ROOT / "samples" / "kitchen.jpg"]
    )
    expect(page.get_by_text("1 image added")).to_be_visible(timeout=20_000)
    page.get_by_test_id("stTopNavLink").filter(has_text="Annotate").click()
    page.get_by_role("button", name="Run").click()
    save = page.get_by_role("button", name=re.compile(r"Save \d+ boxes"))
    expect(save).to_be_enabled(timeout=60_000)
    page.get_by_role("button", name="kitchen.jpg", exact=True).click()

    canvas = find_canvas(page)
    offer = page.get_by_role("button", name=re.compile(r"Save \d+ suggestions"))
    expect(offer).to_be_visible(timeout=20_000)
    before = canvas.shown()
    assert len(before) > 2
    assert all(box.is_untouched for box in before.values())
    assert not only(dataset).annotations

    # The smallest lies on top, and so a click in its middle takes it.
    moved, box = min(
        ((key, box.box) for key, box in before.items()),
        key=lambda pair: (pair[1][2] - pair[1][0]) * (pair[1][3] - pair[1][1]),
    )
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    canvas.click((x, y))
    canvas.wait_for("selected", moved)
    canvas.drag((x, y), (x + 12, y + 8))
    for _ in range(100):
        if only(dataset).annotations:
            break
        page.wait_for_timeout(100)
    (saved,) = only(dataset).annotations
    assert (saved.annotation_id, saved.source) == (moved, Source.HUMAN)

    expect(offer).to_contain_text(f"Save {len(before) - 1} suggestions")
    offer.click()
    expect(offer).to_have_count(0)
    assert len(only(dataset).annotations) == len(before)
    page.get_by_role("button", name="Undo").last.click()
    expect(offer).to_be_visible()
    assert len(only(dataset).annotations) == 1
