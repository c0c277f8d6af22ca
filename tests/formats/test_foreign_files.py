"""Label files that other programs wrote: copied ones, and large ones beside us."""

from collections import Counter
from pathlib import Path

import pytest

from imagebase.annotation import Size
from imagebase.formats.base import ReadResult
from imagebase.formats.image_index import NameIndex
from imagebase.formats.registry import read, recognise
from imagebase.formats.trees import FolderTree, MemoryTree, TreeWithout
from imagebase.formats.verify import verify
from tests.formats.builders import (
    BOX_FORMATS,
    as_export_set,
    export_set,
    reasons,
    record,
    written,
)

DATA = Path(__file__).parent / "data"
SMALL_BOXES = {
    "train_001": [(2, 1, 5, 2)],
    "train_002": [(0, 0, 2, 4)],
}


def read_folder(path: Path) -> ReadResult:
    return read(FolderTree(path))


@pytest.mark.parametrize("name", ["coco", "voc", "yolo"])
def test_three_formats_of_the_same_photographs_agree(name: str) -> None:
    tree = FolderTree(DATA / "small" / name)
    assert recognise(tree) == name
    result = read(tree)
    assert result.labels.names == ("label_0", "label_1")
    found = {
        Path(image.name).stem: [
            tuple(round(edge, 6) for edge in box.box)
            for box in image.in_pixels(Size(10, 5)).annotations
        ]
        for image in result.images
    }
    assert found["train_001"] == SMALL_BOXES["train_001"]
    assert found["train_002"] == SMALL_BOXES["train_002"]


def test_upper_case_image_finds_its_lower_case_file() -> None:
    xml = (DATA / "chess" / "0af.xml").read_bytes()
    result = read(MemoryTree({"0af.xml": xml, "0AF.jpg": b""}))
    assert result.images[0].name == "0AF.jpg"
    assert result.images[0].size == Size(765, 512)
    assert result.report.boxes_read == result.report.boxes_found == 13
    assert "white-king" in result.labels


def test_a_box_of_a_slipped_click_is_left_out_by_name() -> None:
    result = read(FolderTree(DATA / "BloodImage_00338.xml"))
    assert result.report.boxes_found - result.report.boxes_read == 1
    assert "the box is a line or a point" in reasons(result)[0]


@pytest.mark.parametrize(
    ("path", "format_name", "images", "boxes_read", "labels"),
    [
        ("bccd/BCCD", "voc", 364, 4886, 3),
        ("bccd/test.coco.json", "coco", 72, None, 3),
        ("bccd/test.csv", "csv", 364, 4886, 3),
        ("raccoon/annotations", "voc", 200, 217, 1),
        ("raccoon/data", "csv", 200, 217, 1),
        ("raccoon/train.coco.json", "coco", 160, None, 1),
        ("coco_val_dev128/labels", "yolo", 128, 898, 78),
        ("coco_val_dev128/instances.json", "coco", 128, 898, 80),
        ("annotations_wild/roboflow_py/tests/datasets/chess", "voc", 11, 180, 12),
        ("annotations_wild/roboflow_py/tests/datasets/mosquitos", "csv", 4, 4, 3),
        (
            "annotations_wild/roboflow_py/tests/datasets/sharks-tiny-coco",
            *("coco", 10, 60, 3),
        ),
        (
            "annotations_wild/roboflow_py/tests/datasets/sharks-tiny-yolov9",
            *("yolo", 10, 60, 3),
        ),
        (
            "annotations_wild/datumaro/tests/assets/yolo_dataset/strict",
            *("darknet", 1, 2, 10),
        ),
        (
            "annotations_wild/datumaro/tests/assets/vott_csv_dataset",
            *("csv", 6, 7, 2),
        ),
    ],
)
def test_real_set_is_recognised_and_read(
    shared_data: Path,
    path: str,
    format_name: str,
    images: int,
    boxes_read: int | None,
    labels: int,
) -> None:
    tree = FolderTree(shared_data / path)
    assert recognise(tree) == format_name
    result = read(tree)
    assert len(result.labels) == labels
    assert len(result.images) == images
    if boxes_read is not None:
        assert result.report.boxes_read == boxes_read
    report = result.report
    assert report.boxes_found - report.boxes_read <= len(report.skipped)


def test_two_formats_of_the_sharks_agree(shared_data: Path) -> None:
    sets = shared_data / "annotations_wild/roboflow_py/tests/datasets"
    coco = read_folder(sets / "sharks-tiny-coco")
    yolo = read_folder(sets / "sharks-tiny-yolov9")
    by_stem = {image.name.split(".rf.")[0]: image for image in yolo.images}
    assert any(image.annotations for image in coco.images)
    for image in coco.images:
        assert image.size is not None
        other = by_stem[image.name.split(".rf.")[0]].in_pixels(image.size)
        assert len(other.annotations) == len(image.annotations)
        for annotation, two in zip(image.annotations, other.annotations, strict=True):
            assert annotation.label == two.label
            # The outlines of the one were cut at the edges, the boxes of the other not.
            assert (
                max(abs(a - b) for a, b in zip(annotation.box, two.box, strict=True))
                < 1.5
            )


@pytest.mark.parametrize("format_name", BOX_FORMATS)
def test_cell_images_go_through_every_format(
    shared_data: Path, format_name: str
) -> None:
    result = read_folder(shared_data / "bccd" / "BCCD" / "Annotations")
    empty = (record(name=image.name, size=(640, 480)) for image in result.images)
    cells = as_export_set(result, export_set(*empty))
    proof = verify(cells, MemoryTree(written(cells, format_name)), format_name)
    assert proof.differences == ()
    assert proof.boxes_equal == 4886


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub/a.jpg", "sub/a.jpg"),
        ("a.jpg", "a.jpg"),
        ("SUB/A", "sub/a.jpg"),
        ("elsewhere/b.png", "b.JPG"),
        ("c.d", "c.d.jpg"),
        ("e", None),
        ("absent.jpg", None),
    ],
)
def test_images_are_found_by_what_a_label_file_says(
    name: str, expected: str | None
) -> None:
    known = ("a.jpg", "sub/a.jpg", "b.JPG", "c.d.jpg", "e.jpg", "e.png")
    assert NameIndex(known).find(name) == expected


@pytest.mark.parametrize(
    ("folder", "suffixes"),
    [("bccd/BCCD", (".xml", ".txt")), ("bccd", (".coco.json",))],
    ids=["lists", "a file for each part"],
)
def test_who_trains_and_who_is_tested_is_read(
    shared_data: Path, folder: str, suffixes: tuple[str, ...]
) -> None:
    tree = FolderTree(shared_data / folder)
    others = (name for name in tree.names() if not name.endswith(suffixes))
    result = read(TreeWithout(tree, tuple(others)))
    assert Counter(image.part for image in result.images) == {
        "train": 205,
        "val": 87,
        "test": 72,
    }
