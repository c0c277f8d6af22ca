"""Small real ONNX models with known outputs, whatever image they are shown."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

# 64 × 96: 8 × 12 cells of 8 pixels, 4 × 6 of 16, 2 × 3 of 32.
WIDTH, HEIGHT = 96, 64
CELLS = 96 + 24 + 6


def speaking_model(
    output: ArrayLike,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """Return a model that says this of every image: 0 · its mean, plus the output."""
    values = np.ascontiguousarray(output, np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "values"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "speaking",
        [
            helper.make_tensor_value_info(
                "images", TensorProto.FLOAT, [1, 3, height, width]
            )
        ],
        [
            helper.make_tensor_value_info(
                "output0", TensorProto.FLOAT, list(values.shape)
            )
        ],
        [
            numpy_helper.from_array(np.zeros((), np.float32), "zero"),
            numpy_helper.from_array(values, "values"),
        ],
    )
    opset = helper.make_opsetid("", 13)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    helper.set_model_props(model, metadata or {})
    return bytes(model.SerializeToString())


def write_speaking_model(
    folder: Path, output: ArrayLike, *, names: str = "cat\ndog\n"
) -> Path:
    """Write such a model with its names beside it; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "obj.names").write_text(names)
    path = folder / "model.onnx"
    path.write_bytes(speaking_model(output))
    return path


def v5_output() -> np.ndarray:
    """One box in pixels of the net, objectness .9, classes .8 and .05."""
    output = np.zeros((1, 3 * CELLS, 7), np.float32)
    output[0, 40] = [48, 32, 24, 16, 0.9, 0.8, 0.05]
    return output


def v8_output() -> np.ndarray:
    """One box in pixels of the net, its classes .72 and .045."""
    output = np.zeros((1, 6, CELLS), np.float32)
    output[0, :, 40] = [48, 32, 24, 16, 0.72, 0.045]
    return output


def v8_rows_output() -> np.ndarray:
    """The same, a row a box, and a third class: two would fit an end in an NMS too."""
    output = np.zeros((1, CELLS, 7), np.float32)
    output[0, 40] = [48, 32, 24, 16, 0.72, 0.045, 0]
    return output


def end_to_end_output(*, class_id: float = 0) -> np.ndarray:
    """One box as corners, confidence and class; the other rows are not needed."""
    output = np.zeros((1, 300, 6), np.float32)
    output[0, 0] = [36, 24, 60, 40, 0.72, class_id]
    return output


def yolox_output(*, decoded: bool) -> np.ndarray:
    """One box: a stride and a half of 16 pixels wide, or the same in pixels."""
    output = np.zeros((1, CELLS, 7), np.float32)
    # Third row and fourth column of the grid of 16 pixels: 96 + 2 · 6 + 3.
    place = [0, 0, np.log(1.5), 0] if not decoded else [48, 32, 24, 16]
    output[0, 96 + 12 + 3] = [*place, 0.9, 0.8, 0.05]
    return output
