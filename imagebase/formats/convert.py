"""Convert label files of any size from one format to another."""

import time
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Final

from imagebase.annotation import ImageRecord, ReviewStatus, Size
from imagebase.errors import AnnotationFileError, ImageBaseError
from imagebase.formats.base import (
    PARTS,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    ReadImage,
    WriteOptions,
)
from imagebase.formats.file_names import with_suffix, with_suffix_of
from imagebase.formats.manifest import check_zip_is_free
from imagebase.formats.placement import Frame, fitted, several_meant
from imagebase.formats.reader import LabelReader
from imagebase.formats.registry import (
    OwnFiles,
    format_named,
    labelled_elsewhere,
    own_files,
    own_images,
    packed_files,
    readable_format,
    recognise,
    taken_in,
)
from imagebase.formats.scratch import DiskSet, ScratchImages
from imagebase.formats.trees import image_names, opened_tree, with_images
from imagebase.formats.verified_export import ExportSummary, export_folder, export_zip
from imagebase.images.decode import (
    ImageHeader,
    export_image,
    read_header,
    written_suffix,
)
from imagebase.images.skipped_files import EARLIER
from imagebase.settings import Limits, Mode
from imagebase.settings import settings as process_settings
from imagebase.wording import and_more, plural

OnProgress = Callable[[int, int], None]
OnProblem = Callable[[str], None]

# Fractions are written as fractions whatever the image's size, and pixels that nothing
# bounds within this one.
_ANY_SIZE: Final = Size(1_000_000, 1_000_000)
_NO_LIMIT: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Conversion:
    """Result of a conversion. problems: how many were reported."""

    source_format: str
    target_format: str
    images: int
    boxes: int
    labels: int
    problems: int
    seconds: float

    def in_words(self) -> str:
        """Return one line for a person."""
        problems = f", {plural(self.problems, 'remark')}" if self.problems else ""
        return (
            f"{plural(self.images, 'image')}, {plural(self.boxes, 'box')}, "
            f"{plural(self.labels, 'label')}{problems}: "
            f"{self.source_format} to {self.target_format} in {self.seconds:.1f} s"
        )


def convert(
    source: str | PathLike[str],
    output: str | PathLike[str],
    *,
    to: str,
    is_zip: bool = False,
    source_format: str | None = None,
    images: str | PathLike[str] | None = None,
    on_progress: OnProgress = lambda done, total: None,
    on_problem: OnProblem = lambda sentence: None,
) -> Conversion:
    """Convert label files of any size to another format, into a folder or a zip.

    Args:
        source: a folder, a zip, or one label file.
        output: a folder, where the format writes into a folder of its own; or the zip.
        to: the format to write. source_format: to read, recognised if not given.
        is_zip: write the zip that the app's Export page makes, images included.
        images: a folder or zip with the images, where they do not lie in the source.
        on_progress: called with the images written and their number.
        on_problem: called with a sentence for all that was left out or changed.

    Raises:
        UnknownFormatError: there is none of that name; nothing was done.
        AnnotationFileError, ExportError: nothing could be done.

    >>> import imagebase
    >>> conversion = imagebase.convert("labels/coco", "out", to="voc", images="photos")
    >>> conversion.images, conversion.source_format
    (3, 'coco')
    """
    began = time.perf_counter()
    source, output = Path(source), Path(output)
    images = None if images is None else Path(images)
    target = format_named(to).in_zip if is_zip else format_named(to)
    if source_format is not None:
        readable_format(source_format)
    if is_zip:
        check_zip_is_free(output)
    report = _Problems(on_problem)
    with ExitStack() as stack:
        own = partial(own_files, format_name=source_format)
        tree = stack.enter_context(_opened(source, own, report))
        source_format = source_format or recognise(tree)
        given = None
        if images is not None:
            image_tree = stack.enter_context(_opened(images, own_images, report))
            given = with_images(tree, source, image_tree, images)
            tree = given.tree
        files = stack.enter_context(closing(_SourceImages(tree, target, report)))
        collector = stack.enter_context(taken_in(tree, source_format))
        collector.place_by_folders()
        _report_remarks(collector, target, report)
        stored = ScratchImages(has_flat_names=target.has_flat_names)
        stack.enter_context(closing(stored))
        placing = _Placing(target, files, report, given.folder if given else None)
        placing.place_all(collector, stored)
        if not len(stored):
            raise AnnotationFileError(
                f"No image of {source} could be written as {target.title}."
            )
        name = output.stem if is_zip else output.resolve().name
        write: Callable[..., ExportSummary] = (
            partial(export_zip, path=output)
            if is_zip
            else partial(export_folder, folder=output / to)
        )
        summary = write(
            ExportSet(name, collector.labels, stored),
            to,
            images=files.bytes_of,
            options=WriteOptions(with_images=files.are_used and not target.is_in_place),
            progress=on_progress,
        )
        files.copies = collector.copies
        files.report_unused(source_format)
        _report_summary(summary, report)
    return Conversion(
        source_format,
        to,
        summary.images,
        summary.boxes,
        summary.labels,
        report.count,
        time.perf_counter() - began,
    )


