"""The formats by name: recognise one, read it, or say why files are of none."""

import re
import sqlite3
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

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
from imagebase.formats.csv_boxes import what_is_missing
from imagebase.formats.image_index import NameIndex
from imagebase.formats.reader import LabelReader
from imagebase.formats.text_files import json_items, lines_of, root_tag_of, text_of
from imagebase.formats.trees import (
    FILES_TO_TRY,
    TreeWithout,
    are_copies,
    image_names,
    is_image_name,
)
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
    """Yield the files of an export one by one.

    Raises:
        UnknownFormatError: at once.
        ExportError: while writing: something the format cannot say.
    """
    return format_named(format_name).write(export_set, options or WriteOptions())


def read(tree: FileTree, format_name: str | None = None) -> ReadResult:
    """Return the label set of these files; the format is recognised if not given.

    Raises:
        UnknownFormatError: no such format.
        AnnotationFileError: nothing can be read.
    """
    with taken_in(tree, format_name) as collected:
        return collected.result()


@contextmanager
def taken_in(tree: FileTree, format_name: str | None = None) -> Iterator[LabelReader]:
    """Give the label set that these files hold, on disk; errors as in `read`."""
    format_ = readable_format(format_name or recognise(tree))
    images = NameIndex(image_names(tree), partial(are_copies, tree))
    try:
        with LabelReader(tree.limits, images) as collector:
            format_.read(tree, collector)
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

    Where label files are in exports alone, the exports are meant and stay. What an
    export wrote is a label set of its own: read with the others it would count twice.

    Args:
        format_name: that the files are to be read in; any with boxes if not given.
    """

    def is_label_set(without: FileTree) -> bool:
        return any(
            format_.recognises(without)
            for name, format_ in readable_formats().items()
            if name == format_name or (format_name is None and format_.has_boxes)
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
    named = (
        name for name, format_ in readable_formats().items() if format_.recognises(tree)
    )
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
    for name, format_ in readable_formats().items():
        if name == format_name or not format_.has_boxes or not format_.recognises(tree):
            continue
        with suppress(AnnotationFileError), taken_in(tree, name) as collected:
            read_images = collected.images(is_bare=True)
            boxed = (image.path for image in read_images if image.annotations)
            first = next((path for path in boxed if path in images), None)
            if first is not None:
                yield format_.title, first


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


_ARCHIVES: Final = (
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".gz", ".bz2"),
    *(".xz", ".zst", ".7z", ".rar", ".zip"),
)
_OTHERS: Final[Mapping[str, str]] = {
    ".tfrecord": "TensorFlow records; export COCO, Pascal VOC or CSV instead",
    ".tfrecords": "TensorFlow records; export COCO, Pascal VOC or CSV instead",
    ".record": "TensorFlow records; export COCO, Pascal VOC or CSV instead",
    ".parquet": "a table in Parquet; save it as CSV",
    ".xlsx": "a spreadsheet; save it as CSV",
    ".xls": "a spreadsheet; save it as CSV",
    ".ods": "a spreadsheet; save it as CSV",
    ".mat": "a MATLAB file; export COCO, Pascal VOC or CSV instead",
    ".pkl": "a Python pickle, which is not safe to open; save it as JSON or CSV",
    ".pickle": "a Python pickle, which is not safe to open; save it as JSON or CSV",
    ".ndjson": "JSON line by line, as Labelbox exports it; export COCO instead",
    ".jsonl": "JSON line by line; export COCO instead",
    ".manifest": "the manifest of Amazon's Ground Truth; convert it to COCO first",
}
# The keys that an entry, or the document, of some other tool's JSON has.
_TOOLS: Final[tuple[tuple[frozenset[str], str], ...]] = (
    (frozenset({"tags", "objects", "size"}), "Supervisely's export"),
    (frozenset({"Label", "External ID"}), "Labelbox's export"),
    (frozenset({"data_row", "projects"}), "Labelbox's export"),
    (frozenset({"name", "labels"}), "the labels of BDD100K"),
    (frozenset({"imgHeight", "imgWidth", "objects"}), "the labels of Cityscapes"),
    (frozenset({"dataset", "image", "annotations"}), "V7 Darwin's export"),
    (frozenset({"item", "annotations"}), "V7 Darwin's export"),
)
_RESULT_KEYS: Final = frozenset({"image_id", "category_id", "score"})
_BARE_KEYS: Final = frozenset({"image_id", "category_id"})
# `x1 y1 x2 y2 x3 y3 x4 y4 label difficult`, in pixels.
_DOTA: Final = re.compile(r"(-?\d+(\.\d+)?\s+){8}\S*[^\d\s.]\S*(\s+[0-2])?")
# `a.jpg x1,y1,x2,y2,class …`, what Roboflow exports for Keras and for YOLOv4 PyTorch.
_KERAS: Final = re.compile(r"\S.*\.\w{3,4}(\s+-?\d+(,-?\d+){4})+")
_MOST_NAMES: Final = 3
_LONGEST_LINE: Final = 1_000


class _Seen(NamedTuple):
    """What one file shows. rank: the lower, the likelier it is that it is meant."""

    rank: int
    sentence: str


def unrecognised(tree: FileTree) -> str:
    """Return a sentence on files of no known format, with what to do."""
    seen = sorted(_all_seen(tree), key=lambda seen_file: seen_file.rank)
    if seen:
        return seen[0].sentence
    names = [name for name in tree.names() if not is_image_name(name)]
    if not names:
        return (
            "There is no label file here, only images in one place; add the file or "
            "the folder that says what is in them."
            if tree.names()
            else "There are no files here; give a folder, a zip or a label file."
        )
    rest = len(names) - _MOST_NAMES
    more = f" and {rest:,} more" if rest > 0 else ""
    return (
        f"No readable labels were found in {', '.join(names[:_MOST_NAMES])}"
        f"{more}; export COCO, YOLO or Pascal VOC from the tool they come from."
    )


def packed_files(tree: FileTree) -> list[str]:
    """Return the files of a tree that are archives, which nobody looks into."""
    return [name for name in tree.names() if name.lower().endswith(_ARCHIVES)]


def _all_seen(tree: FileTree) -> Iterator[_Seen]:
    names = (name for name in tree.names() if not is_image_name(name))
    for name in islice(names, FILES_TO_TRY):
        suffix = PurePosixPath(name).suffix.lower()
        look = _LOOKS.get(suffix)
        if name.lower().endswith(_ARCHIVES):
            yield _Seen(1, f"{name} is packed: unpack it first, and give its content.")
        elif suffix in _OTHERS:
            yield _Seen(4, f"{name} cannot be read: it looks like {_OTHERS[suffix]}.")
        elif look is not None:
            try:
                yield from look(tree, name)
            except AnnotationFileError as error:
                reason = str(error).removeprefix(f"{name} is ").rstrip(".")
                is_own = str(error).startswith(name)
                message = f"it is {reason}" if is_own else reason
                advice = (
                    "; get a whole copy of it"
                    if "ends in the middle" in message
                    else ""
                )
                yield _Seen(2, f"{name} cannot be read: {message}{advice}.")


def _json_seen(tree: FileTree, file: str) -> Iterator[_Seen]:
    """Say what a JSON file shows; AnnotationFileError where it is broken."""
    keys: set[str] = set()
    entries: list[Mapping[str, Any]] = []
    for item in islice(json_items(tree, file), FILES_TO_TRY):
        keys.add(item.section)
        if isinstance(item.value, dict) and item.position is not None:
            entries.append(item.value)
    entry = entries[0].keys() if entries else frozenset[str]()
    if keys <= {"", "annotations"} and entry >= _BARE_KEYS:
        yield _Seen(3, _about_results(file, entries[0]))
        return
    for shown, tool in _TOOLS:
        if shown <= keys or shown <= entry:
            what = f"{file} looks like {tool}, which is not read; export COCO there."
            yield _Seen(3, what)
            return
    if "annotations" in keys and "images" not in keys:
        yield _Seen(
            3, f"{file} has annotations but no list of images; export it again."
        )


def _about_results(file: str, entry: Mapping[str, Any]) -> str:
    looks = "COCO results" if entry.keys() >= _RESULT_KEYS else "part of a COCO file"
    return (
        f"{file} looks like {looks}: it says neither what image {entry['image_id']!r} "
        f"is called nor what category {entry['category_id']!r} is; give a COCO file "
        "that has its images and categories too."
    )


def _csv_seen(tree: FileTree, file: str) -> Iterator[_Seen]:
    missing = what_is_missing(tree, file)
    if missing:
        yield _Seen(3, f"{file}: {missing}.")


def _xml_seen(tree: FileTree, file: str) -> Iterator[_Seen]:
    tag = root_tag_of(tree, file)
    yield _Seen(
        5,
        f"{file} has the root <{tag}>, which is no supported format; export Pascal VOC "
        "or COCO from the tool it comes from.",
    )


def _text_seen(tree: FileTree, file: str) -> Iterator[_Seen]:
    text = lines_of(text_of(tree.read(file), file))
    first = islice((line.strip() for line in text if line.strip()), _MOST_NAMES)
    # A pattern may try each character of a line against each other.
    lines = [line for line in first if len(line) <= _LONGEST_LINE]
    if any(map(_DOTA.fullmatch, lines)):
        yield _Seen(
            3,
            f"{file} looks like DOTA's labels of rotated boxes, which are not read; "
            "export COCO or YOLO instead.",
        )
    if any(map(_KERAS.fullmatch, lines)):
        yield _Seen(
            3,
            f"{file} looks like labels for Keras, an image and its boxes on one line, "
            "which are not read; export COCO or YOLO instead.",
        )


_LOOKS: Final = {
    ".json": _json_seen,
    ".csv": _csv_seen,
    ".tsv": _csv_seen,
    ".xml": _xml_seen,
    ".txt": _text_seen,
}
