"""Ultralytics YOLO: images/<split>, labels/<split> and data.yaml."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from imagebase.errors import AnnotationFileError
from imagebase.formats import yolo_lines
from imagebase.formats.base import (
    PARTS,
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    WriteOptions,
    class_ids_of,
)
from imagebase.formats.file_names import flat_image_names, image_stem
from imagebase.formats.image_index import NameIndex, paired, short_names, stated_path
from imagebase.formats.label_lists import LabelLists, has_named_classes, is_names_list
from imagebase.formats.reader import LabelReader, number
from imagebase.formats.split import part_in, part_in_words, part_named
from imagebase.formats.text_files import lines_of, text_of, yaml_value
from imagebase.formats.trees import (
    FILES_TO_TRY,
    files_named,
    folder_of,
    image_names,
    is_image_name,
    names_with_suffix,
)
from imagebase.formats.yolo_lines import CONVENTION, label_text, relative_tolerance

_LIST: Final = ".txt"
_LINES_TO_TRY: Final = 20


class StatedSplit:
    """The part of each image that is stated: in lists, or by the folder it lies in.

    files: the lists, which are no label files.
    """

    def __init__(self, tree: FileTree, images: Sequence[str]) -> None:
        self._tree = tree
        self._images = images
        self._index = NameIndex(images)
        self._texts = names_with_suffix(tree, _LIST)
        self._part_of: dict[str, str] = {}
        self.files: frozenset[str] = frozenset()
        stated = list(_stated_parts(tree))
        lists = {text for file, _, text in stated if text.lower().endswith(_LIST)}
        by_text = {text: self._list_of(text, file) for file, _, text in stated}
        for _, part, text in stated:
            if text not in lists:
                self._place(part, self._images_below(text))
            elif list_file := by_text[text]:
                self._place(part, self._images_in(list_file))
        self.files = frozenset(by_text[text] for text in lists if by_text[text])
        if not stated:
            self._read_lists_alone()

    def part_of(self, image: str) -> str:
        """Return the part of an image; empty where none is stated, or two are."""
        return self._part_of.get(image, "")

    def _place(self, part: str, images: Iterable[str]) -> None:
        for image in images:
            known = self._part_of.get(image, part)
            self._part_of[image] = part if known == part else ""

    def _list_of(self, text: str, file: str) -> str:
        return NameIndex(self._texts).find(text, near=file) or ""

    def _read_lists_alone(self) -> None:
        """Read the lists that no data file names, by what they are called."""
        named = {file: part_in_words(PurePosixPath(file).stem) for file in self._texts}
        lists = {
            file: part
            for file, part in named.items()
            if part and is_list_of_images(self._tree, file)
        }
        self.files = frozenset(lists)
        if len(set(lists.values())) > 1:
            for file, part in lists.items():
                self._place(part, self._images_in(file))

    def _images_in(self, file: str) -> Iterator[str]:
        """Yield the images that a list names, as paths of whichever machine."""
        try:
            lines = lines_of(text_of(self._tree.read(file), file))
        except AnnotationFileError:
            return
        for line in filter(is_image_name, map(str.strip, lines)):
            match = self._index.find(line, near=file)
            if match is not None:
                yield match

    def _images_below(self, text: str) -> Iterator[str]:
        """Yield the images below a stated folder, which may be of another machine."""
        if "*" in text and (matching := self._images_like(text)):
            yield from matching
            return
        parts = [part for part in stated_path(text).split("/") if "*" not in part]
        folders = {folder for image in self._images for folder in _folders_of(image)}
        shared = {folder: _ending(folder.split("/"), parts) for folder in folders}
        most = max(shared.values(), default=0)
        best = [folder for folder, count in shared.items() if count == most]
        if most and len(best) == 1:
            inside = f"{best[0]}/"
            yield from (image for image in self._images if image.startswith(inside))

    def _images_like(self, pattern: str) -> list[str]:
        """Return the images of a pattern, of as much of its path as matches any."""
        parts = stated_path(pattern).split("/")
        for start in range(len(parts) - 1):
            ending = "/".join(parts[start:])
            matching = [
                image for image in self._images if PurePosixPath(image).match(ending)
            ]
            if matching:
                return matching
        return []


def is_list_of_images(tree: FileTree, file: str) -> bool:
    """Say whether each line of a text file is the path of an image."""
    try:
        lines = lines_of(text_of(tree.read(file), file))
    except AnnotationFileError:
        return False
    first = [line.strip() for line in lines if line.strip()][:_LINES_TO_TRY]
    return bool(first) and all(map(is_image_name, first))


def _stated_parts(tree: FileTree) -> Iterator[tuple[str, str, str]]:
    """Yield file, part, and what each data file states of it."""
    for file in names_with_suffix(tree, ".yaml", ".yml"):
        try:
            data = yaml_value(tree, file)
        except AnnotationFileError:
            continue  # reported where its names are needed
        if not isinstance(data, dict) or "names" not in data:
            continue
        for key, value in data.items():
            part = part_named(key) if isinstance(key, str) else None
            for text in value if isinstance(value, list) else [value]:
                if part is not None and isinstance(text, str) and text.strip():
                    yield file, part, text.strip()


def _folders_of(name: str) -> Iterator[str]:
    while name := folder_of(name):
        yield name


def _ending(some: Sequence[str], others: Sequence[str]) -> int:
    """Return how many are equal from the last backwards."""
    count = 0
    for folder, other in zip(reversed(some), reversed(others), strict=False):
        if folder.casefold() != other.casefold():
            break
        count += 1
    return count


DATA_FILE: Final = "data.yaml"
_STRUCTURE: Final = frozenset({"images", "labels", *PARTS, "valid"})
_NO_LABELS: Final = frozenset(
    {
        *("readme.txt", "readme.dataset.txt", "readme.roboflow.txt"),
        *("train.txt", "val.txt", "valid.txt", "test.txt"),
    }
)


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the images, a label file for each, and the list of names."""
    yield ExportFile(DATA_FILE, _data_text(export_set))
    yield ExportFile(yolo_lines.FILE, yolo_lines.yolo_readme(export_set))
    class_ids = class_ids_of(export_set.labels)
    image_names = flat_image_names(export_set)
    for image, name in zip(export_set.images, image_names, strict=True):
        if options.with_images:
            yield image.file_at(f"images/{image.part}/{name}")
        label_path = f"labels/{image.part}/{image_stem(name)}.txt"
        yield ExportFile(label_path, label_text(image, class_ids))


