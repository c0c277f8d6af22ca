import math

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet.heads import Head, HeadKind, decode_heads, logistic

NET = Size(64, 32)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def head(
    kind: HeadKind = "yolo", *, scale_x_y: float = 1.0, new_coords: bool = False
) -> Head:
    return Head(
        name="head",
        kind=kind,
        classes=2,
        anchors=((8.0, 8.0), (16.0, 4.0)),
        mask=(1,),
        scale_x_y=scale_x_y,
        new_coords=new_coords,
    )


def decoded(layer: Head, *values: float, floor: float = 0.01) -> Candidates:
    """Decode a grid of 2 × 1 cells whose right one holds the values."""
    output = np.full((1, 7, 1, 2), -20, np.float32)
    output[0, :, 0, 1] = values
    return decode_heads([layer], [output], net_size=NET, floor=floor)


def test_every_class_above_the_floor_counts() -> None:
    found = decoded(head(), 0, 0, 0, 0, 2, 1, -1)
    assert found.class_id.tolist() == [0, 1]
    expected = [sigmoid(2) * sigmoid(1), sigmoid(2) * sigmoid(-1)]
    assert found.confidence.tolist() == pytest.approx(expected, abs=1e-6)


def test_nothing_below_the_floor_is_kept() -> None:
    found = decoded(head(), 0, 0, 0, 0, 2, 1, -1, floor=0.5)
    assert found.class_id.tolist() == [0]


def test_box_is_an_offset_in_its_cell_and_a_factor_on_its_anchor() -> None:
    found = decoded(head(), 0.5, -0.5, math.log(2), 0, 9, 9, -20)
    x, y = (1 + sigmoid(0.5)) / 2, sigmoid(-0.5)
    width, height = 16 * 2 / 64, 4 / 32
    expected = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    np.testing.assert_allclose(found.xyxy, [expected], atol=1e-6)


def test_scale_stretches_the_offset_about_the_middle_of_the_cell() -> None:
    found = decoded(head(scale_x_y=1.2), 3, 0, 0, 0, 9, 9, -20)
    centre = found.xyxy[0, [0, 2]].mean()
    assert centre == pytest.approx((1 + 1.2 * sigmoid(3) - 0.1) / 2, abs=1e-6)


def test_new_coordinates_come_activated_and_square_the_size() -> None:
    layer = head(scale_x_y=2.0, new_coords=True)
    found = decoded(layer, 0.5, 0.5, 0.75, 0.5, 0.9, 0.8, 0.001)
    assert found.confidence.tolist() == pytest.approx([0.72])
    width, height = 1.5**2 * 16 / 64, 1 * 4 / 32
    expected = [0.75 - width / 2, 0.5 - height / 2, 0.75 + width / 2, 0.5 + height / 2]
    np.testing.assert_allclose(found.xyxy, [expected], atol=1e-6)


def test_region_takes_a_softmax_and_anchors_in_cells() -> None:
    found = decoded(head("region"), 0, 0, 0, 0, 2, 1, -1)
    share = math.exp(1) / (math.exp(1) + math.exp(-1))
    expected = [sigmoid(2) * share, sigmoid(2) * (1 - share)]
    assert found.confidence.tolist() == pytest.approx(expected, abs=1e-6)
    assert found.xyxy[0, 2] - found.xyxy[0, 0] == pytest.approx(16 / 2)
    assert found.xyxy[0, 3] - found.xyxy[0, 1] == pytest.approx(4 / 1)


def test_gaussian_head_weighs_every_class_by_how_sure_its_box_is() -> None:
    """get_gaussian_yolo_box and get_gaussian_yolo_detections, written out."""
    layer = head("gaussian", scale_x_y=1.2)
    # Each side and how unsure it is, then objectness and two classes.
    values = [0.5, -2, -0.5, -1, math.log(2), 0, 0.25, 1, 2, 1, -1]
    output = np.full((1, 11, 1, 2), -20, np.float32)
    output[0, :, 0, 1] = values
    found = decode_heads([layer], [output], net_size=NET, floor=0.01)
    unsure = sum(sigmoid(values[at]) for at in (1, 3, 5, 7)) / 4
    expected = [sigmoid(2) * sigmoid(cls) * (1 - unsure) for cls in (1, -1)]
    assert found.confidence.tolist() == pytest.approx(expected, abs=1e-6)
    assert found.class_id.tolist() == [0, 1]
    x, y = (1 + 1.2 * sigmoid(0.5) - 0.1) / 2, 1.2 * sigmoid(-0.5) - 0.1
    width, height = 2 * 16 / 64, math.exp(0.25) * 4 / 32
    box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    np.testing.assert_allclose(found.xyxy, [box, box], atol=1e-6)


def test_a_huge_size_and_a_missing_number_do_no_harm() -> None:
    found = decoded(head(), 0, 0, 1e30, 0, 9, 9, -20)
    assert np.isfinite(found.xyxy).all()
    assert len(decoded(head(), 0, 0, 0, 0, math.nan, 9, 9)) == 0


@pytest.mark.parametrize("floor", [0.001, 0.01, 0.5])
def test_objectness_before_decoding_loses_nothing(floor: float) -> None:
    rng = np.random.default_rng(3)
    output = rng.normal(0, 4, (1, 7, 20, 30)).astype(np.float32)
    found = decode_heads([head()], [output], net_size=NET, floor=floor)
    probability = logistic(output[0, 4]) * logistic(output[0, 5:])
    assert len(found) == int((probability >= floor).sum())


def test_logistic_survives_any_number() -> None:
    values = np.array([-1e30, 0, 1e30], np.float32)
    assert logistic(values).tolist() == [0, 0.5, 1]
