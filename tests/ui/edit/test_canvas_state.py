"""Messages of the editor: late, doubled, interrupted or in conflict."""

from dataclasses import replace

import pytest

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.editing.records import ShownBox
from imagebase.errors import NotFoundError, RevisionConflictError, StoreError
from imagebase.ui.edit.canvas_messages import Action, Drawing, Message, Where
from imagebase.ui.edit.canvas_state import Editor, RecordAccess
from imagebase.ui.state import undisturbed

SIZE = Size(640, 480)
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
        here = str(id(self))
        return RecordAccess(self.load, self.save, "Ada", dataset_id=here, place=here)


NEW = ShownBox("n" * 32, Box(10, 400, 60, 440), "car")
NEWER = ShownBox("o" * 32, Box(100, 400, 150, 440), "car")


@pytest.fixture
def records() -> Records:
    return Records("a", "b")


@pytest.fixture
def editor(records: Records) -> Editor:
    made = Editor(access=records.access)
    made.fill(records.load("a"))
    return made


def drawing(editor: Editor, *new: ShownBox, seq: int = 1) -> Drawing:
    """What the browser says when nothing but these boxes was added."""
    showing = editor.showings[editor.tag]
    assert showing.access is not None
    return Drawing(
        editor.tag,
        seq,
        (*showing.boxes, *new),
        Where(showing.access.place, showing.image_id),
        added=frozenset(annotation.annotation_id for annotation in new),
    )


def changed(said: Drawing, annotation_id: str, **changes: object) -> Drawing:
    boxes = [
        box._replace(**changes) if box.annotation_id == annotation_id else box  # type: ignore[arg-type]
        for box in said.boxes or ()
    ]
    return said._replace(boxes=tuple(boxes))


def without(said: Drawing, annotation_id: str) -> Drawing:
    kept = [box for box in said.boxes or () if box.annotation_id != annotation_id]
    return said._replace(boxes=tuple(kept))


def book(editor: Editor, *said: Drawing) -> list[BaseException]:
    interruptions: list[BaseException] = []
    editor.book(Message(said), interruptions)
    return interruptions


def conflict(records: Records) -> RevisionConflictError:
    a = records.load("a")
    return RevisionConflictError("It moved on.", ours=a, theirs=a)


def test_filled_editor_shows_the_record(editor: Editor, records: Records) -> None:
    assert editor.shows(records.load("a"))
    assert not editor.shows(records.load("b"))


def test_echo_and_silence_save_nothing(editor: Editor, records: Records) -> None:
    book(editor, drawing(editor))
    book(editor)
    assert records.saved == 0


def test_drawn_box_is_saved_once_and_needs_no_new_filling(
    editor: Editor, records: Records
) -> None:
    said = drawing(editor, NEW)
    for _ in range(3):
        book(editor, said)
    record = records.load("a")
    assert records.saved == 1
    assert record.annotations[:2] == (MODEL, HUMAN)
    assert record.annotations[2].box == NEW.box
    assert editor.shows(record)


def test_second_box_leaves_the_first_one_as_it_was(
    editor: Editor, records: Records
) -> None:
    book(editor, drawing(editor, NEW))
    first = records.load("a").annotations[2]
    book(editor, drawing(editor, NEWER, seq=2))
    assert records.load("a").annotations[2] is first
    assert len(records.load("a").annotations) == 4


def test_moved_and_relabelled_boxes_need_no_new_filling(
    editor: Editor, records: Records
) -> None:
    said = changed(drawing(editor), "m", label="dog")
    said = changed(said, "h", box=HUMAN.box._replace(x_max=433.25))
    book(editor, said)
    record = records.load("a")
    assert record.annotation("m").label == "dog"
    assert record.annotation("m").box == MODEL.box
    assert record.annotation("h").box == HUMAN.box._replace(x_max=433.25)
    assert editor.shows(record)


def test_late_message_is_booked_on_the_image_it_was_drawn_on(
    editor: Editor, records: Records
) -> None:
    late = drawing(editor, NEW)
    editor.fill(records.load("b"))
    book(editor, late)
    assert len(records.load("a").annotations) == 3
    assert records.load("b").annotations == (MODEL, HUMAN)
    assert editor.shows(records.load("b"))


