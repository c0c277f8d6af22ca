"""Label manager: a dialog to add, rename, recolour, sort, merge and delete labels."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import streamlit as st

from imagebase.annotation import MAX_LABEL_LENGTH, Label
from imagebase.errors import ImageBaseError
from imagebase.store import Scope, Store, UndoResult
from imagebase.ui import services, state, widgets

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


_OUTCOME: Final = "imagebase.labels.outcome"

_log = logging.getLogger(__name__)
_ADD: Final = "labels.add"
_SEARCH: Final = "labels.search"
_SORT: Final = "labels.sort"
_PAGE_SIZE: Final = 8
_WIDTH_PX: Final = 780
_COLUMNS: Final = [0.5, 3.6, 0.7, 1.1, 0.55, 0.55, 1.5]
_KEYS: Final = 9


@dataclass(frozen=True, slots=True)
class LabelActionResult:
    """Result of the last action in the dialog, with the steps to undo and redo.

    clash: a label that was given the name of another one, and that other one.
    tries: grows with every error, so that a field shows the stored value again.
    """

    text: str = ""
    is_problem: bool = False
    clash: tuple[int, int] | None = None
    done: int = 0
    undone: int = 0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class ManagedLabel:
    """One label in the dialog. place: its position in the order, from 0."""

    class_id: int
    label: Label
    place: int
    boxes: int


SortKey = Callable[[ManagedLabel], tuple[str | int, ...]]

ORDERS: Final[dict[str, SortKey]] = {
    "A to Z": lambda row: (row.label.name.casefold(), row.class_id),
    "Most boxes first": lambda row: (-row.boxes, row.place),
    "By class ID": lambda row: (row.class_id,),
}


Change = Callable[[Store, Scope], str]


def rows_of(store: Store, scope: Scope) -> list[ManagedLabel]:
    """Return the labels to choose from, in their order."""
    labels, counts = store.labels(scope), store.label_counts(scope)
    return [
        ManagedLabel(
            labels.class_id(label.name), label, place, counts.get(label.name, 0)
        )
        for place, label in enumerate(labels.shown)
    ]


def begin() -> None:
    """Clear the outcome of an earlier dialog."""
    _keep(LabelActionResult())


def last_outcome() -> LabelActionResult:
    """Return the result of the last action."""
    outcome: LabelActionResult = st.session_state.get(_OUTCOME, LabelActionResult())
    return outcome


def _keep(now: LabelActionResult) -> None:
    st.session_state[_OUTCOME] = now


def act(change: Change, *, clash: tuple[int, int] | None = None) -> None:
    """Make one change and keep its outcome.

    clash: the labels to offer for merging if the change is refused.
    """
    store, scope, last = services.store(), state.scope(), last_outcome()
    try:
        before = store.labels(scope)
        text = change(store, scope)
        is_done = store.labels(scope) != before
    except ImageBaseError as error:
        _keep_error(error, clash)
        return
    if is_done:
        state.note_saved()
        _keep(LabelActionResult(text, done=last.done + 1, tries=last.tries))
    else:
        _keep(replace(last, tries=last.tries + 1))


def _keep_error(error: ImageBaseError, clash: tuple[int, int] | None = None) -> None:
    _log.warning("A label was not changed", exc_info=True)
    tries = last_outcome().tries + 1
    _keep(
        replace(
            last_outcome(), text=str(error), is_problem=True, clash=clash, tries=tries
        )
    )


def undo() -> None:
    """Undo the last change made in the dialog."""
    _step(services.store().undo, -1)


def redo() -> None:
    """Redo the change that was undone last."""
    _step(services.store().redo, 1)


def _step(step: Callable[[Scope], UndoResult], done: int) -> None:
    last = last_outcome()
    try:
        text = step(state.scope()).description
    except ImageBaseError as error:
        _keep_error(error)
        return
    state.note_saved()
    _keep(
        LabelActionResult(
            text, done=last.done + done, undone=last.undone - done, tries=last.tries
        )
    )


def add(key: str) -> None:
    """Add the label typed into the field of this key."""
    name = (st.session_state[key] or "").strip()

    def put(store: Store, scope: Scope) -> str:
        store.add_label(scope, name)
        return f"{name} added."

    act(put)


def rename(class_id: int, key: str, before: str) -> None:
    """Rename a label to the text of the field of this key.

    before: what the field was drawn with. A browser that has not heard of a newer name
        may send the field as it was, which changes nothing.
    """
    wanted = (st.session_state[key] or "").strip()
    if wanted == before:
        return
    labels = services.store().labels(state.scope())
    other = labels.class_id(wanted) if wanted in labels.shown_names else class_id

    def call(store: Store, scope: Scope) -> str:
        before = _name(store, scope, class_id)
        boxes = store.label_counts(scope).get(before, 0)
        store.rename_label(scope, class_id, wanted)
        return f"{before} renamed to {wanted} ({widgets.plural(boxes, 'box')})."

    act(call, clash=(class_id, other) if other != class_id else None)


def recolour(class_id: int, key: str, before: str) -> None:
    """Give a label the colour picked in the field of this key.

    before: as of `rename`.
    """
    tint = st.session_state[key]
    if tint == before:
        return

    def paint(store: Store, scope: Scope) -> str:
        store.recolour_label(scope, class_id, tint)
        return f"{_name(store, scope, class_id)} has a new colour."

    act(paint)


def move(class_id: int, place: int, store: Store, scope: Scope) -> str:
    """Move a label to a position in the order, from 0; class IDs stay."""
    labels = store.labels(scope)
    order = [labels.class_id(name) for name in labels.shown_names]
    order.remove(class_id)
    order.insert(place, class_id)
    store.order_labels(scope, order)
    return f"{_name(store, scope, class_id)} moved to position {place + 1}."


def sort_as_chosen(key: str) -> None:
    """Sort the labels by the order chosen in the menu of this key."""
    act(partial(_sort, widgets.offered(key, ORDERS, next(iter(ORDERS)))))


def _sort(order: str, store: Store, scope: Scope) -> str:
    ordered = sorted(rows_of(store, scope), key=ORDERS[order])
    store.order_labels(scope, [row.class_id for row in ordered])
    return f"Labels sorted: {order[0].lower() + order[1:]}."


def merge(class_id: int, into: int, store: Store, scope: Scope) -> str:
    """Give a label's boxes to another one."""
    name, other = _name(store, scope, class_id), _name(store, scope, into)
    result = store.merge_label(scope, class_id, into=into)
    return (
        f"{name} merged into {other}: {widgets.plural(result.boxes, 'box')} on "
        f"{widgets.plural(result.images, 'image')}."
    )


