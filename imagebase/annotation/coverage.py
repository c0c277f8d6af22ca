"""Which pixels shapes cover, and how much of a box lies in them.

A pixel belongs to a shape when its centre does.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.annotation.areas import Point, Shape, ShapeKind
from imagebase.geometry import FloatArray, box_area, pairwise_containment

# A detection belongs to an area when at least this share of it lies inside: COCO's
# overlap with a crowd region, intersection over the detection's own area, at COCO's
# lowest threshold (pycocotools, `maskApi.c`: bbIou and rleIou with iscrowd).
INSIDE_SHARE: Final = 0.5

Mask = NDArray[np.bool_]


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
    """Return the whole pixels on the image that a box touches."""
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
        """Take the mask of the shapes; only the part around them stays in memory."""
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


def region_of(shapes: tuple[Shape, ...], size: Size) -> Region:
    """Return the union of shapes on an image of this size, kept for a while.

    Areas of all images of a size are the same for one image after the other, and those
    of one image are asked for label by label. Large ones are kept for a few only.
    """
    boxes = [shape.bounds.normalised().clipped(size) for shape in shapes]
    x_min, y_min, _, _ = map(min, zip(*boxes, strict=True))
    _, _, x_max, y_max = map(max, zip(*boxes, strict=True))
    is_small = (x_max - x_min) * (y_max - y_min) <= _SMALL_PX
    return (_small_region if is_small else _large_region)(shapes, size)


def _region(shapes: tuple[Shape, ...], size: Size) -> Region:
    return Region(mask_of(shapes, size))


# Four bytes a pixel: of the small ones 256 MB in all, of the largest image's 200 each.
_SMALL_PX: Final = 1 << 20
_small_region = lru_cache(maxsize=64)(_region)
_large_region = lru_cache(maxsize=4)(_region)


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
