"""Which family an ONNX model is of, how pictures go in and boxes come out."""

import ast
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto
from onnx import load_model_from_string as parse_onnx

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet import LABELS_KEY, METADATA_KEY
from imagebase.detection.darknet_plan import MAX_CLASSES, MAX_NET_SIDE
from imagebase.detection.heads import Head, decode_heads
from imagebase.detection.preprocessing import Prepared, letterboxed, stretched
from imagebase.errors import ModelLoadError
from imagebase.geometry import cxcywh_to_xyxy

MAX_ONNX_BYTES: Final = 1_000_000_000
_YOLOX_STRIDES: Final = (8, 16, 32)
# exp() of more is infinite in float32; no box is e**20 strides wide.
_MAX_EXPONENT: Final = 20.0

FloatBlob = NDArray[np.float32]
TensorShape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to use one model.

    prepare: from RGB (H, W, 3) and the net's size to what the net reads.
    decode: from the raw outputs, in the order of `outputs`, and a floor to candidates
    whose boxes are relative to the net's size (0 to 1), not clipped.
    """

    family: str
    net_size: Size
    classes: int
    outputs: tuple[str, ...]
    prepare: Callable[[NDArray[np.uint8], Size], Prepared]
    decode: Callable[[Sequence[FloatBlob], float], Candidates]


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """What the families are told apart by; -1 stands for a side that is not fixed."""

    metadata: dict[str, str]
    inputs: dict[str, TensorShape]
    outputs: dict[str, TensorShape]


def read_onnx(content: bytes) -> OnnxModel:
    """Return the inputs, outputs and metadata of an ONNX file; nothing is run.

    Raises:
        ModelLoadError: the bytes are no such file, or it points to other files.
    """
    if len(content) > MAX_ONNX_BYTES:
        raise ModelLoadError(
            f"The ONNX file has {len(content)} bytes; at most {MAX_ONNX_BYTES} are "
            "taken."
        )
    model = _parsed(content)
    constants = {one.name for one in model.graph.initializer}
    return OnnxModel(
        metadata={one.key: one.value for one in model.metadata_props},
        inputs=_shapes(one for one in model.graph.input if one.name not in constants),
        outputs=_shapes(iter(model.graph.output)),
    )


def labels_of(model: OnnxModel) -> tuple[str, ...]:
    """Return the class names in a model's metadata in order; empty where none are.

    Both a JSON list and Ultralytics' `{0: 'person', …}` are read.
    """
    text = model.metadata.get(LABELS_KEY, "")
    if not text or len(text) > MAX_CLASSES * 100:
        return ()
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=_as_number)]
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def recipe_for(model: OnnxModel) -> Recipe:
    """Return how to use a model, by the first family that knows it.

    Raises:
        ModelLoadError: no family knows it; the message has the outputs' shapes.
    """
    for recognise in FAMILIES.values():
        recipe = recognise(model)
        if recipe is not None:
            return recipe
    shapes = ", ".join(f"{name} {shape}" for name, shape in model.outputs.items())
    raise ModelLoadError(
        f"This ONNX model is of no known family ({', '.join(FAMILIES)}): its outputs "
        f"are {shapes[:500] or 'none'}."
    )


def _parsed(content: bytes) -> ModelProto:
    try:
        model = parse_onnx(content)
    except DecodeError as error:
        raise ModelLoadError("The file is not an ONNX model.") from error
    if not model.graph.node:
        raise ModelLoadError("The file is not an ONNX model, or an empty one.")
    if any(_is_external(tensor) for tensor in _tensors(model.graph)):
        raise ModelLoadError(
            "This ONNX model keeps its weights in another file; export it as one file."
        )
    return model


def _is_external(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL or bool(tensor.external_data)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for inner in attribute.graphs:
                yield from _tensors(inner)


def _shapes(values: Iterator[ValueInfoProto]) -> dict[str, TensorShape]:
    return {
        value.name: tuple(
            side.dim_value if side.HasField("dim_value") else -1
            for side in value.type.tensor_type.shape.dim
        )
        for value in values
    }


def _net_size(model: OnnxModel) -> Size | None:
    """Return the size of the one picture a model takes, where it is fixed."""
    if len(model.inputs) != 1:
        return None
    (shape,) = model.inputs.values()
    if len(shape) != 4 or shape[:2] != (1, 3):
        return None
    height, width = shape[2:]
    fits = 0 < height <= MAX_NET_SIDE and 0 < width <= MAX_NET_SIDE
    return Size(width, height) if fits else None


def _as_number(key: object) -> int:
    return int(key) if isinstance(key, int | str) and str(key).isdecimal() else -1


def _recognise_darknet(model: OnnxModel) -> Recipe | None:
    """Read our own converter's metadata."""
    net_size = _net_size(model)
    if METADATA_KEY not in model.metadata or net_size is None:
        return None
    try:
        described = json.loads(model.metadata[METADATA_KEY])
        heads = tuple(_head(one) for one in described["heads"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelLoadError(
            "The metadata of this ONNX model are damaged; convert it from its cfg "
            "and weights again."
        ) from error
    _check_heads(heads, model)

    def decode(outputs: Sequence[FloatBlob], floor: float) -> Candidates:
        return decode_heads(heads, outputs, net_size=net_size, floor=floor)

    return Recipe(
        family="darknet",
        net_size=net_size,
        classes=heads[0].classes,
        outputs=tuple(head.name for head in heads),
        prepare=stretched,
        decode=decode,
    )


def _head(described: dict[str, Any]) -> Head:
    """Return a head from JSON; whatever is not as written raises or is converted."""
    return Head(
        name=str(described["name"]),
        kind="region" if described["kind"] == "region" else "yolo",
        classes=int(described["classes"]),
        anchors=tuple((float(w), float(h)) for w, h in described["anchors"]),
        mask=tuple(int(one) for one in described["mask"]),
        scale_x_y=float(described["scale_x_y"]),
        new_coords=bool(described["new_coords"]),
    )


def _check_heads(heads: Sequence[Head], model: OnnxModel) -> None:
    for head in heads:
        shape = model.outputs.get(head.name, ())
        in_range = all(0 <= one < len(head.anchors) for one in head.mask)
        if not in_range or len(shape) != 4 or shape[1] != head.channels:
            raise ModelLoadError(
                f"The metadata of this ONNX model do not fit its output {head.name} "
                f"{shape}; convert it from its cfg and weights again."
            )
    if len({head.classes for head in heads}) != 1:
        raise ModelLoadError(
            "The metadata of this ONNX model name no heads, or heads of different "
            "classes; convert it from its cfg and weights again."
        )


def _recognise_yolox(model: OnnxModel) -> Recipe | None:
    """Know YOLOX by its one output: a row a cell of three grids, none decoded."""
    net_size = _net_size(model)
    if net_size is None or len(model.outputs) != 1:
        return None
    ((name, shape),) = model.outputs.items()
    cells = sum(len(_grid(net_size, stride)) for stride in _YOLOX_STRIDES)
    if len(shape) != 3 or shape[1] != cells or not 5 < shape[2] <= 5 + MAX_CLASSES:
        return None
    corners, strides = _yolox_grid(net_size)

    def decode(outputs: Sequence[FloatBlob], floor: float) -> Candidates:
        return _decode_yolox(outputs[0][0], corners, strides, net_size, floor)

    return Recipe(
        family="yolox",
        net_size=net_size,
        classes=shape[2] - 5,
        outputs=(name,),
        prepare=letterboxed,
        decode=decode,
    )


def _grid(net_size: Size, stride: int) -> NDArray[np.float32]:
    """Return column and row of each cell in row order, shape (cells, 2)."""
    rows, columns = np.mgrid[: net_size.height // stride, : net_size.width // stride]
    return np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)


def _yolox_grid(net_size: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    grids = [_grid(net_size, stride) for stride in _YOLOX_STRIDES]
    strides = [
        np.full((len(grid), 1), stride, np.float32)
        for grid, stride in zip(grids, _YOLOX_STRIDES, strict=True)
    ]
    return np.concatenate(grids), np.concatenate(strides)


def _decode_yolox(
    rows: FloatBlob,
    corners: FloatBlob,
    strides: FloatBlob,
    net_size: Size,
    floor: float,
) -> Candidates:
    """Return every class above the floor (YOLOX's demo_postprocess, before its NMS).

    Columns are x, y, width, height, objectness, classes; the last two come as
    probabilities already.
    """
    cells = np.flatnonzero(rows[:, 4] >= floor)
    values = rows[cells]
    confidence = values[:, 4:5] * values[:, 5:]
    index, class_id = np.nonzero(confidence >= floor)
    centre = (values[:, :2] + corners[cells]) * strides[cells]
    extent = np.exp(np.minimum(values[:, 2:4], _MAX_EXPONENT)) * strides[cells]
    boxes = cxcywh_to_xyxy(np.concatenate([centre, extent], axis=1))[index]
    sides = np.array([*net_size, *net_size], dtype=np.float32)
    return Candidates(
        (boxes / sides).astype(np.float32),
        confidence[index, class_id].astype(np.float32),
        class_id.astype(np.int32),
    )


FAMILIES: Final[dict[str, Callable[[OnnxModel], Recipe | None]]] = {
    "darknet": _recognise_darknet,
    "yolox": _recognise_yolox,
}
