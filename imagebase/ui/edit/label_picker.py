"""Label picker above the canvas: label of the next box, all labels, new label."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import streamlit as st

from imagebase.annotation import MAX_LABEL_LENGTH, LabelSet
from imagebase.editing.records import checked_label
from imagebase.errors import EditError
from imagebase.ui import cache, label_manager, services, state, widgets
from imagebase.ui.edit import canvas, digits

_LABEL: Final = "imagebase.edit.label"
_COUNT: Final = "imagebase.edit.labels_chosen"
_NEW: Final = "edit.new_label"
_FIRST_LABEL: Final = "object"
# Letters that fit in one row at 1280 px, and the minimum per label.
_LETTERS_IN_A_ROW: Final = 88
_FEWEST_LETTERS: Final = 4


class ChosenLabel(NamedTuple):
    """The label chosen last in a dataset.

    is_new: not in the dataset yet; the first box with it adds it.
    """

    dataset_id: str
    name: str
    is_new: bool


class LabelChoice(NamedTuple):
    """The label of the next box, and the labels to choose from.

    keys: the labels of the digits from 1 on.
    pills: the labels above the canvas, in order.
    offered: labels of models that are not in the dataset.
    times_chosen: how often one was chosen beside the canvas.
    """

    label: str
    keys: tuple[str, ...]
    pills: tuple[str, ...]
    offered: tuple[str, ...]
    times_chosen: int


def choose(
    labels: LabelSet, image_id: str, suggested: Sequence[str] = ()
) -> LabelChoice:
    """Draw the label pills; return the choice.

    image_id: of the image on screen.
    suggested: labels of suggestions, used if the dataset has no labels.
    """
    names = labels.shown_names
    current = _current(names, next(iter(suggested), _FIRST_LABEL))
    offered = tuple(label for label in cache.model_labels() if label not in names)
    pills = tuple(dict.fromkeys([*digits.current(labels, image_id), current]))
    # Where nobody has named a label yet, the label of the next box has no digit.
    keys = pills[: digits.DIGITS] if names else digits.current(labels, image_id)
    with st.container(horizontal=True, vertical_alignment="center", wrap=False):
        _pills(pills, current)
        with st.popover("More", icon=":material/add:", key="edit.more_labels"):
            _more(names, offered)
        st.space("stretch")
        label_manager.open_button("edit.labels")
    count = st.session_state.get(_COUNT, 0)
    return LabelChoice(current, keys, pills, offered, count)


def _current(names: Sequence[str], first: str) -> str:
    chosen: ChosenLabel | None = st.session_state.get(_LABEL)
    if chosen is None or chosen.dataset_id != state.scope().dataset_id:
        return next(iter(names), first)
    if chosen.name in names:
        # If it is removed again, by undo for example, it is no longer chosen.
        st.session_state[_LABEL] = chosen._replace(is_new=False)
    elif not chosen.is_new:
        return next(iter(names), first)
    return chosen.name


def _more(names: Sequence[str], offered: Sequence[str]) -> None:
    key = f"edit.more_labels.{hash((names, offered))}"
    st.selectbox(
        "Choose a label",
        [*names, *offered],
        index=None,
        key=key,
        format_func=lambda label: label if label in names else f"{label} (model)",
        on_change=_choose_beside,
        args=(key, None),
    )
    with st.form("edit.new_label.form", clear_on_submit=True, border=False):
        st.text_input("New label", key=_NEW, max_chars=MAX_LABEL_LENGTH)
        st.form_submit_button(
            "Create label",
            key=f"{_NEW}.submit",
            on_click=_choose_beside,
            args=(_NEW, None),
        )


def _pills(short: Sequence[str], current: str) -> None:
    numbers = {name: digit for digit, name in enumerate(short[: digits.DIGITS], 1)}
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
        args=(key, current),
    )


def fitting(names: Sequence[str]) -> list[str]:
    """Return names, the longest ones shortened, so that all fit in a row."""
    longest = max(map(len, names))
    while longest > _FEWEST_LETTERS and _letters(names, longest) > _LETTERS_IN_A_ROW:
        longest -= 1
    return [
        name if len(name) <= longest else f"{name[: longest - 1]}…" for name in names
    ]


def _letters(names: Sequence[str], longest: int) -> int:
    return sum(min(len(name), longest) for name in names)


def _choose(key: str, before: str | None) -> None:
    """Choose a label.

    before: what the field was drawn with. A browser that has not heard of a newer one
        may send the field as it was, which chooses nothing.
    """
    canvas.settle()
    if st.session_state[key] != before:
        give_next(st.session_state[key])


def _choose_beside(key: str, before: str | None) -> None:
    """Choose a label that the editor has not heard of; it counts clicks on pills."""
    if st.session_state[key] != before:
        st.session_state[_COUNT] = st.session_state.get(_COUNT, 0) + 1
    _choose(key, before)


def give_next(name: str) -> None:
    """Give the next box this label; a new label is added with the box."""
    try:
        checked = checked_label(name or "")
    except EditError:
        canvas.report("Enter a label name.")
        return
    scope = state.scope()
    is_new = checked not in services.store().labels(scope).shown_names
    st.session_state[_LABEL] = ChosenLabel(scope.dataset_id, checked, is_new)
