"""Which model suggests which label, by what each found before a person approved.

Every approved image is judged by what the models found in it while they did not know
it yet, so that no image has to be held back from the fits.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.detection.nms import nms
from imagebase.evaluation.arrays import FOUND_IOU, EvaluatedImage, Predictions
from imagebase.evaluation.average_precision import coco_figures
from imagebase.evaluation.ground_truth import truth_of
from imagebase.geometry import FloatArray, pairwise_containment, pairwise_iou
from imagebase.settings import DEFAULT_CONFIDENCE, DEFAULT_NMS_IOU

RUN: Final = "run"
TAUGHT: Final = "taught"
TRAINED: Final = "trained"
SHOWN: Final = "shown"
"""What the models found together, each for its labels."""

# Candidates below it are not kept.
FOUND_FLOOR: Final = 0.05
# What was found in older images says little about the models of today.
RECENT: Final = 40
# A model has to be judged on so many boxes of a label, and be better by so much AP50.
ENOUGH_BOXES: Final = 5
BETTER_BY: Final = 0.02
# A trained model takes over after so many images that it has not seen.
ENOUGH_IMAGES: Final = 8
# What a threshold rests on before there is evidence: confidences of right and of wrong
# boxes. A missed object costs a person more than a wrong box.
_USUALLY_RIGHT: Final = tuple(np.linspace(0.125, 0.86, 6).tolist())
_USUALLY_WRONG: Final = tuple(np.linspace(0.04, 0.29, 6).tolist())
_MISSING, _DELETING = 1.5, 1.0
_THRESHOLDS: Final = np.arange(5, 91) / 100
# So much of a box may lie in another one of its label, or as much as was approved.
_USUALLY_INSIDE: Final = 0.5
# Suggestions of a label that nobody wanted so many times are not made any more.
_UNWANTED: Final = 5
# Boxes of two labels that overlap so much are one object.
ONE_OBJECT_IOU: Final = 0.7


class Found(NamedTuple):
    """What a model finds in an image: parallel arrays of N boxes.

    xyxy: (N, 4), pixels. confidence: (N,). label: (N,), the dataset's names.
    """

    xyxy: FloatArray
    confidence: FloatArray
    label: NDArray[np.str_]

    @classmethod
    def of(cls, rows: Iterable[tuple[Sequence[float], float, str]]) -> "Found":
        """Return rows of corners, confidence and label."""
        boxes, confidence, label = [], [], []
        for xyxy, sure, name in rows:
            boxes.append(xyxy)
            confidence.append(sure)
            label.append(name)
        return cls(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(confidence, np.float32),
            np.array(label, np.str_),
        )

    @classmethod
    def joined(cls, parts: Sequence["Found"]) -> "Found":
        """Return the rows of all parts; of no part, nothing found."""
        parts = parts or [cls.of([])]
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def rows(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> "Found":
        """Return these rows, in this order."""
        return Found(self.xyxy[which], self.confidence[which], self.label[which])

    def is_surest(self) -> NDArray[np.bool_]:
        """Say which boxes are the surest of their labels, (N,)."""
        surest = np.zeros(len(self.label), bool)
        for name in np.unique(self.label):
            rows = np.flatnonzero(self.label == name)
            surest[rows[self.confidence[rows].argmax()]] = True
        return surest

    def suppressed(self) -> "Found":
        """Return the best boxes of each label, without those that overlap them."""
        stays = [
            rows[
                nms(
                    self.xyxy[rows],
                    self.confidence[rows],
                    nms_threshold=DEFAULT_NMS_IOU,
                )
            ]
            for rows in (np.flatnonzero(self.label == n) for n in np.unique(self.label))
        ]
        return self.rows(np.concatenate([np.zeros(0, np.intp), *stays]))

    def without_parts(self, inside: Mapping[str, float]) -> "Found":
        """Return the boxes that are no parts of better ones of their labels.

        Args:
            inside: by label, the share of a box that may lie in another one.
        """
        most = np.array([inside.get(n, _USUALLY_INSIDE) for n in self.label.tolist()])
        stays = np.zeros(len(self.label), bool)
        shares = _shares_inside(self.xyxy)
        for row in np.argsort(-self.confidence, kind="stable"):
            rivals = stays & (self.label == self.label[row])
            stays[row] = (shares[row] <= most[row])[rivals].all()
        return self.rows(stays)


def _shares_inside(xyxy: FloatArray) -> FloatArray:
    """Return the share of the smaller of each two boxes in the other, shape (N, N)."""
    shares = pairwise_containment(xyxy, xyxy)
    return np.maximum(shares, shares.T)


class JudgedImage(NamedTuple):
    """An approved image, and what models found in it before they knew it.

    xyxy, label: the approved boxes, (N, 4) pixels and (N,) names.
    found: by model; suppressed, down to `FOUND_FLOOR`.
    """

    image_id: str
    size: Size
    xyxy: FloatArray
    label: NDArray[np.str_]
    found: Mapping[str, Found]


class Least(NamedTuple):
    """The confidence from which a label's boxes are suggested on an image."""

    surest: float
    others: float


