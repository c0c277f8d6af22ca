"""Point at an object: the best boxes around a place, best first.

Candidates of the whole image stand beside those of closer views around the point. A
linear score ranks the boxes that hold the point: it weighs confidence, how far from the
middle of the box the point is, the size of the box, and its size within its view. The
weights were fitted on clicks at the objects of 128 COCO photographs
(`python -m benchmarks.point --fit`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.detector import CANDIDATE_FLOOR, Detector
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.errors import ImageReadError
from imagebase.geometry import FloatArray, pairwise_iou
from imagebase.images.decode import LoadedImage

# Of the bundled models the two most accurate ones; the last sees closer views too.
ASSIST_MODELS: Final = ("yolov4-tiny", "yolox-nano")
# Sides of the closer views, as parts of the image's longer side.
_CLOSER: Final = (2, 4, 8)
NARROWEST_VIEW: Final = max(_CLOSER)
# A box that ends so near to the border of a view, as a share of its side, may be cut.
_CUT_SHARE: Final = 0.02
# Candidates that overlap so much are one object; those that do more share its edges;
# of suggestions that do still more, one is enough.
SAME_OBJECT_IOU: Final = 0.6
SHARED_EDGES_IOU: Final = 0.65
SAME_BOX_IOU: Final = 0.75
# Scores at which a suggestion is shown, beside boxes and inside them, and below which
# closer views are worth their time (`python -m benchmarks.point --floors`).
LEAST_SCORE: Final = 0.0
LEAST_SCORE_INSIDE: Final = 1.0
POOR_SCORE: Final = 6.0


class Suggestion(NamedTuple):
    """A box that a model suggests at a point.

    xyxy: corners in pixels of the upright image, far edges exclusive.
    confidence: of the model in its label, 0 to 1.

    >>> import imagebase
    >>> imagebase.Suggestion((10.0, 20.0, 60.0, 80.0), "dog", 0.9).label
    'dog'
    """

    xyxy: tuple[float, float, float, float]
    label: str
    confidence: float


class PointCandidates(NamedTuple):
    """Candidates of several models and views, in pixels of the full image.

    xyxy: (N, 4). confidence: (N,). label: (N,) names.
    view_side: (N,), the longer side of the view that each was found in, in pixels.
    """

    xyxy: FloatArray
    confidence: FloatArray
    label: NDArray[np.str_]
    view_side: FloatArray

    @classmethod
    def of(
        cls, candidates: Candidates, labels: Sequence[str], *, view_side: float
    ) -> "PointCandidates":
        """Return one model's candidates in one view."""
        names = np.array([*labels, ""], dtype=np.str_)
        return cls(
            candidates.xyxy,
            candidates.confidence,
            names[candidates.class_id],
            np.full(len(candidates), view_side, np.float32),
        )

    @classmethod
    def joined(cls, parts: Sequence["PointCandidates"]) -> "PointCandidates":
        """Return the candidates of all parts."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def at(self, point: tuple[float, float]) -> "PointCandidates":
        """Return the candidates that hold a point."""
        x_min, y_min, x_max, y_max = self.xyxy.T
        x, y = point
        return self.rows((x_min <= x) & (y_min <= y) & (x <= x_max) & (y <= y_max))

    def rows(self, indices: NDArray[np.intp] | NDArray[np.bool_]) -> "PointCandidates":
        """Return these rows, in this order."""
        return PointCandidates(
            self.xyxy[indices],
            self.confidence[indices],
            self.label[indices],
            self.view_side[indices],
        )


def suggest_at(
    rgb: NDArray[np.uint8],
    point: tuple[float, float],
    *,
    models: Sequence[str] = ASSIST_MODELS,
    k: int = 3,
) -> list[Suggestion]:
    """Return up to k boxes around a point, the best first.

    Args:
        rgb: the upright image, shape (H, W, 3), uint8.
        point: x and y in pixels.
        models: names as `imagebase models list` shows them; the last one also sees
            three closer views around the point.
        k: how many boxes at most.

    Raises:
        ImageReadError: the array is no RGB image, or the point lies outside it.
        UnknownModelError, ModelLoadError: a model cannot be used.

    >>> import imagebase
    >>> import numpy as np
    >>> from PIL import Image
    >>> rgb = np.asarray(Image.open("photos/skier.jpg").convert("RGB"))
    >>> first, *others = imagebase.suggest_at(rgb, (330, 200))
    >>> first.label
    'person'
    """
    size = checked_size(rgb)
    x, y = point
    if not (0 <= x <= size.width and 0 <= y <= size.height):
        raise ImageReadError(
            f"The point ({x:g}, {y:g}) lies outside the image of {size.width} × "
            f"{size.height} pixels."
        )
    detectors = [shared_detector(find_model(name)) for name in models]
    known = whole_image(rgb, detectors)
    views = closer_views(LoadedImage(rgb, size), point, detectors[-1])
    return ranked(PointCandidates.joined([known, views]), point, size=size, k=k)


def checked_size(rgb: NDArray[np.uint8]) -> Size:
    """Return the size of an RGB array.

    Raises:
        ImageReadError: it has another shape or type, or no pixels.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise ImageReadError(
            "An image array has to be uint8 RGB of shape (height, width, 3); this one "
            f"is {rgb.dtype} of shape {rgb.shape}."
        )
    return Size(rgb.shape[1], rgb.shape[0])


