"""Boxes and areas as label files hold them: writable, in whole pixels, or enclosing."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

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
from imagebase.formats.base import IGNORE, ExportImage, ExportSet, SkippedBox

# Thinner boxes vanish in the digits that the formats write.
MIN_SIDE_PX: Final = 1e-3


class PixelBox(NamedTuple):
    """Whole pixels from 0, the far edges exclusive."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int


def writable(image: ExportImage) -> tuple[Annotation, ...]:
    """Return the annotations that are written, clamped to the image."""
    size = image.record.size
    return tuple(
        annotation if _is_within(annotation.box, size) else _clamped(annotation, size)
        for annotation in image.record.annotations
        if _reason_against(annotation.box, size) is None
    )


def _clamped(annotation: Annotation, size: Size) -> Annotation:
    # Adding zero turns -0.0, which programs write as such, into 0.0.
    edges = (edge + 0.0 for edge in annotation.box.normalised().clipped(size))
    return replace(annotation, box=Box(*edges))


def _is_within(box: Box, size: Size) -> bool:
    """Say whether a box, as nearly all are, is to be written as it stands."""
    return (
        0 < box.x_min <= box.x_max - MIN_SIDE_PX
        and 0 < box.y_min <= box.y_max - MIN_SIDE_PX
        and box.x_max <= size.width
        and box.y_max <= size.height
    )


def left_out(image: ExportImage) -> tuple[SkippedBox, ...]:
    """Return the boxes that are not written, with the reason of each."""
    size = image.record.size
    reasons = [
        (annotation, _reason_against(annotation.box, size))
        for annotation in image.record.annotations
    ]
    return tuple(
        SkippedBox(image.record.file_name, annotation.label, reason)
        for annotation, reason in reasons
        if reason is not None
    )


def confidence_of(annotation: Annotation) -> float | None:
    """Return what a model's own box is written with; a person's box has none."""
    return annotation.confidence if annotation.is_untouched else None


def whole_pixels(box: Box) -> PixelBox:
    """Return the box in whole pixels, at least one of them in each direction."""
    x_min, x_max = _whole_side(box.x_min, box.x_max)
    y_min, y_max = _whole_side(box.y_min, box.y_max)
    return PixelBox(x_min, y_min, x_max, y_max)


def whole_pixel_tolerance(box: Box, size: Size) -> tuple[float, float]:
    """Return how far `whole_pixels` moves an edge: half a pixel, thin boxes one."""
    return _half_or_one(box.width), _half_or_one(box.height)


def rounding_tolerance(decimals: int) -> Callable[[Box, Size], tuple[float, float]]:
    """Return how far rounding edges in pixels to these decimals moves them."""
    return lambda box, size: (0.6 * 10**-decimals, 0.6 * 10**-decimals)


def _half_or_one(side: float) -> float:
    return (0.5 if side >= 1 else 1.0) + 1e-6


def _whole_side(near: float, far: float) -> tuple[int, int]:
    if round(near) < round(far):
        return round(near), round(far)
    return math.floor(near), math.floor(near) + 1


def _reason_against(box: Box, size: Size) -> str | None:
    if _is_within(box, size):
        return None
    if not box.is_finite:
        return "a corner is not a number"
    clipped = box.normalised().clipped(size)
    if min(clipped.width, clipped.height) >= MIN_SIDE_PX:
        return None
    if min(box.normalised().width, box.normalised().height) < MIN_SIDE_PX:
        return "the box has no area"
    return "the box lies outside the image"


OUTLINE: Final = "of an outline, the box around it is kept"
# Run lengths as text: six bits a character, of which one means that more follow.
_FIRST_CHARACTER: Final = 48
_BITS: Final = 5
ROTATED: Final = "of a rotated box, the upright one around it is kept"


def around(points: Iterable[tuple[float, float]]) -> Box:
    """Return the upright box around these points.

    Its corners are NaN where there are no points, or one of them is not finite.
    """
    pairs = list(points)
    if not pairs or not all(math.isfinite(x + y) for x, y in pairs):
        return Box(*[math.nan] * 4)
    xs, ys = zip(*pairs, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


def around_rotated(box: Box, degrees: float, pivot: tuple[float, float]) -> Box:
    """Return the upright box around one that is turned clockwise about a point.

    Axes point right and down, so that clockwise on screen is from x towards y. Its
    corners are NaN where the angle is not finite.
    """
    if not math.isfinite(degrees):
        return around(())
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x, y) for x in (box.x_min, box.x_max) for y in (box.y_min, box.y_max)]
    return around(
        (
            pivot[0] + (x - pivot[0]) * cos - (y - pivot[1]) * sin,
            pivot[1] + (x - pivot[0]) * sin + (y - pivot[1]) * cos,
        )
        for x, y in corners
    )


