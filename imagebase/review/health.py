"""How healthy a dataset is: counts and histograms over columns of images and boxes.

Everything is computed from arrays, for 100,000 boxes at once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import ReviewStatus
from imagebase.geometry import FloatArray, box_area
from imagebase.images.quality import near_duplicates
from imagebase.store import ImageRow
from imagebase.store.statistics import BoxTable, ImageTable

# A net of 416 pixels sees such a box as a point, or not at all.
TINY_PX: Final = 8.0
TINY_SHARE: Final = 0.001
# A box around everything is more often a slip, or a label for the image as a whole.
WHOLE_SHARE: Final = 0.9

GRID: Final = (16, 24)
MANY_BOXES: Final = 20
# Powers of two of width over height; values beyond count with the last bin.
ASPECT_EDGES: Final = 2.0 ** np.arange(-3.0, 3.01, 0.5)
# Side of the box as a share of the image's, each bin half as wide again.
SIDE_EDGES: Final = np.array(
    [0, 0.01, 0.016, 0.025, 0.04, 0.063, 0.1, 0.16, 0.25, 0.4, 0.63, 1.0]
)


class Finding(StrEnum):
    """What may be wrong with an image or with a box on it."""

    TINY_BOX = "tiny box"
    WHOLE_IMAGE_BOX = "whole-image box"
    NEAR_DUPLICATE = "near-duplicate"
    BLURRED = "blurred"
    DARK = "dark"
    BRIGHT = "bright"
    FLAT = "flat"
    TINY_IMAGE = "tiny image"


_OF_WARNING: Final = {
    "blurred": Finding.BLURRED,
    "dark": Finding.DARK,
    "bright": Finding.BRIGHT,
    "flat": Finding.FLAT,
    "tiny": Finding.TINY_IMAGE,
}


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """B bins: from edges[i], included, to edges[i + 1]. bin_of: (N,) for each value."""

    edges: NDArray[np.float64]
    counts: NDArray[np.intp]
    bin_of: NDArray[np.intp]

    @property
    def highest(self) -> int:
        """The bin that holds most."""
        return int(np.argmax(self.counts))


def histogram(values: FloatArray, edges: NDArray[np.float64]) -> Histogram:
    """Count values in bins; values beyond the edges count with the nearest bin."""
    last = len(edges) - 2
    bin_of = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, last)
    return Histogram(edges, np.bincount(bin_of, minlength=last + 1), bin_of)


def count_by_status(images: ImageTable) -> dict[ReviewStatus, int]:
    """Return how many images stand where; every status is there."""
    counted = Counter(images.status)
    return {status: counted[status] for status in ReviewStatus}


def count_by_label(boxes: BoxTable) -> dict[str, int]:
    """Return how many boxes each label has, the most frequent first, none without."""
    counts = np.bincount(boxes.label, minlength=len(boxes.labels))
    by_label = {name: int(n) for name, n in zip(boxes.labels, counts, strict=True) if n}
    return dict(sorted(by_label.items(), key=lambda item: (-item[1], item[0])))


def count_tags(images: ImageTable) -> dict[str, int]:
    """Return how many images bear each tag, the most frequent first."""
    counted = Counter(tag for tags in images.tags for tag in dict.fromkeys(tags))
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def leading(counts: Mapping[str, int], most: int) -> tuple[dict[str, int], int]:
    """Return the first of the counts, and the sum of the others."""
    names = list(counts)
    rest = sum(counts[name] for name in names[most:])
    return {name: counts[name] for name in names[:most]}, rest


def sides(boxes: BoxTable) -> FloatArray:
    """Return width and height of each box in pixels, shape (N, 2)."""
    return np.asarray(boxes.xyxy[:, 2:] - boxes.xyxy[:, :2])


def area_shares(boxes: BoxTable, images: ImageTable) -> FloatArray:
    """Return each box's area as a share of its image's, shape (N,)."""
    width, height = images.size[boxes.image].T
    return np.asarray(box_area(boxes.xyxy) / (width * height))


def relative_sides(boxes: BoxTable, images: ImageTable) -> FloatArray:
    """Return the square root of each box's share of its image, shape (N,)."""
    return np.sqrt(area_shares(boxes, images))


def aspect_ratios(boxes: BoxTable) -> FloatArray:
    """Return width over height, shape (N,)."""
    width, height = sides(boxes).T
    return np.asarray(width / np.maximum(height, np.finfo(np.float64).tiny))


