"""Regions of a Label Studio task: their shapes, labels and attributes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from imagebase.annotation import AttributeValue, Box, Size
from imagebase.annotation.areas import Point, Shape, ShapeKind, rectangle
from imagebase.annotation.attributes import FLAGS, read_text, stated, text_of
from imagebase.formats.base import ExportImage
from imagebase.formats.reader import number, size_of
from imagebase.formats.shapes import OUTLINE, ROTATED, around, around_rotated, writable
from imagebase.formats.text_files import quoted

_TITLE: Final = "Label Studio JSON"
_CHOICES, _TEXT_AREA = "choices", "textarea"
# Controls for attributes of a region, and the key of each one's value.
CONTROLS: Final = {
    _CHOICES: "choices",
    _TEXT_AREA: "text",
    "rating": "rating",
    "number": "number",
    "datetime": "datetime",
    "taxonomy": "taxonomy",
}
# Names of the controls that every config has.
_TAKEN: Final = frozenset({"label", "image", "area"})

Result = Mapping[str, Any]


def holds(name: str, value: AttributeValue) -> bool:
    """Say whether a control can bear the name of this attribute."""
    return name not in _TAKEN


def controls(images: Iterable[ExportImage], *, to_name: str) -> str:
    """Return the controls that the attributes of these images' boxes need."""
    is_flag: dict[str, bool] = {}
    for image in images:
        for annotation in writable(image):
            for name, value in _held(annotation.attributes).items():
                is_flag[name] = is_flag.get(name, True) and isinstance(value, bool)
    return "".join(
        _choices(name, to_name) if only_flags else _text_area(name, to_name)
        for name, only_flags in sorted(is_flag.items())
    )


