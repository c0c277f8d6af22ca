"""What a box looks like, as a short vector, and how alike two boxes look.

A look is three unit vectors side by side, each scaled by the root of its weight, so
that the product of two looks is the weighted mean of three likenesses: the correlation
of the grey values, of the directions of the edges, and of the colours. The edges are
counted in cells after Dalal and Triggs (Histograms of Oriented Gradients, 2005).
"""

from collections.abc import Sequence
from itertools import product
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.images.decode import LoadedImage, RgbArray, resized
from imagebase.images.thumbnails import crop

FloatArray = NDArray[np.float32]

# Of a box: how far another's width and height may be off, as a share of its own.
SIZE_TOLERANCE: Final = 0.25
# How far apart centres may be, as a share of the image's width and height.
PLACE_TOLERANCE: Final = 0.1
# What the same place adds to the likeness of two looks.
PLACE_BONUS: Final = 0.04

# Measured on planted logos whose boxes are a tenth off: 99 of 100 score 0.71,
# and other things at their place to less than 0.68; the place then adds its bonus.
SIMILARITY: Final = 0.72
LEAST_SIMILARITY: Final = 0.5
MOST_SIMILARITY: Final = 0.9

# Fewer decoded pixels on a side than this tell little.
LEAST_PX: Final = 20

_SIDE: Final = 16
_CELLS: Final = 4
_DIRECTIONS: Final = 8
_GREY_WEIGHT, _EDGE_WEIGHT, _COLOUR_WEIGHT = 0.25, 0.45, 0.3
_LENGTH: Final = _SIDE**2 + _CELLS**2 * (_DIRECTIONS + 4)
# Deviations and gradients of grey weaker than these are noise, not a pattern.
_GREY_NOISE, _EDGE_NOISE = 2.0, 0.5
# Half the range of L in OpenCV's 8-bit Lab, and what of a and b is a strong colour.
_LIGHTNESS_SCALE, _COLOUR_SCALE = 128.0, 32.0

# Boxes drawn by different hands differ by a tenth on each side: two are off by twice
# that at most.
_SHIFTS: Final = (-0.21, -0.14, -0.07, 0.0, 0.07, 0.14, 0.21)
_STRETCHES: Final = (0.85, 1.0, 1.18)

# The first byte of a packed look; another number when looks are made another way.
_VERSION: Final = b"\x01"


def decoded_size(size: Size, box: Box) -> Size:
    """Return how large an image has to be decoded to describe a box on it.

    Args:
        size: of the full image, in whose pixels the box is.
    """
    narrowest = max(min(box.width, box.height), 1.0)
    share = min(LEAST_PX / narrowest, 1.0)
    return Size(max(round(size.width * share), 1), max(round(size.height * share), 1))


def look_at(loaded: LoadedImage, boxes: Sequence[Box]) -> FloatArray:
    """Return the look of each box, shape (N, D), float32.

    Args:
        boxes: in pixels of the full image, also where fewer were decoded.
    """
    if not boxes:
        return np.zeros((0, _LENGTH), dtype=np.float32)
    side = Size(_SIDE, _SIDE)
    return _described(np.stack([_squeezed(crop(loaded, box), side) for box in boxes]))


def look_around(loaded: LoadedImage, box: Box) -> FloatArray:
    """Return the looks of a box and of boxes a little off it, shape (N, D).

    The best of them finds a box that was drawn less, or more, carefully.
    """
    return look_at(
        loaded,
        [
            _moved(box, across, down, width, height)
            for across, down in product(_SHIFTS, _SHIFTS)
            for width, height in product(_STRETCHES, _STRETCHES)
        ],
    )


def likeness(around: FloatArray, looks: FloatArray) -> FloatArray:
    """Return how alike each look is to the best of a box's, shape (N,), at most 1.

    Args:
        around: shape (V, D), from `look_around`.
        looks: shape (N, D).
    """
    if not len(looks):
        return np.zeros(0, dtype=np.float32)
    best: FloatArray = (looks @ around.T).max(axis=1)
    return best


def place_distance(box: Box, size: Size, other: Box, other_size: Size) -> float:
    """Return how far apart two centres are, as a share of the images' sides.

    The greater of the distances across and down: 0 is the same place.
    """
    across = _middle(box, size)[0] - _middle(other, other_size)[0]
    down = _middle(box, size)[1] - _middle(other, other_size)[1]
    return max(abs(across), abs(down))


