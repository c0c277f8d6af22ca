"""Shapes as the editor draws them: in pixels of the image, as SVG paths."""

import pytest

from imagebase.annotation import Box, ImageRecord, Size
from imagebase.annotation.areas import Point, Shape, ShapeKind, rectangle
from imagebase.ui.edit.canvas import overlay, svg_path


@pytest.mark.parametrize(
    ("shape", "path"),
    [
        (rectangle(Box(1, 2, 30.5, 4)), "M1 2 30.5 2 30.5 4 1 4Z"),
        (
            Shape(ShapeKind.POLYGON, (Point(0, 0), Point(9, 0), Point(0, 9))),
            "M0 0 9 0 0 9Z",
        ),
        (Shape(ShapeKind.BRUSH, (Point(1, 2), Point(3, 4)), 5), "M1 2 3 4"),
        (Shape(ShapeKind.BRUSH, (Point(1, 2),), 5), "M1 2 1 2"),
        (
            Shape(ShapeKind.ELLIPSE, (Point(0, 0), Point(20, 10))),
            "M0 5 A10 5 0 0 1 20 5 A10 5 0 0 1 0 5Z",
        ),
    ],
    ids=["rectangle", "polygon", "stroke", "dot", "ellipse"],
)
def test_each_shape_is_a_path(shape: Shape, path: str) -> None:
    assert svg_path(shape) == path


def test_marks_lie_above_ignore_areas() -> None:
    area, mark = rectangle(Box(0, 0, 9, 9)), Shape(ShapeKind.BRUSH, (Point(1, 1),), 3)
    record = ImageRecord("a", "a.jpg", Size(64, 48), ignored=(area,))
    shown = overlay(record, [mark])
    assert shown["image"] == "a"
    assert [path["kind"] for path in shown["paths"]] == ["ignored", "mark"]
    assert [path["width"] for path in shown["paths"]] == [0, 3]
