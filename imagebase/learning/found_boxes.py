"""What a model found that is not in a dataset yet, the likeliest first."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from imagebase.annotation import NOT_APPROVED, Annotation, Box, Size
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.detector import Detector
from imagebase.detection.merge import CONTAINED_SHARE, SAME_OBJECT_IOU, suggested
from imagebase.detection.selection_rule import (
    SelectionRule,
    as_annotations,
    select_all,
)
from imagebase.geometry import as_xyxy, pairwise_containment, pairwise_iou
from imagebase.store import AnnotationFilter, Scope, Store

# Images that are looked through, those with the likeliest box first.
MOST_IMAGES: Final = 1000
# A model that finds less than this share of the boxes that are there misses too many.
_POOR_SHARE: Final = 0.6
_LEAST_JUDGED: Final = 3
_MOST_JUDGED: Final = 500


class FoundBox(NamedTuple):
    """A suggestion, and the image that it is on; revision: of the image, as seen."""

    image_id: str
    file_name: str
    size: Size
    revision: int
    annotation: Annotation

    @property
    def confidence(self) -> float:
        return self.annotation.confidence or 0.0


def found_boxes(
    store: Store,
    scope: Scope,
    detector: Detector,
    pool: CandidatePool,
    rule: SelectionRule,
    *,
    label: str,
) -> list[FoundBox]:
    """Return the suggestions of one label on images that are not approved.

    Args:
        store, scope: the dataset.
        detector: whose candidates they are.
        pool: its candidates in the dataset.
        rule: which of them become boxes.
        label: by its name in the dataset.
    """
    named = [name for name in detector.labels if rule.mapping.get(name, name) == label]
    rule = replace(rule, labels=tuple(named) or ("",))
    wanted = pool.only(store.image_ids(scope, statuses=NOT_APPROVED))
    wanted = wanted.outside(store.ignored_shapes(scope, wanted.image_ids))
    selection = select_all(wanted, rule, model_labels=detector.labels)
    surest = np.zeros(len(wanted.image_ids), np.float32)
    np.maximum.at(
        surest, wanted.image[selection.rows], wanted.confidence[selection.rows]
    )
    order = np.argsort(-surest, kind="stable")[:MOST_IMAGES]
    chosen = [wanted.image_ids[place] for place in order if surest[place] > 0]
    boxes = [
        FoundBox(
            record.image_id, record.file_name, record.size, record.revision, annotation
        )
        for record in store.records(scope, image_ids=chosen)
        for annotation in _one_each(
            suggested(
                record,
                as_annotations(
                    selection.of(record.image_id),
                    model_labels=detector.labels,
                    model_id=detector.model_id,
                    mapping=rule.mapping,
                    voters=detector.voters,
                ),
                model_id=detector.model_id,
            )
        )
    ]
    return sorted(boxes, key=lambda found: -found.confidence)


def _one_each(boxes: Sequence[Annotation]) -> list[Annotation]:
    """Return boxes without those that accepting a likelier one would leave out."""
    kept: list[Annotation] = []
    for box in sorted(boxes, key=lambda one: -(one.confidence or 0)):
        there = as_xyxy([other.box for other in kept])
        inside = pairwise_containment(as_xyxy([box.box]), there)
        if inside.max(initial=0) < CONTAINED_SHARE:
            kept.append(box)
    return kept


class Coverage(NamedTuple):
    """How many boxes of a label there are, and how many of them a model finds again."""

    boxes: int
    found: int

    @property
    def is_poor(self) -> bool:
        """Say whether the model misses too many to be relied on."""
        return self.boxes >= _LEAST_JUDGED and self.found < _POOR_SHARE * self.boxes


def coverage(
    store: Store, scope: Scope, pool: CandidatePool, *, label: str
) -> Coverage:
    """Return how many of the boxes that people drew or accepted a model finds.

    Arguments are those of `found_boxes`.
    """
    wanted = AnnotationFilter(labels=[label])
    rows = store.annotation_rows(scope, wanted, limit=_MOST_JUDGED)
    drawn: dict[str, list[Box]] = {}
    for row in rows:
        if not row.annotation.is_untouched:
            drawn.setdefault(row.image_id, []).append(row.annotation.box)
    chosen = pool.only(drawn)
    boxes = found = 0
    for place, image_id in enumerate(chosen.image_ids):
        iou = pairwise_iou(as_xyxy(drawn[image_id]), chosen.xyxy[chosen.image == place])
        boxes += len(iou)
        found += int((iou.max(axis=1, initial=0) >= SAME_OBJECT_IOU).sum())
    return Coverage(boxes, found)


def by_image(boxes: Sequence[FoundBox]) -> Mapping[str, list[Annotation]]:
    """Return the boxes of each image, by its id."""
    grouped: dict[str, list[Annotation]] = {}
    for found in boxes:
        grouped.setdefault(found.image_id, []).append(found.annotation)
    return grouped
