"""Areas that nobody labels, in every format that can hold them, read back."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from imagebase.annotation import Box, Size
from imagebase.annotation.areas import Point, Shape, ShapeKind, rectangle
from imagebase.annotation.coverage import mask_of
from imagebase.evaluation.ground_truth import read_truth
from imagebase.formats import coco
from imagebase.formats.base import IGNORE, ExportSet, WriteOptions
from imagebase.formats.registry import FORMATS, format_named, read
from imagebase.formats.shapes import boxes, polygons, run_lengths
from imagebase.formats.trees import MemoryTree
from imagebase.formats.verified_export import ExportSummary, export_zip
from imagebase.formats.verify import verify
from tests.formats.builders import (
    as_export_set,
    box,
    export_set,
    image_bytes,
    record,
    tree_of,
    written,
)

SIZE = Size(64, 48)
STAMP = rectangle(Box(-4, 40, 20.5, 60))
BONNET = Shape(ShapeKind.POLYGON, (Point(0, 48), Point(32, 30.25), Point(70, 52)))
MIRROR = Shape(ShapeKind.ELLIPSE, (Point(50, 2), Point(62, 12)))
STROKE = Shape(ShapeKind.BRUSH, (Point(5, 5), Point(25, 8), Point(30, 20)), 5)
AREAS = (STAMP, BONNET, MIRROR, STROKE)
HOLDING = sorted(name for name, format_ in FORMATS.items() if format_.holds_areas)


def with_areas() -> ExportSet:
    first = record(box(10, 10, 30, 30), box(1, 2, 9, 9, label="dog"))
    second = record(name="b.jpg")
    return export_set(
        replace(first, ignored=AREAS), second, labels=("cat", "dog", "unused")
    )


def test_at_least_five_formats_hold_areas() -> None:
    assert {"coco", "cvat", "labelme", "voc", "labelstudio"} <= set(HOLDING)


@pytest.mark.parametrize("name", HOLDING)
def test_areas_are_read_back_and_compared(name: str) -> None:
    proof = verify(with_areas(), tree_of(written(with_areas(), name)), name)
    assert proof.holds, proof.differences
    assert proof.boxes_written == 2


@pytest.mark.parametrize("name", HOLDING)
def test_a_lost_area_is_no_proof(name: str) -> None:
    less = with_areas()
    first, second = less.images
    kept = replace(first.record, ignored=AREAS[:2])
    less = replace(less, images=(replace(first, record=kept), second))
    proof = verify(with_areas(), tree_of(written(less, name)), name)
    assert not proof.holds


@pytest.mark.parametrize("name", HOLDING)
def test_a_whole_zip_says_how_areas_are_meant(name: str, tmp_path: Path) -> None:
    done = zipped(with_areas(), name, tmp_path)
    assert not any("ignore" in warning for warning in done.warnings)
    with zipfile.ZipFile(done.path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        report = archive.read("EXPORT_REPORT.md").decode()
    assert manifest["counts"]["ignore_areas"] == 4
    assert "ignore areas" in manifest["conventions"]
    assert "Ignore areas: 4." in report


@pytest.mark.parametrize("name", sorted({*FORMATS} - {*HOLDING}))
def test_what_a_format_cannot_hold_is_counted(name: str, tmp_path: Path) -> None:
    done = zipped(with_areas(), name, tmp_path)
    (said,) = [warning for warning in done.warnings if "ignore areas" in warning]
    assert said.startswith("4 ignore areas are not in it, on 1 image: ")
    assert format_named(name).title in said
    with zipfile.ZipFile(done.path) as archive:
        assert said.split("(")[0] in archive.read("EXPORT_REPORT.md").decode()


def zipped(dataset: ExportSet, name: str, folder: Path) -> ExportSummary:
    path = folder / f"{name}.zip"
    return export_zip(dataset, name, images=image_bytes, path=path)


@pytest.mark.parametrize("name", ["cvat", "labelme", "labelstudio"])
def test_polygons_cover_what_the_shapes_cover(name: str) -> None:
    (first, _) = read(tree_of(written(with_areas(), name)), name).images
    apart = mask_of(first.regions, SIZE) ^ mask_of(AREAS, SIZE)
    # A stroke's ends are polygons of eight corners each.
    assert apart.mean() < 0.005
    assert [annotation.label for annotation in first.annotations] == ["cat", "dog"]


def test_voc_has_the_boxes_around_the_areas() -> None:
    files = written(with_areas(), "voc")
    assert b"<name>__ignore__</name>" in files["Annotations/a.xml"]
    assert b"<difficult>1</difficult>" in files["Annotations/a.xml"]
    (first, _) = read(tree_of(files), "voc").images
    assert first.regions[0] == rectangle(Box(0, 40, 21, 48))
    assert first.regions == tuple(p for area in AREAS for p in boxes(area, SIZE))


def test_labels_of_the_set_stay_the_only_ones() -> None:
    for name in HOLDING:
        files = written(with_areas(), name)
        assert read(tree_of(files), name).labels.names == ("cat", "dog", "unused")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_areas_as_crowds_of_the_labels_in_use() -> None:
    document = json.loads(written(with_areas(), "coco")[coco.FILE])
    judge = COCO()
    judge.dataset = document
    judge.createIndex()
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    crowds = [entry for entry in document["annotations"] if entry["iscrowd"]]
    assert [names[crowd["category_id"]] for crowd in crowds] == ["cat", "dog"] * 4
    for crowd, shape in zip(crowds[::2], AREAS, strict=True):
        mask = mask_of([shape], SIZE)
        np.testing.assert_array_equal(judge.annToMask(crowd), mask)
        assert crowd["area"] == mask.sum()
        assert crowd["image_id"] == 1
    assert len({entry["id"] for entry in document["annotations"]}) == 2 + 8
    assert crowds[0]["bbox"] == [0, 40, 20, 8] or crowds[0]["bbox"] == [0, 40, 21, 8]


def test_runs_begin_outside() -> None:
    mask = np.array([[True, False], [True, True]])
    assert run_lengths(mask) == [0, 2, 1, 1]
    assert run_lengths(~mask) == [2, 1, 1]
    assert run_lengths(np.zeros((2, 2), bool)) == [4]


def test_a_polygon_is_cut_at_the_edges_of_the_image() -> None:
    (cut,) = polygons(BONNET, SIZE)
    assert cut.bounds.y_max == 48
    assert 60 < cut.bounds.x_max <= 64
    expected = mask_of([BONNET], SIZE)
    np.testing.assert_array_equal(mask_of([cut], SIZE), expected)


@pytest.mark.parametrize(
    "shape",
    [
        {"label": IGNORE, "points": [[1, 1]], "shape_type": "point"},
        {"label": IGNORE, "points": [[90, 90], [99, 99]], "shape_type": "rectangle"},
        {"label": IGNORE, "points": [[1, "x"], [2, 2], [3, 3]]},
    ],
    ids=["point", "outside", "number"],
)
def test_an_area_that_is_none_is_left_out_with_a_word(shape: dict[str, Any]) -> None:
    document = {
        "imagePath": "a.jpg",
        "imageWidth": 64,
        "imageHeight": 48,
        "shapes": [
            shape,
            {**shape, "points": [[1, 1], [9, 9]], "shape_type": "rectangle"},
        ],
    }
    result = read(MemoryTree({"a.json": json.dumps(document).encode()}), "labelme")
    (image,) = result.images
    assert image.regions == (rectangle(Box(1, 1, 9, 9)),)
    assert len(result.report.skipped) == 1


def test_an_area_beside_the_image_is_not_written(tmp_path: Path) -> None:
    beside = Shape(ShapeKind.POLYGON, (Point(90, 1), Point(95, 1), Point(90, 9)))
    first = replace(record(box(1, 1, 9, 9)), ignored=(beside,))
    for name in HOLDING:
        assert zipped(export_set(first), name, tmp_path).proof.holds


def test_areas_of_label_files_count_in_evaluation_and_training(tmp_path: Path) -> None:
    for name, content in written(
        with_areas(), "labelme", WriteOptions(with_images=False)
    ).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    truth = read_truth(tmp_path, needs_files=False).truth
    # Each piece is a crowd region of all three labels.
    pieces = sum(len(list(polygons(area, SIZE))) for area in AREAS)
    assert int(truth.is_crowd.sum()) == 3 * pieces


def test_conversion_carries_areas(tmp_path: Path) -> None:
    first = with_areas()
    tree = tree_of(written(first, "labelme"))
    again = as_export_set(read(tree, "labelme"), first)
    proof = verify(again, tree_of(written(again, "cvat")), "cvat")
    assert proof.holds, proof.differences
