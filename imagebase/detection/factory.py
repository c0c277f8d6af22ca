"""From models and a quality to what looks at pictures: once, often, or by vote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from imagebase.detection.detector import (
    Detector,
    LoadedModel,
    load_model,
    shared_detector,
)
from imagebase.detection.ensemble import MAX_VOTERS, VotingDetector
from imagebase.detection.library import find_model
from imagebase.detection.model_files import Model
from imagebase.detection.tta import AccurateDetector, Glance, View
from imagebase.errors import ModelLoadError
from imagebase.settings import TEAM_OWNER

FAST: Final = "fast"
ACCURATE: Final = "accurate"
QUALITIES: Final = (FAST, ACCURATE)
INPUT_SIZES: Final = tuple(range(320, 833, 32))
_STEP: Final = 32

# As it is; mirrored and, where the net can, a quarter larger; in four tiles that
# overlap, for what is small.
RESIZABLE: Final = (Glance(1.0), Glance(1.25, mirrored=True), Glance(1.0, tiles=2))
FIXED: Final = (Glance(1.0), Glance(1.0, mirrored=True), Glance(1.0, tiles=2))


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """How pictures are looked at; what a job's parameters say of it.

    models: names or paths; more than one vote, the first placing the edges.
    input_size: side of the net for models that can change it; None is their own.
    """

    models: tuple[str, ...]
    quality: str = FAST
    input_size: int | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "ModelConfig":
        """Return what a job's parameters ask for; what is missing is as usual."""
        others = parameters.get("other_models") or ()
        return cls(
            (parameters["model"], *others),
            parameters.get("quality") or FAST,
            parameters.get("input_size"),
        )

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of a job that `of` reads."""
        return {
            "model": self.models[0],
            "other_models": list(self.models[1:]),
            "quality": self.quality,
            "input_size": self.input_size,
        }


class Load(Protocol):
    """`load_detector` or `shared_detector`."""

    def __call__(
        self,
        model: Model,
        *,
        runtime: str = ...,
        precision: str = ...,
        input_size: int | None = ...,
    ) -> LoadedModel: ...


def shared_looker(setup: ModelConfig, *, owner_id: str = TEAM_OWNER) -> Detector:
    """Return what looks as a setup says, from this process's own detectors.

    Raises:
        UnknownModelError, ModelLoadError: a model is not there or cannot be used.
    """
    models = [find_model(one, owner_id=owner_id) for one in setup.models]
    return load_detector(
        models,
        quality=setup.quality,
        input_size=setup.input_size,
        load=shared_detector,
    )


def load_detector(
    models: Sequence[Model],
    *,
    quality: str = FAST,
    runtime: str = "auto",
    precision: str = "auto",
    input_size: int | None = None,
    load: Load = load_model,
) -> Detector:
    """Return what looks at pictures with these models.

    Args:
        models: one, or several that vote.
        quality: `fast` for one look, `accurate` for several that are fused.
        runtime, precision: as `load_detector` has them.
        input_size: side of a square net; of several models those that have a fixed one
            keep it.
        load: where detectors come from.

    Raises:
        ModelLoadError: the files, the runtime or these settings cannot be used.
    """
    if quality not in QUALITIES:
        known = ", ".join(QUALITIES)
        raise ModelLoadError(f"There is no quality {quality!r}; give one of {known}.")
    if not 0 < len(models) <= MAX_VOTERS:
        raise ModelLoadError(f"Choose 1 to {MAX_VOTERS} models.")

    def one(model: Model) -> Detector:
        side = input_size if model.is_darknet or len(models) == 1 else None
        base = load(model, runtime=runtime, precision=precision, input_size=side)
        if quality == FAST:
            return base
        return AccurateDetector(_eyes(model, base, load, runtime, precision))

    lookers = [one(model) for model in models]
    return lookers[0] if len(lookers) == 1 else VotingDetector(lookers)


def _eyes(
    model: Model, base: LoadedModel, load: Load, runtime: str, precision: str
) -> list[View]:
    if not model.is_darknet:
        return [View(base, glance) for glance in FIXED]
    side = base.input_size.width
    eyes = []
    for glance in RESIZABLE:
        own = base
        if glance.scale != 1:
            larger = int(side * glance.scale) // _STEP * _STEP
            own = load(model, runtime=runtime, precision=precision, input_size=larger)
        eyes.append(View(own, glance))
    return eyes
