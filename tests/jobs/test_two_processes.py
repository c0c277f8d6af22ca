"""Two processes over one PostgreSQL and one S3 bucket: one is killed, one goes on."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from imagebase.errors import RevisionConflictError
from imagebase.settings import Settings
from imagebase.store import JobInfo, JobState, Scope, Store, open_store
from tests.jobs.conftest import ANY_STATUS, add
from tests.s3_server import s3_server
from tests.store.fixtures import PostgresServer, box, scope_of

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

IMAGES: Final = 40

# A server without its pages, whose leases end within two seconds. Lines on standard
# input are jobs to start.
_PROCESS: Final = """
import json, sys
from datetime import timedelta
import imagebase.store.jobs
imagebase.store.jobs.LEASE = timedelta(seconds=2)
from imagebase.jobs.handlers import HANDLERS
from imagebase.jobs.runner import JobRunner
from imagebase.settings import settings
from imagebase.store import Scope, open_store

scope = Scope(*sys.argv[1:])
store = open_store(settings())
runner = JobRunner(store, HANDLERS)
print("ready", flush=True)
for line in sys.stdin:
    kind, parameters = json.loads(line)
    print(runner.submit(scope, kind, parameters), flush=True)
runner.close()
"""


class Process:
    """One of the two; `start` a job in it and get its id."""

    def __init__(self, environment: dict[str, str], scope: Scope) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROCESS, scope.owner_id, scope.dataset_id, "ann"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        assert self._line() == "ready"

    def start(self, kind: str, **parameters: object) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([kind, parameters]) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


@pytest.fixture
def place(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """An empty database and bucket, which this process's environment names too."""
    postgres.execute("DELETE FROM owners", database="migrated")
    with s3_server("photos"):
        found = Settings(tmp_path, postgres.url("migrated"), "s3://photos/images")
        monkeypatch.setenv("IMAGEBASE_DATABASE_URL", found.database_url)
        monkeypatch.setenv("IMAGEBASE_STORAGE_URL", found.storage_url)
        yield found


@pytest.fixture
def store(place: Settings) -> Iterator[Store]:
    opened = open_store(place)
    yield opened
    opened.close()


@pytest.fixture
def scope(store: Store) -> Scope:
    scope = scope_of(store, "team", who="ann")
    add(store, scope, *(f"{number:03}.png" for number in range(IMAGES)))
    return scope


Start = Callable[[], Process]


@pytest.fixture
def start(scope: Scope) -> Iterator[Start]:
    processes = []

    def begin() -> Process:
        processes.append(Process({"OMP_NUM_THREADS": "1"}, scope))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()


def wait(
    store: Store, scope: Scope, job_id: str, until: Callable[[JobInfo], bool]
) -> JobInfo:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        job = store.job(scope, job_id)
        if until(job):
            return job
        time.sleep(0.02)
    raise AssertionError(f"the job stays {job.state}: {job.error}")


def has_ended(job: JobInfo) -> bool:
    return job.state not in (JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED)


JOBS: Final[dict[str, dict[str, object]]] = {
    "annotate": {"model": "yolo-fastest-1.1", "statuses": ANY_STATUS},
    "export": {
        "name": "Street",
        "format": "yolo",
        "images": "all",
        "with_images": True,
        "with_empty": True,
    },
    "backup": {"name": "Street", "version": "1"},
}


@pytest.mark.parametrize("kind", JOBS)
def test_job_of_a_killed_process_is_continued_by_the_other(
    kind: str, store: Store, scope: Scope, start: Start
) -> None:
    first, _second = start(), start()
    job_id = first.start(kind, **JOBS[kind])
    wait(store, scope, job_id, lambda job: job.state is not JobState.QUEUED)
    first.kill()
    job = wait(store, scope, job_id, has_ended)
    assert (job.state, job.error) == (JobState.DONE, None)
    assert job.result is not None
    assert job.done == job.total
    if kind != "annotate":
        assert job.result["images"] == IMAGES
        with zipfile.ZipFile(job.result["path"]) as archive:
            assert archive.testzip() is None


def test_job_is_cancelled_from_the_other_process(
    store: Store, scope: Scope, start: Start
) -> None:
    job_id = start().start("annotate", **JOBS["annotate"])
    wait(store, scope, job_id, lambda job: job.state is JobState.RUNNING)
    store.cancel_job(scope, job_id)
    assert wait(store, scope, job_id, has_ended).state is JobState.CANCELLED


def test_cancelled_job_of_a_killed_process_stays_cancelled(
    store: Store, scope: Scope, start: Start
) -> None:
    first, _second = start(), start()
    job_id = first.start("annotate", **JOBS["annotate"])
    wait(store, scope, job_id, lambda job: job.state is JobState.RUNNING)
    first.kill()
    store.cancel_job(scope, job_id)
    assert wait(store, scope, job_id, has_ended).state is JobState.CANCELLED


def test_edit_and_undo_in_one_process_are_seen_in_the_other(
    place: Settings, store: Store, scope: Scope
) -> None:
    other = open_store(place)
    stale = other.records(scope)[0]
    edited = store.save(scope, stale.with_annotations([box("cat")]))
    with pytest.raises(RevisionConflictError) as conflict:
        other.save(scope, stale.with_annotations([box("dog")]))
    assert conflict.value.theirs == edited
    assert other.record(scope, stale.image_id) == edited
    other.undo(scope)
    assert store.record(scope, stale.image_id).annotations == ()
    other.close()
