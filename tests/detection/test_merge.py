"""A model's boxes never cost a person anything."""

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
from imagebase.detection.merge import add_suggestions, keep_detections, suggested
from imagebase.editing.records import (
    accept_all,
    approve,
    confirm_empty,
    delete_annotations,
)

FAR = Box(300, 200, 340, 240)
HERE = Box(10, 10, 110, 110)
NEARLY_HERE = Box(15, 10, 115, 110)


def detection(
    box: Box = HERE, label: str = "person", confidence: float = 0.9, model: str = "net"
) -> Annotation:
    return Annotation(
        box, label, source=Source.MODEL, confidence=confidence, model_id=model
    )


def human(box: Box = HERE, label: str = "person") -> Annotation:
    return Annotation(box, label)


def record(*annotations: Annotation, **fields: object) -> ImageRecord:
    built = ImageRecord("id", "a.jpg", Size(640, 480), annotations)
    return replace(built, **fields)  # type: ignore[arg-type]


def test_new_image_with_detections_becomes_auto() -> None:
    kept = keep_detections(record(), [detection()], model_id="net")
    assert kept.status is ReviewStatus.SUGGESTED
    assert [annotation.box for annotation in kept.annotations] == [HERE]


def test_new_image_without_detections_becomes_auto() -> None:
    kept = keep_detections(record(), [], model_id="net")
    assert (kept.status, kept.annotations) == (ReviewStatus.SUGGESTED, ())


def test_keeping_the_same_detections_twice_changes_nothing() -> None:
    first = keep_detections(record(), [detection(), detection(FAR)], model_id="net")
    second = keep_detections(first, [detection(), detection(FAR)], model_id="net")
    assert second is first


def test_model_replaces_only_its_own_untouched_boxes() -> None:
    own, others, persons = detection(), detection(FAR, model="other"), human(FAR)
    before = record(own, others, persons)
    after = keep_detections(before, [detection(NEARLY_HERE)], model_id="net")
    assert after.annotations[:2] == (others, persons)
    assert [annotation.box for annotation in after.annotations[2:]] == [NEARLY_HERE]


def test_detection_that_is_gone_takes_its_box_along() -> None:
    before = record(detection(), detection(FAR))
    after = keep_detections(before, [detection(FAR)], model_id="net")
    assert after.annotations == before.annotations[1:]
    assert after.annotations[0] is before.annotations[1]


def test_accepted_box_stays_and_keeps_its_like_out() -> None:
    before = accept_all(record(detection()), who="Ada")
    after = keep_detections(before, [detection(NEARLY_HERE)], model_id="net")
    assert after is before


@pytest.mark.parametrize("label", ["person", "car"])
def test_detection_over_a_persons_box_is_left_out_whatever_its_label(
    label: str,
) -> None:
    before = record(human())
    after = keep_detections(before, [detection(NEARLY_HERE, label)], model_id="net")
    assert after.annotations == before.annotations


@pytest.mark.parametrize(("label", "boxes"), [("person", 1), ("car", 2)])
def test_detection_inside_a_persons_box_is_left_out_for_the_same_label(
    label: str, boxes: int
) -> None:
    inside = detection(Box(20, 20, 50, 50), label)
    after = keep_detections(record(human()), [inside], model_id="net")
    assert len(after.annotations) == boxes


@pytest.mark.parametrize(("label", "boxes"), [("person", 0), ("car", 1)])
def test_deleted_model_box_keeps_its_label_from_coming_back(
    label: str, boxes: int
) -> None:
    only = detection()
    before = delete_annotations(record(only), {only.annotation_id})
    after = keep_detections(before, [detection(NEARLY_HERE, label)], model_id="net")
    assert len(after.annotations) == boxes


def test_approved_and_confirmed_empty_images_are_never_changed() -> None:
    for closed in (approve(record(human()), who="Ada"), confirm_empty(record())):
        assert keep_detections(closed, [detection(FAR)], model_id="net") is closed


def test_edited_image_stays_edited() -> None:
    before = record(human(), status=ReviewStatus.EDITED)
    after = keep_detections(before, [detection(FAR)], model_id="net")
    assert after.status is ReviewStatus.EDITED


def test_detection_is_clipped_and_left_out_where_nothing_remains() -> None:
    over, outside = detection(Box(600, 400, 700, 500)), detection(Box(700, 0, 800, 9))
    after = keep_detections(record(), [over, outside], model_id="net")
    assert [annotation.box for annotation in after.annotations] == [
        Box(600, 400, 640, 480)
    ]


def test_suggestions_are_what_keeping_would_add_under_lasting_ids() -> None:
    there = human(FAR)
    before = record(there)
    found = [detection(), detection(FAR)]
    (first,) = suggested(before, found, model_id="net")
    (again,) = suggested(before, [detection(), detection(FAR)], model_id="net")
    assert (first.box, first.is_untouched) == (HERE, True)
    assert first.annotation_id == again.annotation_id != found[0].annotation_id
    saved = add_suggestions(before, [first])
    assert saved.annotations == (there, first)
    assert suggested(saved, found, model_id="net") == ()
    assert add_suggestions(saved, [first]) is saved


def test_suggestion_that_a_person_moved_away_is_not_made_again() -> None:
    (suggestion,) = suggested(record(), [detection()], model_id="net")
    moved = record(suggestion.touched(who="ann", box=FAR))
    assert suggested(moved, [detection()], model_id="net") == ()


def test_what_another_models_box_shows_is_not_suggested() -> None:
    there = detection(NEARLY_HERE, model="other")
    assert suggested(record(there), [detection()], model_id="net") == ()
    (suggestion,) = suggested(record(there), [detection(label="dog")], model_id="net")
    assert suggestion.label == "dog"


def test_nothing_is_suggested_for_an_approved_image() -> None:
    approved = approve(record(), who="ann")
    assert suggested(approved, [detection()], model_id="net") == ()
