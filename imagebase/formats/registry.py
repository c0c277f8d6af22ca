"""The formats there are."""

import sqlite3
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

from imagebase.errors import AnnotationFileError, UnknownFormatError
from imagebase.formats import (
    classification,
    coco,
    createml,
    csv_boxes,
    cvat,
    darknet,
    datumaro,
    folders,
    kitti,
    labelme,
    labelme_xml,
    labelstudio,
    mot,
    openimages,
    via,
    voc,
    vott,
    widerface,
    yolo,
)
from imagebase.formats.base import (
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    InputFormat,
    ReadResult,
    WriteOptions,
    Writer,
)
from imagebase.formats.image_index import NameIndex
from imagebase.formats.reader import LabelReader
from imagebase.formats.trees import TreeWithout, are_copies, image_names
from imagebase.formats.unknown_files import unrecognised
from imagebase.images.skipped_files import earlier_exports

_BEGINNING_BYTES: Final = 8_192

# Those with files that no other has stand first: a tree is tried in this order.
FORMATS: Final[dict[str, Format]] = {
    "darknet": darknet.FORMAT,
    "folders": folders.FORMAT,
    "coco": coco.FORMAT,
    "voc": voc.FORMAT,
    "cvat": cvat.FORMAT,
    "labelstudio": labelstudio.FORMAT,
    "createml": createml.FORMAT,
    "labelme": labelme.FORMAT,
    "openimages": openimages.FORMAT,
    "csv": csv_boxes.FORMAT,
    "yolo": yolo.FORMAT,
    "classification": classification.FORMAT,
}
# Read and not written. Their files show more of themselves than those of the twelve.
INPUT_FORMATS: Final[dict[str, InputFormat]] = {
    "via": via.FORMAT,
    "vott": vott.FORMAT,
    "datumaro": datumaro.FORMAT,
    "labelme-xml": labelme_xml.FORMAT,
    "kitti": kitti.FORMAT,
    "mot": mot.FORMAT,
    "widerface": widerface.FORMAT,
}
WRITERS: Final[dict[str, Writer]] = {n: f.write for n, f in FORMATS.items()}


def format_named(name: str) -> Format:
    """Return a format.

    Raises:
        UnknownFormatError: with the names there are.
    """
    try:
        return FORMATS[name]
    except KeyError:
        known = ", ".join(sorted(FORMATS))
        raise UnknownFormatError(
            f"There is no annotation format {name!r}; choose one of {known}."
        ) from None


def readable_formats() -> dict[str, Format | InputFormat]:
    """Return the formats that can be read, in the order in which they are tried."""
    return {**INPUT_FORMATS, **FORMATS}


def readable_format(name: str) -> Format | InputFormat:
    """Return a format that can be read; errors as in `format_named`."""
    formats = readable_formats()
    if name not in formats:
        known = ", ".join(sorted(formats))
        raise UnknownFormatError(
            f"There is no annotation format {name!r} to read; choose one of {known}."
        )
    return formats[name]


def write(
    format_name: str, export_set: ExportSet, options: WriteOptions | None = None
) -> Iterator[ExportFile]:
    """Return the files of an export, one by one, as they are asked for.

    Raises:
        UnknownFormatError: at once.
        ExportError: while writing: something the format cannot say.
    """
    return format_named(format_name).write(export_set, options or WriteOptions())


def read(tree: FileTree, format_name: str | None = None) -> ReadResult:
    """Return the label set that these files hold, in the format they show if not told.

    Raises:
        UnknownFormatError: no such format.
        AnnotationFileError: nothing can be read.
    """
    with taken_in(tree, format_name) as collected:
        return collected.result()


