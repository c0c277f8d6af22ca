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
            _cleaned_annotation(one)
            for one in record.deleted
            if one.source is Source.MODEL
        ),
        comment=clean_text(record.comment),
        tags=tuple(dict.fromkeys(map(clean_text, record.tags))),
    )


def _cleaned_annotation(one: Annotation) -> Annotation:
    if not one.box.is_finite:
        raise StoreError(f"A {one.label} box has an edge that is no number; redraw it.")
    try:
        label = clean_label(one.label)
    except ValueError as error:
        raise StoreError("A box needs a label; choose one.") from error
    known = clean_attributes(one.attributes).kept if one.attributes else one.attributes
    if (label, known) == (one.label, one.attributes):
        return one
    return replace(one, label=label, attributes=known)


def with_names(record: ImageRecord, now: Mapping[str, str]) -> ImageRecord:
    """Return the record with the present names of its labels.

    A page opened before a label was renamed brings no old name back.
    """
    if not now:
        return record

    def named(one: Annotation) -> Annotation:
        return replace(one, label=now[one.label]) if one.label in now else one

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
        after = {**after, "marks": [shape_json(one) for one in record.marks]}
    if before != after:
        yield Difference(REVIEW, None, before=before, after=after)


def _placed_by_id(stored: StoredImage, record: ImageRecord) -> dict[str, Placed]:
    """Give each annotation its place: the one it has, or one after all others."""
    last = max((one.position for one in stored.placed.values()), default=-1)
    placed: dict[str, Placed] = {}
    kept = ((False, record.annotations), (True, record.deleted))
    for is_deleted, ones in kept:
        for one in ones:
            if one.annotation_id in placed:
                raise ValueError(f"two annotations have the id {one.annotation_id}")
            known = stored.placed.get(one.annotation_id)
            last += known is None
            position = last if known is None else known.position
            placed[one.annotation_id] = Placed(one, position, is_deleted)
    return placed


def _same(old: Placed, new: Placed) -> bool:
    """Compare all but who changed it when: that alone is no change."""
    before, after = old.annotation, new.annotation
    after = replace(after, changed_by=before.changed_by, changed_at=before.changed_at)
    return old == replace(new, annotation=after)
