"""The Review page's figures: health, corrections, thresholds learned from them."""

from typing import Final

import streamlit as st

from imagebase.ui.review.correction_figures import corrections
from imagebase.ui.review.health_figures import health
from imagebase.ui.review.threshold_offer import threshold_offer

_VIEWS: Final = {
    "Health": health,
    "Corrections": corrections,
    "Thresholds": threshold_offer,
}


def figures() -> None:
    """Draw the figures of this dataset, one view at a time."""
    view: str = st.segmented_control(
        "Figures of",
        list(_VIEWS),
        default="Health",
        required=True,
        key="figures.view",
        label_visibility="collapsed",
        persist_state="session",
    )
    _VIEWS[view]()
