"""Compare two versions of label files: boxes, images, class numbers."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Annotation, AttributeValue, Box, ImageRecord, Size
from imagebase.annotation.attributes import as_texts
from imagebase.formats.base import ReadImage, any_attribute
from imagebase.formats.image_index import NameIndex
from imagebase.geometry import as_xyxy, pairwise_iou

SAME_OBJECT_IOU: Final = 0.5
# Formats of whole pixels move an edge by up to one.
SAME_PLACE_PX: Final = 1.0
# Fractions of an unknown size are compared as if it were this.
_UNKNOWN_SIZE: Final = Size(1000, 1000)


class What(StrEnum):
    """Kind of difference of a box."""

    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    RELABELLED = "relabelled"
    DESCRIBED = "with other attributes"


# Says of an attribute's name and value whether the files can hold it.
Holds = Callable[[str, AttributeValue], bool]


@dataclass(frozen=True, slots=True)
class LabelSetSide:
    """One of the two versions: its labels by class number, and its images.

    holds: which attributes its boxes can have; the others are not compared.
    """

    labels: Sequence[str]
    images: Iterable[ReadImage]
    holds: Holds = any_attribute


@dataclass(frozen=True, slots=True)
class BoxChange:
    """One box that is not the same in both; None where it is not there.

    iou: how far the two overlap; 0 where there is one only.
    """

    what: What
    before: Annotation | None
    after: Annotation | None
    iou: float = 0.0


@dataclass(frozen=True, slots=True)
class ImageDiff:
    """An image that both have, and on which boxes differ.

    name: as the later version has it. size: what the boxes of both are pixels of.
    """

    name: str
    size: Size | None
    changes: tuple[BoxChange, ...]


@dataclass(frozen=True, slots=True)
class LabelNumbers:
    """A label's class number in each version; None where it has none."""

    label: str
    before: int | None
    after: int | None

    @property
    def is_shifted(self) -> bool:
        """Say whether both have the label, under another number each."""
        return None not in (self.before, self.after) and self.before != self.after


