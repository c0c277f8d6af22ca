"""Rough shapes on an image: areas that nobody labels, and what a reviewer drew.

Points are float pixels of the upright image, the origin at the top-left corner of the
top-left pixel.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

import numpy as np

from imagebase.annotation import Box, Size
from imagebase.errors import EditError
from imagebase.geometry import FloatArray

MAX_POINTS: Final = 2_000
_MAX_PX: Final = 1e6
# A shape may be that of an image made larger.
_MAX_SCALED_PX: Final = 1e9
_DECIMALS: Final = 2
_ROUND_POINTS: Final = 64


class ShapeKind(StrEnum):
    """How the points of a shape are meant.

    polygon: its corners. rectangle, ellipse: two opposite corners of the box around it.
    brush: the middle of a stroke with round ends.
    """

    POLYGON = "polygon"
    RECTANGLE = "rectangle"
    ELLIPSE = "ellipse"
    BRUSH = "brush"


_FEWEST_POINTS: Final = {
    ShapeKind.POLYGON: 3,
    ShapeKind.RECTANGLE: 2,
    ShapeKind.ELLIPSE: 2,
    ShapeKind.BRUSH: 1,
}
_TWO_CORNERS: Final = frozenset({ShapeKind.RECTANGLE, ShapeKind.ELLIPSE})


class Point(NamedTuple):
    """A place in float pixels of the upright image."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape on an image. width: of a brush's stroke in pixels; 0 of all others."""

    kind: ShapeKind
    points: tuple[Point, ...]
    width: float = 0.0

    @property
    def bounds(self) -> Box:
        """The box around it, which may reach over the image."""
        xs, ys = zip(*self.points, strict=True)
        half = self.width / 2
        return Box(min(xs) - half, min(ys) - half, max(xs) + half, max(ys) + half)

    def moved(self, scale: Point, offset: Point) -> "Shape":
        """Return the shape scaled from the origin, then shifted.

        A stroke's width grows by the mean of both factors.
        """
        points = (
            Point(x * scale.x + offset.x, y * scale.y + offset.y)
            for x, y in self.points
        )
        width = self.width * (abs(scale.x) + abs(scale.y)) / 2
        return Shape(self.kind, tuple(points), width)


class ImageShapes(NamedTuple):
    """Shapes on an image of this size."""

    size: Size
    shapes: tuple[Shape, ...]


def simplified(points: Sequence[Point], *, tolerance: float) -> tuple[Point, ...]:
    """Return a line through fewer points, none of those left out further off than that.

    Ramer's and Douglas and Peucker's way (1972, 1973); the ends stay.
    """
    line = np.asarray(points, dtype=np.float64)
    is_kept = np.zeros(len(line), dtype=np.bool_)
    is_kept[[0, -1]] = True
    open_parts = [(0, len(line) - 1)]
    while open_parts:
        first, last = open_parts.pop()
        if last - first < 2:
            continue
        apart = _apart(line[first + 1 : last], line[first], line[last])
        furthest = int(np.argmax(apart))
        if apart[furthest] > tolerance:
            middle = first + 1 + furthest
            is_kept[middle] = True
            open_parts += [(first, middle), (middle, last)]
    return tuple(Point(x, y) for x, y in line[is_kept].tolist())


def _apart(points: FloatArray, start: FloatArray, end: FloatArray) -> FloatArray:
    """Return how far points are from the straight line between two others."""
    along = end - start
    length = float(along @ along)
    share = np.clip((points - start) @ along / length, 0, 1) if length else 0.0
    nearest = start + np.multiply.outer(share, along)
    return np.asarray(np.hypot(*(points - nearest).T))


def outline(shape: Shape, width: float) -> Shape:
    """Return the line around a shape as a stroke of this width; a stroke unchanged."""
    if shape.kind is ShapeKind.BRUSH:
        return shape
    box, points = shape.bounds, shape.points
    if shape.kind is ShapeKind.RECTANGLE:
        x0, y0, x1, y1 = box
        points = (Point(x0, y0), Point(x1, y0), Point(x1, y1), Point(x0, y1))
    elif shape.kind is ShapeKind.ELLIPSE:
        points = tuple(
            Point(
                (box.x_min + box.x_max) / 2 + math.cos(turn) * box.width / 2,
                (box.y_min + box.y_max) / 2 + math.sin(turn) * box.height / 2,
            )
            for turn in np.linspace(0, math.tau, _ROUND_POINTS, endpoint=False)
        )
    return Shape(ShapeKind.BRUSH, (*points, points[0]), width)


def rectangle(box: Box) -> Shape:
    """Return a box as a shape."""
    return Shape(
        ShapeKind.RECTANGLE, (Point(box.x_min, box.y_min), Point(box.x_max, box.y_max))
    )


def checked_shape(shape: Shape, size: Size) -> Shape:
    """Return a shape fit to be kept: points rounded, the shape partly on the image.

    Raises:
        EditError: it has too few points or too many, one is no number, it has no
            extent, or nothing of it lies on an image of this size.
    """
    count = len(shape.points)
    if count > MAX_POINTS:
        raise EditError(f"A shape has at most {MAX_POINTS:,} points; draw several.")
    if count < _FEWEST_POINTS[shape.kind] or (
        shape.kind in _TWO_CORNERS and count != 2
    ):
        raise EditError(f"A {shape.kind} cannot have {count:,} points; draw it again.")
    numbers = [*(edge for point in shape.points for edge in point), shape.width]
    if not all(map(_is_kept, numbers)):
        raise EditError("A point of the shape is no number; draw it again.")
    if shape.kind is ShapeKind.BRUSH and shape.width <= 0:
        raise EditError("A brush needs a width; choose one and draw again.")
    width = round(shape.width, _DECIMALS) if shape.kind is ShapeKind.BRUSH else 0.0
    points = (
        Point(*(round(float(edge), _DECIMALS) for edge in p)) for p in shape.points
    )
    checked = Shape(shape.kind, tuple(points), width)
    if not checked.bounds.normalised().clipped(size).area:
        raise EditError("Nothing of the shape lies on the image; draw it larger.")
    return checked


def can_be_kept(shape: Shape) -> bool:
    """Say whether `shape_of_json` takes what `shape_json` writes of a shape."""
    try:
        return bool(shape_of_json(shape_json(shape)))
    except (ValueError, OverflowError):
        return False


def _is_kept(number: float, most: float = _MAX_PX) -> bool:
    return math.isfinite(number) and abs(number) <= most


def shape_json(shape: Shape) -> dict[str, Any]:
    """Return a shape as JSON has it."""
    points = [[float(x), float(y)] for x, y in shape.points]
    return {"kind": shape.kind.value, "points": points, "width": float(shape.width)}


def shape_of_json(state: Mapping[str, Any]) -> Shape:
    """Return the shape that `shape_json` has written.

    Raises:
        ValueError: it is none.
    """
    try:
        kind, width = ShapeKind(state["kind"]), float(state["width"])
        points = tuple(Point(float(x), float(y)) for x, y in state["points"])
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"it is no shape ({error})") from error
    if not _FEWEST_POINTS[kind] <= len(points) <= MAX_POINTS:
        raise ValueError(f"a {kind} cannot have {len(points)} points")
    numbers = (width, *(edge for point in points for edge in point))
    if not all(_is_kept(number, _MAX_SCALED_PX) for number in numbers):
        raise ValueError("a point is no number")
    return Shape(kind, points, width)
