"""The label sets that other tools' authors test with: all boxes in, or said why not."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from imagebase.errors import AnnotationFileError
from imagebase.formats.registry import read, recognise
from imagebase.formats.trees import FolderTree

DATUMARO: Final = "datumaro/tests/assets"
ROBOFLOW: Final = "roboflow_py/tests/datasets"
NOTES: Final = frozenset(
    {"classes", "README", "README.dataset", "README.roboflow", "train"}
)


@pytest.fixture(scope="module")
def wild(shared_data: Path) -> Path:
    return shared_data / "annotations_wild"


def documents(folder: Path) -> list[Any]:
    paths = sorted(folder.rglob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def count_coco(folder: Path) -> int:
    return sum(len(document.get("annotations", ())) for document in documents(folder))


def count_createml(folder: Path) -> int:
    return sum(
        len(image["annotations"])
        for document in documents(folder)
        for image in document
    )


def count_voc(folder: Path) -> int:
    texts = (path.read_text(encoding="utf-8") for path in folder.rglob("*.xml"))
    return sum(text.count("<object>") for text in texts)


def count_cvat(folder: Path) -> int:
    shapes = ("<box ", "<polygon ", "<polyline ", "<points ", "<mask ", "<skeleton ")
    texts = (path.read_text(encoding="utf-8") for path in folder.rglob("*.xml"))
    return sum(text.count(shape) for text in texts for shape in shapes)


def count_lines(folder: Path) -> int:
    """Count the lines of label files, which lists and notes are not."""
    paths = (path for path in folder.rglob("*.txt") if path.stem not in NOTES)
    lines = (line for path in paths for line in path.read_text().split("\n"))
    return sum(bool(line.strip()) for line in lines)


def count_rows(folder: Path) -> int:
    """Count the rows of the tables that have boxes, but for their headers."""
    count = 0
    for path in folder.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file)
        corners = {"xmin", "XMin", "bbox", "x1", "bbxxtl"}
        has_boxes = any(cell.replace("_", "") in corners for cell in header)
        count += len(rows) if has_boxes else 0
    return count


# The set, its format, how its boxes are counted, images, and boxes that are kept.
SETS: Final[list[tuple[str, str, Callable[[Path], int], int, int]]] = [
    (f"{DATUMARO}/coco_dataset/coco_instances", "coco", count_coco, 2, 2),
    (f"{DATUMARO}/coco_dataset/coco_person_keypoints", "coco", count_coco, 2, 2),
    (f"{DATUMARO}/coco_dataset/coco_roboflow", "coco", count_coco, 2, 2),
    (f"{DATUMARO}/coco_dataset/mmdet_coco", "coco", count_coco, 2, 2),
    (f"{DATUMARO}/coco_dataset/coco", "coco", count_coco, 2, 2),
    (f"{DATUMARO}/cvat_dataset/for_images/export_project", "cvat", count_cvat, 6, 6),
    (f"{DATUMARO}/cvat_dataset/for_images/export_task", "cvat", count_cvat, 2, 1),
    (f"{DATUMARO}/kaggle_dataset/image_csv_det", "csv", count_rows, 3, 10),
    (f"{DATUMARO}/kaggle_dataset/relaxed_coco", "coco", count_coco, 2, 2),
    (f"{DATUMARO}/kaggle_dataset/relaxed_voc1", "voc", count_voc, 1, 2),
    (f"{DATUMARO}/kaggle_dataset/relaxed_voc2", "voc", count_voc, 1, 2),
    (f"{DATUMARO}/kaggle_dataset/relaxed_yolo", "yolo", count_lines, 2, 4),
    (f"{DATUMARO}/labelme_dataset", "labelme-xml", count_voc, 1, 7),
    (f"{DATUMARO}/open_images_dataset/v6", "openimages", count_rows, 4, 1),
    (f"{DATUMARO}/roboflow_dataset/coco", "coco", count_coco, 3, 3),
    (f"{DATUMARO}/roboflow_dataset/createml", "createml", count_createml, 3, 4),
    (f"{DATUMARO}/roboflow_dataset/voc", "voc", count_voc, 3, 4),
    (f"{DATUMARO}/roboflow_dataset/yolo", "yolo", count_lines, 3, 4),
    (f"{DATUMARO}/voc_dataset/voc_dataset1", "voc", count_voc, 1, 2),
    (f"{DATUMARO}/voc_dataset/voc_dataset2", "voc", count_voc, 5, 4),
    (f"{DATUMARO}/voc_dataset/voc_dataset3", "voc", count_voc, 1, 1),
    (f"{DATUMARO}/vott_csv_dataset/dataset", "csv", count_rows, 4, 5),
    (f"{DATUMARO}/vott_csv_dataset/dataset_with_meta_file", "csv", count_rows, 2, 2),
    (f"{DATUMARO}/yolo_dataset/annotations", "yolo", count_lines, 1, 2),
    (f"{DATUMARO}/yolo_dataset/labels", "yolo", count_lines, 2, 4),
    (f"{DATUMARO}/yolo_dataset/strict", "darknet", count_lines, 1, 2),
    (f"{ROBOFLOW}/chess", "voc", count_voc, 11, 180),
    (f"{ROBOFLOW}/mosquitos", "csv", count_rows, 4, 4),
    (f"{ROBOFLOW}/sharks-tiny-coco", "coco", count_coco, 10, 60),
    (f"{ROBOFLOW}/sharks-tiny-createml", "createml", count_createml, 10, 60),
    (f"{ROBOFLOW}/sharks-tiny-yolov9", "yolo", count_lines, 10, 60),
]
# Each is left out with a reason of its own.
NOT_KEPT: Final = {
    f"{DATUMARO}/cvat_dataset/for_images/export_project": {"is not a box"},
    f"{DATUMARO}/cvat_dataset/for_images/export_task": {
        "is not a box",
        "a label needs a name",
    },
    f"{DATUMARO}/kaggle_dataset/image_csv_det": {"another file has the same box"},
    f"{DATUMARO}/coco_dataset/coco": {
        *("a crowd region, not the box of one object", "another file has the same box"),
        *("there is no category 0", "it has no bbox of four numbers"),
        "there is no category None",
    },
}


@pytest.mark.parametrize(
    ("path", "format_name", "count", "images", "kept"),
    SETS,
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_every_box_is_kept_or_left_out_with_a_reason(
    wild: Path,
    path: str,
    format_name: str,
    count: Callable[[Path], int],
    images: int,
    kept: int,
) -> None:
    tree = FolderTree(wild / path)
    assert recognise(tree) == format_name
    result = read(tree, format_name)
    report = result.report
    assert len(result.images) == images
    assert report.boxes_found == count(wild / path)
    assert report.boxes_read == kept
    assert sum(len(image.annotations) for image in result.images) == kept
    assert report.boxes_found - report.boxes_read == len(report.skipped)
    reasons = NOT_KEPT.get(path, {"a crowd region, not the box of one object"})
    for remark in report.skipped:
        assert any(remark.reason.endswith(reason) for reason in reasons)


def test_whole_images_in_folders_are_read(wild: Path) -> None:
    tree = FolderTree(wild / ROBOFLOW / "corrosion-singlelabel-classification")
    result = read(tree)
    folders = {Path(name).parent.name for name in tree.names() if name.endswith("jpg")}
    assert set(result.labels.names) == folders
    assert all(len(image.tags) == 1 for image in result.images)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("tf_detection_api_dataset", "test.tfrecord cannot be read: it looks like"),
        ("roboflow_dataset/tfrecord", "it looks like TensorFlow records"),
        ("kaggle_dataset/image_txt_det", "No readable labels were found in"),
        ("cvat_dataset/for_video", "it is CVAT for video; export the task as"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(
    wild: Path, path: str, sentence: str
) -> None:
    with pytest.raises(AnnotationFileError, match=sentence) as refused:
        read(FolderTree(wild / DATUMARO / path))
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("roboflow_dataset/yolo_obb", "is not a number"),
        ("coco_dataset/coco_panoptic", "there is no category None"),
        ("coco_dataset/coco_stuff", "a crowd region"),
        ("coco_dataset/coco_captions", "it has no bbox of four numbers"),
    ],
)
def test_sets_of_other_shapes_bring_no_box_and_say_why(
    wild: Path, path: str, reason: str
) -> None:
    report = read(FolderTree(wild / DATUMARO / path)).report
    assert report.boxes_read == 0
    assert report.boxes_found == len(report.skipped) > 0
    assert all(reason in str(remark) for remark in report.skipped)


def test_shapes_outside_their_image_or_without_a_tag_are_left_out(wild: Path) -> None:
    tree = FolderTree(wild / DATUMARO / "vott_json_dataset" / "dataset")
    assert recognise(tree) == "vott"
    reasons = {skipped.reason for skipped in read(tree).report.skipped}
    assert reasons == {"the box lies outside the image", "it has no tag"}
