"""Thresholds learned from corrections: how sure a model must be of each label.

Too low, and people delete false boxes; too high, and they draw missed objects. The
best threshold of a label is the one at which its decided boxes would have cost least.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Annotation, ImageRecord, Source
from imagebase.detection.candidate_pool import SelectedBoxes
from imagebase.detection.merge import SAME_OBJECT_IOU, keep_detections
from imagebase.detection.selection_rule import SelectionRule, as_annotations
from imagebase.geometry import FloatArray, as_xyxy, pairwise_iou
from imagebase.review.corrections import Decision, Fate

ENOUGH_DECISIONS: Final = 30
DELETING: Final = 1
DRAWING: Final = 2
RESAMPLES: Final = 500
_SEED: Final = 20
_INTERVAL: Final = (2.5, 97.5)
# Of the normal distribution, for 95 %.
_Z: Final = 1.959964

# Thresholds are set in steps of 0.01, as on Annotate; the last lets nothing pass.
FLOOR: Final = 0.05
GRID: Final = np.arange(5, 101) / 100

_Weights = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LabelEvidence:
    """The evidence on a label: confidences of boxes that were right, and wrong.

    right, wrong: boxes people decided on. missed: boxes they drew where the model had
    one below its threshold. unseen: boxes below it that nobody missed, on images that
    are approved.
    """

    right: Sequence[float] = ()
    wrong: Sequence[float] = ()
    missed: Sequence[float] = ()
    unseen: Sequence[float] = ()

    @property
    def decisions(self) -> int:
        """The number of boxes that people decided on."""
        return len(self.right) + len(self.wrong) + len(self.missed)


@dataclass(frozen=True, slots=True)
class Learned:
    """The threshold of a label that would have cost least, and how sure that is.

    low, high: 95 % of resamples. precision: the share of right boxes among those at
    or above the threshold, with its interval of 95 %.
    """

    label: str
    threshold: float
    low: float
    high: float
    right: int
    wrong: int
    missed: int
    precision: float
    precision_low: float
    precision_high: float

    @property
    def decisions(self) -> int:
        return self.right + self.wrong + self.missed


@dataclass(frozen=True, slots=True)
class TooFew:
    """A label that needs more decisions before a threshold can be learned."""

    label: str
    decisions: int

    @property
    def needed(self) -> int:
        return ENOUGH_DECISIONS - self.decisions


def learn(label: str, evidence: LabelEvidence) -> Learned | TooFew:
    """Return the threshold that follows from the evidence on a label."""
    if evidence.decisions < ENOUGH_DECISIONS:
        return TooFew(label, evidence.decisions)
    right = _binned([*evidence.right, *evidence.missed])
    wrong = _binned([*evidence.wrong, *evidence.unseen])
    place = int(_best_places(right[None], wrong[None])[0])
    low, high = _interval(right, wrong)
    good, bad = int(right[place:].sum()), int(wrong[place:].sum())
    least, most = wilson_interval(good, good + bad)
    return Learned(
        label,
        threshold=float(GRID[place]),
        low=low,
        high=high,
        right=len(evidence.right),
        wrong=len(evidence.wrong),
        missed=len(evidence.missed),
        precision=good / (good + bad) if good + bad else 0.0,
        precision_low=least,
        precision_high=most,
    )


def _binned(confidences: Sequence[float]) -> _Weights:
    """Count confidences by the highest threshold of the grid that they still pass.

    What passes none counts with the lowest: thresholds go no further down.
    """
    # As the pool compares them, or 0.3 would not pass a threshold of 0.3.
    steps = GRID.astype(np.float32)
    passes = np.searchsorted(steps, np.asarray(confidences, np.float32), side="right")
    places = np.maximum(passes - 1, 0)
    return np.bincount(places, minlength=len(GRID)).astype(np.int64)


def _best_places(right: _Weights, wrong: _Weights) -> NDArray[np.intp]:
    """Return the place in the grid that costs least, for each of R rows of counts.

    Among equals it is the middle one, farthest from what lies on either side. Nothing
    is known below the least confidence there is.
    """
    missed = np.cumsum(right, axis=1) - right
    false = wrong.sum(axis=1, keepdims=True) - (np.cumsum(wrong, axis=1) - wrong)
    cost = DRAWING * missed + DELETING * false
    counted = right + wrong > 0
    first = np.argmax(counted, axis=1)[:, None]
    steps = len(GRID)
    last = steps - np.argmax(counted[:, ::-1], axis=1)[:, None]
    places = np.arange(steps)[None]
    is_known = (places >= first) & (places <= last)
    cost = np.where(is_known, cost, np.iinfo(np.int64).max)
    is_best = cost == cost.min(axis=1, keepdims=True)
    rank = np.cumsum(is_best, axis=1)
    middle = (rank[:, -1:] + 1) // 2
    return np.asarray(np.argmax(rank >= middle, axis=1))


def _interval(right: _Weights, wrong: _Weights) -> tuple[float, float]:
    """Return the bootstrap's percentile interval (Efron 1979), always the same."""
    counts = np.concatenate([right, wrong])
    total = int(counts.sum())
    draws = np.random.default_rng(_SEED).multinomial(
        total, counts / total, size=RESAMPLES
    )
    places = _best_places(draws[:, : len(GRID)], draws[:, len(GRID) :])
    low, high = np.percentile(GRID[places], _INTERVAL)
    return float(low), float(high)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the interval of 95 % of a share (Wilson 1927); 0 to 1 without trials."""
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z**2
    centre = share + z2 / (2 * trials)
    spread = _Z * sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    scale = 1 + z2 / trials
    return max((centre - spread) / scale, 0.0), min((centre + spread) / scale, 1.0)


def decided_evidence(
    decisions: Iterable[Decision], *, model_id: str
) -> dict[str, LabelEvidence]:
    """Return people's decisions on one model's boxes, by label.

    A box that was kept or moved was right, a deleted one wrong. One that was relabelled
    was half right: it is left out.
    """
    right: dict[str, list[float]] = {}
    wrong: dict[str, list[float]] = {}
    for decision in decisions:
        if decision.model_id != model_id or decision.confidence is None:
            continue
        if decision.fate in (Fate.KEPT, Fate.MOVED):
            right.setdefault(decision.label, []).append(decision.confidence)
        elif decision.fate is Fate.DELETED:
            wrong.setdefault(decision.label, []).append(decision.confidence)
    return {
        label: LabelEvidence(right=right.get(label, ()), wrong=wrong.get(label, ()))
        for label in dict.fromkeys((*right, *wrong))
    }


def with_missed(
    known: Mapping[str, LabelEvidence],
    approved: Mapping[str, Sequence[Annotation]],
    quiet: SelectedBoxes,
    *,
    rule: SelectionRule,
    model_labels: Sequence[str],
) -> dict[str, LabelEvidence]:
    """Return the evidence with the model's boxes below the threshold added.

    On an approved image, a person has drawn the missed objects. A detection below
    the threshold that a drawn box of its label covers (IoU ≥ 0.5) was missed; one that
    no box of its label covers was rightly left out; any other tells nothing.

    Args:
        known: by label.
        approved: the boxes of each approved image, of those without boxes too.
        quiet: what a threshold far below the rule's leaves of the pool.
        rule: that selected the boxes shown.
        model_labels: in order of the model's classes.
    """
    missed: dict[str, list[float]] = defaultdict(list)
    unseen: dict[str, list[float]] = defaultdict(list)
    for image_id, rows in _hidden_rows(quiet, rule, model_labels):
        if image_id not in approved:
            continue
        confidences = quiet.pool.confidence[rows].tolist()
        labels = [
            rule.mapping.get(model_labels[class_id], model_labels[class_id])
            for class_id in quiet.pool.class_id[rows]
        ]
        is_missed, is_unseen = _told(quiet.pool.xyxy[rows], labels, approved[image_id])
        for i, (label, confidence) in enumerate(zip(labels, confidences, strict=True)):
            if is_missed[i]:
                missed[label].append(confidence)
            elif is_unseen[i]:
                unseen[label].append(confidence)
    return {
        label: replace(
            known.get(label, LabelEvidence()),
            missed=tuple(missed.get(label, ())),
            unseen=tuple(unseen.get(label, ())),
        )
        for label in dict.fromkeys((*known, *missed, *unseen))
    }


def _hidden_rows(
    quiet: SelectedBoxes, rule: SelectionRule, model_labels: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield the rows of the pool that a rule did not show, image by image."""
    pool = quiet.pool
    least = np.array(
        [
            rule.per_label_confidence.get(name, rule.confidence_threshold)
            for name in model_labels
        ],
        dtype=np.float32,
    )
    rows = quiet.rows
    rows = rows[pool.confidence[rows] < least[pool.class_id[rows]]]
    places, starts = np.unique(pool.image[rows], return_index=True)
    for place, group in zip(places, np.split(rows, starts[1:]), strict=False):
        yield pool.image_ids[place], group


