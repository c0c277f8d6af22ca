"""Evaluate in a real browser: a wrong label is corrected, and the figure moves."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from imagebase.annotation import Annotation, Box, ReviewStatus
from imagebase.detection.candidates import select
from imagebase.detection.detector import load_single
from imagebase.detection.library import find_model
from imagebase.images.decode import load_image
from imagebase.settings import SAMPLES_FOLDER
from tests.browser.conftest import PATIENCE_MS, Canvas, Dataset

pytestmark = pytest.mark.browser

BEAR = "bear.jpg"
PHOTOGRAPHS = (BEAR, "skier.jpg")
SLOW_MS = 60_000


def found(name: str) -> list[Annotation]:
    """Return what the default model finds on a photograph, as a person's boxes."""
    detector = load_single(find_model("yolov4-tiny"), precision="f32")
    loaded = load_image(
        (SAMPLES_FOLDER / name).read_bytes(), file_name=name, max_pixels=10**8
    )
    sure = select(
        detector.candidates(loaded.rgb, size=loaded.size),
        confidence_threshold=0.5,
        nms_threshold=0.45,
    )
    return [
        Annotation(Box(*map(float, xyxy)), detector.labels[class_id])
        for xyxy, class_id in zip(sure.xyxy, sure.class_id, strict=True)
    ]


@pytest.fixture
def judged(dataset: Dataset) -> Dataset:
    """Two approved photographs with their boxes, but the bear is called a sheep.

    The model says bear, and less surely dog, which stays a false alarm.
    """
    dataset.add(*PHOTOGRAPHS)
    store, scope = dataset.store, dataset.scope
    store.add_labels(scope, ["bear", "sheep", "person", "skis"])
    for record in dataset.records():
        boxes = found(record.file_name)
        if record.file_name == BEAR:
            boxes = [replace(b, label="sheep") for b in boxes if b.label == "bear"][:1]
        approved = ReviewStatus.APPROVED
        store.save(scope, replace(record, annotations=tuple(boxes), status=approved))
    return dataset


def go_to(page: Page, name: str) -> None:
    page.get_by_test_id("stTopNavLink").filter(has_text=name).click()


def show(page: Page, view: str) -> None:
    page.locator(".st-key-evaluate-view").get_by_text(view, exact=True).click()


def run(page: Page, *more: str) -> None:
    """Choose further models by typing their names, and run."""
    models = page.locator(".st-key-evaluate-models")
    for name in more:
        models.locator("input").click()
        page.get_by_role("option", name=name, exact=True).click()
        expect(models.get_by_text(name, exact=True)).to_be_visible()
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Run", exact=True).click()


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Wait for as long as two models may take on a busy machine."""
    expect.set_options(timeout=SLOW_MS)
    yield
    expect.set_options(timeout=PATIENCE_MS)


def correct(judged: Dataset, canvas: Canvas) -> None:
    """Call the sheep a bear, and approve the image again."""
    sheep = next(b for b in judged.record(BEAR).annotations if b.label == "sheep")
    canvas.surface.focus()
    for _ in range(8):
        canvas.press("Tab")
        canvas.page.wait_for_timeout(200)
        if canvas.get("selected") == sheep.annotation_id:
            break
    canvas.press("1")  # the first label is the bear
    wait(canvas.page, lambda: "sheep" not in judged.record(BEAR).labels)
    expect(canvas.page.get_by_text(f"{BEAR} · edited")).to_be_visible()
    canvas.page.wait_for_timeout(1000)  # the page is drawn again
    canvas.page.get_by_role("button", name="Approve and next").click()
    wait(canvas.page, lambda: judged.record(BEAR).status is ReviewStatus.APPROVED)


def wait(page: Page, is_so: Callable[[], bool]) -> None:
    for _ in range(400):
        if is_so():
            return
        page.wait_for_timeout(50)
    pytest.fail("not so within 20 s")


@pytest.mark.long
def test_a_wrong_label_is_found_corrected_and_the_figure_moves(
    judged: Dataset, page: Page, find_canvas: Callable[[Page], Canvas]
) -> None:
    page.set_default_timeout(SLOW_MS)
    page.goto(judged.at("evaluate"))
    run(page, "yolox-nano")
    expect(page.get_by_text("Is a confidence of 0.8 right")).to_be_visible()
    first = page.get_by_test_id("stDataFrame").first
    expect(first).to_contain_text("yolox-nano")

    show(page, "Confusion")
    cell = page.locator('path[aria-label="sheep detected as bear: 1"]')
    cell.first.click(force=True)
    expect(page.get_by_text("sheep detected as bear: 1")).to_be_visible()
    page.wait_for_timeout(1000)  # the pictures are drawn
    page.get_by_role("button", name=BEAR, exact=True).click()

    canvas = find_canvas(page)
    correct(judged, canvas)

    go_to(page, "Evaluate")
    expect(page.get_by_text("changed since")).to_be_visible()
    run(page)
    expect(page.get_by_text("changed since")).to_be_hidden()
    show(page, "Better and worse")
    expect(page.get_by_text("1 image better, 0 worse")).to_be_visible()
    expect(page.get_by_role("button", name=BEAR, exact=True)).to_be_visible()
    show(page, "Confusion")
    right = page.locator('path[aria-label="bear detected as bear: 1"]')
    expect(right.first).to_be_attached()
    expect(cell).to_have_count(0)
