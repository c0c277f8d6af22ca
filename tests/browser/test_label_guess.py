"""The label of a drawn box is guessed: chips, keys, undo, and a person's choice."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from imagebase.annotation import Annotation, Box, ImageRecord, Source
from tests.browser.conftest import SCREEN, Canvas, Dataset

pytestmark = pytest.mark.browser

SKIER = ((279.0, 66.0), (484.0, 370.0))
SKIS = ((206.0, 364.0), (519.0, 397.0))
# The guess is late by so much: longer than a drawing waits for it.
DELAY = """(ms) => {
  const { parcels } = window[Symbol.for("imagebase.editor")];
  const { ask } = parcels.get("edit.canvas/guess");
  parcels.get("edit.canvas/guess").ask = (box) => setTimeout(() => ask(box), ms);
}"""


class Guesser:
    """Somebody who draws on a photograph."""

    def __init__(self, dataset: Dataset, canvas: Canvas) -> None:
        self.dataset, self.canvas = dataset, canvas

    @property
    def chips(self) -> Locator:
        return self.canvas.surface.locator(".guesses:visible [data-label]")

    def label(self) -> str:
        """Return the label of the selected box; empty without one."""
        selected = self.canvas.shown().get(self.canvas.get("selected"))
        return selected.label if selected else ""

    def wait_for_label(self, label: str) -> None:
        for _ in range(400):
            if self.label() == label:
                return
            self.canvas.page.wait_for_timeout(25)
        pytest.fail(f"{self.label()} is no {label} after 10 s")

    def record(self) -> ImageRecord:
        return self.dataset.records()[0]

    def wait_for_boxes(self, *labels: str) -> None:
        """Wait until the stored boxes have these labels."""
        for _ in range(400):
            if sorted(box.label for box in self.record().annotations) == sorted(labels):
                return
            self.canvas.page.wait_for_timeout(25)
        pytest.fail(f"not so within 10 s: {self.record()}")


@pytest.fixture(scope="module")
def tab(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport=SCREEN)
    yield context.new_page()
    context.close()


Open = Callable[..., Guesser]


@pytest.fixture
def guesser(dataset: Dataset, tab: Page, find_canvas: Callable[[Page], Canvas]) -> Open:
    def open_photograph(*labels: str, name: str = "skier.jpg") -> Guesser:
        dataset.add(name)
        dataset.store.add_labels(dataset.scope, labels)
        tab.mouse.move(5, 5)
        tab.goto(dataset.at("edit"))
        return Guesser(dataset, find_canvas(tab))

    return open_photograph


def test_a_drawn_box_gets_its_label_in_one_step(guesser: Open) -> None:
    hand = guesser("kite", "skis", "person")
    hand.canvas.drag(*SKIER)
    hand.wait_for_label("person")
    expect(hand.chips.first).to_have_text("3person")
    expect(hand.chips.first).to_have_attribute("aria-pressed", "true")
    hand.wait_for_boxes("person")
    hand.canvas.press("Control+z")
    hand.wait_for_boxes()
    expect(hand.chips).to_have_count(0)


def test_a_chip_or_its_digit_chooses_another_label(guesser: Open) -> None:
    hand = guesser("kite", "skis", "person")
    hand.canvas.drag(*SKIER)
    expect(hand.chips.first).to_have_text("3person")
    expect(hand.chips.first).to_have_attribute("aria-pressed", "true")
    hand.canvas.press("2")
    hand.wait_for_boxes("skis")
    expect(hand.chips.first).to_have_attribute("aria-pressed", "false")
    hand.chips.first.click()
    hand.wait_for_boxes("person")


def test_a_finger_may_rest_on_a_chip(
    dataset: Dataset, chromium: Browser, find_canvas: Callable[[Page], Canvas]
) -> None:
    dataset.add("skier.jpg")
    dataset.store.add_labels(dataset.scope, ["kite", "skis", "person"])
    (record,) = dataset.records()
    around = Annotation(
        Box(5, 5, record.size.width - 5, record.size.height - 5), "kite"
    )
    dataset.store.save(dataset.scope, record.with_annotations([around]))
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(dataset.at("edit"))
    hand = Guesser(dataset, find_canvas(page))
    fingers = context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [dict(zip("xy", place, strict=True)) for place in places]
        asked = {"type": kind, "touchPoints": points}
        fingers.send("Input.dispatchTouchEvent", asked)

    (x, y), (right, _) = SKIER
    start, end = hand.canvas.at((x, y)), hand.canvas.at((right, 290))
    touch("touchStart", start)
    touch("touchMove", ((start[0] + end[0]) / 2, end[1]))
    touch("touchMove", end)
    touch("touchEnd")
    expect(hand.chips.first).to_have_attribute("aria-pressed", "true")
    hand.wait_for_label("person")
    chip = hand.chips.nth(1)
    label = chip.get_attribute("data-label") or ""
    area = chip.bounding_box()
    assert area is not None
    touch("touchStart", (area["x"] + area["width"] / 2, area["y"] + area["height"] / 2))
    page.wait_for_timeout(800)  # longer than a box is held to select several
    touch("touchEnd")
    hand.wait_for_label(label)
    hand.wait_for_boxes("kite", label)
    context.close()


def test_the_chips_go_with_escape_and_with_the_next_box(guesser: Open) -> None:
    hand = guesser("person", "skis")
    hand.canvas.drag(*SKIER)
    expect(hand.chips.first).to_be_visible()
    hand.canvas.press("Escape")
    expect(hand.chips).to_have_count(0)
    hand.canvas.drag(*SKIS)
    hand.wait_for_label("skis")
    expect(hand.chips.first).to_be_visible()
    hand.canvas.click((350, 200))
    expect(hand.chips).to_have_count(0)


def test_a_drag_from_a_chip_draws_the_next_box(guesser: Open) -> None:
    hand = guesser("person", "skis")
    hand.canvas.drag(*SKIER)
    chip = hand.chips.first.bounding_box()
    assert chip is not None
    mouse = hand.canvas.page.mouse
    mouse.move(chip["x"] + 8, chip["y"] + 8)
    mouse.down()
    mouse.move(chip["x"] + 300, chip["y"] - 200, steps=4)
    mouse.up()
    hand.wait_for_boxes("person", hand.label())
    assert len(hand.canvas.shown()) == 2


def test_the_last_chip_opens_the_list_of_labels(guesser: Open) -> None:
    hand = guesser("kite", "person")
    hand.canvas.drag(*SKIER)
    hand.wait_for_label("person")
    hand.canvas.surface.get_by_role("button", name="Another label").click()
    field = hand.canvas.surface.get_by_role("combobox", name="Label")
    field.fill("kit")
    field.press("Enter")
    hand.wait_for_boxes("kite")


def test_a_label_chosen_for_the_next_box_is_kept(guesser: Open) -> None:
    hand = guesser("kite", "skis", "person")
    hand.canvas.press("2")
    hand.canvas.drag(*SKIER)
    expect(hand.chips.first).to_have_text("3person")
    hand.wait_for_boxes("skis")
    hand.canvas.press("Escape")
    hand.canvas.drag((100, 30), (250, 200))
    expect(hand.chips.first).to_be_visible()
    hand.wait_for_boxes("skis", hand.label())


def test_a_label_chosen_beside_the_canvas_is_kept(guesser: Open) -> None:
    hand = guesser("kite", "person")
    page = hand.canvas.page
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("textbox", name="New label").fill("skater")
    page.get_by_role("button", name="Create label").click()
    hand.canvas.wait_for("label", "skater")
    page.keyboard.press("Escape")
    hand.canvas.drag(*SKIER)
    expect(hand.chips.first).to_contain_text("person")
    hand.wait_for_boxes("skater")


def test_a_late_guess_does_not_change_a_label_of_a_person(guesser: Open) -> None:
    hand = guesser("kite", "skis", "person")
    hand.canvas.page.evaluate(DELAY, 1200)
    hand.canvas.drag(*SKIER)
    hand.wait_for_boxes("kite")  # saved without waiting for the guess
    hand.canvas.press("2")
    expect(hand.chips.first).to_have_text("3person")
    assert hand.label() == "skis"
    hand.wait_for_boxes("skis")


def test_a_late_guess_labels_a_box_that_was_left_alone(guesser: Open) -> None:
    hand = guesser("kite", "skis", "person")
    hand.canvas.page.evaluate(DELAY, 1200)
    hand.canvas.drag(*SKIER)
    hand.wait_for_boxes("kite")
    hand.wait_for_boxes("person")
    hand.canvas.press("Control+z")
    hand.wait_for_boxes()


def test_a_box_that_was_moved_keeps_its_label(guesser: Open) -> None:
    hand = guesser("kite", "skis", "person")
    hand.canvas.page.evaluate(DELAY, 800)
    hand.canvas.drag(*SKIER)
    hand.canvas.press("ArrowRight")
    expect(hand.chips.first).to_have_text("3person")
    hand.wait_for_boxes("kite")


def test_without_labels_the_label_of_a_model_is_set(guesser: Open) -> None:
    hand = guesser(name="bear.jpg")
    # The models are loaded by then: a guess after four seconds would be shown only.
    hand.canvas.wait_for("known", hand.canvas.get("image"))
    hand.canvas.drag((12, 60), (580, 620))
    hand.wait_for_boxes("bear")
    assert "bear" in hand.dataset.store.labels(hand.dataset.scope).shown_names


def test_a_label_that_the_dataset_lacks_is_offered_only(guesser: Open) -> None:
    hand = guesser("kite")
    hand.canvas.drag(*SKIER)
    expect(hand.chips.first).to_contain_text("person")
    hand.wait_for_boxes("kite")
    hand.chips.first.click()
    hand.wait_for_boxes("person")


def test_a_box_is_saved_if_the_page_closes_before_its_guess(guesser: Open) -> None:
    hand = guesser("kite", "person")
    hand.canvas.page.evaluate(DELAY, 60_000)
    hand.canvas.drag(*SKIER)
    hand.canvas.page.reload()
    hand.wait_for_boxes("kite")


def test_of_many_labels_the_guessed_ones_get_digits(guesser: Open) -> None:
    others = [f"thing {number}" for number in range(12)]
    hand = guesser(*others, "skis", "person")
    pills = hand.canvas.page.locator("[data-testid='stButtonGroup'] button")
    expect(pills.first).to_have_text("1 thing 0")
    hand.canvas.drag(*SKIS)
    hand.wait_for_label("skis")
    digit = hand.chips.first.locator("kbd").inner_text()
    expect(pills.filter(has_text=f"{digit} skis")).to_have_count(1)
    expect(pills.first).to_have_text("1 thing 0")  # what stays keeps its digit
    hand.canvas.press("1")
    hand.wait_for_boxes("thing 0")
    hand.canvas.press(digit)
    hand.wait_for_boxes("skis")


def test_a_late_guess_brings_its_digits_above_the_canvas(guesser: Open) -> None:
    others = [f"thing {number}" for number in range(12)]
    hand = guesser(*others, "person")
    hand.canvas.page.evaluate(DELAY, 1200)
    hand.canvas.drag(*SKIER)
    hand.canvas.press("1")  # so that the guess changes nothing but the digits
    hand.wait_for_boxes("thing 0")
    digit = hand.chips.first.locator("kbd").inner_text()
    pills = hand.canvas.page.locator("[data-testid='stButtonGroup'] button")
    expect(pills.filter(has_text=f"{digit} person")).to_have_count(1)


def test_a_pinned_label_keeps_its_digit_after_a_reload(guesser: Open) -> None:
    hand = guesser(*(f"thing {number}" for number in range(12)))
    page = hand.canvas.page
    pills = page.locator("[data-testid='stButtonGroup'] button")
    hand.canvas.press("l")
    hand.canvas.surface.get_by_role("button", name="Pin thing 11").click()
    expect(pills.nth(8)).to_have_text("9 thing 11")
    page.keyboard.press("Escape")
    page.reload()
    expect(pills.nth(8)).to_have_text("9 thing 11")
    hand.canvas.wait_for_picture()
    hand.canvas.drag(*SKIER)
    expect(hand.chips.last).to_be_visible()
    expect(pills.nth(8)).to_have_text("9 thing 11")
    hand.canvas.press("9")
    hand.wait_for_boxes("thing 11")


def test_a_label_that_no_model_knows_is_guessed_by_its_look(guesser: Open) -> None:
    hand = guesser("kite", "lamp", "ear", name="bear.jpg")
    hand.canvas.drag((12, 60), (580, 620))
    expect(hand.canvas.surface.locator(".guesses")).to_be_visible()
    hand.canvas.press("3")
    hand.wait_for_boxes("ear")
    hand.canvas.press("Escape")
    hand.canvas.press("1")  # the label of the next box, but for one box only
    hand.canvas.drag((5, 5), (60, 40))
    hand.wait_for_boxes("ear", "kite")
    hand.canvas.press("Escape")
    hand.canvas.page.keyboard.down("Shift")  # from an edge of the first, much like it
    hand.canvas.drag((20, 68), (574, 610))
    hand.canvas.page.keyboard.up("Shift")
    hand.wait_for_boxes("ear", "ear", "kite")


def test_chips_are_chosen_by_touch(
    dataset: Dataset, chromium: Browser, find_canvas: Callable[[Page], Canvas]
) -> None:
    dataset.add("skier.jpg")
    dataset.store.add_labels(dataset.scope, ["kite", "skis", "person"])
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    try:
        page = context.new_page()
        page.goto(dataset.at("edit"))
        hand = Guesser(dataset, find_canvas(page))
        hand.canvas.drag(*SKIER)
        hand.wait_for_label("person")
        hand.canvas.press("2")
        hand.wait_for_boxes("skis")
        # Drawn anew with each answer of the server: a box of what is gone is none.
        chip = hand.chips.first
        expect(chip).to_have_attribute("aria-pressed", "false")
        for _ in range(100):
            if box := chip.bounding_box():
                break
            page.wait_for_timeout(50)
        assert box is not None
        assert box["height"] >= 34
        page.touchscreen.tap(box["x"] + 10, box["y"] + 10)
        hand.wait_for_boxes("person")
    finally:
        context.close()


def test_a_model_box_that_is_selected_shows_its_likely_labels(guesser: Open) -> None:
    hand = guesser("kite", "skis", "person")
    (record,) = hand.dataset.records()
    wrong = Annotation(
        box=Box(*SKIER[0], *SKIER[1]),
        label="kite",
        source=Source.MODEL,
        confidence=0.4,
        model_id="yolov4-tiny",
    )
    hand.dataset.store.save(hand.dataset.scope, record.with_annotations([wrong]))
    hand.canvas.page.reload()
    hand.canvas.wait_for_picture()
    hand.canvas.click((350, 200))
    expect(hand.chips.first).to_have_text("3person")
    assert hand.label() == "kite"
    hand.canvas.press("3")
    hand.wait_for_boxes("person")
    hand.canvas.press("Control+z")
    hand.wait_for_boxes("kite")
