"""A contact sheet in the browser: crops in a grid, ticked by a click."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import streamlit as st

_ASSETS: Final = Path(__file__).parent.parent / "assets"


@dataclass(frozen=True, slots=True)
class Tile:
    """A crop: its picture as a URL, a name with its colour, a value, a longer line."""

    id: str
    url: str
    name: str
    colour: str
    value: str
    title: str


def draw_sheet(
    tiles: Sequence[Tile],
    *,
    key: str,
    ticked: Collection[str] = (),
    version: str = "",
) -> frozenset[str]:
    """Draw tiles in a grid; return the ids of those that are ticked.

    Args:
        tiles: whose ids differ.
        key: of the component.
        ticked: to begin with, as often as other tiles are shown.
        version: another one begins anew though the tiles are the same.
    """
    filling = f"{hash((tuple(tiles), version)):x}"
    component = st.components.v2.component(
        "imagebase_sheet",
        html=_text("sheet.html"),
        css=_text("sheet.css"),
        js=_text("sheet.js"),
    )
    component(
        key=key,
        data={
            "filling": filling,
            "tiles": [asdict(one) for one in tiles],
            "ticked": list(ticked),
        },
        on_ticked_change=_nothing,
    )
    said = (st.session_state.get(key) or {}).get("ticked")
    return parse_ticked(said, filling, tiles, otherwise=ticked)


def parse_ticked(
    said: object,
    filling: str,
    tiles: Sequence[Tile],
    *,
    otherwise: Collection[str],
) -> frozenset[str]:
    """Return the ticked ids that the browser said; what it began with until it does.

    filling: what is shown now; an answer about other tiles does not count.
    """
    known = {one.id for one in tiles}
    match said:
        case {"filling": str(about), "ids": list(ids)} if about == filling:
            return frozenset(one for one in ids if one in known)
    return frozenset(otherwise)


def _nothing() -> None:
    """Be there: without a callback the browser's answer would not be kept."""


def _text(file_name: str) -> str:
    return (_ASSETS / file_name).read_text(encoding="utf-8")
