import numpy as np
import pytest
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.preprocess import (
    Corner,
    centred,
    letterboxed,
    placed,
    resized,
    stretched,
)


def stripes(height: int, width: int) -> NDArray[np.uint8]:
    """Return rows of black and white in turn."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[::2] = 200
    return rgb


def test_shrinking_averages_what_it_covers() -> None:
    assert np.unique(resized(stripes(64, 64), Size(16, 16))).tolist() == [100]


def test_a_side_that_shrinks_is_averaged_though_the_other_grows() -> None:
    assert np.unique(resized(stripes(64, 8), Size(16, 16))).tolist() == [100]


def test_the_right_size_is_left_alone() -> None:
    rgb = stripes(16, 16)
    np.testing.assert_array_equal(resized(rgb, Size(16, 16)), rgb)


def test_stretched_is_rgb_between_nought_and_one() -> None:
    rgb = np.full((10, 20, 3), (255, 51, 0), np.uint8)
    prepared = stretched(rgb, Size(32, 16))
    assert prepared.blob.shape == (1, 3, 16, 32)
    assert prepared.inner == Size(32, 16)
    assert prepared.blob[0, :, 5, 5].tolist() == pytest.approx([1, 0.2, 0])


def test_letterboxed_is_bgr_at_the_top_left_of_a_grey_field() -> None:
    rgb = np.full((10, 40, 3), (255, 51, 0), np.uint8)
    prepared = letterboxed(rgb, Size(32, 32))
    assert prepared.inner == Size(32, 8)
    assert prepared.blob[0, :, 7, 31].tolist() == [0, 51, 255]
    assert prepared.blob[0, :, 8, 0].tolist() == [114, 114, 114]


def test_a_thread_of_a_picture_keeps_one_pixel() -> None:
    prepared = letterboxed(np.zeros((1, 5_000, 3), np.uint8), Size(32, 32))
    assert prepared.inner == Size(32, 1)


def test_boxes_are_placed_in_the_part_the_picture_takes() -> None:
    relative = np.array([[0, 0, 1, 0.25]], np.float32)
    actual = placed(relative, net_size=Size(32, 32), inner=Size(32, 8))
    assert actual.tolist() == [[0, 0, 1, 1]]


def test_centred_is_rgb_in_the_middle_of_a_grey_field() -> None:
    rgb = np.full((10, 40, 3), (255, 51, 0), np.uint8)
    prepared = centred(rgb, Size(32, 33))
    assert prepared.inner == Size(32, 8)
    assert prepared.corner == (0.0, 12.0)
    assert prepared.blob[0, :, 12, 0].tolist() == pytest.approx([1, 0.2, 0])
    assert prepared.blob[0, :, 19, 31].tolist() == pytest.approx([1, 0.2, 0])
    for row in (11, 20):
        assert prepared.blob[0, :, row, 0].tolist() == pytest.approx([114 / 255] * 3)


def test_box_of_a_centred_picture_is_placed_on_the_picture() -> None:
    relative = np.array([[0, 12 / 33, 0.5, 16 / 33]], np.float32)
    found = placed(
        relative, net_size=Size(32, 33), inner=Size(32, 8), corner=Corner(0, 12)
    )
    np.testing.assert_allclose(found, [[0, 0, 0.5, 0.5]], atol=1e-6)
