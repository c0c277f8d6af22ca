"""PaddleDetection's exports (Baidu): PP-YOLOE, PicoDet, RT-DETR.

They read stretched RGB and ask for the size that an image had, so that boxes come in
its pixels. With the NMS inside a row is (class, score, corners); without, there are
corners and, a row a class, scores. No output says what the image was normalised by.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.onnx.adapter import (
    Adapter,
    Decode,
    FloatBlob,
    Likelihood,
    Prepare,
    check_pixels,
    every_class,
    expect_shape,
    one_class,
)
from imagebase.detection.onnx.file_info import OnnxModel, matches
from imagebase.detection.onnx.inputs import asks_for_size
from imagebase.detection.preprocess import normalised, stretched

PLUS: Final = "pp-yoloe-plus"
NORMALISED: Final = "pp-yoloe"
_INPUTS: Final = frozenset({"scale_factor", "im_shape"})
_SIX: Final = 6
# Only a transformer takes samples at places that the net works out: RT-DETR.
_RTDETR_OPERATION: Final = "GridSample"
_DOUBT: Final = (
    "PP-YOLOE without the plus and PicoDet normalise the image by ImageNet's mean, "
    f"and nothing here tells which it is; if the boxes look wrong, choose {NORMALISED}."
)

_Reading = tuple[tuple[str, ...], int | None, Decode]


def recognise(model: OnnxModel, net_size: Size, labels: int | None) -> list[Adapter]:
    """Know these by what they ask for, scale_factor or im_shape."""
    if not _INPUTS & asks_for_size(model):
        return []
    reading = _rows(model, net_size) or _without_nms(model, net_size, labels)
    if reading is None:
        return []
    outputs, classes, decode = reading
    doubt = "" if _RTDETR_OPERATION in model.operations else _DOUBT
    ways: tuple[tuple[str, Prepare, Likelihood, str], ...] = (
        (PLUS, stretched, Likelihood.FITS, doubt),
        (NORMALISED, normalised, Likelihood.POSSIBLE, ""),
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
            likelihood=likelihood,
            doubt=why,
        )
        for family, prepare, likelihood, why in ways
    ]


def _rows(model: OnnxModel, net_size: Size) -> _Reading | None:
    rows = [name for name, shape in model.outputs.items() if matches(shape, -1, _SIX)]
    if len(rows) != 1 or len(model.outputs) > 2:
        return None
    return (rows[0],), None, partial(_decode_rows, net_size=net_size)


def _without_nms(
    model: OnnxModel, net_size: Size, labels: int | None
) -> _Reading | None:
    boxes = [name for name, shape in model.outputs.items() if matches(shape, 1, -1, 4)]
    scores = [name for name in model.outputs if name not in boxes[:1]]
    if not boxes or len(scores) != 1:
        return None
    shape = model.outputs[scores[0]]
    if not matches(shape, 1, -1, -1):
        return None
    classes = labels if shape[1] < 0 else shape[1]
    return (boxes[0], scores[0]), classes, partial(_decode_all, net_size=net_size)


def _decode_rows(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    """Return the rows above the floor; class -1 stands for nothing found."""
    expect_shape(outputs[0], -1, _SIX)
    rows = outputs[0]
    check_pixels(rows[:, 2:], rows[:, 1])
    return one_class(rows[:, 2:], rows[:, 1], rows[:, 0], floor, net_size=net_size)


def _decode_all(
    outputs: Sequence[FloatBlob], floor: float, *, net_size: Size
) -> Candidates:
    boxes, scores = outputs
    expect_shape(boxes, 1, -1, 4)
    expect_shape(scores, 1, -1, boxes.shape[1])
    check_pixels(boxes[0], scores[0].max(axis=0))
    return every_class(boxes[0], scores[0].T, floor, net_size=net_size)
