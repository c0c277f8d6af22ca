"""Exports that end in an NMS: rows of seven, or counts, boxes, scores and classes.

YOLOv7 and YOLOv6 write (number of the picture, corners, class, score) with `--end2end`;
YOLO-NAS (Deci) writes (number, corners, score, class). Both also write four outputs, as
TensorRT's NMS does. Boxes are in pixels of the net.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from onnx import TensorProto

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.onnx_files import OnnxModel, TensorShape, matches
from imagebase.detection.onnx_inputs import takes_bytes
from imagebase.detection.preprocessing import (
    centred,
    centred_bytes_with_margin,
    centred_with_margin,
)
from imagebase.detection.recipe import (
    Decode,
    Evidence,
    FloatBlob,
    Prepare,
    Recipe,
    check_pixels,
    expect_shape,
    one_class,
)
from imagebase.errors import MisreadModelError

ROWS: Final = "yolov7-end-to-end"
YOLO_NAS_ROWS: Final = "yolo-nas-rows"
FOUR: Final = "nms-four-outputs"
YOLO_NAS: Final = "yolo-nas"
# The number of the picture, four edges, class and score in either order.
_SEVEN: Final = 7
# What YOLO-NAS calls its outputs.
_FLAT: Final = "flat_predictions"
_PREDICTED: Final = "pred_"
_CLASS_WORDS: Final = ("class", "label", "cls", "categor")
_SCORE_WORDS: Final = ("score", "conf")
_INTEGERS: Final = frozenset({TensorProto.INT32, TensorProto.INT64})


def recognise(model: OnnxModel, net_size: Size, labels: int | None) -> list[Recipe]:
    """Know these by their outputs' shapes; none says how many classes there are."""
    del labels
    return [*_rows(model, net_size), *_four(model, net_size)]


def yolo_nas_prepare(model: OnnxModel) -> Prepare:
    """Return what YOLO-NAS reads: bytes where its graph scales them itself."""
    return centred_bytes_with_margin if takes_bytes(model) else centred_with_margin


def score_and_class(model: OnnxModel, names: Sequence[str]) -> tuple[str, str]:
    """Return which of two outputs holds scores and which classes.

    Their names say it, else the numbers' type, else the order of TensorRT's NMS.
    """
    first, second = names
    is_swapped = (
        any(word in first.lower() for word in _CLASS_WORDS)
        or any(word in second.lower() for word in _SCORE_WORDS)
        or model.element_types.get(first) in _INTEGERS
    )
    return (second, first) if is_swapped else (first, second)


def _rows(model: OnnxModel, net_size: Size) -> list[Recipe]:
    if len(model.outputs) != 1:
        return []
    ((name, shape),) = model.outputs.items()
    if not matches(shape, -1, _SEVEN):
        return []
    return _yolo_or_nas(
        model,
        net_size,
        outputs=(name,),
        families=(ROWS, YOLO_NAS_ROWS),
        yolo=partial(_decode_rows, score=6, class_id=5, net_size=net_size),
        nas=partial(_decode_rows, score=5, class_id=6, net_size=net_size),
    )


def _yolo_or_nas(
    model: OnnxModel,
    net_size: Size,
    *,
    outputs: tuple[str, ...],
    families: tuple[str, str],
    yolo: Decode,
    nas: Decode,
) -> list[Recipe]:
    """Return the readings of one layout that both have, the likelier first."""
    is_nas = takes_bytes(model) or any(
        _FLAT in name or _PREDICTED in name for name in model.outputs
    )
    theirs = Recipe(
        family=families[1],
        net_size=net_size,
        classes=None,
        outputs=outputs,
        prepare=yolo_nas_prepare(model),
        decode=nas,
        needs_f32=True,
        evidence=Evidence.NAMED if is_nas else Evidence.POSSIBLE,
    )
    if is_nas:
        return [theirs]
    usual = Recipe(families[0], net_size, None, outputs, centred, yolo, needs_f32=True)
    return [usual, theirs]


def _decode_rows(
    outputs: Sequence[FloatBlob],
    floor: float,
    *,
    score: int,
    class_id: int,
    net_size: Size,
) -> Candidates:
    """Return the rows above the floor; the numbers tell score and class apart."""
    expect_shape(outputs[0], -1, _SEVEN)
    rows = outputs[0]
    scores, classes = rows[:, score], rows[:, class_id]
    if (scores > 1).any() or (classes != np.rint(classes)).any():
        other = YOLO_NAS_ROWS if score > class_id else ROWS
        raise MisreadModelError("its scores and classes are swapped", family=other)
    check_pixels(rows[:, 1:5], scores)
    return one_class(rows[:, 1:5], scores, classes, floor, net_size=net_size)


def _four(model: OnnxModel, net_size: Size) -> list[Recipe]:
    names = _roles(model)
    if names is None:
        return []
    decode = partial(_decode_four, net_size=net_size)
    return _yolo_or_nas(
        model,
        net_size,
        outputs=names,
        families=(FOUR, YOLO_NAS),
        yolo=decode,
        nas=decode,
    )


def _roles(model: OnnxModel) -> tuple[str, str, str, str] | None:
    """Return the names of counts, boxes, scores and classes; None for other outputs."""
    boxes = [name for name, one in model.outputs.items() if matches(one, -1, -1, 4)]
    rest = {name: one for name, one in model.outputs.items() if name not in boxes}
    counts = [name for name, one in rest.items() if _is_count(name, one)]
    left = [name for name in rest if name not in counts]
    if (len(boxes), len(counts), len(left)) != (1, 1, 2):
        return None
    if not all(matches(rest[name], -1, -1) for name in left):
        return None
    return counts[0], boxes[0], *score_and_class(model, left)


def _is_count(name: str, shape: TensorShape) -> bool:
    return "num" in name.lower() or shape in {(), (1,), (1, 1), (-1, 1)}


def _decode_four(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    """Return the boxes above the floor, of as many as the count says."""
    counts, boxes, scores, classes = outputs
    expect_shape(boxes, 1, -1, 4)
    most = min(boxes.shape[1], scores.size, classes.size)
    said = np.nan_to_num(counts.ravel()[:1], nan=0, posinf=most, neginf=0)
    count = int(np.clip(said.sum(), 0, most))
    xyxy, confidence = boxes[0, :count], scores.ravel()[:count]
    check_pixels(xyxy, confidence)
    class_id = classes.ravel()[:count]
    return one_class(xyxy, confidence, class_id, floor, net_size=net_size)
