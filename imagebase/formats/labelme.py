"""LabelMe JSON: one file per image, rectangles as two points in pixels."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from imagebase.annotation import Annotation, Attributes, Box
from imagebase.annotation.areas import Point, Shape, ShapeKind, rectangle
from imagebase.annotation.attributes import GROUP, read_value, stated
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import (
    IGNORE,
    ExportFile,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    WriteOptions,
    any_attribute,
)
from imagebase.formats.file_names import flat_image_names, image_stem
from imagebase.formats.image_index import named_beside
from imagebase.formats.reader import LabelReader, number
from imagebase.formats.shapes import (
    CONVENTION,
    OUTLINE,
    around,
    pieces,
    polygons,
    rounding_tolerance,
    writable,
)
from imagebase.formats.split import part_in
from imagebase.formats.text_files import json_items, names_file, read_names_file
from imagebase.formats.trees import files_named, has_file, names_with_suffix

_FOLDER: Final = "images"
_LABELS_FILE: Final = "labels.txt"
_VERSION: Final = "5.5.0"
_DECIMALS: Final = 4
_KEYS: Final = frozenset({"imagePath", "imageWidth", "imageHeight"})
_DESCRIPTION: Final = "description"
# Keys of a shape that are not attributes.
_STRUCTURE: Final = frozenset(
    {"label", "points", "shape_type", "mask", "score", "line_color", "fill_color"}
    | {"group_id", "flags", "attributes"}
)
# How many points a shape has at least; a box is drawn around them.
_OUTLINES: Final = {"polygon": 3, "mask": 2, "rotation": 4, "oriented_rectangle": 3}


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the images, a JSON for each, and the list for `labelme --labels`."""
    yield ExportFile(_LABELS_FILE, names_file(export_set.labels))
    image_names = flat_image_names(export_set)
    for image, name in zip(export_set.images, image_names, strict=True):
        if options.with_images:
            yield image.file_at(f"{_FOLDER}/{name}")
        path = f"{_FOLDER}/{image_stem(name)}.json"
        yield ExportFile(path, _document(image, name))


