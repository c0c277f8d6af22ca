"""Non-maximum suppression (NMS): of boxes that overlap, keep the most confident one."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imagebase.geometry import FloatArray, box_area, pairwise_intersection

IndexArray = NDArray[np.intp]

# Up to here one matrix of all pairs is faster than a pass per box.
_MATRIX_ROWS: Final = 128


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
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        alive[members[_survives(boxes[members], None, nms_threshold)]] = True
    return order[alive]


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
