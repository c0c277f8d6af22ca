"""Features of boxes: what YOLOX-Nano computes in and around them.

The features are the tensors that the network's three heads read (64 channels at strides
8, 16 and 32). Their means over a box and over its middle say what is in it; samples at
5 × 5 points of the box and a little around it say where in it the object ends. Each
part is scaled to length 1.
"""

from typing import Final

import numpy as np

from imagebase.detection.taught.feature_net import FeatureMaps
from imagebase.detection.taught.model import CHANNELS, FINE_LEVELS, POINTS
from imagebase.geometry import FloatArray

# The middle of a box, and what is sampled, as shares of its width and height.
_MIDDLE: Final = 0.5
_AROUND: Final = 1.4


def box_means(maps: FeatureMaps, xyxy: FloatArray) -> FloatArray:
    """Return the means of the features over boxes, shape (N, 384), float32.

    Args:
        maps: of the image. xyxy: boxes in pixels of the full image, shape (N, 4).
    """
    boxes = xyxy * np.array([*maps.scale, *maps.scale], np.float32)
    parts = []
    for level, integral in zip(maps.levels, maps.integrals, strict=True):
        stride = maps.net_size.height / level.shape[0]
        for area in (boxes, grown(boxes, _MIDDLE)):
            parts.append(_unit(_means_over(integral, area / stride)))
    return np.concatenate(parts, axis=1)


def box_samples(maps: FeatureMaps, xyxy: FloatArray) -> FloatArray:
    """Return the features at points in and around boxes, shape (N, 3200), float32.

    Arguments are those of `box_means`.
    """
    scale = np.array([*maps.scale, *maps.scale], np.float32)
    boxes = grown(xyxy * scale, _AROUND)
    steps = (np.arange(POINTS, dtype=np.float32) + 0.5) / POINTS
    x = boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * steps
    y = boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * steps
    parts = []
    for level in maps.levels[:FINE_LEVELS]:
        stride = maps.net_size.height / level.shape[0]
        samples = _at(level, x[:, None, :] / stride - 0.5, y[:, :, None] / stride - 0.5)
        parts.append(_unit(samples.reshape(len(boxes), POINTS**2 * CHANNELS)))
    return np.concatenate(parts, axis=1)


def grown(xyxy: FloatArray, share: float) -> FloatArray:
    """Return boxes with width and height times a share, about their centres."""
    middle = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    half = (xyxy[:, 2:] - xyxy[:, :2]) / 2 * share
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def _means_over(integral: FloatArray, cells: FloatArray) -> FloatArray:
    """Return means over boxes in units of cells, shape (N, C).

    Between the corners of cells the integral is linear in each direction: the mean is
    that of features that are constant over a cell.
    """
    height, width = integral.shape[0] - 1, integral.shape[1] - 1
    x_min, x_max = np.clip(cells[:, 0], 0, width), np.clip(cells[:, 2], 0, width)
    y_min, y_max = np.clip(cells[:, 1], 0, height), np.clip(cells[:, 3], 0, height)
    total = (
        _at(integral, x_max, y_max)
        - _at(integral, x_min, y_max)
        - _at(integral, x_max, y_min)
        + _at(integral, x_min, y_min)
    )
    area = np.maximum((x_max - x_min) * (y_max - y_min), 1e-3)
    means: FloatArray = total / area[:, None]
    return means


def _at(grid: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return bilinear samples of (rows, columns, C) at columns x and rows y.

    The shape is that of x and y together, and C.
    """
    rows, columns = grid.shape[:2]
    x, y = np.clip(x, 0, columns - 1), np.clip(y, 0, rows - 1)
    left = np.minimum(x.astype(np.intp), columns - 2)
    top = np.minimum(y.astype(np.intp), rows - 2)
    across = (x - left)[..., None].astype(np.float32)
    down = (y - top)[..., None].astype(np.float32)
    upper = grid[top, left] * (1 - across) + grid[top, left + 1] * across
    lower = grid[top + 1, left] * (1 - across) + grid[top + 1, left + 1] * across
    samples: FloatArray = upper * (1 - down) + lower * down
    return samples


def _unit(vectors: FloatArray) -> FloatArray:
    """Return vectors of length 1, shape (N, C)."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: FloatArray = (vectors / np.maximum(length, 1e-6)).astype(np.float32)
    return scaled
