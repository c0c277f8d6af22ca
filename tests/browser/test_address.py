"""Each page opens by its name in the address; in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Canvas, Serve
from tests.pages.test_all_pages import PAGES

pytestmark = pytest.mark.browser


def test_each_page_opens_by_its_name(page: Page, serve: Serve) -> None:
    url = serve(ROOT / "app.py", {"IMAGEBASE_SAMPLES": "1"})
    for name in PAGES:
        page.goto(f"{url}/{name}")
        link = page.get_by_test_id("stTopNavLink").filter(has_text=name.capitalize())
        expect(link).to_have_attribute("aria-current", "page")
        expect(page.get_by_text("Page not found")).to_have_count(0)


def test_back_goes_to_the_image_before_and_then_to_the_page_before(
    page: Page, serve: Serve
) -> None:
    url = serve(ROOT / "app.py", {"IMAGEBASE_SAMPLES": "1"})
    page.goto(f"{url}/export")
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
