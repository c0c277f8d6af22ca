"""The adapter of streamlit-drawable-canvas: rough shapes drawn on a still image.

The canvas says its whole drawing after each shape, under the tag that it was filled
with. A tag names the image, so that a shape is booked on the image it was drawn on; and
only what differs from the last message of that tag is booked. Nothing is sent to the
canvas in answer to a message: that would cut off what is being drawn.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import streamlit as st

from imagebase.annotation import Size, new_id
from imagebase.annotation.areas import Point, Shape, ShapeKind, simplified
from imagebase.images.draw import MARK_COLOUR

_FILL: Final = "rgba(230, 0, 126, 0.25)"
_NO_FILL: Final = "rgba(0, 0, 0, 0)"
_LINE_PX: Final = 2
# A click that was meant for something else leaves no shape.
_LEAST_PX: Final = 4
_KEPT_TAGS: Final = 16
_MOST_OBJECTS: Final = 500
# More is no stroke of a hand; nothing on a screen is as far off.
_MOST_STEPS: Final = 20_000
_MOST_PX: Final = 1e6
# Of an object as Fabric.js writes it.
_NUMBERS: Final = (
    *("left", "top", "width", "height", "scaleX", "scaleY", "angle"),
    *("strokeWidth", "radius"),
)
# Comes back as it was sent, which no key of our own does.
_TAG: Final = "lockScalingX"
_PADS: Final = "imagebase.rough_canvas."
_SHARES: Final = {"left": 0.5, "top": 0.5, "center": 0.0, "right": -0.5, "bottom": -0.5}

# From an image's id, new shapes in its pixels, and the ids of those that are gone, to
# an id for each new one.
Book = Callable[[str, Sequence[Shape], Sequence[str]], Sequence[str]]


class Tool(StrEnum):
    """What a drag on the canvas leaves."""

    POLYGON = "polygon"
    RECTANGLE = "rectangle"
    BRUSH = "brush"
    CIRCLE = "circle"


_MODES: Final = {
    Tool.POLYGON: "polygon",
    Tool.RECTANGLE: "rect",
    Tool.BRUSH: "freedraw",
    Tool.CIRCLE: "circle",
}


@dataclass(slots=True)
class _Filling:
    """What one filling of the canvas shows.

    factor: canvas pixels in a pixel of the image. booked: the id of each shape.
    """

    image_id: str
    factor: float
    booked: dict[Shape, str] = field(default_factory=dict)


@dataclass(slots=True)
class Pad:
    """One session's canvas.

    tag: of the newest filling; an empty one asks for another. there: shapes that are
    in its picture already. fillings: by tag, the newest last.
    """

    tag: str = ""
    canvas: Size | None = None
    there: tuple[Shape, ...] = ()
    fillings: dict[str, _Filling] = field(default_factory=dict)

    def fill(
        self, image_id: str, canvas: Size, factor: float, there: tuple[Shape, ...]
    ) -> None:
        """Begin an empty drawing on an image, unless it is there already."""
        now = self.fillings.get(self.tag)
        if now and now.image_id == image_id and self.canvas == canvas:
            return
        self.tag, self.canvas, self.there = new_id(), canvas, there
        self.fillings[self.tag] = _Filling(image_id, factor)
        while len(self.fillings) > _KEPT_TAGS:
            del self.fillings[next(iter(self.fillings))]

    def book(self, drawing: object, book: Book) -> None:
        """Book what a message changes; doing so twice does no harm."""
        filling = self.fillings.get(_tag_of(drawing))
        if filling is None:
            return
        shapes = dict.fromkeys(shapes_of(drawing, filling.factor))
        new = [one for one in shapes if one not in filling.booked]
        gone = [one for one in filling.booked if one not in shapes]
        if not new and not gone:
            return
        ids = book(filling.image_id, new, [filling.booked[one] for one in gone])
        for one in gone:
            del filling.booked[one]
        filling.booked |= dict(zip(new, ids, strict=True))
        if self.fillings.get(self.tag) is not filling:
            self.tag = ""  # it came late, and is not on the canvas any more


def pad(key: str) -> Pad:
    """Return this session's canvas of this key."""
    kept: Pad = st.session_state.setdefault(_PADS + key, Pad())
    return kept


def refill(key: str) -> None:
    """Let the canvas be empty at the next run; what was drawn is booked."""
    pad(key).tag = ""


def settle(key: str, book: Book) -> None:
    """Book what the canvas has said and nobody has taken in yet."""
    here = pad(key)
    said: Any = st.session_state.get(key) or {}
    here.book((said.get("drawing") or {}).get("raw"), book)


def fitted(size: Size, room: Size) -> tuple[Size, float]:
    """Return the size of the canvas for an image, and canvas pixels per image pixel."""
    factor = min(room.width / size.width, room.height / size.height)
    width, height = round(size.width * factor), round(size.height * factor)
    return Size(max(width, 1), max(height, 1)), factor


