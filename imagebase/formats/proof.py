"""The proof: written files are read back and compared box by box."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from imagebase.annotation import Annotation, LabelSet, Size
from imagebase.errors import AnnotationFileError
from imagebase.formats.boxes import confidence_of, left_out, writable
from imagebase.formats.label_set_files import (
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    LeftOut,
    ReadImage,
)
from imagebase.formats.names import split_suffix
from imagebase.formats.registry import format_named

_MAX_DIFFERENCES: Final = 20
_CONFIDENCE_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Proof:
    """What reading the written files back has shown.

    differences: sentences, the first twenty; empty where everything compares.
    """

    images: int
    boxes_written: int
    boxes_equal: int
    differences: tuple[str, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def holds(self) -> bool:
        return not self.differences and self.boxes_equal == self.boxes_written


class _Counted(NamedTuple):
    written: int
    equal: int


def prove(export_set: ExportSet, tree: FileTree, format_name: str) -> Proof:
    """Compare the files of a tree with the set that was written into them.

    Labels and their order, images, names, sizes, confidences where the format has them,
    and every box to within what the format's digits can say.

    Raises:
        UnknownFormatError: no such format.
    """
    left = tuple(one for image in export_set.images for one in left_out(image))
    one = format_named(format_name)
    comparison = _Comparison(one)
    try:
        result = one.read(tree)
    except AnnotationFileError as error:
        comparison.differ(f"The files cannot be read back: {error}")
        return comparison.proof(export_set, left)
    export_set = one.reduced(export_set)
    for remark in result.report.skipped:
        comparison.differ(f"Reading back left something out: {remark}.")
    comparison.labels(export_set.labels, result.labels)
    read = {image.name: image for image in result.images}
    comparison.images(export_set, read)
    return comparison.proof(export_set, left)


class _Comparison:
    """Counts what is equal and keeps the first differences."""

    def __init__(self, one: Format) -> None:
        self._format = one
        self._differences: list[str] = []
        self._boxes = _Counted(0, 0)

    def differ(self, sentence: str) -> None:
        if len(self._differences) < _MAX_DIFFERENCES:
            self._differences.append(sentence)

    def proof(self, export_set: ExportSet, left: tuple[LeftOut, ...]) -> Proof:
        return Proof(
            len(export_set.images), *self._boxes, tuple(self._differences), left
        )

    def labels(self, written: LabelSet, read: LabelSet) -> None:
        if written.names != read.names:
            self.differ(f"The labels are {read.names}, not {written.names}.")

    def images(self, export_set: ExportSet, read: dict[str, ReadImage]) -> None:
        if len(read) != len(export_set.images):
            self.differ(f"It has {len(read)} images, not {len(export_set.images)}.")
        names = self._format.names(export_set)
        for image, name in zip(export_set.images, names, strict=True):
            # Without image files some formats know a name without its suffix.
            found = read.get(name) or read.get(split_suffix(name)[0])
            if found is None:
                self.differ(f"{name} is missing.")
                self._count(len(writable(image)), 0)
            else:
                self._image(image, name, found)

    def _image(self, image: ExportImage, name: str, found: ReadImage) -> None:
        size = image.record.size
        if found.size != (size if self._format.has_sizes else None):
            self.differ(f"{name} has the size {found.size}, not {size}.")
        if not self._format.has_boxes and found.tags != image.record.tags:
            self.differ(f"{name} has the labels {found.tags}, not {image.record.tags}.")
        wanted = writable(image)
        boxes = found.in_pixels(size).annotations
        if len(wanted) != len(boxes):
            self.differ(f"{name} has {len(boxes)} boxes, not {len(wanted)}.")
        equal = 0
        pairs = zip(wanted, boxes, strict=False)
        for number, (one, other) in enumerate(pairs, start=1):
            reasons = tuple(self._reasons(one, other, size))
            equal += not reasons
            for reason in reasons:
                self.differ(f"{name}, box {number}: {reason}.")
        self._count(len(wanted), equal)

    def _count(self, written: int, equal: int) -> None:
        before = self._boxes
        self._boxes = _Counted(before.written + written, before.equal + equal)

    def _reasons(self, one: Annotation, other: Annotation, size: Size) -> Iterator[str]:
        if one.label != other.label:
            yield f"its label is {other.label!r}, not {one.label!r}"
        moved = [abs(a - b) for a, b in zip(one.box, other.box, strict=True)]
        allowed_x, allowed_y = self._format.tolerance(one.box, size)
        # Written so that a NaN differs.
        if not (max(moved[::2]) <= allowed_x and max(moved[1::2]) <= allowed_y):
            yield f"it is {tuple(other.box)}, not {tuple(one.box)}"
        if self._format.has_confidence and not _is_same(
            confidence_of(one), other.confidence
        ):
            yield f"its confidence is {other.confidence}, not {confidence_of(one)}"


def _is_same(written: float | None, read: float | None) -> bool:
    if written is None or read is None:
        return written is read
    return abs(written - read) <= _CONFIDENCE_TOLERANCE
