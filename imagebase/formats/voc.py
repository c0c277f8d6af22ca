"""Pascal VOC XML: whole pixels counted from 1, both ends included."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from imagebase.annotation import Annotation, Box, LabelSet, Size
from imagebase.annotation.areas import Shape
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import (
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
from imagebase.formats.file_names import flat_image_names, image_stem
from imagebase.formats.image_index import stated_path
from imagebase.formats.image_refs import named_beside
from imagebase.formats.reader import LabelReader
from imagebase.formats.regions import boxes as boxes_around
from imagebase.formats.regions import pieces
from imagebase.formats.split_names import part_named
from imagebase.formats.text_files import escaped, root_of, root_tag_of
from imagebase.formats.trees import (
    files_named,
    folder_of,
    has_file,
    names_with_suffix,
)
from imagebase.formats.voc_objects import (
    CountsFromZeroError,
    ObjectReader,
    child_text,
    elements,
)
from imagebase.formats.writable_boxes import (
    whole_pixel_tolerance,
    whole_pixels,
    writable,
)
from imagebase.formats.yolo_lines import names_file, read_names_file

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
    reader = _Reader(tree, collector, is_zero_based=is_zero_based)
    for file in files:
        try:
            reader.read_file(file)
        except AnnotationFileError as error:
            collector.skip(file, "", str(error))


class _Reader:
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
            # Several are called so: <path> and <folder> may tell which is meant.
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


def _stated(root: Element) -> bool | None:
    """Say whether a file that we wrote counts from 0; None of any other file."""
    if root.findtext("source/database") != _DATABASE:
        return None
    return root.findtext("source/annotation") == _ZERO_BASED


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