def draw_canvas(
    key: str,
    image_id: str,
    size: Size,
    *,
    picture: Callable[[tuple[Shape, ...]], bytes],
    there: tuple[Shape, ...],
    room: Size,
    tool: Tool,
    width_px: float,
    book: Book,
    is_line: bool = False,
) -> None:
    """Draw the canvas on an image; what is drawn is booked at once.

    Args:
        size: of the image.
        picture: returns the whole image as JPEG with these shapes on it, from a cache.
        there: the shapes that there are; they stay in the picture until `refill`.
        room: CSS pixels there are for it.
        width_px: of the brush, in pixels of the image.
        book: is called with what changes.
        is_line: what is inside a shape stays as it is seen.
    """
    # It registers a component, which cannot be done outside a run.
    from streamlit_drawable_canvas import st_canvas

    here = pad(key)
    canvas, factor = fitted(size, room)
    here.fill(image_id, canvas, factor, there)
    is_brush = tool is Tool.BRUSH
    st_canvas(
        fill_color=_NO_FILL if is_line else _FILL,
        stroke_color=_FILL if is_brush and not is_line else MARK_COLOUR,
        stroke_width=max(round(width_px * factor), 1) if is_brush else _LINE_PX,
        background_image=picture(here.there),
        width=canvas.width,
        height=canvas.height,
        drawing_mode=_MODES[tool],
        initial_drawing={"objects": [], _TAG: here.tag},
        key=key,
        on_change=lambda: settle(key, book),
    )


def _tag_of(drawing: object) -> str:
    return str(drawing.get(_TAG, "")) if isinstance(drawing, Mapping) else ""


def shapes_of(drawing: object, factor: float) -> list[Shape]:
    """Return the shapes of a drawing in pixels of the image; what is none is left out.

    Args:
        drawing: as Fabric.js writes it.
        factor: canvas pixels in a pixel of the image.
    """
    objects = drawing.get("objects") if isinstance(drawing, Mapping) else None
    shapes = []
    for one in objects[:_MOST_OBJECTS] if isinstance(objects, list) else ():
        try:
            shape = _shape(one)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            continue
        if shape is not None:
            shapes.append(shape.moved(Point(1 / factor, 1 / factor), Point(0, 0)))
    return shapes


def _shape(one: Mapping[str, Any]) -> Shape | None:
    kind = one["type"]
    for name in _NUMBERS:
        _number(one.get(name, 0))
    if kind == "Path":
        return _stroke(one)
    if kind == "Circle":
        return _circle(one)
    if kind == "Rect":
        half_x, half_y = one["width"] / 2, one["height"] / 2
        corners = [(-half_x, -half_y), (half_x, -half_y), (half_x, half_y)]
        points = _placed(one, [*corners, (-half_x, half_y)])
        if not one.get("angle"):
            return _large_enough(Shape(ShapeKind.RECTANGLE, (points[0], points[2])))
        return _large_enough(Shape(ShapeKind.POLYGON, points))
    if kind == "Polygon":
        points = _placed(one, _centred([_pair(p["x"], p["y"]) for p in one["points"]]))
        kept = points if len(points) >= 3 else ()
        return _large_enough(Shape(ShapeKind.POLYGON, kept)) if kept else None
    return None


def _large_enough(shape: Shape) -> Shape | None:
    box = shape.bounds.normalised()
    shape_is_seen = min(box.width, box.height) >= _LEAST_PX and box.is_finite
    return shape if shape_is_seen else None


def _circle(one: Mapping[str, Any]) -> Shape | None:
    (centre,) = _placed(one, [(0.0, 0.0)])
    across, down = one["radius"] * one["scaleX"], one["radius"] * one["scaleY"]
    near = Point(centre.x - across, centre.y - down)
    far = Point(centre.x + across, centre.y + down)
    return _large_enough(Shape(ShapeKind.ELLIPSE, (near, far)))


def _stroke(one: Mapping[str, Any]) -> Shape:
    line: list[tuple[float, float]] = []
    for command, *given in one["path"][:_MOST_STEPS]:
        numbers = [_number(value) for value in given]
        if command == "Q":
            (x0, y0), (x1, y1, x2, y2) = line[-1], numbers
            line.append(((x0 + 2 * x1 + x2) / 4, (y0 + 2 * y1 + y2) / 4))
        line.append((numbers[-2], numbers[-1]))
    points = simplified(_placed(one, _centred(line)), tolerance=0.5)
    width = one["strokeWidth"] * (abs(one["scaleX"]) + abs(one["scaleY"])) / 2
    return Shape(ShapeKind.BRUSH, points, float(width))


def _number(value: object) -> float:
    """Return a number; ValueError where it is none, or nothing on a screen."""
    if type(value) not in (int, float) or not abs(value) <= _MOST_PX:  # type: ignore[arg-type]
        raise ValueError(f"{value!r:.40} is no number")
    return float(value)  # type: ignore[arg-type]


def _pair(x: object, y: object) -> tuple[float, float]:
    return _number(x), _number(y)


def _centred(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points as seen from the middle of the box around them."""
    xs, ys = zip(*points, strict=True)
    x, y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    return [(px - x, py - y) for px, py in points]


def _placed(
    one: Mapping[str, Any], points: Sequence[tuple[float, float]]
) -> tuple[Point, ...]:
    """Return points seen from an object's middle where they lie on the canvas.

    Fabric.js scales, then turns about the middle; `left` and `top` say where one point
    of the object is, by default its middle, at the outer edge of its line.
    """
    turn = math.radians(one["angle"])
    cos, sin = math.cos(turn), math.sin(turn)
    line = 0 if one["type"] == "Rect" else one["strokeWidth"]
    across = (one["width"] + line) * one["scaleX"] * _SHARES[one["originX"]]
    down = (one["height"] + line) * one["scaleY"] * _SHARES[one["originY"]]
    x = one["left"] + cos * across - sin * down
    y = one["top"] + sin * across + cos * down
    flip_x, flip_y = (-1 if one.get(name) else 1 for name in ("flipX", "flipY"))
    scaled = [
        (px * one["scaleX"] * flip_x, py * one["scaleY"] * flip_y) for px, py in points
    ]
    return tuple(
        Point(x + cos * px - sin * py, y + sin * px + cos * py) for px, py in scaled
    )
