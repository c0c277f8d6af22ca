"""Ridge regressions that take and give back examples: running sums instead of rows."""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.geometry import FloatArray

Target = Mapping[str, FloatArray]
Part = tuple[NDArray[np.floating], Target]

# Above this target a row is a positive of the label.
_POSITIVE: Final = 0.3
# The products of a label take up to 6 MB: those of so many are held. The others'
# are made when they are needed, of their rows: they are few where labels are many.
MOST_HELD: Final = 16


class BalancedSums:
    """What ridge regressions of many labels need of their rows, added up.

    Positives and negatives of a label have half of the weight each, however many they
    are. All rows are negatives of the labels that they are no positives of. What is
    added can be taken away again: the sums are in double precision.

    columns: of the features, and one more for what is added.
    """

    def __init__(self, columns: int) -> None:
        """columns: of the features."""
        self.columns = columns + 1
        self._shape = (self.columns, self.columns)
        self._count = 0
        self._products = np.zeros(self._shape)
        self._positives: dict[str, int] = {}
        self._positive_products: dict[str, FloatArray] = {}
        self._targets: dict[str, FloatArray] = {}

    def add(self, features: FloatArray, targets: Target, *, sign: int = 1) -> None:
        """Add rows, or take them away.

        Args:
            features: (N, D). targets: of labels that have positives, each (N,), from 0
                to 1; a row with a target above 0 is a positive.
            sign: 1 to add, -1 to take away.
        """
        rows = _with_one(features)
        self._count += sign * len(rows)
        self._products += sign * (rows.T @ rows)
        for label, target in targets.items():
            chosen = target > _POSITIVE
            positive = rows[chosen]
            if label not in self._positives:
                self._positives[label] = 0
                self._targets[label] = np.zeros((2, self.columns))
                if len(self._positive_products) < MOST_HELD:
                    self._positive_products[label] = np.zeros(self._shape)
            self._positives[label] += sign * int(chosen.sum())
            halves = np.stack([target * chosen, target * ~chosen])
            # Never in place: copies share what is the same in both.
            self._targets[label] = self._targets[label] + sign * (halves @ rows)
            held = self._positive_products.get(label)
            if held is not None:
                self._positive_products[label] = held + sign * (positive.T @ positive)

    def copy(self) -> "BalancedSums":
        """Return sums that change apart from these."""
        other = BalancedSums(self.columns - 1)
        other._count = self._count
        other._products = self._products.copy()
        other._positives = dict(self._positives)
        other._positive_products = dict(self._positive_products)
        other._targets = dict(self._targets)
        return other

    def weights(
        self, label: str, penalty: FloatArray, parts: Iterable[Part]
    ) -> FloatArray:
        """Return a label's weights, shape (D + 1,); the last number is added.

        Of a label without positives they are 0.

        Args:
            penalty: of the square of each weight, shape (D + 1,).
            parts: all that was added, in the order in which it was.
        """
        count = self._positives.get(label, 0)
        if not count:
            return np.zeros(self.columns, np.float32)
        positive = self._positive_products.get(label)
        if positive is None:
            positive = self._products_of(label, parts)
        share, rest = 0.5 / count, 0.5 / max(self._count - count, 1)
        a = share * positive + rest * (self._products - positive)
        a[np.diag_indices_from(a)] += penalty
        b = np.array([share, rest]) @ self._targets[label]
        return np.linalg.solve(a, b).astype(np.float32)

    def _products_of(self, label: str, parts: Iterable[Part]) -> FloatArray:
        products = np.zeros(self._shape)
        for features, targets in parts:
            if label in targets:
                rows = _with_one(features[targets[label] > _POSITIVE])
                products += rows.T @ rows
        return products


def _with_one(features: FloatArray) -> FloatArray:
    ones = np.ones((len(features), 1), np.float32)
    rows: FloatArray = np.concatenate([features, ones], axis=1, dtype=np.float32)
    return rows
