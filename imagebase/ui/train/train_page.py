"""The Train page: what there is to learn from, the run, what came of it."""

import streamlit as st

from imagebase.training.checks import FOR_CPU, FOR_GPU, has_torch
from imagebase.ui.train import (
    train_bundle,
    train_choice,
    train_ended,
    train_progress,
    train_result,
)


def header() -> None:
    """Draw the title, and the way to train elsewhere beside it."""
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.title("Train")
    with right, st.popover("Train elsewhere", icon=":material/folder_zip:"):
        train_bundle.offer()


def show() -> None:
    """Draw the run where there is one, else what it came to and the next one."""
    train_result.follow()
    # Each in a place of its own: what comes or goes above moves nothing below.
    run, ended, result = st.container(), st.container(), st.container()
    if (job := train_progress.active()) is not None:
        with run:
            train_progress.running(job.job_id)
        return
    with ended:
        train_ended.show()
    with result:
        has_result = train_result.show()
    if not has_torch():
        _how_to_get_it()
        return
    with st.container(border=has_result):
        if has_result:
            st.subheader("Train again")
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
