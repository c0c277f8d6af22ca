"""Load a model by name and run it on single images."""

import time
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagebase.annotation import Annotation, Size
from imagebase.detection.candidates import Candidates, Detections, select
from imagebase.detection.detector import CANDIDATE_FLOOR, Detector
from imagebase.detection.factory import FAST, augmented, load_detector
from imagebase.detection.library import find_model
from imagebase.detection.model_files import Model
from imagebase.detection.selection_rule import SelectionRule, as_annotations
from imagebase.errors import ImageReadError, ModelLoadError, UnknownLabelError
from imagebase.images.decode import LoadedImage, load_image, upright_rgb
from imagebase.settings import (
    DEFAULT_CONFIDENCE,
    DEFAULT_MODEL,
    DEFAULT_NMS_IOU,
    Mode,
    settings,
)

# What is before a folder of images and label files that a model is taught by.
EXAMPLES: Final = "examples:"
# The type checker does not know the dtype of what OpenCV reads.
ImageInput = NDArray[Any] | Image.Image | str | PathLike[str]


class DetectionModel:
    """A loaded model: call it with an image and it returns the boxes it finds.

    `load_model` makes one. It may be shared by threads.

    detector: the network underneath. quality: `fast` or `accurate`.
    load_seconds: how long loading took.
    """

    def __init__(
        self, detector: Detector, *, quality: str = FAST, load_seconds: float = 0.0
    ) -> None:
        self.detector = detector
        self.quality = quality
        self.load_seconds = load_seconds

    def __repr__(self) -> str:
        width, height = self.input_size
        return (
            f"<DetectionModel {self.name}, {len(self.labels)} labels, {width}×{height}>"
        )

    @property
    def name(self) -> str:
        """The model's name; of an ensemble all names, joined by ` + `."""
        return self.detector.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each class id."""
        return self.detector.labels

    @property
    def input_size(self) -> Size:
        """Width and height of the network's input in pixels."""
        return self.detector.input_size

    def __call__(
        self,
        image: ImageInput,
        *,
        confidence: float = DEFAULT_CONFIDENCE,
        nms: float = DEFAULT_NMS_IOU,
        labels: Sequence[str] | None = None,
    ) -> Detections:
        """Return the boxes on one image, the most confident first.

        Args:
            image: a path, a PIL image, or an array of shape (H, W, 3), uint8, RGB (an
                OpenCV image is BGR: pass `image[:, :, ::-1]`). A file or PIL image is
                turned upright by its EXIF orientation first.
            confidence: the minimum confidence, 0.001 to 1.
            nms: of two boxes of one label that overlap by more than this IoU the less
                confident one is dropped.
            labels: only these; None keeps all.

        Returns:
            Boxes in pixels of the full upright image.

        Raises:
            ImageReadError, LimitError: the image cannot be used.
            UnknownLabelError: the model has no such label.

        >>> import imagebase
        >>> model = imagebase.load_model()
        >>> detections = model("photos/skier.jpg", confidence=0.6)
        >>> detections.labels
        ('person', 'skis')
        """
        self.check_labels(labels or ())
        rule = SelectionRule(confidence, nms, labels=tuple(labels) if labels else None)
        loaded = loaded_image(image, wanted=self.detector.wanted)
        candidates = self.detector.candidates(
            loaded.rgb, size=loaded.size, floor=floor_of(rule)
        )
        return self.select(candidates, rule)

    detect = __call__

    def select(self, candidates: Candidates, rule: SelectionRule) -> Detections:
        """Return what a rule keeps of one image's candidates, without inference."""
        selected = select(
            candidates,
            confidence_threshold=rule.confidence_threshold,
            nms_threshold=rule.nms_threshold,
            class_ids=rule.class_ids(self.labels),
        )
        return replace(selected, class_names=self.labels)

    def annotations(self, detections: Detections) -> list[Annotation]:
        """Return detections as annotations of this model, for label files.

        >>> import imagebase
        >>> model = imagebase.load_model()
        >>> detections = model("photos/skier.jpg", confidence=0.6)
        >>> [annotation.label for annotation in model.annotations(detections)]
        ['person', 'skis']
        """
        return as_annotations(
            detections,
            model_labels=self.labels,
            model_id=self.detector.model_id,
            voters=self.detector.voters,
        )

    def check_labels(self, names: Sequence[str]) -> None:
        """Raise UnknownLabelError for the first name that is no label of the model."""
        for name in names:
            if name not in self.labels:
                near = get_close_matches(name, self.labels) or self.labels[:5]
                raise UnknownLabelError(
                    f"{self.name} has no label {name!r} among its {len(self.labels)}; "
                    f"is it {' or '.join(map(repr, near))}?"
                )


