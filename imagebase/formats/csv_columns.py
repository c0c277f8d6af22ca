"""Columns of a CSV file, and boxes from its four numbers."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from enum import StrEnum
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from imagebase.annotation import Box, Size
from imagebase.annotation.attributes import (
    DIFFICULT,
    FLAGS,
    OCCLUDED,
    POSE,
    TRUNCATED,
    read_text,
)
from imagebase.formats.base import FileTree
from imagebase.formats.image_index import stated_path
from imagebase.formats.reader import number, size_of
from imagebase.formats.text_files import csv_rows
from imagebase.formats.trees import is_image_name

CsvRow = Mapping[str, str]
SizeOf = Callable[[str], Size | None]

# Of the files that we write; the list of images has the first three.
OWN_COLUMNS: Final = (
    *("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"),
    "confidence",
)

_ALIASES: Final = {
    "filename": "filename file image imagename imgfname img imageid imgid imgname "
    "fname photo picture frame",
    "path": "path filepath imagepath imgpath",
    "folder": "folder foldername subfolder directory dir",
    "width": "width",
    "height": "height",
    "imgwidth": "imgw imgwidth imagewidth imwidth imagew",
    "imgheight": "imgh imgheight imageheight imheight imageh",
    "class": "class label labels labelname classlabel classname name celltype category "
    "categoryname species tag object objectclass objectname",
    "classid": "classid labelid categoryid classindex",
    "xmin": "xmin x1 xtl left minx x0 startx xstart",
    "ymin": "ymin y1 ytl top miny y0 starty ystart",
    "xmax": "xmax x2 xbr right maxx endx xend",
    "ymax": "ymax y2 ybr bottom maxy endy yend",
    "x": "x",
    "y": "y",
    "cx": "cx xc xcenter xcentre centerx centrex",
    "cy": "cy yc ycenter ycentre centery centrey",
    "w": "w boxwidth bboxwidth bw",
    "h": "h boxheight bboxheight bh",
    "bbox": "bbox box boundingbox bndbox xywh xyxy",
    "confidence": "confidence score conf probability",
    "part": "split set subset partition usage datasplit",
    OCCLUDED: "occluded isoccluded",
    TRUNCATED: "truncated istruncated",
    DIFFICULT: "difficult isdifficult",
    POSE: "pose",
}
_UNSAID: Final = ("-1", "unspecified")
_MEANING: Final = {a: name for name, all_ in _ALIASES.items() for a in all_.split()}
_PREFIX: Final = re.compile(r"^(boundingbox|bndbox|bbox|bbx|box|bb|roi)(?=.)")
# x0 is the near corner where it is there, and x1 then the far one.
_FROM_ZERO: Final = {"x1": "xmax", "y1": "ymax", "x0": "xmin", "y0": "ymin"}
_DECIMAL_COMMA: Final = re.compile(r"\s*-?\d*,\d+\s*")
_MOST_OF_ONE: Final = 1.01
_FAR_OUTSIDE_PX: Final = 1.0
# So many rows are read to find how boxes are written.
_ROWS_TO_TRY: Final = 100_000


class BoxKind(StrEnum):
    """How four numbers are a box."""

    CORNERS = "xmin, ymin, xmax, ymax"
    SIZES = "x, y, width, height"
    CENTRES = "the centre's x and y, width, height"


class Reading(NamedTuple):
    """How the boxes of a table are written.

    is_open: nothing in the table decided for this kind against another.
    """

    kind: BoxKind
    is_relative: bool = False
    is_open: bool = False


class CsvTable:
    """One CSV file: which column means what, and its rows."""

    def __init__(self, tree: FileTree, file: str) -> None:
        self.file = file
        self._tree = tree
        _, self.header = next(csv_rows(tree, file), (1, []))
        # Some put a blank after each comma; elsewhere blanks belong to names.
        self._is_spaced = any(cell.startswith(" ") for cell in self.header)
        self.columns = _columns_of(self.header)
        self.has_header = bool(self.columns)
        if not self.has_header:
            self.columns = _columns_of_row(self.header)

    @cached_property
    def kinds(self) -> tuple[BoxKind, ...]:
        """How the boxes may be written, the likeliest first; empty without boxes."""
        by_first = {
            "xmin": (BoxKind.CORNERS,)
            if "xmax" in self._number_keys
            else (BoxKind.SIZES,),
            "cx": (BoxKind.CENTRES,),
            "x": (BoxKind.SIZES, BoxKind.CENTRES)
            if self.has_header
            else (BoxKind.SIZES,),
        }
        if not self._number_keys:
            return self._kinds_of_bbox() if "bbox" in self.columns else ()
        # Without a header the order is a guess, RetinaNet's.
        is_open = not self.has_header and "xmin" in self.columns
        guessed = (BoxKind.SIZES,) if is_open else ()
        return (*by_first[self._number_keys[0]], *guessed)

    def _kinds_of_bbox(self) -> tuple[BoxKind, ...]:
        name = _plain(self.header[self.columns["bbox"]])
        if "xyxy" in name or "xminymin" in name:
            return (BoxKind.CORNERS,)
        cells = (row["bbox"].strip() for _, row in self._first_rows())
        if next(filter(None, cells), "").startswith("{"):
            return (BoxKind.SIZES,)
        return (BoxKind.SIZES,) if "xywh" in name else (BoxKind.SIZES, BoxKind.CORNERS)

    @property
    def has_boxes(self) -> bool:
        is_labelled = bool({"class", "classid"} & self.columns.keys())
        return "filename" in self.columns and is_labelled and bool(self.kinds)

    @property
    def has_images_only(self) -> bool:
        others = self.columns.keys() - {"part", "path", "folder"}
        return others == {"filename", "width", "height"} or (
            others == {"filename"} and "part" in self.columns
        )

    def rows(self) -> Iterator[tuple[int, CsvRow]]:
        """Yield line number and values by meaning; a row too short ends in blanks."""
        rows = csv_rows(self._tree, self.file, own=(OWN_COLUMNS, OWN_COLUMNS[:3]))
        if self.has_header:
            next(rows, None)
        for line, cells in rows:
            row = [cell.strip() for cell in cells] if self._is_spaced else cells
            yield (
                line,
                {
                    name: row[index] if index < len(row) else ""
                    for name, index in self.columns.items()
                },
            )

    def image_in(self, row: CsvRow) -> str:
        """Return a row's image, as a path where there is one."""
        name, path = row.get("filename", ""), row.get("path", "")
        if is_image_name(path) and (not is_image_name(name) or _is_end(name, path)):
            return path
        folder = row.get("folder", "").strip()
        return f"{folder}/{name}" if folder and name.strip() else name

    def numbers_of(self, row: CsvRow) -> list[float] | None:
        """Return the four numbers of a row's box, NaN for cells that are no number.

        None for an image without a box, as its empty cells say.
        """
        keys = self._number_keys
        if not keys:
            return None if not row["bbox"].strip() else _four_in(row["bbox"])
        cells = [row.get(key, "") for key in keys]
        label = row.get("class", row.get("classid", ""))
        if not any(cell.strip() for cell in (*cells, label)):
            return None
        if not self.has_header and not any(cell.strip() for cell in cells):
            return None
        return [decimal(cell) for cell in cells]

    @cached_property
    def _number_keys(self) -> tuple[str, ...]:
        """The columns of the four numbers; none where they are in one, or nowhere."""
        return _keys_of_four(self.columns.keys())

    def attributes_in(self, row: CsvRow) -> dict[str, object]:
        """Return what columns of flags and poses say of a box."""
        cells = ((name, row.get(name, "").strip()) for name in (*FLAGS, POSE))
        return {k: read_text(k, v) for k, v in cells if v.lower() not in _UNSAID}

    def size_in(self, row: CsvRow) -> Size | None:
        """Return the image's size; width and height may be the box's own."""
        if "imgwidth" in row and "imgheight" in row:
            return size_of(row["imgwidth"], row["imgheight"])
        if self._number_keys[-1:] == ("height",):
            return None
        return size_of(row.get("width"), row.get("height"))

    def reading(self, size_of_image: SizeOf) -> Reading:
        """Return how boxes are written: what the rows do not rule out."""
        if not self.has_boxes:
            return Reading(BoxKind.CORNERS)
        is_relative = self._is_relative()
        if len(self.kinds) == 1:
            return Reading(self.kinds[0], is_relative)
        against: Counter[BoxKind] = Counter()
        for _, row in self._first_rows():
            numbers = self.numbers_of(row) or []
            size = Size(1, 1) if is_relative else self.size_in(row)
            size = size or size_of_image(self.image_in(row))
            for kind in self.kinds if all(n == n for n in numbers) else ():
                against[kind] += bool(numbers) and _rules_out(kind, numbers, size)
            if sum(against[kind] == 0 for kind in self.kinds) == 1:
                break
        best = min(self.kinds, key=lambda kind: against[kind])
        is_open = against.total() == 0 and "bbox" in self.columns
        return Reading(best, is_relative, is_open)

    def _is_relative(self) -> bool:
        """Say whether all numbers are fractions, and some of them broken ones."""
        is_broken = False
        for _, row in self._first_rows():
            numbers = [n for n in self.numbers_of(row) or [] if n == n]
            if any(abs(n) > _MOST_OF_ONE for n in numbers):
                return False
            is_broken = is_broken or any(n % 1 for n in numbers)
        return is_broken

    def _first_rows(self) -> Iterator[tuple[int, CsvRow]]:
        for count, row in enumerate(self.rows()):
            if count >= _ROWS_TO_TRY:
                return
            yield row

    def missing(self) -> str:
        """Return a question, or the columns that a table of boxes lacks."""
        names = self.columns.keys()
        if "filename" in names and self.kinds:
            named = ", ".join(cell.strip() or "(empty)" for cell in self.header[:20])
            return (
                f"which column is the label? Of {named} none is called class, label or "
                "category; call it so, or add it"
            )
        corners = () if self.kinds else ("xmin", "ymin", "xmax", "ymax")
        wanted = ("filename", "class", *corners)
        lacking = ", ".join(column for column in wanted if column not in names)
        return f"no column is named {lacking}"


