"""Boxes and areas of a label set on image files of other sizes."""

from imagebase.annotation import Box, Size
from imagebase.annotation.areas import rectangle
from imagebase.formats.base import ReadImage
from imagebase.formats.placement import Frame, fitted

AREA = rectangle(Box(0, 0, 50, 20))


def test_areas_alone_are_scaled_as_boxes_are() -> None:
    image = ReadImage("a.jpg", Size(100, 40), regions=(AREA,))
    placed = fitted(image, Frame(Size(200, 80)))
    assert placed.image.regions == (rectangle(Box(0, 0, 100, 40)),)


def test_areas_of_another_image_do_not_come_in() -> None:
    image = ReadImage("a.jpg", Size(100, 40), regions=(AREA,))
    placed = fitted(image, Frame(Size(64, 64)))
    assert "another image, or a part of it" in placed.problem
