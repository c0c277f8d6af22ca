"""The editor in a real browser: nothing a person does is lost, nothing else changes."""

import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from imagebase.annotation import Annotation, Box, ImageRecord, Source
from imagebase.settings import SAMPLES_FOLDER
from tests.browser.conftest import Canvas, Point, Serve

pytestmark = pytest.mark.browser

APP = Path(__file__).with_name("canvas_app.py")
PHOTOGRAPHS = ("banana-market.jpg", "bear.jpg")
SCALE = 720 / 640
HUMAN_BOX_MIDDLE = (360 * SCALE, 200 * SCALE)


class Editing(NamedTuple):
    """A visitor in the editor, and the store behind it."""

    canvas: Canvas
    folder: Path
    url: str

    @property
    def page(self) -> Page:
        return self.canvas.page

    def record(self, index: int = 0) -> ImageRecord:
        records = pickle.loads((self.folder / "records.pickle").read_bytes())
        found: ImageRecord = records[Path(PHOTOGRAPHS[index]).stem]
        return found

    def wait_for(
        self, is_there: Callable[[ImageRecord], bool], index: int = 0
    ) -> ImageRecord:
        """Return the stored record as soon as it is as expected."""
        for _ in range(100):
            if is_there(self.record(index)):
                return self.record(index)
            self.page.wait_for_timeout(50)
        pytest.fail(f"not so within 5 s: {self.record(index)}")

    def settle(self) -> None:
        """Wait until the canvas has spoken and the page is drawn again."""
        self.page.wait_for_timeout(700)


def human(record: ImageRecord) -> tuple[Annotation, ...]:
    """The boxes a person drew in the test."""
    return tuple(
        one
        for one in record.annotations
        if one.annotation_id not in ("model-box", "human-box")
    )


def has_boxes(count: int) -> Callable[[ImageRecord], bool]:
    return lambda record: len(record.annotations) == count


def near(box: Box, expected: tuple[float, ...], tolerance: float = 1.0) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(box, expected, strict=True))


def image_box(start: Point, end: Point) -> tuple[float, ...]:
    return tuple(value / SCALE for value in (*start, *end))


