"""Shapes from the drawable canvas, saved once and on the right image."""

from collections.abc import Sequence
from typing import Any

import pytest

from imagebase.annotation import Box, Size
from imagebase.annotation.areas import Point, Shape, ShapeKind, rectangle
from imagebase.ui.rough_canvas import Pad, fitted, shapes_of


def fabric(kind: str, **said: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an object as Fabric.js 7.4 writes it, as far as it is read here."""
    usual = {
        "type": kind,
        "originX": "center",
        "originY": "center",
        "scaleX": 1,
        "scaleY": 1,
        "angle": 0,
        "flipX": False,
        "flipY": False,
        "strokeWidth": 2,
    }
    return {**usual, **said}


def rect(left: float, top: float, width: float, height: float) -> dict[str, Any]:
    corner = {"originX": "left", "originY": "top", "left": left, "top": top}
    return fabric("Rect", **corner, width=width, height=height)


POLYGON = fabric(
    "Polygon",
    left=100,
    top=100,
    width=100,
    height=100,
    points=[{"x": 50, "y": 50}, {"x": 150, "y": 60}, {"x": 120, "y": 150}],
)
CIRCLE = fabric(
    "Circle",
    originX="left",
    left=450,
    top=100,
    width=80,
    height=80,
    radius=40,
    strokeWidth=0,
    angle=90,
)
STROKE = fabric(
    "Path",
    left=330,
    top=205,
    width=20,
    height=10,
    strokeWidth=20,
    path=[["M", 320, 200], ["Q", 320, 200, 330, 205], ["L", 340, 210]],
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (rect(200, 100, 100, 80), rectangle(Box(200, 100, 300, 180))),
        (
            POLYGON,
            Shape(ShapeKind.POLYGON, (Point(50, 50), Point(150, 60), Point(120, 150))),
        ),
        (
            # It is drawn from one side to the other: here from the top downwards.
            CIRCLE,
            Shape(ShapeKind.ELLIPSE, (Point(410, 100), Point(490, 180))),
        ),
        (STROKE, Shape(ShapeKind.BRUSH, (Point(320, 200), Point(340, 210)), 20)),
    ],
    ids=["rectangle", "polygon", "circle", "brush"],
)
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_each_tool_is_read(
    said: dict[str, Any], expected: Shape, factor: float
) -> None:
    (shape,) = shapes_of({"objects": [said]}, factor)
    wanted = expected.moved(Point(1 / factor, 1 / factor), Point(0, 0))
    assert shape.kind is wanted.kind
    assert shape.width == pytest.approx(wanted.width)
    for point, other in zip(shape.points, wanted.points, strict=True):
        assert point == pytest.approx(other, abs=0.01)


def test_what_was_moved_and_stretched_with_the_pencil_lies_where_it_is_seen() -> None:
    said = {**POLYGON, "left": 200, "top": 150, "scaleX": 2}
    (shape,) = shapes_of({"objects": [said]}, 1)
    expected = [(100, 100), (300, 110), (240, 200)]
    assert [tuple(point) for point in shape.points] == [
        pytest.approx(p) for p in expected
    ]


def test_a_turned_rectangle_is_a_polygon() -> None:
    said = {**rect(100, 50, 40, 20), "angle": 90}
    (shape,) = shapes_of({"objects": [said]}, 1)
    assert shape.kind is ShapeKind.POLYGON
    assert shape.bounds == pytest.approx((80, 50, 100, 90))


@pytest.mark.parametrize(
    "drawing",
    [
        None,
        [],
        {"objects": 7},
        {"objects": [None, {}, {"type": "Text"}, {"type": "Rect"}]},
        {"objects": [fabric("Path", path=[], left=0, top=0, width=0, height=0)]},
        {"objects": [rect(5, 5, 1, 1)]},
        {"objects": [{**POLYGON, "points": POLYGON["points"][:2]}]},
        {"objects": [rect(float("nan"), 5, 10, 10)]},
        {"objects": [rect(5, 5, 10**400, 10)]},
        {"objects": [{**POLYGON, "scaleX": [[1]]}]},
        {"objects": [{**POLYGON, "points": [{"x": 10**12, "y": 1}] * 3}]},
        {"objects": [{**POLYGON, "points": [{"x": [1], "y": 1}] * 3}]},
        {"objects": [{**STROKE, "path": [["M", float("inf"), 1], ["L", 5, 5]]}]},
    ],
    ids=lambda case: str(case)[:60],
)
def test_what_is_no_shape_is_left_out(drawing: object) -> None:
    assert shapes_of(drawing, 1) == []


def test_a_canvas_has_the_proportions_of_the_image() -> None:
    assert fitted(Size(1920, 1080), Size(780, 460)) == (Size(780, 439), 780 / 1920)
    assert fitted(Size(100, 400), Size(780, 460)) == (Size(115, 460), 1.15)


class Booked:
    """Remembers what it is given, and numbers it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[Shape], list[str]]] = []

    def __call__(
        self, image_id: str, new: Sequence[Shape], gone: Sequence[str]
    ) -> list[str]:
        self.told.append((image_id, list(new), list(gone)))
        return [f"{len(self.told)}.{at}" for at in range(len(new))]


def drawing(tag: str, *objects: dict[str, Any]) -> dict[str, Any]:
    return {"lockScalingX": tag, "objects": list(objects)}


def test_only_what_differs_is_booked_and_only_once() -> None:
    here, booked = Pad(), Booked()
    here.fill("a", Size(640, 480), 1.0, ())
    tag = here.tag
    first_rect, other = rect(0, 0, 20, 20), rect(50, 50, 20, 20)
    here.book(drawing(tag), booked)
    here.book(drawing(tag, first_rect), booked)
    here.book(drawing(tag, first_rect), booked)
    here.book(drawing(tag, first_rect, other), booked)
    here.book(drawing(tag, other), booked)
    boxes = rectangle(Box(0, 0, 20, 20)), rectangle(Box(50, 50, 70, 70))
    assert booked.told == [
        ("a", [boxes[0]], []),
        ("a", [boxes[1]], []),
        ("a", [], ["1.0"]),
    ]
    assert here.tag == tag


def test_a_late_message_is_booked_on_the_image_it_was_drawn_on() -> None:
    here, booked = Pad(), Booked()
    here.fill("a", Size(640, 480), 2.0, ())
    old = here.tag
    here.fill("b", Size(640, 480), 1.0, ())
    here.book(drawing(old, rect(0, 0, 20, 20)), booked)
    assert booked.told == [("a", [rectangle(Box(0, 0, 10, 10))], [])]
    # It is not on the canvas, which is filled again with the picture as it is then.
    assert here.tag == ""


def test_an_unknown_tag_and_silence_change_nothing() -> None:
    here, booked = Pad(), Booked()
    here.fill("a", Size(640, 480), 1.0, ())
    here.book(None, booked)
    here.book({}, booked)
    here.book(drawing("x", rect(0, 0, 20, 20)), booked)
    assert booked.told == []


def test_the_same_image_is_filled_once() -> None:
    here = Pad()
    here.fill("a", Size(640, 480), 1.0, ())
    tag = here.tag
    here.fill("a", Size(640, 480), 1.0, (rectangle(Box(0, 0, 1, 1)),))
    assert (here.tag, here.drawn) == (tag, ())
    here.fill("a", Size(320, 240), 0.5, ())
    assert here.tag != tag
