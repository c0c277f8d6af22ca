"""Guess the label of a drawn box: what the models see in it, and around it."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.assist.pointing import (
    ASSIST_MODELS,
    PointCandidates,
    checked_size,
    closer_view,
    whole_image,
)
from imagebase.detection.detector import Detector
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.errors import EditError
from imagebase.geometry import pairwise_iou

# Of the box's longer side, and pixels: what is shown around a box on each side.
_MARGIN_SHARE, _MARGIN_PX = 0.8, 8.0
_LEAST_IOU: Final = 0.2
# Below 1, two models that half agree count more than one that is sure.
_POWER: Final = 0.25


class LabelGuess(NamedTuple):
    """A label that a box may have, and how much speaks for it, 0 to 1.

    >>> import imagebase
    >>> imagebase.LabelGuess("dog", 0.9).confidence
    0.9
    """

    label: str
    confidence: float


def suggest_labels(
    rgb: NDArray[np.uint8],
    xyxy: Sequence[float],
    *,
    models: Sequence[str] = ASSIST_MODELS,
    k: int = 3,
) -> list[LabelGuess]:
    """Return up to k labels for a box, the likeliest first.

    Args:
        rgb: the upright image, shape (H, W, 3), uint8.
        xyxy: corners of the box in pixels, far edges exclusive.
        models: names as `imagebase models list` shows them.
        k: how many labels at most.

    Raises:
        ImageReadError: the array is no RGB image.
        EditError: the box has no area inside the image.
        UnknownModelError, ModelLoadError: a model cannot be used.

    >>> import imagebase
    >>> import numpy as np
    >>> from PIL import Image
    >>> rgb = np.asarray(Image.open("photos/bear.jpg").convert("RGB"))
    >>> imagebase.suggest_labels(rgb, (20, 40, 560, 620))[0].label
    'bear'
    """
    checked_size(rgb)
    box = Box(*map(float, xyxy)).normalised()
    detectors = [shared_detector(find_model(name)) for name in models]
    views = label_views(rgb, box, detectors)
    known = [whole_image(rgb, [detector]) for detector in detectors]
    return guessed([*known, *views], box, k=k)


def label_views(
    rgb: NDArray[np.uint8], box: Box, detectors: Sequence[Detector]
) -> list[PointCandidates]:
    """Return each detector's candidates in a box and its surroundings.

    Raises:
        EditError: the box has no area inside the image.
    """
    size = Size(rgb.shape[1], rgb.shape[0])
    margin = _MARGIN_SHARE * max(box.width, box.height) + _MARGIN_PX
    view = Box(
        float(int(max(box.x_min - margin, 0))),
        float(int(max(box.y_min - margin, 0))),
        float(int(min(box.x_max + margin, size.width))),
        float(int(min(box.y_max + margin, size.height))),
    )
    if view.width < 1 or view.height < 1:
        raise EditError("The box lies outside the image; draw it inside.")
    return [closer_view(rgb, view, detector, size=size) for detector in detectors]


def guessed(
    seen: Sequence[PointCandidates], box: Box, *, k: int = 3
) -> list[LabelGuess]:
    """Return up to k labels for a box from the candidates of several passes.

    A pass speaks for a label with confidence × (IoU with the box − 0.2) / 0.8 of its
    best candidate; the confidence is the mean over the passes with the exponent 1/4.
    """
    support: dict[str, float] = {}
    for candidates in seen:
        iou = pairwise_iou(np.array([box], np.float32), candidates.xyxy)[0]
        fit = np.maximum(iou - _LEAST_IOU, 0) / (1 - _LEAST_IOU)
        values = (candidates.confidence * fit) ** _POWER
        for label in np.unique(candidates.label[values > 0]):
            best = float(values[candidates.label == label].max())
            support[str(label)] = support.get(str(label), 0.0) + best
    guesses = [
        LabelGuess(label, (total / len(seen)) ** (1 / _POWER))
        for label, total in support.items()
    ]
    return sorted(guesses, key=lambda guess: -guess.confidence)[:k]
