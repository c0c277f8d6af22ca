"""CSV as TensorFlow's object detection has it: one row a box, whole pixels."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from imagebase.annotation import Box
from imagebase.errors import AnnotationFileError
from imagebase.formats.boxes import (
    confidence_of,
    whole_pixel_tolerance,
    whole_pixels,
    writable,
)
from imagebase.formats.collecting import (
    Collector,
    image_name,
    number,
    size_of,
)
from imagebase.formats.csv_files import csv_rows, csv_table
from imagebase.formats.label_set_files import (
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    ImageNames,
    ImageReference,
    WriteOptions,
)
from imagebase.formats.parts import parts_of_files
from imagebase.formats.relative import names_file, read_names_file
from imagebase.formats.trees import FILES_TO_TRY, files_named, names_with_suffix

FILE: Final = "annotations.csv"
COLUMNS: Final = (
    *("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"),
    "confidence",
)
# A row is a box: images without one are listed here, and labels without one there.
_IMAGES_FILE: Final = "images.csv"
_LABELS_FILE: Final = "labels.txt"
_CONFIDENCE_DECIMALS: Final = 6

_ALIASES: Final = {
    "filename": "filename file image imagename imgfname imagepath path img filepath",
    "width": "width imgw imagewidth imwidth",
    "height": "height imgh imageheight imheight",
    "class": "class label labelname classlabel classname name celltype category",
    "xmin": "xmin x1 bbxxtl xtl left minx",
    "ymin": "ymin y1 bbxytl ytl top miny",
    "xmax": "xmax x2 bbxxbr xbr right maxx",
    "ymax": "ymax y2 bbxybr ybr bottom maxy",
    "w": "w boxwidth bboxwidth",
    "h": "h boxheight bboxheight",
    "bbox": "bbox box",
    "confidence": "confidence score conf",
}
_MEANING: Final = {a: name for name, all_ in _ALIASES.items() for a in all_.split()}


def names(export_set: ExportSet) -> Iterable[str]:
    """Return the names as they are; filename is a path below `images`."""
    return ImageNames(export_set.images)


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the boxes, the list of images, the labels in their order, the images."""
    yield ExportFile(FILE, csv_table(COLUMNS, _box_rows(export_set)))
    images = ((i.name, *i.record.size) for i in export_set.images)
    yield ExportFile(_IMAGES_FILE, csv_table(COLUMNS[:3], images))
    yield ExportFile(_LABELS_FILE, names_file(export_set.labels))
    if options.with_images:
        for image in export_set.images:
            reference = ImageReference(image.record.image_id)
            yield ExportFile(f"images/{image.name}", reference)


def _box_rows(export_set: ExportSet) -> Iterator[Sequence[object]]:
    for image in export_set.images:
        for one in writable(image):
            confidence = confidence_of(one)
            shown = "" if confidence is None else _decimal(confidence)
            head = (image.name, *image.record.size, one.label)
            yield (*head, *whole_pixels(one.box), shown)


def _decimal(confidence: float) -> str:
    return f"{confidence:.{_CONFIDENCE_DECIMALS}f}"


def recognises(tree: FileTree) -> bool:
    """Say whether a CSV file has columns of file names, of labels and of corners."""
    for file in names_with_suffix(tree, ".csv")[:FILES_TO_TRY]:
        try:
            if _Table(tree, file).has_boxes:
                return True
        except AnnotationFileError:
            continue
    return False


class _Place(NamedTuple):
    file: str
    at: str


def read(tree: FileTree, collector: Collector) -> None:
    """Read every CSV file of the tree that has boxes or lists images.

    Columns are found by their names, in any order; commas, semicolons or tabs.

    Raises:
        AnnotationFileError: no file has the columns, or none can be read.
    """
    for file in files_named(tree, _LABELS_FILE):
        collector.add_labels(read_names_file(tree, file), file=file)
    tables = list(_tables(tree, collector))
    parts = parts_of_files(table.file for table in tables)
    # The list of images comes first: it has them in their order.
    for table in sorted(tables, key=lambda table: "class" in table.columns):
        try:
            for line, row in table.rows():
                place = _Place(table.file, f"line {line}")
                _read_row(row, collector, place, parts[table.file])
        except AnnotationFileError as error:
            collector.skip(table.file, "", str(error))
    collector.check()
    if not tables:
        raise AnnotationFileError(
            "There is no CSV file with boxes here: its first line names the columns "
            f"{', '.join(COLUMNS[:-1])}, in any order."
        )


