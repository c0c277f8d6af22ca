"""Boxes and labels drawn on an image for the screen.

A person's boxes are solid, a model's untouched ones thinner and dashed. Label names are
drawn in the font that comes with Pillow, which has Latin letters; names in other
scripts take a font of this machine that Pillow finds, or show as empty frames.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from imagebase.annotation import Annotation, LabelSet, Size
from imagebase.annotation.areas import Point, Shape, outline
from imagebase.annotation.coverage import mask_of
from imagebase.images.decode import RgbArray
from imagebase.wording import percent

Colour = tuple[int, int, int]

# What a reviewer drew; no label has it.
MARK_COLOUR: Final = "#E6007E"

_HATCH_PX: Final = 12
_SHADE: Final = 0.35
_BLACK: Final = (0, 0, 0)
_WHITE: Final = (255, 255, 255)
# Luminance (ITU-R BT.601, 0 to 255) from which black reads better upon a colour.
_LIGHT_FROM: Final = 110
_LUMINANCE_WEIGHTS: Final = (0.299, 0.587, 0.114)

_PIXELS_PER_LINE_WIDTH: Final = 400
_DASH_IN_LINE_WIDTHS: Final = 6
_GAP_IN_LINE_WIDTHS: Final = 4
# Smaller boxes would be all line and nothing inside.
_MIN_SIDE_IN_LINE_WIDTHS: Final = 5
_HIGHLIGHT_STRENGTH: Final = 0.3
_MAX_CHIP_LETTERS: Final = 32
# A chip may be wider than a narrow box, or half of the people in a street go unnamed.
_CHIP_OVERHANG: Final = 1.6
_LAST_LATIN_LETTER: Final = "\u024f"
_FONTS_FOR_OTHER_SCRIPTS: Final = (
    "NotoSansCJK-Regular.ttc",
    "PingFang.ttc",
    "msyh.ttc",
    "Arial Unicode.ttf",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "arial.ttf",
)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class _Rectangle(NamedTuple):
    """Whole pixels of the image drawn on; the far edges are drawn too."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class _Drawn:
    annotation: Annotation
    rectangle: _Rectangle
    colour: Colour
    is_highlighted: bool


def draw_annotations(
    rgb: RgbArray,
    annotations: Iterable[Annotation],
    *,
    labels: LabelSet,
    from_size: Size,
    highlighted: Collection[str] = (),
) -> RgbArray:
    """Return a copy of the image with boxes, labels and confidences drawn on it.

    Large boxes come first, so that small ones lie on top. A label is left out where it
    would hide another or hang far out of its box; the confidence goes first.

    Args:
        rgb: the image as shown, shape (H, W, 3).
        labels: where the colours come from.
        from_size: of the full image, which the boxes refer to.
        highlighted: ids of annotations to bring forward.
    """
    canvas = np.array(rgb, dtype=np.uint8, order="C")
    boxes = _placed(canvas, annotations, labels, from_size, highlighted)
    for box in boxes:
        _draw_box(canvas, box)
    taken: list[_Rectangle] = []
    # Chips of highlighted and small boxes are the hardest to place, and go first.
    for box in sorted(boxes, key=_chip_turn):
        _draw_chip(canvas, box, taken)
    return canvas


def draw_ignored(
    rgb: RgbArray, shapes: Iterable[Shape], *, from_size: Size
) -> RgbArray:
    """Return a copy of the image with ignore areas hatched dark.

    Args:
        rgb: the image as shown, shape (H, W, 3).
        shapes: in pixels of the full image.
        from_size: of the full image.
    """
    mask = mask_of(_on_image(rgb, shapes, from_size), _size_of(rgb))
    height, width = mask.shape
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    is_line = (rows + columns) % _HATCH_PX < _HATCH_PX // 4
    drawn = np.where(is_line[..., None], 160, rgb * np.float32(_SHADE)).astype(np.uint8)
    return np.where(mask[..., None], drawn, rgb).astype(np.uint8)


