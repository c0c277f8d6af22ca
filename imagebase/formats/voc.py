"""Pascal VOC XML: whole pixels counted from 1, both ends included."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from imagebase.annotation import Annotation, Box, Size
from imagebase.errors import AnnotationFileError
from imagebase.formats.boxes import whole_pixel_tolerance, whole_pixels, writable
from imagebase.formats.collecting import (
    Collector,
    image_name,
    number,
    size_of,
)
from imagebase.formats.label_set_files import (
    ExportFile,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    ImageReference,
    ReadResult,
    WriteOptions,
)
from imagebase.formats.names import flat_names, split_suffix
from imagebase.formats.relative import names_file, read_names_file
from imagebase.formats.trees import (
    FILES_TO_TRY,
    files_named,
    images_of,
    names_with_suffix,
)
from imagebase.formats.xml_files import escaped, root_of, root_tag_of

_TITLE: Final = "Pascal VOC XML"
_LABELS_FILE: Final = "labels.txt"
_DATABASE: Final = "ImageBase"
_ZERO_BASED: Final = "pixels from 0"
_ONE_BASED: Final = "pixels from 1"


class VocBox(NamedTuple):
    """As the file has it: whole pixels, both ends included."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int


def to_voc(box: Box, *, is_zero_based: bool = False) -> VocBox:
    """Shift the near edges only: far edge n is pixel n, counted from 1.

    Zero-based files have the far edge as it is, which is how most of them are read.
    """
    whole = whole_pixels(box)
    shift = 0 if is_zero_based else 1
    return VocBox(whole.x_min + shift, whole.y_min + shift, whole.x_max, whole.y_max)


