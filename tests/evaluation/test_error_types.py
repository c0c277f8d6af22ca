"""What became of detections and objects, and the confusion matrix that says so."""

import numpy as np
import pytest

from imagebase.evaluation.arrays import Predictions, Truth
from imagebase.evaluation.curves import judged, point
from imagebase.evaluation.error_types import Outcome, Outcomes, outcomes
from imagebase.evaluation.matching import match
from tests.evaluation.builders import found, padilla, truth

A = (10.0, 10.0, 60.0, 60.0)
A_LOOSE = (10.0, 10.0, 60.0, 30.0)  # IoU 0.4 with A
B = (100.0, 100.0, 150.0, 150.0)
EMPTY_PLACE = (70.0, 150.0, 90.0, 190.0)


def told(things: Truth, said: Predictions, *, threshold: float = 0.25) -> Outcomes:
    return outcomes(things, said, match(things, said), threshold=threshold)


def mistakes(result: Outcomes) -> list[tuple[Outcome, float]]:
    return [
        (
            mistake.outcome,
            0.0
            if mistake.found is None
            else float(result.found.confidence[mistake.found]),
        )
        for mistake in result.mistakes()
    ]


def test_right_ones_are_no_mistakes() -> None:
    result = told(truth((0, "cat", A)), found((0, "cat", A, 0.9)))
    assert result.mistakes() == []
    assert result.count(Outcome.RIGHT) == 1
    assert result.confusion().tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_each_kind_of_mistake() -> None:
    things = truth((0, "cat", A), (0, "dog", B), (1, "cat", A), (1, "dog", B), images=2)
    said = found(
        (0, "dog", A, 0.8),  # a cat taken for a dog
        (0, "cat", EMPTY_PLACE, 0.7),
        (1, "cat", A_LOOSE, 0.6),
        (1, "dog", B, 0.5),
        (1, "dog", EMPTY_PLACE, 0.1),  # below the threshold
    )
    result = told(things, said)
    assert set(mistakes(result)) == {
        (Outcome.MIX_UP, 0.8),
        (Outcome.FALSE_ALARM, 0.7),
        (Outcome.LOOSE, 0.6),
        (Outcome.MISSED, 0.0),
    }
    # rows: cat, dog, background; columns: said to be cat, dog, background
    assert result.confusion().tolist() == [[0, 1, 1], [0, 1, 1], [2, 0, 0]]
    # image 0: relabel, delete and draw; image 1: move
    assert result.clicks().tolist() == [1 + 1 + 2, 1]


def test_cells_lead_to_their_images() -> None:
    things = truth((0, "cat", A), (1, "cat", A), (2, "dog", B), images=3)
    said = found((0, "cat", A, 0.9), (1, "dog", A, 0.8))
    result = told(things, said)

    def cell(actual: int, said: int) -> list[tuple[Outcome, int]]:
        return [
            (mistake.outcome, mistake.image) for mistake in result.of_cell(actual, said)
        ]

    assert cell(0, 0) == [(Outcome.RIGHT, 0)]
    assert cell(0, 1) == [(Outcome.MIX_UP, 1)]
    assert cell(1, 2) == [(Outcome.MISSED, 2)]
    assert cell(2, 0) == []


def test_every_cell_leads_to_as_much_as_it_counts() -> None:
    things, said = padilla()
    result = told(things, said)
    counts = result.confusion()
    for actual in range(len(counts)):
        for label in range(len(counts)):
            assert len(result.of_cell(actual, label)) == counts[actual, label]


def test_an_object_is_given_once() -> None:
    """The second box on one cat is a false alarm, not a mix-up with the cat itself."""
    said = found((0, "cat", A, 0.9), (0, "cat", A, 0.8), (0, "dog", A, 0.7))
    assert mistakes(told(truth((0, "cat", A)), said)) == [
        (Outcome.FALSE_ALARM, 0.8),
        (Outcome.FALSE_ALARM, 0.7),
    ]


def test_a_detection_in_a_crowd_is_neither() -> None:
    things = truth((0, "cat", A), crowds=[(0, "dog", (90, 90, 200, 200))])
    result = told(things, found((0, "cat", A, 0.9), (0, "dog", B, 0.8)))
    assert result.mistakes() == []


def test_the_worst_misses_are_the_largest() -> None:
    small = (0.0, 0.0, 5.0, 5.0)
    result = told(truth((0, "cat", small), (0, "dog", B)), Predictions.of([]))
    assert [mistake.object for mistake in result.mistakes()] == [1, 0]


@pytest.mark.parametrize("threshold", [0.2, 0.48, 0.9])
def test_confusion_counts_what_the_point_counts(threshold: float) -> None:
    things, said = padilla()
    matching = match(things, said)
    result = outcomes(things, said, matching, threshold=threshold)
    at = point(judged(things, said, matching), threshold=threshold)
    counts = result.confusion()
    assert np.trace(counts) == at.right
    assert counts[:, :-1].sum() == at.right + at.wrong
    assert counts[:-1].sum() == at.right + at.missed
