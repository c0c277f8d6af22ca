"""Adapter of streamlit-drawable-canvas: rough shapes drawn on a still image.

The canvas sends its whole drawing after each shape, with the tag that it was filled
under. A tag belongs to one image, so that a shape is saved on the image it was drawn
on; only the difference to the last message under that tag is saved. A message is never
answered by a new filling: that would cut off the stroke being drawn.
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
_MARK_PX: Final = 4
ROOM: Final = Size(780, 460)
# A smaller shape is a stray click.
_LEAST_PX: Final = 4
_KEPT_TAGS: Final = 16
_MOST_OBJECTS: Final = 500
# Limits of what a hand draws and a screen shows.
_MOST_STEPS: Final = 20_000
_MOST_PX: Final = 1e6
# Numeric properties of a Fabric.js object.
_NUMBERS: Final = (
    *("left", "top", "width", "height", "scaleX", "scaleY", "angle"),
    *("strokeWidth", "radius"),
)
# A property that Fabric.js sends back unchanged; custom ones it drops.
_TAG: Final = "lockScalingX"
_PADS: Final = "imagebase.rough_canvas."
_SHARES: Final = {"left": 0.5, "top": 0.5, "center": 0.0, "right": -0.5, "bottom": -0.5}

# Takes an image's id, the new shapes in its pixels and the ids of the erased ones;
# returns an id for each new shape.
Book = Callable[[str, Sequence[Shape], Sequence[str]], Sequence[str]]
_MEASURE: Final = """
export default function({ data, parentElement, setStateValue }) {
  const width = Math.floor(parentElement.getBoundingClientRect().width);
  if (width > 0 && width !== data.width) setStateValue("width", width);
}
"""


class Tool(StrEnum):
    """Tool of the canvas: the shape that a drag draws."""

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
    """One filling of the canvas.

    factor: canvas pixels per image pixel. booked: the id of each saved shape.
    """

    image_id: str
    factor: float
    booked: dict[Shape, str] = field(default_factory=dict)


@dataclass(slots=True)
class Pad:
    """One session's canvas.

    tag: of the newest filling; empty: fill again at the next run. drawn: shapes that
    its picture already shows. fillings: by tag, the newest last.
    """

    tag: str = ""
    canvas: Size | None = None
    drawn: tuple[Shape, ...] = ()
    fillings: dict[str, _Filling] = field(default_factory=dict)

    def fill(
        self, image_id: str, canvas: Size, factor: float, drawn: tuple[Shape, ...]
    ) -> None:
        """Start an empty drawing on an image, unless it is on screen already."""
        now = self.fillings.get(self.tag)
        if now and now.image_id == image_id and self.canvas == canvas:
            return
        self.tag, self.canvas, self.drawn = new_id(), canvas, drawn
        self.fillings[self.tag] = _Filling(image_id, factor)
        while len(self.fillings) > _KEPT_TAGS:
            del self.fillings[next(iter(self.fillings))]

    def book(self, drawing: object, book: Book) -> None:
        """Save what a message changes; doing so twice does no harm."""
        filling = self.fillings.get(_tag_of(drawing))
        if filling is None:
            return
        shapes = dict.fromkeys(shapes_of(drawing, filling.factor))
        new = [shape for shape in shapes if shape not in filling.booked]
        erased = [shape_id for shape_id in filling.booked if shape_id not in shapes]
        if not new and not erased:
            return
        ids = book(
            filling.image_id, new, [filling.booked[shape_id] for shape_id in erased]
        )
        for shape_id in erased:
            del filling.booked[shape_id]
        filling.booked |= dict(zip(new, ids, strict=True))
        if self.fillings.get(self.tag) is not filling:
            self.tag = ""  # a late message: its shapes are no longer on the canvas


def pad(key: str) -> Pad:
    """Return this session's canvas of this key."""
    current: Pad = st.session_state.setdefault(_PADS + key, Pad())
    return current


def refill(key: str) -> None:
    """Empty the canvas at the next run; the drawings are saved."""
    pad(key).tag = ""


def settle(key: str, book: Book) -> None:
    """Save what the canvas has sent since the last call."""
    value: Any = st.session_state.get(key) or {}
    pad(key).book((value.get("drawing") or {}).get("raw"), book)


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
    drawn: tuple[Shape, ...],
    tool: Tool,
    book: Book,
    brush_width: float | None = None,
) -> None:
    """Draw the canvas on an image, as wide as its column; shapes are saved at once.

    Args:
        size: of the image.
        picture: returns the whole image as JPEG with these shapes on it, from a cache.
        drawn: the shapes saved so far; they stay in the picture until `refill`.
        brush_width: in pixels of the image; without one every tool draws a thin line
            and leaves the inside of its shape clear.
        book: is called with the changes.
    """
    # Importing the package registers a component, which only works within a run.
    from streamlit_drawable_canvas import st_canvas

    here = pad(key)
    width = min(_column_width(f"{key}.room") or ROOM.width, ROOM.width)
    canvas, factor = fitted(size, Size(width, ROOM.height))
    here.fill(image_id, canvas, factor, drawn)
    is_brush, is_line = tool is Tool.BRUSH, brush_width is None
    stroke = _MARK_PX if brush_width is None else max(round(brush_width * factor), 1)
    st_canvas(
        fill_color=_NO_FILL if is_line else _FILL,
        stroke_color=_FILL if is_brush and not is_line else MARK_COLOUR,
        stroke_width=stroke if is_brush else _LINE_PX,
        background_image=picture(here.drawn),
        width=canvas.width,
        height=canvas.height,
        drawing_mode=_MODES[tool],
        initial_drawing={"objects": [], _TAG: here.tag},
        key=key,
        on_change=lambda: settle(key, book),
    )


