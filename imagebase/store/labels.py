"""Labels of a dataset: class ids for good, names that may change, and mappings."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from imagebase.annotation import Label, LabelSet, clean_label, utc_now
from imagebase.errors import LimitError, StoreError
from imagebase.store.column_types import AnyRow, JsonObject
from imagebase.store.diff import LABEL
from imagebase.store.repository import StorePart, grow_version
from imagebase.store.scope import Scope
from imagebase.store.tables import (
    annotations,
    events,
    label_aliases,
    label_mappings,
    labels,
)

NAMELESS: Final = "A label needs a name; give it one."


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label as its row and events hold it.

    position: its class number, for good. place: where a person sees it.
    is_hidden: deleted by a person. merged_into: the class number of the label that has
        taken the boxes of a hidden one.
    """

    position: int
    name: str
    colour: str
    place: int
    is_hidden: bool
    merged_into: int | None = None


def stored_labels(connection: Connection, dataset_id: str) -> LabelSet:
    """Return a dataset's labels by class number."""
    query = (
        select(labels.c.name, labels.c.colour, labels.c.place, labels.c.is_hidden)
        .where(labels.c.dataset_id == dataset_id)
        .order_by(labels.c.position)
    )
    return LabelSet(tuple(Label(*row) for row in connection.execute(query)))


def class_ids_of(connection: Connection, dataset_id: str) -> dict[str, int]:
    """Return the class numbers of a dataset's labels by name, hidden ones included."""
    query = select(labels.c.name, labels.c.position)
    mine = query.where(labels.c.dataset_id == dataset_id)
    return dict(connection.execute(mine).all())


def label_rows(connection: Connection, dataset_id: str) -> dict[int, LabelRow]:
    """Return a dataset's labels with what only the store knows, by class number."""
    known = stored_labels(connection, dataset_id)
    aliases = stored_aliases(connection, dataset_id)
    return {
        position: LabelRow(
            position, *row, merged_into=aliases.get(row.name) if row.is_hidden else None
        )
        for position, row in enumerate(known)
    }


def stored_aliases(connection: Connection, dataset_id: str) -> dict[str, int]:
    """Return the names that labels had before, each with its class number."""
    query = select(label_aliases.c.name, label_aliases.c.position)
    mine = query.where(label_aliases.c.dataset_id == dataset_id)
    return dict(connection.execute(mine).all())


def standing(rows: Mapping[int, LabelRow], position: int) -> LabelRow:
    """Return the label that a class number stands for, through what it went into."""
    row = rows[position]
    for _ in rows:
        if not row.is_hidden or row.merged_into is None:
            break
        row = rows[row.merged_into]
    return row


def former_names(connection: Connection, dataset_id: str) -> dict[str, str]:
    """Return what labels were called before, each with what it is called now.

    A name that is a label's again, and can be chosen, speaks for that label.
    """
    aliases = stored_aliases(connection, dataset_id)
    if not aliases:
        return {}
    rows = label_rows(connection, dataset_id)
    shown = {row.name for row in rows.values() if not row.is_hidden}
    return {
        name: standing(rows, position).name
        for name, position in aliases.items()
        if name not in shown
    }


def append_labels(
    connection: Connection,
    dataset_id: str,
    names: Iterable[str],
    *,
    most: int | None = None,
) -> LabelSet:
    """Return the dataset's labels with these at their end, stored.

    One that is there under another name by now is not added; a hidden one is shown.

    Args:
        connection: a transaction that holds the dataset's lock.
        dataset_id: the dataset.
        names: the labels that shall be there.
        most: how many labels there may be; None is any number.

    Raises:
        LimitError: there would be more of them than may be.
        StoreError: a label has no name.
    """
    wanted = [checked_name(name) for name in names]
    now = former_names(connection, dataset_id)
    known = stored_labels(connection, dataset_id)
    grown = known.with_labels(dict.fromkeys(now.get(name, name) for name in wanted))
    if grown == known:
        return known
    check_count(len(grown), before=len(known), most=most)
    shown = [
        row.name
        for row, before in zip(grown, known, strict=False)
        if before.is_hidden and not row.is_hidden
    ]
    if shown:
        connection.execute(
            update(labels)
            .where(labels.c.dataset_id == dataset_id, labels.c.name.in_(shown))
            .values(is_hidden=False)
        )
    if len(grown) > len(known):
        new = enumerate(grown.labels[len(known) :], start=len(known))
        connection.execute(
            insert(labels),
            [
                {"dataset_id": dataset_id, "position": position, **row._asdict()}
                for position, row in new
            ],
        )
    grow_version(connection, dataset_id)
    return grown


def checked_name(name: str) -> str:
    """Return a label's name as it can be kept.

    Raises:
        StoreError: nothing is left of it.
    """
    try:
        return clean_label(name)
    except ValueError as error:
        raise StoreError(NAMELESS) from error


