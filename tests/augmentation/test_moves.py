import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.annotation import Annotation, Box, Size
from imagebase.augmentation import transforms
from imagebase.augmentation.scene import LabelledImage, Scene
from imagebase.augmentation.transforms import RotatedBoxes
from imagebase.images.resize import BORDER
from tests.augmentation.planting import (
    SIZE,
    assert_boxes_fit,
    boxes_of,
    finished,
    found,
    planted,
    scene,
)


def test_planted_boxes_are_found_where_nothing_moved() -> None:
    assert_boxes_fit(planted())


def test_horizontal_flip_mirrors_pixels_and_boxes_exactly() -> None:
    result = finished(transforms.flipped_horizontally(scene()))
    assert_boxes_fit(result)
    assert boxes_of(result)["red"] == Box(110, 12, 150, 32)


def test_vertical_flip_mirrors_pixels_and_boxes_exactly() -> None:
    result = finished(transforms.flipped_vertically(scene()))
    assert_boxes_fit(result)
    assert boxes_of(result)["red"] == Box(10, 88, 50, 108)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4, -1])
def test_quarter_turns_turn_pixels_and_boxes_exactly(quarters: int) -> None:
    result = finished(transforms.turned(scene(), quarters))
    assert_boxes_fit(result)
    sides = (120, 160) if quarters % 2 else (160, 120)
    assert (result.rgb.shape[1], result.rgb.shape[0]) == sides


def test_quarter_turn_is_clockwise() -> None:
    result = finished(transforms.turned(scene({"red": Box(0, 0, 10, 5)}), 1))
    assert boxes_of(result)["red"] == Box(115, 0, 120, 10)


@pytest.mark.parametrize(
    ("scale", "shift"),
    [
        ((1, 1), (13, -9)),
        ((0.5, 0.5), (0, 0)),
        ((2, 2), (0, 0)),
        ((0.73, 0.81), (-7.4, 11.2)),
        ((1.3, 1.17), (9.6, -4.3)),
        ((1.3, 0.7), (0, 0)),
        ((1, 1), (400, 0)),
    ],
    ids=str,
)
def test_scale_and_shift_move_pixels_with_their_boxes(
    scale: tuple[float, float], shift: tuple[float, float]
) -> None:
    result = finished(transforms.scaled_and_shifted(scene(), scale=scale, shift=shift))
    is_whole = all(float(factor).is_integer() or factor == 0.5 for factor in scale)
    assert_boxes_fit(result, within=0.0 if is_whole else 0.51)
    assert result.rgb.shape == (120, 160, 3)


def test_shift_is_exact_and_uncovers_grey() -> None:
    moved = transforms.scaled_and_shifted(scene(), scale=(1, 1), shift=(13, -9))
    result = finished(moved)
    assert boxes_of(result)["red"] == Box(23, 3, 63, 23)
    assert (result.rgb[:, :13] == BORDER).all()
    assert (result.rgb[-9:] == BORDER).all()


def test_crop_cuts_pixels_and_boxes_exactly() -> None:
    window = transforms.cropped(scene(), left=20, top=25, size=Size(85, 60))
    result = finished(window)
    assert_boxes_fit(result)
    assert result.rgb.shape == (60, 85, 3)
    assert boxes_of(result) == {
        "red": Box(0, 0, 30, 7),
        "green": Box(70, 0, 85, 35),
        "blue": Box(10, 45, 50, 60),
    }


def is_inside(box: Box) -> bool:
    """Say whether a box was not cut by the image's edge."""
    return min(box) > 0 and box.x_max < SIZE.width and box.y_max < SIZE.height


@pytest.mark.parametrize("degrees", [-30, -10, -3.3, 0, 0.5, 7, 10, 30, 45])
def test_box_around_rotated_corners_is_where_the_rectangle_is(degrees: float) -> None:
    result = finished(transforms.rotated(scene(), degrees, RotatedBoxes.CORNERS))
    boxes = boxes_of(result)
    assert boxes
    for colour in boxes:
        seen = found(result.rgb, colour)
        assert seen is not None
        # The tip of a corner covers less than half of its last pixel.
        if is_inside(boxes[colour]):
            np.testing.assert_allclose(seen, boxes[colour], atol=1.5, err_msg=colour)
        else:
            assert (np.array(seen[:2]) >= np.array(boxes[colour][:2]) - 1.5).all()
            assert (np.array(seen[2:]) <= np.array(boxes[colour][2:]) + 1.5).all()


