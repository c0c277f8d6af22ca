import json

import numpy as np
import pytest
from onnx import TensorProto, helper

from imagebase.annotation import Size
from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.onnx.families import adapter_for, labels_of, read_onnx
from imagebase.detection.onnx.file_info import OnnxModel
from imagebase.errors import AmbiguousModelError, ModelLoadError
from tests.detection.darknet.darknet_models import ONE_BOX_CFG, one_box_weights
from tests.detection.onnx.onnx_graphs import (
    CELLS,
    end_to_end_output,
    speaking_model,
    v5_output,
    v8_output,
    v8_rows_output,
    yolox_output,
)


def onnx_model(
    output: list[int],
    *,
    picture: tuple[int | None, ...] = (1, 3, 64, 96),
    metadata: dict[str, str] | None = None,
) -> bytes:
    """Return a model of one node; only its inputs and outputs matter."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["images"], ["output"])],
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, picture)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, output)],
    )
    model = helper.make_model(graph)
    helper.set_model_props(model, metadata or {})
    return bytes(model.SerializeToString())


def test_our_own_graph_is_recognised_by_its_metadata() -> None:
    graph = darknet_to_onnx(ONE_BOX_CFG.encode(), one_box_weights(), labels=["a", "b"])
    model = read_onnx(graph)
    adapter = adapter_for(model)
    assert (adapter.family, adapter.classes) == ("darknet", 2)
    assert adapter.net_size == Size(32, 32)
    assert labels_of(model) == ("a", "b")


def test_yolox_is_recognised_by_its_cells() -> None:
    adapter = adapter_for(read_onnx(onnx_model([1, CELLS, 7])), labels=2)
    assert (adapter.family, adapter.classes) == ("yolox", 2)
    assert adapter.net_size == Size(96, 64)


def test_yolox_box_is_a_cell_times_its_stride() -> None:
    adapter = adapter_for(read_onnx(onnx_model([1, CELLS, 7])), labels=2)
    output = np.zeros((1, CELLS, 7), np.float32)
    # Second row, third column of the 16-pixel grid; twice the stride wide.
    output[0, 96 + 6 + 2] = [0.5, 0.25, np.log(2), 0, 0.9, 0.8, 0.5]
    found = adapter.decode([output], 0.01)
    assert found.confidence.tolist() == pytest.approx([0.72, 0.45])
    assert found.class_id.tolist() == [0, 1]
    centre, extent = np.array([2.5 * 16, 1.25 * 16]), np.array([32, 16])
    expected = np.concatenate([centre - extent / 2, centre + extent / 2])
    np.testing.assert_allclose(found.xyxy[0] * [96, 64, 96, 64], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        pytest.param('["person", "dog"]', ("person", "dog"), id="JSON list"),
        pytest.param("{1: 'dog', 0: 'person'}", ("person", "dog"), id="by number"),
        pytest.param("{'0': 'person'}", ("person",), id="by number as text"),
        pytest.param("__import__('os')", (), id="code is not run"),
        pytest.param("", (), id="none"),
        pytest.param("[" * 5_000, (), id="nested"),
    ],
)
def test_labels_in_the_metadata(names: str, labels: tuple[str, ...]) -> None:
    model = read_onnx(onnx_model([1, 2, 3], metadata={"names": names}))
    assert labels_of(model) == labels


def test_unknown_family_is_refused_with_its_outputs() -> None:
    with pytest.raises(ModelLoadError, match="outputs are output 1 × 84 × 8400"):
        adapter_for(read_onnx(onnx_model([1, 84, 8400])))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        ((1, 3, None, None), r"has no fixed size \(1 × 3 × \? × \?\); export it for"),
        ((4, 3, 64, 96), "reads 4 images at a time; export it with batch=1"),
        ((1, 1, 64, 96), "is 1 × 1 × 64 × 96; a model reads one image"),
        ((1, 3, 64, 99999), "reads images of 99999 × 64 pixels; at most 4096"),
    ],
)
def test_input_that_is_not_one_picture_is_refused(
    picture: tuple[int | None, ...], message: str
) -> None:
    with pytest.raises(ModelLoadError, match=message):
        adapter_for(read_onnx(onnx_model([1, CELLS, 7], picture=picture)))


# The middle of a net of 96 × 64, as relative corners.
MIDDLE = [36 / 96, 24 / 64, 60 / 96, 40 / 64]


@pytest.mark.parametrize(
    ("output", "family", "classes"),
    [
        pytest.param(v5_output(), "yolov5", 2, id="YOLOv5"),
        pytest.param(v8_output(), "yolov8", 2, id="YOLOv8"),
        pytest.param(v8_rows_output(), "yolov8-rows", 3, id="YOLOv8 turned"),
        pytest.param(end_to_end_output(), "end-to-end", None, id="with its NMS"),
        pytest.param(yolox_output(decoded=False), "yolox", 2, id="YOLOX"),
    ],
)
def test_family_and_box_are_known_by_the_output(
    output: np.ndarray, family: str, classes: int | None
) -> None:
    adapter = adapter_for(read_onnx(speaking_model(output)), labels=classes or 2)
    assert (adapter.family, adapter.classes) == (family, classes)
    found = adapter.decode([output], 0.05)
    np.testing.assert_allclose(found.xyxy, [MIDDLE], atol=1e-6)
    assert found.confidence.tolist() == pytest.approx([0.72])
    assert found.class_id.tolist() == [0]
    # A class below the floor of one pass is there in a lower one.
    lower = adapter.decode([output], 0.04)
    has_two = family != "end-to-end"
    assert lower.class_id.tolist() == ([0, 1] if has_two else [0])


def test_yolox_with_decoded_boxes_is_read_so_where_somebody_says_so() -> None:
    output = yolox_output(decoded=True)
    model = read_onnx(speaking_model(output))
    adapter = adapter_for(model, labels=2, family="yolox-decoded")
    np.testing.assert_allclose(adapter.decode([output], 0.05).xyxy, [MIDDLE], atol=1e-6)


def test_family_that_the_outputs_do_not_fit_is_refused() -> None:
    model = read_onnx(speaking_model(v8_output()))
    with pytest.raises(ModelLoadError, match="cannot be read as yolov5; its outputs"):
        adapter_for(model, family="yolov5")


def test_rows_that_fit_two_families_ask_where_no_label_is_named() -> None:
    model = read_onnx(onnx_model([1, CELLS, 7]))
    with pytest.raises(AmbiguousModelError) as error:
        adapter_for(model)
    assert error.value.families == ("yolox", "yolox-decoded", "yolov8-rows")
    assert adapter_for(model, labels=3).family == "yolov8-rows"
    turned = read_onnx(speaking_model(v8_output().transpose(0, 2, 1)))
    with pytest.raises(AmbiguousModelError, match="yolov8-rows, end-to-end"):
        adapter_for(turned, labels=2)


@pytest.mark.parametrize("task", ["segment", "pose", "obb"])
def test_model_for_another_task_is_refused(task: str) -> None:
    model = read_onnx(speaking_model(v8_output(), metadata={"task": task}))
    with pytest.raises(ModelLoadError, match=f"for the task '{task}'"):
        adapter_for(model, labels=2)


def test_feature_maps_of_a_training_are_refused() -> None:
    with pytest.raises(ModelLoadError, match="raw feature maps"):
        adapter_for(read_onnx(onnx_model([1, 3, 8, 12, 7])))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a model", b"\xff" * 50])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(ModelLoadError, match="not an ONNX model"):
        read_onnx(content)


def test_weights_in_another_file_are_refused() -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    node = helper.make_node("Constant", [], ["output"])
    node.attribute.append(helper.make_attribute("value", tensor))
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph([node], "small", [], [output]))
    with pytest.raises(ModelLoadError, match="in another file"):
        read_onnx(model.SerializeToString())


@pytest.mark.parametrize(
    "described",
    [
        pytest.param("{", id="not JSON"),
        pytest.param("[]", id="a list"),
        pytest.param('{"heads": []}', id="no heads"),
        pytest.param('{"heads": [{"name": "output"}]}', id="half a head"),
        pytest.param(
            json.dumps(
                {
                    "heads": [
                        {
                            "name": "output",
                            "kind": "yolo",
                            "classes": 9,
                            "anchors": [[1, 1]],
                            "mask": [5],
                            "scale_x_y": 1,
                            "new_coords": False,
                        }
                    ]
                }
            ),
            id="another output",
        ),
    ],
)
def test_damaged_metadata_are_refused(described: str) -> None:
    model = read_onnx(onnx_model([1, 2, 3], metadata={"imagebase": described}))
    with pytest.raises(ModelLoadError, match="metadata of this ONNX model"):
        adapter_for(model)


def test_a_class_number_of_thousands_of_digits_ends_no_reading() -> None:
    names = f"{{'{'9' * 5_000}': 'dog', '1': 'cat'}}"
    assert labels_of(OnnxModel({"names": names}, {}, {})) == ("dog", "cat")
