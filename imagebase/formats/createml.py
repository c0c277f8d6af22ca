"""CreateML JSON: pixels, x and y the centre of the box; one list for each folder."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, Final

from imagebase.annotation import Box
from imagebase.annotation.attributes import read_value
from imagebase.formats.base import (
    PARTS,
    ExportFile,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    Streamed,
    WriteOptions,
)
from imagebase.formats.file_names import flat_image_names
from imagebase.formats.reader import LabelReader, image_name, number
from imagebase.formats.shapes import rounding_tolerance, writable
from imagebase.formats.split import parts_of_files
from imagebase.formats.text_files import (
    json_items,
    json_line,
    json_list,
    names_file,
    read_names_file,
)
from imagebase.formats.trees import (
    FILES_TO_TRY,
    files_named,
    has_file,
    names_with_suffix,
    read_each,
)

FILE: Final = "annotations.json"
_LABELS_FILE: Final = "labels.txt"
_DECIMALS: Final = 4
# Apple's documentation has the singular, its examples the plural.
_IMAGE_KEYS: Final = ("image", "imagefilename")
_ANNOTATIONS_KEYS: Final = ("annotations", "annotation")
# Keys of an annotation that are not attributes.
_STRUCTURE: Final = frozenset({"label", "coordinates"})


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write for each part of a split a folder with its images and their list."""
    yield ExportFile(_LABELS_FILE, names_file(export_set.labels))
    image_names = flat_image_names(export_set)
    for part in export_set.parts or PARTS[:1]:
        lines = _lines(export_set, image_names, part)
        yield ExportFile(f"{part}/{FILE}", Streamed(json_list(lines)))
    if options.with_images:
        for image, name in zip(export_set.images, image_names, strict=True):
            yield image.file_at(f"{image.part}/{name}")


def _lines(
    export_set: ExportSet, image_names: Iterable[str], part: str
) -> Iterator[str]:
    for image, name in zip(export_set.images, image_names, strict=True):
        if image.part == part:
            yield json_line({"image": name, "annotations": _annotations(image)})


def _annotations(image: ExportImage) -> list[dict[str, object]]:
    return [
        {"label": annotation.label, "coordinates": _centred(annotation.box)}
        for annotation in writable(image)
    ]


def _centred(box: Box) -> dict[str, float]:
    """Return centre and size; half a unit more for the centre keeps the edges exact."""
    near_x, near_y, far_x, far_y = (round(float(edge), _DECIMALS) for edge in box)
    return {
        "x": round((near_x + far_x) / 2, _DECIMALS + 1),
        "y": round((near_y + far_y) / 2, _DECIMALS + 1),
        "width": round(far_x - near_x, _DECIMALS),
        "height": round(far_y - near_y, _DECIMALS),
    }


def recognises(tree: FileTree) -> bool:
    """Say whether a JSON file is a list of objects with an image and annotations."""
    return has_file(tree, ".json", is_one=partial(_is_createml, may_be_empty=False))


def _is_createml(tree: FileTree, file: str, *, may_be_empty: bool = True) -> bool:
    """Say whether one of the first objects of a list shows it, or perhaps an empty one.

    Others among them may be broken, and are reported when they are read.
    """
    is_empty = True
    for item in islice(json_items(tree, file), FILES_TO_TRY):
        if item.section or (item.position is None and item.value != []):
            return False
        if isinstance(item.value, dict) and _has_the_keys(item.value):
            return True
        is_empty = is_empty and item.position is None
    return is_empty and may_be_empty


def _has_the_keys(entry: Mapping[str, Any]) -> bool:
    is_image = isinstance(_first_of(entry, _IMAGE_KEYS), str)
    return is_image and isinstance(_first_of(entry, _ANNOTATIONS_KEYS), list)


def _first_of(entry: Mapping[str, Any], keys: tuple[str, ...]) -> object:
    return next((entry[key] for key in keys if key in entry), None)


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every CreateML file of the tree. It does not say how large images are.

    Raises:
        AnnotationFileError: no file of the tree is CreateML, or none can be read.
    """
    for file in files_named(tree, _LABELS_FILE):
        collector.add_labels(read_names_file(tree, file), file=file)
    parts = parts_of_files(names_with_suffix(tree, ".json"))
    read_each(
        parts,
        collector,
        is_one=lambda file: _is_createml(tree, file),
        read_one=lambda file: _read_file(tree, file, collector, parts[file]),
        absent="There is no CreateML file here: it is a .json with a list of objects "
        "that have an image and annotations.",
    )


def _read_file(tree: FileTree, file: str, collector: LabelReader, part: str) -> None:
    for item in json_items(tree, file):
        if item.position is None:
            continue
        at, entry = f"[{item.position}]", item.value
        if not isinstance(entry, dict):
            collector.skip(file, at, "it is not an object")
            continue
        stated = _first_of(entry, _IMAGE_KEYS)
        name = image_name(stated) if isinstance(stated, str) else ""
        if not isinstance(stated, str) or not name:
            collector.skip(file, at, "it names no image")
            continue
        image = collector.add_image(name, part=part, file=file, stated=stated)
        listed = _first_of(entry, _ANNOTATIONS_KEYS)
        if not isinstance(listed, list):
            collector.skip(file, at, "it has no list of annotations")
            continue
        for index, box_entry in enumerate(listed):
            _read_box(box_entry, image, collector, file, f"{at}.annotations[{index}]")


def _read_box(
    entry: object, image: str, collector: LabelReader, file: str, at: str
) -> None:
    if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
        collector.skip_box(file, at, "it has no label")
        return
    coordinates = entry.get("coordinates")
    if not isinstance(coordinates, dict):
        collector.skip_box(file, at, "it has no coordinates")
        return
    x, y, width, height = (
        number(coordinates.get(key)) for key in ("x", "y", "width", "height")
    )
    box = Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if width < 0 or height < 0:
        collector.skip_box(file, at, "width or height is negative")
        return
    attributes = {k: read_value(k, v) for k, v in entry.items() if k not in _STRUCTURE}
    collector.add_box(
        image, entry["label"], box, file=file, at=at, attributes=attributes
    )


FORMAT: Final = Format(
    title="CreateML JSON",
    write=write,
    read=read,
    recognises=recognises,
    tolerance=rounding_tolerance(_DECIMALS),
    conventions={
        "boxes": "x, y, width, height in pixels, x and y the centre, edges to "
        f"{_DECIMALS} decimals",
        "labels": f"{_LABELS_FILE}, one a line, by class id",
    },
    has_sizes=False,
    has_flat_names=True,
)
