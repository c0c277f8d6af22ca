"""Transforms of one scene: colours change its pixels, moves its boxes too."""

import math
from enum import StrEnum
from statistics import NormalDist
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.augmentation.scene import Scene
from imagebase.geometry import FloatArray
from imagebase.images.decode import RgbArray
from imagebase.images.resize import BORDER, Placement

_LEVELS: Final = np.arange(256, dtype=np.float64)
_MIDDLE_GREY: Final = 127.5

# Where each of 256 equally likely slices of a normal distribution has its middle.
_NORMAL: Final = np.array(
    [NormalDist().inv_cdf((level + 0.5) / 256) for level in range(256)]
)


def tinted(rgb: RgbArray, *, hue: float, saturation: float, value: float) -> RgbArray:
    """Return the image with its hue turned, and more or less colour and light.

    Args:
        rgb: the image.
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
    """Return the image brighter or darker, with more or less contrast.

    Args:
        rgb: the image.
        brightness: to add, as a share of white.
        contrast: what the distance from the middle grey is multiplied with before.
    """
    levels = (_LEVELS - _MIDDLE_GREY) * contrast + _MIDDLE_GREY + brightness * 255
    table = np.round(np.clip(levels, 0, 255)).astype(np.uint8)
    return _array(cv2.LUT(rgb, table))


def blurred(rgb: RgbArray, *, sigma: float) -> RgbArray:
    """Return the image under a Gaussian of this many pixels, which is above 0."""
    return _array(cv2.GaussianBlur(rgb, (0, 0), sigma))


def noisy(rgb: RgbArray, *, deviation: float, random: np.random.Generator) -> RgbArray:
    """Return the image with normal noise on every channel of every pixel.

    The noise is one of 256 equally likely values: enough for pixels, and ten times as
    fast as a normal distribution.

    Args:
        rgb: the image.
        deviation: of the noise, of 255.
        random: where it comes from.
    """
    drawn = np.frombuffer(random.bytes(rgb.size), dtype=np.uint8).reshape(rgb.shape)
    noise = cv2.LUT(drawn, np.round(_NORMAL * deviation).astype(np.int16))
    return _array(cv2.add(rgb, noise, dtype=cv2.CV_8U))


def covered(rgb: RgbArray, patches: list[Box]) -> tuple[RgbArray, NDArray[np.bool_]]:
    """Return the image with grey patches, of whole pixels, and where they are."""
    result, mask = rgb.copy(), np.zeros(rgb.shape[:2], dtype=bool)
    for patch in patches:
        x_min, y_min, x_max, y_max = map(round, patch)
        result[y_min:y_max, x_min:x_max] = BORDER
        mask[y_min:y_max, x_min:x_max] = True
    return result, mask


def _array(rgb: object) -> RgbArray:
    return np.asarray(rgb, dtype=np.uint8)


class RotatedBoxes(StrEnum):
    """Which upright box a rotated box becomes, of width w and height h, by angle a.

    CORNERS: the box around its four rotated corners: w cos a + h sin a wide. It never
    cuts the object, and is loose around all but rectangles: a square's area grows by
    1 + sin 2a, a third at 10°.

    ELLIPSE: the box around the ellipse that touches its four sides, rotated:
    √(w² cos² a + h² sin² a) wide (Kalra et al., "Towards Rotation Invariance in Object
    Detection", 2021). A square's does not grow; closer to most objects, but the corners
    of rectangular ones are cut.

    Either box is then clipped to the image. Where an edge cuts off a corner of the
    object, as it may near the edges, the clipped box is loose by as much.
    """

    CORNERS = "corners"
    ELLIPSE = "ellipse"


def flipped_horizontally(scene: Scene) -> Scene:
    """Return the scene with left and right exchanged."""
    x_min, y_min, x_max, y_max = scene.xyxy.T
    width = scene.size.width
    moved = np.stack([width - x_max, y_min, width - x_min, y_max], axis=1)
    return scene.moved(_array(cv2.flip(scene.rgb, 1)), moved)


def flipped_vertically(scene: Scene) -> Scene:
    """Return the scene with top and bottom exchanged."""
    x_min, y_min, x_max, y_max = scene.xyxy.T
    height = scene.size.height
    moved = np.stack([x_min, height - y_max, x_max, height - y_min], axis=1)
    return scene.moved(_array(cv2.flip(scene.rgb, 0)), moved)


def turned(scene: Scene, quarters: int) -> Scene:
    """Return the scene turned clockwise by a number of right angles."""
    for _ in range(quarters % 4):
        x_min, y_min, x_max, y_max = scene.xyxy.T
        height = scene.size.height
        moved = np.stack([height - y_max, x_min, height - y_min, x_max], axis=1)
        scene = scene.moved(
            _array(cv2.rotate(scene.rgb, cv2.ROTATE_90_CLOCKWISE)), moved
        )
    return scene


def rotated(scene: Scene, degrees: float, rule: RotatedBoxes) -> Scene:
    """Return the scene rotated clockwise about its middle, on grey, in the same size.

    Args:
        scene: pixels are interpolated bilinearly.
        degrees: negative is anticlockwise.
        rule: which boxes there are afterwards.
    """
    width, height = scene.size
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cos, -sin], [sin, cos]])
    middle = np.array([width / 2, height / 2])
    rgb = cv2.warpAffine(
        scene.rgb,
        _of_pixel_centres(turn, middle - turn @ middle),
        scene.size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=BORDER,
    )
    near, far = scene.xyxy[:, :2], scene.xyxy[:, 2:]
    centres = ((near + far) / 2 - middle) @ turn.T + middle
    half = _half_sides((far - near) / 2, abs(cos), abs(sin), rule)
    return scene.moved(_array(rgb), np.concatenate([centres - half, centres + half], 1))


def scaled_and_shifted(
    scene: Scene, *, scale: tuple[float, float], shift: tuple[float, float]
) -> Scene:
    """Return the scene larger or smaller about its middle, and moved, on grey.

    The image keeps its size. Both sides are scaled to whole pixels and the shift is
    rounded to them; boxes are moved by what became of it.

    Args:
        scene: averaged where it shrinks, interpolated where it grows.
        scale: along x and y.
        shift: in pixels, to the right and down.
    """
    width, height = scene.size
    inner = Size(max(1, round(width * scale[0])), max(1, round(height * scale[1])))
    left = round((width - inner.width) / 2 + shift[0])
    top = round((height - inner.height) / 2 + shift[1])
    larger = Placement(scene.size, inner, inner).pixels(scene.rgb)
    factors = np.array([inner.width / width, inner.height / height] * 2)
    moved = scene.xyxy * factors + np.array([left, top] * 2)
    return scene.moved(_pasted(larger, scene.size, left, top), moved)


def cropped(scene: Scene, *, left: int, top: int, size: Size) -> Scene:
    """Return a window of the scene, of this size."""
    rgb = scene.rgb[top : top + size.height, left : left + size.width]
    return scene.moved(
        np.ascontiguousarray(rgb), scene.xyxy - np.array([left, top] * 2)
    )


def _pasted(rgb: RgbArray, canvas: Size, left: int, top: int) -> RgbArray:
    """Return grey with an image on it, which may reach beyond every side."""
    height, width = rgb.shape[:2]
    result = np.empty((canvas.height, canvas.width, 3), dtype=np.uint8)
    result[:] = BORDER
    x_min, y_min = max(left, 0), max(top, 0)
    x_max, y_max = min(left + width, canvas.width), min(top + height, canvas.height)
    if x_min < x_max and y_min < y_max:
        result[y_min:y_max, x_min:x_max] = rgb[
            y_min - top : y_max - top, x_min - left : x_max - left
        ]
    return result


def _of_pixel_centres(linear: FloatArray, offset: FloatArray) -> FloatArray:
    """Return a transform of positions, (2, 3), as OpenCV counts: from pixel centres.

    Our (0, 0) is the corner of the first pixel; OpenCV's is its middle.
    """
    half = np.full(2, 0.5)
    return np.column_stack([linear, offset + linear @ half - half])


def _half_sides(
    half: FloatArray, cos: float, sin: float, rule: RotatedBoxes
) -> FloatArray:
    crossed = half[:, ::-1]
    if rule is RotatedBoxes.CORNERS:
        return half * cos + crossed * sin
    return np.sqrt((half * cos) ** 2 + (crossed * sin) ** 2)
