"""Undo, redo and history from the events that every save leaves."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Final

from sqlalchemy import Connection, distinct, func, select, update

from imagebase.annotation import new_id
from imagebase.errors import UndoRefusedError
from imagebase.store.column_types import AnyRow, AnySelect, JsonObject
from imagebase.store.comments import follow_reviews, take_back_reviews
from imagebase.store.diff import ANNOTATION, AREA, Difference
from imagebase.store.edits import Revision, insert_change, reviewed, write_revisions
from imagebase.store.ignore_areas import step_areas, words_of_areas
from imagebase.store.label_undo import (
    PastNames,
    last_who,
    past_names,
    step_labels,
    words_of,
)
from imagebase.store.labels import (
    NO_IMAGE,
    append_with_boxes,
    class_ids_of,
    is_creation,
    take_back_labels,
)
from imagebase.store.mapping import StoredImage
from imagebase.store.record_reader import stored_images
from imagebase.store.repository import StorePart
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import changes, events


def where_in_words(revisions: Sequence[Revision]) -> str:
    """Return the image of a step, or how many there are; empty for none."""
    if not revisions:
        return ""
    if len(revisions) == 1:
        return f" on {revisions[0].stored.record.file_name}"
    return f" on {len(revisions)} images"


def words_of_boxes(revisions: Sequence[Revision]) -> list[str]:
    """Return what happened to boxes and reviews, a clause for each kind of it."""
    changes = chain.from_iterable(revision.differences for revision in revisions)
    counted = Counter(map(_kind_of, changes))
    return [
        f"{count} {noun if count == 1 else plural} {verb}"
        for (noun, plural, verb), count in counted.items()
    ]


def words_of_removed(names: Sequence[str]) -> list[str]:
    """Return which labels are removed, as a clause."""
    if len(names) == 1:
        return [f"the label {names[0]} is removed"]
    return [f"{len(names)} labels are removed"] if names else []


def _kind_of(difference: Difference) -> tuple[str, str, str]:
    if difference.kind != ANNOTATION:
        return ("review", "reviews", "restored")
    verbs = {
        (False, True): "put back",
        (True, False): "taken away",
        (True, True): "changed",
        (False, False): "forgotten",
    }
    was, now = is_shown(difference.before), is_shown(difference.after)
    return ("box", "boxes", verbs[was, now])


def is_shown(state: JsonObject | None) -> bool:
    """Say whether an event kept a box that is on its image."""
    return state is not None and not state["is_deleted"]


# Called with the number of images done, and of all.
OnProgress = Callable[[int, int], None]

_DONE: Final = "done"
_UNDONE: Final = "undone"
_BATCH: Final = 100
_NOTHING: Final = "nothing of it was left to change"


@dataclass(frozen=True, slots=True)
class UndoResult:
    """The images that changed, and a sentence that says what happened to them."""

    image_ids: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that changed on an image.

    kind: `annotation` or `review` (status, comment, tags).
    action: `edit`, or `undo` or `redo` of an edit.
    before, after: None where there was nothing, or is nothing any more.
    """

    event_id: int
    change_id: str
    image_id: str
    kind: str
    action: str
    annotation_id: str | None
    before: JsonObject | None
    after: JsonObject | None
    revision: int
    who: str
    changed_at: datetime


