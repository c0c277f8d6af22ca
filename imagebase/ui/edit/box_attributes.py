"""Attributes of a box: flags to check, and others to type, saved at once."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import streamlit as st

from imagebase.annotation import Annotation, Attributes, ImageRecord
from imagebase.annotation.attributes import FLAGS, in_words, parsed, value_of
from imagebase.editing.records import describe
from imagebase.errors import EditError
from imagebase.ui.edit import changing

_CHOSEN: Final = "edit.attributes.box"
_EXAMPLE: Final = "color = red"

_Change = Callable[[Attributes], Mapping[str, object]]


def draw_attributes(record: ImageRecord) -> None:
    """Draw a button that opens the attributes of the image's boxes, one at a time."""
    described = sum(bool(in_words(one.attributes)) for one in record.annotations)
    with st.popover(
        f"Attributes ({described})" if described else "Attributes",
        icon=":material/sell:",
        key="edit.attributes",
        disabled=not record.annotations,
        help="Occluded, truncated, difficult, and whatever else is known of a box.",
    ):
        if record.annotations:
            one = _choose(record)
            _draw_flags(one)
            _draw_others(one)


def _choose(record: ImageRecord) -> Annotation:
    """Draw the choice of a box, named as the table has it; return it."""
    boxes = {one.annotation_id: one for one in record.annotations}
    ids = list(boxes)
    if st.session_state.get(_CHOSEN) not in boxes:
        st.session_state[_CHOSEN] = ids[0]
    chosen = st.selectbox(
        "Box",
        ids,
        format_func=lambda one: f"{ids.index(one) + 1} {boxes[one].label}",
        key=_CHOSEN,
    )
    return boxes[chosen]


def _draw_flags(one: Annotation) -> None:
    with st.container(horizontal=True):
        for flag in FLAGS:
            key = _key(one, flag)
            # Undo changes them too: what the record says is what is shown.
            st.session_state[key] = one.attributes.get(flag) is True
            st.checkbox(
                flag.capitalize(),
                key=key,
                on_change=_set_flag,
                args=(one.annotation_id, flag, key),
            )


def _draw_others(one: Annotation) -> None:
    words = _other_words(one.attributes)
    key = _key(one, "others")
    st.session_state[key] = list(words)
    st.multiselect(
        "Other attributes",
        list(words),
        accept_new_options=True,
        key=key,
        placeholder=f"Type {_EXAMPLE}",
        on_change=_set_others,
        args=(one.annotation_id, key),
        help=f"A name, or a name and a value such as {_EXAMPLE}. "
        "Press Enter to add it; click × to delete it.",
    )


def _key(one: Annotation, what: str) -> str:
    return f"edit.attributes.{one.annotation_id}.{what}"


def _other_words(attributes: Attributes) -> dict[str, str]:
    """Return the names of attributes that have no check box, by their words."""
    return {
        in_words({name: value}) or f"{name} = false": name
        for name, value in sorted(attributes.items())
        if name not in FLAGS or not isinstance(value, bool)
    }


def _set_flag(annotation_id: str, flag: str, key: str) -> None:
    is_set = bool(st.session_state[key])

    def change(attributes: Attributes) -> Mapping[str, object]:
        rest = {name: value for name, value in attributes.items() if name != flag}
        return {**rest, flag: True} if is_set else rest

    _change(annotation_id, change)


def _set_others(annotation_id: str, key: str) -> None:
    wanted = list(st.session_state[key])

    def change(attributes: Attributes) -> Mapping[str, object]:
        words = _other_words(attributes)
        others = words.values()
        kept = {n: value for n, value in attributes.items() if n not in others}
        for text in wanted:
            name, value = parsed(text)
            if text in words:
                kept[words[text]] = attributes[words[text]]
            else:
                kept[name] = True if value is None else value_of(value)
        return kept

    _change(annotation_id, change)


def _change(annotation_id: str, change: _Change) -> None:
    changing.change(partial(_changed, annotation_id, change))


def _changed(
    annotation_id: str, change: _Change, record: ImageRecord, who: str
) -> ImageRecord:
    try:
        known = record.annotation(annotation_id).attributes
    except KeyError:
        raise EditError("That box no longer exists; select another one.") from None
    return describe(record, annotation_id, change(known), who=who)
