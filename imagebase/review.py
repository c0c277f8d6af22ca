"""Decisions of a reviewer over many images and labels at once, as one change each."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from imagebase.annotation import ImageRecord, new_id
from imagebase.editing import approve, delete_annotations, reject, relabel
from imagebase.store import Scope, Store

# Revisions that a reviewer had before them, by image id: an image that somebody saved
# since is left as it is and counted as a conflict. None takes images as they are.
Seen = Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class BulkReport:
    """How many images changed, and how many did not for one of these reasons.

    conflicts: somebody else changed them meanwhile. missing: somebody removed them.
    """

    changed: int
    conflicts: int = 0
    missing: int = 0


def approve_images(
    store: Store, scope: Scope, image_ids: Iterable[str], *, seen: Seen = None
) -> BulkReport:
    """Approve images as they stand; one without boxes is then confirmed empty."""
    return _change(
        store, scope, image_ids, lambda one: approve(one, who=scope.who), seen
    )


def reject_images(
    store: Store,
    scope: Scope,
    image_ids: Iterable[str],
    *,
    comment: str,
    seen: Seen = None,
) -> BulkReport:
    """Send images back with a comment."""
    return _change(
        store, scope, image_ids, lambda one: reject(one, comment=comment), seen
    )


def relabel_boxes(
    store: Store,
    scope: Scope,
    boxes: Collection[tuple[str, str]],
    *,
    label: str,
    seen: Seen = None,
) -> BulkReport:
    """Give boxes, as pairs of image id and annotation id, another label."""
    ids = {annotation_id for _, annotation_id in boxes}
    return _change(
        store,
        scope,
        _images(boxes),
        lambda one: relabel(one, ids, label, who=scope.who),
        seen,
    )


def delete_boxes(
    store: Store,
    scope: Scope,
    boxes: Collection[tuple[str, str]],
    *,
    seen: Seen = None,
) -> BulkReport:
    """Delete boxes, as pairs of image id and annotation id."""
    ids = {annotation_id for _, annotation_id in boxes}
    return _change(
        store, scope, _images(boxes), lambda one: delete_annotations(one, ids), seen
    )


def _images(boxes: Collection[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(image_id for image_id, _ in boxes))


def _change(
    store: Store,
    scope: Scope,
    image_ids: Iterable[str],
    change: Callable[[ImageRecord], ImageRecord],
    seen: Seen,
) -> BulkReport:
    wanted = list(dict.fromkeys(image_ids))
    records = store.records(scope, image_ids=wanted)
    known = [one for one in records if _is_as_seen(one, seen)]
    changed = [after for before in known if (after := change(before)) != before]
    report = store.save_many(scope, changed, change_id=new_id())
    return BulkReport(
        changed=len(report.saved),
        conflicts=len(report.conflicts) + len(records) - len(known),
        missing=len(wanted) - len(records) + len(report.missing),
    )


def _is_as_seen(record: ImageRecord, seen: Seen) -> bool:
    if seen is None:
        return True
    return seen.get(record.image_id, record.revision) == record.revision
