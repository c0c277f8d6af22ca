"""Areas that nobody labels in whole exports: written, black in the pixels, or left."""

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Box, Size
from imagebase.annotation.areas import Point, Shape, ShapeKind, rectangle
from imagebase.annotation.coverage import mask_of
from imagebase.augmentation import FlipHorizontally, Recipe
from imagebase.errors import ExportError
from imagebase.export.build import BuildResult
from imagebase.export.request import (
    AREAS_BLACK,
    AREAS_LEFT,
    ExportRequest,
    SplitChoice,
    request_from_json,
    request_json,
)
from imagebase.formats.registry import FORMATS, read
from imagebase.formats.split import Shares
from imagebase.formats.trees import FolderTree
from imagebase.images.decode import RgbArray
from imagebase.images.resize import Letterbox
from tests.export.datasets import SIZE, Dataset, box, built, dataset, picture

WEDGE = Shape(ShapeKind.POLYGON, (Point(0, 0), Point(60, 0), Point(0, 60)))
STAMP = rectangle(Box(90, 60, 120, 80))
IN_IT, BESIDE = box(4, 4, 24, 24), box(70, 20, 110, 50, label="dog")


def pets(count: int = 2) -> Dataset:
    """Images of which the first has areas, with one of two boxes in them."""
    found = dataset(*[(IN_IT, BESIDE)] * count)
    first, *others = found.found
    return replace(found, found=[replace(first, ignored=(WEDGE, STAMP)), *others])


def pictures(found: BuildResult) -> Iterator[tuple[str, RgbArray]]:
    for zip_ in found.zips:
        with zipfile.ZipFile(zip_.path) as archive:
            for name in archive.namelist():
                if name.endswith((".png", ".jpg")):
                    yield name, picture(archive.read(name))


# The others write an image once for each label.
@pytest.mark.parametrize(
    "format_name", sorted({*FORMATS} - {"classification", "folders"})
)
def test_black_areas_are_black_in_the_pixels(format_name: str, tmp_path: Path) -> None:
    request = ExportRequest(format_name, areas=AREAS_BLACK)
    done = built(pets(), request, tmp_path)
    (_, first), (_, second) = sorted(pictures(done))
    mask = mask_of((WEDGE, STAMP), SIZE)
    assert not first[mask].any()
    assert first[~mask].any(axis=1).all()
    assert second.any(axis=2).all()
    assert not any("ignore" in warning for warning in done.warnings)
    assert "1 box is not in it: ignore areas are black there." in done.left_out


def test_boxes_that_are_black_are_not_in_it(tmp_path: Path) -> None:
    done = built(pets(), ExportRequest("coco", areas=AREAS_BLACK), tmp_path)
    assert [zip_.boxes for zip_ in done.zips] == [3]


def test_written_areas_leave_pixels_and_boxes_alone(tmp_path: Path) -> None:
    found = pets()
    done = built(found, ExportRequest("labelme"), tmp_path)
    for (_, rgb), record in zip(sorted(pictures(done)), found.found, strict=True):
        np.testing.assert_array_equal(rgb, picture(found.bytes_of(record.image_id)))
    assert done.zips[0].boxes == 4
    assert done.zips[0].proof.holds


def test_areas_follow_another_size(tmp_path: Path) -> None:
    request = ExportRequest("labelme", resizing=Letterbox(Size(60, 60)))
    done = built(pets(), request, tmp_path)
    with zipfile.ZipFile(done.zips[0].path) as archive:
        archive.extractall(tmp_path / "out")
    first, _ = read(FolderTree(tmp_path / "out"), "labelme").images
    # Half as large, with ten pixels of grey above and below.
    assert first.regions[1] == rectangle(Box(45, 40, 60, 50))
    assert first.regions[0].points == (Point(0, 10), Point(30, 10), Point(0, 40))


def test_left_areas_change_nothing(tmp_path: Path) -> None:
    done = built(pets(), ExportRequest("coco", areas=AREAS_LEFT), tmp_path)
    with zipfile.ZipFile(done.zips[0].path) as archive:
        texts = [archive.read(n) for n in archive.namelist() if n.endswith("json")]
    assert not any(b'"iscrowd": 1' in text for text in texts)
    assert done.zips[0].boxes == 4


def test_areas_are_black_in_variants(tmp_path: Path) -> None:
    request = ExportRequest(
        "coco",
        split=SplitChoice(shares=Shares(1, 0)),
        recipe=Recipe((FlipHorizontally(probability=1.0),), variants=1),
    )
    done = built(pets(1), request, tmp_path)
    (_, original), (name, variant) = sorted(pictures(done))
    assert "_v1" in name
    assert original.any(axis=2).all()
    np.testing.assert_array_equal(
        variant.any(axis=2), ~mask_of((WEDGE, STAMP), SIZE)[:, ::-1]
    )
    assert done.zips[0].boxes == 2 + 1
    assert "Ignore areas are black in 1 of the variants." in done.left_out


def test_what_is_cut_out_is_black_where_the_image_is(tmp_path: Path) -> None:
    request = ExportRequest("classification", crops=True, areas=AREAS_BLACK)
    done = built(pets(1), request, tmp_path)
    ((name, crop),) = pictures(done)
    assert "dog" in name
    assert crop.any(axis=2).all()


def test_the_choice_comes_back_from_json() -> None:
    request = ExportRequest("yolo", areas=AREAS_BLACK)
    assert request_from_json(request_json(request)) == request
    earlier = {k: v for k, v in request_json(request).items() if k != "areas"}
    assert request_from_json(earlier).areas == ExportRequest("yolo").areas


@pytest.mark.parametrize("wrong", ["white", 7])
def test_what_cannot_be_chosen_is_refused(wrong: object) -> None:
    with pytest.raises(ExportError):
        request_from_json({**request_json(ExportRequest("yolo")), "areas": wrong})
    with pytest.raises(ExportError, match="with the images"):
        ExportRequest("yolo", areas=AREAS_BLACK, with_images=False).check()
