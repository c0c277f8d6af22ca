from collections.abc import Callable

import numpy as np
import pytest

from imagebase.annotation import Box, Size
from imagebase.augmentation import (
    STEPS,
    Blur,
    BrightnessContrast,
    Crop,
    Cutout,
    FlipHorizontally,
    Hsv,
    Mosaic,
    Noise,
    QuarterTurn,
    Recipe,
    Rotate,
    ScaleShift,
    Step,
)
from imagebase.augmentation.scene import LabelledImage, Scene
from imagebase.errors import ExportError
from tests.augmentation.planting import (
    assert_boxes_fit,
    boxes_of,
    finished,
    found,
    scene,
)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", STEPS)
def test_step_changes_the_picture_and_keeps_boxes_on_their_objects(name: str) -> None:
    step = STEPS[name]()
    before = scene()
    changed = 0
    for seed in range(20):
        result = step.apply(before, random(seed))
        image = finished(result)
        changed += not np.array_equal(image.rgb, before.rgb)
        assert image.rgb.dtype == np.uint8
        # Colours and cutouts hide what was planted; of the others, corners of rotated
        # rectangles are seen a pixel short.
        if name not in ("hsv", "brightness_contrast", "blur", "noise", "cutout"):
            assert_boxes_fit(image, within=1.5 if name == "rotate" else 0.6)
        elif name != "cutout":
            assert np.array_equal(result.xyxy, before.xyxy)
    assert changed > 10


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("size", [Size(1, 1), Size(1, 7), Size(9, 2)], ids=str)
def test_step_survives_tiny_pictures(name: str, size: Size) -> None:
    rgb = np.zeros((size.height, size.width, 3), dtype=np.uint8)
    for seed in range(10):
        result = STEPS[name]().apply(Scene.of(LabelledImage(rgb)), random(seed))
        assert min(result.size) >= 1


def test_quarter_turn_never_leaves_the_picture_upright() -> None:
    box = {"red": Box(0, 0, 20, 10)}
    seen = {
        boxes_of(finished(QuarterTurn().apply(scene(box), random(seed))))["red"]
        for seed in range(30)
    }
    assert seen == {Box(110, 0, 120, 20), Box(140, 110, 160, 120), Box(0, 140, 10, 160)}


def test_rotation_goes_both_ways_up_to_its_limit() -> None:
    box = {"red": Box(140, 58, 144, 62)}
    heights = []
    for seed in range(200):
        result = finished(Rotate(max_degrees=10).apply(scene(box), random(seed)))
        red = boxes_of(result)["red"]
        heights.append((red.y_min + red.y_max) / 2 - 60)
    # 62 pixels to the right of the middle: 10° are 10.8 pixels up or down.
    assert max(heights) == pytest.approx(10.8, abs=0.5)
    assert min(heights) == pytest.approx(-10.8, abs=0.5)


def test_scale_and_shift_stay_within_their_limits() -> None:
    step = ScaleShift(0.5, 1.5, max_aspect=1.0, max_shift=0.1)
    box = {"red": Box(70, 50, 90, 70)}
    widths, places = [], []
    for seed in range(200):
        red = boxes_of(finished(step.apply(scene(box), random(seed))))["red"]
        assert red.width == pytest.approx(red.height, rel=0.02)
        widths.append(red.width / 20)
        places.append((red.x_min + red.x_max) / 2 - 80)
    assert 0.49 < min(widths) < 0.55
    assert 1.4 < max(widths) < 1.51
    assert -16.6 < min(places) < -14
    assert 14 < max(places) < 16.6


def test_crop_keeps_the_least_share_of_each_side() -> None:
    for seed in range(50):
        result = Crop(least_side=0.5).apply(scene(), random(seed))
        assert 80 <= result.size.width <= 160
        assert 60 <= result.size.height <= 120


def test_cutout_drops_a_box_that_it_hides() -> None:
    boxes = {"red": Box(70, 50, 74, 54), "blue": Box(0, 0, 160, 40)}
    kept = set()
    for seed in range(60):
        result = Cutout(count=1, max_side=1.0).apply(scene(boxes), random(seed))
        image = result.finished(least_visible=0.3, least_side_px=2)
        for label, box in boxes_of(image).items():
            assert box == boxes[label]
            assert found(image.rgb, label) is not None
        kept.add("red" in boxes_of(image))
    assert kept == {True, False}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FlipHorizontally(probability=1.5), "a probability is 1.5"),
        (lambda: Rotate(max_degrees=60), "the greatest angle is 60"),
        (lambda: ScaleShift(smallest=0.0), "the smallest scale is 0"),
        (lambda: ScaleShift(smallest=1.2, largest=1.1), "choose from 1.2 to 4"),
        (lambda: ScaleShift(max_aspect=0.5), "change of shape is 0.5"),
        (lambda: ScaleShift(max_shift=-0.1), "the greatest shift is -0.1"),
        (lambda: Crop(least_side=0), "the smallest side of a crop is 0"),
        (lambda: Hsv(hue=2), "the change of hue is 2"),
        (lambda: BrightnessContrast(contrast=float("nan")), "contrast is nan"),
        (lambda: Blur(max_sigma=0), "the strongest blur is 0"),
        (lambda: Noise(max_deviation=-1), "the strongest noise is -1"),
        (lambda: Cutout(count=0), "the number of patches is 0"),
        (lambda: Mosaic(off_centre=0.5), "middle is off by 0.5"),
        (lambda: Recipe(variants=1000), "at most 20 variants"),
        (lambda: Recipe(least_visible=2), "from 0 to 1"),
        (lambda: Recipe(least_side_px=-1), "cannot be below 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parameter_out_of_bounds_is_refused_with_a_sentence(
    make: Callable[[], Step | Mosaic | Recipe], sentence: str
) -> None:
    with pytest.raises(ExportError, match=sentence):
        make()