_USUAL_LEAST: Final = Least(DEFAULT_CONFIDENCE, DEFAULT_CONFIDENCE)


class LabelScore(NamedTuple):
    """The AP50 of a model for a label, and on how many boxes it rests."""

    ap50: float
    boxes: int


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model suggests each label, and from which confidence on.

    model: by label; a label that is missing is not suggested.
    least: by model and label, where it is not the usual one: for the surest box of an
    image, and for the others. Where every image has one object, the surest box is
    likely right, and a second one is not.
    scores: by model and label, where there is an approved box to judge by.
    unwanted: labels that were suggested and never kept; they are not suggested.
    inside: by label, how much of a box may lie in another one of the label.
    """

    model: Mapping[str, str] = field(default_factory=dict)
    least: Mapping[tuple[str, str], Least] = field(default_factory=dict)
    scores: Mapping[tuple[str, str], LabelScore] = field(default_factory=dict)
    unwanted: frozenset[str] = frozenset()
    inside: Mapping[str, float] = field(default_factory=dict)

    def shown(self, found: Mapping[str, Found]) -> Found:
        """Return what each model finds in an image of the labels that it suggests."""
        parts = [
            boxes.rows(np.array([self.model.get(x) == name for x in boxes.label], bool))
            for name, boxes in found.items()
        ]
        return Found.joined(parts)

    def suggestions(self, found: Mapping[str, Found]) -> Found:
        """Return the boxes to suggest on an image, from what each model finds there."""
        shown = self.shown(found)
        least = [
            self.least.get((self.model[label], label), _USUAL_LEAST)[int(not is_surest)]
            for label, is_surest in zip(
                shown.label.tolist(), shown.is_surest().tolist(), strict=True
            )
        ]
        sure = shown.rows(shown.confidence >= np.array(least, np.float32)).suppressed()
        stays = nms(sure.xyxy, sure.confidence, nms_threshold=ONE_OBJECT_IOU)
        return sure.rows(stays).without_parts(self.inside)


def choose(
    judged: Sequence[JudgedImage], knows: Mapping[str, Sequence[str]]
) -> ModelChoice:
    """Return which model suggests each label.

    The first model that knows a label suggests it until another one was better on the
    images that both were judged on.

    Args:
        judged: approved images, the oldest first.
        knows: the labels of each model, by the dataset's names; the first model is
            trusted where nothing is known yet.
    """
    recent = judged[-RECENT:]
    scores = {
        (name, label): score
        for name in knows
        for label, score in label_scores(recent, name).items()
    }
    labels = dict.fromkeys(label for known in knows.values() for label in known)
    model: dict[str, str] = {}
    least: dict[tuple[str, str], Least] = {}
    unwanted = set()
    for label in labels:
        best = _best([name for name in knows if label in knows[name]], label, recent)
        surest, others = _evidence(recent, best, label)
        wrong = len(surest.wrong) + len(others.wrong)
        if not surest.right and not others.right and wrong >= _UNWANTED:
            unwanted.add(label)
            continue
        model[label] = best
        least[best, label] = Least(surest.threshold(), others.threshold())
    inside = {label: _most_inside(recent, label) for label in model}
    return ModelChoice(model, least, scores, frozenset(unwanted), inside)


def _most_inside(judged: Sequence[JudgedImage], label: str) -> float:
    """Return how much of an approved box lies in another one of its label."""
    most = _USUALLY_INSIDE
    for image in judged:
        shares = _shares_inside(image.xyxy[image.label == label])
        most = max(most, float(np.triu(shares, 1).max(initial=0)))
    return most


def _best(names: Sequence[str], label: str, judged: Sequence[JudgedImage]) -> str:
    best = names[0]
    for other in names[1:]:
        both = [image for image in judged if {best, other} <= image.found.keys()]
        ours, theirs = (label_scores(both, name).get(label) for name in (best, other))
        if ours and theirs and theirs.boxes >= ENOUGH_BOXES:
            best = other if theirs.ap50 > ours.ap50 + BETTER_BY else best
    return best


def label_scores(judged: Sequence[JudgedImage], model: str) -> dict[str, LabelScore]:
    """Return a model's AP50 for each label with a box on the images it was judged on.

    Images without its findings are left out.
    """
    images = [image for image in judged if model in image.found]
    labels = tuple(dict.fromkeys(name for i in images for name in i.label.tolist()))
    if not labels:
        return {}
    place = {label: index for index, label in enumerate(labels)}
    rows = [
        (index, place[label], Box(*xyxy), Box(*xyxy).area, False)
        for index, image in enumerate(images)
        for xyxy, label in zip(image.xyxy.tolist(), image.label.tolist(), strict=True)
    ]
    truth = truth_of(
        labels,
        [
            EvaluatedImage(image.image_id, image.image_id, image.size)
            for image in images
        ],
        rows,
        box_ids=[*map(str, range(len(rows)))],
    )
    predictions = Predictions.of(
        [
            (index, place[label], xyxy, confidence)
            for index, image in enumerate(images)
            for xyxy, confidence, label in zip(
                *(column.tolist() for column in image.found[model]), strict=True
            )
            if label in place
        ]
    )
    figures = coco_figures(truth, predictions)
    return {
        label: LabelScore(own.ap50 or 0.0, own.boxes)
        for label, own in figures.per_label.items()
    }


def mean_ap50(scores: Mapping[str, LabelScore]) -> float:
    """Return the mean AP50 over the labels; 0 without any."""
    return float(np.mean([score.ap50 for score in scores.values()] or [0.0]))


class Evidence(NamedTuple):
    """The confidences at which a model was right and wrong about a label."""

    right: list[float]
    wrong: list[float]

    def threshold(self) -> float:
        """Return the threshold that would have cost the person least.

        Among equals it is the middle one.
        """
        right = np.array([*self.right, *_USUALLY_RIGHT])[:, None]
        wrong = np.array([*self.wrong, *_USUALLY_WRONG])[:, None]
        cost = _MISSING * (right < _THRESHOLDS).sum(axis=0)
        cost = cost + _DELETING * (wrong >= _THRESHOLDS).sum(axis=0)
        best = np.flatnonzero(cost == cost.min())
        return float(_THRESHOLDS[best[len(best) // 2]])


def _evidence(
    judged: Sequence[JudgedImage], model: str, label: str
) -> tuple[Evidence, Evidence]:
    """Return the evidence of the surest box of each image, and that of the others."""
    both = Evidence([], []), Evidence([], [])
    for image in judged:
        if model not in image.found:
            continue
        found = image.found[model]
        own = found.rows(found.label == label)
        is_right = matches(own, image.xyxy[image.label == label])
        is_surest = own.is_surest()
        for evidence, rows in zip(both, (is_surest, ~is_surest), strict=True):
            evidence.right.extend(own.confidence[rows & is_right].tolist())
            evidence.wrong.extend(own.confidence[rows & ~is_right].tolist())
    return both


def matches(found: Found, xyxy: FloatArray) -> NDArray[np.bool_]:
    """Say which boxes are right, the best for each true one at IoU ≥ 0.5; (N,)."""
    iou = pairwise_iou(found.xyxy, xyxy)
    right = np.zeros(len(iou), bool)
    for row in np.argsort(-found.confidence, kind="stable"):
        column = int(iou[row].argmax()) if iou.size else 0
        if iou.size and iou[row, column] >= FOUND_IOU:
            right[row] = True
            iou[:, column] = 0
    return right


class Takeover(NamedTuple):
    """A trained model against the suggestions there were, on images new to both.

    before, after: AP50 over all labels. images: how many.
    """

    before: float
    after: float
    images: int

    @property
    def is_better(self) -> bool:
        return self.images >= ENOUGH_IMAGES and self.after > self.before + BETTER_BY

    def __str__(self) -> str:
        figures = f"AP50 {_short(self.before)} → {_short(self.after)}"
        return f"{figures} on {self.images} held-out images"


def _short(share: float) -> str:
    return f"{share:.2f}".removeprefix("0")


def challenge(
    judged: Sequence[JudgedImage],
    *,
    fitted_on: Collection[str],
    find: Callable[[str], Found],
) -> tuple[list[JudgedImage], Takeover]:
    """Judge a newly trained model against what was suggested, on images new to both.

    Args:
        judged: approved images, the oldest first.
        fitted_on: the images that the trained model was fitted on or chosen by.
        find: returns what it finds in an image, suppressed, down to `FOUND_FLOOR`.

    Returns:
        The same images, with what it found as `TRAINED` where it is new to them, in
        place of any trained model's before it; and the comparison.
    """
    fresh = [image.image_id for image in judged if image.image_id not in fitted_on]
    fresh = fresh[-RECENT:]
    updated = []
    for image in judged:
        found = {name: own for name, own in image.found.items() if name != TRAINED}
        if image.image_id in fresh:
            found[TRAINED] = find(image.image_id)
        updated.append(image._replace(found=found))
    both = [image for image in updated if {SHOWN, TRAINED} <= image.found.keys()]
    before, after = (mean_ap50(label_scores(both, name)) for name in (SHOWN, TRAINED))
    return updated, Takeover(before, after, len(both))
