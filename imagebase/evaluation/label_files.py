"""The truth, out of a label file in any format that has boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from imagebase.annotation import Annotation, Box, Size
from imagebase.errors import EvaluationError
from imagebase.evaluation.coco_numbers import CocoNumbers, read_coco_numbers
from imagebase.evaluation.values import EvaluatedImage, Truth
from imagebase.formats.image_index import NameIndex
from imagebase.formats.label_set_files import ReadImage
from imagebase.formats.registry import read, readable_format, recognise
from imagebase.formats.trees import opened_tree
from imagebase.importing.matching import is_same_shape

_COCO: Final = "coco"


class LeftOut(NamedTuple):
    """An image or a box that is not judged, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class LabelFiles:
    """What a label file says of the images that can be judged.

    files: the name of each image's file, in the truth's order; empty where there is
        none.
    numbers: of a COCO file; empty for any other.
    left_out: images and boxes that are not judged.
    """

    truth: Truth
    files: tuple[str, ...]
    numbers: CocoNumbers
    left_out: tuple[LeftOut, ...]


def read_truth(
    path: Path,
    *,
    format_name: str | None = None,
    sizes: Mapping[str, Size | None] | None = None,
    needs_files: bool = True,
) -> LabelFiles:
    """Return what a label file says of the images that are there.

    Args:
        path: a folder, a zip or a file.
        format_name: what the files show if not given.
        sizes: of the image files by name, None for one that cannot be read.
        needs_files: whether images without a file are left out, as they must be where
            a model is to look at them.

    Raises:
        AnnotationFileError, UnknownFormatError: it cannot be read.
        EvaluationError: no image is left to judge by.
    """
    with opened_tree(path) as tree:
        name = format_name or recognise(tree)
        if not readable_format(name).has_boxes:
            raise EvaluationError(f"The format {name} has no boxes to judge by.")
        result = read(tree, name)
        numbers = read_coco_numbers(tree) if name == _COCO else CocoNumbers()
    # Crowd regions are left out by readers with a word of it; here they are known.
    left_out = [
        LeftOut(f"{one.file}, {one.at}", one.reason)
        for one in result.report.skipped
        if "crowd" not in one.reason
    ]
    known = sizes or {}
    index = NameIndex(known)
    kept: list[tuple[ReadImage, str]] = []
    for image in result.images:
        file = index.find(image.name) or ""
        if needs_files and not file:
            left_out.append(LeftOut(image.name, "there is no image of this name"))
            continue
        fitted = _fitted(image, known[file] if file else image.size)
        if isinstance(fitted, str):
            left_out.append(LeftOut(image.name, fitted))
        else:
            kept.append((fitted, file))
    if not kept:
        why = left_out[0].reason if left_out else "it names none"
        raise EvaluationError(f"No image of {path} can be judged: {why}.")
    # Of equally sure detections COCO's judge takes those of the lower image id first.
    turns = numbers.turns()
    kept.sort(key=lambda pair: turns.get(pair[0].name, 0))
    images = [one for one, _ in kept]
    return LabelFiles(
        _as_truth(result.labels.names, images, numbers),
        tuple(file for _, file in kept),
        numbers,
        tuple(left_out),
    )


def _fitted(image: ReadImage, size: Size | None) -> ReadImage | str:
    """Return an image's labels in pixels of its file, or why that cannot be done."""
    if size is None:
        return "its size is not known" if image.size is None else "it cannot be read"
    said = image.size
    if image.is_relative or said is None or said == size:
        return replace(image.in_pixels(size), size=size)
    if not is_same_shape(said, size):
        return (
            f"the labels are for {said.width} × {said.height} pixels, "
            f"the image has {size.width} × {size.height}"
        )
    across, down = size.width / said.width, size.height / said.height

    def carried(annotation: Annotation) -> Annotation:
        left, top, right, bottom = annotation.box
        box = Box(left * across, top * down, right * across, bottom * down)
        return replace(annotation, box=box)

    return replace(
        image,
        size=size,
        annotations=tuple(map(carried, image.annotations)),
        crowds=tuple(map(carried, image.crowds)),
    )


def _as_truth(
    labels: Sequence[str], images: Sequence[ReadImage], numbers: CocoNumbers
) -> Truth:
    places = {name: place for place, name in enumerate(labels)}
    rows: list[tuple[int, int, Box, float, bool]] = []
    for image, one in enumerate(images):
        for is_crowd, group in ((False, one.annotations), (True, one.crowds)):
            for each in group:
                box, area = numbers.as_written(one.name, each.label, each.box)
                rows.append((image, places[each.label], box, area, is_crowd))
    return truth_of(
        labels,
        [EvaluatedImage(one.name, one.name, one.size or Size(1, 1)) for one in images],
        rows,
        box_ids=[str(place) for place in range(1, len(rows) + 1)],
    )


def truth_of(
    labels: Sequence[str],
    images: Sequence[EvaluatedImage],
    rows: Sequence[tuple[int, int, Box, float, bool]],
    *,
    box_ids: Sequence[str],
) -> Truth:
    """Return rows of image, label, box, area and whether it is a crowd as a truth."""
    return Truth(
        tuple(labels),
        tuple(images),
        np.array([row[0] for row in rows], dtype=np.intp),
        np.array([row[1] for row in rows], dtype=np.intp),
        np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 4),
        np.array([row[3] for row in rows], dtype=np.float64),
        np.array([row[4] for row in rows], dtype=np.bool_),
        tuple(box_ids),
    )
