"""Classifiers: a probability for each label of the image as a whole.

Exports of Ultralytics, torchvision, timm, Transformers. What one says is a box around
the whole image for each label, so that it is run and stored as what a detector finds.
"""

import ast
import math
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet.plan import MAX_CLASSES
from imagebase.detection.onnx.adapter import (
    Adapter,
    FloatBlob,
    Likelihood,
    Prepare,
    expect_shape,
)
from imagebase.detection.onnx.file_info import (
    CLASSIFY,
    OnnxModel,
    shape_in_words,
    task_of,
)
from imagebase.detection.onnx.inputs import takes_bytes
from imagebase.detection.preprocess import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    cropped,
)
from imagebase.errors import ModelLoadError

PLAIN: Final = "classifier"
IMAGENET: Final = "classifier-imagenet"
FAMILIES: Final = frozenset({PLAIN, IMAGENET})
USE: Final = (
    "a classifier, which proposes image tags on Edit and Review; choose a model that "
    "finds boxes"
)
# As torchvision evaluates: the shorter side is scaled to 256 pixels, 224 are taken.
_IMAGENET_SHARE: Final = 224 / 256
_MEAN_KEY, _DEVIATION_KEY = "mean", "std"
_MOST_TEXT: Final = 200
# Numbers that come before a softmax, whatever they are.
_LINEAR: Final = frozenset(
    {"Gemm", "MatMul", "Add", "Conv", "GlobalAveragePool", "AveragePool", "ReduceMean"}
)
# No rows of boxes end in these.
_TELLING: Final = frozenset({"Gemm", "MatMul", "Softmax", "LogSoftmax", "Sigmoid"})
# The outputs of a detector with its NMS inside have as many columns.
_ROWS_OF_BOXES: Final = 7
_TOLERANCE: Final = 0.02


def recognise(model: OnnxModel, net_size: Size) -> list[Adapter]:
    """Know a classifier by one output with one number for each class.

    Ultralytics' metadata say that it classifies and leave the image as it is, from 0 to
    1; others' may have `mean` and `std`. Without either, ImageNet's are likeliest.

    Raises:
        ModelLoadError: its metadata say one thing and its outputs another.
    """
    classes = _classes(model)
    says_so = task_of(model) == CLASSIFY
    if classes is None:
        if says_so:
            raise ModelLoadError(_no_classifier(model))
        return []
    if task_of(model) not in {CLASSIFY, ""}:
        raise ModelLoadError(
            "The metadata of this ONNX model describes a detector, but its output is "
            f"one row of {classes} numbers, as a classifier has; export it again."
        )
    if takes_bytes(model):
        raise ModelLoadError(
            "This classifier reads whole numbers from 0 to 255; export it with float32 "
            "input."
        )
    (name,) = model.outputs
    decode = partial(_decode, classes=classes, ending=model.endings.get(name, ""))

    def adapter(
        family: str, prepare: Prepare, likelihood: Likelihood, doubt: str = ""
    ) -> Adapter:
        parts = (family, net_size, classes, (name,), prepare, decode)
        return Adapter(*parts, needs_f32=True, likelihood=likelihood, doubt=doubt)

    given = _normalisation(model)
    if given is not None:
        mean, deviation = given
        prepare = partial(cropped, mean=mean, deviation=deviation)
        return [adapter(PLAIN, prepare, Likelihood.NAMED)]
    plain = adapter(
        PLAIN, cropped, Likelihood.NAMED if says_so else Likelihood.POSSIBLE
    )
    imagenet = adapter(
        IMAGENET,
        partial(
            cropped,
            mean=IMAGENET_MEAN,
            deviation=IMAGENET_DEVIATION,
            share=_IMAGENET_SHARE,
        ),
        Likelihood.POSSIBLE if says_so else Likelihood.FITS,
        "the file does not say how images go in: if its tags are wrong, choose "
        "another model type.",
    )
    return [plain, imagenet] if says_so else [imagenet, plain]


def _classes(model: OnnxModel) -> int | None:
    """Return how many classes it tells apart; None for what is no classifier."""
    if len(model.outputs) != 1:
        return None
    ((name, shape),) = model.outputs.items()
    ending = model.endings.get(name, "")
    sides = shape[:2] if shape[2:] == (1, 1) else shape
    if len(sides) != 2 or sides[0] not in {1, -1}:
        return None
    least = 1 if ending == "Sigmoid" else 2
    if not least <= sides[1] <= MAX_CLASSES:
        return None
    is_open = all(shape[:1] == (-1,) for shape in model.inputs.values())
    may_be_boxes = sides[1] == _ROWS_OF_BOXES or (sides[0] == -1 and not is_open)
    is_told = ending in _TELLING or task_of(model) == CLASSIFY
    return None if may_be_boxes and not is_told else sides[1]


def _no_classifier(model: OnnxModel) -> str:
    outputs = ", ".join(
        f"{name} {shape_in_words(shape)}" for name, shape in model.outputs.items()
    )
    return (
        "The metadata of this ONNX model describes a classifier, but its outputs "
        f"({outputs[:300] or 'none'}) are not one number for each label; export it "
        "again."
    )


def _normalisation(
    model: OnnxModel,
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and deviation of the metadata, of values from 0 to 1."""
    mean, deviation = (
        _three_numbers(model.metadata.get(key, ""))
        for key in (_MEAN_KEY, _DEVIATION_KEY)
    )
    if mean is None or deviation is None or min(deviation) <= 0:
        return None
    # Some give them for values from 0 to 255.
    unit = 255.0 if max(mean) > 1 or max(deviation) > 1 else 1.0
    return tuple(x / unit for x in mean), tuple(x / unit for x in deviation)


def _three_numbers(text: str) -> tuple[float, ...] | None:
    if not text or len(text) > _MOST_TEXT:
        return None
    try:
        values = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(values, list | tuple) or len(values) != 3:
        return None
    if not all(type(x) in {int, float} and math.isfinite(x) for x in values):
        return None
    return tuple(float(x) for x in values)


def _decode(
    outputs: Sequence[FloatBlob], floor: float, *, classes: int, ending: str
) -> Candidates:
    """Return the labels above the floor, each as a box around the whole image."""
    row = outputs[0].reshape(outputs[0].shape[:2])
    expect_shape(row, 1, classes)
    confidence = _probabilities(row[0], ending)
    class_id = np.flatnonzero(confidence >= floor).astype(np.int32)
    whole = np.tile(np.array([0, 0, 1, 1], np.float32), (len(class_id), 1))
    return Candidates(whole, confidence[class_id].astype(np.float32), class_id)


def _probabilities(row: FloatBlob, ending: str) -> FloatBlob:
    """Return a probability for each class, shape (classes,).

    ending: the operator that the numbers come from: after a sigmoid each class is a
    question of its own; sums and products are what comes before a softmax.

    Raises:
        ModelLoadError: they are no probabilities, and nothing says how to make them so.
    """
    is_number = bool(np.isfinite(row).all())
    is_share = is_number and row.min() >= -_TOLERANCE and row.max() <= 1 + _TOLERANCE
    if is_share and (ending == "Sigmoid" or abs(row.sum() - 1) <= _TOLERANCE):
        return np.clip(row, 0, 1)
    if is_number and ending in _LINEAR | {"LogSoftmax"}:
        powers = np.exp(row - row.max())
        shares: FloatBlob = powers / powers.sum()
        return shares
    what = f"go from {row.min():.3g} to {row.max():.3g}" if is_number else "overflow"
    raise ModelLoadError(
        f"its outputs {what} and are not probabilities; export it with its softmax"
    )
