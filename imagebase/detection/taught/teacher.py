"""A teacher holds the examples of a model, and fits it again as they change.

A first score, of the network's features alone, picks the boxes that are worth a look; a
second one judges them by features and look; a third places the edges of the object and
says how well a box fits. All are ridge regressions, which have a closed form: the same
examples give the same model, and an example is added to running sums or taken away.
"""

import threading
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from imagebase.annotation import Box
from imagebase.detection.nms import nms
from imagebase.detection.taught.calibration import USUAL, Seen, logistic_of
from imagebase.detection.taught.described_image import DescribedImage, Places
from imagebase.detection.taught.edge_fit import EdgeRows
from imagebase.detection.taught.lesson import (
    Lesson,
    Rows,
    best_iou,
    edge_rows,
    first_rows,
    places_of,
    second_rows,
)
from imagebase.detection.taught.model import (
    FIRST_LENGTH,
    MAX_LABELS,
    MEANS_LENGTH,
    SECOND_LENGTH,
    TaughtModel,
)
from imagebase.detection.taught.scores import scored
from imagebase.detection.taught.sizes import (
    Sizes,
    joined,
    sizes_in,
    window_sizes,
    with_sizes,
)
from imagebase.detection.taught.sums import BalancedSums
from imagebase.errors import TeachingError
from imagebase.geometry import FloatArray

# More of them are thinned out evenly: they would teach little, and take memory.
MOST_EXAMPLES: Final = 60
_LEAST_SIDE_PX: Final = 2.0
# With one example means have so many times the usual penalty and looks so much less; by
# this power of the examples it comes to nothing.
_RIDGE: Final = 0.02
_LOOK_FAVOUR, _FADING = 2.0, 0.3
# Of so many new examples what was seen is held while they are studied.
_HELD_IN_MEMORY: Final = 4
# Examples are left out in turn where there are enough, in so many groups; again when
# there are so many times as many.
_LEAST_TO_HOLD_OUT, _MOST_HELD_OUT, _FOLDS = 3, 12, 3
_GROWTH: Final = 1.4
_SAME_OBJECT_IOU: Final = 0.4
_RIGHT_IOU: Final = 0.5


@dataclass(slots=True, eq=False)
class _Example:
    """An example as it is held: its scene packed, and what was added to the sums."""

    packed: bytes
    xyxy: FloatArray
    labels: tuple[str, ...]
    rejected: FloatArray
    is_complete: bool
    sizes: dict[str, Sizes]
    first: Rows | None = None
    second: Rows | None = None

    def lesson(self) -> Lesson:
        scene = DescribedImage.unpack(self.packed)
        assert scene is not None, "packed by this process"
        return Lesson(
            scene, self.xyxy, self.labels, self.rejected, is_complete=self.is_complete
        )


