"""Read label files of any format into memory, and write them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path, PurePosixPath

from imagebase.annotation import ImageRecord, LabelSet, ReviewStatus, Size
from imagebase.errors import AnnotationFileError, ImageBaseError, ImageReadError
from imagebase.formats.base import (
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    ReadImage,
    WriteOptions,
)
from imagebase.formats.file_names import build_export_set
from imagebase.formats.placement import Frame, fitted, several_meant
from imagebase.formats.registry import format_named, own_files, own_images, read
from imagebase.formats.trees import opened_tree, with_images
from imagebase.formats.verified_export import ExportSummary, export_folder
from imagebase.formats.writer import ImageBytes
from imagebase.images.decode import export_image, read_header, written_suffix
from imagebase.images.skipped_files import EARLIER
from imagebase.settings import Mode, settings


@dataclass(frozen=True, slots=True)
class AnnotatedDataset:
    """Images with their annotations, as label files hold them.

    labels: the label list; a class id is a position in it.
    images: in the order of the files, boxes in pixels of the upright image; `file_name`
        is the path below the folder of the images.
    splits: `train`, `val` or `test` by file name, for images that the files put there.
    problems: a sentence for all that was left out or changed in reading.

    >>> import imagebase
    >>> dataset = imagebase.read_labels("labels/coco", images="photos")
    >>> len(dataset), sorted(image.file_name for image in dataset)[0]
    (3, 'bear.jpg')
    """

    labels: LabelSet
    images: Sequence[ImageRecord]
    splits: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[ImageRecord]:
        return iter(self.images)


def read_labels(
    path: str | PathLike[str],
    *,
    format_name: str | None = None,
    images: str | PathLike[str] | None = None,
) -> AnnotatedDataset:
    """Read label files in any of the formats that ImageBase knows.

    Args:
        path: a folder, a zip, or one file.
        format_name: such as `coco` or `yolo`; None recognises it.
        images: a folder or zip with the images, if they are not next to the labels.
            Formats in fractions of the image's size need them. Where an image file has
            another size than the labels say, or EXIF turns it, boxes go with it.

    Raises:
        UnknownFormatError: there is no such format.
        AnnotationFileError: nothing can be read.

    >>> import imagebase
    >>> dataset = imagebase.read_labels("labels/coco", images="photos")
    >>> bear = dataset.images[0]
    >>> bear.file_name, bear.size, bear.annotations[0].label
    ('bear.jpg', Size(width=586, height=640), 'bear')
    >>> bear.annotations[0].box.width > 100  # in pixels
    True
    """
    path = Path(path)
    with ExitStack() as stack:
        labels = stack.enter_context(opened_tree(path))
        tree, exports = own_files(labels, format_name)
        folder = ""
        if images is not None:
            given = stack.enter_context(opened_tree(Path(images)))
            joined = with_images(tree, path, own_images(given).tree, Path(images))
            tree, folder = joined.tree, joined.folder
        result = read(tree, format_name)
        problems = [f"Left out: {name}: {EARLIER}" for name in exports]
        problems += [f"Left out: {remark}" for remark in result.report.skipped]
        problems += [f"Changed: {remark}" for remark in result.report.changed]
        records, splits = [], {}
        for image in result.images:
            try:
                record = _record(image, tree, folder, problems)
            except ImageBaseError as error:
                problems.append(f"Left out: {image.name}: {error}")
                continue
            records.append(record)
            if image.part:
                splits[record.file_name] = image.part
    return AnnotatedDataset(result.labels, tuple(records), splits, tuple(problems))


def _record(
    image: ReadImage, tree: FileTree, folder: str, problems: list[str]
) -> ImageRecord:
    """Return an image with its boxes on its file; note where they had to be changed."""
    if len(image.others) > 1:
        raise AnnotationFileError(several_meant(image.others))
    size, placed = image.size, image
    if image.path:
        data = tree.read(image.path)
        header = read_header(
            data, file_name=image.path, max_pixels=tree.limits.max_image_pixels
        )
        size = header.size
        on_file = fitted(image, Frame(size, header.orientation))
        if on_file.problem:
            raise AnnotationFileError(on_file.problem)
        if on_file.note:
            problems.append(f"Changed: {image.name}: {on_file.note}")
        placed = on_file.image
    if size is None:
        raise AnnotationFileError(
            "nothing says how large the image is; give the folder of the images"
        )
    name = image.path.removeprefix(folder) if image.path else image.name
    # Two files may have the same content: here the name tells them apart.
    return ImageRecord(
        image_id=name,
        file_name=name,
        size=Size(*size),
        annotations=placed.annotations,
        status=ReviewStatus.APPROVED,
        tags=image.tags,
        ignored=placed.regions,
    )


def write_labels(
    dataset: AnnotatedDataset,
    output: str | PathLike[str],
    *,
    format_name: str = "coco",
    images: str | PathLike[str] | None = None,
) -> ExportSummary:
    """Write label files, read them back, and compare before they are put in place.

    Args:
        dataset: what to write. Labels that its list lacks are added at the end.
        output: a folder; the files go into `output/<format_name>/`.
        format_name: one of the twelve that can be written, such as `coco` or `yolo`.
        images: the folder that the images' file names are in; their files are copied
            along. None writes the label files alone.

    Raises:
        UnknownFormatError: there is no such format.
        ImageReadError: an image is missing or damaged; nothing was written.
        ExportError: the files cannot be written, or failed verification.

    >>> import imagebase
    >>> dataset = imagebase.read_labels("labels/coco", images="photos")
    >>> written = imagebase.write_labels(dataset, "out", format_name="voc")
    >>> written.images, written.path.as_posix()
    (3, 'out/voc')
    """
    output = Path(output)
    target = format_named(format_name)
    files = _ImageFiles(images, target.image_suffixes) if images is not None else None
    return export_folder(
        _export_set(dataset, target, files, name=output.resolve().name),
        format_name,
        images=_ImageFiles.none if files is None else files.bytes_for(dataset.images),
        folder=output / format_name,
        options=WriteOptions(with_images=files is not None and not target.is_in_place),
    )


def _export_set(
    dataset: AnnotatedDataset, target: Format, files: "_ImageFiles | None", *, name: str
) -> ExportSet:
    def suffix_of(record: ImageRecord) -> str:
        own = PurePosixPath(record.file_name).suffix
        return own if files is None else files.suffix_of(record.file_name)

    if target.is_in_place:
        labels = dataset.labels.with_labels(
            label for record in dataset.images for label in record.labels
        )
        images = tuple(ExportImage(image, image.file_name) for image in dataset.images)
        export_set = ExportSet(name, labels, images)
    else:
        export_set = build_export_set(
            name,
            dataset.labels,
            dataset.images,
            suffix_of,
            readable=target.image_suffixes,
        )
    split = tuple(
        replace(image, part=dataset.splits.get(image.record.file_name, image.part))
        for image in export_set.images
    )
    return replace(export_set, images=split)


class _ImageFiles:
    """Image files below a folder, copied next to their labels."""

    def __init__(self, folder: str | PathLike[str], readable: Set[str] | None) -> None:
        self._folder = Path(folder)
        self._readable = readable
        self._most = settings().limits_for(Mode.TEAM).max_image_pixels

    @staticmethod
    def none(image_id: str) -> None:
        """Stand for files that are not written."""

    def suffix_of(self, name: str) -> str:
        header = read_header(self._read(name), file_name=name, max_pixels=self._most)
        return written_suffix(header, self._readable)

    def bytes_for(self, records: Iterable[ImageRecord]) -> ImageBytes:
        names = {record.image_id: record.file_name for record in records}

        def bytes_of(image_id: str) -> bytes:
            name = names[image_id]
            return export_image(
                self._read(name),
                file_name=name,
                max_pixels=self._most,
                readable=self._readable,
            ).data

        return bytes_of

    def _read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise ImageReadError(
                f"{name} cannot be opened in {self._folder} ({error.strerror})."
            ) from error
