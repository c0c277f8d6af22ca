"""Pascal VOC XML: whole pixels counted from 1, both ends included."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from imagebase.annotation import Annotation, Box, LabelSet, Size
from imagebase.errors import AnnotationFileError
from imagebase.formats.boxes import whole_pixel_tolerance, whole_pixels, writable
from imagebase.formats.collecting import (
    Collector,
    number,
)
from imagebase.formats.image_claims import named_beside
from imagebase.formats.label_set_files import (
    IGNORE,
    PARTS,
    ExportFile,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    ImageReference,
    Streamed,
    WriteOptions,
    any_attribute,
)
from imagebase.formats.names import flat_image_names, image_stem
from imagebase.formats.outlines import ROTATED, around_rotated
from imagebase.formats.parts import part_named
from imagebase.formats.regions import boxes as boxes_around
from imagebase.formats.regions import pieces
from imagebase.formats.relative import names_file, read_names_file
from imagebase.formats.trees import (
    FILES_TO_TRY,
    files_named,
    folder_of,
    names_with_suffix,
)
from imagebase.formats.voc_attributes import elements, read_attributes
from imagebase.formats.xml_files import escaped, root_of, root_tag_of
from imagebase.shapes import Shape, rectangle

_TITLE: Final = "Pascal VOC XML"
_LABELS_FILE: Final = "labels.txt"
# What CVAT and Datumaro read: `name:colour:parts:actions`, the last three left empty.
_LABEL_MAP_FILE: Final = "labelmap.txt"
_LISTS_FOLDER: Final = "ImageSets/Main"
_LISTS: Final = frozenset({"train.txt", "val.txt", "test.txt"})
_DATABASE: Final = "ImageBase"
_TURNED: Final = ("cx", "cy", "w", "h", "angle")
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


def names(export_set: ExportSet) -> Iterable[str]:
    """Return names without folders, as all images lie in JPEGImages."""
    return flat_image_names(export_set)


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the images, one XML for each, the lists, and the labels in their order."""
    image_names = names(export_set)
    yield ExportFile(_LABELS_FILE, names_file(export_set.labels))
    yield ExportFile(_LABEL_MAP_FILE, _label_map(export_set.labels))
    yield from _lists(export_set, image_names)
    for image, name in zip(export_set.images, image_names, strict=True):
        if options.with_images:
            reference = ImageReference(image.record.image_id)
            yield ExportFile(f"JPEGImages/{name}", reference)
        path = f"Annotations/{image_stem(name)}.xml"
        text = _document(image, name, is_zero_based=options.voc_is_zero_based)
        yield ExportFile(path, text.encode())


def _label_map(labels: LabelSet) -> bytes:
    """Return labelmap.txt; a colon in a name would end it, and becomes a blank."""
    lines = ["# label:color_rgb:parts:actions"]
    lines += [f"{name.replace(':', ' ')}:::" for name in labels.names]
    return "".join(f"{line}\n" for line in lines).encode()


def _lists(export_set: ExportSet, image_names: Iterable[str]) -> Iterator[ExportFile]:
    """Write ImageSets/Main, each image in one list: CVAT adds up what several hold."""

    def listing(part: str) -> Streamed:
        pairs = zip(export_set.images, image_names, strict=True)
        stems = (image_stem(name) for image, name in pairs if image.part == part)
        return Streamed(f"{stem}\n".encode() for stem in stems)

    for part in export_set.parts or PARTS[:1]:
        yield ExportFile(f"{_LISTS_FOLDER}/{part}.txt", listing(part))


def _document(image: ExportImage, name: str, *, is_zero_based: bool) -> str:
    width, height = image.record.size
    convention = _ZERO_BASED if is_zero_based else _ONE_BASED
    objects = [_object(one, is_zero_based=is_zero_based) for one in writable(image)]
    objects += [
        _object(_ignored(one), is_zero_based=is_zero_based)
        for one in pieces(image, boxes_around)
    ]
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


def _ignored(shape: Shape) -> Annotation:
    """Return an ignore area as the field's scripts leave objects aside: difficult."""
    return Annotation(shape.bounds, IGNORE, attributes={"difficult": True})