def test_messages_of_two_images_in_one_are_both_booked(
    editor: Editor, records: Records
) -> None:
    first = drawing(editor, NEW)
    editor.fill(records.load("b"))
    book(editor, first, drawing(editor, NEWER, seq=2))
    assert [len(records.load(name).annotations) for name in "ab"] == [3, 3]
    assert sorted(editor.booked.values()) == [1, 2]


def test_late_message_is_booked_in_the_dataset_it_was_drawn_in(
    editor: Editor, records: Records
) -> None:
    late, others = drawing(editor, NEW), Records("a")
    editor.access = others.access
    editor.fill(others.load("a"))
    book(editor, late)
    assert len(records.load("a").annotations) == 3
    assert others.load("a").annotations == (MODEL, HUMAN)


def test_same_image_in_another_dataset_is_refilled(editor: Editor) -> None:
    others = Records("a")
    editor.access = others.access
    assert not editor.shows(others.load("a"))


def test_late_message_leaves_newer_changes_alone(
    editor: Editor, records: Records
) -> None:
    late = drawing(editor, NEW)
    moved = HUMAN.touched(who="Bob", box=Box(1, 2, 30, 40))
    records.save(records.load("a").with_annotations((MODEL, moved)))
    book(editor, late)
    assert records.load("a").annotations[:2] == (MODEL, moved)
    assert len(records.load("a").annotations) == 3
    assert not editor.shows(records.load("a"))


def test_drawing_of_another_place_is_answered_and_not_booked(
    editor: Editor, records: Records
) -> None:
    said = drawing(editor, NEW)._replace(tag="x", where=Where("elsewhere", "a"))
    book(editor, said)
    assert records.saved == 0
    assert editor.answer()["refused"] == [
        ["elsewhere", "a", 1, "It belongs to another dataset; open that one."]
    ]


def test_unreadable_drawing_is_answered(editor: Editor, records: Records) -> None:
    book(editor, drawing(editor, NEW)._replace(boxes=None))
    ((_, image_id, seq, why),) = editor.answer()["refused"]
    assert (image_id, seq, records.saved) == ("a", 1, 0)
    assert why == "The server cannot read this change; discard it."


def anew(records: Records) -> Editor:
    """An editor of a server that was started anew."""
    other = Editor(access=records.access)
    other.fill(records.load("a"))
    return other


def test_drawing_from_before_a_restart_is_placed(
    editor: Editor, records: Records
) -> None:
    said = without(changed(drawing(editor, NEW, seq=9), "h", label="dog"), "m")
    before = (ShownBox("m", MODEL.box, "person"), ShownBox("h", HUMAN.box, "car"))
    said = said._replace(before=before)
    other = anew(records)
    for _ in range(3):
        book(other, said)
    record = records.load("a")
    assert records.saved == 1
    labels = {
        annotation.annotation_id: annotation.label for annotation in record.annotations
    }
    assert labels == {"h": "dog", NEW.annotation_id: "car"}
    assert record.deleted == (MODEL,)
    assert other.answer()["booked"] == [[*said.where, 9]]
    assert not other.shows(record)  # it is filled with what was drawn


def test_drawing_whose_answer_was_lost_takes_nothing_back(
    editor: Editor, records: Records
) -> None:
    said = drawing(editor, NEW)
    book(editor, said)
    approved = replace(records.load("a"), status=ReviewStatus.APPROVED)
    records.save(approved)
    other = anew(records)
    book(other, said)
    assert records.load("a").status is ReviewStatus.APPROVED
    assert records.saved == 2


def test_drawing_from_before_a_restart_leaves_what_others_did(
    editor: Editor, records: Records
) -> None:
    said = drawing(editor, NEW)
    moved = HUMAN.touched(who="Bob", box=Box(1, 2, 30, 40))
    records.save(records.load("a").with_annotations((MODEL, moved)))
    book(anew(records), said)
    labels = [annotation.annotation_id for annotation in records.load("a").annotations]
    assert labels == ["m", "h", NEW.annotation_id]
    assert records.load("a").annotation("h") == moved


