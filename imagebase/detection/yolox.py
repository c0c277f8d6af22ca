"""YOLOX (Megvii): a row a cell of three grids, its boxes decoded or not."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet_plan import MAX_CLASSES
from imagebase.detection.onnx_files import OnnxModel
from imagebase.detection.preprocessing import letterboxed
from imagebase.detection.recipe import FloatBlob, Recipe, cells_of, relative_to
from imagebase.geometry import cxcywh_to_xyxy

RAW: Final = "yolox"
DECODED: Final = "yolox-decoded"
_STRIDES: Final = (8, 16, 32)
# exp() of more is infinite in float32; no box is e**20 strides wide.
_MAX_EXPONENT: Final = 20.0


def recognise(model: OnnxModel, net_size: Size) -> list[Recipe]:
    """Know YOLOX by its one output, (1, cells, 5 + classes); the likelier comes first.

    An export with decode_in_inference has the sizes' exponential in its graph.
    """
    if len(model.outputs) != 1:
        return []
    ((name, shape),) = model.outputs.items()
    is_one = len(shape) == 3 and shape[:2] == (1, cells_of(net_size, _STRIDES))
    if not is_one or not 5 < shape[2] <= 5 + MAX_CLASSES:
        return []
    corners, strides = _cells(net_size)
    decoders = {
        RAW: partial(_decode, corners=corners, strides=strides, net_size=net_size),
        DECODED: partial(_decode_decoded, net_size=net_size),
    }
    order = (DECODED, RAW) if "Exp" in model.operations else (RAW, DECODED)
    return [
        Recipe(
            family=family,
            net_size=net_size,
            classes=shape[2] - 5,
            outputs=(name,),
            prepare=letterboxed,
            decode=decoders[family],
            needs_f32=family == DECODED,
        )
        for family in order
    ]


def _grid(net_size: Size, stride: int) -> NDArray[np.float32]:
    """Return column and row of each cell in row order, shape (cells, 2)."""
    rows, columns = np.mgrid[: net_size.height // stride, : net_size.width // stride]
    return np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)


def _cells(net_size: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    grids = [_grid(net_size, stride) for stride in _STRIDES]
    strides = [
        np.full((len(grid), 1), stride, np.float32)
        for grid, stride in zip(grids, _STRIDES, strict=True)
    ]
    return np.concatenate(grids), np.concatenate(strides)


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
    rows = outputs[0][0]
    cells = np.flatnonzero(rows[:, 4] >= floor)
    values = rows[cells].copy()
    values[:, :2] = (values[:, :2] + corners[cells]) * strides[cells]
    extent = np.exp(np.minimum(values[:, 2:4], _MAX_EXPONENT))
    values[:, 2:4] = extent * strides[cells]
    return decode_rows(values, floor, net_size=net_size)


def _decode_decoded(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    return decode_rows(outputs[0][0], floor, net_size=net_size)


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
