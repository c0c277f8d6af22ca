"""Checks before training: is PyTorch installed, are there enough images and boxes."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import ReviewStatus
from imagebase.errors import TrainingError
from imagebase.store.statistics import BoxTable, ImageTable
from imagebase.training.data import VAL, TrainingSet
from imagebase.training.install import commands


def has_torch() -> bool:
    """Return whether PyTorch is installed, without loading it."""
    return find_spec("torch") is not None


def require_torch() -> None:
    """Raise TrainingError with installation commands if PyTorch is missing."""
    if not has_torch():
        # On Linux pip alone installs the CUDA build of several GB.
        get_uv, for_cpu = commands("cpu").splitlines()
        raise TrainingError(
            f"Training needs PyTorch, which is not installed; run `{get_uv}` and then "
            f"`{for_cpu}` for the CPU, or the latter with `--torch-backend=auto` for "
            "an NVIDIA GPU."
        )


Floats = NDArray[np.float64]

FEW_BOXES: Final = 30
FEW_HELD_OUT: Final = 20
SMALL_PIXELS: Final = 12.0

UNLABELLED: Final = (
    "Objects without a box count as background: draw a box around every object of "
    "each label."
)


def warnings_about(training_set: TrainingSet) -> list[str]:
    """Return warnings about a training set, a sentence each."""
    sides = box_sides(training_set)
    return [
        *few_boxes(training_set.box_counts()),
        *small_boxes(sides, training_set.input_size.width),
        *_torn(training_set.torn),
        *few_held_out(len(training_set.of_part(VAL))),
        *_left_out(training_set),
        *_changed(training_set.left_out.changed),
        UNLABELLED,
    ]


def _changed(changed: Sequence[str]) -> list[str]:
    """Warn of images whose boxes were scaled or rotated; describe the first."""
    if not changed:
        return []
    images = "1 image has" if len(changed) == 1 else f"{len(changed):,} images have"
    return [f"{images} another size than the labels say; {changed[0]}."]


def few_boxes(counts: Mapping[str, int]) -> list[str]:
    """Warn of labels with too few boxes."""
    few = {name: count for name, count in counts.items() if count < FEW_BOXES}
    if not few:
        return []
    named = ", ".join(f"{name} ({count})" for name, count in few.items())
    return [f"Few boxes, {FEW_BOXES} or more are better: {named}."]


def small_boxes(sides: Floats, side: int) -> list[str]:
    """Warn of small boxes; sides: (N,), in pixels of the input."""
    if not len(sides) or np.median(sides) >= SMALL_PIXELS:
        return []
    return [
        f"Half of the boxes are under {SMALL_PIXELS:.0f} pixels in an input of "
        f"{side}; a larger input finds more of them."
    ]


def few_held_out(images: int) -> list[str]:
    """Warn of few validation images."""
    if images >= FEW_HELD_OUT:
        return []
    if not images:
        return ["There are no validation images, so the model cannot be evaluated."]
    if images == 1:
        return [
            "Only 1 validation image: AP varies by chance, and has no confidence "
            "interval."
        ]
    return [f"Only {images} validation images: AP varies by chance."]


def box_sides(training_set: TrainingSet) -> Floats:
    """Return the shorter side of every box in pixels of the input, shape (N,)."""
    sizes = box_sizes(training_set)
    return sizes.min(axis=1) if len(sizes) else np.zeros(0)


def approved_tables(
    images: ImageTable, boxes: BoxTable
) -> tuple[NDArray[np.bool_], BoxTable]:
    """Return which images are approved, shape (M,), and the boxes on them."""
    is_approved = np.array(
        [status is ReviewStatus.APPROVED for status in images.status], bool
    )
    return is_approved, boxes.only(is_approved[boxes.image])


def sides_of(images: ImageTable, boxes: BoxTable, side: int) -> Floats:
    """Return the shorter side of every box in pixels of a square input, shape (N,)."""
    extent = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]
    shares = extent / images.size[boxes.image]
    return np.asarray(side * shares.min(axis=1), np.float64)


def box_sizes(training_set: TrainingSet) -> Floats:
    """Return width and height of every box in pixels of the input, shape (N, 2)."""
    boxes = np.concatenate([image.boxes for image in training_set.images])
    return np.asarray(boxes[:, 2:].astype(np.float64) * [*training_set.input_size])


def _torn(groups: int) -> list[str]:
    if not groups:
        return []
    sets = "1 group" if groups == 1 else f"{groups} groups"
    return [
        f"{sets} of near-duplicates are in both train and val: the AP will be too high."
    ]


def _left_out(training_set: TrainingSet) -> list[str]:
    left_out, sentences = training_set.left_out, []
    if left_out.crowds:
        crowds = _counted(left_out.crowds, "crowd region is", "crowd regions are")
        sentences.append(f"{crowds} ignored.")
    if left_out.zero_size:
        boxes = _counted(left_out.zero_size, "box", "boxes")
        is_or_are = "is" if left_out.zero_size == 1 else "are"
        sentences.append(f"{boxes} of zero size {is_or_are} left out.")
    if left_out.files:
        files = _counted(len(left_out.files), "file", "files")
        sentences.append(f"{files} could not be read: {left_out.files[0]}")
    return sentences


def _counted(number: int, singular: str, many: str) -> str:
    return f"{number:,} {singular if number == 1 else many}"
