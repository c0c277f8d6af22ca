"""What an export would hold, looked at before it is built: its split, its variants."""

import json
from typing import Final

import pandas as pd
import streamlit as st

from imagebase.annotation import Size
from imagebase.annotation.states import SCOPES
from imagebase.export.preview import SplitPreview, preview_split, variants
from imagebase.export.request import ExportRequest, request_from_json, request_json
from imagebase.formats.base import PARTS
from imagebase.formats.split import SplitRow
from imagebase.images.decode import resized
from imagebase.images.draw import draw_annotations
from imagebase.images.thumbnails import inner_size
from imagebase.jobs.exports import StoreImages
from imagebase.store import Scope
from imagebase.ui import cache, services, state, widgets
from imagebase.ui.export.options import ExportChoice

VARIANTS: Final = 6
_COLUMNS: Final = 3
_TABLE_PX: Final = 212


def show(choice: ExportChoice, *, with_variants: bool) -> None:
    """Draw the split as a table, beside variants where these are asked for.

    with_variants: there are none to be seen in a finished zip yet.
    """
    request = choice.request
    if request.split is None or not choice.total:
        return
    scope = state.scope()
    found = _dealt(scope.owner_id, scope.dataset_id, choice.version, _key(request))
    if found is None:
        return
    if not (request.varies and with_variants):
        _split(found, request)
        return
    # On the left they stay in sight while the choices about them are open.
    left, right = st.columns([5, 6], gap="medium")
    with left:
        _variants(choice, found)
    with right:
        _split(found, request)


def _split(found: SplitPreview, request: ExportRequest) -> None:
    parts = [part for part in PARTS if found.table.all_images.parts[part].images]
    parts = parts or list(PARTS)
    rows = [row for row in found.table.labels if row.total.images]
    shown = [found.table.all_images._replace(label="all images"), *rows]
    if found.table.empty.total.images:
        shown.append(found.table.empty._replace(label="without a box"))
    st.dataframe(
        pd.DataFrame([_cells(row, parts) for row in shown]),
        hide_index=True,
        height=min(_TABLE_PX, 38 + 35 * len(shown)),
        key="export.split.table",
    )
    for sentence in _remarks(found, rows, parts, request):
        st.caption(sentence)


def _cells(row: SplitRow, parts: list[str]) -> dict[str, object]:
    by_part = {part: row.parts[part].images for part in parts}
    return {"images of": row.label, **by_part, "boxes": row.total.boxes}


def _remarks(
    found: SplitPreview, rows: list[SplitRow], parts: list[str], request: ExportRequest
) -> list[str]:
    """Return what is amiss with a split, in sentences for Markdown."""
    remarks = []
    if not found.has_places and request.split is not None:
        remarks.append(
            f":material/warning: No image has one of these {request.split.by}: all go "
            f"to {request.split.otherwise}."
        )
    for part in parts:
        absent = [row.label for row in rows if not row.parts[part].images]
        if absent:
            names = ", ".join(map(widgets.escape, absent[:6]))
            rest = f" and {len(absent) - 6} more" if len(absent) > 6 else ""
            remarks.append(f":material/warning: Not in {part}: {names}{rest}.")
    if found.torn:
        remarks.append(
            f":material/warning: {widgets.plural(found.torn, 'group')} of "
            "near-duplicates on both sides: figures will flatter."
        )
    return remarks


def _variants(choice: ExportChoice, found: SplitPreview) -> None:
    scope = state.scope()
    tiles = _tiles(
        scope.owner_id,
        scope.dataset_id,
        choice.version,
        _key(choice.request),
        services.limits().max_image_pixels,
    )
    if not tiles:
        st.caption("No image is for training yet.")
        return
    for start in range(0, len(tiles), _COLUMNS):
        cells = st.columns(_COLUMNS, gap="small")
        for cell, (name, url) in zip(
            cells, tiles[start : start + _COLUMNS], strict=False
        ):
            cell.image(url, width="stretch", alt=name)
    st.caption("Variants as they will be, boxes drawn.")


def _key(request: ExportRequest) -> str:
    """Return what split and variants depend on."""
    names = ("images", "with_empty", "labels", "split", "recipe", "resizing", "format")
    kept = request_json(request)
    return json.dumps({name: kept[name] for name in names})


@st.cache_data(max_entries=32, show_spinner="Dealing the images out …")
def _dealt(
    owner_id: str, dataset_id: str, version: str, key: str
) -> SplitPreview | None:
    """version: of the dataset; another one may deal out in another way."""
    request = request_from_json(json.loads(key))
    return preview_split(_images(owner_id, dataset_id, request), request)


@st.cache_data(max_entries=32, show_spinner="Making variants …")
def _tiles(
    owner_id: str, dataset_id: str, version: str, key: str, max_pixels: int
) -> list[tuple[str, str]]:
    """Return names and data URLs of variants with their boxes on them."""
    request = request_from_json(json.loads(key))
    images = _images(owner_id, dataset_id, request)
    found = _dealt(owner_id, dataset_id, version, key)
    train = found.split.image_ids("train") if found is not None else ()
    labels = images.labels()
    made = variants(images, request, train, count=VARIANTS, max_pixels=max_pixels)
    tiles = []
    for one in made:
        size = Size(one.image.rgb.shape[1], one.image.rgb.shape[0])
        drawn = draw_annotations(
            resized(one.image.rgb, inner_size(size, cache.TILE)),
            one.image.annotations,
            labels=labels,
            from_size=size,
        )
        name = f"{one.record.file_name}, variant {one.number}"
        tiles.append((name, cache.tile_url(drawn)))
    return tiles


def _images(owner_id: str, dataset_id: str, request: ExportRequest) -> StoreImages:
    scope = Scope(owner_id, dataset_id, "")
    return StoreImages(services.store(), scope, statuses=SCOPES[request.images])
