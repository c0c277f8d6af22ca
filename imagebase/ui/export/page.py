"""Export page: build the zip, verify it, download it; its split and variants."""

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
from imagebase.images.decode import resized
from imagebase.images.draw import draw_annotations
from imagebase.images.thumbnails import inner_size
from imagebase.jobs.exports import StoreImages
from imagebase.store import JobInfo, JobState, Scope
from imagebase.ui import (
    cache,
    job_progress,
    services,
    state,
    suggested_boxes,
    widgets,
)
from imagebase.ui.export.options import ExportChoice

# One that was interrupted can go on instead.
_ENDED: Final = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
# A set of this size is built while one looks; a larger one waits for the button.
BUILT_AT_ONCE: Final = 300
VARIANTS: Final = 6
_COLUMNS: Final = 3
_TABLE_PX: Final = 212


def build(choice: ExportChoice) -> None:
    """Build the zip: at once where that is little work, else at a press."""
    if (
        job_progress.is_active(job_progress.latest("export"))
        or _job_of(choice) is not None
    ):
        return
    if not choice.total:
        st.info("No image is approved yet. Approve some on **Review**, or export all.")
        return
    try:
        choice.request.check()
    except ExportError as error:
        st.warning(widgets.escape(str(error)))
        return
    if choice.total <= BUILT_AT_ONCE and not choice.request.makes_pictures:
        job_progress.start("export", choice.parameters())
    else:
        _button(f"Build the zip of {widgets.plural(choice.total, 'image')}", choice)


def say_unsaved_suggestions() -> None:
    """Say how many boxes are suggested, on images without a box, and in no export."""
    if count := suggested_boxes.count_on_new():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f":material/info: {widgets.with_suggestions('', count)}: not in this "
                "export.",
                width="content",
            )
            st.page_link("pages/annotate.py", label="Save them on Annotate")


def _button(words: str, choice: ExportChoice) -> None:
    st.button(
        words,
        key="export.build",
        type="primary",
        icon=":material/inventory_2:",
        on_click=job_progress.start,
        args=("export", choice.parameters()),
    )


def _job_of(choice: ExportChoice) -> JobInfo | None:
    """Return the job about just this choice: one whose zip is there, else the newest.

    Others build other choices of the same dataset meanwhile.
    """
    wanted = choice.parameters()
    kept = services.store().jobs(state.scope(), kind="export")
    about = [job for job in kept if job.parameters == wanted]
    return next(filter(_is_built, about), next(iter(about), None))


def _is_built(job: JobInfo) -> bool:
    return job.state in _ENDED and is_there(job.result or {})


def offer(choice: ExportChoice) -> bool:
    """Draw how far the zip of this choice is, or hand it over; return whether it is."""
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
        _offer_again(choice)
    return False


def _offer_again(choice: ExportChoice) -> None:
    st.button(
        "Build it again",
        key="export.again",
        on_click=job_progress.start,
        args=("export", choice.parameters()),
    )


def is_there(result: Mapping[str, Any]) -> bool:
    """Say whether every zip of an export still lies on disk."""
    zips = result.get("zips", [])
    return bool(zips) and all(Path(one["path"]).is_file() for one in zips)


def _show(result: Mapping[str, Any]) -> None:
    """Draw the download, the checks and the pictures of an export."""
    _download(result["zips"])
    _checks(result)
    _pictures(Path(result["drawn"]))


def _download(zips: Sequence[Mapping[str, Any]]) -> None:
    # Each button holds its zip in memory: there is never more than one.
    chosen = zips[0] if len(zips) == 1 else _chosen(zips)
    with Path(chosen["path"]).open("rb") as content:
        st.download_button(
            f"Download {widgets.escape(chosen['file_name'])} · "
            f"{widgets.megabytes(chosen['byte_count'])}",
            content,
            file_name=chosen["file_name"],
            mime="application/zip",
            key="export.download",
            type="primary",
            icon=":material/download:",
            on_click="ignore",
        )


def _chosen(zips: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    st.caption(
        f"The set is in {len(zips)} zips, each a complete label set of its own: unpack "
        "each into a folder of its own."
    )
    number = widgets.page_number(len(zips), key=f"export.zip.{zips[0]['path']}")
    return zips[number - 1]


def _checks(result: Mapping[str, Any]) -> None:
    st.markdown(
        f":material/verified: Read back and compared: **{_compared(result)}** · "
        f"{widgets.plural(result['images'], 'image')}{_parts(result)} · "
        f"{widgets.plural(result['labels'], 'label')} · "
        f"{widgets.plural(result['files_equal'], 'file')} as written"
    )
    if result["warnings"]:
        # Two blanks at its end break a line.
        said = "  \n".join(map(widgets.escape, result["warnings"]))
        st.warning(said, icon=":material/warning:")
    _left_out(result)


def _compared(result: Mapping[str, Any]) -> str:
    if not result["has_boxes"]:
        return "the labels of all images equal"
    if not result["boxes"]:
        return "no box in it yet"
    return (
        f"{result['boxes_equal']:,} of {widgets.plural(result['boxes'], 'box')} equal"
    )


def _parts(result: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{name} {count:,}" for name, count in result["parts"].items())
    return f" ({parts})" if parts else ""


def _left_out(result: Mapping[str, Any]) -> None:
    boxes = [f"{image}: {label}, {why}" for image, label, why in result["left_out"]]
    sentences = [*result["not_in_it"], *boxes]
    if sentences:
        with st.expander(f"Left out: {widgets.plural(len(sentences), 'remark')}"):
            st.dataframe({"what and why": sentences}, hide_index=True)


def _pictures(path: Path) -> None:
    overlays = read_overlays(path)
    if not overlays:
        return
    st.caption("Drawn from the files in the zip:")
    cells = st.columns(PICTURES, gap="small")
    for cell, one in zip(cells, overlays, strict=False):
        cell.image(one.url, width="stretch", alt=one.name)
        cell.caption(widgets.escape(one.line or widgets.short_name(one.name)))


def preview(choice: ExportChoice, *, with_variants: bool) -> None:
    """Draw the split as a table, beside variants where these are asked for.

    with_variants: there are none to be seen in a finished zip yet.
    """
    request = choice.request
    if request.split is None or not choice.total:
        return
    scope = state.scope()
    found = _dealt(
        scope.owner_id, scope.dataset_id, choice.version, _preview_key(request)
    )
    if found is None:
        return
    if not (request.varies and with_variants):
        _split(found, request)
        return
    # On the left they stay in sight while the choices about them are open.
    left, right = st.columns([5, 6], gap="medium")
    with left:
        _variant_tiles(choice, found)
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


def _variant_tiles(choice: ExportChoice, found: SplitPreview) -> None:
    scope = state.scope()
    tiles = _tiles(
        scope.owner_id,
        scope.dataset_id,
        choice.version,
        _preview_key(choice.request),
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


def _preview_key(request: ExportRequest) -> str:
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
