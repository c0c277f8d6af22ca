"""Two versions of a label set, compared."""

from dataclasses import replace

import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, Size
from imagebase.formats.base import ReadImage
from imagebase.formats.compare import (
    BoxChange,
    LabelNumbers,
    LabelSetDiff,
    LabelSetSide,
    What,
    compare,
    compare_boxes,
    side_of_records,
)
from imagebase.formats.registry import FORMATS

SIZE = Size(100, 80)


def box(label: str, *edges: float) -> Annotation:
    return Annotation(Box(*edges), label, annotation_id=f"{label} {edges}")


def image(
    name: str, *boxes: Annotation, size: Size | None = SIZE, relative: bool = False
) -> ReadImage:
    return ReadImage(name, size, boxes, relative)


def diff(
    before: list[ReadImage], after: list[ReadImage], labels: str = "cat dog"
) -> LabelSetDiff:
    names = labels.split()
    return compare(LabelSetSide(names, before), LabelSetSide(names, after))


CAT = box("cat", 10, 10, 50, 50)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [], []),
        ([CAT], [CAT], []),
        ([CAT], [box("cat", 10.9, 10, 50, 49.1)], []),
        ([box("cat", 1.4, 1.4, 2.6, 2.6)], [box("cat", 2, 2, 3, 3)], []),
        ([], [CAT], [What.ADDED]),
        ([CAT], [], [What.REMOVED]),
        ([CAT], [box("cat", 12, 10, 52, 50)], [What.MOVED]),
        ([CAT], [box("dog", 12, 10, 52, 50)], [What.RELABELLED]),
        ([CAT], [box("cat", 60, 60, 90, 79)], [What.REMOVED, What.ADDED]),
        ([CAT], [box("dog", 45, 45, 85, 79)], [What.REMOVED, What.ADDED]),
        ([CAT], [CAT, CAT], [What.ADDED]),
        ([CAT], [replace(CAT, attributes={"occluded": True})], [What.DESCRIBED]),
        ([CAT], [replace(CAT, attributes={"occluded": False})], []),
    ],
)
def test_boxes_are_told_apart(
    before: list[Annotation], after: list[Annotation], expected: list[What]
) -> None:
    changes, same = compare_boxes(before, after)
    assert [change.what for change in changes] == expected
    assert same == (len(before) and not expected) or len(after) == 2


def test_box_of_its_own_label_goes_before_a_closer_one_of_another() -> None:
    dog, cat = box("dog", 10, 10, 50, 50), box("cat", 12, 10, 52, 50)
    changes, same = compare_boxes([CAT], [dog, cat])
    moved, added = changes
    assert (moved.what, moved.before, moved.after) == (What.MOVED, CAT, cat)
    assert moved.iou == pytest.approx(1520 / 1680)
    assert added == BoxChange(What.ADDED, None, dog)
    assert same == 0


def test_two_boxes_that_changed_places_are_relabelled_not_moved() -> None:
    left, right = (10, 10, 30, 30), (60, 10, 80, 30)
    changes, _ = compare_boxes(
        [box("cat", *left), box("dog", *right)], [box("dog", *left), box("cat", *right)]
    )
    assert [change.what for change in changes] == [What.RELABELLED] * 2
    assert [change.iou for change in changes] == [1, 1]


def test_class_numbers_that_shifted_are_found() -> None:
    told = compare(
        LabelSetSide(["cat", "dog", "bird"], []),
        LabelSetSide(["ant", "cat", "dog"], []),
    )
    assert told.labels == (
        LabelNumbers("cat", 0, 1),
        LabelNumbers("dog", 1, 2),
        LabelNumbers("bird", 2, None),
        LabelNumbers("ant", None, 0),
    )
    assert [change.label for change in told.shifted] == ["cat", "dog"]


def test_images_are_found_by_name_and_those_of_one_version_are_named() -> None:
    told = diff(
        [image("train/a.jpg", CAT), image("b.jpg"), image("gone.jpg", CAT)],
        [image("A.png", CAT), image("b", CAT), image("new.jpg")],
    )
    assert [image.name for image in told.images] == ["b"]
    assert told.only_before == ("gone.jpg",)
    assert told.only_after == ("new.jpg",)
    assert (told.same_boxes, told.compared_images) == (1, 2)
    assert told.counts == {
        What.ADDED: 1,
        What.REMOVED: 0,
        What.MOVED: 0,
        What.RELABELLED: 0,
        What.DESCRIBED: 0,
    }


def test_of_two_images_of_one_name_the_first_is_compared() -> None:
    told = diff([image("a.jpg", CAT), image("a.jpg")], [image("a.jpg", CAT)])
    assert (told.images, told.only_before) == ((), ("a.jpg",))


@pytest.mark.parametrize(
    "other",
    [
        image("a.jpg", box("cat", 0.1, 0.125, 0.5, 0.625), size=None, relative=True),
        image("a.jpg", box("cat", 5, 5, 25, 25), size=Size(50, 40)),
        image("a.jpg", CAT, size=None),
    ],
    ids=["fractions", "a copy half as large", "no size told"],
)
def test_boxes_are_compared_in_the_same_pixels(other: ReadImage) -> None:
    for before, after in (
        ([image("a.jpg", CAT)], [other]),
        ([other], [image("a.jpg", CAT)]),
    ):
        told = diff(before, after)
        assert (told.images, told.same_boxes) == ((), 1)


def test_fractions_alone_are_compared_to_a_thousandth() -> None:
    first = image("a", box("cat", 0.1, 0.1, 0.5, 0.5), size=None, relative=True)
    near = image("a", box("cat", 0.1009, 0.1, 0.5, 0.5), size=None, relative=True)
    far = image("a", box("cat", 0.102, 0.1, 0.5, 0.5), size=None, relative=True)
    assert diff([first], [near]).same_boxes == 1
    (changed,) = diff([first], [far]).images
    assert changed.size == Size(1000, 1000)


def test_dataset_is_one_of_the_versions() -> None:
    record = ImageRecord("0" * 64, "a.jpg", SIZE, (CAT,))
    told = compare(
        LabelSetSide(["cat"], [image("a.jpg")]), side_of_records(["cat"], [record])
    )
    assert told.images[0].changes == (BoxChange(What.ADDED, None, CAT),)


def test_attributes_that_one_side_cannot_hold_are_not_compared() -> None:
    red = replace(CAT, attributes={"color": "red", "occluded": True})
    before = LabelSetSide(["cat"], [image("a.jpg", CAT)], FORMATS["openimages"].holds)
    found = compare(before, LabelSetSide(["cat"], [image("a.jpg", red)]))
    assert found.counts[What.DESCRIBED] == 1
    none = replace(before, images=[image("a.jpg", CAT)], holds=FORMATS["yolo"].holds)
    found = compare(none, LabelSetSide(["cat"], [image("a.jpg", red)]))
    assert found.same_boxes == 1
