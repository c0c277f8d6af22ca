"""Datumaro's own JSON: boxes as x, y, width, height in pixels from 0."""

from collections.abc import Mapping
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Final

from imagebase.annotation import Box
from imagebase.annotation.attributes import GROUP, read_value
from imagebase.formats.base import FileTree, InputFormat, any_attribute
from imagebase.formats.reader import LabelReader, image_name, number, size_of
from imagebase.formats.shapes import (
    OUTLINE,
    ROTATED,
    around,
    around_rotated,
    box_of_run_lengths,
)
from imagebase.formats.split import part_named
from imagebase.formats.text_files import json_items
from imagebase.formats.trees import FILES_TO_TRY, has_file, names_with_suffix, read_each


def recognises(tree: FileTree) -> bool:
    """Say whether a JSON file has items with annotations and categories of labels."""
    return has_file(tree, ".json", is_one=_is_datumaro)


def _is_datumaro(tree: FileTree, file: str) -> bool:
    keys = set()
    for item in islice(json_items(tree, file), FILES_TO_TRY):
        if item.section == "categories" and "label" in _dict_of(item.value):
            keys.add("categories")
        elif item.section == "items" and item.value == []:
            keys.add("items")
        if len(keys) == 2:
            return True
    return False


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every file of Datumaro's; each is a part of the split that bears its name.

    Raises:
        AnnotationFileError: no file is Datumaro's, or none can be read.
    """
    read_each(
        names_with_suffix(tree, ".json"),
        collector,
        is_one=lambda file: _is_datumaro(tree, file),
        read_one=lambda file: _DatumaroFile(tree, file, collector).read(),
        absent="There is no Datumaro file here: it is a .json with categories and "
        "items.",
    )


class _DatumaroFile:
    """One file on its way in; its labels may stand after its items."""

    def __init__(self, tree: FileTree, file: str, to: LabelReader) -> None:
        self._tree = tree
        self._file = file
        self._collector = to
        self._subset = PurePosixPath(file).stem
        self._labels: list[str] = []

    def read(self) -> None:
        for item in json_items(self._tree, self._file):
            if item.section == "categories":
                listed = _dict_of(_dict_of(item.value).get("label")).get("labels")
                names = [
                    str(_dict_of(entry).get("name", "")) for entry in _list_of(listed)
                ]
                self._labels = self._collector.add_labels(names, file=self._file)
        for item in json_items(self._tree, self._file):
            if item.section == "items" and item.position is not None:
                self._read_item(_dict_of(item.value), item.place)

    def _read_item(self, item: Mapping[str, Any], at: str) -> None:
        media = _dict_of(item.get("image")) or _dict_of(item.get("media"))
        stated = media.get("path") or item.get("id")
        name = image_name(stated) if isinstance(stated, str) else ""
        if not isinstance(stated, str) or not name:
            self._collector.skip(self._file, at, "it names no image")
            return
        sides = _list_of(media.get("size"))
        size = size_of(sides[1], sides[0]) if len(sides) == 2 else None
        part = part_named(self._subset) or ""
        # Images lie in a folder for each subset, where names may be there again.
        image = self._collector.add_image(
            *(name, size), part=part, file=self._file, stated=f"{self._subset}/{stated}"
        )
        for index, entry in enumerate(_list_of(item.get("annotations"))):
            place = f"{at}.annotations[{index}]"
            self._read_annotation(_dict_of(entry), image, place)

    def _read_annotation(self, entry: Mapping[str, Any], image: str, at: str) -> None:
        kind, label = entry.get("type"), self._label_of(entry)
        if kind == "label" and label is not None:
            self._collector.add_tag(image, label, file=self._file, at=at)
            return
        box, what = _box_of(entry)
        if isinstance(box, str):
            self._collector.skip(self._file, at, box)
        elif label is None:
            reason = f"there is no label {entry.get('label_id')!r}"
            self._collector.skip_box(self._file, at, reason)
        else:
            crowd = _dict_of(entry.get("attributes")).get("is_crowd") is True
            self._collector.add_box(
                image,
                label,
                box,
                file=self._file,
                at=at,
                is_crowd=crowd,
                attributes=_attributes_of(entry),
            )
            if what:
                self._collector.change(self._file, at, what)

    def _label_of(self, entry: Mapping[str, Any]) -> str | None:
        index = entry.get("label_id")
        if isinstance(index, int) and 0 <= index < len(self._labels):
            return self._labels[index]
        return None


def _attributes_of(entry: Mapping[str, Any]) -> dict[str, object]:
    """Return an annotation's attributes; a group or z_order of 0 is none."""
    attributes = dict(_dict_of(entry.get("attributes")))
    attributes.pop("is_crowd", None)
    attributes[GROUP] = entry.get("group") or None
    attributes["z_order"] = entry.get("z_order") or None
    return {key: read_value(key, value) for key, value in attributes.items()}


def _box_of(entry: Mapping[str, Any]) -> tuple[Box | str, str]:
    """Return the box of an annotation, or why it has none, and the change made."""
    kind = entry.get("type")
    numbers = [number(value) for value in _list_of(entry.get("bbox"))]
    if kind == "bbox" and len(numbers) == 4:
        x, y, width, height = numbers
        return Box(x, y, x + width, y + height), ""
    if kind == "rotated_bbox" and len(numbers) == 5:
        cx, cy, width, height, degrees = numbers
        box = Box(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        return around_rotated(box, degrees, (cx, cy)), ROTATED
    points = [number(value) for value in _list_of(entry.get("points"))]
    if kind == "ellipse" and len(points) == 4:
        return Box(*points), OUTLINE
    if kind == "polygon" and len(points) >= 6:
        return around(zip(points[::2], points[1::2], strict=False)), OUTLINE
    if kind == "mask":
        box_or_none = box_of_run_lengths(entry.get("rle"))
        return (box_or_none or "its mask cannot be read"), OUTLINE
    return f"an annotation of the type {kind!r} is not a box", ""


def _dict_of(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list_of(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


FORMAT: Final = InputFormat("Datumaro JSON", read, recognises, holds=any_attribute)
