from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.annotation import Size
from imagebase.geometry import (
    FloatArray,
    as_xyxy,
    box_area,
    clip_xyxy,
    cxcywh_to_xyxy,
    pairwise_containment,
    pairwise_intersection,
    pairwise_iou,
    scale_xyxy,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)

EMPTY = as_xyxy([])


def random_boxes(count: int, *, seed: int = 0, side: float = 300) -> FloatArray:
    random = np.random.default_rng(seed)
    near = random.uniform(0, side, (count, 2))
    return as_xyxy(np.hstack([near, near + random.uniform(1, 80, (count, 2))]))


def test_as_xyxy_gives_float32_rows_of_four() -> None:
    assert as_xyxy([[1, 2, 3, 4]]).dtype == np.float32
    assert EMPTY.shape == (0, 4)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        as_xyxy([[1, 2, 3], [4, 5, 6]])


def test_clip_does_not_touch_its_input() -> None:
    boxes = as_xyxy([[-5, 2, 70, 50]])
    before = boxes.copy()
    assert clip_xyxy(boxes, Size(64, 48)).tolist() == [[0, 2, 64, 48]]
    np.testing.assert_array_equal(boxes, before)


def test_scale_carries_each_axis_by_its_own_factor() -> None:
    scaled = scale_xyxy(
        as_xyxy([[1, 2, 3, 4]]), from_size=Size(10, 10), to_size=Size(20, 50)
    )
    assert scaled.tolist() == [[2, 10, 6, 20]]
    assert scaled.dtype == np.float32


@pytest.mark.parametrize(
    ("there", "back", "expected"),
    [
        (xyxy_to_xywh, xywh_to_xyxy, [10, 20, 30, 40]),
        (xyxy_to_cxcywh, cxcywh_to_xyxy, [25, 40, 30, 40]),
    ],
)
def test_layouts_convert_there_and_back(
    there: Callable[[FloatArray], FloatArray],
    back: Callable[[FloatArray], FloatArray],
    expected: list[float],
) -> None:
    boxes = as_xyxy([[10, 20, 40, 60]])
    assert there(boxes).tolist() == [expected]
    np.testing.assert_allclose(back(there(boxes)), boxes)
    assert there(EMPTY).shape == back(EMPTY).shape == (0, 4)


def test_area_of_swapped_corners_is_zero() -> None:
    assert box_area(as_xyxy([[0, 0, 2, 3], [2, 3, 0, 0], [1, 1, 1, 5]])).tolist() == [
        6,
        0,
        0,
    ]


def test_iou_of_known_boxes() -> None:
    boxes = as_xyxy([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    np.testing.assert_allclose(pairwise_iou(boxes, boxes)[0], [1, 1 / 3, 0])
    assert pairwise_intersection(boxes, boxes)[0].tolist() == [100, 50, 0]


def test_boxes_without_area_have_no_iou_and_no_containment() -> None:
    point = as_xyxy([[5, 5, 5, 5]])
    assert pairwise_iou(point, point).tolist() == [[0]]
    assert pairwise_containment(point, point).tolist() == [[0]]


def test_containment_is_the_share_of_the_first() -> None:
    inner, outer = as_xyxy([[0, 0, 10, 10]]), as_xyxy([[5, 0, 100, 100]])
    assert pairwise_containment(inner, outer).tolist() == [[0.5]]


@pytest.mark.parametrize(
    "pairwise", [pairwise_iou, pairwise_intersection, pairwise_containment]
)
def test_pairs_with_nothing_have_a_shape(
    pairwise: Callable[[FloatArray, FloatArray], FloatArray],
) -> None:
    some = random_boxes(3)
    assert pairwise(EMPTY, some).shape == (0, 3)
    assert pairwise(some, EMPTY).shape == (3, 0)


@given(st.integers(0, 2**32 - 1))
def test_iou_is_symmetric_and_between_nothing_and_all(seed: int) -> None:
    a, b = random_boxes(5, seed=seed), random_boxes(4, seed=seed + 1)
    iou = pairwise_iou(a, b)
    assert (iou >= 0).all()
    assert (iou <= 1).all()
    np.testing.assert_allclose(iou, pairwise_iou(b, a).T)