def test_drawing_from_before_a_restart_that_others_changed_too_is_chosen_from(
    editor: Editor, records: Records
) -> None:
    heard: list[RevisionConflictError] = []
    said = changed(drawing(editor), "h", label="dog")
    said = said._replace(before=(ShownBox("h", HUMAN.box, "car"),))
    moved = HUMAN.touched(who="Bob", box=Box(1, 2, 30, 40))
    records.save(records.load("a").with_annotations((MODEL, moved)))
    other = anew(records)
    other.access = replace(
        records.access, on_conflict=heard.append, is_disputed=lambda _: bool(heard)
    )
    book(other, said)
    book(other, said)
    (conflict,) = heard
    assert conflict.base is not None
    assert conflict.base.annotation("h").box == HUMAN.box
    assert conflict.ours.annotation("h").label == "dog"
    assert conflict.theirs == records.load("a")
    assert "choose" in other.answer()["refused"][0][-1]
    heard.clear()  # somebody chose
    book(other, said)
    assert other.answer()["refused"] == []
    assert other.answer()["booked"] == [[*said.where, 1]]


def test_drawing_counts_once_however_late_it_is_repeated(
    editor: Editor, records: Records
) -> None:
    first, second = drawing(editor, NEW), drawing(editor, seq=2)
    book(editor, first)
    book(editor, second)
    book(editor, first)
    assert records.load("a").annotations == (MODEL, HUMAN)


def test_deleted_box_is_restored_whole_when_the_browser_has_it_again(
    editor: Editor, records: Records
) -> None:
    whole = drawing(editor)
    book(editor, without(whole, "m"))
    assert records.load("a").annotations == (HUMAN,)
    assert records.load("a").deleted == (MODEL,)
    book(editor, whole._replace(seq=2))
    assert set(records.load("a").annotations) == {MODEL, HUMAN}
    assert records.load("a").deleted == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"label": " "},
        {"box": Box(-500, 0, -400, 90)},
        {"box": Box(-50, 50.0625, 200.33334, 180.77777)},
    ],
    ids=["blank label", "pulled out", "pulled over the edge"],
)
def test_editor_that_shows_something_else_is_refilled(
    editor: Editor, records: Records, changes: dict[str, object]
) -> None:
    book(editor, changed(drawing(editor), "m", **changes))
    assert len(records.load("a").annotations) == 2
    assert not editor.shows(records.load("a"))


def test_editor_is_refilled_on_request(editor: Editor, records: Records) -> None:
    editor.refill()
    assert not editor.shows(records.load("a"))


def test_filling_tells_up_to_which_message_it_knows(
    editor: Editor, records: Records
) -> None:
    book(editor, drawing(editor, NEW, seq=7))
    editor.fill(records.load("a"))
    assert editor.filling["seq"] == 7


def test_conflict_is_handed_on_once_and_nothing_is_written_over(
    editor: Editor, records: Records
) -> None:
    heard: list[RevisionConflictError] = []
    editor.access = replace(records.access, on_conflict=heard.append)
    records.before_save = [conflict(records)]
    said = drawing(editor, NEW)
    book(editor, said)
    book(editor, said)
    assert [str(message) for message in heard] == ["It moved on."]
    assert records.load("a").annotations == (MODEL, HUMAN)
    assert editor.problem == ""
    assert not editor.shows(records.load("a"))


def test_conflict_without_a_handler_is_a_problem(
    editor: Editor, records: Records
) -> None:
    records.before_save = [conflict(records)]
    book(editor, drawing(editor, NEW))
    assert editor.problem == "It moved on."
    assert records.saved == 0


def test_change_to_a_deleted_image_is_reported_once(
    editor: Editor, records: Records
) -> None:
    records.before_save = [NotFoundError("Gone."), NotFoundError("That image is gone.")]
    book(editor, drawing(editor, NEW))
    assert editor.problem == "That image is gone."
    editor.problem = ""
    book(editor, drawing(editor))
    assert editor.problem == ""


def test_change_that_could_not_be_written_is_answered_and_kept_in_sight(
    editor: Editor, records: Records
) -> None:
    why = "The database is busy: nothing was saved; try again in a moment."
    records.before_save = [StoreError(why)]
    said = drawing(editor, NEW)
    book(editor, said)
    assert editor.answer()["refused"] == [[*said.where, 1, "The database is busy."]]
    assert editor.shows(records.load("a"))  # so that nothing is drawn over it
    book(editor, said)
    assert len(records.load("a").annotations) == 3
    assert editor.answer()["refused"] == []


def test_each_key_is_taken_once(editor: Editor) -> None:
    first, second = Action(1, "next"), Action(2, "next")
    assert editor.take_action(Message(actions=(first,)), []) == first
    assert editor.take_action(Message(actions=(first, second)), []) == second
    assert editor.take_action(Message(actions=(first, second)), []) is None


