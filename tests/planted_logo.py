"""A made set: photographs with a logo at the bottom right, and others without one."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import cv2
import numpy as np
from cv2.typing import MatLike

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
    new_id,
)
from imagebase.images.decode import load_image
from imagebase.settings import SAMPLES_FOLDER
from imagebase.store import Scope, Store

SIZE: Final = Size(640, 480)
LOGO: Final = Size(110, 44)
LABEL: Final = "logo"
WITH_LOGO: Final = 31
WITHOUT: Final = 30
_MARGIN: Final = Size(14, 12)
_JITTER: Final = 0.1


class Made(NamedTuple):
    """A JPEG file, and the box that somebody put around what is at the bottom right."""

    file_name: str
    data: bytes
    box: Box
    has_logo: bool


def made_set(
    *, with_logo: int = WITH_LOGO, without: int = WITHOUT, seed: int = 7
) -> Iterator[Made]:
    """Yield the made files, those with the logo first; the same for the same seed."""
    rng = np.random.default_rng(seed)
    photographs = [_opened(path.name) for path in sorted(SAMPLES_FOLDER.glob("*.jpg"))]
    for number in range(with_logo + without):
        has_logo = number < with_logo
        scene = _part(photographs[number % len(photographs)], rng)
        if has_logo:
            _plant(scene)
        quality = int(rng.integers(50, 93))
        encoded = cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        name = f"{'logo' if has_logo else 'plain'}-{number:03}.jpg"
        yield Made(name, encoded.tobytes(), _around(rng), has_logo)


def fill(store: Store, scope: Scope, made: Iterable[Made]) -> list[ImageRecord]:
    """Add the files to a dataset, on each a model's box labelled `logo`."""
    records = []
    for planted in made:
        added = store.add_image(
            scope, planted.data, file_name=planted.file_name, size=SIZE, quality=None
        ).record
        records.append(with_boxes(added, model_box(planted.box)))
    return list(store.save_many(scope, records, change_id=new_id()).saved)


def model_box(box: Box, label: str = LABEL) -> Annotation:
    """Return an untouched box of a model."""
    return Annotation(
        box, label, source=Source.MODEL, confidence=0.6, model_id="m", changed_by="m"
    )


def with_boxes(
    record: ImageRecord,
    *boxes: Annotation,
    status: ReviewStatus = ReviewStatus.SUGGESTED,
) -> ImageRecord:
    """Return the record with these boxes, as a model leaves it."""
    return replace(record, annotations=boxes, status=status)


def _opened(name: str) -> MatLike:
    data = (SAMPLES_FOLDER / name).read_bytes()
    rgb = load_image(data, file_name=name, max_pixels=10**7).rgb
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)


def _part(photograph: MatLike, rng: np.random.Generator) -> MatLike:
    """Return a part of a photograph, flipped or not, that no other image shows."""
    height, width = photograph.shape[:2]
    share = rng.uniform(0.55, 0.95)
    part_width = min(int(width * share), int(height * share * SIZE.width / SIZE.height))
    part_height = int(part_width * SIZE.height / SIZE.width)
    left = int(rng.integers(0, width - part_width + 1))
    top = int(rng.integers(0, height - part_height + 1))
    part = photograph[top : top + part_height, left : left + part_width]
    scene = cv2.resize(part, SIZE)
    return cv2.flip(scene, 1) if rng.random() < 0.5 else scene


def _plant(scene: MatLike) -> None:
    left, top, right, bottom = (round(edge) for edge in _place())
    middle, radius = (left + 22, (top + bottom) // 2), 14
    cv2.rectangle(scene, (left, top), (right - 1, bottom - 1), (140, 60, 20), -1)
    cv2.circle(scene, middle, radius, (40, 200, 240), -1)
    text_at, font = (left + 42, top + 31), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(scene, "ACME", text_at, font, 0.65, (255, 255, 255), 2)


def _place() -> Box:
    right, bottom = SIZE.width - _MARGIN.width, SIZE.height - _MARGIN.height
    return Box(right - LOGO.width, bottom - LOGO.height, right, bottom)


def _around(rng: np.random.Generator) -> Box:
    """Return the logo's place moved and stretched by up to a tenth of its size."""
    place = _place()
    across, down = rng.uniform(-_JITTER, _JITTER, 2) * LOGO
    width, height = rng.uniform(1 - _JITTER, 1 + _JITTER, 2) * LOGO
    x = (place.x_min + place.x_max) / 2 + across
    y = (place.y_min + place.y_max) / 2 + down
    return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
