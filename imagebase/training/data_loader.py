"""Training batches: order of the images, and augmentation.

A batch depends only on the seed and its number, so a resumed run uses the same batches.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.annotation.areas import Shape
from imagebase.annotation.coverage import mask_of
from imagebase.training.data import TRAIN, TrainingImage, TrainingSet
from imagebase.training.run_settings import TrainingSettings

SCALE: Final = (0.7, 1.3)
ASPECT: Final = (0.9, 1.1)
SHIFT: Final = 0.1
HUE, SATURATION, VALUE = 0.015, 0.5, 0.4
_GREY: Final = (114, 114, 114)
# Side of a cell of the ignore mask in pixels of the input, whose sides are multiples
# of 32.
_AREA_PX: Final = 4
# An object that is cut off stays if this share of its area is left.
_LEAST_LEFT: Final = 0.25


class Batch(NamedTuple):
    """pictures: (B, height, width, 3) bytes. image, label: (N,). boxes: (N, 4).

    ignored: (B, height / 4, width / 4), 1 in ignore areas; None without any.
    """

    pictures: NDArray[np.uint8]
    image: NDArray[np.int64]
    label: NDArray[np.int64]
    boxes: NDArray[np.float32]
    ignored: NDArray[np.float32] | None = None


class _Example(NamedTuple):
    """One augmented image of a batch. ignored: None without ignore areas."""

    picture: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    ignored: NDArray[np.float32] | None


class Batches:
    """The batches of a training run by number."""

    def __init__(self, training_set: TrainingSet, settings: TrainingSettings) -> None:
        self._set = training_set
        self._settings = settings
        self._train = training_set.of_part(TRAIN)

    @property
    def per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return max(1, round(len(self._train) / self._settings.batch_size))

    def from_number(self, first: int) -> Iterator[Batch]:
        """Yield batches endlessly; the next is prepared in a thread."""
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
        counts = [len(part.labels) for part in parts]
        return Batch(
            np.stack([part.picture for part in parts]),
            np.repeat(np.arange(size), counts),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.boxes for part in parts]),
            _stacked([part.ignored for part in parts]),
        )

    def _image_at(self, place: int) -> int:
        """Return the index of the n-th image: each once per epoch, in random order."""
        epoch, at = divmod(place, len(self._train))
        order = np.random.default_rng([self._settings.seed, epoch, 1])
        return self._train[int(order.permutation(len(self._train))[at])]

    def _changed(self, place: int, generator: np.random.Generator) -> _Example:
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
        boxes, is_inside = move.boxes(image.boxes)
        ignored = _moved_areas(image, move, Size(width, height))
        return _Example(picture, image.labels[is_inside], boxes[is_inside], ignored)


def _moved_areas(
    image: TrainingImage, move: "Move", net_size: Size
) -> NDArray[np.float32] | None:
    if not image.ignored:
        return None
    grid = Size(net_size.width // _AREA_PX, net_size.height // _AREA_PX)
    mask = _areas(image.ignored, image.size, grid)
    moved = cv2.warpAffine(mask, move.matrix(*grid), grid, flags=cv2.INTER_LINEAR)
    return np.asarray(moved, np.float32)


@lru_cache(maxsize=256)
def _areas(shapes: tuple[Shape, ...], size: Size, grid: Size) -> NDArray[np.float32]:
    """Return how much of each cell of a grid over the image shapes cover."""
    mask = mask_of(shapes, size).astype(np.float32)
    return np.asarray(cv2.resize(mask, grid, interpolation=cv2.INTER_AREA), np.float32)


def _stacked(areas: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    known = [area for area in areas if area is not None]
    if not known:
        return None
    nowhere = np.zeros_like(known[0])
    return np.stack([nowhere if area is None else area for area in areas])


class Move(NamedTuple):
    """Affine transform in relative coordinates: 0.5 + shift + factor × (x - 0.5).

    A negative factor mirrors.
    """

    factor: tuple[float, float]
    shift: tuple[float, float]

    def matrix(self, width: int, height: int) -> NDArray[np.float64]:
        """Return the transform for pixels, shape (2, 3), as OpenCV counts them."""
        rows = np.zeros((2, 3))
        for axis, side in enumerate((width, height)):
            rows[axis, axis] = self.factor[axis]
            start = (0.5 + self.shift[axis] - 0.5 * self.factor[axis]) * side
            # Pixel coordinates are those of pixel centres.
            rows[axis, 2] = start + 0.5 * self.factor[axis] - 0.5
        return rows

    def boxes(
        self, boxes: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the transformed boxes, clipped, and which of them are kept."""
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
    """Return the image with slightly changed hue, saturation and value."""
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
