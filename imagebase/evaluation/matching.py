"""Which detection is which object, as COCO decides it.

Within an image and a label the surest detection chooses first, and takes the object it
overlaps most of those that are not taken. One that reaches no object but lies in a
crowd region is ignored (there it is enough that the region covers it).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.evaluation.arrays import (
    MAX_DETECTIONS,
    Flags,
    Indices,
    Predictions,
    Truth,
)
from imagebase.geometry import FloatArray, pairwise_iou

IOU_THRESHOLDS: Final = tuple(np.linspace(0.5, 0.95, 10).tolist())
NOBODY: Final = -1
_HAIR: Final = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """Outcome of each of D detections at T overlaps.

    object: (T, D), the row of the truth it found, or `NOBODY`.
    is_ignored: (T, D), neither right nor wrong.
    """

    iou_thresholds: tuple[float, ...]
    object: Indices
    is_ignored: Flags

    @property
    def is_right(self) -> Flags:
        """Say which detections found an object, shape (T, D)."""
        return np.asarray((self.object != NOBODY) & ~self.is_ignored)

    def at(self, iou_threshold: float) -> int:
        """Return the place of an overlap; ValueError if it was not evaluated."""
        distances = np.abs(np.array(self.iou_thresholds) - iou_threshold)
        place = int(np.argmin(distances))
        if distances[place] > _HAIR:
            raise ValueError(f"matched at {self.iou_thresholds}, not {iou_threshold}")
        return place


def match(
    truth: Truth,
    predictions: Predictions,
    *,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> Matching:
    """Return which detection is which object at each of these overlaps."""
    shape = (len(iou_thresholds), len(predictions))
    taken = np.full(shape, NOBODY, dtype=np.intp)
    is_ignored = np.zeros(shape, dtype=np.bool_)
    for rows, objects in _shared_places(truth, predictions):
        is_ignored[:, rows[MAX_DETECTIONS:]] = True
        considered = rows[:MAX_DETECTIONS]
        if not len(objects):
            continue
        overlaps = overlaps_with(truth, objects, predictions.xyxy[considered]).tolist()
        crowds = truth.is_crowd[objects].tolist()
        for place, least in enumerate(iou_thresholds):
            chosen = _choose(overlaps, crowds, min(least, 1 - _HAIR))
            got = np.array(chosen)
            has = got != NOBODY
            taken[place, considered[has]] = objects[got[has]]
            is_ignored[place, considered[has]] = truth.is_crowd[objects[got[has]]]
    taken[is_ignored] = NOBODY
    return Matching(tuple(iou_thresholds), taken, is_ignored)


def _choose(overlaps: list[list[float]], crowds: list[bool], least: float) -> list[int]:
    """Return the object of each detection; real objects come before crowds."""
    free = [True] * len(crowds)
    chosen = []
    for row in overlaps:
        best, best_overlap = NOBODY, least
        for place, overlap in enumerate(row):
            if not free[place] or overlap < best_overlap:
                continue
            if crowds[place] and best != NOBODY and not crowds[best]:
                break
            best, best_overlap = place, overlap
        if best != NOBODY and not crowds[best]:
            free[best] = False
        chosen.append(best)
    return chosen


def overlaps_with(truth: Truth, objects: Indices, xyxy: FloatArray) -> FloatArray:
    """Return the overlap of N detections with M rows of a truth, shape (N, M).

    With a crowd region it is the share of the detection that lies in it.
    """
    overlaps = pairwise_iou(xyxy, truth.xyxy[objects])
    for column in np.flatnonzero(truth.is_crowd[objects]).tolist():
        overlaps[:, column] = truth.shares_in(int(objects[column]), xyxy)
    return overlaps


def _shared_places(
    truth: Truth, predictions: Predictions
) -> Iterator[tuple[Indices, Indices]]:
    """Yield the detections of each image and label, the best first, and its objects.

    Those of a real object come before crowds.
    """
    count = len(truth.labels)
    keys = predictions.image * count + predictions.label
    of_truth = truth.image * count + truth.label
    order = np.lexsort((-predictions.confidence, keys))
    objects = np.lexsort((truth.is_crowd, of_truth))
    sorted_truth = of_truth[objects]
    for rows in _runs(keys[order]):
        key = keys[order[rows.start]]
        first, end = np.searchsorted(sorted_truth, [key, key + 1])
        yield order[rows], objects[first:end]


def _runs(values: NDArray[np.intp]) -> Iterator[slice]:
    """Yield where equal values are next to each other."""
    if not len(values):
        return
    edges = np.flatnonzero(np.diff(values)) + 1
    starts = [0, *edges.tolist()]
    for start, end in zip(starts, [*edges.tolist(), len(values)], strict=True):
        yield slice(start, end)