@contextmanager
def taken_in(tree: FileTree, format_name: str | None = None) -> Iterator[LabelReader]:
    """Give the label set that these files hold, on disk; errors as in `read`."""
    one = readable_format(format_name or recognise(tree))
    images = NameIndex(image_names(tree), partial(are_copies, tree))
    try:
        with LabelReader(tree.limits, images) as collector:
            one.read(tree, collector)
            collector.settle()
            yield collector
    except sqlite3.Error as error:
        raise AnnotationFileError(
            f"The labels cannot be laid aside on disk ({error}); make room in the "
            "folder for temporary files, or name another one in TMPDIR."
        ) from error


READERS: Final[dict[str, Callable[[FileTree], ReadResult]]] = {
    name: partial(read, format_name=name) for name in (*INPUT_FORMATS, *FORMATS)
}


class OwnFiles(NamedTuple):
    """A tree without the exports in it, and the folders of these."""

    tree: FileTree
    exports: tuple[str, ...]


def own_files(tree: FileTree, format_name: str | None = None) -> OwnFiles:
    """Return a tree without what earlier exports wrote into it.

    Where label files are in exports alone these are what is meant, and stay. What an
    export wrote is a label set of its own: read with the others it would count twice.

    Args:
        format_name: that the files are to be read in; any with boxes if not given.
    """

    def is_label_set(without: FileTree) -> bool:
        return any(
            one.recognises(without)
            for name, one in readable_formats().items()
            if name == format_name or (format_name is None and one.has_boxes)
        )

    return _without_exports(tree, is_label_set)


def own_images(tree: FileTree) -> OwnFiles:
    """Return a tree of images likewise; where all are in exports they stay."""
    return _without_exports(tree, lambda without: bool(image_names(without)))


def _without_exports(tree: FileTree, is_enough: Callable[[FileTree], bool]) -> OwnFiles:
    exports = earlier_exports(tree.names(), partial(_beginning, tree))
    without = TreeWithout(tree, exports)
    if exports and is_enough(without):
        return OwnFiles(without, exports)
    return OwnFiles(tree, ())


def _beginning(tree: FileTree, name: str) -> bytes:
    with tree.open(name) as file:
        return file.read(_BEGINNING_BYTES)


def recognise(tree: FileTree) -> str:
    """Return the name of the format that these files are in.

    Raises:
        AnnotationFileError: in none that can be read, with what they look like.
    """
    named = (name for name, one in readable_formats().items() if one.recognises(tree))
    first = next(named, None)
    if first is None:
        raise AnnotationFileError(unrecognised(tree))
    others = list(named)
    # Of two sets side by side one may hold nothing.
    if not others or _has_a_box(tree, first):
        return first
    return next((name for name in others if _has_a_box(tree, name)), first)


def labelled_elsewhere(
    tree: FileTree, format_name: str, images: Container[str]
) -> Iterator[tuple[str, str]]:
    """Yield the title of each other format that has boxes of these images, and one.

    Most sets are in several formats by what their files look like; only boxes of
    images that nothing else is known of show that something was passed over.
    """
    for name, one in readable_formats().items():
        if name == format_name or not one.has_boxes or not one.recognises(tree):
            continue
        with suppress(AnnotationFileError), taken_in(tree, name) as collected:
            found = collected.images(is_bare=True)
            boxed = (image.path for image in found if image.annotations)
            first = next((path for path in boxed if path in images), None)
            if first is not None:
                yield one.title, first


class _BoxFoundError(Exception):
    """There is a box: that is all that was asked."""


class _UntilABox(LabelReader):
    """Takes in what comes before the first box."""

    def add_box(self, *_: object, **__: object) -> None:
        raise _BoxFoundError


def _has_a_box(tree: FileTree, format_name: str) -> bool:
    """Say whether a set in this format has a box, reading no further than to it."""
    limits, images = tree.limits, NameIndex(image_names(tree))
    try:
        with _UntilABox(limits, images) as collector:
            readable_formats()[format_name].read(tree, collector)
    except _BoxFoundError:
        return True
    except (AnnotationFileError, sqlite3.Error):
        return False
    return False
