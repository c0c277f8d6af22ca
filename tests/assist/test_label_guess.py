"""A drawn box knows its label."""

import numpy as np
import pytest
from numpy.typing import NDArray

import imagebase
from imagebase.annotation import Box
from imagebase.assist.label_guess import guessed
from imagebase.assist.pointing import PointCandidates
from imagebase.errors import EditError
from imagebase.images.decode import load_image
from imagebase.settings import SAMPLES_FOLDER

BOX = Box(0, 0, 100, 100)


def photo(name: str) -> NDArray[np.uint8]:
    data = (SAMPLES_FOLDER / name).read_bytes()
    return load_image(data, file_name=name, max_pixels=10**9).rgb


def seen(*rows: tuple[float, float, str]) -> PointCandidates:
    """Return candidates from the right edge of a box, its confidence and label."""
    return PointCandidates(
        np.array([(0, 0, right, 100) for right, _, _ in rows], np.float32).reshape(
            -1, 4
        ),
        np.array([confidence for _, confidence, _ in rows], np.float32),
        np.array([label for _, _, label in rows], np.str_),
        np.full(len(rows), 100, np.float32),
    )


def test_a_loose_box_around_the_bear_is_a_bear() -> None:
    first, *others = imagebase.suggest_labels(photo("bear.jpg"), (10, 20, 580, 630))
    assert first.label == "bear"
    assert 0.3 < first.confidence <= 1
    assert all(guess.confidence <= first.confidence for guess in others)
    assert len(others) <= 2


def test_corners_may_be_given_in_any_order() -> None:
    rgb = photo("bear.jpg")
    assert imagebase.suggest_labels(rgb, (580, 630, 10, 20)) == (
        imagebase.suggest_labels(rgb, (10, 20, 580, 630))
    )


def test_two_passes_that_half_agree_outweigh_one() -> None:
    one_sure = seen((100, 0.9, "cat"), (100, 0.3, "dog"))
    other = seen((100, 0.3, "dog"))
    assert [guess.label for guess in guessed([one_sure, other], BOX)] == ["dog", "cat"]


def test_a_box_that_hardly_overlaps_says_nothing() -> None:
    assert guessed([seen((15, 1.0, "cat"))], BOX) == []
    assert guessed([seen()], BOX) == []


def test_full_agreement_is_full_confidence() -> None:
    (guess,) = guessed([seen((100, 1.0, "cat")), seen((100, 1.0, "cat"))], BOX)
    assert guess.label == "cat"
    assert guess.confidence == pytest.approx(1.0)


def test_no_more_than_k_labels() -> None:
    known = seen(*((100, 0.5, f"label {number}") for number in range(9)))
    assert len(guessed([known], BOX)) == 3
    assert len(guessed([known], BOX, k=5)) == 5


@pytest.mark.parametrize("xyxy", [(-50, 0, -40, 10), (700, 700, 800, 800)])
def test_a_box_outside_the_image_is_refused(xyxy: tuple[float, ...]) -> None:
    with pytest.raises(EditError, match="outside the image"):
        imagebase.suggest_labels(photo("bear.jpg"), xyxy)
