"""docs/models.md against the code: every family is in it, every refusal is true."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from imagebase.detection.darknet.plan import ACTIVATIONS, LAYERS
from imagebase.detection.onnx.families import FAMILY_NAMES
from imagebase.detection.validation import Level, validate_upload
from imagebase.settings import Limits
from tests.detection.onnx import hostile_models
from tests.detection.onnx.onnx_builder import GraphBuilder
from tests.detection.onnx.onnx_layouts import v8
from tests.detection.validation.test_broken_uploads import half_model, learning_model

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
MAPS = [np.zeros((1, 3, 8, 10, 10), np.float32), np.zeros((1, 3, 4, 5, 10), np.float32)]


def outputs(
    *arrays: np.ndarray, picture: tuple[int | str, ...] = (1, 3, 64, 96)
) -> bytes:
    graph = GraphBuilder(picture)
    for number, array in enumerate(arrays):
        graph.output(f"out{number}", array)
    return graph.model()


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def tensorrt() -> bytes:
    graph = GraphBuilder()
    graph.output("num_dets", graph.op("EfficientNMS_TRT", "images"), (1, 1))
    return graph.model()


def with_another_input() -> bytes:
    graph = GraphBuilder()
    graph.input("prompt", (1, 77), TensorProto.INT64)
    return graph.output("output0", zeros(1, 9, 2100)).model()


def far_weights() -> bytes:
    from onnx import load_model_from_string

    model = load_model_from_string(v8(1680))
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return bytes(model.SerializeToString())


REFUSED: dict[str, Callable[[], bytes]] = {
    "raw maps of training": lambda: outputs(*MAPS),
    "an NMS of TensorRT": tensorrt,
    "segmentation, pose": lambda: (
        GraphBuilder().output("output0", zeros(1, 9, 2100)).model({"task": "pose"})
    ),
    "segmentation without metadata": lambda: outputs(
        zeros(1, 116, 126), zeros(1, 32, 16, 24)
    ),
    "torchvision's detectors": lambda: outputs(zeros(9, 4), zeros(9), zeros(9)),
    "outputs of no known family": lambda: outputs(zeros(3, 1000)),
    "half precision": half_model,
    "several images": lambda: outputs(zeros(4, 9, 126), picture=(4, 3, 64, 96)),
    "rows, columns, colours": lambda: outputs(zeros(1, 9, 126), picture=(1, 64, 96, 3)),
    "an unknown input": with_another_input,
    "open height and width": lambda: outputs(
        zeros(1, 9, 126), picture=("n", 3, "h", "w")
    ),
    "weights in another file": far_weights,
    "a graph for training": learning_model,
    "loops and branches": hostile_models.loops,
    "operators of other makers": hostile_models.of_others,
    "operators that no detector": hostile_models.unknown_operator,
    "more than 8,000 nodes": hostile_models.many_nodes,
}


def rows(section: str) -> list[list[str]]:
    text = DOCS.read_text("utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_family_stands_in_the_table_once() -> None:
    named = [re.match(r"`([\w-]+)`", row[0]) for row in rows("ONNX")]
    codes = [match[1] for match in named if match is not None]
    assert sorted(codes) == sorted(FAMILY_NAMES)


def test_every_darknet_layer_and_activation_stands_in_it() -> None:
    assert [row[0].strip("`") for row in rows("Darknet")] == list(LAYERS)
    said = DOCS.read_text("utf-8").split("Activations: ")[1].split(". ")[0]
    assert re.findall(r"`(\w+)`", said) == list(ACTIVATIONS)


def test_every_refusal_of_the_table_is_tried() -> None:
    refused = [row[0] for row in rows("Refused")]
    assert len(refused) == len(REFUSED)
    for what, start in zip(refused, REFUSED, strict=True):
        assert what.startswith(start)


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=list(REFUSED))
def test_what_is_refused_is_refused_with_its_sentence(number: int) -> None:
    what, sentence = rows("Refused")[number]
    build = list(REFUSED.values())[number]
    files = [("m.onnx", build()), ("m.names", b"a\nb\nc\nd\ne\n")]
    found = validate_upload(files, limits=Limits())
    faults = [finding.text for finding in found.findings if finding.level is Level.BAD]
    assert any(sentence in fault for fault in faults), (what, faults)
    assert not found.is_usable
