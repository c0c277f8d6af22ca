"""Training images from label files or a dataset; splits stay the same over rounds."""

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from imagebase.annotation import Annotation, Box, ImageRecord
from imagebase.annotation.areas import Shape, rectangle
from imagebase.annotation.coverage import is_inside
from imagebase.errors import TrainingError
from imagebase.formats.base import FileTree, ReadImage, ReadResult
from imagebase.formats.placement import Frame, fitted, several_meant
from imagebase.formats.registry import (
    own_files,
    own_images,
    read,
    readable_format,
    recognise,
)
from imagebase.formats.split import SplitImage, split_by_shares
from imagebase.formats.trees import (
    TreeWithout,
    WithImages,
    is_image_name,
    open_tree,
    opened_tree,
    with_images,
)
from imagebase.images.quality import near_duplicates
from imagebase.images.skipped_files import EARLIER
from imagebase.settings import Limits
from imagebase.training.data import SHARES, TRAIN, SourceImage
from imagebase.wording import plural

# Suggest another run after so many newly approved images.
AGAIN_AFTER: Final = 50
# Smaller changes of AP50 between two runs are noise.
WORSE_BY: Final = 0.01
# A model below this AP50 detects almost nothing.
POOR_AP50: Final = 0.1


@dataclass(frozen=True, slots=True)
class Round:
    """One training run of a dataset.

    ap50: on the validation images of that run. interval: its 95 % confidence interval.
    base: the model it started from. base_ap50: that model's, on the same images.
    """

    job_id: str
    model: str
    ap50: float | None
    interval: tuple[float, float] | None
    images: int
    minutes: float
    base: str = ""
    base_ap50: float | None = None

    @property
    def change(self) -> float | None:
        """AP50 minus that of the base model, on the same images."""
        if self.ap50 is None or self.base_ap50 is None:
            return None
        return self.ap50 - self.base_ap50

    @property
    def is_worse(self) -> bool:
        """Whether its model is worse than the base model."""
        return self.change is not None and self.change < -WORSE_BY

    @property
    def is_poor(self) -> bool:
        """Whether its model is worse, or detects almost nothing."""
        return self.is_worse or (self.ap50 is not None and self.ap50 < POOR_AP50)

    @classmethod
    def of_result(cls, job_id: str, result: Mapping[str, Any]) -> "Round":
        """Return the round of a finished run's result."""
        metrics = result["metrics"]
        around = metrics["AP50_interval"]
        return cls(
            job_id,
            result["model"],
            metrics["AP50"],
            (around[0], around[1]) if around else None,
            metrics["images"]["train"],
            metrics["minutes"],
            metrics.get("base", ""),
            metrics.get("base_AP50"),
        )


def model_to_use(last: Round) -> str:
    """Return the model to start from: that of the last run, or its base if worse."""
    return last.base if last.is_worse else last.model


def next_parts(
    images: Sequence[SplitImage], before: Mapping[str, str], *, seed: int = 0
) -> dict[str, str]:
    """Return the split of each image: known ones as before, new ones by shares.

    A near-duplicate of a known image gets the same split.
    """
    known = {
        image.image_id: before[image.image_id]
        for image in images
        if image.image_id in before
    }
    parts = dict(known)
    hashes = {
        image.image_id: image.difference_hash
        for image in images
        if image.difference_hash is not None
    }
    for group in near_duplicates(hashes):
        part = next((known[image_id] for image_id in group if image_id in known), None)
        if part is not None:
            parts.update({image_id: parts.get(image_id, part) for image_id in group})
    fresh = [image for image in images if image.image_id not in parts]
    if fresh:
        parts |= split_by_shares(fresh, SHARES, seed=seed).part_of
    if TRAIN not in parts.values():
        return dict.fromkeys(parts, TRAIN)
    return parts


