"""COCO JSON: boxes as [x, y, width, height] in pixels from 0, every id from 1."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from imagebase.annotation import Annotation, Box, Size
from imagebase.errors import AnnotationFileError
from imagebase.formats.boxes import confidence_of, writable
from imagebase.formats.collecting import (
    Collector,
    image_name,
    number,
    size_of,
    text_of,
)
from imagebase.formats.label_set_files import (
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    ImageReference,
    ReadResult,
    WriteOptions,
)
from imagebase.formats.relative import class_ids_of
from imagebase.formats.trees import names_with_suffix

FILE: Final = "annotations.json"
_DECIMALS: Final = 4
_CONFIDENCE_DECIMALS: Final = 6


def names(export_set: ExportSet) -> list[str]:
    """Return the names as they are; file_name is a path below `images`."""
    return [image.name for image in export_set.images]


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write annotations.json and the images."""
    yield ExportFile(FILE, _document(export_set))
    if options.with_images:
        for image in export_set.images:
            reference = ImageReference(image.record.image_id)
            yield ExportFile(f"images/{image.name}", reference)


def _document(export_set: ExportSet) -> bytes:
    """Return the document, one entry a line so that people can compare two of them."""
    sections = {
        "images": _image_lines(export_set),
        "annotations": _annotation_lines(export_set),
        "categories": _category_lines(export_set),
    }
    info = {"description": export_set.name, "version": "1.0"}
    head = f'{{"info": {_text(info)},\n"licenses": []'
    body = (
        f'"{section}": [\n' + ",\n".join(lines) + "\n]"
        for section, lines in sections.items()
    )
    return (",\n".join([head, *body]) + "}\n").encode()


def _image_lines(export_set: ExportSet) -> Iterator[str]:
    for image_id, image in enumerate(export_set.images, start=1):
        width, height = image.record.size
        entry = {"id": image_id, "width": width, "height": height}
        yield _text({**entry, "file_name": image.name})


def _annotation_lines(export_set: ExportSet) -> Iterator[str]:
    class_ids = class_ids_of(export_set.labels)
    annotation_id = 0
    for image_id, image in enumerate(export_set.images, start=1):
        for one in writable(image):
            # Scoring treats id 0 as "no match": ids count from 1.
            annotation_id += 1
            ids = {"id": annotation_id, "image_id": image_id}
            ids["category_id"] = class_ids[one.label] + 1
            yield _text({**ids, **_described(one)})


def _described(annotation: Annotation) -> dict[str, object]:
    box = Box(*(round(float(edge), _DECIMALS) for edge in annotation.box))
    width, height = round(box.width, _DECIMALS), round(box.height, _DECIMALS)
    entry: dict[str, object] = {
        "bbox": [box.x_min, box.y_min, width, height],
        "area": round(width * height, _DECIMALS),
        "iscrowd": 0,
        "segmentation": [],
    }
    confidence = confidence_of(annotation)
    if confidence is not None:
        entry["score"] = round(float(confidence), _CONFIDENCE_DECIMALS)
    return entry


def _category_lines(export_set: ExportSet) -> Iterator[str]:
    for category_id, name in enumerate(export_set.labels.names, start=1):
        yield _text({"id": category_id, "name": name, "supercategory": ""})


def _text(entry: Mapping[str, object]) -> str:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False)


def tolerance(box: Box, size: Size) -> tuple[float, float]:
    """Return what rounding to four decimals moves."""
    return 0.6 * 10**-_DECIMALS, 0.6 * 10**-_DECIMALS


def recognises(tree: FileTree) -> bool:
    """Say whether a JSON file has the lists that COCO has."""
    for file in names_with_suffix(tree, ".json"):
        try:
            if _coco_of(tree, file) is not None:
                return True
        except AnnotationFileError:
            continue
    return False


def read(tree: FileTree) -> ReadResult:
    """Read every COCO file of the tree; ids connect entries and mean nothing else.

    Raises:
        AnnotationFileError: no file of the tree is COCO, or none can be read.
    """
    collector = Collector(tree.limits)
    was_read = False
    for file in names_with_suffix(tree, ".json"):
        try:
            data = _coco_of(tree, file)
        except AnnotationFileError as error:
            collector.skip(file, "", str(error))
            continue
        if data is not None:
            was_read = True
            _Document(data, file, collector).read()
    result = collector.result()
    if not was_read:
        raise AnnotationFileError(
            "There is no COCO file here: it is a .json with the lists images, "
            "annotations and categories."
        )
    return result


def _coco_of(tree: FileTree, file: str) -> Mapping[str, Any] | None:
    """Return the document, or None where it is JSON but not COCO."""
    try:
        data = json.loads(text_of(tree.read(file), file))
    except (ValueError, RecursionError) as error:
        raise AnnotationFileError(f"it is not JSON ({error})") from error
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        return None
    return data if {"annotations", "categories"} & data.keys() else None


