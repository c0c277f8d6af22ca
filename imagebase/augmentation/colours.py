"""What changes the pixels of a picture, (H, W, 3) uint8, and moves nothing."""

from statistics import NormalDist
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box
from imagebase.images.decode import RgbArray
from imagebase.images.resize import BORDER

_LEVELS: Final = np.arange(256, dtype=np.float64)
_MIDDLE_GREY: Final = 127.5

# Where each of 256 equally likely slices of a normal distribution has its middle.
_NORMAL: Final = np.array(
    [NormalDist().inv_cdf((level + 0.5) / 256) for level in range(256)]
)


def tinted(rgb: RgbArray, *, hue: float, saturation: float, value: float) -> RgbArray:
    """Return the picture with its hue turned, and more or less colour and light.

    Args:
        rgb: the picture.
        hue: by which share of the circle it is turned.
        saturation: what it is multiplied with.
        value: what it is multiplied with.
    """
    table = np.stack(
        [
            (_LEVELS + round(hue * 256)) % 256,
            np.clip(_LEVELS * saturation, 0, 255),
            np.clip(_LEVELS * value, 0, 255),
        ],
        axis=-1,
    )
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL)
    changed = cv2.LUT(hsv, np.round(table).astype(np.uint8)[None])
    return _array(cv2.cvtColor(changed, cv2.COLOR_HSV2RGB_FULL))


def lit(rgb: RgbArray, *, brightness: float, contrast: float) -> RgbArray:
    """Return the picture brighter or darker, with more or less contrast.

    Args:
        rgb: the picture.
        brightness: what is added, as a share of white.
        contrast: what the distance from the middle grey is multiplied with before.
    """
    levels = (_LEVELS - _MIDDLE_GREY) * contrast + _MIDDLE_GREY + brightness * 255
    table = np.round(np.clip(levels, 0, 255)).astype(np.uint8)
    return _array(cv2.LUT(rgb, table))


def blurred(rgb: RgbArray, *, sigma: float) -> RgbArray:
    """Return the picture under a Gaussian of this many pixels, which is above 0."""
    return _array(cv2.GaussianBlur(rgb, (0, 0), sigma))


def noisy(rgb: RgbArray, *, deviation: float, random: np.random.Generator) -> RgbArray:
    """Return the picture with normal noise on every channel of every pixel.

    The noise is one of 256 equally likely values: enough for pixels, and ten times as
    fast as a normal distribution.

    Args:
        rgb: the picture.
        deviation: of the noise, of 255.
        random: where it comes from.
    """
    drawn = np.frombuffer(random.bytes(rgb.size), dtype=np.uint8).reshape(rgb.shape)
    noise = cv2.LUT(drawn, np.round(_NORMAL * deviation).astype(np.int16))
    return _array(cv2.add(rgb, noise, dtype=cv2.CV_8U))


def covered(rgb: RgbArray, patches: list[Box]) -> tuple[RgbArray, NDArray[np.bool_]]:
    """Return the picture with grey patches, of whole pixels, and where they are."""
    result, mask = rgb.copy(), np.zeros(rgb.shape[:2], dtype=bool)
    for patch in patches:
        x_min, y_min, x_max, y_max = map(round, patch)
        result[y_min:y_max, x_min:x_max] = BORDER
        mask[y_min:y_max, x_min:x_max] = True
    return result, mask


def _array(rgb: object) -> RgbArray:
    return np.asarray(rgb, dtype=np.uint8)
