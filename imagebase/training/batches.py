"""Batches to learn from: which images, and how each is changed a little every time.

A batch follows from the seed and its number alone, so that a training which goes on
after a crash learns from what it would have learned from.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from imagebase.training.settings import TrainingSettings
from imagebase.training.training_set import TRAIN, TrainingSet

SCALE: Final = (0.7, 1.3)
ASPECT: Final = (0.9, 1.1)
SHIFT: Final = 0.1
HUE, SATURATION, VALUE = 0.015, 0.5, 0.4
_GREY: Final = (114, 114, 114)
# Of an object that was cut off, so much has to be left to be called one.
_LEAST_LEFT: Final = 0.25


class Batch(NamedTuple):
    """pictures: (B, height, width, 3) bytes. image, label: (N,). boxes: (N, 4)."""

    pictures: NDArray[np.uint8]
    image: NDArray[np.int64]
    label: NDArray[np.int64]
    boxes: NDArray[np.float32]


class Batches:
    """The batches of a training by their number."""

    def __init__(self, training_set: TrainingSet, settings: TrainingSettings) -> None:
        self._set = training_set
        self._settings = settings
        self._train = training_set.of_part(TRAIN)

    @property
    def per_epoch(self) -> int:
        """How many batches it takes to see every image once."""
        return max(1, round(len(self._train) / self._settings.batch_size))

    def from_number(self, first: int) -> Iterator[Batch]:
        """Yield batches without end; the next is made while one is learned from."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            ready = pool.submit(self.batch, first)
            while True:
                first += 1
                batch, ready = ready.result(), pool.submit(self.batch, first)
                yield batch

    def batch(self, number: int) -> Batch:
        """Return one batch."""
        size = self._settings.batch_size
        parts = [
            self._changed(place, np.random.default_rng([self._settings.seed, place]))
            for place in range(number * size, (number + 1) * size)
        ]
        counts = [len(labels) for _, labels, _ in parts]
        return Batch(
            np.stack([picture for picture, _, _ in parts]),
            np.repeat(np.arange(size), counts),
            np.concatenate([labels for _, labels, _ in parts]),
            np.concatenate([boxes for _, _, boxes in parts]),
        )

    def _image_at(self, place: int) -> int:
        """Return which image is the n-th to be looked at: each once an epoch."""
        epoch, at = divmod(place, len(self._train))
        order = np.random.default_rng([self._settings.seed, epoch, 1])
        return self._train[int(order.permutation(len(self._train))[at])]

    def _changed(
        self, place: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
        number = self._image_at(place)
        image = self._set.images[number]
        picture: NDArray[np.uint8] = np.asarray(self._set.pictures[number])
        move = _random_move(generator, flip=self._settings.flip)
        height, width = picture.shape[:2]
        picture = np.asarray(
            cv2.warpAffine(
                picture,
                move.matrix(width, height),
                (width, height),
                flags=cv2.INTER_LINEAR,
                borderValue=_GREY,
            ),
            np.uint8,
        )
        if self._settings.colours:
            picture = _recoloured(picture, generator)
        boxes, kept = move.boxes(image.boxes)
        return picture, image.labels[kept], boxes[kept]


class Move(NamedTuple):
    """Where a point of the picture goes, in shares: middle + shift + factor × offset.

    A negative factor mirrors.
    """

    factor: tuple[float, float]
    shift: tuple[float, float]

    def matrix(self, width: int, height: int) -> NDArray[np.float64]:
        """Return the move for pixels, shape (2, 3), as OpenCV counts them."""
        rows = np.zeros((2, 3))
        for axis, side in enumerate((width, height)):
            rows[axis, axis] = self.factor[axis]
            start = (0.5 + self.shift[axis] - 0.5 * self.factor[axis]) * side
            # Pixels are counted by their middles.
            rows[axis, 2] = start + 0.5 * self.factor[axis] - 0.5
        return rows

    def boxes(
        self, boxes: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return boxes as they lie now, cut at the edges, and which are still there."""
        factor, shift = np.array(self.factor), np.array(self.shift)
        centre = 0.5 + shift + factor * (boxes[:, :2] - 0.5)
        size = np.abs(factor) * boxes[:, 2:]
        near = np.clip(centre - size / 2, 0, 1)
        far = np.clip(centre + size / 2, 0, 1)
        left = far - near
        is_kept = (left > 0).all(axis=1)
        is_kept &= left.prod(axis=1) > _LEAST_LEFT * size.prod(axis=1)
        cut = np.concatenate([(near + far) / 2, left], axis=1)
        return cut.astype(np.float32), is_kept


def _random_move(generator: np.random.Generator, *, flip: bool) -> Move:
    scale = generator.uniform(*SCALE)
    aspect = generator.uniform(*ASPECT) ** 0.5
    mirror = -1.0 if flip and generator.random() < 0.5 else 1.0
    x, y = generator.uniform(-SHIFT, SHIFT, 2)
    return Move((float(mirror * scale * aspect), float(scale / aspect)), (x, y))


def _recoloured(
    picture: NDArray[np.uint8], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the picture with hue, saturation and value changed a little."""
    gains = 1 + generator.uniform(-1, 1, 3) * np.array([HUE, SATURATION, VALUE])
    steps = np.arange(256)
    # OpenCV has 180 hues in 8 bits.
    tables = np.stack(
        [
            (steps + (gains[0] - 1) * 180) % 180,
            np.clip(steps * gains[1], 0, 255),
            np.clip(steps * gains[2], 0, 255),
        ],
        axis=-1,
    ).astype(np.uint8)
    hsv = cv2.LUT(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV), tables[None])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
