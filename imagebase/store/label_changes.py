"""Labels changed by a person: named, coloured, ordered, merged, deleted; all undoable.

A class number never moves: a label that is deleted stays as a hidden row. What changes
on a label is an event like any other, of no image, so that undo knows of it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)

from imagebase.annotation import Label, Source, new_id
from imagebase.annotation.palette import label_colour
from imagebase.errors import NotFoundError, StoreError
from imagebase.store.diff import ANNOTATION, Difference
from imagebase.store.edits import Revision, edit_key, write_revisions
from imagebase.store.labels import (
    LabelRow,
    check_count,
    checked_name,
    label_event,
    label_rows,
    standing,
    stored_aliases,
)
from imagebase.store.mapping import Placed, StoredImage, boxes_of, placed_json
from imagebase.store.record_reader import stored_images
from imagebase.store.repository import StorePart, grow_version
from imagebase.store.scope import Scope
from imagebase.store.tables import (
    annotations,
    events,
    images,
    label_aliases,
    label_mappings,
    labels,
)

_COLOUR: Final = re.compile("#[0-9A-Fa-f]{6}")


@dataclass(frozen=True, slots=True)
class TakenBoxes:
    """How many boxes a merged or deleted label had, and on how many images."""

    boxes: int
    images: int


class LabelChanges(StorePart):
    """What a person does to labels; each is one change, undone like any other.

    A label is spoken of by its class id: its name may be another one by now.
    """

    def add_label(self, scope: Scope, name: str, *, tint: str | None = None) -> Label:
        """Return a new label of just this name, or a deleted one that is shown again.

        Args:
            scope: the dataset, and whose change it is.
            name: what it is called; a label that was called so before is another one.
            tint: its colour as `#RRGGBB`; None gives it one of its own.

        Raises:
            LimitError: there would be more labels than may be.
            StoreError: the name is empty, or a label has it.
        """
        wanted = checked_name(name)
        with self._writing(scope) as connection:
            rows = label_rows(connection, scope.dataset_id)
            known = next((row for row in rows.values() if row.name == wanted), None)
            if known is not None and not known.is_hidden:
                raise StoreError(f"There is a label {wanted} already.")
            if known is None:
                check_count(len(rows) + 1, before=len(rows), most=self._max_labels)
                place = max((row.place for row in rows.values()), default=-1) + 1
                known = LabelRow(
                    len(rows), wanted, label_colour(len(rows)), place, True
                )
            shown = replace(known, is_hidden=False, merged_into=None)
            if tint is not None:
                shown = replace(shown, colour=_checked_colour(tint))
            _change(connection, scope, [shown])
        return Label(shown.name, shown.colour, shown.place)

    def rename_label(self, scope: Scope, class_id: int, name: str) -> None:
        """Call a label otherwise, on every image; no image's status changes.

        Raises:
            NotFoundError: there is no such label any more.
            StoreError: the name is empty, or another label has it.
        """
        wanted = checked_name(name)
        with self._writing(scope) as connection:
            rows = label_rows(connection, scope.dataset_id)
            row = _shown(rows, class_id)
            if is_taken(rows, wanted, besides=class_id):
                raise StoreError(
                    f"There is a label {wanted} already; merge {row.name} into it, "
                    "or choose another name."
                )
            _change(connection, scope, [replace(row, name=wanted)])

    def recolour_label(self, scope: Scope, class_id: int, tint: str) -> None:
        """Give a label another colour, `#RRGGBB`.

        Raises:
            NotFoundError: there is no such label any more.
            StoreError: this is no colour.
        """
        with self._writing(scope) as connection:
            row = _shown(label_rows(connection, scope.dataset_id), class_id)
            _change(connection, scope, [replace(row, colour=_checked_colour(tint))])

    def order_labels(self, scope: Scope, class_ids: Sequence[int]) -> None:
        """Show labels in this order, those not named after them; no number changes.

        Raises:
            NotFoundError: there is no such label any more.
        """
        with self._writing(scope) as connection:
            rows = label_rows(connection, scope.dataset_id)
            named = [_shown(rows, class_id) for class_id in dict.fromkeys(class_ids)]
            others = [row for row in rows.values() if row not in named]
            ordered = [*named, *sorted(others, key=lambda row: row.place)]
            placed = [replace(row, place=place) for place, row in enumerate(ordered)]
            _change(connection, scope, placed)

    def merge_label(self, scope: Scope, class_id: int, *, into: int) -> TakenBoxes:
        """Give a label's boxes to another one, and delete the label.

        What stands for a box stays: who made it, how sure a model was, the status of
        its image. A model's label that was called so is called like the other one.

        Raises:
            NotFoundError: there is no such label any more.
            StoreError: both are the same label.
        """
        with self._writing(scope) as connection:
            rows = label_rows(connection, scope.dataset_id)
            row, target = _shown(rows, class_id), _shown(rows, into)
            if row == target:
                raise StoreError("A label cannot go into itself; choose another one.")
            hidden = replace(row, is_hidden=True, merged_into=into)
            return _change(connection, scope, [hidden], boxes_of=row, to=target.name)

    def delete_label(
        self, scope: Scope, class_id: int, *, with_boxes: bool = False
    ) -> TakenBoxes:
        """Delete a label; its class number stays taken, so that no other one moves.

        Args:
            scope: the dataset, and whose change it is.
            class_id: which label.
            with_boxes: whether its boxes shall go too. No image's status changes.

        Raises:
            NotFoundError: there is no such label any more.
            StoreError: it has boxes that shall stay.
        """
        with self._writing(scope) as connection:
            row = _shown(label_rows(connection, scope.dataset_id), class_id)
            if not with_boxes and has_boxes(connection, scope, class_id):
                raise StoreError(
                    f"{row.name} has boxes; say whether they go to another label "
                    "or are deleted."
                )
            hidden = replace(row, is_hidden=True, merged_into=None)
            return _change(connection, scope, [hidden], boxes_of=row)


def _change(
    connection: Connection,
    scope: Scope,
    wanted: Sequence[LabelRow],
    *,
    boxes_of: LabelRow | None = None,
    to: str | None = None,
) -> TakenBoxes:
    """Write labels, and what happens to the boxes of one of them, as one change."""
    rows = label_rows(connection, scope.dataset_id)
    if all(rows.get(row.position) == row for row in wanted):
        return TakenBoxes(0, 0)
    change_id = new_id()
    key = edit_key(connection, scope, change_id)
    taken: list[Revision] = []
    if boxes_of is not None:
        taken = list(_without(connection, scope, boxes_of, to=to, head=change_id))
    if taken:
        write_revisions(connection, scope, key, taken)
    write_labels(connection, scope, key, wanted)
    counts = [
        sum(
            not difference.before["is_deleted"]
            for difference in revision.differences
            if difference.before
        )
        for revision in taken
    ]
    return TakenBoxes(sum(counts), sum(count > 0 for count in counts))


def _without(
    connection: Connection, scope: Scope, row: LabelRow, *, to: str | None, head: str
) -> Iterator[Revision]:
    """Yield what changes on each image where no box shall have this label."""
    holding = select(annotations.c.image_key).where(_of_label(scope, row.position))
    query = select(images.c.image_id).where(
        images.c.dataset_id == scope.dataset_id, images.c.image_key.in_(holding)
    )
    held = list(connection.scalars(query.order_by(images.c.image_key)))
    for stored in stored_images(connection, scope.dataset_id, held).values():
        changed = tuple(_taken(stored, row.name, to))
        if changed:
            yield Revision(stored, changed, head)


def _taken(stored: StoredImage, name: str, to: str | None) -> Iterator[Difference]:
    for annotation_id, placed in stored.placed.items():
        if placed.annotation.label != name:
            continue
        after = _deleted(placed) if to is None else _relabelled(placed, to)
        if after != placed:
            yield Difference(
                ANNOTATION,
                annotation_id,
                before=placed_json(placed),
                after=None if after is None else placed_json(after),
            )


def _relabelled(placed: Placed, label: str) -> Placed:
    return replace(placed, annotation=replace(placed.annotation, label=label))


def _deleted(placed: Placed) -> Placed | None:
    """Return the mark that a model's box leaves; a person's leaves none."""
    is_models = placed.annotation.source is Source.MODEL
    return replace(placed, is_deleted=True) if is_models else None


def write_labels(
    connection: Connection, scope: Scope, change_key: int, wanted: Iterable[LabelRow]
) -> list[tuple[LabelRow | None, LabelRow]]:
    """Write labels, and the events that tell of it.

    Where a deleted label holds a name that another one shall have, it takes the name
    that becomes free: class numbers stay, and so does every name in an export.

    Returns:
        What changed: each label before (None where it is new) and after.
    """
    rows = label_rows(connection, scope.dataset_id)
    targets = _with_names_freed(rows, {row.position: row for row in wanted})
    changed = [
        (rows.get(position), row)
        for position, row in targets.items()
        if rows.get(position) != row
    ]
    if not changed:
        return []
    _write_aliases(connection, scope, rows, [after for _, after in changed])
    _write_rows(connection, scope, changed)
    grow_version(connection, scope.dataset_id)
    connection.execute(
        insert(events), [label_event(scope, change_key, *pair) for pair in changed]
    )
    return changed


def _with_names_freed(
    rows: Mapping[int, LabelRow], wanted: Mapping[int, LabelRow]
) -> dict[int, LabelRow]:
    freed = {}
    for row in wanted.values():
        for other in rows.values():
            if other.name == row.name and other.position not in wanted:
                name = rows[row.position].name
                freed[other.position] = replace(
                    other, name=name, merged_into=row.position
                )
    return {**wanted, **freed}


def is_taken(rows: Mapping[int, LabelRow], name: str, *, besides: int) -> bool:
    """Say whether a label that can be chosen has this name, another one than this."""
    return any(
        row.name == name and not row.is_hidden and row.position != besides
        for row in rows.values()
    )


def _write_aliases(
    connection: Connection,
    scope: Scope,
    rows: Mapping[int, LabelRow],
    changed: Iterable[LabelRow],
) -> None:
    aliases = stored_aliases(connection, scope.dataset_id)
    wanted = dict(aliases)
    for row in sorted(changed, key=lambda row: row.is_hidden):
        if row.is_hidden:
            wanted.pop(row.name, None)
            if row.merged_into is not None:
                wanted[row.name] = row.merged_into
            continue
        before = rows.get(row.position)
        meant = wanted.pop(row.name, row.position)
        if before is not None and before.name == row.name:
            continue
        if meant != row.position:
            _part_with(connection, scope, row.name, standing(rows, meant))
        if before is not None:
            wanted[before.name] = row.position
    dropped = [name for name in aliases if name not in wanted]
    new = {name: at for name, at in wanted.items() if aliases.get(name) != at}
    of_dataset = label_aliases.c.dataset_id == scope.dataset_id
    if dropped or new:
        connection.execute(
            delete(label_aliases).where(
                of_dataset, label_aliases.c.name.in_([*dropped, *new])
            )
        )
    if new:
        connection.execute(
            insert(label_aliases),
            [
                {"dataset_id": scope.dataset_id, "name": name, "position": at}
                for name, at in new.items()
            ],
        )


def _part_with(connection: Connection, scope: Scope, name: str, now: LabelRow) -> None:
    """Let a former name of one label become the name of another one.

    A page that shows the former label's boxes under that name is refused as an older
    revision: saved in silence, they would be the other label's.
    """
    held = select(annotations.c.image_key).where(_of_label(scope, now.position))
    connection.execute(
        update(images)
        .where(images.c.dataset_id == scope.dataset_id, images.c.image_key.in_(held))
        .values(revision=images.c.revision + 1)
    )
    connection.execute(
        update(label_mappings)
        .where(
            label_mappings.c.dataset_id == scope.dataset_id,
            label_mappings.c.label == name,
        )
        .values(label=now.name)
    )


def _write_rows(
    connection: Connection,
    scope: Scope,
    changed: Iterable[tuple[LabelRow | None, LabelRow]],
) -> None:
    at = labels.c.dataset_id == scope.dataset_id
    pairs = list(changed)
    for before, after in pairs:
        if before is not None and before.name != after.name:
            # Two labels may exchange their names: each gives its own up first.
            connection.execute(
                update(labels)
                .where(at, labels.c.position == after.position)
                .values(name=new_id())
            )
    for before, after in pairs:
        values = {
            "name": after.name,
            "colour": after.colour,
            "place": after.place,
            "is_hidden": after.is_hidden,
        }
        if before is None:
            known = {"dataset_id": scope.dataset_id, "position": after.position}
            connection.execute(insert(labels).values(**known, **values))
        else:
            connection.execute(
                update(labels)
                .where(at, labels.c.position == after.position)
                .values(**values)
            )


def _of_label(scope: Scope, class_id: int) -> ColumnElement[bool]:
    """Select boxes and marks of a label, by the index that has them in order."""
    return and_(
        annotations.c.dataset_id == scope.dataset_id,
        annotations.c.is_deleted.in_([False, True]),
        annotations.c.class_id == class_id,
    )


def has_boxes(connection: Connection, scope: Scope, class_id: int) -> bool:
    """Say whether any box has this label; marks do not count."""
    query = select(func.count()).select_from(annotations)
    mine = query.where(boxes_of(scope), annotations.c.class_id == class_id)
    return bool(connection.scalar(mine))


def _shown(rows: Mapping[int, LabelRow], class_id: int) -> LabelRow:
    row = rows.get(class_id)
    if row is None or row.is_hidden:
        raise NotFoundError("This label no longer exists; choose another one.")
    return row


def _checked_colour(tint: str) -> str:
    if not _COLOUR.fullmatch(tint):
        raise StoreError(f"{tint} is no colour; write it as #RRGGBB.")
    return tint.upper()
