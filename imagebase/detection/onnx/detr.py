"""Transformers that detect: RT-DETR, D-FINE, DEIM, RF-DETR and those of Hugging Face.

All read stretched images. RT-DETR (Lyu), D-FINE (Peng) and DEIM ask for the image's
size and give corners in its pixels. RF-DETR (Roboflow) and Hugging Face's give a centre
and a size in parts of the image, and logits.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet.heads import logistic
from imagebase.detection.onnx.adapter import (
    Adapter,
    FloatBlob,
    Likelihood,
    Prepare,
    check_parts,
    check_pixels,
    every_class,
    expect_shape,
    one_class,
)
from imagebase.detection.onnx.file_info import OnnxModel, matches
from imagebase.detection.onnx.inputs import asks_for_size
from imagebase.detection.preprocess import normalised, stretched
from imagebase.geometry import cxcywh_to_xyxy

RTDETR: Final = "rt-detr"
RTDETR_NORMALISED: Final = "rt-detr-normalised"
RFDETR: Final = "rf-detr"
SIGMOID: Final = "transformers-rt-detr"
SOFTMAX: Final = "transformers-detr"
_UNIT: Final = Size(1, 1)
_SIZES: Final = "orig_target_sizes"
_RTDETR_OUTPUTS: Final = ("labels", "boxes", "scores")
_RFDETR_OUTPUTS: Final = ("dets", "labels")
# Hugging Face's names, and Meta's own.
_TRANSFORMERS_OUTPUTS: Final = (("pred_boxes", "logits"), ("pred_boxes", "pred_logits"))
# COCO's 80 categories have numbers up to 90, with gaps; nets trained on them as they
# are have a column for each number.
_COCO_COLUMNS: Final = 91
_GAPS: Final = frozenset({0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
_COCO: Final = tuple(column for column in range(_COCO_COLUMNS) if column not in _GAPS)

Columns = NDArray[np.intp]


def recognise(model: OnnxModel, net_size: Size, labels: int | None) -> list[Adapter]:
    """Know these by the names of their outputs, which all of their exports keep."""
    return [
        *_rtdetr(model, net_size),
        *_rfdetr(model, net_size, labels),
        *(
            adapter
            for outputs in _TRANSFORMERS_OUTPUTS
            for adapter in _transformers(model, net_size, labels, outputs)
        ),
    ]


def _rtdetr(model: OnnxModel, net_size: Size) -> list[Adapter]:
    if _SIZES not in asks_for_size(model) or set(model.outputs) != {*_RTDETR_OUTPUTS}:
        return []
    decode = partial(_decode_rtdetr, net_size=net_size)
    readings: tuple[tuple[str, Prepare, Likelihood], ...] = (
        (RTDETR, stretched, Likelihood.NAMED),
        # DEIMv2 with a DINOv3 inside; nothing in its outputs says so.
        (RTDETR_NORMALISED, normalised, Likelihood.POSSIBLE),
    )
    return [
        Adapter(
            family=family,
            net_size=net_size,
            classes=None,
            outputs=_RTDETR_OUTPUTS,
            prepare=prepare,
            decode=decode,
            needs_f32=True,
            likelihood=likelihood,
        )
        for family, prepare, likelihood in readings
    ]


def _decode_rtdetr(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    """Return the boxes above the floor, in pixels of the size given."""
    labels, boxes, scores = outputs
    expect_shape(boxes, 1, -1, 4)
    confidence = scores.ravel()
    check_pixels(boxes[0], confidence)
    return one_class(boxes[0], confidence, labels.ravel(), floor, net_size=net_size)


def _columns_of(model: OnnxModel, outputs: tuple[str, str]) -> int | None:
    """Return how many logits a box has; None where the outputs are no such two."""
    boxes, logits = (model.outputs.get(name, ()) for name in outputs)
    fits = matches(boxes, 1, -1, 4) and matches(logits, 1, -1, -1)
    return logits[2] if fits else None


def _rfdetr(model: OnnxModel, net_size: Size, labels: int | None) -> list[Adapter]:
    """RF-DETR has a column more than classes, or one for each of COCO's numbers."""
    columns = _columns_of(model, _RFDETR_OUTPUTS)
    if columns is None:
        return []
    return [
        Adapter(
            family=RFDETR,
            net_size=net_size,
            classes=_known(columns, labels),
            outputs=_RFDETR_OUTPUTS,
            prepare=normalised,
            decode=partial(_decode_sigmoid, labels=labels),
            needs_f32=True,
            likelihood=Likelihood.NAMED,
        )
    ]


def _transformers(
    model: OnnxModel, net_size: Size, labels: int | None, outputs: tuple[str, str]
) -> list[Adapter]:
    """DETR has a last column for no object, which its softmax shares; RT-DETR none."""
    columns = _columns_of(model, outputs)
    if columns is None:
        return []
    sigmoid = Adapter(
        family=SIGMOID,
        net_size=net_size,
        classes=columns if columns > 0 else None,
        outputs=outputs,
        prepare=stretched,
        decode=partial(_decode_sigmoid, labels=labels),
        needs_f32=True,
        likelihood=Likelihood.NAMED,
    )
    softmax = Adapter(
        family=SOFTMAX,
        net_size=net_size,
        classes=_known(columns - 1, labels) if columns > 0 else None,
        outputs=outputs,
        prepare=normalised,
        decode=partial(_decode_softmax, labels=labels),
        needs_f32=True,
        likelihood=Likelihood.NAMED,
    )
    return [sigmoid, softmax]


def _known(columns: int, labels: int | None) -> int | None:
    """Return how many classes so many columns stand for."""
    if columns < 0:
        return None
    return columns if _chosen(columns, labels) is None else labels


def _chosen(columns: int, labels: int | None) -> Columns | None:
    """Return the columns that the labels are of, in order; None for all there are.

    As many as labels are all of them; one more is that of the background, which comes
    last; COCO's 91 are its numbers.
    """
    if columns == _COCO_COLUMNS and labels == len(_COCO):
        return np.array(_COCO)
    if labels is not None and columns == labels + 1:
        return np.arange(labels)
    return None


def _decode_sigmoid(
    outputs: Sequence[FloatBlob], floor: float, *, labels: int | None
) -> Candidates:
    """Return every class above the floor, each logit by itself."""
    boxes, logits = _checked(outputs)
    return _every_class(boxes, logistic(logits), floor, labels)


def _decode_softmax(
    outputs: Sequence[FloatBlob], floor: float, *, labels: int | None
) -> Candidates:
    """Return every class above the floor, its logits weighed against no object."""
    boxes, logits = _checked(outputs)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = shifted / shifted.sum(axis=1, keepdims=True)
    return _every_class(boxes, scores[:, :-1], floor, labels)


def _checked(outputs: Sequence[FloatBlob]) -> tuple[FloatBlob, FloatBlob]:
    boxes, logits = outputs
    expect_shape(boxes, 1, -1, 4)
    expect_shape(logits, 1, boxes.shape[1], -1)
    return boxes[0], logits[0]


def _every_class(
    cxcywh: FloatBlob, scores: FloatBlob, floor: float, labels: int | None
) -> Candidates:
    chosen = _chosen(scores.shape[1], labels)
    scores = scores if chosen is None else scores[:, chosen]
    check_parts(cxcywh, scores.max(axis=1, initial=0), instead=RTDETR)
    xyxy = cxcywh_to_xyxy(cxcywh).astype(np.float32)
    return every_class(xyxy, scores.astype(np.float32), floor, net_size=_UNIT)
