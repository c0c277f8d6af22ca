"""What all readers share: taking items in, leaving bad ones out, and saying so."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from imagebase.annotation import (
    Annotation,
    Box,
    LabelSet,
    Size,
    Source,
    clean_label,
    clean_text,
)
from imagebase.errors import AnnotationFileError
from imagebase.formats.label_set_files import (
    ImportReport,
    ReadImage,
    ReadResult,
    Remark,
)
from imagebase.settings import Limits

_ABSOLUTE: Final = re.compile(r"/|[A-Za-z]:/")
# Boxes a hair over the edge are cut without a word.
_UNSPOKEN_PX: Final = 0.5
_UNSPOKEN_FRACTION: Final = 1e-3
_MAX_FRACTION: Final = 2.0
_MAX_SIDE_PX: Final = 1_000_000


@dataclass(slots=True)
class _Image:
    size: Size | None
    is_relative: bool
    annotations: list[Annotation] = field(default_factory=list)
    crowds: list[Annotation] = field(default_factory=list)
    tags: dict[str, None] = field(default_factory=dict)
    file: str = ""
    from_earlier_files: int = 0


class Collector:
    """Takes in labels, images and boxes in the order of the files."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._labels: dict[str, None] = {}
        self._images: dict[str, _Image] = {}
        self._boxes_found = 0
        self._skipped: list[Remark] = []
        self._changed: list[Remark] = []

    def skip(self, file: str, at: str, reason: str) -> None:
        """Say that an item was left out."""
        self._skipped.append(Remark(file, at, reason))

    def skip_box(self, file: str, at: str, reason: str) -> None:
        """Say that a box was left out, and count it among those found."""
        self._boxes_found += 1
        self.skip(file, at, reason)

    def change(self, file: str, at: str, what: str) -> None:
        """Say that an item was kept, but not as it stood in the file."""
        self._changed.append(Remark(file, at, what))

    def add_labels(self, names: Iterable[str], *, file: str) -> list[str]:
        """Take in names in this order; return them cleaned, position by position."""
        cleaned = []
        for index, name in enumerate(names):
            try:
                cleaned.append(clean_label(name))
            except ValueError:
                cleaned.append(f"class_{index}")
                what = f"it has no name and is called class_{index}"
                self.change(file, f"label {index}", what)
        for name in cleaned:
            self._add_label(name, file)
        return cleaned

    def _add_label(self, name: str, file: str) -> None:
        if name in self._labels:
            return
        if len(self._labels) >= self._limits.max_labels:
            raise AnnotationFileError(
                f"{file} brings more than {self._limits.max_labels:,} labels; "
                "check that its label column or list is the right one."
            )
        self._labels[name] = None

    def has_image(self, name: str) -> bool:
        return name in self._images

    def size_of(self, name: str) -> Size | None:
        return self._images[name].size

    def add_image(
        self, name: str, size: Size | None = None, *, is_relative: bool = False
    ) -> None:
        """Take in an image; one that is there already stays, and may gain a size."""
        known = self._images.setdefault(name, _Image(size, is_relative))
        known.size = known.size or size

    def add_tag(self, image: str, label: str, *, file: str, at: str) -> None:
        """Take in a label of an image as a whole, or leave it out with a reason."""
        try:
            cleaned = clean_label(label)
        except ValueError as error:
            self.skip(file, at, str(error))
            return
        self._add_label(cleaned, file)
        self._images[image].tags[cleaned] = None

    def add_box(
        self,
        image: str,
        label: str,
        box: Box,
        *,
        file: str,
        at: str,
        confidence: float | None = None,
        is_crowd: bool = False,
        is_by_model: bool = False,
    ) -> None:
        """Take in a box of an image that was added, or leave it out with a reason.

        Who states a confidence is a model too; its box is one nobody touched yet.
        """
        self._boxes_found += 1
        entry = self._images[image]
        try:
            label = clean_label(label)
            kept = self._fitted(box, entry, file, at)
            _check_is_new(kept, label, entry, file)
            self._check_room(entry)
        except ValueError as error:
            self.skip(file, at, str(error))
            return
        self._add_label(label, file)
        confidence = self._confidence(confidence, file, at)
        is_by_model = is_by_model or confidence is not None
        source = Source.MODEL if is_by_model else Source.IMPORT
        annotation = Annotation(kept, label, source=source, confidence=confidence)
        if is_crowd:
            entry.crowds.append(annotation)
            self.skip(file, at, "a crowd region, not the box of one object")
        else:
            entry.annotations.append(annotation)

    def _fitted(self, box: Box, entry: _Image, file: str, at: str) -> Box:
        if not box.is_finite:
            raise ValueError("a corner is not a number")
        ordered = box.normalised()
        if entry.is_relative and max(map(abs, ordered)) > _MAX_FRACTION:
            raise ValueError("the corners are not fractions of the image's size")
        size = Size(1, 1) if entry.is_relative else entry.size
        fitted = ordered.clipped(size or Size(_MAX_SIDE_PX, _MAX_SIDE_PX))
        if not fitted.area:
            empty = not ordered.area
            raise ValueError(
                "the box has no area" if empty else "the box lies outside the image"
            )
        if ordered != box:
            self.change(file, at, "its corners were swapped")
        moved = max(abs(a - b) for a, b in zip(ordered, fitted, strict=True))
        if moved > (_UNSPOKEN_FRACTION if entry.is_relative else _UNSPOKEN_PX):
            self.change(file, at, "it reached over the edge of the image and was cut")
        return fitted

    def _check_room(self, entry: _Image) -> None:
        limit = self._limits.max_boxes_per_image
        if len(entry.annotations) >= limit:
            raise ValueError(f"the image has {limit:,} boxes already, and no more fit")

    def _confidence(self, value: float | None, file: str, at: str) -> float | None:
        if value is None or 0 <= value <= 1:
            return value
        self.change(file, at, f"its confidence {value:g} is not in 0 to 1")
        return None

    def result(self) -> ReadResult:
        """Return what was taken in.

        Raises:
            AnnotationFileError: nothing was, and there is a reason to name.
        """
        if not self._images and not self._labels and self._skipped:
            raise AnnotationFileError(f"{self._skipped[0]}.")
        images = tuple(
            ReadImage(
                name,
                entry.size,
                tuple(entry.annotations),
                entry.is_relative,
                tuple(entry.crowds),
                tuple(entry.tags),
            )
            for name, entry in self._images.items()
        )
        report = ImportReport(
            len(images),
            self._boxes_found,
            sum(len(image.annotations) for image in images),
            tuple(self._skipped),
            tuple(self._changed),
        )
        return ReadResult(LabelSet.of(self._labels), images, report)