def _told(
    xyxy: FloatArray, labels: Sequence[str], final: Sequence[Annotation]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say of each detection, the best first, whether it was missed, and left out."""
    overlaps = pairwise_iou(xyxy, as_xyxy([annotation.box for annotation in final]))
    same = [[label == box.label for box in final] for label in labels]
    covered = (overlaps >= SAME_OBJECT_IOU) & np.array(same, dtype=bool).reshape(
        overlaps.shape
    )
    is_missed = np.zeros(len(labels), dtype=bool)
    for column, annotation in enumerate(final):
        if _is_drawn(annotation) and covered[:, column].any():
            is_missed[np.argmax(covered[:, column])] = True
    return is_missed, ~covered.any(axis=1)


def _is_drawn(box: Annotation) -> bool:
    """Say whether a box is a person's own, not a model's corrected."""
    return box.source is Source.HUMAN and box.model_id is None


@dataclass(frozen=True, slots=True)
class ImageChange:
    """An image under other thresholds: how many boxes it would lose and gain."""

    before: ImageRecord
    after: ImageRecord
    gone: int
    come: int


def changes_under(
    rule: SelectionRule,
    records: Iterable[ImageRecord],
    selection: SelectedBoxes,
    *,
    model_labels: Sequence[str],
    model_id: str,
) -> list[ImageChange]:
    """Return the images that keeping a selection would change, and how.

    It is what the job `keep` does: a person's boxes stay, approved images too.

    Args:
        rule: whose names the boxes bear.
        records: those the pool does not know are left out.
        selection: what the rule leaves of the pool.
        model_labels: in order of the model's classes.
        model_id: whose untouched boxes would be replaced.
    """
    known = set(selection.pool.image_ids)
    changes = []
    for before in records:
        if before.image_id not in known:
            continue
        boxes = as_annotations(
            selection.of(before.image_id),
            model_labels=model_labels,
            model_id=model_id,
            mapping=rule.mapping,
        )
        after = keep_detections(before, boxes, model_id=model_id)
        was = {box.annotation_id for box in before.annotations}
        will_be = {box.annotation_id for box in after.annotations}
        if was != will_be:
            changes.append(
                ImageChange(before, after, len(was - will_be), len(will_be - was))
            )
    return changes


def by_model_label(
    thresholds: Mapping[str, float],
    *,
    mapping: Mapping[str, str],
    model_labels: Sequence[str],
) -> dict[str, float]:
    """Return a dataset's thresholds by label as those of the model's own labels."""
    return {
        name: thresholds[target]
        for name in model_labels
        if (target := mapping.get(name, name)) in thresholds
    }
