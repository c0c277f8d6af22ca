"""A page opens by its name in the address; in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Dataset
from tests.pages.test_all_pages import PAGES

pytestmark = pytest.mark.browser


def test_a_page_opens_by_its_name(page: Page, dataset: Dataset) -> None:
    dataset.add("bear.jpg")
    name = PAGES[-1]  # AppTest opens them all
    page.goto(dataset.at(name))
    link = page.get_by_test_id("stTopNavLink").filter(has_text=name.capitalize())
    expect(link).to_have_attribute("aria-current", "page")
    expect(page.get_by_text("Page not found")).to_have_count(0)
