"""Shapes that the editor shows above the image, below its boxes, to be seen only."""

from collections.abc import Iterable
from typing import Any

from imagebase.annotation import ImageRecord
from imagebase.annotation.areas import Shape, ShapeKind
from imagebase.formats.regions import corners


def overlay(record: ImageRecord, marks: Iterable[Shape]) -> dict[str, Any]:
    """Return ignore areas and a reviewer's marks as the editor takes them.

    Paths are in pixels of the image; a brush has the width of its stroke.
    """
    kinds = (("ignored", record.ignored), ("mark", marks))
    return {
        "image": record.image_id,
        "paths": [
            {"kind": kind, "d": svg_path(one), "width": one.width}
            for kind, shapes in kinds
            for one in shapes
        ],
    }


def svg_path(shape: Shape) -> str:
    """Return a shape as the commands of an SVG path."""
    if shape.kind is ShapeKind.ELLIPSE:
        box = shape.bounds.normalised()
        middle = (box.y_min + box.y_max) / 2
        turn = f"A{box.width / 2:g} {box.height / 2:g} 0 0 1"
        return (
            f"M{box.x_min:g} {middle:g} {turn} {box.x_max:g} {middle:g} "
            f"{turn} {box.x_min:g} {middle:g}Z"
        )
    is_brush = shape.kind is ShapeKind.BRUSH
    points = list(shape.points) if is_brush else corners(shape)
    # A single point is a line to itself, which a round end makes a dot.
    line = [*points, *points] if len(points) == 1 else points
    path = " ".join(f"{x:g} {y:g}" for x, y in line)
    return f"M{path}" if is_brush else f"M{path}Z"