def _data_text(export_set: ExportSet) -> bytes:
    """Return data.yaml.

    An empty path makes Ultralytics look next to the file; `.` would be the folder
    that training was started from.
    """
    parts = export_set.parts
    data: dict[str, Any] = {"path": "", "train": "images/train"}
    data["val"] = "images/val" if "val" in parts else "images/train"
    if "test" in parts:
        data["test"] = "images/test"
    data["names"] = dict(enumerate(export_set.labels.names))
    text: str = yaml.safe_dump(
        data, allow_unicode=True, sort_keys=False, width=float("inf")
    )
    return text.encode()


def recognises(tree: FileTree) -> bool:
    """Say whether a YAML file has names, or a .txt lines as label files have."""
    if files_named(tree, "data.yaml", "data.yml") or has_named_classes(tree):
        return True
    label_files = _label_files(tree)[:FILES_TO_TRY]
    return any(_has_label_lines(tree, file) for file in label_files)


def _has_label_lines(tree: FileTree, file: str) -> bool:
    try:
        values = [float(value) for value in tree.read(file).split(b"\n")[0].split()]
    except (ValueError, AnnotationFileError):
        return False
    return len(values) >= 5


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read any layout with images and labels side by side, or label files alone.

    Boxes are relative: the format does not say how large an image is.

    Raises:
        AnnotationFileError: data.yaml is broken, or there is nothing to read.
    """
    lists = LabelLists(tree, collector)
    images = image_names(tree)
    split = StatedSplit(tree, images)
    about = lists.files | split.files
    label_files = [file for file in _label_files(tree) if file not in about]
    if not images and not label_files and not lists:
        raise AnnotationFileError(
            "There are no label files here: YOLO has a .txt next to each image or "
            "below a folder named labels."
        )
    if not lists:
        what = "no list of names is there, so labels are called class_0, class_1, …"
        collector.change(DATA_FILE, "", what)
    pairs = paired(images, label_files, _stem_below)
    for file in pairs.repeated:
        collector.skip(file, "", "another label file is that of the same image")
    alone = [path for path in pairs.alone if _may_be_labels(tree, path)]
    of_no_image = {_stem_below(file): file for file in alone}
    here = frozenset(images)
    for name, short in short_names([*images, *of_no_image], _short_name).items():
        file = pairs.by_image.get(name) or of_no_image.get(name, "")
        # Images may lie elsewhere, in folders that say nothing.
        part = split.part_of(name) or _part_of(name) or _part_of(file)
        image = collector.add_image(
            short,
            is_relative=True,
            part=part,
            file=file,
            stated=short,
            path=name if name in here else "",
        )
        if file:
            lists.lines_for(file, label_files).read(file, image)
    collector.check()


def _label_files(tree: FileTree) -> list[str]:
    return [
        name
        for name in names_with_suffix(tree, ".txt")
        if not is_names_list(tree, name)
    ]


def _may_be_labels(tree: FileTree, file: str) -> bool:
    """Say whether a text file of no image here is the label file of one elsewhere.

    Lists, licences and notes are none.
    """
    try:
        lines = lines_of(text_of(tree.read(file), file))
    except AnnotationFileError:
        return True  # and is reported as broken where it is read
    filled = [line.split() for line in lines if line.strip()]
    if not filled:
        path = PurePosixPath(file)
        return "labels" in path.parts[:-1] or path.name.lower() not in _NO_LABELS
    return any(map(_is_like_a_label, filled[:_LINES_TO_TRY]))


def _is_like_a_label(cells: Sequence[str]) -> bool:
    """Say whether a line has numbers where a box has them, or nothing but numbers."""
    numbers = [math.isfinite(number(cell)) for cell in cells]
    return all(numbers) or (len(numbers) >= 5 and all(numbers[1:5]))


def _stem_below(name: str) -> str:
    """Return what an image and its label file have in common."""
    parts = name.removesuffix(PurePosixPath(name).suffix).split("/")
    folders = [part for part in parts[:-1] if part.lower() not in ("images", "labels")]
    return "/".join([*folders, parts[-1]])


def _short_name(name: str) -> str:
    """Return a name without the folders that the format put there."""
    folders = name.split("/")
    last = max(
        (i for i, folder in enumerate(folders[:-1]) if folder.lower() in _STRUCTURE),
        default=-1,
    )
    return "/".join(folders[last + 1 :])


def _part_of(name: str) -> str:
    """Return the part that the format's folders say, else any folder of the name."""
    return part_in(name.removesuffix(_short_name(name))) or part_in(name)


FORMAT: Final = Format(
    title="Ultralytics YOLO",
    write=write,
    read=read,
    recognises=recognises,
    tolerance=relative_tolerance,
    conventions={"boxes": CONVENTION, "labels": "names in data.yaml, by class id"},
    has_sizes=False,
    is_relative=True,
    lists_train_as_val=True,
    has_flat_names=True,
)
