"""Likely label errors: places where models contradict the ground truth.

Four signs, each with how likely it is that a person has to act:

- a sure detection where there is no box;
- a box that no model says anything of, though it does of nearly all boxes of that size;
- a sure detection of another label on a box whose own label no model finds;
- a sure detection of a box's label that lies next to it, and nothing on it.

How much a missing detection tells comes from the set itself: of the boxes about as
large, how many are passed over? By Bayes' rule, how likely is this one an error?
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from imagebase.annotation import Box
from imagebase.evaluation.arrays import (
    FOUND_IOU,
    Flags,
    Floats,
    Indices,
    Predictions,
    Truth,
)
from imagebase.evaluation.error_types import LOOSE_IOU
from imagebase.geometry import FloatArray, pairwise_iou
from imagebase.wording import percent

# A model has seen a box if a candidate overlaps it by this much.
SEEN_IOU: Final = 0.3
_LEAST_CONFIDENCE: Final = 0.1
_LEAST_EVIDENCE: Final = 0.05
# Below this overlap a detection lies next to the box; up to a half it is merely loose.
_BESIDE_IOU: Final = 0.25
_LOOSE_UP_TO_IOU: Final = 0.45
# How often each sign, at full confidence, was an error on sets with planted ones.
_TRUST_IN_MISSING: Final = 0.6
_TRUST_IN_PLACE: Final = 0.7
_PRIOR: Final = 0.1
_NEIGHBOURS: Final = 40
_CROWD_SHARE: Final = 0.5


class Sign(StrEnum):
    """Kind of likely label error."""

    MISSING = "missing box"
    UNSEEN = "no detection"
    LABEL = "another label"
    PLACE = "inaccurate box"


@dataclass(frozen=True, slots=True)
class Suspect:
    """One likely label error.

    image: its place in the truth. object: the row of the box in doubt; None where one
    may be missing. box, label, confidence: of the detection; None without one.
    score: roughly the probability of an error.
    """

    sign: Sign
    image: int
    score: float
    reason: str
    object: int | None = None
    box: Box | None = None
    label: str | None = None
    confidence: float | None = None


def label_errors(truth: Truth, opinions: Sequence[Predictions]) -> list[Suspect]:
    """Return likely errors of the ground truth, the likeliest first.

    opinions: what each of some models found, at the low confidence of an evaluation;
        several that agree weigh more than one.
    """
    if not opinions:
        return []
    evidence = [_evidence_of(truth, predictions) for predictions in opinions]
    suspects = [
        *_missing(truth, opinions, evidence),
        *_wrong(truth, opinions, evidence),
    ]
    return sorted(suspects, key=lambda suspect: -suspect.score)


@dataclass(frozen=True, slots=True, eq=False)
class _Evidence:
    """Evidence of one model on each of N boxes: confidences, and rows of detections.

    own: on the box, of its label. other: on it, of another. near: next to it, of its
    label, weighted by how far off. other_row, near_row: whose. is_seen: whether
    it says anything of the label there. free: detections that are on no box.
    """

    own: Floats
    other: Floats
    other_row: Indices
    near: Floats
    near_row: Indices
    is_seen: Flags
    free: Indices


def _evidence_of(truth: Truth, predictions: Predictions) -> _Evidence:
    count = len(truth)
    own, other, near = np.zeros(count), np.zeros(count), np.zeros(count)
    other_row = np.zeros(count, dtype=np.intp)
    near_row = np.zeros(count, dtype=np.intp)
    is_seen = np.zeros(count, dtype=np.bool_)
    free: list[Indices] = []
    for image in range(len(truth.images)):
        rows = np.flatnonzero(predictions.image == image)
        objects = np.flatnonzero((truth.image == image) & ~truth.is_crowd)
        crowds = np.flatnonzero((truth.image == image) & truth.is_crowd)
        if not len(rows):
            continue
        overlaps = pairwise_iou(predictions.xyxy[rows], truth.xyxy[objects])
        same = predictions.label[rows][:, None] == truth.label[objects][None, :]
        sure = predictions.confidence[rows][:, None]
        is_on = overlaps >= FOUND_IOU
        # A detection that is right about one box says nothing of another.
        is_open = ~(same & is_on).any(axis=1, keepdims=True)
        if len(objects):
            own[objects] = np.where(same & is_on, sure, 0).max(axis=0)
            is_seen[objects] = (same & (overlaps >= SEEN_IOU)).any(axis=0)
            others = np.where(~same & is_on & is_open, sure, 0)
            other[objects], other_row[objects] = _best(others, rows)
            is_near = same & ~is_on & (overlaps >= LOOSE_IOU) & is_open
            near_misses = np.asarray(np.where(is_near, sure * _how_far(overlaps), 0))
            near[objects], near_row[objects] = _best(near_misses, rows)
        touches = is_on | (same & (overlaps >= LOOSE_IOU))
        alone = rows[~touches.any(axis=1)]
        free.append(_free(truth, predictions, alone, rows, crowds))
    rows_free = np.concatenate(free) if free else np.zeros(0, dtype=np.intp)
    return _Evidence(own, other, other_row, near, near_row, is_seen, rows_free)


def _best(values: FloatArray, rows: Indices) -> tuple[FloatArray, Indices]:
    """Return the largest value of each column, and the detection it is of."""
    return values.max(axis=0), rows[values.argmax(axis=0)]


def _how_far(overlaps: FloatArray) -> FloatArray:
    """Return 1 for a detection next to a box, less for a loose one, 0 for one on it."""
    width = _LOOSE_UP_TO_IOU - _BESIDE_IOU
    return np.asarray(np.clip((_LOOSE_UP_TO_IOU - overlaps) / width, 0, 1))


def _free(
    truth: Truth,
    predictions: Predictions,
    free: Indices,
    rows: Indices,
    crowds: Indices,
) -> Indices:
    """Return the detections without a box that are objects of their own."""
    unlabelled = []
    for row in free[predictions.confidence[free] >= _LEAST_CONFIDENCE].tolist():
        box = predictions.xyxy[row : row + 1]
        surer = rows[predictions.confidence[rows] > predictions.confidence[row]]
        is_double = (pairwise_iou(box, predictions.xyxy[surer]) >= FOUND_IOU).any()
        shares = (truth.shares_in(crowd, box)[0] for crowd in crowds.tolist())
        in_crowd = any(share >= _CROWD_SHARE for share in shares)
        if not is_double and not in_crowd:
            unlabelled.append(row)
    return np.array(unlabelled, dtype=np.intp)


@dataclass(slots=True)
class _Thing:
    """A thing without a box that one model or several see, by the surest of them."""

    model: int
    row: int
    confidences: dict[int, float]


def _missing(
    truth: Truth, opinions: Sequence[Predictions], evidence: Sequence[_Evidence]
) -> Iterator[Suspect]:
    """Yield objects found where there is no box; models that agree count once."""
    seen = sorted(
        (
            (float(opinions[model].confidence[row]), model, int(row))
            for model, signs in enumerate(evidence)
            for row in signs.free
        ),
        reverse=True,
    )
    things: dict[int, list[_Thing]] = {}
    for confidence, model, row in seen:
        here = things.setdefault(int(opinions[model].image[row]), [])
        known = next((t for t in here if _is_same(opinions, t, model, row)), None)
        if known is None:
            here.append(_Thing(model, row, {model: confidence}))
        else:
            known.confidences.setdefault(model, confidence)
    for image, here in things.items():
        for thing in here:
            sure = sum(thing.confidences.values()) / len(opinions)
            label, box, confidence = _said(truth, opinions[thing.model], thing.row)
            yield Suspect(
                Sign.MISSING,
                image,
                _TRUST_IN_MISSING * sure,
                f"{label} detected ({percent(confidence)}), but there is no box",
                box=box,
                label=label,
                confidence=confidence,
            )


def _is_same(
    opinions: Sequence[Predictions], thing: _Thing, model: int, row: int
) -> bool:
    known, other = opinions[thing.model], opinions[model]
    if known.label[thing.row] != other.label[row]:
        return False
    overlap = pairwise_iou(
        known.xyxy[thing.row : thing.row + 1], other.xyxy[row : row + 1]
    )
    return bool(overlap[0, 0] >= FOUND_IOU)


def _wrong(
    truth: Truth, opinions: Sequence[Predictions], evidence: Sequence[_Evidence]
) -> Iterator[Suspect]:
    """Yield the boxes in doubt, each by its likeliest sign."""
    agreed = np.mean([signs.own for signs in evidence], axis=0)
    others = np.array([signs.other for signs in evidence])
    near_misses = np.array([signs.near for signs in evidence])
    unseen = ~np.any([signs.is_seen for signs in evidence], axis=0)
    passed_over = _share_passed_over(truth, unseen)
    for row in np.flatnonzero(~truth.is_crowd).tolist():
        doubt = (1 - agreed[row]) ** 2
        other, near = others[:, row].mean(), near_misses[:, row].mean()
        evidence_of_sign = []
        if other >= _LEAST_EVIDENCE:
            model = int(others[:, row].argmax())
            detection = int(evidence[model].other_row[row])
            score = float(other * doubt)
            evidence_of_sign.append(
                _as_suspect(truth, opinions[model], detection, row, Sign.LABEL, score)
            )
        if near >= _LEAST_EVIDENCE:
            model = int(near_misses[:, row].argmax())
            detection = int(evidence[model].near_row[row])
            score = float(_TRUST_IN_PLACE * near * doubt)
            evidence_of_sign.append(
                _as_suspect(truth, opinions[model], detection, row, Sign.PLACE, score)
            )
        if unseen[row]:
            evidence_of_sign.append(_as_unseen(truth, row, float(passed_over[row])))
        yield from _likeliest(evidence_of_sign)


def _likeliest(suspects: Iterable[Suspect]) -> list[Suspect]:
    ordered = sorted(suspects, key=lambda suspect: -suspect.score)
    return ordered[:1]


def _as_suspect(
    truth: Truth,
    predictions: Predictions,
    detection: int,
    row: int,
    sign: Sign,
    score: float,
) -> Suspect:
    label, box, confidence = _said(truth, predictions, detection)
    own = truth.labels[truth.label[row]]
    reason = (
        f"labelled {own}, detected as {label} ({percent(confidence)})"
        if sign is Sign.LABEL
        else f"{own} detected ({percent(confidence)}) next to this box"
    )
    return Suspect(
        sign,
        int(truth.image[row]),
        score,
        reason,
        object=row,
        box=box,
        label=label,
        confidence=confidence,
    )


def _as_unseen(truth: Truth, row: int, passed_over: float) -> Suspect:
    label = truth.labels[truth.label[row]]
    seen = f"{1 - passed_over:.0%}".replace("%", " %")
    return Suspect(
        Sign.UNSEEN,
        int(truth.image[row]),
        _PRIOR / (_PRIOR + (1 - _PRIOR) * passed_over),
        f"no {label} detected in this box; of boxes this large {seen} have a detection",
        object=row,
    )


def _share_passed_over(truth: Truth, unseen: Flags) -> Floats:
    """Return for each box the share of those about as large that no model finds.

    Large is the share of the image. The box itself does not count.
    """
    areas = np.array([size.width * size.height for _, _, size in truth.images], float)
    extent = truth.xyxy[:, 2:] - truth.xyxy[:, :2]
    relative = extent[:, 0] * extent[:, 1] / areas[truth.image]
    real = np.flatnonzero(~truth.is_crowd)
    order = real[np.argsort(relative[real], kind="stable")]
    shares = np.ones(len(truth))
    for place, row in enumerate(order.tolist()):
        near = order[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS + 1]
        others = int(unseen[near].sum()) - int(unseen[row])
        # Half a box more: even where all were seen, the next may not be.
        shares[row] = min((others + 0.5) / len(near), 1.0)
    return shares


def _said(truth: Truth, predictions: Predictions, row: int) -> tuple[str, Box, float]:
    return (
        truth.labels[predictions.label[row]],
        Box(*predictions.xyxy[row].tolist()),
        float(predictions.confidence[row]),
    )