class Undo(StorePart):
    """One's own changes in one dataset, undone newest first."""

    def undo(
        self, scope: Scope, *, on_progress: OnProgress | None = None
    ) -> UndoResult:
        """Undo the last change of `scope.who`, whole and exactly.

        Args:
            scope: the dataset, and whose change it is.
            on_progress: called with the progress, inside the transaction: it must not
                write, and what it raises takes all of it back.

        Raises:
            UndoRefusedError: there is none, or an image or label was changed since.
        """
        query = _next_undo(scope)
        return self._step(scope, query, is_undo=True, on_progress=on_progress)

    def redo(
        self, scope: Scope, *, on_progress: OnProgress | None = None
    ) -> UndoResult:
        """Redo the change that `scope.who` undid last.

        Args:
            scope, on_progress: as for `undo`.

        Raises:
            UndoRefusedError: there is none, or an image or label was changed since.
        """
        query = _next_redo(scope)
        return self._step(scope, query, is_undo=False, on_progress=on_progress)

    def undo_change(
        self, scope: Scope, change_id: str, *, on_progress: OnProgress | None = None
    ) -> UndoResult | None:
        """Undo one change, of anyone, as long as nothing that it changed was since.

        Args:
            scope: the dataset, and who undoes it.
            change_id: what the saves were made with; of a job its id.
            on_progress: as for `undo`.

        Returns:
            What was undone; None where nothing was saved under this id.

        Raises:
            UndoRefusedError: an image or label was changed since.
        """
        query = select(changes.c.change_key, changes.c.change_id).where(
            changes.c.dataset_id == scope.dataset_id,
            changes.c.change_id == change_id,
            changes.c.kind == "edit",
            changes.c.state == _DONE,
        )
        if not self._has(query, scope):
            return None
        return self._step(scope, query, is_undo=True, on_progress=on_progress)

    def can_undo(self, scope: Scope) -> bool:
        """Say whether `scope.who` has a change to undo."""
        return self._has(_next_undo(scope), scope)

    def can_redo(self, scope: Scope) -> bool:
        """Say whether `scope.who` has a change to redo."""
        return self._has(_next_redo(scope), scope)

    def undo_size(self, scope: Scope) -> int:
        """Return how many images `undo` would change."""
        return self._size(_next_undo(scope), scope)

    def redo_size(self, scope: Scope) -> int:
        """Return how many images `redo` would change."""
        return self._size(_next_redo(scope), scope)

    def history(self, scope: Scope, image_id: str) -> list[Event]:
        """Return everything that changed on an image, the oldest first."""
        query = (
            select(
                events, changes.c.change_id, changes.c.who, changes.c.kind.label("by")
            )
            .join(changes, changes.c.change_key == events.c.change_key)
            .where(
                events.c.dataset_id == scope.dataset_id, events.c.image_id == image_id
            )
            .order_by(events.c.event_id)
        )
        with self._reading(scope) as connection:
            return [_as_event(row) for row in connection.execute(query)]

    def _has(self, query: AnySelect, scope: Scope) -> bool:
        with self._reading(scope) as connection:
            return connection.execute(query).first() is not None

    def _size(self, query: AnySelect, scope: Scope) -> int:
        images = select(func.count(distinct(events.c.image_id)))
        with self._reading(scope) as connection:
            change = connection.execute(query).first()
            if change is None:
                return 0
            mine = events.c.change_key == change.change_key
            counted = images.where(mine, events.c.image_id != NO_IMAGE)
            return int(connection.scalar(counted) or 0)

    def _step(
        self,
        scope: Scope,
        query: AnySelect,
        *,
        is_undo: bool,
        on_progress: OnProgress | None,
    ) -> UndoResult:
        with self._writing(scope) as connection:
            change = connection.execute(query).first()
            if change is None:
                verb = "undo" if is_undo else "redo"
                raise UndoRefusedError(f"There is nothing of yours to {verb} here.")
            events_of = _events_by_image(connection, change.change_key)
            of_none = events_of.pop(NO_IMAGE, [])
            # Labels that came with boxes go after them; the others were changed.
            created = [row for row in of_none if events_of and is_creation(row)]
            of_labels = [
                row for row in of_none if row.kind != AREA and row not in created
            ]
            of_areas = [row for row in of_none if row.kind == AREA]
            action = insert_change(
                connection,
                scope,
                change_id=new_id(),
                kind="undo" if is_undo else "redo",
            )
            # A merge writes boxes, then labels; it is taken back the other way round.
            labels = partial(step_labels, connection, scope, action, of_labels)
            relabelled = labels(is_undo=True) if is_undo else []
            revisions = _revisions(
                connection, scope, change.change_id, events_of, is_undo
            )
            _show_labels(connection, scope, revisions, change.change_key)
            written = 0
            for batch in chunks(revisions, size=_BATCH):
                write_revisions(connection, scope, action, batch)
                _write_reviews(connection, scope, change.change_id, batch, is_undo)
                written += len(batch)
                if on_progress is not None:
                    on_progress(written, len(revisions))
            removed_labels = (
                take_back_labels(connection, scope, created) if is_undo else []
            )
            relabelled += [] if is_undo else labels(is_undo=False)
            areas = step_areas(connection, scope, action, of_areas, is_undo=is_undo)
            connection.execute(
                update(changes)
                .where(changes.c.change_key == change.change_key)
                .values(state=_UNDONE if is_undo else _DONE)
            )
        words = [
            *words_of_boxes(revisions),
            *words_of(relabelled),
            *words_of_removed(removed_labels),
            *words_of_areas(areas),
        ]
        verb = "Undone" if is_undo else "Done again"
        where = where_in_words(revisions)
        return UndoResult(
            tuple(events_of), f"{verb}{where}: {', '.join(words) or _NOTHING}."
        )


