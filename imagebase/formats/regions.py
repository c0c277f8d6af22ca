"""Areas that nobody labels, as label files hold them: polygons, boxes, masks.

LabelMe has the label `__ignore__` for what is no object and no background. We write it
in all formats that name shapes by their label; COCO has crowd regions for it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from imagebase.annotation import Annotation, Box, Size
from imagebase.annotation.areas import (
    Point,
    Shape,
    ShapeKind,
    outline,
    rectangle,
    simplified,
)
from imagebase.annotation.coverage import Mask, mask_of
from imagebase.formats.boxes import writable
from imagebase.formats.label_set_files import IGNORE, ExportImage, ExportSet

_DECIMALS: Final = 4
_ROUND_POINTS: Final = 16
# A stroke's line may be off by this share of its width.
_STROKE_SHARE: Final = 0.1
_AGREEING_PX: Final = 0.01

CONVENTION: Final = (
    f"polygons and boxes of the label {IGNORE}, where nobody labelled anything; a "
    "brush stroke is a chain of polygons"
)


def has_areas(export_set: ExportSet) -> bool:
    """Say whether any image of a set has areas that nobody labels."""
    return any(image.record.ignored for image in export_set.images)


def polygons(shape: Shape, size: Size) -> Iterator[Shape]:
    """Yield a shape as polygons and upright rectangles within an image of this size."""
    if shape.kind is ShapeKind.RECTANGLE:
        box = shape.bounds.normalised().clipped(size)
        if box.area:
            yield rectangle(_rounded_box(box))
        return
    for points in _outlines(shape):
        kept = _clipped(points, size)
        if len(kept) >= 3:
            yield Shape(ShapeKind.POLYGON, tuple(map(_rounded, kept)))


def boxes(shape: Shape, size: Size) -> Iterator[Shape]:
    """Yield the whole pixels around a shape as a rectangle."""
    box = shape.bounds.normalised().clipped(size)
    near, far = map(math.floor, box[:2]), map(math.ceil, box[2:])
    if box.area:
        yield rectangle(Box(*near, *far))


def pieces(
    image: ExportImage, region: Callable[[Shape, Size], Iterable[Shape]] | None
) -> list[Shape]:
    """Return what is written of an image's areas; nothing where that cannot be."""
    if region is None:
        return []
    size = image.record.size
    return [one for shape in image.record.ignored for one in region(shape, size)]


def corners(shape: Shape) -> list[Point]:
    """Return the corners of a polygon or of a rectangle, from the top left."""
    if shape.kind is not ShapeKind.RECTANGLE:
        return list(shape.points)
    x0, y0, x1, y1 = shape.bounds
    return [Point(x0, y0), Point(x1, y0), Point(x1, y1), Point(x0, y1)]


def is_same(one: Shape, other: Shape, tolerance: tuple[float, float]) -> bool:
    """Say whether two shapes have the same corners, to within pixels along x and y."""
    first, second = corners(one), corners(other)
    across, down = (max(edge, _AGREEING_PX) for edge in tolerance)
    return len(first) == len(second) and all(
        abs(a.x - b.x) <= across and abs(a.y - b.y) <= down
        for a, b in zip(first, second, strict=True)
    )


def crowds(
    image: ExportImage, labels: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield an image's areas as COCO's crowd annotations, each once for each label.

    Args:
        labels: that are to be ignored there: those that boxes of the set have.
    """
    for shape in image.record.ignored:
        mask = mask_of([shape], image.record.size)
        if not mask.any():
            continue
        entry = {
            "bbox": _bounds(mask),
            "area": int(mask.sum()),
            "iscrowd": 1,
            "segmentation": {"size": [*mask.shape], "counts": run_lengths(mask)},
        }
        for label in labels:
            yield label, entry


def used_labels(export_set: ExportSet) -> list[str]:
    """Return the labels that boxes of a set have, in the set's order."""
    used = {one.label for image in export_set.images for one in writable(image)}
    return [name for name in export_set.labels.names if name in used]


def as_crowd(label: str, entry: dict[str, Any]) -> Annotation:
    """Return a crowd annotation as a reader takes it in."""
    x, y, width, height = entry["bbox"]
    return Annotation(Box(x, y, x + width, y + height), label)


def run_lengths(mask: Mask) -> list[int]:
    """Return how many pixels in turn are outside and inside, column by column.

    It is COCO's uncompressed run-length encoding, which its own crowd regions have.
    """
    flat = np.asarray(mask, dtype=np.int8).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
    return [b - a for a, b in pairwise([0, *edges, len(flat)])]


def _bounds(mask: Mask) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]


def _outlines(shape: Shape) -> Iterator[Sequence[Point]]:
    if shape.kind is ShapeKind.POLYGON:
        yield shape.points
    elif shape.kind is ShapeKind.ELLIPSE:
        yield outline(shape, 1).points[:-1]
    else:
        line = simplified(shape.points, tolerance=shape.width * _STROKE_SHARE)
        for start, end in pairwise(line if len(line) > 1 else (*line, *line)):
            yield list(_capsule(start, end, shape.width / 2))


def _capsule(start: Point, end: Point, radius: float) -> Iterator[Point]:
    """Yield the outline of a straight stroke with round ends."""
    heading = math.atan2(end.y - start.y, end.x - start.x)
    for middle, first in ((end, heading - math.pi / 2), (start, heading + math.pi / 2)):
        for step in range(_ROUND_POINTS // 2 + 1):
            turn = first + math.pi * step / (_ROUND_POINTS // 2)
            yield Point(
                middle.x + radius * math.cos(turn), middle.y + radius * math.sin(turn)
            )


def _clipped(points: Sequence[Point], size: Size) -> list[Point]:
    """Return the part of a polygon on an image (Sutherland and Hodgman, 1974)."""
    kept = list(points)
    for axis, limit, sign in ((0, 0, 1), (1, 0, 1), (0, size[0], -1), (1, size[1], -1)):
        inside = [sign * (one[axis] - limit) for one in kept]
        before, kept = kept, []
        for at, point in enumerate(before):
            last, here, there = before[at - 1], inside[at - 1], inside[at]
            if (here < 0) != (there < 0):
                share = here / (here - there)
                kept.append(
                    Point(
                        last.x + (point.x - last.x) * share,
                        last.y + (point.y - last.y) * share,
                    )
                )
            if there >= 0:
                kept.append(point)
    return kept


def _rounded(point: Point) -> Point:
    return Point(round(point.x, _DECIMALS) + 0.0, round(point.y, _DECIMALS) + 0.0)


def _rounded_box(box: Box) -> Box:
    return Box(*(round(edge, _DECIMALS) + 0.0 for edge in box))
