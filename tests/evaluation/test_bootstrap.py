"""Intervals by drawing images again, and differences that are noise."""

import numpy as np
import pytest

from imagebase.evaluation.arrays import Predictions, Truth
from imagebase.evaluation.average_precision import coco_figures
from imagebase.evaluation.bootstrap import (
    ScoreDifference,
    difference,
    draws,
    interval,
    point_intervals,
    resample,
    warnings_about,
)
from imagebase.evaluation.curves import judged
from imagebase.evaluation.matching import match
from tests.evaluation.builders import found, truth
from tests.evaluation.test_average_precision import golden

BOX = (10.0, 10.0, 60.0, 60.0)


def test_every_image_once_gives_cocos_own_figure() -> None:
    labels, said = golden()
    matching = match(labels.truth, said)
    once = np.ones((1, len(labels.truth.images)))
    drawn = resample(labels.truth, said, matching, once)
    figures = coco_figures(labels.truth, said)
    assert drawn.ap[0] == pytest.approx(figures["AP"], abs=1e-9)
    assert drawn.ap50[0] == pytest.approx(figures["AP50"], abs=1e-9)


def test_a_draw_gives_what_coco_says_of_the_images_drawn() -> None:
    """Images drawn once each, the others not at all: COCO can be asked the same."""
    labels, said = golden()
    chosen = list(range(0, 100, 2))
    weights = np.zeros((1, 100))
    weights[0, chosen] = 1
    drawn = resample(labels.truth, said, match(labels.truth, said), weights)
    part = coco_figures(labels.truth.only(chosen), said.only(chosen, of=100))
    assert drawn.ap[0] == pytest.approx(part["AP"], abs=1e-9)


def test_crowds_are_ignored_in_draws_too() -> None:
    things = truth((0, "cat", BOX), crowds=[(0, "cat", (90, 90, 200, 200))])
    said = found((0, "cat", (100, 100, 150, 150), 0.95), (0, "cat", BOX, 0.9))
    drawn = resample(things, said, match(things, said), np.ones((1, 1)))
    assert drawn.ap[0] == pytest.approx(1)


def test_draws_are_always_the_same_and_of_the_same_size() -> None:
    assert (draws(20) == draws(20)).all()
    assert (draws(20).sum(axis=1) == 20).all()


def half_right(images: int) -> tuple[Truth, Predictions]:
    """Return a cat on each image, found on every other one."""
    things = truth(*((n, "cat", BOX) for n in range(images)), images=images)
    return things, found(*((n, "cat", BOX, 0.9) for n in range(0, images, 2)))


def test_the_interval_holds_the_figure_and_narrows_with_more_images() -> None:
    widths = []
    for images in (20, 200):
        things, said = half_right(images)
        weights = draws(images)
        detections = judged(things, said, match(things, said))
        low, high = point_intervals(detections, weights, threshold=0.25, truth=things)[
            "recall"
        ]
        assert low <= 0.5 <= high
        widths.append(high - low)
    # As 1 / sqrt(n) has it: 20 against 200 images is 3.2 times as wide.
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(10), rel=0.25)


def test_a_difference_on_one_image_is_noise() -> None:
    things, said = half_right(40)
    other = found(*((n, "cat", BOX, 0.9) for n in range(1, 40, 2)))
    weights = draws(40)
    ours = resample(things, said, match(things, said), weights)
    theirs = resample(things, other, match(things, other), weights)
    apart = difference(ours.ap, theirs.ap, value=0.0)
    assert apart.is_noise
    assert apart.in_words() == "within the noise"


def test_a_difference_on_every_image_is_none() -> None:
    things, said = half_right(40)
    best = found(*((n, "cat", BOX, 0.9) for n in range(40)))
    weights = draws(40)
    ours = resample(things, best, match(things, best), weights)
    theirs = resample(things, said, match(things, said), weights)
    apart = difference(ours.ap, theirs.ap, value=0.5)
    assert not apart.is_noise
    assert apart.in_words() == "better"
    assert ScoreDifference(-0.5, -0.6, -0.4).in_words() == "worse"


def test_draws_are_moved_onto_the_figure() -> None:
    assert interval(np.arange(1001.0), around=400) == pytest.approx((-75, 875))


def test_interval_is_of_the_middle_95_percent() -> None:
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975))


def test_too_little_to_judge_by_is_said() -> None:
    said = " ".join(warnings_about(truth((0, "cat", BOX))))
    assert "Only 1 image: there is no confidence interval" in said
    assert "Only 1 box:" in said
    assert "1 label has fewer than 10 boxes" in said


def test_enough_is_not_spoken_of() -> None:
    things = truth(*((n, "cat", BOX) for n in range(120)), images=120)
    assert warnings_about(things) == []
