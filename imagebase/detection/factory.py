"""Build a detector from models and a quality: single pass, augmented or ensemble."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from imagebase.detection.detector import Detector, load_single
from imagebase.detection.ensemble import MAX_VOTERS, EnsembleDetector
from imagebase.detection.isolated import IsolatedModel
from imagebase.detection.library import registered_model
from imagebase.detection.model_files import Model
from imagebase.detection.onnx import classifier
from imagebase.detection.taught.taught_detector import load_taught
from imagebase.detection.tta import TtaDetector, View, ViewDetector
from imagebase.errors import ModelLoadError
from imagebase.settings import TEAM_OWNER, Mode, settings

FAST: Final = "fast"
ACCURATE: Final = "accurate"
QUALITIES: Final = (FAST, ACCURATE)
INPUT_SIZES: Final = tuple(range(320, 833, 32))
_STEP: Final = 32

# The whole image; mirrored and, where the net can, a quarter larger; in four tiles that
# overlap, for small objects.
RESIZABLE: Final = (View(1.0), View(1.25, mirrored=True), View(1.0, tiles=2))
FIXED: Final = (View(1.0), View(1.0, mirrored=True), View(1.0, tiles=2))


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which models are run, and how.

    models: names; several are an ensemble, the first places the edges.
    input_size: side of the net for models that can change it; None is their own.
    """

    models: tuple[str, ...]
    quality: str = FAST
    input_size: int | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "ModelConfig":
        """Return the configuration in a job's parameters; defaults fill the rest."""
        others = parameters.get("other_models") or ()
        return cls(
            (parameters["model"], *others),
            parameters.get("quality") or FAST,
            parameters.get("input_size"),
        )

    def parameters(self) -> dict[str, Any]:
        """Return the configuration as a job's parameters, which `of` reads."""
        return {
            "model": self.models[0],
            "other_models": list(self.models[1:]),
            "quality": self.quality,
            "input_size": self.input_size,
        }


class LoadModel(Protocol):
    """`load_apart_if_added` or `shared_detector`."""

    def __call__(
        self,
        model: Model,
        *,
        runtime: str = ...,
        precision: str = ...,
        input_size: int | None = ...,
    ) -> Detector: ...


def load_apart_if_added(
    model: Model,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    input_size: int | None = None,
    memory_bytes: int | None = None,
) -> Detector:
    """Return a detector of its own: a bundled model here, any other in a worker.

    Args:
        model: from the registry or a person's own files.
        runtime, precision, input_size: as in `load_single`.
        memory_bytes: what a worker process may use; None is what this machine's
            settings allow.

    Raises:
        ModelLoadError: the files, the runtime or these settings cannot be used.
    """
    if model.is_taught:
        # Nothing in its file is run.
        if input_size:
            raise ModelLoadError(
                f"{model.name}: its input is fixed; leave the input size out."
            )
        return load_taught(model)
    if model.is_bundled:
        return load_single(
            model, runtime=runtime, precision=precision, input_size=input_size
        )
    allowed = memory_bytes or settings().limits_for(Mode.TEAM).max_model_memory_bytes
    return IsolatedModel(
        model,
        runtime=runtime,
        precision=precision,
        input_size=input_size,
        memory_bytes=allowed,
    )


class _Key(NamedTuple):
    model: Model
    changed: tuple[int, ...]
    runtime: str
    precision: str
    input_size: int | None
    memory_bytes: int | None


