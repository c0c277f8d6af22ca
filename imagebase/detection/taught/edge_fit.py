"""The regression that places edges, over rows: they are fewer than its features."""

from collections.abc import Collection, Hashable
from typing import Final

import numpy as np

from imagebase.detection.taught.model import EDGES_COLUMNS, EDGES_LENGTH
from imagebase.geometry import FloatArray

_RIDGE: Final = 3.0
# Each example has an equal part of the most rows, and a few at least.
_MOST_ROWS: Final = 1000
_LEAST_EACH: Final = 12


class EdgeRows:
    """Rows of the regression by example, and their products with each other.

    Every example has as many rows as fit; the first ones stay as others come.
    """

    def __init__(self) -> None:
        self._owners: list[Hashable] = []
        self._rows = np.zeros((0, EDGES_LENGTH), np.float32)
        self._targets = np.zeros((0, EDGES_COLUMNS), np.float32)
        self._products = np.zeros((0, 0), np.float32)

    def add(self, owner: Hashable, features: FloatArray, targets: FloatArray) -> None:
        """Add an example's rows, the most telling first.

        Args:
            features: (N, 3648). targets: (N, 5).
        """
        if not len(features):
            return
        most = max(_MOST_ROWS // (len(set(self._owners)) + 1), _LEAST_EACH)
        self._thin(most)
        rows = np.concatenate(
            [features[:most], np.ones((len(features[:most]), 1), np.float32)], axis=1
        )
        cross = self._rows @ rows.T
        self._products = np.block([[self._products, cross], [cross.T, rows @ rows.T]])
        self._rows = np.concatenate([self._rows, rows])
        self._targets = np.concatenate([self._targets, targets[:most]])
        self._owners += [owner] * len(rows)

    def drop(self, owner: Hashable) -> None:
        """Take an example's rows away."""
        self._keep(np.array([own != owner for own in self._owners], bool))

    def weights(self, without: Collection[Hashable] = ()) -> FloatArray:
        """Return the weights, shape (3649, 5); the last row is added.

        Args:
            without: examples that are left out.
        """
        stays = np.array([own not in without for own in self._owners], bool)
        targets, rows = self._targets[stays], self._rows[stays]
        if not len(rows):
            return np.zeros((EDGES_LENGTH, EDGES_COLUMNS), np.float32)
        mean = targets.mean(axis=0)
        products = self._products[np.ix_(stays, stays)]
        products[np.diag_indices_from(products)] += _RIDGE
        weights: FloatArray = rows.T @ np.linalg.solve(products, targets - mean)
        weights[-1] += mean
        return weights.astype(np.float32)

    def _thin(self, most: int) -> None:
        seen: dict[Hashable, int] = {}
        stays = []
        for owner in self._owners:
            seen[owner] = seen.get(owner, 0) + 1
            stays.append(seen[owner] <= most)
        self._keep(np.array(stays, bool))

    def _keep(self, stays: np.ndarray) -> None:
        if stays.all():
            return
        self._owners = [
            own for own, stay in zip(self._owners, stays, strict=True) if stay
        ]
        self._rows, self._targets = self._rows[stays], self._targets[stays]
        self._products = self._products[np.ix_(stays, stays)]
