"""Labels that exist already, and a whole dataset out and in: in a real browser."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from imagebase.annotation import Box, Source
from imagebase.settings import TEAM_OWNER
from tests.browser.conftest import ROOT, Canvas, Dataset

pytestmark = pytest.mark.browser

PHOTOGRAPHS = ("kitchen.jpg", "bear.jpg")
BEAR = Box(30, 40, 130, 160)


def labels_file(folder: Path) -> Path:
    """Write a COCO file with a bear, a broken box and an image that is not there."""
    path = folder / "labels.json"
    said = {
        "images": [
            {"id": 1, "file_name": "photos/bear.jpg"},
            {"id": 2, "file_name": "elsewhere.jpg"},
        ],
        "categories": [{"id": 1, "name": "animal"}, {"id": 2, "name": "Bear"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "bbox": [30, 40, 100, 120]},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [30, 40, 0, 0]},
            {"id": 3, "image_id": 2, "category_id": 1, "bbox": [1, 1, 9, 9]},
        ],
    }
    path.write_text(json.dumps(said))
    return path


def drop(page: Page, field: str, *files: Path) -> None:
    """Drop files on the field whose key begins so."""
    place = page.locator(f"[class*='st-key-{field}'] input[type=file]")
    place.set_input_files(list(files))


def upload(page: Page) -> None:
    drop(page, "upload-files", *(ROOT / "samples" / name for name in PHOTOGRAPHS))
    expect(page.get_by_text("2 images added")).to_be_visible(timeout=20_000)


def import_labels(page: Page, dataset: Dataset, folder: Path) -> None:
    """Look at the dry run, and agree; nothing is stored before that."""
    page.get_by_text("Import labels").click()
    drop(page, "import-files", labels_file(folder))
    agree = page.get_by_role("button", name="Import 1 box")
    expect(agree).to_be_visible(timeout=20_000)
    expect(page.get_by_text("1 of 2 images matched: 1 by name")).to_be_visible()
    expect(page.get_by_text("1 item that cannot be read")).to_be_visible()
    assert not any(record.annotations for record in dataset.records())
    assert not len(dataset.store.labels(dataset.scope))
    agree.click()
    expect(page.get_by_text("1 box imported on 1 image")).to_be_visible(timeout=20_000)


def see_on_edit(page: Page, find_canvas: Callable[[Page], Canvas]) -> None:
    """Open the bear in the editor by its thumbnail; its box is drawn there."""
    page.get_by_role("button", name="bear.jpg", exact=True).click()
    canvas = find_canvas(page)
    (bear,) = canvas.shown().values()
    assert bear.label == "Bear"
    assert bear.box == pytest.approx(tuple(BEAR), abs=1.5)


def back_up(page: Page, folder: Path) -> Path:
    """Go there by the dataset's menu, and fetch the zip."""
    page.get_by_role("button", name="Manage").click()
    menu = page.get_by_test_id("stPopoverBody")
    menu.get_by_role("button", name="Back up or restore").click()
    page.get_by_role("button", name="Back up this dataset").click()
    button = page.get_by_role("link", name="Download bears-backup.zip")
    expect(button).to_be_visible(timeout=20_000)
    with page.expect_download() as started:
        button.click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def test_labels_come_in_as_agreed_and_a_backup_is_the_same_dataset(
    page: Page,
    dataset: Dataset,
    find_canvas: Callable[[Page], Canvas],
    tmp_path: Path,
) -> None:
    dataset.store.rename_dataset(dataset.scope, "Bears")
    page.goto(dataset.at())
    upload(page)
    import_labels(page, dataset, tmp_path)
    records = dataset.records()
    (bear,) = next(
        record for record in records if "bear" in record.file_name
    ).annotations
    assert (bear.box, bear.label, bear.source) == (BEAR, "Bear", Source.IMPORT)
    assert dataset.store.labels(dataset.scope).names == ("animal", "Bear")

    path = back_up(page, tmp_path)
    drop(page, "restore-file", path)
    told = page.get_by_text("Bears (restored) restored with 2 images")
    expect(told).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Open dataset").click()
    expect(page.get_by_text("all 2")).to_be_visible(timeout=20_000)
    restored = dataset.store.datasets(TEAM_OWNER)[-1]
    target = replace(dataset.scope, dataset_id=restored.dataset_id)
    assert dataset.store.records(target) == records
    see_on_edit(page, find_canvas)


@pytest.mark.long
def test_refused_import_says_so_and_can_be_agreed_to_later(
    page: Page, dataset: Dataset, tmp_path: Path
) -> None:
    page.goto(dataset.at())
    upload(page)
    page.get_by_text("Import labels").click()
    drop(page, "import-files", labels_file(tmp_path))
    agree = page.get_by_role("button", name="Import 1 box")
    expect(agree).to_be_visible(timeout=20_000)
    dataset.store.submit_job(dataset.scope, "import", {})
    assert dataset.store.claim_job("elsewhere:1:x", ["import"])
    agree.click()
    expect(page.get_by_text("of this kind")).to_be_visible()
    dataset.store.interrupt_workers(["elsewhere:1:x"])
    expect(agree).to_be_visible()
    agree.click()
    expect(page.get_by_text("1 box imported on 1 image")).to_be_visible(timeout=20_000)
