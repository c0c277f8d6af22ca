"""What a person does to an image's boxes: pure functions from record to record.

Every function returns the record itself where nothing changes, so that `is` tells, and
leaves each box it does not change as the very object it was.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
    clean_label,
    utc_now,
)
from imagebase.annotation.areas import Shape, checked_shape
from imagebase.annotation.attributes import clean_attributes
from imagebase.errors import EditError

MAX_COMMENT_LENGTH: Final = 2_000
MAX_TAGS: Final = 50
MAX_MARKS: Final = 50

# Boxes are kept to a hundredth of a pixel where a person places them.
_DECIMALS: Final = 2


class ShownBox(NamedTuple):
    """A box as the editor in the browser shows it."""

    annotation_id: str
    box: Box
    label: str


def merge_drawing(
    record: ImageRecord,
    *,
    shown: Sequence[ShownBox],
    drawn: Sequence[ShownBox],
    who: str,
    removed: Mapping[str, Annotation] | None = None,
    copies: Mapping[str, str] | None = None,
) -> ImageRecord:
    """Return the record with what a person did in the editor since it last spoke.

    Only the difference between `shown` and `drawn` counts: a box that was never
    shown stays, an edge that did not move keeps its exact value. New boxes are
    clipped to the image and left out where nothing remains; a change that would leave
    nothing of a known box is not made.

    Args:
        shown: what the editor held when it last spoke, or when it was filled.
        drawn: what it holds now.
        removed: boxes that were deleted before, by id; one that comes back is restored
            with everything known of it.
        copies: by the id of a new box, of which box it is a copy, attributes and all.
    """
    before = {box.annotation_id: box for box in shown}
    after = {box.annotation_id: box for box in drawn}
    edited: list[Annotation] = []
    deleted: list[Annotation] = []
    for annotation in record.annotations:
        now = after.get(annotation.annotation_id)
        if now is not None:
            last = before.get(annotation.annotation_id) or _as_shown(annotation)
            edited.append(_redrawn(annotation, last, now, record.size, who))
        elif annotation.annotation_id in before:
            deleted.append(annotation)
        else:
            edited.append(annotation)
    present = {annotation.annotation_id for annotation in record.annotations}
    known = {
        **(removed or {}),
        **{annotation.annotation_id: annotation for annotation in record.annotations},
    }
    for box in drawn:
        if box.annotation_id in present or before.get(box.annotation_id) == box:
            continue  # one that someone else deleted stays deleted
        base = (removed or {}).get(box.annotation_id)
        back = _added(box, base, record.size, who)
        if back is None:
            continue
        source = known.get((copies or {}).get(box.annotation_id, ""))
        if source is not None and base is None:
            back = replace(back, attributes=source.attributes)
        known[back.annotation_id] = back
        edited.append(back)
    return with_edits(record, edited, deleted=deleted)


def is_faithful(record: ImageRecord, drawn: Iterable[ShownBox]) -> bool:
    """Say whether these boxes are shown as the record has them."""
    known = {
        annotation.annotation_id: _as_shown(annotation)
        for annotation in record.annotations
    }
    return all(known.get(box.annotation_id) == box for box in drawn)


def _same_box(a: Box, b: Box, tolerance_px: float) -> bool:
    return all(abs(p - q) <= tolerance_px for p, q in zip(a, b, strict=True))


def _as_shown(annotation: Annotation) -> ShownBox:
    return ShownBox(annotation.annotation_id, annotation.box, annotation.label)


def _redrawn(
    annotation: Annotation, last: ShownBox, now: ShownBox, size: Size, who: str
) -> Annotation:
    if now == last:
        return annotation
    box = _moved_edges(annotation.box, last.box, now.box)
    if box is not annotation.box:
        box = box.normalised().clipped(size)
    label = (
        annotation.label
        if now.label == last.label
        else _label_or(now.label, annotation.label)
    )
    if box.area <= 0:
        box = annotation.box
    if box == annotation.box and label == annotation.label:
        return annotation
    return annotation.touched(who=who, box=box, label=label)


def _moved_edges(own: Box, last: Box, now: Box) -> Box:
    """Return `own` with the edges that differ between `last` and `now`."""
    edges = [
        edge if after == before else round(after, _DECIMALS)
        for edge, before, after in zip(own, last, now, strict=True)
    ]
    moved = Box(*edges)
    return own if moved == own else moved


def _added(
    drawn: ShownBox, base: Annotation | None, size: Size, who: str
) -> Annotation | None:
    if base is not None:
        last = _as_shown(base)
        return _redrawn(base, last, drawn, size, who)
    box = Box(*(round(edge, _DECIMALS) for edge in drawn.box))
    box = box.normalised().clipped(size)
    if not box.is_finite or box.area <= 0:
        return None
    label = _label_or(drawn.label, "")
    if not label:
        return None
    return Annotation(
        box=box, label=label, annotation_id=drawn.annotation_id, changed_by=who
    )


def _label_or(typed: str, fallback: str) -> str:
    try:
        return clean_label(typed.strip())
    except ValueError:
        return fallback


def with_edits(
    record: ImageRecord,
    annotations: Sequence[Annotation],
    *,
    deleted: Iterable[Annotation] = (),
) -> ImageRecord:
    """Return the record with these boxes, marked as edited where they differ."""
    if _same_objects(record.annotations, annotations):
        return record
    present = {box.annotation_id for box in annotations}
    marks = [box for box in record.deleted if box.annotation_id not in present]
    marks += [box for box in deleted if _is_from_model(box)]
    return replace(
        record,
        annotations=tuple(annotations),
        deleted=tuple(marks),
        status=ReviewStatus.EDITED,
    )


def _same_objects(a: Sequence[Annotation], b: Sequence[Annotation]) -> bool:
    return len(a) == len(b) and all(p is q for p, q in zip(a, b, strict=True))


def _is_from_model(annotation: Annotation) -> bool:
    return annotation.source is Source.MODEL or annotation.model_id is not None


def delete_annotations(record: ImageRecord, ids: Collection[str]) -> ImageRecord:
    """Return the record without these boxes; a model's leave a mark."""
    remaining = [box for box in record.annotations if box.annotation_id not in ids]
    deleted = [box for box in record.annotations if box.annotation_id in ids]
    return with_edits(record, remaining, deleted=deleted)