def _check_is_new(box: Box, label: str, entry: _Image, file: str) -> None:
    """Refuse a box that another file has: splits often lie beside the whole.

    Within one file the same box twice is two boxes.
    """
    if file != entry.file:
        entry.file, entry.from_earlier_files = file, len(entry.annotations)
    earlier = entry.annotations[: entry.from_earlier_files]
    if any(one.box == box and one.label == label for one in earlier):
        raise ValueError("another file has the same box")


def text_of(data: bytes, file: str) -> str:
    """Return a text file's text: UTF-8 with or without a mark, or UTF-16 with one.

    Raises:
        AnnotationFileError: in another encoding.
    """
    is_utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationFileError(
            f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from error


def lines_of(text: str) -> list[str]:
    """Return lines without their ends; blanks inside and around stay.

    Not `splitlines`: it also splits at characters that a name may hold.
    """
    return [line.removesuffix("\r") for line in text.split("\n")]


def image_name(text: str) -> str:
    """Return an image name from a label file as a relative path with `/`.

    Of an absolute path, which means something on one machine only, the last part.
    """
    name = clean_text(text).replace("\\", "/")
    if _ABSOLUTE.match(name):
        return PurePosixPath(name).name
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def number(text: object) -> float:
    """Return a number; NaN for what is none."""
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def size_of(width: object, height: object) -> Size | None:
    """Return a size in whole pixels, or None where these numbers are no size."""
    sides = number(width), number(height)
    if all(1 <= side <= _MAX_SIDE_PX for side in sides):
        return Size(round(sides[0]), round(sides[1]))
    return None
