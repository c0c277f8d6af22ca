"""Which images and boxes an export takes, and which split and zip each goes to."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from imagebase.annotation import ImageRecord, LabelSet, ReviewStatus
from imagebase.errors import ExportError
from imagebase.export.request import SHARES, TAGS, ExportRequest, SplitChoice
from imagebase.formats.split import (
    Split,
    SplitImage,
    part_named,
    split_by_column,
    split_by_shares,
)
from imagebase.images.quality import MAX_HASH_DISTANCE
from imagebase.store.image_rows import ImageRow


class SourceImages(Protocol):
    """A dataset, as far as an export asks of it."""

    def contents(self) -> Iterable[ImageRow]:
        """Return the contents of images in the states that the request names."""
        ...

    def records(self, image_ids: Iterable[str]) -> Iterable[ImageRecord]:
        """Yield records in this order, but for deleted ones."""
        ...

    def record(self, image_id: str) -> ImageRecord: ...

    def bytes_of(self, image_id: str) -> bytes: ...

    def labels(self) -> LabelSet: ...


class LostImageError(Exception):
    """An image's file is missing or damaged."""

    def __init__(self, image_id: str) -> None:
        super().__init__(image_id)
        self.image_id = image_id


class ExportSelection:
    """Selects images and boxes, and counts those left out.

    Where only some labels are wanted, an approved image without a box of them is one
    confirmed to hold none, and any other is left out.
    """

    def __init__(self, request: ExportRequest) -> None:
        self._labels = None if request.labels is None else frozenset(request.labels)
        self._with_empty = request.with_empty
        self._left: Counter[str] = Counter()

    def taken(self, record: ImageRecord) -> ImageRecord | None:
        """Return the record in the export; None where it is left out."""
        subset = record
        if self._labels is not None:
            wanted = (
                annotation
                for annotation in record.annotations
                if annotation.label in self._labels
            )
            subset = record.with_annotations(wanted)
        is_in = self._takes(
            record.status, kept=len(subset.annotations), of=len(record.annotations)
        )
        return subset if is_in else None

    def counted(self, contents: ImageRow) -> ImageRow | None:
        """Return an image's contents in the export; None where it is left out."""
        labels = {
            label: count
            for label, count in contents.boxes.items()
            if self._labels is None or label in self._labels
        }
        total = sum(contents.boxes.values())
        is_in = self._takes(contents.status, kept=sum(labels.values()), of=total)
        return replace(contents, boxes=labels) if is_in else None

    def _takes(self, status: ReviewStatus, *, kept: int, of: int) -> bool:
        is_confirmed = status is ReviewStatus.APPROVED
        if not kept and is_confirmed and not self._with_empty:
            self._left["images confirmed to hold nothing"] += 1
            return False
        if not kept and of and not is_confirmed:
            self._left["images, not approved, without a box of these labels"] += 1
            return False
        self._left["boxes of other labels"] += of - kept
        return True

    def left_out(self) -> tuple[str, ...]:
        """Return the exclusions so far, in sentences."""
        return tuple(
            f"{n:,} {what} are not in it." for what, n in self._left.items() if n
        )


def labels_of(request: ExportRequest, labels: LabelSet) -> LabelSet:
    """Return the labels that the export lists, in their order."""
    if request.labels is None or not request.renumbers:
        return labels
    return LabelSet(tuple(label for label in labels if label.name in request.labels))


def split_image(contents: ImageRow) -> SplitImage:
    """Return what a split asks of an image."""
    return SplitImage(contents.image_id, contents.boxes, contents.difference_hash)


def split_of(choice: SplitChoice, candidates: Sequence[ImageRow]) -> Split:
    """Return which image goes where.

    Raises:
        ExportError: the shares are none, or an image is tagged for two parts.
    """
    images = [split_image(candidate) for candidate in candidates]
    if choice.by == SHARES:
        distance = MAX_HASH_DISTANCE if choice.keeps_together else None
        return split_by_shares(
            images, choice.shares, seed=choice.seed, max_hash_distance=distance
        )
    cells = _tag_column if choice.by == TAGS else _folder_column
    return split_by_column(
        (image.image_id for image in images),
        cells(candidates),
        otherwise=choice.otherwise,
    )


def has_column(choice_by: str, candidates: Iterable[ImageRow]) -> bool:
    """Say whether any image has a tag, or lies in a folder, that names a part."""
    words = (
        candidate.tags if choice_by == TAGS else candidate.file_name.split("/")[:-1]
        for candidate in candidates
    )
    return any(part_named(word) for column in words for word in column)


def _tag_column(candidates: Iterable[ImageRow]) -> Mapping[str, str]:
    column: dict[str, str] = {}
    for candidate in candidates:
        parts = {part for tag in candidate.tags if (part := part_named(tag))}
        if len(parts) > 1:
            raise ExportError(
                f"{candidate.file_name} has the tags {' and '.join(sorted(parts))}; "
                "leave it one of them."
            )
        if parts:
            column[candidate.image_id] = parts.pop()
    return column


def _folder_column(candidates: Iterable[ImageRow]) -> Mapping[str, str]:
    """Return the part that the innermost folder with such a name gives."""
    column = {}
    for candidate in candidates:
        folders = candidate.file_name.split("/")[:-1]
        parts = [part for folder in folders if (part := part_named(folder))]
        if parts:
            column[candidate.image_id] = parts[-1]
    return column


def dealt_into_zips(
    parts: Sequence[str], byte_counts: Sequence[int], *, most_bytes: int
) -> list[list[int]]:
    """Return the places of the images that each zip holds, in their order.

    Each part of a split is dealt out by itself, so that every zip trains, validates and
    tests on its share. Sizes are estimates: a zip may come out a little larger.

    Args:
        parts, byte_counts: of each image, in their order.
    """
    count = max(1, min(-(-sum(byte_counts) // most_bytes), len(parts)))
    held: list[list[int]] = [[] for _ in range(count)]
    whole: defaultdict[str, int] = defaultdict(int)
    for part, byte_count in zip(parts, byte_counts, strict=True):
        whole[part] += byte_count + 1
    before: defaultdict[str, int] = defaultdict(int)
    for place, (part, byte_count) in enumerate(zip(parts, byte_counts, strict=True)):
        # Where its middle lies decides: two of nearly the same size part.
        middle = before[part] + (byte_count + 1) / 2
        held[int(middle * count / whole[part])].append(place)
        before[part] += byte_count + 1
    return [places for places in held if places]


def zips_without_parts(
    parts: Sequence[str], zips: Sequence[Sequence[int]]
) -> dict[str, int]:
    """Return of how many zips each part is missing, of those parts that there are."""
    held = [{parts[place] for place in places} for places in zips]
    missing = {
        part: sum(part not in of_zip for of_zip in held)
        for part in dict.fromkeys(parts)
    }
    return {part: count for part, count in missing.items() if count}
