"""Bulk edits of a reviewer over images and boxes, each with one undo."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from imagebase.annotation import TO_REVIEW, Annotation, ImageRecord, new_id
from imagebase.annotation.areas import Shape
from imagebase.detection.merge import add_suggestions, keep_detections
from imagebase.editing.copying import copied_on
from imagebase.editing.records import (
    MAX_TAGS,
    approve,
    delete_annotations,
    reject,
    relabel,
    tagged,
    with_edits,
)
from imagebase.store import ImageFilter, Scope, Store
from imagebase.store.scope import chunks

# Revisions that a reviewer had before them, by image id: an image that was saved
# since is skipped and counted as a conflict. None skips none.
Seen = Mapping[str, int] | None

# Called with the number of images done, and of all, every 200 images.
OnProgress = Callable[[int, int], None]

# Boxes that are shown on images and not saved yet, by image id.
Suggested = Callable[[Sequence[ImageRecord]], Mapping[str, Sequence[Annotation]]]

_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class BulkReport:
    """How many images changed, and how many did not for one of these reasons.

    boxes: how many of theirs changed, or were deleted.
    conflicts: someone else changed them meanwhile. missing: someone deleted them.
    names: of the files of those that someone else changed.
    full: names of the files of those that take no more tags.
    """

    changed: int
    boxes: int = 0
    conflicts: int = 0
    missing: int = 0
    names: tuple[str, ...] = ()
    full: tuple[str, ...] = ()


class ShownImage(NamedTuple):
    """An image as a reviewer had it on screen.

    revision: of the image. suggested: its boxes that are not saved yet. removed: ids of
    saved or suggested boxes that the reviewer took off it. added: boxes they put on it.
    """

    revision: int
    suggested: tuple[Annotation, ...] = ()
    removed: frozenset[str] = frozenset()
    added: tuple[Annotation, ...] = ()

    def approved(self, record: ImageRecord, *, who: str) -> ImageRecord:
        """Return the record approved with exactly the boxes on screen."""
        shown = add_suggestions(record, self.suggested)
        kept = delete_annotations(shown, self.removed)
        drawn = with_edits(kept, [*kept.annotations, *self.added])
        return approve(drawn, who=who)


def approve_images(
    store: Store,
    scope: Scope,
    image_ids: Iterable[str],
    *,
    suggested: Suggested = lambda records: {},
    seen: Seen = None,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Approve images; one without boxes is then confirmed empty.

    Args:
        store: where they are.
        scope: the dataset, and who approves.
        image_ids: the images.
        suggested: returns the boxes that are shown on images and not saved yet, by
            image id; they are saved and approved.
        seen: revisions that the reviewer had before them.
        on_progress: called with the progress, every 200 images.
    """
    return _change(
        store,
        scope,
        image_ids,
        lambda record: approve(record, who=scope.who),
        seen,
        suggested=suggested,
        on_progress=on_progress,
    )


