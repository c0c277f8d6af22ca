"""The runner while nothing can be stored: it starts, and says later how jobs ended."""

import time
from collections.abc import Callable

import pytest

from imagebase.errors import StoreError
from imagebase.jobs import runner as runner_module
from imagebase.jobs.runner import JobContext, JobRunner
from imagebase.store import JobState, Scope, Store

FULL = "The disk is full: nothing was saved; free some space and try again."


def full(*_: object, **__: object) -> None:
    raise StoreError(FULL)


def wait_for(is_so: Callable[[], bool]) -> None:
    for _ in range(400):
        if is_so():
            return
        time.sleep(0.025)
    raise AssertionError("it did not come about within 10 s")


@pytest.fixture(autouse=True)
def quick_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "HEARTBEAT_SECONDS", 0.05)


def test_runner_starts_where_nothing_can_be_written_and_recovers_later(
    store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = store.submit_job(scope, "work", {})
    with monkeypatch.context() as patch:
        patch.setattr(store, "interrupt_expired_jobs", full)
        runner = JobRunner(store, {"work": lambda context: None})
        assert store.job(scope, job_id).state is JobState.QUEUED
    wait_for(lambda: store.job(scope, job_id).state is JobState.DONE)
    runner.close()


def test_reason_of_a_full_disk_is_kept_until_it_can_be_stored(
    store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(context: JobContext) -> None:
        full()

    runner = JobRunner(store, {"work": work})
    with monkeypatch.context() as patch:
        patch.setattr(store, "end_job", full)
        job_id = runner.submit(scope, "work", {})
        wait_for(lambda: runner.unstored_error(job_id) == FULL)
    wait_for(lambda: store.job(scope, job_id).state is JobState.FAILED)
    assert store.job(scope, job_id).error == FULL
    assert runner.unstored_error(job_id) == ""
    runner.close()
