"""How long a training goes on, and how fast it learns."""

import math
from typing import Any

import pytest

from imagebase.errors import TrainingError
from imagebase.training.run_settings import TrainingSettings
from imagebase.training.schedule import (
    MIN_STEPS,
    WARM_UP_STEPS,
    Schedule,
    learning_rate,
)


def schedule(**length: float) -> Schedule:
    document: dict[str, Any] = {"base": "", **length}
    settings = TrainingSettings(**document)
    return Schedule(settings, 50, has_validation=True, step_seconds=0.5)


def run(schedule: Schedule, *, step: float, judging: float) -> tuple[int, int, float]:
    """Return steps, judgements and seconds of a training whose steps take so long."""
    done = judged = 0
    while not schedule.is_over(done):
        done += 1
        schedule.charge_step(step)
        if schedule.is_validation_due(done):
            schedule.charge_validation(done, judging)
            judged += 1
    return done, judged, schedule.seconds


def test_the_rate_rises_then_falls_as_a_cosine() -> None:
    rates = [learning_rate(step, 600, highest=1.0) for step in range(600)]
    assert rates[0] == pytest.approx(1 / WARM_UP_STEPS)
    assert max(rates) == rates[WARM_UP_STEPS] == 1
    assert rates[-1] == pytest.approx(0.02, abs=1e-3)
    assert rates[315] == pytest.approx((1 + 0.02) / 2, abs=1e-2)
    assert math.isfinite(learning_rate(0, 1, highest=1.0))


@pytest.mark.parametrize("step", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("judging", [0.5, 6.0])
def test_a_run_takes_the_minutes_set(step: float, judging: float) -> None:
    run_schedule = schedule(minutes=3)
    done, judged, seconds = run(run_schedule, step=step, judging=judging)
    # The last judgement and the closing come on top of these.
    assert 155 <= seconds + judging + 4 <= 180 + step
    assert judged * judging <= seconds / 5
    assert 1 <= judged <= 30
    assert done == pytest.approx((seconds - judged * judging) / step, abs=1)


def test_a_slow_machine_trains_a_minimum_of_steps() -> None:
    run_schedule = schedule(minutes=0.1)
    assert run(run_schedule, step=5.0, judging=1.0)[0] == MIN_STEPS


def test_a_sleeping_machine_is_not_charged() -> None:
    run_schedule = schedule(minutes=1)
    for _ in range(30):
        run_schedule.charge_step(0.2)
    run_schedule.charge_step(3600.0)
    assert run_schedule.seconds == pytest.approx(31 * 0.2)


def test_epochs_and_steps_are_exact() -> None:
    assert run(schedule(epochs=3), step=9.0, judging=1.0)[0] == 150
    assert run(schedule(steps=7), step=9.0, judging=1.0)[0] == 7


@pytest.mark.parametrize("length", [{"steps": 900}, {"minutes": 10.0}])
def test_early_stopping_ends_with_a_low_learning_rate(length: dict[str, float]) -> None:
    run_schedule = schedule(**length)
    for _ in range(300):
        run_schedule.charge_step(0.5)
    before = learning_rate(300, run_schedule.steps(300), highest=1.0)
    assert run_schedule.wind_down(300) == run_schedule.steps(300) == 360
    rates = [
        learning_rate(step, run_schedule.steps(step), highest=1.0)
        for step in (300, 359)
    ]
    assert before > 0.7
    assert rates[0] < 0.1
    assert rates[1] == pytest.approx(0.02, abs=1e-3)
    assert not run_schedule.is_over(359)
    assert run_schedule.is_over(360)
    assert run_schedule.seconds_left(300) < 60 * 0.5 * 1.2 + 5


def test_early_stopping_is_never_later_than_the_end() -> None:
    run_schedule = schedule(steps=310)
    assert run_schedule.wind_down(300) == 310


def test_exactly_one_length_is_required() -> None:
    with pytest.raises(TrainingError, match="minutes or epochs"):
        TrainingSettings(base="", minutes=1, epochs=2)
    with pytest.raises(TrainingError, match="minutes or epochs"):
        TrainingSettings(base="")
    with pytest.raises(TrainingError, match="minutes or epochs"):
        TrainingSettings(base="", minutes=0)
