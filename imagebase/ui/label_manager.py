"""The labels of a dataset in a dialog: names, colours, order, merging, deleting."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import streamlit as st

from imagebase.annotation import MAX_LABEL_LENGTH
from imagebase.ui import backend, state, widgets
from imagebase.ui import label_actions as acts

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

_ADD: Final = "labels.add"
_SEARCH: Final = "labels.search"
_SORT: Final = "labels.sort"
_PAGE_SIZE: Final = 8
_WIDTH_PX: Final = 780
_COLUMNS: Final = [0.5, 3.6, 0.7, 1.1, 0.55, 0.55, 1.5]
_KEYS: Final = 9


def open_button(key: str = "labels.open") -> None:
    """Draw the button that opens the labels of the dataset."""
    if st.button(
        "Labels",
        key=key,
        icon=":material/label:",
        help="Add, rename, recolour, order, merge and delete labels.",
    ):
        acts.begin()
        st.session_state.pop(_SEARCH, None)
        _dialog()


# What is behind the dialog shows the new names and colours once it is closed.
@st.dialog("Labels", width=_WIDTH_PX, icon=":material/label:", on_dismiss="rerun")
@widgets.in_dialog
def _dialog() -> None:
    state.leave_deleted_dataset()
    draw()


def draw() -> None:
    """Draw every label with what can be done to it."""
    rows = acts.rows_of(backend.store(), state.scope())
    _say()
    if not rows:
        st.info("This dataset has no labels yet. Add the first one.")
    found = _found(rows)
    if rows and not found:
        st.info("No label has this in its name. Search for something else.")
    for row in widgets.page_of(found, page_size=_PAGE_SIZE, key="labels.page"):
        _draw_row(row, rows)
    _draw_addition()


def _say() -> None:
    told = acts.told()
    if told.is_problem:
        st.error(widgets.escape(told.text))
    words, back, again = st.columns([6, 1.2, 1.2], vertical_alignment="center")
    with words:
        if told.clash:
            _offer_merge(*told.clash)
        elif told.text and not told.is_problem:
            st.markdown(f":material/check: {widgets.escape(told.text)}")
        else:
            st.caption(
                f"The first {_KEYS} have the keys 1 to {_KEYS} in the editor. "
                "A class number never changes."
            )
    back.button(
        "Undo",
        key="labels.undo",
        icon=":material/undo:",
        disabled=not told.done,
        on_click=acts.undo,
        width="stretch",
    )
    again.button(
        "Redo",
        key="labels.redo",
        icon=":material/redo:",
        disabled=not told.undone,
        on_click=acts.redo,
        width="stretch",
    )


def _offer_merge(class_id: int, into: int) -> None:
    labels = backend.store().labels(state.scope()).labels
    st.button(
        f"Merge {widgets.escape(labels[class_id].name)} into "
        f"{widgets.escape(labels[into].name)}",
        key="labels.merge_instead",
        icon=":material/call_merge:",
        on_click=acts.act,
        args=(partial(acts.merge, class_id, into),),
    )


def _found(rows: Sequence[acts.Row]) -> Sequence[acts.Row]:
    """Draw the search and the orders where there are several; return what is found."""
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
        list(acts.ORDERS),
        key=_SORT,
        width="stretch",
        help="Only the order on screen changes.",
        on_click=acts.sort_as_chosen,
        args=(_SORT,),
    )
    text = (wanted or "").strip().casefold()
    return [row for row in rows if text in row.label.name.casefold()]


def _draw_row(row: acts.Row, rows: Sequence[acts.Row]) -> None:
    cells = st.columns(_COLUMNS, gap="small", vertical_alignment="center")
    name, colour = row.label.name, row.label.colour
    at = f"{row.class_id}.{hash((name, colour, acts.told().tries))}"
    cells[0].color_picker(
        f"Colour of {name}",
        colour,
        key=f"labels.colour.{at}",
        label_visibility="collapsed",
        on_change=acts.recolour,
        args=(row.class_id, f"labels.colour.{at}"),
    )
    cells[1].text_input(
        f"Name of {name}",
        name,
        key=f"labels.name.{at}",
        max_chars=MAX_LABEL_LENGTH,
        label_visibility="collapsed",
        on_change=acts.rename,
        args=(row.class_id, f"labels.name.{at}"),
    )
    cells[2].caption(f"№ {row.class_id}", help="Its class number in every export.")
    cells[3].caption(widgets.plural(row.boxes, "box"))
    _draw_moves(row, len(rows), cells[4], cells[5])
    with cells[6].popover("More", key=f"labels.more.{at}", width="stretch"):
        _draw_more(row, rows)


def _draw_moves(
    row: acts.Row,
    count: int,
    up: "DeltaGenerator",
    down: "DeltaGenerator",
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
                hint=f"Move {word}: only the order on screen changes.",
                on_click=acts.act,
                args=(partial(acts.move, row.class_id, row.place + step),),
            )


def _draw_more(row: acts.Row, rows: Sequence[acts.Row]) -> None:
    """Draw what moves a label far, and what makes it go."""
    key, name = str(row.class_id), widgets.escape(row.label.name)
    others = {one.class_id: one.label.name for one in rows if one != row}
    boxes = f"its {widgets.plural(row.boxes, 'box')}"
    if others:
        place = st.number_input(
            "Place in the list",
            1,
            len(rows),
            row.place + 1,
            key=f"labels.place.{key}.{row.place}",
        )
        st.button(
            "Move there",
            key=f"labels.move.{key}",
            disabled=place == row.place + 1,
            on_click=acts.act,
            args=(partial(acts.move, row.class_id, place - 1),),
        )
        into = st.selectbox(
            f"Merge {name}: {boxes} get the label",
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
                on_click=acts.act,
                args=(partial(acts.merge, row.class_id, into),),
            )
    st.caption(
        f"Deleting {name} deletes {boxes} too. To keep them, merge."
        if row.boxes and others
        else f"No other label takes the class number of {name}."
    )
    st.button(
        f"Delete it and {boxes}" if row.boxes else "Delete it",
        key=f"labels.delete.{key}",
        icon=":material/delete:",
        on_click=acts.act,
        args=(partial(acts.delete, row.class_id),),
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
            on_click=acts.add,
            args=(_ADD,),
        )
