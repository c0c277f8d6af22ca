"""Services of the process: store, job runner, limits, cleanup of expired data."""

import gc
import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import streamlit as st

from imagebase.detection.library import delete_models
from imagebase.errors import StoreError
from imagebase.jobs.evaluation import delete_evaluations
from imagebase.jobs.handlers import HANDLERS
from imagebase.jobs.learning_thread import LearningThread
from imagebase.jobs.runner import JobRunner
from imagebase.jobs.temporary_files import delete_exports, delete_old_exports
from imagebase.jobs.training import KIND, delete_old_trainings, delete_trainings
from imagebase.settings import Limits, Mode, Settings, settings
from imagebase.store import Scope, Store, open_store
from imagebase.store.database_copies import CopyStoppedError
from imagebase.training.checks import has_torch

_frozen_modules = 0
SWEEP_SECONDS: Final = 60
_MOVED_SECONDS: Final = 60
DAY_SECONDS: Final = 24 * 3600


def freeze_modules() -> None:
    """Exclude all current objects from garbage collection, after new imports.

    Collecting modules again and again takes time; reference counting still frees what
    is no longer used.
    """
    global _frozen_modules
    if len(sys.modules) == _frozen_modules:
        return
    _frozen_modules = len(sys.modules)
    gc.collect()
    gc.freeze()


@dataclass(frozen=True, slots=True)
class _Opened:
    store: Store
    runner: JobRunner
    learner: LearningThread
    sweeper: threading.Thread
    closing: threading.Event


_log = logging.getLogger(__name__)
_lock = threading.Lock()
_opened: dict[str, _Opened] = {}


def mode() -> Mode:
    """Return the mode of this server: demo or team."""
    return settings().mode_for(st.get_option("server.address"))


def limits() -> Limits:
    """Return the limits of this server."""
    return settings().limits_for(mode())


def store() -> Store:
    """Return the store of the process, opened at the first call."""
    return _open(settings()).store


def runner() -> JobRunner:
    """Return the job runner of the process."""
    return _open(settings()).runner


def learner() -> LearningThread:
    """Return the thread in which datasets learn while people label."""
    return _open(settings()).learner


def is_reachable() -> bool:
    """Say whether the database and the image files answer."""
    try:
        store().check_reachable()
    except StoreError:
        return False
    return True


def close() -> None:
    """Stop all jobs and close every store; the next call reopens them."""
    with _lock:
        opened = list(_opened.values())
        _opened.clear()
    for service in opened:
        service.closing.set()
        service.learner.close()
        service.runner.close()
        service.sweeper.join()
        service.store.close()


def sweep() -> None:
    """Delete the data of expired visitors, and old exports and training files."""
    _sweep(store())


def _open(current: Settings) -> _Opened:
    with _lock:
        if current.database_url not in _opened:
            _opened[current.database_url] = _open_now(current)
        return _opened[current.database_url]


def _open_now(current: Settings) -> _Opened:
    opened = open_store(current, max_labels=limits().max_labels)
    closing = threading.Event()
    sweeper = threading.Thread(
        target=_keep_sweeping,
        args=(opened, closing),
        name="imagebase-sweeper",
        daemon=True,
    )
    jobs = JobRunner(opened, HANDLERS, limits=limits())
    learner = LearningThread(
        opened,
        limits=limits(),
        start_training=partial(_train, jobs) if mode() is Mode.TEAM else None,
    )
    sweeper.start()
    return _Opened(opened, jobs, learner, sweeper, closing)


def _train(jobs: JobRunner, scope: Scope, parameters: dict[str, Any]) -> None:
    # PyTorch may be installed while the server runs.
    if has_torch():
        jobs.submit(scope, KIND, parameters)


def _keep_sweeping(swept: Store, closing: threading.Event) -> None:
    """Delete expired data once a minute; daily copy the database and sweep files."""
    files_swept_at, clock = -math.inf, _Clock()
    while not closing.is_set():
        # Who is here shows it within that time, by the clock as it is now.
        if clock.is_settled(limits().session_seconds):
            _try("delete expired data", lambda: _sweep(swept))
        _try("copy the database", lambda: swept.copy_database_if_due(closing.is_set))
        if time.monotonic() - files_swept_at > DAY_SECONDS:
            files_swept_at = time.monotonic()
            _try("delete files without a row", swept.sweep_files)
        if not closing.wait(SWEEP_SECONDS):
            # By now the pages have imported their modules.
            freeze_modules()


class _Clock:
    """Notices when the machine's clock is moved, or was asleep."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self._moved_at = -math.inf

    def is_settled(self, seconds: float) -> bool:
        """Say whether it was not moved within the last seconds."""
        now = time.monotonic()
        offset = time.time() - now
        if abs(offset - self._offset) > _MOVED_SECONDS:
            _log.warning("The clock was moved by %.0f s", offset - self._offset)
            self._offset, self._moved_at = offset, now
        return now - self._moved_at >= seconds


def _try(what: str, work: Callable[[], object]) -> None:
    try:
        work()
    except CopyStoppedError:
        return
    # Cloud file systems raise errors of their own; the next work must still be done.
    except Exception:
        _log.exception("Could not %s", what)


def _sweep(swept: Store) -> None:
    for owner_id in swept.delete_expired_owners():
        _log.info("Expired demo data of %s deleted", owner_id)
        delete_exports(owner_id)
        delete_models(owner_id)
        delete_evaluations(owner_id)
        delete_trainings(owner_id)
    delete_old_exports()
    delete_old_trainings()