def _held(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    return {k: v for k, v in stated(attributes).items() if holds(k, v)}


def _choices(name: str, to_name: str) -> str:
    return (
        f'  <Choices name={quoted(name, title=_TITLE)} toName="{to_name}" '
        'perRegion="true" choice="single">\n'
        '    <Choice value="true"/>\n'
        '    <Choice value="false"/>\n'
        "  </Choices>\n"
    )


def _text_area(name: str, to_name: str) -> str:
    return (
        f'  <TextArea name={quoted(name, title=_TITLE)} toName="{to_name}" '
        'perRegion="true" editable="true"/>\n'
    )


def results(
    region: Result, attributes: Mapping[str, AttributeValue]
) -> list[dict[str, Any]]:
    """Return a result for each attribute of a region."""
    place = {k: v for k, v in region["value"].items() if k != "rectanglelabels"}
    shared = {k: v for k, v in region.items() if k not in ("score", "value")}
    entries = []
    for name, value in _held(attributes).items():
        kind = _CHOICES if isinstance(value, bool) else _TEXT_AREA
        described = {**place, CONTROLS[kind]: [text_of(value)]}
        entries.append({**shared, "type": kind, "from_name": name, "value": described})
    return entries


def attributes_by_region(entries: Sequence[object]) -> dict[str, dict[str, object]]:
    """Return the attributes and the note of each region, by its id."""
    by_region: dict[str, dict[str, object]] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            continue
        described = by_region.setdefault(entry["id"], {})
        key = CONTROLS.get(str(entry.get("type")))
        value = entry.get("value")
        if key and isinstance(value, dict):
            name = str(entry.get("from_name", ""))
            described[name] = _joined(name, value.get(key), str(entry["type"]))
        meta = entry.get("meta")
        if isinstance(meta, dict) and "text" in meta:
            described["description"] = _joined("description", meta["text"], _TEXT_AREA)
    return by_region


def _joined(name: str, value: object, kind: str) -> object:
    """Return several texts as one; nested values stay, to be reported."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        return value
    joined = read_text(name, ", ".join(value))
    # A word that was typed is no choice between true and false.
    is_typed = kind == _TEXT_AREA and isinstance(joined, bool) and name not in FLAGS
    return ", ".join(value) if is_typed else joined


_POINTS: Final = frozenset({"polygonlabels", "polygon"})
_RECTANGLES: Final = frozenset({"rectanglelabels", "rectangle", "labels"})
_ELLIPSES: Final = frozenset({"ellipselabels", "ellipse"})
SHAPES: Final = _POINTS | _RECTANGLES | _ELLIPSES
# Where a result has its labels, its own before those that are chosen for it.
_LABEL_KEYS: Final = (
    *("rectanglelabels", "polygonlabels", "ellipselabels", "labels"),
    *("choices", "taxonomy"),
)
_PLACE_KEYS: Final = ("x", "y", "width", "height")


class TaskRegion(NamedTuple):
    """One result of a task, and where it stands.

    order: as we wrote it, else None. is_predicted: by a model.
    """

    at: str
    entry: Mapping[str, Any]
    order: int | None = None
    is_predicted: bool = False

    @property
    def value(self) -> Mapping[str, Any]:
        """Its value; JSON-MIN does not wrap it."""
        value = self.entry.get("value", self.entry)
        return value if isinstance(value, dict) else {}

    @property
    def kind(self) -> str:
        """The type of a result, which JSON-MIN shows by its keys alone."""
        if "type" in self.entry:
            return str(self.entry["type"])
        kinds = [key for key in self.value if key in (*SHAPES, *CONTROLS)]
        is_placed = set(_PLACE_KEYS) <= self.value.keys()
        return next(iter(kinds), "rectangle" if is_placed else "")

    @property
    def labels(self) -> list[str]:
        lists = (self.value.get(key) for key in _LABEL_KEYS)
        labels = next((entry for entry in lists if entry), None)
        if not isinstance(labels, list):
            return [labels] if isinstance(labels, str) else []
        # A taxonomy has the path to each label.
        return [
            str(value[-1]) if isinstance(value, list) and value else str(value)
            for value in labels
        ]

    @property
    def key(self) -> object:
        """Key shared by the results of one region: an id, or else the place."""
        place = tuple(str(self.value.get(key)) for key in _PLACE_KEYS)
        return self.entry.get("id") or (place if "width" in self.value else self.at)


class TaskObject(NamedTuple):
    """A region with its attributes; without a shape it is the image as a whole.

    attributes: choices and texts other than the labels, by the control's name.
    """

    region: TaskRegion
    labels: list[str]
    attributes: Mapping[str, object]


def objects(regions: Iterable[TaskRegion]) -> Iterator[TaskObject]:
    """Yield what results come to: those of one id are about one region."""
    groups: dict[object, list[TaskRegion]] = {}
    for region in regions:
        groups.setdefault((region.is_predicted, str(region.key)), []).append(region)
    for group in groups.values():
        shapes = [region for region in group if region.kind in SHAPES]
        # Labels that are chosen apart from the shape have its place too.
        bare = [shape for shape in shapes if shape.kind != "labels"] or shapes
        rest = [region for region in group if region not in bare]
        for region in bare:
            yield _object(region, rest)
        yield from (
            TaskObject(region, region.labels, {})
            for region in rest
            if not _is_about(region, bare)
        )


def _is_about(region: TaskRegion, shapes: list[TaskRegion]) -> bool:
    """Say whether a result only describes a region."""
    return bool(shapes) and (region.kind in CONTROLS or bool(region.labels))


def _object(region: TaskRegion, rest: Iterable[TaskRegion]) -> TaskObject:
    labels, others = region.labels, list(rest)
    source = next((other for other in others if other.labels), None)
    if not labels and source is not None:
        labels = source.labels
        others.remove(source)
    described = [
        {**neighbour.entry, "id": "", "type": neighbour.kind, "value": neighbour.value}
        for neighbour in (region, *others)
    ]
    return TaskObject(region, labels, attributes_by_region(described).get("", {}))


def stated_size(entry: Mapping[str, Any]) -> Size | None:
    return size_of(entry.get("original_width"), entry.get("original_height"))


def box_of(value: Mapping[str, Any], kind: str, size: Size) -> tuple[Box, str]:
    """Return the box in pixels, and the change made to it.

    A rectangle turns about its top-left corner.
    """
    x, y, width, height, radius_x, radius_y, degrees = (
        number(value.get(key, 0))
        for key in ("x", "y", "width", "height", "radiusX", "radiusY", "rotation")
    )
    if kind in _POINTS:
        points = value.get("points")
        pairs = points if isinstance(points, list) else []
        outline = around((number(p[0]), number(p[1])) for p in pairs if _is_pair(p))
        return _in_pixels(outline, size), OUTLINE
    if kind in _ELLIPSES:
        box = Box(x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        return _in_pixels(box, size), OUTLINE
    box = _in_pixels(Box(x, y, x + width, y + height), size)
    if degrees % 360 and box.is_finite:
        return around_rotated(box, degrees, (box.x_min, box.y_min)), ROTATED
    return box, ""


def area_of(value: Mapping[str, Any], kind: str, size: Size) -> Shape:
    """Return an ignore area in pixels; the box around any shape but a polygon."""
    points = value.get("points")
    if kind not in _POINTS or not isinstance(points, list):
        return rectangle(box_of(value, kind, size)[0])
    across, down = size.width / 100, size.height / 100
    corners = ((number(p[0]), number(p[1])) for p in points if _is_pair(p))
    return Shape(
        ShapeKind.POLYGON, tuple(Point(x * across, y * down) for x, y in corners)
    )


def _is_pair(point: object) -> bool:
    return isinstance(point, list) and len(point) == 2


def _in_pixels(box: Box, size: Size) -> Box:
    return Box(
        box.x_min / 100 * size.width,
        box.y_min / 100 * size.height,
        box.x_max / 100 * size.width,
        box.y_max / 100 * size.height,
    )