def relabel(
    record: ImageRecord, ids: Collection[str], label: str, *, who: str
) -> ImageRecord:
    """Return the record with another label on these boxes.

    Raises:
        EditError: the label is blank.
    """
    name = checked_label(label)
    return with_edits(
        record,
        [
            box.touched(who=who, label=name)
            if box.annotation_id in ids and box.label != name
            else box
            for box in record.annotations
        ],
    )


def move(record: ImageRecord, annotation_id: str, box: Box, *, who: str) -> ImageRecord:
    """Return the record with one box somewhere else, clipped to the image.

    Raises:
        EditError: the box is not in the image, or has no area there.
        KeyError: there is no such annotation.
    """
    record.annotation(annotation_id)
    placed = checked_box(box, record.size)
    return with_edits(
        record,
        [
            annotation.touched(who=who, box=placed)
            if annotation.annotation_id == annotation_id and annotation.box != placed
            else annotation
            for annotation in record.annotations
        ],
    )


def describe(
    record: ImageRecord,
    annotation_id: str,
    attributes: Mapping[str, object],
    *,
    who: str,
) -> ImageRecord:
    """Return the record with these attributes, and no others, on one box.

    A model's box counts as accepted then, so that no model takes it away.

    Raises:
        EditError: an attribute cannot be kept. Nothing is changed then.
        KeyError: there is no such annotation.
    """
    known, problems = clean_attributes(attributes)
    if problems:
        raise EditError(f"Nothing was changed: {problems[0]}.")
    annotation = record.annotation(annotation_id)
    if known == annotation.attributes:
        return record
    described = replace(
        annotation.with_acceptance(who=who),
        attributes=known,
        changed_by=who,
        changed_at=utc_now(),
    )
    return with_edits(
        record,
        [described if other is annotation else other for other in record.annotations],
    )


