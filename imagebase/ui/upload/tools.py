"""What else the Upload page does: one row of choices, and the chosen one below it."""

from collections.abc import Callable, Mapping
from typing import Final

import streamlit as st

from imagebase.ui.upload import backup_panel, compare_panel, import_panel

_CHOICE: Final = "upload.tool"
_PAGE: Final = "pages/upload.py"
IMPORT: Final = ":material/new_label: Import labels that exist already"
COMPARE: Final = ":material/compare_arrows: Compare two label sets"
BACK_UP: Final = ":material/archive: Back up or restore"
_SECTIONS: Final[Mapping[str, Callable[[], None]]] = {
    IMPORT: import_panel.section,
    COMPARE: compare_panel.section,
    BACK_UP: backup_panel.section,
}


def section() -> None:
    """Draw the choices; what is chosen stays open until it is pressed again."""
    chosen = st.pills(
        "More",
        list(_SECTIONS),
        key=_CHOICE,
        label_visibility="collapsed",
        persist_state="session",
    )
    if chosen is not None:
        with st.container(border=True):
            _SECTIONS[chosen]()


def backup_button() -> None:
    """Draw the press that leads here from the dataset's menu."""
    if st.button("Back up or restore", key="sidebar.backup", icon=":material/archive:"):
        st.session_state[_CHOICE] = BACK_UP
        st.switch_page(_PAGE)