def draw_marks(rgb: RgbArray, shapes: Iterable[Shape], *, from_size: Size) -> RgbArray:
    """Return a copy of the image with what a reviewer drew on it, as for areas."""
    width = max(2.0, max(rgb.shape[:2]) / _PIXELS_PER_LINE_WIDTH * 2)
    lines = [outline(shape, width) for shape in _on_image(rgb, shapes, from_size)]
    mask = mask_of(lines, _size_of(rgb))
    return np.where(mask[..., None], _rgb_of(MARK_COLOUR), rgb).astype(np.uint8)


def _on_image(rgb: RgbArray, shapes: Iterable[Shape], from_size: Size) -> list[Shape]:
    height, width = rgb.shape[:2]
    scale = Point(width / from_size.width, height / from_size.height)
    return [shape.moved(scale, Point(0, 0)) for shape in shapes]


def _size_of(rgb: RgbArray) -> Size:
    return Size(rgb.shape[1], rgb.shape[0])


def _chip_turn(drawn: _Drawn) -> tuple[bool, float]:
    return not drawn.is_highlighted, drawn.annotation.box.area


def _placed(
    canvas: RgbArray,
    annotations: Iterable[Annotation],
    labels: LabelSet,
    from_size: Size,
    highlighted: Collection[str],
) -> list[_Drawn]:
    colours = {label.name: label.colour for label in labels}
    placed = []
    for annotation in annotations:
        rectangle = _on_canvas(annotation, canvas, from_size)
        if rectangle is not None:
            colour = colours.get(annotation.label, labels.colour_of(annotation.label))
            is_highlighted = annotation.annotation_id in highlighted
            placed.append(
                _Drawn(annotation, rectangle, _rgb_of(colour), is_highlighted)
            )
    return sorted(placed, key=lambda drawn: -drawn.annotation.box.area)


def _on_canvas(
    annotation: Annotation, canvas: RgbArray, from_size: Size
) -> _Rectangle | None:
    """Return where the box goes, or None where nothing of it is on the image."""
    if not annotation.box.is_finite:
        return None
    box = annotation.box.normalised().clipped(from_size)
    if box.area == 0:
        return None
    height, width = canvas.shape[:2]
    across, down = width / from_size.width, height / from_size.height
    left = min(round(box.x_min * across), width - 1)
    top = min(round(box.y_min * down), height - 1)
    right = max(round(box.x_max * across) - 1, left)
    bottom = max(round(box.y_max * down) - 1, top)
    return _Rectangle(left, top, right, bottom)


def _rgb_of(colour: str) -> Colour:
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return red, green, blue


def _against(colour: Colour) -> Colour:
    """Return black or white, whichever stands out from this colour."""
    light = sum(w * part for w, part in zip(_LUMINANCE_WEIGHTS, colour, strict=True))
    return _BLACK if light >= _LIGHT_FROM else _WHITE


def _line_width(canvas: RgbArray) -> int:
    height, width = canvas.shape[:2]
    return max(1, round(max(int(height), int(width)) / _PIXELS_PER_LINE_WIDTH))


def _draw_box(canvas: RgbArray, drawn: _Drawn) -> None:
    left, top, right, bottom = drawn.rectangle
    thin = _line_width(canvas)
    is_dashed = drawn.annotation.is_untouched
    width = thin if is_dashed else thin + 1
    if drawn.is_highlighted:
        width += thin
        _fill(canvas, drawn)
    if min(right - left, bottom - top) < _MIN_SIDE_IN_LINE_WIDTHS * width:
        width, rim = 1, 0
    else:
        rim = min(thin, 2)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
    lines = [part for a, b in edges for part in _dashes(a, b, thin)]
    # The rim of the opposite lightness lets any colour stand out from any image.
    for colour, thickness in (
        (_against(drawn.colour), width + rim),
        (drawn.colour, width),
    ):
        for a, b in lines if is_dashed else edges:
            cv2.line(canvas, a, b, colour, thickness)


