"""Rough shapes on an image: areas that nobody labels, and what a reviewer drew.

Points are float pixels of the upright image, the origin at the top-left corner of the
top-left pixel. A pixel belongs to a shape when its centre does.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.errors import EditError
from imagebase.geometry import FloatArray, box_area, pairwise_containment

# A detection belongs to an area when at least this share of it lies inside: COCO's
# overlap with a crowd region, intersection over the detection's own area, at COCO's
# lowest threshold (pycocotools, `maskApi.c`: bbIou and rleIou with iscrowd).
INSIDE_SHARE: Final = 0.5

MAX_POINTS: Final = 2_000
_MAX_PX: Final = 1e6
# A shape may be that of an image made larger.
_MAX_SCALED_PX: Final = 1e9
_DECIMALS: Final = 2
_ROUND_POINTS: Final = 64

Mask = NDArray[np.bool_]


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
    """Return the line around a shape as a stroke of this width; a stroke as it is."""
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
    kept = Shape(shape.kind, tuple(points), width)
    if not kept.bounds.normalised().clipped(size).area:
        raise EditError("Nothing of the shape lies on the image; draw it larger.")
    return kept


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


def shape_of_json(kept: Mapping[str, Any]) -> Shape:
    """Return the shape that `shape_json` has written.

    Raises:
        ValueError: it is none.
    """
    try:
        kind, width = ShapeKind(kept["kind"]), float(kept["width"])
        points = tuple(Point(float(x), float(y)) for x, y in kept["points"])
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"it is no shape ({error})") from error
    if not _FEWEST_POINTS[kind] <= len(points) <= MAX_POINTS:
        raise ValueError(f"a {kind} cannot have {len(points)} points")
    numbers = (width, *(edge for one in points for edge in one))
    if not all(_is_kept(one, _MAX_SCALED_PX) for one in numbers):
        raise ValueError("a point is no number")
    return Shape(kind, points, width)


def mask_of(shapes: Iterable[Shape], size: Size) -> Mask:
    """Return which pixels of an image lie in any of the shapes, shape (height, width).

    A polygon that crosses itself is filled (the non-zero rule).
    """
    mask = np.zeros((size.height, size.width), dtype=np.bool_)
    for shape in shapes:
        left, top, right, bottom = _whole(shape.bounds, size)
        if left < right and top < bottom:
            window = (left, top, right, bottom)
            mask[top:bottom, left:right] |= _FILLS[shape.kind](shape, window)
    return mask


_Window = tuple[int, int, int, int]


def _whole(box: Box, size: Size) -> _Window:
    """Return the whole pixels that a box touches, as far as they are on the image."""
    inside = box.clipped(size)
    return (
        math.floor(inside.x_min),
        math.floor(inside.y_min),
        math.ceil(inside.x_max),
        math.ceil(inside.y_max),
    )


def _centres(window: _Window) -> tuple[FloatArray, FloatArray]:
    """Return the centres of a window's pixels: x of shape (1, W), y of (H, 1)."""
    left, top, right, bottom = window
    return np.arange(left, right)[None, :] + 0.5, np.arange(top, bottom)[:, None] + 0.5


def _fill_rectangle(shape: Shape, window: _Window) -> Mask:
    x, y = _centres(window)
    box = shape.bounds
    across = (x >= box.x_min) & (x < box.x_max)
    return np.asarray(across & (y >= box.y_min) & (y < box.y_max))