def pack(look: FloatArray) -> bytes:
    """Return a look of shape (D,) as it is kept: half precision, about 900 bytes."""
    return _VERSION + look.astype("<f2").tobytes()


def unpack(packed: bytes) -> FloatArray | None:
    """Return the look that was packed; None where it was made another way."""
    if packed[:1] != _VERSION or len(packed) != 1 + 2 * _LENGTH:
        return None
    return np.frombuffer(packed, dtype="<f2", offset=1).astype(np.float32)


def _moved(box: Box, across: float, down: float, width: float, height: float) -> Box:
    x = (box.x_min + box.x_max) / 2 + across * box.width
    y = (box.y_min + box.y_max) / 2 + down * box.height
    half_width, half_height = box.width * width / 2, box.height * height / 2
    return Box(x - half_width, y - half_height, x + half_width, y + half_height)


def _middle(box: Box, size: Size) -> tuple[float, float]:
    return (
        (box.x_min + box.x_max) / 2 / size.width,
        (box.y_min + box.y_max) / 2 / size.height,
    )


def _squeezed(rgb: RgbArray, side: Size) -> RgbArray:
    return resized(np.ascontiguousarray(rgb), side)


def _described(crops: RgbArray) -> FloatArray:
    """Return the look of each crop, shape (N, D), of crops (N, 16, 16, 3)."""
    count = len(crops)
    rows = crops.reshape(count * _SIDE, _SIDE, 3)
    lab = cv2.cvtColor(rows, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab = lab.reshape(count, _SIDE, _SIDE, 3)
    grey = lab[..., 0]
    parts = (
        (_GREY_WEIGHT, _grey_part(grey)),
        (_EDGE_WEIGHT, _edge_part(grey)),
        (_COLOUR_WEIGHT, _colour_part(lab)),
    )
    weighted = [np.sqrt(weight) * part for weight, part in parts]
    return np.concatenate(weighted, axis=1).astype(np.float32)


def _grey_part(grey: FloatArray) -> FloatArray:
    flat = grey.reshape(len(grey), -1)
    return _unit(flat - flat.mean(axis=1, keepdims=True), noise=_GREY_NOISE * _SIDE)


def _edge_part(grey: FloatArray) -> FloatArray:
    """Return how strong the edges of each direction are in each cell, (N, 128)."""
    down, across = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(across, down)
    turn = np.arctan2(down, across) / (2 * np.pi) * _DIRECTIONS
    nearest = np.round(turn).astype(np.int64) % _DIRECTIONS
    by_direction = strength[..., None] * (nearest[..., None] == np.arange(_DIRECTIONS))
    cells = _cell_means(by_direction)
    return _unit(np.sqrt(cells), noise=np.sqrt(_EDGE_NOISE) * _CELLS)


def _colour_part(lab: FloatArray) -> FloatArray:
    """Return the colour of each cell as a unit vector, (N, 64) of length 1 in all.

    The fourth number is constant: greys are alike too, whatever their lightness.
    """
    cells = _cell_means(lab).reshape(len(lab), _CELLS**2, 3) - 128.0
    cells /= np.array([_LIGHTNESS_SCALE, _COLOUR_SCALE, _COLOUR_SCALE])
    full = np.concatenate([cells, np.ones((*cells.shape[:2], 1))], axis=2)
    full /= np.linalg.norm(full, axis=2, keepdims=True) * _CELLS
    return full.reshape(len(lab), -1).astype(np.float32)


def _cell_means(values: FloatArray) -> FloatArray:
    """Return the means over cells of (N, 16, 16, C), shape (N, 16 C)."""
    step = _SIDE // _CELLS
    count = len(values)
    by_row = values.reshape(count, _CELLS, step, -1).sum(axis=2)
    cells = by_row.reshape(count, _CELLS, _CELLS, step, -1).sum(axis=3)
    means: FloatArray = cells.reshape(count, -1) / step**2
    return means


def _unit(vectors: FloatArray, *, noise: float) -> FloatArray:
    """Return vectors of length 1, shorter where there is little more than noise."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: FloatArray = vectors / np.sqrt(length**2 + noise**2)
    return scaled
