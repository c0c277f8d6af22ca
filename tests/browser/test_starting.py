"""The first visitor after a start sees the app, and nothing that Streamlit made up."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import APP, Canvas, Serve
from tests.browser.frames import frames, watch
from tests.pages.test_all_pages import PAGES

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def url(serve: Serve) -> str:
    """An app that was started just now, and whose first dataset has the samples."""
    return serve(APP, {"IMAGEBASE_SAMPLES": "1"})


def test_first_visit_after_a_start_goes_to_its_page_and_shows_no_list_of_files(
    page: Page, url: str
) -> None:
    watch(page)
    page.goto(f"{url}/annotate")
    expect(page.get_by_role("heading", name="Annotate")).to_be_visible(timeout=60_000)
    assert [frame.links for frame in frames(page) if frame.links] == []
    expect(page.get_by_text("0 of 16 images approved")).to_be_visible()
    expect(page.get_by_test_id("stTopNavLink")).to_have_count(len(PAGES))


@pytest.mark.long
def test_back_goes_to_the_image_before_and_then_to_the_page_before(
    page: Page, url: str
) -> None:
    page.goto(f"{url}/export")
    expect(page).to_have_url(re.compile("/export.dataset="), timeout=30_000)
    link = page.get_by_test_id("stTopNavLink")
    link.filter(has_text="Review").click()
    expect(page).to_have_url(re.compile("/review.dataset="))
    link.filter(has_text="Edit").click()
    canvas = Canvas(page, page.locator(".st-key-edit-canvas .editor"))
    canvas.surface.wait_for(timeout=30_000)
    canvas.wait_for_picture()
    seen = [canvas.get("image")]
    for key in ("n", "n", "n"):
        canvas.press(key)
        expect(canvas.surface).not_to_have_attribute("data-image", seen[-1])
        canvas.wait_for_picture()
        seen.append(canvas.get("image"))
        expect(page).to_have_url(re.compile(f"image={seen[-1][:12]}"))
    assert len(set(seen)) == 4
    for image in reversed(seen[:-1]):
        page.go_back()
        canvas.wait_for("image", image)
        canvas.wait_for_picture()
    page.go_forward()
    canvas.wait_for("image", seen[1])
    page.go_back()
    canvas.wait_for("image", seen[0])
    expect(page).to_have_url(re.compile(f"/edit.*image={seen[0][:12]}"))
    page.go_back()
    expect(page).to_have_url(re.compile("/review"))
    expect(canvas.surface).to_have_count(0)
    page.go_back()
    expect(page).to_have_url(re.compile("/export"))
    page.go_forward()
    page.go_forward()
    canvas.wait_for("image", seen[0])
