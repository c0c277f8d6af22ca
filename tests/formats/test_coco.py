"""COCO files from elsewhere: ids, families, crowds, and what is wrong with them."""

import json

import pytest

from imagebase.formats.base import ReadResult
from imagebase.formats.registry import read
from tests.formats.builders import boxes, reasons, tree_of


def coco(**sections: object) -> dict[str, object]:
    return {
        "images": [{"id": 0, "file_name": "a.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
        "annotations": [],
        **sections,
    }


def coco_box(*xywh: object, **fields: object) -> dict[str, object]:
    return {"id": 0, "image_id": 0, "category_id": 0, "bbox": list(xywh), **fields}


def read_coco(document: object) -> ReadResult:
    return read(tree_of({"a.json": json.dumps(document)}), "coco")


def test_coco_ids_from_zero_are_read() -> None:
    result = read_coco(coco(annotations=[coco_box(1, 2, 7, 7)]))
    assert boxes(result) == [(1, 2, 8, 9)]
    assert result.labels.names == ("cat", "dog")


def test_coco_unused_family_category_is_left_out() -> None:
    categories = [
        {"id": 0, "name": "pets", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "pets"},
    ]
    result = read_coco(coco(categories=categories))
    assert result.labels.names == ("cat",)
    assert "only groups" in result.report.changed[0].reason


def test_coco_labels_follow_category_ids_with_gaps() -> None:
    categories = [{"id": 90, "name": "z"}, {"id": "7", "name": "a"}]
    found = coco_box(1, 2, 7, 7, category_id=90)
    result = read_coco(coco(categories=categories, annotations=[found]))
    assert result.labels.names == ("a", "z")
    assert result.images[0].annotations[0].label == "z"


def test_coco_image_without_a_size_is_read() -> None:
    images = [{"id": 0, "file_name": "a.jpg"}]
    result = read_coco(coco(images=images, annotations=[coco_box(1, 2, 7, 7)]))
    assert result.images[0].size is None
    assert boxes(result) == [(1, 2, 8, 9)]


def test_coco_outline_stands_in_for_a_missing_box() -> None:
    outline = coco_box(segmentation=[[1, 2, 8, 2, 8, 9]])
    assert boxes(read_coco(coco(annotations=[outline]))) == [(1, 2, 8, 9)]


def test_coco_crowd_is_kept_apart() -> None:
    rle = {"counts": [1, 2, 3], "size": [48, 64]}
    crowd = coco_box(1, 2, 7, 7, iscrowd=1, segmentation=rle)
    result = read_coco(coco(annotations=[crowd]))
    assert boxes(result) == []
    assert tuple(result.images[0].crowds[0].box) == (1, 2, 8, 9)
    assert "crowd" in reasons(result)[0]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (coco_box(1, 2, 7, 7, image_id=9), "there is no image 9"),
        (coco_box(1, 2, 7, 7, category_id=9), "there is no category 9"),
        (coco_box(1, 2, 7, 7, category_id=[]), "there is no category []"),
        (coco_box(1, 2, 7), "it has no bbox of four numbers"),
        (coco_box(1, 2, None, 7), "a corner is not a number"),
        (coco_box(1, 2, float("nan"), 7), "a corner is not a number"),
        (coco_box(1, 2, 0, 7), "the box has no area"),
        ("text", "it is not an object"),
    ],
)
def test_bad_coco_annotation_is_named_and_the_rest_is_kept(
    bad: object, reason: str
) -> None:
    result = read_coco(coco(annotations=[bad, coco_box(1, 2, 7, 7)]))
    assert reasons(result) == [f"a.json, annotations[0]: {reason}"]
    assert boxes(result) == [(1, 2, 8, 9)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"file_name": "b.jpg"}, "it has no id or no file_name"),
        ({"id": 1}, "it has no id or no file_name"),
        ({"id": 0, "file_name": "a.jpg"}, "another image has the id 0"),
    ],
)
def test_bad_coco_image_is_named(bad: dict[str, object], reason: str) -> None:
    good = {"id": 0, "file_name": "a.jpg"}
    result = read_coco(coco(images=[good, bad]))
    assert reasons(result) == [f"a.json, images[1]: {reason}"]
