"""CVAT XML 1.1 for images: one annotations.xml, corners in pixels as floats."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Self
from xml.etree.ElementTree import Element

from imagebase.annotation import (
    Annotation,
    Attributes,
    AttributeValue,
    Box,
    Label,
)
from imagebase.annotation.areas import Point, Shape, ShapeKind, rectangle
from imagebase.annotation.attributes import (
    GROUP,
    OCCLUDED,
    read_text,
    read_value,
    stated,
    text_of,
)
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import (
    IGNORE,
    ExportFile,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    Streamed,
    WriteOptions,
    any_attribute,
)
from imagebase.formats.reader import LabelReader, image_name, number
from imagebase.formats.shapes import (
    CONVENTION,
    OUTLINE,
    ROTATED,
    around,
    around_rotated,
    corners,
    has_areas,
    pieces,
    polygons,
    rounding_tolerance,
    writable,
)
from imagebase.formats.split import part_named
from imagebase.formats.text_files import children_of, escaped, quoted, root_tag_of
from imagebase.formats.trees import has_file, names_with_suffix, read_each

Z_ORDER: Final = "z_order"
_TITLE: Final = "CVAT XML 1.1"
_CHECKBOX, _NUMBER, _TEXT = "checkbox", "number", "text"
# How finely a number may be entered in CVAT.
_STEPS: Final = {int: "1", float: "0.0001"}
# Attributes with a place of their own, by their name there.
_PLACES: Final = {"occluded": OCCLUDED, "z_order": Z_ORDER, "group_id": GROUP}

Kinds = Mapping[tuple[str, str], str]


class Declared(NamedTuple):
    """An attribute of a label as CVAT has to know it before it takes it.

    kinds: of its values. least, most: of these, where they are numbers.
    """

    kinds: frozenset[type]
    least: float
    most: float

    @classmethod
    def of(cls, value: AttributeValue) -> Self:
        extent = 0.0 if isinstance(value, str) else float(value)
        return cls(frozenset({type(value)}), extent, extent)

    def joined(self, other: Self) -> Self:
        return self._replace(
            kinds=self.kinds | other.kinds,
            least=min(self.least, other.least),
            most=max(self.most, other.most),
        )

    @property
    def input_type(self) -> str:
        if self.kinds == {bool}:
            return _CHECKBOX
        return _NUMBER if self.kinds <= {int, float} else _TEXT

    def values(self) -> tuple[str, str]:
        """Return the default, and what may be chosen, a line each."""
        if self.input_type == _CHECKBOX:
            return "false", "false\ntrue"
        if self.input_type == _TEXT:
            return "", ""
        least, most = math.floor(self.least), math.ceil(self.most)
        step = _STEPS[float if float in self.kinds else int]
        return str(least), f"{least}\n{most}\n{step}"


def declarations(export_set: ExportSet) -> dict[str, dict[str, Declared]]:
    """Return the attributes that the boxes of each label have."""
    declared: dict[str, dict[str, Declared]] = {}
    for image in export_set.images:
        for annotation in writable(image):
            _, rest = divided(annotation.attributes)
            known = declared.setdefault(annotation.label, {}) if rest else {}
            for name, value in rest.items():
                new = Declared.of(value)
                known[name] = known[name].joined(new) if name in known else new
    return declared


def declaration(name: str, declared: Declared) -> str:
    """Return a declaration as it stands in the <meta> of a task."""
    default, values = declared.values()
    return (
        "            <attribute>\n"
        f"              <name>{escaped(name, title=_TITLE)}</name>\n"
        "              <mutable>False</mutable>\n"
        f"              <input_type>{declared.input_type}</input_type>\n"
        f"              <default_value>{default}</default_value>\n"
        f"              <values>{values}</values>\n"
        "            </attribute>\n"
    )


def divided(attributes: Attributes) -> tuple[Attributes, Attributes]:
    """Return what CVAT has a place of its own for, and the rest."""
    known = stated(attributes)
    own = {name: value for name, value in known.items() if _has_place(name, value)}
    return own, {name: value for name, value in known.items() if name not in own}


def _has_place(name: str, value: AttributeValue) -> bool:
    if name == OCCLUDED:
        return value is True
    # 0 is what CVAT writes where there is none.
    return name in (GROUP, Z_ORDER) and type(value) is int and value != 0


def attribute_line(name: str, value: AttributeValue) -> str:
    """Return an attribute as it stands in a box."""
    return (
        f"      <attribute name={quoted(name, title=_TITLE)}>"
        f"{escaped(text_of(value), title=_TITLE)}</attribute>\n"
    )


def kinds_in(meta: Element) -> Kinds:
    """Return how attributes are entered, by label and name, as a <meta> declares it."""
    return {
        (
            label.findtext("name", ""),
            attribute.findtext("name", ""),
        ): attribute.findtext("input_type", "")
        for label in meta.iter("label")
        for attribute in label.iterfind("attributes/attribute")
    }


def read_attributes(shape: Element, label: str, kinds: Kinds) -> dict[str, object]:
    """Return the attributes of a shape of this label."""
    attributes: dict[str, object] = {}
    for key, name in _PLACES.items():
        value = read_text(name, shape.get(key))
        if value not in (0, "", None):
            attributes[name] = value
    for attribute in shape.iter("attribute"):
        name, text = attribute.get("name", ""), attribute.text or ""
        kind = kinds.get((label, name), _NUMBER)
        is_text = kind not in (_CHECKBOX, _NUMBER)
        attributes[name] = read_value(name, text) if is_text else read_text(name, text)
    return attributes


FILE: Final = "annotations.xml"
_DECIMALS: Final = 4
_BY_MODEL: Final = "auto"
_IGNORE_COLOUR: Final = "#808080"
_SHAPES: Final = frozenset(
    {"box", "polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton"}
)


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write annotations.xml and the images, as a CVAT task is backed up."""
    yield ExportFile(FILE, Streamed(_document(export_set)))
    if options.with_images:
        for image in export_set.images:
            yield image.file_at(f"images/{image.name}")


