"""The first visitor after a start sees the app, and nothing that Streamlit made up."""

import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Serve
from tests.browser.frames import frames, watch

pytestmark = pytest.mark.browser

# The page's own scripts take most of it on a busy machine.
FIRST_CONTENT_SECONDS = 15


@pytest.mark.parametrize("page_name", ["", "annotate"])
def test_first_visit_after_a_start_shows_no_list_of_files(
    page: Page, serve: Serve, page_name: str
) -> None:
    url = serve(ROOT / "app.py", {"IMAGEBASE_SAMPLES": "1"})
    watch(page)
    began = time.monotonic()
    page.goto(f"{url}/{page_name}")
    title = page_name.title() or "Upload"
    expect(page.get_by_role("heading", name=title)).to_be_visible(timeout=60_000)
    assert time.monotonic() - began < FIRST_CONTENT_SECONDS
    assert [one.links for one in frames(page) if one.links] == []
