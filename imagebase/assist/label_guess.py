"""Guess the label of a drawn box: what the models see in it, and around it.

In a dataset three more things speak for a label: boxes of it that look alike and are of
like size, the label of the box drawn before, and the labels that are on the image. The
weights were found on boxes of COCO photographs and of blood cells in drawing order
(`python -m benchmarks.labels`).
"""

from collections.abc import Collection, Mapping, Sequence
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
from imagebase.geometry import FloatArray, pairwise_iou
from imagebase.images.decode import LoadedImage

# Of the box's longer side, and pixels: what is shown around a box on each side.
_MARGIN_SHARE, _MARGIN_PX = 0.8, 8.0
_LEAST_IOU: Final = 0.2
# Below 1, two models that half agree count more than one that is sure.
_POWER: Final = 0.25
# What the box drawn before, and another box on the image, add to their labels' support.
_PREVIOUS_SUPPORT, _HERE_SUPPORT = 0.07, 0.07
# From this likeness on a box speaks for its label, and how much at most: less where the
# models know the label.
_LEAST_LIKENESS: Final = 0.4
_LOOK_SUPPORT, _KNOWN_LOOK_SUPPORT = 1.0, 0.2
_SIZE_PENALTY: Final = 0.1
# Below it a label is not set; from it on, one that the dataset lacks is offered.
_LEAST_SUPPORT, _LEAST_OFFERED = 0.1, 0.5


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
    image = LoadedImage(rgb, checked_size(rgb))
    box = Box(*map(float, xyxy)).normalised()
    detectors = [shared_detector(find_model(name)) for name in models]
    views = label_views(image, box, detectors)
    known = [whole_image(rgb, [detector]) for detector in detectors]
    return guessed([*known, *views], box, k=k)


def label_views(
    image: LoadedImage,
    box: Box,
    detectors: Sequence[Detector],
    *,
    labels: Sequence[Sequence[str]] | None = None,
) -> list[PointCandidates]:
    """Return each detector's candidates in a box and its surroundings.

    Args:
        image: its pixels may be fewer than its size says.
        box: in pixels of the full image.
        detectors: the networks. labels: names of each one's classes; None is its own.

    Raises:
        EditError: the box has no area inside the image.
    """
    size = Size(image.rgb.shape[1], image.rgb.shape[0])
    share = size.width / image.size.width
    box = Box(*(edge * share for edge in box))
    margin = _MARGIN_SHARE * max(box.width, box.height) + _MARGIN_PX
    view = Box(
        float(int(max(box.x_min - margin, 0))),
        float(int(max(box.y_min - margin, 0))),
        float(int(min(box.x_max + margin, size.width))),
        float(int(min(box.y_max + margin, size.height))),
    )
    if view.width < 1 or view.height < 1:
        raise EditError("The box lies outside the image; draw it inside.")
    names = labels or [detector.labels for detector in detectors]
    seen = [
        closer_view(image.rgb, view, detector, size=size, labels=names_of_one)
        for detector, names_of_one in zip(detectors, names, strict=True)
    ]
    return [
        found._replace(xyxy=found.xyxy / share, view_side=found.view_side / share)
        for found in seen
    ]


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


class BoxExamples(NamedTuple):
    """What boxes of known labels look like.

    labels: (N,) names. looks: (N, D), from `appearance.look_at`.
    extents: (N, 2), from `extent_of`.
    """

    labels: NDArray[np.str_]
    looks: FloatArray
    extents: FloatArray

    @classmethod
    def none(cls) -> "BoxExamples":
        empty = np.zeros((0, 2), np.float32)
        return cls(np.zeros(0, np.str_), empty, empty)

    def likeness(self, look: FloatArray, extent: FloatArray) -> dict[str, float]:
        """Return by label how alike its most similar box is, at most 1.

        Args:
            look: of the box, shape (D,). extent: of the box, shape (2,).
        """
        if not len(self.labels):
            return {}
        off = np.abs(self.extents - extent).sum(axis=1)
        alike = self.looks @ look - _SIZE_PENALTY * off
        names, which = np.unique(self.labels, return_inverse=True)
        best = np.full(len(names), -np.inf)
        np.maximum.at(best, which, alike)
        return dict(zip(names.tolist(), best.tolist(), strict=True))


def extent_of(box: Box, size: Size) -> FloatArray:
    """Return the logarithm of width and height against the image's longer side."""
    sides = np.maximum([box.width, box.height], 1) / max(size)
    return np.log(sides).astype(np.float32)


class Surroundings(NamedTuple):
    """What else speaks for the label of a box in a dataset.

    labels: of the dataset. known: labels of the models, as the dataset names them.
    likeness: by label, from `BoxExamples.likeness`.
    previous: label of the box drawn before. here: labels on the image.
    """

    labels: Collection[str] = ()
    known: Collection[str] = ()
    likeness: Mapping[str, float] = {}
    previous: str | None = None
    here: Collection[str] = ()


class RankedLabels(NamedTuple):
    """Labels for a box. first: to set; None where too little speaks for any.

    likely: best first; they may be labels that the dataset lacks.
    """

    first: str | None
    likely: tuple[str, ...]


def ranked_labels(
    guesses: Sequence[LabelGuess], around: Surroundings, *, k: int = 3
) -> RankedLabels:
    """Return the labels of a box in a dataset.

    Only a label of the dataset may be set; without any, one of the models.

    Args:
        guesses: of the models, under the dataset's names.
        around: what else speaks for a label.
        k: how many likely labels at most.
    """
    seen = {guess.label: guess.confidence**_POWER for guess in guesses}
    labels = around.labels or tuple(seen)
    support = {label: seen.get(label, 0.0) for label in labels}
    for label in support:
        support[label] += _PREVIOUS_SUPPORT * (label == around.previous)
        support[label] += _HERE_SUPPORT * (label in around.here)
        support[label] += _support_of_look(label, around)
    first = max(support, key=support.__getitem__, default=None)
    offered = {
        label: value
        for label, value in seen.items()
        if label not in support and value >= _LEAST_OFFERED
    }
    every = {label: value for label, value in support.items() if value > 0} | offered
    likely = sorted(every, key=lambda label: -every[label])[:k]
    if first is None or support[first] < _LEAST_SUPPORT:
        return RankedLabels(None, tuple(likely))
    return RankedLabels(first, tuple(likely))


def _support_of_look(label: str, around: Surroundings) -> float:
    alike = around.likeness.get(label, 0.0)
    weight = _KNOWN_LOOK_SUPPORT if label in around.known else _LOOK_SUPPORT
    return weight * max(alike - _LEAST_LIKENESS, 0.0) / (1 - _LEAST_LIKENESS)
