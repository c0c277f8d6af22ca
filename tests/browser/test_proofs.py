"""A page of images looked over at once, and approved exactly as it was shown."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from imagebase.annotation import Annotation, Box, ReviewStatus, Source
from imagebase.editing.records import approve
from tests.browser.conftest import Dataset
from tests.browser.test_learning import add_scenes, approve_first, discs, name_of

pytestmark = pytest.mark.browser

SECONDS = 60_000
IMAGES = 5


@pytest.fixture
def proofs(page: Page, dataset: Dataset) -> Locator:
    """The page of all images but the first, which taught what to suggest on them."""
    add_scenes(dataset, IMAGES)
    approve_first(dataset)
    page.goto(dataset.at("review"))
    page.get_by_text("Suggestions", exact=True).click()
    return ready(page)


def ready(page: Page) -> Locator:
    root = page.locator(".proofs")
    expect(root).to_have_attribute("data-ready", "true", timeout=SECONDS)
    return root


def tile(proofs: Locator, dataset: Dataset, seed: int) -> Locator:
    image_id = dataset.record(name_of(seed)).image_id
    return proofs.locator(f'.tile[data-id="{image_id}"]')


def at(tile: Locator, dataset: Dataset, seed: int, x: float, y: float) -> list[float]:
    """Return where on the screen a point of an image is."""
    tile.scroll_into_view_if_needed()
    area = tile.locator("svg").bounding_box()
    assert area is not None
    width, height = dataset.record(name_of(seed)).size
    return [
        area["x"] + x * area["width"] / width,
        area["y"] + y * area["height"] / height,
    ]


def middle(box: tuple[float, ...]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def approve_page(page: Page, proofs: Locator, words: str) -> None:
    button = proofs.locator(".approve")
    expect(button).to_have_text(words)
    button.click()


def wait_for(page: Page, dataset: Dataset, approved: int) -> None:
    for _ in range(400):
        statuses = [record.status for record in dataset.records()]
        if statuses.count(ReviewStatus.APPROVED) == approved:
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{statuses} after 20 s")


def test_a_page_is_approved_as_shown_and_undone_in_one_step(
    page: Page, dataset: Dataset, proofs: Locator
) -> None:
    first = tile(proofs, dataset, 1)
    expect(first).to_have_attribute("data-count", "2")
    page.mouse.click(*at(first, dataset, 1, *middle(discs(1)[0])))
    expect(first).to_have_attribute("data-count", "1")
    left = tile(proofs, dataset, 2)
    left.get_by_role("checkbox").uncheck()
    drawn = tile(proofs, dataset, 3)
    page.mouse.move(*at(drawn, dataset, 3, 2, 2))
    page.mouse.down()
    page.mouse.move(*at(drawn, dataset, 3, 20, 30), steps=4)
    page.mouse.up()
    expect(drawn).to_have_attribute("data-count", "3")

    approve_page(page, proofs, "Approve 3 images as shown")
    wait_for(page, dataset, 4)

    one = dataset.record(name_of(1))
    assert [box.source for box in one.annotations] == [Source.MODEL]
    assert len(one.deleted) == 1
    assert not dataset.record(name_of(2)).annotations
    three = dataset.record(name_of(3)).annotations
    assert [box.source for box in three] == [Source.MODEL] * 2 + [Source.HUMAN]
    assert three[2].box == pytest.approx((2, 2, 20, 30), abs=1.5)
    assert three[2].label == "disc"
    expect(page.get_by_text("1 image left out. All others")).to_be_visible()

    page.locator(".st-key-review-proofs-undo button").first.click()
    wait_for(page, dataset, 1)
    assert not dataset.record(name_of(3)).annotations
    ready(page)


def test_a_click_at_a_missed_object_adds_it_and_enter_approves(
    page: Page, dataset: Dataset, proofs: Locator
) -> None:
    one = tile(proofs, dataset, 1)
    point = at(one, dataset, 1, *middle(discs(1)[0]))
    page.mouse.click(*point)
    expect(one).to_have_attribute("data-count", "1")
    page.keyboard.down("Shift")  # not the box that was taken off, but what else is seen
    page.mouse.click(*point)
    page.keyboard.up("Shift")
    expect(one).to_have_attribute("data-count", "2")
    page.keyboard.press("Enter")
    wait_for(page, dataset, IMAGES)
    boxes = dataset.record(name_of(1)).annotations
    assert {box.source for box in boxes} == {Source.MODEL, Source.HUMAN}
    assert {box.label for box in boxes} == {"disc"}


def test_the_counts_and_the_message_follow_the_last_page(
    page: Page, dataset: Dataset, proofs: Locator
) -> None:
    other = dataset.record(name_of(1))
    dataset.store.save(dataset.scope, approve(other, who="bob"))
    approve_page(page, proofs, "Approve 4 images as shown")
    expect(page.get_by_text("Approved 3 images. 1 image was skipped")).to_be_visible()
    expect(page.get_by_text("All images are reviewed")).to_be_visible()
    expect(page.get_by_text("5 of 5 images approved")).to_be_visible()


def test_what_was_done_to_a_page_outlasts_a_reload(
    page: Page, dataset: Dataset, proofs: Locator
) -> None:
    page.mouse.click(
        *at(tile(proofs, dataset, 1), dataset, 1, *middle(discs(1)[0])),
    )
    expect(tile(proofs, dataset, 1)).to_have_attribute("data-count", "1")
    tile(proofs, dataset, 2).get_by_role("checkbox").uncheck()
    page.reload()
    page.get_by_text("Suggestions", exact=True).click()
    again = ready(page)
    expect(tile(again, dataset, 1)).to_have_attribute("data-count", "1")
    expect(tile(again, dataset, 2)).to_have_attribute("data-out", "true")
    approve_page(page, again, "Approve 3 images as shown")
    wait_for(page, dataset, 4)
    assert len(dataset.record(name_of(1)).annotations) == 1


def test_what_changed_since_it_was_drawn_is_left_out_and_named(
    page: Page, dataset: Dataset, proofs: Locator
) -> None:
    changed = dataset.record(name_of(1))
    mine = Annotation(Box(1, 1, 9, 9), "disc")
    dataset.store.save(dataset.scope, changed.with_annotations([mine]))

    approve_page(page, proofs, "Approve 4 images as shown")

    wait_for(page, dataset, 4)
    after = dataset.record(name_of(1))
    assert after.status is not ReviewStatus.APPROVED
    assert [box.annotation_id for box in after.annotations] == [mine.annotation_id]
    expect(page.get_by_text(re.compile("1 image was skipped.*scene-1"))).to_be_visible()


def test_what_is_learned_while_a_page_is_on_screen_changes_nothing_on_it(
    page: Page, dataset: Dataset, proofs: Locator
) -> None:
    shown = tile(proofs, dataset, 2).locator("g rect.line")
    before = [shown.nth(i).get_attribute("x") for i in range(shown.count())]
    other = dataset.record(name_of(4))
    taught = other.with_annotations(Annotation(Box(*box), "disc") for box in discs(4))
    dataset.store.save(dataset.scope, approve(taught, who="bob"))
    proofs.locator(".name").first.focus()  # no key is meant for it
    page.wait_for_timeout(1500)  # it may learn

    approve_page(page, proofs, "Approve 4 images as shown")
    wait_for(page, dataset, IMAGES)

    after = dataset.record(name_of(2)).annotations
    assert [box.box.x_min for box in after] == pytest.approx(
        [float(x or "nan") for x in before], abs=0.06
    )
    four = dataset.record(name_of(4)).annotations
    assert {box.source for box in four} == {Source.HUMAN}


def test_an_image_whose_file_is_lost_is_left_out(page: Page, dataset: Dataset) -> None:
    add_scenes(dataset, IMAGES)
    approve_first(dataset)
    lost = dataset.record(name_of(2))
    dataset.store._files.delete(dataset.scope.owner_id, lost.image_id)
    page.goto(dataset.at("review"))
    page.get_by_text("Suggestions", exact=True).click()
    approve_page(page, ready(page), "Approve 3 images as shown")
    wait_for(page, dataset, 4)
    assert dataset.record(name_of(2)).status is not ReviewStatus.APPROVED


def test_each_box_says_its_label_where_there_are_several(
    page: Page, dataset: Dataset
) -> None:
    add_scenes(dataset, IMAGES)
    others = [f"thing {number}" for number in range(12)]
    dataset.store.add_labels(dataset.scope, others)
    seen = [Annotation(Box(5, 5, 30, 30), name) for name in ("disc", "thing 11")]
    record = dataset.record(name_of(1))
    dataset.store.save(dataset.scope, record.with_annotations(seen))
    page.goto(dataset.at("review"))
    page.get_by_text("Suggestions", exact=True).click()
    chips = tile(ready(page), dataset, 1).locator(".chips span")
    expect(chips).to_have_text(["disc", "thing 11"])
    colours = [chip.evaluate("(one) => one.style.background") for chip in chips.all()]
    assert len(set(colours)) == 2