def _tables(tree: FileTree, collector: Collector) -> Iterator["_Table"]:
    for file in names_with_suffix(tree, ".csv"):
        try:
            table = _Table(tree, file)
        except AnnotationFileError as error:
            collector.skip(file, "", str(error))
            continue
        if table.has_boxes or table.has_images_only:
            yield table
        else:
            missing = table.missing()
            collector.skip(file, "line 1", f"no column is named {missing}")


class _Table:
    """One CSV file: which column means what, and its rows."""

    def __init__(self, tree: FileTree, file: str) -> None:
        self.file = file
        self._rows = csv_rows(tree, file)
        _, header = next(self._rows, (1, []))
        # Some put a blank after each comma; elsewhere blanks belong to names.
        self._is_spaced = any(cell.startswith(" ") for cell in header)
        self.columns: dict[str, int] = {}
        for index, cell in enumerate(header):
            meaning = _MEANING.get(re.sub(r"[^a-z0-9]", "", cell.lower()))
            if meaning:
                self.columns.setdefault(meaning, index)

    @property
    def has_boxes(self) -> bool:
        return {"filename", "class"} <= set(self.columns) and self._has_corners

    @property
    def has_images_only(self) -> bool:
        return {"filename", "width", "height"} == set(self.columns)

    @property
    def _has_corners(self) -> bool:
        found = set(self.columns)
        ways = ({"xmax", "ymax"}, {"w", "h"}, {"width", "height"})
        near = {"xmin", "ymin"} <= found
        return "bbox" in found or (near and any(way <= found for way in ways))

    def missing(self) -> str:
        return ", ".join(name for name in COLUMNS[:-1] if name not in self.columns)

    def rows(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Yield line number and values by meaning; a row too short ends in blanks."""
        for line, cells in self._rows:
            row = [cell.strip() for cell in cells] if self._is_spaced else cells
            yield (
                line,
                {
                    name: row[index] if index < len(row) else ""
                    for name, index in self.columns.items()
                },
            )


def _read_row(
    row: Mapping[str, str], collector: Collector, place: _Place, part: str
) -> None:
    name = image_name(row.get("filename", ""))
    if not name.strip():
        collector.skip(*place, "it names no image")
        return
    box = _box_of(row)
    size = None if _has_box_sizes(row) else size_of(row.get("width"), row.get("height"))
    known = collector.size_of(name) if collector.has_image(name) else None
    if known and size and known != size:
        collector.change(*place, f"its size differs from {known[0]}×{known[1]}, kept")
    collector.add_image(name, size, part=part)
    if box is None:
        return
    confidence = row.get("confidence", "").strip()
    collector.add_box(
        name,
        row.get("class", ""),
        box,
        file=place.file,
        at=place.at,
        confidence=number(confidence) if confidence else None,
    )


def _has_box_sizes(row: Mapping[str, str]) -> bool:
    """Say whether width and height are the box's: there is no other far corner."""
    return "xmin" in row and "xmax" not in row and "w" not in row


def _box_of(row: Mapping[str, str]) -> Box | None:
    """Return the box; None for an image without one, as its empty cells say.

    Without far corners and a column w, width and height are the box's own.
    """
    if "bbox" in row:
        numbers = [
            number(n) for n in re.split(r"[\s,;]+", row["bbox"].strip("[]() \t"))
        ]
        return Box(*numbers) if len(numbers) == 4 else Box(*[number("")] * 4)
    corners = ("xmin", "ymin", "xmax", "ymax", "w", "h", "class")
    if not any(row.get(key, "").strip() for key in corners):
        return None
    x, y = number(row.get("xmin")), number(row.get("ymin"))
    if "xmax" in row:
        return Box(x, y, number(row["xmax"]), number(row.get("ymax")))
    width, height = row.get("w", row.get("width")), row.get("h", row.get("height"))
    return Box(x, y, x + number(width), y + number(height))


FORMAT: Final = Format(
    title="CSV",
    write=write,
    read=read,
    recognises=recognises,
    looks_for=".csv whose first line names columns of images, labels and corners",
    names=names,
    tolerance=whole_pixel_tolerance,
    conventions={
        "boxes": "whole pixels from 0, the far edges exclusive",
        "labels": f"{_LABELS_FILE}, one a line, by class id",
        "confidence": "on boxes that only a model has touched, else empty",
        "images": f"all of them stand in {_IMAGES_FILE}",
    },
    has_confidence=True,
    is_in_place=True,
    has_parts=False,
)
