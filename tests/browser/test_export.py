"""Split, variants and a training bundle, chosen and downloaded in a real browser."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from imagebase.annotation import Annotation, Box, ReviewStatus
from imagebase.formats.registry import read
from imagebase.formats.trees import FolderTree
from imagebase.images.decode import RgbArray
from imagebase.settings import TEAM_OWNER
from tests.browser.conftest import Dataset, Served
from tests.export.datasets import COLOURS, SIZE, picture, planted
from tests.store.fixtures import scope_of

pytestmark = pytest.mark.browser

IMAGES = 10


@pytest.fixture
def url(served: Served) -> str:
    """The Export page of ten approved images, a planted box on each."""
    store = served.store
    scope = scope_of(store, TEAM_OWNER, who="test", name="Planted")
    for number in range(IMAGES):
        annotation = Annotation(Box(10 + number, 20, 60 + number, 55), "cat")
        data = planted(number, annotation)
        name = f"{number}.png"
        added = store.add_image(scope, data, file_name=name, size=SIZE, quality=None)
        boxed = replace(
            added.record, annotations=(annotation,), status=ReviewStatus.APPROVED
        )
        store.save(scope, boxed)
    return Dataset(served.url, store, scope).at("export")


def choose(page: Page, button: str, *words: str) -> None:
    """Open a popover, click words in it, and close it."""
    page.get_by_test_id("stPopoverButton").filter(has_text=button).click()
    for word in words:
        page.get_by_test_id("stPopoverBody").get_by_text(word, exact=True).click()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stPopoverBody")).to_have_count(0)


def vary(page: Page, count: int) -> None:
    page.get_by_test_id("stPopoverButton").filter(has_text="Augment").click()
    slider = page.get_by_test_id("stPopoverBody").get_by_role("slider").first
    slider.focus()
    for _ in range(count):
        slider.press("ArrowRight")
    expect(page.get_by_text(f"Augment: × {count}")).to_be_visible(timeout=20_000)
    page.keyboard.press("Escape")


def download(page: Page, folder: Path) -> Path:
    button = page.locator(".st-key-export-download a")
    expect(button).to_be_visible(timeout=60_000)
    with page.expect_download() as started:
        button.click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


@pytest.mark.long
def test_yolo_with_split_and_variants_is_what_the_page_said(
    url: str, page: Page, tmp_path: Path
) -> None:
    page.goto(url)
    page.get_by_text("Ultralytics YOLO", exact=True).click(timeout=20_000)
    # It is proposed, as Ultralytics needs images to validate on.
    expect(page.get_by_text("Split: 80 / 20 / 0")).to_be_visible(timeout=20_000)
    vary(page, 2)
    expect(page.get_by_text("Preview of augmented images")).to_be_visible(
        timeout=30_000
    )
    page.get_by_role("button", name="Build zip of 10 images").click(timeout=60_000)
    path = download(page, tmp_path)
    assert path.name == "planted-yolo.zip"
    expect(page.get_by_text("26 images (train 24, val 2)")).to_be_visible()
    expect(page.get_by_text("Preview, read from the zip")).to_be_visible()
    assert page.locator('img[alt$=".png"]').count() == 6
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    assert_train_alone_has_variants(folder)
    assert_boxes_are_on_their_objects(folder)
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["proof"]["holds"]
    assert manifest["proof"]["boxes_equal"] == manifest["counts"]["boxes"] > 20
    report = (folder / "EXPORT_REPORT.md").read_text(encoding="utf-8")
    assert "Variants: 2 of each training image, seed 0" in report


def assert_train_alone_has_variants(folder: Path) -> None:
    stems = {
        part: sorted(path.stem for path in (folder / "images" / part).iterdir())
        for part in ("train", "val")
    }
    assert (len(stems["train"]), len(stems["val"])) == (24, 2)
    assert not [stem for stem in stems["val"] if "_v" in stem]
    originals = [stem for stem in stems["train"] if "_v" not in stem]
    varied = [f"{original}_v{number}" for original in originals for number in (1, 2)]
    assert stems["train"] == sorted([*originals, *varied])


def assert_boxes_are_on_their_objects(folder: Path) -> None:
    """Find each planted rectangle where its label file has it, whatever its shade."""
    found = 0
    for image in read(FolderTree(folder), "yolo").images:
        (path,) = (folder / "images").rglob(image.name)
        rgb = picture(path.read_bytes())
        for annotation in image.in_pixels(SIZE).annotations:
            assert_is_red(rgb, annotation.box)
            found += 1
    assert found > 20


def assert_is_red(rgb: RgbArray, box: Box) -> None:
    left, top, right, bottom = (round(edge) for edge in box)
    inside = rgb[top + 2 : bottom - 2, left + 2 : right - 2].astype(int)
    assert COLOURS["cat"] == (255, 0, 0)
    assert (inside[..., 0] - inside[..., 2]).min() > 30
    outside = rgb[: max(top - 2, 0)].astype(int)
    if outside.size:
        assert (outside[..., 0] - outside[..., 2]).max() < 30
