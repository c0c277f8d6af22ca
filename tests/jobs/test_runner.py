"""The job runner: real threads over a real store."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from imagebase.errors import ImageReadError, JobError, LimitError
from imagebase.jobs.runner import (
    WORKERS,
    Handler,
    JobContext,
    JobRunner,
    RunTime,
    runner,
)
from imagebase.settings import Limits, Settings
from imagebase.store import JobInfo, JobState, Scope, Store, open_store
from tests.store.fixtures import scope_of, sqlite_settings

Start = Callable[[Mapping[str, Handler]], JobRunner]


@pytest.fixture
def start(store: Store) -> Iterator[Start]:
    """Start runners that end with the test."""
    started = []

    def make(handlers: Mapping[str, Handler]) -> JobRunner:
        started.append(JobRunner(store, handlers))
        return started[-1]

    yield make
    for job in started:
        job.close()


def wait_for(store: Store, scope: Scope, job_id: str, *states: JobState) -> JobInfo:
    """Return the job once it stands in one of these states; none: once it ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        job = store.job(scope, job_id)
        if job.state in states or (not states and not job.state.is_active):
            return job
        time.sleep(0.01)
    raise AssertionError(f"the job is still {job.state}")


def test_job_runs_and_keeps_its_result(
    store: Store, scope: Scope, start: Start
) -> None:
    def count(context: JobContext) -> dict[str, object]:
        for done in range(1, 4):
            context.progress(done, 3, f"image {done}")
        return {"scope": context.scope.dataset_id, "given": context.parameters["size"]}

    job_id = start({"count": count}).submit(scope, "count", {"size": 416})
    job = wait_for(store, scope, job_id)
    assert job.state is JobState.DONE
    assert job.result == {"scope": scope.dataset_id, "given": 416}
    assert (job.done, job.total, job.message) == (3, 3, "image 3")
    assert job.started_at is not None
    assert job.finished_at is not None


def test_owner_runs_so_many_jobs_at_once(store: Store, scope: Scope) -> None:
    wait = threading.Event()
    jobs = JobRunner(
        store,
        {"one": lambda context: {"ended": wait.wait(10)}, "two": lambda context: None},
        limits=Limits(max_runs_at_once=1, min_free_bytes=0),
    )
    first = jobs.submit(scope, "one", {})
    with pytest.raises(LimitError, match="1 job of yours"):
        jobs.submit(scope, "two", {})
    wait.set()
    wait_for(store, scope, first)
    wait_for(store, scope, jobs.submit(scope, "two", {}))
    jobs.close()


def test_owner_uses_so_much_time_an_hour(store: Store, scope: Scope) -> None:
    def work(context: JobContext) -> None:
        while not context.cancelled:
            time.sleep(0.01)

    limits = Limits(max_run_seconds_per_hour=1, min_free_bytes=0)
    jobs = JobRunner(store, {"work": work}, limits=limits)
    job = wait_for(store, scope, jobs.submit(scope, "work", {}))
    assert job.state is JobState.FAILED
    assert "computing time" in (job.error or "")
    with pytest.raises(LimitError, match="computing time"):
        jobs.resume(scope, job.job_id)
    other = scope_of(store, "other", who="bob")
    jobs.cancel(other, jobs.submit(other, "work", {}))
    jobs.close()


def test_nothing_runs_on_a_full_disk(store: Store, scope: Scope) -> None:
    jobs = JobRunner(
        store, {"work": lambda context: None}, limits=Limits(min_free_bytes=10**18)
    )
    with pytest.raises(LimitError, match="disk is nearly full"):
        jobs.submit(scope, "work", {})


def test_time_of_an_hour_ago_does_not_count() -> None:
    used, now = RunTime(), time.monotonic()
    used.add("ann", now - 7000, now - 3500)
    assert 99 < used.seconds("ann") <= 100
    used.add("bob", now - 9000, now - 3700)
    assert used.seconds("bob") == 0


