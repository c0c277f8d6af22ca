"""Errors planted in a truth, and which of them a model could have known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imagebase.evaluation.arrays import FOUND_IOU, Predictions, Truth
from imagebase.evaluation.label_errors import Sign, Suspect
from imagebase.geometry import pairwise_iou

EACH = 20
# Moved by so much of its sides: it then overlaps where it was by .09 to .32.
SHIFT = (0.3, 0.6)
USED_AT = 0.25


@dataclass(frozen=True, eq=False)
class Planted:
    """A truth with errors. Rows of deleted ones are those of the truth before."""

    before: Truth
    after: Truth
    deleted: NDArray[np.intp]
    relabelled: NDArray[np.intp]
    shifted: NDArray[np.intp]
    added: tuple[str, ...]


def plant(truth: Truth, seed: int) -> Planted:
    """Return a truth of which 20 boxes each are deleted, relabelled, shifted, added."""
    random = np.random.default_rng(seed)
    real = np.flatnonzero(~truth.is_crowd)
    chosen = random.permutation(real)[: 3 * EACH]
    deleted, relabelled, shifted = np.split(chosen, 3)
    label, xyxy = truth.label.copy(), truth.xyxy.copy()
    used = np.flatnonzero(truth.boxes_by_label())
    for row in relabelled:
        label[row] = random.choice(used[used != label[row]])
    for row in shifted:
        xyxy[row] = _shifted(truth, int(row), random)
    keep = np.setdiff1d(np.arange(len(truth)), deleted)
    new = [_stray(truth, real, random) for _ in range(EACH)]
    names = tuple(f"added {n}" for n in range(EACH))
    boxes = np.array([box for _, _, box in new])
    after = replace(
        truth,
        image=np.r_[truth.image[keep], [image for image, _, _ in new]].astype(np.intp),
        label=np.r_[label[keep], [kind for _, kind, _ in new]].astype(np.intp),
        xyxy=np.r_[xyxy[keep], boxes],
        area=np.r_[truth.area[keep], np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)],
        is_crowd=np.r_[truth.is_crowd[keep], np.zeros(EACH, np.bool_)],
        box_ids=(*(truth.box_ids[row] for row in keep), *names),
    )
    return Planted(truth, after, deleted, relabelled, shifted, names)


def _shifted(
    truth: Truth, row: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return a box moved both ways, inside its image where 200 tries find a place."""
    box = truth.xyxy[row]
    size = truth.images[truth.image[row]].size
    moved = box
    for _ in range(200):
        by = random.uniform(*SHIFT, 2) * random.choice([-1, 1], 2)
        moved = box + np.tile(by * (box[2:] - box[:2]), 2)
        if (moved[:2] >= 0).all() and (moved[2:] <= size).all():
            break
    return np.asarray(np.clip(moved, 0, [*size, *size]), dtype=np.float64)


def _stray(
    truth: Truth, real: NDArray[np.intp], random: np.random.Generator
) -> tuple[int, int, NDArray[np.float64]]:
    """Return image, label and box of a thing that is not there, as large as others."""
    while True:
        image, source = int(random.integers(len(truth.images))), random.choice(real)
        extent = truth.xyxy[source, 2:] - truth.xyxy[source, :2]
        room = np.array(truth.images[image].size) - extent
        if (room <= 0).any():
            continue
        corner = random.uniform(0, room)
        box = np.concatenate([corner, corner + extent])
        mine = truth.xyxy[truth.image == image]
        if not len(mine) or pairwise_iou(box[None], mine).max() < 0.3:
            return image, int(truth.label[source]), box


def is_known(planted: Planted, found: Predictions, row: int) -> bool:
    """Say whether a model found the box as it was before, at the confidence in use."""
    truth = planted.before
    rows = (found.image == truth.image[row]) & (found.label == truth.label[row])
    rows &= found.confidence >= USED_AT
    overlaps = pairwise_iou(truth.xyxy[row : row + 1], found.xyxy[rows])
    return bool((overlaps >= FOUND_IOU).any())


def is_missed_by_none(planted: Planted, found: Predictions, name: str) -> bool:
    """Say whether an added box has nothing on it, where real ones nearly always have.

    Nine of ten real boxes of its size, from half to twice its area, have a candidate.
    """
    after, before = planted.after, planted.before
    row = after.box_ids.index(name)
    if _has_candidate(after, found, row):
        return False
    area = np.prod(before.xyxy[:, 2:] - before.xyxy[:, :2], axis=1)
    own = float(np.prod(after.xyxy[row, 2:] - after.xyxy[row, :2]))
    like = np.flatnonzero((area >= own / 2) & (area <= own * 2) & ~before.is_crowd)
    return bool(
        np.mean([_has_candidate(before, found, int(index)) for index in like]) >= 0.9
    )


def _has_candidate(truth: Truth, found: Predictions, row: int) -> bool:
    rows = (found.image == truth.image[row]) & (found.label == truth.label[row])
    overlaps = pairwise_iou(truth.xyxy[row : row + 1], found.xyxy[rows])
    return bool((overlaps >= 0.3).any())


def is_caught(planted: Planted, suspects: Sequence[Suspect], row: int) -> bool:
    """Say whether suspects name a box that was changed, or where one was."""
    truth = planted.before
    box_id = truth.box_ids[row]
    for suspect in suspects:
        if (
            suspect.object is not None
            and planted.after.box_ids[suspect.object] == box_id
        ):
            return True
        if (
            suspect.sign is Sign.MISSING
            and suspect.image == truth.image[row]
            and suspect.box
        ):
            there = pairwise_iou(np.array([suspect.box]), truth.xyxy[row : row + 1])
            if there[0, 0] >= FOUND_IOU:
                return True
    return False


def is_added_caught(planted: Planted, suspects: Sequence[Suspect], name: str) -> bool:
    row = planted.after.box_ids.index(name)
    return any(suspect.object == row for suspect in suspects)
