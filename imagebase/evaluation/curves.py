"""Precision and recall as the confidence moves, the thresholds that cost least, and
whether a confidence means what it says.

All at one overlap, IoU 0.5 unless another is asked for. "All labels" is every detection
in one list, each right or wrong for its own label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from imagebase.evaluation.arrays import (
    FOUND_IOU,
    Flags,
    Floats,
    Indices,
    Predictions,
    Truth,
)
from imagebase.evaluation.matching import Matching
from imagebase.review.thresholds import (
    DELETING,
    DRAWING,
    LabelEvidence,
    Learned,
    TooFew,
    learn,
    wilson_interval,
)

BINS: Final = 10
# COCO's recalls: 0, 0.01, … 1.
RECALLS: Final = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision and recall if all detections up to each one, surest first, are kept.

    confidence, precision, recall: (N,). objects: how many there are to find.
    """

    confidence: Floats
    precision: Floats
    recall: Floats
    objects: int

    def interpolated(self) -> Floats:
        """Return the best precision at each of COCO's 101 recalls or beyond."""
        best = np.maximum.accumulate(self.precision[::-1])[::-1]
        places = np.searchsorted(self.recall, RECALLS)
        return np.append(best, 0.0)[np.minimum(places, len(best))]

    @property
    def average_precision(self) -> float | None:
        """Return COCO's AP at this overlap; None where there is nothing to find."""
        return float(self.interpolated().mean()) if self.objects else None


class CurvePoint(NamedTuple):
    """Right and wrong detections above a threshold, and objects not found."""

    threshold: float
    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float | None:
        detections = self.right + self.wrong
        return self.right / detections if detections else None

    @property
    def recall(self) -> float | None:
        objects = self.right + self.missed
        return self.right / objects if objects else None

    @property
    def f1(self) -> float | None:
        """Return the harmonic mean of precision and recall, 2 right / all there is."""
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else None

    @property
    def cost(self) -> int:
        """Return the cost of correcting it: drawings count two, deletions one."""
        return DRAWING * self.missed + DELETING * self.wrong


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Detections of one model at one overlap, those left out that are not judged.

    label, image, confidence, is_right: (N,), the surest first.
    objects: how many each label has, shape (L,).
    """

    label: Indices
    image: Indices
    confidence: Floats
    is_right: Flags
    objects: Indices

    def of_label(self, label: int | None) -> "Judged":
        """Return the detections of one label; None is all."""
        if label is None:
            return self
        rows = self.label == label
        only = np.zeros_like(self.objects)
        only[label] = self.objects[label]
        return Judged(
            self.label[rows],
            self.image[rows],
            self.confidence[rows],
            self.is_right[rows],
            only,
        )


def judged(
    truth: Truth,
    predictions: Predictions,
    matching: Matching,
    *,
    iou_threshold: float = FOUND_IOU,
) -> Judged:
    """Return the detections with right and wrong at one of a matching's overlaps."""
    place = matching.at(iou_threshold)
    rows = np.flatnonzero(~matching.is_ignored[place])
    rows = rows[np.argsort(-predictions.confidence[rows], kind="stable")]
    return Judged(
        predictions.label[rows],
        predictions.image[rows],
        predictions.confidence[rows],
        matching.is_right[place][rows],
        truth.boxes_by_label(),
    )


def curve(detections: Judged, *, label: int | None = None) -> Curve:
    """Return the curve of one label, or of all in one list."""
    chosen = detections.of_label(label)
    right = np.cumsum(chosen.is_right)
    objects = int(chosen.objects.sum())
    return Curve(
        chosen.confidence,
        right / np.arange(1, len(right) + 1),
        right / objects if objects else np.zeros(len(right)),
        objects,
    )


def point(
    detections: Judged, *, threshold: float, label: int | None = None
) -> CurvePoint:
    """Return what a threshold leaves of one label, or of all."""
    chosen = detections.of_label(label)
    above = chosen.confidence >= threshold
    right = int(np.count_nonzero(above & chosen.is_right))
    return CurvePoint(
        threshold,
        right=right,
        wrong=int(np.count_nonzero(above)) - right,
        missed=int(chosen.objects.sum()) - right,
    )


@dataclass(frozen=True, slots=True)
class BestThreshold:
    """A label's threshold that costs least, and the one in use.

    learned: None where there are too few detections to say.
    at_best: what it leaves; None with it. now: what the one in use leaves.
    """

    label: str
    learned: Learned | None
    at_best: CurvePoint | None
    now: CurvePoint


def best_thresholds(
    detections: Judged, labels: Sequence[str], *, threshold: float
) -> list[BestThreshold]:
    """Return the best threshold of each label that has objects, as Review learns it."""
    thresholds = []
    for place, name in enumerate(labels):
        if not detections.objects[place]:
            continue
        chosen = detections.of_label(place)
        evidence = LabelEvidence(
            right=chosen.confidence[chosen.is_right].tolist(),
            # Far below every threshold on offer there are thousands of wrong ones.
            wrong=chosen.confidence[
                ~chosen.is_right & (chosen.confidence >= _OFFERED_FROM)
            ].tolist(),
        )
        learned = learn(name, evidence)
        now = point(detections, threshold=threshold, label=place)
        if isinstance(learned, TooFew):
            thresholds.append(BestThreshold(name, None, None, now))
        else:
            best = point(detections, threshold=learned.threshold, label=place)
            thresholds.append(BestThreshold(name, learned, best, now))
    return thresholds


_OFFERED_FROM: Final = 0.05


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Detections of about one confidence: how sure they are, and how often right.

    low, high: 95 % of where the share of right ones lies (Wilson).
    """

    from_confidence: float
    to_confidence: float
    count: int
    mean_confidence: float
    share_right: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Is 0.8 right 80 % of the time?

    error: how far confidence and share of right ones are apart, weighted by detections
    (expected calibration error, Naeini et al. 2015); None without detections.
    """

    bins: tuple[CalibrationBin, ...]
    error: float | None


def calibration(detections: Judged, *, least: float = 0.1) -> Calibration:
    """Return how often detections of each confidence are right.

    least: those below are left out; they are many and not used.
    """
    confident = detections.confidence >= least
    confidence, is_right = (
        detections.confidence[confident],
        detections.is_right[confident],
    )
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = tuple(
        _bin(place, confidence[places == place], is_right[places == place])
        for place in range(BINS)
        if (places == place).any()
    )
    total = sum(bin.count for bin in bins)
    error = sum(bin.count * abs(bin.mean_confidence - bin.share_right) for bin in bins)
    return Calibration(bins, error / total if total else None)


def _bin(place: int, confidence: Floats, is_right: Flags) -> CalibrationBin:
    right, count = int(is_right.sum()), len(is_right)
    return CalibrationBin(
        place / BINS,
        (place + 1) / BINS,
        count,
        float(confidence.mean()),
        right / count,
        *wilson_interval(right, count),
    )
