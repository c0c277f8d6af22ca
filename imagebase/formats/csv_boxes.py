"""CSV as TensorFlow's object detection has it: one row a box, whole pixels."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from imagebase.annotation import Box, Size
from imagebase.errors import AnnotationFileError, ImageBaseError
from imagebase.formats.base import (
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    WriteOptions,
)
from imagebase.formats.csv_columns import (
    OWN_COLUMNS,
    CsvRow,
    CsvTable,
    Reading,
    box_of,
    decimal,
)
from imagebase.formats.reader import LabelReader, image_name, number
from imagebase.formats.shapes import (
    confidence_of,
    whole_pixel_tolerance,
    whole_pixels,
    writable,
)
from imagebase.formats.split import part_named, parts_of_files
from imagebase.formats.text_files import (
    csv_rows,
    csv_table,
    names_file,
    read_names_file,
)
from imagebase.formats.trees import FILES_TO_TRY, files_named, names_with_suffix
from imagebase.images.decode import read_header

FILE: Final = "annotations.csv"
# A row is a box: images without one are listed here, and labels without one there.
_IMAGES_FILE: Final = "images.csv"
_LABELS_FILE: Final = "labels.txt"
_CONFIDENCE_DECIMALS: Final = 6
_SUFFIXES: Final = (".csv", ".tsv")

_IMAGES_TO_OPEN: Final = 100


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the boxes, the list of images, the labels in their order, the images."""
    yield ExportFile(FILE, csv_table(OWN_COLUMNS, _box_rows(export_set)))
    images = ((i.name, *i.record.size) for i in export_set.images)
    yield ExportFile(_IMAGES_FILE, csv_table(OWN_COLUMNS[:3], images))
    yield ExportFile(_LABELS_FILE, names_file(export_set.labels))
    if options.with_images:
        for image in export_set.images:
            yield image.file_at(f"images/{image.name}")


def _box_rows(export_set: ExportSet) -> Iterator[Sequence[object]]:
    for image in export_set.images:
        for annotation in writable(image):
            confidence = confidence_of(annotation)
            shown = (
                "" if confidence is None else f"{confidence:.{_CONFIDENCE_DECIMALS}f}"
            )
            head = (image.name, *image.record.size, annotation.label)
            yield (*head, *whole_pixels(annotation.box), shown)


def recognises(tree: FileTree) -> bool:
    """Say whether a CSV file has columns of file names, of labels and of corners."""
    for file in names_with_suffix(tree, *_SUFFIXES)[:FILES_TO_TRY]:
        try:
            if CsvTable(tree, file).has_boxes:
                return True
        except AnnotationFileError:
            continue
    return False


def what_is_missing(tree: FileTree, file: str) -> str:
    """Return what a table lacks to be one of boxes; nothing where it has little of it.

    Raises:
        AnnotationFileError: it is no CSV.
    """
    table = CsvTable(tree, file)
    has_some = "filename" in table.columns or table.kinds
    return table.missing() if has_some and not table.has_boxes else ""


class _Place(NamedTuple):
    file: str
    at: str


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every CSV file of the tree that has boxes or lists images.

    Columns are found by their names, in any order; commas, semicolons, tabs or
    bars between them.

    Raises:
        AnnotationFileError: no file has the columns, or none can be read.
    """
    for file in files_named(tree, _LABELS_FILE):
        collector.add_labels(read_names_file(tree, file), file=file)
    labels, tables = list[str](), list[CsvTable]()
    for table in _tables(tree, collector):
        listed = _listed_labels(tree, table)
        if listed:
            labels = collector.add_labels(listed, file=table.file)
        elif table.has_boxes or table.has_images_only:
            tables.append(table)
        else:
            collector.skip(table.file, "line 1", table.missing())
    parts = parts_of_files(table.file for table in tables)
    # The list of images comes first: it has them in their order.
    for table in sorted(tables, key=lambda table: table.has_boxes):
        with collector.skipping(table.file):
            reading = table.reading(_ImageSizes(tree, table.file, collector))
            _TableReader(table, reading, collector, parts[table.file], labels).read()
    collector.check()
    if not tables:
        raise AnnotationFileError(
            "There is no CSV file with boxes here: its first line names the columns "
            f"{', '.join(OWN_COLUMNS[:-1])}, in any order."
        )


def _tables(tree: FileTree, collector: LabelReader) -> Iterator[CsvTable]:
    for file in names_with_suffix(tree, *_SUFFIXES):
        with collector.skipping(file):
            yield CsvTable(tree, file)


def _listed_labels(tree: FileTree, table: CsvTable) -> list[str]:
    """Return the labels of a table of names and numbers from 0, RetinaNet's list."""
    if len(table.header) != 2 or not table.header[1].strip().isdecimal():
        return []
    by_id: dict[str, str] = {}
    for _, row in csv_rows(tree, table.file):
        by_id[row[1].strip() if len(row) > 1 else ""] = row[0]
    ids = [str(index) for index in range(len(by_id))]
    return [by_id[id] for id in ids] if by_id.keys() == set(ids) else []


