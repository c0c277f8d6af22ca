import numpy as np
import pytest

from imagebase.annotation import Box
from imagebase.augmentation import transforms
from imagebase.images.decode import RgbArray
from imagebase.images.resize import BORDER

RANDOM = np.random.default_rng(0)


def plain(*rgb: int) -> RgbArray:
    return np.full((40, 50, 3), rgb, dtype=np.uint8)


def first(rgb: RgbArray) -> list[int]:
    """Return the one colour that a plain image has."""
    assert (rgb == rgb[0, 0]).all()
    return [int(channel) for channel in rgb[0, 0]]


@pytest.mark.parametrize(
    ("hue", "expected"),
    [(0, [255, 0, 0]), (1 / 3, [0, 255, 0]), (-1 / 3, [0, 0, 255])],
    ids=str,
)
def test_hue_turns_red_around_the_circle(hue: float, expected: list[int]) -> None:
    turned = transforms.tinted(plain(255, 0, 0), hue=hue, saturation=1, value=1)
    np.testing.assert_allclose(first(turned), expected, atol=6)


def test_saturation_pales_and_value_darkens() -> None:
    grey = transforms.tinted(plain(200, 40, 40), hue=0, saturation=0, value=1)
    assert first(grey) == [200, 200, 200]
    dark = transforms.tinted(plain(200, 40, 40), hue=0, saturation=1, value=0.5)
    np.testing.assert_allclose(first(dark), [100, 20, 20], atol=2)
    bright = transforms.tinted(plain(200, 200, 200), hue=0, saturation=1, value=2)
    assert first(bright) == [255, 255, 255]


def test_brightness_adds_a_share_of_white() -> None:
    lit = transforms.lit(plain(100, 150, 250), brightness=0.2, contrast=1)
    assert first(lit) == [151, 201, 255]


def test_contrast_stretches_about_the_middle_grey() -> None:
    assert first(transforms.lit(plain(77, 178, 0), brightness=0, contrast=2)) == [
        26,
        228,
        0,
    ]
    assert (
        first(transforms.lit(plain(9, 99, 199), brightness=0, contrast=0)) == [128] * 3
    )


def test_blur_spreads_an_edge_by_its_sigma() -> None:
    rgb = plain(0, 0, 0)
    rgb[:, 25:] = 200
    row = transforms.blurred(rgb, sigma=2)[20, :, 0].astype(float)
    # One sigma from the edge a Gaussian step has come to 84.1 %.
    assert row[24] == pytest.approx(200 * 0.401, abs=3)
    assert np.interp(27 - 0.5, np.arange(50), row) == pytest.approx(168.3, abs=4)


def test_noise_has_the_deviation_it_was_given_and_no_bias() -> None:
    rgb = np.full((300, 300, 3), 128, dtype=np.uint8)
    noise = transforms.noisy(rgb, deviation=10, random=RANDOM).astype(float) - 128
    assert noise.std() == pytest.approx(10, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.1)
    flat = noise.reshape(-1, 3)
    assert abs(np.corrcoef(flat[:, 0], flat[:, 1])[0, 1]) < 0.02


def test_noise_does_not_wrap_around_at_black_and_white() -> None:
    for level in (0, 255):
        noisy = transforms.noisy(plain(level, level, level), deviation=5, random=RANDOM)
        assert np.abs(noisy.astype(int) - level).max() < 20


def test_patches_cover_the_picture_and_the_mask_says_where() -> None:
    rgb, mask = transforms.covered(plain(1, 2, 3), [Box(5, 6, 9, 20), Box(0, 0, 1, 1)])
    assert mask.sum() == 4 * 14 + 1
    assert (rgb[mask] == BORDER).all()
    assert (rgb[~mask] == (1, 2, 3)).all()


def test_colours_do_not_touch_their_input() -> None:
    rgb = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    before = rgb.copy()
    rgb.setflags(write=False)
    transforms.tinted(rgb, hue=0.1, saturation=0.5, value=1.2)
    transforms.lit(rgb, brightness=0.1, contrast=1.2)
    transforms.blurred(rgb, sigma=1)
    transforms.noisy(rgb, deviation=5, random=RANDOM)
    transforms.covered(rgb, [Box(0, 0, 5, 5)])
    np.testing.assert_array_equal(rgb, before)
