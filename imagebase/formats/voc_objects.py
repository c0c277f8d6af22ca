"""Objects of a Pascal VOC file: their boxes, pixel origin and attributes."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from imagebase.annotation import Attributes, Box
from imagebase.annotation.areas import rectangle
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
from imagebase.formats.base import IGNORE
from imagebase.formats.reader import LabelReader, number
from imagebase.formats.regions import OUTLINE, ROTATED, around, around_rotated
from imagebase.formats.text_files import escaped

_TITLE: Final = "Pascal VOC XML"
_NO_POSE: Final = "Unspecified"
# In an <object>, what is no attribute of it.
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
    """Return what an object says of itself, those without a meaning here too."""
    found: dict[str, object] = {}
    for child in element:
        if child.tag == "attributes":
            for one in child.iter("attribute"):
                name = one.findtext("name") or ""
                found[name] = read_text(name, one.findtext("value"))
        elif len(child) and child.tag not in _STRUCTURE:
            found[child.tag] = list(child)
        elif child.tag not in _STRUCTURE and not _says_no_pose(child):
            found[child.tag] = read_text(child.tag, child.text)
    return found


def _says_no_pose(element: Element) -> bool:
    said = (element.text or "").strip().lower()
    return element.tag == POSE and said == _NO_POSE.lower()


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
        xs = [number(one.text) for one in outline.iter() if _is_axis(one.tag, "x")]
        ys = [number(one.text) for one in outline.iter() if _is_axis(one.tag, "y")]
        box = around(zip(xs, ys, strict=False))
        self.collector.change(self.file, at, OUTLINE)
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
