"""MOT Challenge: gt.txt with `frame, id, left, top, width, height, flag, class, …`."""

import configparser
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from imagebase.annotation import AttributeValue, Box, Size
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import FileTree, InputFormat
from imagebase.formats.reader import LabelReader, number, size_of
from imagebase.formats.split import part_in
from imagebase.formats.text_files import lines_of, read_names_file, text_of
from imagebase.formats.trees import files_named, folder_of, is_image_name

_TRUTH: Final = ("gt.txt", "gt_train_half.txt", "gt_val_half.txt")
_FOUND: Final = "det.txt"
_SEQUENCE_FILE: Final = "seqinfo.ini"
_VISIBILITY: Final = 8
_LEAST_COLUMNS: Final = 6
# No frame, class or object has such a number.
_TOO_MANY: Final = 1e9
_LABEL: Final = "pedestrian"
# The class ids of MOT16 to MOT20, from 1.
_LABELS: Final = (
    *(_LABEL, "person on vehicle", "car", "bicycle", "motorbike"),
    *("non motorized vehicle", "static person", "distractor", "occluder"),
    *("occluder on the ground", "occluder full", "reflection", "crowd"),
)
_NUMBER: Final = re.compile(r"(\d{1,18})$")


def recognises(tree: FileTree) -> bool:
    """Say whether a gt.txt or det.txt has lines of six numbers or more with commas."""
    return any(_has_lines(tree, file) for file in _files(tree))


def _files(tree: FileTree) -> list[str]:
    return files_named(tree, *_TRUTH) or files_named(tree, _FOUND)


def _has_lines(tree: FileTree, file: str) -> bool:
    try:
        lines = lines_of(text_of(tree.read(file), file))
    except AnnotationFileError:
        return False
    return _numbers_of(next(filter(str.strip, lines), "")) is not None


def _numbers_of(line: str) -> list[float] | None:
    numbers = [number(cell) for cell in line.split(",")]
    is_entry = len(numbers) >= _LEAST_COLUMNS and all(n == n for n in numbers)
    return numbers if is_entry else None


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every sequence of the tree; an image is a frame, found by its number.

    Edges are taken as they stand, as the programs of the challenge take them.

    Raises:
        AnnotationFileError: there is no gt.txt and no det.txt, or none can be read.
    """
    files = _files(tree)
    if not files:
        raise AnnotationFileError(
            "There is no MOT file here: it is a gt.txt with frame, id, left, top, "
            "width and height, commas between them."
        )
    for file in files:
        with collector.skipping(file):
            _Sequence(tree, file, collector).read()
    collector.check()


class _Sequence:
    """The frames of one video, in the folder above that of its gt.txt."""

    def __init__(self, tree: FileTree, file: str, to: LabelReader) -> None:
        self._tree = tree
        self._file = file
        self._collector = to
        folder = folder_of(file)
        is_inner = PurePosixPath(folder).name.lower() in ("gt", "det")
        self._folder = folder_of(folder) if is_inner else folder
        self._stated = _stated(tree, self._path("", _SEQUENCE_FILE))
        self._part = part_in(file)
        self._images = self._frames()
        self._labels = self._names()

    def _path(self, *parts: str) -> str:
        return "/".join(filter(None, (self._folder, *parts)))

    def _frames(self) -> dict[int, str]:
        """Return the images by the number that their names end in."""
        folder = f"{self._folder}/" if self._folder else ""
        frames: dict[int, str] = {}
        for name in self._tree.names():
            digits = _NUMBER.search(PurePosixPath(name).stem)
            if name.startswith(folder) and is_image_name(name) and digits:
                frames[int(digits[1])] = name
        return frames

    def _names(self) -> list[str]:
        lists = [
            file
            for file in files_named(self._tree, "labels.txt")
            if folder_of(file) in (folder_of(self._file), self._folder)
        ]
        if not lists:
            return []
        listed = read_names_file(self._tree, lists[0])
        return self._collector.add_labels(listed, file=lists[0])

    def read(self) -> None:
        size = size_of(self._stated.get("imwidth"), self._stated.get("imheight"))
        for name in self._images.values():
            self._collector.add_image(name, size, part=self._part, path=name)
        lines = lines_of(text_of(self._tree.read(self._file), self._file))
        for index, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            numbers, at = _numbers_of(line), f"line {index}"
            if numbers is None or not 0 <= numbers[0] < _TOO_MANY:
                what = f"it is not six numbers or more, in {line[:60]!r}"
                self._collector.skip_box(self._file, at, what)
            else:
                self._read_entry(numbers, at, size)

    def _read_entry(self, numbers: Sequence[float], at: str, size: Size | None) -> None:
        frame = int(numbers[0])
        path = self._images.get(frame, "")
        image = self._collector.add_image(
            *(path or self._image_path(frame), size), part=self._part, path=path
        )
        x, y, width, height = numbers[2:6]
        flag = numbers[6] if len(numbers) > _LEAST_COLUMNS else 1
        is_found = PurePosixPath(self._file).name.lower() == _FOUND
        self._collector.add_box(
            image,
            self._label(numbers),
            Box(x, y, x + width, y + height),
            file=self._file,
            at=at,
            confidence=flag if is_found and 0 <= flag <= 1 else None,
            # The challenge ignores objects with this flag.
            is_crowd=not is_found and flag == 0,
            attributes=_attributes_of(numbers),
        )

    def _label(self, numbers: Sequence[float]) -> str:
        """Return the name of a class id from 1; the first challenge has pedestrians."""
        has_class = len(numbers) > 7 and 1 <= numbers[7] < _TOO_MANY
        class_id = int(numbers[7]) if has_class else 1
        names = self._labels or _LABELS
        return names[class_id - 1] if class_id <= len(names) else f"class_{class_id}"

    def _image_path(self, frame: int) -> str:
        suffix = self._stated.get("imext", ".jpg")
        folder = self._stated.get("imdir", "img1")
        return self._path(folder, f"{frame:06d}{suffix}")


def _stated(tree: FileTree, file: str) -> Mapping[str, str]:
    """Return seqinfo.ini, its keys in lower case; empty where it is missing."""
    if file not in tree.names():
        return {}
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text_of(tree.read(file), file))
        return dict(parser["Sequence"])
    except (AnnotationFileError, configparser.Error, KeyError):
        return {}


def _attributes_of(numbers: Sequence[float]) -> dict[str, object]:
    """Return which object it is, through all frames, and how much of it can be seen."""
    seen = numbers[_VISIBILITY] if len(numbers) > _VISIBILITY else -1
    return {
        "track_id": int(numbers[1]) if 0 <= numbers[1] < _TOO_MANY else None,
        "visibility": seen if 0 <= seen <= 1 else None,
    }


def _holds(name: str, value: AttributeValue) -> bool:
    return name in ("track_id", "visibility")


FORMAT: Final = InputFormat("MOT Challenge", read, recognises, holds=_holds)