def checked_label(label: str) -> str:
    """Return a label fit to be kept; EditError where it is blank."""
    try:
        return clean_label(label.strip())
    except ValueError:
        raise EditError("A box needs a label; choose one or delete the box.") from None


def checked_box(box: Box, size: Size) -> Box:
    """Return the part of a box inside the image; EditError where there is none."""
    if not box.is_finite:
        raise EditError("A box needs four numbers; the change was not kept.")
    clipped = box.clipped(size)
    if clipped.area <= 0:
        raise EditError(
            f"That box has nothing inside the image of {size.width} × {size.height} "
            "pixels; the change was not kept."
        )
    return clipped


def accept_all(
    record: ImageRecord, *, who: str, min_confidence: float = 0.0
) -> ImageRecord:
    """Return the record with its untouched model boxes accepted.

    Args:
        min_confidence: boxes below it stay unchanged.
    """
    return with_edits(
        record,
        [
            box.with_acceptance(who=who)
            if (box.confidence or 0.0) >= min_confidence
            else box
            for box in record.annotations
        ],
    )


def copy_boxes(
    from_record: ImageRecord, to_record: ImageRecord, *, who: str
) -> ImageRecord:
    """Return `to_record` with the boxes of another image as a person's own.

    A box that is already there with the same label, to a pixel, is not doubled; what
    lies outside the image is cut off.
    """
    copies = []
    for annotation in from_record.annotations:
        box = annotation.box.clipped(to_record.size)
        there = any(
            other.label == annotation.label and _same_box(other.box, box, 1.0)
            for other in to_record.annotations
        )
        if box.area > 0 and not there:
            copy = Annotation(
                box, annotation.label, changed_by=who, attributes=annotation.attributes
            )
            copies.append(copy)
    return with_edits(to_record, [*to_record.annotations, *copies])


def confirm_empty(record: ImageRecord) -> ImageRecord:
    """Return the record approved without a box: nothing of interest is on it."""
    emptied = delete_annotations(record, record_ids(record))
    return replace(emptied, status=ReviewStatus.APPROVED, comment="")


def approve(record: ImageRecord, *, who: str) -> ImageRecord:
    """Return the record approved; its model boxes count as accepted by the reviewer."""
    accepted = accept_all(record, who=who)
    return replace(accepted, status=ReviewStatus.APPROVED, comment="")


def reject(
    record: ImageRecord, *, comment: str, marks: Sequence[Shape] = ()
) -> ImageRecord:
    """Return the record rejected, with a comment.

    marks: drawn on the image, in its pixels.

    Raises:
        EditError: the comment is blank, or too long to be kept with every change, or
            there are too many marks, or one that cannot be kept.
    """
    if not comment.strip():
        raise EditError("Say in a few words what is wrong with this image.")
    if len(comment) > MAX_COMMENT_LENGTH:
        raise EditError(f"Say it in at most {MAX_COMMENT_LENGTH:,} characters.")
    if len(marks) > MAX_MARKS:
        raise EditError(f"An image has at most {MAX_MARKS} marks; delete some.")
    return replace(
        record,
        status=ReviewStatus.REJECTED,
        comment=comment.strip(),
        marks=tuple(checked_shape(mark, record.size) for mark in marks),
    )


def tagged(record: ImageRecord, tags: Iterable[str]) -> ImageRecord:
    """Return the record with these tags for the image as a whole, each once.

    The decisions about its boxes stand.

    Raises:
        EditError: a tag is blank, or there are too many.
    """
    try:
        wanted = tuple(dict.fromkeys(clean_label(tag.strip()) for tag in tags))
    except ValueError:
        raise EditError("A tag needs a name; type one.") from None
    if len(wanted) > MAX_TAGS:
        raise EditError(f"An image takes at most {MAX_TAGS} tags; remove one first.")
    if wanted == record.tags:
        return record
    is_decided = record.status in (ReviewStatus.APPROVED, ReviewStatus.REJECTED)
    status = record.status if is_decided else ReviewStatus.EDITED
    return replace(record, tags=wanted, status=status)


def record_ids(record: ImageRecord) -> tuple[str, ...]:
    """Return the ids of the record's boxes, in their order."""
    return tuple(box.annotation_id for box in record.annotations)
