"""Build a detector from models and a quality: single pass, augmented or ensemble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from imagebase.detection.detector import (
    Detector,
    LoadedModel,
    load_single,
    shared_detector,
)
from imagebase.detection.ensemble import MAX_VOTERS, EnsembleDetector
from imagebase.detection.library import find_model
from imagebase.detection.model_files import Model
from imagebase.detection.tta import TtaDetector, View, ViewDetector
from imagebase.errors import ModelLoadError
from imagebase.settings import TEAM_OWNER

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

    models: names or paths; several are an ensemble, the first places the edges.
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
    """`load_single` or `shared_detector`."""

    def __call__(
        self,
        model: Model,
        *,
        runtime: str = ...,
        precision: str = ...,
        input_size: int | None = ...,
    ) -> LoadedModel: ...


def configured_detector(config: ModelConfig, *, owner_id: str = TEAM_OWNER) -> Detector:
    """Return the detector of a configuration, its models shared by this process.

    Raises:
        UnknownModelError, ModelLoadError: a model is missing or cannot be used.
    """
    models = [find_model(name, owner_id=owner_id) for name in config.models]
    return load_detector(
        models,
        quality=config.quality,
        input_size=config.input_size,
        load=shared_detector,
    )


def load_detector(
    models: Sequence[Model],
    *,
    quality: str = FAST,
    runtime: str = "auto",
    precision: str = "auto",
    input_size: int | None = None,
    load: LoadModel = load_single,
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

    def detector_for(model: Model) -> Detector:
        side = input_size if model.is_darknet or len(models) == 1 else None
        base = load(model, runtime=runtime, precision=precision, input_size=side)
        if quality == FAST:
            return base
        return TtaDetector(_views(model, base, load, runtime, precision))

    detectors = [detector_for(model) for model in models]
    return detectors[0] if len(detectors) == 1 else EnsembleDetector(detectors)


def _views(
    model: Model, base: LoadedModel, load: LoadModel, runtime: str, precision: str
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