class _ImageSizes:
    """Sizes of the images in the table's folder; of so many as are worth opening."""

    def __init__(self, tree: FileTree, file: str, collector: LabelReader) -> None:
        self._tree = tree
        self._file = file
        self._collector = collector
        self._known: dict[str, Size | None] = {}

    def __call__(self, stated: str) -> Size | None:
        path = self._collector.find_image(stated, file=self._file)
        if path is None:
            return None
        if path not in self._known and len(self._known) < _IMAGES_TO_OPEN:
            self._known[path] = self._size_of(path)
        return self._known.get(path)

    def _size_of(self, path: str) -> Size | None:
        most = self._tree.limits.max_image_pixels
        try:
            data = self._tree.read(path)
            return read_header(data, file_name=path, max_pixels=most).size
        except ImageBaseError:
            return None


class _TableReader:
    """One table on its way in."""

    def __init__(
        self,
        table: CsvTable,
        reading: Reading,
        to: LabelReader,
        part: str,
        labels: Sequence[str],
    ) -> None:
        self._table = table
        self._reading = reading
        self._collector = to
        self._part = part
        self._labels = labels

    def read(self) -> None:
        self._report_guesses()
        for line, row in self._table.rows():
            self._read_row(row, _Place(self._table.file, f"line {line}"))

    def _report_guesses(self) -> None:
        reading, columns = self._reading, self._table.columns
        if reading.is_open:
            what = f"the four numbers of bbox were taken as {reading.kind}"
            self._collector.change(self._table.file, "", what)
        elif self._table.kinds[:1] not in ((), (reading.kind,)):
            what = f"its boxes are {reading.kind}, as the other order cannot be"
            self._collector.change(self._table.file, "", what)
        if reading.is_relative:
            what = "its boxes are fractions of width and height, between 0 and 1"
            self._collector.change(self._table.file, "", what)
        if self._table.has_boxes and "class" not in columns and not self._labels:
            what = "it has numbers for labels, which are called class_0, class_1, …"
            self._collector.change(self._table.file, "", what)

    def _read_row(self, row: CsvRow, place: _Place) -> None:
        stated = self._table.image_in(row)
        name = image_name(stated)
        if not name.strip():
            self._collector.skip(*place, "it names no image")
            return
        size = self._table.size_in(row)
        is_relative = self._reading.is_relative
        image = self._collector.add_image(
            name,
            size,
            is_relative=is_relative,
            part=part_named(row.get("part", "")) or self._part,
            file=self._table.file,
            stated=stated,
        )
        known = self._collector.size_of(image)
        if known and size and known != size:
            what = f"its size differs from {known[0]}×{known[1]}, kept"
            self._collector.change(*place, what)
        numbers = self._table.numbers_of(row) if self._table.has_boxes else None
        if numbers is None:
            return
        box = box_of(self._reading.kind, numbers)
        if is_relative != self._collector.is_relative(image):
            scaled = self._scaled(box, image)
            if scaled is None:
                what = "another file has pixels of this image, and no size is known"
                self._collector.skip_box(*place, what)
                return
            box = scaled
        confidence = row.get("confidence", "").strip()
        self._collector.add_box(
            image,
            self._label_of(row),
            box,
            file=place.file,
            at=place.at,
            confidence=decimal(confidence) if confidence else None,
            attributes=self._table.attributes_in(row),
        )

    def _scaled(self, box: Box, image: str) -> Box | None:
        """Return a box in the units of its image's other boxes."""
        size = self._collector.size_of(image)
        if size is None:
            return None
        across, down = float(size.width), float(size.height)
        if self._collector.is_relative(image):
            across, down = 1 / across, 1 / down
        x_min, y_min, x_max, y_max = box
        return Box(x_min * across, y_min * down, x_max * across, y_max * down)

    def _label_of(self, row: CsvRow) -> str:
        if "class" in row:
            return row["class"]
        index = number(row["classid"])
        if 0 <= index < len(self._labels) and index == int(index):
            return self._labels[int(index)]
        stated = f"{index:g}" if index == index else row["classid"].strip()
        return f"class_{stated}" if stated else ""


FORMAT: Final = Format(
    title="CSV",
    write=write,
    read=read,
    recognises=recognises,
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
