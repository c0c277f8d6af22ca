"""A dry run of a model on a photograph: does it work, how fast, are its boxes odd?"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Annotation, LabelSet, Size
from imagebase.detection.candidates import Candidates, select
from imagebase.detection.detector import Detector
from imagebase.detection.factory import load_apart_if_added
from imagebase.detection.isolated import UNNAMED
from imagebase.detection.model_files import Model
from imagebase.detection.selection_rule import as_annotations
from imagebase.detection.validation.file_kinds import ModelFinding, good, warning
from imagebase.errors import ModelCrashError
from imagebase.images.decode import encode_jpeg, encode_png, load_image, resized
from imagebase.images.draw import draw_annotations
from imagebase.images.thumbnails import inner_size
from imagebase.settings import (
    DEFAULT_CONFIDENCE,
    DEFAULT_NMS_IOU,
    SAMPLES_FOLDER,
    Limits,
)
from imagebase.wording import percent

SAMPLE: Final = SAMPLES_FOLDER / "kitchen.jpg"
DRAWN_SUFFIXES: Final = (".jpg", ".jpeg", ".png")
# Signs that outputs are read the wrong way: boxes that are the image, dots, or a flood.
_WHOLE: Final = 0.98
_DOT_PX: Final = 2
_FLOOD: Final = 300
_RUNS: Final = 5
_TAGS: Final = 3


@dataclass(frozen=True, slots=True)
class DryRun:
    """The result of a dry run, and how long it took.

    milliseconds: the median from pixels to candidates. size: of the photograph.
    precision, runtime: what `auto` came to.
    """

    candidates: Candidates
    size: Size
    milliseconds: float
    input_size: Size
    runtime: str
    precision: str


def dry_run(
    model: Model, *, image: Path = SAMPLE, limits: Limits | None = None
) -> DryRun:
    """Run a model on a photograph, and on images that models rarely see.

    A bundled model runs in this process, any other in one of its own.

    Raises:
        MisreadModelError: its numbers are those of another family.
        ModelLoadError: it cannot be loaded, crashes, or needs more memory or time than
            is allowed; the message names the image.
        ImageReadError, LimitError: the photograph cannot be used.
    """
    allowed = limits or Limits()
    loaded = load_image(
        image.read_bytes(),
        file_name=image.name,
        max_pixels=allowed.max_image_pixels,
    )
    named = model if model.is_bundled else replace(model, name=UNNAMED)
    detector = load_apart_if_added(named, memory_bytes=allowed.max_model_memory_bytes)
    for name, pixels in _unusual_images(detector.input_size):
        _candidates(detector, pixels, name)
    seconds = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        candidates = _candidates(detector, loaded.rgb, image.name, size=loaded.size)
        seconds.append(time.perf_counter() - started)
    return DryRun(
        candidates,
        loaded.size,
        1_000 * median(seconds),
        detector.input_size,
        detector.runtime,
        detector.precision,
    )


def _unusual_images(size: Size) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield images on which numbers that follow from the image run wild."""
    shape = (size.height, size.width, 3)
    yield "a black image", np.zeros(shape, np.uint8)
    yield "a white image", np.full(shape, 255, np.uint8)
    random = np.random.default_rng(0)
    yield "an image of noise", random.integers(0, 256, shape, np.uint8)


def _candidates(
    detector: Detector,
    pixels: NDArray[np.uint8],
    name: str,
    *,
    size: Size | None = None,
) -> Candidates:
    upright = size or Size(pixels.shape[1], pixels.shape[0])
    try:
        return detector.candidates(pixels, size=upright)
    except ModelCrashError as error:
        raise error.on(name) from error


def boxes_of(tried: DryRun, labels: Sequence[str]) -> list[Annotation]:
    """Return what a dry run found under the usual thresholds, best first."""
    detections = select(
        tried.candidates,
        confidence_threshold=DEFAULT_CONFIDENCE,
        nms_threshold=DEFAULT_NMS_IOU,
    )
    return as_annotations(detections, model_labels=labels, model_id="trial")


def tags_of(tried: DryRun, labels: Sequence[str]) -> str:
    """Return the likeliest labels that a classifier gives the photograph, in words."""
    found = tried.candidates
    best = np.argsort(-found.confidence, kind="stable")[:_TAGS]
    shares = ((labels[found.class_id[i]], found.confidence[i]) for i in best)
    return ", ".join(f"{label} {percent(float(share))}" for label, share in shares)


def finding_of_tags(
    tried: DryRun, labels: Sequence[str], *, image: str
) -> ModelFinding:
    """Return the finding of a classifier's dry run."""
    return good(
        f"{image}: {tags_of(tried, labels)}; {tried.milliseconds:.0f} ms an image "
        f"({tried.runtime}, {tried.precision})."
    )


def finding_of(
    tried: DryRun, boxes: Sequence[Annotation], *, image: str
) -> ModelFinding:
    """Return the finding of a dry run's boxes: good, or a warning if they are odd.

    Args:
        tried: the run. boxes: from `boxes_of`.
        image: what the photograph is called.
    """
    count = f"{len(boxes)} box{'es' if len(boxes) != 1 else ''} in {image}"
    oddity = _oddity(boxes, tried.size)
    if oddity:
        return warning(f"{count}: {oddity}")
    return good(
        f"{count}, {tried.milliseconds:.0f} ms an image ({tried.runtime}, "
        f"{tried.precision})."
    )


def _oddity(boxes: Sequence[Annotation], size: Size) -> str:
    """Return why the boxes of a dry run are odd; empty if they are not."""
    misread = "its outputs may be decoded wrongly. Try another family."
    sides = [(box.box.width, box.box.height) for box in boxes]
    if not boxes:
        return (
            "the image has none of its labels, or its outputs are decoded wrongly. "
            "Try it on an image with an object that it was trained for."
        )
    if all(w >= _WHOLE * size.width and h >= _WHOLE * size.height for w, h in sides):
        return f"each is the whole image, so {misread}"
    if all(min(side) < _DOT_PX for side in sides):
        return f"each is smaller than {_DOT_PX} pixels, so {misread}"
    if len(boxes) > _FLOOD:
        return f"there are so many that {misread}"
    return ""


def draw_dry_run(
    boxes: Sequence[Annotation],
    image: Path,
    *,
    labels: Sequence[str],
    longest_side: int = 1_600,
    as_png: bool = False,
) -> bytes:
    """Return the image as a JPEG or a PNG with these boxes on it.

    longest_side: in pixels; labels are written at the size they are read at.

    Raises:
        ImageReadError, LimitError: the image cannot be read.
    """
    loaded = load_image(
        image.read_bytes(), file_name=image.name, max_pixels=Limits().max_image_pixels
    )
    shown = inner_size(loaded.size, Size(longest_side, longest_side))
    drawn = draw_annotations(
        resized(loaded.rgb, shown),
        boxes,
        labels=LabelSet.of(labels),
        from_size=loaded.size,
    )
    return encode_png(drawn) if as_png else encode_jpeg(drawn, quality=90)