def delete(class_id: int, store: Store, scope: Scope) -> str:
    """Delete a label with its boxes."""
    name = _name(store, scope, class_id)
    result = store.delete_label(scope, class_id, with_boxes=True)
    if not result.boxes:
        return f"{name} deleted."
    return (
        f"{name} deleted with {widgets.plural(result.boxes, 'box')} on "
        f"{widgets.plural(result.images, 'image')}."
    )


def _name(store: Store, scope: Scope, class_id: int) -> str:
    return store.labels(scope).labels[class_id].name


def open_button(key: str = "labels.open") -> None:
    """Draw the button that opens the label manager."""
    if st.button(
        "Labels",
        key=key,
        icon=":material/label:",
        help="Add, rename, recolour, order, merge and delete labels.",
    ):
        begin()
        st.session_state.pop(_SEARCH, None)
        _dialog()


# The page shows the new names and colours once the dialog is closed.
@st.dialog("Labels", width=_WIDTH_PX, icon=":material/label:", on_dismiss="rerun")
@widgets.in_dialog
def _dialog() -> None:
    state.leave_deleted_dataset()
    draw()


def draw() -> None:
    """Draw the labels with their actions."""
    rows = rows_of(services.store(), state.scope())
    _draw_outcome()
    if not rows:
        st.info("This dataset has no labels yet. Add the first one.")
    matching = _search(rows)
    if rows and not matching:
        st.info("No labels match the search.")
    for row in widgets.page_of(matching, page_size=_PAGE_SIZE, key="labels.page"):
        _draw_row(row, rows)
    _draw_addition()


def _draw_outcome() -> None:
    outcome = last_outcome()
    if outcome.is_problem:
        st.error(widgets.escape(outcome.text))
    words, back, again = st.columns([6, 1.2, 1.2], vertical_alignment="center")
    with words:
        if outcome.clash:
            _offer_merge(*outcome.clash)
        elif outcome.text and not outcome.is_problem:
            st.markdown(f":material/check: {widgets.escape(outcome.text)}")
        else:
            st.caption(
                f"Keys 1 to {_KEYS} in the editor select the labels in this order; of "
                "more labels, pinned, guessed and recent ones. Class IDs never change."
            )
    back.button(
        "Undo",
        key="labels.undo",
        icon=":material/undo:",
        disabled=not outcome.done,
        on_click=undo,
        width="stretch",
    )
    again.button(
        "Redo",
        key="labels.redo",
        icon=":material/redo:",
        disabled=not outcome.undone,
        on_click=redo,
        width="stretch",
    )


def _offer_merge(class_id: int, into: int) -> None:
    labels = services.store().labels(state.scope()).labels
    st.button(
        f"Merge {widgets.escape(labels[class_id].name)} into "
        f"{widgets.escape(labels[into].name)}",
        key="labels.merge_instead",
        icon=":material/call_merge:",
        on_click=act,
        args=(partial(merge, class_id, into),),
    )