def whole_image(
    rgb: NDArray[np.uint8], detectors: Sequence[Detector]
) -> PointCandidates:
    """Return the candidates of each detector on the whole image."""
    size = Size(rgb.shape[1], rgb.shape[0])
    return PointCandidates.joined(
        [
            PointCandidates.of(
                detector.candidates(rgb, size=size, floor=CANDIDATE_FLOOR),
                detector.labels,
                view_side=max(size),
            )
            for detector in detectors
        ]
    )


def views_at(size: Size, point: tuple[float, float]) -> Iterator[Box]:
    """Return the square views around a point, inside the image, the widest first."""
    for part in _CLOSER:
        side = max(size) / part
        left, top = (
            min(max(at - side / 2, 0), max(full - side, 0))
            for at, full in zip(point, size, strict=True)
        )
        yield Box(
            float(int(left)),
            float(int(top)),
            float(min(int(left + side), size.width)),
            float(min(int(top + side), size.height)),
        )


def closer_views(
    image: LoadedImage,
    point: tuple[float, float],
    detector: Detector,
    *,
    labels: Sequence[str] | None = None,
) -> PointCandidates:
    """Return a detector's candidates in the views around a point.

    Args:
        image: its pixels may be fewer than its size says.
        point: in pixels of the full image.
        detector: the network. labels: names of its classes; None is its own.
    """
    size = Size(image.rgb.shape[1], image.rgb.shape[0])
    share = size.width / image.size.width
    here = (point[0] * share, point[1] * share)
    seen = PointCandidates.joined(
        [
            closer_view(image.rgb, view, detector, size=size, labels=labels)
            for view in views_at(size, here)
        ]
    )
    return seen._replace(xyxy=seen.xyxy / share, view_side=seen.view_side / share)


def closer_view(
    rgb: NDArray[np.uint8],
    view: Box,
    detector: Detector,
    *,
    size: Size,
    labels: Sequence[str] | None = None,
) -> PointCandidates:
    """Return a detector's candidates in a part of an image, without those it cuts.

    Args:
        rgb: the whole upright image at its full size.
        view: from `views_at`.
        detector: the network. size: of the image.
        labels: names of its classes; None is its own.
    """
    left, top, right, bottom = (int(edge) for edge in view)
    crop = np.ascontiguousarray(rgb[top:bottom, left:right])
    found = detector.candidates(
        crop, size=Size(right - left, bottom - top), floor=CANDIDATE_FLOOR
    )
    moved = found.xyxy + np.array([left, top, left, top], np.float32)
    side = max(right - left, bottom - top)
    limits = np.array([left, top, right, bottom]) + _CUT_SHARE * side * np.array(
        [1, 1, -1, -1]
    )
    is_inner = np.array(view) != np.array([0, 0, *size])
    is_cut = np.concatenate([moved[:, :2] < limits[:2], moved[:, 2:] > limits[2:]], 1)
    is_whole = ~(is_cut & is_inner).any(axis=1)
    candidates = Candidates(moved, found.confidence, found.class_id).rows(is_whole)
    names = detector.labels if labels is None else labels
    return PointCandidates.of(candidates, names, view_side=side)


