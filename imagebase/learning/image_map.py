"""A map of a dataset: images as points, those that are alike near each other."""

import numpy as np
from numpy.typing import NDArray

from imagebase.geometry import FloatArray


def projected(vectors: FloatArray) -> FloatArray:
    """Return points in two dimensions, shape (N, 2), each between -1 and 1.

    The first two principal components (Pearson, 1901); the same vectors give the same
    points.

    Args:
        vectors: shape (N, D).
    """
    if len(vectors) < 2:
        return np.zeros((len(vectors), 2), np.float32)
    centred = vectors - vectors.mean(axis=0)
    # Of D × D, not of N × N: there may be 20,000 images.
    _, directions = np.linalg.eigh(centred.T @ centred)
    points = centred @ directions[:, :-3:-1]
    # A direction may point either way; the furthest point is to the right, and above.
    furthest = np.abs(points).argmax(axis=0)
    points = points * np.where(points[furthest, [0, 1]] < 0, -1, 1)
    scaled: FloatArray = points / max(float(np.abs(points).max()), 1e-9)
    return scaled.astype(np.float32)


def sample(count: int, most: int) -> NDArray[np.intp]:
    """Return the positions of at most so many of these images, evenly spread."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.intp)