def centre_cells(
    boxes: BoxTable, images: ImageTable, *, grid: tuple[int, int] = GRID
) -> NDArray[np.intp]:
    """Return the row and the column of the cell that each centre is in, shape (N, 2).

    grid: rows and columns that every image is divided into.
    """
    centres = (boxes.xyxy[:, :2] + boxes.xyxy[:, 2:]) / 2
    relative = centres / images.size[boxes.image]
    rows, columns = grid
    cells = np.floor(relative[:, ::-1] * np.array([rows, columns]))
    last = np.array([rows - 1, columns - 1])
    return np.asarray(np.clip(cells, 0, last), dtype=np.intp)


def centre_counts(
    cells: NDArray[np.intp], *, grid: tuple[int, int] = GRID
) -> NDArray[np.intp]:
    """Return how many centres are in each cell, of the grid's shape."""
    flat = np.ravel_multi_index((cells[:, 0], cells[:, 1]), grid)
    return np.bincount(flat, minlength=grid[0] * grid[1]).reshape(grid)


def boxes_per_image(boxes: BoxTable, images: ImageTable) -> NDArray[np.intp]:
    """Return how many boxes each image has, shape (M,)."""
    return np.bincount(boxes.image, minlength=len(images))


def is_tiny(boxes: BoxTable, images: ImageTable) -> NDArray[np.bool_]:
    """Say of each box whether a side is under 8 px, or the area under 0.1 %."""
    is_thin = sides(boxes).min(axis=1, initial=np.inf) < TINY_PX
    return np.asarray(is_thin | (area_shares(boxes, images) < TINY_SHARE))


def is_whole_image(boxes: BoxTable, images: ImageTable) -> NDArray[np.bool_]:
    """Say of each box whether it covers more than 90 % of its image."""
    return area_shares(boxes, images) > WHOLE_SHARE


def duplicate_groups(
    images: ImageTable, vectors: Mapping[str, NDArray[np.float32]] | None = None
) -> list[list[str]]:
    """Return groups of images that look nearly the same, two members at least.

    vectors: of images, where they are known; see `near_duplicates`. Of more images than
        `MOST_BY_VECTORS` the hashes alone are compared.
    """
    if len(images) > MOST_BY_VECTORS:
        vectors = None
    pairs = zip(images.image_ids, images.difference_hash, strict=True)
    hashes = {image_id: digest for image_id, digest in pairs if digest}
    return near_duplicates(hashes, vectors=vectors)


# By vectors each image is compared with each: a second of CPU time for so many, ten for
# 100,000, while a person waits.
MOST_BY_VECTORS: Final = 30_000

_DECIDED: Final = (
    *(ReviewStatus.APPROVED, ReviewStatus.EDITED, ReviewStatus.IMPORTED),
    *(ReviewStatus.SUGGESTED, ReviewStatus.NEW, ReviewStatus.REJECTED),
)


def best_of(rows: Sequence[ImageRow]) -> ImageRow:
    """Return the image to keep of near-duplicates: the one with most work in it.

    Approved ones come before edited ones, then those with more boxes, then larger ones,
    then those that were uploaded first. Rejected ones come last, but for those with
    boxes, which come before new ones.
    """

    def place(row: ImageRow) -> float:
        if row.status is ReviewStatus.REJECTED and row.box_count:
            return _DECIDED.index(ReviewStatus.NEW) - 0.5
        return _DECIDED.index(row.status)

    return min(
        rows,
        key=lambda row: (
            place(row),
            -row.box_count,
            -row.size.width * row.size.height,
        ),
    )


def findings(
    boxes: BoxTable,
    images: ImageTable,
    vectors: Mapping[str, NDArray[np.float32]] | None = None,
) -> dict[Finding, tuple[str, ...]]:
    """Return the images that each finding is about, in upload order, none without.

    vectors: as in `duplicate_groups`.
    """
    ids_of: dict[Finding, Iterable[str]] = {
        Finding.TINY_BOX: images.ids_at(boxes.image[is_tiny(boxes, images)]),
        Finding.WHOLE_IMAGE_BOX: images.ids_at(
            boxes.image[is_whole_image(boxes, images)]
        ),
        Finding.NEAR_DUPLICATE: (
            image_id
            for group in duplicate_groups(images, vectors)
            for image_id in group
        ),
    }
    for warning, finding in _OF_WARNING.items():
        ids_of[finding] = _warned(images, warning)
    return {name: ids for name, each in ids_of.items() if (ids := tuple(each))}


def _warned(images: ImageTable, warning: str) -> Sequence[str]:
    pairs = zip(images.image_ids, images.warnings, strict=True)
    return [image_id for image_id, warnings in pairs if warning in warnings]