@dataclass(frozen=True, slots=True)
class LabelSetDiff:
    """Differences between two versions of label files.

    images: on which boxes differ. only_before, only_after: names of images that one
        version alone has. same_boxes: that are in both, to a pixel.
    """

    labels: tuple[LabelNumbers, ...]
    images: tuple[ImageDiff, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    same_boxes: int
    compared_images: int

    @property
    def counts(self) -> dict[What, int]:
        """How many boxes came to what; every kind is there."""
        totals = Counter(
            change.what for image in self.images for change in image.changes
        )
        return {what: totals[what] for what in What}

    @property
    def shifted(self) -> tuple[LabelNumbers, ...]:
        """The labels that both have, under another class number each."""
        return tuple(label for label in self.labels if label.is_shifted)


def side_of_records(
    labels: Sequence[str], records: Iterable[ImageRecord]
) -> LabelSetSide:
    """Return a dataset as one of the versions."""
    images = (
        ReadImage(record.file_name, record.size, record.annotations)
        for record in records
    )
    return LabelSetSide(labels, images)


def compare(before: LabelSetSide, after: LabelSetSide) -> LabelSetDiff:
    """Return the differences between two versions of label files.

    Images are the same by their name: unchanged, else without its suffix, else without
    its folders, else without both; any case. A name that may mean several is none.
    """

    def holds(name: str, value: AttributeValue) -> bool:
        return before.holds(name, value) and after.holds(name, value)

    earlier: dict[str, ReadImage] = {}
    only_before: list[str] = []
    for image in before.images:
        if earlier.setdefault(image.name, image) is not image:
            only_before.append(image.name)
    index = NameIndex(earlier)
    differing, only_after, same, compared = [], [], 0, 0
    for image in after.images:
        name = index.find(image.name)
        known = None if name is None else earlier.pop(name, None)
        if known is None:
            only_after.append(image.name)
            continue
        compared += 1
        size = image.size or known.size
        changes, unchanged = compare_boxes(
            _in_pixels_of(known, size), _in_pixels_of(image, size), holds
        )
        same += unchanged
        if changes:
            shown_size = size or (_UNKNOWN_SIZE if image.is_relative else None)
            differing.append(ImageDiff(image.name, shown_size, tuple(changes)))
    return LabelSetDiff(
        _numbers(before.labels, after.labels),
        tuple(differing),
        (*earlier, *only_before),
        tuple(only_after),
        same,
        compared,
    )


def compare_boxes(
    before: Sequence[Annotation],
    after: Sequence[Annotation],
    holds: Holds = any_attribute,
) -> tuple[list[BoxChange], int]:
    """Return how the boxes of an image differ, and how many do not.

    Boxes of one label are the same object where they overlap by an IoU of 0.5, the
    closest first; then, of those left, boxes of two labels.
    """
    first, second = _boxes(before), _boxes(after)
    iou = pairwise_iou(first, second)
    same_label = np.array(
        [[old.label == other.label for other in after] for old in before], dtype=bool
    ).reshape(len(before), len(after))
    # A box of few pixels overlaps little with itself once it is rounded.
    moved = np.abs(first[:, None, :] - second[None, :, :]).max(axis=2, initial=0.0)
    likeness = np.where(moved <= SAME_PLACE_PX, 1.0, iou)
    pairs = _pairs(np.where(same_label, likeness, 0.0))
    free = np.ones_like(iou, dtype=bool)
    for row, column in pairs:
        free[row, :] = free[:, column] = False
    pairs += _pairs(np.where(free & ~same_label, iou, 0.0))
    changes, same = [], 0
    for row, column in sorted(pairs):
        overlap = float(iou[row, column])
        change = _change(before[row], after[column], overlap, holds)
        same += change is None
        changes += [] if change is None else [change]
    rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
    changes += [
        BoxChange(What.REMOVED, old, None)
        for row, old in enumerate(before)
        if row not in rows
    ]
    changes += [
        BoxChange(What.ADDED, None, new)
        for column, new in enumerate(after)
        if column not in columns
    ]
    return changes, same


def _pairs(iou: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return rows with columns, each once, those that overlap most first."""
    rows, columns = np.nonzero(iou >= SAME_OBJECT_IOU)
    order = np.argsort(-iou[rows, columns], kind="stable")
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    pairs = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
            pairs.append((row, column))
    return pairs


def _change(
    before: Annotation, after: Annotation, iou: float, holds: Holds
) -> BoxChange | None:
    if before.label != after.label:
        return BoxChange(What.RELABELLED, before, after, iou)
    moved = (abs(a - b) for a, b in zip(before.box, after.box, strict=True))
    if max(moved) > SAME_PLACE_PX:
        return BoxChange(What.MOVED, before, after, iou)
    if _held(before, holds) != _held(after, holds):
        return BoxChange(What.DESCRIBED, before, after, iou)
    return None


def _held(annotation: Annotation, holds: Holds) -> dict[str, str]:
    return as_texts({k: v for k, v in annotation.attributes.items() if holds(k, v)})


def _boxes(annotations: Sequence[Annotation]) -> NDArray[np.float64]:
    return as_xyxy([annotation.box for annotation in annotations]).astype(np.float64)


def _in_pixels_of(image: ReadImage, size: Size | None) -> tuple[Annotation, ...]:
    """Return an image's boxes as pixels of this size, whatever they were given in."""
    if image.is_relative:
        return image.in_pixels(size or _UNKNOWN_SIZE).annotations
    if size is None or image.size in (None, size):
        return image.annotations
    assert image.size is not None
    across, down = size.width / image.size.width, size.height / image.size.height
    return tuple(
        replace(
            annotation,
            box=Box(
                annotation.box.x_min * across,
                annotation.box.y_min * down,
                annotation.box.x_max * across,
                annotation.box.y_max * down,
            ),
        )
        for annotation in image.annotations
    )


def _numbers(before: Sequence[str], after: Sequence[str]) -> tuple[LabelNumbers, ...]:
    earlier = {name: number for number, name in enumerate(before)}
    later = {name: number for number, name in enumerate(after)}
    return tuple(
        LabelNumbers(name, earlier.get(name), later.get(name))
        for name in {**earlier, **later}
    )
