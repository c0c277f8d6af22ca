"""The labels above the canvas: which one the next box gets, and all of them."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from imagebase.annotation import LabelSet
from imagebase.errors import ImageBaseError
from imagebase.ui import backend, label_manager, state, widgets
from imagebase.ui.edit import canvas

# As many as there are keys for.
SHORT_LIST: Final = 9
_LABEL: Final = "imagebase.edit.label"
_FIRST_LABEL: Final = "object"
# What fits in one row at 1280 pixels, and the fewest that still tell a label.
_LETTERS_IN_A_ROW: Final = 88
_FEWEST_LETTERS: Final = 4


def choose(labels: LabelSet) -> str:
    """Draw the labels to choose from; return the one that the next box gets."""
    names = labels.shown_names or (_FIRST_LABEL,)
    current = st.session_state.get(_LABEL)
    if current not in names:
        current = names[0]
    with st.container(horizontal=True, vertical_alignment="center", wrap=False):
        _pills(list(names[:SHORT_LIST]), current)
        with st.popover("More", icon=":material/add:"):
            key = f"edit.more_labels.{hash(names)}"
            st.selectbox(
                "Choose a label, or type a new one",
                names,
                index=None,
                accept_new_options=True,
                key=key,
                on_change=_choose,
                args=(key,),
            )
        st.space("stretch")
        label_manager.open_button("edit.labels")
    return current


def _pills(short: list[str], current: str) -> None:
    if current not in short:
        short.append(current)
    numbers = {name: place + 1 for place, name in enumerate(short[:SHORT_LIST])}
    words = dict(zip(short, fitting(short), strict=True))

    def shown(name: str) -> str:
        text = widgets.escape(words[name])
        return f"{numbers[name]} {text}" if name in numbers else text

    key = f"edit.label.{hash((tuple(short), current))}"
    st.pills(
        "Label of the next box",
        short,
        default=current,
        required=True,
        format_func=shown,
        key=key,
        label_visibility="collapsed",
        wrap=False,
        on_change=_choose,
        args=(key,),
    )


def fitting(names: Sequence[str]) -> list[str]:
    """Return names cut where they are longest, so that all fit in a row."""
    longest = max(map(len, names))
    while longest > _FEWEST_LETTERS and _letters(names, longest) > _LETTERS_IN_A_ROW:
        longest -= 1
    return [
        name if len(name) <= longest else f"{name[: longest - 1]}…" for name in names
    ]


def _letters(names: Sequence[str], longest: int) -> int:
    return sum(min(len(name), longest) for name in names)


def _choose(key: str) -> None:
    canvas.settle()
    give_next(st.session_state[key])


def give_next(name: str) -> None:
    """Give the next box this label, which may be a new one."""
    if not name:
        return
    try:
        backend.store().add_labels(state.scope(), [name])
    except ImageBaseError as error:
        canvas.report(str(error))
        return
    st.session_state[_LABEL] = name
