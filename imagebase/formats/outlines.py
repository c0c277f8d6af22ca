"""Boxes around other shapes, for the readers of formats that have such."""

import math
from collections.abc import Iterable
from typing import Final

from imagebase.annotation import Box

OUTLINE: Final = "of an outline, the box around it is kept"
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

    Axes point right and down, so that clockwise on screen is from x towards y.
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x, y) for x in (box.x_min, box.x_max) for y in (box.y_min, box.y_max)]
    return around(
        (
            pivot[0] + (x - pivot[0]) * cos - (y - pivot[1]) * sin,
            pivot[1] + (x - pivot[0]) * sin + (y - pivot[1]) * cos,
        )
        for x, y in corners
    )
