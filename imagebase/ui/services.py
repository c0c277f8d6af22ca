"""Services of the process: one store, one job runner, one set of limits."""

import gc
import logging
import sys
import threading
from dataclasses import dataclass
from typing import Final

import streamlit as st

from imagebase.detection.library import delete_models
from imagebase.jobs.evaluation import delete_evaluations
from imagebase.jobs.exports import delete_exports, delete_old_exports
from imagebase.jobs.handlers import HANDLERS
from imagebase.jobs.runner import JobRunner
from imagebase.jobs.training import delete_old_trainings, delete_trainings
from imagebase.settings import Limits, Mode, Settings, settings
from imagebase.store import Store, open_store

_seen = 0


def pass_over_modules() -> None:
    """Have all that is there now passed over, where modules came since the last call.

    What is in use by then is freed as ever when nobody refers to it.
    """
    global _seen
    if len(sys.modules) == _seen:
        return
    _seen = len(sys.modules)
    gc.collect()
    gc.freeze()


SWEEP_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class _Opened:
    store: Store
    runner: JobRunner
    sweeper: threading.Thread
    closing: threading.Event


_log = logging.getLogger(__name__)
_lock = threading.Lock()
_opened: dict[str, _Opened] = {}


def mode() -> Mode:
    """Return how this server is shared, by settings or by the address it listens on."""
    return settings().mode_for(st.get_option("server.address"))


def limits() -> Limits:
    """Return what this server takes in at most."""
    return settings().limits_for(mode())


def store() -> Store:
    """Return the process's store, opened at the first call."""
    return _open(settings()).store


def runner() -> JobRunner:
    """Return the process's job runner."""
    return _open(settings()).runner


def close() -> None:
    """End background work and let go of every store; the next call opens them anew."""
    with _lock:
        opened = list(_opened.values())
        _opened.clear()
    for one in opened:
        one.closing.set()
        one.runner.close()
        one.sweeper.join()
        one.store.close()


def sweep() -> None:
    """Delete what expired visitors left, rows, images and exports; what is old too."""
    _sweep(store())


def _open(current: Settings) -> _Opened:
    with _lock:
        if current.database_url not in _opened:
            _opened[current.database_url] = _opened_now(current)
        return _opened[current.database_url]


def _opened_now(current: Settings) -> _Opened:
    opened = open_store(current, max_labels=limits().max_labels)
    closing = threading.Event()
    sweeper = threading.Thread(
        target=_keep_sweeping,
        args=(opened, closing),
        name="imagebase-sweeper",
        daemon=True,
    )
    sweeper.start()
    return _Opened(opened, JobRunner(opened, HANDLERS), sweeper, closing)


def _keep_sweeping(swept: Store, closing: threading.Event) -> None:
    """Sweep now and once a minute."""
    while not closing.is_set():
        try:
            _sweep(swept)
        # A file system in the cloud has errors of its own; the next sweep must come.
        except Exception:
            _log.exception("Could not delete what expired visitors left")
        if not closing.wait(SWEEP_SECONDS):
            # By now pages have loaded what they need.
            pass_over_modules()


def _sweep(swept: Store) -> None:
    for owner_id in swept.delete_expired_owners():
        _log.info("Expired demo data of %s deleted", owner_id)
        delete_exports(owner_id)
        delete_models(owner_id)
        delete_evaluations(owner_id)
        delete_trainings(owner_id)
    delete_old_exports()
    delete_old_trainings()
