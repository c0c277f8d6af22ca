"""The Export page's parts: building what was chosen, and handing it over."""

from typing import Final

import streamlit as st

from imagebase.errors import ExportError
from imagebase.store import JobInfo, JobState
from imagebase.ui import job_progress, services, state, suggested_boxes, widgets
from imagebase.ui.export import exported
from imagebase.ui.export.export_choices import ExportChoice

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
    return job.state in _ENDED and exported.is_there(job.result or {})


def offer(choice: ExportChoice) -> bool:
    """Draw how far the zip of this choice is, or hand it over; return whether it is."""
    newest, job = job_progress.latest("export"), _job_of(choice)
    is_newest = newest is not None and job is not None and newest.job_id == job.job_id
    if is_newest or job_progress.is_active(newest):
        job_progress.show("export")
    if job is None:
        return False
    if _is_built(job):
        exported.show(job.result or {})
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
