"""An RGB array into what a net reads: stretched or letterboxed, scaled, normalised."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.geometry import FloatArray

_LETTERBOX_GREY: Final = 114
# Darknet fills its letterbox with 0.5; as bytes that is 127.5, which float keeps.
_DARKNET_GREY: Final = 0.5
# torchvision's: of ImageNet's photographs in 0 to 1, red, green and blue.
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION: Final = (0.229, 0.224, 0.225)
# YOLO-NAS leaves two pixels of a net of 640 free on either side.
_YOLO_NAS_SHARE: Final = 636 / 640


class Corner(NamedTuple):
    """Where an image begins in what a net reads, in its pixels, halves included."""

    left: float
    top: float


AT_THE_TOP_LEFT: Final = Corner(0, 0)


class Prepared(NamedTuple):
    """blob: (1, 3, height, width) float32. inner: the part the image takes of it.

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


def normalised(rgb: NDArray[np.uint8], net_size: Size) -> Prepared:
    """Return RGB stretched to the net's size, ImageNet's mean and deviation taken out.

    RF-DETR (Roboflow), DETR (Meta) and PP-YOLOE (Baidu) were trained with it.
    """
    blob = stretched(rgb, net_size).blob
    blob -= _channels(IMAGENET_MEAN)
    blob /= _channels(IMAGENET_DEVIATION)
    return Prepared(blob, net_size)


def cropped(
    rgb: NDArray[np.uint8],
    net_size: Size,
    *,
    mean: Sequence[float] = (0, 0, 0),
    deviation: Sequence[float] = (1, 1, 1),
    share: float = 1.0,
) -> Prepared:
    """Return RGB in [0, 1] of the middle of an image, mean and deviation taken out.

    Ultralytics' classification: the shorter side fills the net, the rest is cut off.

    share: of the largest part of the net's proportions, that is taken.
    """
    height, width = rgb.shape[:2]
    scale = share * min(width / net_size.width, height / net_size.height)
    across = max(round(net_size.width * scale), 1)
    down = max(round(net_size.height * scale), 1)
    left, top = (width - across) // 2, (height - down) // 2
    blob = stretched(rgb[top : top + down, left : left + across], net_size).blob
    blob -= _channels(mean)
    blob /= _channels(deviation)
    return Prepared(blob, net_size)


def _channels(values: Sequence[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(1, 3, 1, 1)


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
    and to the right. YOLOv6 (Meituan) and YOLOv7 do the same.
    """
    return _in_the_middle(rgb, net_size, net_size, scale=1 / 255)


def centred_with_margin(rgb: NDArray[np.uint8], net_size: Size) -> Prepared:
    """Return RGB in [0, 1] in the middle of a grey field of 114 with a little margin.

    YOLO-NAS (Deci): the longest side is 636 pixels in a net of 640.
    """
    return _in_the_middle(rgb, net_size, _with_margin(net_size), scale=1 / 255)


def centred_bytes_with_margin(rgb: NDArray[np.uint8], net_size: Size) -> Prepared:
    """Return the same in [0, 255], for a YOLO-NAS that scales its image itself."""
    return _in_the_middle(rgb, net_size, _with_margin(net_size), scale=1.0)


def _with_margin(net_size: Size) -> Size:
    width, height = (round(side * _YOLO_NAS_SHARE) for side in net_size)
    return Size(width, height)


def _in_the_middle(
    rgb: NDArray[np.uint8], net_size: Size, room: Size, *, scale: float
) -> Prepared:
    """Return RGB times scale, as large as the room, in the middle of a field of 114."""
    height, width = rgb.shape[:2]
    ratio = min(room.width / width, room.height / height)
    inner = Size(max(round(width * ratio), 1), max(round(height * ratio), 1))
    left = (net_size.width - inner.width) // 2
    top = (net_size.height - inner.height) // 2
    field = np.full((net_size.height, net_size.width, 3), _LETTERBOX_GREY, np.uint8)
    field[top : top + inner.height, left : left + inner.width] = resized(rgb, inner)
    blob = _as_blob(cv2.split(field), net_size, scale=scale)
    return Prepared(blob, inner, Corner(left, top))


def darknet_letterboxed(rgb: NDArray[np.uint8], net_size: Size) -> Prepared:
    """Return RGB in [0, 1], its proportions kept, in the middle of a field of 0.5.

    Darknet's letterbox_image (letter_box=1 in [net]): the shorter side is rounded down.
    Boxes are taken back as in its correct_yolo_boxes, which begins at half the space
    left over, where the image itself begins at a whole pixel.
    """
    height, width = rgb.shape[:2]
    if net_size.width / width < net_size.height / height:
        inner = Size(net_size.width, max(height * net_size.width // width, 1))
    else:
        inner = Size(max(width * net_size.height // height, 1), net_size.height)
    spare = Size(net_size.width - inner.width, net_size.height - inner.height)
    left, top = spare.width // 2, spare.height // 2
    blob = np.full((1, 3, *net_size[::-1]), _DARKNET_GREY, np.float32)
    planes = _as_blob(cv2.split(resized(rgb, inner)), inner, scale=1 / 255)
    blob[..., top : top + inner.height, left : left + inner.width] = planes
    return Prepared(blob, inner, Corner(spare.width / 2, spare.height / 2))


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
    """Return boxes relative to the net as boxes relative to the image in it."""
    pixels = relative * np.array([*net_size, *net_size], np.float32)
    inside = pixels - np.array([*corner, *corner], np.float32)
    return np.asarray(inside / np.array([*inner, *inner], np.float32), np.float32)
