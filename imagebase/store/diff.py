"""What differs between a stored record and what it shall be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from imagebase.annotation import (
    Annotation,
    ImageRecord,
    Source,
    clean_label,
    clean_text,
)
from imagebase.annotation.areas import shape_json
from imagebase.annotation.attributes import clean_attributes
from imagebase.errors import StoreError
from imagebase.store.column_types import JsonObject
from imagebase.store.mapping import Placed, StoredImage, placed_json, review_json

ANNOTATION: Final = "annotation"
REVIEW: Final = "review"
LABEL: Final = "label"
AREA: Final = "area"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that changes: an annotation (by its id), or the review of the image."""

    kind: str
    annotation_id: str | None
    before: JsonObject | None
    after: JsonObject | None


def cleaned(record: ImageRecord) -> ImageRecord:
    """Return the record as the database can keep it, or a difference would never end.

    Marks are kept of model boxes only: nothing puts a person's box back by itself.

    Raises:
        StoreError: a box has no label, or an edge that is no number.
    """
    return replace(
        record,
        annotations=tuple(map(_cleaned_annotation, record.annotations)),
        deleted=tuple(
            _cleaned_annotation(mark)
            for mark in record.deleted
            if mark.source is Source.MODEL
        ),
        comment=clean_text(record.comment),
        tags=tuple(dict.fromkeys(map(clean_text, record.tags))),
    )


def _cleaned_annotation(annotation: Annotation) -> Annotation:
    if not annotation.box.is_finite:
        raise StoreError(
            f"A {annotation.label} box has an edge that is no number; redraw it."
        )
    try:
        label = clean_label(annotation.label)
    except ValueError as error:
        raise StoreError("A box needs a label; choose one.") from error
    known = annotation.attributes
    attributes = clean_attributes(known).kept if known else known
    if (label, attributes) == (annotation.label, known):
        return annotation
    return replace(annotation, label=label, attributes=attributes)


def with_names(record: ImageRecord, now: Mapping[str, str]) -> ImageRecord:
    """Return the record with the present names of its labels.

    A page opened before a label was renamed brings no old name back.
    """
    if not now:
        return record

    def named(box: Annotation) -> Annotation:
        return replace(box, label=now[box.label]) if box.label in now else box

    return replace(
        record,
        annotations=tuple(map(named, record.annotations)),
        deleted=tuple(map(named, record.deleted)),
    )


def differences(stored: StoredImage, record: ImageRecord) -> Iterator[Difference]:
    """Yield what has to change for the stored image to be as the record says.

    Raises:
        ValueError: two annotations of the record have the same id.
    """
    wanted = _placed_by_id(stored, record)
    for annotation_id in {**stored.placed, **wanted}:
        old, new = stored.placed.get(annotation_id), wanted.get(annotation_id)
        if old is not None and new is not None and _same(old, new):
            continue
        yield Difference(
            kind=ANNOTATION,
            annotation_id=annotation_id,
            before=None if old is None else placed_json(old),
            after=None if new is None else placed_json(new),
        )
    before, after = review_json(stored.record), review_json(record)
    if record.marks:
        after = {**after, "marks": [shape_json(mark) for mark in record.marks]}
    if before != after:
        yield Difference(REVIEW, None, before=before, after=after)


def _placed_by_id(stored: StoredImage, record: ImageRecord) -> dict[str, Placed]:
    """Give each annotation its place: the one it has, or one after all others."""
    last = max((known.position for known in stored.placed.values()), default=-1)
    placed: dict[str, Placed] = {}
    for is_deleted, own in ((False, record.annotations), (True, record.deleted)):
        for annotation in own:
            if annotation.annotation_id in placed:
                raise ValueError(
                    f"two annotations have the id {annotation.annotation_id}"
                )
            known = stored.placed.get(annotation.annotation_id)
            last += known is None
            position = last if known is None else known.position
            placed[annotation.annotation_id] = Placed(annotation, position, is_deleted)
    return placed


def _same(old: Placed, new: Placed) -> bool:
    """Compare all but who changed it when: that alone is no change."""
    if old == new:
        return True
    before, after = old.annotation, new.annotation
    after = replace(after, changed_by=before.changed_by, changed_at=before.changed_at)
    return old == replace(new, annotation=after)
