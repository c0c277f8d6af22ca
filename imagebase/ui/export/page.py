"""Export page: build, verify and download the zip; preview split and variants."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import streamlit as st

from imagebase.annotation import Size
from imagebase.annotation.states import SCOPES
from imagebase.errors import ExportError
from imagebase.export.preview import (
    PICTURES,
    SplitPreview,
    preview_split,
    read_overlays,
    variants,
)
from imagebase.export.request import ExportRequest, request_from_json, request_json
from imagebase.formats.base import PARTS
from imagebase.formats.split import SplitRow
from imagebase.formats.text_files import csv_cell
from imagebase.images.decode import resized
from imagebase.images.draw import draw_annotations
from imagebase.images.thumbnails import inner_size
from imagebase.jobs.exports import StoreImages
from imagebase.store import JobInfo, JobState, Scope
from imagebase.ui import cache, job_progress, services, state, suggested_boxes, widgets
from imagebase.ui.export.options import ExportChoice
from imagebase.ui.web import downloads

# An interrupted job can be resumed instead.
_ENDED: Final = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
# Up to this many images are built at once; more wait for the button.
BUILT_AT_ONCE: Final = 300
VARIANTS: Final = 6
_COLUMNS: Final = 3
_TABLE_PX: Final = 212


def build(choice: ExportChoice) -> None:
    """Build the zip: at once if that is quick, else on a click."""
    if (
        job_progress.is_active(job_progress.latest("export"))
        or _job_of(choice) is not None
    ):
        return
    if not choice.total:
        st.info(
            "No approved images yet. Approve some on **Review**, or export all images."
        )
        return
    try:
        choice.request.check()
    except ExportError as error:
        st.warning(widgets.escape(str(error)))
        return
    if choice.total <= BUILT_AT_ONCE and not choice.request.makes_pictures:
        job_progress.start("export", choice.parameters())
    else:
        _build_button(f"Build zip of {widgets.plural(choice.total, 'image')}", choice)


def say_unsaved_suggestions() -> None:
    """Draw the number of suggestions that are not saved and so not exported."""
    if count := suggested_boxes.count_on_new():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f":material/info: {widgets.with_suggestions('', count)}: not in this "
                "export.",
                width="content",
            )
            st.page_link("pages/annotate.py", label="Save them on Annotate")


def _build_button(words: str, choice: ExportChoice) -> None:
    st.button(
        words,
        key="export.build",
        type="primary",
        icon=":material/inventory_2:",
        on_click=job_progress.start,
        args=("export", choice.parameters()),
    )


def _job_of(choice: ExportChoice) -> JobInfo | None:
    """Return the job of this choice: one with a zip, else the newest."""
    wanted = choice.parameters()
    exports = services.store().jobs(state.scope(), kind="export")
    same = [job for job in exports if job.parameters == wanted]
    return next(filter(_is_built, same), next(iter(same), None))


def _is_built(job: JobInfo) -> bool:
    return job.state in _ENDED and is_there(job.result or {})


def offer(choice: ExportChoice) -> bool:
    """Draw the progress or the download; return whether the zip is ready."""
    newest, job = job_progress.latest("export"), _job_of(choice)
    is_newest = newest is not None and job is not None and newest.job_id == job.job_id
    if is_newest or job_progress.is_active(newest):
        job_progress.show("export")
    if job is None:
        return False
    if _is_built(job):
        _show(job.result or {})
        return True
    if not job_progress.is_active(newest) and (job.state in _ENDED or not is_newest):
        _build_again_button(choice)
    return False


def _build_again_button(choice: ExportChoice) -> None:
    st.button(
        "Build again",
        key="export.again",
        on_click=job_progress.start,
        args=("export", choice.parameters()),
    )


def is_there(result: Mapping[str, Any]) -> bool:
    """Say whether every zip of an export is still on disk."""
    zips = result.get("zips", [])
    return bool(zips) and all(Path(archive["path"]).is_file() for archive in zips)


def _show(result: Mapping[str, Any]) -> None:
    _draw_download(result["zips"])
    _draw_verification(result)
    _draw_overlays(Path(result["drawn"]))


def _draw_download(zips: Sequence[Mapping[str, Any]]) -> None:
    chosen = zips[0] if len(zips) == 1 else _choose_zip(zips)
    downloads.button(
        f"Download {widgets.escape(chosen['file_name'])} · "
        f"{widgets.megabytes(chosen['byte_count'])}",
        *downloads.export(chosen["path"]),
        file_name=chosen["file_name"],
        key="export.download",
        is_main=True,
    )


def _choose_zip(zips: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    st.caption(
        f"The export is split into {len(zips)} zips. Each is complete by itself: "
        "extract each into its own folder."
    )
    number = widgets.page_number(len(zips), key=f"export.zip.{zips[0]['path']}")
    return zips[number - 1]


def _draw_verification(result: Mapping[str, Any]) -> None:
    st.markdown(
        f":material/verified: Verified: **{_verified_boxes(result)}** · "
        f"{widgets.plural(result['images'], 'image')}{_split_counts(result)} · "
        f"{widgets.plural(result['labels'], 'label')} · "
        f"{widgets.plural(result['files_equal'], 'file')}"
    )
    if result["warnings"]:
        # Two spaces at its end break a line.
        lines = "  \n".join(map(widgets.escape, result["warnings"]))
        st.warning(lines, icon=":material/warning:")
    _draw_left_out(result)


def _verified_boxes(result: Mapping[str, Any]) -> str:
    if not result["has_boxes"]:
        return "labels of all images match"
    if not result["boxes"]:
        return "no boxes"
    return (
        f"{result['boxes_equal']:,} of {widgets.plural(result['boxes'], 'box')} match"
    )


def _split_counts(result: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{name} {count:,}" for name, count in result["parts"].items())
    return f" ({parts})" if parts else ""


def _draw_left_out(result: Mapping[str, Any]) -> None:
    boxes = [f"{image}: {label}, {why}" for image, label, why in result["left_out"]]
    sentences = [*result["not_in_it"], *boxes]
    if sentences:
        with st.expander(f"Not exported: {widgets.plural(len(sentences), 'item')}"):
            st.dataframe({"reason": list(map(csv_cell, sentences))}, hide_index=True)


def _draw_overlays(path: Path) -> None:
    overlays = read_overlays(path)
    if not overlays:
        return
    st.caption("Preview, read from the zip:")
    cells = st.columns(PICTURES, gap="small")
    for cell, overlay in zip(cells, overlays, strict=False):
        cell.image(overlay.url, width="stretch", alt=overlay.name)
        words = overlay.line or widgets.short_name(overlay.name)
        cell.caption(widgets.escape(words))


def preview(choice: ExportChoice, *, with_variants: bool) -> None:
    """Draw the split as a table, next to the variants if there are any.

    with_variants: False once the zip is built.
    """
    request = choice.request
    if request.split is None or not choice.total:
        return
    scope = state.scope()
    split = _split_of(
        scope.owner_id, scope.dataset_id, choice.version, _preview_key(request)
    )
    if split is None:
        return
    if not (request.varies and with_variants):
        _split(split, request)
        return
    # On the left, so that the open popover does not cover them.
    left, right = st.columns([5, 6], gap="medium")
    with left:
        _variant_tiles(choice, split)
    with right:
        _split(split, request)


def _split(preview: SplitPreview, request: ExportRequest) -> None:
    parts = [part for part in PARTS if preview.table.all_images.parts[part].images]
    parts = parts or list(PARTS)
    rows = [row for row in preview.table.labels if row.total.images]
    shown = [preview.table.all_images._replace(label="all images"), *rows]
    if preview.table.empty.total.images:
        shown.append(preview.table.empty._replace(label="no boxes"))
    st.dataframe(
        pd.DataFrame([_cells(row, parts) for row in shown]),
        hide_index=True,
        height=min(_TABLE_PX, 38 + 35 * len(shown)),
        key="export.split.table",
    )
    for sentence in _split_warnings(preview, rows, parts, request):
        st.caption(sentence)


def _cells(row: SplitRow, parts: list[str]) -> dict[str, object]:
    by_part = {part: row.parts[part].images for part in parts}
    return {"label": row.label, **by_part, "boxes": row.total.boxes}


def _split_warnings(
    preview: SplitPreview,
    rows: list[SplitRow],
    parts: list[str],
    request: ExportRequest,
) -> list[str]:
    """Return the warnings about a split, in Markdown."""
    remarks = []
    if not preview.has_places and request.split is not None:
        remarks.append(
            f":material/warning: No image has one of these {request.split.by}: all go "
            f"to {request.split.otherwise}."
        )
    for part in parts:
        absent = [row.label for row in rows if not row.parts[part].images]
        if absent:
            names = ", ".join(map(widgets.escape, absent[:6]))
            rest = f" and {len(absent) - 6} more" if len(absent) > 6 else ""
            remarks.append(f":material/warning: No {part} images: {names}{rest}.")
    if preview.torn:
        remarks.append(
            f":material/warning: {widgets.plural(preview.torn, 'group')} of "
            "near-duplicates are in several splits: metrics will be too high."
        )
    return remarks


def _variant_tiles(choice: ExportChoice, preview: SplitPreview) -> None:
    scope = state.scope()
    tiles = _tiles(
        scope.owner_id,
        scope.dataset_id,
        choice.version,
        _preview_key(choice.request),
        services.limits().max_image_pixels,
    )
    if not tiles:
        st.caption("No training images yet.")
        return
    for start in range(0, len(tiles), _COLUMNS):
        cells = st.columns(_COLUMNS, gap="small")
        for cell, (name, url) in zip(
            cells, tiles[start : start + _COLUMNS], strict=False
        ):
            cell.image(url, width="stretch", alt=name)
    st.caption("Preview of augmented images with their boxes.")


def _preview_key(request: ExportRequest) -> str:
    names = ("images", "with_empty", "labels", "split", "recipe", "resizing", "format")
    document = request_json(request)
    return json.dumps({name: document[name] for name in names})


@st.cache_data(max_entries=32, show_spinner="Splitting images …")
def _split_of(
    owner_id: str, dataset_id: str, version: str, key: str
) -> SplitPreview | None:
    """version: of the dataset, for the cache."""
    request = request_from_json(json.loads(key))
    return preview_split(_images(owner_id, dataset_id, request), request)


@st.cache_data(max_entries=32, show_spinner="Augmenting images …")
def _tiles(
    owner_id: str, dataset_id: str, version: str, key: str, max_pixels: int
) -> list[tuple[str, str]]:
    request = request_from_json(json.loads(key))
    images = _images(owner_id, dataset_id, request)
    preview = _split_of(owner_id, dataset_id, version, key)
    train = preview.split.image_ids("train") if preview is not None else ()
    labels = images.labels()
    previews = variants(images, request, train, count=VARIANTS, max_pixels=max_pixels)
    tiles = []
    for variant in previews:
        size = Size(variant.image.rgb.shape[1], variant.image.rgb.shape[0])
        drawn = draw_annotations(
            resized(variant.image.rgb, inner_size(size, cache.TILE)),
            variant.image.annotations,
            labels=labels,
            from_size=size,
        )
        name = f"{variant.record.file_name}, variant {variant.number}"
        tiles.append((name, cache.tile_url(drawn)))
    return tiles


def _images(owner_id: str, dataset_id: str, request: ExportRequest) -> StoreImages:
    scope = Scope(owner_id, dataset_id, "")
    return StoreImages(services.store(), scope, statuses=SCOPES[request.images])