def news_since(known: Mapping[str, str], approved: Sequence[str]) -> int:
    """Return how many approved images a training run did not use."""
    return sum(image_id not in known for image_id in approved)


# Other files next to the labels may be large; they are not read into memory.
_ANY_SIZE: Final = Limits(max_file_bytes=sys.maxsize)
_AT_ONCE_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TrainingSources:
    """Images of a training run, before they are prepared.

    labels: those with boxes, in the order of the label list. missing: names in
    the label files without an image. skipped: what the label reader left out, in
    sentences. unused: labels without a box on these images.
    """

    sources: tuple[SourceImage, ...]
    labels: tuple[str, ...]
    missing: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def left_out(self, most: int) -> list[str]:
        """Return lines about left-out items, at most so many of a kind."""
        missing = [f"{name}: there is no image of this name." for name in self.missing]
        lines = [
            *_first(missing, most, "without an image"),
            *_first(self.skipped, most, "in the label files"),
        ]
        if self.unused:
            named = ", ".join(_first(self.unused, most))
            lines.append(f"Labels without a box here: {named}.")
        return lines


def _first(names: Sequence[str], most: int, of_what: str = "") -> list[str]:
    """Return the first lines and, if there are more, a line with their number."""
    more = len(names) - most
    rest = f"and {more:,} more {of_what}".rstrip()
    return [*names[:most], *([rest] if more > 0 else [])]


def from_label_files(
    images: Path,
    labels: Path,
    *,
    format_name: str | None = None,
    output: Path | None = None,
) -> TrainingSources:
    """Return the images of a folder that have labels in the label files.

    Args:
        images: a folder, with its subfolders, or a zip.
        labels: a folder, a zip or a file.
        format_name: None detects the format.
        output: folder of the model, which is not read as labels.

    Raises:
        AnnotationFileError, UnknownFormatError: the labels cannot be read.
        TrainingError: none of their images exists, or the format has no boxes.
    """
    # Both stay open as long as a source may be read.
    labels_tree = TreeWithout(open_tree(labels), _own_folder(labels, output))
    own = own_files(labels_tree, format_name)
    given = with_images(own.tree, labels, own_images(open_tree(images)).tree, images)
    result = _read(own.tree, given.tree, format_name)
    by_path = {image.path: image for image in result.images if image.path}
    without = [image for image in result.images if not image.path]
    doubtful = [
        f"{image.name}: {several_meant(image.others)}"
        for image in without
        if len(image.others) > 1
    ]
    if not by_path:
        why = f" ({doubtful[0]})" if doubtful else ""
        raise TrainingError(
            f"None of the {plural(len(result.images), 'image')} that "
            f"{labels.name} names is in {images}{why}; give the "
            "folder they lie in with --images."
        )
    names = result.labels.names
    used = {box.label for image in by_path.values() for box in image.annotations}
    return TrainingSources(
        tuple(_source_of_file(image, given) for image in by_path.values()),
        tuple(name for name in names if name in used),
        tuple(image.name for image in without if len(image.others) < 2),
        (
            *doubtful,
            *(f"{export}: {EARLIER}" for export in own.exports),
            *map(str, result.report.skipped),
        ),
        tuple(name for name in names if name not in used),
    )


def _read(own: FileTree, tree: FileTree, format_name: str | None) -> ReadResult:
    name = format_name or recognise(own)
    if not readable_format(name).has_boxes:
        raise TrainingError(
            f"The format {name} has labels without boxes; give label files with boxes."
        )
    return read(tree, name)


def fingerprint(labels: Path, *, output: Path | None = None) -> str:
    """Return a hash of the label files, without the output folder."""
    digest = hashlib.sha256()
    with _opened(labels, output, _ANY_SIZE) as tree:
        for name in tree.names():
            if not is_image_name(name):
                digest.update(name.encode("utf-8", "surrogateescape"))
                with tree.open(name) as file:
                    digest.update(_digest_of(file))
    return digest.hexdigest()


