"""Label Studio's tasks on their way in: its own exports, JSON-MIN, and ours."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from imagebase.annotation import Box, Size
from imagebase.errors import AnnotationFileError
from imagebase.formats.collecting import Collector, image_name, number, size_of
from imagebase.formats.json_stream import json_items
from imagebase.formats.label_set_files import IGNORE, FileTree
from imagebase.formats.labelstudio_attributes import is_said, said_by_region
from imagebase.formats.outlines import OUTLINE, ROTATED, around, around_rotated
from imagebase.formats.parts import parts_of_files
from imagebase.formats.trees import FILES_TO_TRY, files_named, names_with_suffix
from imagebase.formats.xml_files import root_of
from imagebase.shapes import Point, Shape, ShapeKind, rectangle

CONFIG_FILE: Final = "labeling_config.xml"
LOCAL_FILES: Final = "/data/local-files/"
_UPLOAD: Final = re.compile(r".*/data/upload/(?:\d+/)?(?:[0-9a-f]{8}-)?")
# Ids that we write say in which order the boxes were, across annotations and
# predictions.
_OWN_ID: Final = re.compile(r"(?:box|area)(\d+)")
_POINTS: Final = frozenset({"polygonlabels", "polygon"})
_RECTANGLES: Final = frozenset({"rectanglelabels", "rectangle", "labels"})
_ELLIPSES: Final = frozenset({"ellipselabels", "ellipse"})


def recognises(tree: FileTree) -> bool:
    """Say whether a JSON file is a list of tasks."""
    for file in names_with_suffix(tree, ".json")[:FILES_TO_TRY]:
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
    is_empty = True
    for item in islice(json_items(tree, file), FILES_TO_TRY):
        if item.section or (item.position is None and item.value != []):
            return False
        task = item.value
        if isinstance(task, dict) and (_is_task(task) or _is_min(task)):
            return True
        is_empty = is_empty and item.position is None
    return is_empty and may_be_empty


def _is_task(task: Mapping[str, Any]) -> bool:
    return isinstance(task.get("data"), dict) and bool(
        {"annotations", "predictions", "completions"} & task.keys()
    )


def _is_min(task: Mapping[str, Any]) -> bool:
    """Say whether this is a task of JSON-MIN, which has regions without wrapping."""
    return isinstance(task.get("image"), str) and bool(list(_min_regions(task)))


def _min_regions(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for value in task.values():
        for one in value if isinstance(value, list) else ():
            if isinstance(one, dict) and "original_width" in one:
                yield one


def read(tree: FileTree, collector: Collector) -> None:
    """Read every list of tasks of the tree, JSON or JSON-MIN.

    Of several annotations of one image the first that stands is taken; predictions
    only where there is none, or where they were written by us.

    Raises:
        AnnotationFileError: no file of the tree has tasks, or none can be read.
    """
    _read_config(tree, collector)
    was_read = False
    for file, part in parts_of_files(names_with_suffix(tree, ".json")).items():
        try:
            if _holds_tasks(tree, file):
                was_read = True
                _File(file, collector, part).read(tree)
        except AnnotationFileError as error:
            collector.skip(file, "", str(error))
    collector.check()
    if not was_read:
        raise AnnotationFileError(
            "There is no Label Studio file here: it is a .json with a list of tasks, "
            "which have data and annotations."
        )


def _read_config(tree: FileTree, collector: Collector) -> None:
    """Take in the labels of a config, by category where each has one."""
    for file in files_named(tree, CONFIG_FILE, "config.xml", "label_config.xml"):
        try:
            labels = list(root_of(tree, file).iter("Label"))
        except AnnotationFileError as error:
            collector.skip(file, "", str(error))
            continue
        categories = [one.get("category", "") for one in labels]
        if all(category.isdecimal() for category in categories):
            labels.sort(key=lambda one: int(one.get("category", "")))
        collector.add_labels((one.get("value", "") for one in labels), file=file)


class _Region(NamedTuple):
    """One result of a task, and where it stands. order: as we wrote it, else None.

    attributes: what other results say of the same region.
    """

    at: str
    entry: Mapping[str, Any]
    order: int | None
    is_predicted: bool = False
    attributes: Mapping[str, object] = {}


class _File:
    """One list of tasks on its way in."""

    def __init__(self, file: str, to: Collector, part: str) -> None:
        self._file = file
        self._collector = to
        self._part = part

    def read(self, tree: FileTree) -> None:
        for item in json_items(tree, self._file):
            if item.position is None:
                continue
            at, task = f"[{item.position}]", item.value
            if not isinstance(task, dict):
                self._collector.skip(self._file, at, "it is not an object")
                continue
            name = self._name(task)
            if not _name_in(name):
                self._collector.skip(self._file, at, "it names no image")
                continue
            regions = self._regions(task, at)
            sizes = filter(None, (_size_of(one.entry) for one in regions))
            size = next(sizes, _stated_size(task))
            image = self._collector.add_image(
                *(_name_in(name), size),
                part=self._part,
                file=self._file,
                stated=_path_in(name),
            )
            for region in regions:
                self._read_region(region, image)

    def _name(self, task: Mapping[str, Any]) -> str:
        """Return what a task says of its image: a path or a URL; empty for nothing."""
        data = task["data"] if isinstance(task.get("data"), dict) else task
        texts = [one for one in data.values() if isinstance(one, str)]
        stated = data.get("image", next(iter(texts), ""))
        return stated if isinstance(stated, str) else ""

    def _regions(self, task: Mapping[str, Any], at: str) -> list[_Region]:
        if not _is_task(task):
            found = enumerate(_min_regions(task))
            return [_Region(f"{at}.label[{n}]", one, None) for n, one in found]
        annotated = list(self._results(task, at, "annotations", "completions"))
        predicted = list(self._results(task, at, "predictions"))
        both = [*annotated, *predicted]
        if both and all(one.order is not None for one in both):
            return sorted(both, key=lambda one: one.order or 0)
        return annotated or predicted

    def _results(
        self, task: Mapping[str, Any], at: str, *keys: str
    ) -> Iterator[_Region]:
        key = next((one for one in keys if isinstance(task.get(one), list)), None)
        standing = 0
        for number_of_it, one in enumerate(task[key] if key else ()):
            place = f"{at}.{key}[{number_of_it}]"
            results = one.get("result") if isinstance(one, dict) else None
            if not isinstance(results, list):
                self._collector.skip(self._file, place, "it has no list of results")
                continue
            standing += not one.get("was_cancelled")
            if one.get("was_cancelled"):
                self._collector.skip(self._file, place, "it was cancelled")
            elif key != "predictions" and standing > 1:
                what = "another annotation of the same image was taken"
                self._collector.skip(self._file, place, what)
            else:
                found = self._entries(results, f"{place}.result")
                yield from (
                    o._replace(is_predicted=key == "predictions") for o in found
                )

    def _entries(self, results: Sequence[object], place: str) -> Iterator[_Region]:
        labelled = frozenset(_labelled_ids(results))
        said = said_by_region(results)
        for index, entry in enumerate(results):
            at = f"{place}[{index}]"
            if is_said(entry, labelled):
                continue
            if isinstance(entry, dict):
                own = _OWN_ID.fullmatch(str(entry.get("id", "")))
                region = _Region(at, entry, int(own[1]) if own else None)
                region_id = str(entry.get("id"))
                known = said.get(region_id, {}) if region_id in labelled else {}
                yield region._replace(attributes=known)
            else:
                self._collector.skip(self._file, at, "it is not an object")

    def _read_region(self, region: _Region, image: str) -> None:
        at, entry = region.at, region.entry
        value = entry.get("value", entry)
        kind = str(entry.get("type") or _kind_of(value))
        size = _size_of(entry) or self._collector.size_of(image)
        labels = _labels_of(value) if isinstance(value, dict) else []
        if kind not in _POINTS | _RECTANGLES | _ELLIPSES or not isinstance(value, dict):
            what = f"a result of the type {kind!r} is not a box"
            self._collector.skip(self._file, at, what)
        elif not labels:
            self._collector.skip_box(self._file, at, "it has no label")
        elif size is None:
            what = "original_width and original_height do not say how large it is"
            self._collector.skip_box(self._file, at, what)
        elif labels == [IGNORE]:
            area = _area_of(value, kind, size)
            self._collector.add_region(image, area, file=self._file, at=at)
        else:
            box, what = _box_of(value, kind, size)
            score = entry.get("score")
            for label in labels:
                self._collector.add_box(
                    image,
                    label,
                    box,
                    file=self._file,
                    at=at,
                    confidence=None if score is None else number(score),
                    is_by_model=region.is_predicted,
                    attributes=region.attributes,
                )
            if what:
                self._collector.change(self._file, at, what)


def _labelled_ids(results: Sequence[object]) -> Iterator[str]:
    """Yield the ids of regions that have their label, and need none from others."""
    for one in results:
        if not isinstance(one, dict) or not isinstance(one.get("id"), str):
            continue
        if isinstance(one.get("value"), dict) and _labels_of(one["value"]):
            yield one["id"]


def _name_in(url: str) -> str:
    """Return the image's path in what a task says of it: a URL or a path."""
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


