"""Boxes that look like one which a person deleted or relabelled, across the dataset.

Descriptors are saved in the store fifty images at a time, so
that an interrupted search resumes where it stopped, and the next one is quick.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

import numpy as np

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.assist.appearance import (
    PLACE_BONUS,
    PLACE_TOLERANCE,
    SIZE_TOLERANCE,
    FloatArray,
    decoded_size,
    likeness,
    look_around,
    look_at,
    pack,
    place_distance,
    unpack,
)
from imagebase.errors import ImageReadError, LimitError, NotFoundError, StoreError
from imagebase.images.decode import LoadedImage, load_image
from imagebase.store import AnnotationRow, Scope, Store
from imagebase.store.annotation_rows import BoxKey
from imagebase.store.scope import chunks
from imagebase.store.similarity import BoxPattern, KeptLook

# Boxes that one search compares, those nearest to the place first.
MOST_LOOKED_AT: Final = 2_000
# Boxes of one change that are taken as patterns.
MOST_EXAMPLES: Final = 4

_IMAGES_IN_A_STEP: Final = 50
_THREADS: Final = 2
# A thing that is pasted into every image sits closer to its place than chance has it.
_CLOSE_SIZE, _CLOSE_PLACE = 0.15, 0.04
_LEAST_GATHERED: Final = 3
_GATHERED_SHARE: Final = 0.2

_UNREADABLE: Final = (ImageReadError, LimitError, NotFoundError, StoreError)

Progress = Callable[[int, int], None]


class Example(NamedTuple):
    """A box before a person deleted or relabelled it, and its image's size."""

    key: BoxKey
    box: Box
    size: Size


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person did to boxes of one label.

    became: the label they have now; None where they were deleted.
    examples: at most four of them.
    """

    label: str
    became: str | None
    examples: tuple[Example, ...]

    @property
    def image_ids(self) -> frozenset[str]:
        return frozenset(example.key.image_id for example in self.examples)


class Estimate(NamedTuple):
    """On how many other images boxes of the same label and size are.

    here: at the same place. anywhere: wherever on the image.
    is_gathered: they lie so close to one place that a thing must be there again.
    """

    here: int
    anywhere: int
    is_gathered: bool


class SimilarBox(NamedTuple):
    """A box, and how much it is like an example: 1 is the same look and place."""

    like: AnnotationRow
    score: float

    @property
    def is_unreviewed(self) -> bool:
        """Say whether nobody has drawn, accepted or approved the box."""
        annotation = self.like.annotation
        is_persons = annotation.source is Source.HUMAN or annotation.accepted
        return not is_persons and self.like.status is not ReviewStatus.APPROVED


@dataclass(frozen=True, slots=True)
class Search:
    """found: the most alike first. unread: boxes on images that cannot be read.

    is_complete: False where there are more boxes than one search compares.
    """

    found: tuple[SimilarBox, ...]
    unread: int
    is_complete: bool

    def alike(self, least: float) -> tuple[SimilarBox, ...]:
        """Return the boxes that score at least this."""
        return tuple(match for match in self.found if match.score >= least)


def correction(before: ImageRecord, after: ImageRecord) -> Correction | None:
    """Return what a change did to the boxes of an image; None where it left them.

    Of several corrections in one change it is the one of most boxes.
    """
    now = {box.annotation_id: box.label for box in after.annotations}
    done = [
        (box, now.get(box.annotation_id))
        for box in before.annotations
        if now.get(box.annotation_id) != box.label
    ]
    return correction_of([(before, box, became) for box, became in done])


def correction_of(
    done: Sequence[tuple[ImageRecord, Annotation, str | None]],
) -> Correction | None:
    """Return the correction of most boxes among these; None where there is none.

    Args:
        done: records before the correction, their boxes, and the labels these have now.
    """
    if not done:
        return None
    kinds = Counter((box.label, became) for _, box, became in done)
    label, became = kinds.most_common(1)[0][0]
    examples = [
        Example(BoxKey(record.image_id, box.annotation_id), box.box, record.size)
        for record, box, new_label in done
        if (box.label, new_label) == (label, became) and box.box.area > 0
    ]
    return (
        Correction(label, became, tuple(examples[:MOST_EXAMPLES])) if examples else None
    )


def is_still_made(asked: Correction, record: ImageRecord) -> bool:
    """Say whether the correction of this image's boxes has not been undone."""
    labels = {box.annotation_id: box.label for box in record.annotations}
    return not any(
        labels.get(example.key.annotation_id) == asked.label
        for example in asked.examples
        if example.key.image_id == record.image_id
    )


def estimate(store: Store, scope: Scope, asked: Correction) -> Estimate:
    """Return how many images have such boxes, without decoding any."""
    here, close, anywhere = store.count_images_like(
        scope,
        [
            [
                _pattern(asked, example, place=PLACE_TOLERANCE)
                for example in asked.examples
            ],
            [
                _pattern(asked, example, size=_CLOSE_SIZE, place=_CLOSE_PLACE)
                for example in asked.examples
            ],
            [_pattern(asked, example, place=None) for example in asked.examples],
        ],
        besides=asked.image_ids,
    )
    is_gathered = here >= _LEAST_GATHERED and close >= _GATHERED_SHARE * here
    return Estimate(here, anywhere, is_gathered)


