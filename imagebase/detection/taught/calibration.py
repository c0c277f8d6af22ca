"""From scores to confidence: a logistic for each label."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from imagebase.geometry import FloatArray

# The logistic where nothing is known yet.
USUAL: Final = (8.0, -6.3)
# What is likely before any score is seen, and how much it takes to change it.
_PRIOR: Final = (8.0, -6.0)
_LEAST_SLOPE: Final = 1.0
_STRENGTH: Final = (1.0, 4.0)
# Right boxes, which are few, count more by this power of how many wrong ones there are
# for each: what is missed costs a person more than what is to be deleted.
_BALANCE: Final = 0.25
# With that balance F1 is best near a confidence of one half (blood cells and raccoons,
# from six examples on); this makes it the 0.25 that every model begins at.
_BEST_AT_DEFAULT: Final = math.log(3)
_NEWTON_STEPS: Final = 25

Seen = tuple[FloatArray, FloatArray]


def logistic_of(seen: Sequence[Seen]) -> tuple[float, float]:
    """Return slope and offset by pairs of scores and whether the boxes were right.

    They are the usual ones where no right box was seen: nothing is known then.
    """
    if not any(right.any() for _, right in seen):
        return USUAL
    slope, offset = logistic(*map(np.concatenate, zip(*seen, strict=True)))
    return slope, offset - _BEST_AT_DEFAULT


def logistic(score: FloatArray, right: FloatArray) -> tuple[float, float]:
    """Return slope and offset of the logistic that makes scores confidence.

    The likeliest ones after Platt (Probabilistic outputs for support vector machines,
    1999), with a normal prior around the usual ones, by Newton's method.

    Args:
        score: shape (N,). right: 1 where the box was right, else 0, shape (N,).
    """
    features = np.stack([score, np.ones_like(score)], axis=1).astype(np.float64)
    prior, strength = np.array(_PRIOR), np.array(_STRENGTH)
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
