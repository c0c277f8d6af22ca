"""A drawn box knows its label."""

import numpy as np
import pytest
from numpy.typing import NDArray

import imagebase
from imagebase.annotation import Box, Size
from imagebase.assist.label_guess import (
    BoxExamples,
    LabelGuess,
    Surroundings,
    extent_of,
    guessed,
    label_views,
    ranked_labels,
)
from imagebase.assist.pointing import PointCandidates
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.errors import EditError
from imagebase.geometry import pairwise_iou
from imagebase.images.decode import LoadedImage, load_image
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


def sure(label: str, support: float) -> LabelGuess:
    return LabelGuess(label, support**4)


def test_only_a_label_of_the_dataset_is_set() -> None:
    guesses = [sure("dog", 0.9), sure("cat", 0.3)]
    first, likely = ranked_labels(guesses, Surroundings(labels=["cat", "kite"]))
    assert first == "cat"
    assert likely == ("dog", "cat")  # a label that the dataset lacks is offered
    assert ranked_labels(guesses, Surroundings()).first == "dog"


def test_an_unlikely_label_is_not_set_and_not_offered() -> None:
    guesses = [sure("dog", 0.4), sure("cat", 0.05)]
    assert ranked_labels(guesses, Surroundings(labels=["cat"])) == (None, ("cat",))
    assert ranked_labels([], Surroundings(labels=["cat"])) == (None, ())


def test_the_label_before_and_those_on_the_image_are_likelier() -> None:
    guesses = [sure("chair", 0.40), sure("couch", 0.35)]
    labels = ["chair", "couch"]
    around = Surroundings(labels=labels, previous="couch")
    assert ranked_labels(guesses, around).first == "couch"
    around = Surroundings(labels=labels, here=["couch"])
    assert ranked_labels(guesses, around).first == "couch"
    assert ranked_labels([sure("chair", 0.6)], around).first == "chair"


def test_a_label_that_no_model_knows_is_recognised() -> None:
    guesses = [sure("donut", 0.3)]
    likeness = {"red cell": 0.8, "white cell": 0.5}
    around = Surroundings(["red cell", "white cell", "donut"], ["donut"], likeness)
    assert ranked_labels(guesses, around).likely == ("red cell", "donut", "white cell")


def test_likeness_is_that_of_the_best_box_of_like_size() -> None:
    looks = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    sizes = [Box(0, 0, 10, 10), Box(0, 0, 10, 10), Box(0, 0, 100, 100)]
    extents = np.stack([extent_of(box, Size(200, 100)) for box in sizes])
    examples = BoxExamples(np.array(["a", "a", "b"]), looks, extents)
    alike = examples.likeness(looks[1], extents[1])
    assert alike["a"] == pytest.approx(1)
    assert alike["b"] == pytest.approx(0.6 - 0.1 * 2 * np.log(10), abs=1e-5)
    assert BoxExamples.none().likeness(looks[0], extents[0]) == {}


def test_views_of_a_reduced_image_are_in_pixels_of_the_full_one() -> None:
    data = (SAMPLES_FOLDER / "bear.jpg").read_bytes()
    full = load_image(data, file_name="bear.jpg", max_pixels=10**9)
    half = LoadedImage(np.ascontiguousarray(full.rgb[::2, ::2]), full.size)
    box = Box(10, 20, 580, 630)
    detectors = [shared_detector(find_model("yolox-nano"))]
    for image in (full, half):
        (seen,) = label_views(image, box, detectors, labels=[["x"] * 80])
        best = seen.xyxy[seen.confidence.argmax()]
        assert pairwise_iou(np.array([box], np.float32), best[None])[0, 0] > 0.7
        assert set(seen.label) == {"x"}