class Teacher:
    """Examples by image, and the model that they teach; threads may share it.

    It holds about 2 MB for each example, whatever the size of the image, 7 MB for each
    label up to the sixteenth, and 20 MB.
    """

    def __init__(self, labels: Sequence[str] | None = None) -> None:
        """labels: only these are taught, in this order; None takes all with boxes."""
        self._wanted = labels
        self._examples: dict[Hashable, _Example] = {}
        self._first = BalancedSums(FIRST_LENGTH - 1)
        self._second = BalancedSums(SECOND_LENGTH - 1)
        self._edges = EdgeRows()
        self._logistics: dict[str, tuple[float, float]] = {}
        self._calibrated_with = 0
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._examples)

    def put(
        self,
        image_id: Hashable,
        scene: DescribedImage,
        boxes: Sequence[Box],
        labels: Sequence[str],
        *,
        rejected: Sequence[Box] = (),
        is_complete: bool = True,
    ) -> None:
        """Take an image as an example, in place of what it was before.

        Args:
            boxes: of the labels that are taught, in pixels of the full image.
            labels: of each box.
            rejected: boxes that are certainly no such objects.
            is_complete: there are no other objects of these labels: all else is
                background. False where there may be: what looks like the boxes is then
                neither.
        """
        inside = [box.clipped(scene.loaded.size) for box in boxes]
        kept = [
            (box, label)
            for box, label in zip(inside, labels, strict=True)
            if _is_wide(box) and (self._wanted is None or label in self._wanted)
        ]
        wrong = [box.clipped(scene.loaded.size) for box in rejected]
        lesson = Lesson(
            scene,
            _corners([box for box, _ in kept]),
            tuple(label for _, label in kept),
            _corners([box for box in wrong if _is_wide(box)]),
            is_complete,
        )
        example = _Example(scene.pack(), *lesson[1:], sizes_in(lesson))
        with self._lock:
            self.drop(image_id)
            self._examples[image_id] = example

    def drop(self, image_id: Hashable) -> None:
        """Forget an example; an image that is none is no error."""
        with self._lock:
            example = self._examples.pop(image_id, None)
            if example is not None and example.first and example.second:
                _add(self._first, example.first, sign=-1)
                _add(self._second, example.second, sign=-1)
                self._edges.drop(image_id)

    def model(self) -> TaughtModel:
        """Return the model that the examples teach; the same for the same examples.

        What was taken away or came later is told from what was there at once by the
        windows that its image was looked at through, and by nothing else.

        Raises:
            TeachingError: no example has a box, or they have too many labels.
        """
        with self._lock:
            sizes = joined(example.sizes for example in self._examples.values())
            labels = [one for one in (self._wanted or sorted(sizes)) if one in sizes]
            if not 0 < len(labels) <= MAX_LABELS:
                raise TeachingError(
                    f"The examples have boxes of {len(labels)} labels; give 1 to "
                    f"{MAX_LABELS}, each with a box inside an image at least."
                )
            windows = window_sizes(sizes, labels)
            first = self._study(labels, sizes, windows)
            model = TaughtModel(
                tuple(labels),
                len(self._examples),
                windows,
                first,
                self._weights(self._second, labels, sizes, "second"),
                self._edges.weights(),
                np.repeat(np.array(USUAL, np.float32)[:, None], len(labels), axis=1),
            )
            self._calibrate(model, sizes)
            usual = [self._logistics.get(label, USUAL) for label in labels]
            return replace(model, calibration=np.array(usual, np.float32).T)

    def _study(
        self, labels: Sequence[str], sizes: dict[str, Sizes], windows: FloatArray
    ) -> FloatArray:
        """Add what is new to the sums; return the weights of the first score."""
        new = {key: one for key, one in self._examples.items() if one.first is None}
        seen = {}
        for key, example in new.items():
            lesson = example.lesson()
            places = places_of(lesson, windows)
            example.first = first_rows(lesson, places)
            _add(self._first, example.first)
            if len(new) <= _HELD_IN_MEMORY:
                seen[key] = lesson, places
        first = self._weights(self._first, labels, sizes, "first")
        for key, example in new.items():
            lesson, places = seen.get(key) or _seen(example, windows)
            example.second = second_rows(lesson, places, first)
            _add(self._second, example.second)
            self._edges.add(key, *edge_rows(lesson))
        return first

    def _calibrate(self, model: TaughtModel, sizes: dict[str, Sizes]) -> None:
        """Fit the logistics on examples that were left out, if it is time to.

        A model taught with one of two would say too little of that of both.
        """
        count = len(self._examples)
        is_settled = count / _GROWTH < self._calibrated_with <= count * _GROWTH
        if count < _LEAST_TO_HOLD_OUT:
            self._logistics, self._calibrated_with = {}, 0
            return
        if is_settled and self._logistics.keys() >= {*model.labels}:
            return
        seen: dict[str, list[Seen]] = {label: [] for label in model.labels}
        keys = list(self._examples)
        for fold in range(_FOLDS):
            rest = self._without(model, sizes, keys[fold::_FOLDS])
            for key in keys[fold:_MOST_HELD_OUT:_FOLDS]:
                _judge(rest, self._examples[key].lesson(), seen)
        self._logistics = {label: logistic_of(own) for label, own in seen.items()}
        self._calibrated_with = count

    def _without(
        self, model: TaughtModel, sizes: dict[str, Sizes], keys: Collection[Hashable]
    ) -> TaughtModel:
        """Return the model with second score and edges of the other examples alone."""
        second = self._second.copy()
        for key in keys:
            rows = self._examples[key].second
            if rows is not None:
                _add(second, rows, sign=-1)
        return replace(
            model,
            second=self._weights(
                second, model.labels, sizes, "second", without={*keys}
            ),
            edges=self._edges.weights(without={*keys}),
        )

    def _weights(
        self,
        sums: BalancedSums,
        labels: Sequence[str],
        sizes: dict[str, Sizes],
        score: Literal["first", "second"],
        *,
        without: Collection[Hashable] = (),
    ) -> FloatArray:
        """Return the weights of the first or second score, shape (D + 1, L)."""
        examples = len(self._examples)
        rows: list[Rows | None] = [
            getattr(example, score)
            for key, example in self._examples.items()
            if key not in without
        ]
        penalty = _penalty(sums.columns, examples)
        columns = [
            with_sizes(
                sums.weights(label, penalty, filter(None, rows)),
                sizes[label].logs,
                examples,
            )
            for label in labels
        ]
        return np.stack(columns, axis=1)


def spread(has_boxes: Sequence[bool]) -> list[int]:
    """Return which examples are used, in order: first those with boxes, spread out."""
    order = [index for index, has in enumerate(has_boxes) if has]
    if len(order) < MOST_EXAMPLES:
        order += [index for index, has in enumerate(has_boxes) if not has]
        return sorted(order[:MOST_EXAMPLES])
    places = np.linspace(0, len(order) - 1, MOST_EXAMPLES).round().astype(int)
    return [order[place] for place in places]


def _penalty(columns: int, examples: int) -> FloatArray:
    """Return the penalties of weights: few examples are told by looks the better."""
    penalty = np.full(columns, _RIDGE)
    if columns > FIRST_LENGTH:
        favour = max(_LOOK_FAVOUR / examples**_FADING, 1.0)
        penalty[:MEANS_LENGTH] *= favour
        penalty[FIRST_LENGTH - 1 : -1] /= favour
    return penalty


def _add(sums: BalancedSums, rows: Rows, *, sign: int = 1) -> None:
    sums.add(rows.features.astype(np.float32), rows.targets, sign=sign)


def _seen(example: _Example, windows: FloatArray) -> tuple[Lesson, Places]:
    lesson = example.lesson()
    return lesson, places_of(lesson, windows)


def _judge(model: TaughtModel, lesson: Lesson, seen: dict[str, list[Seen]]) -> None:
    """Note the scores that a model gives, and whether the boxes are right."""
    if not lesson.is_complete:
        return
    boxes = scored(model, lesson.scene)
    iou = best_iou(lesson, boxes.xyxy)
    for place, label in enumerate(model.labels):
        own = boxes.score[:, place]
        stays = nms(boxes.xyxy, own, nms_threshold=_SAME_OBJECT_IOU)
        theirs = iou.get(label, np.zeros(len(own), np.float32))
        right = theirs[stays] >= _RIGHT_IOU
        seen[label].append((own[stays], right.astype(np.float32)))


def _corners(boxes: Sequence[Box]) -> FloatArray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def _is_wide(box: Box) -> bool:
    return min(box.width, box.height) >= _LEAST_SIDE_PX
