"""Boxes on a video's frames between two that a person labelled, by interpolation.

They are saved as a layer of untouched boxes, as a model's are: interpolating again
replaces those that nobody touched.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from imagebase.annotation import (
    Annotation,
    AttributeValue,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.detection.merge import SAME_OBJECT_IOU, keep_detections
from imagebase.geometry import as_xyxy, pairwise_iou
from imagebase.images.video import FrameTime, frame_time
from imagebase.store import ImageRow, Scope, Store
from imagebase.store.scope import chunks

# Bears the boxes as a model's id does.
MODEL_ID: Final = "interpolation"
# The attribute by which boxes of one object are known.
TRACK: Final = "track_id"

_LABELLED: Final = (
    ReviewStatus.EDITED,
    ReviewStatus.APPROVED,
    ReviewStatus.IMPORTED,
)
_FILLED: Final = (ReviewStatus.NEW, ReviewStatus.SUGGESTED)
# Of the image's diagonal, that a box without a track id may have moved, and how many
# times larger it may have become.
_MAX_MOVE: Final = 0.5
_MAX_GROWTH: Final = 4.0
_BATCH: Final = 200


class Filled(NamedTuple):
    """A frame between two key frames, and the boxes that it gets."""

    record: ImageRecord
    time: FrameTime
    boxes: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class Interpolation:
    """What interpolating around a frame would save.

    keys: times of the key frames. frames: those that get boxes. problem: why there are
    none, in a sentence, or empty.
    """

    keys: tuple[FrameTime, ...] = ()
    frames: tuple[Filled, ...] = ()
    problem: str = ""

    @property
    def box_count(self) -> int:
        """Return how many boxes all frames get together."""
        return sum(len(frame.boxes) for frame in self.frames)

    @property
    def boxes(self) -> Mapping[str, Sequence[Annotation]]:
        """Return the boxes by image id."""
        return {frame.record.image_id: frame.boxes for frame in self.frames}

    @property
    def seen(self) -> Mapping[str, int]:
        """Return the revisions that they were made for, by image id."""
        return {frame.record.image_id: frame.record.revision for frame in self.frames}


def interpolate(store: Store, scope: Scope, image_id: str) -> Interpolation:
    """Return the boxes between the key frames next to a frame of a video.

    A key frame is approved, or has boxes of a person or of label files. Around a key
    frame, boxes are made towards the one before and the one after it. Frames that a
    person decided on get none, and boxes that a model shows already are left out.
    """
    video = _Video(store, scope, image_id)
    gaps = list(video.gaps())
    if not gaps:
        return Interpolation(
            problem="Label two frames of this video that have others between them. "
            "Boxes are then interpolated on the frames between."
        )
    frames = [frame for gap in gaps for frame in video.filled(gap)]
    keys = tuple(dict.fromkeys(video.time(key) for gap in gaps for key in gap))
    if not any(frame.boxes for frame in frames):
        return Interpolation(
            keys,
            problem="No new boxes: a box is interpolated where both key frames have "
            "one of its label near each other, or with the same track_id.",
        )
    return Interpolation(keys, tuple(frames))


def matched(
    before: Sequence[Annotation], after: Sequence[Annotation], size: Size
) -> list[tuple[Annotation, Annotation]]:
    """Return pairs of boxes that show one object on two frames.

    Boxes with a track id match that of the same id and label. Others match boxes of
    their label: those that overlap most first, then those whose middles are nearest,
    up to half the image's diagonal.

    Args:
        before, after: boxes of either frame.
        size: of the frames.
    """
    pairs, taken = [], set()
    for first in before:
        for second in after:
            if _is_same_track(first, second) and second.annotation_id not in taken:
                pairs.append((first, second))
                taken.add(second.annotation_id)
                break
    loose = [box for box in before if TRACK not in box.attributes]
    others = [box for box in after if TRACK not in box.attributes]
    return pairs + _greedy(loose, others, size)


def _is_same_track(first: Annotation, second: Annotation) -> bool:
    track = first.attributes.get(TRACK)
    has_same = track is not None and track == second.attributes.get(TRACK)
    return has_same and first.label == second.label


def _greedy(
    before: Sequence[Annotation], after: Sequence[Annotation], size: Size
) -> list[tuple[Annotation, Annotation]]:
    if not before or not after:
        return []
    a, b = (as_xyxy([box.box for box in boxes]) for boxes in (before, after))
    iou = pairwise_iou(a, b)
    middles = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (a, b)]
    distance = np.linalg.norm(middles[0][:, None] - middles[1][None], axis=2)
    possible = [
        (-float(iou[i, j]), float(distance[i, j]), i, j)
        for i, first in enumerate(before)
        for j, second in enumerate(after)
        if _may_be_one(first, second)
        and distance[i, j] <= _MAX_MOVE * float(np.hypot(*size))
    ]
    pairs: dict[int, int] = {}
    for _, _, i, j in sorted(possible):
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return [(before[i], after[j]) for i, j in sorted(pairs.items())]


def _may_be_one(first: Annotation, second: Annotation) -> bool:
    areas = sorted((first.box.area, second.box.area))
    return first.label == second.label and areas[1] <= _MAX_GROWTH * areas[0]


def between(first: Annotation, second: Annotation, share: float) -> Annotation:
    """Return the box at a share, 0 to 1, of the way from one to another.

    Its corners move on straight lines, and it has the attributes that both have.
    """
    corners = (a + (b - a) * share for a, b in zip(first.box, second.box, strict=True))
    return Annotation(
        Box(*corners),
        first.label,
        source=Source.MODEL,
        model_id=MODEL_ID,
        changed_by=MODEL_ID,
        attributes=_common(first, second),
    )


def _common(first: Annotation, second: Annotation) -> dict[str, AttributeValue]:
    return {
        name: value
        for name, value in first.attributes.items()
        if second.attributes.get(name) == value
    }


class _Gap(NamedTuple):
    """Places of two key frames among a video's frames."""

    before: int
    after: int


