"""A contact sheet in the browser: crops in a grid, ticked by a click."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from imagebase.settings import ASSETS_FOLDER


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
        ticked: to begin with, as often as the version is another one.
        version: under one, ticks stay whatever becomes of other tiles.
    """
    said = (st.session_state.get(key) or {}).get("ticked")
    now = parse_ticked(said, version, tiles, otherwise=ticked)
    component = st.components.v2.component(
        "imagebase_sheet",
        html=_text("sheet.html"),
        css=_text("sheet.css"),
        js=_text("sheet.js"),
    )
    component(
        key=key,
        data={
            "filling": f"{hash((tuple(tiles), version)):x}",
            "version": version,
            "tiles": [asdict(one) for one in tiles],
            "ticked": sorted(now),
        },
        on_ticked_change=_nothing,
    )
    return now


def parse_ticked(
    said: object,
    version: str,
    tiles: Sequence[Tile],
    *,
    otherwise: Collection[str],
) -> frozenset[str]:
    """Return the ticked ids that the browser said; what it began with until it does.

    version: what is shown now; an answer about another one does not count.
    """
    known = frozenset(one.id for one in tiles)
    match said:
        case {"version": str(about), "ids": list(ids)} if about == version:
            return frozenset(one for one in ids if one in known)
    return known.intersection(otherwise)


def _nothing() -> None:
    """Be there: without a callback the browser's answer would not be kept."""


def _text(file_name: str) -> str:
    return (ASSETS_FOLDER / file_name).read_text(encoding="utf-8")
