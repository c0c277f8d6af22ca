"""Ultralytics YOLO: images/<part>, labels/<part> and data.yaml."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from imagebase.errors import AnnotationFileError
from imagebase.formats import starting
from imagebase.formats.collecting import (
    Collector,
    number,
)
from imagebase.formats.label_lists import LabelLists, has_named_classes, is_names_list
from imagebase.formats.label_set_files import (
    PARTS,
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    ImageReference,
    WriteOptions,
)
from imagebase.formats.names import flat_image_names, image_stem
from imagebase.formats.pairing import paired, short_names
from imagebase.formats.parts import part_in
from imagebase.formats.relative import (
    CONVENTION,
    class_ids_of,
    label_text,
    relative_tolerance,
)
from imagebase.formats.texts import lines_of, text_of
from imagebase.formats.trees import (
    FILES_TO_TRY,
    files_named,
    image_names,
    names_with_suffix,
)
from imagebase.formats.yolo_splits import StatedSplit

DATA_FILE: Final = "data.yaml"
_LINES_TO_TRY: Final = 20
_STRUCTURE: Final = frozenset({"images", "labels", *PARTS, "valid"})
_NO_LABELS: Final = frozenset(
    {
        *("readme.txt", "readme.dataset.txt", "readme.roboflow.txt"),
        *("train.txt", "val.txt", "valid.txt", "test.txt"),
    }
)


def names(export_set: ExportSet) -> Iterable[str]:
    """Return names without folders: Ultralytics swaps the last `images` of a path."""
    return flat_image_names(export_set)


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the images, a label file for each, and the list of names."""
    yield ExportFile(DATA_FILE, _data_text(export_set))
    yield ExportFile(starting.FILE, starting.yolo_readme(export_set))
    class_ids = class_ids_of(export_set.labels)
    for image, name in zip(export_set.images, names(export_set), strict=True):
        if options.with_images:
            reference = ImageReference(image.record.image_id)
            yield ExportFile(f"images/{image.part}/{name}", reference)
        label_path = f"labels/{image.part}/{image_stem(name)}.txt"
        yield ExportFile(label_path, label_text(image, class_ids))


def _data_text(export_set: ExportSet) -> bytes:
    """Return data.yaml.

    An empty path makes Ultralytics look beside the file itself; `.` would be the folder
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


def read(tree: FileTree, collector: Collector) -> None:
    """Read any layout with images and labels side by side, or label files alone.

    Boxes are relative: the format does not say how large an image is.

    Raises:
        AnnotationFileError: data.yaml is broken, or there is nothing to read.
    """
    lists = LabelLists(tree, collector)
    images = image_names(tree)
    split = StatedSplit(tree, images)
    about = lists.files | split.files
    label_files = [one for one in _label_files(tree) if one not in about]
    if not images and not label_files and not lists:
        raise AnnotationFileError(
            "There are no label files here: YOLO has a .txt beside each image or "
            "below a folder named labels."
        )
    if not lists:
        what = "no list of names is there, so labels are called class_0, class_1, …"
        collector.change(DATA_FILE, "", what)
    pairs = paired(images, label_files, _stem_below)
    for file in pairs.repeated:
        collector.skip(file, "", "another label file is that of the same image")
    alone = [one for one in pairs.alone if _may_be_labels(tree, one)]
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
        return True  # and is said to be broken where it is read
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
    kept = [part for part in parts[:-1] if part.lower() not in ("images", "labels")]
    return "/".join([*kept, parts[-1]])


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
    names=names,
    tolerance=relative_tolerance,
    conventions={"boxes": CONVENTION, "labels": "names in data.yaml, by class id"},
    has_sizes=False,
    is_relative=True,
    lists_train_as_val=True,
    has_flat_names=True,
)
