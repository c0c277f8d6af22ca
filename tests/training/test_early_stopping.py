"""Which weights are kept, and when waiting is over."""

from collections.abc import Sequence

import pytest

from imagebase.training.schedule import PATIENCE, Choice


def kept(
    found: Sequence[float | None], *, is_trusted: bool = True
) -> tuple[Choice, list[bool]]:
    """Judge after every hundred steps; return the choice and what was kept."""
    choice = Choice()
    answers = [
        choice.keeps(ap50, step=100 * number, is_trusted=is_trusted)
        for number, ap50 in enumerate(found, start=1)
    ]
    return choice, answers


def test_the_best_is_kept_and_of_equals_the_last() -> None:
    choice, answers = kept([0.2, 0.5, 0.4, 0.5, 0.3])
    assert answers == [True, True, False, True, False]
    assert (choice.best_ap50, choice.best_step) == (0.5, 400)
    assert (choice.rose_at, choice.waited) == (200, 3)


def test_a_fall_to_nothing_replaces_nothing() -> None:
    choice, answers = kept([0.5, 0.0])
    assert answers == [True, False]
    assert choice.best_ap50 == 0.5


@pytest.mark.parametrize("found", [[0.5, 0.1, 0.2], [None, None, None]])
def test_where_ap_is_chance_or_unknown_the_last_is_kept(
    found: Sequence[float | None],
) -> None:
    choice, answers = kept(found, is_trusted=False)
    assert answers == [True, True, True]
    assert (choice.best_step, choice.waited) == (300, 0)
    assert choice.best_ap50 == found[-1]


def test_nothing_held_out_keeps_the_last_and_never_waits() -> None:
    choice, _ = kept([None] * 9)
    assert not choice.has_waited_enough(900, 1000)


def test_waiting_is_over_after_five_judgements_without_a_rise() -> None:
    choice, _ = kept([0.5, *[0.4] * (PATIENCE - 1)])
    assert not choice.has_waited_enough(500, 500)
    choice.keeps(0.4, step=600, is_trusted=True)
    assert choice.has_waited_enough(600, 2000)
    # Those five are a quarter of two thousand steps, and less of more.
    assert not choice.has_waited_enough(600, 2100)


def test_standing_still_is_waiting_but_not_at_nothing() -> None:
    standing, _ = kept([1.0] * 6)
    assert standing.has_waited_enough(600, 600)
    at_nothing, _ = kept([0.0] * 6)
    assert not at_nothing.has_waited_enough(600, 600)
