"""Early stopping: the best weights, and when to stop."""

from collections.abc import Sequence

import pytest

from imagebase.training.schedule import PATIENCE, EarlyStopping


def kept(
    found: Sequence[float | None], *, is_trusted: bool = True
) -> tuple[EarlyStopping, list[bool]]:
    """Judge after every hundred steps; return the state and what was kept."""
    state = EarlyStopping()
    answers = [
        state.is_best(ap50, step=100 * number, is_trusted=is_trusted)
        for number, ap50 in enumerate(found, start=1)
    ]
    return state, answers


def test_the_last_of_equally_good_weights_is_best() -> None:
    state, answers = kept([0.2, 0.5, 0.4, 0.5, 0.3])
    assert answers == [True, True, False, True, False]
    assert (state.best_ap50, state.best_step) == (0.5, 400)
    assert (state.rose_at, state.waited) == (200, 3)


def test_an_ap50_of_zero_replaces_nothing() -> None:
    state, answers = kept([0.5, 0.0])
    assert answers == [True, False]
    assert state.best_ap50 == 0.5


@pytest.mark.parametrize("found", [[0.5, 0.1, 0.2], [None, None, None]])
def test_with_untrusted_or_unknown_ap_the_last_is_best(
    found: Sequence[float | None],
) -> None:
    state, answers = kept(found, is_trusted=False)
    assert answers == [True, True, True]
    assert (state.best_step, state.waited) == (300, 0)
    assert state.best_ap50 == found[-1]


def test_without_validation_images_the_last_weights_are_kept() -> None:
    state, _ = kept([None] * 9)
    assert not state.should_stop(900, 1000)


def test_stops_after_five_validations_without_improvement() -> None:
    state, _ = kept([0.5, *[0.4] * (PATIENCE - 1)])
    assert not state.should_stop(500, 500)
    state.is_best(0.4, step=600, is_trusted=True)
    assert state.should_stop(600, 2000)
    # Those five are a quarter of two thousand steps, and less of more.
    assert not state.should_stop(600, 2100)


def test_a_constant_ap50_stops_the_run_unless_it_is_zero() -> None:
    standing, _ = kept([1.0] * 6)
    assert standing.should_stop(600, 600)
    at_nothing, _ = kept([0.0] * 6)
    assert not at_nothing.should_stop(600, 600)
