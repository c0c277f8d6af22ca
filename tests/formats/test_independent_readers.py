"""Every format written from real labels, and read by us and by others' programs."""

import contextlib
import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import globox
import numpy as np
import pytest
import supervision
from labelformat.formats import (
    COCOObjectDetectionInput,
    CVATObjectDetectionInput,
    PascalVOCObjectDetectionInput,
    YOLOv8ObjectDetectionInput,
)
from labelformat.model.object_detection import ObjectDetectionInput
from numpy.typing import NDArray
from pycocotools.coco import COCO

from imagebase.annotation import ImageRecord, LabelSet, Size
from imagebase.formats.base import ExportSet
from imagebase.formats.file_names import build_export_set
from imagebase.formats.registry import FORMATS, read
from imagebase.formats.trees import FolderTree
from imagebase.formats.verified_export import export_folder, export_zip

Corners = NDArray[np.float64]
IMAGES: Final = 128
BOXES: Final = 898


class Found(NamedTuple):
    """One image as a reader has it. size: None where the format does not say it."""

    size: Size | None
    boxes: list[tuple[str, Corners]]


FoundSet = dict[str, Found]


@pytest.fixture(scope="module")
def real_set(shared_data: Path) -> ExportSet:
    """128 COCO photographs with 898 boxes, crowds left out."""
    source = shared_data / "coco_val_dev128" / "instances.json"
    result = read(FolderTree(source), "coco")
    records = []
    for image in result.images:
        assert image.size is not None
        image_record = ImageRecord(
            image.name, image.name, image.size, image.annotations
        )
        records.append(image_record)
    return build_export_set("dev128", result.labels, records, lambda record: ".jpg")


@pytest.fixture(scope="module")
def exports(
    real_set: ExportSet, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    photographs = shared_data / "coco_val_dev128" / "images"
    for format_name in FORMATS:
        export_folder(
            real_set,
            format_name,
            images=lambda image_id: (photographs / image_id).read_bytes(),
            folder=folder / format_name,
        )
    _unpack_coco_zip(real_set, photographs, folder / "zipped" / "coco")
    # The reader of Open Images takes an ImageID for the name of a file.
    without_suffix = folder / "without_suffix"
    without_suffix.mkdir()
    for path in photographs.iterdir():
        (without_suffix / path.stem).symlink_to(path)
    return folder


def _unpack_coco_zip(dataset: ExportSet, photographs: Path, folder: Path) -> None:
    """Unpack a COCO zip; links show its files where those of a folder are."""
    folder.mkdir(parents=True)
    path = folder / "coco.zip"
    export_zip(
        dataset, "coco", images=lambda i: (photographs / i).read_bytes(), path=path
    )
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "unpacked")
    annotations = folder / "unpacked" / "annotations" / "instances_default.json"
    (folder / "annotations.json").symlink_to(annotations)
    (folder / "images").symlink_to(folder / "unpacked" / "images" / "default")


def corners(*edges: float) -> Corners:
    return np.array(edges, dtype=np.float64)


def of_zip(
    reader: Callable[[Path, LabelSet], FoundSet],
) -> Callable[[Path, LabelSet], FoundSet]:
    """Return a reader of COCO that is shown what was in the zip."""

    def found(exports: Path, labels: LabelSet) -> FoundSet:
        return reader(exports / "zipped", labels)

    found.__name__ = f"{reader.__name__}_of_zip"
    return found


def by_us(format_name: str) -> Callable[[Path, LabelSet], FoundSet]:
    def found(exports: Path, labels: LabelSet) -> FoundSet:
        result = read(FolderTree(exports / format_name), format_name)
        assert result.labels.names == labels.names
        assert not result.report.skipped
        sizes = _sizes(exports)
        return {
            Path(image.name).stem: Found(
                image.size,
                [
                    (box.label, corners(*box.box))
                    for box in image.in_pixels(sizes[Path(image.name).stem]).annotations
                ],
            )
            for image in result.images
        }

    return found


def _sizes(exports: Path) -> dict[str, Size]:
    document = json.loads((exports / "coco" / "annotations.json").read_text())
    return {
        Path(image["file_name"]).stem: Size(image["width"], image["height"])
        for image in document["images"]
    }


