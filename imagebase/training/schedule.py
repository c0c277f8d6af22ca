"""Schedule of a training run: learning rate, length, and when to stop early."""

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from imagebase.training.run_settings import TrainingSettings

# Validations without improvement, and the share of all steps they have to cover.
PATIENCE: Final = 5
PATIENCE_SHARE: Final = 0.25


@dataclass(slots=True)
class EarlyStopping:
    """State of early stopping.

    best_step: step of the best weights. waited: validations since AP50 last rose, at
    step rose_at.
    """

    best_ap50: float | None = None
    best_step: int = 0
    rose_at: int = 0
    waited: int = 0

    def is_best(self, ap50: float | None, *, step: int, is_trusted: bool) -> bool:
        """Add a validation; return whether its weights replace the best so far.

        Args:
            ap50: on the validation images; None without any.
            step: of the validation.
            is_trusted: whether there are enough validation images. With fewer, AP50
                is noise, and the last weights are kept.
        """
        best = self.best_ap50
        # At an AP50 of 0 the network detects nothing yet: keep training.
        has_risen = not is_trusted or ap50 is None or not best or ap50 > best
        if has_risen:
            self.waited, self.rose_at = 0, step
        else:
            self.waited += 1
        if not has_risen and ap50 != best:
            return False
        self.best_ap50, self.best_step = ap50, step
        return True

    def should_stop(self, step: int, steps: int) -> bool:
        """Return whether AP50 has not risen for long enough to stop.

        Validations can be frequent, so they have to cover a quarter of all steps too.
        """
        share = PATIENCE_SHARE * steps
        return self.waited >= PATIENCE and step - self.rose_at >= share


WARM_UP_STEPS: Final = 30
_LAST_RATE: Final = 0.02
# Limits of validation: share of the time, and number.
_VALIDATION_SHARE: Final = 1 / 12
_MAX_VALIDATIONS: Final = 30
# Writing and evaluating the result.
_CLOSING_SECONDS: Final = 4.0
# A step this many times slower than usual means that the machine slept.
_ASLEEP: Final = 20.0
_ALWAYS_CHARGED: Final = 5.0
_REMEMBERED: Final = 60
# Minimum length, however slow the machine is.
MIN_STEPS: Final = 20
# After early stopping the run continues for a fifth of the steps done.
WIND_DOWN_SHARE: Final = 5


def learning_rate(step: int, steps: int, *, highest: float) -> float:
    """Return the learning rate of a step: linear warm-up, then cosine decay."""
    warm_up = min(WARM_UP_STEPS, max(1, steps // 10))
    if step < warm_up:
        return highest * (step + 1) / warm_up
    progress = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    falling = (1 + math.cos(math.pi * progress)) / 2
    return highest * (_LAST_RATE + (1 - _LAST_RATE) * falling)


@dataclass(slots=True)
class Schedule:
    """Counts the charged time and estimates the number of steps.

    A length in epochs or steps is exact. A length in minutes is converted by the
    duration of a step, which is updated during the run.

    seconds: charged so far. validation_seconds: of the last validation. ends_at: last
        step after early stopping.
    """

    settings: TrainingSettings
    steps_per_epoch: int
    has_validation: bool
    step_seconds: float
    seconds: float = 0.0
    validation_seconds: float = 0.0
    validated_at_step: int = 0
    validated_at_seconds: float = 0.0
    ends_at: int | None = None
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def charge_step(self, seconds: float) -> None:
        """Count the time of one step, without time in which the machine slept."""
        usual = self.step_seconds
        if seconds > max(_ASLEEP * usual, _ALWAYS_CHARGED):
            seconds = usual
        self.seconds += seconds
        self._recent.append(seconds)
        if len(self._recent) >= 5:
            self.step_seconds = median(self._recent)

    def charge_validation(self, step: int, seconds: float) -> None:
        """Count the time of a validation after this many steps."""
        self.seconds += seconds
        self.validation_seconds = seconds
        self.validated_at_step, self.validated_at_seconds = step, self.seconds

    def steps(self, done: int) -> int:
        """Return the estimated total number of steps."""
        steps = self._steps_of_length(done)
        return steps if self.ends_at is None else min(steps, self.ends_at)

    def wind_down(self, done: int) -> int:
        """Stop early with a falling learning rate; return the last step.

        A few steps at a low rate improve the network.
        """
        self.ends_at = min(
            self.steps(done), done + max(MIN_STEPS, done // WIND_DOWN_SHARE)
        )
        return self.ends_at

    def _steps_of_length(self, done: int) -> int:
        if self.settings.steps is not None:
            return self.settings.steps
        if self.settings.epochs is not None:
            return self.settings.epochs * self.steps_per_epoch
        share = _VALIDATION_SHARE if self.has_validation else 0.0
        left = max(0.0, self._budget() - self.seconds)
        return max(MIN_STEPS, done + int(left * (1 - share) / self.step_seconds))

    def seconds_left(self, done: int) -> float:
        """Return the estimated seconds left."""
        steps = max(0, self.steps(done) - done)
        share = 1 / (1 - _VALIDATION_SHARE) if self.has_validation else 1.0
        return steps * self.step_seconds * share + self._closing()

    def is_over(self, done: int) -> bool:
        """Return whether the run ends after so many steps."""
        if self.settings.minutes is None:
            return done >= self.steps(done)
        is_used_up = self.seconds >= self._budget() or done >= self.steps(done)
        return is_used_up and done >= MIN_STEPS

    def is_validation_due(self, done: int) -> bool:
        """Return whether to validate now: after each epoch, but not too often."""
        if (
            done - self.validated_at_step < self.steps_per_epoch
            or not self.has_validation
        ):
            return False
        since = self.seconds - self.validated_at_seconds
        whole = self.seconds + self.seconds_left(done)
        enough = max(
            self.validation_seconds / _VALIDATION_SHARE, whole / _MAX_VALIDATIONS
        )
        # The final validation follows anyway.
        is_near_end = self.steps(done) - done < self.steps_per_epoch // 3
        return since >= enough and not is_near_end

    def _budget(self) -> float:
        """Return the seconds for steps and validations."""
        return (self.settings.minutes or 0) * 60 - self._closing()

    def _closing(self) -> float:
        return _CLOSING_SECONDS + (
            self.validation_seconds if self.has_validation else 0.0
        )
