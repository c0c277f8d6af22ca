"""The Review page in a real browser: crops, look-alikes, plots that filter."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect

from imagebase.store import Scope, Store
from tests.browser.conftest import Canvas, Dataset, until
from tests.planted_logo import LABEL, fill, made_set

pytestmark = pytest.mark.browser

WITH_LOGO, WITHOUT = 6, 3
ALL = WITH_LOGO + WITHOUT


class Reviewed(NamedTuple):
    """The Review page of a planted dataset, and the store behind it."""

    page: Page
    store: Store
    scope: Scope

    def tiles(self) -> Locator:
        return self.page.locator(".st-key-review-sheet .tile")

    def show(self, view: str) -> None:
        switch = self.page.locator(".st-key-review-view")
        switch.get_by_text(view, exact=True).click()

    def press(self, key: str) -> None:
        """Press the button of a key."""
        self.page.locator(f".st-key-{key} button").first.click()

    def settle(self) -> None:
        self.page.wait_for_selector(
            "[data-testid='stApp'][data-test-script-state='notRunning']",
            state="attached",
        )

    def count(self, label: str = LABEL) -> int:
        return self.store.label_counts(self.scope).get(label, 0)

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        for _ in range(100):
            if is_so():
                return
            self.page.wait_for_timeout(100)
        pytest.fail(f"not so within 10 s: {self.store.label_counts(self.scope)}")


@pytest.fixture
def reviewed(dataset: Dataset, page: Page) -> Reviewed:
    """The Review page of a dataset of its own."""
    store, scope = dataset.store, dataset.scope
    fill(store, scope, made_set(with_logo=WITH_LOGO, without=WITHOUT))
    page.goto(dataset.at("review"))
    expect(page.locator(".st-key-review-view")).to_be_visible(timeout=30_000)
    return Reviewed(page, store, scope)


def test_selected_crops_are_relabelled_and_undone_at_once(reviewed: Reviewed) -> None:
    reviewed.show("Crops")
    expect(reviewed.tiles()).to_have_count(ALL, timeout=20_000)
    reviewed.tiles().nth(0).click()
    reviewed.tiles().nth(3).click(modifiers=["Shift"])
    expect(reviewed.page.get_by_text("4 boxes on 4 images selected")).to_be_visible()
    reviewed.page.get_by_role("button", name="Relabel").click()
    choice = reviewed.page.locator(".st-key-review-crops-relabel-to input")
    choice.fill("badge")
    choice.press("Enter")
    reviewed.press("review-crops-relabel")
    reviewed.wait_for(lambda: reviewed.count("badge") == 4)
    expect(reviewed.tiles().get_by_text("badge")).to_have_count(4)
    expect(reviewed.page.locator(".tile[aria-checked=true]")).to_have_count(0)
    reviewed.press("review-crops-undo")
    reviewed.wait_for(lambda: reviewed.count() == ALL)


@pytest.mark.long
def test_selection_stays_while_another_person_saves(reviewed: Reviewed) -> None:
    page, store = reviewed.page, reviewed.store
    reviewed.show("Crops")
    expect(reviewed.tiles()).to_have_count(ALL, timeout=20_000)
    for place in (0, 1):
        reviewed.tiles().nth(place).click()
    expect(page.get_by_text("2 boxes on 2 images selected")).to_be_visible()
    last = store.records(reviewed.scope)[-1]
    bob = Scope(reviewed.scope.owner_id, reviewed.scope.dataset_id, "bob")
    (box,) = last.annotations
    store.save(bob, last.with_annotations([box.touched(who="bob", label="badge")]))
    reviewed.tiles().nth(3).click()
    expect(reviewed.tiles().get_by_text("badge")).to_have_count(1)
    expect(page.locator(".tile[aria-checked=true]")).to_have_count(3)
    expect(page.get_by_text("3 boxes on 3 images selected")).to_be_visible()
    reviewed.press("review-crops-delete")
    reviewed.wait_for(lambda: reviewed.count() == ALL - 4)
    expect(page.locator(".tile[aria-checked=true]")).to_have_count(0)


@pytest.mark.long
def test_a_selected_crop_is_opened_after_another_person_saved(
    reviewed: Reviewed, find_canvas: Callable[[Page], Canvas]
) -> None:
    page, store = reviewed.page, reviewed.store
    reviewed.show("Crops")
    first = page.locator(".tile[title^='logo-003']")
    first.click(timeout=20_000)
    expect(page.get_by_text("1 box on 1 image selected")).to_be_visible()
    last = store.records(reviewed.scope)[-1]
    store.save(reviewed.scope, last.with_annotations([]))
    reviewed.press("review-crops-open")
    wanted = next(
        record.image_id
        for record in store.records(reviewed.scope)
        if record.file_name == "logo-003.jpg"
    )
    find_canvas(page).wait_for("image", wanted)


@pytest.mark.long
def test_keys_select_crops_and_they_are_deleted(reviewed: Reviewed) -> None:
    reviewed.show("Crops")
    expect(reviewed.tiles()).to_have_count(ALL, timeout=20_000)
    reviewed.tiles().nth(2).focus()
    reviewed.page.keyboard.press("a")
    reviewed.page.keyboard.press("Space")  # the one in focus is no more
    words = f"{ALL - 1} boxes on {ALL - 1} images selected"
    expect(reviewed.page.get_by_text(words)).to_be_visible()
    reviewed.press("review-crops-delete")
    expect(reviewed.tiles()).to_have_count(1)
    assert reviewed.count() == 1


def test_a_planted_logo_is_deleted_everywhere_and_undone_at_once(
    reviewed: Reviewed,
) -> None:
    page = reviewed.page
    reviewed.show("Crops")
    first = reviewed.page.locator(".tile[title^='logo-000']")
    first.click(timeout=20_000)
    expect(page.get_by_text("1 box on 1 image selected")).to_be_visible()
    reviewed.press("review-crops-delete")
    words = f"{ALL - 1} other images have a {LABEL} box at the same place"
    expect(page.get_by_text(words)).to_be_visible(timeout=20_000)
    reviewed.press("looks-show")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".tile")).to_have_count(WITH_LOGO - 1, timeout=20_000)
    dialog.locator(".tile").nth(0).click()
    apply = dialog.get_by_role("button", name=f"Delete {WITH_LOGO - 2} boxes")
    expect(apply).to_be_visible()
    apply.click()
    reviewed.wait_for(lambda: reviewed.count() == ALL - 1 - (WITH_LOGO - 2))
    expect(dialog).to_have_count(0)
    reviewed.press("review-crops-undo")
    reviewed.wait_for(lambda: reviewed.count() == ALL - 1)


@pytest.mark.long
def test_a_key_on_edit_offers_the_look_alikes_too(
    reviewed: Reviewed, find_canvas: Callable[[Page], Canvas]
) -> None:
    page = reviewed.page
    page.get_by_test_id("stTopNavLink").filter(has_text="Edit").click()
    canvas = find_canvas(page)
    canvas.surface.focus()
    canvas.press("Tab", "Delete")
    words = f"{ALL - 1} other images have a {LABEL} box at the same place"
    expect(page.get_by_text(words)).to_be_visible(timeout=20_000)
    reviewed.press("looks-show")
    apply = page.get_by_role("button", name=f"Delete {WITH_LOGO - 1} boxes")
    expect(apply).to_be_visible(timeout=20_000)
    page.keyboard.press("n")  # the editor behind the dialog does not listen
    apply.click()
    reviewed.wait_for(lambda: reviewed.count() == WITHOUT)
    assert canvas.get("image") == next(iter(reviewed.store.image_ids(reviewed.scope)))
    expect(page.get_by_role("dialog")).to_have_count(0)
    reviewed.press("edit-undo")
    reviewed.wait_for(lambda: reviewed.count() == ALL - 1)


@pytest.mark.long
def test_sure_boxes_are_counted_then_accepted(reviewed: Reviewed) -> None:
    page = reviewed.page
    reviewed.show("Boxes")
    reviewed.press("accept-above")
    expect(page.get_by_text("No unaccepted box is that confident")).to_be_visible()
    slider = page.locator(".st-key-accept-least input")
    slider.focus()
    for _ in range(20):  # from 0.80 to 0.60
        slider.press("ArrowLeft")
    apply = page.get_by_role("button", name=f"Accept {ALL} boxes")
    expect(apply).to_be_visible(timeout=10_000)
    apply.click()
    expect(page.get_by_text(f"Accepted {ALL} boxes on {ALL} images")).to_be_visible()
    assert all(
        row.annotation.accepted
        for row in reviewed.store.annotation_rows(reviewed.scope)
    )


def test_a_bar_that_is_clicked_filters_until_it_is_cleared(reviewed: Reviewed) -> None:
    page = reviewed.page
    reviewed.show("Statistics")
    chart = page.locator(".st-key-figures-labels [data-testid=stVegaLiteChart] svg")
    box = chart.first.bounding_box(timeout=20_000)
    assert box is not None
    page.wait_for_timeout(500)  # it is laid out once more
    chart.first.click(position={"x": box["width"] / 2, "y": 10})
    chip = page.locator(".st-key-review-clear_labels button").first
    expect(chip).to_contain_text(f"Filter: {LABEL}", timeout=10_000)
    expect(page.get_by_text(f"{ALL} boxes")).to_be_visible()
    chip.click()
    expect(chip).to_have_count(0)


@pytest.mark.long
def test_enter_in_the_label_filter_takes_the_label_that_was_typed(
    reviewed: Reviewed,
) -> None:
    page = reviewed.page
    reviewed.store.add_labels(reviewed.scope, ["hot dog", "hot dogs", "dog"])
    page.reload()
    reviewed.show("Boxes")
    choice = page.locator(".st-key-review-labels input")
    choice.fill("dog")
    expect(page.get_by_role("option", name="hot dogs")).to_be_visible()
    choice.press("Enter")
    choice.press("Escape")
    expect(page.get_by_role("button", name="Filter: dog")).to_be_visible()


_CARDS = """() => {
  const place = "position: fixed; inset: 300px auto auto 300px; z-index: 9999999;";
  const cards = ["first", "second", "third"].map((name) => {
    const card = Object.assign(document.createElement("div"), {
      className: `st-key-card-${name}`,
    });
    const button = Object.assign(document.createElement("button"), {
      textContent: "Approve", style: `${place} width: 80px; height: 30px;`,
    });
    button.onclick = () => {
      const { dataset } = document.body;
      dataset.approved = `${dataset.approved ?? ""} ${name}`;
      card.replaceWith(...cards.splice(0, 1));
    };
    card.append(button);
    return card;
  });
  document.body.append(...cards.splice(0, 1));
}"""


def test_second_click_counts_for_no_button_that_has_just_come(
    reviewed: Reviewed,
) -> None:
    page = reviewed.page
    until(page, "Symbol.for('imagebase.clicks') in window")
    reviewed.settle()
    page.evaluate(_CARDS)
    for _ in range(3):
        page.mouse.click(340, 315)
        page.wait_for_timeout(100)
    assert page.locator("body").get_attribute("data-approved") == " first"
    page.mouse.move(345, 320)
    page.mouse.click(346, 321)
    assert page.locator("body").get_attribute("data-approved") == " first second"
