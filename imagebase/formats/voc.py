"""Pascal VOC XML: whole pixels counted from 1, both ends included."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from imagebase.annotation import Annotation, Attributes, Box, LabelSet
from imagebase.annotation.areas import Shape, rectangle
from imagebase.annotation.attributes import (
    DIFFICULT,
    FLAGS,
    OCCLUDED,
    POSE,
    TRUNCATED,
    read_text,
    stated,
    text_of,
)
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import (
    IGNORE,
    PARTS,
    ExportFile,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    Streamed,
    WriteOptions,
    any_attribute,
)
from imagebase.formats.file_names import flat_image_names, image_stem
from imagebase.formats.image_index import named_beside, stated_path
from imagebase.formats.reader import LabelReader, number
from imagebase.formats.shapes import (
    OUTLINE,
    ROTATED,
    around,
    around_rotated,
    pieces,
    whole_pixel_tolerance,
    whole_pixels,
    writable,
)
from imagebase.formats.shapes import boxes as boxes_around
from imagebase.formats.split import part_named
from imagebase.formats.text_files import (
    escaped,
    names_file,
    read_names_file,
    root_of,
    root_tag_of,
)
from imagebase.formats.trees import files_named, folder_of, has_file, names_with_suffix

_TITLE: Final = "Pascal VOC XML"
_LABELS_FILE: Final = "labels.txt"
# What CVAT and Datumaro read: `name:colour:parts:actions`, the last three left empty.
_LABEL_MAP_FILE: Final = "labelmap.txt"
_LISTS_FOLDER: Final = "ImageSets/Main"
_LISTS: Final = frozenset({"train.txt", "val.txt", "test.txt"})
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

    Zero-based files keep the far edge, which is how most of them are read.
    """
    whole = whole_pixels(box)
    shift = 0 if is_zero_based else 1
    return VocBox(whole.x_min + shift, whole.y_min + shift, whole.x_max, whole.y_max)


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the images, one XML for each, the lists, and the labels in their order."""
    image_names = flat_image_names(export_set)
    yield ExportFile(_LABELS_FILE, names_file(export_set.labels))
    yield ExportFile(_LABEL_MAP_FILE, _label_map(export_set.labels))
    yield from _lists(export_set, image_names)
    for image, name in zip(export_set.images, image_names, strict=True):
        if options.with_images:
            yield image.file_at(f"JPEGImages/{name}")
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
    objects = [
        _object(annotation, is_zero_based=is_zero_based)
        for annotation in writable(image)
    ]
    objects += [
        _object(_ignored(piece), is_zero_based=is_zero_based)
        for piece in pieces(image, boxes_around)
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
    return has_file(tree, ".xml", is_one=_is_voc)


def _is_voc(tree: FileTree, file: str) -> bool:
    return root_tag_of(tree, file) == "annotation"


def read(tree: FileTree, collector: LabelReader) -> None:
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
    except CountsFromZeroError as shown:
        collector.clear()
        what = "pixels count from 0 here, and so they were read in all files"
        collector.change(shown.file, shown.at, what)
        _read_files(tree, collector, files, is_zero_based=True)
    collector.check()


def _read_files(
    tree: FileTree, collector: LabelReader, files: Sequence[str], *, is_zero_based: bool
) -> None:
    for file in files_named(tree, _LABELS_FILE):
        collector.add_labels(read_names_file(tree, file), file=file)
    reader = _VocReader(tree, collector, is_zero_based=is_zero_based)
    for file in files:
        with collector.skipping(file):
            reader.read_file(file)


class _VocReader:
    def __init__(
        self, tree: FileTree, collector: LabelReader, *, is_zero_based: bool
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
        boxes = ObjectReader(
            self._collector, image, file, _stated(root), self._is_zero_based
        )
        for index, element in enumerate(root.iter("object"), start=1):
            boxes.read(element, f"object {index}")

    def _names(self, root: Element, file: str) -> tuple[str, str]:
        """Return what the image is called, and what to look for: see `named_beside`."""
        text = child_text(root, "filename") or ""
        name, stated = named_beside(
            self._collector, text, file=file, field="<filename>"
        )
        if self._collector.find_image(stated, file=file) is None:
            # Several have this name: <path> and <folder> may show which is meant.
            for longer in _longer_names(root, text):
                if self._collector.find_image(longer, file=file):
                    return name, longer
        return name, stated


def _longer_names(root: Element, name: str) -> Iterator[str]:
    """Yield the paths of this image that a file states, the longest first."""
    path, folder = child_text(root, "path") or "", child_text(root, "folder") or ""
    if PurePosixPath(stated_path(path)).name == PurePosixPath(stated_path(name)).name:
        yield path
    if folder and name:
        yield f"{folder}/{name}"


def _listed_parts(tree: FileTree, collector: LabelReader) -> dict[str, str]:
    """Return the part of each image by its stem; nothing where two lists have it."""
    parts: dict[str, str] = {}
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
            parts[stem] = part if parts.get(stem, part) == part else ""
    return parts


def _stated(root: Element) -> bool | None:
    """Say whether a file that we wrote counts from 0; None of any other file."""
    if root.findtext("source/database") != _DATABASE:
        return None
    return root.findtext("source/annotation") == _ZERO_BASED


_NO_POSE: Final = "Unspecified"
# Elements of an <object> that are not attributes.
_STRUCTURE: Final = frozenset({"name", "type", "bndbox", "robndbox", "polygon"})


def elements(attributes: Attributes) -> tuple[str, str]:
    """Return the elements before an object's <bndbox>, and those after it."""
    rest = dict(stated(attributes))
    flags = {name: rest.pop(name) for name in FLAGS if rest.get(name) is True}
    has_pose = isinstance(rest.get(POSE), str) and rest[POSE] != _NO_POSE
    pose = escaped(str(rest.pop(POSE)), title=_TITLE) if has_pose else _NO_POSE
    # VOC has had it since 2009; few programs expect it of every object.
    occluded = "\t\t<occluded>1</occluded>\n" if OCCLUDED in flags else ""
    described = (
        f"\t\t<pose>{pose}</pose>\n"
        f"\t\t<truncated>{int(TRUNCATED in flags)}</truncated>\n"
        f"{occluded}"
        f"\t\t<difficult>{int(DIFFICULT in flags)}</difficult>\n"
    )
    return described, _attribute_list(rest)


