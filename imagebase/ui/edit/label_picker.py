"""The labels above the canvas: which one the next box gets, and all of them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import streamlit as st

from imagebase.annotation import MAX_LABEL_LENGTH, LabelSet
from imagebase.editing.records import checked_label
from imagebase.errors import EditError
from imagebase.ui import cache, label_manager, services, state, widgets
from imagebase.ui.edit import canvas

# As many as there are keys for.
SHORT_LIST: Final = 9
_LABEL: Final = "imagebase.edit.label"
_NEW: Final = "edit.new_label"
_FIRST_LABEL: Final = "object"
# What fits in one row at 1280 pixels, and the fewest that still tell a label.
_LETTERS_IN_A_ROW: Final = 88
_FEWEST_LETTERS: Final = 4


class Chosen(NamedTuple):
    """The label that was chosen last, and in which dataset.

    is_new: no box has it, so that the dataset has it not: the first box brings it in.
    """

    dataset_id: str
    name: str
    is_new: bool


class Choice(NamedTuple):
    """The label that the next box gets, and those to choose from.

    pills: the ones that are drawn above the canvas, in their order.
    offered: the models' labels that the dataset has not.
    """

    label: str
    pills: tuple[str, ...]
    offered: tuple[str, ...]


def choose(labels: LabelSet, suggested: Sequence[str] = ()) -> Choice:
    """Draw the labels to choose from; return which one the next box gets.

    suggested: the labels of suggestions, where the dataset has none of its own.
    """
    names = labels.shown_names
    current = _current(names, next(iter(suggested), _FIRST_LABEL))
    offered = tuple(one for one in cache.model_labels() if one not in names)
    pills = tuple(dict.fromkeys([*names[:SHORT_LIST], current]))
    with st.container(horizontal=True, vertical_alignment="center", wrap=False):
        _pills(pills, current)
        with st.popover("More", icon=":material/add:"):
            _more(names, offered)
        st.space("stretch")
        label_manager.open_button("edit.labels")
    return Choice(current, pills, offered)


def _current(names: Sequence[str], first: str) -> str:
    """Return the label that was chosen here, as long as it is there or yet to come."""
    chosen: Chosen | None = st.session_state.get(_LABEL)
    if chosen is None or chosen.dataset_id != state.scope().dataset_id:
        return next(iter(names), first)
    if chosen.name in names:
        # Once it goes again, because the box is undone say, it is nobody's choice.
        st.session_state[_LABEL] = chosen._replace(is_new=False)
    elif not chosen.is_new:
        return next(iter(names), first)
    return chosen.name


def _more(names: Sequence[str], offered: Sequence[str]) -> None:
    """Draw all labels to choose from, and apart from them a field for a new one."""
    key = f"edit.more_labels.{hash((names, offered))}"
    st.selectbox(
        "Choose a label",
        [*names, *offered],
        index=None,
        key=key,
        format_func=lambda one: one if one in names else f"{one} (a model's)",
        on_change=_choose,
        args=(key,),
    )
    with st.form("edit.new_label.form", clear_on_submit=True, border=False):
        st.text_input("New label", key=_NEW, max_chars=MAX_LABEL_LENGTH)
        st.form_submit_button("Create label", key=f"{_NEW}.submit", on_click=_create)


def _pills(short: Sequence[str], current: str) -> None:
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


def _create() -> None:
    canvas.settle()
    give_next(st.session_state[_NEW])


def give_next(name: str) -> None:
    """Give the next box this label, which may be a new one: the box brings it in."""
    try:
        checked = checked_label(name or "")
    except EditError:
        canvas.report("A label needs a name; type one.")
        return
    scope = state.scope()
    is_new = checked not in services.store().labels(scope).shown_names
    st.session_state[_LABEL] = Chosen(scope.dataset_id, checked, is_new)
