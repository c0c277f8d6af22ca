"""Inputs of an ONNX model: one image of one size, and other inputs fixed in the graph.

Sides that an export left open are fixed, and what a model wants to know of the size is
put into its graph, so that every graph that is run has one input.
"""

import ast
import math
from collections.abc import Callable, Collection, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper, numpy_helper

from imagebase.annotation import Size
from imagebase.detection.darknet.plan import MAX_NET_SIDE
from imagebase.detection.onnx.file_info import (
    OnnxModel,
    TensorShape,
    parsed_graph,
    shape_in_words,
)
from imagebase.errors import ModelLoadError, OpenSizeError

SIZE_KEY: Final = "imgsz"
_MOST_SIZE_TEXT: Final = 100

_MASK: Final = "pixel_mask"
# Inputs besides the image. Given the net's own size, their boxes come in
# its pixels: RT-DETR and D-FINE ask for width and height, Paddle's for rows first.
_OTHER_INPUTS: Final[Mapping[str, Callable[[Size], NDArray[np.float32]]]] = {
    "orig_target_sizes": lambda size: np.array([[size.width, size.height]], np.float32),
    "im_shape": lambda size: np.array([[size.height, size.width]], np.float32),
    "scale_factor": lambda _: np.ones((1, 2), np.float32),
    _MASK: lambda size: np.ones((1, size.height, size.width), np.float32),
}
_READABLE: Final = frozenset({TensorProto.FLOAT, TensorProto.UINT8})
_NUMBERS: Final = frozenset(
    {TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
)


def image_size(model: OnnxModel, *, side: int | None = None) -> Size:
    """Return the size of the one image a model takes.

    Args:
        model: from `read_onnx`.
        side: of a square image, where its height and width are open; None takes
            what Ultralytics' metadata say (imgsz).

    Raises:
        OpenSizeError: they are open, and no size is given.
        ModelLoadError: it takes something else; the message says what, and how to
            export it otherwise.
    """
    name = image_input(model)
    shape = model.inputs[name]
    count, channels, height, width = shape
    if channels not in {3, -1}:
        raise _no_image(name, shape)
    if count not in {1, -1}:
        raise ModelLoadError(
            f"This ONNX model reads {count} images at a time; export it with batch=1."
        )
    asked = (
        Size(side, side)
        if side
        else _size_in_metadata(model.metadata.get(SIZE_KEY, ""))
    )
    if -1 in {height, width} and asked is None:
        raise OpenSizeError(
            f"The input {name} of this ONNX model has no fixed size "
            f"({shape_in_words(shape)}); export it for one image of one size "
            "(dynamic=False, imgsz=640, batch=1 in Ultralytics), or say the side of "
            "the images it was trained with (input size)."
        )
    size = Size(
        asked.width if width < 0 and asked else width,
        asked.height if height < 0 and asked else height,
    )
    if not (0 < size.height <= MAX_NET_SIDE and 0 < size.width <= MAX_NET_SIDE):
        raise ModelLoadError(
            f"This ONNX model reads images of {size.width} × {size.height} pixels; "
            f"at most {MAX_NET_SIDE} a side are taken."
        )
    return size


def image_input(model: OnnxModel) -> str:
    """Return the name of the input that takes the image.

    Raises:
        ModelLoadError: there is none, or another input that cannot be filled in.
    """
    known = asks_for_size(model)
    images = [name for name in model.inputs if name not in known]
    if len(images) != 1:
        names = ", ".join(model.inputs)[:200] or "none"
        raise ModelLoadError(
            f"This ONNX model has {len(model.inputs)} inputs ({names}); a model has "
            f"one, the image, and may ask for {', '.join(_OTHER_INPUTS)}."
        )
    name = images[0]
    kind = model.element_types.get(name, TensorProto.FLOAT)
    if kind not in _READABLE:
        kind_name = TensorProto.DataType.Name(kind).lower()
        raise ModelLoadError(
            f"This ONNX model reads {kind_name} numbers; export it with float32 input "
            "(half=False in Ultralytics)."
        )
    if len(model.inputs[name]) != 4:
        raise _no_image(name, model.inputs[name])
    return name


def takes_bytes(model: OnnxModel) -> bool:
    """Say whether the image goes in as numbers from 0 to 255, unscaled."""
    return model.element_types.get(image_input(model)) == TensorProto.UINT8


def asks_for_size(model: OnnxModel) -> frozenset[str]:
    """Return which inputs besides the image can be filled in."""
    return frozenset(
        name
        for name in model.inputs
        if name in _OTHER_INPUTS
        and model.element_types.get(name, TensorProto.FLOAT) in _NUMBERS
    )


def is_open(model: OnnxModel) -> bool:
    """Say whether an image's height or width is open."""
    return -1 in model.inputs[image_input(model)][2:]


def with_size(content: bytes, size: Size) -> bytes:
    """Return an ONNX file whose metadata say this size."""
    model = parsed_graph(content)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(
        model, {**metadata, SIZE_KEY: str([size.height, size.width])}
    )
    return bytes(model.SerializeToString())


def for_one_image(
    content: bytes, model: OnnxModel, size: Size, *, outputs: Collection[str]
) -> bytes:
    """Return an ONNX file whose one input is a float32 image of this size.

    Args:
        content: the file. model: what `read_onnx` says of it.
        size: from `image_size`.
        outputs: the only ones that stay; OpenCV 5 runs all of them or none.
    """
    name = image_input(model)
    shape = (1, 3, size.height, size.width)
    is_float = model.element_types.get(name, TensorProto.FLOAT) == TensorProto.FLOAT
    is_fixed = model.inputs == {name: shape} and is_float
    if is_fixed and set(model.outputs) == set(outputs):
        return content
    parsed = parsed_graph(content)
    graph = parsed.graph
    for given in [given for given in graph.input if given.name in asks_for_size(model)]:
        kind = helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
        value = _answer(given.name, model.inputs[given.name], size).astype(kind)
        graph.initializer.append(numpy_helper.from_array(value, given.name))
        graph.input.remove(given)
    _take_image(graph, name, shape, is_float=is_float)
    for output in [output for output in graph.output if output.name not in outputs]:
        graph.output.remove(output)
    # They may hold on to sides that were open.
    del graph.value_info[:]
    return bytes(parsed.SerializeToString())


def _answer(name: str, shape: TensorShape, size: Size) -> NDArray[np.float32]:
    """Return the value of an input besides the image; a mask has its own size."""
    value = _OTHER_INPUTS[name](size)
    is_smaller = min(shape, default=0) > 0 and math.prod(shape) <= value.size
    return np.ones(shape, np.float32) if name == _MASK and is_smaller else value


def _take_image(
    graph: GraphProto, name: str, shape: TensorShape, *, is_float: bool
) -> None:
    old = next(tensor for tensor in graph.input if tensor.name == name)
    kind = old.type.tensor_type.elem_type
    given = name if is_float else f"{name}/float"
    new = helper.make_tensor_value_info(given, TensorProto.FLOAT, shape)
    graph.input.remove(old)
    graph.input.insert(0, new)
    if not is_float:
        graph.node.insert(0, helper.make_node("Cast", [given], [name], to=kind))


def _size_in_metadata(text: str) -> Size | None:
    """Return height and width in Ultralytics' imgsz, `[640, 640]` or `640`."""
    if not text or len(text) > _MOST_SIZE_TEXT:
        return None
    try:
        size = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    sides = size if isinstance(size, list | tuple) else [size]
    if not sides or not all(type(side) is int and side > 0 for side in sides):
        return None
    return Size(sides[-1], sides[0])


def _no_image(name: str, shape: TensorShape) -> ModelLoadError:
    return ModelLoadError(
        f"The input {name} of this ONNX model is {shape_in_words(shape)}; a "
        "model reads one image, 1 × 3 × height × width."
    )
