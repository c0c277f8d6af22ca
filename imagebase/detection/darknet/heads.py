"""Darknet's heads, [yolo], [region] and [Gaussian_yolo]: raw outputs into boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.geometry import cxcywh_to_xyxy

HeadKind = Literal["yolo", "region", "gaussian"]

# exp() of more is infinite in float32; no box is e**20 anchors wide.
_MAX_EXPONENT: Final = 20.0
_BOX_CHANNELS: Final = 5
_BOX_CHANNELS_GAUSSIAN: Final = 9


@dataclass(frozen=True, slots=True)
class Head:
    """One head as its cfg describes it.

    name: of the graph's output, which is the raw convolution, shape (1, anchors × (5 +
    classes), rows, columns); in a gaussian head each side has its uncertainty after it,
    (9 + classes).
    anchors: width and height of all anchors; pixels of the net for yolo, cells for
    region.
    mask: which of the anchors this head uses, in order.
    """

    name: str
    kind: HeadKind
    classes: int
    anchors: tuple[tuple[float, float], ...]
    mask: tuple[int, ...]
    scale_x_y: float = 1.0
    new_coords: bool = False

    @property
    def box_channels(self) -> int:
        """How many numbers an anchor has besides its classes."""
        return _BOX_CHANNELS_GAUSSIAN if self.kind == "gaussian" else _BOX_CHANNELS

    @property
    def channels(self) -> int:
        return len(self.mask) * (self.box_channels + self.classes)


def decode_heads(
    heads: Sequence[Head],
    outputs: Sequence[NDArray[np.float32]],
    *,
    net_size: Size,
    floor: float,
) -> Candidates:
    """Return every box and class of all heads above the floor, relative to the net.

    Boxes are xyxy in units of the net's width and height (0 to 1 inside the image),
    not clipped. Every class above the floor counts, not only a box's best, as in
    Darknet's get_yolo_detections.
    """
    pairs = zip(heads, outputs, strict=True)
    return Candidates.joined([_decode(*pair, net_size, floor) for pair in pairs])


def _decode(
    head: Head, output: NDArray[np.float32], net_size: Size, floor: float
) -> Candidates:
    rows, columns = output.shape[2:]
    box_channels = head.box_channels
    raw = output.reshape(len(head.mask), box_channels + head.classes, rows * columns)
    # Most cells hold nothing: their objectness alone, still raw, says so.
    slot, cell = np.nonzero(raw[:, box_channels - 1] >= _raw_floor(head, floor))
    values = raw[slot, :, cell].astype(np.float32)
    certainty = np.ones(1, np.float32)
    if head.kind == "gaussian":
        certainty = _certainty(values)
        # In the order of a plain head, without the uncertainties.
        values = np.concatenate([values[:, :8:2], values[:, 8:]], axis=1)
    confidence = _confidence(head, values) * certainty
    index, class_id = np.nonzero(confidence >= floor)
    cxcywh = _boxes(head, values, slot, cell, Size(columns, rows), net_size)
    return Candidates(
        cxcywh_to_xyxy(cxcywh)[index].astype(np.float32),
        confidence[index, class_id],
        class_id.astype(np.int32),
    )


def _certainty(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 less the mean uncertainty of a gaussian head's sides, shape (K, 1).

    Darknet's get_gaussian_yolo_detections multiplies every class by it.
    """
    uncertainty = logistic(values[:, 1:8:2])
    return np.asarray(1 - uncertainty.mean(axis=1, keepdims=True), np.float32)


def _raw_floor(head: Head, floor: float) -> float:
    """Return the objectness, before the logistic function, that gives the floor."""
    if head.new_coords or floor <= 0:
        return floor if head.new_coords else -np.inf
    # A hair lower, since the float32 logistic function rounds.
    return float(np.log(floor / (1 - floor))) - 1e-3 if floor < 1 else np.inf


def _confidence(head: Head, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return objectness × class probability, shape (K, classes)."""
    if head.new_coords:
        return values[:, 4:5] * values[:, 5:]
    objectness, classes = logistic(values[:, 4:5]), values[:, 5:]
    if head.kind != "region":
        return objectness * logistic(classes)
    shifted = np.exp(classes - classes.max(axis=1, keepdims=True))
    return np.asarray(objectness * shifted / shifted.sum(axis=1, keepdims=True))


def _boxes(
    head: Head,
    values: NDArray[np.float32],
    slot: NDArray[np.intp],
    cell: NDArray[np.intp],
    grid: Size,
    net_size: Size,
) -> NDArray[np.float32]:
    """Return centre and size relative to the net, shape (K, 4).

    Darknet's get_yolo_box and get_region_box: the centre is an offset in its cell,
    stretched about the cell's middle by scale_x_y; the size a factor on the anchor.
    """
    offset = values[:, :2] if head.new_coords else logistic(values[:, :2])
    offset = offset * head.scale_x_y - (head.scale_x_y - 1) / 2
    corner = np.stack([cell % grid.width, cell // grid.width], axis=1)
    if head.new_coords:
        factor = (values[:, 2:4] * 2) ** 2
    else:
        factor = np.exp(np.minimum(values[:, 2:4], _MAX_EXPONENT))
    anchors = np.array(head.anchors, dtype=np.float32)[list(head.mask)][slot]
    unit = grid if head.kind == "region" else net_size
    return np.concatenate([(corner + offset) / grid, factor * anchors / unit], axis=1)


def logistic(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-x)) without overflow, same shape and type."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), dtype=values.dtype)
