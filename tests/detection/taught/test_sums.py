"""Running sums: a copy changes apart, and holds no label twice that it leaves alone."""

import numpy as np

from imagebase.detection.taught.sums import BalancedSums


def test_a_copy_changes_apart_and_shares_the_rest() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(6, 3)).astype(np.float32)
    first, second = np.eye(6, dtype=np.float32)[:2]
    penalty = np.ones(4)
    sums = BalancedSums(3)
    sums.add(rows, {"cat": first, "dog": second})
    before = sums.weights("cat", penalty)
    copy = sums.copy()
    copy.add(rows[:1], {"cat": first[:1]}, sign=-1)
    assert np.array_equal(sums.weights("cat", penalty), before)
    assert not copy.weights("cat", penalty).any()
    assert copy._positive_products["dog"] is sums._positive_products["dog"]
