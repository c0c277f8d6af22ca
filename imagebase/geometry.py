"""Functions over (N, 4) arrays of boxes. NumPy only; inputs are never changed.

xyxy is x_min, y_min, x_max, y_max; xywh has the near corner and the size; cxcywh the
centre and the size. Unless said otherwise units are pixels, floats, and results are
float32 arrays of their own. Nothing found is an array of shape (0, 4).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from imagebase.annotation import Size

FloatArray = NDArray[np.floating[Any]]
IndexArray = NDArray[np.intp]

# Up to here one matrix of all pairs is faster than a pass per box.
_MATRIX_ROWS: Final = 128


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


def nms(
    xyxy: FloatArray, confidence: FloatArray, *, nms_threshold: float
) -> IndexArray:
    """Return the indices greedy non-maximum suppression keeps, best first.

    A box goes when its IoU with a better one that stays is above the threshold, as in
    Darknet's do_nms_sort. Among equal confidences the earlier box comes first.

    Args:
        xyxy: boxes, shape (N, 4).
        confidence: shape (N,).
        nms_threshold: IoU in [0, 1]; 1 keeps everything.
    """
    order = np.argsort(-confidence, kind="stable")
    return order[_survives(xyxy[order].astype(np.float64), None, nms_threshold)]


def nms_per_class(
    xyxy: FloatArray,
    confidence: FloatArray,
    class_id: NDArray[np.integer[Any]],
    *,
    nms_threshold: float,
) -> IndexArray:
    """Return the indices kept when each class is suppressed by itself, best first."""
    order = np.argsort(-confidence, kind="stable")
    boxes, classes = xyxy[order].astype(np.float64), class_id[order]
    if len(order) <= _MATRIX_ROWS:
        return order[_survives(boxes, classes, nms_threshold)]
    alive = np.zeros(len(order), dtype=bool)
    for one in np.unique(classes):
        members = np.flatnonzero(classes == one)
        alive[members[_survives(boxes[members], None, nms_threshold)]] = True
    return order[alive]


def _survives(
    boxes: FloatArray, classes: NDArray[np.integer[Any]] | None, nms_threshold: float
) -> NDArray[np.bool_]:
    """Say which of these boxes, sorted best first, greedy suppression leaves."""
    alive = np.ones(len(boxes), dtype=bool)
    areas = box_area(boxes)
    if len(boxes) > _MATRIX_ROWS:
        for i in range(len(boxes)):
            if alive[i]:
                rest = np.flatnonzero(alive[i + 1 :]) + i + 1
                shared = pairwise_intersection(boxes[i : i + 1], boxes[rest])[0]
                over = shared > nms_threshold * (areas[i] + areas[rest] - shared)
                alive[rest[over]] = False
        return alive
    shared = pairwise_intersection(boxes, boxes)
    over = shared > nms_threshold * (areas[:, None] + areas[None, :] - shared)
    if classes is not None:
        over &= classes[:, None] == classes[None, :]
    over = np.triu(over, 1)
    for row in np.flatnonzero(over.any(axis=1)):
        if alive[row]:
            alive[over[row]] = False
    return alive


def nms_in_groups(
    xyxy: FloatArray,
    confidence: FloatArray,
    group: NDArray[np.integer[Any]],
    *,
    nms_threshold: float,
) -> NDArray[np.bool_]:
    """Say which boxes stay when each group is suppressed by itself, shape (N,).

    It keeps what `nms` keeps of each group, for many small groups at once: in each
    round the best box left of every group stays, and takes those it overlaps with it.

    Args:
        xyxy: boxes, shape (N, 4).
        confidence: shape (N,).
        group: shape (N,); boxes of different groups do not touch each other.
        nms_threshold: IoU in [0, 1]; 1 keeps everything.
    """
    left = np.lexsort((-confidence, group))
    boxes = xyxy.astype(np.float64)
    areas = box_area(boxes)
    stays = np.zeros(len(group), dtype=bool)
    while left.size:
        groups = group[left]
        is_first = np.append(True, groups[1:] != groups[:-1])
        best = left[is_first]
        stays[best] = True
        rest = left[~is_first]
        rival = best[np.cumsum(is_first) - 1][~is_first]
        near = np.maximum(boxes[rest, :2], boxes[rival, :2])
        far = np.minimum(boxes[rest, 2:], boxes[rival, 2:])
        shared = np.prod(np.clip(far - near, 0, None), axis=1)
        union = areas[rest] + areas[rival] - shared
        left = rest[shared <= nms_threshold * union]
    return stays
