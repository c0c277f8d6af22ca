"""Select boxes from candidates by thresholds and labels; the net is not run again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from imagebase.annotation import Annotation, Box, Source
from imagebase.detection.candidate_pool import CandidatePool, SelectedBoxes
from imagebase.detection.candidates import Detections
from imagebase.settings import DEFAULT_CONFIDENCE, DEFAULT_NMS_IOU


@dataclass(frozen=True, slots=True)
class SelectionRule:
    """Which candidates become boxes.

    labels: only these; None takes all.
    mapping: the dataset's label for a model's label; one that is missing keeps its
        name, one mapped to an empty string is left out.
    per_label_confidence: thresholds of a model's labels that have their own.
    """

    confidence_threshold: float = DEFAULT_CONFIDENCE
    nms_threshold: float = DEFAULT_NMS_IOU
    labels: tuple[str, ...] | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    per_label_confidence: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "SelectionRule":
        """Return the rule in a job's parameters; defaults fill the rest."""
        names = [field.name for field in fields(cls)]
        given = {name: parameters.get(name) for name in names}
        given["labels"] = tuple(given["labels"] or ()) or None
        return cls(
            **{name: value for name, value in given.items() if value is not None}
        )

    def parameters(self) -> dict[str, Any]:
        """Return the rule as a job's parameters, which `of` reads."""
        return {**asdict(self), "labels": list(self.labels) if self.labels else None}

    def class_ids(self, model_labels: Sequence[str]) -> frozenset[int] | None:
        """Return the class ids of the model that pass, or None for all."""
        left_out = {name for name, target in self.mapping.items() if not target}
        if self.labels is None and not left_out:
            return None
        return frozenset(
            index
            for index, name in enumerate(model_labels)
            if name not in left_out and (self.labels is None or name in self.labels)
        )

    def counts_as(self, model_labels: Sequence[str]) -> dict[int, int]:
        """Return the class that each class shares its name with, the first of them."""
        names = [self.mapping.get(name, name) for name in model_labels]
        return {i: names.index(name) for i, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Tally:
    """How many boxes there are, on how many images."""

    boxes: int
    images: int


def select_all(
    pool: CandidatePool, rule: SelectionRule, *, model_labels: Sequence[str]
) -> SelectedBoxes:
    """Return what a rule leaves of every image of a pool."""
    return pool.select(
        confidence_threshold=rule.confidence_threshold,
        nms_threshold=rule.nms_threshold,
        class_ids=rule.class_ids(model_labels),
        per_class_confidence={
            index: rule.per_label_confidence[name]
            for index, name in enumerate(model_labels)
            if name in rule.per_label_confidence
        },
        counts_as=rule.counts_as(model_labels) if rule.mapping else None,
    )


def tally(selection: SelectedBoxes) -> Tally:
    """Count the boxes, and the images that have any."""
    return Tally(selection.boxes, int(np.count_nonzero(selection.counts)))


def gained(now: SelectedBoxes, then: SelectedBoxes) -> Tally:
    """Count the boxes another rule would add to a pool, and the images they are on."""
    more = then.counts - now.counts
    return Tally(int(more.sum()), int(np.count_nonzero(more)))


def found_labels(
    pool: CandidatePool, *, model_labels: Sequence[str], confidence_threshold: float
) -> dict[str, int]:
    """Count candidates by label above a confidence, in the model's order of labels."""
    counts = pool.class_counts(confidence_threshold=confidence_threshold)
    return {name: n for name, n in zip(model_labels, counts, strict=False) if n}


def kept_labels(
    selection: SelectedBoxes, rule: SelectionRule, *, model_labels: Sequence[str]
) -> list[str]:
    """Return the dataset's labels of selected boxes, in the model's order, once."""
    class_ids = np.unique(selection.pool.class_id[selection.rows])
    names = [model_labels[class_id] for class_id in class_ids]
    return list(dict.fromkeys(rule.mapping.get(name, name) for name in names))


def by_doubt(selection: SelectedBoxes) -> list[str]:
    """Return the image ids of a pool, those with the least certain box first.

    Images without a box have none to doubt, and come last.
    """
    order = np.argsort(selection.least_confidence, kind="stable")
    return [selection.pool.image_ids[place] for place in order]


def as_annotations(
    detections: Detections,
    *,
    model_labels: Sequence[str],
    model_id: str,
    mapping: Mapping[str, str] | None = None,
    voters: Sequence[str] = (),
) -> list[Annotation]:
    """Return detections as untouched model boxes, best first.

    voters: names of the models where several looked; a box bears those who saw it.
    """
    names = mapping or {}
    seen_by = _who_saw(detections, voters)
    return [
        Annotation(
            box=Box(*(float(edge) for edge in xyxy)),
            label=names.get(model_labels[class_id], model_labels[class_id]),
            source=Source.MODEL,
            confidence=float(confidence),
            model_id=model_id,
            changed_by=who or model_id,
        )
        for xyxy, confidence, class_id, who in zip(
            detections.xyxy,
            detections.confidence,
            detections.class_id,
            seen_by,
            strict=True,
        )
    ]


def _who_saw(detections: Detections, voters: Sequence[str]) -> list[str]:
    """Return the names of those who saw each box; empty for one model's boxes."""
    if detections.seen_by is None or not voters:
        return [""] * len(detections)
    return [
        " + ".join(name for place, name in enumerate(voters) if bits >> place & 1)
        for bits in detections.seen_by.tolist()
    ]