def pycocotools(exports: Path, labels: LabelSet) -> FoundSet:
    with contextlib.redirect_stdout(io.StringIO()):
        document = COCO(str(exports / "coco" / "annotations.json"))
    names = [category["name"] for category in document.loadCats(document.getCatIds())]
    assert names == list(labels.names)
    found: FoundSet = {}
    for image in document.loadImgs(document.getImgIds()):
        boxes = []
        for entry in document.loadAnns(document.getAnnIds(imgIds=image["id"])):
            x, y, width, height = entry["bbox"]
            name = document.loadCats(entry["category_id"])[0]["name"]
            boxes.append((name, corners(x, y, x + width, y + height)))
        size = Size(image["width"], image["height"])
        found[Path(image["file_name"]).stem] = Found(size, boxes)
    return found


def supervision_coco(exports: Path, labels: LabelSet) -> FoundSet:
    root = exports / "coco"
    return _of_supervision(
        supervision.DetectionDataset.from_coco(
            str(root / "images"), str(root / "annotations.json")
        ),
        labels,
    )


def supervision_yolo(exports: Path, labels: LabelSet) -> FoundSet:
    root = exports / "yolo"
    return _of_supervision(
        supervision.DetectionDataset.from_yolo(
            str(root / "images" / "train"),
            str(root / "labels" / "train"),
            str(root / "data.yaml"),
        ),
        labels,
    )


def supervision_voc(exports: Path, labels: LabelSet) -> FoundSet:
    root = exports / "voc"
    return _of_supervision(
        supervision.DetectionDataset.from_pascal_voc(
            str(root / "JPEGImages"), str(root / "Annotations")
        )
    )


def _of_supervision(
    dataset: supervision.DetectionDataset, labels: LabelSet | None = None
) -> FoundSet:
    if labels is not None:
        assert dataset.classes == list(labels.names)
    found = {}
    for path, image, detections in dataset:
        assert detections.class_id is not None
        names = [dataset.classes[class_id] for class_id in detections.class_id]
        boxes = [corners(*edges) for edges in detections.xyxy]
        size = Size(image.shape[1], image.shape[0])
        found[Path(path).stem] = Found(size, list(zip(names, boxes, strict=True)))
    return found


def globox_coco(exports: Path, labels: LabelSet) -> FoundSet:
    path = exports / "coco" / "annotations.json"
    return _of_globox(globox.AnnotationSet.from_coco(path))


def globox_yolo(exports: Path, labels: LabelSet) -> FoundSet:
    root = exports / "yolo"
    read_set = globox.AnnotationSet.from_yolo_v5(
        root / "labels" / "train", image_folder=root / "images" / "train"
    )
    return _of_globox(read_set, labels)


def globox_darknet(exports: Path, labels: LabelSet) -> FoundSet:
    folder = exports / "darknet" / "obj"
    read_set = globox.AnnotationSet.from_yolo_v5(folder, image_folder=folder)
    return _of_globox(read_set, labels)


def globox_voc(exports: Path, labels: LabelSet) -> FoundSet:
    """It takes the near corner as it stands, one pixel further than it is meant."""
    read_set = globox.AnnotationSet.from_pascal_voc(exports / "voc" / "Annotations")
    return {
        stem: Found(size, [(name, box - [1, 1, 0, 0]) for name, box in boxes])
        for stem, (size, boxes) in _of_globox(read_set).items()
    }


def globox_labelme(exports: Path, labels: LabelSet) -> FoundSet:
    folder = exports / "labelme" / "images"
    return _of_globox(globox.AnnotationSet.from_labelme(folder))


def globox_cvat(exports: Path, labels: LabelSet) -> FoundSet:
    path = exports / "cvat" / "annotations.xml"
    return _of_globox(globox.AnnotationSet.from_cvat(path))


def globox_openimages(exports: Path, labels: LabelSet) -> FoundSet:
    """It knows images by their boxes, so those without are added."""
    read_set = globox.AnnotationSet.from_openimage(
        exports / "openimages" / "train-annotations-bbox.csv",
        image_folder=exports / "without_suffix",
    )
    with (exports / "openimages" / "image_ids.csv").open(newline="") as file:
        listed = [row["ImageID"] for row in csv.DictReader(file)]
    return {stem: Found(None, []) for stem in listed} | _of_globox(read_set)


def _of_globox(
    read_set: globox.AnnotationSet, labels: LabelSet | None = None
) -> FoundSet:
    found = {}
    for image in read_set:
        boxes = [
            (
                labels.names[int(box.label)] if labels else str(box.label),
                corners(box.xmin, box.ymin, box.xmax, box.ymax),
            )
            for box in image.boxes
        ]
        size = None if image.image_size is None else Size(*image.image_size)
        found[Path(image.image_id).stem] = Found(size, boxes)
    return found


