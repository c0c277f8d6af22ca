"""What a training leads to: its model looks at all that nobody has labelled yet."""

from collections.abc import Mapping

import streamlit as st

from imagebase.annotation import NOT_APPROVED, ReviewStatus
from imagebase.annotation.states import count
from imagebase.ui import job_progress, services, state
from imagebase.ui.annotate import looking_choice
from imagebase.ui.annotate.annotating import MOST_DOUBTFUL, SCOPES


def left(counts: Mapping[ReviewStatus, int]) -> int:
    """Return how many images are not approved, of those in each state."""
    return count(counts, NOT_APPROVED)


def label_with(model: str) -> None:
    """Have a model look at the rest, as Annotate shows it from now on.

    Raises:
        JobError: another run of this dataset has not ended.
    """
    counts = services.store().progress(state.scope())
    statuses = SCOPES["new" if counts.get(ReviewStatus.NEW) else "open"]
    parameters = looking_choice.now(model).parameters()
    parameters["statuses"] = [str(one) for one in statuses]
    job = job_progress.latest("annotate")
    if job is None or not job_progress.is_active(job) or job.parameters != parameters:
        services.runner().submit(state.scope(), "annotate", parameters)
    st.session_state["annotate.model"] = model
    st.session_state["annotate.order"] = MOST_DOUBTFUL
    st.session_state["annotate.labels"] = []
