"""It learns while a person labels: from the first image to the last, no button."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Source
from imagebase.editing.records import approve
from imagebase.images.decode import encode_png
from imagebase.images.scan import Incoming
from imagebase.ingest.add_images import admit
from imagebase.settings import Limits
from imagebase.store.learning import LearningState, TrainedWhileLabelling, Verdict
from tests.browser.conftest import Canvas, Dataset
from tests.browser.network import Network
from tests.detection.taught.test_teach import scene

pytestmark = pytest.mark.browser

FindCanvas = Callable[[Page], Canvas]
SECONDS = 60_000
POLL_MS = 1000
# When boxes came, and when Enter counted again.
WATCH = """(root) => new MutationObserver(() => {
  if (root.querySelector("g.box")) root.shownAt ??= performance.now();
  if (root.shownAt && root.dataset.ready) root.readyAt ??= performance.now();
}).observe(root, { attributes: true, childList: true, subtree: true })"""


@pytest.fixture
def network(dataset: Dataset) -> Iterator[Network]:
    network = Network(int(dataset.url.rsplit(":", 1)[1]))
    yield network
    network.close()


def discs(seed: int) -> list[tuple[float, ...]]:
    return [tuple(xyxy) for xyxy, label in scene(seed=seed)[1] if label == "disc"]


def name_of(seed: int) -> str:
    return f"scene-{seed}.png"


def add_scenes(dataset: Dataset, count: int) -> None:
    """Add images with red discs and a blue square, and the label of the discs."""
    files = [
        Incoming(name_of(seed), encode_png(scene(seed=seed)[0]))
        for seed in range(count)
    ]
    admit(dataset.store, dataset.scope, files, limits=Limits())
    dataset.store.add_labels(dataset.scope, ["disc"])


def approve_first(dataset: Dataset) -> ImageRecord:
    """Approve the first image with its discs, as if it had been done before."""
    record = dataset.record(name_of(0))
    drawn = record.with_annotations(Annotation(Box(*box), "disc") for box in discs(0))
    return dataset.store.save(dataset.scope, approve(drawn, who="ann"))


def line(page: Page, words: str) -> None:
    expect(page.locator(".st-key-edit-learning")).to_contain_text(
        re.compile(words), timeout=SECONDS
    )


def wait_for_boxes(page: Page, canvas: Canvas) -> None:
    for _ in range(1200):
        if canvas.shown():
            canvas.wait_for_picture()  # and seen
            return
        page.wait_for_timeout(50)
    pytest.fail("nothing was suggested in a minute")


def next_image(page: Page, canvas: Canvas) -> None:
    image = canvas.get("image")
    page.keyboard.press("Enter")
    for _ in range(400):
        if canvas.get("image") not in ("", image):
            canvas.wait_for_picture()
            return
        page.wait_for_timeout(25)
    pytest.fail("the next image did not come in 10 s")


def test_the_second_image_shows_what_the_first_one_taught(
    page: Page, dataset: Dataset, find_canvas: FindCanvas
) -> None:
    add_scenes(dataset, 3)
    page.goto(dataset.at("edit"))
    canvas = find_canvas(page)
    line(page, "Learns from each image you approve")
    for x_min, y_min, x_max, y_max in discs(0):
        canvas.drag((x_min, y_min), (x_max, y_max))
        page.wait_for_timeout(100)
    next_image(page, canvas)

    wait_for_boxes(page, canvas)
    shown = list(canvas.shown().values())
    assert {box.label for box in shown} == {"disc"}
    assert all(box.is_untouched for box in shown)
    assert not dataset.record(name_of(1)).annotations
    line(page, "Learned from 1 image")

    drawn = dataset.record(name_of(0)).annotations
    next_image(page, canvas)
    canvas.wait_for("leaps", "0")
    second = dataset.record(name_of(1))
    assert second.status is ReviewStatus.APPROVED
    assert len(second.annotations) == len(shown)
    assert {box.source for box in second.annotations} == {Source.MODEL}
    assert dataset.record(name_of(0)).annotations == drawn
    wait_for_boxes(page, canvas)


def test_boxes_that_are_on_their_way_are_not_approved(
    page: Page, dataset: Dataset, find_canvas: FindCanvas, network: Network
) -> None:
    add_scenes(dataset, 3)
    there = f"{dataset.at('edit')}&image={dataset.record(name_of(1)).image_id[:12]}"
    port = dataset.url.rsplit(":", 1)[1]
    page.goto(there.replace(port, str(network.port)))
    canvas = find_canvas(page)
    line(page, "Learns from each image")
    page.wait_for_timeout(2 * POLL_MS)  # it asks no more
    approve_first(dataset)
    other = page.context.new_page()
    other.goto(there)
    wait_for_boxes(other, find_canvas(other))

    network.delay = 1.0
    canvas.press("1")  # the answer brings boxes
    page.wait_for_timeout(400)
    assert not canvas.shown()
    image = canvas.get("image")
    canvas.press("Enter")
    expect(canvas.surface).not_to_have_attribute("data-image", image)
    canvas.wait_for("leaps", "0")  # the server has heard of it
    second = dataset.record(name_of(1))
    assert second.status is ReviewStatus.APPROVED
    assert not second.annotations


def test_boxes_that_came_a_moment_ago_are_seen_before_they_are_approved(
    page: Page, dataset: Dataset, find_canvas: FindCanvas
) -> None:
    add_scenes(dataset, 3)
    page.goto(dataset.at("edit"))
    canvas = find_canvas(page)
    canvas.press("n")
    canvas.wait_for("image", dataset.record(name_of(1)).image_id)
    canvas.wait_for_picture()
    canvas.surface.evaluate(WATCH)
    approve_first(dataset)
    for _ in range(120):
        canvas.press("a")  # runs the page again
        page.wait_for_timeout(250)
        if canvas.shown():
            break
    assert canvas.shown()
    canvas.wait_for_picture()
    assert canvas.surface.evaluate("(root) => root.readyAt - root.shownAt") >= 200
    next_image(page, canvas)
    assert len(dataset.record(name_of(1)).annotations) == 2


@pytest.mark.parametrize("has_begun", [True, False], ids=["begun", "untouched"])
def test_suggestions_change_until_the_person_begins_with_an_image(
    page: Page, dataset: Dataset, find_canvas: FindCanvas, has_begun: bool
) -> None:
    add_scenes(dataset, 4)
    dataset.store.add_labels(dataset.scope, ["square"])
    approve_first(dataset)
    page.goto(dataset.at("edit"))
    canvas = find_canvas(page)
    canvas.press("n")
    canvas.wait_for("image", dataset.record(name_of(1)).image_id)
    wait_for_boxes(page, canvas)
    line(page, "Learned from 1 image")
    before = canvas.shown()
    if has_begun:
        x_min, y_min, x_max, y_max = next(iter(before.values())).box
        canvas.click(((x_min + x_max) / 2, (y_min + y_max) / 2))
        canvas.press("Escape")
    record = dataset.record(name_of(3))
    drawn = record.with_annotations(
        Annotation(Box(*xyxy), label) for xyxy, label in scene(seed=3)[1]
    )
    dataset.store.save(dataset.scope, approve(drawn, who="ann"))
    side = page.locator(".st-key-edit-learning")
    for number in range(120):
        canvas.press(str(2 - number % 2))  # the label of the next box: the page runs
        page.wait_for_timeout(250)
        if "from 2 images" in side.inner_text() and (
            has_begun or canvas.shown() != before
        ):
            break
    line(page, "Learned from 2 images")
    canvas.press("1")
    canvas.wait_for("label", "disc")
    page.wait_for_timeout(POLL_MS)
    assert (canvas.shown() == before) is has_begun
    if has_begun:
        next_image(page, canvas)
        canvas.wait_for("leaps", "0")
        saved = dataset.record(name_of(1)).annotations
        assert {box.annotation_id for box in saved} == before.keys()


def test_switched_off_nothing_is_suggested(
    page: Page, dataset: Dataset, find_canvas: FindCanvas
) -> None:
    add_scenes(dataset, 2)
    approve_first(dataset)
    page.goto(dataset.at("edit"))
    canvas = find_canvas(page)
    canvas.press("n")
    wait_for_boxes(page, canvas)

    page.wait_for_timeout(2 * POLL_MS)  # it asks no more
    page.get_by_role("button", name="Details").click()
    page.get_by_text("Learn while labelling").click()
    line(page, "Not learning")
    for _ in range(200):
        if not canvas.shown():
            break
        page.wait_for_timeout(50)
    assert not canvas.shown()
    assert dataset.store.learning(dataset.scope).state is LearningState.OFF


def test_learning_can_be_paused_and_resumed(
    page: Page, dataset: Dataset, find_canvas: FindCanvas
) -> None:
    add_scenes(dataset, 2)
    approve_first(dataset)
    page.goto(dataset.at("edit"))
    find_canvas(page)
    line(page, "Learned from 1 image")
    page.get_by_role("button", name="Pause").click()
    line(page, "Paused")
    assert dataset.store.learning(dataset.scope).state is LearningState.PAUSED
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible(timeout=SECONDS)
    assert dataset.store.learning(dataset.scope).state is LearningState.ON


def test_a_trained_model_can_be_undone(
    page: Page, dataset: Dataset, find_canvas: FindCanvas
) -> None:
    add_scenes(dataset, 1)
    run = TrainedWhileLabelling("job", "Discs", 0.61, 0.83, 24, Verdict.USED)
    dataset.store.change_learning(dataset.scope, lambda row: row.with_run(run))
    page.goto(dataset.at("edit"))
    find_canvas(page)
    line(page, re.escape("AP50 .61 → .83 on 24 held-out images"))
    page.get_by_role("button", name="Details").click()
    page.get_by_role("button", name="Use the previous model").click()
    expect(page.get_by_text("The previous model makes")).to_be_visible(timeout=SECONDS)
    assert dataset.store.learning(dataset.scope).trained is None


def test_details_stay_open_while_the_page_is_drawn_again(
    page: Page, dataset: Dataset, find_canvas: FindCanvas
) -> None:
    add_scenes(dataset, 1)
    page.goto(dataset.at("edit"))
    find_canvas(page)
    line(page, "Learns from each image")
    page.get_by_role("button", name="Details").click()
    details = page.get_by_test_id("stPopoverBody")
    expect(details).to_contain_text("Learn while labelling")
    # What others write is drawn above it.
    image_id = dataset.record(name_of(0)).image_id
    dataset.store.add_comment(dataset.scope, image_id, "The left one is a coin.")
    details.get_by_text("Learn while labelling").click()  # runs the page again
    expect(page.get_by_text("The left one is a coin.")).to_be_visible()
    line(page, "Not learning")
    details.get_by_text("Learn while labelling").click()
    line(page, "Learns from each image")
    assert dataset.store.learning(dataset.scope).state is LearningState.ON
