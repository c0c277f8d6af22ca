"""What is done to a dataset's labels in their dialog, and what is said of it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import streamlit as st

from imagebase.annotation import Label
from imagebase.errors import ImageBaseError
from imagebase.store import Scope, Store, UndoResult
from imagebase.ui import backend, state, widgets

_TOLD: Final = "imagebase.labels.told"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """What the dialog says of the last press, and how far undo and redo go in it.

    clash: a label that should be called as another one is, and that other one.
    tries: grows with every problem; a field then shows what is kept again.
    """

    text: str = ""
    is_problem: bool = False
    clash: tuple[int, int] | None = None
    done: int = 0
    undone: int = 0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One label in the dialog. place: its number in the order, from 0."""

    class_id: int
    label: Label
    place: int
    boxes: int


SortKey = Callable[[Row], tuple[str | int, ...]]

ORDERS: Final[dict[str, SortKey]] = {
    "A to Z": lambda row: (row.label.name.casefold(), row.class_id),
    "Most boxes first": lambda row: (-row.boxes, row.place),
    "By class number": lambda row: (row.class_id,),
}

Change = Callable[[Store, Scope], str]


def rows_of(store: Store, scope: Scope) -> list[Row]:
    """Return the labels that a person can choose, in their order."""
    labels, counts = store.labels(scope), store.label_counts(scope)
    return [
        Row(labels.class_id(one.name), one, place, counts.get(one.name, 0))
        for place, one in enumerate(labels.shown)
    ]


def begin() -> None:
    """Say nothing of what was done when the dialog was open before."""
    _keep(Told())


def told() -> Told:
    """Return what there is to say of the last press."""
    found: Told = st.session_state.get(_TOLD, Told())
    return found


def _keep(now: Told) -> None:
    st.session_state[_TOLD] = now


def act(change: Change, *, clash: tuple[int, int] | None = None) -> None:
    """Make one change; say what it did, or why it was not made.

    clash: the labels that could be merged where the change is refused.
    """
    store, scope, last = backend.store(), state.scope(), told()
    try:
        before = store.labels(scope)
        text = change(store, scope)
        is_done = store.labels(scope) != before
    except ImageBaseError as error:
        _complain(error, clash)
        return
    if is_done:
        state.note_saved()
        _keep(Told(text, done=last.done + 1, tries=last.tries))
    else:
        _keep(replace(last, tries=last.tries + 1))


def _complain(error: ImageBaseError, clash: tuple[int, int] | None = None) -> None:
    _log.warning("A label was not changed", exc_info=True)
    tries = told().tries + 1
    _keep(replace(told(), text=str(error), is_problem=True, clash=clash, tries=tries))


def undo() -> None:
    """Take back the last change that was made in the dialog."""
    _step(backend.store().undo, -1)


def redo() -> None:
    """Do the change again that was taken back last."""
    _step(backend.store().redo, 1)


def _step(step: Callable[[Scope], UndoResult], done: int) -> None:
    last = told()
    try:
        text = step(state.scope()).description
    except ImageBaseError as error:
        _complain(error)
        return
    state.note_saved()
    _keep(
        Told(text, done=last.done + done, undone=last.undone - done, tries=last.tries)
    )


def add(key: str) -> None:
    """Add the label that was typed into the field of this key."""
    name = (st.session_state[key] or "").strip()

    def put(store: Store, scope: Scope) -> str:
        store.add_label(scope, name)
        return f"{name} is there."

    act(put)


def rename(class_id: int, key: str) -> None:
    """Call a label what was typed into the field of this key."""
    wanted = (st.session_state[key] or "").strip()
    labels = backend.store().labels(state.scope())
    other = labels.class_id(wanted) if wanted in labels.shown_names else class_id

    def call(store: Store, scope: Scope) -> str:
        before = _name(store, scope, class_id)
        boxes = store.label_counts(scope).get(before, 0)
        store.rename_label(scope, class_id, wanted)
        return f"{before} is called {wanted}, on {widgets.plural(boxes, 'box')}."

    act(call, clash=(class_id, other) if other != class_id else None)


def recolour(class_id: int, key: str) -> None:
    """Give a label the colour that was picked in the field of this key."""
    tint = st.session_state[key]

    def paint(store: Store, scope: Scope) -> str:
        store.recolour_label(scope, class_id, tint)
        return f"{_name(store, scope, class_id)} has its new colour."

    act(paint)


def move(class_id: int, place: int, store: Store, scope: Scope) -> str:
    """Put a label at a place in the order, from 0; class numbers stay."""
    labels = store.labels(scope)
    order = [labels.class_id(name) for name in labels.shown_names]
    order.remove(class_id)
    order.insert(place, class_id)
    store.order_labels(scope, order)
    return f"{_name(store, scope, class_id)} is number {place + 1} in the list."


def sort_as_chosen(key: str) -> None:
    """Sort the labels by the order that was chosen in the menu of this key."""
    act(partial(_sort, st.session_state[key]))


def _sort(order: str, store: Store, scope: Scope) -> str:
    ordered = sorted(rows_of(store, scope), key=ORDERS[order])
    store.order_labels(scope, [row.class_id for row in ordered])
    return f"The labels are sorted: {order[0].lower() + order[1:]}."


def merge(class_id: int, into: int, store: Store, scope: Scope) -> str:
    """Give a label's boxes to another one."""
    name, other = _name(store, scope, class_id), _name(store, scope, into)
    taken = store.merge_label(scope, class_id, into=into)
    return (
        f"{name} went into {other}, with {widgets.plural(taken.boxes, 'box')} on "
        f"{widgets.plural(taken.images, 'image')}."
    )


def delete(class_id: int, store: Store, scope: Scope) -> str:
    """Delete a label with its boxes."""
    name = _name(store, scope, class_id)
    taken = store.delete_label(scope, class_id, with_boxes=True)
    if not taken.boxes:
        return f"{name} is deleted."
    return (
        f"{name} is deleted, with {widgets.plural(taken.boxes, 'box')} on "
        f"{widgets.plural(taken.images, 'image')}."
    )


def _name(store: Store, scope: Scope, class_id: int) -> str:
    return store.labels(scope).labels[class_id].name
