"""What undo knows of labels: how they were before, and what they are called by now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection, select

from imagebase.errors import UndoRefusedError
from imagebase.store.column_types import AnyRow, JsonObject
from imagebase.store.diff import LABEL
from imagebase.store.label_changes import has_boxes, is_taken, write_labels
from imagebase.store.labels import NO_IMAGE, LabelRow, label_rows, standing
from imagebase.store.scope import Scope
from imagebase.store.tables import changes, events

# A label that was added is taken back by hiding it: its class number stays taken.
_NOT_ADDED: Final[JsonObject] = {"is_hidden": True, "merged_into": None}

Step = tuple[LabelRow | None, LabelRow]


@dataclass(frozen=True, slots=True)
class PastNames:
    """What a label that an old event speaks of is called now.

    rows: the present labels. steps: what changed on labels since, newest first,
        each with its event's number, its label's, and the name before; None for a label
        that was not there.
    """

    rows: Mapping[int, LabelRow]
    steps: Sequence[tuple[int, int, str | None]]
    _known: dict[int, dict[str, str]] = field(default_factory=dict)

    def now(self, name: str, event_id: int) -> str:
        """Return the present name of the label that had this name at an event."""
        if not self.steps:
            return name
        later = sum(step[0] > event_id for step in self.steps)
        if later not in self._known:
            self._known[later] = self._names_before(later)
        return self._known[later].get(name, name)

    def _names_before(self, count: int) -> dict[str, str]:
        then: dict[int, str | None] = {at: row.name for at, row in self.rows.items()}
        for _, position, name in self.steps[:count]:
            then[position] = name
        return {
            name: standing(self.rows, position).name
            for position, name in then.items()
            if name is not None
        }


def past_names(connection: Connection, scope: Scope, *, since: int) -> PastNames:
    """Return what labels were called since an event, and are called now."""
    query = (
        select(events.c.event_id, events.c.annotation_id, events.c.before)
        .where(
            events.c.dataset_id == scope.dataset_id,
            events.c.image_id == NO_IMAGE,
            events.c.event_id > since,
            events.c.kind == LABEL,
        )
        .order_by(events.c.event_id.desc())
    )
    steps = [
        (number, int(position), before["name"] if before else None)
        for number, position, before in connection.execute(query)
    ]
    return PastNames(label_rows(connection, scope.dataset_id), steps)


def step_labels(
    connection: Connection,
    scope: Scope,
    change_key: int,
    label_events: Iterable[AnyRow],
    *,
    is_undo: bool,
) -> list[Step]:
    """Undo or redo a change's label events; return the changed labels.

    Raises:
        UndoRefusedError: a label has been changed since, its name is another one's, or
            it would be deleted while it has boxes.
    """
    rows = label_rows(connection, scope.dataset_id)
    wanted = [
        _stepped(connection, scope, rows[position], *pair)
        for position, pair in _net(label_events, is_undo=is_undo).items()
    ]
    for row in wanted:
        if not row.is_hidden and is_taken(
            {**rows, **{row.position: row for row in wanted}},
            row.name,
            besides=row.position,
        ):
            raise UndoRefusedError(
                f"There is another label {row.name} by now; rename that one first."
            )
    changed = write_labels(connection, scope, change_key, wanted)
    for before, after in changed:
        is_deleted = after.is_hidden and before is not None and not before.is_hidden
        if is_deleted and has_boxes(connection, scope, after.position):
            raise UndoRefusedError(
                f"{after.name} has boxes by now; delete it among the labels."
            )
    return changed


def _net(
    label_events: Iterable[AnyRow], *, is_undo: bool
) -> dict[int, tuple[JsonObject, JsonObject]]:
    """Return each label's fields that a change set: as they should be, and shall be."""
    first: dict[int, JsonObject | None] = {}
    last: dict[int, JsonObject] = {}
    for row in label_events:
        first.setdefault(int(row.annotation_id), row.before)
        last[int(row.annotation_id)] = row.after
    steps: dict[int, tuple[JsonObject, JsonObject]] = {}
    for position, after in last.items():
        before = first[position] or {**after, **_NOT_ADDED}
        fields = [name for name in after if after[name] != before[name]]
        old = {name: before[name] for name in fields}
        new = {name: after[name] for name in fields}
        steps[position] = (new, old) if is_undo else (old, new)
    return steps


def _stepped(
    connection: Connection,
    scope: Scope,
    row: LabelRow,
    expected: JsonObject,
    target: JsonObject,
) -> LabelRow:
    for name, value in expected.items():
        if getattr(row, name) not in (value, target[name]):
            who = last_who(connection, scope, NO_IMAGE, str(row.position))
            raise UndoRefusedError(
                f"The label {row.name} was changed by {who} since; "
                "change it by hand among the labels."
            )
    values: Mapping[str, Any] = target
    return replace(row, **values)


def last_who(
    connection: Connection, scope: Scope, image_id: str, subject_id: str | None = None
) -> str:
    """Return who changed an image last, or what a subject's id names of it."""
    mine = [events.c.dataset_id == scope.dataset_id, events.c.image_id == image_id]
    if subject_id is not None:
        mine.append(events.c.annotation_id == subject_id)
    query = (
        select(changes.c.who)
        .join(events, events.c.change_key == changes.c.change_key)
        .where(*mine)
        .order_by(events.c.event_id.desc())
        .limit(1)
    )
    return connection.scalar(query) or "someone"


def words_of(steps: Iterable[Step]) -> list[str]:
    """Return what happened to labels, a clause for each."""
    clauses = []
    for before, after in steps:
        clauses += _words(before or after, after)
    return list(dict.fromkeys(clauses))


def _words(before: LabelRow, after: LabelRow) -> list[str]:
    if before.is_hidden and after.is_hidden:
        return []
    clauses = []
    if before.name != after.name:
        clauses.append(f"{before.name} is called {after.name}")
    if before.is_hidden != after.is_hidden:
        what = "deleted" if after.is_hidden else "there again"
        clauses.append(f"the label {after.name} is {what}")
    if before.colour != after.colour:
        clauses.append(f"{after.name} has another colour")
    if before.place != after.place:
        clauses.append("the labels have another order")
    return clauses
