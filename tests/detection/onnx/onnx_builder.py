"""Builds small ONNX graphs whose outputs are worked out beforehand."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Shape = Sequence[int | str]


class GraphBuilder:
    """Collects nodes; every output adds 0 · the image's mean, so that it is used."""

    def __init__(
        self,
        picture: Shape = (1, 3, 320, 320),
        *,
        name: str = "images",
        kind: int = TensorProto.FLOAT,
    ) -> None:
        self._inputs = [helper.make_tensor_value_info(name, kind, picture)]
        self._nodes: list[NodeProto] = []
        self._outputs: list[ValueInfoProto] = []
        self._constants: list[TensorProto] = []
        mean = self.op("ReduceMean", self.op("Cast", name, to=1), keepdims=0)
        self._nothing = self.op("Mul", mean, self.constant(np.float32(0)))

    def input(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, values: ArrayLike) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def op(self, kind: str, *inputs: str, **options: int | list[int]) -> str:
        name = f"{kind}_{len(self._nodes)}"
        node = helper.make_node(kind, [*inputs], [name])
        node.attribute.extend(
            helper.make_attribute(key, value) for key, value in options.items()
        )
        self._nodes.append(node)
        return name

    def output(
        self, name: str, values: ArrayLike | str, declared: Shape | None = None
    ) -> "GraphBuilder":
        """Give values, or the tensor of that name, as an output; return the builder."""
        kind = TensorProto.FLOAT
        if isinstance(values, str):
            tensor, shape = values, declared or ()
        else:
            array = np.asarray(values)
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            tensor, shape = self.constant(array), declared or array.shape
        nothing = self.op("Cast", self._nothing, to=kind)
        self._nodes.append(helper.make_node("Add", [tensor, nothing], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))
        return self

    def ends_in(self, tensor: str, shape: Shape) -> "GraphBuilder":
        """Give a tensor as an output as it is; return the builder."""
        kind = TensorProto.FLOAT
        self._outputs.append(helper.make_tensor_value_info(tensor, kind, shape))
        return self

    def model(self, metadata: Mapping[str, str] | None = None) -> bytes:
        graph = helper.make_graph(
            self._nodes, "built", self._inputs, self._outputs, self._constants
        )
        opset = helper.make_opsetid("", 13)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        helper.set_model_props(model, dict(metadata or {}))
        return bytes(model.SerializeToString())


def bright_or_dark(side: int = 32) -> bytes:
    """Return a classifier of two labels, as Ultralytics exports one: by the mean."""
    graph = GraphBuilder((1, 3, side, side))
    mean = graph.op("ReduceMean", "images", axes=[1, 2], keepdims=0)
    mean = graph.op("ReduceMean", mean, axes=[1], keepdims=1)
    rest = graph.op("Sub", graph.constant(np.float32(1)), mean)
    steep = graph.constant(np.float32(10))
    both = graph.op("Mul", graph.op("Concat", mean, rest, axis=1), steep)
    metadata = {"task": "classify", "names": "{0: 'bright', 1: 'dark'}"}
    return graph.ends_in(graph.op("Softmax", both, axis=1), (1, 2)).model(metadata)
