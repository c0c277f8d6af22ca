"""How large the objects of a label are: windows of their sizes, and likelier scores."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from imagebase.detection.taught.described_image import SIZE_WEIGHT, SQUARE_WEIGHT
from imagebase.detection.taught.lesson import Lesson
from imagebase.detection.taught.model import MAX_SIZES, MEANS_LENGTH
from imagebase.geometry import FloatArray, pairwise_iou

# Windows of a label's usual sizes are looked at where it has so many boxes, from which
# the sizes are known, or where candidates cover fewer of them.
_ENOUGH_BOXES: Final = 3
_ENOUGH_COVERED: Final = 0.7
_SIZES_PER_LABEL: Final = 4
_SIZE_STEP: Final = 2 ** (1 / 3)
_RIGHT_IOU: Final = 0.5
# Logarithms of width and height deviate so much before so many boxes are known, and
# those of what is no object; how much of a score the ratio of the two likelihoods is,
# from one example on, less by this power of how many there are.
_DEVIATION, _ANY_DEVIATION = 0.4, 0.7
_AS_MANY_BOXES: Final = 4
_LOSS, _FADING = 0.05, 0.4
_WIDTH_COLUMN: Final = MEANS_LENGTH + 1


class Sizes(NamedTuple):
    """Boxes of one label in one example.

    logs: (N, 2), of width and height as shares of the image's longer side.
    covered: (N,), whether a candidate of the nets is there.
    """

    logs: FloatArray
    covered: np.ndarray


def sizes_in(lesson: Lesson) -> dict[str, Sizes]:
    """Return the sizes of an example's boxes by label."""
    xyxy, labels = lesson.xyxy, np.array(lesson.labels)
    logs = np.log((xyxy[:, 2:] - xyxy[:, :2]) / lesson.scene.longer_side)
    iou = pairwise_iou(xyxy, lesson.scene.candidates).max(axis=1, initial=0)
    return {
        label: Sizes(logs[labels == label], iou[labels == label] >= _RIGHT_IOU)
        for label in sorted({*lesson.labels})
    }


def joined(parts: Iterable[Mapping[str, Sizes]]) -> dict[str, Sizes]:
    """Return the sizes of all examples by label."""
    every: dict[str, list[Sizes]] = {}
    for part in parts:
        for label, sizes in part.items():
            every.setdefault(label, []).append(sizes)
    return {
        label: Sizes(*map(np.concatenate, zip(*sizes, strict=True)))
        for label, sizes in every.items()
    }


def window_sizes(sizes: Mapping[str, Sizes], labels: Sequence[str]) -> FloatArray:
    """Return the usual sizes, (S, 2), as shares of the image's longer side."""
    chosen: list[tuple[int, int]] = []
    for logs, covered in (sizes[label] for label in labels):
        if len(logs) >= _ENOUGH_BOXES or covered.mean() < _ENOUGH_COVERED:
            steps = np.round(logs / np.log(_SIZE_STEP)).astype(int)
            usual, counts = np.unique(steps, axis=0, return_counts=True)
            order = np.argsort(-counts, kind="stable")[:_SIZES_PER_LABEL]
            chosen += [(int(w), int(h)) for w, h in usual[order]]
    kept = list(dict.fromkeys(chosen))[:MAX_SIZES]
    windows = _SIZE_STEP ** np.array(kept, np.float32).reshape(-1, 2)
    return windows.astype(np.float32)


def with_sizes(weights: FloatArray, logs: FloatArray, examples: int) -> FloatArray:
    """Return a label's weights with less score for boxes of unusual sizes.

    The loss is a normal distribution's logarithm, which is linear in the extents and
    their squares, which are features.

    Args:
        weights: (390,) of the first score or (838,) of the second. logs: of `Sizes`.
        examples: how many images there are.
    """
    mean = logs.mean(axis=0)
    known = _AS_MANY_BOXES * _DEVIATION**2 + ((logs - mean) ** 2).sum(axis=0)
    precision = (_AS_MANY_BOXES + len(logs)) / known - 1 / _ANY_DEVIATION**2
    precision = np.maximum(precision, 0) * _LOSS / examples**_FADING
    weights = weights.copy()
    at = _WIDTH_COLUMN
    weights[at : at + 2] += precision * mean / SIZE_WEIGHT
    weights[at + 2 : at + 4] -= precision / 2 / SQUARE_WEIGHT
    weights[-1] -= (precision / 2 * mean**2).sum()
    return weights
