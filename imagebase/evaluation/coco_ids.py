"""What only a COCO file says: ids, outlines' areas, and boxes as they were written.

Lists of COCO results name images and categories by the ids of the file they were made
for, and COCO tells small objects from large ones by the area of the outline. Readers of
labels need neither.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from imagebase.annotation import Box, clean_label
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import FileTree
from imagebase.formats.reader import image_name, number
from imagebase.formats.text_files import json_items
from imagebase.formats.trees import names_with_suffix

# A reader cuts boxes at the edge of the image, which moves them by less than this.
_SAME_BOX_PX: Final = 1.0

Written = tuple[Box, float]


@dataclass(frozen=True, slots=True)
class CocoNumbers:
    """Names by id; boxes by image and label as they were written, with their areas."""

    images: Mapping[object, str] = field(default_factory=dict)
    categories: Mapping[object, str] = field(default_factory=dict)
    boxes: Mapping[tuple[str, str], Sequence[Written]] = field(default_factory=dict)

    def turns(self) -> dict[str, int]:
        """Return the place of each image among all, by id."""
        ids = [one for one in self.images if isinstance(one, int)]
        return {self.images[one]: turn for turn, one in enumerate(sorted(ids))}

    def as_written(self, image: str, label: str, box: Box) -> Written:
        """Return a box that was read as it was written, with the area of its outline.

        One that is not of this file is returned as it is, with its own area.
        """
        best, distance = (box, box.area), _SAME_BOX_PX
        for written, area in self.boxes.get((image, label), ()):
            apart = max(abs(a - b) for a, b in zip(written, box, strict=True))
            if apart < distance:
                best, distance = (written, area), apart
        return best


def read_coco_numbers(tree: FileTree) -> CocoNumbers:
    """Return the numbers of every COCO file of a tree."""
    found = _Numbers({}, {}, defaultdict(list))
    for file in names_with_suffix(tree, ".json"):
        try:
            found.read(tree, file)
        except AnnotationFileError:
            continue  # the reader of the labels has said so
    return CocoNumbers(found.images, found.categories, dict(found.boxes))


@dataclass(slots=True)
class _Numbers:
    images: dict[object, str]
    categories: dict[object, str]
    boxes: dict[tuple[str, str], list[Written]]

    def read(self, tree: FileTree, file: str) -> None:
        """Read a file twice: boxes may stand before what they refer to."""
        for item in json_items(tree, file):
            entry = item.value
            if item.position is None or not isinstance(entry, dict):
                continue
            if item.section == "images" and isinstance(entry.get("file_name"), str):
                self.images[coco_id(entry.get("id"))] = image_name(entry["file_name"])
            elif item.section == "categories" and isinstance(entry.get("name"), str):
                self.categories[coco_id(entry.get("id"))] = _label(entry["name"])
        for item in json_items(tree, file):
            entry = item.value
            if item.section == "annotations" and isinstance(entry, dict):
                self._read_box(entry)

    def _read_box(self, entry: Mapping[str, Any]) -> None:
        image = self.images.get(coco_id(entry.get("image_id")))
        label = self.categories.get(coco_id(entry.get("category_id")))
        box = box_of(entry.get("bbox"))
        if image is not None and label is not None and box is not None:
            area = number(entry.get("area"))
            self.boxes[image, label].append((box, area if area >= 0 else box.area))


def coco_id(value: object) -> object:
    """Return an id that can be looked up: "7" and 7.0 are 7; what is none is None."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        return int(value)
    return value if isinstance(value, (int, float, str)) else None


def box_of(numbers: object) -> Box | None:
    """Return COCO's x, y, width and height as a box; None for what is none."""
    if not isinstance(numbers, list) or len(numbers) != 4:
        return None
    x, y, width, height = map(number, numbers)
    box = Box(x, y, x + width, y + height)
    return box if box.is_finite else None


def _label(name: str) -> str:
    try:
        return clean_label(name)
    except ValueError:
        return ""
