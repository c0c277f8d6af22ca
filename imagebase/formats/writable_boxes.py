"""Which boxes are written, and how far writing may move them."""

import math
from dataclasses import replace
from typing import Final, NamedTuple

from imagebase.annotation import Annotation, Box, Size
from imagebase.formats.base import ExportImage, LeftOut

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
        one if _is_within(one.box, size) else _clamped(one, size)
        for one in image.record.annotations
        if _reason_against(one.box, size) is None
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


def left_out(image: ExportImage) -> tuple[LeftOut, ...]:
    """Return the boxes that are not written, with the reason of each."""
    size = image.record.size
    reasons = [
        (one, _reason_against(one.box, size)) for one in image.record.annotations
    ]
    return tuple(
        LeftOut(image.record.file_name, one.label, reason)
        for one, reason in reasons
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
