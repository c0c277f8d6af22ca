"""Export page: build the zip, verify it, download it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import streamlit as st

from imagebase.errors import ExportError
from imagebase.export.preview import PICTURES, read_overlays
from imagebase.store import JobInfo, JobState
from imagebase.ui import job_progress, services, state, suggested_boxes, widgets
from imagebase.ui.export.options import ExportChoice


def is_there(result: Mapping[str, Any]) -> bool:
    """Say whether every zip of an export still lies on disk."""
    zips = result.get("zips", [])
    return bool(zips) and all(Path(one["path"]).is_file() for one in zips)


def show(result: Mapping[str, Any]) -> None:
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


# One that was interrupted can go on instead.
_ENDED: Final = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
# A set of this size is built while one looks; a larger one waits for the button.
BUILT_AT_ONCE: Final = 300


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


def say_what_is_not_saved() -> None:
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
        show(job.result or {})
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
