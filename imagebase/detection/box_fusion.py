"""Weighted boxes fusion: one box from several models or views of the same object.

Weighted boxes fusion (Solovyev, Wang, Gabruseva, 2019): where greedy suppression keeps
the most confident box and drops the others, this takes their mean, weighted by
confidence, which places edges better than any single one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.detection.candidates import Candidates
from imagebase.detection.nms import nms_per_class
from imagebase.geometry import pairwise_iou

SAME_BOX_IOU: Final = 0.55
# Within one input, before fusion: crowded objects may overlap by as much.
OWN_NMS: Final = 0.6


@dataclass(frozen=True, slots=True)
class FusionInput:
    """The candidates of one model or view.

    found: the candidates, in pixels of the image.
    edges: weight of its edges among the inputs, besides confidence.
    voter: the model's number from 0, its bit in `seen_by`.
    """

    found: Candidates
    edges: float = 1.0
    voter: int = 0


def fuse(inputs: Sequence[FusionInput], *, floor: float) -> Candidates:
    """Return one box for each object in some of the inputs.

    A box's edges are the mean over the inputs that have it, weighed by confidence; its
    confidence is the sum over those inputs, each counting its best, divided by the
    number of all inputs: what only some have is less confident.

    Args:
        inputs: at the same image, one at least; suppressed within themselves here.
        floor: the least confidence that is kept.
    """
    rows = _rows(inputs)
    parts = [
        _fuse_class(rows.of_class(class_id), len(inputs))
        for class_id in np.unique(rows.class_id)
    ]
    if not parts:
        return replace(Candidates.empty(), seen_by=np.zeros(0, np.int32))
    fused = Candidates(
        np.concatenate([part.xyxy for part in parts]).astype(np.float32),
        np.concatenate([part.confidence for part in parts]).astype(np.float32),
        np.concatenate([part.class_id for part in parts]),
        np.concatenate([part.seen_by for part in parts]).astype(np.int32),
    )
    rows_above = np.flatnonzero(fused.confidence >= floor)
    order = rows_above[np.argsort(-fused.confidence[rows_above], kind="stable")]
    return fused.rows(order)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Boxes of all inputs, those of a class together, the most confident first."""

    xyxy: NDArray[np.float64]
    confidence: NDArray[np.float64]
    class_id: NDArray[np.int32]
    edges: NDArray[np.float64]
    input: NDArray[np.int64]
    seen_by: NDArray[np.int64]

    def of_class(self, class_id: int) -> "_Rows":
        rows = np.flatnonzero(self.class_id == class_id)
        order = rows[np.argsort(-self.confidence[rows], kind="stable")]
        return _Rows(
            self.xyxy[order],
            self.confidence[order],
            self.class_id[order],
            self.edges[order],
            self.input[order],
            self.seen_by[order],
        )


def _rows(inputs: Sequence[FusionInput]) -> _Rows:
    suppressed = [_suppressed(source.found) for source in inputs]
    counts = [*map(len, suppressed)]
    candidates = Candidates.joined(suppressed)
    return _Rows(
        candidates.xyxy.astype(np.float64),
        candidates.confidence.astype(np.float64),
        candidates.class_id,
        np.repeat([source.edges for source in inputs], counts).astype(np.float64),
        np.repeat(np.arange(len(inputs)), counts).astype(np.int64),
        np.repeat([1 << source.voter for source in inputs], counts).astype(np.int64),
    )


def _suppressed(candidates: Candidates) -> Candidates:
    boxes, confidence, class_id = (
        candidates.xyxy,
        candidates.confidence,
        candidates.class_id,
    )
    return candidates.rows(
        nms_per_class(boxes, confidence, class_id, nms_threshold=OWN_NMS)
    )


def _fuse_class(rows: _Rows, inputs: int) -> _Rows:
    cluster_of = _clusters(rows)
    count = int(cluster_of.max()) + 1
    share = rows.confidence * rows.edges
    sums = np.bincount(cluster_of, share, count)
    xyxy = np.stack(
        [np.bincount(cluster_of, share * edge, count) / sums for edge in rows.xyxy.T],
        axis=1,
    )
    # Two boxes of one input in a cluster count once: the first, more confident one.
    pairs = cluster_of * (int(rows.input.max()) + 1) + rows.input
    _, first = np.unique(pairs, return_index=True)
    confidence = np.bincount(cluster_of[first], rows.confidence[first], count) / inputs
    seen_by = np.zeros(count, np.int64)
    np.bitwise_or.at(seen_by, cluster_of, rows.seen_by)
    return _Rows(
        xyxy,
        confidence,
        np.full(count, rows.class_id[0], np.int32),
        np.ones(count),
        np.zeros(count, np.int64),
        seen_by,
    )


def _clusters(rows: _Rows) -> NDArray[np.int64]:
    """Return which cluster each box belongs to, shape (N,).

    Each box, the most confident first, joins the cluster whose mean it overlaps most,
    if that is more than SAME_BOX_IOU; else it begins one.
    """
    count = len(rows.confidence)
    cluster_of = np.zeros(count, np.int64)
    means = np.zeros((count, 4))
    shares = np.zeros(count)
    clusters = 0
    for row in range(count):
        box, share = rows.xyxy[row], rows.confidence[row]
        overlaps = pairwise_iou(box[None], means[:clusters])[0]
        best = int(overlaps.argmax()) if clusters else -1
        if best < 0 or overlaps[best] <= SAME_BOX_IOU:
            best, clusters = clusters, clusters + 1
        cluster_of[row] = best
        shares[best] += share
        means[best] += (box - means[best]) * share / shares[best]
    return cluster_of
