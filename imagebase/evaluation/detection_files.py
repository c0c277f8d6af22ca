"""Detections of other programs: COCO or Darknet results, labels with confidences."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

from imagebase.annotation import Box, Size
from imagebase.detection.label_mapping import map_labels
from imagebase.errors import AnnotationFileError, EvaluationError
from imagebase.evaluation.arrays import Predictions, Truth
from imagebase.evaluation.detection_pass import DetectionPass
from imagebase.evaluation.ground_truth import (
    CocoNumbers,
    LabelFiles,
    box_of,
    coco_id,
    read_coco_numbers,
)
from imagebase.formats.base import FileTree
from imagebase.formats.image_index import NameIndex
from imagebase.formats.reader import image_name, number
from imagebase.formats.registry import read
from imagebase.formats.text_files import Item, json_items
from imagebase.formats.trees import names_with_suffix, opened_tree

# Boxes without a confidence are taken as sure.
_SURE: Final = 1.0
_MOST_ROWS: Final = 1_000_000
# A list of results is alone or next to a label file; more are labels of an image each.
_MOST_JSON: Final = 4
_NUMBERS_ADVICE: Final = "; give the COCO label file it was made for with it"


@dataclass(frozen=True, slots=True)
class _Row:
    image: int
    label: str
    box: Box
    confidence: float


def read_detections(
    name: str,
    path: Path,
    labels: LabelFiles,
    *,
    choices: Mapping[str, str | None] | None = None,
) -> DetectionPass:
    """Return another program's detections on the images of a truth.

    Args:
        name: what they are called in every table.
        path: a list of COCO or Darknet results, or label files in any format.
        labels: what they are judged by.
        choices: what a person calls the program's labels.

    Raises:
        AnnotationFileError: they cannot be read.
        EvaluationError: none of them is on an image of the truth.
    """
    with opened_tree(path) as tree:
        return detections_in(
            tree, name, labels.truth, numbers=labels.numbers, choices=choices
        )


def detections_in(
    tree: FileTree,
    name: str,
    truth: Truth,
    *,
    numbers: CocoNumbers | None = None,
    choices: Mapping[str, str | None] | None = None,
) -> DetectionPass:
    """Return what these files say was found on the images of a truth.

    Args:
        tree: a list of COCO or Darknet results, or label files in any format. Beside a
            list of COCO results the label file may lie that its numbers are of.
        name: as in `read_detections`.
        truth: what they are judged by.
        numbers: of the truth, where it has any.
        choices: as in `read_detections`.

    Raises:
        AnnotationFileError: they cannot be read.
        EvaluationError: none of them is on an image of the truth, or they are too many.
    """
    file, kind = _list_of_results(tree)
    refused: dict[str, str] = {}
    advice = ""
    match kind:
        case "darknet":
            detection_pass = _from_darknet(tree, file, truth, refused)
        case "coco":
            if numbers is None or not numbers.images:
                numbers = _numbers_beside(tree, file, truth)
            advice = "" if numbers.images else _NUMBERS_ADVICE
            detection_pass = _from_results(tree, file, _Finder(truth, numbers), refused)
        case _:
            detection_pass = _from_labels(tree, truth, refused)
    rows = list(islice(detection_pass, _MOST_ROWS + 1))
    if not rows:
        why = next(iter(refused.values()), "there are none")
        raise EvaluationError(
            f"{name} has no detection on the images that are judged: {why}{advice}."
        )
    if len(rows) > _MOST_ROWS:
        raise EvaluationError(
            f"{name} has more than {_MOST_ROWS:,} detections; leave out those of the "
            "lowest confidence."
        )
    return _as_pass(name, rows, truth, choices or {}, refused)


def _as_pass(
    name: str,
    rows: list[_Row],
    truth: Truth,
    choices: Mapping[str, str | None],
    refused: Mapping[str, str],
) -> DetectionPass:
    labels = list(dict.fromkeys(row.label for row in rows))
    mapping = map_labels(labels, truth.labels, choices=choices)
    places = {label: place for place, label in enumerate(truth.labels)}
    predictions = Predictions.of(
        [
            (row.image, places[mapping.names[row.label]], row.box, row.confidence)
            for row in rows
            if row.label in mapping.names
        ]
    )
    # A label that a program never gave may be one it knows.
    return DetectionPass(
        name, name, predictions, replace(mapping, unknown=()), None, refused
    )


def _list_of_results(tree: FileTree) -> tuple[str, str]:
    """Return a JSON list of results and whose it is, `coco` or `darknet`.

    Both are empty for label files.
    """
    files = names_with_suffix(tree, ".json")
    if len(files) > _MOST_JSON:
        return "", ""
    for file in files:
        if kind := _kind_of_list(tree, file):
            return file, kind
    return "", ""


def _kind_of_list(tree: FileTree, file: str) -> str:
    for item in _items(tree, file):
        if item.section:
            return ""
        if item.position is not None and isinstance(item.value, dict):
            keys = item.value.keys()
            if "objects" in keys:
                return "darknet"
            return "coco" if "bbox" in keys or "score" in keys else ""
    return ""


def _items(tree: FileTree, file: str) -> Iterator[Item]:
    try:
        yield from json_items(tree, file)
    except AnnotationFileError as error:
        raise AnnotationFileError(
            f"{file} cannot be read: {error}; write it again."
        ) from error


def _numbers_beside(tree: FileTree, results: str, truth: Truth) -> CocoNumbers:
    """Return the ids of a label file next to the results, with judged images' names."""
    if names_with_suffix(tree, ".json") == [results]:
        return CocoNumbers()
    numbers = read_coco_numbers(tree)
    judged = {image.name for image in truth.images}
    index = NameIndex(judged)
    matches = {name: index.find(name) for name in numbers.images.values()}
    claims = Counter(matches.values())
    # Where several may be one image, only that of its very name is.
    images = {
        key: matches[name] or name
        for key, name in numbers.images.items()
        if name in judged or claims[matches[name]] == 1 or matches[name] is None
    }
    return replace(numbers, images=images)


