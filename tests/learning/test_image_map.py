import numpy as np

from imagebase.learning.image_map import projected, sample


def test_what_is_alike_is_near_each_other() -> None:
    random = np.random.default_rng(0)
    centres = random.standard_normal((3, 32))
    vectors = np.repeat(centres, 20, axis=0) + 0.1 * random.standard_normal((60, 32))
    points = projected(vectors.astype(np.float32)).reshape(3, 20, 2)
    inside = max(float(group.std(axis=0).max()) for group in points)
    means = points.mean(axis=1)
    between = min(
        float(np.linalg.norm(means[a] - means[b])) for a, b in ((0, 1), (0, 2), (1, 2))
    )
    assert between > 5 * inside


def test_points_fill_the_square_and_stay_the_same() -> None:
    vectors = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32)
    points = projected(vectors)
    assert points.shape == (50, 2)
    assert np.isclose(np.abs(points).max(), 1)
    np.testing.assert_allclose(projected(vectors[::-1])[::-1], points, atol=1e-4)


def test_few_images_and_equal_ones_have_points_too() -> None:
    assert projected(np.zeros((0, 4), np.float32)).shape == (0, 2)
    assert projected(np.ones((1, 4), np.float32)).tolist() == [[0, 0]]
    assert np.isfinite(projected(np.ones((3, 4), np.float32))).all()


def test_a_sample_is_spread_evenly() -> None:
    assert sample(3, 5).tolist() == [0, 1, 2]
    assert sample(101, 3).tolist() == [0, 50, 100]
