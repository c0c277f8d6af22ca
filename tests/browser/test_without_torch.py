"""Point, guess, learn and teach on a server without PyTorch: none of them needs it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from imagebase.settings import TEAM_OWNER, read_settings
from imagebase.store import open_store
from tests.browser.conftest import APP, ROOT, Canvas, Dataset, Serve
from tests.browser.test_label_guess import SKIER
from tests.browser.test_learning import (
    add_scenes,
    discs,
    line,
    name_of,
    wait_for_boxes,
)
from tests.browser.test_pointing import BOTTLE, START_MS
from tests.browser.test_teach import JOB_MS, accept, idle, tiles
from tests.store.fixtures import scope_of

pytestmark = pytest.mark.browser

SCENES = 4
# Python runs it at its start, in the server as in each of its workers.
NO_TORCH = "import sys\nsys.modules['torch'] = None\n"


@pytest.fixture
def bare(serve: Serve, tmp_path: Path) -> Dataset:
    """A photograph, a skier and drawn discs, on a server that cannot import torch."""
    (tmp_path / "sitecustomize.py").write_text(NO_TORCH)
    environ = {
        "IMAGEBASE_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
    }
    store = open_store(read_settings(environ))
    scope = scope_of(store, TEAM_OWNER, who="ann", name="Without PyTorch")
    dataset = Dataset(serve(APP, environ), store, scope)
    store.add_labels(scope, ["bottle", "person"])
    dataset.add("kitchen.jpg", "skier.jpg")
    add_scenes(dataset, SCENES)
    return dataset


def labels_on(dataset: Dataset, name: str) -> list[str]:
    return [box.label for box in dataset.record(name).annotations]


def wait_for_labels(page: Page, dataset: Dataset, name: str, *labels: str) -> None:
    for _ in range(START_MS // 50):
        if labels_on(dataset, name) == [*labels]:
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{name} has {labels_on(dataset, name)}, not {labels}")


def leave(canvas: Canvas, key: str) -> None:
    image = canvas.get("image")
    canvas.press(key)
    expect(canvas.surface).not_to_have_attribute("data-image", image, timeout=START_MS)
    canvas.wait_for_picture()


@pytest.mark.timeout(900)
def test_point_guess_learn_and_teach_do_without(
    page: Page, bare: Dataset, find_canvas: Callable[[Page], Canvas]
) -> None:
    page.goto(bare.at("edit"))
    canvas = find_canvas(page)
    image = canvas.get("image")
    expect(canvas.surface).to_have_attribute("data-known", image, timeout=START_MS)
    page.mouse.move(*canvas.at(BOTTLE))
    canvas.wait_for("looking", "false")
    assert canvas.get("suggestion-label") == "bottle"
    canvas.click(BOTTLE)
    wait_for_labels(page, bare, "kitchen.jpg", "bottle")

    leave(canvas, "n")
    canvas.drag(*SKIER)
    chip = canvas.surface.locator(".guesses:visible [data-label]").first
    expect(chip).to_contain_text("person", timeout=START_MS)
    chip.click()  # a guess that comes late is shown and not set
    wait_for_labels(page, bare, "skier.jpg", "person")

    leave(canvas, "n")
    canvas.press("3")  # the next boxes are discs
    for count, (x_min, y_min, x_max, y_max) in enumerate(discs(0), 1):
        canvas.drag((x_min, y_min), (x_max, y_max))
        wait_for_labels(page, bare, name_of(0), *["disc"] * count)
    leave(canvas, "Enter")
    wait_for_boxes(page, canvas)
    assert {box.label for box in canvas.shown().values()} == {"disc"}
    line(page, "Learned from 1 image")

    page.goto(bare.at("review"))
    views = page.get_by_test_id("stButtonGroup").first
    views.get_by_text("Find more", exact=True).click(timeout=START_MS)
    page.locator(".st-key-review-find-label input").click()
    page.get_by_role("option", name="disc").click()
    page.locator(".st-key-review-find-ask button").first.click()
    expect(accept(page)).to_be_enabled(timeout=JOB_MS)
    idle(page)
    assert tiles(page).count() >= SCENES - 1

    page.goto(bare.at("train"))
    install = page.get_by_role("button", name=re.compile("Install training"))
    expect(install).to_be_visible(timeout=START_MS)
    expect(page.get_by_text("Training needs PyTorch").first).to_be_visible()
