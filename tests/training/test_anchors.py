"""Anchors for the boxes of a set."""

import numpy as np
import pytest

from imagebase.training.darknet_cfg import cluster_anchors, mean_best_iou, shape_iou


def test_planted_shapes_are_found_again() -> None:
    planted = np.array(
        [[10, 12], [30, 20], [60, 90], [100, 40], [150, 160], [300, 280]]
    )
    random = np.random.default_rng(0)
    sizes = np.repeat(planted, 40, axis=0) * random.uniform(0.95, 1.05, (240, 2))
    anchors = np.array(cluster_anchors(sizes))
    ordered = planted[np.argsort(planted.prod(axis=1))]
    np.testing.assert_allclose(anchors, ordered, rtol=0.03)
    assert mean_best_iou(sizes, anchors) > 0.93


def test_the_same_seed_gives_the_same_anchors() -> None:
    sizes = np.random.default_rng(1).uniform(5, 300, (200, 2))
    assert cluster_anchors(sizes, seed=4) == cluster_anchors(sizes, seed=4)


def test_shapes_overlap_by_hand() -> None:
    overlap = shape_iou(
        np.array([[10.0, 20.0]]), np.array([[20.0, 10.0], [10.0, 20.0]])
    )
    np.testing.assert_allclose(overlap, [[100 / 300, 1]])


def test_fewer_shapes_than_anchors_are_refused() -> None:
    with pytest.raises(ValueError, match="6 anchors"):
        cluster_anchors(np.ones((50, 2)))
