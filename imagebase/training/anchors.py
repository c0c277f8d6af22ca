"""Anchors of one's own: the shapes that the boxes of a set come in."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RESTARTS: Final = 10
_ROUNDS: Final = 100


def cluster_anchors(
    sizes: Floats, *, count: int = 6, seed: int = 0
) -> list[tuple[float, float]]:
    """Return this many widths and heights that fit boxes best, small ones first.

    K-means with 1 - IoU of the shapes as the distance and the median as the middle, the
    best of ten beginnings (Redmon and Farhadi, "YOLO9000", 2016, section 2).

    Args:
        sizes: widths and heights, shape (N, 2), in pixels of the net, above 0.
        count: how many anchors.
        seed: another one begins elsewhere.

    Raises:
        ValueError: there are fewer different shapes than anchors.
    """
    if len(np.unique(sizes, axis=0)) < count:
        raise ValueError(f"{count} anchors need as many different boxes at least")
    generator = np.random.default_rng(seed)
    found = [_cluster(sizes, count, generator) for _ in range(_RESTARTS)]
    best = max(found, key=lambda anchors: mean_best_iou(sizes, anchors))
    ordered = best[np.argsort(best.prod(axis=1))]
    return [(float(w), float(h)) for w, h in ordered.round(1)]


def mean_best_iou(sizes: Floats, anchors: Floats) -> float:
    """Return how well the best anchor of each box has its shape, 0 to 1."""
    return float(shape_iou(sizes, anchors).max(axis=1).mean())


def shape_iou(sizes: Floats, anchors: Floats) -> Floats:
    """Return the IoU of N shapes with M laid on one corner, shape (N, M)."""
    shared = np.minimum(sizes[:, None], anchors[None]).prod(axis=2)
    union = sizes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None] - shared
    return np.asarray(shared / union)


def _cluster(sizes: Floats, count: int, generator: np.random.Generator) -> Floats:
    anchors = _first(np.unique(sizes, axis=0), count, generator)
    nearest = np.full(len(sizes), -1)
    for _ in range(_ROUNDS):
        chosen = shape_iou(sizes, anchors).argmax(axis=1)
        if (chosen == nearest).all():
            break
        nearest = chosen
        anchors = np.stack(
            [
                np.median(sizes[nearest == one], axis=0)
                if (nearest == one).any()
                else anchors[one]
                for one in range(count)
            ]
        )
    return anchors


def _first(shapes: Floats, count: int, generator: np.random.Generator) -> Floats:
    """Return shapes to begin with, each likely far from the ones before.

    As k-means++ does (Arthur and Vassilvitskii, 2007).
    """
    chosen = [int(generator.integers(len(shapes)))]
    while len(chosen) < count:
        apart = (1 - shape_iou(shapes, shapes[chosen]).max(axis=1)).clip(min=0) ** 2
        apart[chosen] = 0
        share = apart / apart.sum() if apart.sum() else None
        chosen.append(int(generator.choice(len(shapes), p=share)))
    return shapes[chosen]
