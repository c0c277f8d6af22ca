"""Lists of class names that tools write next to YOLO's label files."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from imagebase.errors import AnnotationFileError
from imagebase.formats.base import FileTree
from imagebase.formats.reader import LabelReader, number
from imagebase.formats.text_files import lines_of, read_names_file, text_of, yaml_value
from imagebase.formats.trees import (
    FILES_TO_TRY,
    folder_of,
    is_image_name,
    names_with_suffix,
)
from imagebase.formats.yolo_lines import KeyPoints, LabelLines

_YAML: Final = (".yaml", ".yml")
_DATA_FILES: Final = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_NAME_SUFFIXES: Final = (".names", ".labels")
# What text files with one name a line are called, the likeliest first.
_NAME_FILES: Final = (
    *("obj.names", "classes.txt", "_darknet.labels", "_classes.txt", "labels.txt"),
    *("names.txt", "class_names.txt", "classnames.txt", "class.txt", "labelmap.txt"),
    *("label_names.txt", "label_list.txt", "predefined_classes.txt", "categories.txt"),
)
_LINES_TO_TRY: Final = 5
_NUMBERS_OF_A_BOX: Final = 5
_MOST_GAPS: Final = 10_000


class _Listed(NamedTuple):
    """A list, and the file it stands in.

    key_points: of each object, where it has any. within: the file with the names,
        where that is another one.
    """

    file: str
    names: list[str]
    key_points: KeyPoints | None = None
    within: str = ""


class LabelLists:
    """Gives each label file the list that it was written with: the nearest above it."""

    def __init__(
        self, tree: FileTree, collector: LabelReader, *, named: Sequence[str] = ()
    ) -> None:
        """Find the lists and take their labels in.

        Args:
            named: files that are known to be lists, before all others.

        Raises:
            AnnotationFileError: the file that should have the names is broken.
        """
        self._tree = tree
        self._collector = collector
        lists = _lists_in(tree, collector, named)
        self.files = frozenset(
            name for listed in lists for name in (listed.file, listed.within) if name
        )
        self._by_folder: dict[str, _Listed] = {}
        for listed in lists:
            self._take_in(listed)
        self._first = lists[0] if lists else None
        self._lines: dict[str, LabelLines] = {}

    def _take_in(self, listed: _Listed) -> None:
        folder = folder_of(listed.file)
        known = self._by_folder.get(folder)
        if known is None:
            names = self._collector.add_labels(listed.names, file=listed.file)
            self._by_folder[folder] = listed._replace(names=names)
        elif known.names != listed.names:
            what = f"it lists other labels than {known.file}, whose were taken"
            self._collector.change(listed.file, "", what)

    def __bool__(self) -> bool:
        return self._first is not None

    def lines_for(self, file: str, label_files: Sequence[str]) -> LabelLines:
        """Return what reads a label file with the right names.

        label_files: all of them, for what one line cannot show.
        """
        listed = self._nearest(folder_of(file))
        key = listed.file if listed else ""
        if key not in self._lines:
            self._lines[key] = LabelLines(
                self._tree,
                self._collector,
                listed.names if listed else None,
                key_points=listed.key_points if listed else None,
                label_files=label_files,
            )
        return self._lines[key]

    def _nearest(self, folder: str) -> _Listed | None:
        while folder not in self._by_folder:
            if not folder:
                first = self._first
                return self._by_folder[folder_of(first.file)] if first else None
            folder = folder_of(folder)
        return self._by_folder[folder]


def has_named_classes(tree: FileTree) -> bool:
    """Say whether a YAML file has the names of classes, as Ultralytics' data have."""
    for file in names_with_suffix(tree, *_YAML)[:FILES_TO_TRY]:
        try:
            listed = _listed_in(tree, file)
        except AnnotationFileError:
            continue
        if listed is not None and listed.names:
            return True
    return False


def is_names_list(tree: FileTree, file: str) -> bool:
    """Say whether a text file lists names, and is not the label file of an image."""
    base = PurePosixPath(file).name.lower()
    if base not in _NAME_FILES and not base.endswith(_NAME_SUFFIXES):
        return False
    try:
        lines = [
            line for line in lines_of(text_of(tree.read(file), file)) if line.strip()
        ]
    except AnnotationFileError:
        return True
    if not lines:
        # An image called so may have no object.
        path = PurePosixPath(file)
        images = map(PurePosixPath, filter(is_image_name, tree.names()))
        return "labels" not in path.parts and path.stem not in {i.stem for i in images}
    return not all(_is_of_a_box(line) for line in lines[:_LINES_TO_TRY])


def _is_of_a_box(line: str) -> bool:
    numbers = [number(cell) for cell in line.split()]
    return len(numbers) >= _NUMBERS_OF_A_BOX and all(n == n for n in numbers)


