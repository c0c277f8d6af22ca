"""Teach a model from a few examples: images with all their boxes of some labels."""

import time
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Final, NamedTuple

from imagebase.annotation import Box, clean_label
from imagebase.detection.detection_model import (
    DetectionModel,
    ImageInput,
    loaded_image,
)
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.taught_detector import WANTED, TaughtDetector
from imagebase.detection.taught.teacher import Teacher, spread
from imagebase.errors import TeachingError
from imagebase.formats.label_files import AnnotatedDataset, read_labels

_NAMED_LABELS: Final = 3

LabelledBox = tuple[Sequence[float], str]
Example = tuple[ImageInput, Sequence[LabelledBox]]


class _Boxes(NamedTuple):
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]


def teach(
    examples: str | PathLike[str] | AnnotatedDataset | Iterable[Example],
    *,
    images: str | PathLike[str] | None = None,
    labels: Sequence[str] | None = None,
    name: str | None = None,
) -> DetectionModel:
    """Return a model that finds more like a few examples; it takes seconds.

    One to ten images do, with all their boxes of a label drawn: what is not in a box is
    taken for background. Of more than 60 images, 60 are used. The same examples give
    the same model. `save_taught` keeps it in a file, which `load_model` takes.

    Args:
        examples: pairs of an image (a path, a PIL image, or an array of shape (H, W,
            3), uint8, RGB) and its boxes, each a pair of corners (x_min, y_min, x_max,
            y_max), in pixels of the upright image, and a label; or label files of any
            format, as a path or from `read_labels`.
        images: the folder of the images that label files belong to; None for those
            next to the files.
        labels: only these are taught; None takes all that have boxes.
        name: of the model; None names it after its labels and the number of images.

    Raises:
        TeachingError: no example has a box of a label, or there are too many labels.
        AnnotationFileError, UnknownFormatError: the label files cannot be read.
        ImageReadError, LimitError: an image cannot be used.

    >>> import imagebase
    >>> skier = ((214, 86, 390, 398), "skier")  # corners, and what is in them
    >>> model = imagebase.teach([("photos/skier.jpg", [skier])])
    >>> model("photos/skier.jpg", confidence=0.5).labels
    ('skier',)
    """
    started = time.perf_counter()
    pairs = list(_pairs(examples, images))
    boxes = [_checked(boxes, labels) for _, boxes in pairs]
    found = {label for each in boxes for label in each.labels}
    teacher = Teacher(labels)
    for index in spread([bool(each.labels) for each in boxes]):
        loaded = loaded_image(pairs[index][0], wanted=WANTED)
        scene = DescribedImage.of(loaded.rgb, loaded.size)
        teacher.put(index, scene, *boxes[index])
    model = teacher.model()
    for label in sorted(found.difference(model.labels)):
        raise TeachingError(
            f"No box of {label} is inside an image of the {len(teacher)} used; "
            "draw one, or leave the label out."
        )
    detector = TaughtDetector(model, name=name or _name(model.labels, len(teacher)))
    return DetectionModel(detector, load_seconds=time.perf_counter() - started)


def save_taught(model: DetectionModel, path: str | PathLike[str]) -> Path:
    """Write a taught model into a file of less than a megabyte; `load_model` takes it.

    Args:
        model: from `teach`, or a taught model from `load_model`.
        path: of the file; `.npz` is added where it does not end so.

    Raises:
        TeachingError: it is no taught model, or the file cannot be written.

    >>> import imagebase
    >>> model = imagebase.teach([("photos/bear.jpg", [((8, 20, 580, 640), "bear")])])
    >>> imagebase.save_taught(model, "bears.npz").name
    'bears.npz'
    >>> imagebase.load_model("bears.npz").labels
    ('bear',)
    """
    if not isinstance(model.detector, TaughtDetector):
        raise TeachingError(
            f"{model.name} was not taught by examples; only such models are saved."
        )
    path = Path(path)
    if path.suffix != ".npz":
        path = path.with_name(f"{path.name}.npz")
    draft = path.with_name(f".{path.name}")
    try:
        draft.write_bytes(model.detector.model.to_bytes())
        draft.replace(path)
    except OSError as error:
        raise TeachingError(
            f"{path} cannot be written ({error.strerror}); give a folder you may write "
            "to."
        ) from error
    return path


def _pairs(
    examples: str | PathLike[str] | AnnotatedDataset | Iterable[Example],
    images: str | PathLike[str] | None,
) -> Iterator[Example]:
    """Yield images and their boxes; an image of label files is a path."""
    if isinstance(examples, str | PathLike):
        images = images or examples
        given = None if images == examples else images
        examples = read_labels(examples, images=given)
    if not isinstance(examples, AnnotatedDataset):
        yield from examples
        return
    if images is None or not Path(images).is_dir():
        raise TeachingError(
            "Label files alone teach nothing; give the folder of their images."
        )
    for record in examples:
        boxes = [(each.box, each.label) for each in record.annotations]
        yield Path(images) / record.file_name, boxes


def _checked(boxes: Sequence[LabelledBox], labels: Sequence[str] | None) -> _Boxes:
    """Return the boxes of the labels that are taught, their corners in order."""
    kept = []
    for xyxy, label in boxes:
        box = Box(*map(float, xyxy))
        if not box.is_finite or not label.strip():
            raise TeachingError(
                f"{tuple(xyxy)} of {label!r} is no box; give four numbers and a label."
            )
        if labels is None or label in labels:
            kept.append((box.normalised(), clean_label(label)))
    return _Boxes(tuple(box for box, _ in kept), tuple(label for _, label in kept))


def _name(labels: Sequence[str], images: int) -> str:
    """Return a name such as `skier and bear, 4 images`."""
    named = list(labels[:_NAMED_LABELS])
    if len(labels) > _NAMED_LABELS:
        named = [*labels[: _NAMED_LABELS - 1], f"{len(labels) - 2} more"]
    words = " and ".join([", ".join(named[:-1]), named[-1]] if named[1:] else named)
    return f"{words}, {images} image{'' if images == 1 else 's'}"