def box_of(kind: BoxKind, numbers: Sequence[float]) -> Box:
    """Return the box that four numbers are."""
    x, y, width, height = numbers
    if kind is BoxKind.CORNERS:
        return Box(x, y, width, height)
    if kind is BoxKind.SIZES:
        return Box(x, y, x + width, y + height)
    return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def decimal(text: str) -> float:
    """Return a number, with a point or a comma before its decimals."""
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    return number(text)


def _rules_out(kind: BoxKind, numbers: Sequence[float], size: Size | None) -> bool:
    """Say whether a box of this kind cannot be: far outside, or without area."""
    x_min, y_min, x_max, y_max = box_of(kind, numbers)
    if x_max <= x_min or y_max <= y_min:
        return True
    if size is None:
        return False
    room = [_FAR_OUTSIDE_PX + side / 100 if side > 1 else 0.01 for side in size]
    return (
        x_min < -room[0]
        or y_min < -room[1]
        or x_max > size.width + room[0]
        or y_max > size.height + room[1]
    )


def _is_end(name: str, path: str) -> bool:
    return (
        PurePosixPath(stated_path(path)).name == PurePosixPath(stated_path(name)).name
    )


def _plain(cell: str) -> str:
    return re.sub(r"[^a-z0-9]", "", cell.lower())