def _column_width(key: str) -> int | None:
    """Return the width of the current column in CSS pixels.

    None until the browser has measured it, which takes one more run.
    """
    known = (st.session_state.get(key) or {}).get("width")
    ruler = st.components.v2.component(
        "imagebase_ruler", js=_MEASURE, isolate_styles=False
    )
    ruler(
        key=key,
        data={"width": known},
        on_width_change=lambda: None,
        width="stretch",
        height=1,
    )
    return known if isinstance(known, int) and known > 0 else None


def _tag_of(drawing: object) -> str:
    return str(drawing.get(_TAG, "")) if isinstance(drawing, Mapping) else ""


def shapes_of(drawing: object, factor: float) -> list[Shape]:
    """Return the shapes of a drawing in pixels of the image; invalid ones are left out.

    Args:
        drawing: as Fabric.js writes it.
        factor: canvas pixels per image pixel.
    """
    objects = drawing.get("objects") if isinstance(drawing, Mapping) else None
    shapes = []
    for entry in objects[:_MOST_OBJECTS] if isinstance(objects, list) else ():
        try:
            shape = _shape(entry)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            continue
        if shape is not None:
            shapes.append(shape.moved(Point(1 / factor, 1 / factor), Point(0, 0)))
    return shapes


def _shape(entry: Mapping[str, Any]) -> Shape | None:
    kind = entry["type"]
    for name in _NUMBERS:
        _number(entry.get(name, 0))
    if kind == "Path":
        return _stroke(entry)
    if kind == "Circle":
        return _circle(entry)
    if kind == "Rect":
        half_x, half_y = entry["width"] / 2, entry["height"] / 2
        corners = [(-half_x, -half_y), (half_x, -half_y), (half_x, half_y)]
        points = _placed(entry, [*corners, (-half_x, half_y)])
        if not entry.get("angle"):
            return _large_enough(Shape(ShapeKind.RECTANGLE, (points[0], points[2])))
        return _large_enough(Shape(ShapeKind.POLYGON, points))
    if kind == "Polygon":
        points = _placed(
            entry,
            _centred([(_number(p["x"]), _number(p["y"])) for p in entry["points"]]),
        )
        outline = points if len(points) >= 3 else ()
        return _large_enough(Shape(ShapeKind.POLYGON, outline)) if outline else None
    return None


def _large_enough(shape: Shape) -> Shape | None:
    box = shape.bounds.normalised()
    shape_is_seen = min(box.width, box.height) >= _LEAST_PX and box.is_finite
    return shape if shape_is_seen else None


def _circle(entry: Mapping[str, Any]) -> Shape | None:
    (centre,) = _placed(entry, [(0.0, 0.0)])
    across, down = (
        entry["radius"] * entry["scaleX"],
        entry["radius"] * entry["scaleY"],
    )
    near = Point(centre.x - across, centre.y - down)
    far = Point(centre.x + across, centre.y + down)
    return _large_enough(Shape(ShapeKind.ELLIPSE, (near, far)))


def _stroke(entry: Mapping[str, Any]) -> Shape:
    line: list[tuple[float, float]] = []
    for command, *given in entry["path"][:_MOST_STEPS]:
        numbers = [_number(value) for value in given]
        if command == "Q":
            (x0, y0), (x1, y1, x2, y2) = line[-1], numbers
            line.append(((x0 + 2 * x1 + x2) / 4, (y0 + 2 * y1 + y2) / 4))
        line.append((numbers[-2], numbers[-1]))
    points = simplified(_placed(entry, _centred(line)), tolerance=0.5)
    width = entry["strokeWidth"] * (abs(entry["scaleX"]) + abs(entry["scaleY"])) / 2
    return Shape(ShapeKind.BRUSH, points, float(width))


def _number(value: object) -> float:
    """Return a number that can be on a screen, or raise ValueError."""
    if type(value) not in (int, float) or not abs(value) <= _MOST_PX:  # type: ignore[arg-type]
        raise ValueError(f"{value!r:.40} is not a screen position")
    return float(value)  # type: ignore[arg-type]


def _centred(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points relative to the middle of the box around them."""
    xs, ys = zip(*points, strict=True)
    x, y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    return [(px - x, py - y) for px, py in points]


def _placed(
    entry: Mapping[str, Any], points: Sequence[tuple[float, float]]
) -> tuple[Point, ...]:
    """Return canvas positions of points given relative to an object's middle.

    Fabric.js scales, then turns about the middle; `left` and `top` place the object's
    origin, by default its middle, at the outer edge of its line.
    """
    turn = math.radians(entry["angle"])
    cos, sin = math.cos(turn), math.sin(turn)
    line = 0 if entry["type"] == "Rect" else entry["strokeWidth"]
    across = (entry["width"] + line) * entry["scaleX"] * _SHARES[entry["originX"]]
    down = (entry["height"] + line) * entry["scaleY"] * _SHARES[entry["originY"]]
    x = entry["left"] + cos * across - sin * down
    y = entry["top"] + sin * across + cos * down
    flip_x, flip_y = (-1 if entry.get(name) else 1 for name in ("flipX", "flipY"))
    scaled = [
        (px * entry["scaleX"] * flip_x, py * entry["scaleY"] * flip_y)
        for px, py in points
    ]
    return tuple(
        Point(x + cos * px - sin * py, y + sin * px + cos * py) for px, py in scaled
    )
