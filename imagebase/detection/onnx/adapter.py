"""How one model is run: image in, candidates out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet.plan import MAX_CLASSES
from imagebase.detection.preprocess import Prepared
from imagebase.errors import MisreadModelError, ModelLoadError

FloatBlob = NDArray[np.float32]
Prepare = Callable[[NDArray[np.uint8], Size], Prepared]
Decode = Callable[[Sequence[FloatBlob], float], Candidates]

# Strides of the grids that a net may have, each twice the one before.
_STRIDES: Final = (4, 8, 16, 32, 64, 128)
_USUAL_STRIDES: Final = (8, 16, 32)
_MOST_OF_THE_FINEST: Final = 16
# No net of that many pixels has all its boxes within so few of them.
_LEAST_PIXELS: Final = 1.5
# A box in parts of the net is not that many nets wide.
_MOST_PARTS: Final = 6.0
SURE: Final = 0.25
# Above 1 by what half precision rounds to, and no more.
_MOST_SCORE: Final = 1.01


class Likelihood(IntEnum):
    """What speaks for a way of reading a model's outputs.

    UNLIKELY: only where a person says so. POSSIBLE: a person is offered it. FITS: the
    shapes do. NAMED: the file says it.
    """

    UNLIKELY = 0
    POSSIBLE = 1
    FITS = 2
    NAMED = 3


@dataclass(frozen=True, slots=True)
class Adapter:
    """How to use one model.

    classes: how many it knows; None where its outputs do not say.
    prepare: from RGB (H, W, 3) and the net's size to what the net reads.
    decode: from the raw outputs, in the order of `outputs`, and a floor to candidates
    whose boxes are relative to the net's size (0 to 1), not clipped. It raises
    MisreadModelError where the numbers show that they are to be read another way.
    needs_f32: whether the graph works out pixels itself: bf16 has 8 bits for them, so
    that an edge at 600 would be off by up to 2.
    doubt: what a person should know where no number shows a wrong reading.
    """

    family: str
    net_size: Size
    classes: int | None
    outputs: tuple[str, ...]
    prepare: Prepare
    decode: Decode
    needs_f32: bool = False
    likelihood: Likelihood = Likelihood.FITS
    doubt: str = ""


def relative_to(
    xyxy: FloatBlob,
    confidence: FloatBlob,
    class_id: NDArray[np.integer],
    *,
    net_size: Size,
) -> Candidates:
    """Return boxes in pixels of the net as candidates relative to its size."""
    sides = np.array([*net_size, *net_size], dtype=np.float32)
    return Candidates(
        (xyxy / sides).astype(np.float32),
        confidence.astype(np.float32),
        class_id.astype(np.int32),
    )


def class_ids(values: FloatBlob) -> NDArray[np.int32]:
    """Return class numbers that came as floats; -1 for other numbers."""
    class_ids = np.full(values.shape, -1, np.int32)
    real = (values > -0.5) & (values < 1e6)
    class_ids[real] = np.rint(values[real])
    return class_ids


def cells_of(net_size: Size, strides: Sequence[int]) -> int:
    """Return how many cells the grids of these strides have together."""
    return sum(
        (net_size.height // stride) * (net_size.width // stride) for stride in strides
    )


def strides_for(net_size: Size, cells: int) -> tuple[int, ...]:
    """Return the strides whose grids have that many cells; empty where none have.

    Strides follow on each other: 8, 16, 32 as a rule; 4 too in models for small
    objects (P2), 64 in those for large images (P6), 16 and 32 in tiny ones.
    """
    runs = [
        _STRIDES[first:last]
        for first in range(_STRIDES.index(_MOST_OF_THE_FINEST) + 1)
        for last in range(first + 2, len(_STRIDES) + 1)
    ]
    for strides in (_USUAL_STRIDES, *runs):
        if cells_of(net_size, strides) == cells:
            return strides
    return ()


def expect_shape(values: FloatBlob, *shape: int) -> None:
    """Check the shape of an output; -1 stands for any number.

    Raises:
        ModelLoadError: it has another shape.
    """
    fits = len(values.shape) == len(shape) and all(
        wanted in {-1, side} for wanted, side in zip(shape, values.shape, strict=True)
    )
    if not fits:
        given = " × ".join(map(str, values.shape)) or "one number"
        wanted_words = " × ".join("any" if side < 0 else str(side) for side in shape)
        raise ModelLoadError(
            f"its output came as {given} where {wanted_words} was expected; export it "
            "for one image of one size"
        )


def check_pixels(
    xyxy: FloatBlob, confidence: FloatBlob, *, instead: str | None = None
) -> None:
    """Check that confident boxes are in pixels and not in parts of the net's size.

    Args:
        xyxy: shape (N, 4). confidence: shape (N,).
        instead: the family that such boxes are of; None where none is known.

    Raises:
        MisreadModelError: all of them lie within the first pixel.
        ModelLoadError: the same, where no family is known.
    """
    sure = xyxy[confidence >= SURE]
    if not len(sure) or float(np.abs(sure).max()) > _LEAST_PIXELS:
        return
    what = "its boxes are numbers from 0 to 1 and not pixels"
    if instead is None:
        raise ModelLoadError(f"{what}; export it with boxes in pixels")
    raise MisreadModelError(what, family=instead)


def check_scores(scores: FloatBlob) -> None:
    """Check that scores are probabilities, of any shape.

    Raises:
        ModelLoadError: one is far above 1, so they may be logits.
    """
    if scores.size and float(scores.max()) > _MOST_SCORE:
        raise ModelLoadError(
            f"its scores go up to {float(scores.max()):.3g} and are not probabilities; "
            "export it with its sigmoid"
        )


def check_corners(xyxy: FloatBlob, confidence: FloatBlob) -> None:
    """Check that confident boxes are two corners each, the second right and below.

    Raises:
        ModelLoadError: one is not; it may be a centre and a size.
    """
    sure = xyxy[confidence >= SURE]
    if (sure[:, 2:] < sure[:, :2]).any():
        raise ModelLoadError(
            "its boxes are no two corners each; export it with x_min, y_min, x_max, "
            "y_max"
        )


def every_class(
    xyxy: FloatBlob, scores: FloatBlob, floor: float, *, net_size: Size
) -> Candidates:
    """Return every class above the floor.

    Args:
        xyxy: corners in pixels of the net, shape (N, 4).
        scores: probabilities, shape (N, classes).
        floor: the least that is kept.
        net_size: the unit of the corners.

    Raises:
        ModelLoadError: the scores are no probabilities.
    """
    check_scores(scores)
    index, class_id = np.nonzero(scores >= floor)
    return relative_to(
        xyxy[index], scores[index, class_id], class_id, net_size=net_size
    )


def one_class(
    xyxy: FloatBlob,
    confidence: FloatBlob,
    class_id: FloatBlob,
    floor: float,
    *,
    net_size: Size,
) -> Candidates:
    """Return the boxes above the floor, a class each; rows that name no class go.

    Args:
        xyxy: shape (N, 4). confidence, class_id: shape (N,).
        floor, net_size: as in `every_class`.

    Raises:
        ModelLoadError: as there, or the class column has no whole numbers.
    """
    check_scores(confidence)
    sure = class_id[confidence >= SURE]
    if (sure != np.rint(sure)).any():
        raise ModelLoadError(
            "what should be its classes are no whole numbers; its outputs are of a "
            "layout that is not known"
        )
    ids = class_ids(class_id)
    real = (confidence >= floor) & (ids >= 0) & (ids < MAX_CLASSES)
    return relative_to(xyxy[real], confidence[real], ids[real], net_size=net_size)


def check_parts(xyxy: FloatBlob, confidence: FloatBlob, *, instead: str) -> None:
    """Check that confident boxes are in parts of the net's size, and not in pixels.

    Args:
        xyxy, confidence, instead: as in `check_pixels`.

    Raises:
        MisreadModelError: one of them reaches far outside.
    """
    sure = xyxy[confidence >= SURE]
    if len(sure) and float(np.abs(sure).max()) > _MOST_PARTS:
        raise MisreadModelError(
            "its boxes are in pixels and not numbers from 0 to 1", family=instead
        )
