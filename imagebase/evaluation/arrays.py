"""Ground truth and predictions of a set of images, as parallel arrays.

Rows of all images lie one after the other in parallel arrays; `image` and `label` are
positions in the truth's own lists.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.annotation.areas import Shape, ShapeKind
from imagebase.annotation.coverage import region_of
from imagebase.geometry import FloatArray, pairwise_containment

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]

# Detections kept by an evaluation, as usual in the field.
CONFIDENCE_FLOOR: Final = 0.001
MAX_DETECTIONS: Final = 100
# From this overlap on a box is found, where only one overlap counts.
FOUND_IOU: Final = 0.5


class EvaluatedImage(NamedTuple):
    """An image by its id and the name people know it by."""

    image_id: str
    name: str
    size: Size


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Ground truth: N boxes and crowd regions of the images of a set.

    image, label: (N,), positions in `images` and `labels`. xyxy: (N, 4) pixels.
    area: (N,) square pixels, by which COCO tells small from large; of the outline where
    the label file knows it, else of the box.
    is_crowd: (N,), regions that hold many objects: detections there are not judged.
    box_ids: N of them, by which an annotation is found again.
    regions: by row, the shape of a crowd region that is less than its box.
    """

    labels: tuple[str, ...]
    images: tuple[EvaluatedImage, ...]
    image: Indices
    label: Indices
    xyxy: Floats
    area: Floats
    is_crowd: Flags
    box_ids: tuple[str, ...]
    regions: Mapping[int, Shape] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_rows(self, ("image", "label", "area", "is_crowd", "box_ids"))

    def __len__(self) -> int:
        return len(self.image)

    @property
    def boxes(self) -> int:
        """How many objects there are, crowds left aside."""
        return int(np.count_nonzero(~self.is_crowd))

    @property
    def used_labels(self) -> tuple[str, ...]:
        """The labels that objects have, in order."""
        counts = self.boxes_by_label()
        return tuple(n for n, c in zip(self.labels, counts, strict=True) if c)

    def boxes_by_label(self) -> NDArray[np.intp]:
        """Return how many objects each label has, shape (L,)."""
        return np.bincount(self.label[~self.is_crowd], minlength=len(self.labels))

    def images_by_label(self) -> NDArray[np.intp]:
        """Return on how many images each label is, shape (L,)."""
        rows = ~self.is_crowd
        pairs = np.unique(np.stack([self.image[rows], self.label[rows]]), axis=1)
        return np.bincount(pairs[1], minlength=len(self.labels))

    def only(self, images: Sequence[int]) -> "Truth":
        """Return the truth of some of its images, in this order."""
        place = _places(images, len(self.images))
        rows = np.flatnonzero(place[self.image] >= 0)
        return Truth(
            self.labels,
            tuple(self.images[image] for image in images),
            place[self.image[rows]],
            self.label[rows],
            self.xyxy[rows],
            self.area[rows],
            self.is_crowd[rows],
            tuple(self.box_ids[row] for row in rows),
            {
                at: self.regions[row]
                for at, row in enumerate(rows.tolist())
                if row in self.regions
            },
        )

    def with_areas(self, areas: Sequence[Sequence[Shape]]) -> "Truth":
        """Return the truth with the ignore areas of each image.

        Each is a crowd region of every label: detections there are no mistakes.
        """
        rows = [
            (image, label, shape)
            for image, shapes in enumerate(areas)
            for shape in shapes
            for label in range(len(self.labels))
        ]
        if not rows:
            return self
        boxes = [
            shape.bounds.normalised().clipped(self.images[image].size)
            for image, _, shape in rows
        ]
        first = len(self)
        return replace(
            self,
            image=np.append(self.image, [row[0] for row in rows]),
            label=np.append(self.label, [row[1] for row in rows]),
            xyxy=np.concatenate([self.xyxy, np.array(boxes, np.float64)]),
            area=np.append(self.area, [box.area for box in boxes]),
            is_crowd=np.append(self.is_crowd, np.ones(len(rows), np.bool_)),
            box_ids=(*self.box_ids, *("" for _ in rows)),
            regions=dict(self.regions)
            | {
                first + at: shape
                for at, (_, _, shape) in enumerate(rows)
                if shape.kind is not ShapeKind.RECTANGLE
            },
        )

    def shares_in(self, row: int, xyxy: FloatArray) -> FloatArray:
        """Return the share of each of N boxes that lies in a crowd region, (N,)."""
        if row not in self.regions:
            return np.asarray(
                pairwise_containment(xyxy, self.xyxy[row : row + 1])[:, 0]
            )
        size = self.images[self.image[row]].size
        return np.asarray(region_of((self.regions[row],), size).shares(xyxy))


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """N detections on the images of a truth, each image's best first.

    image, label: (N,), positions in the truth's lists. xyxy: (N, 4) pixels.
    confidence: (N,), 0 to 1.
    """

    image: Indices
    label: Indices
    xyxy: Floats
    confidence: Floats

    def __post_init__(self) -> None:
        _check_rows(self, ("image", "label", "confidence"))

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, Sequence[float], float]]) -> Self:
        """Return rows of image, label, corners and confidence, in the order to keep."""
        return cls(
            np.array([row[0] for row in rows], dtype=np.intp),
            np.array([row[1] for row in rows], dtype=np.intp),
            np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 4),
            np.array([row[3] for row in rows], dtype=np.float64),
        )._in_order()

    def _in_order(self) -> Self:
        return self.rows(np.lexsort((-self.confidence, self.image)))

    def rows(self, which: Indices | Flags) -> Self:
        """Return some of the detections."""
        return type(self)(
            self.image[which],
            self.label[which],
            self.xyxy[which],
            self.confidence[which],
        )

    def only(self, images: Sequence[int], *, of: int) -> Self:
        """Return the detections on some of the `of` images, in the order given."""
        place = _places(images, of)
        rows = self.rows(place[self.image] >= 0)
        return type(self)(
            place[rows.image], rows.label, rows.xyxy, rows.confidence
        )._in_order()


def _places(images: Sequence[int], count: int) -> Indices:
    place = np.full(count, -1, dtype=np.intp)
    place[np.asarray(images, dtype=np.intp)] = np.arange(len(images))
    return place


def _check_rows(values: "Truth | Predictions", names: Sequence[str]) -> None:
    count = len(values.xyxy)
    lengths: Mapping[str, int] = {name: len(getattr(values, name)) for name in names}
    wrong = {name: length for name, length in lengths.items() if length != count}
    if values.xyxy.shape != (count, 4) or wrong:
        known = ", ".join(field.name for field in fields(values))
        raise ValueError(f"{known} have {count} rows, but {wrong}")
