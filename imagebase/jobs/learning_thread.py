"""The thread in which datasets learn: one per process, at low priority, taking turns.

It is no queue of jobs: nothing is lost when a process ends, as what was learned follows
from the approved images, and a step must not wait behind a long job.
"""

import contextlib
import logging
import os
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from imagebase.errors import NotFoundError, StoreError
from imagebase.jobs.learning import (
    Learned,
    Learner,
    LearningStatus,
    StartTraining,
)
from imagebase.jobs.runner import RunTime
from imagebase.learning.scenes import forget_scenes
from imagebase.settings import Limits
from imagebase.store import Scope, Store

# Each holds up to some hundred megabytes.
_MOST_DATASETS: Final = 4
# A dataset that nobody labels is let go.
_FORGOTTEN_AFTER: Final = 900.0
_AFTER_A_FAULT: Final = 10.0
_NICENESS: Final = 5

_log: Final = logging.getLogger(__name__)

_Key = tuple[str, str]


class _Following:
    """A dataset that somebody labels, and when it is to be looked at next."""

    def __init__(self, learner: Learner, scope: Scope) -> None:
        self.learner = learner
        self.scope = scope
        self.followed_at = time.monotonic()
        self.due_at = 0.0


class LearningThread:
    """Learners of the datasets that are being labelled; threads may share it."""

    def __init__(
        self,
        store: Store,
        *,
        limits: Limits | None = None,
        start_training: StartTraining | None = None,
    ) -> None:
        """start_training: queues a training run; None trains nothing."""
        self._store = store
        self._limits = limits or Limits()
        self._start_training = start_training
        self._run_time = RunTime()
        self._changed = threading.Condition()
        self._followed: OrderedDict[_Key, _Following] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def follow(self, scope: Scope, following: list[str]) -> None:
        """Learn from what is approved in a dataset from now on; it costs no time.

        Args:
            scope: of the person who labels.
            following: the image on screen and those that come next.
        """
        key = (scope.owner_id, scope.dataset_id)
        with self._changed:
            followed = self._followed.get(key) or self._new(scope)
            followed.learner.following = following
            followed.followed_at = time.monotonic()
            followed.due_at = 0.0
            self._followed[key] = followed
            while len(self._followed) > _MOST_DATASETS:
                oldest = min(self._followed, key=self._followed_at)
                del self._followed[oldest]
            self._start()
            self._changed.notify_all()

    def learned(self, scope: Scope, image_id: str) -> Learned | None:
        """Return what to suggest on an image; None where nothing is known yet."""
        followed = self._followed.get((scope.owner_id, scope.dataset_id))
        return None if followed is None else followed.learner.learned(image_id)

    def status(self, scope: Scope) -> LearningStatus:
        """Return what a dataset has learned so far."""
        followed = self._followed.get((scope.owner_id, scope.dataset_id))
        if followed is None:
            return LearningStatus()
        status = followed.learner.status()
        return replace(status, is_busy=status.is_busy or not followed.due_at)

    def close(self, *, timeout_seconds: float = 10.0) -> None:
        """End the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)

    def _new(self, scope: Scope) -> _Following:
        learner = Learner(
            self._store,
            scope,
            max_pixels=self._limits.max_image_pixels,
            start_training=self._start_training,
        )
        return _Following(learner, scope)

    def _followed_at(self, key: _Key) -> float:
        return self._followed[key].followed_at

    def _start(self) -> None:
        if self._thread is None and not self._is_closing:
            self._thread = threading.Thread(
                target=self._work, name="imagebase-learning", daemon=True
            )
            self._thread.start()

    def _work(self) -> None:
        _lower_priority()
        while (followed := self._next()) is not None:
            self._step(followed)

    def _next(self) -> _Following | None:
        """Wait for a dataset whose turn it is; None ends the thread."""
        with self._changed:
            while not self._is_closing:
                now = time.monotonic()
                for key, followed in list(self._followed.items()):
                    if now - followed.followed_at > _FORGOTTEN_AFTER:
                        del self._followed[key]
                    elif followed.due_at <= now:
                        self._followed.move_to_end(key)  # the others come first now
                        return followed
                if not self._followed:
                    self._changed.wait()
                else:
                    due_at = min(each.due_at for each in self._followed.values())
                    self._changed.wait(max(due_at - now, 0.0))
        return None

    def _step(self, followed: _Following) -> None:
        owner_id, started = followed.scope.owner_id, time.monotonic()
        asked_at = followed.followed_at
        pause: float | None = 0.0
        if self._run_time.seconds(owner_id) > self._limits.max_run_seconds_per_hour:
            pause = _AFTER_A_FAULT
        else:
            pause = self._pause_after(followed.learner)
        ended = time.monotonic()
        self._run_time.add(owner_id, started, ended)
        with self._changed:
            if pause is None:
                self._forget(followed)
            # A person may have approved an image meanwhile.
            elif pause and followed.followed_at == asked_at:
                followed.due_at = ended + pause

    def _forget(self, followed: _Following) -> None:
        """Keep nothing of a dataset that was deleted."""
        scope = followed.scope
        key = (scope.owner_id, scope.dataset_id)
        if self._followed.get(key) is followed:
            del self._followed[key]
        forget_scenes(scope)

    @staticmethod
    def _pause_after(learner: Learner) -> float | None:
        """Do one step; return the seconds to wait, None where there is no dataset."""
        try:
            return learner.step()
        except NotFoundError:
            return None
        except StoreError as error:  # the disk is full, for example
            _log.info("A dataset does not learn: %s", error)
        except Exception:
            _log.exception("Learning failed; labelling goes on without it")
        return _AFTER_A_FAULT


def _lower_priority() -> None:
    """Give way to whoever waits for an answer; Linux has a priority per thread."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
