"""How sure the figures are: the images drawn again and again (Efron's bootstrap, 1979).

Every model is judged on the same draws, so that a difference between two of them has an
interval of its own: much of the luck in one is the same luck in the other.
"""

from collections.abc import Mapping
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
from imagebase.evaluation.curves import RECALLS, Judged
from imagebase.evaluation.matching import Matching
from imagebase.wording import plural

RESAMPLES: Final = 500
_SEED: Final = 6
_INTERVAL: Final = (2.5, 97.5)
# Draws times detections that are held at once: 32 MB.
_MOST_CELLS: Final = 4_000_000
# Below these an interval is wide, and its own width hard to tell.
FEW_IMAGES: Final = 30
FEW_BOXES: Final = 100
FEW_BOXES_OF_LABEL: Final = 10


class Interval(NamedTuple):
    """Where 95 % of the draws lie."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """AP and AP50 of one model in each of B draws, shape (B,)."""

    ap: Floats
    ap50: Floats


class ScoreDifference(NamedTuple):
    """How much more one model has than another, and where 95 % of the draws lie."""

    value: float
    low: float
    high: float

    @property
    def is_noise(self) -> bool:
        """Say whether it could as well be none."""
        return self.low <= 0 <= self.high

    def in_words(self) -> str:
        """Return what the difference is worth."""
        if self.is_noise:
            return "within the noise"
        return "better" if self.value > 0 else "worse"


def can_resample(images: int) -> bool:
    """Say whether draws of so many images differ: of one alone they are all the same.

    An interval of no width would claim that the figure is sure.
    """
    return images > 1


def draws(images: int, *, resamples: int = RESAMPLES) -> Floats:
    """Return how often each image is in each draw, (B, images), always the same."""
    random = np.random.default_rng(_SEED)
    shares = np.full(images, 1 / images)
    return random.multinomial(images, shares, size=resamples).astype(np.float64)


def resample(
    truth: Truth, predictions: Predictions, matching: Matching, weights: Floats
) -> Resampled:
    """Return AP and AP50, as COCO defines them, in every draw.

    matching: at COCO's ten overlaps. weights: of `draws`.
    """
    most = max(1, _MOST_CELLS // max(len(predictions), 1))
    blocks = [
        _resample(truth, predictions, matching, weights[start : start + most])
        for start in range(0, len(weights), most)
    ]
    each = np.concatenate(blocks, axis=1)
    return Resampled(each.mean(axis=0), each[matching.at(FOUND_IOU)])


def _resample(
    truth: Truth, predictions: Predictions, matching: Matching, weights: Floats
) -> Floats:
    """Return the AP at each overlap in each of these draws, shape (T, B)."""
    objects = _objects_in_draws(truth, weights)
    total = np.zeros((len(matching.iou_thresholds), len(weights)))
    counted = np.zeros(len(weights))
    for label in np.flatnonzero(truth.boxes_by_label()):
        there = objects[:, label] > 0
        counted += there
        rows = np.flatnonzero(predictions.label == label)
        rows = rows[np.argsort(-predictions.confidence[rows], kind="stable")]
        drawn = weights[:, predictions.image[rows]]
        for place in range(len(total)):
            precision = _average_precision(
                drawn,
                matching.is_right[place][rows],
                matching.is_ignored[place][rows],
                objects[:, label],
            )
            total[place] += np.where(there, precision, 0)
    return np.asarray(total / np.maximum(counted, 1))


def _objects_in_draws(truth: Truth, weights: Floats) -> Floats:
    """Return how many objects of each label are in each draw, shape (B, L)."""
    counts = np.zeros((len(truth.images), len(truth.labels)))
    real = ~truth.is_crowd
    np.add.at(counts, (truth.image[real], truth.label[real]), 1)
    return weights @ counts


def _average_precision(
    drawn: Floats, is_right: Flags, is_ignored: Flags, objects: Floats
) -> Floats:
    """Return COCO's 101-point AP of one label at one overlap, in each of B draws.

    The precision at a recall is the best one from there on, and only where an object is
    found does either grow: the columns of right detections are enough.

    Args:
        drawn: how often each detection, surest first, is in each draw, (B, N).
        objects: of the label in each draw, (B,).
    """
    columns = np.flatnonzero(is_right)
    if not len(columns):
        return np.zeros(len(drawn))
    ignored_before = np.cumsum(np.where(is_ignored, 0.0, drawn), axis=1)[:, columns]
    right = np.cumsum(drawn[:, columns], axis=1)
    precision = np.divide(
        right, ignored_before, out=np.zeros_like(right), where=ignored_before > 0
    )
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = right / np.maximum(objects, 1)[:, None]
    # Compared as COCO does: its .6 is a hair above 6 / 10, and not reached by it.
    reached = np.searchsorted(RECALLS, recall.ravel(), side="right")
    gained = np.diff(reached.reshape(recall.shape), axis=1, prepend=0)
    return np.asarray((gained * best).sum(axis=1) / len(RECALLS))


def interval(values: Floats, *, around: float | None = None) -> Interval:
    """Return the percentile interval of 95 %.

    around: the figure itself. The draws are moved onto it: rare labels are missing from
        a draw or crowd into it, which lifts its AP by some points.
    """
    low, high = np.percentile(values, _INTERVAL)
    aside = 0.0 if around is None else around - float(values.mean())
    return Interval(float(low) + aside, float(high) + aside)


def difference(ours: Floats, theirs: Floats, *, value: float) -> ScoreDifference:
    """Return a difference with its interval, from the same draws of both."""
    return ScoreDifference(value, *interval(ours - theirs, around=value))


def point_intervals(
    detections: Judged, weights: Floats, *, threshold: float, truth: Truth
) -> Mapping[str, Interval]:
    """Return the intervals of precision, recall and F1 at a threshold."""
    count = weights.shape[1]
    above = detections.confidence >= threshold
    right = _by_image(detections.image[above & detections.is_right], count)
    wrong = _by_image(detections.image[above & ~detections.is_right], count)
    objects = _by_image(truth.image[~truth.is_crowd], count)
    hits, false, there = weights @ right, weights @ wrong, weights @ objects
    return {
        "precision": interval(hits / np.maximum(hits + false, 1)),
        "recall": interval(hits / np.maximum(there, 1)),
        "F1": interval(2 * hits / np.maximum(hits + false + there, 1)),
    }


def _by_image(images: Indices, count: int) -> Floats:
    return np.bincount(images, minlength=count).astype(np.float64)


def warnings_about(truth: Truth) -> list[str]:
    """Return warnings where there is too little to judge by."""
    sentences = []
    images, boxes = len(truth.images), truth.boxes
    if images < FEW_IMAGES:
        why = "the metrics are unreliable"
        if not can_resample(images):
            why = f"there is no confidence interval, and {why}"
        sentences.append(
            f"Only {plural(images, 'image')}: {why}. Use {FEW_IMAGES} or more."
        )
    if boxes < FEW_BOXES:
        sentences.append(
            f"Only {plural(boxes, 'box')}: the metrics are unreliable. Use "
            f"{FEW_BOXES} or more."
        )
    counts = truth.boxes_by_label()
    few = int(np.count_nonzero((counts > 0) & (counts < FEW_BOXES_OF_LABEL)))
    if few:
        labels = "1 label has" if few == 1 else f"{few} labels have"
        their = "its metrics vary" if few == 1 else "their metrics vary"
        sentences.append(
            f"{labels} fewer than {FEW_BOXES_OF_LABEL} boxes: {their} by chance."
        )
    return sentences
