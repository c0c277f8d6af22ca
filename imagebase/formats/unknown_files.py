"""What files look like that no reader takes: one sentence that says what to do."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from imagebase.errors import AnnotationFileError
from imagebase.formats.base import FileTree
from imagebase.formats.csv_boxes import what_is_missing
from imagebase.formats.json_stream import json_items
from imagebase.formats.text_files import lines_of, root_tag_of, text_of
from imagebase.formats.trees import FILES_TO_TRY, is_image_name

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


class _Seen(NamedTuple):
    """What one file shows. rank: the lower, the likelier it is that it is meant."""

    rank: int
    sentence: str


def unrecognised(tree: FileTree) -> str:
    """Return what was seen in files that are in no format, and what to do."""
    seen = sorted(_all_seen(tree), key=lambda one: one.rank)
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
            yield _Seen(
                1, f"{name} is packed: unpack it first, and give what is in it."
            )
        elif suffix in _OTHERS:
            yield _Seen(4, f"{name} cannot be read: it looks like {_OTHERS[suffix]}.")
        elif look is not None:
            try:
                yield from look(tree, name)
            except AnnotationFileError as error:
                reason = str(error).removeprefix(f"{name} is ").rstrip(".")
                is_own = str(error).startswith(name)
                said = f"it is {reason}" if is_own else reason
                advice = (
                    "; get a whole copy of it" if "ends in the middle" in said else ""
                )
                yield _Seen(2, f"{name} cannot be read: {said}{advice}.")


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
    lines = [line for line in lines_of(text_of(tree.read(file), file)) if line.strip()]
    if any(_DOTA.fullmatch(line.strip()) for line in lines[:_MOST_NAMES]):
        yield _Seen(
            3,
            f"{file} looks like DOTA's labels of rotated boxes, which are not read; "
            "export COCO or YOLO instead.",
        )
    if any(_KERAS.fullmatch(line.strip()) for line in lines[:_MOST_NAMES]):
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
