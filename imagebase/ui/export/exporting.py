"""The Export page's parts: building what was chosen, and handing it over."""

from typing import Final

import streamlit as st

from imagebase.errors import ExportError
from imagebase.store import JobInfo, JobState
from imagebase.ui import jobs, widgets
from imagebase.ui.export import exported
from imagebase.ui.export.export_choices import ExportChoice

# One that was interrupted can go on instead.
_ENDED: Final = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
# A set of this size is built while one looks; a larger one waits for the button.
BUILT_AT_ONCE: Final = 300


def build(choice: ExportChoice) -> None:
    """Build the zip: at once where that is little work, else at a press."""
    job = jobs.latest("export")
    if jobs.is_active(job) or _fits(job, choice):
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
        jobs.start("export", choice.parameters())
    else:
        _button(f"Build the zip of {widgets.plural(choice.total, 'image')}", choice)


def _button(words: str, choice: ExportChoice) -> None:
    st.button(
        words,
        key="export.build",
        type="primary",
        icon=":material/inventory_2:",
        on_click=jobs.start,
        args=("export", choice.parameters()),
    )


def _fits(job: JobInfo | None, choice: ExportChoice) -> bool:
    """Say whether a job was about just this choice, whatever came of it."""
    return job is not None and job.parameters == choice.parameters()


def is_built(choice: ExportChoice) -> bool:
    """Say whether the zip of this choice lies there to be downloaded."""
    job = jobs.latest("export")
    return (
        job is not None
        and job.state in _ENDED
        and _fits(job, choice)
        and exported.is_there(job.result or {})
    )


def offer(choice: ExportChoice) -> None:
    """Draw the download and the checks of this choice's zip, or build it again."""
    job = jobs.latest("export")
    if job is None or job.state not in _ENDED or not _fits(job, choice):
        return
    if is_built(choice):
        exported.show(job.result or {})
        return
    st.button(
        "Build it again",
        key="export.again",
        on_click=jobs.start,
        args=("export", choice.parameters()),
    )
