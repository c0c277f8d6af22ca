"""Figures of several models on the same images, compared with each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from imagebase.evaluation.arrays import Floats, Truth
from imagebase.evaluation.average_precision import CocoFigures, coco_figures
from imagebase.evaluation.bootstrap import (
    Interval,
    Resampled,
    ScoreDifference,
    can_resample,
    difference,
    draws,
    interval,
    point_intervals,
    resample,
)
from imagebase.evaluation.curves import (
    BestThreshold,
    Calibration,
    Curve,
    CurvePoint,
    Judged,
    best_thresholds,
    calibration,
    curve,
    judged,
    point,
)
from imagebase.evaluation.detection_pass import DetectionPass
from imagebase.evaluation.error_types import Outcomes, outcomes
from imagebase.evaluation.matching import Matching, match
from imagebase.settings import DEFAULT_CONFIDENCE


@dataclass(frozen=True)
class ModelResult:
    """The figures of one model; costly ones are computed once, on first use.

    threshold: the confidence it is used at.
    """

    truth: Truth
    passed: DetectionPass
    threshold: float
    weights: Floats

    @property
    def spec(self) -> str:
        return self.passed.spec

    @cached_property
    def figures(self) -> CocoFigures:
        return coco_figures(self.truth, self.passed.found)

    @cached_property
    def matching(self) -> Matching:
        return match(self.truth, self.passed.found)

    @cached_property
    def detections(self) -> Judged:
        return judged(self.truth, self.passed.found, self.matching)

    @cached_property
    def resampled(self) -> Resampled:
        return resample(self.truth, self.passed.found, self.matching, self.weights)

    @cached_property
    def outcomes(self) -> Outcomes:
        return outcomes(
            self.truth, self.passed.found, self.matching, threshold=self.threshold
        )

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Return the intervals of AP, AP50, precision, recall and F1.

        One image alone tells nothing of how images differ: there are none then.
        """
        if not can_resample(len(self.truth.images)):
            return {}
        at_threshold = point_intervals(
            self.detections, self.weights, threshold=self.threshold, truth=self.truth
        )
        return {
            "AP": _share(interval(self.resampled.ap, around=self.figures["AP"])),
            "AP50": _share(interval(self.resampled.ap50, around=self.figures["AP50"])),
            **at_threshold,
        }

    @cached_property
    def calibration(self) -> Calibration:
        return calibration(self.detections)

    @cached_property
    def best_thresholds(self) -> list[BestThreshold]:
        return best_thresholds(
            self.detections, self.truth.labels, threshold=self.threshold
        )

    def curve(self, label: str | None = None) -> Curve:
        """Return the curve of a label, or of all of them in one list."""
        return curve(self.detections, label=self._place(label))

    def point(self, label: str | None = None) -> CurvePoint:
        """Return what the threshold leaves of a label, or of all."""
        place = self._place(label)
        return point(self.detections, threshold=self.threshold, label=place)

    def at(self, threshold: float) -> "ModelResult":
        """Return the same model used at another threshold."""
        again = ModelResult(self.truth, self.passed, threshold, self.weights)
        for name in ("figures", "matching", "detections", "resampled", "calibration"):
            if name in self.__dict__:
                again.__dict__[name] = self.__dict__[name]
        return again

    def _place(self, label: str | None) -> int | None:
        return None if label is None else self.truth.labels.index(label)


def _share(known: Interval) -> Interval:
    """Return an interval of something that is a share."""
    return Interval(max(known.low, 0.0), min(known.high, 1.0))


def judge_models(
    truth: Truth,
    passes: Sequence[DetectionPass],
    *,
    threshold: float = DEFAULT_CONFIDENCE,
) -> list[ModelResult]:
    """Return the figures of each model, resampled with the same draws of images."""
    weights = draws(len(truth.images))
    return [ModelResult(truth, pass_, threshold, weights) for pass_ in passes]


def compared(ours: ModelResult, theirs: ModelResult) -> ScoreDifference:
    """Return how much more AP one model has than another on the same images."""
    value = (ours.figures["AP"] or 0.0) - (theirs.figures["AP"] or 0.0)
    if not can_resample(len(ours.truth.images)):
        return ScoreDifference(value, -1.0, 1.0)  # it may be any
    return difference(ours.resampled.ap, theirs.resampled.ap, value=value)


def best_of(results: Sequence[ModelResult]) -> ModelResult:
    """Return the one with the most AP, the first of equals."""
    return max(results, key=lambda result: result.figures["AP"] or 0.0)


@dataclass(frozen=True, slots=True)
class ClickChange:
    """An image that takes more or fewer clicks to correct with another model.

    before, after: clicks. Fewer is better.
    """

    image_id: str
    name: str
    before: float
    after: float

    @property
    def gained(self) -> float:
        return self.before - self.after


def image_changes(before: ModelResult, after: ModelResult) -> list[ClickChange]:
    """Return the images both judged on which they differ, the best gain first.

    The two may be of different runs, whose truth may have been corrected between them.
    """
    ours, theirs = _clicks(before), _clicks(after)
    names = {image.image_id: image.name for image in after.truth.images}
    changes = [
        ClickChange(image_id, names[image_id], ours[image_id], clicks)
        for image_id, clicks in theirs.items()
        if image_id in ours and clicks != ours[image_id]
    ]
    return sorted(changes, key=lambda change: (-change.gained, change.name))


def _clicks(result: ModelResult) -> dict[str, float]:
    ids = [image.image_id for image in result.truth.images]
    return dict(zip(ids, result.outcomes.clicks().tolist(), strict=True))


def clicks_per_image(result: ModelResult) -> float:
    """Return the average cost of correcting an image."""
    return float(np.mean(result.outcomes.clicks()))
