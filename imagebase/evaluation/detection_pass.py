"""Run the models of an evaluation: read their names, detect from 0.001 confidence."""

import contextlib
import ctypes
import ctypes.util
import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import numpy as np

from imagebase.detection.candidates import Candidates, Detections, select
from imagebase.detection.detection_model import EXAMPLES, load_model
from imagebase.detection.detector import Detector
from imagebase.detection.factory import (
    ACCURATE,
    FAST,
    load_apart_if_added,
    load_detector,
    memory_allowed,
)
from imagebase.detection.label_mapping import LabelMapping, map_labels
from imagebase.detection.library import find_model
from imagebase.detection.model_files import Model
from imagebase.detection.pipeline import ImageSource, detect_many, loader_for
from imagebase.detection.runtime import has_bf16
from imagebase.errors import EvaluationRequestError
from imagebase.evaluation.arrays import (
    CONFIDENCE_FLOOR,
    MAX_DETECTIONS,
    Predictions,
    Truth,
)
from imagebase.settings import DEFAULT_NMS_IOU, TEAM_OWNER, Limits

ACCURATE_SUFFIX: Final = "accurate"
_VOTE: Final = "&"
PRECISIONS: Final = ("f32", "bf16")
_LEAST_SIZE: Final = 32
_MOST_SIZE: Final = 2048


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model and how it is run.

    spec: as requested; its name in every table.
    models: names, folders, files, or `examples:` and a folder; more than one vote.
    input_size: None is the model's own.
    """

    spec: str
    models: tuple[str, ...]
    input_size: int | None = None
    is_accurate: bool = False
    precision: str = "auto"

    @property
    def is_by_examples(self) -> bool:
        """Say whether it is one model that a folder of examples teaches."""
        return len(self.models) == 1 and self.models[0].startswith(EXAMPLES)


def parse_model_spec(spec: str) -> ModelSpec:
    """Return what a text asks for, read from its end: paths may hold + and @.

    Raises:
        EvaluationRequestError: it contradicts itself or names a size that cannot be.
    """
    rest, is_accurate, precision = spec.strip(), False, ""
    while True:
        before, plus, option = rest.rpartition("+")
        if not plus or option not in (ACCURATE_SUFFIX, *PRECISIONS):
            break
        if option == ACCURATE_SUFFIX:
            is_accurate = True
        elif precision and precision != option:
            raise EvaluationRequestError(
                f"{spec} asks for two precisions; leave one out."
            )
        else:
            precision = option
        rest = before
    model, at, size = rest.rpartition("@")
    if not at or not size.isdecimal():
        model, size = rest, ""
    models = tuple(name.strip() for name in model.split(_VOTE))
    if not all(models):
        raise EvaluationRequestError(
            f"{spec!r} names no model; give NAME, or NAME@SIZE."
        )
    return ModelSpec(
        spec.strip(),
        models,
        _checked_size(spec, int(size)) if size else None,
        is_accurate,
        precision or "auto",
    )


def models_named(parameters: Mapping[str, object]) -> set[str]:
    """Return every text in a job's parameters that may name a model, or models."""
    values = [
        each
        for value in parameters.values()
        for each in (value if isinstance(value, list | tuple) else [value])
        if isinstance(each, str)
    ]
    names = {*values}
    for value in values:
        with contextlib.suppress(EvaluationRequestError):
            names |= {*parse_model_spec(value).models}
    return names


def _checked_size(spec: str, size: int) -> int:
    if size % 32 or not _LEAST_SIZE <= size <= _MOST_SIZE:
        near = min(max(_LEAST_SIZE, round(size / 32) * 32), _MOST_SIZE)
        raise EvaluationRequestError(
            f"{spec}: {size} is no multiple of 32 from {_LEAST_SIZE} to {_MOST_SIZE}; "
            f"try {near}."
        )
    return size


class FindModel(Protocol):
    """`find_model` or `registered_model`."""

    def __call__(self, name: str, /, *, owner_id: str) -> Model: ...


OnLooked = Callable[[int], bool]
ChoicesFor = Callable[[str], Mapping[str, str | None]]

