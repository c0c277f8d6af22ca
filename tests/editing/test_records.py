"""What a person's edits change, and what they must not."""

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
from imagebase.editing import records
from imagebase.editing.records import ShownBox
from imagebase.errors import EditError

ODD = Box(10.123456789, 20.1, 110.3333333333, 90.7)
OTHER = Box(200, 100, 300, 220)


def model_box(box: Box = ODD, label: str = "person") -> Annotation:
    return Annotation(
        box,
        label,
        annotation_id="m",
        source=Source.MODEL,
        confidence=0.5,
        model_id="net",
    )


def human_box(box: Box = OTHER, label: str = "car") -> Annotation:
    return Annotation(box, label, annotation_id="h")


def record(*annotations: Annotation) -> ImageRecord:
    return ImageRecord("id", "a.jpg", Size(640, 480), annotations)


BEFORE = record(model_box(), human_box())
SHOWN = (ShownBox("m", ODD, "person"), ShownBox("h", OTHER, "car"))


def merged(
    *drawn: ShownBox,
    before: ImageRecord = BEFORE,
    shown: tuple[ShownBox, ...] = SHOWN,
    removed: dict[str, Annotation] | None = None,
) -> ImageRecord:
    return records.merge_drawing(
        before, shown=shown, drawn=drawn, who="Ada", removed=removed
    )


def test_echo_of_what_was_shown_changes_nothing() -> None:
    assert merged(*SHOWN) is BEFORE


def test_empty_record_and_empty_canvas_change_nothing() -> None:
    empty = record()
    assert merged(before=empty, shown=()) is empty


def test_moved_edge_changes_alone_and_untouched_box_is_the_same_object() -> None:
    wider = SHOWN[0]._replace(box=ODD._replace(x_max=150.0))
    after = merged(wider, SHOWN[1])
    moved = after.annotation("m")
    assert moved.box == ODD._replace(x_max=150.0)
    assert (moved.source, moved.confidence, moved.changed_by) == (
        Source.HUMAN,
        None,
        "Ada",
    )
    assert after.annotation("h") is BEFORE.annotation("h")
    assert after.status is ReviewStatus.EDITED


def test_relabelled_box_keeps_its_place() -> None:
    after = merged(SHOWN[0]._replace(label="dog"), SHOWN[1])
    assert (after.annotation("m").label, after.annotation("m").box) == ("dog", ODD)


def test_blank_label_is_not_taken() -> None:
    assert merged(SHOWN[0]._replace(label="  "), SHOWN[1]) is BEFORE


def test_new_box_is_a_persons_and_clipped() -> None:
    new = ShownBox("n", Box(600, 400, 700.123, 500), "dog")
    added = merged(*SHOWN, new).annotation("n")
    assert added.box == Box(600, 400, 640, 480)
    assert (added.source, added.label) == (Source.HUMAN, "dog")


def test_new_box_outside_the_image_is_left_out() -> None:
    new = ShownBox("n", Box(700, 0, 800, 50), "dog")
    assert merged(*SHOWN, new) is BEFORE


def test_box_dragged_out_of_the_image_stays_where_it_was() -> None:
    assert merged(SHOWN[0]._replace(box=Box(-90, 0, -10, 50)), SHOWN[1]) is BEFORE


def test_deleted_model_box_leaves_a_mark_and_a_persons_none() -> None:
    after = merged()
    assert after.annotations == ()
    assert after.deleted == (BEFORE.annotation("m"),)


def test_box_that_comes_back_is_what_it_was() -> None:
    gone = merged(SHOWN[1])
    back = merged(
        *SHOWN, before=gone, shown=SHOWN[1:], removed={"m": BEFORE.annotation("m")}
    )
    assert set(back.annotations) == set(BEFORE.annotations)
    assert back.deleted == ()


def test_box_the_canvas_never_showed_is_left_alone() -> None:
    elsewhere = Annotation(Box(1, 2, 3, 4), "dog", annotation_id="e")
    before = record(*BEFORE.annotations, elsewhere)
    assert merged(SHOWN[0], before=before).annotations == (
        before.annotations[0],
        elsewhere,
    )


def test_box_deleted_meanwhile_does_not_come_back_by_an_echo() -> None:
    newer = record(human_box())
    assert merged(*SHOWN, before=newer) is newer


def test_second_booking_of_the_same_new_box_changes_nothing() -> None:
    new = ShownBox("n", Box(1, 2, 30, 40), "dog")
    once = merged(*SHOWN, new)
    assert merged(*SHOWN, new, before=once) is once


def test_copy_of_a_box_has_its_attributes() -> None:
    described = records.describe(BEFORE, "h", {"occluded": True}, who="Ada")
    new = ShownBox("n", Box(1, 2, 30, 40), "car")
    copies = {"n": "h", "h": "m"}
    after = records.merge_drawing(
        described, shown=SHOWN, drawn=(*SHOWN, new), who="Ada", copies=copies
    )
    assert after.annotation("n").attributes == {"occluded": True}
    assert after.annotation("h") is described.annotation("h")
    assert merged(*SHOWN, new).annotation("n").attributes == {}


