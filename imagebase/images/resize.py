"""Images at another size, and their boxes to match.

A size is reached in whole pixels, so the factors along x and y are those between the
two sizes, and boxes are scaled by exactly these: nothing drifts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from imagebase.annotation import Box, Size
from imagebase.errors import ExportError
from imagebase.images.decode import RgbArray, resized

# The grey that the YOLO family is trained with around letterboxed images.
BORDER: Final = (114, 114, 114)

MAX_SIDE_PX: Final = 16_384


class Placement(NamedTuple):
    """Where an image comes to lie.

    source: its size before. inner: its size afterwards. canvas: of the whole result.
    left, top: whole pixels of border before it.
    """

    source: Size
    inner: Size
    canvas: Size
    left: int = 0
    top: int = 0

    @property
    def changes_nothing(self) -> bool:
        """Say whether the image is neither scaled nor moved."""
        return self.source == self.inner == self.canvas

    def box(self, box: Box) -> Box:
        """Return a box of the image in pixels of the result."""
        across = self.inner.width / self.source.width
        down = self.inner.height / self.source.height
        return Box(
            box.x_min * across + self.left,
            box.y_min * down + self.top,
            box.x_max * across + self.left,
            box.y_max * down + self.top,
        )

    def pixels(self, rgb: RgbArray) -> RgbArray:
        """Return the image, (H, W, 3), in its place on the canvas.

        Each direction is averaged by area where it shrinks, bilinear where it grows.

        Raises:
            ValueError: the image has not the size that was placed.
        """
        height, width = rgb.shape[:2]
        if (width, height) != self.source:
            raise ValueError(f"placed was {self.source}, not {width} × {height}")
        shrunk = Size(min(width, self.inner.width), min(height, self.inner.height))
        scaled = resized(resized(rgb, shrunk), self.inner)
        if self.inner == self.canvas:
            return scaled
        result = np.empty((self.canvas.height, self.canvas.width, 3), dtype=np.uint8)
        result[:] = BORDER
        bottom, right = self.top + self.inner.height, self.left + self.inner.width
        result[self.top : bottom, self.left : right] = scaled
        return result


@dataclass(frozen=True, slots=True)
class Stretch:
    """Every image at exactly this size, whatever its shape."""

    size: Size

    def __post_init__(self) -> None:
        _check(*self.size)

    def placement(self, source: Size) -> Placement:
        """Return where an image of this size comes to lie."""
        return Placement(source, self.size, self.size)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Every image whole and in proportion in the middle of this size, on grey.

    An odd pixel of border is at the right and at the bottom.

    enlarges: whether a smaller image grows until it touches two sides.
    """

    size: Size
    enlarges: bool = False

    def __post_init__(self) -> None:
        _check(*self.size)

    def placement(self, source: Size) -> Placement:
        """Return where an image of this size comes to lie."""
        inner = _inside(source, self.size, enlarges=self.enlarges)
        left = (self.size.width - inner.width) // 2
        top = (self.size.height - inner.height) // 2
        return Placement(source, inner, self.size, left, top)


@dataclass(frozen=True, slots=True)
class LongestSide:
    """Every image in proportion, its longest side at most this many pixels.

    enlarges: whether the longest side of a smaller image grows to it.
    """

    pixels: int
    enlarges: bool = False

    def __post_init__(self) -> None:
        _check(self.pixels)

    def placement(self, source: Size) -> Placement:
        """Return where an image of this size comes to lie."""
        square = Size(self.pixels, self.pixels)
        inner = _inside(source, square, enlarges=self.enlarges)
        return Placement(source, inner, inner)


Resizing = Stretch | Letterbox | LongestSide

_DAMAGED: Final = "This choice of a size cannot be read; choose it again."


def resizing_json(resizing: Resizing) -> dict[str, Any]:
    """Return a choice of size as JSON holds it, for a job or a manifest."""
    match resizing:
        case Stretch(size):
            return {"how": "stretch", "size": list(size)}
        case Letterbox(size, enlarges):
            return {"how": "letterbox", "size": list(size), "enlarges": enlarges}
        case LongestSide(pixels, enlarges):
            return {"how": "longest_side", "pixels": pixels, "enlarges": enlarges}


def resizing_from_json(state: Mapping[str, Any]) -> Resizing:
    """Return the choice that `resizing_json` wrote.

    Raises:
        ExportError: it is not one, or a side is out of bounds.
    """
    try:
        if state["how"] == "stretch":
            return Stretch(Size(*state["size"]))
        if state["how"] == "letterbox":
            return Letterbox(Size(*state["size"]), enlarges=bool(state["enlarges"]))
        if state["how"] == "longest_side":
            return LongestSide(state["pixels"], enlarges=bool(state["enlarges"]))
    except (KeyError, TypeError) as error:
        raise ExportError(_DAMAGED) from error
    raise ExportError(_DAMAGED)


def _inside(source: Size, limit: Size, *, enlarges: bool) -> Size:
    """Return the largest size of the source's shape that this limit has room for."""
    scale = min(limit.width / source.width, limit.height / source.height)
    if scale >= 1 and not enlarges:
        return source
    return Size(
        min(limit.width, max(1, round(source.width * scale))),
        min(limit.height, max(1, round(source.height * scale))),
    )


def _check(*sides: int) -> None:
    if not all(1 <= side <= MAX_SIDE_PX for side in sides):
        raise ExportError(f"Choose a size from 1 to {MAX_SIDE_PX:,} pixels a side.")