def labelformat_coco(exports: Path, labels: LabelSet) -> FoundSet:
    path = exports / "coco" / "annotations.json"
    return _of_labelformat(COCOObjectDetectionInput(input_file=path))


def labelformat_cvat(exports: Path, labels: LabelSet) -> FoundSet:
    path = exports / "cvat" / "annotations.xml"
    return _of_labelformat(CVATObjectDetectionInput(input_file=path))


def labelformat_yolo(exports: Path, labels: LabelSet) -> FoundSet:
    """It joins its own path to the dataset's, and takes an empty one for absent."""
    text = (exports / "yolo" / "data.yaml").read_text()
    path = exports / "yolo" / "data_for_labelformat.yaml"
    path.write_text(text.replace("path: ''\n", ""))
    reader = YOLOv8ObjectDetectionInput(input_file=path, input_split="train")
    return _of_labelformat(reader)


def labelformat_voc(exports: Path, labels: LabelSet) -> FoundSet:
    """It takes the near corner as it stands, one pixel further than it is meant."""
    reader = PascalVOCObjectDetectionInput(
        exports / "voc" / "Annotations", ",".join(labels.names)
    )
    return {
        stem: Found(size, [(name, box - [1, 1, 0, 0]) for name, box in boxes])
        for stem, (size, boxes) in _of_labelformat(reader).items()
    }


def _of_labelformat(reader: ObjectDetectionInput) -> FoundSet:
    return {
        Path(detection.image.filename).stem: Found(
            Size(detection.image.width, detection.image.height),
            [
                (
                    box.category.name,
                    corners(box.box.xmin, box.box.ymin, box.box.xmax, box.box.ymax),
                )
                for box in detection.objects
            ],
        )
        for detection in reader.get_labels()
    }


def plain_createml(exports: Path, labels: LabelSet) -> FoundSet:
    """By Apple's documentation: x and y are the centre, in pixels."""
    path = exports / "createml" / "train" / "annotations.json"
    found = {}
    for image in json.loads(path.read_text(encoding="utf-8")):
        boxes = []
        for entry in image["annotations"]:
            x, y, width, height = (entry["coordinates"][k] for k in _XYWH)
            near, far = (x - width / 2, y - height / 2), (x + width / 2, y + height / 2)
            boxes.append((entry["label"], corners(*near, *far)))
        found[Path(image["image"]).stem] = Found(None, boxes)
    return found


def plain_labelstudio(exports: Path, labels: LabelSet) -> FoundSet:
    """By its documentation: percent of the original size."""
    path = exports / "labelstudio" / "tasks.json"
    found = {}
    for task in json.loads(path.read_text(encoding="utf-8")):
        stem = Path(task["data"]["image"]).stem
        size = Size(task["data"]["width"], task["data"]["height"])
        boxes = [
            _of_region(region, size)
            for annotation in (*task["annotations"], *task["predictions"])
            for region in annotation["result"]
        ]
        found[stem] = Found(size, boxes)
    return found


_XYWH: Final = ("x", "y", "width", "height")


def _of_region(region: dict[str, Any], size: Size) -> tuple[str, Corners]:
    assert (region["original_width"], region["original_height"]) == size
    x, y, width, height = (region["value"][key] / 100 for key in _XYWH)
    (label,) = region["value"]["rectanglelabels"]
    edges = corners(x, y, x + width, y + height) * [*size, *size]
    return label, edges


def plain_csv(exports: Path, labels: LabelSet) -> FoundSet:
    """By the training notebook's columns, in their order."""
    with (exports / "csv" / "images.csv").open(newline="") as file:
        sizes = list(csv.reader(file))[1:]
    found = {Path(name).stem: Found(Size(int(w), int(h)), []) for name, w, h in sizes}
    with (exports / "csv" / "annotations.csv").open(newline="") as file:
        for name, _, _, label, *edges, _ in list(csv.reader(file))[1:]:
            found[Path(name).stem].boxes.append((label, corners(*map(int, edges))))
    return found