def _object(annotation: Annotation, *, is_zero_based: bool) -> str:
    box = to_voc(annotation.box, is_zero_based=is_zero_based)
    edges = "".join(f"\t\t\t<{k}>{v}</{k}>\n" for k, v in box._asdict().items())
    described, rest = elements(annotation.attributes)
    return (
        "\t<object>\n"
        f"\t\t<name>{escaped(annotation.label, title=_TITLE)}</name>\n"
        f"{described}"
        f"\t\t<bndbox>\n{edges}\t\t</bndbox>\n"
        f"{rest}"
        "\t</object>\n"
    )


def recognises(tree: FileTree) -> bool:
    """Say whether an XML file has <annotation> as its root."""
    for file in names_with_suffix(tree, ".xml")[:FILES_TO_TRY]:
        try:
            if root_tag_of(tree, file) == "annotation":
                return True
        except AnnotationFileError:
            continue
    return False


def read(tree: FileTree, collector: Collector) -> None:
    """Read every VOC file of the tree.

    Pixels are taken to count from 1 unless a file says otherwise, or one that says
    nothing shows it: by a near edge below 1, or by decimals, which no 1-based program
    writes. All files that say nothing then count from 0, and reading begins again.

    Raises:
        AnnotationFileError: no file is VOC, or none can be read.
    """
    files = names_with_suffix(tree, ".xml")
    label_lists = files_named(tree, _LABELS_FILE)
    if not files and not label_lists:
        raise AnnotationFileError(
            "There is no Pascal VOC file here: it has one .xml for each image."
        )
    try:
        _read_files(tree, collector, files, is_zero_based=False)
    except _CountsFromZero as shown:
        collector.clear()
        what = "pixels count from 0 here, and so they were read in all files"
        collector.change(shown.file, shown.at, what)
        _read_files(tree, collector, files, is_zero_based=True)
    collector.check()


def _read_files(
    tree: FileTree, collector: Collector, files: Sequence[str], *, is_zero_based: bool
) -> None:
    for file in files_named(tree, _LABELS_FILE):
        collector.add_labels(read_names_file(tree, file), file=file)
    reader = _Reader(tree, collector, is_zero_based=is_zero_based)
    for file in files:
        try:
            reader.read_file(file)
        except AnnotationFileError as error:
            collector.skip(file, "", str(error))


class _CountsFromZero(Exception):  # noqa: N818 - it is no error
    """A box that no file counting from 1 can have."""

    def __init__(self, file: str, at: str) -> None:
        super().__init__(file, at)
        self.file = file
        self.at = at


class _Reader:
    def __init__(
        self, tree: FileTree, collector: Collector, *, is_zero_based: bool
    ) -> None:
        self._tree = tree
        self._collector = collector
        self._parts = _listed_parts(tree, collector)
        self._is_zero_based = is_zero_based

    def read_file(self, file: str) -> None:
        root = root_of(self._tree, file)
        if root.tag != "annotation":
            raise AnnotationFileError(f"its root is <{root.tag}>, not <annotation>")
        name, stated = self._names(root, file)
        sides = root.findtext("size/width"), root.findtext("size/height")
        size = self._collector.size_in(*sides, file=file, at="size")
        part = self._parts.get(PurePosixPath(file).stem, "")
        image = self._collector.add_image(
            name, size, part=part, file=file, stated=stated
        )
        boxes = _Boxes(self._collector, image, file, _stated(root), self._is_zero_based)
        for index, element in enumerate(root.iter("object"), start=1):
            boxes.read(element, f"object {index}")

    def _names(self, root: Element, file: str) -> tuple[str, str]:
        """Return what the image is called, and what to look for: see `named_beside`."""
        text = _text_of(root, "filename") or ""
        return named_beside(self._collector, text, file=file, field="<filename>")


