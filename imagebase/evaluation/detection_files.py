"""What another program found: a list of COCO results, or labels with confidences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from imagebase.annotation import Box
from imagebase.errors import AnnotationFileError, EvaluationError
from imagebase.evaluation.coco_numbers import CocoNumbers, box_of, coco_id
from imagebase.evaluation.label_files import LabelFiles
from imagebase.evaluation.label_mapping import map_labels
from imagebase.evaluation.passing import Pass
from imagebase.evaluation.values import Found, Truth
from imagebase.formats.collecting import number
from imagebase.formats.json_stream import json_items
from imagebase.formats.label_set_files import FileTree
from imagebase.formats.registry import read
from imagebase.formats.trees import NameIndex, open_tree

# Boxes without a confidence are taken as sure.
_SURE: Final = 1.0


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
) -> Pass:
    """Return another program's detections on the images of a truth.

    Args:
        name: what they are called in every table.
        path: a list of COCO results, or label files in any format.
        labels: what they are judged by.
        choices: what a person calls the program's labels.

    Raises:
        AnnotationFileError: they cannot be read.
        EvaluationError: none of them is on an image of the truth.
    """
    tree = open_tree(path)
    is_list = _is_result_list(tree)
    refused: dict[str, str] = {}
    rows = list(
        _from_results(tree, labels, refused)
        if is_list
        else _from_labels(tree, labels.truth, refused)
    )
    if not rows:
        why = next(iter(refused.values()), "there are none")
        raise EvaluationError(
            f"{path} has no detection on the images that are judged: {why}."
        )
    return _as_pass(name, rows, labels.truth, choices or {}, refused)


def _as_pass(
    name: str,
    rows: list[_Row],
    truth: Truth,
    choices: Mapping[str, str | None],
    refused: Mapping[str, str],
) -> Pass:
    said = list(dict.fromkeys(row.label for row in rows))
    mapping = map_labels(said, truth.labels, choices=choices)
    places = {label: place for place, label in enumerate(truth.labels)}
    found = Found.of(
        [
            (row.image, places[mapping.names[row.label]], row.box, row.confidence)
            for row in rows
            if row.label in mapping.names
        ]
    )
    # What a program never said, nobody knows whether it could have said.
    return Pass(name, name, found, replace(mapping, unknown=()), None, refused)


def _is_result_list(tree: FileTree) -> bool:
    """Say whether it is one JSON file with a list whose entries have scores."""
    names = tree.names()
    if len(names) != 1 or not names[0].lower().endswith(".json"):
        return False
    first = next(iter(json_items(tree, names[0])), None)
    return first is not None and first.section == "" and first.position is None


def _from_results(
    tree: FileTree, labels: LabelFiles, refused: dict[str, str]
) -> Iterator[_Row]:
    finder = _Finder(labels.truth, labels.numbers)
    for item in json_items(tree, tree.names()[0]):
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


class _Finder:
    """Finds the images and labels that a list of results names by number."""

    def __init__(self, truth: Truth, numbers: CocoNumbers) -> None:
        places = {one.name: place for place, one in enumerate(truth.images)}
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
    index = NameIndex(one.name for one in truth.images)
    places = {one.name: place for place, one in enumerate(truth.images)}
    result = read(tree)
    if not any(image.annotations for image in result.images):
        raise AnnotationFileError("There is no box in these detections.")
    for image in result.images:
        name = index.find(image.name)
        if name is None:
            refused[image.name] = f"no image that is judged is called {image.name}"
            continue
        place = places[name]
        for one in image.in_pixels(truth.images[place].size).annotations:
            confidence = _SURE if one.confidence is None else one.confidence
            yield _Row(place, one.label, one.box, confidence)
