"""What Ultralytics' exports give: YOLOv5, YOLOv8 to 12, and those that end in an NMS.

Written from what the exports hold, not from their code: pixels of the net, pictures in
the middle of a grey field.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet_plan import MAX_CLASSES
from imagebase.detection.onnx_files import OnnxModel
from imagebase.detection.preprocessing import centred
from imagebase.detection.recipe import FloatBlob, Recipe, cells_of, relative_to
from imagebase.detection.yolox import decode_rows
from imagebase.geometry import cxcywh_to_xyxy

WITH_OBJECTNESS: Final = "yolov5"
COLUMNS: Final = "yolov8"
ROWS: Final = "yolov8-rows"
END_TO_END: Final = "end-to-end"
Decode = Callable[[Sequence[FloatBlob], float], Candidates]

# Three heads as a rule, four in the models for large pictures (P6).
_STRIDES: Final = ((8, 16, 32), (8, 16, 32, 64))
_ANCHORS: Final = 3
_MOST_AT_THE_END: Final = 1_000
# x_min, y_min, x_max, y_max, confidence, class.
_COLUMNS_AT_THE_END: Final = 6


def recognise(model: OnnxModel, net_size: Size) -> list[Recipe]:
    """Know these families by the shape of their one output.

    YOLOv5: (1, 3 · cells, 5 + classes). YOLOv8, 11, 12: (1, 4 + classes, cells), by
    some tools turned to (1, cells, 4 + classes). With the NMS inside: (1, at most 1000,
    6), which does not say how many classes there are.
    """
    if len(model.outputs) != 1:
        return []
    ((name, shape),) = model.outputs.items()
    if len(shape) != 3 or shape[0] != 1:
        return []
    found: list[tuple[str, int | None, Decode]] = []
    _, first, second = shape
    cells = {cells_of(net_size, strides) for strides in _STRIDES}
    if first in {_ANCHORS * count for count in cells} and _is_classes(second - 5):
        decode = partial(_decode_v5, net_size=net_size)
        found.append((WITH_OBJECTNESS, second - 5, decode))
    if second in cells and _is_classes(first - 4):
        decode = partial(_decode_columns, net_size=net_size)
        found.append((COLUMNS, first - 4, decode))
    if first in cells and _is_classes(second - 4):
        decode = partial(_decode_rows, net_size=net_size)
        found.append((ROWS, second - 4, decode))
    if second == _COLUMNS_AT_THE_END and 0 < first <= _MOST_AT_THE_END:
        decode = partial(_decode_end_to_end, net_size=net_size)
        found.append((END_TO_END, None, decode))
    return [
        Recipe(family, net_size, classes, (name,), centred, decode, needs_f32=True)
        for family, classes, decode in found
    ]


def _is_classes(count: int) -> bool:
    return 0 < count <= MAX_CLASSES


def _decode_v5(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    return decode_rows(outputs[0][0], floor, net_size=net_size)


def _decode_columns(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    return _decode_without_objectness(outputs[0][0], floor, net_size)


def _decode_rows(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    return _decode_without_objectness(outputs[0][0].T, floor, net_size)


def _decode_without_objectness(
    columns: FloatBlob, floor: float, net_size: Size
) -> Candidates:
    """Return every class above the floor; columns has the shape (4 + classes, N)."""
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
    rows = outputs[0][0]
    rows = rows[rows[:, 4] >= floor]
    class_id = np.rint(rows[:, 5])
    real = (class_id >= 0) & (class_id < MAX_CLASSES)
    return relative_to(
        rows[real, :4],
        rows[real, 4],
        class_id[real].astype(np.int32),
        net_size=net_size,
    )