def _listed_parts(tree: FileTree, collector: Collector) -> dict[str, str]:
    """Return the part of each image by its stem; nothing where two lists have it."""
    found: dict[str, str] = {}
    for file in files_named(tree, *_LISTS):
        if not folder_of(file).endswith(_LISTS_FOLDER):
            continue
        part = part_named(PurePosixPath(file).stem) or ""
        try:
            stems = read_names_file(tree, file)
        except AnnotationFileError as error:
            collector.skip(file, "", str(error))
            continue
        for line in stems:
            # Some fill lines up with blanks; no safe name ends in one.
            stem = line.rstrip(" \t")
            found[stem] = part if found.get(stem, part) == part else ""
    return found


def _text_of(element: Element, tag: str) -> str | None:
    """Return a child's text; blanks mean nothing where it has lines of its own."""
    text = element.findtext(tag)
    return text.strip() if text is not None and "\n" in text else text


def _stated(root: Element) -> bool | None:
    """Say whether a file that we wrote counts from 0; None of any other file."""
    if root.findtext("source/database") != _DATABASE:
        return None
    return root.findtext("source/annotation") == _ZERO_BASED


class _Boxes(NamedTuple):
    """The boxes of one file on their way in."""

    collector: Collector
    image: str
    file: str
    stated: bool | None
    is_zero_based: bool

    def read(self, element: Element, at: str) -> None:
        label, edges = _text_of(element, "name"), element.find("bndbox")
        if label is None:
            self.collector.skip_box(self.file, at, "it has no name")
        elif edges is not None:
            self._add(label, edges, read_attributes(element), at)
        elif (turned := element.find("robndbox")) is not None:
            self._add_turned(label, turned, read_attributes(element), at)
        else:
            self.collector.skip_box(self.file, at, f"{label.strip()!r} has no bndbox")

    def _add_turned(
        self, label: str, edges: Element, attributes: Mapping[str, object], at: str
    ) -> None:
        """Take in roLabelImg's box: centre, sides, and an angle in radians.

        It is clockwise, in pixels from 0.
        """
        cx, cy, width, height, angle = (number(edges.findtext(k)) for k in _TURNED)
        box = Box(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        if angle % math.pi and box.is_finite:
            box = around_rotated(box, math.degrees(angle), (cx, cy))
            self.collector.change(self.file, at, ROTATED)
        self.collector.add_box(
            self.image, label, box, file=self.file, at=at, attributes=attributes
        )

    def _add(
        self,
        label: str,
        edges: Element,
        attributes: Mapping[str, object],
        at: str,
    ) -> None:
        texts = [(edges.findtext(key) or "").strip() for key in VocBox._fields]
        xmin, ymin, xmax, ymax = map(number, texts)
        if self.stated is None and (xmin == xmax or ymin == ymax):
            # By definition a box of one pixel; in practice a click that slipped.
            self.collector.skip_box(self.file, at, "the box is a line or a point")
            return
        is_zero_based = self.is_zero_based if self.stated is None else self.stated
        if self.stated is None and not is_zero_based and _counts_from_zero(texts):
            raise _CountsFromZero(self.file, at)
        shift = 0 if is_zero_based else 1
        x_min, x_max = _edges(xmin, xmax, shift)
        y_min, y_max = _edges(ymin, ymax, shift)
        box = Box(x_min, y_min, x_max, y_max)
        if label == IGNORE:
            area = rectangle(box)
            self.collector.add_region(self.image, area, file=self.file, at=at)
            return
        self.collector.add_box(
            self.image, label, box, file=self.file, at=at, attributes=attributes
        )


def _counts_from_zero(corners: Sequence[str]) -> bool:
    """Say whether corners cannot count from 1: as 0, or written with decimals.

    Programs that count from 1 count whole pixels.
    """
    edges = [number(text) for text in corners]
    if not all(map(math.isfinite, edges)):
        return False
    return 0 <= min(edges[:2]) < 1 or any("." in text for text in corners)


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
    names=names,
    tolerance=tolerance,
    conventions={
        "boxes": "whole pixels, both ends included, the top-left pixel (1, 1) unless "
        "source/annotation in the files says that they count from 0",
        "ignore areas": f"objects of the label {IGNORE}, difficult, each the box "
        "around an area: the format has no other shape",
        "labels": f"{_LABELS_FILE}, one a line, by class id",
    },
    has_flat_names=True,
    holds=any_attribute,
    region=boxes_around,
)
