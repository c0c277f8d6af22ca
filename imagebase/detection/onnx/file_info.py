"""Read inputs, outputs and metadata of an ONNX file; nothing is run."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto
from onnx import load_model_from_string as parse_onnx

from imagebase.detection.darknet.graph import LABELS_KEY
from imagebase.detection.darknet.plan import MAX_CLASSES
from imagebase.detection.onnx.operators import (
    ALLOWED,
    CONTROL_FLOW,
    DOMAINS,
    MAX_NODES,
)
from imagebase.detection.onnx.part_count import check_parts
from imagebase.errors import ModelLoadError

MAX_ONNX_BYTES: Final = 1_000_000_000
_TASK_KEY: Final = "task"
CLASSIFY: Final = "classify"
# What leaves an output's numbers as they are.
_SHAPING: Final = frozenset(
    {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast"}
)
# Channels of the prototypes in a segmentation's second output.
_MASKS: Final = 32
_MOST_DIGITS: Final = 19

TensorShape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """What distinguishes the families; -1 stands for a side that is not fixed.

    element_types: of inputs and outputs, as numbers of ONNX's TensorProto.DataType.
    operations: kinds of nodes there are, those in branches left out.
    foreign: operators that are not ONNX's own, each with whose it is.
    nodes: how many there are.
    endings: the operator that each output's numbers come from; what only gives them
    another shape is left out.
    """

    metadata: dict[str, str]
    inputs: dict[str, TensorShape]
    outputs: dict[str, TensorShape]
    element_types: dict[str, int] = field(default_factory=dict)
    operations: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()
    nodes: int = 0
    is_for_training: bool = False
    endings: dict[str, str] = field(default_factory=dict)


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
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [tensor for tensor in model.graph.input if tensor.name not in constants]
    return OnnxModel(
        metadata={entry.key: entry.value for entry in model.metadata_props},
        inputs=_shapes(iter(inputs)),
        outputs=_shapes(iter(model.graph.output)),
        element_types={
            tensor.name: tensor.type.tensor_type.elem_type
            for tensor in (*inputs, *model.graph.output)
        },
        operations=frozenset(node.op_type for node in model.graph.node),
        foreign=_foreign(model),
        nodes=len(model.graph.node),
        is_for_training=bool(model.training_info) or _trains(model.graph),
        endings=_endings(model.graph),
    )


def shape_in_words(shape: TensorShape) -> str:
    """Return a shape for people: 1 × 3 × ? × ?, a question mark for an open side."""
    return " × ".join("?" if side < 0 else str(side) for side in shape) or "one number"


def task_of(model: OnnxModel) -> str:
    """Return what the metadata say that a model does; empty where they do not."""
    return model.metadata.get(_TASK_KEY, "").strip().lower()


def check_task(model: OnnxModel) -> None:
    """Let pass only what finds boxes or classifies, where the metadata say which.

    Raises:
        ModelLoadError: it does something else, or is a graph for training.
    """
    task = task_of(model)
    if task not in {"detect", CLASSIFY, ""}:
        raise ModelLoadError(
            f"This ONNX model is for the task {task[:40]!r}; only models that detect "
            "boxes or classify images can be used."
        )
    if model.is_for_training:
        raise ModelLoadError(
            "This ONNX model is a graph for training; export it for inference."
        )


def check_operations(model: OnnxModel) -> None:
    """Let pass the operators that exports of detectors use.

    Raises:
        ModelLoadError: there is another, one of other makers, control flow, or a
            plug-in of TensorRT; or there are too many.
    """
    plugins = sorted(name for name in model.operations if name.endswith("_TRT"))
    if plugins:
        raise ModelLoadError(
            f"This ONNX model ends in {plugins[0][:40]}, which only TensorRT has; "
            "export it without, or with the NMS of ONNX itself."
        )
    if model.foreign:
        raise ModelLoadError(
            f"This ONNX model uses {min(model.foreign)[:80]}, which is no operator of "
            "ONNX itself; export it with ONNX's own operators."
        )
    if loops := model.operations & CONTROL_FLOW:
        raise ModelLoadError(
            f"This ONNX model uses {min(loops)}, a loop or a branch, which is not run "
            "here; export it without, such as without its own post-processing."
        )
    if others := model.operations - ALLOWED:
        raise ModelLoadError(
            f"This ONNX model uses the operator {min(others)[:40]}, which is not among "
            "those that are run here; export it without."
        )
    if model.nodes > MAX_NODES:
        raise ModelLoadError(
            f"This ONNX model has {model.nodes} nodes; at most {MAX_NODES} are taken."
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
    if not isinstance(names, list):
        return ()
    # A names file has one a line: a line break would move all that follow.
    return tuple(" ".join(str(name).splitlines()) for name in names)


def matches(shape: TensorShape, *wanted: int) -> bool:
    """Say whether a shape is that wanted; -1 on either side stands for any number."""
    return len(shape) == len(wanted) and all(
        -1 in {side, other} or side == other
        for side, other in zip(shape, wanted, strict=True)
    )


def answer_of(model: OnnxModel) -> tuple[str, TensorShape] | None:
    """Return name and shape of the output that holds the boxes; None where none does.

    There may also be raw maps of training (YOLOv5 up to 6.0, YOLOv7) of four or
    five sides. Of several alike the last counts, which is YOLOv9's main branch.
    """
    answers = [(name, shape) for name, shape in model.outputs.items() if shape]
    tables = [answer for answer in answers if len(answer[1]) <= 3]
    if len({shape for _, shape in tables}) != 1 or len(answers) < len(model.outputs):
        return None
    has_masks = any(is_masks(shape) for _, shape in answers)
    return None if has_masks else tables[-1]


def is_masks(shape: TensorShape) -> bool:
    """Say whether an output is what a segmentation's masks are put together from."""
    return len(shape) == 4 and shape[1] == _MASKS


