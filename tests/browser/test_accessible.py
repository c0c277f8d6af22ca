"""What axe says of every page, light and dark: nothing serious."""

import re
from typing import Final, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Dataset

pytestmark = pytest.mark.browser

Scheme = Literal["light", "dark"]
PHOTOGRAPHS: Final = ("kitchen.jpg", "bear.jpg", "skier.jpg", "street.jpg")
IDLE: Final = "[data-testid='stApp'][data-test-script-state='notRunning']"
VIEWS: Final = (
    "Queue",
    "Suggestions",
    "Boxes",
    "Crops",
    "Images",
    "Find more",
    "Map",
    "Near-duplicates",
    "Tags",
    "Label errors",
    "Statistics",
)


def check(page: Page, name: str) -> None:
    """Fail with axe's own words where a person could not read or reach something."""
    page.locator(IDLE).wait_for()
    expect(page.locator("h1")).to_have_count(1)
    page.wait_for_timeout(400)  # what the run sent is drawn
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response
    serious = [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]
    assert serious == [], f"{name}: {serious}"


@pytest.fixture(params=["light", "dark"])
def visit(page: Page, request: pytest.FixtureRequest) -> Page:
    """A visitor whose browser prefers one colour scheme."""
    scheme: Scheme = request.param
    page.emulate_media(color_scheme=scheme)
    return page


def test_pages_are_accessible_from_images_to_a_zip(
    visit: Page, dataset: Dataset
) -> None:
    for name in ("", "annotate", "edit", "review", "export", "models", "evaluate"):
        visit.goto(dataset.at(name))
        check(visit, f"{name or 'upload'}, without images")
    dataset.add(*PHOTOGRAPHS)
    visit.goto(dataset.at("annotate"))
    visit.get_by_role("button", name="Run").click()
    save = visit.get_by_role("button", name=re.compile(r"Save [\d,]+ box"))
    expect(save).to_be_enabled(timeout=30_000)
    check(visit, "annotate")
    save.click()
    expect(visit.get_by_text(re.compile("boxes saved"))).to_be_visible(timeout=20_000)
    for name in ("", "export", "models", "evaluate", "train"):
        visit.goto(dataset.at(name))
        check(visit, name or "upload")


def test_edit_and_its_dialogues_are_accessible(visit: Page, dataset: Dataset) -> None:
    dataset.add(*PHOTOGRAPHS)
    visit.goto(dataset.at("edit"))
    editor = visit.locator(".st-key-edit-canvas .editor")
    editor.wait_for(timeout=20_000)
    check(visit, "edit")
    editor.focus()
    visit.keyboard.press("?")
    check(visit, "keys")
    visit.keyboard.press("?")
    visit.get_by_role("button", name="Display settings").click()
    check(visit, "display settings")


def test_views_of_review_are_accessible(visit: Page, dataset: Dataset) -> None:
    dataset.add(*PHOTOGRAPHS)
    visit.goto(dataset.at("review"))
    for view in VIEWS:
        choice = visit.get_by_role("radio", name=view, exact=True)
        choice.click()
        expect(choice).to_be_checked()
        check(visit, f"review, {view}")
