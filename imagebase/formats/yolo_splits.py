"""Who trains and who is tested, as YOLO's data files and lists of images say it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final

import yaml

from imagebase.errors import AnnotationFileError
from imagebase.formats.image_index import NameIndex, stated_path
from imagebase.formats.label_set_files import FileTree
from imagebase.formats.parts import part_in_words, part_named
from imagebase.formats.texts import lines_of, text_of
from imagebase.formats.trees import folder_of, is_image_name, names_with_suffix

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
        found = {text: self._list_of(text, file) for file, _, text in stated}
        for _, part, text in stated:
            if text not in lists:
                self._place(part, self._images_below(text))
            elif list_file := found[text]:
                self._place(part, self._images_in(list_file))
        self.files = frozenset(found[text] for text in lists if found[text])
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
            found = self._index.find(line, near=file)
            if found is not None:
                yield found

    def _images_below(self, text: str) -> Iterator[str]:
        """Yield the images below a folder, as it is stated: of another machine too."""
        if "*" in text and (matching := self._images_like(text)):
            yield from matching
            return
        parts = [one for one in stated_path(text).split("/") if "*" not in one]
        folders = {folder for image in self._images for folder in _folders_of(image)}
        shared = {one: _ending(one.split("/"), parts) for one in folders}
        most = max(shared.values(), default=0)
        best = [one for one, count in shared.items() if count == most]
        if most and len(best) == 1:
            inside = f"{best[0]}/"
            yield from (one for one in self._images if one.startswith(inside))

    def _images_like(self, pattern: str) -> list[str]:
        """Return the images of a pattern, of as much of its path as matches any."""
        parts = stated_path(pattern).split("/")
        for start in range(len(parts) - 1):
            ending = "/".join(parts[start:])
            found = [one for one in self._images if PurePosixPath(one).match(ending)]
            if found:
                return found
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
            data = yaml.load(text_of(tree.read(file), file), Loader=yaml.BaseLoader)
        except (AnnotationFileError, yaml.YAMLError, ValueError, RecursionError):
            continue  # whoever needs its names says so
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
    for one, other in zip(reversed(some), reversed(others), strict=False):
        if one.casefold() != other.casefold():
            break
        count += 1
    return count
