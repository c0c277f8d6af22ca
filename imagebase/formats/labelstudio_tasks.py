"""Read Label Studio's tasks: its own exports, JSON-MIN, and ours."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from imagebase.annotation import Size
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import IGNORE, FileTree
from imagebase.formats.labelstudio_regions import (
    SHAPES,
    TaskObject,
    TaskRegion,
    area_of,
    box_of,
    objects,
    stated_size,
)
from imagebase.formats.reader import LabelReader, image_name, number, size_of
from imagebase.formats.split import parts_of_files
from imagebase.formats.text_files import Item, csv_rows, json_items, root_of
from imagebase.formats.trees import (
    FILES_TO_TRY,
    files_named,
    is_image_name,
    names_with_suffix,
)

CONFIG_FILE: Final = "labeling_config.xml"
LOCAL_FILES: Final = "/data/local-files/"
_UPLOAD: Final = re.compile(r".*/data/upload/(?:\d+/)?(?:[0-9a-f]{8}-)?")
# Ids that we write say in which order the boxes were, across annotations and
# predictions.
_MOST_DIGITS: Final = 19
_OWN_ID: Final = re.compile(rf"(?:box|area)(\d{{1,{_MOST_DIGITS}}})")
_SUFFIXES: Final = (".json", ".csv")
_CSV_COLUMNS: Final = frozenset({"annotation_id", "annotator", "lead_time"})
_RESULT_LISTS: Final = frozenset({"annotations", "predictions", "completions"})


def recognises(tree: FileTree) -> bool:
    """Say whether a JSON file is a list of tasks, or a CSV file has their columns."""
    for file in names_with_suffix(tree, *_SUFFIXES)[:FILES_TO_TRY]:
        try:
            if _holds_tasks(tree, file, may_be_empty=False):
                return True
        except AnnotationFileError:
            continue
    return False


def _holds_tasks(tree: FileTree, file: str, *, may_be_empty: bool = True) -> bool:
    """Say whether one of the first objects of a list is a task, or perhaps it is empty.

    Others among them may be broken, and are reported when they are read.
    """
    if file.lower().endswith(".csv"):
        _, header = next(csv_rows(tree, file), (1, []))
        return "id" in header and not _CSV_COLUMNS.isdisjoint(header)
    is_empty, is_one = True, set[str]()
    for item in islice(json_items(tree, file), FILES_TO_TRY):
        is_one |= {item.section} if _is_of_a_task(item) else set()
        if "data" in is_one and len(is_one) > 1:
            return True
        if item.section == "" and item.position is None and item.value != []:
            return False
        task = {} if item.section else item.value
        if isinstance(task, dict) and (_is_task(task) or _is_min(task)):
            return True
        is_empty = is_empty and item.position is None and not item.section
    return is_empty and may_be_empty


def _is_of_a_task(item: Item) -> bool:
    """Say whether a key of a document is one that a task by itself has."""
    if item.section == "data":
        return isinstance(item.value, dict) and bool(_image_of(item.value))
    return item.section in _RESULT_LISTS and item.value == []


def _is_task(task: Mapping[str, Any]) -> bool:
    return isinstance(task.get("data"), dict) and bool(_RESULT_LISTS & task.keys())


def _is_min(task: Mapping[str, Any]) -> bool:
    """Say whether this is a task of JSON-MIN, which has regions without wrapping."""
    return bool(_image_of(task)) and bool(list(_min_regions(task)))


def _min_regions(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name, value in task.items():
        for entry in value if isinstance(value, list) else ():
            if isinstance(entry, dict) and "original_width" in entry:
                yield {"from_name": name, **entry}


def _image_of(data: Mapping[str, Any]) -> str:
    """Return what names the image: `image`, or what the config calls it."""
    if isinstance(data.get("image"), str):
        return str(data["image"])
    texts = [value for value in data.values() if isinstance(value, str)]
    named = (text for text in texts if _leads_to_an_image(text))
    return next(named, texts[0] if len(texts) == 1 else "")


def _leads_to_an_image(text: str) -> bool:
    return text.startswith(("/data/", "http://", "https://", "s3://", "gs://")) or (
        is_image_name(text) and "\n" not in text
    )


def _task_id(task: Mapping[str, Any], name: str) -> tuple[str, str]:
    return "task", str(task.get("id", name))


def _tasks(tree: FileTree, file: str) -> Iterator[tuple[str, object]]:
    """Yield the tasks of a file, each with its place: of a list, a table, or alone."""
    if file.lower().endswith(".csv"):
        yield from _tasks_of_table(tree, file)
        return
    alone: dict[str, Any] = {}
    for item in json_items(tree, file):
        if not item.section:
            if item.position is not None:
                yield f"[{item.position}]", item.value
        elif item.position is None:
            alone[item.section] = item.value
        else:
            alone[item.section].append(item.value)
    if alone:
        yield "task", alone


def _tasks_of_table(tree: FileTree, file: str) -> Iterator[tuple[str, object]]:
    rows = csv_rows(tree, file)
    _, header = next(rows, (1, []))
    for line, row in rows:
        cells = dict(zip(header, row, strict=False))
        yield f"line {line}", {key: _value_in(cell) for key, cell in cells.items()}


def _value_in(cell: str) -> object:
    """Return what a cell of a table holds: results are JSON there."""
    if not cell.startswith(("[", "{")):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every list of tasks of the tree, JSON or JSON-MIN.

    Of several annotations of one image the first that stands is taken; predictions
    only where there is none, or where they were written by us.

    Raises:
        AnnotationFileError: no file of the tree has tasks, or none can be read.
    """
    _read_config(tree, collector)
    was_read = False
    for file, part in parts_of_files(names_with_suffix(tree, *_SUFFIXES)).items():
        with collector.skipping(file):
            if _holds_tasks(tree, file):
                was_read = True
                _TaskFile(file, collector, part).read(tree)
    collector.check()
    if not was_read:
        raise AnnotationFileError(
            "There is no Label Studio file here: it is a .json with a list of tasks, "
            "which have data and annotations."
        )


