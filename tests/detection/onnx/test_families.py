"""ONNX models of every family, run for real, against boxes worked out by hand.

Each says that there is a box in the middle of its net of 96 × 64 pixels. An image of
200 × 100 lies in that net at 0.48 of its size: 96 × 48, in the middle with 8 rows of
grey above, or at the top.
"""

from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection.detector import load_single
from imagebase.detection.model_files import model_in_file
from imagebase.errors import ModelLoadError
from tests.detection.onnx.onnx_graphs import (
    end_to_end_output,
    v5_output,
    v8_output,
    v8_rows_output,
    write_speaking_model,
    yolox_output,
)

PICTURE = np.zeros((100, 200, 3), np.uint8)
SIZE = Size(200, 100)
IN_THE_MIDDLE = [36 / 0.48, (24 - 8) / 0.48, 60 / 0.48, (40 - 8) / 0.48]
ROWS = v8_rows_output()
AT_THE_TOP = [36 / 0.48, 24 / 0.48, 60 / 0.48, 40 / 0.48]


@pytest.mark.parametrize("runtime", ["openvino", "opencv"])
@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(v5_output(), IN_THE_MIDDLE, id="YOLOv5"),
        pytest.param(v8_output(), IN_THE_MIDDLE, id="YOLOv8"),
        pytest.param(ROWS, IN_THE_MIDDLE, id="YOLOv8 turned"),
        pytest.param(end_to_end_output(), IN_THE_MIDDLE, id="with its NMS"),
        pytest.param(yolox_output(decoded=False), AT_THE_TOP, id="YOLOX"),
    ],
)
def test_box_is_where_it_was_worked_out_to_be(
    output: np.ndarray, expected: list[float], runtime: str, tmp_path: Path
) -> None:
    names = "a\nb\nc" if output is ROWS else "a\nb"
    path = write_speaking_model(tmp_path, output, names=names)
    detector = load_single(model_in_file(path, name="m"), runtime=runtime)
    found = detector.candidates(PICTURE, size=SIZE, floor=0.05)
    np.testing.assert_allclose(found.xyxy, [expected], atol=0.2)
    np.testing.assert_allclose(found.confidence, [0.72], atol=0.005)
    assert found.class_id.tolist() == [0]


def test_pixels_that_a_graph_works_out_itself_are_never_rounded_to_bf16(
    tmp_path: Path,
) -> None:
    path = write_speaking_model(tmp_path, v8_output())
    assert load_single(model_in_file(path, name="m")).precision == "f32"


def test_class_that_no_label_names_is_left_out(tmp_path: Path) -> None:
    path = write_speaking_model(tmp_path, end_to_end_output(class_id=2))
    detector = load_single(model_in_file(path, name="m"))
    assert len(detector.candidates(PICTURE, size=SIZE)) == 0


def test_labels_that_are_too_many_are_refused(tmp_path: Path) -> None:
    path = write_speaking_model(tmp_path, v8_output(), names="a\nb\nc\n")
    with pytest.raises(ModelLoadError, match="knows 2 classes and 3 labels"):
        load_single(model_in_file(path, name="m"))