def _search(rows: Sequence[ManagedLabel]) -> Sequence[ManagedLabel]:
    if len(rows) <= 2:
        return rows
    search, order = st.columns([6, 1.2], vertical_alignment="bottom")
    wanted = search.text_input(
        "Search",
        key=_SEARCH,
        type="search",
        placeholder=f"Search {widgets.plural(len(rows), 'label')}",
        label_visibility="collapsed",
    )
    order.menu_button(
        "Sort",
        list(ORDERS),
        key=_SORT,
        width="stretch",
        help="Changes the order on screen, not the class IDs.",
        on_click=sort_as_chosen,
        args=(_SORT,),
    )
    text = (wanted or "").strip().casefold()
    return [row for row in rows if text in row.label.name.casefold()]


def _draw_row(row: ManagedLabel, rows: Sequence[ManagedLabel]) -> None:
    cells = st.columns(_COLUMNS, gap="small", vertical_alignment="center")
    name, colour = row.label.name, row.label.colour
    at = f"{row.class_id}.{hash((name, colour, last_outcome().tries))}"
    cells[0].color_picker(
        f"Colour of {name}",
        colour,
        key=f"labels.colour.{at}",
        label_visibility="collapsed",
        on_change=recolour,
        args=(row.class_id, f"labels.colour.{at}", colour),
    )
    cells[1].text_input(
        f"Name of {name}",
        name,
        key=f"labels.name.{at}",
        max_chars=MAX_LABEL_LENGTH,
        label_visibility="collapsed",
        on_change=rename,
        args=(row.class_id, f"labels.name.{at}", name),
    )
    cells[2].caption(f"ID {row.class_id}", help="Class ID, the same in every export.")
    cells[3].caption(widgets.plural(row.boxes, "box"))
    _draw_moves(row, len(rows), cells[4], cells[5])
    with cells[6].popover("More", key=f"labels.more.{at}", width="stretch"):
        _draw_more(row, rows)


def _draw_moves(
    row: ManagedLabel, count: int, up: "DeltaGenerator", down: "DeltaGenerator"
) -> None:
    is_searching = bool(st.session_state.get(_SEARCH))
    moves = ((up, "up", -1, row.place == 0), (down, "down", 1, row.place == count - 1))
    for cell, word, step, is_at_end in moves:
        with cell:
            widgets.icon_button(
                f"Move {row.label.name} {word}",
                key=f"labels.{word}.{row.class_id}",
                icon=f":material/arrow_{word}ward:",
                is_plain=True,
                disabled=is_at_end or is_searching,
                hint=f"Move {word}",
                on_click=act,
                args=(partial(move, row.class_id, row.place + step),),
            )


def _draw_more(row: ManagedLabel, rows: Sequence[ManagedLabel]) -> None:
    key, name = str(row.class_id), widgets.escape(row.label.name)
    others = {other.class_id: other.label.name for other in rows if other != row}
    boxes = f"its {widgets.plural(row.boxes, 'box')}"
    if others:
        place = st.number_input(
            "Position",
            1,
            len(rows),
            row.place + 1,
            key=f"labels.place.{key}.{row.place}",
        )
        st.button(
            "Move",
            key=f"labels.move.{key}",
            disabled=place == row.place + 1,
            on_click=act,
            args=(partial(move, row.class_id, place - 1),),
        )
        into = st.selectbox(
            f"Merge {name} and {boxes} into",
            list(others),
            index=None,
            format_func=others.__getitem__,
            placeholder="Choose a label",
            key=f"labels.into.{key}.{hash(tuple(others))}",
        )
        if into is not None:
            st.button(
                f"Merge into {widgets.escape(others[into])}",
                key=f"labels.merge.{key}",
                type="primary",
                icon=":material/call_merge:",
                on_click=act,
                args=(partial(merge, row.class_id, into),),
            )
    st.caption(
        f"Deleting {name} also deletes {boxes}. Merge the label to keep them."
        if row.boxes and others
        else f"The class ID of {name} is not reused."
    )
    st.button(
        f"Delete label and {boxes}" if row.boxes else "Delete label",
        key=f"labels.delete.{key}",
        icon=":material/delete:",
        on_click=act,
        args=(partial(delete, row.class_id),),
    )


def _draw_addition() -> None:
    with st.form(_ADD + ".form", clear_on_submit=True, border=False):
        field, button = st.columns([5, 1.2], vertical_alignment="bottom")
        field.text_input(
            "Add a label",
            key=_ADD,
            max_chars=MAX_LABEL_LENGTH,
            placeholder="Add a label",
            label_visibility="collapsed",
        )
        button.form_submit_button(
            "Add",
            key=f"{_ADD}.submit",
            icon=":material/add:",
            width="stretch",
            on_click=add,
            args=(_ADD,),
        )
