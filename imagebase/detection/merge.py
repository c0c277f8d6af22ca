"""Merge a model's detections into an image's boxes, below those a person made.

Running a model again replaces only its own untouched boxes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Annotation, ImageRecord, ReviewStatus, Source
from imagebase.geometry import FloatArray, as_xyxy, pairwise_containment, pairwise_iou

SAME_OBJECT_IOU: Final = 0.5

# What lies this far inside a box of the same label counts as contained in it.
CONTAINED_SHARE: Final = 0.95

# As many as `new_id` has.
_ID_DIGITS: Final = 32


def keep_detections(
    record: ImageRecord, detections: Sequence[Annotation], *, model_id: str
) -> ImageRecord:
    """Return the record with these detections as the layer of one model.

    Boxes that a person drew, moved, relabelled or accepted, imported ones, and those of
    other models are kept. A detection is left out where it overlaps a person's
    box (IoU ≥ 0.5, whatever its label), lies in one of the same label, or overlaps a
    deleted model box of its label (IoU ≥ 0.5). A detection that is there already keeps
    its object, so that keeping the same ones twice changes nothing.

    Approved images are returned unchanged, confirmed empty ones included.

    Args:
        detections: boxes of source `model` in pixels of the record's image; cut off
            at the edges.
        model_id: whose untouched boxes they replace.
    """
    if record.status is ReviewStatus.APPROVED:
        return record
    stays = [box for box in record.annotations if not _is_own(box, model_id)]
    own = {_look(box): box for box in record.annotations if _is_own(box, model_id)}
    fresh = _admitted(record, stays, _clipped(record, detections, model_id))
    layer = [own.get(_look(box), box) for box in fresh]
    if _is_unchanged(record, stays, layer):
        return _with_status(record)
    return _with_status(replace(record, annotations=_in_order(record, stays, layer)))


def suggested(
    record: ImageRecord, detections: Sequence[Annotation], *, model_id: str
) -> tuple[Annotation, ...]:
    """Return the boxes that keeping these detections would add to the record.

    Each bears an id that is the same whenever the same is suggested. What another
    model's box shows already is left out.
    """
    merged = keep_detections(record, detections, model_id=model_id)
    before = {box.annotation_id for box in record.annotations}
    fresh = [
        _with_lasting_id(record, box)
        for box in merged.annotations
        if box.annotation_id not in before
    ]
    deleted = {mark.annotation_id for mark in record.deleted}
    # One that a person moved away bears its id still.
    fresh = [box for box in fresh if box.annotation_id not in before | deleted]
    if not fresh or not record.annotations:
        return tuple(fresh)
    there = pairwise_iou(_boxes(fresh), _boxes(record.annotations)) >= SAME_OBJECT_IOU
    there &= _same_label(fresh, list(record.annotations))
    return tuple(fresh[i] for i in np.flatnonzero(~there.any(axis=1)))


def still_suggested(
    record: ImageRecord, suggestions: Sequence[Annotation]
) -> tuple[Annotation, ...]:
    """Return those of several models' suggestions that `suggested` returns by now."""
    by_model: dict[str, list[Annotation]] = {}
    for box in suggestions:
        by_model.setdefault(box.model_id or "", []).append(box)
    return tuple(
        box
        for model_id, found in by_model.items()
        for box in suggested(record, found, model_id=model_id)
    )


def add_suggestions(
    record: ImageRecord, suggestions: Sequence[Annotation]
) -> ImageRecord:
    """Return the record with suggestions as untouched boxes of their model."""
    known = {box.annotation_id for box in (*record.annotations, *record.deleted)}
    fresh = [box for box in suggestions if box.annotation_id not in known]
    if not fresh:
        return record
    return _with_status(record.with_annotations([*record.annotations, *fresh]))


def _with_lasting_id(record: ImageRecord, annotation: Annotation) -> Annotation:
    about = (record.image_id, annotation.model_id, annotation.label, *annotation.box)
    digest = hashlib.sha256(repr(about).encode()).hexdigest()
    return replace(annotation, annotation_id=digest[:_ID_DIGITS])


def _is_own(annotation: Annotation, model_id: str) -> bool:
    return annotation.is_untouched and annotation.model_id == model_id


def _look(annotation: Annotation) -> tuple[object, ...]:
    return (annotation.box, annotation.label, annotation.confidence)


def _clipped(
    record: ImageRecord, detections: Sequence[Annotation], model_id: str
) -> list[Annotation]:
    clipped = [
        replace(
            detection,
            box=detection.box.clipped(record.size),
            source=Source.MODEL,
            model_id=model_id,
            accepted=False,
        )
        for detection in detections
    ]
    return list({_look(new): new for new in clipped if new.box.area > 0}.values())


def _admitted(
    record: ImageRecord, stays: list[Annotation], fresh: list[Annotation]
) -> list[Annotation]:
    """Return the detections that nothing a person did stands against."""
    if not fresh:
        return []
    persons = [box for box in stays if not box.is_untouched]
    boxes = _boxes(fresh)
    overlaps = pairwise_iou(boxes, _boxes(persons)) >= SAME_OBJECT_IOU
    contained = pairwise_containment(boxes, _boxes(persons)) >= CONTAINED_SHARE
    contained &= _same_label(fresh, persons)
    marks = record.deleted
    unwanted = pairwise_iou(boxes, _boxes(marks)) >= SAME_OBJECT_IOU
    unwanted &= _same_label(fresh, marks)
    refused = np.concatenate([overlaps | contained, unwanted], axis=1).any(axis=1)
    return [fresh[i] for i in np.flatnonzero(~refused)]


def _boxes(annotations: Sequence[Annotation]) -> FloatArray:
    return as_xyxy([annotation.box for annotation in annotations]).astype(np.float64)


def _same_label(a: Sequence[Annotation], b: Sequence[Annotation]) -> NDArray[np.bool_]:
    same = [[box.label == other.label for other in b] for box in a]
    return np.array(same, dtype=bool).reshape(len(a), len(b))


def _is_unchanged(
    record: ImageRecord, stays: list[Annotation], layer: list[Annotation]
) -> bool:
    before = {id(box) for box in record.annotations}
    return before == {id(box) for box in (*stays, *layer)}


def _in_order(
    record: ImageRecord, stays: list[Annotation], layer: list[Annotation]
) -> tuple[Annotation, ...]:
    """Return existing boxes in their order, then new ones."""
    wanted = {id(box) for box in (*stays, *layer)}
    before = [box for box in record.annotations if id(box) in wanted]
    known = {id(box) for box in before}
    return (*before, *(box for box in layer if id(box) not in known))


def _with_status(record: ImageRecord) -> ImageRecord:
    if record.status is not ReviewStatus.NEW:
        return record
    return replace(record, status=ReviewStatus.SUGGESTED)