def _digest_of(file: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    for part in iter(partial(file.read, _AT_ONCE_BYTES), b""):
        digest.update(part)
    return digest.digest()


@contextmanager
def _opened(
    labels: Path, output: Path | None, limits: Limits | None = None
) -> Iterator[FileTree]:
    """Open the label files without the output folder below them."""
    with opened_tree(labels, limits) as tree:
        yield TreeWithout(tree, _own_folder(labels, output))


def _own_folder(labels: Path, output: Path | None) -> tuple[str, ...]:
    """Return the output relative to the labels; nothing if it is not below them."""
    if output is None or not output.resolve().is_relative_to(labels.resolve()):
        return ()
    inside = output.resolve().relative_to(labels.resolve())
    return (f"{inside.as_posix()}/",)


def _source_of_file(image: ReadImage, given: WithImages) -> SourceImage:
    name = image.path.removeprefix(given.folder)
    return SourceImage(
        name,
        name,
        partial(given.tree.read, image.path),
        partial(_boxes_in_pixels, image),
        len(image.crowds),
        partial(_crowds_in_pixels, image),
        partial(_note, image),
    )


def _note(image: ReadImage, frame: Frame) -> str:
    return fitted(image, frame).note


def _boxes_in_pixels(image: ReadImage, frame: Frame) -> list[tuple[str, Box]]:
    """Return boxes in pixels of the file, scaled if the labels have another size.

    Raises:
        TrainingError: they belong to another image.
    """
    placed = fitted(image, frame)
    if placed.problem:
        raise TrainingError(f"{placed.problem}.")
    return [
        (annotation.label, annotation.box) for annotation in placed.image.annotations
    ]


def _crowds_in_pixels(image: ReadImage, frame: Frame) -> list[Shape]:
    """Return crowd regions and ignore areas in pixels of the file, as for boxes."""
    placed = fitted(image, frame).image
    return [*(rectangle(crowd.box) for crowd in placed.crowds), *placed.regions]


def from_records(
    records: Iterable[ImageRecord],
    label_names: Sequence[str],
    read_image: Callable[[str], bytes],
) -> TrainingSources:
    """Return the images of a dataset, without labels that have no boxes.

    Boxes with at least half of their area in ignore areas are left out.

    Args:
        records: the training and validation images.
        label_names: in the order of their class IDs.
        read_image: returns an image's bytes by its id.
    """
    given = list(records)
    known = [_outside_areas(record) for record in given]
    used = box_counts(known)
    inside = box_counts(given).total() - used.total()
    sources = tuple(
        SourceImage(
            record.image_id,
            record.file_name,
            partial(read_image, record.image_id),
            partial(_boxes_of, record.annotations),
            ignored=partial(_areas_of, record.ignored),
        )
        for record in known
    )
    return TrainingSources(
        sources,
        tuple(name for name in label_names if used[name]),
        skipped=(f"Boxes in ignore areas: {inside:,}.",) if inside else (),
    )


def _outside_areas(record: ImageRecord) -> ImageRecord:
    if not record.ignored or not record.annotations:
        return record
    boxes = np.array([annotation.box for annotation in record.annotations], np.float64)
    inside = is_inside(boxes, record.ignored, record.size)
    pairs = zip(record.annotations, inside.tolist(), strict=True)
    return record.with_annotations(pair for pair, is_in in pairs if not is_in)


def _areas_of(shapes: tuple[Shape, ...], _: Frame) -> tuple[Shape, ...]:
    return shapes


def box_counts(records: Iterable[ImageRecord]) -> Counter[str]:
    """Return how many boxes each label has on some images."""
    return Counter(
        annotation.label for record in records for annotation in record.annotations
    )


def _boxes_of(annotations: Sequence[Annotation], _: Frame) -> list[tuple[str, Box]]:
    return [(annotation.label, annotation.box) for annotation in annotations]