def _report_remarks(collector: LabelReader, target: Format, report: OnProblem) -> None:
    for remark in collector.skipped():
        report(f"Left out: {remark}")
    for remark in collector.changed():
        report(f"Changed: {remark}")
    if target.has_boxes and collector.tag_count:
        report(
            f"Left out: {plural(collector.tag_count, 'label')} of whole images, as "
            f"{target.title} has those of boxes only"
        )


def _report_summary(summary: ExportSummary, report: OnProblem) -> None:
    for left in summary.left_out:
        report(f"Left out: {left.image}, a box of {left.label!r}: {left.reason}")
    for sentence in summary.warnings:
        report(sentence)


class _Placing:
    """Puts each image's boxes on its file, and finds its size and its name.

    given: the folder of images that the user gave, to which names are to
        lead; None where none was given.
    unknown, first_unknown: how many images have no known size, and one of them.
    absent, first_absent: how many have a size and no file, and one of them.
    without_part: how many the split of the label files leaves out.
    """

    def __init__(
        self,
        target: Format,
        files: "_SourceImages",
        report: OnProblem,
        given: str | None,
    ) -> None:
        self._target = target
        self._files = files
        self._report = report
        self._given = given
        self._unknown = 0
        self._first_unknown = ""
        self._absent = 0
        self._first_absent = ""
        self._without_part = 0

    def place_all(self, collector: LabelReader, stored: ScratchImages) -> None:
        """Store each image that can be written; report what was changed or left out."""
        for image in collector.images(is_bare=True):
            placed = self._placed(image)
            if placed is not None:
                stored.add(placed)
                self._without_part += not image.part
        has_names = bool(self._files.names) or self._target.has_flat_names
        if has_names and not self._target.is_in_place:
            stored.make_names_unique()
        self._report_absent()
        self._report_unsplit(stored)

    def _placed(self, image: ReadImage) -> ExportImage | None:
        if len(image.others) > 1:
            self._files.mention(image.others)
            self._report(f"Left out: {image.name}: {several_meant(image.others)}")
            return None
        header = self._files.header_of(image.path) if image.path else None
        if header is None:
            return self._without_a_file(image)
        placed = fitted(image, Frame(header.size, header.orientation))
        self._files.mention([image.path])
        if placed.problem:
            self._report(f"Left out: {image.name}: {placed.problem}")
            return None
        if placed.note:
            self._report(f"Changed: {image.name}: {placed.note}")
        self._files.use(image.path)
        return _to_be_written(
            placed.image, image.path, header.size, self._name(image, header)
        )

    def _name(self, image: ReadImage, header: ImageHeader) -> str:
        if not self._target.is_in_place:
            readable = self._target.image_suffixes
            suffix = written_suffix(header, readable)
            return with_suffix(image.name, suffix, readable)
        if self._given is not None:
            return image.path.removeprefix(self._given)
        return with_suffix_of(image.path, image.name)

    def _without_a_file(self, image: ReadImage) -> ExportImage | None:
        needs_none = not self._target.has_boxes or (
            image.is_relative == self._target.is_relative and not self._target.has_sizes
        )
        size = image.size or (_ANY_SIZE if needs_none else None)
        if size is None:
            self._first_unknown = self._first_unknown or image.name
            self._unknown += 1
            return None
        self._first_absent = self._first_absent or image.name
        self._absent += 1
        placed = fitted(image, Frame(size)).image
        return _to_be_written(placed, f"{image.name} without a file", size, image.name)

    def _report_unsplit(self, stored: ScratchImages) -> None:
        if self._without_part and set(stored.part_of_each()) > {PARTS[0]}:
            is_one = self._without_part == 1
            noun, verb = ("image", "is") if is_one else ("images", "are")
            self._report(
                f"Changed: {self._without_part:,} {noun} that the split says nothing "
                f"of {verb} for training"
            )

    def _report_absent(self) -> None:
        if self._unknown:
            what = (
                "no image file of this name could be read, and nothing else says how "
                "large the image is"
                if self._files.names
                else "nothing says how large the image is; give the folder of the "
                "images with --images"
            )
            first = and_more(self._first_unknown, self._unknown)
            self._report(f"Left out: {first}: {what}")
        packed = packed_files(self._files.tree)
        if (self._absent or self._unknown) and not self._files.names and packed:
            what = "is packed: unpack it first if the images are in it"
            self._report(f"Left out: {packed[0]} {what}")
        if self._absent and self._files.names:
            first = and_more(self._first_absent, self._absent)
            what = "no image file of this name is here; the labels are written alone"
            self._report(f"Changed: {first}: {what}")


