"""Verify an export: read the written files back and compare them box by box."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Final, NamedTuple

from imagebase.annotation import Annotation, LabelSet, Size
from imagebase.annotation.attributes import as_texts, stated
from imagebase.errors import AnnotationFileError, ImageBaseError
from imagebase.formats.base import (
    PARTS,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    ReadImage,
    SkippedBox,
)
from imagebase.formats.file_names import image_stem, names_in
from imagebase.formats.reader import CROWD, LabelReader
from imagebase.formats.registry import format_named, taken_in
from imagebase.formats.shapes import (
    as_crowd,
    confidence_of,
    crowds,
    has_areas,
    is_same,
    left_out,
    pieces,
    used_labels,
    writable,
)
from imagebase.formats.writer import SubTree, WrittenFile, subsets
from imagebase.images.decode import read_header
from imagebase.wording import plural

_MAX_DIFFERENCES: Final = 20
_CONFIDENCE_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of reading the written files back.

    differences: sentences, the first twenty; empty where everything compares.
    files, files_equal: compared byte by byte, see `verify_files`.
    kept: the images asked for, read back, by image id, in pixels.
    """

    images: int
    boxes_written: int
    boxes_equal: int
    differences: tuple[str, ...]
    left_out: tuple[SkippedBox, ...]
    files: int = 0
    files_equal: int = 0
    kept: Mapping[str, ReadImage] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Say whether everything that was written was read back equal."""
        is_whole = (self.boxes_equal, self.files_equal) == (
            self.boxes_written,
            self.files,
        )
        return is_whole and not self.differences


class _Counted(NamedTuple):
    written: int
    equal: int


def verify(
    export_set: ExportSet,
    tree: FileTree,
    format_name: str,
    *,
    layout: Format | None = None,
    keep: Collection[str] = (),
) -> Verification:
    """Compare the files of a tree with the set that was written into them.

    Labels and their order, images, names, sizes, confidences where the format has them,
    and every box to within what the format's digits can say.

    Args:
        layout: how the files lie; as in a folder if not given.
        keep: ids of images to return in the proof, as read.

    Raises:
        UnknownFormatError: no such format.
    """
    left = tuple(skipped for image in export_set.images for skipped in left_out(image))
    format_ = layout or format_named(format_name)
    comparison = _Comparison(format_name, format_, keep)
    for folder, subset in subsets(export_set, format_):
        comparison.compare(subset, SubTree(tree, folder) if folder else tree)
    return comparison.proof(export_set, left)


def verify_files(
    proof: Verification,
    tree: FileTree,
    files: Collection[WrittenFile],
    *,
    sizes: Mapping[str, Size],
    max_pixels: int,
) -> Verification:
    """Return the result with every file compared: its bytes, and an image's size.

    Args:
        files: the written files.
        sizes: of each image in the label files, by its path.
        max_pixels: of an image.
    """
    differences = list(proof.differences)
    equal = 0
    for path, sha256, _ in files:
        with tree.open(path) as file:
            is_equal = _sha256(file) == sha256
        reason = "" if is_equal else "differs from what was written"
        if is_equal and path in sizes:
            reason = _reason_against(tree.read(path), path, sizes[path], max_pixels)
        equal += not reason
        if reason and len(differences) < _MAX_DIFFERENCES:
            differences.append(f"{path} {reason}.")
    return replace(
        proof, differences=tuple(differences), files=len(files), files_equal=equal
    )


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()


def _reason_against(data: bytes, path: str, size: Size, max_pixels: int) -> str:
    try:
        header = read_header(data, file_name=path, max_pixels=max_pixels)
    except ImageBaseError as error:
        return f"cannot be opened: {error}"
    if header.size != size:
        return f"is an image of {header.size}, not {size}"
    return ""


class _Comparison:
    """Counts equal boxes and keeps the first differences."""

    def __init__(self, format_name: str, layout: Format, keep: Collection[str]) -> None:
        self._name = format_name
        self._format = layout
        self._keep = frozenset(keep)
        self._kept: dict[str, ReadImage] = {}
        self._differences: list[str] = []
        self._boxes = _Counted(0, 0)
        self._ignored_labels: list[str] = []

    def compare(self, export_set: ExportSet, tree: FileTree) -> None:
        """Read files, and compare them with the set that is to be in them."""
        try:
            with taken_in(tree, self._name) as reader:
                reduced = self._format.reduced(export_set)
                self._ignored_labels = _ignored_labels(reduced, self._format)
                for remark in reader.skipped():
                    if self._ignored_labels and CROWD in remark.reason:
                        continue  # those written are compared below
                    self.differ(f"Reading back left something out: {remark}.")
                self.labels(reduced.labels, reader.labels)
                self.images(reduced, reader)
        except AnnotationFileError as error:
            self.differ(f"The files cannot be read back: {error}")

    def differ(self, sentence: str) -> None:
        if len(self._differences) < _MAX_DIFFERENCES:
            self._differences.append(sentence)

    def proof(
        self, export_set: ExportSet, left: tuple[SkippedBox, ...]
    ) -> Verification:
        return Verification(
            len(export_set.images),
            *self._boxes,
            tuple(self._differences),
            left,
            kept=self._kept,
        )

    def labels(self, written: LabelSet, read: LabelSet) -> None:
        if written.names != read.names:
            self.differ(f"The labels are {read.names}, not {written.names}.")

    def images(self, export_set: ExportSet, reader: LabelReader) -> None:
        if reader.image_count != len(export_set.images):
            count = len(export_set.images)
            self.differ(f"It has {plural(reader.image_count, 'image')}, not {count:,}.")
        names = names_in(self._format, export_set)
        in_order = reader.images(is_bare=True)
        for image, name in zip(export_set.images, names, strict=True):
            # Without image files some formats know a name without its suffix.
            wanted = (name, image_stem(name))
            read = next(in_order, None)
            if read is None or read.name not in wanted:
                read = reader.image(wanted[0]) or reader.image(wanted[1])
            if read is None:
                self.differ(f"{name} is missing.")
                self._count(len(writable(image)), 0)
            else:
                self._image(image, name, read)

    def _image(self, image: ExportImage, name: str, read: ReadImage) -> None:
        size = image.record.size
        if read.size != (size if self._format.has_sizes else None):
            self.differ(f"{name} has the size {read.size}, not {size}.")
        if not self._format.has_boxes and read.tags != image.record.tags:
            self.differ(f"{name} has the labels {read.tags}, not {image.record.tags}.")
        part = read.part or PARTS[0]
        if self._format.has_parts and part != image.part:
            self.differ(f"{name} is for {part}, not for {image.part}.")
        wanted = writable(image)
        in_pixels = read.in_pixels(size)
        boxes = in_pixels.annotations
        if image.record.image_id in self._keep:
            self._kept[image.record.image_id] = in_pixels
        if len(wanted) != len(boxes):
            self.differ(f"{name} has {plural(len(boxes), 'box')}, not {len(wanted):,}.")
        equal = 0
        pairs = zip(wanted, boxes, strict=False)
        for number, (annotation, other) in enumerate(pairs, start=1):
            reasons = tuple(self._reasons(annotation, other, size))
            equal += not reasons
            for reason in reasons:
                self.differ(f"{name}, box {number}: {reason}.")
        self._count(len(wanted), equal)
        for reason in self._of_areas(image, in_pixels):
            self.differ(f"{name}: {reason}.")

    def _of_areas(self, image: ExportImage, read: ReadImage) -> Iterator[str]:
        """Yield what differs in the areas that nobody labels."""
        written = pieces(image, self._format.region)
        if len(written) != len(read.regions):
            yield f"it has {len(read.regions)} ignore areas, not {len(written)}"
        for number, pair in enumerate(zip(written, read.regions, strict=False), 1):
            allowed = self._format.tolerance(pair[0].bounds, image.record.size)
            if not is_same(*pair, allowed):
                yield f"ignore area {number} is {pair[1]}, not {pair[0]}"
        crowd_entries = (
            crowds(image, self._ignored_labels) if self._format.has_crowds else ()
        )
        expected = [as_crowd(*entry) for entry in crowd_entries]
        if [(annotation.label, annotation.box) for annotation in expected] != [
            (crowd.label, crowd.box) for crowd in read.crowds
        ]:
            yield f"it has {len(read.crowds)} crowd regions, not {len(expected)}"

    def _count(self, written: int, equal: int) -> None:
        before = self._boxes
        self._boxes = _Counted(before.written + written, before.equal + equal)

    def _reasons(
        self, written: Annotation, read: Annotation, size: Size
    ) -> Iterator[str]:
        if written.label != read.label:
            yield f"its label is {read.label!r}, not {written.label!r}"
        moved = [abs(a - b) for a, b in zip(written.box, read.box, strict=True)]
        allowed_x, allowed_y = self._format.tolerance(written.box, size)
        # Written so that a NaN differs.
        if not (max(moved[::2]) <= allowed_x and max(moved[1::2]) <= allowed_y):
            yield f"it is {tuple(read.box)}, not {tuple(written.box)}"
        if self._format.has_confidence and not _is_same(
            confidence_of(written), read.confidence
        ):
            yield f"its confidence is {read.confidence}, not {confidence_of(written)}"
        if written.attributes or read.attributes:
            yield from self._of_attributes(written, read)

    def _of_attributes(self, written: Annotation, read: Annotation) -> Iterator[str]:
        known = stated(written.attributes).items()
        held = as_texts({k: v for k, v in known if self._format.holds(k, v)})
        values_read = as_texts(read.attributes)
        if held != values_read:
            yield f"its attributes are {values_read}, not {held}"


def _ignored_labels(export_set: ExportSet, format_: Format) -> list[str]:
    if not format_.has_crowds or not has_areas(export_set):
        return []
    return used_labels(export_set)


def _is_same(written: float | None, read: float | None) -> bool:
    if written is None or read is None:
        return written is read
    return abs(written - read) <= _CONFIDENCE_TOLERANCE
