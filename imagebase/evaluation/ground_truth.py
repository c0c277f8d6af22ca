"""Ground truth: from label files of any format, or from approved images of a dataset.

A COCO file holds more than readers of labels need: lists of COCO results name images
and categories by its ids, and COCO tells small objects from large ones by the area of
the outline.
"""

import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np

from imagebase.annotation import Box, ImageRecord, LabelSet, Size, Source, clean_label
from imagebase.errors import AnnotationFileError, EvaluationError, ImageBaseError
from imagebase.evaluation.arrays import EvaluatedImage, Truth
from imagebase.formats.base import FileTree, ReadImage
from imagebase.formats.placement import FittedImage, Frame, fitted, several_meant
from imagebase.formats.reader import image_name, number
from imagebase.formats.registry import own_files, read, readable_format, recognise
from imagebase.formats.text_files import json_items
from imagebase.formats.trees import names_with_suffix, opened_tree, with_images
from imagebase.images.decode import read_header
from imagebase.images.skipped_files import EARLIER
from imagebase.settings import Limits

_COCO: Final = "coco"
# From this share on a model's own boxes are worth a word.
_WORTH_SAYING: Final = 0.2
_CHECKSUM: Final = re.compile(r"-[0-9a-f]{12}$")
# A reader cuts boxes at the edge of the image, which moves them by less than this.
_SAME_BOX_PX: Final = 1.0

Written = tuple[Box, float]


class NotJudged(NamedTuple):
    """An image or a box that is not judged, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class CocoNumbers:
    """Names by id; boxes by image and label as written, with their areas."""

    images: Mapping[object, str] = field(default_factory=dict)
    categories: Mapping[object, str] = field(default_factory=dict)
    boxes: Mapping[tuple[str, str], Sequence[Written]] = field(default_factory=dict)

    def turns(self) -> dict[str, int]:
        """Return the place of each image among all, by id."""
        ids = [image for image in self.images if isinstance(image, int)]
        return {
            self.images[image_id]: turn for turn, image_id in enumerate(sorted(ids))
        }

    def as_written(self, image: str, label: str, box: Box) -> Written:
        """Return a box as written, with the area of its outline.

        One that is not of this file is returned unchanged, with its own area.
        """
        best, distance = (box, box.area), _SAME_BOX_PX
        for written, area in self.boxes.get((image, label), ()):
            apart = max(abs(a - b) for a, b in zip(written, box, strict=True))
            if apart < distance:
                best, distance = (written, area), apart
        return best


@dataclass(frozen=True, slots=True)
class LabelFiles:
    """Labels of the images that can be evaluated.

    files: the name of each image's file, in the truth's order; empty where there is
        none.
    numbers: of a COCO file; empty for any other.
    not_judged: images and boxes that are not judged.
    changed: images whose boxes were scaled or turned, and why.
    """

    truth: Truth
    files: tuple[str, ...]
    numbers: CocoNumbers
    not_judged: tuple[NotJudged, ...]
    changed: tuple[NotJudged, ...] = ()


class GivenImages(NamedTuple):
    """The image files to be judged on.

    frames: by name, None for one that cannot be read. at: where they lie, where that is
    on disk here. read: gives a file by its name.
    """

    frames: Mapping[str, Frame | None]
    at: Path | None = None
    read: Callable[[str], bytes] | None = None


def read_truth(
    path: Path,
    *,
    format_name: str | None = None,
    images: GivenImages | None = None,
    needs_files: bool = True,
) -> LabelFiles:
    """Return what a label file says of the images that are there.

    Args:
        path: a folder, a zip or a file.
        format_name: what the files show if not given.
        images: that were given for them; None takes those next to the labels.
        needs_files: whether images without a file are left out, as they must be where
            a model is run on them.

    Raises:
        AnnotationFileError, UnknownFormatError: it cannot be read.
        EvaluationError: no image is left to judge by.
    """
    with opened_tree(path) as everything:
        tree, exports = own_files(everything, format_name)
        name = format_name or recognise(tree)
        if not readable_format(name).has_boxes:
            raise EvaluationError(f"The format {name} has no boxes to judge by.")
        numbers = read_coco_numbers(tree) if name == _COCO else CocoNumbers()
        files = _Files(tree, path, images)
        result = read(files.tree, name)
        images_with_files, not_judged, changed = _on_files(
            result.images, files, needs_files
        )
    # Crowd regions are left out by readers with a word of it; here they are known.
    skipped = [
        NotJudged(f"{skipped.file}, {skipped.at}", skipped.reason)
        for skipped in result.report.skipped
        if "crowd" not in skipped.reason
    ]
    passed_over = [NotJudged(export, EARLIER) for export in exports]
    not_judged = [*passed_over, *skipped, *not_judged]
    if not images_with_files:
        why = not_judged[0].reason if not_judged else "it names none"
        raise EvaluationError(f"No image of {path} can be judged: {why}.")
    # Of equally sure detections COCO's judge takes those of the lower image id first.
    turns = numbers.turns()
    images_with_files.sort(key=lambda pair: turns.get(_coco_name(pair[0].image), 0))
    return LabelFiles(
        _as_truth(
            result.labels.names, [image for image, _ in images_with_files], numbers
        ),
        tuple(file for _, file in images_with_files),
        numbers,
        tuple(not_judged),
        tuple(changed),
    )


class _Files:
    """The label files and the images, as one tree."""

    def __init__(
        self, labels: FileTree, labels_at: Path, images: GivenImages | None
    ) -> None:
        self.tree = labels
        self._images = images
        self._folder = ""
        if images is not None:
            given = with_images(labels, labels_at, _GivenTree(images), images.at)
            self.tree, self._folder = given.tree, given.folder

    def file_of(self, image: ReadImage) -> str:
        """Return the given name of an image's file; empty for none."""
        name = image.path.removeprefix(self._folder)
        is_given = self._images is None or name in self._images.frames
        return name if is_given else ""

    def frame_of(self, file: str) -> Frame | None:
        if self._images is not None:
            return self._images.frames[file]
        most = self.tree.limits.max_image_pixels
        try:
            header = read_header(self.tree.read(file), file_name=file, max_pixels=most)
        except ImageBaseError:
            return None
        return Frame(header.size, header.orientation)