def _document(export_set: ExportSet) -> Iterator[bytes]:
    yield _head(export_set, declarations(export_set)).encode()
    has_split = export_set.has_split
    for number_of_it, image in enumerate(export_set.images):
        subset = image.part if has_split else ""
        yield _image(image, number_of_it, subset).encode()
    yield b"</annotations>\n"


def _head(
    export_set: ExportSet, declarations: Mapping[str, Mapping[str, Declared]]
) -> str:
    declared = {
        label: "".join(declaration(*item) for item in attributes.items())
        for label, attributes in declarations.items()
    }
    labels = "".join(
        "        <label>\n"
        f"          <name>{escaped(label.name, title=_TITLE)}</name>\n"
        f"          <color>{label.colour}</color>\n"
        "          <type>any</type>\n"
        f"          <attributes>\n{declared.get(label.name, '')}"
        "          </attributes>\n"
        "        </label>\n"
        for label in _labels(export_set)
    )
    # With a split it is a project, whose tasks are in subsets.
    kind = "project" if export_set.has_split else "task"
    tasks = _tasks(export_set.parts) if export_set.has_split else ""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        "<annotations>\n"
        "  <version>1.1</version>\n"
        "  <meta>\n"
        f"    <{kind}>\n"
        f"      <name>{escaped(export_set.name, title=_TITLE)}</name>\n"
        f"      <size>{len(export_set.images)}</size>\n"
        "      <mode>annotation</mode>\n"
        f"      <labels>\n{labels}      </labels>\n"
        f"{tasks}"
        f"    </{kind}>\n"
        "  </meta>\n"
    )


def _labels(export_set: ExportSet) -> Iterable[Label]:
    ignore = [Label(IGNORE, _IGNORE_COLOUR)] if has_areas(export_set) else []
    return (*export_set.labels, *ignore)