def _dashes(
    a: tuple[int, int], b: tuple[int, int], width: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the parts of an edge to draw, beginning and ending at its corners."""
    length = max(abs(b[0] - a[0]), abs(b[1] - a[1]))
    dash, gap = _DASH_IN_LINE_WIDTHS * width, _GAP_IN_LINE_WIDTHS * width
    count = max(1, round((length + gap) / (dash + gap)))
    if count == 1:
        return [(a, b)]
    starts = np.linspace(0, length - dash, count)
    along = np.sign([b[0] - a[0], b[1] - a[1]])

    def at(distance: float) -> tuple[int, int]:
        return (
            a[0] + round(distance) * int(along[0]),
            a[1] + round(distance) * int(along[1]),
        )

    return [(at(float(start)), at(float(start) + dash)) for start in starts]


def _fill(canvas: RgbArray, drawn: _Drawn) -> None:
    left, top, right, bottom = drawn.rectangle
    inside = canvas[top : bottom + 1, left : right + 1]
    tint = np.array(drawn.colour, dtype=np.float32)
    inside[:] = inside * (1 - _HIGHLIGHT_STRENGTH) + tint * _HIGHLIGHT_STRENGTH


def _draw_chip(canvas: RgbArray, drawn: _Drawn, taken: list[_Rectangle]) -> None:
    for text in _chip_texts(drawn.annotation):
        chip = _chip(text, drawn.colour, _font_size(canvas))
        room = drawn.rectangle.right - drawn.rectangle.left + 1
        if chip.shape[1] > room * _CHIP_OVERHANG and not drawn.is_highlighted:
            continue
        for place in _chip_places(drawn.rectangle, chip, canvas):
            if not any(_overlap(place, other) for other in taken):
                taken.append(place)
                canvas[place.top : place.bottom + 1, place.left : place.right + 1] = (
                    chip
                )
                return


def _chip_texts(annotation: Annotation) -> list[str]:
    """Return what the chip may say, the most telling first."""
    name = " ".join(annotation.label.split())
    if len(name) > _MAX_CHIP_LETTERS:
        name = name[: _MAX_CHIP_LETTERS - 1] + "…"
    if annotation.confidence is None:
        return [name]
    return [f"{name} {percent(annotation.confidence)}", name]


def _chip_places(box: _Rectangle, chip: RgbArray, canvas: RgbArray) -> list[_Rectangle]:
    """Return places for the chip: above the box, inside its top, below it."""
    height, width = chip.shape[:2]
    canvas_height, canvas_width = canvas.shape[:2]
    left = max(0, min(box.left, canvas_width - width))
    tops = (box.top - height, box.top + 1, box.bottom + 1)
    return [
        _Rectangle(left, top, left + width - 1, top + height - 1)
        for top in tops
        if top >= 0 and top + height <= canvas_height and width <= canvas_width
    ]


def _overlap(a: _Rectangle, b: _Rectangle) -> bool:
    is_beside = a.right < b.left or b.right < a.left
    return not (is_beside or a.bottom < b.top or b.bottom < a.top)


def _font_size(canvas: RgbArray) -> int:
    height, width = canvas.shape[:2]
    return round(6 + max(int(height), int(width)) / 80)


def _chip(text: str, colour: Colour, font_size: int) -> RgbArray:
    font = _font(
        font_size, has_other_scripts=max(text, default="") > _LAST_LATIN_LETTER
    )
    padding = max(2, font_size // 5)
    # Every chip is as high as one with an accent and a descender would be.
    _, top, _, bottom = font.getbbox("Ág" + text)
    left, _, right, _ = font.getbbox(text)
    size = (int(right - left) + 2 * padding, int(bottom - top) + padding)
    chip = Image.new("RGB", size, colour)
    draw = ImageDraw.Draw(chip)
    at = (padding - left, padding // 2 - top)
    draw.text(at, text, fill=_against(colour), font=font)
    return np.asarray(chip, dtype=np.uint8)


@cache
def _font(size: int, *, has_other_scripts: bool) -> _Font:
    if has_other_scripts:
        for name in _FONTS_FOR_OTHER_SCRIPTS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)