class _GivenTree:
    """Given image files as a file tree."""

    def __init__(self, images: GivenImages) -> None:
        self.limits = Limits()
        self._images = images

    def names(self) -> Sequence[str]:
        return tuple(self._images.frames)

    def read(self, name: str) -> bytes:
        if self._images.read is None:
            raise AnnotationFileError(f"{name} cannot be read.")
        try:
            return self._images.read(name)
        except (ImageBaseError, OSError) as error:
            raise AnnotationFileError(f"{name} cannot be read: {error}") from error

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self.read(name))


def _on_files(
    images: Iterable[ReadImage], files: _Files, needs_files: bool
) -> tuple[list[tuple[FittedImage, str]], list[NotJudged], list[NotJudged]]:
    """Return images on their files, those that cannot be, and those changed."""
    images_with_files, not_judged, changed = [], [], []
    for image in images:
        file = files.file_of(image)
        reason, placed = "", FittedImage(image)
        if len(image.others) > 1:
            reason = several_meant(image.others)
        elif file:
            frame = files.frame_of(file)
            placed = fitted(image, frame) if frame else placed
            reason = placed.problem if frame else "it cannot be read"
        elif needs_files:
            reason = "there is no image of this name"
        elif image.size is None:
            reason = "its size is not known"
        if reason:
            not_judged.append(NotJudged(image.name, reason))
            continue
        images_with_files.append((placed, file))
        if placed.note:
            changed.append(NotJudged(image.name, placed.note))
    return images_with_files, not_judged, changed


def _as_truth(
    labels: Sequence[str], images: Sequence[FittedImage], numbers: CocoNumbers
) -> Truth:
    places = {name: place for place, name in enumerate(labels)}
    rows: list[tuple[int, int, Box, float, bool]] = []
    for image, (read_image, note, _) in enumerate(images):
        name = _coco_name(read_image)
        for is_crowd, group in (
            (False, read_image.annotations),
            (True, read_image.crowds),
        ):
            for each in group:
                box, area = each.box, each.box.area
                if not note:
                    box, area = numbers.as_written(name, each.label, box)
                rows.append((image, places[each.label], box, area, is_crowd))
    return truth_of(
        labels,
        [
            EvaluatedImage(image.name, image.name, image.size or Size(1, 1))
            for image, *_ in images
        ],
        rows,
        box_ids=[str(place) for place in range(1, len(rows) + 1)],
    ).with_areas([image.regions for image, *_ in images])


