"""Contact sheet: crops of boxes in a grid, selected by a click."""

import base64
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import streamlit as st

from imagebase.annotation import Box, Size
from imagebase.errors import ImageBaseError
from imagebase.images.decode import LoadedImage, load_image
from imagebase.images.thumbnails import crop_webp
from imagebase.store import Scope
from imagebase.ui import cache, services, widgets

CROP_PX: Final = 112
# Largest side to decode an image at, so that a page of crops is quick.
_MOST_DECODED_PX: Final = 1600
_THREADS: Final = 2
_NOTHING: Final = ""


class Place(NamedTuple):
    """A box on an image; size: of the image."""

    image_id: str
    size: Size
    box: Box


def crop_urls(scope: Scope, places: Sequence[Place]) -> list[str]:
    """Return a crop of each box as WebP data URL; empty where the file is unreadable.

    Up to 112 px, where the image has that many pixels.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="crops") as pool:
        return list(pool.map(lambda place: _crop_url(scope, place), places))


def _crop_url(scope: Scope, place: Place) -> str:
    try:
        return _kept_url(scope.owner_id, scope.dataset_id, place)
    except ImageBaseError:
        return _NOTHING


@lru_cache(maxsize=4096)
def _kept_url(owner_id: str, dataset_id: str, place: Place) -> str:
    scope = Scope(owner_id, dataset_id, "")
    webp = crop_webp(_loaded(scope, place), place.box, longest_side=CROP_PX)
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")


def _loaded(scope: Scope, place: Place) -> LoadedImage:
    """Return the thumbnail if it is sharp enough for this box, else the image.

    Decoded only as large as needed.
    """
    size, longest = place.size, max(place.size)
    side = max(place.box.width, place.box.height, 1.0)
    scale = min(CROP_PX / side, _MOST_DECODED_PX / longest, 1.0)
    if scale * longest <= cache.THUMBNAIL_PX:
        thumbnail = cache.thumbnail(scope, place.image_id)
        rgb = load_image(
            thumbnail, file_name="thumbnail", max_pixels=cache.THUMBNAIL_PX**2
        ).rgb
        return LoadedImage(rgb, size)
    wanted = Size(max(round(size.width * scale), 1), max(round(size.height * scale), 1))
    return load_image(
        services.store().image_bytes(scope, place.image_id),
        file_name=place.image_id,
        max_pixels=services.limits().max_image_pixels,
        wanted=wanted,
    )


@dataclass(frozen=True, slots=True)
class Tile:
    """A crop: data URL, name with its colour, value, tooltip."""

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
    selected: Collection[str] = (),
    version: str = "",
) -> frozenset[str]:
    """Draw tiles in a grid; return the ids of the selected ones.

    Args:
        tiles: with distinct ids.
        key: of the component.
        selected: the selection to start with, for each new version.
        version: while it is the same, the selection stays when tiles change.
    """
    value = (st.session_state.get(key) or {}).get("selected")
    now = parse_selected(value, version, tiles, otherwise=selected)
    component = st.components.v2.component(
        "imagebase_sheet",
        html=widgets.asset("sheet.html"),
        css=widgets.asset("sheet.css"),
        js=widgets.asset("sheet.js"),
    )
    component(
        key=key,
        data={
            "filling": f"{hash((tuple(tiles), version)):x}",
            "version": version,
            "tiles": [asdict(tile) for tile in tiles],
            "selected": sorted(now),
        },
        on_selected_change=_nothing,
    )
    return now


def parse_selected(
    value: object, version: str, tiles: Sequence[Tile], *, otherwise: Collection[str]
) -> frozenset[str]:
    """Return the selected ids that the browser sent; until then, those to start with.

    version: the current one; a value of another version does not count.
    """
    known = frozenset(tile.id for tile in tiles)
    match value:
        case {"version": str(about), "ids": list(ids)} if about == version:
            return frozenset(
                annotation_id for annotation_id in ids if annotation_id in known
            )
    return known.intersection(otherwise)


def _nothing() -> None:
    """Do nothing: Streamlit keeps the browser's value only with a callback."""