def _columns_of(header: Sequence[str]) -> dict[str, int]:
    plain = [_plain(cell) for cell in header]
    bare = [_PREFIX.sub("", cell) for cell in plain]
    from_zero = _FROM_ZERO if {"x0", "x1"} <= set(bare) and "x2" not in bare else {}
    columns: dict[str, int] = {}
    for index, (cell, rest) in enumerate(zip(plain, bare, strict=True)):
        meaning = from_zero.get(rest) or _MEANING.get(cell) or _MEANING.get(rest)
        if meaning is None and cell.startswith("bbox"):
            meaning = "bbox"
        if meaning:
            columns.setdefault(meaning, index)
    if "path" in columns and "filename" not in columns:
        columns["filename"] = columns.pop("path")
    return columns


def _columns_of_row(cells: Sequence[str]) -> dict[str, int]:
    """Return what the cells of a first row are, where it is no header.

    An image, four numbers and a label in any order, or all but the image blank; as
    TensorFlow has them also with the image's size before the label; as makesense.ai
    has them the label, x, y, width, height, the image and its size.
    """
    stripped = [cell.strip() for cell in cells]
    images = [i for i, cell in enumerate(stripped) if is_image_name(cell)]
    numbers = [i for i, cell in enumerate(stripped) if decimal(cell) == decimal(cell)]
    words = [i for i, cell in enumerate(stripped) if i not in {*images, *numbers}]
    near_and_far = ("xmin", "ymin", "xmax", "ymax")
    if images == [5] and len(cells) == 8 and words == [0]:
        # As makesense.ai exports.
        names = ("class", "x", "y", "w", "h", "filename", "imgwidth", "imgheight")
        return {name: index for index, name in enumerate(names)}
    if images != [0] or len(cells) not in (6, 8):
        return {}
    if len(cells) == 6 and (words == [1] or numbers == [1, 2, 3, 4, 5]):
        # A class id that is a number stands behind the box, as most put it.
        label = 1 if words == [1] else 5
    elif len(cells) == 6 and (words == [5] or len(words) == 5):
        label = 5
    elif len(cells) == 8 and words == [3]:
        sized = {"width": 1, "height": 2}
        places = dict(zip(near_and_far, range(4, 8), strict=True))
        return {"filename": 0, "class": 3, **sized, **places}
    else:
        return {}
    first = 2 if label == 1 else 1
    places = dict(zip(near_and_far, range(first, first + 4), strict=True))
    return {"filename": 0, "class": label, **places}


