"""From cells to boxes: only what was typed changes."""

import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, Size, Source
from imagebase.editing.box_table import TableEdits, apply_table_edits
from imagebase.errors import EditError

ODD = Box(10.123456789, 20.1, 110.3333333333, 90.7)
FIRST = Annotation(ODD, "person", "m", Source.MODEL, confidence=0.5, model_id="net")
SECOND = Annotation(Box(200, 100, 300, 220), "car", "h")
BEFORE = ImageRecord("id", "a.jpg", Size(640, 480), (FIRST, SECOND))


def applied(
    edits: TableEdits,
    before: ImageRecord = BEFORE,
    already: TableEdits | None = None,
) -> ImageRecord:
    return apply_table_edits(
        before,
        base=BEFORE.annotations,
        edits=edits,
        applied=already or TableEdits(),
        added_ids=[f"added-{i}" for i in range(len(edits.added))],
        who="Ada",
    )


def test_no_edits_change_nothing() -> None:
    assert applied(TableEdits()) is BEFORE


def test_whole_number_in_a_cell_becomes_a_float_and_other_edges_stay() -> None:
    after = applied(TableEdits({0: {"width": 50}}))
    box = after.annotation("m").box
    assert box == (ODD.x_min, ODD.y_min, ODD.x_min + 50, ODD.y_max)
    assert all(isinstance(edge, float) for edge in box)
    assert after.annotation("h") is SECOND


def test_typed_x_moves_the_box_and_keeps_its_width() -> None:
    box = applied(TableEdits({1: {"x": 210.5}})).annotation("h").box
    assert box == Box(210.5, 100, 310.5, 220)


def test_chosen_label_makes_the_box_a_persons() -> None:
    annotation = applied(TableEdits({0: {"label": "dog"}})).annotation("m")
    assert (annotation.label, annotation.source, annotation.box) == (
        "dog",
        Source.HUMAN,
        ODD,
    )


def test_edit_that_the_record_holds_already_is_not_made_again() -> None:
    first = TableEdits({0: {"label": "dog"}})
    once = applied(first)
    both = TableEdits({0: {"label": "dog"}, 1: {"y": 110}})
    twice = applied(both, once, first)
    assert twice.annotation("m") is once.annotation("m")
    assert twice.annotation("h").box.y_min == 110


def test_cell_set_back_sets_the_box_back() -> None:
    first = TableEdits({1: {"y": 110}})
    back = applied(TableEdits(), applied(first), first)
    assert back.annotation("h").box == SECOND.box


def test_deleted_rows_go_and_a_models_leaves_a_mark() -> None:
    after = applied(TableEdits(deleted={0, 1}))
    assert (after.annotations, after.deleted) == ((), (FIRST,))


def test_added_row_is_a_persons_box() -> None:
    row = {"label": "dog", "x": 600, "y": 400, "width": 100, "height": 20}
    edits = TableEdits(added=[row])
    after = applied(edits)
    assert after.annotation("added-0").box == Box(600, 400, 640, 420)
    assert after.annotation("added-0").source is Source.HUMAN
    assert applied(edits, after, edits) is after


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (TableEdits({0: {"x": 9000}}), "nothing inside the image"),
        (TableEdits({0: {"width": 0}}), "nothing inside the image"),
        (TableEdits({0: {"height": -5}}), "nothing inside the image"),
        (TableEdits({0: {"x": None}}), "four numbers"),
        (TableEdits({0: {"x": float("inf")}}), "four numbers"),
        (TableEdits({0: {"label": " "}}), "needs a label"),
        (TableEdits({0: {"label": None}}), "needs a label"),
        (TableEdits(added=[{"x": 1}]), "four numbers"),
    ],
    ids=[
        "outside",
        "no width",
        "negative",
        "none",
        "infinite",
        "blank",
        "no label",
        "half",
    ],
)
def test_impossible_cell_is_refused_in_a_sentence(
    edits: TableEdits, message: str
) -> None:
    with pytest.raises(EditError, match=message):
        applied(edits)
