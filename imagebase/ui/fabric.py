"""The canvas's own language: boxes to a Fabric.js drawing, and its messages back.

Fabric counts `left` and `top` to the outer edge of the stroke; the visible line, which
is our edge, lies half a stroke further in. Of what we write on an object, only its
label, its looks and `lock*` values come back, so our ids travel in one of those.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from imagebase.annotation import Annotation, Box, ImageRecord, LabelSet, Size
from imagebase.editing import DrawnBox

STROKE_WIDTH: Final = 2
FONT_SIZE: Final = 12
TRANSPARENT: Final = "rgba(0, 0, 0, 0)"

# A mouse press without a movement leaves a box of this size.
_STRAY_PX: Final = 2 * STROKE_WIDTH + 0.5

_ID_KEY: Final = "lockSkewingX"
_MODEL_DASHES: Final = [7, 4]
_ORIGIN: Final = {"left": 0.0, "top": 0.0, "center": 0.5, "right": 1.0, "bottom": 1.0}


class Viewport(NamedTuple):
    """The part of an image that a canvas shows, and how large it shows it."""

    region: Box
    display_size: Size

    @property
    def scale(self) -> tuple[float, float]:
        """Canvas pixels per image pixel, across and down."""
        return (
            self.display_size.width / self.region.width,
            self.display_size.height / self.region.height,
        )

    @property
    def pixel_size(self) -> float:
        """Image pixels per canvas pixel, the larger of both ways."""
        return 1 / min(self.scale)

    def to_canvas(self, box: Box) -> Box:
        """Return an image's box in canvas pixels."""
        (sx, sy), region = self.scale, self.region
        return Box(
            (box.x_min - region.x_min) * sx,
            (box.y_min - region.y_min) * sy,
            (box.x_max - region.x_min) * sx,
            (box.y_max - region.y_min) * sy,
        )

    def to_image(self, box: Box) -> Box:
        """Return a canvas's box in image pixels."""
        (sx, sy), region = self.scale, self.region
        return Box(
            box.x_min / sx + region.x_min,
            box.y_min / sy + region.y_min,
            box.x_max / sx + region.x_min,
            box.y_max / sy + region.y_min,
        )

    def shows(self, box: Box) -> bool:
        """Say whether any of a box is within the region."""
        a, b = self.region, box
        across = min(a.x_max, b.x_max) > max(a.x_min, b.x_min)
        return across and min(a.y_max, b.y_max) > max(a.y_min, b.y_min)


def visible(record: ImageRecord, viewport: Viewport) -> tuple[Annotation, ...]:
    """Return the boxes within the region, large ones first.

    A click finds the last of them that holds it, so small boxes lie on top.
    """
    inside = (one for one in record.annotations if viewport.shows(one.box))
    return tuple(sorted(inside, key=lambda one: -one.box.area))


def chip(one: Annotation) -> str:
    """Return a box's text: its label, and how sure a model was until seen to."""
    if not one.is_untouched or one.confidence is None:
        return one.label
    return f"{one.label}{_confidence_suffix(one.confidence)}"


def _confidence_suffix(confidence: float) -> str:
    return f" {confidence:.2f}".replace(" 0.", " .")


def to_drawing(
    annotations: tuple[Annotation, ...],
    viewport: Viewport,
    *,
    labels: LabelSet,
    tag: str,
) -> dict[str, Any]:
    """Return the drawing that fills a canvas with these boxes; its tag comes back."""
    return {
        _ID_KEY: tag,
        "uniformScaling": False,
        "objects": [
            _to_object(one, viewport.to_canvas(one.box), labels.colour_of(one.label))
            for one in annotations
        ],
    }


def _to_object(one: Annotation, box: Box, colour: str) -> dict[str, Any]:
    return {
        "type": "LabeledRect",
        "label": chip(one),
        "fontSize": FONT_SIZE,
        "originX": "left",
        "originY": "top",
        "left": round(box.x_min - STROKE_WIDTH / 2, 4),
        "top": round(box.y_min - STROKE_WIDTH / 2, 4),
        "width": round(box.width, 4),
        "height": round(box.height, 4),
        "stroke": colour,
        "strokeWidth": STROKE_WIDTH,
        "strokeUniform": True,
        "strokeDashArray": _MODEL_DASHES if one.is_untouched else None,
        "fill": TRANSPARENT,
        "lockRotation": True,
        "cornerStyle": "circle",
        "cornerSize": 10,
        "cornerColor": "#ffffff",
        "cornerStrokeColor": colour,
        "transparentCorners": False,
        _ID_KEY: one.annotation_id,
    }


def tag_of(message: Mapping[str, Any]) -> str:
    """Return the tag of the drawing that a message is about; empty without one."""
    tag = message.get(_ID_KEY)
    return tag if isinstance(tag, str) else ""


def from_message(
    message: Mapping[str, Any], viewport: Viewport, *, pushed: Mapping[str, Annotation]
) -> tuple[DrawnBox, ...]:
    """Return the boxes of a message in image pixels, stray clicks left out.

    Args:
        pushed: the boxes the canvas was filled with, by id: their chips may hold a
            confidence, which is no part of a label.
    """
    found = []
    for item in message.get("objects", []):
        if item.get("type") != "LabeledRect":
            continue
        known = item.get(_ID_KEY)
        annotation_id = known if isinstance(known, str) else None
        box = _from_object(item, is_pushed=annotation_id is not None)
        is_stray = max(box.width, box.height) <= _STRAY_PX
        if is_stray and annotation_id is None:
            continue
        label = _label(str(item.get("label", "")), pushed.get(annotation_id or ""))
        found.append(DrawnBox(annotation_id, viewport.to_image(box), label))
    return tuple(found)


def _from_object(item: Mapping[str, Any], *, is_pushed: bool) -> Box:
    """Return the line of a box in canvas pixels.

    The tool that draws a new box puts its outer edge, not its line, under the pointer;
    the pointer is what the person aimed with.
    """
    stroke = float(item.get("strokeWidth", STROKE_WIDTH))
    width = float(item.get("width", 0)) * float(item.get("scaleX", 1))
    height = float(item.get("height", 0)) * float(item.get("scaleY", 1))
    left = float(item.get("left", 0))
    left -= _ORIGIN[item.get("originX", "left")] * (width + stroke)
    top = float(item.get("top", 0))
    top -= _ORIGIN[item.get("originY", "top")] * (height + stroke)
    inset = stroke / 2 if is_pushed else 0.0
    return Box(left + inset, top + inset, left + inset + width, top + inset + height)


def _label(text: str, pushed: Annotation | None) -> str:
    if pushed is None or pushed.confidence is None:
        return text
    if text == chip(pushed):
        return pushed.label
    return text.removesuffix(_confidence_suffix(pushed.confidence))
