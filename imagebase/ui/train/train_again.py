"""A line on other pages: by now another training is worth it."""

from typing import Final

import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.jobs.training import KIND, last_round, parts_known, work_folder
from imagebase.store import Scope
from imagebase.training.checks import has_torch
from imagebase.training.sources import AGAIN_AFTER, news_since
from imagebase.ui import job_progress, services, state, widgets

# It is drawn after every press on Edit, and need not be true to the second.
_KEPT_SECONDS: Final = 30


def offer() -> None:
    """Draw the line where enough was approved since the last training."""
    scope = state.scope()
    folder = work_folder(scope, "-").parent
    if not folder.is_dir():
        return  # no query where nobody has trained
    news = _news(scope.owner_id, scope.dataset_id, folder.stat().st_mtime_ns)
    if (
        news < AGAIN_AFTER
        or not has_torch()
        or job_progress.is_active(job_progress.latest(KIND))
    ):
        return
    with st.container(horizontal=True, vertical_alignment="center", key="train.again"):
        st.markdown(
            f"{widgets.plural(news, 'image')} approved since the last training.",
            width="content",
        )
        st.page_link(
            "pages/train.py",
            label="**Train again**",
            icon=":material/model_training:",
            width="content",
        )


@st.cache_data(max_entries=64, ttl=_KEPT_SECONDS, show_spinner=False)
def _news(owner_id: str, dataset_id: str, trained: int) -> int:
    """Return how many approved images the last training does not know.

    trained: changes when there was a training.
    """
    scope, store = Scope(owner_id, dataset_id, ""), services.store()
    last = last_round(store.jobs(scope))
    if last is None:
        return 0
    approved = store.image_ids(scope, statuses=[ReviewStatus.APPROVED])
    return news_since(parts_known(scope, last), approved)