def _parsed(content: bytes) -> ModelProto:
    model = parsed_graph(content)
    if any(_is_external(tensor) for tensor in _tensors(model.graph)):
        raise ModelLoadError(
            "This ONNX model keeps its weights in another file; export it as one file."
        )
    return model


def parsed_graph(content: bytes) -> ModelProto:
    """Return an ONNX file's content; nothing is run.

    Raises:
        ModelLoadError: the bytes are no such file, or would fill the memory.
    """
    check_parts(content)
    try:
        model = parse_onnx(content)
    except DecodeError as error:
        raise ModelLoadError("The file is not an ONNX model.") from error
    if not model.graph.node:
        raise ModelLoadError("The file is not an ONNX model, or an empty one.")
    return model


def _foreign(model: ModelProto) -> frozenset[str]:
    functions = {f"the function {function.name}" for function in model.functions}
    operators = {
        f"{node.op_type} of {node.domain}"
        for node in model.graph.node
        if node.domain not in DOMAINS
    }
    return frozenset(functions | operators)


def _endings(graph: GraphProto) -> dict[str, str]:
    maker = {name: node for node in graph.node for name in node.output}
    endings = {}
    for output in graph.output:
        node, seen = maker.get(output.name), 0
        # A damaged graph may go round in circles.
        while node and node.op_type in _SHAPING and node.input and seen < len(maker):
            node, seen = maker.get(node.input[0]), seen + 1
        endings[output.name] = node.op_type if node else ""
    return endings


def _is_external(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL or bool(tensor.external_data)


def _trains(graph: GraphProto) -> bool:
    """Say whether a batch norm still learns: it then has more outputs than one."""
    return any(
        attribute.name == "training_mode" and attribute.i
        for node in graph.node
        if node.op_type == "BatchNormalization"
        for attribute in node.attribute
    )


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
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


def _as_number(key: object) -> int:
    if isinstance(key, str):
        return int(key) if key.isdecimal() and len(key) < _MOST_DIGITS else -1
    return key if isinstance(key, int) else -1