def names(export_set: ExportSet) -> list[str]:
    """Return names without folders, as all images lie in JPEGImages."""
    return flat_names(image.name for image in export_set.images)


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the images, one XML for each, the lists, and the labels in their order."""
    image_names = names(export_set)
    yield ExportFile(_LABELS_FILE, names_file(export_set.labels))
    yield from _lists(export_set, image_names)
    for image, name in zip(export_set.images, image_names, strict=True):
        if options.with_images:
            reference = ImageReference(image.record.image_id)
            yield ExportFile(f"JPEGImages/{name}", reference)
        path = f"Annotations/{split_suffix(name)[0]}.xml"
        text = _document(image, name, is_zero_based=options.voc_is_zero_based)
        yield ExportFile(path, text.encode())


def _lists(export_set: ExportSet, image_names: list[str]) -> Iterator[ExportFile]:
    """Write ImageSets/Main; without a split val names all images too."""
    stems: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for image, name in zip(export_set.images, image_names, strict=True):
        stems[image.part].append(split_suffix(name)[0] + "\n")
    lists = {
        "train": stems["train"],
        "val": stems["val"] or stems["train"],
        "trainval": stems["train"] + stems["val"],
    }
    if stems["test"]:
        lists["test"] = stems["test"]
    for part, lines in lists.items():
        yield ExportFile(f"ImageSets/Main/{part}.txt", "".join(lines).encode())


def _document(image: ExportImage, name: str, *, is_zero_based: bool) -> str:
    width, height = image.record.size
    convention = _ZERO_BASED if is_zero_based else _ONE_BASED
    objects = [_object(one, is_zero_based=is_zero_based) for one in writable(image)]
    return (
        "<annotation>\n"
        "\t<folder>JPEGImages</folder>\n"
        f"\t<filename>{escaped(name, title=_TITLE)}</filename>\n"
        "\t<source>\n"
        f"\t\t<database>{_DATABASE}</database>\n"
        f"\t\t<annotation>{convention}</annotation>\n"
        "\t</source>\n"
        "\t<size>\n"
        f"\t\t<width>{width}</width>\n"
        f"\t\t<height>{height}</height>\n"
        "\t\t<depth>3</depth>\n"
        "\t</size>\n"
        "\t<segmented>0</segmented>\n"
        f"{''.join(objects)}"
        "</annotation>\n"
    )


def _object(annotation: Annotation, *, is_zero_based: bool) -> str:
    box = to_voc(annotation.box, is_zero_based=is_zero_based)
    edges = "".join(f"\t\t\t<{k}>{v}</{k}>\n" for k, v in box._asdict().items())
    return (
        "\t<object>\n"
        f"\t\t<name>{escaped(annotation.label, title=_TITLE)}</name>\n"
        "\t\t<pose>Unspecified</pose>\n"
        "\t\t<truncated>0</truncated>\n"
        "\t\t<difficult>0</difficult>\n"
        f"\t\t<bndbox>\n{edges}\t\t</bndbox>\n"
        "\t</object>\n"
    )


def recognises(tree: FileTree) -> bool:
    """Say whether an XML file has <annotation> as its root."""
    for file in names_with_suffix(tree, ".xml")[:FILES_TO_TRY]:
        try:
            return root_tag_of(tree, file) == "annotation"
        except AnnotationFileError:
            continue
    return False


@dataclass(frozen=True, slots=True)
class _RawBox:
    image: str
    label: str
    corners: tuple[float, float, float, float]
    file: str
    at: str


def read(tree: FileTree) -> ReadResult:
    """Read every VOC file of the tree.

    Pixels are taken to count from 1 unless the files say otherwise, or show it: by a
    near edge below 1, or by fractions, which no 1-based program writes.

    Raises:
        AnnotationFileError: no file is VOC, or none can be read.
    """
    collector = Collector(tree.limits)
    files = names_with_suffix(tree, ".xml")
    label_lists = files_named(tree, _LABELS_FILE)
    if not files and not label_lists:
        raise AnnotationFileError(
            "There is no Pascal VOC file here: it has one .xml for each image."
        )
    for file in label_lists:
        collector.add_labels(read_names_file(tree, file), file=file)
    reader = _Reader(tree, collector)
    for file in files:
        try:
            reader.read_file(file)
        except AnnotationFileError as error:
            collector.skip(file, "", str(error))
    reader.add_boxes()
    return collector.result()


class _Reader:
    """Holds the boxes back until all files have shown where they count from."""

    def __init__(self, tree: FileTree, collector: Collector) -> None:
        self._tree = tree
        self._collector = collector
        self._images = images_of(tree)
        self._boxes: list[_RawBox] = []
        self._stated: set[bool] = set()

    def read_file(self, file: str) -> None:
        root = root_of(self._tree, file)
        if root.tag != "annotation":
            raise AnnotationFileError(f"its root is <{root.tag}>, not <annotation>")
        if root.findtext("source/database") == _DATABASE:
            convention = root.findtext("source/annotation")
            self._stated.add(convention == _ZERO_BASED)
        name = self._name(root, file)
        size = size_of(root.findtext("size/width"), root.findtext("size/height"))
        self._collector.add_image(name, size)
        for index, element in enumerate(root.iter("object")):
            self._read_object(element, name, file, f"object {index + 1}")

    def _name(self, root: Element, file: str) -> str:
        """Return the image's name: as found beside the XML, as stated, or its stem."""
        stated = image_name((root.findtext("filename") or "").strip())
        stem = PurePosixPath(file).stem
        found = self._images.find(stated or stem) or self._images.find(stem)
        name = PurePosixPath(found).name if found else stated or stem
        if self._collector.has_image(name):
            return str(PurePosixPath(file).parent / PurePosixPath(name).name)
        return name

    def _read_object(self, element: Element, image: str, file: str, at: str) -> None:
        label, edges = element.findtext("name"), element.find("bndbox")
        if label is None:
            self._collector.skip_box(file, at, "it has no name")
        elif edges is None:
            self._collector.skip_box(file, at, f"{label.strip()!r} has no bndbox")
        else:
            # Only a name laid out over several lines has blanks that mean nothing.
            label = label.strip() if "\n" in label else label
            xmin, ymin, xmax, ymax = (number(edges.findtext(k)) for k in VocBox._fields)
            corners = (xmin, ymin, xmax, ymax)
            self._boxes.append(_RawBox(image, label, corners, file, at))

    def add_boxes(self) -> None:
        shift = 0 if self._is_zero_based() else 1
        for one in self._boxes:
            xmin, ymin, xmax, ymax = one.corners
            if not self._stated and (xmin == xmax or ymin == ymax):
                # By definition a box of one pixel; in practice a click that slipped.
                self._collector.skip_box(
                    one.file, one.at, "the box is a line or a point"
                )
                continue
            x_min, x_max = _edges(xmin, xmax, shift)
            y_min, y_max = _edges(ymin, ymax, shift)
            box = Box(x_min, y_min, x_max, y_max)
            self._collector.add_box(one.image, one.label, box, file=one.file, at=one.at)

    def _is_zero_based(self) -> bool:
        if len(self._stated) == 1:
            return True in self._stated
        for one in self._boxes:
            if not all(map(math.isfinite, one.corners)):
                continue
            near = min(one.corners[:2])
            if 0 <= near < 1 or any(edge % 1 for edge in one.corners):
                what = "pixels count from 0 here, and so they were read in all files"
                self._collector.change(one.file, one.at, what)
                return True
        return False


def _edges(near: float, far: float, shift: int) -> tuple[float, float]:
    """Return edges in pixels from 0; swapped ones stay swapped, to be reported."""
    return (near - shift, far) if near <= far else (near, far - shift)


def tolerance(box: Box, size: Size) -> tuple[float, float]:
    """Return how far rounding to whole pixels moves an edge."""
    return whole_pixel_tolerance(box, size)


FORMAT: Final = Format(
    title=_TITLE,
    write=write,
    read=read,
    recognises=recognises,
    looks_for=".xml with <annotation> as its root",
    names=names,
    tolerance=tolerance,
    conventions={
        "boxes": "whole pixels, both ends included, the top-left pixel (1, 1) unless "
        "source/annotation in the files says that they count from 0",
        "labels": f"{_LABELS_FILE}, one a line, by class id",
    },
    lists_train_as_val=True,
)
