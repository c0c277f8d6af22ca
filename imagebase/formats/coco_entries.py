"""What stands in the entries of a COCO file: ids, names, boxes and attributes."""

import re
from collections.abc import Mapping
from typing import Any, Final

from imagebase.annotation import Box
from imagebase.annotation.attributes import read_value
from imagebase.formats.collecting import number
from imagebase.formats.outlines import around, box_of_run_lengths
from imagebase.formats.parts import part_named

# Where an image's name stands, file_name being COCO's own.
_IMAGE_KEYS: Final = ("file_name", "filename", "path", "name", "coco_url", "url")
_WHOLE: Final = re.compile(r"(-?\d{1,300})(\.0*)?")
# In an annotation, what is no attribute of it.
_STRUCTURE: Final = frozenset(
    {"id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd"}
    | {"score", "attributes", "num_keypoints"}
)
# What CVAT and pycocotools write with every box: 0 says nothing of it.
_ZERO_IS_NOTHING: Final = frozenset({"ignore", "rotation"})


def file_name_of(entry: Mapping[str, Any]) -> str:
    """Return what an image is called, by whichever key says it; empty for none."""
    stated = (entry.get(key) for key in _IMAGE_KEYS)
    return next((one for one in stated if isinstance(one, str) and one), "")


def part_of(entry: Mapping[str, Any]) -> str:
    """Return the part of the split that an image's entry says; empty for none."""
    stated = (entry.get(key) for key in ("split", "subset"))
    parts = (part_named(one) for one in stated if isinstance(one, str))
    return next(filter(None, parts), "")


def attributes_of(entry: Mapping[str, Any]) -> dict[str, object]:
    """Return an annotation's attributes, and what else stands in it."""
    found = {key: value for key, value in entry.items() if key not in _STRUCTURE}
    own = entry.get("attributes")
    found |= own if isinstance(own, dict) else {"attributes": own}
    return {
        key: read_value(key, value)
        for key, value in found.items()
        if value != 0 or key not in _ZERO_IS_NOTHING
    }


def id_of(value: object) -> object:
    """Return an id that can be looked up; "7" and 7.0 are 7, a list is none."""
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value.strip())
        return int(whole[1]) if whole else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (int, float)) else None


def category_name(value: object) -> str | None:
    """Return a category's name; some are called by numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def bbox_of(entry: Mapping[str, Any]) -> Box | None:
    """Return an annotation's own box, of x, y, width and height."""
    numbers = entry.get("bbox")
    if not isinstance(numbers, list) or len(numbers) != 4:
        return None
    x, y, width, height = map(number, numbers)
    return Box(x, y, x + width, y + height)


def box_around(segmentation: object) -> Box | None:
    """Return the box around outlines, or around a mask that stands as run lengths."""
    if not isinstance(segmentation, list):
        return box_of_run_lengths(segmentation)
    outlines = [one for one in segmentation if isinstance(one, list)]
    points = [number(value) for one in outlines for value in one]
    if len(points) < 6 or len(points) % 2:
        return None
    return around(zip(points[::2], points[1::2], strict=True))