def _tasks(parts: Sequence[str]) -> str:
    """Return what a CVAT project lists: Datumaro reads images of no other subset."""
    tasks = (
        "        <task>\n"
        f"          <name>{part}</name>\n"
        f"          <subset>{part}</subset>\n"
        "        </task>\n"
        for part in parts
    )
    return f"      <tasks>\n{''.join(tasks)}      </tasks>\n"


def _image(image: ExportImage, image_id: int, subset: str) -> str:
    width, height = image.record.size
    name = quoted(image.name, title=_TITLE)
    part = f' subset="{subset}"' if subset else ""
    return (
        f'  <image id="{image_id}" name={name}{part} width="{width}" '
        f'height="{height}">\n{"".join(map(_box, writable(image)))}'
        f"{''.join(map(_area, pieces(image, polygons)))}  </image>\n"
    )


def _box(annotation: Annotation) -> str:
    source = _BY_MODEL if annotation.is_untouched else "manual"
    edges = zip(("xtl", "ytl", "xbr", "ybr"), annotation.box, strict=True)
    corners = " ".join(f'{key}="{edge:.{_DECIMALS}f}"' for key, edge in edges)
    label = quoted(annotation.label, title=_TITLE)
    own, rest = divided(annotation.attributes)
    group = f' group_id="{own[GROUP]}"' if GROUP in own else ""
    return (
        f'    <box label={label} source="{source}" occluded="{int(OCCLUDED in own)}" '
        f'{corners} z_order="{own.get(Z_ORDER, 0)}"{group}>\n'
        f"{''.join(attribute_line(*item) for item in rest.items())}    </box>\n"
    )


def _area(shape: Shape) -> str:
    points = ";".join(f"{x:.{_DECIMALS}f},{y:.{_DECIMALS}f}" for x, y in corners(shape))
    return (
        f'    <polygon label="{IGNORE}" source="manual" occluded="0" '
        f'points="{points}" z_order="0">\n    </polygon>\n'
    )


