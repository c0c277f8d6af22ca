"""What else the Upload page does: one row of choices, and the chosen one below it."""

from collections.abc import Callable, Mapping
from typing import Final

import streamlit as st

from imagebase.ui import state
from imagebase.ui.upload import backup_panel, compare_panel, import_panel

IMPORT: Final = ":material/new_label: Import labels that exist already"
COMPARE: Final = ":material/compare_arrows: Compare two label sets"
_SECTIONS: Final[Mapping[str, Callable[[], None]]] = {
    IMPORT: import_panel.section,
    COMPARE: compare_panel.section,
    state.BACK_UP: backup_panel.section,
}


def section() -> None:
    """Draw the choices; what is chosen stays open until it is pressed again."""
    chosen = st.pills(
        "More",
        list(_SECTIONS),
        key=state.UPLOAD_TOOL,
        label_visibility="collapsed",
        persist_state="session",
    )
    if chosen is not None:
        with st.container(border=True):
            _SECTIONS[chosen]()
