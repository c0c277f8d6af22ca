"""Datasets in memory, for exports of them."""

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    LabelSet,
    ReviewStatus,
    Size,
)
from imagebase.export.build import BuildOrder, BuildResult, build
from imagebase.export.request import ExportRequest
from imagebase.images.decode import RgbArray, encode_png
from imagebase.store.image_rows import ImageRow

SIZE: Final = Size(120, 80)
# Planted where the box is, far from the grey around it.
COLOURS: Final = {"cat": (255, 0, 0), "dog": (0, 0, 255)}


def box(*edges: float, label: str = "cat") -> Annotation:
    return Annotation(Box(*edges), label)


@dataclass(frozen=True)
class Dataset:
    """Images of planted rectangles; PNG, so that colours stay what they are."""

    found: Sequence[ImageRecord]
    label_set: LabelSet
    files: dict[str, bytes]

    def image_ids(self) -> list[str]:
        return [record.image_id for record in self.found]

    def contents(self) -> list[ImageRow]:
        return [
            ImageRow(
                record.image_id,
                record.file_name,
                record.size,
                record.status,
                tags=record.tags,
                boxes=Counter(each.label for each in record.annotations),
            )
            for record in self.found
        ]

    def records(self, image_ids: Iterable[str]) -> Iterable[ImageRecord]:
        return (self.record(image_id) for image_id in image_ids)

    def record(self, image_id: str) -> ImageRecord:
        return next(record for record in self.found if record.image_id == image_id)

    def bytes_of(self, image_id: str) -> bytes:
        return self.files[image_id]

    def labels(self) -> LabelSet:
        return self.label_set


def planted(number: int, *boxes: Annotation, size: Size = SIZE) -> bytes:
    """Return a PNG with a rectangle of its label's colour under each box."""
    rgb = np.full((size.height, size.width, 3), 90 + number % 60, np.uint8)
    for box in boxes:
        left, top, right, bottom = map(round, box.box)
        rgb[top:bottom, left:right] = COLOURS[box.label]
    return encode_png(rgb)


def dataset(
    *images: Sequence[Annotation],
    names: Sequence[str] = (),
    tags: Sequence[Sequence[str]] = (),
    statuses: Sequence[ReviewStatus] = (),
    size: Size = SIZE,
) -> Dataset:
    """Return a dataset of an image for each sequence of boxes, approved unless said."""
    records, files = [], {}
    for number, boxes in enumerate(images):
        data = planted(number, *boxes, size=size)
        image_id = f"{number:064x}"
        files[image_id] = data
        records.append(
            ImageRecord(
                image_id,
                names[number] if names else f"{number}.png",
                size,
                tuple(boxes),
                status=statuses[number] if statuses else ReviewStatus.APPROVED,
                tags=tuple(tags[number]) if tags else (),
                byte_count=len(data),
            )
        )
    return Dataset(records, LabelSet.of(["cat", "dog"]), files)


def built(found: Dataset, request: ExportRequest, folder: Path) -> BuildResult:
    """Return what comes of a request, built in a new folder."""
    target, drafts = folder / "zips", folder / "drafts"
    for parent_folder in (target, drafts):
        parent_folder.mkdir(parents=True)
    order = BuildOrder("pets", request, "pets", target, drafts, 50_000_000)
    return build(order, found, progress=lambda done, total: None)


def picture(data: bytes) -> RgbArray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
