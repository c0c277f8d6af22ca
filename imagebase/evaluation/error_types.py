"""Error types: right, missed, false alarm, mix-up or loose box; in words and drawn.

Objects are found first, as COCO matches them. The rest is classified: a mix-up is a
detection on an object of another label; a loose box overlaps an object of its own label
by less than is asked for; the rest are false alarms, and misses.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from imagebase.annotation import Annotation, Box, LabelSet, Size, Source
from imagebase.evaluation.arrays import (
    FOUND_IOU,
    Flags,
    Floats,
    Indices,
    Predictions,
    Truth,
)
from imagebase.evaluation.matching import NOBODY, Matching
from imagebase.geometry import pairwise_iou
from imagebase.images.decode import RgbArray
from imagebase.images.draw import draw_annotations
from imagebase.wording import percent

LOOSE_IOU: Final = 0.1
_NAMED: Final = 4


class Outcome(StrEnum):
    """Outcome of a detection, or of an object."""

    RIGHT = "right"
    MIX_UP = "mix-up"
    LOOSE = "loose box"
    FALSE_ALARM = "false alarm"
    MISSED = "miss"


# Those a person would have to correct.
MISTAKES: Final = (Outcome.MISSED, Outcome.FALSE_ALARM, Outcome.MIX_UP, Outcome.LOOSE)
_CODES: Final = tuple(Outcome)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One correction to make on one image.

    image: its place in the truth. found, object: rows of the detection and of the
    object in question, None where there is none. overlap: their IoU.
    badness: 0 to 1, the worst first within a kind.
    """

    outcome: Outcome
    image: int
    found: int | None
    object: int | None
    overlap: float
    badness: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Outcomes on D detections and N objects at one threshold.

    of_found: (D,), places in `Outcome`; -1 where a detection is below the threshold or
    ignored. of_object: (N,), -1 for crowds. partner: (D,), the row of the object that
    a detection is right about, mixes up or sits loosely on, else `NOBODY`.
    overlap: (D,), the IoU with it.
    """

    truth: Truth
    found: Predictions
    threshold: float
    of_found: Indices
    of_object: Indices
    partner: Indices
    overlap: Floats

    def is_outcome(self, outcome: Outcome) -> Flags:
        """Say which detections have this outcome, shape (D,)."""
        return np.asarray(self.of_found == _CODES.index(outcome))

    def confusion(self) -> Indices:
        """Return how often each label (row) was taken for each (column), (L+1, L+1).

        The last row is background taken for an object, the last column objects taken
        for background. The diagonal is correct.
        """
        labels = len(self.truth.labels)
        counts = np.zeros((labels + 1, labels + 1), dtype=np.intp)
        for actual, predicted, _ in self._cells():
            counts[actual, predicted] += 1
        return counts

    def of_cell(self, actual: int, predicted: int) -> list[Mistake]:
        """Return what a cell of the confusion matrix counts, the worst first.

        On the diagonal they are correct detections.
        """
        counted = [
            mistake for a, s, mistake in self._cells() if (a, s) == (actual, predicted)
        ]
        return sorted(counted, key=lambda mistake: -mistake.badness)

    def _cells(self) -> Iterator[tuple[int, int, Mistake]]:
        """Yield actual label, predicted label and mistake of everything counted."""
        background = len(self.truth.labels)
        for mistake in self._of_detections(with_right=True):
            assert mistake.found is not None  # it is of a detection
            is_on_object = mistake.outcome in (Outcome.RIGHT, Outcome.MIX_UP)
            actual = (
                int(self.truth.label[mistake.object])
                if is_on_object and mistake.object is not None
                else background
            )
            yield actual, int(self.found.label[mistake.found]), mistake
        for mistake in self._misses(with_loose=True):
            assert mistake.object is not None  # it is an object that is missed
            yield int(self.truth.label[mistake.object]), background, mistake

    def mistakes(self, *, image: int | None = None) -> list[Mistake]:
        """Return all mistakes, the worst first; of one image if given."""
        mistakes = [*self._of_detections(), *self._misses()]
        chosen = [
            mistake for mistake in mistakes if image is None or mistake.image == image
        ]
        return sorted(chosen, key=lambda mistake: -mistake.badness)

    def _of_detections(self, *, with_right: bool = False) -> Iterator[Mistake]:
        right = _CODES.index(Outcome.RIGHT)
        for row in np.flatnonzero(self.of_found >= 0).tolist():
            if self.of_found[row] == right and not with_right:
                continue
            outcome = _CODES[self.of_found[row]]
            partner, overlap = int(self.partner[row]), float(self.overlap[row])
            confidence = float(self.found.confidence[row])
            yield Mistake(
                outcome,
                int(self.found.image[row]),
                row,
                None if partner == NOBODY else partner,
                overlap,
                confidence * (1 - overlap) if outcome is Outcome.LOOSE else confidence,
            )

    def _misses(self, *, with_loose: bool = False) -> Iterator[Mistake]:
        """Yield the objects that nothing is on; large ones are the worst to miss.

        with_loose: those too that only a loose box is on.
        """
        outcomes = (Outcome.MISSED, Outcome.LOOSE) if with_loose else (Outcome.MISSED,)
        codes = [_CODES.index(outcome) for outcome in outcomes]
        for row in np.flatnonzero(np.isin(self.of_object, codes)).tolist():
            image = int(self.truth.image[row])
            size = self.truth.images[image].size
            share = float(self.truth.area[row]) / max(size.width * size.height, 1)
            badness = float(np.sqrt(min(share, 1.0)))
            yield Mistake(Outcome.MISSED, image, None, row, 0.0, badness)

    def labels_of(self, mistake: Mistake) -> set[str]:
        """Return the labels that a mistake is about."""
        names = self.truth.labels
        of_object = [] if mistake.object is None else [self.truth.label[mistake.object]]
        of_found = [] if mistake.found is None else [self.found.label[mistake.found]]
        return {names[name] for name in (*of_object, *of_found)}

    def clicks(self) -> Floats:
        """Return the cost of correcting each image, shape (images,).

        A miss is a drawing and counts two; deleting, relabelling and moving count one.
        """
        count = len(self.truth.images)
        wrong = (self.of_found >= 0) & ~self.is_outcome(Outcome.RIGHT)
        missed = self.of_object == _CODES.index(Outcome.MISSED)
        return np.asarray(
            np.bincount(self.found.image[wrong], minlength=count)
            + 2.0 * np.bincount(self.truth.image[missed], minlength=count)
        )

    def count(self, outcome: Outcome) -> int:
        """Return the number of an outcome."""
        of = self.of_object if outcome is Outcome.MISSED else self.of_found
        return int(np.count_nonzero(of == _CODES.index(outcome)))


def outcomes(
    truth: Truth, predictions: Predictions, matching: Matching, *, threshold: float
) -> Outcomes:
    """Return the outcomes at this threshold, at IoU 0.5."""
    place = matching.at(FOUND_IOU)
    counted = (predictions.confidence >= threshold) & ~matching.is_ignored[place]
    is_right = counted & matching.is_right[place]
    of_found = np.where(counted, _CODES.index(Outcome.FALSE_ALARM), -1).astype(np.intp)
    of_object = np.where(truth.is_crowd, -1, _CODES.index(Outcome.MISSED)).astype(
        np.intp
    )
    partner = np.where(is_right, matching.object[place], NOBODY)
    overlap = np.zeros(len(predictions))
    of_found[is_right] = of_object[partner[is_right]] = _CODES.index(Outcome.RIGHT)
    result = Outcomes(
        truth, predictions, threshold, of_found, of_object, partner, overlap
    )
    for image in np.unique(predictions.image[counted]).tolist():
        _classify(result, image)
    return result


def _classify(result: Outcomes, image: int) -> None:
    """Find mix-ups and loose boxes among the rest of an image."""
    truth, predictions = result.truth, result.found
    rows = np.flatnonzero((predictions.image == image) & (result.of_found >= 0))
    objects = np.flatnonzero((truth.image == image) & ~truth.is_crowd)
    overlaps = pairwise_iou(predictions.xyxy[rows], truth.xyxy[objects])
    same = predictions.label[rows][:, None] == truth.label[objects][None, :]
    place_of = {row: place for place, row in enumerate(objects.tolist())}
    for place, row in enumerate(rows.tolist()):
        if result.partner[row] != NOBODY:
            result.overlap[row] = overlaps[place, place_of[int(result.partner[row])]]
    mixes = np.where(~same & (overlaps >= FOUND_IOU), overlaps, 0)
    _pair_up(result, Outcome.MIX_UP, rows, objects, mixes)
    near = np.where(same & (overlaps >= LOOSE_IOU), overlaps, 0)
    _pair_up(result, Outcome.LOOSE, rows, objects, near)


def _pair_up(
    result: Outcomes,
    outcome: Outcome,
    rows: Indices,
    objects: Indices,
    overlaps: Floats,
) -> None:
    """Pair the rest of both, the largest overlap first."""
    code = _CODES.index(outcome)
    alarm, missed = _CODES.index(Outcome.FALSE_ALARM), _CODES.index(Outcome.MISSED)
    order = np.argsort(-overlaps, axis=None, kind="stable")
    for place in order[: int(np.count_nonzero(overlaps))].tolist():
        row, column = divmod(place, len(objects))
        detection, thing = rows[row], objects[column]
        if result.of_found[detection] != alarm or result.of_object[thing] != missed:
            continue
        result.of_found[detection] = result.of_object[thing] = code
        result.partner[detection] = thing
        result.overlap[detection] = overlaps[row, column]


def boxes_of_mistakes(
    outcomes: Outcomes, mistakes: Iterable[Mistake]
) -> list[Annotation]:
    """Return the boxes that mistakes are about, to be drawn: each box once."""
    drawn: dict[tuple[str, int], Annotation] = {}
    for mistake in mistakes:
        if mistake.object is not None:
            drawn["object", mistake.object] = object_box(outcomes, mistake.object)
        if mistake.found is not None:
            drawn["found", mistake.found] = found_box(outcomes, mistake.found)
    return list(drawn.values())


def object_box(outcomes: Outcomes, row: int) -> Annotation:
    """Return an object of the truth as a person's box: a solid line."""
    truth = outcomes.truth
    return Annotation(
        Box(*truth.xyxy[row].tolist()),
        truth.labels[truth.label[row]],
        annotation_id=f"object {row}",
        source=Source.HUMAN,
    )


