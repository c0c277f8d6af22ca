"""A teacher holds the examples of a model, and fits it again as they change."""

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from imagebase.annotation import Box
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.fit import Lesson, fit
from imagebase.detection.taught.model import MAX_LABELS, TaughtModel
from imagebase.errors import TeachingError
from imagebase.geometry import FloatArray

# More of them are thinned out evenly: they would teach little, and take long.
MOST_EXAMPLES: Final = 60
_LEAST_SIDE_PX: Final = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _Example:
    """xyxy: (N, 4), inside the image. labels: N."""

    scene: DescribedImage
    xyxy: FloatArray
    labels: tuple[str, ...]


class Teacher:
    """Examples by image, and the model that they teach; threads may share it."""

    def __init__(self, labels: Sequence[str] | None = None) -> None:
        """labels: only these are taught, in this order; None takes all with boxes."""
        self._wanted = labels
        self._examples: dict[Hashable, _Example] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._examples)

    def put(
        self,
        image_id: Hashable,
        scene: DescribedImage,
        boxes: Sequence[Box],
        labels: Sequence[str],
    ) -> None:
        """Take an image as an example, in place of what it was before.

        Args:
            boxes: all of the labels that are taught, in pixels of the full image; what
                is in none of them is background.
            labels: of each box.
        """
        inside = [box.clipped(scene.loaded.size) for box in boxes]
        kept = [
            (box, label)
            for box, label in zip(inside, labels, strict=True)
            if min(box.width, box.height) >= _LEAST_SIDE_PX
            and (self._wanted is None or label in self._wanted)
        ]
        xyxy = np.array([box for box, _ in kept], np.float32).reshape(-1, 4)
        example = _Example(scene, xyxy, tuple(label for _, label in kept))
        with self._lock:
            self._examples[image_id] = example

    def drop(self, image_id: Hashable) -> None:
        """Forget an example; an image that is none is no error."""
        with self._lock:
            self._examples.pop(image_id, None)

    def model(self) -> TaughtModel:
        """Return the model that the examples teach; the same for the same examples.

        Of more than 60 examples those with boxes are used first, spread evenly.

        Raises:
            TeachingError: no example has a box, or they have too many labels.
        """
        with self._lock:
            every = list(self._examples.values())
        chosen = [
            every[index] for index in spread([bool(each.labels) for each in every])
        ]
        found = {label for example in chosen for label in example.labels}
        taught = [label for label in (self._wanted or sorted(found)) if label in found]
        if not 0 < len(taught) <= MAX_LABELS:
            raise TeachingError(
                f"The examples have boxes of {len(taught)} labels; give 1 to "
                f"{MAX_LABELS}, each with a box inside an image at least."
            )
        place = {label: index for index, label in enumerate(taught)}
        return fit(taught, [_lesson(example, place) for example in chosen])


def spread(has_boxes: Sequence[bool]) -> list[int]:
    """Return which examples are used, in order: first those with boxes, spread out."""
    order = [index for index, has in enumerate(has_boxes) if has]
    if len(order) < MOST_EXAMPLES:
        order += [index for index, has in enumerate(has_boxes) if not has]
        return sorted(order[:MOST_EXAMPLES])
    places = np.linspace(0, len(order) - 1, MOST_EXAMPLES).round().astype(int)
    return [order[place] for place in places]


def _lesson(example: _Example, place: dict[str, int]) -> Lesson:
    class_id = np.array([place[label] for label in example.labels], np.intp)
    return Lesson(example.scene, example.xyxy, class_id)
