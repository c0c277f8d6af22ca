"""Labels that came with a box: they go with it, when its change is taken back.

Whoever mistypes a label has it on a box first. Its change bears an event that tells of
the label, so that undo knows; a label that was added by itself is another change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Final

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from imagebase.annotation import utc_now
from imagebase.store.columns import AnyRow
from imagebase.store.differences import LABEL
from imagebase.store.labels import LabelRow, append_labels, label_rows
from imagebase.store.part import grow_version
from imagebase.store.scope import Scope
from imagebase.store.tables import (
    annotations,
    events,
    label_aliases,
    label_mappings,
    labels,
)

# The image of an event that is about a label.
NO_IMAGE: Final = ""


def append_with_boxes(
    connection: Connection,
    scope: Scope,
    names: Iterable[str],
    *,
    change_key: int,
    most: int | None = None,
) -> None:
    """Add the labels that boxes bring in, and tell of them in the boxes' change.

    Raises:
        LimitError: there would be more of them than may be.
    """
    before = label_rows(connection, scope.dataset_id)
    append_labels(connection, scope.dataset_id, names, most=most)
    after = label_rows(connection, scope.dataset_id)
    told = [
        label_event(scope, change_key, before.get(position), row)
        for position, row in after.items()
        if before.get(position) != row
    ]
    if told:
        connection.execute(insert(events), told)


def label_event(
    scope: Scope, change_key: int, before: LabelRow | None, after: LabelRow
) -> dict[str, object]:
    """Return an event that tells what became of a label."""
    return {
        "change_key": change_key,
        "dataset_id": scope.dataset_id,
        "image_id": NO_IMAGE,
        "kind": LABEL,
        "annotation_id": str(after.position),
        "before": None if before is None else asdict(before),
        "after": asdict(after),
        "head_before": "",
        "revision": 0,
        "created_at": utc_now(),
    }


def is_creation(event: AnyRow) -> bool:
    """Say whether an event tells of a label that can be chosen from then on."""
    if event.kind != LABEL:
        return False
    was_there = event.before is not None and not event.before["is_hidden"]
    return not was_there and not event.after["is_hidden"]


def take_back_labels(
    connection: Connection, scope: Scope, created: Iterable[AnyRow]
) -> list[str]:
    """Remove labels that no box has any more; return their names.

    The last one leaves no trace. A class number after it would move otherwise: one in
    between is hidden, as when a person deletes it.
    """
    gone = []
    for event in sorted(created, key=lambda one: -int(one.annotation_id)):
        rows = label_rows(connection, scope.dataset_id)
        row = rows.get(int(event.annotation_id))
        if row is None or row.is_hidden or _is_used(connection, scope, row):
            continue
        if _is_last(connection, scope, rows, row, event):
            _remove(connection, scope, row, event)
        else:
            _hide(connection, scope, row)
        gone.append(row.name)
    if gone:
        grow_version(connection, scope.dataset_id)
    return gone


def _is_used(connection: Connection, scope: Scope, row: LabelRow) -> bool:
    boxes = select(func.count()).where(
        annotations.c.dataset_id == scope.dataset_id,
        annotations.c.is_deleted.in_([False, True]),
        annotations.c.label == row.name,
    )
    mapped = select(func.count()).where(
        label_mappings.c.dataset_id == scope.dataset_id,
        label_mappings.c.label == row.name,
    )
    return any(connection.scalar(query) for query in (boxes, mapped))


def _is_last(
    connection: Connection,
    scope: Scope,
    rows: Mapping[int, LabelRow],
    row: LabelRow,
    event: AnyRow,
) -> bool:
    """Say whether nothing knows of a label but the event that it came with."""
    named = select(func.count()).where(
        label_aliases.c.dataset_id == scope.dataset_id,
        label_aliases.c.position == row.position,
    )
    told = select(func.count()).where(
        events.c.dataset_id == scope.dataset_id,
        events.c.image_id == NO_IMAGE,
        events.c.kind == LABEL,
        events.c.annotation_id == str(row.position),
        events.c.event_id != event.event_id,
    )
    is_known = any(connection.scalar(query) for query in (named, told))
    return row.position == max(rows) and not is_known


def _remove(connection: Connection, scope: Scope, row: LabelRow, event: AnyRow) -> None:
    of_label = and_(
        labels.c.dataset_id == scope.dataset_id, labels.c.position == row.position
    )
    connection.execute(delete(labels).where(of_label))
    connection.execute(delete(events).where(events.c.event_id == event.event_id))


def _hide(connection: Connection, scope: Scope, row: LabelRow) -> None:
    connection.execute(
        update(labels)
        .where(
            labels.c.dataset_id == scope.dataset_id, labels.c.position == row.position
        )
        .values(is_hidden=True)
    )
