"""Which images and boxes of a dataset an export takes, and what it leaves out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from imagebase.annotation import ImageRecord, LabelSet
from imagebase.errors import ExportError
from imagebase.exporting.request import (
    SHARES,
    TAGS,
    ExportRequest,
    SplitChoice,
)
from imagebase.quality import MAX_HASH_DISTANCE
from imagebase.split import (
    Split,
    SplitImage,
    part_named,
    split_by_column,
    split_by_shares,
    split_image,
)


class Candidate(NamedTuple):
    """What dealing an image out asks of it, whichever way it is done."""

    image: SplitImage
    file_name: str
    tags: tuple[str, ...]


class Selection:
    """Takes images one by one, and counts what it leaves out."""

    def __init__(self, request: ExportRequest) -> None:
        self._labels = None if request.labels is None else frozenset(request.labels)
        self._with_empty = request.with_empty
        self._left: Counter[str] = Counter()

    def taken(self, record: ImageRecord) -> ImageRecord | None:
        """Return the record as it is exported; None where it is not.

        Where only some labels are wanted, an approved image without a box of them is
        one confirmed to hold none, and any other is left out.
        """
        kept = self._of_labels(record)
        if kept.is_confirmed_empty and not self._with_empty:
            self._left["images confirmed to hold nothing"] += 1
            return None
        is_foreign = not kept.annotations and bool(record.annotations)
        if is_foreign and not kept.is_confirmed_empty:
            self._left["images, not approved, without a box of these labels"] += 1
            return None
        self._left["boxes of other labels"] += len(record.annotations) - len(
            kept.annotations
        )
        return kept

    def _of_labels(self, record: ImageRecord) -> ImageRecord:
        if self._labels is None:
            return record
        wanted = (one for one in record.annotations if one.label in self._labels)
        return record.with_annotations(wanted)

    def left_out(self) -> tuple[str, ...]:
        """Return what was left out so far, in sentences."""
        return tuple(
            f"{n:,} {what} are not in it." for what, n in self._left.items() if n
        )


def labels_of(request: ExportRequest, labels: LabelSet) -> LabelSet:
    """Return the labels that the export lists, in their order."""
    if request.labels is None or not request.renumbers:
        return labels
    return LabelSet(tuple(one for one in labels if one.name in request.labels))


def candidate(record: ImageRecord) -> Candidate:
    """Return what dealing out asks of a record."""
    return Candidate(split_image(record), record.file_name, record.tags)


def split_of(choice: SplitChoice, candidates: Sequence[Candidate]) -> Split:
    """Return which image goes where.

    Raises:
        ExportError: the shares are none, or an image is tagged for two parts.
    """
    images = [one.image for one in candidates]
    if choice.by == SHARES:
        distance = MAX_HASH_DISTANCE if choice.keeps_together else None
        return split_by_shares(
            images, choice.shares, seed=choice.seed, max_hash_distance=distance
        )
    cells = _tag_column if choice.by == TAGS else _folder_column
    return split_by_column(
        (one.image_id for one in images), cells(candidates), otherwise=choice.otherwise
    )


def has_column(choice_by: str, candidates: Iterable[Candidate]) -> bool:
    """Say whether any image has a tag, or lies in a folder, that names a part."""
    words = (
        one.tags if choice_by == TAGS else one.file_name.split("/")[:-1]
        for one in candidates
    )
    return any(part_named(word) for found in words for word in found)


def _tag_column(candidates: Iterable[Candidate]) -> Mapping[str, str]:
    column: dict[str, str] = {}
    for one in candidates:
        parts = {part for tag in one.tags if (part := part_named(tag))}
        if len(parts) > 1:
            raise ExportError(
                f"{one.file_name} has the tags {' and '.join(sorted(parts))}; leave it "
                "one of them."
            )
        if parts:
            column[one.image.image_id] = parts.pop()
    return column


def _folder_column(candidates: Iterable[Candidate]) -> Mapping[str, str]:
    """Return the part that the innermost folder of such a name says."""
    column = {}
    for one in candidates:
        folders = one.file_name.split("/")[:-1]
        parts = [part for folder in folders if (part := part_named(folder))]
        if parts:
            column[one.image.image_id] = parts[-1]
    return column
