"""The switch of a dataset that learns while people label, and Pause."""

from dataclasses import replace
from typing import Final

import streamlit as st

from imagebase.jobs.learning import LEARNING
from imagebase.jobs.training import KIND
from imagebase.store import JobInfo, JobState
from imagebase.store.learning import LearningState
from imagebase.ui import job_progress, services, state

SWITCH: Final = "Learn while labelling"


def switch(key: str) -> None:
    """Draw the switch of the dataset."""
    scope = state.scope()
    is_on = services.store().learning(scope).state is not LearningState.OFF
    st.toggle(
        SWITCH,
        value=is_on,
        # By what is stored, which another person may change.
        key=f"{key}.{scope.dataset_id}.{is_on}",
        on_change=change,
        args=(LearningState.OFF if is_on else LearningState.ON,),
        help="After each approval the next images get better suggestions. Boxes that "
        "people drew or accepted are never changed.",
    )


@state.reports_errors
def change(then: LearningState) -> None:
    """Learn, pause or stop; a training run pauses and resumes with it."""
    store, scope = services.store(), state.scope()
    store.change_learning(scope, lambda row: replace(row, state=then))
    run = training_run()
    if run is None:
        return
    if then is not LearningState.ON and run.state.is_active:
        store.cancel_job(scope, run.job_id)
    elif then is LearningState.ON and run.state is JobState.CANCELLED:
        services.runner().resume(scope, run.job_id)


def training_run() -> JobInfo | None:
    """Return the newest training run if learning has started it."""
    job = job_progress.latest(KIND)
    return job if job is not None and job.parameters.get(LEARNING) else None
