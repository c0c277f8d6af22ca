"""LabelMe XML of the MIT: a file for each image, a polygon for each object."""

from typing import Final
from xml.etree.ElementTree import Element

from imagebase.annotation import Box
from imagebase.annotation.attributes import OCCLUDED, parsed, read_text
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import FileTree, InputFormat, any_attribute
from imagebase.formats.image_index import named_beside
from imagebase.formats.reader import LabelReader, image_name, number
from imagebase.formats.shapes import OUTLINE, around
from imagebase.formats.split import part_in
from imagebase.formats.text_files import root_of, root_tag_of
from imagebase.formats.trees import FILES_TO_TRY, names_with_suffix

_ROOT: Final = "annotation"
_CORNERS: Final = 4


def recognises(tree: FileTree) -> bool:
    """Say whether the first XML file that shows it has polygons or an imagesize.

    Pascal VOC has the same root.
    """
    for file in names_with_suffix(tree, ".xml")[:FILES_TO_TRY]:
        try:
            if root_tag_of(tree, file) != _ROOT:
                continue
            root = root_of(tree, file)
        except AnnotationFileError:
            continue
        if root.find("size") is not None or root.find("object/bndbox") is not None:
            return False
        if _is_labelme(root):
            return True
    return False


def _is_labelme(root: Element) -> bool:
    shows = ("imagesize", "object/polygon/pt", "object/segm", "source/sourceAnnotation")
    return any(root.find(path) is not None for path in shows)


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every LabelMe XML file of the tree; objects marked as deleted are not there.

    Raises:
        AnnotationFileError: no file is LabelMe's, or none can be read.
    """
    reader = _LabelmeXmlReader(tree, collector)
    for file in names_with_suffix(tree, ".xml"):
        with collector.skipping(file):
            reader.read_file(file)
    collector.check()
    if not reader.was_read:
        raise AnnotationFileError(
            "There is no LabelMe XML file here: it has an .xml for each image, with "
            "polygons."
        )


class _LabelmeXmlReader:
    def __init__(self, tree: FileTree, collector: LabelReader) -> None:
        self._tree = tree
        self._collector = collector
        self.was_read = False

    def read_file(self, file: str) -> None:
        root = root_of(self._tree, file)
        if root.tag != _ROOT:
            raise AnnotationFileError(f"its root is <{root.tag}>, not <{_ROOT}>")
        self.was_read = True
        name, stated = self._names(root, file)
        sides = root.findtext("imagesize/ncols"), root.findtext("imagesize/nrows")
        sides_read = [side.strip() if side else side for side in sides]
        size = self._collector.size_in(*sides_read, file=file, at="imagesize")
        image = self._collector.add_image(
            name, size, part=part_in(file), file=file, stated=stated
        )
        for index, element in enumerate(root.iter("object"), start=1):
            if _text_of(element, "deleted") != "1":
                self._read_object(element, image, file, f"object {index}")

    def _names(self, root: Element, file: str) -> tuple[str, str]:
        """Return what the image is called, and what to look for, with its folder."""
        stated = image_name(_text_of(root, "filename"))
        folder = image_name(_text_of(root, "folder"))
        name, path = named_beside(
            self._collector, stated, file=file, field="<filename>"
        )
        within = f"{folder}/{path}"
        has_folder = folder and self._collector.find_image(within, file=file)
        return name, within if has_folder else path

    def _read_object(self, element: Element, image: str, file: str, at: str) -> None:
        label, box = _text_of(element, "name"), _box_of(element)
        if box is None:
            reason = "it has neither a polygon nor a box"
            self._collector.skip_box(file, at, reason)
            return
        self._collector.add_box(
            image, label, box, file=file, at=at, attributes=_attributes_of(element)
        )
        if not _is_upright(element):
            self._collector.change(file, at, OUTLINE)


def _text_of(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _attributes_of(element: Element) -> dict[str, object]:
    """Return `occluded`, and the list of words or `name=value` that people typed."""
    attributes: dict[str, object] = {}
    for text in _text_of(element, "attributes").split(","):
        name, value = parsed(text)
        attributes[name] = True if value is None else read_text(name, value)
    attributes[OCCLUDED] = read_text(OCCLUDED, _text_of(element, "occluded"))
    return {name: value for name, value in attributes.items() if name}


def _box_of(element: Element) -> Box | None:
    points = _points_of(element)
    if len(points) > 1:
        return around(points)
    edges = element.find("segm/box")
    if edges is None:
        return None
    keys = ("xmin", "ymin", "xmax", "ymax")
    x_min, y_min, x_max, y_max = (number(_text_of(edges, key)) for key in keys)
    return Box(x_min, y_min, x_max, y_max)


def _points_of(element: Element) -> list[tuple[float, float]]:
    return [
        (number(_text_of(point, "x")), number(_text_of(point, "y")))
        for point in element.iterfind("polygon/pt")
    ]


def _is_upright(element: Element) -> bool:
    """Say whether the four points of a polygon are the corners of its box."""
    points = _points_of(element)
    sides = ({x for x, _ in points}, {y for _, y in points})
    return len(set(points)) == _CORNERS and all(len(side) == 2 for side in sides)


FORMAT: Final = InputFormat("LabelMe XML", read, recognises, holds=any_attribute)