def _to_be_written(
    image: ReadImage, image_id: str, size: Size, name: str
) -> ExportImage:
    record = ImageRecord(
        image_id,
        image.name,
        size,
        image.annotations,
        status=ReviewStatus.APPROVED,
        tags=image.tags,
        ignored=image.regions,
    )
    return ExportImage(record, name, part=image.part or PARTS[0])


class _SourceImages:
    """The image files that belong to the labels.

    are_used: whether labels were found for any of them.
    copies: files that have the content of others.
    """

    def __init__(self, tree: FileTree, target: Format, report: OnProblem) -> None:
        self.tree = tree
        self._readable = target.image_suffixes
        self._report = report
        self.names = image_names(tree)
        self.are_used = False
        self.copies: Set[str] = frozenset()
        self._used = DiskSet()
        self._mentioned = DiskSet()
        self._max_pixels = tree.limits.max_image_pixels

    def header_of(self, path: str) -> ImageHeader | None:
        """Return the header of an image's file; None where it is broken."""
        try:
            data = self.tree.read(path)
            return read_header(data, file_name=path, max_pixels=self._max_pixels)
        except ImageBaseError as error:
            self._mentioned.add(path)
            self._report_error(path, error)
            return None

    def mention(self, paths: Iterable[str]) -> None:
        """Note that labels or sentences speak of images, whatever becomes of them."""
        for path in paths:
            self._mentioned.add(path)

    def use(self, path: str) -> None:
        """Note that an image has labels that are written."""
        self._used.add(path)
        self.are_used = True

    def bytes_of(self, path: str) -> bytes | None:
        """Return the bytes of an image to be written; None where there are none."""
        if path not in self._used:
            return None
        try:
            data = self.tree.read(path)
            return export_image(
                data,
                file_name=path,
                max_pixels=self._max_pixels,
                readable=self._readable,
            ).data
        except ImageBaseError as error:
            self._report_error(path, error)
            return None

    def _report_error(self, path: str, error: ImageBaseError) -> None:
        named = "" if path in str(error) else f"{path}: "
        self._report(f"Left out: {named}{error}")

    def report_unused(self, source_format: str) -> None:
        """Report images without labels, and other formats that have labels of them."""
        left = {name for name in self.names if name not in self._mentioned}
        copies = sum(name in self.copies for name in left)
        if count := len(left) - copies:
            images = "image" if count == 1 else "images"
            self._report(f"Left out: {count:,} {images} that the labels say nothing of")
        if copies:
            images = "image that is" if copies == 1 else "images that are"
            self._report(f"Left out: {copies:,} {images} a copy of another one")
        if unused := left - self.copies:
            for title, name in labelled_elsewhere(self.tree, source_format, unused):
                what = f"{name} has labels in {title}, which were not read"
                self._report(f"Left out: {what}")

    def close(self) -> None:
        self._used.close()
        self._mentioned.close()


class _Problems:
    """Passes sentences on, and counts them."""

    def __init__(self, on_problem: OnProblem) -> None:
        self._on_problem = on_problem
        self.count = 0

    def __call__(self, sentence: str) -> None:
        self.count += 1
        self._on_problem(sentence)


@contextmanager
def _opened(
    path: Path, own: Callable[[FileTree], OwnFiles], report: OnProblem
) -> Iterator[FileTree]:
    """Give a source without what earlier exports wrote into it; on disk of any size."""
    with opened_tree(path, _limits()) as tree:
        own_files = own(tree)
        for folder in own_files.exports:
            report(f"Left out: {folder}: {EARLIER}")
        yield own_files.tree


def _limits() -> Limits:
    """Return the limits but for files that are read in parts or stay in their zip."""
    limits = process_settings().limits_for(Mode.TEAM)
    return Limits(
        max_file_bytes=_NO_LIMIT,
        max_archive_files=_NO_LIMIT,
        max_boxes_per_image=_NO_LIMIT,
        max_labels=limits.max_labels,
        max_image_pixels=limits.max_image_pixels,
    )
