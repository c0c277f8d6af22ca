"""A folder per label with the images that hold it, each with its .txt."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final

from imagebase.errors import AnnotationFileError
from imagebase.formats.base import (
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    Streamed,
    WriteOptions,
    class_ids_of,
)
from imagebase.formats.file_names import (
    flat_image_names,
    image_stem,
    label_folders,
    split_suffix,
)
from imagebase.formats.reader import LabelReader
from imagebase.formats.shapes import writable
from imagebase.formats.split import part_in
from imagebase.formats.text_files import names_file, read_names_file
from imagebase.formats.trees import is_image_name, names_with_suffix
from imagebase.formats.yolo_lines import (
    CONVENTION,
    LabelLines,
    label_text,
    relative_tolerance,
)

BACKGROUND: Final = "_background"
_NAMES_FILE: Final = "obj.names"
# The folders alone do not keep the order of the images.
_LIST_FILE: Final = "images.txt"


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write each image once for every label on it, with all of its boxes each time."""
    image_names = flat_image_names(export_set)
    yield ExportFile(_NAMES_FILE, names_file(export_set.labels))
    listing = (f"{name}\n".encode() for name in image_names)
    yield ExportFile(_LIST_FILE, Streamed(listing))
    class_ids = class_ids_of(export_set.labels)
    folder_of = label_folders(export_set.labels)
    for image, name in zip(export_set.images, image_names, strict=True):
        labels = dict.fromkeys(annotation.label for annotation in writable(image))
        text = label_text(image, class_ids)
        for folder in [folder_of[label] for label in labels] or [BACKGROUND]:
            if options.with_images:
                yield image.file_at(f"{folder}/{name}")
            yield ExportFile(f"{folder}/{image_stem(name)}.txt", text)


def recognises(tree: FileTree) -> bool:
    """Say whether obj.names stands above folders with label files, without obj.data."""
    all_names = set(tree.names())
    return any(
        name.rpartition(_NAMES_FILE)[0] + _LIST_FILE in all_names
        for name in names_with_suffix(tree, _NAMES_FILE)
    )


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read each image once, however many folders hold it.

    Where the label files of one image differ, the first counts and the rest are
    reported. Boxes are relative: the format does not say how large an image is.

    Raises:
        AnnotationFileError: obj.names or the label files are missing.
    """
    files = names_with_suffix(tree, _NAMES_FILE)
    if not files:
        raise AnnotationFileError(
            "There is no obj.names here: it lists what the class ids of the label "
            "files mean."
        )
    listed = collector.add_labels(read_names_file(tree, files[0]), file=files[0])
    lines = LabelLines(tree, collector, listed)
    lists = [file.rpartition(_NAMES_FILE)[0] + _LIST_FILE for file in files]
    label_files = _label_files(tree, lists)
    for name, part in _images(tree, lists, label_files).items():
        first, *others = label_files.get(split_suffix(name)[0]) or [""]
        image = collector.add_image(
            name, is_relative=True, part=part, file=first or files[0]
        )
        if first:
            lines.read(first, image)
        for other in others:
            if tree.read(other) != tree.read(first):
                collector.skip(other, "", f"it differs from {first}, which was read")
    collector.check()


def _label_files(tree: FileTree, lists: Sequence[str]) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for name in names_with_suffix(tree, ".txt"):
        if name not in lists:
            files.setdefault(PurePosixPath(name).stem, []).append(name)
    return files


def _images(
    tree: FileTree, lists: Sequence[str], label_files: dict[str, list[str]]
) -> dict[str, str]:
    """Return the images in the order of the lists, then those that none of them names.

    Each with the part whose folder its list lies in, or nothing.
    """
    parts: dict[str, str] = {}
    all_names = frozenset(tree.names())
    for file in lists:
        if file in all_names:
            for name in filter(is_image_name, read_names_file(tree, file)):
                parts.setdefault(name, part_in(file))
    for name in filter(is_image_name, tree.names()):
        parts.setdefault(PurePosixPath(name).name, "")
    stems = {split_suffix(name)[0] for name in parts}
    return parts | {stem: "" for stem in label_files if stem not in stems}


FORMAT: Final = Format(
    title="Folder per label",
    write=write,
    read=read,
    recognises=recognises,
    tolerance=relative_tolerance,
    conventions={
        "boxes": CONVENTION,
        "labels": "obj.names, one a line, by class id; folder names are made safe",
        "background": f"images without a box lie in {BACKGROUND}",
    },
    has_sizes=False,
    is_relative=True,
    has_parts=False,
    has_flat_names=True,
)
