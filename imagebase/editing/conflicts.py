"""Two people changed one image from the same version of it: what each did, and both."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from imagebase.annotation import Annotation, ImageRecord, ReviewStatus
from imagebase.editing.records import ShownBox, delete_annotations


@dataclass(frozen=True, slots=True)
class Conflict:
    """An image that could not be saved because someone else had saved it before.

    base: as both found it. ours: to be saved. theirs: stored now.
    """

    base: ImageRecord
    ours: ImageRecord
    theirs: ImageRecord

    @property
    def image_id(self) -> str:
        return self.base.image_id


@dataclass(frozen=True, slots=True)
class Differences:
    """What became of an image's boxes, by id, and whether more than boxes changed."""

    added: frozenset[str]
    changed: frozenset[str]
    deleted: frozenset[str]
    has_new_review: bool

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.deleted or self.has_new_review)


def differences(base: ImageRecord, version: ImageRecord) -> Differences:
    """Return what differs in a version from the one it was made from."""
    before, after = _by_id(base), _by_id(version)
    return Differences(
        added=frozenset(after.keys() - before.keys()),
        changed=frozenset(
            name for name in before.keys() & after.keys() if before[name] != after[name]
        ),
        deleted=frozenset(before.keys() - after.keys()),
        has_new_review=_review(base) != _review(version),
    )


def in_words(changes: Differences) -> str:
    """Return differences as a person would say them: 1 box added, 2 changed."""
    counts = {
        "added": len(changes.added),
        "changed": len(changes.changed),
        "deleted": len(changes.deleted),
    }
    parts = [f"{count} {verb}" for verb, count in counts.items() if count]
    if parts:
        first, _, rest = parts[0].partition(" ")
        parts[0] = f"{first} {'box' if first == '1' else 'boxes'} {rest}"
    if changes.has_new_review:
        parts.append("state or tags changed")
    return ", ".join(parts) or "no difference"


def ours_over(conflict: Conflict) -> ImageRecord:
    """Return our version, fit to be saved in place of theirs."""
    return replace(conflict.ours, revision=conflict.theirs.revision)


def merged(conflict: Conflict) -> ImageRecord:
    """Return their version with what we did added to it, fit to be saved.

    Of a box that both changed, ours is taken, with the attributes that both gave it;
    where we changed nothing but attributes it is placed as they have it. One that we
    deleted and they changed stays as they have it, and one that they deleted and we
    changed comes back.
    """
    base, ours, theirs = conflict.base, conflict.ours, conflict.theirs
    mine, others = differences(base, ours), differences(base, theirs)
    own, old = _by_id(ours), _by_id(base)
    merged_boxes = [
        _joined(own[box.annotation_id], box, old.get(box.annotation_id))
        if box.annotation_id in mine.added | mine.changed
        else box
        for box in theirs.annotations
    ]
    present = {box.annotation_id for box in merged_boxes}
    merged_boxes += [
        box
        for box in ours.annotations
        if box.annotation_id not in present
        and box.annotation_id in mine.added | mine.changed
    ]
    restored = {box.annotation_id for box in merged_boxes}
    both = replace(
        theirs,
        annotations=tuple(merged_boxes),
        deleted=tuple(
            mark for mark in theirs.deleted if mark.annotation_id not in restored
        ),
        status=ours.status if mine else theirs.status,
        comment=ours.comment if ours.comment != base.comment else theirs.comment,
        tags=_merged_tags(conflict),
    )
    return delete_annotations(both, mine.deleted - others.changed)


def _joined(
    ours: Annotation, theirs: Annotation, base: Annotation | None
) -> Annotation:
    """Return one box of two people's; base: as both found it."""
    if base is None:
        return ours
    changed = {
        name: value
        for name, value in ours.attributes.items()
        if base.attributes.get(name) != value
    }
    shared = {
        name: value
        for name, value in theirs.attributes.items()
        if name in ours.attributes or name not in base.attributes
    }
    is_moved = (ours.box, ours.label) != (base.box, base.label)
    is_theirs = (theirs.box, theirs.label) != (base.box, base.label)
    placed = theirs if is_theirs and not is_moved else ours
    return replace(placed, attributes={**shared, **changed})


def as_shown(record: ImageRecord, shown: Iterable[ShownBox]) -> ImageRecord:
    """Return the record with these boxes; the record itself where it has them.

    Fields that only the record has, such as who made them, stay.
    """
    known = _by_id(record)
    then = tuple(_as_then(known.get(box.annotation_id), box) for box in shown)
    is_as_now = {box.annotation_id: box for box in then} == known
    return record if is_as_now else replace(record, annotations=then)


def _as_then(now: Annotation | None, then: ShownBox) -> Annotation:
    if now is None:
        return Annotation(then.box, then.label, annotation_id=then.annotation_id)
    if (now.box, now.label) == (then.box, then.label):
        return now
    return replace(now, box=then.box, label=then.label)


def is_separate(conflict: Conflict) -> bool:
    """Say whether both versions can be merged without asking.

    Both only drew, changed or deleted boxes; none is a box that both had in hand, and
    none of ours lies over one of theirs, which might be the same object drawn twice. A
    box that is new in both under one id is ours, stored before.
    """
    base, ours, theirs = conflict.base, conflict.ours, conflict.theirs
    mine, others = differences(base, ours), differences(base, theirs)
    in_hand = mine.changed | mine.deleted
    if _says_more(base, ours) or _says_more(base, theirs):
        return False
    if in_hand & (others.changed | others.deleted):
        return False
    placed = _placed(ours, mine, besides=others.added)
    return not any(
        annotation.box.intersects(other.box)
        for annotation in placed
        for other in _placed(theirs, others, besides=mine.added)
    )


def _says_more(base: ImageRecord, version: ImageRecord) -> bool:
    """Say whether a version decided on the image, or tags or comments it otherwise."""
    is_decided = version.status in (ReviewStatus.APPROVED, ReviewStatus.REJECTED)
    has_new_status = is_decided and version.status != base.status
    has_new_words = version.comment not in (base.comment, "")
    return has_new_status or has_new_words or version.tags != base.tags


def _placed(
    version: ImageRecord, changes: Differences, *, besides: frozenset[str]
) -> list[Annotation]:
    known = _by_id(version)
    return [
        known[annotation_id]
        for annotation_id in (changes.added | changes.changed) - besides
    ]


def _merged_tags(conflict: Conflict) -> tuple[str, ...]:
    base, ours, theirs = conflict.base.tags, conflict.ours.tags, conflict.theirs.tags
    removed = set(base) - set(ours)
    remaining = [tag for tag in theirs if tag not in removed]
    return tuple(dict.fromkeys([*remaining, *(tag for tag in ours if tag not in base)]))


def _by_id(record: ImageRecord) -> Mapping[str, Annotation]:
    return {box.annotation_id: box for box in record.annotations}


def _review(record: ImageRecord) -> tuple[ReviewStatus | None, str, tuple[str, ...]]:
    """Return the review of the image as a whole: boxes alone make it edited."""
    is_decided = record.status in (ReviewStatus.APPROVED, ReviewStatus.REJECTED)
    return record.status if is_decided else None, record.comment, record.tags