def _read_config(tree: FileTree, collector: LabelReader) -> None:
    """Take in the labels of a config, by category where each has one."""
    for file in files_named(tree, CONFIG_FILE, "config.xml", "label_config.xml"):
        try:
            labels = list(root_of(tree, file).iter("Label"))
        except AnnotationFileError as error:
            collector.skip(file, "", str(error))
            continue
        categories = [label.get("category", "") for label in labels]
        if all(
            category.isdecimal() and len(category) < _MOST_DIGITS
            for category in categories
        ):
            labels.sort(key=lambda category: int(category.get("category", "")))
        collector.add_labels((label.get("value", "") for label in labels), file=file)


class _TaskFile:
    """One list of tasks on its way in."""

    def __init__(self, file: str, to: LabelReader, part: str) -> None:
        self._file = file
        self._collector = to
        self._part = part

    def read(self, tree: FileTree) -> None:
        for at, task in _tasks(tree, self._file):
            if not isinstance(task, dict):
                self._collector.skip(self._file, at, "it is not an object")
                continue
            name = self._name(task)
            if not _name_in(name):
                self._collector.skip(self._file, at, "it names no image")
                continue
            if self._is_taken(task, name, at):
                continue
            regions = self._regions(task, at)
            sizes = filter(None, (stated_size(region.entry) for region in regions))
            size = next(sizes, _size_in_data(task))
            image = self._collector.add_image(
                *(_name_in(name), size),
                is_relative=size is None,
                part=self._part,
                file=self._file,
                stated=_path_in(name),
            )
            self._collector.link(self._file, _task_id(task, name), image)
            for task_object in objects(regions):
                self._read_object(task_object, image)

    def _is_taken(self, task: Mapping[str, Any], name: str, at: str) -> bool:
        """Say whether an annotation of a task came already: JSON-MIN has a row each."""
        is_another = "annotation_id" in task and not _is_task(task)
        if not is_another:
            return False
        if self._collector.linked(self._file, _task_id(task, name)) is None:
            return False
        what = "another annotation of the same image was taken"
        self._collector.skip(self._file, at, what)
        return True

    def _name(self, task: Mapping[str, Any]) -> str:
        """Return a task's image: a path or a URL; empty for none."""
        data = task.get("data")
        if not isinstance(data, dict):
            return _image_of(task)
        texts = (value for value in data.values() if isinstance(value, str))
        return _image_of(data) or next(texts, "")

    def _regions(self, task: Mapping[str, Any], at: str) -> list[TaskRegion]:
        if not _is_task(task):
            entries = enumerate(_min_regions(task))
            return [TaskRegion(f"{at}.label[{n}]", region) for n, region in entries]
        annotated = list(self._results(task, at, "annotations", "completions"))
        predicted = list(self._results(task, at, "predictions"))
        both = [*annotated, *predicted]
        if both and all(region.order is not None for region in both):
            return sorted(both, key=lambda region: region.order or 0)
        return annotated or predicted

    def _results(
        self, task: Mapping[str, Any], at: str, *keys: str
    ) -> Iterator[TaskRegion]:
        key = next((key for key in keys if isinstance(task.get(key), list)), None)
        standing = 0
        for number_of_it, entry in enumerate(task[key] if key else ()):
            place = f"{at}.{key}[{number_of_it}]"
            results = entry.get("result") if isinstance(entry, dict) else None
            if not isinstance(results, list):
                self._collector.skip(self._file, place, "it has no list of results")
                continue
            standing += not entry.get("was_cancelled")
            if entry.get("was_cancelled"):
                self._collector.skip(self._file, place, "it was cancelled")
            elif key != "predictions" and standing > 1:
                what = "another annotation of the same image was taken"
                self._collector.skip(self._file, place, what)
            else:
                regions = self._entries(results, f"{place}.result")
                yield from (
                    o._replace(is_predicted=key == "predictions") for o in regions
                )

    def _entries(self, results: Sequence[object], place: str) -> Iterator[TaskRegion]:
        for index, entry in enumerate(results):
            at = f"{place}[{index}]"
            if isinstance(entry, dict):
                own = _OWN_ID.fullmatch(str(entry.get("id", "")))
                yield TaskRegion(at, entry, int(own[1]) if own else None)
            else:
                self._collector.skip(self._file, at, "it is not an object")

    def _read_object(self, task_object: TaskObject, image: str) -> None:
        region, labels = task_object.region, task_object.labels
        if region.kind == "choices":
            for label in labels:
                self._collector.add_tag(image, label, file=self._file, at=region.at)
        elif region.kind not in SHAPES:
            what = f"a result of the type {region.kind!r} is not a box"
            self._collector.skip(self._file, region.at, what)
        elif not labels:
            self._collector.skip_box(self._file, region.at, "it has no label")
        else:
            self._add(task_object, image)

    def _add(self, task_object: TaskObject, image: str) -> None:
        region, size = task_object.region, self._size_for(task_object.region, image)
        kind, value = region.kind, region.value
        if task_object.labels == [IGNORE]:
            area = area_of(value, kind, size)
            self._collector.add_region(image, area, file=self._file, at=region.at)
            return
        box, what = box_of(value, kind, size)
        score = region.entry.get("score")
        for label in task_object.labels:
            self._collector.add_box(
                image,
                label,
                box,
                file=self._file,
                at=region.at,
                confidence=None if score is None else number(score),
                is_by_model=region.is_predicted,
                attributes=task_object.attributes,
            )
        if what:
            self._collector.change(self._file, region.at, what)

    def _size_for(self, region: TaskRegion, image: str) -> Size:
        """Return what percents are of: the size, or one where they become fractions."""
        if self._collector.is_relative(image):
            return Size(1, 1)
        known = stated_size(region.entry) or self._collector.size_of(image)
        return known or Size(1, 1)


def _name_in(url: str) -> str:
    """Return the image's path from a task's URL or path."""
    parts = urlsplit(url)
    if parts.path.endswith(LOCAL_FILES):
        path = parse_qs(parts.query).get("d", [""])[0]
        return image_name(path).removeprefix("images/")
    if parts.scheme in ("http", "https", "s3", "gs", "azure-blob"):
        return image_name("/" + unquote(_UPLOAD.sub("", parts.path)))
    upload = _UPLOAD.match(url)
    return image_name(unquote(url[upload.end() :]) if upload else url)


def _path_in(url: str) -> str:
    """Return the path to look for: an upload's with what Label Studio puts before it.

    Uploads of one name differ by that.
    """
    parts = urlsplit(url)
    if parts.path.endswith(LOCAL_FILES):
        return parse_qs(parts.query).get("d", [""])[0]
    return url if parts.scheme else unquote(parts.path)


def _size_in_data(task: Mapping[str, Any]) -> Size | None:
    data = task.get("data")
    if not isinstance(data, dict):
        return None
    return size_of(data.get("width"), data.get("height"))
