"""A dropped video becomes labelled frames, in a real browser."""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

from imagebase.annotation import Box, ImageRecord, ReviewStatus
from imagebase.review.bulk_edits import approve_images
from imagebase.store.learning import LearningRow, LearningState
from tests.browser.conftest import Canvas, Dataset
from tests.videos import SIZE, photograph, write_video

pytestmark = pytest.mark.browser

FIRST, LAST = Box(40, 60, 120, 140), Box(120, 60, 200, 140)
FRAMES = 5
_PATIENCE_MS = 40_000


def passing_by() -> Iterator[NDArray[np.uint8]]:
    """Return half a second of a red square that passes by."""
    background = photograph(0)
    for number in range(FRAMES):
        left = round(FIRST.x_min + (LAST.x_min - FIRST.x_min) * number / (FRAMES - 1))
        frame = background.copy()
        frame[60:140, left : left + 80] = (0, 0, 220)
        yield frame


def drop(page: Page, clip: Path, *, on_form: Callable[[], None] = lambda: None) -> None:
    """Drop a video, and add all of its frames; on_form is called before that."""
    page.locator("input[type=file]").first.set_input_files([clip])
    every = page.get_by_role("radio", name="Every n frames")
    every.click(timeout=_PATIENCE_MS)
    step = page.get_by_role("spinbutton", name="n", exact=True)
    step.fill("1")
    step.press("Tab")
    page.get_by_text("Leave out near-duplicates").click()
    add = page.get_by_role("button", name=f"Add {FRAMES} frames")
    expect(add).to_be_visible(timeout=_PATIENCE_MS)
    on_form()
    add.click(timeout=_PATIENCE_MS)
    added = page.get_by_text(f"{FRAMES} frames added")
    expect(added).to_be_visible(timeout=_PATIENCE_MS)


def frames(dataset: Dataset) -> list[ImageRecord]:
    return dataset.records()


def wait_for(
    dataset: Dataset, page: Page, is_so: Callable[[list[ImageRecord]], bool]
) -> None:
    for _ in range(800):
        if is_so(frames(dataset)):
            return
        page.wait_for_timeout(25)
    pytest.fail(f"not so within 20 s: {frames(dataset)}")


def draw_on(page: Page, dataset: Dataset, canvas: Canvas, place: int, box: Box) -> None:
    """Draw a box on a frame that is shown."""
    record = frames(dataset)[place]
    canvas.wait_for("image", record.image_id)
    canvas.wait_for_picture()
    canvas.drag(box[:2], box[2:])
    wait_for(dataset, page, lambda records: len(records[place].annotations) == 1)


def interpolate(page: Page, meanwhile: Callable[[], None] = lambda: None) -> None:
    page.get_by_role("button", name="Interpolate boxes").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("3 boxes on 3 frames")).to_be_visible(timeout=20_000)
    meanwhile()
    dialog.get_by_role("button", name="Save 3 boxes").click()
    expect(page.get_by_text("Interpolated boxes on 3 images")).to_be_visible()
    expect(dialog).to_have_count(0)


def export_yolo(page: Page, folder: Path) -> dict[str, str]:
    """Return the label files of the zip by name."""
    page.get_by_test_id("stTopNavLink").filter(has_text="Export").click()
    page.get_by_text("Ultralytics YOLO", exact=True).click(timeout=_PATIENCE_MS)
    build = page.get_by_role("button", name="Build zip")
    button = page.locator(".st-key-export-download a")
    expect(build.or_(button).first).to_be_visible(timeout=_PATIENCE_MS)
    if build.is_visible():
        build.click()
    expect(button).to_be_visible(timeout=_PATIENCE_MS)
    with page.expect_download() as started:
        button.click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        return {
            name.rpartition("/")[2]: archive.read(name).decode()
            for name in archive.namelist()
            if "labels/" in name and name.endswith(".txt")
        }


def test_two_key_boxes_of_a_video_become_boxes_on_all_frames(
    dataset: Dataset,
    page: Page,
    find_canvas: Callable[[Page], Canvas],
    tmp_path: Path,
) -> None:
    off = LearningRow(state=LearningState.OFF)
    dataset.store.change_learning(dataset.scope, lambda _: off)
    dataset.store.add_labels(dataset.scope, ["square"])
    page.goto(dataset.at())
    drop(page, write_video(tmp_path / "clip.avi", passing_by()))
    names = [record.file_name for record in frames(dataset)]
    assert names == [f"clip_00-00-00.{100 * n:03}.jpg" for n in range(FRAMES)]

    page.goto(dataset.at("edit"))
    canvas = find_canvas(page)
    draw_on(page, dataset, canvas, 0, FIRST)
    for record in frames(dataset)[1:]:
        canvas.press("n")
        canvas.wait_for("image", record.image_id)
        canvas.wait_for_picture()
    draw_on(page, dataset, canvas, FRAMES - 1, LAST)

    def boxes(records: list[ImageRecord]) -> list[int]:
        return [len(record.annotations) for record in records]

    bob = replace(dataset.scope, who="bob")
    last = frames(dataset)[-1]

    def move_the_last() -> None:
        known = dataset.store.record(bob, last.image_id)
        box = replace(last.annotations[0], box=Box(60, 60, 140, 140))
        dataset.store.save(bob, replace(known, annotations=(box,)))

    # What was on screen is saved, though a key frame is another one by now.
    interpolate(page, move_the_last)
    wait_for(dataset, page, lambda records: boxes(records) == [1, 1, 1, 1, 1])
    middle = frames(dataset)[2]
    assert middle.status is ReviewStatus.SUGGESTED
    expected = (FIRST.x_min + LAST.x_min) / 2
    assert abs(middle.annotations[0].box.x_min - expected) < 3
    known = dataset.store.record(bob, last.image_id)
    dataset.store.save(bob, replace(known, annotations=last.annotations))

    canvas.press("Control+z")
    wait_for(dataset, page, lambda records: boxes(records) == [1, 0, 0, 0, 1])
    canvas.press("Control+y")
    wait_for(dataset, page, lambda records: boxes(records) == [1, 1, 1, 1, 1])
    ids = dataset.store.image_ids(dataset.scope)
    approve_images(dataset.store, dataset.scope, ids)
    files = export_yolo(page, tmp_path)
    assert len(files) == FRAMES
    centres = [float(text.split()[1]) * SIZE[0] for _, text in sorted(files.items())]
    assert np.allclose(centres, np.linspace(80, 160, FRAMES), atol=3)