def _next_undo(scope: Scope) -> AnySelect:
    query = _own_edits(scope, _DONE)
    return query.order_by(changes.c.change_key.desc()).limit(1)


def _next_redo(scope: Scope) -> AnySelect:
    # Changes are taken back newest first, so the oldest of them went last.
    query = _own_edits(scope, _UNDONE)
    return query.order_by(changes.c.change_key).limit(1)


def _own_edits(scope: Scope, state: str) -> AnySelect:
    return select(changes.c.change_key, changes.c.change_id).where(
        changes.c.dataset_id == scope.dataset_id,
        changes.c.who == scope.who,
        changes.c.kind == "edit",
        changes.c.state == state,
    )


def _events_by_image(
    connection: Connection, change_key: int
) -> dict[str, list[AnyRow]]:
    query = (
        select(events)
        .where(events.c.change_key == change_key)
        .order_by(events.c.event_id)
    )
    events_of: dict[str, list[AnyRow]] = {}
    for row in connection.execute(query):
        events_of.setdefault(row.image_id, []).append(row)
    return events_of


def _revisions(
    connection: Connection,
    scope: Scope,
    change_id: str,
    events_of: dict[str, list[AnyRow]],
    is_undo: bool,
) -> list[Revision]:
    if not events_of:
        return []
    stored = stored_images(connection, scope.dataset_id, events_of)
    first = min(rows[0].event_id for rows in events_of.values())
    names = past_names(connection, scope, since=first)
    revisions = []
    for image_id, rows in events_of.items():
        head_before = rows[0].head_before
        expected, head = (
            (change_id, head_before) if is_undo else (head_before, change_id)
        )
        image = stored.get(image_id)
        if image is None or image.head != expected:
            raise UndoRefusedError(_refusal(connection, scope, image))
        revisions.append(Revision(image, _net(rows, names, is_undo=is_undo), head))
    return revisions


def _write_reviews(
    connection: Connection,
    scope: Scope,
    change_id: str,
    revisions: Sequence[Revision],
    is_undo: bool,
) -> None:
    step = reviewed(revisions)
    if is_undo:
        take_back_reviews(connection, change_id, step)
    else:
        follow_reviews(connection, scope, change_id, step)


def _net(
    rows: Iterable[AnyRow], names: PastNames, *, is_undo: bool
) -> tuple[Difference, ...]:
    """Return what a change did to one image in all, forwards or backwards."""
    first: dict[str | None, JsonObject | None] = {}
    last: dict[str | None, JsonObject | None] = {}
    kinds: dict[str | None, str] = {}
    for row in rows:
        first.setdefault(row.annotation_id, _named_now(row, row.before, names))
        last[row.annotation_id] = _named_now(row, row.after, names)
        kinds[row.annotation_id] = row.kind
    before, after = (last, first) if is_undo else (first, last)
    return tuple(
        Difference(kinds[key], key, before[key], after[key])
        for key in kinds
        if before[key] != after[key]
    )


def _named_now(
    row: AnyRow, state: JsonObject | None, names: PastNames
) -> JsonObject | None:
    """Return what an event kept, its label under the name that it has now."""
    if row.kind != ANNOTATION or state is None:
        return state
    return {**state, "label": names.now(state["label"], row.event_id)}


def _show_labels(
    connection: Connection, scope: Scope, revisions: Iterable[Revision], change_key: int
) -> None:
    """Show a label again whose boxes return; it is undone with their change.

    A mark needs its label too, but does not show one that is hidden.
    """
    known = class_ids_of(connection, scope.dataset_id)
    restored = [
        difference.after
        for revision in revisions
        for difference in revision.differences
        if difference.kind == ANNOTATION and difference.after is not None
    ]
    names = dict.fromkeys(
        state["label"]
        for state in restored
        if is_shown(state) or state["label"] not in known
    )
    append_with_boxes(connection, scope, names, change_key=change_key)


def _refusal(connection: Connection, scope: Scope, stored: StoredImage | None) -> str:
    if stored is None:
        return "An image of this change was removed since; it cannot be taken back."
    who = last_who(connection, scope, stored.record.image_id)
    return (
        f"{stored.record.file_name} was changed by {who} since; "
        "open it and change it by hand."
    )


def _as_event(row: AnyRow) -> Event:
    return Event(
        event_id=row.event_id,
        change_id=row.change_id,
        image_id=row.image_id,
        kind=row.kind,
        action=row.by,
        annotation_id=row.annotation_id,
        before=row.before,
        after=row.after,
        revision=row.revision,
        who=row.who,
        changed_at=row.created_at,
    )
