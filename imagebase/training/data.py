"""Training set on disk: images stretched to the input size once, and their boxes.

The pixels are one memory-mapped file: the system caches what fits into memory. An
interrupted run resumes with the same set.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from imagebase.annotation import Box, Size
from imagebase.annotation.areas import Shape, shape_json, shape_of_json
from imagebase.detection.preprocess import resized
from imagebase.errors import ImageBaseError, TrainingError
from imagebase.formats.placement import Frame
from imagebase.formats.split import (
    Shares,
    Split,
    SplitImage,
    split_by_shares,
    torn_groups,
)
from imagebase.images.decode import load_image
from imagebase.images.quality import difference_hash
from imagebase.training import run_folder
from imagebase.training.run_folder import write_json

TRAIN: Final = "train"
VAL: Final = "val"
SHARES: Final = Shares(train=0.8, val=0.2)
MAX_PIXELS: Final = 50_000_000

# Boxes with a shorter side are left out (pixels of the image).
_LEAST_SIDE: Final = 1e-3


def _unchanged(frame: Frame) -> str:
    return ""


class SourceImage(NamedTuple):
    """An image with its boxes, before its pixels are read.

    read: returns the file's bytes. in_pixels: returns labels and boxes in pixels of the
    image with this frame; TrainingError if they belong to another image. crowds: number
    of crowd regions. ignored: returns ignore areas and crowd regions in pixels.
    note: returns how boxes were changed for this frame; empty if unchanged.
    """

    image_id: str
    name: str
    read: Callable[[], bytes]
    in_pixels: Callable[[Frame], Sequence[tuple[str, Box]]]
    crowds: int = 0
    ignored: Callable[[Frame], Sequence[Shape]] = lambda _: ()
    note: Callable[[Frame], str] = _unchanged


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """One image of the set.

    labels: class IDs, one per box. boxes: (N, 4), centre and size relative to the
    image. part: `train` or `val`. ignored: ignore areas in pixels of the image.
    """

    image_id: str
    name: str
    size: Size
    part: str
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    difference_hash: str = ""
    ignored: tuple[Shape, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Counts and lists of left-out or changed items.

    files: files that could not be read, and why. missing: names in the labels without
    an image. skipped: sentences of the label reader. changed: images whose boxes were
    scaled or rotated, which are used.
    """

    crowds: int = 0
    zero_size: int = 0
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


NOTHING: Final = LeftOut()
_LEFT_OUT: Final = TypeAdapter(LeftOut)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """labels: names by class ID. pictures: (N, height, width, 3), RGB."""

    labels: tuple[str, ...]
    input_size: Size
    images: tuple[TrainingImage, ...]
    left_out: LeftOut
    torn: int
    pictures: NDArray[np.uint8]

    def of_part(self, part: str) -> list[int]:
        """Return the indices of the images of a split."""
        return [at for at, image in enumerate(self.images) if image.part == part]

    def box_counts(self, part: str | None = None) -> dict[str, int]:
        """Return the number of boxes of each label, in a split or in all."""
        counted: Counter[int] = Counter()
        for image in self.images:
            if part in {None, image.part}:
                counted.update(image.labels.tolist())
        return {name: counted[at] for at, name in enumerate(self.labels)}

    @property
    def fingerprint(self) -> str:
        """Hash of images, boxes, labels, splits and size."""
        digest = hashlib.sha256(json.dumps([self.labels, self.input_size]).encode())
        for image in self.images:
            digest.update(f"{image.image_id} {image.part}".encode())
            digest.update(image.labels.tobytes() + image.boxes.tobytes())
            if image.ignored:
                digest.update(json.dumps([*map(shape_json, image.ignored)]).encode())
        return digest.hexdigest()


class _Reading(NamedTuple):
    picture: NDArray[np.uint8]
    size: Size
    boxes: list[tuple[str, Box]]
    zero_size: int
    difference_hash: str
    ignored: tuple[Shape, ...]
    note: str


