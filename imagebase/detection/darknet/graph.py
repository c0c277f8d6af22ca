"""Darknet .cfg and .weights into an ONNX graph whose outputs are the raw heads.

OpenCV 5 and the other runtimes have no importer for Darknet's files; every one of them
reads ONNX. The heads are decoded in NumPy (`heads`), so that objectness can be tested
before anything else is computed.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.layers import (
    Averagepool,
    Convolution,
    Dropout,
    Layer,
    LayerShape,
    Maxpool,
    Network,
    Output,
    Reorg,
    Route,
    Scale,
    Shortcut,
    Upsample,
)
from imagebase.detection.darknet.plan import plan_network
from imagebase.detection.darknet.weights import Kernel, read_weights

METADATA_KEY: Final = "imagebase"
LABELS_KEY: Final = "names"
_OPSET: Final = 13
_IR_VERSION: Final = 8
_INPUT: Final = "images"
_LEAKY_SLOPE: Final = 0.1

Attribute = int | float | str | list[int]


def darknet_to_onnx(
    cfg: bytes,
    weights: bytes,
    *,
    labels: Sequence[str] = (),
    input_size: int | None = None,
) -> bytes:
    """Return a Darknet model as the bytes of an ONNX model.

    The input `images` is RGB in [0, 1], shape (1, 3, height, width). There is an output
    for each head, named as its `Head` is. The model's metadata describe the heads.

    Args:
        cfg: the .cfg file.
        weights: the .weights file.
        labels: class names to put into the metadata, where they are known.
        input_size: side of a square net that replaces the cfg's width and height.

    Raises:
        ModelLoadError: the files cannot be used, with the line or the counts.
    """
    network = plan_network(parse_cfg(cfg), input_size=input_size)
    graph = _Graph(network, read_weights(weights, network))
    return bytes(graph.model(labels).SerializeToString())


class _Graph:
    """Collects nodes and constants; one `_add_…` method a layer type."""

    def __init__(self, network: Network, kernels: Sequence[Kernel]) -> None:
        self._network = network
        self._kernels = iter(kernels)
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._tensors: list[str] = []
        self._previous = _INPUT
        for index, layer in enumerate(network.layers):
            self._previous = self._add(layer, f"layer_{index}")
            self._tensors.append(self._previous)

    def model(self, labels: Sequence[str]) -> ModelProto:
        size = self._network.size
        shape = LayerShape(3, size.height, size.width)
        graph = helper.make_graph(
            self._nodes,
            "darknet",
            [_tensor(_INPUT, shape)],
            [
                _tensor(layer.head.name, layer.shape)
                for layer in self._network.layers
                if isinstance(layer, Output)
            ],
            self._constants,
        )
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(
            graph,
            opset_imports=[opset],
            ir_version=_IR_VERSION,
            producer_name="imagebase",
        )
        helper.set_model_props(model, _metadata(self._network, labels))
        return model

    def _add(self, layer: Layer, name: str) -> str:
        match layer:
            case Convolution():
                return self._add_convolution(layer, name)
            case Route():
                return self._add_route(layer, name)
            case Shortcut():
                return self._add_shortcut(layer, name)
            case Scale():
                return self._add_scale(layer, name)
            case Averagepool():
                return self._node("GlobalAveragePool", [self._previous], name)
            case Maxpool():
                return self._add_maxpool(layer, name)
            case Upsample():
                return self._add_upsample(layer, name)
            case Reorg():
                return self._add_reorg(layer, name)
            case Dropout():
                return self._previous
            case Output():
                self._node("Identity", [self._previous], layer.head.name)
                return self._previous

    def _node(
        self, op: str, inputs: Sequence[str], output: str, **options: Attribute
    ) -> str:
        node = helper.make_node(op, inputs, [output], name=f"{output}/{op}")
        node.attribute.extend(
            helper.make_attribute(key, value) for key, value in options.items()
        )
        self._nodes.append(node)
        return output

    def _constant(self, values: ArrayLike, name: str) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def _add_convolution(self, layer: Convolution, name: str) -> str:
        kernel, bias = next(self._kernels)
        inputs = [
            self._previous,
            self._constant(kernel, f"{name}/kernel"),
            self._constant(bias, f"{name}/bias"),
        ]
        self._node(
            "Conv",
            inputs,
            f"{name}/sum",
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride.height, layer.stride.width],
            pads=[layer.padding] * 4,
            dilations=[layer.dilation] * 2,
            group=layer.groups,
        )
        return self._activate(f"{name}/sum", layer.activation, name)

    def _activate(self, tensor: str, activation: str, name: str) -> str:
        match activation:
            case "leaky":
                return self._node("LeakyRelu", [tensor], name, alpha=_LEAKY_SLOPE)
            case "relu":
                return self._node("Relu", [tensor], name)
            case "relu6":
                return self._between(tensor, 0, 6, name)
            case "tanh":
                return self._node("Tanh", [tensor], name)
            case "hard_mish":
                return self._add_hard_mish(tensor, name)
            case "logistic":
                return self._node("Sigmoid", [tensor], name)
            case "swish":
                gate = self._node("Sigmoid", [tensor], f"{name}/gate")
                return self._node("Mul", [tensor, gate], name)
            case "mish":
                soft = self._node("Softplus", [tensor], f"{name}/softplus")
                gate = self._node("Tanh", [soft], f"{name}/gate")
                return self._node("Mul", [tensor, gate], name)
            case _:
                return tensor

    def _slice(self, tensor: str, first: int, last: int, name: str) -> str:
        limits = [
            self._constant(np.array([value], np.int64), f"{name}/{what}")
            for what, value in (("first", first), ("last", last), ("axis", 1))
        ]
        return self._node("Slice", [tensor, *limits], name)

    def _add_route(self, layer: Route, name: str) -> str:
        parts = []
        for position, source in enumerate(layer.sources):
            tensor = self._tensors[source]
            if layer.groups > 1:
                each = self._network.layers[source].shape.channels // layer.groups
                first = each * layer.group_id
                part = f"{name}/part_{position}"
                tensor = self._slice(tensor, first, first + each, part)
            parts.append(tensor)
        if len(parts) == 1:
            return parts[0]
        return self._node("Concat", parts, name, axis=1)

    def _add_hard_mish(self, tensor: str, name: str) -> str:
        """Add x above 0, x²/2 + x from -2 to 0, and 0 below (hard_mish_yashas)."""
        constants = [
            self._constant(np.float32(value), f"{name}/{what}")
            for what, value in (("half_of_one", 0.5), ("one", 1))
        ]
        half = self._node("Mul", [tensor, constants[0]], f"{name}/half")
        more = self._node("Add", [half, constants[1]], f"{name}/more")
        gate = self._between(more, 0, 1, f"{name}/gate")
        return self._node("Mul", [tensor, gate], name)

    def _between(self, tensor: str, least: float, most: float, name: str) -> str:
        limits = [
            self._constant(np.float32(value), f"{name}/{what}")
            for what, value in (("least", least), ("most", most))
        ]
        return self._node("Clip", [tensor, *limits], name)

    def _add_scale(self, layer: Scale, name: str) -> str:
        """Multiply; one cell counts for all of them, and so does one channel."""
        by = self._previous
        if layer.by_cell:
            # OpenCV 5 fails on a product of one channel and several.
            times = np.array([1, layer.shape.channels, 1, 1], np.int64)
            repeats = self._constant(times, f"{name}/times")
            by = self._node("Tile", [by, repeats], f"{name}/by")
        inputs = [self._tensors[layer.source], by]
        return self._activate(
            self._node("Mul", inputs, f"{name}/scaled"), layer.activation, name
        )

    def _add_shortcut(self, layer: Shortcut, name: str) -> str:
        shares = next(self._kernels).kernel if layer.weights else None
        total = self._shared_out(self._previous, shares, 0, f"{name}/share")
        for position, source in enumerate(layer.sources):
            shape, added = self._network.layers[source].shape, self._tensors[source]
            step = f"{name}/sum_{position}"
            if shape[1:] == layer.shape[1:] and shares is None:
                onto = (total, layer.shape.channels)
                total = self._add_shared(onto, (added, shape.channels), step)
                continue
            if shape != layer.shape:
                added = self._as_memory(added, shape, layer.shape, step)
            added = self._shared_out(added, shares, position + 1, f"{step}/share")
            total = self._node("Add", [total, added], step)
        return self._activate(total, layer.activation, name)

    def _shared_out(
        self, tensor: str, shares: NDArray[np.float32] | None, position: int, name: str
    ) -> str:
        """Multiply by the share of this layer, one for all channels or one each."""
        if shares is None:
            return tensor
        share = shares[position].reshape(1, -1, 1, 1)
        return self._node("Mul", [tensor, self._constant(share, f"{name}/by")], name)

    def _as_memory(
        self, tensor: str, shape: LayerShape, wanted: LayerShape, name: str
    ) -> str:
        """Read a layer's memory as that of another size, cut off or filled with 0."""
        flat = self._reshape(tensor, [1, shape.floats], f"{name}/flat")
        if shape.floats > wanted.floats:
            flat = self._slice(flat, 0, wanted.floats, f"{name}/first")
        elif shape.floats < wanted.floats:
            rest = np.zeros((1, wanted.floats - shape.floats), np.float32)
            inputs = [flat, self._constant(rest, f"{name}/zeros")]
            flat = self._node("Concat", inputs, f"{name}/filled", axis=1)
        return self._reshape(flat, [1, *wanted], f"{name}/turned")

    def _add_shared(
        self, onto: tuple[str, int], other: tuple[str, int], name: str
    ) -> str:
        """Add other onto the first channels both have; the rest is unchanged."""
        (tensor, channels), (added, added_channels) = onto, other
        if added_channels > channels:
            added = self._slice(added, 0, channels, f"{name}/shared")
        if added_channels >= channels:
            return self._node("Add", [tensor, added], name)
        near = self._slice(tensor, 0, added_channels, f"{name}/near")
        rest = self._slice(tensor, added_channels, channels, f"{name}/rest")
        total = self._node("Add", [near, added], f"{name}/total")
        return self._node("Concat", [total, rest], name, axis=1)

    def _add_maxpool(self, layer: Maxpool, name: str) -> str:
        near = layer.padding // 2
        far = layer.padding - near
        return self._node(
            "MaxPool",
            [self._previous],
            name,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride.height, layer.stride.width],
            pads=[near, near, far, far],
        )

    def _add_upsample(self, layer: Upsample, name: str) -> str:
        factors = np.array([1, 1, layer.stride, layer.stride], np.float32)
        resized = self._node(
            "Resize",
            [self._previous, "", self._constant(factors, f"{name}/factors")],
            name if layer.scale == 1 else f"{name}/resized",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        if layer.scale == 1:
            return resized
        scale = self._constant(np.float32(layer.scale), f"{name}/scale")
        return self._node("Mul", [resized, scale], name)

    def _add_reorg(self, layer: Reorg, name: str) -> str:
        """Add reorg_cpu as the first Darknet has it, which [reorg] still means.

        It reads the input's memory as (channels / stride², height · stride, width ·
        stride), an oddity that YOLOv2's weights were trained with.
        """
        step = layer.stride
        channels, height, width = layer.shape
        # In the output's terms the input is (channels / s², height · s, width · s).
        inner = channels // step**4
        memory = [1, inner, height * step, step, width * step, step]
        split = self._reshape(self._previous, memory, f"{name}/split")
        turned = self._node(
            "Transpose", [split], f"{name}/turned", perm=[0, 3, 5, 1, 2, 4]
        )
        return self._reshape(turned, [1, *layer.shape], name)

    def _reshape(self, tensor: str, shape: Sequence[int], name: str) -> str:
        constant = self._constant(np.array(shape, np.int64), f"{name}/shape")
        return self._node("Reshape", [tensor, constant], name)


def _tensor(name: str, shape: LayerShape) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *shape])


def _metadata(network: Network, labels: Sequence[str]) -> dict[str, str]:
    described = {
        "family": "darknet",
        "size": network.size,
        "heads": [asdict(head) for head in network.heads],
        **({"letter_box": True} if network.letter_box else {}),
    }
    names = {LABELS_KEY: json.dumps(list(labels))} if labels else {}
    return {METADATA_KEY: json.dumps(described), **names}
