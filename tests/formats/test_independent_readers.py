"""Exports of real labels read by programs that others wrote."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import globox
import numpy as np
import pytest
import supervision
from numpy.typing import NDArray
from pycocotools.coco import COCO

from imagebase.annotation import ImageRecord
from imagebase.formats.label_set_files import ExportSet
from imagebase.formats.names import build_export_set
from imagebase.formats.package import export_folder
from imagebase.formats.registry import read
from imagebase.formats.trees import FolderTree

# By image stem: label and corners of every box, in the order of the file.
Found = Mapping[str, list[tuple[str, NDArray[np.float64]]]]


@pytest.fixture(scope="module")
def real_set(shared_data: Path) -> ExportSet:
    """128 COCO photographs with 898 boxes, crowds left out."""
    source = shared_data / "coco_val_dev128" / "instances.json"
    result = read(FolderTree(source), "coco")
    records = []
    for image in result.images:
        assert image.size is not None
        one = ImageRecord(image.name, image.name, image.size, image.annotations)
        records.append(one)
    return build_export_set("dev128", result.labels, records, lambda record: ".jpg")


@pytest.fixture(scope="module")
def exports(
    real_set: ExportSet, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    photographs = shared_data / "coco_val_dev128" / "images"
    for format_name in ("coco", "yolo", "voc", "darknet"):
        export_folder(
            real_set,
            format_name,
            images=lambda image_id: (photographs / image_id).read_bytes(),
            folder=folder / format_name,
        )
    return folder


def wanted(real_set: ExportSet) -> Found:
    return {
        Path(image.name).stem: [
            (one.label, np.array(one.box, dtype=np.float64))
            for one in image.record.annotations
        ]
        for image in real_set.images
    }


def assert_same(found: Found, real_set: ExportSet, *, tolerance_px: float) -> None:
    """Every image has the same boxes, in whichever order the reader gives them."""
    expected = wanted(real_set)
    assert found.keys() == expected.keys()
    assert sum(map(len, found.values())) == 898
    for stem, boxes in expected.items():
        left = list(found[stem])
        assert len(left) == len(boxes)
        for label, corners in boxes:
            distances = [
                np.abs(other - corners).max() if name == label else np.inf
                for name, other in left
            ]
            nearest = int(np.argmin(distances))
            assert distances[nearest] <= tolerance_px, (stem, label, corners)
            left.pop(nearest)


def six_decimals(real_set: ExportSet) -> float:
    return max(max(image.record.size) for image in real_set.images) * 1e-6 + 1e-3


def test_pycocotools_reads_our_coco(exports: Path, real_set: ExportSet) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        document = COCO(str(exports / "coco" / "annotations.json"))
    found: dict[str, list[tuple[str, NDArray[np.float64]]]] = {}
    for image in document.loadImgs(document.getImgIds()):
        found[Path(image["file_name"]).stem] = boxes = []
        for one in document.loadAnns(document.getAnnIds(imgIds=image["id"])):
            x, y, width, height = one["bbox"]
            name = document.loadCats(one["category_id"])[0]["name"]
            boxes.append((name, np.array([x, y, x + width, y + height])))
    assert_same(found, real_set, tolerance_px=1e-4)


def _supervision_boxes(dataset: supervision.DetectionDataset) -> Found:
    found = {}
    for path, _, detections in dataset:
        assert detections.class_id is not None
        names = [dataset.classes[class_id] for class_id in detections.class_id]
        corners = np.asarray(detections.xyxy, dtype=np.float64)
        found[Path(path).stem] = list(zip(names, corners, strict=True))
    return found


def test_supervision_reads_our_coco(exports: Path, real_set: ExportSet) -> None:
    dataset = supervision.DetectionDataset.from_coco(
        str(exports / "coco" / "images"), str(exports / "coco" / "annotations.json")
    )
    # Its boxes are float32.
    assert_same(_supervision_boxes(dataset), real_set, tolerance_px=1e-3)


def test_supervision_reads_our_yolo(exports: Path, real_set: ExportSet) -> None:
    root = exports / "yolo"
    dataset = supervision.DetectionDataset.from_yolo(
        str(root / "images" / "train"),
        str(root / "labels" / "train"),
        str(root / "data.yaml"),
    )
    assert dataset.classes == list(real_set.labels.names)
    found = _supervision_boxes(dataset)
    assert_same(found, real_set, tolerance_px=six_decimals(real_set))


def test_supervision_reads_our_voc(exports: Path, real_set: ExportSet) -> None:
    root = exports / "voc"
    dataset = supervision.DetectionDataset.from_pascal_voc(
        str(root / "JPEGImages"), str(root / "Annotations")
    )
    assert_same(_supervision_boxes(dataset), real_set, tolerance_px=0.501)


def _globox_boxes(read: globox.AnnotationSet, names: list[str] | None = None) -> Found:
    return {
        Path(one.image_id).stem: [
            (
                names[int(box.label)] if names else str(box.label),
                np.array([box.xmin, box.ymin, box.xmax, box.ymax], dtype=np.float64),
            )
            for box in one.boxes
        ]
        for one in read
    }


def test_globox_reads_our_coco(exports: Path, real_set: ExportSet) -> None:
    found = globox.AnnotationSet.from_coco(exports / "coco" / "annotations.json")
    assert_same(_globox_boxes(found), real_set, tolerance_px=1e-4)


@pytest.mark.parametrize(
    ("labels", "images"),
    [("yolo/labels/train", "yolo/images/train"), ("darknet/data/obj",) * 2],
    ids=["yolo", "darknet"],
)
def test_globox_reads_our_yolo_and_darknet(
    exports: Path, real_set: ExportSet, labels: str, images: str
) -> None:
    found = globox.AnnotationSet.from_yolo_v5(
        exports / labels, image_folder=exports / images
    )
    boxes = _globox_boxes(found, list(real_set.labels.names))
    assert_same(boxes, real_set, tolerance_px=six_decimals(real_set))


def test_globox_reads_our_voc(exports: Path, real_set: ExportSet) -> None:
    """It takes the near corner as it stands, one pixel further than it is meant."""
    found = globox.AnnotationSet.from_pascal_voc(exports / "voc" / "Annotations")
    boxes = {
        stem: [(name, corners - [1, 1, 0, 0]) for name, corners in boxes]
        for stem, boxes in _globox_boxes(found).items()
    }
    assert_same(boxes, real_set, tolerance_px=0.501)


def _photographs(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*.jpg"))


def test_exported_photographs_are_the_originals(
    exports: Path, shared_data: Path
) -> None:
    originals = list(_photographs(shared_data / "coco_val_dev128" / "images"))
    for part in ("coco/images", "yolo/images/train", "voc/JPEGImages"):
        copies = list(_photographs(exports / part))
        assert [one.name for one in copies] == [one.name for one in originals]
        assert copies[0].read_bytes() == originals[0].read_bytes()
