"""Exports that give boxes and scores apart and no name of a family.

YOLO-NAS without its NMS gives corners in pixels and a score for each class. The YOLOv4
of PyTorch gives corners in parts of the net. What else gives boxes, scores and perhaps
classes is read where a person says whether its pictures are stretched or letterboxed.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.onnx_files import OnnxModel, TensorShape, matches
from imagebase.detection.onnx_inputs import asks_for_size
from imagebase.detection.preprocessing import centred, stretched
from imagebase.detection.recipe import (
    Decode,
    Evidence,
    FloatBlob,
    Prepare,
    Recipe,
    check_corners,
    check_parts,
    check_pixels,
    every_class,
    expect_shape,
    one_class,
    strides_for,
)
from imagebase.detection.with_nms import YOLO_NAS, score_and_class, yolo_nas_prepare

YOLOV4: Final = "yolov4-pytorch"
LETTERBOXED: Final = "boxes-letterboxed"
STRETCHED: Final = "boxes-stretched"
_UNIT: Final = Size(1, 1)
_PREDICTED: Final = "pred_"
_DOUBT: Final = (
    "others than YOLO-NAS give such boxes and scores too; if the boxes look wrong, "
    f"choose {LETTERBOXED} or {STRETCHED}."
)


def recognise(model: OnnxModel, net_size: Size, labels: int | None) -> list[Recipe]:
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


def _yolov4(model: OnnxModel, net_size: Size) -> list[Recipe]:
    """Boxes of shape (1, N, 1, 4) are its own."""
    boxes, scores = _named(model, 1, -1, 1, 4), _named(model, 1, -1, -1)
    if len(boxes) != 1 or len(scores) != 1:
        return []
    classes = model.outputs[scores[0]][2]
    return [
        Recipe(
            family=YOLOV4,
            net_size=net_size,
            classes=None if classes < 0 else classes,
            outputs=(boxes[0], scores[0]),
            prepare=stretched,
            decode=_decode_yolov4,
            needs_f32=True,
            evidence=Evidence.NAMED,
        )
    ]


def _decode_yolov4(outputs: Sequence[FloatBlob], floor: float) -> Candidates:
    boxes, scores = outputs
    expect_shape(boxes, 1, -1, 1, 4)
    expect_shape(scores, 1, boxes.shape[1], -1)
    check_parts(boxes[0, :, 0], scores[0].max(axis=1), instead=LETTERBOXED)
    return every_class(boxes[0, :, 0], scores[0], floor, net_size=_UNIT)


def _apart(model: OnnxModel, net_size: Size, labels: int | None) -> list[Recipe]:
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
    yolo_nas = Recipe(
        family=YOLO_NAS,
        net_size=net_size,
        classes=known,
        outputs=names,
        prepare=yolo_nas_prepare(model),
        decode=decode,
        needs_f32=True,
        evidence=Evidence.NAMED if is_named else Evidence.FITS,
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


def _with_classes(model: OnnxModel, net_size: Size) -> list[Recipe]:
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


def _with_score_beside(model: OnnxModel, net_size: Size) -> list[Recipe]:
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
) -> list[Recipe]:
    ways: tuple[tuple[str, Prepare], ...] = (
        (LETTERBOXED, centred),
        (STRETCHED, stretched),
    )
    return [
        Recipe(
            family=family,
            net_size=net_size,
            classes=classes,
            outputs=outputs,
            prepare=prepare,
            decode=decode,
            needs_f32=True,
            evidence=Evidence.POSSIBLE,
        )
        for family, prepare in ways
    ]
