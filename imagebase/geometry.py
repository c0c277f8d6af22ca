"""Functions over (N, 4) arrays of boxes. NumPy only; inputs are never changed.

xyxy is x_min, y_min, x_max, y_max; xywh has the near corner and the size; cxcywh the
centre and the size. Unless stated otherwise units are pixels, floats, and results are
float32 arrays of their own. Nothing found is an array of shape (0, 4).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from imagebase.annotation import Size

FloatArray = NDArray[np.floating[Any]]


def as_xyxy(boxes: ArrayLike | Sequence[Sequence[float]]) -> FloatArray:
    """Return boxes as a float32 array of shape (N, 4); an empty list becomes (0, 4).

    Raises:
        ValueError: the boxes do not have four numbers each.
    """
    array = np.asarray(boxes, dtype=np.float32)
    if array.size == 0:
        return np.zeros((0, 4), dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes have the shape (N, 4), not {array.shape}")
    return array


def clip_xyxy(xyxy: FloatArray, size: "Size") -> FloatArray:
    """Return boxes of shape (N, 4) limited to an image of this size."""
    limits = np.array([size.width, size.height] * 2, dtype=np.float32)
    return np.clip(xyxy, 0, limits).astype(np.float32)


def scale_xyxy(xyxy: FloatArray, *, from_size: "Size", to_size: "Size") -> FloatArray:
    """Return boxes carried from an image of one size to the same image at another."""
    factors = np.array(
        [to_size.width / from_size.width, to_size.height / from_size.height] * 2,
        dtype=np.float64,
    )
    return as_xyxy(xyxy * factors)


def xyxy_to_xywh(xyxy: FloatArray) -> FloatArray:
    """Return near corner and size, shape (N, 4)."""
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)


def xywh_to_xyxy(xywh: FloatArray) -> FloatArray:
    """Return both corners, shape (N, 4)."""
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def xyxy_to_cxcywh(xyxy: FloatArray) -> FloatArray:
    """Return centre and size, shape (N, 4)."""
    near, far = xyxy[:, :2], xyxy[:, 2:]
    return np.concatenate([(near + far) / 2, far - near], axis=1)


def cxcywh_to_xyxy(cxcywh: FloatArray) -> FloatArray:
    """Return both corners, shape (N, 4)."""
    half = cxcywh[:, 2:] / 2
    return np.concatenate([cxcywh[:, :2] - half, cxcywh[:, :2] + half], axis=1)


def box_area(xyxy: FloatArray) -> FloatArray:
    """Return square pixels, shape (N,); 0 for boxes with swapped corners."""
    extent = np.clip(xyxy[:, 2:] - xyxy[:, :2], 0, None)
    return np.asarray(extent[:, 0] * extent[:, 1])


def pairwise_intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the shared area of each of N boxes with each of M, shape (N, M)."""
    near = np.maximum(a[:, None, :2], b[None, :, :2])
    far = np.minimum(a[:, None, 2:], b[None, :, 2:])
    extent = np.clip(far - near, 0, None)
    return np.asarray(extent[..., 0] * extent[..., 1])


def pairwise_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return intersection over union of N boxes with M, shape (N, M), in [0, 1].

    Two boxes without area have an IoU of 0.
    """
    shared = pairwise_intersection(a, b)
    union = box_area(a)[:, None] + box_area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def pairwise_containment(inner: FloatArray, outer: FloatArray) -> FloatArray:
    """Return the share of each of N boxes that lies in each of M, shape (N, M)."""
    shared = pairwise_intersection(inner, outer)
    area = np.broadcast_to(box_area(inner)[:, None], shared.shape)
    return np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)