def recognises(tree: FileTree) -> bool:
    """Say whether an XML file has <annotations> as its root."""
    return has_file(tree, ".xml", is_one=_is_cvat)


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every CVAT file of the tree, image by image.

    Raises:
        AnnotationFileError: no file is CVAT's, or none can be read.
    """

    def is_one(file: str) -> bool:
        if _is_cvat(tree, file):
            return True
        collector.skip(file, "", "its root is not <annotations>")
        return False

    read_each(
        names_with_suffix(tree, ".xml"),
        collector,
        is_one=is_one,
        read_one=lambda file: _CvatDocument(tree, file, collector).read(),
        absent="There is no CVAT file here: it is an .xml with <annotations> as its "
        "root.",
    )


def _is_cvat(tree: FileTree, file: str) -> bool:
    return root_tag_of(tree, file) == "annotations"


class _CvatDocument:
    """One annotations.xml on its way in."""

    def __init__(self, tree: FileTree, file: str, to: LabelReader) -> None:
        self._tree = tree
        self._file = file
        self._collector = to
        self._files = frozenset(tree.names())
        self._kinds: dict[tuple[str, str], str] = {}

    def read(self) -> None:
        images = 0
        for element in children_of(self._tree, self._file):
            if element.tag == "meta":
                label_names = (
                    label.findtext("name") for label in element.iter("label")
                )
                names = [name for name in label_names if name is not None]
                self._collector.add_labels(names, file=self._file)
                self._kinds |= kinds_in(element)
            elif element.tag == "image":
                self._read_image(element, f"image {images + 1}")
                images += 1
            elif element.tag == "track":
                raise AnnotationFileError(
                    "it is CVAT for video; export the task as 'CVAT for images 1.1'"
                )

    def _read_image(self, element: Element, at: str) -> None:
        name = image_name(element.get("name", ""))
        if not name:
            self._collector.skip(self._file, at, "it has no name")
            return
        sides = element.get("width"), element.get("height")
        size = self._collector.size_in(*sides, file=self._file, at=at)
        part = part_named(element.get("subset", "")) or ""
        image = self._collector.add_image(
            name, size, part=part, file=self._file, stated=self._stated(element)
        )
        for index, shape in enumerate(element, start=1):
            place = f"{at}, shape {index}"
            if shape.tag == "tag":
                label = shape.get("label", "")
                self._collector.add_tag(image, label, file=self._file, at=place)
                if len(shape):
                    what = "attributes of a tag are not kept"
                    self._collector.change_all(self._file, place, what)
            elif shape.tag not in _SHAPES:
                what = f"a <{shape.tag}> is not a box"
                self._collector.skip(self._file, place, what)
            elif reason := self._read_shape(shape, image, place):
                self._collector.skip_box(self._file, place, reason)

    def _stated(self, element: Element) -> str:
        """Return the image's path; CVAT's projects have a folder for each subset."""
        name, subset = element.get("name", ""), element.get("subset", "")
        within = f"{image_name(subset)}/{image_name(name)}"
        return name if not subset or self._is_there(image_name(name)) else within

    def _is_there(self, name: str) -> bool:
        return not self._files.isdisjoint({name, f"images/{name}"})

    def _read_shape(self, shape: Element, image: str, at: str) -> str | None:
        """Take in one shape; return the reason where that cannot be done."""
        label = shape.get("label")
        if label is None:
            return "it has no label"
        if shape.tag not in _BOXES:
            return f"a <{shape.tag}> is not a box"
        if label == IGNORE:
            region = _region(shape)
            self._collector.add_region(image, region, file=self._file, at=at)
            return None
        box, degrees = _BOXES[shape.tag](shape), number(shape.get("rotation", 0))
        what = "" if shape.tag == "box" else OUTLINE
        if degrees % 360 and box.is_finite:
            middle = ((box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2)
            box, what = around_rotated(box, degrees, middle), ROTATED
        self._collector.add_box(
            image,
            label,
            box,
            file=self._file,
            at=at,
            is_by_model=shape.get("source") == _BY_MODEL,
            attributes=read_attributes(shape, label, self._kinds),
        )
        if what:
            self._collector.change(self._file, at, what)
        return None


def _corners(shape: Element) -> Box:
    x_min, y_min, x_max, y_max = _numbers(shape, "xtl", "ytl", "xbr", "ybr")
    return Box(x_min, y_min, x_max, y_max)


def _polygon(shape: Element) -> Box:
    return around(_points(shape))


def _points(shape: Element) -> list[tuple[float, float]]:
    pairs = (pair.partition(",") for pair in shape.get("points", "").split(";"))
    return [(number(x), number(y)) for x, _, y in pairs]


def _region(shape: Element) -> Shape:
    """Return an ignore area; the box around any shape but a polygon."""
    points = _points(shape) if shape.tag == "polygon" else []
    if len(points) >= 3:
        return Shape(ShapeKind.POLYGON, tuple(Point(*point) for point in points))
    return rectangle(_BOXES[shape.tag](shape))


def _ellipse(shape: Element) -> Box:
    x, y, radius_x, radius_y = _numbers(shape, "cx", "cy", "rx", "ry")
    return Box(x - radius_x, y - radius_y, x + radius_x, y + radius_y)


def _mask(shape: Element) -> Box:
    left, top, width, height = _numbers(shape, "left", "top", "width", "height")
    return Box(left, top, left + width, top + height)


def _numbers(shape: Element, *keys: str) -> list[float]:
    return [number(shape.get(key)) for key in keys]


_BOXES: Final[dict[str, Callable[[Element], Box]]] = {
    "box": _corners,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}

FORMAT: Final = Format(
    title=_TITLE,
    write=write,
    read=read,
    recognises=recognises,
    tolerance=rounding_tolerance(_DECIMALS),
    holds=any_attribute,
    region=polygons,
    conventions={
        "boxes": "xtl, ytl, xbr, ybr in pixels, the top-left corner at 0, "
        f"{_DECIMALS} decimals",
        "ignore areas": CONVENTION,
        "labels": "in meta/task/labels, in the order of their class ids",
        "attributes": "occluded, z_order and group_id as CVAT has them, the rest "
        "declared with their labels",
        "source": "auto on boxes that only a model has touched, else manual",
    },
)
