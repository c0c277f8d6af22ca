import math

import numpy as np
import pytest

from imagebase.annotation import Annotation, Box, Size
from imagebase.augmentation import transforms
from imagebase.augmentation.scene import LabelledImage, Scene
from tests.augmentation.planting import boxes_of, scene

BLACK = np.zeros((100, 100, 3), dtype=np.uint8)


def one_box(box: Box) -> Scene:
    return Scene.of(LabelledImage(BLACK, (Annotation(box, "red"),)))


def is_kept(result: Scene, *, least_visible: float = 0.3, side: float = 2.0) -> bool:
    image = result.finished(least_visible=least_visible, least_side_px=side)
    return bool(image.annotations)


@pytest.mark.parametrize(
    ("shift", "kept"), [(69, True), (70, True), (71, False), (100, False)]
)
def test_box_goes_when_less_than_three_tenths_are_left(shift: int, kept: bool) -> None:
    across = one_box(Box(0, 0, 100, 20))
    moved = transforms.scaled_and_shifted(across, scale=(1, 1), shift=(shift, 0))
    assert is_kept(moved) is kept


def test_shares_left_multiply_over_the_steps() -> None:
    half = transforms.cropped(
        one_box(Box(0, 0, 100, 20)), left=0, top=0, size=Size(50, 100)
    )
    assert is_kept(half)
    quarter = transforms.cropped(half, left=0, top=0, size=Size(25, 100))
    assert quarter.visible[0] == pytest.approx(0.25)
    assert not is_kept(quarter)
    assert is_kept(quarter, least_visible=0.25)


def test_box_does_not_come_back_by_moving_back() -> None:
    away = transforms.scaled_and_shifted(
        one_box(Box(60, 0, 100, 40)), scale=(1, 1), shift=(30, 0)
    )
    back = transforms.scaled_and_shifted(away, scale=(1, 1), shift=(-30, 0))
    image = back.finished(least_visible=0.2, least_side_px=2)
    assert boxes_of(image)["red"] == Box(60, 0, 70, 40)


@pytest.mark.parametrize(("width", "kept"), [(1.9, False), (2.0, True)])
def test_box_goes_when_a_side_is_too_short(width: float, kept: bool) -> None:
    assert is_kept(one_box(Box(10, 10, 10 + width, 60))) is kept
    assert is_kept(one_box(Box(10, 10, 60, 10 + width))) is kept


def test_what_lay_outside_from_the_start_is_not_lost() -> None:
    outside = one_box(Box(-400, 10, 10, 30))
    assert outside.visible.tolist() == [1]
    assert is_kept(outside)
    assert outside.xyxy.tolist() == [[0, 10, 10, 30]]


@pytest.mark.parametrize(
    "box",
    [
        Box(5, 5, 5, 50),
        Box(200, 5, 300, 50),
        Box(math.nan, 0, 9, 9),
        Box(0, 0, math.inf, math.nan),
    ],
    ids=str,
)
def test_box_without_area_in_the_picture_is_left_out(box: Box) -> None:
    assert not is_kept(one_box(box), least_visible=0, side=0)


def test_swapped_corners_are_put_in_order() -> None:
    assert one_box(Box(50, 40, 10, 20)).xyxy.tolist() == [[10, 20, 50, 40]]


def test_covered_boxes_stay_as_they_are_until_too_little_shows() -> None:
    mask = np.zeros((100, 100), dtype=bool)
    mask[:, :60] = True
    covered = one_box(Box(0, 0, 100, 20)).covered(BLACK, mask)
    assert covered.visible[0] == pytest.approx(0.4)
    assert covered.xyxy.tolist() == [[0, 0, 100, 20]]
    assert is_kept(covered)
    mask[:, :71] = True
    assert not is_kept(one_box(Box(0, 0, 100, 20)).covered(BLACK, mask))


def test_annotation_keeps_all_but_its_box() -> None:
    original = Annotation(Box(0, 0, 40, 20), "red", confidence=0.5, changed_by="ann")
    moved = transforms.flipped_horizontally(Scene.of(LabelledImage(BLACK, (original,))))
    (kept,) = moved.finished(least_visible=0.3, least_side_px=2).annotations
    assert kept.box == Box(60, 0, 100, 20)
    assert (kept.label, kept.confidence, kept.changed_by) == ("red", 0.5, "ann")


def test_picture_without_boxes_passes_through_every_move() -> None:
    empty = scene({})
    assert empty.xyxy.shape == (0, 4)
    result = transforms.cropped(
        transforms.rotated(
            transforms.turned(empty, 1), 5, transforms.RotatedBoxes.ELLIPSE
        ),
        left=0,
        top=0,
        size=Size(9, 9),
    )
    assert result.finished(least_visible=0.3, least_side_px=2).annotations == ()