def test_drawing_is_saved_after_the_action_that_came_before_it(
    editor: Editor, records: Records
) -> None:
    said = drawing(editor, NEW)._replace(after=1)
    approve, undo = Action(1, "approve", "b"), Action(2, "undo", "a")
    message = Message((said,), (approve, undo))
    assert editor.take_action(message, []) == approve
    assert len(records.load("a").annotations) == 2
    assert editor.take_action(message, []) == undo
    assert len(records.load("a").annotations) == 3


def test_key_waits_until_the_image_is_saved(editor: Editor, records: Records) -> None:
    records.before_save = [StoreError("The disk is full.")]
    said, approve = drawing(editor, NEW), Action(1, "approve", "a")
    message = Message((said,), (approve,))
    assert editor.take_action(message, []) is None
    assert editor.answer()["done"] == 0
    editor.book(message, [])
    assert editor.take_action(message, []) == approve


def test_tag_belongs_to_the_dataset_that_it_was_filled_from(editor: Editor) -> None:
    access = editor.showings[editor.tag].access
    assert access is not None
    assert not editor.is_of_other(editor.tag, access.dataset_id)
    editor.showings[editor.tag].access = replace(access, dataset_id="first")
    assert editor.is_of_other(editor.tag, "second")
    assert not editor.is_of_other(editor.tag, "first")
    assert not editor.is_of_other("of another server", "second")


def test_suggestions_are_those_of_the_tag_that_was_seen(
    editor: Editor, records: Records
) -> None:
    record = records.load("a")
    first, second = (
        Annotation(Box(left, 1, left + 5, 9), "car", f"s{left}", Source.MODEL)
        for left in (1, 30)
    )
    editor.fill(record.with_annotations([*record.annotations, first]), {"s1": first})
    seen = editor.tag
    both = [*record.annotations, first, second]
    editor.fill(record.with_annotations(both), {"s1": first, "s30": second})
    assert editor.suggested_under(seen, "a") == (first,)
    assert editor.suggested_under(editor.tag, "a") == (first, second)
    assert editor.suggested_under(seen, "b") is None
    assert editor.suggested_under("of another server", "a") is None


@pytest.mark.parametrize("moment", ["before_save", "after_save"])
def test_rerun_in_the_middle_neither_loses_nor_doubles_a_box(
    editor: Editor, records: Records, moment: str
) -> None:
    setattr(records, moment, [Rerun()])
    interruptions = book(editor, drawing(editor, NEW))
    assert len(records.load("a").annotations) == 3
    assert [type(interruption) for interruption in interruptions] == [Rerun]
    assert editor.shows(records.load("a"))


def test_session_that_ends_is_let_go() -> None:
    def end() -> None:
        raise Rerun

    with pytest.raises(Rerun):
        undisturbed(end, [])


SUGGESTED = {
    name: replace(
        MODEL, annotation_id=name, box=Box(10 * x, 300, 10 * x + 60, 360), label="dog"
    )
    for name, x in (("s1", 1), ("s2", 20))
}


@pytest.fixture
def suggesting(records: Records) -> Editor:
    """An editor that shows two boxes of the record and two that are suggested."""
    made = Editor(access=records.access)
    record = records.load("a")
    view = record.with_annotations([*record.annotations, *SUGGESTED.values()])
    made.fill(view, SUGGESTED)
    return made


def test_untouched_suggestions_are_not_saved(
    suggesting: Editor, records: Records
) -> None:
    book(suggesting, drawing(suggesting))
    assert records.saved == 0
    book(suggesting, drawing(suggesting, NEW, seq=2))
    ids = [annotation.annotation_id for annotation in records.load("a").annotations]
    assert ids == ["m", "h", NEW.annotation_id]


def test_touched_suggestion_is_saved_alone_and_as_the_persons(
    suggesting: Editor, records: Records
) -> None:
    said = changed(drawing(suggesting), "s1", box=Box(12, 300, 70, 360))
    book(suggesting, said)
    saved = records.load("a")
    assert [annotation.annotation_id for annotation in saved.annotations] == [
        "m",
        "h",
        "s1",
    ]
    mine = saved.annotation("s1")
    assert (mine.box, mine.label) == (Box(12, 300, 70, 360), "dog")
    assert (mine.source, mine.changed_by) == (Source.HUMAN, "Ada")
    rest = [*saved.annotations, SUGGESTED["s2"]]
    assert suggesting.shows(saved.with_annotations(rest))