def box_of_run_lengths(mask: object) -> Box | None:
    """Return the box around a mask; None where it is empty or is none.

    Args:
        mask: `size` [height, width] and `counts`, the lengths of runs of pixels that
            are not and are in it by turns, column by column: a list of them, or text
            as pycocotools compresses it.
    """
    if not isinstance(mask, dict):
        return None
    size, counts = mask.get("size"), mask.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not _are_whole(size):
        return None
    height, width = size
    try:
        lengths = list(_decompressed(counts)) if isinstance(counts, str) else counts
    except ValueError:
        return None
    if not isinstance(lengths, list) or not _are_whole(lengths) or height < 1:
        return None
    return _box_around(lengths, height, height * width)


def _are_whole(numbers: Sequence[object]) -> bool:
    return all(isinstance(number, int) and number >= 0 for number in numbers)


def _box_around(lengths: Sequence[int], height: int, pixels: int) -> Box | None:
    starts = [0, *accumulate(lengths)]
    runs = [
        (start, min(end, pixels) - 1)
        for start, end in list(pairwise(starts))[1::2]
        if start < min(end, pixels)
    ]
    if not runs:
        return None
    # A run that continues in the next column has all rows of one or the other edge.
    is_tall = any(first // height != last // height for first, last in runs)
    top = 0 if is_tall else min(first % height for first, _ in runs)
    bottom = height if is_tall else max(last % height for _, last in runs) + 1
    return Box(runs[0][0] // height, top, runs[-1][1] // height + 1, bottom)


def _decompressed(text: str) -> Iterator[int]:
    """Yield the lengths of pycocotools' text, whose fourth on are differences."""
    before = [0, 0]
    for index, value in enumerate(_numbers(text)):
        length = value + (before[0] if index > 2 else 0)
        before = [before[1], length]
        yield length


def _numbers(text: str) -> Iterator[int]:
    value = shift = 0
    for character in text:
        bits = ord(character) - _FIRST_CHARACTER
        if not 0 <= bits < 1 << _BITS + 1 or shift > 60:
            raise ValueError(f"{character!r} is no part of run lengths")
        value |= (bits & 0x1F) << shift
        shift += _BITS
        if not bits & 0x20:
            yield value - (1 << shift) if bits & 0x10 else value
            value = shift = 0
    if shift:
        raise ValueError("the run lengths end in the middle")


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
        clipped = _clipped(points, size)
        if len(clipped) >= 3:
            yield Shape(ShapeKind.POLYGON, tuple(map(_rounded, clipped)))


def boxes(shape: Shape, size: Size) -> Iterator[Shape]:
    """Yield the whole pixels around a shape as a rectangle."""
    box = shape.bounds.normalised().clipped(size)
    near, far = map(math.floor, box[:2]), map(math.ceil, box[2:])
    if box.area:
        yield rectangle(Box(*near, *far))


def pieces(
    image: ExportImage, region: Callable[[Shape, Size], Iterable[Shape]] | None
) -> list[Shape]:
    """Return an image's areas in the shapes that are written; none if unsupported."""
    if region is None:
        return []
    size = image.record.size
    return [piece for shape in image.record.ignored for piece in region(shape, size)]


def corners(shape: Shape) -> list[Point]:
    """Return the corners of a polygon or of a rectangle, from the top left."""
    if shape.kind is not ShapeKind.RECTANGLE:
        return list(shape.points)
    x0, y0, x1, y1 = shape.bounds
    return [Point(x0, y0), Point(x1, y0), Point(x1, y1), Point(x0, y1)]


def is_same(shape: Shape, other: Shape, tolerance: tuple[float, float]) -> bool:
    """Say whether two shapes have the same corners, to within pixels along x and y."""
    first, second = corners(shape), corners(other)
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
    used = {
        annotation.label
        for image in export_set.images
        for annotation in writable(image)
    }
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
    corners = list(points)
    for axis, limit, sign in ((0, 0, 1), (1, 0, 1), (0, size[0], -1), (1, size[1], -1)):
        inside = [sign * (point[axis] - limit) for point in corners]
        before, corners = corners, []
        for at, point in enumerate(before):
            last, here, there = before[at - 1], inside[at - 1], inside[at]
            if (here < 0) != (there < 0):
                share = here / (here - there)
                corners.append(
                    Point(
                        last.x + (point.x - last.x) * share,
                        last.y + (point.y - last.y) * share,
                    )
                )
            if there >= 0:
                corners.append(point)
    return corners


def _rounded(point: Point) -> Point:
    return Point(round(point.x, _DECIMALS) + 0.0, round(point.y, _DECIMALS) + 0.0)


def _rounded_box(box: Box) -> Box:
    return Box(*(round(edge, _DECIMALS) + 0.0 for edge in box))
