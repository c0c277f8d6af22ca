"""Ridge regressions that take and give back examples: running sums instead of rows."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from imagebase.geometry import FloatArray

Target = Mapping[str, FloatArray]

# Above this target a row is a positive of the label.
_POSITIVE: Final = 0.3


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
                self._positive_products[label] = np.zeros(self._shape)
                self._targets[label] = np.zeros((2, self.columns))
            self._positives[label] += sign * int(chosen.sum())
            products = sign * (positive.T @ positive)
            halves = np.stack([target * chosen, target * ~chosen])
            # Never in place: copies share what is the same in both.
            self._positive_products[label] = self._positive_products[label] + products
            self._targets[label] = self._targets[label] + sign * (halves @ rows)

    def copy(self) -> "BalancedSums":
        """Return sums that change apart from these."""
        other = BalancedSums(self.columns - 1)
        other._count = self._count
        other._products = self._products.copy()
        other._positives = dict(self._positives)
        # 6 MB a label: of many labels, few change in a copy.
        other._positive_products = dict(self._positive_products)
        other._targets = dict(self._targets)
        return other

    def weights(self, label: str, penalty: FloatArray) -> FloatArray:
        """Return a label's weights, shape (D + 1,); the last number is added.

        Of a label without positives they are 0.

        Args:
            penalty: of the square of each weight, shape (D + 1,).
        """
        count = self._positives.get(label, 0)
        if not count:
            return np.zeros(self.columns, np.float32)
        positive = self._positive_products[label]
        share, rest = 0.5 / count, 0.5 / max(self._count - count, 1)
        a = share * positive + rest * (self._products - positive)
        a[np.diag_indices_from(a)] += penalty
        b = np.array([share, rest]) @ self._targets[label]
        return np.linalg.solve(a, b).astype(np.float32)


def _with_one(features: FloatArray) -> FloatArray:
    ones = np.ones((len(features), 1), np.float32)
    rows: FloatArray = np.concatenate([features, ones], axis=1, dtype=np.float32)
    return rows