def test_accept_all_spares_doubtful_boxes() -> None:
    assert records.accept_all(BEFORE, who="Ada", min_confidence=0.6) is BEFORE
    after = records.accept_all(BEFORE, who="Ada")
    assert after.annotation("m").accepted
    assert after.annotation("m").confidence == 0.5
    assert after.annotation("h") is BEFORE.annotation("h")


def test_approval_accepts_and_clears_the_comment() -> None:
    after = records.approve(replace(BEFORE, comment="wheel cut off"), who="Ada")
    assert (after.status, after.comment) == (ReviewStatus.APPROVED, "")
    assert after.annotation("m").accepted


def test_rejection_takes_no_book() -> None:
    with pytest.raises(EditError, match="at most 2,000"):
        records.reject(record(), comment="x" * 2001)


def test_rejection_needs_a_comment() -> None:
    assert records.reject(BEFORE, comment=" dark ").comment == "dark"
    with pytest.raises(EditError, match="what is wrong"):
        records.reject(BEFORE, comment=" ")


def test_confirmed_empty_image_has_marks_of_what_the_model_saw() -> None:
    after = records.confirm_empty(BEFORE)
    assert after.is_confirmed_empty
    assert [box.annotation_id for box in after.deleted] == ["m"]


def test_copied_boxes_are_a_persons_and_not_doubled() -> None:
    once = records.copy_boxes(BEFORE, record(), who="Ada")
    assert [annotation.box for annotation in once.annotations] == [ODD, OTHER]
    assert {box.source for box in once.annotations} == {Source.HUMAN}
    assert records.copy_boxes(BEFORE, once, who="Ada") is once


def test_moved_box_is_clipped_or_refused() -> None:
    after = records.move(BEFORE, "h", Box(600, 0, 700, 50), who="Ada")
    assert after.annotation("h").box == Box(600, 0, 640, 50)
    with pytest.raises(EditError, match="640 × 480"):
        records.move(BEFORE, "h", Box(700, 0, 800, 50), who="Ada")
    with pytest.raises(EditError, match="four numbers"):
        records.move(BEFORE, "h", Box(0, 0, float("nan"), 50), who="Ada")


def test_relabelling_touches_only_boxes_of_another_label() -> None:
    after = records.relabel(BEFORE, {"m", "h"}, "car", who="Ada")
    assert after.annotation("m").label == "car"
    assert after.annotation("h") is BEFORE.annotation("h")
    with pytest.raises(EditError, match="needs a label"):
        records.relabel(BEFORE, {"m"}, " ", who="Ada")


def test_tags_are_kept_once_each_and_make_the_image_edited() -> None:
    tagged = records.tagged(BEFORE, [" night ", "rain", "night"])
    assert tagged.tags == ("night", "rain")
    assert tagged.status is ReviewStatus.EDITED
    assert records.tagged(tagged, ["night", "rain"]) is tagged


@pytest.mark.parametrize("status", [ReviewStatus.APPROVED, ReviewStatus.REJECTED])
def test_tag_leaves_what_was_decided(status: ReviewStatus) -> None:
    decided = replace(BEFORE, status=status, comment="said")
    tagged = records.tagged(decided, ["night"])
    assert (tagged.status, tagged.comment) == (status, "said")


def test_blank_and_too_many_tags_are_refused() -> None:
    with pytest.raises(EditError, match="needs a name"):
        records.tagged(BEFORE, [" "])
    with pytest.raises(EditError, match="at most 50"):
        records.tagged(BEFORE, map(str, range(51)))


def test_attributes_are_given_to_one_box_and_accept_it() -> None:
    after = records.describe(BEFORE, "m", {"occluded": True}, who="Ada")
    annotation = after.annotation("m")
    assert annotation.attributes == {"occluded": True}
    assert (annotation.accepted, annotation.confidence, annotation.changed_by) == (
        True,
        0.5,
        "Ada",
    )
    assert after.annotation("h") is BEFORE.annotation("h")
    assert records.describe(after, "m", {"occluded": True}, who="Bob") is after


@pytest.mark.parametrize(
    "attributes", [{"": 1}, {"a": [1]}, {"a" * 101: 1}, {"a": float("nan")}]
)
def test_attributes_that_cannot_be_kept_change_nothing(
    attributes: dict[str, object],
) -> None:
    with pytest.raises(EditError, match="Nothing was changed"):
        records.describe(BEFORE, "m", attributes, who="Ada")


def test_moved_relabelled_or_copied_box_keeps_its_attributes() -> None:
    before = records.describe(BEFORE, "m", {"color": "red"}, who="Ada")
    wider = SHOWN[0]._replace(box=ODD._replace(x_max=150.0), label="dog")
    drawn = merged(wider, SHOWN[1], before=before)
    assert drawn.annotation("m").attributes == {"color": "red"}
    again = records.relabel(before, ["m"], "dog", who="Ada")
    assert again.annotation("m").attributes == {"color": "red"}
    copied = records.copy_boxes(before, record(), who="Ada")
    assert copied.annotations[0].attributes == {"color": "red"}