def load_model(
    model: str | PathLike[str] = DEFAULT_MODEL,
    *,
    quality: str = FAST,
    runtime: str = "auto",
    precision: str = "auto",
    input_size: int | None = None,
) -> DetectionModel:
    """Load a model, or an ensemble of several.

    Args:
        model: a name that `imagebase models list` shows, a folder with obj.cfg,
            obj.weights and obj.names, an .onnx file, or a taught model's .npz file;
            several names separated by commas form an ensemble. `examples:` and a folder
            with images and label files teaches a model by these (see `teach`).
        quality: `fast` for one pass over an image, `accurate` for test-time
            augmentation, about six times the work.
        runtime: `openvino`, `opencv`, or `auto`.
        precision: `f32`, `bf16`, or `auto`: bf16 where the CPU has it.
        input_size: side of the network's input in pixels, a multiple of 32; None keeps
            the model's own.

    Raises:
        UnknownModelError: there is no such model.
        ModelLoadError: its files or these settings cannot be used.
        TeachingError, AnnotationFileError: nothing can be learned from the examples.

    >>> import imagebase
    >>> imagebase.load_model("yolov4-tiny", input_size=320)
    <DetectionModel yolov4-tiny, 80 labels, 320×320>
    """
    started = time.perf_counter()
    if fspath(model).startswith(EXAMPLES):
        return _taught(fspath(model).removeprefix(EXAMPLES), quality, input_size)
    models = _models(fspath(model))
    detector = load_detector(
        models,
        quality=quality,
        runtime=runtime,
        precision=precision,
        input_size=input_size,
    )
    seconds = time.perf_counter() - started
    return DetectionModel(detector, quality=quality, load_seconds=seconds)


def _taught(labels: str, quality: str, input_size: int | None) -> DetectionModel:
    from imagebase.detection.taught.teach import teach

    if input_size:
        raise ModelLoadError("A taught model's input is fixed; leave the size out.")
    model = teach(labels)
    if quality == FAST:
        return model
    return DetectionModel(
        augmented(model.detector), quality=quality, load_seconds=model.load_seconds
    )


def floor_of(rule: SelectionRule) -> float:
    """Return the minimum confidence of candidates; never above a rule's threshold."""
    return min(CANDIDATE_FLOOR, rule.confidence_threshold)


def _models(names: str) -> list[Model]:
    parts = [name.strip() for name in names.split(",") if name.strip()]
    if len(parts) < 2 or Path(names).exists():
        return [find_model(names)]
    return [find_model(name) for name in parts]


def loaded_image(image: ImageInput, *, wanted: Size) -> LoadedImage:
    """Return the upright pixels of what a model takes.

    Args:
        image: a path, a PIL image, or an array of shape (H, W, 3), uint8, RGB.
        wanted: a size that will do, as in `load_image`.

    Raises:
        ImageReadError, LimitError: the image cannot be used.
    """
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if isinstance(image, Image.Image):
        return _of_array(upright_rgb(image))
    path = Path(image)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageReadError(f"{path} cannot be opened ({error.strerror}).") from error
    most = settings().limits_for(Mode.TEAM).max_image_pixels
    return load_image(data, file_name=str(path), max_pixels=most, wanted=wanted)


def _of_array(rgb: NDArray[Any]) -> LoadedImage:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise ImageReadError(
            "An image array has to be uint8 RGB of shape (height, width, 3); this one "
            f"is {rgb.dtype} of shape {rgb.shape}."
        )
    return LoadedImage(rgb, Size(rgb.shape[1], rgb.shape[0]))
