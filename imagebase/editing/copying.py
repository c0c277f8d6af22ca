"""The boxes of one image copied on to others, such as the next ones of a camera."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Size
from imagebase.editing.records import with_edits
from imagebase.geometry import as_xyxy, pairwise_iou

# A box of the same label that covers this much of both is the same box.
SAME_IOU: Final = 0.9
# A size that was rounded to whole pixels differs by less.
_ASPECT_TOLERANCE: Final = 0.01


class NotCopied(StrEnum):
    """Why an image gets no boxes."""

    APPROVED = "approved"
    SHAPE = "of another aspect ratio"
    THERE = "with these boxes already"


@dataclass(frozen=True, slots=True)
class CopyPreview:
    """What copying on would do.

    boxes: how many each image gets, by image id. skipped: file names, by reason.
    """

    boxes: Mapping[str, int]
    skipped: Mapping[NotCopied, tuple[str, ...]]


def preview(source: ImageRecord, targets: Iterable[ImageRecord]) -> CopyPreview:
    """Return how many boxes of `source` each target would get, and who gets none."""
    boxes: dict[str, int] = {}
    skipped: dict[NotCopied, tuple[str, ...]] = {}
    for target in targets:
        new = _new_boxes(source, target)
        if isinstance(new, NotCopied):
            skipped[new] = (*skipped.get(new, ()), target.file_name)
        else:
            boxes[target.image_id] = len(new)
    return CopyPreview(boxes, skipped)


def copied_on(source: ImageRecord, target: ImageRecord, *, who: str) -> ImageRecord:
    """Return the target with the boxes of `source` too, as this person's own.

    Its own boxes stay; a box that is there already, by label and an IoU of 0.9, is not
    doubled. An image of another size gets the boxes in proportion, if its aspect ratio
    is the same; else, and where it is approved, it is returned as it was.
    """
    new = _new_boxes(source, target)
    if isinstance(new, NotCopied):
        return target
    copies = [
        Annotation(box, like.label, changed_by=who, attributes=like.attributes)
        for box, like in new
    ]
    return with_edits(target, [*target.annotations, *copies])


def _new_boxes(
    source: ImageRecord, target: ImageRecord
) -> list[tuple[Box, Annotation]] | NotCopied:
    """Return the boxes that the target lacks, each with the one it is a copy of."""
    if target.status is ReviewStatus.APPROVED:
        return NotCopied.APPROVED
    if not _same_aspect(source.size, target.size):
        return NotCopied.SHAPE
    scaled = [
        (_scaled(like.box, source.size, target.size), like)
        for like in source.annotations
    ]
    new = [(box, like) for box, like in scaled if box.area > 0]
    new = [(box, like) for box, like in new if not _is_there(box, like.label, target)]
    return new or NotCopied.THERE


def _same_aspect(a: Size, b: Size) -> bool:
    one, other = a.width * b.height, b.width * a.height
    return abs(one - other) <= _ASPECT_TOLERANCE * max(one, other)


def _scaled(box: Box, from_size: Size, to_size: Size) -> Box:
    across = to_size.width / from_size.width
    down = to_size.height / from_size.height
    scaled = Box(
        box.x_min * across, box.y_min * down, box.x_max * across, box.y_max * down
    )
    return scaled.clipped(to_size)


def _is_there(box: Box, label: str, target: ImageRecord) -> bool:
    alike = [other.box for other in target.annotations if other.label == label]
    if not alike:
        return False
    return bool(pairwise_iou(as_xyxy([box]), as_xyxy(alike)).max() >= SAME_IOU)