def prepare(
    folder: Path,
    sources: Iterable[SourceImage],
    *,
    labels: Sequence[str],
    input_size: Size,
    part_of: Mapping[str, str] | None = None,
    seed: int = 0,
    max_pixels: int = MAX_PIXELS,
    left_out: LeftOut = NOTHING,
    on_image: Callable[[int], None] = lambda done: None,
) -> TrainingSet:
    """Write a training set into a folder and return it.

    Args:
        folder: created if missing; an older set in it is replaced.
        sources: the images, each once.
        labels: names by class ID; boxes of other labels are left out.
        input_size: of the network.
        part_of: `train` or `val` by image id; None splits by shares, near-duplicates
            together.
        seed: of the split.
        max_pixels: limit for an image.
        left_out: already known; more is added here.
        on_image: called with the number of images done.

    Raises:
        TrainingError: there are no boxes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {name: at for at, name in enumerate(labels)}
    images: list[TrainingImage] = []
    refused, changed = [*left_out.files], [*left_out.changed]
    crowds, zero_size = left_out.crowds, left_out.zero_size
    with (folder / run_folder.PICTURES).open("wb") as file:
        for done, source in enumerate(sources, start=1):
            on_image(done)
            try:
                reading = _read(source, input_size, max_pixels)
            except ImageBaseError as error:
                refused.append(f"{source.name}: {error}")
                continue
            file.write(reading.picture.tobytes())
            crowds += source.crowds
            zero_size += reading.zero_size
            if reading.note:
                changed.append(f"{source.name}: {reading.note}")
            images.append(_image(source, reading, numbers))
    _check_something(images, refused)
    parts = part_of or _split(images, seed)
    document = {
        "labels": list(labels),
        "input_size": [*input_size],
        "left_out": asdict(
            replace(
                left_out,
                crowds=crowds,
                zero_size=zero_size,
                files=tuple(refused),
                changed=tuple(changed),
            )
        ),
        "torn": len(torn_groups(_split_images(images), Split(parts))),
        "images": [_as_json(image, parts[image.image_id]) for image in images],
    }
    write_json(folder / run_folder.SET, document)
    return load_set(folder)


def load_set(folder: Path) -> TrainingSet:
    """Return the set that `prepare` wrote into a folder.

    Raises:
        TrainingError: it is missing or damaged.
    """
    try:
        document = json.loads((folder / run_folder.SET).read_text())
        size = Size(*document["input_size"])
        images = tuple(_of_json(entry) for entry in document["images"])
        shape = (len(images), size.height, size.width, 3)
        left_out = _LEFT_OUT.validate_python(document["left_out"])
        pictures = np.memmap(folder / run_folder.PICTURES, np.uint8, "r", shape=shape)
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            "The prepared images of this training run are missing; start over."
        ) from error
    return TrainingSet(
        tuple(document["labels"]), size, images, left_out, document["torn"], pictures
    )


def _read(source: SourceImage, input_size: Size, max_pixels: int) -> _Reading:
    loaded = load_image(
        source.read(), file_name=source.name, max_pixels=max_pixels, wanted=input_size
    )
    boxes, zero_size = [], 0
    frame = Frame(loaded.size, loaded.orientation)
    for label, box in source.in_pixels(frame):
        inside = box.clipped(loaded.size)
        if min(inside.width, inside.height) > _LEAST_SIDE:
            boxes.append((label, inside))
        else:
            zero_size += 1
    picture = resized(loaded.rgb, input_size)
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
    return _Reading(
        picture,
        loaded.size,
        boxes,
        zero_size,
        difference_hash(grey),
        tuple(source.ignored(frame)),
        source.note(frame),
    )


def _image(
    source: SourceImage, reading: _Reading, numbers: Mapping[str, int]
) -> TrainingImage:
    numbered = [
        (numbers[label], box) for label, box in reading.boxes if label in numbers
    ]
    corners = np.array([[*box] for _, box in numbered], np.float64).reshape(-1, 4)
    relative = corners / np.array([*reading.size, *reading.size], np.float64)
    near, far = relative[:, :2], relative[:, 2:]
    return TrainingImage(
        source.image_id,
        source.name,
        reading.size,
        TRAIN,
        np.array([number for number, _ in numbered], np.int64),
        np.concatenate([(near + far) / 2, far - near], axis=1).astype(np.float32),
        reading.difference_hash,
        reading.ignored,
    )


def _check_something(images: Sequence[TrainingImage], refused: Sequence[str]) -> None:
    if not any(len(image.labels) for image in images):
        why = f" ({refused[0]})" if refused and not images else ""
        raise TrainingError(
            f"There are no boxes to train on{why}; label some images first."
        )


def _split(images: Sequence[TrainingImage], seed: int) -> Mapping[str, str]:
    split = split_by_shares(_split_images(images), SHARES, seed=seed)
    learned = [image for image in images if split.part_of[image.image_id] == TRAIN]
    if any(len(image.labels) for image in learned):
        return split.part_of
    # All boxes are on validation images: train on all images.
    return {image.image_id: TRAIN for image in images}


def _split_images(images: Sequence[TrainingImage]) -> list[SplitImage]:
    return [
        SplitImage(
            image.image_id,
            Counter(str(label) for label in image.labels.tolist()),
            image.difference_hash,
        )
        for image in images
    ]


def _as_json(image: TrainingImage, part: str) -> dict[str, Any]:
    return {
        "id": image.image_id,
        "name": image.name,
        "size": [*image.size],
        "part": part,
        "labels": image.labels.tolist(),
        "boxes": image.boxes.astype(np.float64).tolist(),
        "hash": image.difference_hash,
        "ignored": [shape_json(shape) for shape in image.ignored],
    }


def _of_json(document: Mapping[str, Any]) -> TrainingImage:
    return TrainingImage(
        document["id"],
        document["name"],
        Size(*document["size"]),
        document["part"],
        np.array(document["labels"], np.int64),
        np.array(document["boxes"], np.float32).reshape(-1, 4),
        document["hash"],
        # Missing in sets of an older version.
        tuple(shape_of_json(shape) for shape in document.get("ignored", ())),
    )
