"""An RGB array into what a net reads: stretched as Darknet does, or letterboxed."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.geometry import FloatArray

_LETTERBOX_GREY: Final = 114


class Corner(NamedTuple):
    """Where a picture begins in what a net reads, in its pixels."""

    left: int
    top: int


AT_THE_TOP_LEFT: Final = Corner(0, 0)


class Prepared(NamedTuple):
    """blob: (1, 3, height, width) float32. inner: the part the picture takes of it.

    corner: where that part begins.
    """

    blob: NDArray[np.float32]
    inner: Size
    corner: Corner = AT_THE_TOP_LEFT


def resized(rgb: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return the array at this size: area averaging where it shrinks, else bilinear.

    OpenCV averages only where no side grows, so a mixed case takes two steps.
    """
    height, width = rgb.shape[:2]
    shrunk = Size(min(width, size.width), min(height, size.height))
    if shrunk != (width, height):
        rgb = _resize(rgb, shrunk, cv2.INTER_AREA)
    if shrunk != size:
        rgb = _resize(rgb, size, cv2.INTER_LINEAR)
    return rgb


def _resize(
    rgb: NDArray[np.uint8], size: Size, interpolation: int
) -> NDArray[np.uint8]:
    return np.asarray(
        cv2.resize(rgb, size, interpolation=interpolation), dtype=np.uint8
    )


def stretched(rgb: NDArray[np.uint8], net_size: Size) -> Prepared:
    """Return RGB in [0, 1] stretched to the net's size, as Darknet does."""
    planes = cv2.split(resized(rgb, net_size))
    return Prepared(_as_blob(planes, net_size, scale=1 / 255), net_size)


def letterboxed(rgb: NDArray[np.uint8], net_size: Size) -> Prepared:
    """Return BGR in [0, 255], its proportions kept, at the top left of a grey field.

    YOLOX's preproc (Megvii): the field is 114, the sides are rounded down.
    """
    height, width = rgb.shape[:2]
    ratio = min(net_size.width / width, net_size.height / height)
    inner = Size(max(int(width * ratio), 1), max(int(height * ratio), 1))
    field = np.full((net_size.height, net_size.width, 3), _LETTERBOX_GREY, np.uint8)
    field[: inner.height, : inner.width] = resized(rgb, inner)
    return Prepared(_as_blob(cv2.split(field)[::-1], net_size, scale=1.0), inner)


def centred(rgb: NDArray[np.uint8], net_size: Size) -> Prepared:
    """Return RGB in [0, 1], its proportions kept, in the middle of a grey field.

    Ultralytics' LetterBox: the field is 114, sides are rounded, an odd pixel goes below
    and to the right.
    """
    height, width = rgb.shape[:2]
    ratio = min(net_size.width / width, net_size.height / height)
    inner = Size(max(round(width * ratio), 1), max(round(height * ratio), 1))
    left = (net_size.width - inner.width) // 2
    top = (net_size.height - inner.height) // 2
    field = np.full((net_size.height, net_size.width, 3), _LETTERBOX_GREY, np.uint8)
    field[top : top + inner.height, left : left + inner.width] = resized(rgb, inner)
    blob = _as_blob(cv2.split(field), net_size, scale=1 / 255)
    return Prepared(blob, inner, Corner(left, top))


def _as_blob(
    planes: Sequence[MatLike], net_size: Size, *, scale: float
) -> NDArray[np.float32]:
    """Return three planes of bytes as what a net reads.

    It is what `cv2.dnn.blobFromImage` returns, at a tenth of its time.
    """
    blob = np.empty((1, 3, net_size.height, net_size.width), dtype=np.float32)
    for plane, out in zip(planes, blob[0], strict=True):
        np.multiply(plane, np.float32(scale), out=out)
    return blob


def placed(
    relative: FloatArray,
    *,
    net_size: Size,
    inner: Size,
    corner: Corner = AT_THE_TOP_LEFT,
) -> FloatArray:
    """Return boxes relative to the net as boxes relative to the picture in it."""
    pixels = relative * np.array([*net_size, *net_size], np.float32)
    inside = pixels - np.array([*corner, *corner], np.float32)
    return np.asarray(inside / np.array([*inner, *inner], np.float32), np.float32)
