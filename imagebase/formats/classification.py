"""Image classification: whole images in a folder for each label, and their list."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Final

from imagebase.annotation import Box, LabelSet, Size
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import (
    PARTS,
    ExportFile,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    MappedImages,
    WriteOptions,
)
from imagebase.formats.file_names import flat_image_names, label_folders
from imagebase.formats.reader import LabelReader, image_name
from imagebase.formats.shapes import writable
from imagebase.formats.split import part_in, part_named
from imagebase.formats.text_files import (
    csv_rows,
    csv_table,
    names_file,
    read_names_file,
)
from imagebase.formats.trees import files_named, is_image_name, names_with_suffix

FILE: Final = "classification.csv"
UNLABELLED: Final = "_unlabelled"
_LABELS_FILE: Final = "labels.txt"
_COLUMNS: Final = ("filename", "label")
# With a split only, as without one it would say the same of all.
_PART_COLUMN: Final = "part"
_PARTS: Final = frozenset({*PARTS, "valid", "validation", "images"})
# Files of these kinds say something about the images; folders alone then mean nothing.
_LABEL_SUFFIXES: Final = (".json", ".xml", ".csv", ".names", ".data", ".yaml", ".yml")


def reduced(export_set: ExportSet) -> ExportSet:
    """Return the set with what images as a whole are labelled, and without boxes.

    These are the images' tags; where no image has one, the labels of its boxes. Tags
    that are no labels of the set have no order of their own and go by the alphabet, as
    programs that read folders have them.
    """
    has_tags = any(image.record.tags for image in export_set.images)
    images = MappedImages(export_set.images, partial(_without_boxes, has_tags=has_tags))
    labels = export_set.labels
    if has_tags:
        tags = {tag for image in images for tag in image.record.tags}
        labels = labels if tags <= set(labels.names) else LabelSet.of(sorted(tags))
    return replace(export_set, labels=labels, images=images)


def _without_boxes(image: ExportImage, *, has_tags: bool) -> ExportImage:
    labels = dict.fromkeys(annotation.label for annotation in writable(image))
    tags = image.record.tags if has_tags else tuple(labels)
    return replace(image, record=replace(image.record, tags=tags, annotations=()))


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the list, and each image once into the folder of every label it has.

    With a split these folders lie in one for each part.
    """
    labelled = reduced(export_set)
    image_names = flat_image_names(labelled)
    yield ExportFile(_LABELS_FILE, names_file(labelled.labels))
    has_split = labelled.has_split
    columns = (*_COLUMNS, _PART_COLUMN) if has_split else _COLUMNS
    rows = _rows(labelled.images, image_names, with_parts=has_split)
    yield ExportFile(FILE, csv_table(columns, rows))
    if not options.with_images:
        return
    folder_of = label_folders(labelled.labels)
    for image, name in zip(labelled.images, image_names, strict=True):
        part = f"{image.part}/" if has_split else ""
        for folder in [folder_of[tag] for tag in image.record.tags] or [UNLABELLED]:
            yield image.file_at(f"{part}{folder}/{name}")


def _rows(
    images: Sequence[ExportImage], image_names: Iterable[str], *, with_parts: bool
) -> Iterator[tuple[str, ...]]:
    """Yield a row for each label of an image; one with an empty label for none."""
    for image, name in zip(images, image_names, strict=True):
        part = (image.part,) if with_parts else ()
        for tag in image.record.tags or ("",):
            yield (name, tag, *part)


def tolerance(box: Box, size: Size) -> tuple[float, float]:
    """Return nothing, as there are no boxes."""
    return 0.0, 0.0


def recognises(tree: FileTree) -> bool:
    """Say whether the list is there, or images lie in folders and nothing else does."""
    if files_named(tree, FILE):
        return True
    if names_with_suffix(tree, *_LABEL_SUFFIXES):
        return False
    images = [name for name in tree.names() if is_image_name(name)]
    labels = {_label_by_folder(name) for name in images}
    return len(labels) > 1 and "" not in labels


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read the list where there is one, else what folders the images lie in.

    Raises:
        AnnotationFileError: there is neither.
    """
    for file in files_named(tree, _LABELS_FILE):
        collector.add_labels(read_names_file(tree, file), file=file)
    lists = files_named(tree, FILE)
    for file in lists:
        with collector.skipping(file):
            _read_list(tree, file, collector)
    if not lists:
        _read_folders(tree, collector)
    collector.check()


def _read_list(tree: FileTree, file: str, collector: LabelReader) -> None:
    rows = csv_rows(tree, file, own=(_COLUMNS, (*_COLUMNS, _PART_COLUMN)))
    _, header = next(rows, (1, []))
    if tuple(header[:2]) != _COLUMNS:
        raise AnnotationFileError(
            f"line 1: its columns are not {' and '.join(_COLUMNS)}"
        )
    for line, row in rows:
        cells = dict(zip(header, row, strict=False))
        name, label = image_name(cells["filename"]), cells.get("label", "")
        at = f"line {line}"
        if not name:
            collector.skip(file, at, "it names no image")
            continue
        part = part_named(cells.get(_PART_COLUMN, "")) or ""
        image = collector.add_image(
            name, part=part, file=file, stated=cells["filename"]
        )
        if label:
            collector.add_tag(image, label, file=file, at=at)


def _read_folders(tree: FileTree, collector: LabelReader) -> None:
    images = [name for name in tree.names() if is_image_name(name)]
    if not any(_label_by_folder(name) for name in images):
        raise AnnotationFileError(
            "There are no labels of whole images here: images lie in a folder for each "
            f"label, or {FILE} lists them."
        )
    for name in images:
        collector.add_image(name, part=part_in(name.rpartition("/")[0]), path=name)
        label = _label_by_folder(name)
        if label and label != UNLABELLED:
            collector.add_tag(name, label, file=name, at="")


def _label_by_folder(name: str) -> str:
    """Return the folder that an image lies in; empty where that is none or a part."""
    folder = PurePosixPath(name).parent.name
    return "" if folder.lower() in _PARTS else folder


FORMAT: Final = Format(
    title="Image classification",
    write=write,
    read=read,
    recognises=recognises,
    tolerance=tolerance,
    conventions={
        "labels": f"of whole images, in {FILE}: their tags, or where no image has one "
        "the labels of its boxes; folder names are made safe",
        "split": f"where there is one, in the column {_PART_COLUMN}",
        "order": f"{_LABELS_FILE}, one a line, by class id",
        "unlabelled": f"images without a label lie in {UNLABELLED}",
    },
    has_sizes=False,
    has_boxes=False,
    reduced=reduced,
    has_flat_names=True,
)
