"""Fit a taught model: ridge regressions on the boxes of the example images.

A first score, of the network's features alone, picks the boxes that are worth a look; a
second one judges them by features and look; a third places the edges of the object and
says how well a box fits. The targets come from the IoU with the true boxes. All have a
closed form, so that the same examples give the same model.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.detection.nms import nms
from imagebase.detection.taught.described_image import DescribedImage, Places
from imagebase.detection.taught.model import EDGES_COLUMNS, MAX_SIZES, TaughtModel
from imagebase.detection.taught.scores import likeliest, linear, scored
from imagebase.geometry import FloatArray, clip_xyxy, pairwise_iou

# What a score learns: 0 up to the lower IoU, 1 from the upper one on.
_FIRST_TARGET, _SECOND_TARGET = (0.3, 0.7), (0.3, 0.8)
_POSITIVE: Final = 0.3
_RIDGE: Final = 0.02
_EDGES_RIDGE: Final = 3.0
# Copies of each true box, moved by so much of its size (one standard deviation).
_SHIFTS: Final = (0.08, 0.2)
_COPIES, _MOST_COPIES = 32, 1200
_LEAST_COPY_IOU: Final = 0.3
_LEAST_SIDE_PX: Final = 2.0
# Windows of a label's usual sizes are looked at where it has so many boxes, from which
# the sizes are known, or where candidates cover fewer of them.
_ENOUGH_BOXES: Final = 3
_ENOUGH_COVERED: Final = 0.7
_SIZES_PER_LABEL: Final = 4
_SIZE_STEP: Final = 2 ** (1 / 3)
# The first score learns from so many boxes, the second from those that are looked at,
# the best for each true box, and some more of the background.
_MOST_FIRST: Final = 30_000
_TRUE_EACH: Final = 2
_OTHERS: Final = 60
# The logistic before anything is known, and how much it takes to change it.
_PRIOR: Final = (8.0, -6.0)
_LEAST_SLOPE: Final = 1.0
_PRIOR_STRENGTH: Final = (1.0, 4.0)
# Right boxes, which are few, count more by this power of how many wrong ones there are
# for each: what is missed costs a person more than what is to be deleted.
_BALANCE: Final = 0.25
# Examples are left out in turn where there are enough, in so many groups.
_LEAST_TO_HOLD_OUT, _MOST_HELD_OUT = 3, 15
_FOLDS: Final = 5
_NEWTON_STEPS: Final = 25
_SAME_OBJECT_IOU: Final = 0.4
_RIGHT_IOU: Final = 0.5


class Lesson(NamedTuple):
    """An example: an image, and all its boxes of the labels that are taught.

    xyxy: (N, 4), with an area inside the image. class_id: (N,).
    """

    scene: DescribedImage
    xyxy: FloatArray
    class_id: NDArray[np.intp]


def fit(labels: Sequence[str], lessons: Sequence[Lesson]) -> TaughtModel:
    """Return the model that these examples teach.

    Args:
        labels: at least one; each has a box in some lesson.
        lessons: at least one.
    """
    count = len(labels)
    sizes = _window_sizes(count, lessons)
    first = _first(count, lessons, sizes)
    copies = [_copies(lesson, len(lessons)) for lesson in lessons]
    studies = [_study(count, lesson, sizes, first) for lesson in lessons]

    def model_of(chosen: Sequence[int], calibration: FloatArray) -> TaughtModel:
        second = _second([studies[index] for index in chosen])
        edges = _edges([lessons[i] for i in chosen], [copies[i] for i in chosen])
        return TaughtModel(
            tuple(labels), len(lessons), sizes, first, second, edges, calibration
        )

    return model_of(range(len(lessons)), _calibration(count, lessons, model_of))


def _window_sizes(labels: int, lessons: Sequence[Lesson]) -> FloatArray:
    """Return the usual sizes of the labels, as shares of the image's longer side."""
    chosen: list[tuple[int, int]] = []
    for label in range(labels):
        covered, steps = [], []
        for scene, xyxy, class_id in lessons:
            own = xyxy[class_id == label]
            iou = pairwise_iou(own, scene.candidates).max(axis=1, initial=0)
            covered.append(iou >= _RIGHT_IOU)
            shares = (own[:, 2:] - own[:, :2]) / scene.longer_side
            steps.append(np.round(np.log(shares) / np.log(_SIZE_STEP)).astype(int))
        is_covered = np.concatenate(covered)
        if len(is_covered) >= _ENOUGH_BOXES or is_covered.mean() < _ENOUGH_COVERED:
            usual, counts = np.unique(np.concatenate(steps), axis=0, return_counts=True)
            order = np.argsort(-counts, kind="stable")[:_SIZES_PER_LABEL]
            chosen += [(int(w), int(h)) for w, h in usual[order]]
    kept = list(dict.fromkeys(chosen))[:MAX_SIZES]
    sizes = _SIZE_STEP ** np.array(kept, np.float32).reshape(-1, 2)
    return sizes.astype(np.float32)