def _attribute_list(attributes: Attributes) -> str:
    """Return what VOC has no element for, as CVAT and Datumaro write it."""
    if not attributes:
        return ""
    lines = (
        "\t\t\t<attribute>\n"
        f"\t\t\t\t<name>{escaped(name, title=_TITLE)}</name>\n"
        f"\t\t\t\t<value>{escaped(text_of(value), title=_TITLE)}</value>\n"
        "\t\t\t</attribute>\n"
        for name, value in attributes.items()
    )
    return f"\t\t<attributes>\n{''.join(lines)}\t\t</attributes>\n"


def read_attributes(element: Element) -> dict[str, object]:
    """Return an object's attributes, those without a meaning here too."""
    attributes: dict[str, object] = {}
    for child in element:
        if child.tag == "attributes":
            for attribute in child.iter("attribute"):
                name = attribute.findtext("name") or ""
                attributes[name] = read_text(name, attribute.findtext("value"))
        elif len(child) and child.tag not in _STRUCTURE:
            attributes[child.tag] = list(child)
        elif child.tag not in _STRUCTURE and not _says_no_pose(child):
            attributes[child.tag] = read_text(child.tag, child.text)
    return attributes


def _says_no_pose(element: Element) -> bool:
    text = (element.text or "").strip().lower()
    return element.tag == POSE and text == _NO_POSE.lower()


_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_TURNED: Final = ("cx", "cy", "w", "h", "angle")


class CountsFromZeroError(Exception):
    """A box that no file counting from 1 can have."""

    def __init__(self, file: str, at: str) -> None:
        super().__init__(file, at)
        self.file = file
        self.at = at


class ObjectReader(NamedTuple):
    """The objects of one file on their way in.

    image: what it is known by in the collector. stated: whether the file itself says
    that it counts from 0; None where it says nothing, and then is_zero_based counts.
    """

    collector: LabelReader
    image: str
    file: str
    stated: bool | None
    is_zero_based: bool

    def read(self, element: Element, at: str) -> None:
        """Take in one object, or leave it out with a reason.

        Raises:
            CountsFromZeroError: its corners cannot count from 1.
        """
        label, edges = child_text(element, "name"), element.find("bndbox")
        if label is None:
            self.collector.skip_box(self.file, at, "it has no name")
        elif edges is not None:
            self._add(label, edges, read_attributes(element), at)
        elif (turned := element.find("robndbox")) is not None:
            self._add_turned(label, turned, read_attributes(element), at)
        elif (outline := element.find("polygon")) is not None:
            self._add_outline(label, outline, read_attributes(element), at)
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

    def _add_outline(
        self, label: str, outline: Element, attributes: Mapping[str, object], at: str
    ) -> None:
        """Take in the box around `<x1>`, `<y1>`, `<x2>`, … or points of x and y.

        They are places, not pixels, so the far ones count as the near ones.
        """
        xs = [
            number(x_or_y.text)
            for x_or_y in outline.iter()
            if _is_axis(x_or_y.tag, "x")
        ]
        ys = [
            number(x_or_y.text)
            for x_or_y in outline.iter()
            if _is_axis(x_or_y.tag, "y")
        ]
        box = around(zip(xs, ys, strict=False))
        self.collector.change(self.file, at, OUTLINE)
        self.collector.add_box(
            self.image, label, box, file=self.file, at=at, attributes=attributes
        )

    def _add(
        self, label: str, edges: Element, attributes: Mapping[str, object], at: str
    ) -> None:
        texts = [(edges.findtext(key) or "").strip() for key in _CORNERS]
        xmin, ymin, xmax, ymax = map(number, texts)
        if self.stated is None and (xmin == xmax or ymin == ymax):
            # By definition a box of one pixel; in practice a click that slipped.
            self.collector.skip_box(self.file, at, "the box is a line or a point")
            return
        is_zero_based = self.is_zero_based if self.stated is None else self.stated
        if self.stated is None and not is_zero_based and _counts_from_zero(texts):
            raise CountsFromZeroError(self.file, at)
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


def _is_axis(tag: str, axis: str) -> bool:
    return tag.startswith(axis) and (tag == axis or tag[1:].isdecimal())


def child_text(element: Element, tag: str) -> str | None:
    """Return a child's text; blanks mean nothing where it has lines of its own."""
    text = element.findtext(tag)
    return text.strip() if text is not None and "\n" in text else text


FORMAT: Final = Format(
    title=_TITLE,
    write=write,
    read=read,
    recognises=recognises,
    tolerance=whole_pixel_tolerance,
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