class _Document:
    """One COCO file on its way in."""

    def __init__(self, data: Mapping[str, Any], file: str, to: Collector) -> None:
        self._data = data
        self._file = file
        self._collector = to
        self._images: dict[object, str] = {}
        self._labels: dict[object, str] = {}

    def read(self) -> None:
        self._read_categories()
        for at, entry in self._entries("images"):
            self._read_image(at, entry)
        for at, entry in self._entries("annotations"):
            reason = self._read_annotation(at, entry)
            if reason:
                self._collector.skip_box(self._file, at, reason)

    def _entries(self, section: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for index, entry in enumerate(self._listed(section)):
            at = f"{section}[{index}]"
            if isinstance(entry, dict):
                yield at, entry
            else:
                self._collector.skip(self._file, at, "it is not an object")

    def _listed(self, section: str) -> list[object]:
        entries = self._data.get(section)
        return entries if isinstance(entries, list) else []

    def _values(self, section: str, field: str) -> set[object]:
        objects = (one for one in self._listed(section) if isinstance(one, dict))
        return {_key(one.get(field)) for one in objects}

    def _read_categories(self) -> None:
        """Take in the labels by category id, the order that training tools give them.

        Roboflow puts a category 0 in front that only names the others' family.
        """
        listed = []
        families = self._values("categories", "supercategory")
        used = self._values("annotations", "category_id")
        for at, entry in self._entries("categories"):
            category_id, name = _key(entry.get("id")), entry.get("name")
            if category_id is None or not isinstance(name, str):
                self._collector.skip(self._file, at, "it has no id or no name")
            elif category_id == 0 and category_id not in used and name in families:
                what = f"{name!r} only groups the other labels and was left out"
                self._collector.change(self._file, at, what)
            else:
                listed.append((category_id, name))
        if all(isinstance(category_id, int) for category_id, _ in listed):
            listed.sort(key=lambda pair: number(pair[0]))
        cleaned = self._collector.add_labels((n for _, n in listed), file=self._file)
        ids = (category_id for category_id, _ in listed)
        self._labels = dict(zip(ids, cleaned, strict=True))

    def _read_image(self, at: str, entry: Mapping[str, Any]) -> None:
        image_id, file_name = _key(entry.get("id")), entry.get("file_name")
        name = image_name(file_name) if isinstance(file_name, str) else ""
        if image_id is None or not name:
            self._collector.skip(self._file, at, "it has no id or no file_name")
            return
        if image_id in self._images:
            self._collector.skip(self._file, at, f"another image has the id {image_id}")
            return
        size = size_of(entry.get("width"), entry.get("height"))
        self._collector.add_image(name, size)
        self._images[image_id] = name

    def _read_annotation(self, at: str, entry: Mapping[str, Any]) -> str | None:
        """Take in one annotation; return the reason where that cannot be done."""
        image = self._images.get(_key(entry.get("image_id")))
        if image is None:
            return f"there is no image {entry.get('image_id')!r}"
        label = self._labels.get(_key(entry.get("category_id")))
        if label is None:
            return f"there is no category {entry.get('category_id')!r}"
        box = _box_of(entry)
        if box is None:
            return "it has no bbox of four numbers"
        score = entry.get("score")
        self._collector.add_box(
            image,
            label,
            box,
            file=self._file,
            at=at,
            confidence=None if score is None else number(score),
            is_crowd=bool(entry.get("iscrowd")),
        )
        return None


def _key(value: object) -> object:
    """Return an id that can be looked up; "7" and 7.0 are 7, a list is none."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        return int(value)
    return value if isinstance(value, (int, float, str)) else None


def _box_of(entry: Mapping[str, Any]) -> Box | None:
    """Return the box, or the one around the outline where there is no bbox."""
    numbers = entry.get("bbox")
    if isinstance(numbers, list) and len(numbers) == 4:
        x, y, width, height = map(number, numbers)
        return Box(x, y, x + width, y + height)
    outlines = entry.get("segmentation")
    if not isinstance(outlines, list):
        return None
    points = [number(v) for one in outlines if isinstance(one, list) for v in one]
    if len(points) < 6 or len(points) % 2:
        return None
    xs, ys = points[::2], points[1::2]
    return Box(min(xs), min(ys), max(xs), max(ys))


FORMAT: Final = Format(
    title="COCO JSON",
    write=write,
    read=read,
    recognises=recognises,
    names=names,
    tolerance=tolerance,
    conventions={
        "boxes": "x, y, width, height in pixels, the top-left corner at 0, "
        f"{_DECIMALS} decimals",
        "labels": "category id = class id + 1; all ids from 1",
        "score": "on boxes that only a model has touched",
    },
    has_confidence=True,
)
