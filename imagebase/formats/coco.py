"""COCO JSON: boxes as [x, y, width, height] in pixels from 0, every id from 1."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from imagebase.annotation import Annotation, Box
from imagebase.annotation.attributes import read_value, stated
from imagebase.formats.base import (
    PARTS,
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    Streamed,
    WriteOptions,
    any_attribute,
    class_ids_of,
)
from imagebase.formats.reader import LabelReader, image_name, number
from imagebase.formats.shapes import (
    OUTLINE,
    around,
    box_of_run_lengths,
    confidence_of,
    crowds,
    has_areas,
    rounding_tolerance,
    used_labels,
    writable,
)
from imagebase.formats.split import part_named, parts_of_files
from imagebase.formats.text_files import Item, json_items, json_line, json_list
from imagebase.formats.trees import has_file, names_with_suffix, read_each
from imagebase.formats.writer import subsets

# Where an image's name stands, file_name being COCO's own.
_IMAGE_KEYS: Final = ("file_name", "filename", "path", "name", "coco_url", "url")
_WHOLE: Final = re.compile(r"(-?\d{1,300})(\.0*)?")
# Keys of an annotation that are not attributes.
_STRUCTURE: Final = frozenset(
    {"id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd"}
    | {"score", "attributes", "num_keypoints"}
)
# What CVAT and pycocotools write with every box: 0 is the default.
_ZERO_IS_NOTHING: Final = frozenset({"ignore", "rotation"})


def file_name_of(entry: Mapping[str, Any]) -> str:
    """Return an image's name, from whichever key has it; empty for none."""
    stated = (entry.get(key) for key in _IMAGE_KEYS)
    return next((text for text in stated if isinstance(text, str) and text), "")


def part_of(entry: Mapping[str, Any]) -> str:
    """Return the part of the split in an image's entry; empty for none."""
    stated = (entry.get(key) for key in ("split", "subset"))
    parts = (part_named(text) for text in stated if isinstance(text, str))
    return next(filter(None, parts), "")


