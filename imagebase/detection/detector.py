"""Detector protocol, and one loaded model that implements it."""

import logging
import time
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates, mirrored_left_right
from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.model_files import Model, sha256_of
from imagebase.detection.onnx import classifier
from imagebase.detection.onnx.families import Adapter, OnnxModel, adapter_for, read_onnx
from imagebase.detection.onnx.inputs import for_one_image
from imagebase.detection.preprocess import placed
from imagebase.detection.runtime import Runtime, load_runtime
from imagebase.errors import MisreadModelError, ModelLoadError
from imagebase.geometry import clip_xyxy

CANDIDATE_FLOOR: Final = 0.01
ONE_PASS: Final = "single"
ACCURATE: Final = "accurate"


class Detector(Protocol):
    """Finds boxes in images; every method may be called from any thread.

    model_id: stored with its boxes; the same files give the same id.
    sha256: differs between models whose results may differ.
    input_size: of the net; of several models, that of the first.
    wanted: image size beyond which more pixels gain nothing.
    passes: `ONE_PASS` or `ACCURATE`. voters: its models where there are several.
    """

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def sha256(self) -> str: ...
    @property
    def model_id(self) -> str: ...
    @property
    def input_size(self) -> Size: ...
    @property
    def wanted(self) -> Size: ...
    @property
    def runtime(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def passes(self) -> str: ...
    @property
    def voters(self) -> tuple[str, ...]: ...

    def candidates(
        self,
        rgb: NDArray[np.uint8],
        *,
        size: Size,
        floor: float = CANDIDATE_FLOOR,
        mirrored: bool = False,
    ) -> Candidates:
        """Return every box and class above the floor, in pixels of the full size."""
        ...


_ID_DIGITS: Final = 12

_log: Final = logging.getLogger(__name__)


class LoadedModel:
    """One model in one runtime; every method may be called from any thread.

    model_id: name and the first digits of sha256; the same files give the same id.
    sha256: of the .cfg followed by the .weights, or of the .onnx file; the cfg belongs
    to it because its anchors and scales change the boxes, and so does the
    family an .onnx file is read as.
    input_size: of the net; wanted: image size beyond which more pixels gain nothing.
    passes: one; voters: none, being one model.
    runtime, precision: what `auto` came to.
    """

    def __init__(
        self,
        model: Model,
        *,
        sha256: str,
        adapter: Adapter,
        runtime: Runtime,
        asked_size: int | None = None,
    ) -> None:
        self.name = model.name
        self.labels = model.labels
        self.sha256 = sha256
        self.model_id = model_id_of(model, sha256)
        self.input_size = self.wanted = adapter.net_size
        self.passes = ONE_PASS
        self.voters: tuple[str, ...] = ()
        self.runtime = runtime.name
        self.precision = runtime.precision
        self._adapter = adapter
        self._runtime = runtime
        self._model = model
        self._asked_size = asked_size

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the content of the files: it can be loaded on another machine."""
        options = (self.runtime, self.precision, self._asked_size)
        return _loaded_again, (self._model, *read_files(self._model), *options)

    def candidates(
        self,
        rgb: NDArray[np.uint8],
        *,
        size: Size,
        floor: float = CANDIDATE_FLOOR,
        mirrored: bool = False,
    ) -> Candidates:
        """Return every box and class above the floor, before suppression.

        Of a model that sees them everywhere, only the `MAX_CANDIDATES` most confident.

        Args:
            rgb: the upright image, shape (H, W, 3); may be decoded at a reduced size.
            size: the full upright size; boxes are given in its pixels, as floats,
                clipped to it.
            floor: the least confidence that is kept.
            mirrored: run on the image flipped left to right; boxes are still in pixels
                of the upright one.

        Raises:
            MisreadModelError: the numbers show that the outputs are of another family.
            ModelLoadError: they have another shape than the file says.
        """
        if mirrored:
            return run_mirrored(self, rgb, size=size, floor=floor)
        adapter = self._adapter
        prepared = adapter.prepare(rgb, adapter.net_size)
        try:
            heads = adapter.decode(self._runtime.run(prepared.blob), floor)
        except (ValueError, IndexError) as error:
            raise ModelLoadError(
                f"{self.name}: its outputs are not those that its file tells of; "
                "export it for one image of one size."
            ) from error
        except MisreadModelError as error:
            what = f"{self.name}: {error.what}"
            raise MisreadModelError(what, family=error.family) from error
        except ModelLoadError as error:
            raise ModelLoadError(f"{self.name}: {error}.") from error
        relative = placed(
            heads.xyxy,
            net_size=adapter.net_size,
            inner=prepared.inner,
            corner=prepared.corner,
        )
        sides = np.array([*size, *size], dtype=np.float32)
        xyxy = clip_xyxy(relative * sides, size)
        # A box that lies outside altogether, or is not a number, is no box; where a net
        # does its own suppression, only the labels say how many classes there are.
        real = (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)
        real &= (heads.class_id >= 0) & (heads.class_id < len(self.labels))
        boxes = replace(heads, xyxy=xyxy.astype(np.float32))
        return boxes.rows(real).most_confident()


def run_mirrored(
    detector: Detector, rgb: NDArray[np.uint8], *, size: Size, floor: float
) -> Candidates:
    """Run a detector on the image flipped left to right; boxes are of the upright one.

    Arguments are those of `Detector.candidates`.
    """
    flipped = np.ascontiguousarray(rgb[:, ::-1])
    candidates = detector.candidates(flipped, size=size, floor=floor)
    return mirrored_left_right(candidates, width=size.width)


def load_single(
    model: Model,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    input_size: int | None = None,
) -> LoadedModel:
    """Return a model loaded into this process; only for files that can be trusted.

    Args:
        model: from the registry.
        runtime: `auto`, `openvino` or `opencv`.
        precision: `auto` (bf16 where the CPU has it), `f32` or `bf16`.
        input_size: side of a square net in place of the model's own (Darknet, and an
            ONNX model that leaves it open).

    Raises:
        ModelLoadError: the files, the runtime or these settings cannot be used.
    """
    return loaded_from(
        model,
        *read_files(model),
        runtime=runtime,
        precision=precision,
        input_size=input_size,
    )


def loaded_from(
    model: Model,
    graph: bytes,
    weights: bytes | None,
    *,
    runtime: str,
    precision: str,
    input_size: int | None,
) -> LoadedModel:
    """Return a detector from the content of a model's files, as `load_single` does.

    graph: of the .cfg or the .onnx file. weights: of the .weights file of a .cfg.
    """
    started = time.monotonic()
    try:
        onnx = graph
        if weights is not None:
            onnx = darknet_to_onnx(
                graph, weights, labels=model.labels, input_size=input_size
            )
        file_info = read_onnx(onnx)
        adapter = _checked_adapter(model, file_info, input_size)
        onnx = for_one_image(onnx, file_info, adapter.net_size, outputs=adapter.outputs)
        if precision == "auto" and adapter.needs_f32:
            precision = "f32"
        loaded = load_runtime(
            onnx, outputs=adapter.outputs, runtime=runtime, precision=precision
        )
    except ModelLoadError as error:
        raise ModelLoadError(f"{model.name}: {error}") from error
    sha256 = _digest(model, graph, weights)
    detector = LoadedModel(
        model, sha256=sha256, adapter=adapter, runtime=loaded, asked_size=input_size
    )
    log_loaded(detector, time.monotonic() - started)
    return detector


def _loaded_again(
    model: Model,
    graph: bytes,
    weights: bytes | None,
    runtime: str,
    precision: str,
    input_size: int | None,
) -> LoadedModel:
    return loaded_from(
        model,
        graph,
        weights,
        runtime=runtime,
        precision=precision,
        input_size=input_size,
    )


def log_loaded(detector: Detector, seconds: float) -> None:
    """Log that a model is ready, and what `auto` came to."""
    width, height = detector.input_size
    _log.info(
        "Model %s loaded in %.2f s: %s, %s, %d×%d",
        *(detector.name, seconds, detector.runtime, detector.precision, width, height),
    )


def read_files(model: Model) -> tuple[bytes, bytes | None]:
    """Return the content of a model's graph, and of its weights if they are apart.

    Raises:
        ModelLoadError: they cannot be read.
    """
    try:
        weights = model.weights.read_bytes() if model.weights else None
        return model.graph.read_bytes(), weights
    except OSError as error:
        raise ModelLoadError(
            f"The files of the model {model.name} cannot be read: {error.strerror}."
        ) from error


def sha256_of_model(model: Model) -> str:
    """Return the digest of a model's files, as its detector has it.

    Raises:
        ModelLoadError: they cannot be read.
    """
    return _digest(model, *read_files(model))


def _digest(model: Model, graph: bytes, weights: bytes | None) -> str:
    return sha256_of(graph, weights, None if weights else model.family)


def model_id_of(model: Model, sha256: str) -> str:
    """Return a model's name and the first digits of its digest."""
    return f"{model.identity or model.name}-{sha256[:_ID_DIGITS]}"


def _checked_adapter(
    model: Model, file_info: OnnxModel, input_size: int | None
) -> Adapter:
    adapter = adapter_for(
        file_info, labels=len(model.labels), family=model.family, side=input_size
    )
    if adapter.family in classifier.FAMILIES and not model.is_classifier:
        raise ModelLoadError(f"it is {classifier.USE}.")
    if input_size and adapter.net_size != (input_size, input_size):
        raise ModelLoadError(
            "its input is fixed at "
            f"{adapter.net_size.width}×{adapter.net_size.height}; leave the input size "
            "out."
        )
    if adapter.classes not in {None, len(model.labels)}:
        raise ModelLoadError(
            f"it knows {adapter.classes} classes and {len(model.labels)} labels are "
            "named; give one label a class, in order."
        )
    return adapter
