"""VGG Image Annotator: the regions or the project of versions 1 to 3, JSON or CSV."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from imagebase.annotation import Box
from imagebase.annotation.attributes import read_text
from imagebase.formats.base import FileTree, InputFormat, any_attribute
from imagebase.formats.reader import LabelReader, image_name, number
from imagebase.formats.shapes import OUTLINE, around
from imagebase.formats.split import parts_of_files
from imagebase.formats.text_files import csv_rows, json_items
from imagebase.formats.trees import FILES_TO_TRY, has_file, names_with_suffix, read_each

UNNAMED: Final = "object"
_IMAGES: Final = "_via_img_metadata"
_THIRD: Final = frozenset({"attribute", "file", "metadata", "view"})
_KNOWN: Final = frozenset({_IMAGES, *_THIRD})
_SHAPE_COLUMN: Final = "region_shape_attributes"
_ATTRIBUTES_COLUMN: Final = "region_attributes"
_REGION_KEYS: Final = ("shape_attributes", "region_attributes")
# Which of several attributes of a region is its label, the first that there is.
_LABEL_KEYS: Final = ("label", "class", "classname", "category", "name", "type")
# Shapes of version 3 by number: what they are, and how many numbers follow.
_THIRD_SHAPES: Final = {2: "rect", 3: "circle", 4: "ellipse", 7: "polygon"}


class _Region(NamedTuple):
    """One region: its place, the image's name, its shape and attributes."""

    at: str
    image: str
    shape: Mapping[str, Any]
    attributes: Mapping[str, Any]


def recognises(tree: FileTree) -> bool:
    """Say whether a JSON or a CSV file has regions as VIA writes them."""
    return has_file(tree, ".json", ".csv", is_one=_is_via)


def _is_via(tree: FileTree, file: str) -> bool:
    if file.lower().endswith(".csv"):
        _, header = next(csv_rows(tree, file), (1, []))
        return {_SHAPE_COLUMN, _ATTRIBUTES_COLUMN} <= set(header)
    return _version(tree, file) > 0


def _version(tree: FileTree, file: str) -> int:
    """Return the major version that wrote a JSON file; 0 where it was another tool."""
    keys: set[str] = set()
    for item in islice(json_items(tree, file, gone_into=_KNOWN), FILES_TO_TRY):
        if item.section == _IMAGES or _is_image(item.value):
            return 2
        keys.add(item.section)
        if {"project", "config", "attribute", "file"} <= keys:
            return 3
    return 0