def _coco_name(image: ReadImage) -> str:
    return image_name(image.stated) or image.name


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


def truth_of_records(records: Sequence[ImageRecord], labels: LabelSet) -> Truth:
    """Return the boxes of reviewed images; one without boxes holds nothing to find.

    Detections in an ignore area are neither right nor wrong.

    Raises:
        EvaluationError: there is no image to judge by, or no box on any.
    """
    if not any(record.annotations for record in records):
        raise EvaluationError(
            "There is nothing to judge by: approve some images with boxes first."
        )
    names = tuple(
        dict.fromkeys(
            [*labels.names, *(name for record in records for name in record.labels)]
        )
    )
    places = {name: place for place, name in enumerate(names)}
    boxes = [
        (image, annotation)
        for image, record in enumerate(records)
        for annotation in record.annotations
    ]
    return truth_of(
        names,
        [
            EvaluatedImage(record.image_id, record.file_name, record.size)
            for record in records
        ],
        [
            (image, places[box.label], box.box, box.box.area, False)
            for image, box in boxes
        ],
        box_ids=[box.annotation_id for _, box in boxes],
    ).with_areas([record.ignored for record in records])


def notes_about(records: Sequence[ImageRecord]) -> tuple[str, ...]:
    """Return what to know of a truth that a model had a hand in.

    A box that a person accepted as a model drew it fits that model to the pixel.
    """
    boxes = [annotation for record in records for annotation in record.annotations]
    by_model = Counter(
        _title(box.model_id) for box in boxes if box.source is Source.MODEL
    )
    return tuple(
        f"{count:,} of the {len(boxes):,} boxes are {title}'s own, approved as it "
        "drew them: they favour that model."
        for title, count in by_model.most_common(2)
        if count >= _WORTH_SAYING * len(boxes)
    )


def _title(model_id: str | None) -> str:
    """Return what a person calls a model: its id without the checksum at its end."""
    return _CHECKSUM.sub("", model_id) if model_id else "a model"


def read_coco_numbers(tree: FileTree) -> CocoNumbers:
    """Return the numbers of every COCO file of a tree."""
    numbers = _Numbers({}, {}, defaultdict(list))
    for file in names_with_suffix(tree, ".json"):
        try:
            numbers.read(tree, file)
        except AnnotationFileError:
            continue  # the reader of the labels has reported it
    return CocoNumbers(numbers.images, numbers.categories, dict(numbers.boxes))


@dataclass(slots=True)
class _Numbers:
    images: dict[object, str]
    categories: dict[object, str]
    boxes: dict[tuple[str, str], list[Written]]

    def read(self, tree: FileTree, file: str) -> None:
        """Read a file twice: boxes may come before what they refer to."""
        for item in json_items(tree, file):
            entry = item.value
            if item.position is None or not isinstance(entry, dict):
                continue
            if item.section == "images" and isinstance(entry.get("file_name"), str):
                self.images[coco_id(entry.get("id"))] = image_name(entry["file_name"])
            elif item.section == "categories" and isinstance(entry.get("name"), str):
                self.categories[coco_id(entry.get("id"))] = _label(entry["name"])
        for item in json_items(tree, file):
            entry = item.value
            if item.section == "annotations" and isinstance(entry, dict):
                self._read_box(entry)

    def _read_box(self, entry: Mapping[str, Any]) -> None:
        image = self.images.get(coco_id(entry.get("image_id")))
        label = self.categories.get(coco_id(entry.get("category_id")))
        box = box_of(entry.get("bbox"))
        if image is not None and label is not None and box is not None:
            area = number(entry.get("area"))
            self.boxes[image, label].append((box, area if area >= 0 else box.area))


def coco_id(value: object) -> object:
    """Return an id that can be looked up: "7" and 7.0 are 7; None for others."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        return int(value)
    return value if isinstance(value, (int, float, str)) else None


def box_of(numbers: object) -> Box | None:
    """Return COCO's x, y, width and height as a box; None for anything else."""
    if not isinstance(numbers, list) or len(numbers) != 4:
        return None
    x, y, width, height = map(number, numbers)
    box = Box(x, y, x + width, y + height)
    return box if box.is_finite else None


def _label(name: str) -> str:
    try:
        return clean_label(name)
    except ValueError:
        return ""
