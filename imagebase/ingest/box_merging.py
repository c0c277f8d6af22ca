"""Merge imported boxes into an image's record, or replace those there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from enum import StrEnum
from typing import Final

from imagebase.annotation import (
    Annotation,
    Attributes,
    ImageRecord,
    ReviewStatus,
    Size,
    utc_now,
)
from imagebase.annotation.attributes import clean_attributes
from imagebase.editing.records import MAX_TAGS
from imagebase.formats.base import ReadImage
from imagebase.formats.placement import Frame, fitted

# Formats of whole pixels move an edge by up to one.
_SAME_PLACE_PX: Final = 1.0

# The states of images on which no person has done anything yet.
_NO_PERSONS: Final = (ReviewStatus.NEW, ReviewStatus.SUGGESTED, ReviewStatus.IMPORTED)


class Replacing(StrEnum):
    """Treatment of the boxes that are on an image already."""

    NOTHING = "nothing"
    MODEL_BOXES = "model"
    ALL_BOXES = "all"


@dataclass(frozen=True, slots=True)
class ImportChoice:
    """How labels are to come in.

    names: what a label of the files is called here; None leaves out its boxes and tags,
        one that is not named keeps its name.
    takes_new: whether images that come with the labels are added.
    takes_approved: whether approved images are changed too.
    """

    replacing: Replacing = Replacing.NOTHING
    names: Mapping[str, str | None] = field(default_factory=dict)
    takes_new: bool = True
    takes_approved: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """Counts of an import's changes.

    images: that change. boxes: that come in, of which `model_boxes` nobody touched yet.
    present: boxes that are there already. unwanted: whose label is left out.
    outside: that have nothing inside the image.
    confirmed: untouched boxes of a model that the labels have too: theirs now.
    replaced_model, replaced: boxes taken away, those of a model that nobody touched,
        and a person's. tags: added. approved: images left alone since they are.
    full: images left alone since they would have more boxes than may be.
    described: boxes that are there already and get attributes they did not have.
    """

    images: int = 0
    boxes: int = 0
    model_boxes: int = 0
    present: int = 0
    unwanted: int = 0
    outside: int = 0
    confirmed: int = 0
    replaced_model: int = 0
    replaced: int = 0
    tags: int = 0
    approved: int = 0
    full: int = 0
    described: int = 0

    def __add__(self, other: "Effect") -> "Effect":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Effect(*(a + b for a, b in pairs))


def merged(
    record: ImageRecord,
    image: ReadImage,
    choice: ImportChoice,
    *,
    who: str,
    max_boxes: int,
    orientation: int = 1,
) -> tuple[ImageRecord, Effect]:
    """Return the record with an image's labels on it, and what that changes.

    A box that is there already, with the same label and to a pixel, is not doubled and
    stays whose it is, with the attributes that it did not have; so importing the same
    labels twice changes nothing.

    Args:
        image: as the label files describe it, its boxes for its own size.
        who: the name that the boxes bear.
        max_boxes: of an image; one that would have more is left unchanged.
        orientation: EXIF's of the image; see `placing.fitted`.
    """
    if record.status is ReviewStatus.APPROVED and not choice.takes_approved:
        has_news = bool(image.annotations or image.tags)
        return record, Effect(approved=int(has_news))
    image = fitted(image, Frame(record.size, orientation)).image
    named, unwanted = _named(image, choice)
    fitting = [box for box in _placed(named, record.size, who) if box.box.area]
    same, confirmed, fresh = _divided(record.annotations, fitting)
    # Where nothing comes in nothing goes: the files may not know of the image, or say
    # something of it that could not be read.
    replacing = choice.replacing if fitting else Replacing.NOTHING
    removed = {
        box.annotation_id: box
        for box in record.annotations
        if box.annotation_id in confirmed
        or (box.annotation_id not in same and _is_replaced(box, replacing))
    }
    replaced = [box for box_id, box in removed.items() if box_id not in confirmed]
    left = [box for box in record.annotations if box.annotation_id not in removed]
    stays = [_described(box, same.get(box.annotation_id, {}), who) for box in left]
    tags = _all_tags(record, image, choice)
    if len(stays) + len(fresh) > max_boxes:
        return record, Effect(full=1)
    replaces_all = replacing is Replacing.ALL_BOXES
    after = _changed(record, (*stays, *fresh), tags, replaces_all=replaces_all)
    return after, Effect(
        images=int(after is not record),
        boxes=len(fresh),
        model_boxes=sum(box.is_untouched for box in fresh),
        present=len(same),
        unwanted=unwanted,
        outside=len(named) - len(fitting),
        confirmed=len(confirmed),
        replaced_model=sum(box.is_untouched for box in replaced),
        replaced=sum(not box.is_untouched for box in replaced),
        tags=max(len(tags) - len(record.tags), 0),
        described=sum(a is not b for a, b in zip(stays, left, strict=True)),
    )


def _described(annotation: Annotation, known: Attributes, who: str) -> Annotation:
    """Return the box with those of these attributes that it does not have."""
    if known.keys() <= annotation.attributes.keys():
        return annotation
    both = clean_attributes(
        {**annotation.attributes, **known, **annotation.attributes}
    ).kept
    return replace(annotation, attributes=both, changed_by=who, changed_at=utc_now())


def _named(image: ReadImage, choice: ImportChoice) -> tuple[list[Annotation], int]:
    named = [
        replace(annotation, label=name)
        for annotation in image.annotations
        if (name := choice.names.get(annotation.label, annotation.label)) is not None
    ]
    return named, len(image.annotations) - len(named)


def _placed(boxes: Iterable[Annotation], size: Size, who: str) -> list[Annotation]:
    """Return the boxes that are inside the image, as new ones of `who`."""
    now = utc_now()
    return [
        replace(box, box=box.box.clipped(size), changed_by=who, changed_at=now)
        for box in boxes
    ]


def _all_tags(
    record: ImageRecord, image: ReadImage, choice: ImportChoice
) -> tuple[str, ...]:
    coming = (choice.names.get(tag, tag) for tag in image.tags)
    wanted = (tag for tag in coming if tag is not None)
    return tuple(dict.fromkeys((*record.tags, *wanted)))[:MAX_TAGS]


def _divided(
    there: Sequence[Annotation], coming: Iterable[Annotation]
) -> tuple[dict[str, Attributes], set[str], list[Annotation]]:
    """Return attributes of boxes there that come again, confirmed ids, and new boxes.

    Confirmed is a model's box that nobody touched where the labels, which are no
    model's, have the same: theirs takes its place.
    """
    by_label: dict[str, list[Annotation]] = {}
    for annotation in there:
        by_label.setdefault(annotation.label, []).append(annotation)
    same: dict[str, Attributes] = {}
    confirmed: set[str] = set()
    fresh = []
    for annotation in coming:
        rest = by_label.get(annotation.label, [])
        known = next(
            (other for other in rest if _is_same_place(annotation, other)), None
        )
        if known is None:
            fresh.append(annotation)
            continue
        # Twice in a file are two boxes: each that is there stands for one.
        rest.remove(known)
        if known.is_untouched and not annotation.is_untouched:
            confirmed.add(known.annotation_id)
            fresh.append(
                _described(annotation, known.attributes, annotation.changed_by)
            )
        else:
            same[known.annotation_id] = annotation.attributes
    return same, confirmed, fresh


def _is_same_place(a: Annotation, b: Annotation) -> bool:
    moved = (abs(p - q) for p, q in zip(a.box, b.box, strict=True))
    return max(moved) <= _SAME_PLACE_PX


def _is_replaced(annotation: Annotation, replacing: Replacing) -> bool:
    if replacing is Replacing.MODEL_BOXES:
        return annotation.is_untouched
    return replacing is Replacing.ALL_BOXES


def _changed(
    record: ImageRecord,
    annotations: tuple[Annotation, ...],
    tags: tuple[str, ...],
    *,
    replaces_all: bool,
) -> ImageRecord:
    if annotations == record.annotations and tags == record.tags:
        return record
    is_persons = record.status not in _NO_PERSONS and not replaces_all
    is_models = (
        tags == record.tags
        and record.status is not ReviewStatus.IMPORTED
        and all(annotation.is_untouched for annotation in annotations)
    )
    status = ReviewStatus.SUGGESTED if is_models else ReviewStatus.IMPORTED
    if is_persons:
        status = ReviewStatus.EDITED
    return replace(record, annotations=annotations, tags=tags, status=status)
