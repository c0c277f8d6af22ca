"""Images of an export on disk, in one zip or several."""

import json
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.annotation.areas import shape_json, shape_of_json
from imagebase.export.pictures import Made
from imagebase.formats.base import PARTS, ExportImage, StoredImages
from imagebase.formats.file_names import with_suffix


class Weighed(NamedTuple):
    """An image, by the part that a split gives it and about how large it is."""

    part: str
    byte_count: int


def dealt_into_zips(images: Sequence[Weighed], *, most_bytes: int) -> list[list[int]]:
    """Return the places of the images that each zip holds, in their order.

    Each part of a split is dealt out by itself, so that every zip trains, validates and
    tests on its share. Sizes are estimates: a zip may come out a little larger.
    """
    total = sum(one.byte_count for one in images)
    count = max(1, min(-(-total // most_bytes), len(images)))
    held: list[list[int]] = [[] for _ in range(count)]
    whole: defaultdict[str, int] = defaultdict(int)
    for image in images:
        whole[image.part] += image.byte_count + 1
    before: defaultdict[str, int] = defaultdict(int)
    for place, image in enumerate(images):
        # Where its middle lies decides: two of nearly the same size part.
        middle = before[image.part] + (image.byte_count + 1) / 2
        held[int(middle * count / whole[image.part])].append(place)
        before[image.part] += image.byte_count + 1
    return [places for places in held if places]


def zips_without_parts(
    images: Sequence[Weighed], dealt: Sequence[Sequence[int]]
) -> dict[str, int]:
    """Return of how many zips each part is missing, of those parts that there are."""
    held = [{images[place].part for place in places} for places in dealt]
    parts = dict.fromkeys(one.part for one in images)
    missing = {part: sum(part not in parts for parts in held) for part in parts}
    return {part: count for part, count in missing.items() if count}


_BUFFER_BYTES: Final = 1 << 16


@dataclass(slots=True)
class ExportImages:
    """Takes pictures in, one after the other.

    names, weights: by place. Names are not unique until others are given.
    full: places of those with a box, or a label of their own.
    labels: on their boxes. made: how many did not come as they are.
    offsets: in the file, by place.
    """

    path: Path
    names: list[str] = field(default_factory=list)
    weights: list[Weighed] = field(default_factory=list)
    full: list[int] = field(default_factory=list)
    labels: dict[str, None] = field(default_factory=dict)
    made: int = 0
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))

    def take(self, items: Iterator[tuple[Made, str]]) -> Self:
        """Write pictures, each with the part it is in."""
        with self.path.open("wb", buffering=_BUFFER_BYTES) as file:
            for made, part in items:
                self.offsets.append(file.tell())
                file.write(_line(made, part))
                self._note(made, part)
        return self

    def _note(self, made: Made, part: str) -> None:
        record = made.record
        if record.annotations or record.tags:
            self.full.append(len(self.weights))
        self.names.append(with_suffix(record.file_name, made.suffix))
        self.weights.append(Weighed(part, made.byte_count))
        self.labels |= dict.fromkeys(one.label for one in record.annotations)
        self.made += bool(made.words)

    def __len__(self) -> int:
        return len(self.weights)

    def images(self, places: Sequence[int] | None = None) -> "StoredExport":
        """Return the images at these places, all unless said."""
        return StoredExport(self, range(len(self)) if places is None else places)


class StoredExport(StoredImages):
    """Some of the images that a store took in, in their order."""

    def __init__(self, store: ExportImages, places: Sequence[int]) -> None:
        self._store = store
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[ExportImage]:
        with closing(self._store.path.open("rb", buffering=_BUFFER_BYTES)) as file:
            for place in self._places:
                file.seek(self._store.offsets[place])
                yield _image(json.loads(file.readline()), self._store.names[place])

    def names(self) -> Iterator[str]:
        return (self._store.names[place] for place in self._places)

    def parts(self) -> Set[str]:
        parts = {self._store.weights[place].part for place in self._places}
        return parts & set(PARTS)


def _line(made: Made, part: str) -> bytes:
    record = made.record
    kept = [
        *(record.image_id, record.file_name, list(record.size), record.status),
        *(list(record.tags), part, made.words),
        [_kept(one) for one in record.annotations],
        [shape_json(one) for one in record.ignored],
    ]
    return json.dumps(kept).encode() + b"\n"


def _kept(one: Annotation) -> list[Any]:
    box = [float(edge) for edge in one.box]
    rest = (one.label, one.source, one.confidence, one.model_id, one.accepted)
    return [box, *rest, dict(one.attributes)]


def _image(kept: list[Any], name: str) -> ExportImage:
    image_id, file_name, size, status, tags, part, words, boxes, ignored = kept
    record = ImageRecord(
        image_id,
        file_name,
        Size(*size),
        tuple(map(_annotation, boxes)),
        status=ReviewStatus(status),
        tags=tuple(tags),
        ignored=tuple(map(shape_of_json, ignored)),
    )
    is_reviewed = record.status is ReviewStatus.APPROVED
    return ExportImage(record, name, is_reviewed, part, words)


def _annotation(kept: list[Any]) -> Annotation:
    box, label, source, confidence, model_id, accepted, attributes = kept
    return Annotation(
        Box(*box),
        label,
        annotation_id="",
        source=Source(source),
        confidence=confidence,
        model_id=model_id,
        accepted=accepted,
        attributes=attributes,
    )