def search(
    store: Store,
    scope: Scope,
    asked: Correction,
    *,
    anywhere: bool,
    max_pixels: int,
    on_progress: Progress | None = None,
) -> Search:
    """Compare with the boxes of the same label and size on other images.

    Args:
        store, scope: the dataset.
        asked: the correction.
        anywhere: also those at another place on their images.
        max_pixels: of an image that may be decoded.
        on_progress: called with the number of boxes compared, and of all.

    Raises:
        ImageReadError, LimitError, NotFoundError, StoreError: an example's own image
            cannot be read.
    """
    tell = on_progress or (lambda done, total: None)
    likes = _candidates(store, scope, asked, anywhere=anywhere)
    looks = looks_of(store, scope, likes, max_pixels=max_pixels, on_progress=tell)
    seen = [row for row in likes if row.key in looks]
    if not seen:
        return Search((), len(likes), is_complete=True)
    around = np.concatenate(
        [_around(store, scope, example, max_pixels) for example in asked.examples]
    )
    alike = likeness(around, np.stack([looks[row.key] for row in seen]))
    matches = [
        SimilarBox(row, _score(asked, row, float(value)))
        for row, value in zip(seen, alike, strict=True)
    ]
    return Search(
        found=tuple(sorted(matches, key=lambda match: -match.score)),
        unread=len(likes) - len(seen),
        is_complete=len(likes) < MOST_LOOKED_AT,
    )


def looks_of(
    store: Store,
    scope: Scope,
    rows: Sequence[AnnotationRow],
    *,
    max_pixels: int,
    most_images: int | None = None,
    on_progress: Progress | None = None,
) -> dict[BoxKey, FloatArray]:
    """Return the looks of boxes, kept ones or computed and kept now.

    Boxes on images that cannot be read have none.

    Args:
        store, scope: the dataset. rows: the boxes.
        max_pixels: of an image that may be decoded.
        most_images: how many to decode at most, those of the first boxes; None is all.
        on_progress: called with the number of boxes that have a look, and of all.
    """
    tell = on_progress or (lambda done, total: None)
    packed = store.looks(scope, [row.key for row in rows])
    stored = {
        key: look
        for key, descriptor in packed.items()
        if (look := unpack(descriptor)) is not None
    }
    missing = islice(_by_image(r for r in rows if r.key not in stored), most_images)
    done = len(stored)
    tell(done, len(rows))

    def look_on(on_image: Sequence[AnnotationRow]) -> dict[BoxKey, FloatArray]:
        return _looks_on(store, scope, on_image, max_pixels)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="look-alikes") as pool:
        for step in chunks(missing, size=_IMAGES_IN_A_STEP):
            fresh = {
                key: look
                for looks in pool.map(look_on, step)
                for key, look in looks.items()
            }
            boxes = {row.key: row.annotation.box for on in step for row in on}
            store.keep_looks(
                scope,
                {key: KeptLook(boxes[key], pack(look)) for key, look in fresh.items()},
            )
            stored |= fresh
            done += len(boxes)
            tell(done, len(rows))
    return stored


def _pattern(
    asked: Correction,
    example: Example,
    *,
    size: float = SIZE_TOLERANCE,
    place: float | None,
) -> BoxPattern:
    width, height = example.size
    left, top, right, bottom = example.box
    relative = Box(left / width, top / height, right / width, bottom / height)
    return BoxPattern(asked.label, relative, size, place)


def _candidates(
    store: Store, scope: Scope, asked: Correction, *, anywhere: bool
) -> list[AnnotationRow]:
    place = None if anywhere else PLACE_TOLERANCE
    rows: dict[BoxKey, AnnotationRow] = {}
    for example in asked.examples:
        likes = store.boxes_like(
            scope,
            _pattern(asked, example, place=place),
            besides=asked.image_ids,
            limit=MOST_LOOKED_AT,
        )
        rows |= {like.key: like for like in likes}
    nearest = sorted(rows.values(), key=lambda like: _distance(asked, like))
    return nearest[:MOST_LOOKED_AT]


def _distance(asked: Correction, like: AnnotationRow) -> float:
    return min(
        place_distance(example.box, example.size, like.annotation.box, like.size)
        for example in asked.examples
    )


def _score(asked: Correction, like: AnnotationRow, alike: float) -> float:
    nearness = max(1 - _distance(asked, like) / PLACE_TOLERANCE, 0.0)
    return min(alike + PLACE_BONUS * nearness, 1.0)


def _around(
    store: Store, scope: Scope, example: Example, max_pixels: int
) -> FloatArray:
    image_id = example.key.image_id
    loaded = _loaded(store, scope, image_id, example.size, [example.box], max_pixels)
    return look_around(loaded, example.box)


def _by_image(likes: Iterable[AnnotationRow]) -> Iterator[list[AnnotationRow]]:
    by_image: dict[str, list[AnnotationRow]] = {}
    for row in likes:
        by_image.setdefault(row.key.image_id, []).append(row)
    yield from by_image.values()


def _looks_on(
    store: Store, scope: Scope, on_image: Sequence[AnnotationRow], max_pixels: int
) -> dict[BoxKey, FloatArray]:
    """Return the looks of boxes on one image; none where it cannot be read."""
    image_id, size = on_image[0].key.image_id, on_image[0].size
    boxes = [row.annotation.box for row in on_image]
    try:
        loaded = _loaded(store, scope, image_id, size, boxes, max_pixels)
    except _UNREADABLE:
        return {}
    looks = look_at(loaded, boxes)
    return {row.key: look for row, look in zip(on_image, looks, strict=True)}


def _loaded(
    store: Store,
    scope: Scope,
    image_id: str,
    size: Size,
    boxes: Collection[Box],
    max_pixels: int,
) -> LoadedImage:
    wanted = max(decoded_size(size, box) for box in boxes)
    return load_image(
        store.image_bytes(scope, image_id),
        file_name=image_id,
        max_pixels=max_pixels,
        wanted=wanted,
    )
