"""Box table of an image, and the attributes of its boxes."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import pandas as pd
import streamlit as st

from imagebase.annotation import Annotation, Attributes, ImageRecord, LabelSet, new_id
from imagebase.annotation.attributes import FLAGS, in_words, parsed, value_of
from imagebase.editing.box_table import (
    TableEdits,
    TableRow,
    apply_table_edits,
    table_row,
)
from imagebase.editing.records import describe
from imagebase.errors import EditError, ImageBaseError, RevisionConflictError
from imagebase.ui.edit import canvas, changes
from imagebase.ui.edit.canvas_state import RecordAccess
from imagebase.ui.state import undisturbed

_TABLE: Final = "imagebase.table."
_MODEL: Final = "○"
_ACCEPTED: Final = "✓"
_PERSON: Final = "✎"
_NOT_EDITED: Final = TableEdits()
_KEPT_FILLINGS: Final = 8
_NAMESPACE: Final = uuid.UUID("6f1f0a6e-4a39-4a76-9c8e-0d9c33c1a1f4")


# Id, origin, cells and attributes of a box.
_ShownRow = tuple[str, str, TableRow, str]
_CHOSEN: Final = "edit.attributes.box"
_EXAMPLE: Final = "color = red"


@dataclass(slots=True)
class Filling:
    """The boxes that a version of the table was filled with, and its saved edits."""

    image_id: str
    base: tuple[Annotation, ...]
    applied: TableEdits = _NOT_EDITED


@dataclass(slots=True)
class BoxTableState:
    """Table of one session.

    synced: the rows that the browser shows; None: fill again.
    """

    version: str = ""
    fillings: dict[str, Filling] = field(default_factory=dict)
    synced: tuple[_ShownRow, ...] | None = None


def draw_table(
    record: ImageRecord,
    *,
    labels: LabelSet,
    access: RecordAccess,
    offered_labels: Sequence[str] = (),
    height: int | None = None,
    key: str = "edit.table",
    canvas_key: str = canvas.CANVAS_KEY,
) -> None:
    """Draw the boxes as a table; all but origin and confidence can be edited."""
    table = _table(key)
    if not _shows(table, record) or f"{key}.{table.version}" not in st.session_state:
        _refill(table, record)
    known = [*labels.shown_names, *record.labels, *offered_labels]
    names = list(dict.fromkeys(known))
    st.data_editor(
        _frame(table.fillings[table.version].base),
        key=f"{key}.{table.version}",
        num_rows="dynamic",
        hide_index=True,
        width="stretch",
        placeholder="–",
        height="content" if height is None else height,
        column_config=_columns(names),
        on_change=partial(_apply, access, key, canvas_key, table.version),
    )


def _table(key: str) -> BoxTableState:
    table: BoxTableState = st.session_state.setdefault(_TABLE + key, BoxTableState())
    return table


def _shows(table: BoxTableState, record: ImageRecord) -> bool:
    filling = table.fillings.get(table.version)
    is_same_image = filling is not None and filling.image_id == record.image_id
    return is_same_image and table.synced == _seen(record)


def _seen(record: ImageRecord) -> tuple[_ShownRow, ...]:
    return tuple(
        (
            annotation.annotation_id,
            _origin(annotation),
            table_row(annotation),
            in_words(annotation.attributes),
        )
        for annotation in record.annotations
    )


def _refill(table: BoxTableState, record: ImageRecord) -> None:
    table.version = new_id()[:8]
    table.fillings[table.version] = Filling(record.image_id, record.annotations)
    table.synced = _seen(record)
    while len(table.fillings) > _KEPT_FILLINGS:
        del table.fillings[next(iter(table.fillings))]


def _frame(annotations: tuple[Annotation, ...]) -> pd.DataFrame:
    rows = [
        (
            _origin(annotation),
            annotation.label,
            _percent(annotation),
            *table_row(annotation)[1:],
        )
        for annotation in annotations
    ]
    frame = pd.DataFrame(
        rows, columns=["origin", "label", "confidence", "x", "y", "width", "height"]
    )
    if any(annotation.attributes for annotation in annotations):
        frame["attributes"] = [
            in_words(annotation.attributes) for annotation in annotations
        ]
    numbers = ["confidence", "x", "y", "width", "height"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def _percent(annotation: Annotation) -> float | None:
    return None if annotation.confidence is None else annotation.confidence * 100


def _origin(annotation: Annotation) -> str:
    if annotation.is_untouched:
        return _MODEL
    return _ACCEPTED if annotation.accepted else _PERSON


def _columns(names: list[str]) -> dict[str, Any]:
    column = st.column_config
    numbers = {
        name: column.NumberColumn(
            heading, format="%.0f", min_value=0.0, required=True, width=50
        )
        for name, heading in (("x", "x"), ("y", "y"), ("width", "w"), ("height", "h"))
    }
    return {
        "origin": column.TextColumn(
            "by",
            disabled=True,
            width=32,
            help=f"{_MODEL} model, {_ACCEPTED} model, accepted by a person, {_PERSON} "
            "person",
        ),
        "label": column.SelectboxColumn(
            "label", options=names, required=True, width=104
        ),
        "confidence": column.NumberColumn(
            "conf.",
            format="%.0f %%",
            disabled=True,
            width=48,
            help="Confidence of the model.",
        ),
        **numbers,
        "attributes": column.TextColumn(
            "attributes", disabled=True, help="Edit under Attributes below."
        ),
    }


def _apply(access: RecordAccess, key: str, canvas_key: str, version: str) -> None:
    """Save the edits of the table, after earlier drawings on the canvas."""
    interruptions: list[BaseException] = []
    finish = partial(undisturbed, interruptions=interruptions)
    finish(partial(canvas.settle, key=canvas_key))
    table = finish(partial(_table, key))
    filling = table.fillings.get(version)
    if filling is not None:
        state = finish(lambda: st.session_state.get(f"{key}.{version}")) or {}
        try:
            edits = _edits(state)
            save = partial(_apply_and_save, filling, version, edits, access)
            saved = finish(save)
        except ImageBaseError as error:
            finish(partial(_report, error, access, canvas_key))
            table.synced = None
        else:
            filling.applied = edits
            has_same_rows = not edits.added and not edits.deleted
            is_shown = has_same_rows and table.version == version
            table.synced = _seen(saved) if is_shown else None
    if interruptions:
        raise interruptions[-1]


def _report(error: ImageBaseError, access: RecordAccess, canvas_key: str) -> None:
    if isinstance(error, RevisionConflictError) and access.on_conflict is not None:
        access.on_conflict(error)
    else:
        canvas.report(str(error), key=canvas_key)


def _apply_and_save(
    filling: Filling, version: str, edits: TableEdits, access: RecordAccess
) -> ImageRecord:
    record = access.load(filling.image_id)
    edited = apply_table_edits(
        record,
        base=filling.base,
        edits=edits,
        applied=filling.applied,
        added_ids=[
            uuid.uuid5(_NAMESPACE, f"{version}/{i}").hex
            for i in range(len(edits.added))
        ],
        who=access.who,
    )
    return record if edited is record else access.save(edited)


def _edits(state: dict[str, Any]) -> TableEdits:
    return TableEdits(
        edited={int(row): cells for row, cells in state.get("edited_rows", {}).items()},
        added=tuple(state.get("added_rows", ())),
        deleted=frozenset(int(row) for row in state.get("deleted_rows", ())),
    )


_Change = Callable[[Attributes], Mapping[str, object]]


def draw_attributes(record: ImageRecord) -> None:
    """Draw the popover with the attributes of a box."""
    described = sum(
        bool(in_words(annotation.attributes)) for annotation in record.annotations
    )
    with st.popover(
        f"Attributes ({described})" if described else "Attributes",
        icon=":material/sell:",
        key="edit.attributes",
        disabled=not record.annotations,
        help="Occluded, truncated, difficult, and other attributes of a box.",
    ):
        if record.annotations:
            chosen = _choose(record)
            _draw_flags(chosen)
            _draw_others(chosen)


def _choose(record: ImageRecord) -> Annotation:
    """Draw the choice of a box, named as in the table; return it."""
    boxes = {annotation.annotation_id: annotation for annotation in record.annotations}
    names = {
        box_id: f"{number} {box.label}"
        for number, (box_id, box) in enumerate(boxes.items(), start=1)
    }
    if st.session_state.get(_CHOSEN) not in boxes:
        st.session_state[_CHOSEN] = next(iter(boxes))
    chosen = st.selectbox("Box", names, format_func=names.__getitem__, key=_CHOSEN)
    return boxes[chosen]


def _draw_flags(annotation: Annotation) -> None:
    with st.container(horizontal=True):
        for flag in FLAGS:
            key = _key(annotation, flag)
            # Set from the record, since undo changes them too.
            st.session_state[key] = annotation.attributes.get(flag) is True
            st.checkbox(
                flag.capitalize(),
                key=key,
                on_change=_set_flag,
                args=(annotation.annotation_id, flag, key),
            )


def _draw_others(annotation: Annotation) -> None:
    words = _other_words(annotation.attributes)
    key = _key(annotation, "others")
    st.session_state[key] = list(words)
    st.multiselect(
        "Other attributes",
        list(words),
        accept_new_options=True,
        key=key,
        placeholder=f"Type {_EXAMPLE}",
        on_change=_set_others,
        args=(annotation.annotation_id, key),
        help=f"A name, or a name and a value such as {_EXAMPLE}. "
        "Enter adds it, × deletes it.",
    )


def _key(annotation: Annotation, what: str) -> str:
    return f"edit.attributes.{annotation.annotation_id}.{what}"


def _other_words(attributes: Attributes) -> dict[str, str]:
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
        updated = {n: value for n, value in attributes.items() if n not in others}
        for text in wanted:
            name, value = parsed(text)
            if text in words:
                updated[words[text]] = attributes[words[text]]
            else:
                updated[name] = True if value is None else value_of(value)
        return updated

    _change(annotation_id, change)


def _change(annotation_id: str, change: _Change) -> None:
    changes.change(partial(_changed, annotation_id, change))


def _changed(
    annotation_id: str, change: _Change, record: ImageRecord, who: str
) -> ImageRecord:
    try:
        known = record.annotation(annotation_id).attributes
    except KeyError:
        raise EditError("That box no longer exists; select another one.") from None
    return describe(record, annotation_id, change(known), who=who)