def attributes_of(entry: Mapping[str, Any]) -> dict[str, object]:
    """Return an annotation's attributes, and what else stands in it."""
    attributes = {key: value for key, value in entry.items() if key not in _STRUCTURE}
    own = entry.get("attributes")
    attributes |= own if isinstance(own, dict) else {"attributes": own}
    return {
        key: read_value(key, value)
        for key, value in attributes.items()
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
    outlines = [polygon for polygon in segmentation if isinstance(polygon, list)]
    points = [number(value) for polygon in outlines for value in polygon]
    if len(points) < 6 or len(points) % 2:
        return None
    return around(zip(points[::2], points[1::2], strict=True))


FILE: Final = "annotations.json"
_ANNOTATIONS: Final = "annotations/"
_PREFIX: Final = "instances_"
_NO_SPLIT: Final = "default"
_DECIMALS: Final = 4
_CONFIDENCE_DECIMALS: Final = 6


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write annotations.json and the images."""
    yield ExportFile(FILE, Streamed(_document(export_set)))
    if options.with_images:
        for image in export_set.images:
            yield image.file_at(f"images/{image.name}")


def write_zipped(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write COCO's own layout, one file a split: CVAT and Datumaro read no other."""
    parts = subsets(export_set, FORMAT)
    for folder, subset in parts:
        path = f"{_ANNOTATIONS}{_PREFIX}{folder.rstrip('/') or _NO_SPLIT}.json"
        yield ExportFile(path, Streamed(_document(subset)))
    if not options.with_images:
        return
    for folder, subset in parts:
        for image in subset.images:
            yield image.file_at(f"images/{folder or f'{_NO_SPLIT}/'}{image.name}")


def _document(export_set: ExportSet) -> Iterator[bytes]:
    """Yield the document, one entry a line so that people can compare two of them."""
    sections = {
        "images": _image_lines(export_set),
        "annotations": _annotation_lines(export_set),
        "categories": _category_lines(export_set),
    }
    info = {"description": export_set.name, "version": "1.0"}
    yield f'{{"info": {json_line(info)},\n"licenses": []'.encode()
    for section, lines in sections.items():
        yield f',\n"{section}": '.encode()
        yield from json_list(lines)
    yield b"}\n"


def _image_lines(export_set: ExportSet) -> Iterator[str]:
    for image_id, image in enumerate(export_set.images, start=1):
        width, height = image.record.size
        entry = {"id": image_id, "width": width, "height": height}
        yield json_line({**entry, "file_name": image.name})


def _annotation_lines(export_set: ExportSet) -> Iterator[str]:
    class_ids = class_ids_of(export_set.labels)
    ignored_labels = used_labels(export_set) if has_areas(export_set) else []
    annotation_id = 0
    for image_id, image in enumerate(export_set.images, start=1):
        for annotation in writable(image):
            # Scoring treats id 0 as "no match": ids count from 1.
            annotation_id += 1
            ids = {"id": annotation_id, "image_id": image_id}
            ids["category_id"] = class_ids[annotation.label] + 1
            yield json_line({**ids, **_described(annotation)})
        for label, crowd in crowds(image, ignored_labels):
            annotation_id += 1
            ids = {"id": annotation_id, "image_id": image_id}
            yield json_line({**ids, "category_id": class_ids[label] + 1, **crowd})


def _described(annotation: Annotation) -> dict[str, object]:
    box = Box(*(round(float(edge), _DECIMALS) for edge in annotation.box))
    width, height = round(box.width, _DECIMALS), round(box.height, _DECIMALS)
    entry: dict[str, object] = {
        "bbox": [box.x_min, box.y_min, width, height],
        "area": round(width * height, _DECIMALS),
        "iscrowd": 0,
        "segmentation": [_corners(box)],
    }
    confidence = confidence_of(annotation)
    if confidence is not None:
        entry["score"] = round(float(confidence), _CONFIDENCE_DECIMALS)
    if attributes := stated(annotation.attributes):
        entry["attributes"] = dict(attributes)
    return entry


def _corners(box: Box) -> list[float]:
    """Return the box as a polygon: readers that ask for a mask fail without one."""
    x_min, y_min, x_max, y_max = box
    return [x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max]


def _category_lines(export_set: ExportSet) -> Iterator[str]:
    for category_id, name in enumerate(export_set.labels.names, start=1):
        yield json_line({"id": category_id, "name": name, "supercategory": ""})


def recognises(tree: FileTree) -> bool:
    """Say whether a JSON file has the lists that COCO has."""
    return has_file(tree, ".json", is_one=_is_coco)


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every COCO file of the tree; ids connect entries and mean nothing else.

    Raises:
        AnnotationFileError: no file of the tree is COCO, or none can be read.
    """
    parts = _parts_of(names_with_suffix(tree, ".json"))
    read_each(
        parts,
        collector,
        is_one=lambda file: _is_coco(tree, file),
        read_one=lambda file: _CocoDocument(tree, file, collector, parts[file]).read(),
        absent="There is no COCO file here: it is a .json with the lists images, "
        "annotations and categories.",
    )


def _parts_of(files: Iterable[str]) -> dict[str, str]:
    """Return the split of each file; a name like COCO's own is enough by itself."""
    return {
        file: _own_part(file) or part for file, part in parts_of_files(files).items()
    }


def _own_part(file: str) -> str:
    _, separator, name = f"/{file}".rpartition(f"/{_ANNOTATIONS}{_PREFIX}")
    part = name.removesuffix(".json")
    return part if separator and part in PARTS else ""


def _is_coco(tree: FileTree, file: str) -> bool:
    """Say whether images and one of the other lists are there, reading no further."""
    sections: set[str] = set()
    for item in json_items(tree, file):
        if item.position is None and (item.section != "images" or item.value == []):
            sections.add(item.section)
        if "images" in sections and sections & {"annotations", "categories"}:
            return True
    return False


class _CocoDocument:
    """One COCO file on its way in, read in passes: boxes may stand before images."""

    def __init__(self, tree: FileTree, file: str, to: LabelReader, part: str) -> None:
        self._tree = tree
        self._file = file
        self._collector = to
        self._part = part
        self._labels: dict[object, str] = {}
        self._ids_of_several: set[object] = set()
        self._sections: list[str] = []

    def read(self) -> None:
        self._read_categories()
        readers = {"images": self._read_image, "annotations": self._read_annotation}
        in_order = [section for section in self._sections if section in readers]
        if in_order == ["images", "annotations"]:
            self._read_sections(readers)
        else:
            for section, read in readers.items():
                self._read_sections({section: read})

    def _read_sections(
        self, readers: Mapping[str, Callable[[str, Mapping[str, Any]], None]]
    ) -> None:
        for item in json_items(self._tree, self._file):
            if item.section in readers and (entry := self._entry(item)) is not None:
                readers[item.section](item.place, entry)

    def _entry(self, item: Item) -> Mapping[str, Any] | None:
        if item.position is None:
            return None
        if isinstance(item.value, dict):
            return item.value
        self._collector.skip(self._file, item.place, "it is not an object")
        return None

    def _read_categories(self) -> None:
        """Take in the labels by category id, the order that training tools give them.

        Roboflow puts a category 0 in front that only names the others' family.
        """
        entries, used = self._categories_and_used_ids()
        families = {entry.get("supercategory") for _, entry in entries}
        listed = []
        for at, entry in entries:
            category_id, name = id_of(entry.get("id")), category_name(entry.get("name"))
            if category_id is None or name is None:
                self._collector.skip(self._file, at, "it has no id or no name")
            elif category_id == 0 and category_id not in used and name in families:
                what = f"{name!r} only groups the other labels and was left out"
                self._collector.change(self._file, at, what)
            else:
                listed.append((category_id, name))
        if not entries and used:
            what = "it has no categories, so labels are called class_<category_id>"
            self._collector.change(self._file, "", what)
            listed = [
                (class_id, f"class_{class_id}") for class_id in sorted(used, key=str)
            ]
        if all(isinstance(category_id, int) for category_id, _ in listed):
            listed.sort(key=lambda pair: number(pair[0]))
        cleaned = self._collector.add_labels((n for _, n in listed), file=self._file)
        ids = (category_id for category_id, _ in listed)
        self._labels = dict(zip(ids, cleaned, strict=True))

    def _categories_and_used_ids(
        self,
    ) -> tuple[list[tuple[str, Mapping[str, Any]]], set[object]]:
        """Read the whole file, so that a broken one is refused before it brings any."""
        entries, used = [], set()
        for item in json_items(self._tree, self._file):
            if item.position is None:
                self._sections.append(item.section)
            elif item.section == "categories" and (entry := self._entry(item)):
                entries.append((item.place, entry))
            elif item.section == "annotations" and isinstance(item.value, dict):
                used.add(id_of(item.value.get("category_id")))
        return entries, used - {None}

    def _read_image(self, at: str, entry: Mapping[str, Any]) -> None:
        image_id = id_of(entry.get("id"))
        file_name = file_name_of(entry)
        name = image_name(file_name)
        if image_id is None or not name:
            self._collector.skip(self._file, at, "it has no id or no file_name")
            return
        known = self._collector.linked(self._file, image_id)
        if known is not None and known.endswith(name):
            self._collector.skip(self._file, at, f"another image has the id {image_id}")
            return
        sides = entry.get("width"), entry.get("height")
        size = self._collector.size_in(*sides, file=self._file, at=at)
        part = part_of(entry) or self._part
        image = self._collector.add_image(
            name, size, part=part, file=self._file, stated=file_name
        )
        if not self._collector.link(self._file, image_id, image):
            what = f"another image has the id {image_id}, so it has no boxes"
            self._collector.change(self._file, at, what)
            self._ids_of_several.add(image_id)

    def _read_annotation(self, at: str, entry: Mapping[str, Any]) -> None:
        reason = self._reason_against(at, entry)
        if reason:
            self._collector.skip_box(self._file, at, reason)

    def _reason_against(self, at: str, entry: Mapping[str, Any]) -> str | None:
        """Take in one annotation; return the reason where that cannot be done."""
        image_id = id_of(entry.get("image_id"))
        if image_id in self._ids_of_several:
            return f"several images have the id {image_id}"
        image = self._collector.linked(self._file, image_id)
        if image is None:
            return f"there is no image {entry.get('image_id')!r}"
        label = self._labels.get(id_of(entry.get("category_id")))
        if label is None:
            return f"there is no category {entry.get('category_id')!r}"
        box = bbox_of(entry)
        if box is None:
            box = box_around(entry.get("segmentation"))
            if box is None:
                return "it has no bbox of four numbers"
            self._collector.change_all(self._file, at, OUTLINE)
        score = entry.get("score")
        self._collector.add_box(
            image,
            label,
            box,
            file=self._file,
            at=at,
            confidence=None if score is None else number(score),
            is_crowd=bool(entry.get("iscrowd")),
            attributes=attributes_of(entry),
        )
        return None


FORMAT: Final = Format(
    title="COCO JSON",
    write=write,
    read=read,
    recognises=recognises,
    tolerance=rounding_tolerance(_DECIMALS),
    conventions={
        "boxes": "x, y, width, height in pixels, the top-left corner at 0, "
        f"{_DECIMALS} decimals",
        "labels": "category id = class id + 1; all ids from 1",
        "ignore areas": "annotations with iscrowd 1 and a mask in run lengths, each "
        "once for every label that boxes of the file have: detections there are not "
        "judged",
        "score": "on boxes that only a model has touched",
        "attributes": "of a box, as CVAT and Datumaro write them",
    },
    has_confidence=True,
    is_in_place=True,
    has_parts=False,
    write_zipped=write_zipped,
    holds=any_attribute,
    has_crowds=True,
)