def _kind_of(value: object) -> str:
    """Return a region's type by what labels it has, as JSON-MIN does not say it."""
    kinds = _POINTS | _RECTANGLES | _ELLIPSES
    return next((k for k in value if k in kinds), "") if isinstance(value, dict) else ""


def _labels_of(value: Mapping[str, Any]) -> list[str]:
    lists = (value.get(key) for key in ("rectanglelabels", "labels", "polygonlabels"))
    found = next((one for one in lists if one), value.get("ellipselabels"))
    return [str(one) for one in found] if isinstance(found, list) else []


def _size_of(entry: Mapping[str, Any]) -> Size | None:
    return size_of(entry.get("original_width"), entry.get("original_height"))


def _stated_size(task: Mapping[str, Any]) -> Size | None:
    data = task.get("data")
    if not isinstance(data, dict):
        return None
    return size_of(data.get("width"), data.get("height"))


def _box_of(value: Mapping[str, Any], kind: str, size: Size) -> tuple[Box, str]:
    """Return the box in pixels, and what had to be changed for it.

    A rectangle turns about its top-left corner.
    """
    x, y, width, height, radius_x, radius_y, degrees = (
        number(value.get(key, 0))
        for key in ("x", "y", "width", "height", "radiusX", "radiusY", "rotation")
    )
    if kind in _POINTS:
        points = value.get("points")
        pairs = points if isinstance(points, list) else []
        outline = around((number(p[0]), number(p[1])) for p in pairs if _is_pair(p))
        return _in_pixels(outline, size), OUTLINE
    if kind in _ELLIPSES:
        box = Box(x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        return _in_pixels(box, size), OUTLINE
    box = _in_pixels(Box(x, y, x + width, y + height), size)
    if degrees % 360 and box.is_finite:
        return around_rotated(box, degrees, (box.x_min, box.y_min)), ROTATED
    return box, ""


def _area_of(value: Mapping[str, Any], kind: str, size: Size) -> Shape:
    """Return an ignore area in pixels; of what is no polygon the box around it."""
    points = value.get("points")
    if kind not in _POINTS or not isinstance(points, list):
        return rectangle(_box_of(value, kind, size)[0])
    across, down = size.width / 100, size.height / 100
    corners = ((number(p[0]), number(p[1])) for p in points if _is_pair(p))
    return Shape(
        ShapeKind.POLYGON, tuple(Point(x * across, y * down) for x, y in corners)
    )


def _is_pair(point: object) -> bool:
    return isinstance(point, list) and len(point) == 2


def _in_pixels(box: Box, size: Size) -> Box:
    return Box(
        box.x_min / 100 * size.width,
        box.y_min / 100 * size.height,
        box.x_max / 100 * size.width,
        box.y_max / 100 * size.height,
    )
