"""A model that did not come with ImageBase, run in a worker process of its own.

Such a file may make a runtime crash, hang, fill the memory or run code that is not
ours; it then ends that process, and who asked gets one sentence.
"""

import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet.plan import MAX_NET_SIDE
from imagebase.detection.detector import (
    CANDIDATE_FLOOR,
    ONE_PASS,
    LoadedModel,
    loaded_from,
    log_loaded,
    model_id_of,
    read_files,
    sha256_of_model,
)
from imagebase.detection.model_files import Model
from imagebase.detection.onnx.families import FAMILY_NAMES
from imagebase.detection.runtime import PRECISIONS, RUNTIMES, STREAMS
from imagebase.errors import (
    MisreadModelError,
    ModelCrashError,
    ModelLoadError,
    WorkerCrashError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from imagebase.geometry import clip_xyxy
from imagebase.settings import Limits
from imagebase.workers.process import (
    Answer,
    Array,
    TaskCall,
    Values,
    WorkerLimits,
    WorkerProcess,
)

SECONDS: Final = 60.0
START_SECONDS: Final = 120.0
_GRACE_SECONDS: Final = 2.0
# The name of a model that a person has not named yet.
UNNAMED: Final = "The model"
_GRAPH, _WEIGHTS = "model.onnx", "obj.weights"

_should_stop: Final[ContextVar[Callable[[], bool] | None]] = ContextVar(
    "should_stop", default=None
)


@contextmanager
def stopping_when(should_stop: Callable[[], bool] | None) -> Iterator[None]:
    """Within it, models of this thread that run apart are killed when this is true.

    What is at work when it becomes true has two seconds from its start to be done.
    """
    began = time.monotonic()

    def is_over() -> bool:
        is_late = time.monotonic() - began > _GRACE_SECONDS
        return is_late and should_stop is not None and should_stop()

    token = _should_stop.set(is_over if should_stop else None)
    try:
        yield
    finally:
        _should_stop.reset(token)


class IsolatedModel:
    """One model in a worker process; a `Detector`, as `LoadedModel` is.

    The process is started again after it was killed, and stopped while idle.

    Args:
        model: its files are read here and handed over; the process reads no others.
        runtime, precision, input_size: as in `load_single`.
        memory_bytes: what the process may use.

    Raises:
        ModelLoadError: the files, the runtime or these settings cannot be used, or
            loading them crashed.
    """

    def __init__(
        self,
        model: Model,
        *,
        runtime: str = "auto",
        precision: str = "auto",
        input_size: int | None = None,
        memory_bytes: int = Limits().max_model_memory_bytes,
    ) -> None:
        self.name, self.labels = model.name, model.labels
        self._title = UNNAMED if model.name == UNNAMED else f"The model {model.name}"
        self.sha256 = sha256_of_model(model)
        self.model_id = model_id_of(model, self.sha256)
        self.passes, self.voters = ONE_PASS, ()
        self._model, self._memory_bytes = model, memory_bytes
        self._asked_size = input_size
        asked = {
            "name": model.name,
            "labels": model.labels,
            "family": model.family,
            "runtime": runtime,
            "precision": precision,
            "input_size": input_size,
        }
        self._worker = WorkerProcess(
            WorkerLimits(memory_bytes, seconds=SECONDS, start_seconds=START_SECONDS),
            slots=STREAMS,
            setup=lambda: TaskCall(_load, asked, _arrays_of(model)),
        )
        started = time.monotonic()
        ready = self._ready(memory_bytes)
        self.input_size = self.wanted = ready.input_size
        self.runtime, self.precision = ready.runtime, ready.precision
        log_loaded(self, time.monotonic() - started)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the content of the files: it can be run on another machine."""
        options = (self.runtime, self.precision, self._asked_size, self._memory_bytes)
        return _run_again, (self._model, *read_files(self._model), *options)

    def candidates(
        self,
        rgb: NDArray[np.uint8],
        *,
        size: Size,
        floor: float = CANDIDATE_FLOOR,
        mirrored: bool = False,
    ) -> Candidates:
        """Return every box and class above the floor, before suppression.

        Arguments are those of `LoadedModel.candidates`.

        Raises:
            ModelCrashError: it crashed, took too long, or filled the memory.
            WorkerCancelledError: `stopping_when` said so.
            MisreadModelError, ModelLoadError: as there.
        """
        asked = {"size": size, "floor": floor, "mirrored": mirrored}
        try:
            answer = self._worker.call(
                _run, asked, [rgb], should_stop=_should_stop.get()
            )
        except WorkerTimeoutError as error:
            what = f"took more than {SECONDS:.0f} s and was stopped"
            raise ModelCrashError(self._title, what) from error
        except WorkerMemoryError as error:
            what = "needed more memory than is allowed here"
            raise ModelCrashError(self._title, what) from error
        except WorkerCrashError as error:
            raise ModelCrashError(self._title, "crashed") from error
        _raise_misread(answer)
        return _checked(answer, size, classes=len(self.labels))

    def stop(self) -> None:
        """Stop the process; the next image starts it again."""
        self._worker.stop()

    def _ready(self, memory_bytes: int) -> "_Ready":
        allowed = f"the {memory_bytes / 1e9:.1f} GB of memory allowed here"
        try:
            answer = self._worker.start(should_stop=_should_stop.get())
        except WorkerTimeoutError as error:
            raise ModelLoadError(
                f"{self._title} took more than {START_SECONDS:.0f} s to load "
                "and was stopped; export a smaller one."
            ) from error
        except WorkerMemoryError as error:
            raise ModelLoadError(f"{self._title} needs more than {allowed}.") from error
        except WorkerCrashError as error:
            raise ModelLoadError(
                f"{self._title} could not be run: it crashed while it was "
                f"loaded, or needed more than {allowed}."
            ) from error
        _raise_misread(answer)
        return _Ready.of(answer.values)


def _run_again(
    model: Model,
    graph: bytes,
    weights: bytes | None,
    runtime: str,
    precision: str,
    input_size: int | None,
    memory_bytes: int,
) -> IsolatedModel:
    folder = Path(tempfile.mkdtemp(prefix="imagebase-model-"))
    here = replace(
        model,
        graph=folder / model.graph.name,
        weights=None if weights is None else folder / _WEIGHTS,
    )
    here.graph.write_bytes(graph)
    if here.weights is not None and weights is not None:
        here.weights.write_bytes(weights)
    isolated = IsolatedModel(
        here,
        runtime=runtime,
        precision=precision,
        input_size=input_size,
        memory_bytes=memory_bytes,
    )
    # Its process is started again from these files.
    weakref.finalize(isolated, shutil.rmtree, folder, ignore_errors=True)
    return isolated


class _Ready(NamedTuple):
    """What a worker says of the model it loaded."""

    input_size: Size
    runtime: str
    precision: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "_Ready":
        runtime, precision = values.get("runtime"), values.get("precision")
        try:
            size = Size(*values["input_size"])
            is_sound = all(
                type(side) is int and 0 < side <= MAX_NET_SIDE for side in size
            )
        except (KeyError, TypeError):
            is_sound = False
        if not is_sound or runtime not in RUNTIMES or precision not in PRECISIONS:
            raise ModelLoadError("The model's worker process sent an invalid answer.")
        return cls(size, runtime, precision)


def _raise_misread(answer: Answer) -> None:
    misread = answer.values.get("misread")
    if isinstance(misread, list) and len(misread) == 2 and misread[1] in FAMILY_NAMES:
        raise MisreadModelError(str(misread[0]), family=str(misread[1]))


def _arrays_of(model: Model) -> list[Array]:
    graph, weights = read_files(model)
    return [np.frombuffer(part, np.uint8) for part in (graph, weights) if part]


def _checked(answer: Answer, size: Size, *, classes: int) -> Candidates:
    """Return what a worker found, with nothing in it that is no box of this image."""
    try:
        xyxy, confidence, class_id = answer.arrays
        found = Candidates(
            clip_xyxy(xyxy.astype(np.float32), size),
            confidence.astype(np.float32),
            class_id.astype(np.int32),
        )
    except (ValueError, IndexError) as error:
        raise ModelLoadError(
            "The model's worker process sent an invalid answer."
        ) from error
    real = (found.xyxy[:, 2:] > found.xyxy[:, :2]).all(axis=1)
    real &= (found.class_id >= 0) & (found.class_id < classes)
    real &= np.isfinite(found.confidence)
    return (found if real.all() else found.rows(real)).most_confident()


# From here on in the worker process.

_loaded: Final[list[LoadedModel]] = []


def _load(values: Values, arrays: list[Array]) -> Answer:
    """Load the model whose files these are."""
    graph, *weights = [array.tobytes() for array in arrays]
    model = Model(
        values["name"],
        Path(_GRAPH),
        Path(_WEIGHTS) if weights else None,
        tuple(values["labels"]),
        title="",
        origin="",
        family=values["family"],
    )
    asked = {key: values[key] for key in ("runtime", "precision", "input_size")}
    try:
        detector = loaded_from(model, graph, weights[0] if weights else None, **asked)
    except MisreadModelError as error:
        return Answer({"misread": [error.what, error.family]})
    _loaded[:] = [detector]
    return Answer(
        {
            "input_size": detector.input_size,
            "runtime": detector.runtime,
            "precision": detector.precision,
        }
    )


def _run(values: Values, arrays: list[Array]) -> Answer:
    """Run the loaded model on an image."""
    try:
        found = _loaded[0].candidates(
            arrays[0],
            size=Size(*values["size"]),
            floor=values["floor"],
            mirrored=values["mirrored"],
        )
    except MisreadModelError as error:
        return Answer({"misread": [error.what, error.family]})
    return Answer({}, [found.xyxy, found.confidence, found.class_id])
