"""Pointing at objects in the editor: a click is a box, and each step one undo."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from imagebase.annotation import Annotation, ImageRecord, Size, Source
from imagebase.assist.pointing import (
    ASSIST_MODELS,
    LEAST_SCORE,
    PointCandidates,
    point_features,
    ranked,
    score_of,
    whole_image,
)
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.images.decode import load_image
from imagebase.settings import SAMPLES_FOLDER
from imagebase.ui.edit.sightings import packed
from tests.browser.conftest import Canvas, Dataset, Point

pytestmark = pytest.mark.browser

PHOTOGRAPH = "kitchen.jpg"
BOTTLE = (320.0, 330.0)
POINTS = 80
START_MS = 60_000


class Editing:
    """A visitor on the Edit page of one photograph."""

    def __init__(self, page: Page, dataset: Dataset, canvas: Canvas) -> None:
        self.page, self.dataset, self.canvas = page, dataset, canvas

    @property
    def record(self) -> ImageRecord:
        return self.dataset.record(PHOTOGRAPH)

    def boxes(self, count: int) -> tuple[Annotation, ...]:
        """Return the stored boxes as soon as there are so many."""
        for _ in range(400):
            if len(self.record.annotations) == count:
                return self.record.annotations
            self.page.wait_for_timeout(25)
        pytest.fail(f"{len(self.record.annotations)} boxes, not {count}, in 10 s")

    def wait_until(self, is_so: Callable[[ImageRecord], bool]) -> ImageRecord:
        for _ in range(400):
            if is_so(self.record):
                return self.record
            self.page.wait_for_timeout(25)
        pytest.fail(f"not so within 10 s: {self.record}")

    def point(self, at: Point, *, closer: bool = True) -> tuple[float, ...]:
        """Rest the pointer at a place; return the suggestion there."""
        self.page.mouse.move(*self.canvas.at(at))
        if closer:
            self.canvas.wait_for("looking", "false")
        return self.suggestion

    @property
    def suggestion(self) -> tuple[float, ...]:
        return tuple(map(float, self.canvas.get("suggestion").split()))

    def undo(self) -> None:
        # A label that is guessed late is one more drawing.
        saved = "(root) => root.dataset.seq === root.dataset.savedSeq"
        for _ in range(400):
            if self.canvas.surface.evaluate(saved):
                break
            self.page.wait_for_timeout(25)
        self.canvas.press("Control+z")


@pytest.fixture
def editing(
    page: Page, dataset: Dataset, find_canvas: Callable[[Page], Canvas]
) -> Editing:
    dataset.store.add_labels(dataset.scope, ["flask", "bottle"])
    return opened(page, dataset, find_canvas)


def opened(
    page: Page, dataset: Dataset, find_canvas: Callable[[Page], Canvas]
) -> Editing:
    dataset.add(PHOTOGRAPH)
    page.goto(dataset.at("edit"))
    canvas = find_canvas(page)
    # Where the app has just started, the models are loaded first.
    image = canvas.get("image")
    expect(canvas.surface).to_have_attribute("data-known", image, timeout=START_MS)
    return Editing(page, dataset, canvas)


def test_a_click_makes_the_suggestion_a_box_with_one_undo(editing: Editing) -> None:
    offered = editing.point(BOTTLE)
    assert editing.canvas.get("suggestion-label") == "bottle"
    editing.canvas.click(BOTTLE)
    (box,) = editing.boxes(1)
    assert (*box.box,) == pytest.approx(offered)
    assert (box.label, box.source, box.confidence) == ("bottle", Source.HUMAN, None)
    assert not box.is_untouched
    assert editing.canvas.get("selected") == box.annotation_id
    assert not editing.canvas.get("suggestion")  # a click would select the box
    editing.undo()
    editing.boxes(0)
    editing.page.keyboard.press("Control+y")
    editing.boxes(1)


def test_a_digit_labels_the_box_that_was_just_made(editing: Editing) -> None:
    editing.point(BOTTLE)
    editing.canvas.click(BOTTLE)
    assert editing.boxes(1)[0].label == "bottle"
    editing.canvas.press("1")
    editing.wait_until(lambda record: record.annotations[0].label == "flask")


def test_other_alternatives_replace_the_box_while_it_is_fresh(
    editing: Editing,
) -> None:
    editing.point(BOTTLE)
    editing.canvas.click(BOTTLE)
    (first,) = editing.boxes(1)
    editing.canvas.press("v")
    changed = editing.wait_until(lambda record: record.annotations[0].box != first.box)
    assert changed.annotations[0].annotation_id == first.annotation_id
    editing.undo()
    editing.wait_until(lambda record: record.annotations[0].box == first.box)


def test_the_faint_suggestion_is_cycled_and_hidden(editing: Editing) -> None:
    first = editing.point(BOTTLE)
    editing.canvas.press("v")
    second = editing.suggestion
    assert second
    assert second != first
    editing.canvas.press("Escape")
    assert not editing.suggestion
    editing.canvas.click(BOTTLE)
    editing.page.wait_for_timeout(300)
    assert not editing.record.annotations
    editing.page.mouse.move(*editing.canvas.at((40, 40)))
    assert editing.point(BOTTLE) == pytest.approx(first, abs=8)


def test_g_takes_an_object_inside_a_box(editing: Editing) -> None:
    around = (240.0, 240.0, 440.0, 440.0)
    editing.canvas.drag(around[:2], around[2:])
    editing.boxes(1)
    editing.canvas.press("Escape")
    editing.point(BOTTLE)
    chip = editing.canvas.surface.locator(".suggestion text")
    expect(chip).to_have_text("G · bottle")  # a click selects the box
    editing.canvas.press("g")
    inner = editing.boxes(2)[-1]
    assert inner.label == "bottle"
    editing.undo()
    editing.boxes(1)


def test_s_snaps_the_selected_box(editing: Editing) -> None:
    target = editing.point(BOTTLE)
    left, top, right, bottom = target
    editing.canvas.drag((left - 6, top - 5), (right + 7, bottom + 4))
    (drawn,) = editing.boxes(1)
    editing.canvas.press("s")
    editing.wait_until(lambda record: record.annotations[0].box != drawn.box)
    editing.undo()
    editing.wait_until(lambda record: record.annotations[0].box == drawn.box)


def test_s_says_when_nothing_fits(editing: Editing) -> None:
    editing.canvas.drag((3, 3), (12, 60))
    (drawn,) = editing.boxes(1)
    editing.canvas.press("s")
    expect(editing.page.get_by_text("No suggestion fits this box.")).to_be_visible()
    assert editing.record.annotations[0].box == drawn.box


def test_the_switch_turns_suggestions_off(editing: Editing) -> None:
    button = editing.page.get_by_role("button", name="Suggest objects under")
    assert editing.point(BOTTLE)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    assert not editing.point(BOTTLE)
    editing.canvas.click(BOTTLE)
    editing.page.wait_for_timeout(300)
    assert not editing.record.annotations
    editing.page.reload()
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")


def test_closer_looks_come_where_the_pointer_rests(editing: Editing) -> None:
    before = int(editing.canvas.get("looks"))
    editing.point((535.0, 325.0))
    assert int(editing.canvas.get("looks")) == before + 1
    editing.point((536.0, 326.0))  # the look is good for both
    assert int(editing.canvas.get("looks")) == before + 1


@pytest.fixture
def phone(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    yield context.new_page()
    context.close()


def test_a_tap_makes_the_suggestion_a_box_where_no_label_is_known_yet(
    phone: Page, dataset: Dataset, find_canvas: Callable[[Page], Canvas]
) -> None:
    editing = opened(phone, dataset, find_canvas)
    phone.touchscreen.tap(*editing.canvas.at(BOTTLE))
    (box,) = editing.boxes(1)
    assert box.label == "bottle"


_SUGGESTIONS = """(root, points) => points.map(([clientX, clientY]) => {
  const where = { clientX, clientY, bubbles: true };
  root.dispatchEvent(new PointerEvent("pointermove", where));
  return [root.dataset.suggestion, root.dataset.suggestionLabel];
})"""


def test_the_browser_ranks_as_python_does(
    page: Page, dataset: Dataset, find_canvas: Callable[[Page], Canvas]
) -> None:
    canvas = opened(page, dataset, find_canvas).canvas
    seen, size = as_sent()
    random = np.random.default_rng(5)
    points = [
        (float(x), float(y)) for x, y in random.uniform((2, 2), size, (POINTS, 2))
    ]
    shown = canvas.surface.evaluate(
        _SUGGESTIONS, [[*canvas.at((x, y))] for x, y in points]
    )
    hits = 0
    for point, (edges, label) in zip(points, shown, strict=True):
        inside = seen.at(point)
        scores = score_of(point_features(inside, point, size=size))
        if scores.max(initial=-np.inf) < LEAST_SCORE:
            assert not edges
            continue
        first = ranked(seen, point, size=size, k=1)[0]
        found = np.array([*map(float, edges.split())])
        assert found == pytest.approx(np.array(first.xyxy), abs=0.1)
        assert label == first.label
        hits += 1
    assert hits > 10


def as_sent() -> tuple[PointCandidates, Size]:
    """Return what the models see on the photograph, as the browser gets it."""
    image = load_image(
        (SAMPLES_FOLDER / PHOTOGRAPH).read_bytes(), file_name="a", max_pixels=10**8
    )
    detectors = [shared_detector(find_model(name)) for name in ASSIST_MODELS]
    head, content = packed(whole_image(image.rgb, detectors), image.size)
    rows = np.frombuffer(content, "<u2").reshape(-1, 7)
    sides = np.array([*image.size, *image.size])
    return (
        PointCandidates(
            rows[:, :4] / 65535 * sides,
            rows[:, 4] / 65535,
            np.array(head["names"])[rows[:, 5]],
            np.array(head["sides"])[rows[:, 6]],
        ),
        image.size,
    )
