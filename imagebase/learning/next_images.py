"""What to label next: the images whose labels would teach a model most.

Greedy k-centre over vectors of the images, after Sener and Savarese (Active Learning
for Convolutional Neural Networks: A Core-Set Approach, 2018): the next image is the one
furthest from all that are labelled or chosen before it. Images that a model is
uncertain about count as further away.
"""

import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.geometry import FloatArray

# How much further away an image is that certainly needs review.
UNCERTAINTY_WEIGHT: Final = 0.5
# So many are chosen one by one; those after them are in the order of their distance.
MOST_CHOSEN: Final = 24
_AT_ONCE: Final = 256
# Labelled images that the others are compared with to begin with; of more, so many
# spread evenly. All of 20,000 would take a minute among 100,000 images.
MOST_LABELLED: Final = 512


class NextImages:
    """Orders the images of a dataset; threads may share it.

    The distances to the labelled images are kept: of an image that was labelled since,
    one column is computed.
    """

    def __init__(self, vectors: FloatArray) -> None:
        """Take the vectors of all images, of length 1, shape (N, D)."""
        self._vectors = vectors
        self._lock = threading.Lock()
        self._labelled = np.zeros(len(vectors), np.bool_)
        self._distance = np.full(len(vectors), 2.0, np.float32)

    def order(
        self,
        is_labelled: NDArray[np.bool_],
        uncertainty: FloatArray,
        *,
        most: int = MOST_CHOSEN,
    ) -> NDArray[np.intp]:
        """Return the positions of the images to label, what teaches most first.

        Without a labelled image, the first is the most typical one.

        Args:
            is_labelled: shape (N,).
            uncertainty: 0 to 1, shape (N,); NaN where it is not known, which counts as
                the mean of those known.
            most: how many to choose one by one.
        """
        if not len(self._vectors):
            return np.zeros(0, np.intp)
        weight = 1 + UNCERTAINTY_WEIGHT * _known(uncertainty)
        is_open, distance = ~is_labelled, self._to_labelled(is_labelled)
        chosen: list[int] = []
        while len(chosen) < most and is_open.any():
            if chosen or is_labelled.any():
                best = int(np.argmax(np.where(is_open, distance * weight, -np.inf)))
            else:
                best = _most_typical(self._vectors)
            chosen.append(best)
            is_open[best] = False
            distance = np.minimum(distance, self._to(np.array([best])))
        rest = np.flatnonzero(is_open)
        order = np.argsort(-(distance * weight)[rest], kind="stable")
        return np.concatenate([np.array(chosen, np.intp), rest[order]])

    def _to_labelled(self, is_labelled: NDArray[np.bool_]) -> FloatArray:
        """Return 1 - cosine to the nearest labelled image; 2 without any."""
        with self._lock:
            if (self._labelled & ~is_labelled).any():
                self._labelled = np.zeros_like(is_labelled)
                self._distance = np.full(len(is_labelled), 2.0, np.float32)
            new = _spread(np.flatnonzero(is_labelled & ~self._labelled))
            # A few at a time: all at once would be a matrix of N × N.
            for start in range(0, len(new), _AT_ONCE):
                nearest = self._to(new[start : start + _AT_ONCE])
                self._distance = np.minimum(self._distance, nearest)
            self._labelled = is_labelled.copy()
            return self._distance

    def _to(self, places: NDArray[np.intp]) -> FloatArray:
        alike = self._vectors @ self._vectors[places].T
        distance: FloatArray = 1 - alike.max(axis=1)
        return distance


def _spread(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return at most `MOST_LABELLED` of these, spread evenly."""
    count = min(len(places), MOST_LABELLED)
    return places[np.linspace(0, len(places) - 1, count).astype(np.intp)]


def _known(uncertainty: FloatArray) -> FloatArray:
    is_known = ~np.isnan(uncertainty)
    mean = float(uncertainty[is_known].mean()) if is_known.any() else 0.0
    return np.where(is_known, uncertainty, mean)


def _most_typical(vectors: FloatArray) -> int:
    return int(np.argmax(vectors @ vectors.mean(axis=0)))
