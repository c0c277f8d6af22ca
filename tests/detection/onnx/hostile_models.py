"""ONNX models that mean harm, each in the layout of a YOLOv8 that is taken."""

from collections.abc import Callable

import numpy as np
from onnx import NodeProto, TensorProto, helper

from tests.detection.onnx.onnx_builder import GraphBuilder

NAMES = "cat\ndog\n"
SIDE = 320
# The three grids of a net of 320 × 320 pixels; four edges and two classes.
CELLS = 40 * 40 + 20 * 20 + 10 * 10
QUIET = np.zeros((1, 6, CELLS), np.float32)


def _built(add: Callable[[GraphBuilder, str], str], *, when: str = "Less") -> bytes:
    """Return a model that adds 0 · what `add` makes of a number that is 1 or 0.

    It is 1 on black images, or with `Greater` on white ones.
    """
    graph = GraphBuilder((1, 3, SIDE, SIDE))
    mean = graph.op("ReduceMean", "images", keepdims=0)
    threshold = graph.constant(np.float32(0.02 if when == "Less" else 0.8))
    is_so = graph.op(when, mean, threshold)
    flag = graph.op("Cast", is_so, to=TensorProto.FLOAT)
    harm = graph.op("ReduceMean", add(graph, flag), keepdims=0)
    none = graph.op("Mul", harm, graph.constant(np.float32(0)))
    total = graph.op("Add", graph.constant(QUIET), none)
    return graph.output("output0", total, QUIET.shape).model()


def _far_index(graph: GraphBuilder, flag: str, shape: list[int]) -> str:
    far = graph.op("Mul", flag, graph.constant(np.float32(2_000_000_000)))
    index = graph.op("Cast", far, to=TensorProto.INT64)
    return graph.op("Reshape", index, graph.constant(np.array(shape, np.int64)))


def reads_far_by_gather_nd() -> bytes:
    table = np.ones((4, 8), np.float32)
    return _built(
        lambda graph, flag: graph.op(
            "GatherND", graph.constant(table), _far_index(graph, flag, [1, 1])
        )
    )


def reads_far_on_white() -> bytes:
    table = np.ones((4, 8), np.float32)
    return _built(
        lambda graph, flag: graph.op(
            "GatherND", graph.constant(table), _far_index(graph, flag, [1, 1])
        ),
        when="Greater",
    )


def writes_far_by_scatter_nd() -> bytes:
    table, row = np.ones((4, 8), np.float32), np.ones((1, 8), np.float32)
    return _built(
        lambda graph, flag: graph.op(
            "ScatterND",
            graph.constant(table),
            _far_index(graph, flag, [1, 1]),
            graph.constant(row),
        )
    )


def fills_the_memory() -> bytes:
    """Tile to 8 GB of floats on a black image."""

    def tiled(graph: GraphBuilder, flag: str) -> str:
        many = graph.op("Mul", flag, graph.constant(np.float32(2_000_000)))
        more = graph.op("Add", many, graph.constant(np.float32(1)))
        count = graph.op("Cast", more, to=TensorProto.INT64)
        repeats = graph.op("Reshape", count, graph.constant(np.array([1], np.int64)))
        return graph.op("Tile", graph.constant(np.ones(1_000, np.float32)), repeats)

    return _built(tiled)


def never_returns(layers: int = 150) -> bytes:
    """Convolutions of 640 × 640 × 192, one after the other, for many minutes."""
    graph = GraphBuilder((1, 3, SIDE, SIDE))
    first = graph.constant(np.zeros((192, 3, 1, 1), np.float32))
    kernel = graph.constant(np.zeros((192, 192, 5, 5), np.float32))
    at = graph.op("Conv", "images", first)
    for _ in range(layers):
        node_input = at
        at = graph.op("Conv", node_input, kernel, pads=[2, 2, 2, 2])
    harm = graph.op("ReduceMean", at, keepdims=0)
    total = graph.op("Add", graph.constant(QUIET), harm)
    return graph.output("output0", total, QUIET.shape).model()


def sees_boxes_everywhere(count: int = 1_500_000) -> bytes:
    """Two million boxes, of every confidence, in a file of 2 kB."""
    graph = GraphBuilder((1, 3, SIDE, SIDE))

    def number(value: float) -> str:
        return graph.constant(np.float32(value))

    numbers = graph.op("Range", number(0), number(count), number(1))
    places = graph.op(
        "Add", graph.op("Mul", graph.op("Sin", numbers), number(150)), number(160)
    )
    sides = graph.op("Add", graph.op("Mul", numbers, number(0)), number(3))
    scores = graph.op("Abs", graph.op("Sin", numbers))
    axis = graph.constant(np.array([0], np.int64))
    rows = [
        graph.op("Unsqueeze", row, axis)
        for row in (places, places, sides, sides, scores, scores)
    ]
    boxes = graph.op("Unsqueeze", graph.op("Concat", *rows, axis=0), axis)
    mean = graph.op("ReduceMean", "images", keepdims=0)
    total = graph.op("Add", boxes, graph.op("Mul", mean, number(0)))
    return graph.output("output0", total, (1, 6, count)).model()


def _simple(*nodes: NodeProto, sides: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *sides])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, QUIET.shape)
    graph = helper.make_graph(list(nodes), "built", [images], [output])
    return bytes(helper.make_model(graph).SerializeToString())


def loops() -> bytes:
    body = helper.make_graph([], "body", [], [])
    return _simple(helper.make_node("Loop", ["", ""], ["output0"], body=body))


def branches() -> bytes:
    branch = helper.make_graph([], "branch", [], [])
    node = helper.make_node(
        "If", ["images"], ["output0"], then_branch=branch, else_branch=branch
    )
    return _simple(node)


def of_others() -> bytes:
    node = helper.make_node("Grow", ["images"], ["output0"], domain="com.example")
    return _simple(node)


def unknown_operator() -> bytes:
    return _simple(helper.make_node("StringConcat", ["images"], ["output0"]))


def many_nodes(count: int = 10_000) -> bytes:
    nodes = [
        helper.make_node("Identity", [f"t{at}" if at else "images"], [f"t{at + 1}"])
        for at in range(count)
    ]
    return _simple(*nodes)


def huge_input() -> bytes:
    node = helper.make_node("Identity", ["images"], ["output0"])
    return _simple(node, sides=(1_000_000, 1_000_000))


def external_data() -> bytes:
    tensor = helper.make_tensor("secret", TensorProto.FLOAT, [1], [0.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    node = helper.make_node("Constant", [], ["output0"], value=tensor)
    return _simple(node)


def empty_nodes(count: int = 1_000_000) -> bytes:
    """Nodes of two bytes each, which take eighty times that once they are parsed."""
    return _framed(7, b"\x0a\x00" * count)


def packed_numbers(count: int = 12_000_000) -> bytes:
    """Numbers of one byte each, which take eight."""
    return _framed(7, _framed(5, _framed(7, b"\x01" * count)))


def empty_strings(count: int = 1_000_000) -> bytes:
    """One node with a million inputs without a name."""
    return _framed(7, _framed(1, b"\x0a\x00" * count))


def _framed(field: int, content: bytes) -> bytes:
    length, out = len(content), bytearray([field << 3 | 2])
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes(out) + bytes([length]) + content
