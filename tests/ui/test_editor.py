"""Messages of the canvas, booked: late, doubled, cut short or in conflict."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    LabelSet,
    Size,
    Source,
)
from imagebase.errors import NotFoundError, RevisionConflictError
from imagebase.ui.editor import Editor, RecordAccess, undisturbed
from imagebase.ui.fabric import Viewport

LABELS = LabelSet.of(["person", "car"])
SIZE = Size(640, 480)
VIEWPORT = Viewport(Box(0, 0, 640, 480), Size(640, 480))
MODEL = Annotation(
    Box(40.125, 50.0625, 200.33334, 180.77777),
    "person",
    "m",
    Source.MODEL,
    confidence=0.93,
    model_id="net",
)
HUMAN = Annotation(Box(300.1, 100.2, 420.3, 300.4), "car", "h")


class Rerun(BaseException):
    """As Streamlit raises one: no Exception."""


class Records:
    """A store of records that counts what is saved."""

    def __init__(self, *names: str) -> None:
        self.saved = 0
        self.before_save: list[BaseException] = []
        self.after_save: list[BaseException] = []
        self.records = {
            name: ImageRecord(name, f"{name}.jpg", SIZE, (MODEL, HUMAN))
            for name in names
        }

    def save(self, record: ImageRecord) -> ImageRecord:
        if self.before_save:
            raise self.before_save.pop()
        self.saved += 1
        self.records[record.image_id] = replace(record, revision=record.revision + 1)
        if self.after_save:
            raise self.after_save.pop()
        return self.records[record.image_id]

    def load(self, image_id: str) -> ImageRecord:
        return self.records[image_id]

    @property
    def access(self) -> RecordAccess:
        return RecordAccess(self.load, self.save, "Ada", dataset_id=str(id(self)))


@pytest.fixture
def records() -> Records:
    return Records("a", "b")


@pytest.fixture
def editor(records: Records) -> Editor:
    made = Editor(access=records.access)
    made.fill(records.load("a"), VIEWPORT, labels=LABELS)
    return made


def message(editor: Editor) -> dict[str, Any]:
    """What the canvas says when nothing was done on it."""
    return copy.deepcopy(editor.drawing)


def with_new_box(said: dict[str, Any], left: float = 10) -> dict[str, Any]:
    box = {"type": "LabeledRect", "left": left, "top": 400, "width": 50, "height": 40}
    said["objects"].append(box | {"strokeWidth": 2, "label": "car"})
    return said


def item(said: dict[str, Any], annotation_id: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in said["objects"] if one.get("lockSkewingX") == annotation_id
    )
    return found


def book(editor: Editor, said: dict[str, Any]) -> list[BaseException]:
    interruptions: list[BaseException] = []
    editor.book(said, interruptions)
    return interruptions


def test_filled_editor_shows_the_record(editor: Editor, records: Records) -> None:
    assert editor.shows(records.load("a"), VIEWPORT)
    assert not editor.shows(records.load("b"), VIEWPORT)
    zoomed = VIEWPORT._replace(display_size=Size(1280, 960))
    assert not editor.shows(records.load("a"), zoomed)


def test_echo_and_silence_save_nothing(editor: Editor, records: Records) -> None:
    book(editor, message(editor))
    book(editor, {})
    assert records.saved == 0


def test_drawn_box_is_saved_once_and_needs_no_new_drawing(
    editor: Editor, records: Records
) -> None:
    said = with_new_box(message(editor))
    for _ in range(3):
        book(editor, copy.deepcopy(said))
    record = records.load("a")
    assert records.saved == 1
    assert record.annotations[:2] == (MODEL, HUMAN)
    assert record.annotations[2].box == Box(10, 400, 60, 440)
    assert editor.shows(record, VIEWPORT)


def test_second_box_leaves_the_first_ones_id(editor: Editor, records: Records) -> None:
    book(editor, with_new_box(message(editor)))
    first = records.load("a").annotations[2]
    book(editor, with_new_box(with_new_box(message(editor)), left=100))
    assert records.load("a").annotations[2] is first
    assert len(records.load("a").annotations) == 4


def test_late_message_is_booked_on_the_image_it_was_drawn_on(
    editor: Editor, records: Records
) -> None:
    late = with_new_box(message(editor))
    editor.fill(records.load("b"), VIEWPORT, labels=LABELS)
    book(editor, late)
    assert len(records.load("a").annotations) == 3
    assert records.load("b").annotations == (MODEL, HUMAN)
    assert editor.shows(records.load("b"), VIEWPORT)


def test_late_message_is_booked_in_the_dataset_it_was_drawn_in(
    editor: Editor, records: Records
) -> None:
    late, others = with_new_box(message(editor)), Records("a")
    editor.access = others.access
    editor.fill(others.load("a"), VIEWPORT, labels=LABELS)
    book(editor, late)
    assert len(records.load("a").annotations) == 3
    assert others.load("a").annotations == (MODEL, HUMAN)


def test_same_image_in_another_dataset_is_filled_anew(editor: Editor) -> None:
    others = Records("a")
    editor.access = others.access
    assert not editor.shows(others.load("a"), VIEWPORT)


def test_late_message_leaves_newer_changes_alone(
    editor: Editor, records: Records
) -> None:
    late = with_new_box(message(editor))
    moved = HUMAN.touched(who="Bob", box=Box(1, 2, 30, 40))
    records.save(records.load("a").with_annotations((MODEL, moved)))
    book(editor, late)
    assert records.load("a").annotations[:2] == (MODEL, moved)
    assert len(records.load("a").annotations) == 3
    assert not editor.shows(records.load("a"), VIEWPORT)


def test_message_of_an_unknown_drawing_is_about_nothing(
    editor: Editor, records: Records
) -> None:
    book(editor, with_new_box(message(editor)) | {"lockSkewingX": "x/1/unknown"})
    assert records.saved == 0


def test_deleted_box_comes_back_whole_when_the_canvas_takes_it_back(
    editor: Editor, records: Records
) -> None:
    said = message(editor)
    said["objects"].remove(item(said, "m"))
    book(editor, said)
    assert records.load("a").annotations == (HUMAN,)
    assert records.load("a").deleted == (MODEL,)
    book(editor, message(editor))
    assert set(records.load("a").annotations) == {MODEL, HUMAN}
    assert records.load("a").deleted == ()


def test_stray_click_asks_for_a_new_drawing_and_saves_nothing(
    editor: Editor, records: Records
) -> None:
    said = with_new_box(message(editor))
    said["objects"][-1] |= {"width": 2, "height": 2}
    book(editor, said)
    assert records.load("a").annotations == (MODEL, HUMAN)
    assert not editor.shows(records.load("a"), VIEWPORT)


@pytest.mark.parametrize(
    "change",
    [{"label": "dog"}, {"label": " "}, {"left": -5000}, {"left": -100}],
    ids=["new label", "blank label", "pulled out", "pulled over the edge"],
)
def test_canvas_that_shows_something_else_is_filled_anew(
    editor: Editor, records: Records, change: dict[str, Any]
) -> None:
    said = message(editor)
    item(said, "m").update(change)
    book(editor, said)
    assert len(records.load("a").annotations) == 2
    assert not editor.shows(records.load("a"), VIEWPORT)


def test_browsers_new_canvas_is_filled_anew_only_after_an_edit(
    editor: Editor, records: Records
) -> None:
    editor.refill()
    assert editor.shows(records.load("a"), VIEWPORT)
    book(editor, with_new_box(message(editor)))
    editor.refill()
    assert not editor.shows(records.load("a"), VIEWPORT)


def test_conflict_is_settled_by_booking_on_the_newer_record(
    editor: Editor, records: Records
) -> None:
    a = records.load("a")
    records.before_save = [RevisionConflictError("moved on", ours=a, theirs=a)]
    book(editor, with_new_box(message(editor)))
    assert len(records.load("a").annotations) == 3
    assert editor.problem == ""


def test_change_that_cannot_be_saved_is_told_and_taken_off_the_canvas(
    editor: Editor, records: Records
) -> None:
    records.before_save = [NotFoundError("That image is gone.")]
    book(editor, with_new_box(message(editor)))
    assert editor.problem == "That image is gone."
    assert not editor.shows(records.load("a"), VIEWPORT)


@pytest.mark.parametrize("moment", ["before_save", "after_save"])
def test_rerun_in_the_middle_neither_loses_nor_doubles_a_box(
    editor: Editor, records: Records, moment: str
) -> None:
    setattr(records, moment, [Rerun()])
    interruptions = book(editor, with_new_box(message(editor)))
    assert len(records.load("a").annotations) == 3
    assert [type(one) for one in interruptions] == [Rerun]
    assert editor.shows(records.load("a"), VIEWPORT)


def test_session_that_ends_is_let_go() -> None:
    def end() -> None:
        raise Rerun

    with pytest.raises(Rerun):
        undisturbed(end, [])