def _document(image: ExportImage, name: str) -> bytes:
    width, height = image.record.size
    document: dict[str, object] = {
        "version": _VERSION,
        "flags": {},
        "shapes": [*map(_shape, writable(image)), *map(_area, pieces(image, polygons))],
        "imagePath": name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
    return (text + "\n").encode()


def _shape(annotation: Annotation) -> dict[str, object]:
    x_min, y_min, x_max, y_max = (round(float(e), _DECIMALS) for e in annotation.box)
    return {
        "label": annotation.label,
        "points": [[x_min, y_min], [x_max, y_max]],
        **_described(annotation.attributes),
    }


def _area(shape: Shape) -> dict[str, object]:
    is_box = shape.kind is ShapeKind.RECTANGLE
    return {
        "label": IGNORE,
        "points": [[x, y] for x, y in shape.points],
        **_described({}),
        "shape_type": "rectangle" if is_box else "polygon",
    }


def _described(attributes: Attributes) -> dict[str, object]:
    """Return booleans as flags, the rest in X-AnyLabeling's way."""
    rest = dict(stated(attributes))
    flags = {name: rest.pop(name) for name in [*rest] if isinstance(rest[name], bool)}
    group = rest.pop(GROUP) if isinstance(rest.get(GROUP), int) else None
    is_said = isinstance(rest.get(_DESCRIPTION), str)
    return {
        "group_id": group,
        _DESCRIPTION: rest.pop(_DESCRIPTION) if is_said else "",
        "shape_type": "rectangle",
        "flags": flags,
        **({"attributes": rest} if rest else {}),
    }


def recognises(tree: FileTree) -> bool:
    """Say whether a JSON file has shapes and an imagePath."""
    return has_file(tree, ".json", is_one=_is_labelme)


def _is_labelme(tree: FileTree, file: str) -> bool:
    return _labelme_of(tree, file) is not None


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every LabelMe file of the tree.

    Raises:
        AnnotationFileError: no file of the tree is LabelMe, or none can be read.
    """
    files = names_with_suffix(tree, ".json")
    label_lists = files_named(tree, _LABELS_FILE)
    for file in label_lists:
        collector.add_labels(read_names_file(tree, file), file=file)
    reader = _LabelmeReader(tree, collector)
    for file in files:
        with collector.skipping(file):
            reader.read_file(file)
    collector.check()
    if not reader.was_read and not label_lists:
        raise AnnotationFileError(
            "There is no LabelMe file here: it has a .json for each image, with shapes "
            "and an imagePath."
        )


def _labelme_of(tree: FileTree, file: str) -> Mapping[str, Any] | None:
    """Return the contents of a document, or None where it is JSON but not LabelMe's.

    Of a large file of another kind, item by item, nothing is kept.
    """
    document: dict[str, Any] = {}
    shapes: list[object] | None = None
    for section, position, value in json_items(tree, file):
        if section == "shapes" and position is not None and shapes is not None:
            shapes.append(value)
        elif section == "shapes" and value == []:
            shapes = []
        elif section in _KEYS and position is None:
            document[section] = value
    if shapes is None or "imagePath" not in document:
        return None
    return document | {"shapes": shapes}


class _LabelmeReader:
    def __init__(self, tree: FileTree, collector: LabelReader) -> None:
        self._tree = tree
        self._collector = collector
        self.was_read = False

    def read_file(self, file: str) -> None:
        data = _labelme_of(self._tree, file)
        if data is None:
            return
        self.was_read = True
        name, stated = self._names(data, file)
        sides = data.get("imageWidth"), data.get("imageHeight")
        size = self._collector.size_in(*sides, file=file, at="imageWidth")
        part = part_in(file)
        image = self._collector.add_image(
            name, size, part=part, file=file, stated=stated
        )
        for shape in self._objects(data["shapes"], file):
            self._add(shape, image, file)

    def _objects(self, entries: list[object], file: str) -> Iterable["_Shape"]:
        """Return the shapes that are boxes, the pieces of one object as one."""
        objects: dict[object, _Shape] = {}
        for index, entry in enumerate(entries):
            shape, at = _shape_of(entry), f"shapes[{index}]"
            if isinstance(shape, str):
                self._collector.skip_box(file, at, shape)
                continue
            key = shape.part_of or index
            if key in objects:
                what = f"it is a piece of {objects[key].at}, by its group"
                self._collector.change(file, at, f"{what}, and in the box around both")
                objects[key] = objects[key].joined(shape)
            else:
                objects[key] = shape._replace(at=at)
        return objects.values()

    def _names(self, data: Mapping[str, Any], file: str) -> tuple[str, str]:
        """Return what the image is called, and what to look for: see `named_beside`."""
        path = data["imagePath"] if isinstance(data["imagePath"], str) else ""
        return named_beside(self._collector, path, file=file, field="imagePath")

    def _add(self, shape: "_Shape", image: str, file: str) -> None:
        if shape.label == IGNORE:
            region = shape.region
            self._collector.add_region(image, region, file=file, at=shape.at)
            return
        score = shape.entry.get("score")
        self._collector.add_box(
            image,
            shape.label,
            shape.box,
            file=file,
            at=shape.at,
            confidence=None if score is None else number(score),
            attributes=_attributes_of(shape.entry),
        )
        if shape.kind != "rectangle":
            self._collector.change(file, shape.at, OUTLINE)


class _Shape(NamedTuple):
    """A shape with the box around it. at: its place, for remarks."""

    entry: Mapping[str, Any]
    label: str
    kind: str
    box: Box
    at: str = ""

    @property
    def part_of(self) -> tuple[str, str] | None:
        """The object that it may be a piece of: of one label and group are one.

        Rectangles of a group are objects that belong together.
        """
        group = self.entry.get("group_id")
        if group is None or self.kind == "rectangle" or self.label == IGNORE:
            return None
        return self.label, repr(group)

    @property
    def region(self) -> Shape:
        """The shape itself, where it is one that holds nothing to be found."""
        if self.kind != "polygon":
            return rectangle(self.box)
        points = _points_of(self.entry.get("points")) or []
        return Shape(ShapeKind.POLYGON, tuple(Point(*point) for point in points))

    def joined(self, other: "_Shape") -> "_Shape":
        corners = (self.box[:2], self.box[2:], other.box[:2], other.box[2:])
        return self._replace(box=around((x, y) for x, y in corners))


def _shape_of(entry: object) -> _Shape | str:
    if not isinstance(entry, dict):
        return "it is not an object"
    label = entry.get("label")
    if not isinstance(label, str):
        return "it has no label"
    points = _points_of(entry.get("points"))
    if points is None:
        return "its points are not pairs of numbers"
    kind = str(entry.get("shape_type") or "polygon")
    box = _box_of(kind, points)
    return box if isinstance(box, str) else _Shape(entry, label, kind, box)


def _attributes_of(shape: Mapping[str, Any]) -> dict[str, object]:
    attributes = {key: value for key, value in shape.items() if key not in _STRUCTURE}
    attributes[GROUP] = shape.get("group_id")
    for key in ("flags", "attributes"):
        own = shape.get(key)
        attributes |= own if isinstance(own, dict) else {key: own}
    return {key: read_value(key, value) for key, value in attributes.items()}


def _points_of(points: object) -> list[tuple[float, float]] | None:
    if not isinstance(points, list):
        return None
    pairs = [point for point in points if isinstance(point, list) and len(point) == 2]
    if len(pairs) != len(points):
        return None
    return [(number(x), number(y)) for x, y in pairs]


def _box_of(kind: str, points: list[tuple[float, float]]) -> Box | str:
    """Return the box of a shape, or the reason why it has none.

    Rectangles have two opposite corners in any order, or all four.
    """
    if kind == "rectangle" and len(points) == 2:
        (x, y), (other_x, other_y) = points
        return Box(x, y, other_x, other_y).normalised()
    if kind == "rectangle" and len(points) != 4:
        return f"a rectangle has 2 or 4 points, not {len(points)}"
    if kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = ((edge_x - x) ** 2 + (edge_y - y) ** 2) ** 0.5
        return Box(x - radius, y - radius, x + radius, y + radius)
    least = 4 if kind == "rectangle" else _OUTLINES.get(kind)
    if least is None:
        return f"a shape of the type {kind!r} is not a box"
    if len(points) < least:
        return f"a {kind} of {len(points)} points is not a box"
    return around(points)


FORMAT: Final = Format(
    title="LabelMe JSON",
    write=write,
    read=read,
    recognises=recognises,
    tolerance=rounding_tolerance(_DECIMALS),
    conventions={
        "boxes": "rectangles of two points in pixels, the top-left corner at 0, "
        f"{_DECIMALS} decimals",
        "ignore areas": CONVENTION,
        "labels": f"{_LABELS_FILE}, one a line, by class id",
    },
    has_parts=False,
    has_flat_names=True,
    holds=any_attribute,
    region=polygons,
)
