"""Exports of Ultralytics: YOLOv5, YOLOv8 to 12 and 26, RT-DETR, and an NMS.

Written from what the exports hold, not from their code: pixels of the net, images in
the middle of a grey field. RT-DETR's boxes are parts of the net, its images
stretched. YOLOv7 (Wong) exports what YOLOv5 does, YOLOv9 and v10 what v8 does.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet.plan import MAX_CLASSES
from imagebase.detection.onnx.adapter import (
    Adapter,
    Decode,
    FloatBlob,
    Likelihood,
    Prepare,
    check_parts,
    check_pixels,
    check_scores,
    expect_shape,
    one_class,
    relative_to,
    strides_for,
)
from imagebase.detection.onnx.file_info import OnnxModel, answer_of
from imagebase.detection.onnx.yolox import decode_rows
from imagebase.detection.preprocess import centred, stretched
from imagebase.geometry import cxcywh_to_xyxy

WITH_OBJECTNESS: Final = "yolov5"
COLUMNS: Final = "yolov8"
ROWS: Final = "yolov8-rows"
END_TO_END: Final = "end-to-end"
RTDETR: Final = "rtdetr-ultralytics"

_ANCHORS: Final = 3
_MOST_AT_THE_END: Final = 1_000
# x_min, y_min, x_max, y_max, confidence, class.
_COLUMNS_AT_THE_END: Final = 6
# Metadata of an RT-DETR, and an operation that only such
# have: samples of the image at places that the net works out.
_RTDETR_NAMES: Final = ("rtdetr", "rt-detr")
_RTDETR_OPERATION: Final = "GridSample"
_MOST_SAID: Final = 1_000
_UNIT: Final = Size(1, 1)


def recognise(model: OnnxModel, net_size: Size, labels: int | None) -> list[Adapter]:
    """Know these families by the shape of their output.

    YOLOv5: (1, 3 · cells, 5 + classes). YOLOv8 and later: (1, 4 + classes, cells), by
    some tools turned to (1, cells, 4 + classes). With the NMS inside: (1, at most 1000,
    6), which does not say how many classes there are. RT-DETR: the same rows with
    other boxes, or (1, queries, 4 + classes). Where the cells are those of no grids, or
    there are none (an open side), the number of labels decides.
    """
    answer = answer_of(model)
    if answer is None or len(answer[1]) != 3 or answer[1][0] not in {1, -1}:
        return []
    name, (_, first, second) = answer
    adapters = [
        *_with_objectness(first, second, labels, net_size),
        *_without_objectness(first, second, labels, net_size),
        *_at_the_end(model, first, second, labels, net_size),
    ]
    makers: dict[str, tuple[Prepare, Decode]] = {
        WITH_OBJECTNESS: (centred, partial(_decode_v5, net_size=net_size)),
        COLUMNS: (centred, partial(_decode_columns, net_size=net_size)),
        ROWS: (centred, partial(_decode_rows, net_size=net_size)),
        END_TO_END: (centred, partial(_decode_end_to_end, net_size=net_size)),
        RTDETR: (stretched, _decode_rtdetr),
    }
    return [
        Adapter(family, net_size, classes, (name,), *makers[family], True, likelihood)
        for family, classes, likelihood in adapters
    ]


_Reading = tuple[str, int | None, Likelihood]


def _with_objectness(
    rows: int, columns: int, labels: int | None, net_size: Size
) -> list[_Reading]:
    classes = columns - 5
    if not _is_classes(classes):
        return []
    if rows % _ANCHORS == 0 and strides_for(net_size, rows // _ANCHORS):
        return [(WITH_OBJECTNESS, classes, Likelihood.FITS)]
    is_few = 0 < rows <= _MOST_AT_THE_END
    if labels == classes and not is_few and not strides_for(net_size, rows):
        return [(WITH_OBJECTNESS, classes, Likelihood.FITS)]
    return []


def _without_objectness(
    first: int, second: int, labels: int | None, net_size: Size
) -> list[_Reading]:
    readings: list[_Reading] = []
    for family, cells, sides in ((COLUMNS, second, first), (ROWS, first, second)):
        classes = sides - 4
        if not _is_classes(classes):
            continue
        if cells > 0 and strides_for(net_size, cells):
            readings.append((family, classes, Likelihood.FITS))
        elif labels == classes:
            is_few = family == ROWS and 0 < cells <= _MOST_AT_THE_END
            likelihood = Likelihood.POSSIBLE if is_few else Likelihood.FITS
            readings.append((family, classes, likelihood))
    return readings


def _at_the_end(
    model: OnnxModel, rows: int, columns: int, labels: int | None, net_size: Size
) -> list[_Reading]:
    """Return the readings of a few rows, a box each, which need no suppression."""
    if rows > _MOST_AT_THE_END or (rows < 0 and columns != _COLUMNS_AT_THE_END):
        return []
    is_rtdetr = _is_rtdetr(model)
    rtdetr = Likelihood.NAMED if is_rtdetr else Likelihood.POSSIBLE
    if columns in {_COLUMNS_AT_THE_END, -1}:
        nms = Likelihood.POSSIBLE if is_rtdetr else _ends_in_nms(model, columns)
        readings: list[_Reading] = [(END_TO_END, None, nms), (RTDETR, None, rtdetr)]
        return sorted(readings, key=lambda reading: -reading[2])
    is_cells = rows > 0 and bool(strides_for(net_size, rows))
    is_named = is_rtdetr or labels == columns - 4
    if is_cells or not is_named or not _is_classes(columns - 4):
        return []
    return [(RTDETR, columns - 4, max(rtdetr, Likelihood.FITS))]


def _is_rtdetr(model: OnnxModel) -> bool:
    keys = ("head", "description", "model")
    text = " ".join(model.metadata.get(key, "")[:_MOST_SAID] for key in keys).lower()
    is_named = any(name in text for name in _RTDETR_NAMES)
    return is_named or _RTDETR_OPERATION in model.operations


def _ends_in_nms(model: OnnxModel, columns: int) -> Likelihood:
    ends_in_nms = model.metadata.get("end2end", "").strip().lower() == "true"
    ends_in_nms |= "'nms': True" in model.metadata.get("args", "")[:10_000]
    if ends_in_nms:
        return Likelihood.NAMED
    return Likelihood.FITS if columns > 0 else Likelihood.POSSIBLE


def _is_classes(count: int) -> bool:
    return 0 < count <= MAX_CLASSES


def _decode_v5(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    expect_shape(outputs[0], 1, -1, -1)
    rows = outputs[0][0]
    check_scores(rows[:, 4:])
    check_pixels(rows[:, :4], rows[:, 4])
    return decode_rows(rows, floor, net_size=net_size)


def _decode_columns(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    expect_shape(outputs[0], 1, -1, -1)
    columns = outputs[0][0]
    check_pixels(columns[:4].T, columns[4:].max(axis=0))
    return _decode_without_objectness(columns, floor, net_size)


def _decode_rows(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    expect_shape(outputs[0], 1, -1, -1)
    columns = outputs[0][0].T
    confidence = columns[4:].max(axis=0)
    check_pixels(columns[:4].T, confidence, instead=RTDETR)
    return _decode_without_objectness(columns, floor, net_size)


def _decode_without_objectness(
    columns: FloatBlob, floor: float, net_size: Size
) -> Candidates:
    """Return every class above the floor; columns has the shape (4 + classes, N)."""
    check_scores(columns[4:])
    class_id, cell = np.nonzero(columns[4:] >= floor)
    return relative_to(
        cxcywh_to_xyxy(columns[:4, cell].T).astype(np.float32),
        columns[4 + class_id, cell],
        class_id,
        net_size=net_size,
    )


def _decode_end_to_end(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    """Return the rows above the floor; those that were not needed have confidence 0."""
    expect_shape(outputs[0], 1, -1, _COLUMNS_AT_THE_END)
    rows = outputs[0][0]
    check_pixels(rows[:, :4], rows[:, 4], instead=RTDETR)
    return one_class(rows[:, :4], rows[:, 4], rows[:, 5], floor, net_size=net_size)


def _decode_rtdetr(outputs: Sequence[FloatBlob], floor: float) -> Candidates:
    """Return what RT-DETR says; its boxes are centre and size in parts of the net.

    Since 8.4 a row ends in confidence and class, before in a confidence for each class.
    Two classes look like the former but for their numbers, which are not all whole.
    """
    expect_shape(outputs[0], 1, -1, -1)
    rows = outputs[0][0]
    check_parts(rows[:, :4], rows[:, 4:].max(axis=1), instead=END_TO_END)
    is_chosen = rows.shape[1] == _COLUMNS_AT_THE_END
    if not (is_chosen and (rows[:, 5] == np.rint(rows[:, 5])).all()):
        return _decode_without_objectness(rows.T, floor, _UNIT)
    xyxy = cxcywh_to_xyxy(rows[:, :4]).astype(np.float32)
    return one_class(xyxy, rows[:, 4], rows[:, 5], floor, net_size=_UNIT)