def _lists_in(
    tree: FileTree, collector: LabelReader, named: Sequence[str]
) -> list[_Listed]:
    """Return the lists there are, those of YAML files alone where any has names."""
    known = [_Listed(file, _names_in_text(tree, file)) for file in named]
    listed = known or _lists_in_yaml(tree, collector)
    if listed:
        return listed
    names = [name for name in tree.names() if is_names_list(tree, name)]
    ordered = sorted(names, key=_text_rank)
    lists = [_Listed(file, _names_in_text(tree, file)) for file in ordered]
    return [listed for listed in lists if listed.names]


def _text_rank(file: str) -> tuple[int, int]:
    base = PurePosixPath(file).name.lower()
    rank = _NAME_FILES.index(base) if base in _NAME_FILES else 0
    return file.count("/"), rank


def _names_in_text(tree: FileTree, file: str) -> list[str]:
    names = read_names_file(tree, file)
    if PurePosixPath(file).name.lower() == "labelmap.txt":
        # CVAT's has a colour, parts and actions behind each name.
        names = [name.split(":")[0] for name in names if not name.startswith("#")]
    return names


def _lists_in_yaml(tree: FileTree, collector: LabelReader) -> list[_Listed]:
    """Return the lists of YAML files, the data files first.

    A broken file of another name is unrelated where a sound one has the names.
    """
    broken: dict[str, AnnotationFileError] = {}
    lists = []
    for file in sorted(names_with_suffix(tree, *_YAML), key=_yaml_rank):
        try:
            listed = _listed_in(tree, file)
        except AnnotationFileError as error:
            broken[file] = error
            continue
        if listed is not None and listed.names:
            lists.append(listed)
    is_own = [PurePosixPath(file).name.lower() in _DATA_FILES for file in broken]
    if broken and (not lists or any(is_own)):
        file = next(iter(broken))
        raise broken[file]
    for file, reason in broken.items():
        collector.skip(file, "", str(reason))
    return lists


def _yaml_rank(file: str) -> tuple[int, int]:
    base = PurePosixPath(file).name.lower()
    rank = _DATA_FILES.index(base) if base in _DATA_FILES else len(_DATA_FILES)
    return file.count("/"), rank


def _listed_in(tree: FileTree, file: str) -> _Listed | None:
    data = yaml_value(tree, file)
    if not isinstance(data, dict):
        return None
    within = _file_stated(data.get("names"), tree)
    names = read_names_file(tree, within) if within else _names_of(data, file)
    if names is None:
        return None
    return _Listed(file, names, _key_points_of(data), within)


def _file_stated(names: object, tree: FileTree) -> str:
    """Return the file that stands in the place of names; empty where none does."""
    if not isinstance(names, str):
        return ""
    base = PurePosixPath(names.replace("\\", "/")).name.casefold()
    same = (
        name for name in tree.names() if PurePosixPath(name).name.casefold() == base
    )
    return next(same, "")


def _names_of(data: Mapping[str, Any], file: str) -> list[str] | None:
    """Return names by class id, out of a list, a mapping, or a text."""
    names = data.get("names")
    if isinstance(names, str):
        return _names_in_string(names, data.get("nc"))
    if isinstance(names, list):
        return [_name(name, file) for name in names]
    return _names_by_id(names, file) if isinstance(names, dict) else None


def _name(value: object, file: str) -> str:
    if not isinstance(value, str):
        raise AnnotationFileError(f"{file}: names holds something that is no name.")
    return value


def _names_in_string(text: str, count: object) -> list[str]:
    """Return names that stand in one text, between commas, lines or blanks."""
    parts = [part.strip() for part in text.strip("[]").replace("\n", ",").split(",")]
    words = text.split()
    is_spaced = len(parts) == 1 and str(len(words)) == str(count)
    return words if is_spaced else [part.strip("'\"") for part in parts if part]


def _names_by_id(names: Mapping[str, Any], file: str) -> list[str]:
    """Return names by class id; gaps are class_<id>. Some write ids behind names."""
    by_id = {_id_in(key): value for key, value in names.items()}
    if None in by_id and all(_id_in(value) is not None for value in names.values()):
        by_id = {_id_in(value): key for key, value in names.items()}
    if None in by_id:
        raise AnnotationFileError(f"{file}: names has a key that is no number.")
    known = {key: _name(entry, file) for key, entry in by_id.items() if key is not None}
    highest = max(known, default=-1)
    # Each gap costs a name: a file may not ask for more of them than it has bytes.
    most = min(100 * len(known) + 100, max(2 * len(known), _MOST_GAPS))
    if min(known, default=0) < 0 or highest > most:
        raise AnnotationFileError(f"{file}: the class ids of names are far apart.")
    return [known.get(index, f"class_{index}") for index in range(highest + 1)]


def _id_in(text: object) -> int | None:
    try:
        return int(text) if isinstance(text, str) and len(text) < 19 else None
    except ValueError:
        return None


def _key_points_of(data: Mapping[str, Any]) -> KeyPoints | None:
    """Return how many key points each object has, and how many numbers each of them."""
    shape = data.get("kpt_shape")
    if not isinstance(shape, list) or len(shape) != 2:
        return None
    count, numbers = map(_id_in, shape)
    if not count or count < 0 or numbers not in (2, 3):
        return None
    return KeyPoints(count, numbers)
