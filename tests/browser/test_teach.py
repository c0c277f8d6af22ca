"""Find more like this in a real browser: teach, accept, reject, and use the model."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect

from imagebase.annotation import Annotation, Box, ImageRecord
from imagebase.editing.records import approve
from imagebase.images.decode import encode_png
from imagebase.images.scan import Incoming
from imagebase.ingest.add_images import admit
from imagebase.settings import Limits
from tests.browser.conftest import APP, Canvas, Dataset, Serve
from tests.conftest import SHARED_DATA
from tests.detection.taught.test_teach import scene

pytestmark = pytest.mark.browser

JOB_MS: Final = 120_000
_RACCOONS: Final = SHARED_DATA / "raccoon"
IMAGES: Final = 8


class Example(NamedTuple):
    """An image, and all its objects of one label."""

    name: str
    content: bytes
    boxes: list[Box]


class Taught(NamedTuple):
    """A dataset of these images, the first of them with its boxes."""

    dataset: Dataset
    label: str
    examples: list[Example]


def raccoons() -> list[Example]:
    """Return photographs of one raccoon each."""
    coco = json.loads((_RACCOONS / "train.coco.json").read_text())
    boxes: dict[int, list[Box]] = {}
    for said in coco["annotations"]:
        x, y, width, height = said["bbox"]
        boxes.setdefault(said["image_id"], []).append(Box(x, y, x + width, y + height))
    return [
        Example(
            Path(image["file_name"]).name,
            (_RACCOONS / image["file_name"]).read_bytes(),
            boxes[image["id"]],
        )
        for image in coco["images"]
        if len(boxes.get(image["id"], ())) == 1
    ][:IMAGES]


def discs() -> list[Example]:
    """Return drawn images with two discs each, where there are no photographs."""
    found = []
    for seed in range(IMAGES):
        rgb, boxes = scene(seed=seed)
        own = [Box(*xyxy) for xyxy, label in boxes if label == "disc"]
        found.append(Example(f"{seed}.png", encode_png(rgb), own))
    return found


@pytest.fixture
def taught(dataset: Dataset) -> Taught:
    """Images without boxes but for the first; raccoons where the files are there."""
    has_raccoons = (_RACCOONS / "train.coco.json").is_file()
    if not has_raccoons:
        print("No raccoons in ../shared/data: drawn discs are taught.")
    label = "raccoon" if has_raccoons else "disc"
    examples = raccoons() if has_raccoons else discs()
    store, scope = dataset.store, dataset.scope
    files = [Incoming(example.name, example.content) for example in examples]
    admit(store, scope, files, limits=Limits())
    store.add_labels(scope, [label])
    first = Taught(dataset, label, examples)
    store.save(scope, with_boxes(first, 0))
    return first


def with_boxes(taught: Taught, place: int) -> ImageRecord:
    """Return the record of an image with all its boxes, as a person draws them."""
    example = taught.examples[place]
    boxes = [Annotation(box, taught.label) for box in example.boxes]
    return taught.dataset.record(example.name).with_annotations(boxes)


def accept(page: Page) -> Locator:
    return page.locator(".st-key-review-find-accept button").first


def find_more(page: Page, taught: Taught) -> None:
    """Click on Edit, and wait until the crops are there and nothing is at work."""
    page.goto(taught.dataset.at("edit"))
    page.get_by_role("button", name="Find more like this").click(timeout=30_000)
    text = f"Draw every {taught.label} on this image, then click."
    expect(page.get_by_text(text)).to_be_visible()
    page.locator(
        "[class*='st-key-edit-find'] button", has_text="Find more"
    ).last.click()
    wait_for_crops(page)


def wait_for_crops(page: Page) -> None:
    expect(accept(page)).to_be_enabled(timeout=JOB_MS)
    idle(page)


def idle(page: Page) -> None:
    expect(page.locator("[class*='st-key-jobs-cancel']")).to_have_count(
        0, timeout=JOB_MS
    )


def wait_for_images(taught: Taught, page: Page, count: int) -> None:
    """Wait until the model was taught again, with so many images."""
    for _ in range(JOB_MS // 200):
        row = taught.dataset.store.taught_row(taught.dataset.scope)
        if row is not None and row.image_count == count:
            return
        page.wait_for_timeout(200)
    pytest.fail(f"the model was not taught again with {count} images")


def tiles(page: Page) -> Locator:
    return page.locator(".st-key-review-find-sheet .tile")


def accepted(taught: Taught) -> list[Annotation]:
    return [
        box
        for record in taught.dataset.records()
        for box in record.annotations
        if box.accepted
    ]


def test_one_image_is_enough_to_find_accept_and_undo(
    taught: Taught, page: Page
) -> None:
    find_more(page, taught)
    shown = tiles(page).count()
    assert shown >= IMAGES // 2
    expect(accept(page)).to_contain_text(f"Accept {shown} box")
    tiles(page).first.click()
    expect(accept(page)).to_contain_text(f"Accept {shown - 1} box")
    accept(page).click()
    expect(page.get_by_text(f"Accepted {shown - 1} box")).to_be_visible(timeout=20_000)
    saved = accepted(taught)
    assert len(saved) == shown - 1
    assert {box.label for box in saved} == {taught.label}
    idle(page)
    page.locator(".st-key-review-find-undo button").first.click()
    expect(page.get_by_text("Undone on")).to_be_visible(timeout=20_000)
    assert accepted(taught) == []
    idle(page)


def test_a_rejected_crop_teaches_too(taught: Taught, page: Page) -> None:
    find_more(page, taught)
    name = tiles(page).first.get_attribute("title")
    tiles(page).first.click()
    reject = page.locator(".st-key-review-find-reject button").first
    expect(reject).to_contain_text("Reject 1")
    reject.click()
    expect(page.get_by_text("Rejected 1 box on 1 image")).to_be_visible(timeout=20_000)
    record = taught.dataset.record(str(name))
    (mark,) = record.deleted
    assert mark.label == taught.label
    wait_for_images(taught, page, 2)  # the rejected box teaches too
    idle(page)
    page.locator(".st-key-review-find-undo button").first.click()
    expect(page.get_by_text("Undone on")).to_be_visible(timeout=20_000)
    assert taught.dataset.record(str(name)).deleted == ()


def test_the_slider_hides_what_is_less_likely(taught: Taught, page: Page) -> None:
    find_more(page, taught)
    surest = tiles(page).first.get_attribute("title")
    before = tiles(page).count()
    page.get_by_role("slider", name="Confidence").focus()
    page.keyboard.press("Home")
    expect(page.get_by_text("0.05", exact=True).first).to_be_visible()
    expect(tiles(page)).not_to_have_count(before)
    most = tiles(page).count()
    assert most > before
    assert tiles(page).first.get_attribute("title") == surest
    page.keyboard.press("End")
    expect(tiles(page)).not_to_have_count(most)
    assert tiles(page).count() <= before


def test_what_is_found_is_suggested_on_the_images(
    taught: Taught, page: Page, find_canvas: Callable[[Page], Canvas]
) -> None:
    find_more(page, taught)
    sure = str(tiles(page).first.get_attribute("title"))
    image_id = taught.dataset.record(sure).image_id
    page.goto(f"{taught.dataset.at('edit')}&image={image_id}")
    canvas = find_canvas(page)
    canvas.wait_for("image", image_id)
    expect(
        page.get_by_role("button", name=re.compile("Save [1-9] suggestion"))
    ).to_be_visible(timeout=20_000)
    assert {box.label for box in canvas.shown().values()} == {taught.label}


def test_the_model_runs_on_annotate_and_is_judged_on_evaluate(
    taught: Taught, page: Page
) -> None:
    find_more(page, taught)
    store, scope = taught.dataset.store, taught.dataset.scope
    for place in (1, 2):
        store.save(scope, approve(with_boxes(taught, place), who="ann"))
    page.goto(taught.dataset.at("annotate"))
    title = f"{taught.label}, 1 image"
    page.locator(".st-key-annotate-model input").click(timeout=30_000)
    page.get_by_role("option", name=title).first.click()
    expect(page.get_by_text("Save").first).to_be_visible(timeout=30_000)
    page.goto(taught.dataset.at("models"))
    expect(page.get_by_text(title).first).to_be_visible(timeout=30_000)
    page.goto(taught.dataset.at("evaluate"))
    models = page.locator(".st-key-evaluate-models")
    models.locator("input").click(timeout=30_000)
    page.get_by_role("option", name="Taught in").first.click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("Taught in").first).to_be_visible(timeout=JOB_MS)
    expect(page.get_by_text("AP50").first).to_be_attached(timeout=JOB_MS)


def test_crops_and_images_are_examples_too(taught: Taught, page: Page) -> None:
    page.goto(taught.dataset.at("review"))
    switch = page.locator(".st-key-review-view")
    switch.get_by_text("Crops", exact=True).click(timeout=30_000)
    page.locator(".st-key-review-sheet .tile").first.click()
    page.get_by_role("button", name="Find more like this").click()
    page.locator(".st-key-review-crops-find-ask button").click()
    wait_for_crops(page)
    row = taught.dataset.store.taught_row(taught.dataset.scope)
    assert row is not None
    assert len(row.examples) == 1


def test_a_visitor_of_a_demo_teaches_without_anything_to_install(
    serve: Serve, page: Page, find_canvas: Callable[[Page], Canvas]
) -> None:
    page.goto(f"{serve(APP, {'IMAGEBASE_MODE': 'demo'})}/edit")
    canvas = find_canvas(page)
    canvas.drag((60, 60), (260, 260))
    button = page.get_by_role("button", name="Find more like this")
    expect(button).to_be_enabled(timeout=20_000)
    button.click()
    page.locator(
        "[class*='st-key-edit-find'] button", has_text="Find more"
    ).last.click()
    expect(accept(page)).to_be_visible(timeout=JOB_MS)
    idle(page)
    words = page.locator("body").inner_text()
    assert "pip " not in words
    assert "PyTorch" not in words