def approve_as_shown(
    store: Store,
    scope: Scope,
    shown: Mapping[str, ShownImage],
    *,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Approve images with the boxes that were on screen, whatever is known by now.

    An image that was saved since it was shown is skipped and counted as a conflict.

    Args:
        store: where they are.
        scope: the dataset, and who approves.
        shown: what was on screen, by image id.
        on_progress: called with the progress, every 200 images.
    """
    return _change(
        store,
        scope,
        shown,
        lambda record: shown[record.image_id].approved(record, who=scope.who),
        {image_id: image.revision for image_id, image in shown.items()},
        on_progress=on_progress,
    )


def reject_images(
    store: Store,
    scope: Scope,
    image_ids: Iterable[str],
    *,
    comment: str,
    marks: Mapping[str, Sequence[Shape]] | None = None,
    seen: Seen = None,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Reject images with a comment, and marks drawn on them, by image id."""
    drawn = marks or {}
    return _change(
        store,
        scope,
        image_ids,
        lambda record: reject(
            record, comment=comment, marks=drawn.get(record.image_id, ())
        ),
        seen,
        on_progress=on_progress,
    )


def relabel_boxes(
    store: Store,
    scope: Scope,
    boxes: Collection[tuple[str, str]],
    *,
    label: str,
    seen: Seen = None,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Give boxes, as pairs of image id and annotation id, another label."""
    return _change_boxes(
        store,
        scope,
        boxes,
        lambda record, ids: relabel(record, ids, label, who=scope.who),
        seen,
        on_progress=on_progress,
    )


def delete_boxes(
    store: Store,
    scope: Scope,
    boxes: Collection[tuple[str, str]],
    *,
    seen: Seen = None,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Delete boxes, as pairs of image id and annotation id."""
    return _change_boxes(
        store, scope, boxes, delete_annotations, seen, on_progress=on_progress
    )


def accept_boxes(
    store: Store, scope: Scope, boxes: Collection[tuple[str, str]], *, seen: Seen = None
) -> BulkReport:
    """Accept a model's boxes, given as pairs of image id and annotation id."""
    return _change_boxes(
        store,
        scope,
        boxes,
        lambda record, ids: _accepted(
            record, lambda box: box.annotation_id in ids, scope.who
        ),
        seen,
    )


def accept_suggestions(
    store: Store,
    scope: Scope,
    suggested: Mapping[str, Sequence[Annotation]],
    *,
    seen: Seen = None,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Save suggestions, given by image id, as accepted boxes."""
    return _change_suggested(
        store,
        scope,
        suggested,
        lambda record, ids: _accepted(
            record, lambda box: box.annotation_id in ids, scope.who
        ),
        seen,
        on_progress,
    )


def reject_suggestions(
    store: Store,
    scope: Scope,
    suggested: Mapping[str, Sequence[Annotation]],
    *,
    seen: Seen = None,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Delete suggestions, given by image id: they are not made again."""
    return _change_suggested(
        store, scope, suggested, delete_annotations, seen, on_progress
    )


def keep_layer(
    store: Store,
    scope: Scope,
    boxes: Mapping[str, Sequence[Annotation]],
    *,
    model_id: str,
    seen: Seen = None,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Save boxes, given by image id, as untouched ones of a model, in place of its own.

    Boxes of persons and of other models stay as they are.
    """
    return _change(
        store,
        scope,
        boxes,
        lambda record: keep_detections(
            record, boxes[record.image_id], model_id=model_id
        ),
        seen,
        on_progress=on_progress,
    )


def accept_above(
    store: Store,
    scope: Scope,
    *,
    labels: Collection[str] | None,
    min_confidence: float,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Accept a model's boxes from this confidence on, on images nobody has decided on.

    Args:
        store: where they are.
        scope: the dataset, and who accepts.
        labels: only of these; None is every label.
        min_confidence: of the boxes; included.
        on_progress: called with the progress, every 200 images.
    """

    def is_sure(box: Annotation) -> bool:
        is_meant = labels is None or box.label in labels
        return is_meant and (box.confidence or 0.0) >= min_confidence

    def accept(record: ImageRecord) -> ImageRecord:
        if record.status not in TO_REVIEW:
            return record
        return _accepted(record, is_sure, scope.who)

    image_ids = store.acceptable_images(
        scope, labels=labels, min_confidence=min_confidence
    )
    return _change(store, scope, image_ids, accept, None, on_progress=on_progress)


def copy_on(
    store: Store,
    scope: Scope,
    source: ImageRecord,
    image_ids: Iterable[str],
    *,
    seen: Seen = None,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Copy the boxes of an image on to others, see `copied_on`."""
    return _change(
        store,
        scope,
        image_ids,
        lambda record: copied_on(source, record, who=scope.who),
        seen,
        on_progress=on_progress,
    )


def add_tags(
    store: Store,
    scope: Scope,
    tags: Mapping[str, Sequence[str]],
    *,
    seen: Seen = None,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Add tags, given by image id; the review state stays as it is.

    An image that does not take as many tags is left as it is.
    """
    full: list[str] = []

    def add(record: ImageRecord) -> ImageRecord:
        wanted = list(dict.fromkeys([*record.tags, *tags[record.image_id]]))
        if len(wanted) > MAX_TAGS:
            full.append(record.file_name)
            return record
        return replace(tagged(record, wanted), status=record.status)

    report = _change(store, scope, tags, add, seen, on_progress=on_progress)
    return replace(report, full=tuple(full))


def _accepted(
    record: ImageRecord, is_chosen: Callable[[Annotation], bool], who: str
) -> ImageRecord:
    return with_edits(
        record,
        [
            box.with_acceptance(who=who) if is_chosen(box) else box
            for box in record.annotations
        ],
    )


def _change_boxes(
    store: Store,
    scope: Scope,
    boxes: Collection[tuple[str, str]],
    change: Callable[[ImageRecord, Collection[str]], ImageRecord],
    seen: Seen,
    *,
    on_progress: OnProgress | None = None,
) -> BulkReport:
    image_ids = dict.fromkeys(image_id for image_id, _ in boxes)
    ids = {annotation_id for _, annotation_id in boxes}
    return _change(
        store,
        scope,
        image_ids,
        lambda record: change(record, ids),
        seen,
        on_progress=on_progress,
    )


def _change_suggested(
    store: Store,
    scope: Scope,
    suggested: Mapping[str, Sequence[Annotation]],
    change: Callable[[ImageRecord, Collection[str]], ImageRecord],
    seen: Seen,
    on_progress: OnProgress | None,
) -> BulkReport:
    ids = {box.annotation_id for boxes in suggested.values() for box in boxes}
    return _change(
        store,
        scope,
        suggested,
        lambda record: change(record, ids),
        seen,
        suggested=lambda records: suggested,
        on_progress=on_progress,
    )


def _change(
    store: Store,
    scope: Scope,
    image_ids: Iterable[str],
    change: Callable[[ImageRecord], ImageRecord],
    seen: Seen,
    *,
    suggested: Suggested = lambda records: {},
    on_progress: OnProgress | None = None,
) -> BulkReport:
    """Change images as one change, a batch in memory at a time."""

    def completed(records: Sequence[ImageRecord]) -> Iterator[ImageRecord]:
        boxes = suggested(records)
        for record in records:
            yield change(add_suggestions(record, boxes.get(record.image_id, ())))

    wanted, shared = list(dict.fromkeys(image_ids)), new_id()
    total = BulkReport(changed=0)
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        total = _sum(total, _change_batch(store, scope, batch, completed, seen, shared))
        if on_progress is not None:
            on_progress(start + len(batch), len(wanted))
    return total


def _change_batch(
    store: Store,
    scope: Scope,
    wanted: Sequence[str],
    change: Callable[[Sequence[ImageRecord]], Iterable[ImageRecord]],
    seen: Seen,
    change_id: str,
) -> BulkReport:
    records = store.records(scope, image_ids=wanted)
    known = {record.image_id: record for record in records if _is_as_seen(record, seen)}
    others = [record for record in records if record.image_id not in known]
    pairs = zip(known.values(), change(list(known.values())), strict=True)
    changed = [after for before, after in pairs if after != before]
    report = store.save_many(scope, changed, change_id=change_id)
    others += [conflict.theirs for conflict in report.conflicts]
    return BulkReport(
        changed=len(report.saved),
        boxes=sum(
            _changed_boxes(known[record.image_id], record) for record in report.saved
        ),
        conflicts=len(others),
        missing=len(wanted) - len(records) + len(report.missing),
        names=tuple(record.file_name for record in others),
    )


def _changed_boxes(before: ImageRecord, after: ImageRecord) -> int:
    changed = set(before.annotations) ^ set(after.annotations)
    changed |= set(before.deleted) ^ set(after.deleted)
    return len({box.annotation_id for box in changed})


def _sum(a: BulkReport, b: BulkReport) -> BulkReport:
    return BulkReport(
        changed=a.changed + b.changed,
        boxes=a.boxes + b.boxes,
        conflicts=a.conflicts + b.conflicts,
        missing=a.missing + b.missing,
        names=(*a.names, *b.names),
    )


def _is_as_seen(record: ImageRecord, seen: Seen) -> bool:
    if seen is None:
        return True
    return seen.get(record.image_id, record.revision) == record.revision


def remove_images(
    store: Store,
    scope: Scope,
    seen: Mapping[str, int],
    *,
    on_progress: OnProgress = lambda done, total: None,
) -> BulkReport:
    """Remove images with their files and all that is on them; nothing undoes it.

    Args:
        store: where they are.
        scope: the dataset, and who removes.
        seen: the images, with the revisions that the person had before them. One that
            someone saved since stays, and counts as a conflict.
        on_progress: is called with the images done and their number.
    """
    removed = boxes = conflicts = done = 0
    for batch in chunks(seen, size=_BATCH):
        wanted = ImageFilter(image_ids=batch)
        rows = store.image_rows(scope, wanted)
        boxes += sum(
            row.box_count for row in rows if row.revision == seen[row.image_id]
        )
        removed += store.remove_images(scope, batch, seen=seen)
        conflicts += store.count_images(scope, wanted)
        done += len(batch)
        on_progress(done, len(seen))
    missing = len(seen) - removed - conflicts
    return BulkReport(removed, boxes, conflicts=conflicts, missing=missing)
