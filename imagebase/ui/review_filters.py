"""What the Review page shows: its view and its filters, kept over pages."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

LABELS: Final = "Labels"
IMAGES: Final = "Images"

_VIEW: Final = "review.view"


def choose_view(names: Sequence[str]) -> str:
    """Draw the switch between the views of these names; return the chosen one."""
    view: str = st.segmented_control(
        "View",
        names,
        default=LABELS,
        required=True,
        key=_VIEW,
        label_visibility="collapsed",
        persist_state="session",
    )
    return view
