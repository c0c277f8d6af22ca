"""The process's one store and runner."""

import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from imagebase.annotation import utc_now
from imagebase.jobs.temporary_files import KEPT_SECONDS
from imagebase.jobs.training import KEPT_SECONDS as TRAININGS_KEPT_SECONDS
from imagebase.settings import DEMO_LIMITS, Limits, settings
from imagebase.ui import services
from tests.app_fixtures import Configure


def names_of_threads() -> list[str]:
    return [
        thread.name for thread in threading.enumerate() if "imagebase" in thread.name
    ]


def test_store_and_runner_are_one_each(configure: Configure) -> None:
    configure()
    assert services.store() is services.store()
    assert services.runner().store is services.store()


def test_another_home_has_a_store_of_its_own(
    configure: Configure, tmp_path: Path
) -> None:
    configure()
    first = services.store()
    configure(HOME=str(tmp_path / "second"))
    assert services.store() is not first
    assert settings().home == tmp_path / "second"


def test_nothing_runs_on_after_close(configure: Configure) -> None:
    configure()
    services.store()
    assert "imagebase-sweeper" in names_of_threads()
    services.close()
    assert not names_of_threads()


def test_limits_are_the_modes(configure: Configure) -> None:
    configure(MODE="team")
    assert services.limits() == Limits()
    configure(MODE="demo")
    assert services.limits() == DEMO_LIMITS


def test_old_exports_go_without_another_one(configure: Configure) -> None:
    configure()
    services.store()
    left = settings().home / "exports" / "team" / "dataset" / "old.zip"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"")
    long_ago = time.time() - KEPT_SECONDS - 60
    os.utime(left, (long_ago, long_ago))
    services.sweep()
    assert not left.exists()


def test_old_trainings_go_without_another_one(configure: Configure) -> None:
    configure()
    services.store()
    left = settings().home / "training" / "team" / "dataset" / "old"
    left.mkdir(parents=True)
    long_ago = time.time() - TRAININGS_KEPT_SECONDS - 60
    os.utime(left, (long_ago, long_ago))
    services.sweep()
    assert not left.exists()


def test_clock_that_was_moved_expires_nobody_who_is_here(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(MODE="demo", SESSION_SECONDS="2")
    monkeypatch.setattr(services, "SWEEP_SECONDS", 0.05)
    store = services.store()
    expires_at = utc_now() + timedelta(hours=1)
    store.ensure_owner("visitor", expires_at=expires_at)
    tomorrow, now = timedelta(days=1), time.time
    moved = utc_now() + tomorrow
    monkeypatch.setattr("imagebase.store.datasets.utc_now", lambda: moved)
    monkeypatch.setattr(time, "time", lambda: now() + tomorrow.total_seconds())
    time.sleep(0.5)
    assert store.has_owner("visitor")
    # After that time, who did not show up has gone.
    deadline = time.monotonic() + 20
    while store.has_owner("visitor"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