def _is_image(value: object) -> bool:
    return isinstance(value, dict) and {"filename", "regions"} <= value.keys()


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every VIA file of the tree; boxes are in pixels, sizes are missing.

    Raises:
        AnnotationFileError: no file is VIA's, or none can be read.
    """
    parts = parts_of_files(names_with_suffix(tree, ".json", ".csv"))
    read_each(
        parts,
        collector,
        is_one=lambda file: _is_via(tree, file),
        read_one=lambda file: _ViaFile(tree, file, collector, parts[file]).read(),
        absent="There is no file of VGG Image Annotator here: it is a .json or .csv "
        "with shape_attributes and region_attributes.",
    )


class _ViaFile:
    """One file on its way in, gone through twice: first for what its labels are."""

    def __init__(self, tree: FileTree, file: str, to: LabelReader, part: str) -> None:
        self._tree = tree
        self._file = file
        self._collector = to
        self._part = part

    def read(self) -> None:
        key = self._label_key()
        for region in self._regions():
            if region.image:
                image = self._collector.add_image(
                    region.image, part=self._part, file=self._file
                )
                if region.shape:
                    self._read_region(region._replace(image=image), key)
            else:
                self._collector.skip(self._file, region.at, "it names no image")

    def _label_key(self) -> str:
        """Return the attribute that is the label: by its name, else the commonest."""
        counts = Counter(key for region in self._regions() for key in region.attributes)
        known = {key.casefold().replace("_", ""): key for key in counts}
        named = next((known[key] for key in _LABEL_KEYS if key in known), "")
        key = named or next((key for key, _ in counts.most_common(1)), "")
        if not key and any(region.shape for region in self._regions()):
            what = f"its regions have no label and are called {UNNAMED!r}"
            self._collector.change(self._file, "", what)
        return key

    def _regions(self) -> Iterator[_Region]:
        """Yield each region; one without a shape for an image, before its regions."""
        if self._file.lower().endswith(".csv"):
            yield from _regions_of_table(self._tree, self._file)
        elif _version(self._tree, self._file) == 3:
            yield from _regions_of_third(self._tree, self._file)
        else:
            yield from _regions_of_json(self._tree, self._file)

    def _read_region(self, region: _Region, key: str) -> None:
        labels = _labels_of(region.attributes.get(key)) if key else [UNNAMED]
        box = _box_of(region.shape)
        if isinstance(box, str) or not labels:
            reason = f"it has no {key!r}, which is the label here"
            reason = box if isinstance(box, str) else reason
            self._collector.skip_box(self._file, region.at, reason)
            return
        for label in labels:
            self._collector.add_box(
                region.image,
                label,
                box,
                file=self._file,
                at=region.at,
                attributes=_attributes_of(region.attributes, key),
            )
        if region.shape.get("name") != "rect":
            self._collector.change(self._file, region.at, OUTLINE)


def _attributes_of(attributes: Mapping[str, Any], label: str) -> dict[str, object]:
    """Return the attributes but the label; of several selected options, all of them."""
    return {
        key: read_text(key, ", ".join(_labels_of(value)))
        for key, value in attributes.items()
        if key != label
    }


def _labels_of(value: object) -> list[str]:
    if isinstance(value, dict):
        return [str(key) for key, is_ticked in value.items() if is_ticked]
    return [str(value)] if value not in (None, "") else []


def _regions_of_json(tree: FileTree, file: str) -> Iterator[_Region]:
    """Yield what versions 1 and 2 have: images by a key, regions in a list or not."""
    for item in json_items(tree, file, gone_into={_IMAGES}):
        at, image = str(item.position or item.section), item.value
        if item.section.startswith("_via_") and item.section != _IMAGES:
            continue
        if not isinstance(image, dict) or not image:
            continue
        name = _name_of(image.get("filename"))
        yield _Region(at, name, {}, {})
        regions = image.get("regions")
        if isinstance(regions, list):
            regions = dict(enumerate(regions))
        for key, region in _dict_of(regions).items():
            place = f"{at}.regions[{key}]"
            shape, described = (_dict_of(_dict_of(region).get(k)) for k in _REGION_KEYS)
            yield _Region(place, name, shape or {"name": ""}, described)


def _dict_of(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _regions_of_table(tree: FileTree, file: str) -> Iterator[_Region]:
    rows = csv_rows(tree, file)
    _, header = next(rows, (1, []))
    # Version 1 puts a hash in front of the first line.
    columns = [cell.removeprefix("#") for cell in header]
    for line, row in rows:
        cells = dict(zip(columns, row, strict=False))
        at, name = f"line {line}", _name_of(cells.get("filename"))
        yield _Region(at, name, {}, {})
        shape = _object_in(cells.get(_SHAPE_COLUMN))
        if shape:
            yield _Region(at, name, shape, _object_in(cells.get(_ATTRIBUTES_COLUMN)))


def _object_in(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {"name": ""}
    return value if isinstance(value, dict) else {}


def _regions_of_third(tree: FileTree, file: str) -> Iterator[_Region]:
    """Yield what version 3 has: shapes as numbers, images and attributes by id."""
    tables: dict[str, dict[str, Any]] = {
        section: {} for section in _THIRD - {"metadata"}
    }
    for item in json_items(tree, file, gone_into=_THIRD):
        if item.section in tables and isinstance(item.value, dict) and item.value:
            tables[item.section][str(item.position)] = item.value
    names = {key: _name_of(entry.get("fname")) for key, entry in tables["file"].items()}
    views = {
        key: names.get(str(next(iter(_list_of(entry.get("fid_list"))), "")), "")
        for key, entry in tables["view"].items()
    }
    yield from (_Region("file", name, {}, {}) for name in names.values())
    for item in json_items(tree, file, gone_into=_THIRD):
        if item.section == "metadata" and isinstance(item.value, dict) and item.value:
            numbers = _list_of(item.value.get("xy"))
            # Without a shape it is about the image or a stretch of a video.
            if numbers:
                image = views.get(str(item.value.get("vid")), "")
                described = _named_attributes(item.value.get("av"), tables["attribute"])
                yield _Region(item.place, image, _third_shape(numbers), described)


def _list_of(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _named_attributes(
    values: object, attributes: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return values by the names of their attributes; choices stand as ids there."""
    named = {}
    for key, value in _dict_of(values).items():
        attribute = attributes.get(str(key), {})
        chosen = _dict_of(attribute.get("options")).get(str(value))
        named[str(attribute.get("aname", key))] = chosen or value
    return named


def _third_shape(numbers: list[Any]) -> Mapping[str, Any]:
    """Return a shape as version 2 has it."""
    name = _THIRD_SHAPES.get(numbers[0] if isinstance(numbers[0], int) else 0, "")
    keys = {
        "rect": ("x", "y", "width", "height"),
        "circle": ("cx", "cy", "r"),
        "ellipse": ("cx", "cy", "rx", "ry"),
    }.get(name)
    if keys is None:
        points = {"all_points_x": numbers[1::2], "all_points_y": numbers[2::2]}
        return {"name": name, **points}
    return {"name": name, **dict(zip(keys, numbers[1:], strict=False))}


def _name_of(value: object) -> str:
    return image_name(value) if isinstance(value, str) else ""


def _box_of(shape: Mapping[str, Any]) -> Box | str:
    name = shape.get("name")
    x, y, cx, cy, radius, width, height, rx, ry = (
        number(shape.get(key))
        for key in ("x", "y", "cx", "cy", "r", "width", "height", "rx", "ry")
    )
    if name == "rect":
        return Box(x, y, x + width, y + height)
    if name == "circle":
        return Box(cx - radius, cy - radius, cx + radius, cy + radius)
    if name == "ellipse":
        turn = number(shape.get("theta", 0))
        half_width = math.hypot(rx * math.cos(turn), ry * math.sin(turn))
        half_height = math.hypot(rx * math.sin(turn), ry * math.cos(turn))
        return Box(cx - half_width, cy - half_height, cx + half_width, cy + half_height)
    xs, ys = (_list_of(shape.get(f"all_points_{axis}")) for axis in "xy")
    if name in ("polygon", "polyline") and len(xs) == len(ys) > 2:
        return around((number(x), number(y)) for x, y in zip(xs, ys, strict=True))
    return f"a shape of the type {name!r} is not a box"


FORMAT: Final = InputFormat(
    "VGG Image Annotator", read, recognises, holds=any_attribute
)
