"""What a person does in the table of boxes: from cells to a changed record."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from imagebase.annotation import Annotation, Box, ImageRecord, Size
from imagebase.editing.records import checked_box, checked_label, with_edits


class TableRow(NamedTuple):
    """A box as a table shows it: near corner and size in image pixels."""

    label: str
    x: float
    y: float
    width: float
    height: float


class TableEdits(NamedTuple):
    """All edits of a table since it was filled, by row number.

    edited: changed cells of the rows it was filled with.
    added: cells of rows put below them.
    deleted: rows that were deleted.
    """

    edited: Mapping[int, Mapping[str, object]] = {}
    added: Sequence[Mapping[str, object]] = ()
    deleted: Collection[int] = ()


def table_row(annotation: Annotation) -> TableRow:
    """Return a box as the table shows it."""
    box = annotation.box
    return TableRow(annotation.label, box.x_min, box.y_min, box.width, box.height)


def apply_table_edits(
    record: ImageRecord,
    *,
    base: Sequence[Annotation],
    edits: TableEdits,
    applied: TableEdits,
    added_ids: Sequence[str],
    who: str,
) -> ImageRecord:
    """Return the record with what a person did in the table since `applied`.

    Args:
        base: the boxes the table was filled with, in the order of its rows.
        edits: everything done to the table since, this time included.
        applied: the part of it that the record holds already.
        added_ids: an id for each added row, the same ones every time.

    Raises:
        EditError: a number is missing, a box is outside the image or without area, a
            label is blank. Nothing is changed then.
    """
    ids = [*(annotation.annotation_id for annotation in base), *added_ids]
    before = dict(zip(ids, _rows(base, applied), strict=False))
    after = dict(zip(ids, _rows(base, edits), strict=False))
    changed = {i: row for i, row in after.items() if row != before.get(i)}
    changed |= {i: None for i in before if i not in after}
    edited = [
        new
        for annotation in record.annotations
        if (new := _row_applied(annotation, before, changed, record.size, who))
        is not None
    ]
    deleted = [
        annotation
        for annotation in record.annotations
        if annotation.annotation_id in changed
        and changed[annotation.annotation_id] is None
    ]
    present = {annotation.annotation_id for annotation in record.annotations}
    for annotation_id, row in changed.items():
        if (
            row is not None
            and annotation_id not in present
            and annotation_id not in (before)
        ):
            box = checked_box(_row_box(row), record.size)
            label = checked_label(row.label)
            edited.append(Annotation(box, label, annotation_id, changed_by=who))
    return with_edits(record, edited, deleted=deleted)


def _rows(base: Sequence[Annotation], edits: TableEdits) -> list[TableRow | None]:
    rows: list[TableRow | None] = [
        None
        if i in edits.deleted
        else _with_cells(table_row(box), edits.edited.get(i, {}))
        for i, box in enumerate(base)
    ]
    empty = TableRow("", math.nan, math.nan, math.nan, math.nan)
    return rows + [_with_cells(empty, cells) for cells in edits.added]


def _with_cells(row: TableRow, cells: Mapping[str, object]) -> TableRow:
    known = {name: cells[name] for name in TableRow._fields if name in cells}
    label = known.pop("label", row.label)
    numbers = {name: _number(value) for name, value in known.items()}
    return row._replace(label="" if label is None else str(label), **numbers)


def _number(value: object) -> float:
    """Return a cell as a float: whole numbers come back as integers."""
    return float(value) if isinstance(value, int | float) else math.nan


def _row_applied(
    annotation: Annotation,
    before: Mapping[str, TableRow | None],
    changed: Mapping[str, TableRow | None],
    size: Size,
    who: str,
) -> Annotation | None:
    if annotation.annotation_id not in changed:
        return annotation
    row = changed[annotation.annotation_id]
    if row is None:
        return None
    last = before.get(annotation.annotation_id) or table_row(annotation)
    label = annotation.label if row.label == last.label else checked_label(row.label)
    box = annotation.box
    if row[1:] != last[1:]:
        box = checked_box(_row_moved(annotation.box, last, row), size)
    if label == annotation.label and box == annotation.box:
        return annotation
    return annotation.touched(who=who, box=box, label=label)


def _row_moved(own: Box, last: TableRow, row: TableRow) -> Box:
    """Return the box with the changed cells; edges without a changed cell stay."""
    x_min = own.x_min if row.x == last.x else row.x
    y_min = own.y_min if row.y == last.y else row.y
    x_max, y_max = own.x_max, own.y_max
    if (row.x, row.width) != (last.x, last.width):
        x_max = x_min + (own.width if row.width == last.width else row.width)
    if (row.y, row.height) != (last.y, last.height):
        y_max = y_min + (own.height if row.height == last.height else row.height)
    return Box(x_min, y_min, x_max, y_max)


def _row_box(row: TableRow) -> Box:
    return Box(row.x, row.y, row.x + row.width, row.y + row.height)
