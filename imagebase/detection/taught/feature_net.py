"""YOLOX-Nano with what its heads read as further outputs: boxes and features."""

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.library import find_model
from imagebase.detection.onnx.adapter import Adapter
from imagebase.detection.onnx.families import adapter_for, read_onnx
from imagebase.detection.onnx.file_info import parsed_graph
from imagebase.detection.preprocess import placed
from imagebase.detection.runtime import Runtime, load_runtime
from imagebase.geometry import FloatArray, clip_xyxy

FEATURE_MODEL: Final = "yolox-nano"
_LEVELS: Final = 3
# A head joins boxes, objectness and classes; its branches are convolutions with SiLU.
_PARTS_OF_HEAD: Final = 3
_BRANCH: Final = frozenset({"Conv", "Mul", "Sigmoid"})


class FeatureMaps(NamedTuple):
    """What the heads of the network read for one image.

    levels: from fine to coarse, each (rows, columns, channels), float32.
    integrals: their sums over all cells above and to the left, each (rows + 1,
    columns + 1, channels).
    scale: net pixels per pixel of the image, across and down.
    net_size: of the network's input in pixels.
    """

    levels: tuple[FloatArray, ...]
    integrals: tuple[FloatArray, ...]
    scale: tuple[float, float]
    net_size: Size


class FeatureNet:
    """The network; one pass gives candidates and features. Threads may share it."""

    def __init__(self) -> None:
        model = find_model(FEATURE_MODEL)
        content = model.graph.read_bytes()
        info = read_onnx(content)
        self.labels = model.labels
        self._adapter: Adapter = adapter_for(info, labels=len(model.labels))
        parsed = parsed_graph(content)
        names = _head_inputs(parsed.graph)
        for name in names:
            parsed.graph.output.append(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            )
        self.net_size = self._adapter.net_size
        self.runtime: Runtime = load_runtime(
            parsed.SerializeToString(),
            outputs=(*self._adapter.outputs, *names),
            runtime="auto",
            precision="f32",  # the same features on every machine
        )

    def run(
        self, rgb: NDArray[np.uint8], *, size: Size, floor: float
    ) -> tuple[Candidates, FeatureMaps]:
        """Return candidates in pixels of the full image, and the feature maps.

        Args:
            rgb: the upright image, shape (H, W, 3); may be decoded at a reduced size.
            size: the full upright size.
            floor: the minimum confidence of candidates.
        """
        adapter = self._adapter
        prepared = adapter.prepare(rgb, adapter.net_size)
        outputs = self.runtime.run(prepared.blob)
        own = len(adapter.outputs)
        found = adapter.decode(outputs[:own], floor)
        relative = placed(
            found.xyxy,
            net_size=adapter.net_size,
            inner=prepared.inner,
            corner=prepared.corner,
        )
        sides = np.array([*size, *size], dtype=np.float32)
        candidates = Candidates(
            clip_xyxy(relative * sides, size), found.confidence, found.class_id
        )
        levels = [
            np.ascontiguousarray(level[0].transpose(1, 2, 0)) for level in outputs[own:]
        ]
        inner = prepared.inner
        scale = (inner.width / size.width, inner.height / size.height)
        return candidates, maps_of(levels, scale, adapter.net_size)


def maps_of(
    levels: Sequence[FloatArray], scale: tuple[float, float], net_size: Size
) -> FeatureMaps:
    """Return the maps with these levels; the rest is as in `FeatureMaps`."""
    return FeatureMaps(tuple(levels), tuple(map(_integral, levels)), scale, net_size)


@cache
def feature_net() -> FeatureNet:
    """Return this process's one feature network."""
    return FeatureNet()


def _integral(level: FloatArray) -> FloatArray:
    sums = level.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    padded: FloatArray = np.pad(sums, ((1, 0), (1, 0), (0, 0))).astype(np.float32)
    return padded


def _head_inputs(graph: GraphProto) -> list[str]:
    """Return the tensors that a head's box and class branches both read, fine first."""
    producers = {output: node for node in graph.node for output in node.output}

    def ancestors(name: str) -> list[str]:
        names = [name]
        while name in producers and producers[name].op_type in _BRANCH:
            name = producers[name].input[0]
            names.append(name)
        return names

    shared = []
    for node in graph.node:
        if node.op_type == "Concat" and len(node.input) == _PARTS_OF_HEAD:
            in_classes = set(ancestors(node.input[2]))
            common = [name for name in ancestors(node.input[0]) if name in in_classes]
            shared += common[:1]
    return shared[:_LEVELS]
