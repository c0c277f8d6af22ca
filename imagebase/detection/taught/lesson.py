"""What one example teaches: rows for the first score, the second, and the edges."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.detection.taught.described_image import DescribedImage, Places
from imagebase.detection.taught.model import EDGES_COLUMNS
from imagebase.detection.taught.scores import likeliest, linear
from imagebase.geometry import FloatArray, clip_xyxy, pairwise_iou

# What a score learns: 0 up to the lower IoU, 1 from the upper one on.
_FIRST_TARGET, _SECOND_TARGET = (0.3, 0.7), (0.3, 0.8)
_NEAR: Final = 0.3
_RIGHT_IOU: Final = 0.5
# The first score learns from so many boxes near the objects, and of the background;
# the second from those that are looked at, the best for each true box, and some more.
_MOST_NEAR, _MOST_FAR = 700, 1300
_TRUE_EACH: Final = 2
_OTHERS: Final = 60
# Copies of each true box, moved by so much of its size (one standard deviation).
_SHIFTS: Final = (0.08, 0.2)
_COPIES, _MOST_COPIES = 16, 600
_LEAST_COPY_IOU: Final = 0.3
_LEAST_SIDE_PX: Final = 2.0
# Where other objects may be without a box, the boxes most like the true ones, so many
# of all, are no background.
_MAYBE_OBJECTS: Final = 0.25


class Lesson(NamedTuple):
    """An example: an image, and boxes on it.

    xyxy: (N, 4), with an area inside the image. labels: of each.
    rejected: (R, 4), boxes that are certainly no such objects.
    is_complete: all objects of the labels have a box.
    """

    scene: DescribedImage
    xyxy: FloatArray
    labels: tuple[str, ...]
    rejected: FloatArray
    is_complete: bool = True


class Rows(NamedTuple):
    """Rows of a regression.

    features: (N, D), half precision. targets: of the lesson's labels, each (N,).
    """

    features: NDArray[np.float16]
    targets: Mapping[str, FloatArray]


def places_of(lesson: Lesson, sizes: FloatArray) -> Places:
    """Return the boxes that the model might find, and those that were rejected."""
    places = lesson.scene.places(sizes)
    if not len(lesson.rejected):
        return places
    wrong = lesson.scene.described(lesson.rejected)
    return Places(*(np.concatenate(both) for both in zip(places, wrong, strict=True)))


def first_rows(lesson: Lesson, places: Places) -> Rows:
    """Return what the first score learns from an example."""
    iou = best_iou(lesson, places.xyxy)
    best = _best_of_all(iou, len(places.xyxy))
    order = _shuffled(len(best))
    certain = order[_is_certain(lesson, places.xyxy, places.means, best)[order]]
    is_near = best[certain] > _NEAR
    rows = np.concatenate(
        [certain[is_near][:_MOST_NEAR], certain[~is_near][:_MOST_FAR]]
    )
    features = lesson.scene.first_features(places.rows(rows))
    return _rows(features, iou, rows, _FIRST_TARGET)


def second_rows(lesson: Lesson, places: Places, first: FloatArray) -> Rows:
    """Return what the second score learns from an example.

    Args:
        first: the weights of the first score, shape (390, L).
    """
    iou = best_iou(lesson, places.xyxy)
    best = _best_of_all(iou, len(places.xyxy))
    rows = _looked_at(lesson, places, first, best)
    chosen = places.rows(rows)
    looks = lesson.scene.looks(chosen.xyxy)
    certain = _is_certain(lesson, chosen.xyxy, looks, best[rows])
    features = lesson.scene.second_features(chosen, looks)
    return _rows(features[certain], iou, rows[certain], _SECOND_TARGET)


def edge_rows(lesson: Lesson) -> tuple[FloatArray, FloatArray]:
    """Return features (N, 3648) and moves (N, 5): true boxes first, then near ones.

    Near ones are moved copies, which depend on nothing but how many boxes there are,
    and candidates.
    """
    scene, true = lesson.scene, lesson.xyxy
    most = _MOST_COPIES // max(len(true), 1)
    count = max(min(_COPIES, most) // len(_SHIFTS), 1)
    random = np.random.default_rng(len(true))
    boxes: list[FloatArray] = []
    theirs: list[FloatArray] = []
    for shift in _SHIFTS:
        repeated = np.repeat(true, count, axis=0)
        extent = np.tile(repeated[:, 2:] - repeated[:, :2], 2)
        boxes.append(repeated + random.normal(0, shift, repeated.shape) * extent)
        theirs.append(repeated)
    if len(true):
        near = pairwise_iou(scene.candidates, true)
        boxes.append(scene.candidates)
        theirs.append(true[near.argmax(axis=1)])
    order = _shuffled(sum(map(len, boxes)))
    xyxy = np.concatenate([true, np.concatenate(boxes)[order]])
    own = np.concatenate([true, np.concatenate(theirs)[order]])
    xyxy = clip_xyxy(xyxy, scene.loaded.size)
    iou = _iou_of_pairs(xyxy, own)
    is_wide = (xyxy[:, 2:] - xyxy[:, :2]).min(axis=1) >= _LEAST_SIDE_PX
    stays = np.flatnonzero((iou > _LEAST_COPY_IOU) & is_wide)[:_MOST_COPIES]
    xyxy, own, iou = xyxy[stays], own[stays], iou[stays]
    return scene.edge_features(xyxy, scene.looks(xyxy)), _moves(xyxy, own, iou)


def _looked_at(
    lesson: Lesson, places: Places, first: FloatArray, iou: FloatArray
) -> NDArray[np.intp]:
    """Return the rows that the model would look at, the true ones, and some others."""
    score = linear(lesson.scene.first_features(places), first)
    looked_at = likeliest(places, score, candidates=len(lesson.scene.candidates))
    true = np.argsort(-iou, kind="stable")[: _TRUE_EACH * len(lesson.xyxy)]
    rejected = np.arange(len(iou) - len(lesson.rejected), len(iou))
    return np.unique(
        np.concatenate(
            [
                looked_at,
                true[iou[true] > _RIGHT_IOU],
                _shuffled(len(iou))[:_OTHERS],
                rejected,
            ]
        )
    )


def _is_certain(
    lesson: Lesson, xyxy: FloatArray, vectors: FloatArray, iou: FloatArray
) -> NDArray[np.bool_]:
    """Return which boxes are known to be objects, or to be none.

    Args:
        vectors: (N, D), what the boxes look like. iou: (N,), with the best true box.
    """
    if lesson.is_complete:
        return np.ones(len(iou), bool)
    is_near = iou > _NEAR
    certain: NDArray[np.bool_] = (
        pairwise_iou(xyxy, lesson.rejected).max(axis=1, initial=0) > _RIGHT_IOU
    )
    if is_near.any() and not is_near.all():
        closest = vectors[is_near & (iou >= min(_RIGHT_IOU, iou.max()))]
        likeness = (vectors @ closest.T).max(axis=1)
        certain |= likeness < np.quantile(likeness[~is_near], 1 - _MAYBE_OBJECTS)
    certain |= is_near
    return certain


def best_iou(lesson: Lesson, xyxy: FloatArray) -> dict[str, FloatArray]:
    """Return each box's IoU with the best true box of each label, (N,) each."""
    iou = pairwise_iou(xyxy, lesson.xyxy)
    labels = np.array(lesson.labels)
    return {
        label: iou[:, labels == label].max(axis=1) for label in sorted({*lesson.labels})
    }