_STATUS: Final = Path("/proc/self/statm")
_SAMPLE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a pass, without loading the runtime that all models share.

    images_per_second: from the first file read to the last box. load_seconds: until the
    model was ready. memory_bytes: how much the process grew at most while the model was
    loaded and worked, sampled; None where the system does not tell.
    """

    images_per_second: float
    load_seconds: float
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class DetectionPass:
    """Detections of a model on the images of a ground truth.

    model_id: name and digest; for detections of another program, its name.
    cost: None where another program ran the model. refused: file and reason.
    """

    spec: str
    model_id: str
    found: Predictions
    mapping: LabelMapping
    cost: Cost | None
    refused: Mapping[str, str]


class CancelledError(Exception):
    """Nobody wants the pass any more."""


def run_pass(
    model_spec: ModelSpec,
    truth: Truth,
    sources: Sequence[ImageSource],
    *,
    choices_for: ChoicesFor = lambda _: {},
    on_looked: OnLooked = lambda _: True,
    should_stop: Callable[[], bool] | None = None,
    max_pixels: int = Limits().max_image_pixels,
    owner_id: str = TEAM_OWNER,
    find: FindModel = find_model,
) -> DetectionPass:
    """Return what a model_spec finds on the images of a truth, all of them once.

    Args:
        sources: of the truth's images, in their order.
        choices_for: from a model's id to what a person calls its labels, beyond name
            and synonym.
        on_looked: called with the number of images done; returns whether to continue.
        should_stop: ends the pass, also amid an image where the model runs apart.
        max_pixels: of an image.
        owner_id: whose added models may be named.
        find: `find_model`, or `registered_model` for names that a browser sent.

    Raises:
        UnknownModelError, ModelLoadError: there is no such model, or not like this.
        CancelledError: `on_looked` returned False, or `should_stop` True.
    """
    has_bf16()  # the runtime itself is loaded once, and is no model's cost
    with _Growth() as growth:
        began = time.perf_counter()
        detector = _detector(model_spec, owner_id, find)
        loaded = time.perf_counter()
        mapping = map_labels(
            detector.labels,
            truth.labels,
            choices=choices_for(detector.model_id),
            used=truth.used_labels,
        )
        passed = _Passed(detector, mapping, truth)
        items = detect_many(
            detector,
            sources,
            floor=CONFIDENCE_FLOOR,
            load=loader_for(detector, max_pixels=max_pixels),
            should_stop=should_stop,
        )
        for place, item in enumerate(items):
            if item.candidates is None:
                passed.refused[truth.images[place].name] = str(item.error)
            else:
                passed.add(place, item.candidates)
            if not on_looked(place + 1):
                raise CancelledError
        if should_stop and should_stop():
            raise CancelledError
        seconds = time.perf_counter() - loaded
    cost = Cost(
        len(sources) / seconds if seconds else 0.0, loaded - began, growth.bytes
    )
    return DetectionPass(
        model_spec.spec,
        detector.model_id,
        passed.found(),
        mapping,
        cost,
        passed.refused,
    )


def _detector(model_spec: ModelSpec, owner_id: str, find: FindModel) -> Detector:
    """Return a detector loaded for this pass alone, as its start-up is measured.

    A browser's names are registered ones: it cannot name a folder of examples.
    """
    if model_spec.is_by_examples and find is find_model:
        return load_model(
            model_spec.models[0],
            quality=ACCURATE if model_spec.is_accurate else FAST,
            input_size=model_spec.input_size,
        ).detector
    return load_detector(
        [find(model, owner_id=owner_id) for model in model_spec.models],
        quality=ACCURATE if model_spec.is_accurate else FAST,
        precision=model_spec.precision,
        input_size=model_spec.input_size,
        load=partial(load_apart_if_added, memory_bytes=memory_allowed(owner_id)),
    )


class _Passed:
    """Collects what a pass finds, image after image."""

    def __init__(self, detector: Detector, mapping: LabelMapping, truth: Truth) -> None:
        labels = {name: place for place, name in enumerate(truth.labels)}
        names = [mapping.names.get(name) for name in detector.labels]
        self._targets = np.array(
            [labels[name] if name is not None else -1 for name in names], dtype=np.intp
        )
        # Labels that are one in the truth are suppressed as one.
        first = {name: names.index(name) for name in names if name is not None}
        self._kinds = np.array(
            [place if n is None else first[n] for place, n in enumerate(names)],
            dtype=np.int32,
        )
        self._kept: list[tuple[int, Detections]] = []
        self.refused: dict[str, str] = {}

    def add(self, image: int, candidates: Candidates) -> None:
        kinds = self._kinds[candidates.class_id]
        self._kept.append((image, selected(candidates, kinds.astype(np.int32))))

    def found(self) -> Predictions:
        empty = [Detections.empty()]
        each = [detections for _, detections in self._kept] or empty
        images = [image for image, _ in self._kept] or [0]
        image = np.repeat(images, [len(detections) for detections in each])
        label = self._targets[
            np.concatenate([detections.class_id for detections in each])
        ]
        predictions = Predictions(
            image.astype(np.intp),
            label,
            np.concatenate([detections.xyxy for detections in each]).astype(np.float64),
            np.concatenate([detections.confidence for detections in each]).astype(
                np.float64
            ),
        )
        return predictions.rows(label >= 0)


def selected(
    candidates: Candidates, kinds: np.ndarray[tuple[int], np.dtype[np.int32]]
) -> Detections:
    """Return what an evaluation keeps of the candidates of one image."""
    return select(
        Candidates(candidates.xyxy, candidates.confidence, kinds),
        confidence_threshold=CONFIDENCE_FLOOR,
        nms_threshold=DEFAULT_NMS_IOU,
        max_detections=MAX_DETECTIONS,
    )


class _Growth:
    """How much this process grows, sampled while the block runs."""

    bytes: int | None = None

    def __init__(self) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(
            target=self._sample, name="imagebase-memory", daemon=True
        )
        self._before = 0
        self._peak = 0

    def __enter__(self) -> Self:
        _give_back_memory()
        self._before = self._peak = _resident_bytes()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        if self._before:
            self.bytes = max(self._peak - self._before, 0)

    def _sample(self) -> None:
        while self._before:
            self._peak = max(self._peak, _resident_bytes())
            if self._done.wait(_SAMPLE_SECONDS):
                break


def _resident_bytes() -> int:
    """Return how much memory this process has; 0 where the system does not tell."""
    try:
        pages = int(_STATUS.read_text(encoding="ascii").split()[1])
    except (OSError, LookupError, ValueError):
        return 0
    import resource

    return pages * resource.getpagesize()


def _give_back_memory() -> None:
    """Free what the last model left, or it would be lent to the next one unseen."""
    gc.collect()
    name = ctypes.util.find_library("c")
    if name and _STATUS.exists():
        trim = getattr(ctypes.CDLL(name), "malloc_trim", None)
        if trim is not None:
            trim(0)
