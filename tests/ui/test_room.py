"""The room for the canvas."""

import pytest

from imagebase.annotation import Size
from imagebase.ui import room


@pytest.mark.parametrize(
    ("there", "area"),
    [
        ("1130x800", Size(670, 560)),
        ("1770x1080", Size(1060, 840)),
        ("300x300", Size(320, 240)),
    ],
)
def test_canvas_takes_the_room_there_is(there: str, area: Size) -> None:
    assert room.canvas_area(there) == area


@pytest.mark.parametrize("nonsense", ["", "x", "0x800", "1e9x3", "1130x800x1"])
def test_what_is_no_size_is_ignored(nonsense: str) -> None:
    room.keep("1500x900")
    room.keep(nonsense)
    assert room.known() == "1500x900"


def test_place_of_the_canvas_is_that_of_a_landscape_photograph() -> None:
    assert room.usual_height(Size(670, 560)) == 502
    assert room.usual_height(Size(1060, 500)) == 500
