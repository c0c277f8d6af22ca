"""YOLOX (Megvii) and YOLOv6 (Meituan): a row a cell, with a column of objectness.

YOLOX reads BGR from 0 to 255 at the top left of a grey field, and its boxes are decoded
or not. YOLOv6 reads images as YOLOv5 does, and its objectness is always 1.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet.plan import MAX_CLASSES
from imagebase.detection.onnx.adapter import (
    SURE,
    Adapter,
    FloatBlob,
    Likelihood,
    Prepare,
    expect_shape,
    relative_to,
    strides_for,
)
from imagebase.detection.onnx.file_info import OnnxModel, answer_of
from imagebase.detection.preprocess import centred, letterboxed
from imagebase.errors import MisreadModelError
from imagebase.geometry import cxcywh_to_xyxy

RAW: Final = "yolox"
DECODED: Final = "yolox-decoded"
YOLOV6: Final = "yolov6"
_STRIDES: Final = (8, 16, 32)
# What Meituan's export calls its output; Megvii's calls it `output`.
_YOLOV6_OUTPUT: Final = "outputs"
# exp() of more is infinite in float32; no box is e**20 strides wide.
_MAX_EXPONENT: Final = 20.0
# No box is e**12 strides wide either: a greater number is one of pixels.
_MOST_RAW: Final = 12.0


def recognise(model: OnnxModel, net_size: Size, labels: int | None) -> list[Adapter]:
    """Know these by their output, (1, cells, 5 + classes); the likelier comes first.

    A YOLOX with decode_in_inference has the sizes' exponential in its graph. YOLOv6's
    output has a name of its own. An open number of cells fits where the
    classes are as many as the labels.
    """
    answer = answer_of(model)
    if answer is None or len(answer[1]) != 3 or answer[1][0] not in {1, -1}:
        return []
    name, (_, cells, columns) = answer
    strides = strides_for(net_size, cells) if cells > 0 else _STRIDES
    is_counted = cells > 0 or labels == columns - 5
    if not strides or not is_counted or not 5 < columns <= 5 + MAX_CLASSES:
        return []
    is_v6 = name == _YOLOV6_OUTPUT
    likelihood = {
        RAW: Likelihood.FITS,
        DECODED: Likelihood.POSSIBLE,
        YOLOV6: Likelihood.NAMED if is_v6 else Likelihood.UNLIKELY,
    }
    if "Exp" in model.operations:
        likelihood |= {DECODED: Likelihood.FITS, RAW: Likelihood.POSSIBLE}
    elif strides != _STRIDES:
        # Megvii's nets have three grids; Meituan's P6 have four.
        likelihood |= {RAW: Likelihood.POSSIBLE, YOLOV6: Likelihood.FITS}
    return [
        _adapter(family, likelihood[family], name, columns - 5, net_size, strides)
        for family in sorted(likelihood, key=lambda family: -likelihood[family])
    ]


def _adapter(
    family: str,
    likelihood: Likelihood,
    name: str,
    classes: int,
    net_size: Size,
    strides: tuple[int, ...],
) -> Adapter:
    corners, steps = _cells(net_size, strides)
    raw = partial(_decode, corners=corners, strides=steps, net_size=net_size)
    decode = {
        RAW: raw,
        DECODED: partial(_decode_decoded, net_size=net_size),
        YOLOV6: partial(_decode_v6, net_size=net_size),
    }[family]
    prepare: Prepare = centred if family == YOLOV6 else letterboxed
    return Adapter(
        family=family,
        net_size=net_size,
        classes=classes,
        outputs=(name,),
        prepare=prepare,
        decode=decode,
        needs_f32=family != RAW,
        likelihood=likelihood,
    )


def _grid(net_size: Size, stride: int) -> NDArray[np.float32]:
    """Return column and row of each cell in row order, shape (cells, 2)."""
    rows, columns = np.mgrid[: net_size.height // stride, : net_size.width // stride]
    return np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)


def _cells(
    net_size: Size, strides: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    grids = [_grid(net_size, stride) for stride in strides]
    steps = [
        np.full((len(grid), 1), stride, np.float32)
        for grid, stride in zip(grids, strides, strict=True)
    ]
    return np.concatenate(grids), np.concatenate(steps)


def _decode(
    outputs: Sequence[FloatBlob],
    floor: float,
    *,
    corners: FloatBlob,
    strides: FloatBlob,
    net_size: Size,
) -> Candidates:
    """Return every class above the floor (YOLOX's demo_postprocess, before its NMS).

    Columns are x, y, width, height, objectness, classes; the last two come as
    probabilities already.
    """
    expect_shape(outputs[0], 1, len(corners), -1)
    rows = outputs[0][0]
    _check_objectness(rows)
    cells = np.flatnonzero(rows[:, 4] >= floor)
    values = rows[cells].copy()
    if (values[values[:, 4] >= SURE, 2:4] > _MOST_RAW).any():
        raise MisreadModelError("its boxes are in pixels already", family=DECODED)
    values[:, :2] = (values[:, :2] + corners[cells]) * strides[cells]
    extent = np.exp(np.minimum(values[:, 2:4], _MAX_EXPONENT))
    values[:, 2:4] = extent * strides[cells]
    return decode_rows(values, floor, net_size=net_size)


def _decode_decoded(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    expect_shape(outputs[0], 1, -1, -1)
    rows = outputs[0][0]
    _check_objectness(rows)
    sure = rows[rows[:, 4] >= SURE]
    if len(sure) and (np.abs(sure[:, :4]) < _MOST_RAW).all():
        raise MisreadModelError("its boxes are not decoded yet", family=RAW)
    return decode_rows(rows, floor, net_size=net_size)


def _check_objectness(rows: FloatBlob) -> None:
    """Check that cells are not all quite sure that they hold an object.

    Raises:
        MisreadModelError: they are, as in YOLOv6.
    """
    if (rows[:, 4] == 1).any() and np.isin(rows[:, 4], (0, 1)).all():
        raise MisreadModelError("its fifth column is 1 throughout", family=YOLOV6)


def _decode_v6(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    """Return every class above the floor; the objectness is 1 in every row.

    YOLOv6's non_max_suppression multiplies by it as YOLOv5's does.
    """
    expect_shape(outputs[0], 1, -1, -1)
    rows = outputs[0][0]
    if not np.isin(rows[:, 4], (0, 1)).all():
        raise MisreadModelError("its fifth column is not 1 throughout", family=RAW)
    return decode_rows(rows, floor, net_size=net_size)


def decode_rows(rows: FloatBlob, floor: float, *, net_size: Size) -> Candidates:
    """Return every class above the floor of rows in pixels of the net.

    Columns are centre x and y, width, height, objectness and classes, the last two as
    probabilities; shape (N, 5 + classes).
    """
    values = rows[rows[:, 4] >= floor]
    confidence = values[:, 4:5] * values[:, 5:]
    index, class_id = np.nonzero(confidence >= floor)
    return relative_to(
        cxcywh_to_xyxy(values[:, :4])[index].astype(np.float32),
        confidence[index, class_id],
        class_id,
        net_size=net_size,
    )
