"""Boxes around other shapes, for the readers of formats that have such."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final

from imagebase.annotation import Box

OUTLINE: Final = "of an outline, the box around it is kept"
# Run lengths as text: six bits a character, of which one says that more follow.
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
    return all(isinstance(one, int) and one >= 0 for one in numbers)


def _box_around(lengths: Sequence[int], height: int, pixels: int) -> Box | None:
    starts = [0, *accumulate(lengths)]
    runs = [
        (start, min(end, pixels) - 1)
        for start, end in list(pairwise(starts))[1::2]
        if start < min(end, pixels)
    ]
    if not runs:
        return None
    # A run that goes on in the next column has all rows of one or the other edge.
    is_tall = any(first // height != last // height for first, last in runs)
    top = 0 if is_tall else min(first % height for first, _ in runs)
    bottom = height if is_tall else max(last % height for _, last in runs) + 1
    return Box(runs[0][0] // height, top, runs[-1][1] // height + 1, bottom)


def _decompressed(text: str) -> Iterator[int]:
    """Yield the lengths of pycocotools' text; the fourth on tell a change by two."""
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