def ranked(
    candidates: PointCandidates,
    point: tuple[float, float],
    *,
    size: Size,
    k: int = 3,
    score: Callable[[FloatArray], FloatArray] | None = None,
) -> list[Suggestion]:
    """Return up to k suggestions that hold a point, one per object, the best first.

    A suggestion's edges are the mean of the candidates that nearly agree with it,
    weighted by their scores; its label is the one that most confidence speaks for.

    Args:
        candidates: of all models and views.
        point: x and y in pixels. size: of the image.
        k: how many at most.
        score: from `point_features`, shape (N, 8), to scores (N,); None is `score_of`.
    """
    inside = candidates.at(point)
    scores = (score or score_of)(point_features(inside, point, size=size))
    iou = pairwise_iou(inside.xyxy, inside.xyxy)
    weights = np.exp(scores - scores.max(initial=-np.inf))
    suggestions: list[Suggestion] = []
    is_left = np.ones(len(scores), dtype=bool)
    for best in np.argsort(-scores, kind="stable"):
        if len(suggestions) == k:
            break
        if is_left[best]:
            is_left &= iou[best] < SAME_OBJECT_IOU
            suggestions.append(_suggestion(inside, iou[best], weights))
    return suggestions


def _suggestion(
    candidates: PointCandidates, iou: FloatArray, weights: FloatArray
) -> Suggestion:
    """Return the suggestion that the candidates which overlap the best one agree on."""
    same_box = iou >= SHARED_EDGES_IOU
    share = weights[same_box, None] / weights[same_box].sum()
    x_min, y_min, x_max, y_max = (candidates.xyxy[same_box] * share).sum(axis=0)
    same_object = iou >= SAME_OBJECT_IOU
    labels = candidates.label[same_object]
    confidence = candidates.confidence[same_object]
    support = np.sqrt(confidence) * iou[same_object]
    names, which = np.unique(labels, return_inverse=True)
    label = names[int(np.argmax(np.bincount(which, weights=support)))]
    return Suggestion(
        (float(x_min), float(y_min), float(x_max), float(y_max)),
        str(label),
        float(confidence[labels == label].max()),
    )


def point_features(
    candidates: PointCandidates, point: tuple[float, float], *, size: Size
) -> FloatArray:
    """Return what the score of a candidate at a point is made of, shape (N, 8).

    Root of the confidence; distance of the point from the middle in units
    of the box's width and height, its square, and the larger of its two parts; the
    logarithm of the box's size against the image, and its square; the logarithm of its
    longer side against the view, and its square.
    """
    middle = (candidates.xyxy[:, :2] + candidates.xyxy[:, 2:]) / 2
    extent = np.maximum(candidates.xyxy[:, 2:] - candidates.xyxy[:, :2], 1)
    away = np.abs((np.array(point, np.float32) - middle) / extent)
    distance = np.hypot(away[:, 0], away[:, 1])
    share = np.log(extent.prod(axis=1) / (size.width * size.height)) / 2
    in_view = np.log(extent.max(axis=1) / candidates.view_side)
    columns = [
        np.sqrt(candidates.confidence),
        *(distance, distance**2, away.max(axis=1, initial=0)),
        *(share, share**2, in_view, in_view**2),
    ]
    return np.stack(columns, axis=1)


# One weight per column of `point_features`.
POINT_WEIGHTS: Final = (4.848, -8.743, -15.518, -9.192, 0.373, 0.331, -3.195, -0.694)


def score_of(features: FloatArray) -> FloatArray:
    """Return how well each candidate fits the point, shape (N,); more is better."""
    scores: FloatArray = features @ np.array(POINT_WEIGHTS, np.float32)
    return scores