def _fill_ellipse(shape: Shape, window: _Window) -> Mask:
    x, y = _centres(window)
    box = shape.bounds
    middle_x, middle_y = (box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2
    half_x, half_y = max(box.width / 2, 1e-9), max(box.height / 2, 1e-9)
    inside = ((x - middle_x) / half_x) ** 2 + ((y - middle_y) / half_y) ** 2 <= 1
    return np.asarray(inside)


def _fill_polygon(shape: Shape, window: _Window) -> Mask:
    """Count the edges left of each centre, downward ones against upward ones."""
    left, top, right, bottom = window
    turns = np.zeros((bottom - top, right - left + 1), dtype=np.int16)
    for (x0, y0), (x1, y1) in _edges(shape.points):
        sign = 1 if y1 > y0 else -1
        low, high = sorted((y0, y1))
        first = max(math.ceil(low - 0.5), top)
        last = min(math.ceil(high - 0.5), bottom)
        if first >= last:
            continue
        rows = np.arange(first, last)
        crossing = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        columns = np.clip(np.ceil(crossing - 0.5).astype(np.int64), left, right) - left
        np.add.at(turns, (rows - top, columns), sign)
    return np.asarray(np.cumsum(turns[:, :-1], axis=1, dtype=np.int16) != 0)


def _edges(points: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    return zip(points, (*points[1:], points[0]), strict=True)


def _fill_brush(shape: Shape, window: _Window) -> Mask:
    """Take every centre that is no further from the stroke than half its width.

    Of each straight part those of a row are one after another, so that only the ends
    of rows are computed, however wide the stroke.
    """
    left, top, right, bottom = window
    turns = np.zeros((bottom - top, right - left + 1), dtype=np.int16)
    ends = shape.points[1:] or shape.points
    for start, end in zip(shape.points, ends, strict=False):
        y = np.arange(top, bottom) + 0.5
        near, far = _across_stroke(start, end, shape.width / 2, y)
        first = np.clip(np.ceil(near - 0.5), left, right).astype(np.int64) - left
        last = np.clip(np.floor(far + 0.5), left, right).astype(np.int64) - left
        rows = np.flatnonzero(first < last)
        turns[rows, first[rows]] += 1
        turns[rows, last[rows]] -= 1
    return np.asarray(np.cumsum(turns[:, :-1], axis=1, dtype=np.int16) > 0)


def _across_stroke(
    start: Point, end: Point, radius: float, y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return where a straight stroke with round ends begins and stops in rows.

    y: of shape (H,). Where there is nothing of it, it begins at infinity.
    """
    near, far = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    for middle in (start, end):
        half = np.sqrt(np.maximum(radius**2 - (y - middle.y) ** 2, 0))
        there = np.abs(y - middle.y) <= radius
        near = np.where(there, np.minimum(near, middle.x - half), near)
        far = np.where(there, np.maximum(far, middle.x + half), far)
    length = math.hypot(end.x - start.x, end.y - start.y)
    if length > 0:
        side_x = (end.y - start.y) / length * radius
        side_y = (end.x - start.x) / length * radius
        for sign in (-1, 1):
            x0, y0 = start.x + sign * side_x, start.y - sign * side_y
            x1, y1 = end.x + sign * side_x, end.y - sign * side_y
            if y0 == y1:
                continue
            there = (y >= min(y0, y1)) & (y <= max(y0, y1))
            x = x0 + (y - y0) * ((x1 - x0) / (y1 - y0))
            near = np.where(there, np.minimum(near, x), near)
            far = np.where(there, np.maximum(far, x), far)
    return near, far


_FILLS: Final = {
    ShapeKind.POLYGON: _fill_polygon,
    ShapeKind.RECTANGLE: _fill_rectangle,
    ShapeKind.ELLIPSE: _fill_ellipse,
    ShapeKind.BRUSH: _fill_brush,
}


class Region:
    """The union of some shapes, asked how much of a box lies in it."""

    def __init__(self, mask: Mask) -> None:
        """Take the mask of the shapes; only what is around them stays in memory."""
        rows, columns = (
            np.flatnonzero(mask.any(axis=1)),
            np.flatnonzero(mask.any(axis=0)),
        )
        top, bottom = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
        left, right = (
            (int(columns[0]), int(columns[-1]) + 1) if columns.size else (0, 0)
        )
        self._origin = np.array([left, top, left, top], dtype=np.float64)
        inner = mask[top:bottom, left:right]
        self._sums = np.zeros((bottom - top + 1, right - left + 1), dtype=np.int32)
        np.cumsum(inner, axis=0, out=self._sums[1:, 1:])
        np.cumsum(self._sums[1:, 1:], axis=1, out=self._sums[1:, 1:])

    def shares(self, xyxy: FloatArray) -> FloatArray:
        """Return the share of each box that lies in the region, shape (N,), 0 to 1.

        Edges may lie between pixels: a pixel counts by the part that a box has of it.

        Args:
            xyxy: boxes, shape (N, 4), pixels.
        """
        boxes = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4) - self._origin
        x_min, y_min, x_max, y_max = boxes.T
        shared = (
            self._sum_to(x_max, y_max)
            - self._sum_to(x_min, y_max)
            - self._sum_to(x_max, y_min)
            + self._sum_to(x_min, y_min)
        )
        area = box_area(boxes)
        return np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)

    def _sum_to(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the area left of x and above y, linear within a pixel."""
        height, width = (length - 1 for length in self._sums.shape)
        x, y = np.clip(x, 0, width), np.clip(y, 0, height)
        column = np.minimum(x.astype(np.int64), max(width - 1, 0))
        row = np.minimum(y.astype(np.int64), max(height - 1, 0))
        right, below = np.minimum(column + 1, width), np.minimum(row + 1, height)
        part_x, part_y = x - column, y - row
        upper = self._sums[row, column] * (1 - part_x) + self._sums[row, right] * part_x
        lower = (
            self._sums[below, column] * (1 - part_x) + self._sums[below, right] * part_x
        )
        return np.asarray(upper * (1 - part_y) + lower * part_y)


# Areas of all images of a size are the same for one image after the other.
# One of a large photograph may take 200 MB.
@lru_cache(maxsize=4)
def region_of(shapes: tuple[Shape, ...], size: Size) -> Region:
    """Return the union of shapes on an image of this size, kept for a while."""
    return Region(mask_of(shapes, size))


def covered_shares(xyxy: FloatArray, shapes: Sequence[Shape], size: Size) -> FloatArray:
    """Return the share of each box that lies in the union of shapes, shape (N,).

    Args:
        xyxy: boxes, shape (N, 4), pixels of an image of this size.
        shapes: none of them cover nothing; one rectangle is measured to the float.
    """
    boxes = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
    if not shapes or not len(boxes):
        return np.zeros(len(boxes))
    if len(shapes) == 1 and shapes[0].kind is ShapeKind.RECTANGLE:
        outer = np.array([shapes[0].bounds.clipped(size)], dtype=np.float64)
        return pairwise_containment(boxes, outer)[:, 0]
    return region_of(tuple(shapes), size).shares(boxes)


def is_inside(xyxy: FloatArray, shapes: Sequence[Shape], size: Size) -> Mask:
    """Say of which boxes at least half lies in the union of shapes, shape (N,)."""
    return np.asarray(covered_shares(xyxy, shapes, size) >= INSIDE_SHARE)