def _from_results(
    tree: FileTree, file: str, finder: "_Finder", refused: dict[str, str]
) -> Iterator[_Row]:
    for item in _items(tree, file):
        if item.position is None or not isinstance(item.value, dict):
            continue
        entry = item.value
        image = finder.image(entry.get("image_id"))
        label = finder.label(entry.get("category_id"))
        box, score = box_of(entry.get("bbox")), number(entry.get("score"))
        if image is None:
            refused[item.place] = f"no image has the id {entry.get('image_id')!r}"
        elif label is None:
            refused[item.place] = f"no label has the id {entry.get('category_id')!r}"
        elif box is None or not 0 <= score <= 1:
            refused[item.place] = "it has no bbox, or no score from 0 to 1"
        else:
            yield _Row(image, label, box, score)


def _from_darknet(
    tree: FileTree, file: str, truth: Truth, refused: dict[str, str]
) -> Iterator[_Row]:
    """Yield what `darknet detector test … -out result.json` wrote."""
    index = NameIndex(image.name for image in truth.images)
    places = {image.name: place for place, image in enumerate(truth.images)}
    for item in _items(tree, file):
        if item.position is None or not isinstance(item.value, dict):
            continue
        photograph = str(item.value.get("filename", ""))
        name = index.find(image_name(photograph))
        if name is None:
            refused[item.place] = f"no image that is judged is called {photograph}"
            continue
        size = truth.images[places[name]].size
        objects = item.value.get("objects")
        if not isinstance(objects, list):
            refused[item.place] = "its objects are no list"
            continue
        for entry in objects:
            row = _darknet_row(places[name], entry, size)
            if row is None:
                refused[item.place] = "an object has no name, place or confidence"
            else:
                yield row


def _darknet_row(image: int, entry: object, size: Size) -> _Row | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return None
    place = entry.get("relative_coordinates")
    if not isinstance(place, dict):
        return None
    x, y, width, height = (
        number(place.get(key)) for key in ("center_x", "center_y", "width", "height")
    )
    confidence = number(entry.get("confidence"))
    box = Box(
        (x - width / 2) * size.width,
        (y - height / 2) * size.height,
        (x + width / 2) * size.width,
        (y + height / 2) * size.height,
    )
    if not box.is_finite or not 0 <= confidence <= 1:
        return None
    return _Row(image, entry["name"], box, confidence)


class _Finder:
    """Finds the images and labels that a list of results names by number."""

    def __init__(self, truth: Truth, numbers: CocoNumbers) -> None:
        places = {image.name: place for place, image in enumerate(truth.images)}
        self._images = {
            key: places[name] for key, name in numbers.images.items() if name in places
        }
        self._is_coco = bool(numbers.images)
        self._labels = numbers.categories or dict(enumerate(truth.labels, start=1))
        self._names = NameIndex(places)
        self._places = places
        # COCO's own files are called by their numbers.
        self._stems = {
            int(stem): place
            for name, place in places.items()
            if (stem := _last_digits(name))
        }

    def image(self, image_id: object) -> int | None:
        key = coco_id(image_id)
        if self._is_coco:
            return self._images.get(key)
        if isinstance(image_id, str) and (name := self._names.find(image_id)):
            return self._places[name]
        return self._stems.get(key) if isinstance(key, int) else None

    def label(self, category_id: object) -> str | None:
        return self._labels.get(coco_id(category_id))


def _last_digits(name: str) -> str:
    stem = PurePosixPath(name).stem.rpartition("_")[2]
    return stem if stem.isdecimal() and len(stem) < 19 else ""


def _from_labels(
    tree: FileTree, truth: Truth, refused: dict[str, str]
) -> Iterator[_Row]:
    index = NameIndex(image.name for image in truth.images)
    places = {image.name: place for place, image in enumerate(truth.images)}
    result = read(tree)
    if not any(image.annotations for image in result.images):
        raise AnnotationFileError("There is no box in these detections.")
    for image in result.images:
        name = index.find(image.name)
        if name is None:
            refused[image.name] = f"no image that is judged is called {image.name}"
            continue
        place = places[name]
        for annotation in image.in_pixels(truth.images[place].size).annotations:
            confidence = (
                _SURE if annotation.confidence is None else annotation.confidence
            )
            yield _Row(place, annotation.label, annotation.box, confidence)
