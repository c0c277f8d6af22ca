"""Fit boxes of label files to their image files: scale, turn, or refuse them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from imagebase.annotation import Annotation, Box, Size
from imagebase.annotation.areas import Point, Shape
from imagebase.formats.base import ReadImage

# How far the sides of a resized copy may be from the same shape.
_SAME_SHAPE: Final = 0.01
_FIRST_SIDEWAYS: Final = 5
_SHOWN: Final = 3

_Move = Callable[[Box], Box]


class Frame(NamedTuple):
    """An image file as its boxes see it.

    size: of the upright image. orientation: EXIF's, which made it upright; 1 to 8.
    """

    size: Size
    orientation: int = 1

    @property
    def stored(self) -> Size:
        """The size of the pixels as they lie in the file, before EXIF turns them."""
        is_sideways = self.orientation >= _FIRST_SIDEWAYS
        return _turned(self.size) if is_sideways else self.size


class FittedImage(NamedTuple):
    """An image's boxes in pixels of its upright file.

    note: how they had to be changed for it. problem: why that cannot be done, and then
    the image is unchanged. Both begin in lower case and have no full stop.
    """

    image: ReadImage
    note: str = ""
    problem: str = ""


def fitted(image: ReadImage, frame: Frame) -> FittedImage:
    """Return an image's boxes in pixels of its file, upright as everybody sees it.

    Fractions are of the upright image. Pixels are of the size that the label file
    states: that of the upright image, of the stored pixels before EXIF turns them, or
    of a copy of either in another resolution. A file that states no size counts in
    pixels of the upright image, unless its boxes only fit in the stored one.
    """
    stated, size = image.size, frame.size
    if image.is_relative:
        return FittedImage(image.in_pixels(size))
    if stated == size:
        return FittedImage(image)
    if stated is None:
        stated = frame.stored if _fits_stored_only(image, frame) else size
    if stated == size or is_same_shape(stated, size):
        return _scaled(image, stated, size)
    if frame.stored != size and is_same_shape(stated, frame.stored):
        return _scaled_and_turned(image, stated, frame)
    sizes = _both_sizes(stated, size)
    if not (image.annotations or image.crowds or image.regions):
        return FittedImage(replace(image, size=size), sizes)
    if is_same_shape(_turned(stated), size):
        return FittedImage(image, problem=f"{sizes}: one of them is turned")
    return FittedImage(image, problem=f"{sizes}: another image, or a part of it")


def is_same_shape(a: Size, b: Size) -> bool:
    """Say whether one size is the other one's, made larger or smaller."""
    across, down = b.width / a.width, b.height / a.height
    # A small copy's sides are rounded to whole pixels.
    rounding = 1 / min(*a, *b)
    return abs(across - down) <= (_SAME_SHAPE + rounding) * max(across, down)


def _scaled(image: ReadImage, stated: Size, size: Size) -> FittedImage:
    if stated == size:
        return FittedImage(replace(image, size=size))
    note = f"{_both_sizes(stated, size)}: boxes are scaled"
    return FittedImage(_moved(image, size, _scaling(stated, size)), note)


def _scaled_and_turned(image: ReadImage, stated: Size, frame: Frame) -> FittedImage:
    scale, stored = _scaling(stated, frame.stored), frame.stored

    def move(box: Box) -> Box:
        return upright(scale(box), stored, frame.orientation)

    also = "" if stated == stored else "scaled and "
    note = (
        f"the labels are for the pixels as stored, {sides(stated)}, and EXIF turns the "
        f"image to {sides(frame.size)}: boxes are {also}turned with it"
    )
    return FittedImage(_moved(image, frame.size, move), note)


def upright(box: Box, stored: Size, orientation: int) -> Box:
    """Return a box of stored pixels on the upright image.

    Args:
        stored: the size before it is turned.
        orientation: EXIF's tag 0x0112: 2 mirrors, 3 turns by half, 4 mirrors upside
            down, 6 turns clockwise, 8 the other way, 5 and 7 turn the mirrored image.
    """
    left, top, right, bottom = box
    width, height = stored
    return {
        2: Box(width - right, top, width - left, bottom),
        3: Box(width - right, height - bottom, width - left, height - top),
        4: Box(left, height - bottom, right, height - top),
        5: Box(top, left, bottom, right),
        6: Box(height - bottom, left, height - top, right),
        7: Box(height - bottom, width - right, height - top, width - left),
        8: Box(top, width - right, bottom, width - left),
    }.get(orientation, box)


def _scaling(stated: Size, size: Size) -> _Move:
    across, down = size.width / stated.width, size.height / stated.height

    def move(box: Box) -> Box:
        left, top, right, bottom = box
        return Box(left * across, top * down, right * across, bottom * down)

    return move


def _moved(image: ReadImage, size: Size, move: _Move) -> ReadImage:
    def each(annotations: Iterable[Annotation]) -> tuple[Annotation, ...]:
        return tuple(
            replace(annotation, box=move(annotation.box).clipped(size))
            for annotation in annotations
        )

    return replace(
        image,
        size=size,
        annotations=each(image.annotations),
        crowds=each(image.crowds),
        regions=tuple(_moved_shape(region, move) for region in image.regions),
    )


def _moved_shape(shape: Shape, move: _Move) -> Shape:
    corners = (move(Box(x, y, x, y)) for x, y in shape.points)
    return replace(
        shape, points=tuple(Point(corner.x_min, corner.y_min) for corner in corners)
    )


def _fits_stored_only(image: ReadImage, frame: Frame) -> bool:
    """Say whether boxes of no stated size reach out of the upright image alone."""
    boxes = [annotation.box for annotation in (*image.annotations, *image.crowds)]
    return any(_reaches_out(box, frame.size) for box in boxes) and not any(
        _reaches_out(box, frame.stored) for box in boxes
    )


def _reaches_out(box: Box, size: Size) -> bool:
    return box.x_max > size.width + 1 or box.y_max > size.height + 1


def _turned(size: Size) -> Size:
    return Size(size.height, size.width)


def _both_sizes(stated: Size, size: Size) -> str:
    return f"the labels are for {sides(stated)} pixels, the image has {sides(size)}"


def several_meant(paths: Sequence[str]) -> str:
    """Return why no image is that of a name, as the end of a sentence."""
    shown = ", ".join(paths[:_SHOWN])
    more = f" and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
    return f"several images match its name: {shown}{more}"


def sides(size: Size) -> str:
    """Return a size as people write it."""
    return f"{size.width:,} × {size.height:,}"
