import json
from typing import Any

import pytest

from imagebase.annotation import Size
from imagebase.augmentation import FlipHorizontally, Mosaic, Recipe, Rotate
from imagebase.errors import ExportError
from imagebase.export.request import (
    TAGS,
    ExportRequest,
    SplitChoice,
    in_words,
    request_from_json,
    request_json,
)
from imagebase.formats.split import Shares
from imagebase.images.resize import Letterbox, LongestSide, Stretch

EVERYTHING = ExportRequest(
    "yolo",
    images="reviewed",
    without_metadata=True,
    labels=("dog", "cat"),
    renumbers=True,
    split=SplitChoice(shares=Shares(7, 2, 1), seed=5, keeps_together=False),
    resizing=Letterbox(Size(640, 480), enlarges=True),
    recipe=Recipe((FlipHorizontally(), Rotate(5)), Mosaic(), 3, 9),
    zip_bytes=1000,
)


@pytest.mark.parametrize(
    "request_",
    [
        ExportRequest("coco"),
        EVERYTHING,
        ExportRequest("csv", split=SplitChoice(TAGS, otherwise="test")),
        ExportRequest("classification", crops=True, resizing=Stretch(Size(9, 9))),
        ExportRequest("voc", resizing=LongestSide(800)),
    ],
)
def test_request_survives_json(request_: ExportRequest) -> None:
    kept = json.loads(json.dumps(request_json(request_)))
    assert request_from_json(kept) == request_
    assert kept == request_json(request_)


def test_request_of_an_earlier_version_is_understood() -> None:
    kept = {"format": "coco", "images": "all", "with_images": True, "with_empty": False}
    assert request_from_json(kept | {"name": "Street"}) == ExportRequest(
        "coco", images="all", with_empty=False
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"images": "some"},
        {"split": {"by": "shares", "sides": 2}},
        {"resizing": {"how": "squeeze"}},
        {"resizing": {"how": "stretch"}},
        {"recipe": {"steps": [{"step": "melt"}], "mosaic": None}},
    ],
)
def test_damaged_request_is_one_error(changed: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match="cannot be read; choose"):
        request_from_json(request_json(ExportRequest("coco")) | changed)


def test_request_in_words() -> None:
    assert in_words(EVERYTHING) == (
        "Images: edited and approved, with those confirmed to hold nothing.",
        "Labels: dog, cat; class ids renumbered from 0.",
        "Split: train / val / test as 7 / 2 / 1, seed 5, by the rarest label first, "
        "near-duplicates dealt out one by one.",
        "Size: letterboxed to 640 × 480.",
        "Variants: 3 of each training image, seed 9: mosaic, flip horizontally, "
        "rotate. Boxes of which less than 30% is left are dropped.",
        "Metadata of the images (place, camera, time) was removed.",
    )