def test_report_that_a_busy_database_does_not_take_is_made_later(
    tmp_path: Path, migrated_sqlite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagebase.store.database.BUSY_SECONDS", 0.1)
    shutil.copy(migrated_sqlite, tmp_path / "imagebase.db")
    store = open_store(sqlite_settings(tmp_path))
    scope = scope_of(store, "team", who="ann")

    def work(context: JobContext) -> dict[str, object]:
        with closing(sqlite3.connect(tmp_path / "imagebase.db")) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            context.progress(1, 3, "busy")
            somebody.rollback()
        return {"done": store.job(scope, context.job_id).done}

    jobs = JobRunner(store, {"work": work})
    try:
        job = wait_for(store, scope, jobs.submit(scope, "work", {}))
    finally:
        jobs.close()
        store.close()
    assert (job.state, job.result) == (JobState.DONE, {"done": 0})
    assert (job.done, job.total, job.message) == (1, 3, "busy")


def test_jobs_of_more_datasets_than_threads_all_run(store: Store, start: Start) -> None:
    jobs = start({"sleep": lambda context: time.sleep(0.02)})
    scopes = [scope_of(store, "team", who="ann", name=str(n)) for n in range(6)]
    ids = [jobs.submit(scope, "sleep", {}) for scope in scopes]
    ended = [wait_for(store, scope, i) for scope, i in zip(scopes, ids, strict=True)]
    assert {job.state for job in ended} == {JobState.DONE}


def test_long_jobs_of_others_leave_room_for_a_short_one(
    store: Store, scope: Scope, start: Start
) -> None:
    handlers = {"annotate": _until_stopped, "export": lambda context: None}
    jobs = start(handlers)
    others = [scope_of(store, "team", who="bo", name=str(n)) for n in range(4)]
    for other in others:
        jobs.submit(other, "annotate", {})
    exported = wait_for(store, scope, jobs.submit(scope, "export", {}))
    assert exported.state is JobState.DONE
    running = [store.jobs(other)[0].state for other in others]
    assert running.count(JobState.RUNNING) == WORKERS - 1
    assert running.count(JobState.QUEUED) == 4 - (WORKERS - 1)


def test_threads_end_when_there_is_no_work(
    store: Store, scope: Scope, start: Start
) -> None:
    jobs = start({"nothing": lambda context: None})
    for _ in range(3):
        wait_for(store, scope, jobs.submit(scope, "nothing", {}))
    deadline = time.monotonic() + 5
    while jobs._threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not jobs._threads


def test_failure_of_ours_is_told_as_it_is(
    store: Store, scope: Scope, start: Start
) -> None:
    def fail(context: JobContext) -> None:
        raise ImageReadError("cat.jpg is not an image; leave it out.")

    job_id = start({"fail": fail}).submit(scope, "fail", {})
    job = wait_for(store, scope, job_id)
    assert job.state is JobState.FAILED
    assert job.error == "cat.jpg is not an image; leave it out."


def test_unexpected_failure_goes_to_the_log(
    store: Store, scope: Scope, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(context: JobContext) -> None:
        raise RuntimeError("secret path")

    job_id = start({"fail": fail}).submit(scope, "fail", {})
    job = wait_for(store, scope, job_id)
    assert "unexpected error" in (job.error or "")
    assert "secret path" in caplog.text


def _until_stopped(context: JobContext) -> dict[str, bool]:
    while not context.cancelled:
        context.progress(1, 10)
        time.sleep(0.01)
    return {"stopped": True}


def test_running_job_is_cancelled_at_its_next_step(
    store: Store, scope: Scope, start: Start
) -> None:
    jobs = start({"long": _until_stopped})
    job_id = jobs.submit(scope, "long", {})
    wait_for(store, scope, job_id, JobState.RUNNING)
    jobs.cancel(scope, job_id)
    job = wait_for(store, scope, job_id)
    assert (job.state, job.result) == (JobState.CANCELLED, {"stopped": True})


def _complete_when_stopped(context: JobContext) -> dict[str, bool]:
    result = _until_stopped(context)
    context.complete()
    return result


def test_stop_that_comes_too_late_leaves_a_job_done(
    store: Store, scope: Scope, start: Start
) -> None:
    jobs = start({"long": _complete_when_stopped})
    job_id = jobs.submit(scope, "long", {})
    wait_for(store, scope, job_id, JobState.RUNNING)
    jobs.cancel(scope, job_id)
    job = wait_for(store, scope, job_id)
    assert (job.state, job.result) == (JobState.DONE, {"stopped": True})


def test_closed_runner_keeps_a_job_that_came_to_its_end_meanwhile(
    store: Store, scope: Scope, start: Start
) -> None:
    jobs = start({"long": _complete_when_stopped})
    job_id = jobs.submit(scope, "long", {})
    wait_for(store, scope, job_id, JobState.RUNNING)
    jobs.close()
    assert store.job(scope, job_id).state is JobState.DONE


def test_closed_runner_leaves_jobs_to_be_resumed(
    store: Store, scope: Scope, start: Start
) -> None:
    first = start({"long": _until_stopped})
    job_id = first.submit(scope, "long", {})
    wait_for(store, scope, job_id, JobState.RUNNING)
    first.close()
    assert store.job(scope, job_id).state is JobState.INTERRUPTED
    second = start({"long": lambda context: {"done": True}})
    second.resume(scope, job_id)
    assert wait_for(store, scope, job_id, JobState.DONE).result == {"done": True}


def test_second_job_of_a_kind_is_refused(
    store: Store, scope: Scope, start: Start
) -> None:
    jobs = start({"long": _until_stopped})
    jobs.submit(scope, "long", {})
    with pytest.raises(JobError, match="already"):
        jobs.submit(scope, "long", {})


def test_unknown_kind_is_a_mistake(scope: Scope, start: Start) -> None:
    with pytest.raises(KeyError):
        start({}).submit(scope, "nothing", {})


def test_queued_job_of_a_process_that_died_is_run(
    store: Store, scope: Scope, start: Start
) -> None:
    job_id = store.submit_job(scope, "nothing", {})
    start({"nothing": lambda context: None})
    assert wait_for(store, scope, job_id).state is JobState.DONE


_DIE_AT_WORK = """
import os, sys
from pathlib import Path
from imagebase.jobs.runner import JobRunner
from imagebase.settings import Settings
from imagebase.store import Scope, open_store

database_url, storage_url, *scope = sys.argv[1:]
store = open_store(Settings(Path(storage_url), database_url, storage_url))
jobs = JobRunner(store, {"die": lambda context: os._exit(9)})
jobs.submit(Scope(*scope), "die", {})
jobs._heart.join()
"""


def test_job_of_a_dead_process_is_interrupted_and_resumed(
    store: Store, scope: Scope, start: Start, store_settings: Settings
) -> None:
    where = (store_settings.database_url, store_settings.storage_url)
    whose = (scope.owner_id, scope.dataset_id, scope.who)
    died = subprocess.run([sys.executable, "-c", _DIE_AT_WORK, *where, *whose])
    assert died.returncode == 9
    (left,) = store.jobs(scope)
    assert left.state is JobState.RUNNING
    jobs = start({"die": lambda context: {"alive": os.getpid()}})
    assert store.job(scope, left.job_id).state is JobState.INTERRUPTED
    jobs.resume(scope, left.job_id)
    assert wait_for(store, scope, left.job_id).state is JobState.DONE


def test_heartbeat_renews_a_lease_during_a_long_step(
    store: Store, scope: Scope, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagebase.jobs.runner.HEARTBEAT_SECONDS", 0.02)
    renewed = threading.Event()
    renew = store.renew_leases

    def watched(claim_ids: list[str]) -> None:
        renew(claim_ids)
        if claim_ids:
            renewed.set()

    monkeypatch.setattr(store, "renew_leases", watched)
    jobs = start({"step": lambda context: {"renewed": renewed.wait(5)}})
    job_id = jobs.submit(scope, "step", {})
    assert wait_for(store, scope, job_id).result == {"renewed": True}


def test_process_has_one_runner_for_a_store(store: Store) -> None:
    first = runner(store, {})
    assert runner(store, {}) is first
    first.close()