def test_rotation_by_a_right_angle_is_a_quarter_turn() -> None:
    square = Size(120, 120)
    boxes = {"red": Box(10, 12, 50, 32)}
    slow = finished(
        transforms.rotated(scene(boxes, size=square), 90, RotatedBoxes.CORNERS)
    )
    quick = finished(transforms.turned(scene(boxes, size=square), 1))
    np.testing.assert_allclose(slow.rgb, quick.rgb, atol=1)
    np.testing.assert_allclose(boxes_of(slow)["red"], boxes_of(quick)["red"], atol=1e-9)


@pytest.mark.parametrize("degrees", [-25, -10, 0, 5, 10, 25, 45])
def test_ellipse_rule_fits_a_rotated_ellipse(degrees: float) -> None:
    rgb = np.zeros((200, 200, 3), dtype=np.uint8)
    box = Box(40, 70, 140, 110)
    # The centre of an ellipse over whole pixels lies between two pixel centres.
    down, across = np.mgrid[:200, :200] + 0.5
    rgb[((across - 90) / 50) ** 2 + ((down - 90) / 20) ** 2 <= 1] = (255, 0, 0)
    image = LabelledImage(rgb, (Annotation(box, "red"),))
    result = finished(
        transforms.rotated(Scene.of(image), degrees, RotatedBoxes.ELLIPSE)
    )
    seen = found(result.rgb, "red")
    assert seen is not None
    np.testing.assert_allclose(seen, boxes_of(result)["red"], atol=1.0)


def test_looseness_is_what_the_rules_say() -> None:
    middle = {"red": Box(60, 40, 100, 80)}
    for degrees in (5.0, 10.0):
        turned = math.radians(degrees)
        loose = finished(
            transforms.rotated(scene(middle), degrees, RotatedBoxes.CORNERS)
        )
        tight = finished(
            transforms.rotated(scene(middle), degrees, RotatedBoxes.ELLIPSE)
        )
        growth = boxes_of(loose)["red"].area / middle["red"].area
        assert growth == pytest.approx(1 + math.sin(2 * turned))
        assert boxes_of(tight)["red"].area == pytest.approx(middle["red"].area)


def test_positive_angles_turn_clockwise() -> None:
    right_of_middle = {"red": Box(130, 55, 140, 65)}
    result = finished(
        transforms.rotated(scene(right_of_middle), 20, RotatedBoxes.CORNERS)
    )
    assert boxes_of(result)["red"].y_min > 70


def test_moves_do_not_touch_their_input() -> None:
    before = scene()
    rgb, xyxy = before.rgb.copy(), before.xyxy.copy()
    results = (
        transforms.flipped_horizontally(before),
        transforms.flipped_vertically(before),
        transforms.turned(before, 1),
        transforms.rotated(before, 5, RotatedBoxes.CORNERS),
        transforms.scaled_and_shifted(before, scale=(0.5, 1.2), shift=(3, 4)),
        transforms.cropped(before, left=3, top=4, size=Size(50, 40)),
    )
    for result in results:
        result.rgb[:] = 7
    np.testing.assert_array_equal(before.rgb, rgb)
    np.testing.assert_array_equal(before.xyxy, xyxy)


@given(
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.tuples(st.integers(1, 100), st.integers(1, 80)),
    st.tuples(st.integers(-60, 60), st.integers(-60, 60)),
)
def test_any_chain_of_exact_moves_is_exact(
    quarters: int,
    is_mirrored: bool,
    is_upside_down: bool,
    crop: tuple[int, int],
    shift: tuple[int, int],
) -> None:
    result = transforms.turned(scene(), quarters)
    if is_mirrored:
        result = transforms.flipped_horizontally(result)
    if is_upside_down:
        result = transforms.flipped_vertically(result)
    result = transforms.scaled_and_shifted(result, scale=(1, 1), shift=shift)
    result = transforms.cropped(result, left=5, top=7, size=Size(*crop))
    assert_boxes_fit(finished(result))


def test_photograph_keeps_its_place_under_a_rotation_and_back() -> None:
    """Half a pixel of error in the middle would double here."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), 4), dtype=np.uint8)
    there = transforms.rotated(Scene.of(LabelledImage(smooth)), 9, RotatedBoxes.CORNERS)
    back = transforms.rotated(there, -9, RotatedBoxes.CORNERS)
    inside = np.s_[30:90, 40:120]
    assert np.abs(back.rgb[inside].astype(int) - smooth[inside]).max() <= 3
