"""Darknet: obj.data, obj.names, obj.cfg, the lists, and a .txt for each image."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import Final

from imagebase.errors import AnnotationFileError
from imagebase.formats import yolo_lines
from imagebase.formats.base import (
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    Streamed,
    WriteOptions,
    class_ids_of,
)
from imagebase.formats.file_names import flat_image_names, image_stem
from imagebase.formats.image_index import NameIndex, paired, short_names
from imagebase.formats.label_lists import LabelLists, is_names_list
from imagebase.formats.reader import LabelReader, image_name
from imagebase.formats.split import part_named
from imagebase.formats.text_files import lines_of, names_file, text_of
from imagebase.formats.trees import (
    FILES_TO_TRY,
    files_named,
    folder_of,
    image_names,
    is_image_name,
    names_with_suffix,
)
from imagebase.formats.yolo_lines import CONVENTION, label_text, relative_tolerance
from imagebase.settings import WEIGHTS_FOLDER

STOCK_CFG: Final = WEIGHTS_FOLDER / "yolov4-tiny" / "obj.cfg"
# CVAT drops a leading `data/` from paths; Darknet reads them from where it runs.
_FOLDER: Final = "obj"
_MIN_BATCHES: Final = 6000
_BATCHES_PER_CLASS: Final = 2000
_LISTS: Final = frozenset({"train.txt", "valid.txt", "val.txt", "test.txt"})
_NOTES: Final = frozenset({"readme.txt"})
_BACKUP_NOTE: Final = b"Darknet keeps the weights that it trains in this folder.\n"


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write what `darknet detector train obj.data obj.cfg` needs but first weights."""
    image_names = flat_image_names(export_set)
    classes = len(export_set.labels)
    yield ExportFile("obj.data", _data_text(classes))
    yield ExportFile("obj.names", names_file(export_set.labels))
    images = len(export_set.images)
    cfg = training_cfg(_stock_cfg(), classes=classes, images=images)
    yield ExportFile("obj.cfg", cfg.encode())
    yield from _lists(export_set, image_names)
    # Darknet ends at the first thousand batches where this folder does not exist.
    yield ExportFile("backup/README.txt", _BACKUP_NOTE)
    yield ExportFile(yolo_lines.FILE, yolo_lines.darknet_readme(export_set))
    class_ids = class_ids_of(export_set.labels)
    for image, name in zip(export_set.images, image_names, strict=True):
        if options.with_images:
            yield image.file_at(f"{_FOLDER}/{name}")
        label_path = f"{_FOLDER}/{image_stem(name)}.txt"
        yield ExportFile(label_path, label_text(image, class_ids))


def _data_text(classes: int) -> bytes:
    """Return obj.data; with `val` for `valid` Darknet would judge on what it trains."""
    return (
        f"classes = {classes}\n"
        "train = train.txt\n"
        "valid = valid.txt\n"
        "names = obj.names\n"
        "backup = backup/\n"
    ).encode()


def _lists(export_set: ExportSet, image_names: Iterable[str]) -> Iterator[ExportFile]:
    """Write the lists; without a split both name all images."""

    def listing(part: str) -> Streamed:
        pairs = zip(export_set.images, image_names, strict=True)
        paths = (f"{_FOLDER}/{name}\n" for image, name in pairs if image.part == part)
        return Streamed(path.encode() for path in paths)

    parts = export_set.parts
    yield ExportFile("train.txt", listing("train"))
    yield ExportFile("valid.txt", listing("val" if "val" in parts else "train"))
    if "test" in parts:
        yield ExportFile("test.txt", listing("test"))


@cache
def _stock_cfg() -> str:
    return STOCK_CFG.read_text(encoding="utf-8")


def training_cfg(stock: str, *, classes: int, images: int) -> str:
    """Return a cfg for this many classes and images, as AlexeyAB's README has it.

    filters=(classes + 5) * 3 in the convolution before each yolo layer; max_batches is
    2000 a class, no less than 6000 nor than the images; steps at 80 % and 90 % of it.
    """
    batches = max(_MIN_BATCHES, _BATCHES_PER_CLASS * classes, images)
    sections = re.split(r"(?m)^(?=\[)", stock)
    for index, section in enumerate(sections):
        if section.startswith("[net]"):
            steps = f"{batches * 8 // 10},{batches * 9 // 10}"
            section = _with_value(section, "max_batches", str(batches))
            sections[index] = _with_value(section, "steps", steps)
        elif section.startswith("[yolo]"):
            sections[index] = _with_value(section, "classes", str(classes))
            before = sections[index - 1]
            filters = str((classes + 5) * 3)
            sections[index - 1] = _with_value(before, "filters", filters)
    return "".join(sections)


