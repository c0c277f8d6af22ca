"""Imported boxes beside or in place of those on one image."""

from dataclasses import replace

import pytest

from imagebase.annotation import (
    Annotation,
    Attributes,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.editing.records import relabel
from imagebase.formats.base import ReadImage
from imagebase.ingest.box_merging import Effect, ImportChoice, Replacing, merged

SIZE = Size(100, 80)
PERSONS = Annotation(Box(10, 10, 30, 30), "cat", changed_by="ann")
MODELS = Annotation(
    Box(40, 40, 60, 60), "dog", source=Source.MODEL, confidence=0.5, model_id="m"
)
ACCEPTED = replace(
    MODELS, box=Box(70, 10, 90, 20), annotation_id="accepted", accepted=True
)


def read(*boxes: Annotation, size: Size | None = SIZE, **more: object) -> ReadImage:
    return ReadImage("a.jpg", size, boxes, **more)  # type: ignore[arg-type]


def coming(label: str, *edges: float) -> Annotation:
    return Annotation(Box(*edges), label, source=Source.IMPORT)


def predicted(label: str, *edges: float) -> Annotation:
    return Annotation(Box(*edges), label, source=Source.MODEL, confidence=0.7)


def record(
    *boxes: Annotation, status: ReviewStatus = ReviewStatus.EDITED
) -> ImageRecord:
    return ImageRecord("0" * 64, "a.jpg", SIZE, boxes, status=status)


def merge(
    before: ImageRecord,
    image: ReadImage,
    choice: ImportChoice | None = None,
    *,
    max_boxes: int = 100,
) -> tuple[ImageRecord, Effect]:
    choice = choice or ImportChoice()
    return merged(before, image, choice, who="bob", max_boxes=max_boxes)


@pytest.mark.parametrize(
    ("replacing", "kept", "effect"),
    [
        (Replacing.NOTHING, [PERSONS, MODELS, ACCEPTED], Effect(images=1, boxes=1)),
        (
            Replacing.MODEL_BOXES,
            [PERSONS, ACCEPTED],
            Effect(images=1, boxes=1, replaced_model=1),
        ),
        (
            Replacing.ALL_BOXES,
            [],
            Effect(images=1, boxes=1, replaced_model=1, replaced=2),
        ),
    ],
)
def test_only_what_was_told_is_replaced(
    replacing: Replacing, kept: list[Annotation], effect: Effect
) -> None:
    choice = ImportChoice(replacing)
    image = read(coming("hat", 1, 2, 3, 4))
    after, told = merge(record(PERSONS, MODELS, ACCEPTED), image, choice)
    assert list(after.annotations[:-1]) == kept
    assert after.annotations[-1].label == "hat"
    assert after.annotations[-1].changed_by == "bob"
    assert told == effect


@pytest.mark.parametrize("replacing", list(Replacing))
def test_same_labels_twice_change_nothing(replacing: Replacing) -> None:
    image = read(coming("hat", 1, 2, 30, 40), predicted("cap", 5, 5, 50, 50))
    once, _ = merge(record(PERSONS), image, ImportChoice(replacing))
    twice, told = merge(once, image, ImportChoice(replacing))
    assert twice is once
    assert told == Effect(present=2)


def test_box_that_stands_twice_in_a_file_is_two_boxes() -> None:
    image = read(coming("hat", 1, 2, 30, 40), coming("hat", 1, 2, 30, 40))
    once, told = merge(record(), image)
    assert told.boxes == len(once.annotations) == 2
    assert merge(once, image)[1].present == 2


def test_persons_box_in_the_same_place_stays_the_persons() -> None:
    image = read(coming("cat", 10.9, 10, 30, 29.5))
    after, told = merge(record(PERSONS), image, ImportChoice(Replacing.ALL_BOXES))
    assert after.annotations == (PERSONS,)
    assert told == Effect(present=1)


def test_untouched_box_is_confirmed_by_labels_that_no_model_made() -> None:
    after, told = merge(record(MODELS), read(coming("dog", 40, 40, 60, 60)))
    (annotation,) = after.annotations
    assert annotation.source is Source.IMPORT
    assert told == Effect(images=1, boxes=1, confirmed=1)


def test_predictions_do_not_confirm_predictions() -> None:
    after, told = merge(record(MODELS), read(predicted("dog", 40, 40, 60, 60)))
    assert after.annotations == (MODELS,)
    assert told == Effect(present=1)


@pytest.mark.parametrize(
    ("before", "box", "after"),
    [
        (ReviewStatus.NEW, predicted("a", 1, 1, 9, 9), ReviewStatus.SUGGESTED),
        (ReviewStatus.SUGGESTED, predicted("a", 1, 1, 9, 9), ReviewStatus.SUGGESTED),
        (ReviewStatus.NEW, coming("a", 1, 1, 9, 9), ReviewStatus.IMPORTED),
        (ReviewStatus.SUGGESTED, coming("a", 1, 1, 9, 9), ReviewStatus.IMPORTED),
        (ReviewStatus.IMPORTED, predicted("a", 1, 1, 9, 9), ReviewStatus.IMPORTED),
        (ReviewStatus.EDITED, coming("a", 1, 1, 9, 9), ReviewStatus.EDITED),
        (ReviewStatus.REJECTED, predicted("a", 1, 1, 9, 9), ReviewStatus.EDITED),
        (ReviewStatus.APPROVED, coming("a", 1, 1, 9, 9), ReviewStatus.EDITED),
    ],
)
def test_status_says_what_is_left_to_review(
    before: ReviewStatus, box: Annotation, after: ReviewStatus
) -> None:
    choice = ImportChoice(takes_approved=True)
    merged_record, _ = merge(record(status=before), read(box), choice)
    assert merged_record.status is after


@pytest.mark.parametrize("before", [ReviewStatus.EDITED, ReviewStatus.REJECTED])
def test_image_whose_boxes_are_all_replaced_is_imported(before: ReviewStatus) -> None:
    choice = ImportChoice(Replacing.ALL_BOXES)
    after, _ = merge(
        record(PERSONS, status=before), read(coming("a", 1, 1, 9, 9)), choice
    )
    assert after.status is ReviewStatus.IMPORTED


def test_tags_of_label_files_are_no_edit() -> None:
    after, _ = merge(record(status=ReviewStatus.NEW), read(tags=("night",)))
    assert after.status is ReviewStatus.IMPORTED


def test_imported_image_that_a_person_edits_is_edited() -> None:
    after, _ = merge(record(status=ReviewStatus.NEW), read(coming("a", 1, 1, 9, 9)))
    (box,) = after.annotations
    assert relabel(after, {box.annotation_id}, "b", who="ann").status is (
        ReviewStatus.EDITED
    )


def test_approved_image_is_left_alone_unless_told() -> None:
    approved = record(PERSONS, status=ReviewStatus.APPROVED)
    after, told = merge(approved, read(coming("hat", 1, 2, 3, 4)))
    assert after is approved
    assert told == Effect(approved=1)
    assert merge(approved, read())[1] == Effect()


def test_boxes_for_a_resized_copy_are_scaled() -> None:
    image = read(coming("hat", 5, 4, 10, 8), size=Size(50, 40))
    after, _ = merge(record(), image)
    assert after.annotations[0].box == Box(10, 8, 20, 16)


def test_boxes_in_fractions_become_pixels() -> None:
    image = read(coming("hat", 0.1, 0.5, 0.2, 1), size=None, is_relative=True)
    after, _ = merge(record(), image)
    assert after.annotations[0].box == Box(10, 40, 20, 80)


def test_box_outside_the_image_is_left_out_and_counted() -> None:
    image = read(coming("hat", 100, 10, 120, 20), size=None)
    assert merge(record(), image)[1] == Effect(outside=1)


def test_labels_take_their_names_here_or_are_left_out() -> None:
    choice = ImportChoice(names={"Hat": "hat", "cap": None, "sunny": "bright"})
    image = read(
        coming("Hat", 1, 2, 3, 4), coming("cap", 1, 2, 3, 4), tags=("sunny", "cap")
    )
    after, told = merge(record(), image, choice)
    assert [annotation.label for annotation in after.annotations] == ["hat"]
    assert after.tags == ("bright",)
    assert told == Effect(images=1, boxes=1, unwanted=1, tags=1)


@pytest.mark.parametrize(
    "image",
    [
        read(tags=("wet",)),
        read(),  # no label file, or one of which nothing could be read
        read(coming("cat", 300, 300, 310, 310)),  # all of it beside the picture
        read(coming("cap", 1, 2, 3, 4)),  # a label that is not wanted
    ],
    ids=["tags alone", "nothing", "outside", "unwanted"],
)
def test_where_no_box_comes_in_none_is_replaced(image: ReadImage) -> None:
    choice = ImportChoice(Replacing.ALL_BOXES, names={"cap": None})
    after, told = merge(record(PERSONS, MODELS), image, choice)
    assert set(after.annotations) == {PERSONS, MODELS}
    assert (told.replaced, told.replaced_model) == (0, 0)


def test_tags_join_those_there() -> None:
    tagged = replace(record(), tags=("night",))
    after, told = merge(tagged, read(tags=("wet", "night")))
    assert after.tags == ("night", "wet")
    assert after.status is ReviewStatus.EDITED
    assert told == Effect(images=1, tags=1)


def test_image_that_would_have_too_many_boxes_is_left_as_it_is() -> None:
    before = record(PERSONS)
    image = read(coming("hat", 1, 2, 3, 4), coming("hat", 5, 6, 7, 8))
    after, told = merge(before, image, max_boxes=2)
    assert after is before
    assert told == Effect(full=1)


def test_box_that_is_there_gets_the_attributes_it_did_not_have() -> None:
    there = replace(PERSONS, attributes={"color": "red"})
    known: Attributes = {"color": "blue", "occluded": True}
    image = read(replace(coming("cat", 10, 10, 30, 30), attributes=known))
    after, told = merge(record(there), image)
    (box,) = after.annotations
    assert box.attributes == {"color": "red", "occluded": True}
    assert (box.box, box.source) == (there.box, there.source)
    assert told == Effect(images=1, present=1, described=1)
    again, told = merge(after, image)
    assert again is after
    assert told == Effect(present=1)


def test_confirmed_box_keeps_what_was_known_of_it() -> None:
    there = replace(MODELS, attributes={"color": "red"})
    image = read(replace(coming("dog", 40, 40, 60, 60), attributes={"group": 1}))
    after, _ = merge(record(there), image)
    assert after.annotations[0].attributes == {"color": "red", "group": 1}
