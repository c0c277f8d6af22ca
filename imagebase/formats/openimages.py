"""Open Images CSV: XMin, XMax, YMin, YMax as fractions, ids for image names."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from imagebase.annotation import Attributes, AttributeValue, Box, Size
from imagebase.annotation.attributes import OCCLUDED, TRUNCATED
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import (
    PARTS,
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    WriteOptions,
)
from imagebase.formats.file_names import flat_image_names, image_stem
from imagebase.formats.reader import LabelReader, image_name, number
from imagebase.formats.shapes import confidence_of, writable
from imagebase.formats.split import part_named, parts_of_files
from imagebase.formats.text_files import csv_rows, csv_table
from imagebase.formats.trees import FILES_TO_TRY, names_with_suffix
from imagebase.wording import plural

COLUMNS: Final = (
    *("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax"),
    *("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"),
)
CLASSES_FILE: Final = "class-descriptions.csv"
_CLASSES_COLUMNS: Final = ("LabelName", "DisplayName")
_IMAGES_FILE: Final = "image_ids.csv"
_SUBSET: Final = "Subset"
_IMAGES_COLUMNS: Final = ("ImageID", _SUBSET)
_OWN_COLUMNS: Final = (COLUMNS, _CLASSES_COLUMNS, _IMAGES_COLUMNS)
_GROUP_FLAG: Final = "IsGroupOf"
# The columns of flags in their order; a group is a crowd and no attribute.
_FLAGS: Final = {
    "IsOccluded": OCCLUDED,
    "IsTruncated": TRUNCATED,
    _GROUP_FLAG: "",
    "IsDepiction": "depiction",
    "IsInside": "inside",
}
_FLAG_VALUES: Final = {"1": True, "0": False}
_UNKNOWN: Final = "-1"
_BY_MODEL: Final = "machine"
_BY_PERSON: Final = "human"
# Thin boxes in large images would vanish in the six that Google writes.
_DECIMALS: Final = 9
_CONFIDENCE_DECIMALS: Final = 6
_SUBSETS: Final = {"train": "train", "val": "validation", "test": "test"}


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the boxes of each part of a split, the lists of labels and images."""
    image_names = flat_image_names(export_set)
    classes = [(name, name) for name in export_set.labels.names]
    yield ExportFile(CLASSES_FILE, csv_table(_CLASSES_COLUMNS, classes))
    listed = (
        (image_stem(name), _SUBSETS[image.part])
        for image, name in zip(export_set.images, image_names, strict=True)
    )
    yield ExportFile(_IMAGES_FILE, csv_table(_IMAGES_COLUMNS, listed))
    for part in export_set.parts or PARTS[:1]:
        rows = _rows(export_set, image_names, part)
        path = f"{_SUBSETS[part]}-annotations-bbox.csv"
        yield ExportFile(path, csv_table(COLUMNS, rows))
    if options.with_images:
        for image, name in zip(export_set.images, image_names, strict=True):
            yield image.file_at(f"images/{_SUBSETS[image.part]}/{name}")


def _rows(
    export_set: ExportSet, image_names: Iterable[str], part: str
) -> Iterator[Sequence[object]]:
    for image, name in zip(export_set.images, image_names, strict=True):
        if image.part != part:
            continue
        image_id, size = image_stem(name), image.record.size
        for annotation in writable(image):
            confidence = confidence_of(annotation)
            source = _BY_MODEL if annotation.is_untouched else _BY_PERSON
            shown = (
                "1" if confidence is None else f"{confidence:.{_CONFIDENCE_DECIMALS}f}"
            )
            edges = _relative(annotation.box, size)
            flags = _flags(annotation.attributes)
            yield (image_id, source, annotation.label, shown, *edges, *flags)


def _flags(attributes: Attributes) -> list[str]:
    values = (attributes.get(name) for name in _FLAGS.values())
    return [str(int(v)) if isinstance(v, bool) else _UNKNOWN for v in values]


def holds(name: str, value: AttributeValue) -> bool:
    """Say whether there is a column for this attribute."""
    return bool(name) and name in _FLAGS.values() and isinstance(value, bool)


def _relative(box: Box, size: Size) -> list[str]:
    """Return XMin, XMax, YMin, YMax: not the order that everybody else has."""
    edges = (
        box.x_min / size.width,
        box.x_max / size.width,
        box.y_min / size.height,
        box.y_max / size.height,
    )
    return [f"{edge:.{_DECIMALS}f}" for edge in edges]


def tolerance(box: Box, size: Size) -> tuple[float, float]:
    """Return what rounding fractions to nine decimals moves."""
    unit = 0.6 * 10**-_DECIMALS
    return size.width * unit + 1e-6, size.height * unit + 1e-6


def recognises(tree: FileTree) -> bool:
    """Say whether a CSV file has the columns ImageID, LabelName and XMin."""
    for file in names_with_suffix(tree, ".csv")[:FILES_TO_TRY]:
        try:
            if _has_boxes(_header(tree, file)):
                return True
        except AnnotationFileError:
            continue
    return False


def _header(tree: FileTree, file: str) -> list[str]:
    return [cell.strip() for cell in next(csv_rows(tree, file), (1, []))[1]]