def _best_of_all(iou: Mapping[str, FloatArray], count: int) -> FloatArray:
    none = np.zeros(count, np.float32)
    best: FloatArray = np.max([none, *iou.values()], axis=0)
    return best


def _rows(
    features: FloatArray,
    iou: Mapping[str, FloatArray],
    rows: NDArray[np.intp],
    ramp: tuple[float, float],
) -> Rows:
    targets = {
        label: np.clip((own[rows] - ramp[0]) / (ramp[1] - ramp[0]), 0, 1)
        for label, own in iou.items()
    }
    return Rows(features.astype(np.float16), targets)


def _moves(xyxy: FloatArray, true: FloatArray, iou: FloatArray) -> FloatArray:
    """Return what leads from each box to its true one, and the IoU, shape (N, 5)."""
    extent = xyxy[:, 2:] - xyxy[:, :2]
    theirs = true[:, 2:] - true[:, :2]
    middle = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    shift = ((true[:, :2] + true[:, 2:]) / 2 - middle) / extent
    columns = [shift, np.log(theirs / extent), iou[:, None]]
    moves = np.concatenate(columns, axis=1)
    return moves.astype(np.float32).reshape(-1, EDGES_COLUMNS)


def _iou_of_pairs(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the IoU of each of N boxes with the one in the same row, shape (N,)."""
    shared = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    both = np.clip(shared, 0, None).prod(axis=1)
    areas = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1)
    iou: FloatArray = both / np.maximum(areas - both, 1e-9)
    return iou


def _shuffled(count: int) -> NDArray[np.intp]:
    """Return the numbers below the count in an order that is always the same."""
    return np.random.default_rng(0).permutation(count)
