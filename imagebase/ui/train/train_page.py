"""The Train page: what there is to learn from, the run, what came of it."""

import streamlit as st

from imagebase.store import JobState
from imagebase.training.requirement import FOR_CPU, FOR_GPU, has_torch
from imagebase.ui import jobs, widgets
from imagebase.ui.train import train_bundle, train_choice, train_progress, train_result

_STOPPED = (JobState.CANCELLED, JobState.INTERRUPTED)


def header() -> None:
    """Draw the title, and the way to train elsewhere beside it."""
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.title("Train")
    with right, st.popover("Train elsewhere", icon=":material/folder_zip:"):
        train_bundle.offer()


def show() -> None:
    """Draw the run where there is one, else what it came to and the next one."""
    train_result.follow()
    job = jobs.latest("train")
    if job is not None and jobs.is_active(job):
        train_progress.running(job.job_id)
        return
    if job is not None and job.state is JobState.FAILED:
        st.error(widgets.escape(job.error or ""))
    if job is not None and job.state in _STOPPED:
        train_progress.stopped(job)
    has_result = train_result.show()
    if not has_torch():
        _how_to_get_it()
        return
    title = "Train again" if has_result else "Train a model of your own"
    with st.container(border=has_result):
        if has_result:
            st.subheader(title)
        train_choice.choose()


def _how_to_get_it() -> None:
    st.info(
        "Training needs PyTorch, which is not installed on this server. Install it, "
        "and start the app again:"
    )
    left, right = st.columns(2)
    left.caption("For the CPU")
    left.code(FOR_CPU, language="bash")
    right.caption("For an NVIDIA GPU")
    right.code(FOR_GPU, language="bash")