def _has_boxes(header: Sequence[str]) -> bool:
    return {"ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax"} <= set(header)


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read the boxes of every CSV file that has them, in whichever order its columns.

    Boxes are relative: the format does not say how large an image is.

    Raises:
        AnnotationFileError: no CSV file has the columns, or none can be read.
    """
    reader = _OpenImagesReader(tree, collector)
    headers = {}
    for file in names_with_suffix(tree, ".csv"):
        with collector.skipping(file):
            headers[file] = _header(tree, file)
    # What labels are called and which images there are stands in other files.
    passes = (reader.read_classes, reader.read_images, reader.read_boxes)
    for read_file in passes:
        for file, header in headers.items():
            with collector.skipping(file):
                read_file(file, header)
    collector.check()
    if not reader.was_read:
        raise AnnotationFileError(
            "There is no Open Images file with boxes here: it is a .csv with the "
            "columns ImageID, LabelName, XMin, XMax, YMin and YMax."
        )


class _OpenImagesReader:
    def __init__(self, tree: FileTree, collector: LabelReader) -> None:
        self._tree = tree
        self._collector = collector
        self._parts = parts_of_files(names_with_suffix(tree, ".csv"))
        self._display_names: dict[str, str] = {}
        self.was_read = False

    def read_classes(self, file: str, header: Sequence[str]) -> None:
        """Take in the labels in their order; until version 5 the list has no header."""
        if len(header) != 2:
            return
        is_named = re.search(r"class-?descriptions", file.lower()) is not None
        # FiftyOne has them in classes.csv: ids of Google's Knowledge Graph and names.
        is_named = is_named or re.fullmatch(r"/[mgt]/\w+", header[0]) is not None
        if not (is_named or tuple(header) == _CLASSES_COLUMNS):
            return
        listed: dict[str, str] = {}
        for line, row in csv_rows(self._tree, file, own=_OWN_COLUMNS):
            if line == 1 and tuple(header) == _CLASSES_COLUMNS:
                continue
            if len(row) != 2:
                what = "it does not have a LabelName and a DisplayName"
                self._collector.skip(file, f"line {line}", what)
                continue
            label_id, shown = row
            listed[label_id] = shown or label_id
        labels = self._collector.add_labels(listed.values(), file=file)
        self._display_names |= dict(zip(listed, labels, strict=True))

    def read_images(self, file: str, header: Sequence[str]) -> None:
        if not header or header[0] != "ImageID" or _has_boxes(header):
            return
        if "LabelName" in header or "MaskPath" in header:
            what = "it labels whole images, not boxes, and was not read"
            self._collector.change(file, "", what)
            return
        for line, row in _rows_after_header(self._tree, file):
            subset = dict(zip(header, row, strict=False)).get(_SUBSET, "")
            if self._image(row[0], file, part_named(subset) or "") is None:
                self._collector.skip(file, f"line {line}", "it names no image")

    def read_boxes(self, file: str, header: Sequence[str]) -> None:
        if not _has_boxes(header):
            return
        self.was_read = True
        for line, row in _rows_after_header(self._tree, file):
            at = f"line {line}"
            if len(row) < len(header):
                what = f"it has {plural(len(row), 'column')}, not {len(header)}"
                self._collector.skip_box(file, at, what)
            else:
                cells = dict(zip(header, row, strict=False))
                self._read_row(cells, file, at)

    def _read_row(self, row: Mapping[str, str], file: str, at: str) -> None:
        image = self._image(row["ImageID"], file, self._parts[file])
        if image is None:
            self._collector.skip_box(file, at, "it names no image")
            return
        label = self._display_names.get(row["LabelName"], row["LabelName"])
        x_min, x_max = number(row["XMin"]), number(row["XMax"])
        y_min, y_max = number(row["YMin"]), number(row["YMax"])
        confidence = row.get("Confidence", "").strip()
        is_by_model = row.get("Source") == _BY_MODEL
        # Google's boxes have all 1, which means nothing.
        has_none = not confidence or (not is_by_model and number(confidence) == 1)
        self._collector.add_box(
            image,
            label,
            Box(x_min, y_min, x_max, y_max),
            file=file,
            at=at,
            confidence=None if has_none else number(confidence),
            is_crowd=row.get(_GROUP_FLAG, "").strip() == "1",
            is_by_model=is_by_model,
            attributes={
                name: _FLAG_VALUES.get(row.get(column, "").strip())
                for column, name in _FLAGS.items()
                if name
            },
        )

    def _image(self, image_id: str, file: str, part: str) -> str | None:
        """Take in an image; its name has the suffix that its file has, if it is here.

        None where the row names none.
        """
        stated = image_name(image_id)
        if not stated:
            return None
        path = self._collector.find_image(stated, file=file, part=part)
        name = PurePosixPath(path).name if path else stated
        return self._collector.add_image(
            name, is_relative=True, part=part, file=file, stated=stated
        )


def _rows_after_header(tree: FileTree, file: str) -> Iterator[tuple[int, list[str]]]:
    rows = csv_rows(tree, file, own=_OWN_COLUMNS)
    next(rows, None)
    return rows


FORMAT: Final = Format(
    title="Open Images CSV",
    write=write,
    read=read,
    recognises=recognises,
    tolerance=tolerance,
    conventions={
        "boxes": "XMin, XMax, YMin, YMax over width and height, in this order, "
        f"{_DECIMALS} decimals",
        "labels": f"{CLASSES_FILE}, by class id; LabelName is the label itself",
        "Confidence": "a model's where Source is machine, else 1",
        "flags": "1 or 0 as the attributes occluded, truncated, depiction and inside "
        "say, else -1, which is unknown",
        "images": f"all of them stand in {_IMAGES_FILE}",
    },
    has_sizes=False,
    is_relative=True,
    has_confidence=True,
    has_flat_names=True,
    holds=holds,
)
