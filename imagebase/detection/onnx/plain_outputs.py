"""Exports without a known family: an NMS at the end, or boxes and scores apart."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from onnx import TensorProto

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.onnx.adapter import (
    Adapter,
    Decode,
    FloatBlob,
    Likelihood,
    Prepare,
    check_corners,
    check_parts,
    check_pixels,
    every_class,
    expect_shape,
    one_class,
    strides_for,
)
from imagebase.detection.onnx.file_info import OnnxModel, TensorShape, matches
from imagebase.detection.onnx.inputs import asks_for_size, takes_bytes
from imagebase.detection.preprocess import (
    centred,
    centred_bytes_with_margin,
    centred_with_margin,
    stretched,
)
from imagebase.errors import MisreadModelError

ROWS: Final = "yolov7-end-to-end"
YOLO_NAS_ROWS: Final = "yolo-nas-rows"
FOUR: Final = "nms-four-outputs"
YOLO_NAS: Final = "yolo-nas"
# The number of the image, four edges, class and score in either order.
_SEVEN: Final = 7
# What YOLO-NAS calls its outputs.
_FLAT: Final = "flat_predictions"
_PREDICTED: Final = "pred_"
_CLASS_WORDS: Final = ("class", "label", "cls", "categor")
_SCORE_WORDS: Final = ("score", "conf")
_INTEGERS: Final = frozenset({TensorProto.INT32, TensorProto.INT64})


def recognise_nms(
    model: OnnxModel, net_size: Size, labels: int | None
) -> list[Adapter]:
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


def _rows(model: OnnxModel, net_size: Size) -> list[Adapter]:
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
) -> list[Adapter]:
    """Return the readings of one layout that both have, the likelier first."""
    is_nas = takes_bytes(model) or any(
        _FLAT in name or _PREDICTED in name for name in model.outputs
    )
    theirs = Adapter(
        family=families[1],
        net_size=net_size,
        classes=None,
        outputs=outputs,
        prepare=yolo_nas_prepare(model),
        decode=nas,
        needs_f32=True,
        likelihood=Likelihood.NAMED if is_nas else Likelihood.POSSIBLE,
    )
    if is_nas:
        return [theirs]
    usual = Adapter(families[0], net_size, None, outputs, centred, yolo, needs_f32=True)
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


def _four(model: OnnxModel, net_size: Size) -> list[Adapter]:
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
    boxes = [name for name, shape in model.outputs.items() if matches(shape, -1, -1, 4)]
    rest = {name: shape for name, shape in model.outputs.items() if name not in boxes}
    counts = [name for name, shape in rest.items() if _is_count(name, shape)]
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
    stated = np.nan_to_num(counts.ravel()[:1], nan=0, posinf=most, neginf=0)
    count = int(np.clip(stated.sum(), 0, most))
    xyxy, confidence = boxes[0, :count], scores.ravel()[:count]
    check_pixels(xyxy, confidence)
    class_id = classes.ravel()[:count]
    return one_class(xyxy, confidence, class_id, floor, net_size=net_size)


YOLOV4: Final = "yolov4-pytorch"
LETTERBOXED: Final = "boxes-letterboxed"
STRETCHED: Final = "boxes-stretched"
_UNIT: Final = Size(1, 1)
_DOUBT: Final = (
    "others than YOLO-NAS give such boxes and scores too; if the boxes look wrong, "
    f"choose {LETTERBOXED} or {STRETCHED}."
)


def recognise_boxes_and_scores(
    model: OnnxModel, net_size: Size, labels: int | None
) -> list[Adapter]:
    """Know boxes by their four columns, and scores by having as many rows."""
    if asks_for_size(model):
        return []
    return [
        *_yolov4(model, net_size),
        *_apart(model, net_size, labels),
        *_with_classes(model, net_size),
        *_with_score_beside(model, net_size),
    ]


def _named(model: OnnxModel, *wanted: int) -> list[str]:
    return [name for name, shape in model.outputs.items() if matches(shape, *wanted)]


def _yolov4(model: OnnxModel, net_size: Size) -> list[Adapter]:
    """Boxes of shape (1, N, 1, 4) are its own."""
    boxes, scores = _named(model, 1, -1, 1, 4), _named(model, 1, -1, -1)
    if len(boxes) != 1 or len(scores) != 1:
        return []
    classes = model.outputs[scores[0]][2]
    return [
        Adapter(
            family=YOLOV4,
            net_size=net_size,
            classes=None if classes < 0 else classes,
            outputs=(boxes[0], scores[0]),
            prepare=stretched,
            decode=_decode_yolov4,
            needs_f32=True,
            likelihood=Likelihood.NAMED,
        )
    ]


def _decode_yolov4(outputs: Sequence[FloatBlob], floor: float) -> Candidates:
    boxes, scores = outputs
    expect_shape(boxes, 1, -1, 1, 4)
    expect_shape(scores, 1, boxes.shape[1], -1)
    check_parts(boxes[0, :, 0], scores[0].max(axis=1), instead=LETTERBOXED)
    return every_class(boxes[0, :, 0], scores[0], floor, net_size=_UNIT)


def _apart(model: OnnxModel, net_size: Size, labels: int | None) -> list[Adapter]:
    """Return the readings of corners and a score for each class."""
    names = _boxes_and_scores(model.outputs, labels)
    if names is None:
        return []
    boxes, scores = names
    classes = model.outputs[scores][2]
    known = labels if classes < 0 else classes
    decode = partial(_decode_apart, net_size=net_size)
    generic = _generic(net_size, names, known, decode)
    is_named = _PREDICTED in boxes and _PREDICTED in scores
    cells = model.outputs[boxes][1]
    is_grid = cells > 0 and bool(strides_for(net_size, cells))
    if not is_named and not (is_grid and next(iter(model.outputs)) == boxes):
        return generic
    yolo_nas = Adapter(
        family=YOLO_NAS,
        net_size=net_size,
        classes=known,
        outputs=names,
        prepare=yolo_nas_prepare(model),
        decode=decode,
        needs_f32=True,
        likelihood=Likelihood.NAMED if is_named else Likelihood.FITS,
        doubt="" if is_named else _DOUBT,
    )
    return [yolo_nas, *generic]


def _boxes_and_scores(
    outputs: Mapping[str, TensorShape], labels: int | None
) -> tuple[str, str] | None:
    if len(outputs) != 2:
        return None
    first, second = outputs
    classes = -1 if labels is None else labels
    for boxes, scores in ((first, second), (second, first)):
        is_boxes = matches(outputs[boxes], 1, -1, 4) and outputs[boxes][2] == 4
        if is_boxes and matches(outputs[scores], 1, outputs[boxes][1], classes):
            return boxes, scores
    return None


def _decode_apart(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    boxes, scores = outputs
    expect_shape(boxes, 1, -1, 4)
    expect_shape(scores, 1, boxes.shape[1], -1)
    best = scores[0].max(axis=1)
    check_pixels(boxes[0], best)
    check_corners(boxes[0], best)
    return every_class(boxes[0], scores[0], floor, net_size=net_size)


def _with_classes(model: OnnxModel, net_size: Size) -> list[Adapter]:
    """Return the readings of corners, a score and a class each."""
    boxes, rest = _named(model, 1, -1, 4), _named(model, 1, -1)
    if len(model.outputs) != 3 or len(boxes) != 1 or len(rest) != 2:
        return []
    outputs = (boxes[0], *score_and_class(model, rest))
    decode = partial(_decode_with_classes, net_size=net_size)
    return _generic(net_size, outputs, None, decode)


def _decode_with_classes(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    boxes, scores, classes = outputs
    expect_shape(boxes, 1, -1, 4)
    confidence, class_id = scores.ravel(), classes.ravel()
    check_pixels(boxes[0], confidence)
    check_corners(boxes[0], confidence)
    return one_class(boxes[0], confidence, class_id, floor, net_size=net_size)


def _with_score_beside(model: OnnxModel, net_size: Size) -> list[Adapter]:
    """Return the readings of corners and score in one, and a class each (MMDeploy)."""
    boxes, classes = _named(model, 1, -1, 5), _named(model, 1, -1)
    if len(model.outputs) != 2 or len(boxes) != 1 or len(classes) != 1:
        return []
    decode = partial(_decode_with_score_beside, net_size=net_size)
    return _generic(net_size, (boxes[0], classes[0]), None, decode)


def _decode_with_score_beside(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    expect_shape(outputs[0], 1, -1, 5)
    rows = outputs[0][0]
    apart = [rows[None, :, :4], rows[:, 4], outputs[1]]
    return _decode_with_classes(apart, floor, net_size=net_size)


def _generic(
    net_size: Size, outputs: tuple[str, ...], classes: int | None, decode: Decode
) -> list[Adapter]:
    ways: tuple[tuple[str, Prepare], ...] = (
        (LETTERBOXED, centred),
        (STRETCHED, stretched),
    )
    return [
        Adapter(
            family=family,
            net_size=net_size,
            classes=classes,
            outputs=outputs,
            prepare=prepare,
            decode=decode,
            needs_f32=True,
            likelihood=Likelihood.POSSIBLE,
        )
        for family, prepare in ways
    ]
