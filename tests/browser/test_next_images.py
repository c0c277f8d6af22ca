"""The map, near-duplicates, similar images and what to label next, in a browser."""

import io
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, expect

from imagebase.annotation import ReviewStatus
from imagebase.images.scan import Incoming, sample_photographs
from imagebase.ingest.add_images import admit
from imagebase.settings import SAMPLES_FOLDER, Limits
from tests.browser.conftest import Canvas, Dataset

pytestmark = pytest.mark.browser

MINUTE_MS = 60_000
NAMES = [name for name, _ in sample_photographs()][:8]


@pytest.fixture
def photographs(dataset: Dataset) -> Dataset:
    """Eight photographs, and a smaller copy of the first."""
    dataset.add(*NAMES)
    stream = io.BytesIO()
    image = Image.open(SAMPLES_FOLDER / NAMES[0])
    image.resize((image.width // 2, image.height // 2)).save(stream, "JPEG")
    copy = Incoming("copy.jpg", stream.getvalue())
    admit(dataset.store, dataset.scope, [copy], limits=Limits())
    return dataset


def show(page: Page, photographs: Dataset, view: str) -> None:
    page.goto(photographs.at("review"))
    views = page.get_by_test_id("stButtonGroup").first
    views.get_by_text(view, exact=True).click(timeout=MINUTE_MS)


def press(page: Page, key: str) -> None:
    page.locator(f".st-key-{key.replace('.', '-')} button").first.click()


def wait_until_compared(page: Page, photographs: Dataset) -> None:
    for _ in range(600):
        job = photographs.store.latest_job(photographs.scope, "vectors")
        if job is not None and not job.state.is_active:
            return
        page.wait_for_timeout(100)
    pytest.fail("the images were not compared within a minute")


def where_it_stays(page: Page, chart: Locator) -> FloatRect:
    """Return where a chart is once it is drawn and moves no more."""
    expect(chart.locator("canvas, svg").first).to_be_visible(timeout=MINUTE_MS)
    before = None
    for _ in range(60):
        box = chart.bounding_box()
        if box is not None and box == before:
            return box
        before = box
        page.wait_for_timeout(500)
    pytest.fail("the chart does not come to rest")


def test_a_rectangle_on_the_map_filters_the_queue_and_the_table(
    page: Page, photographs: Dataset
) -> None:
    show(page, photographs, "Map")
    wait_until_compared(page, photographs)
    chart = page.get_by_test_id("stVegaLiteChart").first
    expect(page.get_by_text("No images selected.")).to_be_visible(timeout=MINUTE_MS)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    box = where_it_stays(page, chart)
    # Over the lower two thirds of the map.
    page.mouse.move(box["x"] + 0.05 * box["width"], box["y"] + 0.35 * box["height"])
    page.mouse.down()
    end = (box["x"] + 0.95 * box["width"], box["y"] + 0.95 * box["height"])
    page.mouse.move(*end, steps=8)
    page.mouse.up()
    chip = page.get_by_text("selected on the map").first
    expect(chip).to_be_visible()
    count = int(chip.inner_text().split()[1])
    assert 2 <= count < 9
    press(page, "review.map.table")
    expect(page.get_by_text(f"{count} images", exact=True)).to_be_visible()
    press(page, "review.clear_images")
    expect(page.get_by_text("selected on the map")).to_have_count(0)


def test_near_duplicates_are_rejected_with_one_undo(
    page: Page, photographs: Dataset
) -> None:
    show(page, photographs, "Near-duplicates")
    expect(page.get_by_text("1 group", exact=True).first).to_be_visible()
    wait_until_compared(page, photographs)
    page.get_by_role("button", name="Reject the others").click()
    expect(page.get_by_text("Rejected 1 image").first).to_be_visible()
    assert photographs.record("copy.jpg").status is ReviewStatus.REJECTED
    assert photographs.record(NAMES[0]).status is ReviewStatus.NEW
    press(page, "review.duplicates.undo")
    for _ in range(100):
        if photographs.record("copy.jpg").status is ReviewStatus.NEW:
            break
        page.wait_for_timeout(50)
    assert photographs.record("copy.jpg").status is ReviewStatus.NEW


def test_every_page_of_the_near_duplicates_has_a_link(
    page: Page, dataset: Dataset
) -> None:
    files = []
    for name in NAMES[:7]:
        image = Image.open(SAMPLES_FOLDER / name)
        for part in (2, 4):
            stream = io.BytesIO()
            image.resize((image.width // part, image.height // part)).save(
                stream, "JPEG"
            )
            files.append(Incoming(f"{part}-{name}", stream.getvalue()))
    admit(dataset.store, dataset.scope, files, limits=Limits())
    show(page, dataset, "Near-duplicates")
    pages = page.get_by_test_id("stPagination")
    pages.get_by_text("2", exact=True).click(timeout=MINUTE_MS)
    expect(page.get_by_role("button", name="Reject the others")).to_have_count(1)


def test_similar_images_open_in_the_editor(page: Page, photographs: Dataset) -> None:
    show(page, photographs, "Images")
    press(page, "review.similar")
    dialog = page.get_by_role("dialog")
    nearest = dialog.get_by_role("button").filter(has_text="copy.jpg")
    expect(nearest).to_be_visible(timeout=MINUTE_MS)
    nearest.click()
    expect(page.locator(".st-key-edit-header")).to_contain_text("copy.jpg")


def test_approving_follows_what_to_label_next(
    page: Page, photographs: Dataset, find_canvas: Callable[[Page], Canvas]
) -> None:
    show(page, photographs, "Queue")
    page.get_by_text("What to label next", exact=True).first.click()
    expect(page.get_by_text("their labels teach a model most")).to_be_visible()
    wait_until_compared(page, photographs)
    press(page, "queue.label_next")
    header = page.locator(".st-key-edit-header")
    expect(header).to_contain_text("1 / 9", timeout=MINUTE_MS)
    find_canvas(page)
    press(page, "edit.approve")
    expect(header).to_contain_text("1 / 8")