def test_deleted_suggestion_leaves_a_mark_until_that_is_undone(
    suggesting: Editor, records: Records
) -> None:
    full = drawing(suggesting)
    book(suggesting, without(full, "s1"))
    saved = records.load("a")
    assert [annotation.annotation_id for annotation in saved.deleted] == ["s1"]
    assert [annotation.annotation_id for annotation in saved.annotations] == ["m", "h"]
    book(suggesting, full._replace(seq=2))
    again = records.load("a")
    assert (again.deleted, len(again.annotations)) == ((), 2)
    assert suggesting.shows(
        again.with_annotations([*again.annotations, *SUGGESTED.values()])
    )


def test_a_late_label_is_one_step_to_undo_with_its_box(
    editor: Editor, records: Records
) -> None:
    amended: list[ImageRecord] = []

    def amend(record: ImageRecord) -> ImageRecord:
        amended.append(record)
        return records.save(record)

    assert editor.access is not None
    editor.access = replace(editor.access, amend=amend)
    said = drawing(editor, NEW)
    named = changed(said, NEW.annotation_id, label="person")._replace(seq=2, amends=1)
    book(editor, said, named)
    assert [record.annotations[-1].label for record in amended] == ["person"]
    again = changed(named, NEW.annotation_id, label="car")._replace(seq=4, amends=1)
    book(editor, again)  # one between, which the server has not seen, is no matter
    assert [record.annotations[-1].label for record in amended] == ["person", "car"]
    other = changed(again, NEW.annotation_id, label="person")._replace(seq=6, amends=5)
    book(editor, other)  # its first drawing was never seen: a step by itself
    assert len(amended) == 2
    assert records.load("a").annotations[-1].label == "person"


# ---------------------------------------------------------------------- ahead


def ahead_of(editor: Editor, records: Records, name: str) -> str:
    """Send an image ahead; return the tag."""
    record = records.load(name)
    return str(editor.fill_ahead(record, record)["tag"])


def test_what_was_sent_ahead_keeps_its_tag_once_it_is_on_screen(
    editor: Editor, records: Records
) -> None:
    tag = ahead_of(editor, records, "b")
    assert ahead_of(editor, records, "b") == tag
    editor.fill(records.load("b"))
    assert (editor.tag, editor.filling["tag"]) == (tag, tag)
    assert editor.shows(records.load("b"))


def test_box_drawn_on_what_was_sent_ahead_is_saved_on_that_image(
    editor: Editor, records: Records
) -> None:
    shown: list[ImageRecord] = []
    editor.access = replace(records.access, on_shown=shown.append)
    tag = ahead_of(editor, records, "b")
    before = records.load("b")
    said = Drawing(
        tag,
        1,
        (*editor.showings[tag].boxes, NEW),
        Where(records.access.place, "b"),
        added=frozenset({NEW.annotation_id}),
    )
    assert book(editor, said) == []
    assert len(records.load("b").annotations) == 3
    assert len(records.load("a").annotations) == 2
    assert shown == [before]  # noted once, as it was on screen
    editor.enter(tag)
    assert shown == [before]
    editor.fill(records.load("b"))
    assert editor.tag == tag


def test_other_version_than_was_sent_ahead_is_sent_anew(
    editor: Editor, records: Records
) -> None:
    tag = ahead_of(editor, records, "b")
    records.save(replace(records.load("b"), annotations=(MODEL,)))
    editor.fill(records.load("b"))
    editor.outdate("b")
    assert editor.tag != tag
    assert editor.showings[tag].is_outdated
    assert not editor.showings[editor.tag].is_outdated


def test_editor_that_the_browser_has_dropped_is_filled_anew(
    editor: Editor, records: Records
) -> None:
    tag = ahead_of(editor, records, "b")
    editor.fill(records.load("b"), is_new=True)
    assert editor.tag != tag


def test_images_that_are_not_next_any_more_are_forgotten(
    editor: Editor, records: Records
) -> None:
    ahead_of(editor, records, "b")
    editor.forget_ahead(["a"])
    assert editor.ahead == {}
