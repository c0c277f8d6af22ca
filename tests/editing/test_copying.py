"""Boxes of one image copied on to others."""

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
from imagebase.editing.copying import NotCopied, copied_on, preview

VGA = Size(640, 480)
CUP = Annotation(Box(10, 20, 50, 60), "cup", attributes={"occluded": True})
CAR = Annotation(
    Box(100, 100, 200, 180), "car", source=Source.MODEL, confidence=0.9, model_id="m"
)
SOURCE = ImageRecord("source", "a.jpg", VGA, (CUP, CAR))


def target(name: str = "b", size: Size = VGA, *boxes: Annotation) -> ImageRecord:
    return ImageRecord(name, f"{name}.jpg", size, boxes)


def copies(record: ImageRecord) -> list[tuple[str, Box]]:
    after = copied_on(SOURCE, record, who="Ada")
    assert after.annotations[: len(record.annotations)] == record.annotations
    return [
        (box.label, box.box) for box in after.annotations[len(record.annotations) :]
    ]


def test_copies_are_a_persons_own_and_make_the_image_edited() -> None:
    after = copied_on(SOURCE, target(), who="Ada")
    assert after.status is ReviewStatus.EDITED
    assert [box.label for box in after.annotations] == ["cup", "car"]
    assert {box.source for box in after.annotations} == {Source.HUMAN}
    assert {box.changed_by for box in after.annotations} == {"Ada"}
    assert [box.confidence for box in after.annotations] == [None, None]
    assert after.annotations[0].attributes == {"occluded": True}
    ids = {box.annotation_id for box in (*SOURCE.annotations, *after.annotations)}
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (Annotation(Box(10, 20, 51, 60), "cup"), ["car"]),
        (Annotation(Box(10, 20, 51, 60), "mug"), ["cup", "car"]),
        (Annotation(Box(10, 20, 58, 60), "cup"), ["cup", "car"]),
    ],
    ids=["same", "other label", "IoU below 0.9"],
)
def test_box_that_is_there_is_not_doubled(
    there: Annotation, expected: list[str]
) -> None:
    record = target("b", VGA, there)
    assert [label for label, _ in copies(record)] == expected


def test_boxes_are_scaled_where_the_aspect_ratio_agrees() -> None:
    assert copies(target("b", Size(320, 240)))[0] == ("cup", Box(5, 10, 25, 30))
    rounded = copies(target("b", Size(500, 375)))[1]
    assert rounded == ("car", Box(78.125, 78.125, 156.25, 140.625))


@pytest.mark.parametrize(
    "record",
    [
        target("b", Size(640, 360)),
        target("b", Size(480, 640)),
        replace(target(), status=ReviewStatus.APPROVED),
        target("b", VGA, CUP, CAR),
    ],
    ids=["wider", "turned", "approved", "has them"],
)
def test_image_that_gets_none_is_as_it_was(record: ImageRecord) -> None:
    assert copied_on(SOURCE, record, who="Ada") is record


def test_preview_counts_boxes_and_names_what_is_skipped() -> None:
    plan = preview(
        SOURCE,
        [
            target("plain"),
            target("cup", VGA, CUP),
            replace(target("done"), status=ReviewStatus.APPROVED),
            replace(target("over"), status=ReviewStatus.APPROVED),
            target("wide", Size(1000, 480)),
            target("full", VGA, CUP, CAR),
        ],
    )
    assert plan.boxes == {"plain": 2, "cup": 1}
    assert plan.skipped == {
        NotCopied.APPROVED: ("done.jpg", "over.jpg"),
        NotCopied.SHAPE: ("wide.jpg",),
        NotCopied.THERE: ("full.jpg",),
    }


def test_image_without_boxes_gives_none() -> None:
    plan = preview(target(), [target("c")])
    assert (plan.boxes, list(plan.skipped)) == ({}, [NotCopied.THERE])
