"""Microsoft's VoTT: the JSON export, the files of single images, and version 1."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

from imagebase.annotation import Box, Size
from imagebase.formats.base import FileTree, InputFormat
from imagebase.formats.reader import LabelReader, image_name, number, size_of
from imagebase.formats.shapes import OUTLINE, around
from imagebase.formats.split import parts_of_files
from imagebase.formats.text_files import json_items
from imagebase.formats.trees import FILES_TO_TRY, has_file, names_with_suffix, read_each

_SUFFIXES: Final = (".json", ".vott")
_GONE_INTO: Final = frozenset({"assets", "frames"})


def recognises(tree: FileTree) -> bool:
    """Say whether a file has assets with regions, or frames and the tags for them."""
    return has_file(tree, *_SUFFIXES, is_one=_is_vott)


def _is_vott(tree: FileTree, file: str) -> bool:
    keys = set()
    for item in islice(json_items(tree, file, gone_into=_GONE_INTO), FILES_TO_TRY):
        keys.add(item.section)
        asset = _dict_of(item.value)
        if item.section == "assets" and {"asset", "regions"} <= asset.keys():
            return True
        if {"asset", "regions"} <= keys or {"frames", "inputTags"} <= keys:
            return True
    return False


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every VoTT file of the tree; a region with several tags is a box for each.

    Raises:
        AnnotationFileError: no file is VoTT's, or none can be read.
    """
    parts = parts_of_files(names_with_suffix(tree, *_SUFFIXES))
    read_each(
        # The project has the tags in their order.
        sorted(parts, key=lambda file: not _is_project(file)),
        collector,
        is_one=lambda file: _is_project(file) or _is_vott(tree, file),
        read_one=lambda file: _VottFile(tree, file, collector, parts[file]).read(),
        absent="There is no VoTT file here: it is a .json with assets and their "
        "regions.",
    )


def _is_project(file: str) -> bool:
    return file.lower().endswith(".vott")


class _VottFile:
    """One file on its way in; tags may stand after their boxes."""

    def __init__(self, tree: FileTree, file: str, to: LabelReader, part: str) -> None:
        self._tree = tree
        self._file = file
        self._collector = to
        self._part = part

    def read(self) -> None:
        self._read_tags()
        alone: dict[str, Any] = {"asset": None, "regions": []}
        for item in json_items(self._tree, self._file, gone_into=_GONE_INTO):
            if item.section == "assets" and item.position is not None:
                self._read_asset(_dict_of(item.value), item.place)
            elif item.section == "frames" and isinstance(item.position, str):
                self._read_frame(item.position, item.value)
            elif item.section == "asset":
                alone["asset"] = item.value
            elif item.section == "regions" and item.position is not None:
                alone["regions"].append(item.value)
        if alone["asset"] is not None:
            self._read_asset(alone, "asset")

    def _read_tags(self) -> None:
        names: list[str] = []
        for item in json_items(self._tree, self._file, gone_into=_GONE_INTO):
            if item.section == "tags" and item.position is not None:
                name = _dict_of(item.value).get("name", item.value)
                names += [name] if isinstance(name, str) else []
            elif item.section == "inputTags" and isinstance(item.value, str):
                names += filter(None, item.value.split(","))
        self._collector.add_labels(names, file=self._file)

    def _read_asset(self, entry: Mapping[str, Any], at: str) -> None:
        # A project lists its images, with what they hold in files of their own.
        asset = _dict_of(entry.get("asset", entry))
        stated = _stated(asset)
        name = image_name(stated)
        if not name:
            self._collector.skip(self._file, at, "it names no image")
            return
        sides = _dict_of(asset.get("size"))
        size = size_of(sides.get("width"), sides.get("height"))
        image = self._collector.add_image(
            name, size, part=self._part, file=self._file, stated=stated
        )
        for index, region in enumerate(_list_of(entry.get("regions"))):
            place = f"{at}.regions[{index}]"
            self._add(image, place, _dict_of(region), _box_of(_dict_of(region)))

    def _read_frame(self, stated: str, regions: object) -> None:
        """Read version 1, in pixels of an image that it was scaled to."""
        name = image_name(stated)
        if not name:
            self._collector.skip(self._file, "frames", "it names no image")
            return
        image = self._collector.add_image(
            *(name, None),
            is_relative=True,
            part=self._part,
            file=self._file,
            stated=stated,
        )
        for index, entry in enumerate(_list_of(regions)):
            region, place = _dict_of(entry), f"frames[{stated}][{index}]"
            size = size_of(region.get("width"), region.get("height"))
            self._add(image, place, region, _fractions_of(region, size))

    def _add(
        self, image: str, at: str, region: Mapping[str, Any], box: Box | str
    ) -> None:
        tags = [tag for tag in _list_of(region.get("tags")) if isinstance(tag, str)]
        if isinstance(box, str) or not tags:
            reason = box if isinstance(box, str) else "it has no tag"
            self._collector.skip_box(self._file, at, reason)
            return
        for tag in tags:
            self._collector.add_box(image, tag, box, file=self._file, at=at)
        if str(region.get("type", "")).casefold() not in ("", "rectangle", "square"):
            self._collector.change(self._file, at, OUTLINE)


def _stated(asset: Mapping[str, Any]) -> str:
    """Return the image's name, or its path where that ends in the name.

    Paths are URLs, and names were so until 2.1.
    """
    texts = (asset.get(key) for key in ("name", "path"))
    name, path = (
        unquote(text.removeprefix("file:")) if isinstance(text, str) else ""
        for text in texts
    )
    return path if not name or image_name(path) == image_name(name) else name


def _box_of(region: Mapping[str, Any]) -> Box | str:
    sides = _dict_of(region.get("boundingBox"))
    if sides:
        left, top, width, height = (
            number(sides.get(key)) for key in ("left", "top", "width", "height")
        )
        return Box(left, top, left + width, top + height)
    points = [
        point for point in _list_of(region.get("points")) if isinstance(point, dict)
    ]
    if len(points) < 2:
        return "it has neither a boundingBox nor points"
    return around((number(point.get("x")), number(point.get("y"))) for point in points)


def _fractions_of(region: Mapping[str, Any], size: Size | None) -> Box | str:
    if size is None:
        return "its width and height do not give the size of the image"
    x_min, y_min, x_max, y_max = (
        number(region.get(key)) for key in ("x1", "y1", "x2", "y2")
    )
    width, height = size
    return Box(x_min / width, y_min / height, x_max / width, y_max / height)


def _dict_of(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list_of(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


FORMAT: Final = InputFormat("VoTT JSON", read, recognises)