class _Video:
    """The frames of the video that an image is of, by time."""

    def __init__(self, store: Store, scope: Scope, image_id: str) -> None:
        self._store, self._scope = store, scope
        timed = [
            (time, row)
            for row in store.image_summaries(scope)
            if (time := frame_time(row.file_name))
        ]
        video = {time.video for time, row in timed if row.image_id == image_id}
        timed = sorted(
            (pair for pair in timed if pair[0].video in video),
            key=lambda pair: pair[0].milliseconds,
        )
        self._times = [time for time, _ in timed]
        self._rows: list[ImageRow] = [row for _, row in timed]
        ids = [row.image_id for row in self._rows]
        self._here = ids.index(image_id) if image_id in ids else -1

    def time(self, place: int) -> FrameTime:
        return self._times[place]

    def gaps(self) -> Iterator[_Gap]:
        """Yield the key frames next to the frame that have others between them."""
        if self._here < 0:
            return
        earlier = self._key(range(self._here - 1, -1, -1))
        later = self._key(range(self._here + 1, len(self._rows)))
        here = self._key([self._here])
        ends = [earlier, later] if here is None else [earlier, here, later]
        for before, after in pairwise(ends):
            if (
                before is not None
                and after is not None
                and self._rows_to_fill(_Gap(before, after))
            ):
                yield _Gap(before, after)

    def _key(self, places: Iterable[int]) -> int | None:
        return next((place for place in places if self._is_key(place)), None)

    def _is_key(self, place: int) -> bool:
        row = self._rows[place]
        if row.status not in _LABELLED:
            return False
        return row.status is ReviewStatus.APPROVED or bool(self._points(place))

    def _points(self, place: int) -> list[Annotation]:
        """Return the boxes of a key frame to interpolate between."""
        record = self._store.record(self._scope, self._rows[place].image_id)
        if all(box.is_untouched for box in record.annotations):
            return []
        return [
            box
            for box in record.annotations
            if not box.is_untouched or box.model_id == MODEL_ID
        ]

    def _rows_to_fill(self, gap: _Gap) -> list[int]:
        return [
            place
            for place in range(gap.before + 1, gap.after)
            if self._rows[place].status in _FILLED
            and self._rows[place].size == self._rows[gap.before].size
        ]

    def filled(self, gap: _Gap) -> Iterator[Filled]:
        """Yield the frames between two key frames that change, with their boxes."""
        size = self._rows[gap.before].size
        pairs = matched(self._points(gap.before), self._points(gap.after), size)
        start, end = (self._times[place].milliseconds for place in gap)
        for batch in chunks(self._rows_to_fill(gap), size=_BATCH):
            ids = [self._rows[place].image_id for place in batch]
            records = {
                record.image_id: record
                for record in self._store.records(self._scope, image_ids=ids)
            }
            for place in batch:
                record = records.get(self._rows[place].image_id)
                share = (self._times[place].milliseconds - start) / max(end - start, 1)
                made = [between(*pair, share) for pair in pairs]
                if record is not None:
                    boxes = tuple(_fresh(record, made))
                    if _changes(record, boxes):
                        yield Filled(record, self._times[place], boxes)


def _changes(record: ImageRecord, boxes: Sequence[Annotation]) -> bool:
    after = keep_detections(record, boxes, model_id=MODEL_ID)
    return after.annotations != record.annotations


def _fresh(record: ImageRecord, boxes: Sequence[Annotation]) -> Iterator[Annotation]:
    """Yield the boxes that would be on the record, and that no model shows already."""
    kept = keep_detections(record, boxes, model_id=MODEL_ID)
    shown = [box for box in record.annotations if box.model_id != MODEL_ID]
    layer = [box for box in kept.annotations if box.model_id == MODEL_ID]
    for box in layer:
        same = [other.box for other in shown if other.label == box.label]
        overlaps = pairwise_iou(as_xyxy([box.box]), as_xyxy(same))
        if box.is_untouched and not (overlaps >= SAME_OBJECT_IOU).any():
            yield box
