"""OpenVINO first, OpenCV as the fallback: one protocol over one ONNX graph.

Traps the settings below answer: models of two processes with pinned threads share one
core; a fork after `ov.Core()` hangs, so start processes by spawn; two threads that make
the process's first OpenVINO tensor at once hang, so the first run is done alone; a
`cv2.dnn` net keeps its input between calls, so only one thread may use it at a time.
"""

import os
import queue
import sys
import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from imagebase.errors import ModelLoadError
from imagebase.settings import read_inference_threads

if TYPE_CHECKING:
    import openvino

RUNTIMES: Final = ("auto", "openvino", "opencv")
PRECISIONS: Final = ("auto", "f32", "bf16")
# Two images at a time, each on half the cores: the best of the arrangements measured.
STREAMS: Final = 2

_loading: Final = threading.Lock()


class Runtime(Protocol):
    """A loaded graph; `run` may be called from any thread."""

    @property
    def name(self) -> str:
        """`openvino` or `opencv`."""

    @property
    def precision(self) -> str:
        """`f32` or `bf16`: what it computes in."""

    def run(self, blob: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the outputs for one input blob, arrays of their own."""


def load_runtime(
    onnx: bytes, *, outputs: Sequence[str], runtime: str, precision: str
) -> Runtime:
    """Return an ONNX graph ready to run.

    Args:
        onnx: the model.
        outputs: names of the outputs, in the order `run` returns them.
        runtime: `openvino`, `opencv`, or `auto` for the first of them that is there.
        precision: `f32`, `bf16`, or `auto` for bf16 where the CPU has it.

    Raises:
        ModelLoadError: the runtime cannot load the graph, or has not this precision.
    """
    if runtime not in RUNTIMES or precision not in PRECISIONS:
        raise ModelLoadError(
            f"There is no runtime {runtime!r} with precision {precision!r}; choose of "
            f"{', '.join(RUNTIMES)} and {', '.join(PRECISIONS)}."
        )
    if runtime == "auto":
        runtime = "openvino" if has_openvino() else "opencv"
    if runtime == "opencv":
        return OpenCvRuntime(onnx, outputs=outputs, precision=precision)
    return OpenVinoRuntime(onnx, outputs=outputs, precision=precision)


@cache
def has_openvino() -> bool:
    """Say whether OpenVINO can be imported here."""
    # With this module missing OpenVINO does not report each import to its makers.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


@cache
def has_bf16() -> bool:
    """Say whether OpenVINO finds bf16 in this CPU."""
    if not has_openvino():
        return False
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def _core() -> "openvino.Core":
    import openvino

    # Two pools of threads on the same cores only wait for each other.
    cv2.setNumThreads(1)
    return openvino.Core()


class OpenVinoRuntime:
    """A compiled model with two streams and a pool of infer requests."""

    name = "openvino"

    def __init__(self, onnx: bytes, *, outputs: Sequence[str], precision: str) -> None:
        if not has_openvino():
            raise ModelLoadError(
                "OpenVINO is not installed; install it, or choose the runtime opencv."
            )
        with _loading:
            can_bf16 = has_bf16()
        if precision == "bf16" and not can_bf16:
            raise ModelLoadError("This CPU has no bf16; choose the precision f32.")
        if precision == "auto":
            precision = "bf16" if can_bf16 else "f32"
        self.precision = precision
        self._outputs = tuple(outputs)
        self._requests: queue.LifoQueue[openvino.InferRequest] = queue.LifoQueue()
        try:
            with _loading:
                self._load(onnx)
        except RuntimeError as error:
            raise _unloadable("OpenVINO", error) from error

    def _load(self, onnx: bytes) -> None:
        model = _core().read_model(model=onnx, weights=b"")
        compiled = _core().compile_model(model, "CPU", _options(self.precision))
        for _ in range(STREAMS):
            self._requests.put(compiled.create_infer_request())
        # Not only a check: see the hang at the head of this module.
        self.run(np.zeros(tuple(compiled.input(0).shape), dtype=np.float32))

    def run(self, blob: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the outputs for one input blob; waits while both streams are busy."""
        request = self._requests.get()
        try:
            request.infer([blob], share_inputs=True)
            return [
                np.array(request.get_tensor(name).data, dtype=np.float32)
                for name in self._outputs
            ]
        finally:
            self._requests.put(request)


def _options(precision: str) -> dict[str, object]:
    options: dict[str, object] = {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": STREAMS,
        "ENABLE_CPU_PINNING": False,
    }
    if threads := read_inference_threads(os.environ):
        options["INFERENCE_NUM_THREADS"] = threads
        options["NUM_STREAMS"] = min(STREAMS, threads)
    return options


class OpenCvRuntime:
    """The same graph in OpenCV's DNN module, one thread at a time."""

    name = "opencv"
    precision = "f32"

    def __init__(self, onnx: bytes, *, outputs: Sequence[str], precision: str) -> None:
        if precision == "bf16":
            raise ModelLoadError(
                "The runtime opencv computes in f32 only; choose the precision f32, or "
                "the runtime openvino."
            )
        self._outputs = list(outputs)
        self._lock = threading.Lock()
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(onnx, np.uint8))
        except cv2.error as error:
            raise _unloadable("OpenCV", error) from error

    def run(self, blob: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the outputs for one input blob; waits for other threads."""
        with self._lock:
            self._net.setInput(blob)
            arrays = self._net.forward(self._outputs)
        return [np.array(output, dtype=np.float32) for output in arrays]


def _unloadable(runtime: str, error: Exception) -> ModelLoadError:
    lines = str(error).strip().splitlines()
    return ModelLoadError(
        f"{runtime} cannot load this model: {lines[-1][:300] if lines else 'no reason'}"
    )