def _with_value(section: str, key: str, value: str) -> str:
    return re.sub(rf"(?m)^{key}\s*=.*$", f"{key}={value}", section)


def recognises(tree: FileTree) -> bool:
    """Say whether a .data file is there that names the lists."""
    data_files = names_with_suffix(tree, ".data")[:FILES_TO_TRY]
    keys = frozenset({"names", "train", "valid"})
    return any(
        PurePosixPath(name).name.lower() == "obj.data"
        or len(keys & _settings_in(tree, name).keys()) > 1
        for name in data_files
    )


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read images and label files, those listed first; lists may name foreign paths.

    Boxes are relative: the format does not say how large an image is.

    Raises:
        AnnotationFileError: no image, list or label file is there.
    """
    lists = LabelLists(tree, collector, named=_stated_lists(tree))
    label_files = [file for file in _label_files(tree) if file not in lists.files]
    images = _images(tree)
    if not images and not label_files and not lists:
        raise AnnotationFileError(
            "There are no label files here: Darknet has a .txt next to each image."
        )
    if not lists:
        what = "no list of names is there, so labels are called class_0, class_1, …"
        collector.change("obj.names", "", what)
    pairs = paired(images, label_files, _stem)
    of_no_image = {_stem(file): file for file in pairs.alone}
    here = frozenset(image_names(tree))
    for name, short in short_names([*images, *of_no_image], _last_part).items():
        file = pairs.by_image.get(name) or of_no_image.get(name, "")
        image = collector.add_image(
            short,
            is_relative=True,
            part=images.get(name, ""),
            file=file,
            stated=name,
            path=name if name in here else "",
        )
        if file:
            lists.lines_for(file, label_files).read(file, image)
    collector.check()


def _stem(name: str) -> str:
    return name.removesuffix(PurePosixPath(name).suffix)


def _last_part(name: str) -> str:
    return PurePosixPath(name).name


def _stated_lists(tree: FileTree) -> list[str]:
    """Return the files that the .data files name as theirs, wherever they lie."""
    stated = {
        PurePosixPath(image_name(value)).name.lower()
        for file in names_with_suffix(tree, ".data")
        for key, value in _settings_in(tree, file).items()
        if key == "names"
    }
    return files_named(tree, *stated)


def _settings_in(tree: FileTree, file: str) -> dict[str, str]:
    try:
        lines = lines_of(text_of(tree.read(file), file))
    except AnnotationFileError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _label_files(tree: FileTree) -> list[str]:
    return [
        name
        for name in names_with_suffix(tree, ".txt")
        if PurePosixPath(name).parent.name != "backup"
        if not _is_about_the_set(tree, name) and not is_names_list(tree, name)
    ]


def _is_about_the_set(tree: FileTree, name: str) -> bool:
    """Say whether a .txt is a list or a note, and not what an image train.jpg has."""
    base = PurePosixPath(name).name.lower()
    if base not in _LISTS | _NOTES:
        return False
    described = names_with_suffix(tree, ".names", ".data")
    described = described or files_named(tree, "classes.txt")
    folders = {folder_of(file) for file in described}
    return folder_of(name) in folders or bool(_names_in(tree, name))


def _images(tree: FileTree) -> dict[str, str]:
    """Return the images in the order of the lists, then the others that are there.

    Each with its part, or nothing where no list has it, or two. Lists may name paths
    of another machine.
    """
    here = image_names(tree)
    index = NameIndex(here)
    parts: dict[str, str] = {}
    for file in files_named(tree, *_LISTS):
        part = part_named(PurePosixPath(file).stem) or ""
        for listed in _names_in(tree, file):
            name = index.find(listed, near=file) or image_name(listed)
            parts[name] = part if parts.get(name, part) == part else ""
    return parts | {name: "" for name in here if name not in parts}


def _names_in(tree: FileTree, file: str) -> list[str]:
    lines = lines_of(text_of(tree.read(file), file))
    return [line for line in map(str.strip, lines) if is_image_name(line)]


FORMAT: Final = Format(
    title="Darknet TXT",
    write=write,
    read=read,
    recognises=recognises,
    tolerance=relative_tolerance,
    conventions={"boxes": CONVENTION, "labels": "obj.names, one a line, by class id"},
    has_sizes=False,
    is_relative=True,
    lists_train_as_val=True,
    has_flat_names=True,
    # It puts .txt in the place of these, and only where they are written so.
    image_suffixes=frozenset({".jpg", ".jpeg", ".png", ".bmp"}),
)