HALF_A_PIXEL: Final = 0.501
A_HAIR: Final = 2e-3  # six decimals of 640 pixels, and float32
FOUR_DECIMALS: Final = 1.01e-4
# With some programs boxes are float32.
AS_FLOAT32: Final = 1e-3
READERS: Final = [
    *(("coco", reader, AS_FLOAT32) for reader in (pycocotools, supervision_coco)),
    *(("coco", reader, FOUR_DECIMALS) for reader in (globox_coco, labelformat_coco)),
    *(
        ("coco", of_zip(reader), AS_FLOAT32)
        for reader in (pycocotools, supervision_coco)
    ),
    *(
        ("coco", of_zip(reader), FOUR_DECIMALS)
        for reader in (globox_coco, labelformat_coco)
    ),
    *(("yolo", reader, A_HAIR) for reader in (supervision_yolo, globox_yolo)),
    ("yolo", labelformat_yolo, A_HAIR),
    ("darknet", globox_darknet, A_HAIR),
    *(("voc", reader, HALF_A_PIXEL) for reader in (supervision_voc, globox_voc)),
    ("voc", labelformat_voc, HALF_A_PIXEL),
    *(("cvat", reader, FOUR_DECIMALS) for reader in (globox_cvat, labelformat_cvat)),
    ("labelme", globox_labelme, FOUR_DECIMALS),
    ("openimages", globox_openimages, A_HAIR),
    ("createml", plain_createml, FOUR_DECIMALS),
    ("labelstudio", plain_labelstudio, A_HAIR),
    ("csv", plain_csv, HALF_A_PIXEL),
]
OURS: Final = [
    (name, by_us(name), HALF_A_PIXEL if name in ("csv", "voc") else A_HAIR)
    for name, format_ in FORMATS.items()
    if format_.has_boxes
]


def test_every_format_but_that_of_folders_has_a_reader_of_others() -> None:
    read_by_others = {format_name for format_name, _, _ in READERS}
    # Folders hold Darknet's files. Whole images have a test of their own.
    assert FORMATS.keys() - read_by_others == {"folders", "classification"}


def _name(case: object) -> str:
    return getattr(case, "__name__", "") if callable(case) else str(case)


@pytest.mark.parametrize(
    ("format_name", "reader", "tolerance_px"), [*READERS, *OURS], ids=_name
)
def test_images_sizes_labels_and_boxes_are_the_same(
    exports: Path,
    real_set: ExportSet,
    format_name: str,
    reader: Callable[[Path, LabelSet], FoundSet],
    tolerance_px: float,
) -> None:
    found = reader(exports, real_set.labels)
    assert len(found) == IMAGES
    assert sum(len(boxes_read.boxes) for boxes_read in found.values()) == BOXES
    for image in real_set.images:
        boxes_read = found[Path(image.name).stem]
        assert boxes_read.size in (None, image.record.size)
        assert boxes_read.size is not None or not FORMATS[format_name].has_sizes
        wanted = [(box.label, corners(*box.box)) for box in image.record.annotations]
        assert_same_boxes(boxes_read.boxes, wanted, tolerance_px)


def assert_same_boxes(
    found: Iterable[tuple[str, Corners]],
    wanted: Iterable[tuple[str, Corners]],
    tolerance_px: float,
) -> None:
    """Compare in whichever order the reader gives them."""
    left = list(found)
    for label, box in wanted:
        distances = [
            np.abs(other - box).max() if name == label else np.inf
            for name, other in left
        ]
        nearest = int(np.argmin(distances))
        assert distances[nearest] <= tolerance_px, (label, box)
        left.pop(nearest)
    assert not left


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_draws_a_mask_of_each_box(exports: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        document = COCO(str(exports / "coco" / "annotations.json"))
    found = document.loadAnns(document.getAnnIds())
    assert len(found) == BOXES
    for boxes_read in found:
        _, _, width, height = boxes_read["bbox"]
        # A mask has whole pixels: what an edge cuts through counts or does not.
        around = width + height + 2
        assert abs(document.annToMask(boxes_read).sum() - width * height) <= around


def test_supervision_reads_images_as_a_whole(
    exports: Path, real_set: ExportSet
) -> None:
    dataset = supervision.ClassificationDataset.from_folder_structure(
        str(exports / "classification")
    )
    labels = {
        annotation.label
        for image in real_set.images
        for annotation in image.record.annotations
    }
    assert set(dataset.classes) == labels
    assert len(dataset) == sum(len(image.record.labels) for image in real_set.images)


def _photographs(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*.jpg"))


def test_exported_photographs_are_the_originals(
    exports: Path, shared_data: Path
) -> None:
    originals = list(_photographs(shared_data / "coco_val_dev128" / "images"))
    for part in ("coco/images", "yolo/images/train", "voc/JPEGImages"):
        copies = list(_photographs(exports / part))
        assert [copy.name for copy in copies] == [
            original.name for original in originals
        ]
        assert copies[0].read_bytes() == originals[0].read_bytes()
