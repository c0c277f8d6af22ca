"""Trainings that ended without a model: why, and how to go on with one."""

from itertools import takewhile
from pathlib import Path
from typing import Final

import streamlit as st

from imagebase.annotation import utc_now
from imagebase.jobs.training import KEPT_SECONDS, KIND, work_folder
from imagebase.store import JobInfo, JobState
from imagebase.training.run_folder import read_log
from imagebase.training.session import read_plan
from imagebase.ui import services, state, widgets

_WHY: Final = {
    JobState.CANCELLED: "The training was stopped",
    JobState.INTERRUPTED: "The server stopped during the training",
    JobState.FAILED: "The training broke off",
}


def show() -> None:
    """Say how trainings ended since the last one that left a model; offer to go on.

    The newest may have left nothing, such as one with a bad name, and one before may
    wait to be gone on with.
    """
    jobs_since = _since_the_last_model()
    if not jobs_since:
        return
    newest = jobs_since[0]
    if newest.state is JobState.FAILED:
        st.error(widgets.escape(newest.error or ""))
    ready = (one for one in jobs_since if read_plan(_folder(one)) is not None)
    if (job := next(ready, None)) is not None:
        _offer_to_go_on(job)
    elif newest.state is not JobState.FAILED and not _is_forgotten(newest):
        st.info(f"{_WHY[newest.state]} before it had learned anything.")


def _since_the_last_model() -> list[JobInfo]:
    """Return the trainings that left no model, the last to end first."""
    now = utc_now()
    by_end = sorted(
        services.store().jobs(state.scope(), kind=KIND),
        key=lambda one: one.finished_at or now,
        reverse=True,
    )
    return list(takewhile(lambda one: one.state is not JobState.DONE, by_end))


def _is_forgotten(job: JobInfo) -> bool:
    """Say whether it is so long ago that what it had learned was deleted."""
    if job.finished_at is None:
        return False
    return (utc_now() - job.finished_at).total_seconds() > KEPT_SECONDS


def _folder(job: JobInfo) -> Path:
    return work_folder(state.scope(), job.job_id)


def _offer_to_go_on(job: JobInfo) -> None:
    left, right = st.columns([5, 1], vertical_alignment="center")
    progress = read_log(_folder(job)).progress
    steps = progress.done if progress is not None else 0
    left.info(
        f"{_WHY[job.state]} after {widgets.plural(steps, 'step')}. "
        f"{'What was learned is kept.' if steps else 'The images are ready.'}"
    )
    right.button(
        "Go on",
        key=f"train.resume.{job.job_id}",
        icon=":material/play_arrow:",
        width="stretch",
        on_click=_go_on,
        args=(job.job_id,),
    )


@state.told
def _go_on(job_id: str) -> None:
    services.runner().resume(state.scope(), job_id)
