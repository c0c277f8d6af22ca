"""How one model is used: pictures in, candidates out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.preprocessing import Prepared

FloatBlob = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to use one model.

    classes: how many it knows; None where its outputs do not say.
    prepare: from RGB (H, W, 3) and the net's size to what the net reads.
    decode: from the raw outputs, in the order of `outputs`, and a floor to candidates
    whose boxes are relative to the net's size (0 to 1), not clipped.
    needs_f32: whether the graph works out pixels itself: bf16 has 8 bits for them, so
    that an edge at 600 would be off by up to 2.
    """

    family: str
    net_size: Size
    classes: int | None
    outputs: tuple[str, ...]
    prepare: Callable[[NDArray[np.uint8], Size], Prepared]
    decode: Callable[[Sequence[FloatBlob], float], Candidates]
    needs_f32: bool = False


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


def cells_of(net_size: Size, strides: Sequence[int]) -> int:
    """Return how many cells the grids of these strides have together."""
    return sum(
        (net_size.height // stride) * (net_size.width // stride) for stride in strides
    )