def _best_iou(labels: int, lesson: Lesson, xyxy: FloatArray) -> FloatArray:
    """Return each box's IoU with the best true box of each label, shape (N, L)."""
    iou = pairwise_iou(xyxy, lesson.xyxy)
    best = [
        iou[:, lesson.class_id == label].max(axis=1, initial=0)
        for label in range(labels)
    ]
    return np.stack(best, axis=1)


def _target(iou: FloatArray, ramp: tuple[float, float]) -> FloatArray:
    target: FloatArray = np.clip((iou - ramp[0]) / (ramp[1] - ramp[0]), 0, 1)
    return target


def _first(labels: int, lessons: Sequence[Lesson], sizes: FloatArray) -> FloatArray:
    features, targets = [], []
    most = max(_MOST_FIRST // len(lessons), 1)
    for lesson in lessons:
        places = lesson.scene.places(sizes)
        iou = _best_iou(labels, lesson, places.xyxy)
        # What is near an object first, then of the rest as much as is allowed.
        order = np.random.default_rng(0).permutation(len(iou))
        is_far = iou[order].max(axis=1) <= _POSITIVE
        rows = order[np.argsort(is_far, kind="stable")[:most]]
        features.append(lesson.scene.first_features(places.rows(rows)))
        targets.append(_target(iou[rows], _FIRST_TARGET))
    return balanced_ridge(np.concatenate(features), np.concatenate(targets))


class _Copies(NamedTuple):
    """Boxes around true ones: their looks, the true ones, and the IoU with them."""

    xyxy: FloatArray
    looks: FloatArray
    true: FloatArray
    iou: FloatArray


def _copies(lesson: Lesson, lessons: int) -> _Copies:
    """Return true boxes, moved copies of them, and the candidates that are near them.

    The copies depend on nothing but how many boxes there are.
    """
    scene, true = lesson.scene, lesson.xyxy
    most = _MOST_COPIES // lessons // max(len(true), 1)
    count = max(min(_COPIES, most) // len(_SHIFTS), 2)
    random = np.random.default_rng(len(true))
    boxes, theirs = [true], [true]
    for shift in _SHIFTS:
        repeated = np.repeat(true, count, axis=0)
        extent = np.tile(repeated[:, 2:] - repeated[:, :2], 2)
        boxes.append(repeated + random.normal(0, shift, repeated.shape) * extent)
        theirs.append(repeated)
    if len(true):
        near = pairwise_iou(scene.candidates, true)
        boxes.append(scene.candidates)
        theirs.append(true[near.argmax(axis=1)])
    xyxy = clip_xyxy(np.concatenate(boxes), scene.loaded.size)
    own = np.concatenate(theirs)
    iou = _iou_of_pairs(xyxy, own)
    is_wide = (xyxy[:, 2:] - xyxy[:, :2]).min(axis=1) >= _LEAST_SIDE_PX
    near_enough = (iou > _LEAST_COPY_IOU) & is_wide
    xyxy, own, iou = xyxy[near_enough], own[near_enough], iou[near_enough]
    return _Copies(xyxy, scene.looks(xyxy), own, iou)


def _iou_of_pairs(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the IoU of each of N boxes with the one in the same row, shape (N,)."""
    return np.array(
        [pairwise_iou(a[i : i + 1], b[i : i + 1])[0, 0] for i in range(len(a))],
        np.float32,
    )


class _Study(NamedTuple):
    """What the second score learns from one example.

    features: (N, 837). iou: (N, L), with the best true box of each label.
    """

    features: FloatArray
    iou: FloatArray


def _study(labels: int, lesson: Lesson, sizes: FloatArray, first: FloatArray) -> _Study:
    scene = lesson.scene
    places = scene.places(sizes)
    iou = _best_iou(labels, lesson, places.xyxy)
    rows = _looked_at(lesson, places, first, iou.max(axis=1))
    chosen = places.rows(rows)
    features = scene.second_features(chosen, scene.looks(chosen.xyxy))
    return _Study(features, iou[rows])


def _second(studies: Sequence[_Study]) -> FloatArray:
    features = np.concatenate([study.features for study in studies])
    iou = np.concatenate([study.iou for study in studies])
    return balanced_ridge(features, _target(iou, _SECOND_TARGET))


def _looked_at(
    lesson: Lesson, places: Places, first: FloatArray, iou: FloatArray
) -> NDArray[np.intp]:
    """Return the rows that the model would look at, the true ones, and some others."""
    score = linear(lesson.scene.first_features(places), first)
    best = likeliest(places, score, candidates=len(lesson.scene.candidates))
    true = np.argsort(-iou, kind="stable")[: _TRUE_EACH * len(lesson.xyxy)]
    others = np.random.default_rng(0).permutation(len(iou))[:_OTHERS]
    return np.unique(np.concatenate([best, true[iou[true] > _RIGHT_IOU], others]))


def _edges(lessons: Sequence[Lesson], copies: Sequence[_Copies]) -> FloatArray:
    features = np.concatenate(
        [
            lesson.scene.edge_features(near.xyxy, near.looks)
            for lesson, near in zip(lessons, copies, strict=True)
        ]
    )
    targets = np.concatenate([_moves(near) for near in copies])
    mean = targets.mean(axis=0)
    weights = ridge(
        features,
        targets - mean,
        np.ones(len(targets), np.float32),
        strength=_EDGES_RIDGE,
    )
    weights[-1] += mean
    return weights


def _moves(copies: _Copies) -> FloatArray:
    """Return what leads from each box to its true one, and the IoU, shape (N, 5)."""
    extent = copies.xyxy[:, 2:] - copies.xyxy[:, :2]
    true = copies.true[:, 2:] - copies.true[:, :2]
    middle = (copies.xyxy[:, :2] + copies.xyxy[:, 2:]) / 2
    shift = ((copies.true[:, :2] + copies.true[:, 2:]) / 2 - middle) / extent
    columns = [shift, np.log(true / extent), copies.iou[:, None]]
    moves = np.concatenate(columns, axis=1)
    return moves.astype(np.float32).reshape(-1, EDGES_COLUMNS)


def balanced_ridge(features: FloatArray, targets: FloatArray) -> FloatArray:
    """Return weights for each label, positives and negatives in balance.

    Args:
        features: (N, D). targets: (N, L), from 0 to 1.

    Returns:
        Shape (D + 1, L); the last row is what is added.
    """
    columns = []
    for target in targets.T:
        positive = target > _POSITIVE
        share = np.where(
            positive,
            0.5 / max(positive.sum(), 1),
            0.5 / max((~positive).sum(), 1),
        )
        columns.append(ridge(features, target[:, None], share, strength=_RIDGE))
    return np.concatenate(columns, axis=1)


def ridge(
    features: FloatArray, targets: FloatArray, weight: FloatArray, *, strength: float
) -> FloatArray:
    """Return the weights with the least weighted squares plus strength × length².

    It is solved over the features or, where there are fewer, over the rows.

    Args:
        features: (N, D). targets: (N, L). weight: (N,), of the rows.
        strength: of the penalty, which what is added shares.

    Returns:
        Shape (D + 1, L), float32; the last row is what is added.
    """
    root = np.sqrt(weight)[:, None].astype(np.float64)
    a = np.concatenate([features, np.ones((len(features), 1))], axis=1) * root
    b = targets * root
    rows, columns = a.shape
    if rows < columns:
        inner = a @ a.T + strength * np.eye(rows)
        weights = a.T @ np.linalg.solve(inner, b)
    else:
        weights = np.linalg.solve(a.T @ a + strength * np.eye(columns), a.T @ b)
    return np.asarray(weights, dtype=np.float32)


def _calibration(
    labels: int,
    lessons: Sequence[Lesson],
    model_of: Callable[[Sequence[int], FloatArray], TaughtModel],
) -> FloatArray:
    """Return slope and offset of each label's logistic, shape (2, L).

    They are fitted on examples that the second score and the edges were not taught
    with; a model taught with one of two would say too little of that of both.
    """
    usual = np.repeat(np.array(_PRIOR, np.float32)[:, None], labels, axis=1)
    seen: list[list[tuple[FloatArray, FloatArray]]] = [[] for _ in range(labels)]
    every = range(len(lessons))
    folds = min(len(lessons), _FOLDS)
    for fold in range(folds if len(lessons) >= _LEAST_TO_HOLD_OUT else 0):
        others = [index for index in every if index % folds != fold]
        known = {int(label) for index in others for label in lessons[index].class_id}
        if not known:
            continue
        model = model_of(others, usual)
        for lesson in lessons[fold:_MOST_HELD_OUT:folds]:
            boxes = scored(model, lesson.scene)
            iou = _best_iou(labels, lesson, boxes.xyxy)
            for label in known:
                own = boxes.score[:, label]
                stays = nms(boxes.xyxy, own, nms_threshold=_SAME_OBJECT_IOU)
                right = iou[stays, label] >= _RIGHT_IOU
                seen[label].append((own[stays], right.astype(np.float32)))
    return np.array([_logistic_of(label) for label in seen], np.float32).T


def _logistic_of(seen: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[float, float]:
    """Return the usual logistic where no right box was seen: nothing is known then."""
    if not any(right.any() for _, right in seen):
        return _PRIOR
    return logistic(*map(np.concatenate, zip(*seen, strict=True)))


def logistic(score: FloatArray, right: FloatArray) -> tuple[float, float]:
    """Return slope and offset of the logistic that makes scores confidence.

    The likeliest ones after Platt (Probabilistic outputs for support vector machines,
    1999), with a normal prior around the usual ones, by Newton's method.

    Args:
        score: shape (N,). right: 1 where the box was right, else 0, shape (N,).
    """
    features = np.stack([score, np.ones_like(score)], axis=1).astype(np.float64)
    prior, strength = np.array(_PRIOR), np.array(_PRIOR_STRENGTH)
    wrong_each = max((right == 0).sum(), 1) / max((right == 1).sum(), 1)
    weight = np.where(right, wrong_each**_BALANCE, 1.0)
    values = prior.copy()
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(features @ values, -30, 30)))
        gradient = features.T @ (weight * (chance - right)) + strength * (
            values - prior
        )
        slopes = weight * chance * (1 - chance)
        curve = features.T * slopes @ features + np.diag(strength)
        values = values - np.clip(np.linalg.solve(curve, gradient), -2, 2)
    return max(float(values[0]), _LEAST_SLOPE), float(values[1])