def check_count(count: int, *, before: int, most: int | None) -> None:
    """Let pass only as many labels as may be; fewer than there were always pass.

    Raises:
        LimitError: there would be too many.
    """
    if most is not None and before < count and count > most:
        raise LimitError(
            f"A dataset has at most {most:,} labels, deleted ones included; "
            "rename one that is not needed."
        )


class Labels(StorePart):
    """What labels there are, and what a model's labels are called here."""

    def labels(self, scope: Scope) -> LabelSet:
        """Return the dataset's labels; a label's class id is its position."""
        with self._reading(scope) as connection:
            return stored_labels(connection, scope.dataset_id)

    def add_labels(self, scope: Scope, names: Iterable[str]) -> LabelSet:
        """Return the dataset's labels with these at their end, unless they are there.

        A name that a label had before stands for that label; `add_label` is for a
        person who wants a label of just this name.

        Raises:
            LimitError: there would be more labels than may be.
            StoreError: a label has no name.
        """
        with self._writing(scope) as connection:
            return append_labels(
                connection, scope.dataset_id, names, most=self._max_labels
            )

    def former_label_names(self, scope: Scope) -> dict[str, str]:
        """Return what labels were called before, with what each is called now."""
        with self._reading(scope) as connection:
            return former_names(connection, scope.dataset_id)

    def label_mapping(self, scope: Scope, model_id: str) -> dict[str, str | None]:
        """Return what a model's labels are called here; None leaves one's boxes out.

        Only those are there that a person gave a name. It follows a label that is
        renamed, or goes into another one.
        """
        query = select(label_mappings.c.model_label, label_mappings.c.label).where(
            label_mappings.c.dataset_id == scope.dataset_id,
            label_mappings.c.model_id == model_id,
        )
        with self._reading(scope) as connection:
            now = former_names(connection, scope.dataset_id)
            return {
                model_label: None if label is None else now.get(label, label)
                for model_label, label in connection.execute(query)
            }

    def save_label_mapping(
        self, scope: Scope, model_id: str, mapping: Mapping[str, str | None]
    ) -> None:
        """Save what a model's labels are called here, in place of earlier names.

        Raises:
            StoreError: a name is empty; None leaves a label's boxes out.
        """
        rows = [
            {
                "dataset_id": scope.dataset_id,
                "model_id": model_id,
                "model_label": model_label,
                "label": None if label is None else checked_name(label),
            }
            for model_label, label in mapping.items()
        ]
        with self._writing(scope) as connection:
            connection.execute(
                delete(label_mappings).where(
                    label_mappings.c.dataset_id == scope.dataset_id,
                    label_mappings.c.model_id == model_id,
                )
            )
            if rows:
                connection.execute(insert(label_mappings), rows)


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
    new_events = [
        label_event(scope, change_key, before.get(position), row)
        for position, row in after.items()
        if before.get(position) != row
    ]
    if new_events:
        connection.execute(insert(events), new_events)


def label_event(
    scope: Scope, change_key: int, before: LabelRow | None, after: LabelRow
) -> dict[str, object]:
    """Return an event that tells what became of a label."""
    old = None if before is None else asdict(before)
    label_id = str(after.position)
    return dataset_event(scope, change_key, LABEL, label_id, old, asdict(after))


def dataset_event(
    scope: Scope,
    change_key: int,
    kind: str,
    subject_id: str | None,
    before: JsonObject | None,
    after: JsonObject | None,
) -> dict[str, object]:
    """Return the row of an event of no image."""
    return {
        "change_key": change_key,
        "dataset_id": scope.dataset_id,
        "image_id": NO_IMAGE,
        "kind": kind,
        "annotation_id": subject_id,
        "before": before,
        "after": after,
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
    removed = []
    for event in sorted(created, key=lambda event: -int(event.annotation_id)):
        rows = label_rows(connection, scope.dataset_id)
        row = rows.get(int(event.annotation_id))
        if row is None or row.is_hidden or _is_used(connection, scope, row):
            continue
        if _is_last(connection, scope, rows, row, event):
            _remove(connection, scope, row, event)
        else:
            _hide(connection, scope, row)
        removed.append(row.name)
    if removed:
        grow_version(connection, scope.dataset_id)
    return removed


def _is_used(connection: Connection, scope: Scope, row: LabelRow) -> bool:
    boxes = select(func.count()).where(
        annotations.c.dataset_id == scope.dataset_id,
        annotations.c.is_deleted.in_([False, True]),
        annotations.c.class_id == row.position,
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
    described = select(func.count()).where(
        events.c.dataset_id == scope.dataset_id,
        events.c.image_id == NO_IMAGE,
        events.c.kind == LABEL,
        events.c.annotation_id == str(row.position),
        events.c.event_id != event.event_id,
    )
    is_known = any(connection.scalar(query) for query in (named, described))
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