def _four_in(text: str) -> list[float]:
    """Return the four numbers of a cell; NaN where they are not four."""
    stripped = text.strip().strip("[](){}").strip()
    if ":" in stripped and "{" in text:
        return _four_by_name(text)
    for separators in (r"[\s,;]+", r"[\s;]+"):
        cells = re.split(separators, stripped)
        if len(cells) == 4:
            return [decimal(cell) for cell in cells]
    return [number("")] * 4


def _four_by_name(text: str) -> list[float]:
    """Return x, y, width, height of a cell that is an object."""
    try:
        value = json.loads(text.replace("'", '"'))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return [number("")] * 4
    keys = list(value)
    by_name = {name: number(value[keys[i]]) for name, i in _columns_of(keys).items()}
    numbers = [by_name.get(key, number("")) for key in _keys_of_four(by_name.keys())]
    if len(numbers) < 4:
        return [number("")] * 4
    is_corners = "xmin" in by_name and "xmax" in by_name
    is_centre = "cx" in by_name
    kind = (
        BoxKind.CORNERS
        if is_corners
        else BoxKind.CENTRES
        if is_centre
        else BoxKind.SIZES
    )
    box = box_of(kind, numbers)
    return [box.x_min, box.y_min, box.width, box.height]


def _keys_of_four(names: Set[str]) -> tuple[str, ...]:
    """Return what the four numbers of a box are called; nothing where they lack."""
    if {"xmin", "ymin", "xmax", "ymax"} <= names:
        return ("xmin", "ymin", "xmax", "ymax")
    sides = ("w", "h") if {"w", "h"} <= names else ("width", "height")
    near = (("xmin", "ymin"), ("cx", "cy"), ("x", "y"))
    return next(
        ((*corner, *sides) for corner in near if {*corner, *sides} <= names), ()
    )
