"""How large the canvas may be: the browser says how much room there is."""

import re
from typing import Final

import streamlit as st

from imagebase.annotation import Size

CANVAS_SHARE: Final = 67
TABLE_SHARE: Final = 43

_ROOM: Final = "imagebase.edit.room"
# The page without its margins and the window's height, at 1280 × 800.
_USUAL: Final = "1130x800"
_LEAST_AREA: Final = Size(320, 240)
_USUAL_PROPORTION: Final = 3 / 4
_GAP_PX: Final = 16
_MARGIN_PX: Final = 8
_ABOVE_AND_BELOW_PX: Final = 240


def known() -> str:
    """Return how much room there is, as the browser said last."""
    return str(st.session_state.get(_ROOM, _USUAL))


def keep(room: str) -> None:
    """Keep what the browser says, for the next drawing; what is no size is ignored."""
    if re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", room):
        st.session_state[_ROOM] = room


def canvas_area(room: str) -> Size:
    """Return the largest canvas that leaves room for the table and the buttons.

    Args:
        room: width of the page and height of the window in CSS pixels: 1130x800.
    """
    width, height = (int(part) for part in room.split("x"))
    share = CANVAS_SHARE / (CANVAS_SHARE + TABLE_SHARE)
    return Size(
        max(int((width - _GAP_PX) * share) - _MARGIN_PX, _LEAST_AREA.width),
        max(height - _ABOVE_AND_BELOW_PX, _LEAST_AREA.height),
    )


def usual_height(area: Size) -> int:
    """Return how high to keep the place of the canvas.

    The buttons below it then stay where they are from one landscape photograph, which
    is at most as high, to the next.
    """
    return min(round(area.width * _USUAL_PROPORTION), area.height)
