"""Running sums: a copy changes apart, and holds no label twice that it leaves alone."""

import numpy as np
import pytest

from imagebase.detection.taught import sums as summing
from imagebase.detection.taught.sums import BalancedSums


def test_a_copy_changes_apart_and_shares_the_rest() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(6, 3)).astype(np.float32)
    first, second = np.eye(6, dtype=np.float32)[:2]
    penalty = np.ones(4)
    sums = BalancedSums(3)
    sums.add(rows, {"cat": first, "dog": second})
    before = sums.weights("cat", penalty, [])
    copy = sums.copy()
    copy.add(rows[:1], {"cat": first[:1]}, sign=-1)
    assert np.array_equal(sums.weights("cat", penalty, []), before)
    assert not copy.weights("cat", penalty, []).any()
    assert copy._positive_products["dog"] is sums._positive_products["dog"]


def test_labels_that_are_not_held_have_the_same_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(1)
    parts = [
        (
            random.normal(size=(8, 3)).astype(np.float32),
            {"cat": random.random(8), "dog": random.random(8)},
        )
        for _ in range(2)
    ]
    held, not_held = BalancedSums(3), BalancedSums(3)
    for part in parts:
        held.add(*part)
    monkeypatch.setattr(summing, "MOST_HELD", 1)
    for part in parts:
        not_held.add(*part)
    assert list(not_held._positive_products) == ["cat"]
    for label in ("cat", "dog"):
        np.testing.assert_allclose(
            not_held.weights(label, np.ones(4), parts),
            held.weights(label, np.ones(4), []),
            rtol=1e-5,
        )
