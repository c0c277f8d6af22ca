"""The one write path for edits: what differs, its events, and new revisions."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from imagebase.annotation import ImageRecord, clean_text, new_id, utc_now
from imagebase.errors import NotFoundError, RevisionConflictError, StoreError
from imagebase.store.comments import Reviewed, follow_reviews
from imagebase.store.diff import (
    ANNOTATION,
    REVIEW,
    Difference,
    cleaned,
    differences,
    with_names,
)
from imagebase.store.labels import append_with_boxes, class_ids_of, former_names
from imagebase.store.mapping import (
    StoredImage,
    annotation_row,
    placed_from_json,
    review_json,
)
from imagebase.store.record_reader import GONE, stored_images
from imagebase.store.repository import StorePart, grow_version
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import annotations, changes, events, images

# A longer transaction would keep the person at the canvas waiting.
BATCH: Final = 50


class SaveConflict(NamedTuple):
    """A record that was not saved, and the newer one that stands in its way."""

    ours: ImageRecord
    theirs: ImageRecord


@dataclass(frozen=True, slots=True)
class SaveReport:
    """saved: with their new revisions. missing: ids of images that were deleted."""

    saved: tuple[ImageRecord, ...] = ()
    conflicts: tuple[SaveConflict, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Revision:
    """Everything that changes on one image in one step."""

    stored: StoredImage
    differences: tuple[Difference, ...]
    head: str


class Editing(StorePart):
    """Saving what a person or a model changed."""

    def save(
        self, scope: Scope, record: ImageRecord, *, change_id: str | None = None
    ) -> ImageRecord:
        """Write a record's annotations, marks, status, comment and tags.

        Only what differs is written, with an event each; labels that the dataset lacks
        are added, and one that bears another name by now is called so. The order of the
        annotations is the one in which they came to be.

        Args:
            scope: the dataset, and whose change it is.
            record: what it shall be; its revision is the one it was made from.
            change_id: joins saves that are undone together; None is one by itself.

        Returns:
            The stored record; unchanged where nothing differs.

        Raises:
            NotFoundError: the dataset has no such image.
            RevisionConflictError: someone saved a newer revision; nothing was written.
            StoreError: it could not be written; nothing was.
        """
        report = self._save_batch(scope, [record], change_id or new_id())
        if report.missing:
            raise NotFoundError(GONE)
        for ours, theirs in report.conflicts:
            raise RevisionConflictError(
                f"{theirs.file_name} was changed by someone else meanwhile; "
                "choose which version to keep.",
                ours=ours,
                theirs=theirs,
            )
        return report.saved[0]

    def save_many(
        self,
        scope: Scope,
        records: Iterable[ImageRecord],
        *,
        change_id: str | None = None,
    ) -> SaveReport:
        """Write many records as one change, at most 50 in a transaction.

        One that cannot be saved stops no other; the report names it.
        """
        shared = change_id or new_id()
        reports = [
            self._save_batch(scope, batch, shared)
            for batch in chunks(records, size=BATCH)
        ]
        return SaveReport(
            saved=tuple(chain.from_iterable(r.saved for r in reports)),
            conflicts=tuple(chain.from_iterable(r.conflicts for r in reports)),
            missing=tuple(chain.from_iterable(r.missing for r in reports)),
        )

    def _save_batch(
        self, scope: Scope, batch: Iterable[ImageRecord], change_id: str
    ) -> SaveReport:
        given = list(batch)
        wanted = {record.image_id: cleaned(record) for record in given}
        if len(wanted) < len(given):
            raise ValueError("one image is there twice; it can be saved only once")
        with self._writing(scope) as connection:
            now = former_names(connection, scope.dataset_id)
            wanted = {
                image_id: with_names(wanted[image_id], now) for image_id in wanted
            }
            stored = stored_images(connection, scope.dataset_id, wanted)
            conflicts, revisions = [], []
            for image_id, ours in wanted.items():
                if image_id not in stored:
                    continue
                changed = tuple(differences(stored[image_id], ours))
                theirs = stored[image_id].record
                if changed and ours.revision != theirs.revision:
                    conflicts.append(SaveConflict(ours, theirs))
                elif changed:
                    revisions.append(Revision(stored[image_id], changed, change_id))
            if revisions:
                names = label_names(wanted[id_of(r)] for r in revisions)
                change_key = edit_key(connection, scope, change_id)
                append_with_boxes(
                    connection,
                    scope,
                    names,
                    change_key=change_key,
                    most=self._max_labels,
                )
                write_revisions(connection, scope, change_key, revisions)
                follow_reviews(connection, scope, change_id, reviewed(revisions))
                stored |= stored_images(
                    connection, scope.dataset_id, map(id_of, revisions)
                )
        refused = {conflict.ours.image_id for conflict in conflicts}
        return SaveReport(
            saved=tuple(
                stored[image_id].record
                for image_id in wanted
                if image_id in stored and image_id not in refused
            ),
            conflicts=tuple(conflicts),
            missing=tuple(image_id for image_id in wanted if image_id not in stored),
        )


def id_of(revision: Revision) -> str:
    """Return the id of the image that a revision is about."""
    return revision.stored.record.image_id


def reviewed(revisions: Iterable[Revision]) -> list[Reviewed]:
    """Return the images of a step, each with what changes on it."""
    return [(revision.stored, revision.differences) for revision in revisions]


def write_revisions(
    connection: Connection, scope: Scope, change_key: int, revisions: Iterable[Revision]
) -> None:
    """Write what changes on images, the events that tell of it, and new revisions."""
    step = list(revisions)
    _write_annotations(connection, scope, step)
    _write_images(connection, step)
    grow_version(connection, scope.dataset_id)
    if rows := list(_event_rows(scope, change_key, step)):
        connection.execute(insert(events), rows)


def _write_annotations(
    connection: Connection, scope: Scope, step: Iterable[Revision]
) -> None:
    removed, added = [], []
    class_ids = class_ids_of(connection, scope.dataset_id)
    for revision in step:
        key = revision.stored.image_key
        for difference in revision.differences:
            if difference.kind != ANNOTATION:
                continue
            if difference.before is not None:
                removed.append({"key": key, "id": difference.annotation_id})
            if difference.after is not None:
                placed = placed_from_json(difference.after)
                row = annotation_row(key, scope.dataset_id, placed, class_ids)
                added.append(row)
    if removed:
        mine = annotations.c.image_key == bindparam("key")
        connection.execute(
            delete(annotations).where(
                mine, annotations.c.annotation_id == bindparam("id")
            ),
            removed,
        )
    if added:
        connection.execute(insert(annotations), added)


def _write_images(connection: Connection, step: Iterable[Revision]) -> None:
    rows = [_image_row(revision) for revision in step]
    statement = (
        update(images)
        .where(images.c.image_key == bindparam("key"))
        .values({name: bindparam(f"new_{name}") for name in _image_columns()})
    )
    connection.execute(statement, rows)


def _image_columns() -> tuple[str, ...]:
    return ("status", "comment", "tags", "revision", "head")


def _image_row(revision: Revision) -> dict[str, Any]:
    review: Mapping[str, Any] = review_json(revision.stored.record)
    for difference in revision.differences:
        if difference.kind == REVIEW and difference.after is not None:
            review = difference.after
    return {
        "key": revision.stored.image_key,
        "new_status": review["status"],
        "new_comment": review["comment"],
        "new_tags": review["tags"],
        "new_revision": revision.stored.record.revision + 1,
        "new_head": revision.head,
    }


def _event_rows(
    scope: Scope, change_key: int, step: Iterable[Revision]
) -> Iterator[dict[str, Any]]:
    now = utc_now()
    for revision in step:
        for difference in revision.differences:
            yield {
                "change_key": change_key,
                "dataset_id": scope.dataset_id,
                "image_id": id_of(revision),
                "kind": difference.kind,
                "annotation_id": difference.annotation_id,
                "before": difference.before,
                "after": difference.after,
                "head_before": revision.stored.head,
                "revision": revision.stored.record.revision + 1,
                "created_at": now,
            }


def insert_change(
    connection: Connection, scope: Scope, *, change_id: str, kind: str
) -> int:
    """Return the key of a new change."""
    statement = insert(changes).values(
        dataset_id=scope.dataset_id,
        change_id=change_id,
        who=scope.who,
        kind=kind,
        state="done",
        created_at=utc_now(),
    )
    inserted = connection.execute(statement.returning(changes.c.change_key))
    key: int = inserted.scalar_one()
    return key


def edit_key(connection: Connection, scope: Scope, change_id: str) -> int:
    """Return the key of a change, begun at the first save that bears its id."""
    query = select(changes).where(
        changes.c.dataset_id == scope.dataset_id, changes.c.change_id == change_id
    )
    begun = connection.execute(query).one_or_none()
    if begun is None:
        _empty_redo(connection, scope)
        return insert_change(connection, scope, change_id=change_id, kind="edit")
    if begun.state != "done" or begun.who != clean_text(scope.who):
        raise StoreError(
            "This change was taken back meanwhile; the rest of it was left out."
        )
    key: int = begun.change_key
    return key


def _empty_redo(connection: Connection, scope: Scope) -> None:
    connection.execute(
        update(changes)
        .where(
            changes.c.dataset_id == scope.dataset_id,
            changes.c.who == scope.who,
            changes.c.kind == "edit",
            changes.c.state == "undone",
        )
        .values(state="dropped")
    )


def label_names(records: Iterable[ImageRecord]) -> list[str]:
    """Return the labels on records, boxes and marks, each once."""
    every = chain.from_iterable(
        (*record.annotations, *record.deleted) for record in records
    )
    return list(dict.fromkeys(box.label for box in every))