@dataclass(slots=True)
class _Shared:
    """A detector once it is loaded; whoever comes meanwhile waits for the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    detector: Detector | None = None


# The most recently used come last; a detector holds up to some hundred megabytes.
_MAX_SHARED: Final = 8
_shared: Final[dict[_Key, _Shared]] = {}
_shared_lock: Final = threading.Lock()


def shared_detector(
    model: Model,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    input_size: int | None = None,
    memory_bytes: int | None = None,
) -> Detector:
    """Return this process's one detector for these files and settings.

    Arguments and errors are those of `load_apart_if_added`. Changed files are loaded
    again. A model that is being loaded makes others wait rather than load twice.
    """
    paths = [path for path in (model.graph, model.weights) if path]
    try:
        changed = tuple(path.stat().st_mtime_ns for path in paths)
    except OSError as error:
        raise ModelLoadError(
            f"The files of the model {model.name} cannot be read: {error.strerror}."
        ) from error
    key = _Key(model, changed, runtime, precision, input_size, memory_bytes)
    with _shared_lock:
        shared = _shared.pop(key, None) or _Shared()
        _shared[key] = shared
        if len(_shared) > _MAX_SHARED:
            del _shared[next(iter(_shared))]
    # A model that takes long to load delays only those who want the same one.
    with shared.lock:
        if shared.detector is None:
            shared.detector = load_apart_if_added(
                model,
                runtime=runtime,
                precision=precision,
                input_size=input_size,
                memory_bytes=memory_bytes,
            )
        return shared.detector


def configured_detector(config: ModelConfig, *, owner_id: str = TEAM_OWNER) -> Detector:
    """Return the detector of a configuration, its models shared by this process.

    The configuration comes from a browser: its models are names, never paths.

    Raises:
        UnknownModelError, ModelLoadError: a model is missing or cannot be used.
    """
    models = [registered_model(name, owner_id=owner_id) for name in config.models]
    return load_detector(
        models,
        quality=config.quality,
        input_size=config.input_size,
        load=partial(shared_detector, memory_bytes=memory_allowed(owner_id)),
    )


def memory_allowed(owner_id: str) -> int:
    """Return the bytes of memory that a model of this owner may use."""
    mode = Mode.TEAM if owner_id == TEAM_OWNER else Mode.DEMO
    return settings().limits_for(mode).max_model_memory_bytes


def load_detector(
    models: Sequence[Model],
    *,
    quality: str = FAST,
    runtime: str = "auto",
    precision: str = "auto",
    input_size: int | None = None,
    load: LoadModel = load_apart_if_added,
) -> Detector:
    """Return a detector that runs these models.

    Args:
        models: one, or several for an ensemble.
        quality: `fast` for a single pass, `accurate` for test-time augmentation.
        runtime, precision: as in `load_single`.
        input_size: side of a square net; models of a fixed size in an ensemble
            keep theirs.
        load: loads one model.

    Raises:
        ModelLoadError: the files, the runtime or these settings cannot be used.
    """
    if quality not in QUALITIES:
        known = ", ".join(QUALITIES)
        raise ModelLoadError(f"There is no quality {quality!r}; give one of {known}.")
    if not 0 < len(models) <= MAX_VOTERS:
        raise ModelLoadError(f"Choose 1 to {MAX_VOTERS} models.")
    for model in models:
        if model.is_classifier:
            raise ModelLoadError(f"{model.name} is {classifier.USE}.")

    def detector_for(model: Model) -> Detector:
        side = input_size if model.is_darknet or len(models) == 1 else None
        base = load(model, runtime=runtime, precision=precision, input_size=side)
        if quality == FAST:
            return base
        return TtaDetector(_views(model, base, load, runtime, precision))

    detectors = [detector_for(model) for model in models]
    return detectors[0] if len(detectors) == 1 else EnsembleDetector(detectors)


def augmented(detector: Detector) -> TtaDetector:
    """Return a detector of a fixed size with test-time augmentation."""
    return TtaDetector([ViewDetector(detector, view) for view in FIXED])


def _views(
    model: Model, base: Detector, load: LoadModel, runtime: str, precision: str
) -> list[ViewDetector]:
    if not model.is_darknet:
        return [ViewDetector(base, view) for view in FIXED]
    side = base.input_size.width
    views = []
    for view in RESIZABLE:
        detector = base
        if view.scale != 1:
            larger = int(side * view.scale) // _STEP * _STEP
            detector = load(
                model, runtime=runtime, precision=precision, input_size=larger
            )
        views.append(ViewDetector(detector, view))
    return views