def found_box(outcomes: Outcomes, row: int) -> Annotation:
    """Return a detection as a model's untouched box: a dashed line."""
    predictions = outcomes.found
    return Annotation(
        Box(*predictions.xyxy[row].tolist()),
        outcomes.truth.labels[predictions.label[row]],
        annotation_id=f"found {row}",
        source=Source.MODEL,
        confidence=float(predictions.confidence[row]),
    )


def drawn(
    rgb: RgbArray, annotations: Sequence[Annotation], labels: LabelSet, size: Size
) -> RgbArray:
    """Return a copy of an image with these boxes on it."""
    return draw_annotations(rgb, annotations, labels=labels, from_size=size)


def in_words(outcomes: Outcomes, mistake: Mistake) -> str:
    """Return a mistake in a few words: "missed: dog"."""
    thing = _label_of_object(outcomes, mistake.object)
    predicted, sure = "", ""
    if mistake.found is not None:
        predicted = outcomes.truth.labels[outcomes.found.label[mistake.found]]
        sure = percent(float(outcomes.found.confidence[mistake.found]))
    match mistake.outcome:
        case Outcome.RIGHT:
            return f"found: {predicted} {sure}"
        case Outcome.MISSED:
            return f"missed: {thing}"
        case Outcome.FALSE_ALARM:
            return f"false detection: {predicted} {sure}"
        case Outcome.MIX_UP:
            return f"wrong label: {thing} detected as {predicted} {sure}"
        case _:
            overlap = f"{mistake.overlap:.0%}".replace("%", " %")
            return f"loose box: {predicted} {sure}, IoU {overlap}"


def _label_of_object(outcomes: Outcomes, row: int | None) -> str:
    return "" if row is None else outcomes.truth.labels[outcomes.truth.label[row]]


def listed(outcomes: Outcomes, mistakes: Sequence[Mistake]) -> str:
    """Return the first few mistakes in words, and how many more there are."""
    counts = Counter(in_words(outcomes, mistake) for mistake in mistakes)
    shown = [
        words if count == 1 else f"{words} × {count}"
        for words, count in list(counts.items())[:_NAMED]
    ]
    rest = sum(list(counts.values())[_NAMED:])
    return "; ".join([*shown, f"and {rest} more"] if rest else shown)