@pytest.fixture(scope="module")
def served(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("canvas_app")
    (folder / "images").mkdir()
    for name in PHOTOGRAPHS:
        shutil.copy(SAMPLES_FOLDER / name, folder / "images")
    return serve(APP, {"CANVAS_APP_FOLDER": str(folder)}), folder


@pytest.fixture
def editing(
    served: tuple[str, Path], page: Page, find_canvas: Callable[[Page], Canvas]
) -> Editing:
    url, folder = served
    (folder / "records.pickle").unlink(missing_ok=True)
    page.goto(url)
    return Editing(find_canvas(page), folder, url)


def test_drawn_box_is_saved_where_the_mouse_was(editing: Editing) -> None:
    before = editing.record()
    editing.canvas.drag((100, 300), (250, 400))
    record = editing.wait_for(has_boxes(3))
    (drawn,) = human(record)
    assert near(drawn.box, image_box((100, 300), (250, 400)), 0.3)
    assert (drawn.label, drawn.source, drawn.changed_by) == (
        "person",
        Source.HUMAN,
        "Ada",
    )
    assert record.annotations[:2] == before.annotations


def test_box_drawn_past_the_edge_reaches_it(editing: Editing) -> None:
    editing.canvas.drag((600, 100), (1000, -150), steps=2)
    (drawn,) = human(editing.wait_for(has_boxes(3)))
    assert near(drawn.box, (600 / SCALE, 0, 640, 100 / SCALE), 0.1)


def test_moved_box_keeps_its_size_and_the_others_every_bit(editing: Editing) -> None:
    before = editing.record()
    x, y = HUMAN_BOX_MIDDLE
    editing.page.keyboard.press("v")
    editing.canvas.drag((x, y), (x + 45, y + 18))
    after = editing.wait_for(lambda record: record.revision > before.revision)
    moved, was = after.annotation("human-box").box, before.annotation("human-box").box
    expected = tuple(edge + d for edge, d in zip(was, (40, 16) * 2, strict=True))
    assert near(moved, expected, 0.1)
    assert after.annotation("model-box") == before.annotation("model-box")


def test_resized_box_changes_only_the_edges_that_moved(editing: Editing) -> None:
    before = editing.record().annotation("model-box").box
    editing.page.keyboard.press("v")
    editing.canvas.click((100 * SCALE, 100 * SCALE))
    right = (before.x_max * SCALE, (before.y_min + before.y_max) / 2 * SCALE)
    editing.canvas.drag(right, (right[0] + 36, right[1]))
    resized = editing.wait_for(lambda record: record.revision == 1).annotation(
        "model-box"
    )
    assert resized.box[:2] == before[:2]
    assert resized.box.y_max == before.y_max
    assert resized.box.x_max == pytest.approx(before.x_max + 32, abs=2)
    assert (resized.source, resized.confidence) == (Source.HUMAN, None)


def test_number_key_labels_the_next_box_and_the_selected_one(editing: Editing) -> None:
    editing.page.keyboard.press("3")
    editing.settle()
    editing.canvas.drag((100, 300), (250, 400))
    (drawn,) = human(editing.wait_for(has_boxes(3)))
    assert drawn.label == "dog"
    editing.page.keyboard.press("v")
    editing.canvas.click((175, 350))
    editing.page.keyboard.press("2")
    record = editing.wait_for(lambda record: human(record)[0].label == "car")
    assert human(record)[0].annotation_id == drawn.annotation_id
    assert len(record.annotations) == 3


def test_box_drawn_right_after_a_number_key_is_whole_and_has_that_label(
    editing: Editing,
) -> None:
    for i, (key, label) in enumerate((("2", "car"), ("3", "dog"), ("1", "person"))):
        start, end = (100 + 150.0 * i, 300.0), (200 + 150.0 * i, 400.0)
        editing.page.keyboard.press(key)
        editing.canvas.drag(start, end)
        drawn = human(editing.wait_for(has_boxes(3 + i)))[i]
        assert drawn.label == label
        assert near(drawn.box, image_box(start, end), 0.3)


def test_key_pressed_while_a_box_is_drawn_waits_for_it(editing: Editing) -> None:
    mouse = editing.page.mouse
    mouse.move(*editing.canvas.at((100, 300)))
    mouse.down()
    mouse.move(*editing.canvas.at((180, 350)), steps=4)
    editing.page.keyboard.press("n")
    editing.page.wait_for_timeout(500)
    mouse.move(*editing.canvas.at((250, 400)), steps=4)
    mouse.up()
    (drawn,) = human(editing.wait_for(has_boxes(3)))
    assert near(drawn.box, image_box((100, 300), (250, 400)), 0.3)
    expect(editing.page.get_by_text(PHOTOGRAPHS[1])).to_be_visible()


def test_label_typed_on_the_canvas_is_kept_without_the_confidence(
    editing: Editing,
) -> None:
    editing.page.keyboard.press("v")
    for _ in range(2):
        editing.canvas.click((100 * SCALE, 100 * SCALE))
        editing.page.wait_for_timeout(300)
    editing.page.keyboard.press("End")
    for _ in " .93":
        editing.page.keyboard.press("Backspace")
    editing.page.keyboard.type("s .93")
    editing.page.keyboard.press("Escape")
    record = editing.wait_for(lambda record: record.revision == 1)
    assert record.annotation("model-box").label == "persons"


def test_deleted_model_box_leaves_a_mark(editing: Editing) -> None:
    editing.page.keyboard.press("v")
    editing.canvas.click((100 * SCALE, 100 * SCALE))
    editing.page.wait_for_timeout(100)
    editing.page.keyboard.press("Delete")
    record = editing.wait_for(has_boxes(1))
    assert [one.annotation_id for one in record.deleted] == ["model-box"]


def test_number_typed_in_the_table_moves_the_box_on_the_canvas(
    editing: Editing,
) -> None:
    type_x(editing, "310", row=1)
    record = editing.wait_for(lambda record: record.revision == 1)
    box = record.annotation("human-box").box
    assert near(box, (310, 100.2, 310 + 120.2, 300.4), 1e-6)
    editing.settle()
    x, y = (310 + 60) * SCALE, 200 * SCALE
    editing.page.get_by_role("button", name="Edit").click()
    editing.canvas.drag((x, y), (x + 9, y))
    record = editing.wait_for(lambda record: record.revision == 2)
    assert near(record.annotation("human-box").box, (318, 100.2, 438.2, 300.4), 0.1)


def test_impossible_number_in_the_table_is_refused_in_a_sentence(
    editing: Editing,
) -> None:
    before = editing.record()
    type_x(editing, "9000", row=1)
    expect(editing.page.get_by_text("nothing inside the image")).to_be_visible()
    assert editing.record() == before


def test_box_deleted_in_the_table_goes_from_the_canvas(editing: Editing) -> None:
    table = editing.page.get_by_test_id("stDataFrame").bounding_box()
    assert table is not None
    editing.page.mouse.click(table["x"] + 16, table["y"] + 35 + 17)
    editing.page.keyboard.press("Delete")
    editing.wait_for(has_boxes(1))
    editing.settle()
    editing.canvas.drag((100, 300), (250, 400))
    record = editing.wait_for(has_boxes(2))
    assert "model-box" not in {one.annotation_id for one in record.annotations}


def test_box_survives_a_press_of_next_right_after_the_mouse_is_up(
    editing: Editing,
) -> None:
    for key in ("n", "n"):
        editing.canvas.drag((100, 300), (250, 400))
        editing.page.keyboard.press(key)
        editing.settle()
    assert [len(editing.record(i).annotations) for i in (0, 1)] == [3, 3]


def test_box_survives_a_click_on_next_right_after_the_mouse_is_up(
    editing: Editing,
) -> None:
    place = editing.page.get_by_role("button", name="Next").bounding_box()
    assert place is not None
    for _ in range(2):
        editing.canvas.drag((100, 300), (250, 400))
        editing.page.mouse.click(place["x"] + 10, place["y"] + 10)
        editing.settle()
    assert [len(editing.record(i).annotations) for i in (0, 1)] == [3, 3]


def test_box_drawn_right_before_approval_is_part_of_what_is_approved(
    editing: Editing,
) -> None:
    editing.canvas.drag((100, 300), (250, 400))
    editing.page.keyboard.press("Enter")
    record = editing.wait_for(lambda record: record.status == "approved")
    assert len(record.annotations) == 3
    editing.settle()
    assert editing.record() == record


def test_quick_edits_in_a_row_are_all_kept_once(editing: Editing) -> None:
    for i in range(4):
        editing.canvas.drag((40 + 90 * i, 380), (100 + 90 * i, 440), steps=2)
        editing.page.wait_for_timeout(60 * i)
    record = editing.wait_for(has_boxes(6))
    editing.settle()
    assert editing.record() == record
    assert len({one.annotation_id for one in record.annotations}) == 6
    assert [round(one.box.x_min * SCALE) for one in human(record)] == [
        40,
        130,
        220,
        310,
    ]


def test_reload_shows_and_keeps_what_was_drawn(editing: Editing) -> None:
    editing.canvas.drag((100, 300), (250, 400))
    drawn = editing.wait_for(has_boxes(3))
    editing.page.reload()
    editing.canvas.surface.wait_for()
    editing.page.wait_for_timeout(1500)
    editing.canvas.drag((400, 350), (480, 420))
    record = editing.wait_for(has_boxes(4))
    assert record.annotations[:3] == drawn.annotations


def test_leaving_the_page_and_coming_back_loses_nothing(editing: Editing) -> None:
    editing.canvas.drag((100, 300), (250, 400))
    drawn = editing.wait_for(has_boxes(3))
    editing.page.get_by_role("link", name="Other").click()
    expect(editing.page.get_by_text("Another page.")).to_be_visible()
    editing.page.get_by_role("link", name="Edit").click()
    editing.canvas.surface.wait_for()
    editing.page.wait_for_timeout(1500)
    editing.canvas.drag((400, 350), (480, 420))
    record = editing.wait_for(has_boxes(4))
    assert record.annotations[:3] == drawn.annotations


def test_leaving_the_page_right_after_the_mouse_is_up_loses_nothing(
    editing: Editing,
) -> None:
    editing.canvas.drag((100, 300), (250, 400))
    editing.page.get_by_role("link", name="Other").click(delay=60)
    assert len(editing.wait_for(has_boxes(3)).annotations) == 3


def test_canvas_that_the_browser_built_anew_is_filled_anew(editing: Editing) -> None:
    editing.canvas.drag((100, 300), (250, 400))
    drawn = editing.wait_for(has_boxes(3))
    editing.page.get_by_test_id("stCheckbox").click()
    expect(editing.page.get_by_text("An element above")).to_be_visible()
    editing.page.wait_for_timeout(1500)
    editing.canvas.drag((400, 350), (480, 420))
    record = editing.wait_for(has_boxes(4))
    assert record.annotations[:3] == drawn.annotations


def test_stray_click_leaves_nothing_and_cuts_nothing_short(editing: Editing) -> None:
    before = editing.record()
    editing.canvas.click((30, 30))
    editing.canvas.drag((100, 300), (250, 400), steps=40)
    record = editing.wait_for(has_boxes(3))
    editing.settle()
    assert editing.record() == record
    assert record.annotations[:2] == before.annotations


def test_keys_are_left_alone_while_someone_types(editing: Editing) -> None:
    select_cell(editing, row=0)
    editing.page.keyboard.press("a")
    editing.settle()
    assert editing.record().annotation("model-box").is_untouched


def test_edit_is_saved_soon_after_the_mouse_is_up(editing: Editing) -> None:
    started = time.time()
    editing.canvas.drag((100, 300), (250, 400), steps=2)
    editing.wait_for(has_boxes(3))
    assert time.time() - started < 3


def select_cell(editing: Editing, *, row: int) -> None:
    """Click the cell of the first column in a row of the table."""
    table = editing.page.get_by_test_id("stDataFrame").bounding_box()
    assert table is not None
    editing.page.mouse.click(table["x"] + 60, table["y"] + 35 * (row + 1) + 17)
    editing.page.wait_for_timeout(200)


def type_x(editing: Editing, text: str, *, row: int) -> None:
    """Type a number into the fourth column, as a person would."""
    select_cell(editing, row=row)
    keys = ["ArrowRight"] * 3 + ["Enter", "Control+A", *text, "Enter"]
    for key in keys:
        editing.page.keyboard.press(key)
        editing.page.wait_for_timeout(80)
