"""Background work: queued in the store, run by this process's threads, resumable.

A running job holds a lease of 30 seconds that a heartbeat renews, so that a process
that dies is noticed by all others. Workers know nothing of Streamlit.
"""

import logging
import math
import os
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from imagebase.annotation import new_id
from imagebase.disk_space import check_room
from imagebase.errors import ImageBaseError, LimitError, StoreError
from imagebase.settings import Limits
from imagebase.store import JobInfo, JobState, Scope, Store
from imagebase.store.column_types import JsonObject
from imagebase.store.jobs import LEASE, ClaimedJob
from imagebase.wording import plural

WORKERS: Final = 3
# Long jobs leave one thread to short ones.
LONG_RUNNING: Final = frozenset(
    {"annotate", "doubt", "evaluate", "frames", "teach", "train", "vectors"}
)
# Take every core, or change the environment: jobs of two datasets wait in line.
ONE_AT_A_TIME: Final = frozenset({"train", "install"})
# Of what a dead process began, another one continues all but changes to its software.
NOT_CONTINUED: Final = frozenset({"install"})
HEARTBEAT_SECONDS: Final = LEASE.total_seconds() / 3
# A progress bar needs no more, and each report is a write that waits for the disk.
REPORT_SECONDS: Final = 0.5

_UNEXPECTED: Final = "The job failed with an unexpected error. See the log for details."

_USED_UP: Final = (
    "Your jobs have used the computing time that this server gives each visitor within "
    "an hour. Try again later; completed work is kept."
)

_log: Final = logging.getLogger(__name__)


_HOUR: Final = 3600.0


class RunTime:
    """How long each owner's jobs ran within the last hour, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, owner_id: str, started: float, ended: float) -> None:
        """Note a job that ran from one moment to another of the monotonic clock."""
        with self._lock:
            self._runs[owner_id].append((started, ended))

    def seconds(self, owner_id: str) -> float:
        """Return the seconds of an owner's jobs within the last hour."""
        since = time.monotonic() - _HOUR
        with self._lock:
            recent = [run for run in self._runs[owner_id] if run[1] > since]
            self._runs[owner_id] = recent
            if not recent:
                del self._runs[owner_id]
        return sum(ended - max(started, since) for started, ended in recent)


class JobCancelledError(Exception):
    """The job was cancelled in the middle of its work."""


class JobContext:
    """The job of a handler: scope, parameters, cancellation and progress."""

    def __init__(
        self,
        store: Store,
        job: ClaimedJob,
        closing: threading.Event,
        *,
        most_seconds: float = math.inf,
    ) -> None:
        self.store = store
        self._ends_at = time.monotonic() + most_seconds
        self.scope: Scope = job.scope
        self.parameters: JsonObject = job.parameters
        self.job_id = job.job_id
        self._claim_id = job.claim_id
        self._closing = closing
        self._stopped = False
        self._complete = False
        self._asked_at = 0.0
        self._reported_at = 0.0
        self._unreported: tuple[int, int, str] | None = None

    @property
    def cancelled(self) -> bool:
        """Say whether to stop; ask between steps, it is cheap."""
        now = time.monotonic()
        if now > self._ends_at or self._closing.is_set():
            self._stopped = True
        elif not self._stopped and now - self._asked_at >= REPORT_SECONDS:
            self._asked_at = now
            self._stopped = self.store.must_stop(self._claim_id)
        return self._stopped

    @property
    def is_taken(self) -> bool:
        """Say whether the job was taken from this worker, as after a long pause.

        Another one's files are the job's then: ask before changing what both can.
        """
        try:
            return not self.store.is_claimed(self._claim_id)
        except StoreError:
            return False

    def raise_if_cancelled(self) -> None:
        """Raise `JobCancelledError` if the job is to stop."""
        if self.cancelled:
            raise JobCancelledError

    @property
    def was_stopped(self) -> bool:
        """Say whether the handler stopped early because it was asked to."""
        return self._stopped and not self._complete

    @property
    def has_used_up_its_time(self) -> bool:
        """Say whether it was stopped because its owner's jobs ran for too long."""
        return self.was_stopped and time.monotonic() > self._ends_at

    def complete(self) -> None:
        """Mark the work as done: requests to stop are ignored from now on."""
        self._complete = True

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Report progress; at most two reports a second are stored."""
        self._unreported = (done, total, message)
        if time.monotonic() - self._reported_at >= REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Store the last report; on a failure the next report is tried instead."""
        if self._unreported is None:
            return
        report, self._unreported = self._unreported, None
        done, total, message = report
        try:
            self.store.report_progress(
                self._claim_id, done=done, total=total, message=message
            )
        except StoreError as error:
            _log.warning("Progress of job %s was not stored: %s", self.job_id, error)
            self._unreported = self._unreported or report
        self._reported_at = time.monotonic()


Handler = Callable[[JobContext], JsonObject | None]


@dataclass(frozen=True, slots=True)
class _Ended:
    job_id: str
    state: JobState
    result: JsonObject | None
    error: str | None


class JobRunner:
    """The worker threads of one process; they start when there is work and end after.

    handlers: one function for each kind of job. It returns the job's result, or returns
    early if `context.cancelled`; it must be safe to run again over its earlier work.
    limits: of the disk, and of each owner's runs.
    """

    def __init__(
        self,
        store: Store,
        handlers: Mapping[str, Handler],
        *,
        workers: int = WORKERS,
        limits: Limits | None = None,
    ) -> None:
        self.store = store
        self._limits = limits or Limits()
        self._run_time = RunTime()
        self._handlers = dict(handlers)
        self._slots = workers
        self._worker = f"{socket.gethostname()}:{os.getpid()}:{new_id()}"
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._claims: dict[str, str] = {}  # and the kind of each
        self._heart: threading.Thread | None = None
        # How jobs ended of which the store could not be told yet, by claim.
        self._unstored: dict[str, _Ended] = {}
        self._is_recovered = False
        self._recover()
        if store.is_on_a_server:
            # Other processes work on the same jobs: theirs are seen when they die.
            with self._lock:
                self._start_heart()

    def submit(self, scope: Scope, kind: str, parameters: JsonObject) -> str:
        """Queue a job, start a worker, and return its id.

        Raises:
            JobError: the dataset has a job of this kind that has not ended.
            LimitError: the disk is full, or the owner runs too much.
            KeyError: there is no handler for this kind.
        """
        if kind not in self._handlers:
            raise KeyError(kind)
        self._check_limits(scope)
        job_id = self.store.submit_job(scope, kind, parameters)
        self._start_worker()
        return job_id

    def cancel(self, scope: Scope, job_id: str) -> None:
        """Cancel a job: at once where it waits, else at its next step.

        Raises:
            NotFoundError: the dataset has no such job.
            JobError: it has ended already.
        """
        self.store.cancel_job(scope, job_id)

    def resume(self, scope: Scope, job_id: str) -> None:
        """Queue a job again that was interrupted, failed or was cancelled.

        Raises:
            NotFoundError: the dataset has no such job.
            JobError: it is done or active, or another of its kind is active.
            LimitError: the disk is full, or the owner runs too much.
        """
        self._check_limits(scope)
        self.store.resume_job(scope, job_id)
        self._start_worker()

    def _check_limits(self, scope: Scope) -> None:
        check_room(self._limits)
        most = self._limits.max_runs_at_once
        if self.store.active_runs(scope.owner_id) >= most:
            raise LimitError(
                f"{plural(most, 'job')} of yours are running or waiting, the most that "
                "this server takes. Wait for one to end, or cancel it."
            )
        if self._seconds_left(scope.owner_id) <= 0:
            raise LimitError(_USED_UP)

    def _seconds_left(self, owner_id: str) -> float:
        used = self._run_time.seconds(owner_id)
        return self._limits.max_run_seconds_per_hour - used

    def place_in_line(self, scope: Scope, job_id: str) -> int:
        """Return a queued job's place, 1 for the next; 0 where it is not queued."""
        return self.store.place_in_line(scope, job_id, long_kinds=LONG_RUNNING)

    def jobs(self, scope: Scope) -> list[JobInfo]:
        """Return the dataset's jobs, the newest first."""
        return self.store.jobs(scope)

    def job(self, scope: Scope, job_id: str) -> JobInfo:
        """Return one job.

        Raises:
            NotFoundError: the dataset has no such job.
        """
        return self.store.job(scope, job_id)

    def close(self, *, timeout_seconds: float = 10.0) -> None:
        """Ask running jobs to stop and wait for them; they can be resumed later."""
        self._closing.set()
        deadline = time.monotonic() + timeout_seconds
        with self._lock:
            threads = [*self._threads, *([self._heart] if self._heart else [])]
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def unstored_error(self, job_id: str) -> str:
        """Return why a job failed that is stored as running; empty if it did not."""
        with self._lock:
            ended = list(self._unstored.values())
        return next((end.error or "" for end in ended if end.job_id == job_id), "")

    def _recover(self) -> None:
        """Take over from dead processes; tried again where the store is not writable.

        A full disk or a busy database must not keep anyone from what is stored.
        """
        try:
            self._take_over()
            self._is_recovered = True
        except StoreError:
            _log.warning("Could not look for interrupted jobs", exc_info=True)
            with self._lock:
                self._start_heart()

    def _take_over(self) -> None:
        """Interrupt the jobs of dead processes, and start on the queued ones."""
        self.store.interrupt_expired_jobs()
        dead = [
            worker for worker in self.store.running_workers() if _is_dead_here(worker)
        ]
        if dead:
            _log.warning("Jobs of %d ended processes are interrupted", len(dead))
        self.store.interrupt_workers(dead)
        if self.store.has_queued_jobs(list(self._handlers)):
            self._start_worker()

    def _start_worker(self) -> None:
        with self._lock:
            if self._closing.is_set() or len(self._threads) >= self._slots:
                return
            thread = threading.Thread(
                target=self._work, name="imagebase-job", daemon=True
            )
            self._threads.add(thread)
            self._start_heart()
            thread.start()

    def _start_heart(self) -> None:
        if self._heart is None:
            self._heart = threading.Thread(
                target=self._beat, name="imagebase-heartbeat", daemon=True
            )
            self._heart.start()

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                self._run(job)
            finally:
                with self._lock:
                    del self._claims[job.claim_id]

    def _next_job(self) -> ClaimedJob | None:
        """Return a claimed job; None ends the thread.

        The last query and the thread's end share the lock: a job that is queued
        afterwards starts another thread.
        """
        with self._lock:
            job = None if self._closing.is_set() else self._claim()
            if job is None:
                self._threads.discard(threading.current_thread())
            else:
                self._claims[job.claim_id] = job.kind
            return job

    def _claim(self) -> ClaimedJob | None:
        try:
            return self.store.claim_job(
                self._worker, self._startable_kinds(), long_kinds=LONG_RUNNING
            )
        except StoreError:
            _log.exception("Could not query for jobs")
            return None

    def _startable_kinds(self) -> list[str]:
        kinds = list(self._claims.values())
        running = sum(kind in LONG_RUNNING for kind in kinds)
        may_be_long = running < max(self._slots - 1, 1)
        return [
            handler
            for handler in self._handlers
            if may_be_long or handler not in LONG_RUNNING
            if handler not in ONE_AT_A_TIME or handler not in kinds
        ]

    def _run(self, job: ClaimedJob) -> None:
        owner_id = job.scope.owner_id
        context = JobContext(
            self.store, job, self._closing, most_seconds=self._seconds_left(owner_id)
        )
        state, result, error = JobState.FAILED, None, None
        started = time.monotonic()
        about = {"job": job.job_id, "kind": job.kind}
        _log.info("Job %s (%s) started", job.job_id, job.kind, extra=about)
        try:
            result = self._handlers[job.kind](context)
            state = self._state_after(context)
            error = _USED_UP if context.has_used_up_its_time else None
        except ImageBaseError as reason:
            error = str(reason)
        except Exception:
            _log.exception(
                "Unexpected error in job %s (%s)", job.job_id, job.kind, extra=about
            )
            error = _UNEXPECTED
        self._run_time.add(owner_id, started, time.monotonic())
        _log_end(job, state, error, time.monotonic() - started)
        end = _Ended(job.job_id, state, result, error)
        try:
            context.flush()
            self._store_end(job.claim_id, end)
        except StoreError:
            # The heartbeat tries again. For other processes its lease runs out.
            _log.exception("Could not store the end of job %s", job.job_id)
            with self._lock:
                self._unstored[job.claim_id] = end

    def _store_end(self, claim_id: str, end: _Ended) -> None:
        self.store.end_job(claim_id, end.state, result=end.result, error=end.error)

    def _state_after(self, context: JobContext) -> JobState:
        if not context.was_stopped:
            return JobState.DONE
        if self._closing.is_set():
            return JobState.INTERRUPTED
        if context.has_used_up_its_time:
            return JobState.FAILED
        return JobState.CANCELLED

    def _beat(self) -> None:
        """Renew leases, also during long steps; notice workers that died."""
        while not self._closing.wait(HEARTBEAT_SECONDS):
            try:
                self._renew_leases()
            except StoreError:
                _log.exception("Could not renew the leases of running jobs")

    def _renew_leases(self) -> None:
        with self._lock:
            claims, unstored = list(self._claims), dict(self._unstored)
        self.store.renew_leases([*claims, *unstored])
        for claim_id, end in unstored.items():
            self._store_end(claim_id, end)
            with self._lock:
                del self._unstored[claim_id]
        if not self._is_recovered:
            self._recover()
        kinds = [kind for kind in self._handlers if kind not in NOT_CONTINUED]
        continued = self.store.continue_expired_jobs(kinds)
        if continued:
            _log.warning("Jobs of an ended process continue here: %s", continued)
        if self.store.has_queued_jobs(list(self._handlers)):
            self._start_worker()


def _log_end(
    job: ClaimedJob, state: JobState, error: str | None, seconds: float
) -> None:
    level = logging.WARNING if state is JobState.FAILED else logging.INFO
    reason = f": {error}" if error else ""
    _log.log(
        level,
        *(
            "Job %s (%s) %s after %.1f s%s",
            job.job_id,
            job.kind,
            state,
            seconds,
            reason,
        ),
        extra={
            "job": job.job_id,
            "kind": job.kind,
            "state": state,
            "seconds": round(seconds, 3),
        },
    )


def _is_dead_here(worker: str) -> bool:
    """Say whether a worker was a process of this machine that is gone."""
    host, _, rest = worker.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    if sys.platform == "win32":  # where 0 is not a question but Ctrl + C
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


_runners: dict[str, JobRunner] = {}
_runners_lock: Final = threading.Lock()


def runner(store: Store, handlers: Mapping[str, Handler]) -> JobRunner:
    """Return this process's runner for a store, made at the first call."""
    with _runners_lock:
        if store.database_url not in _runners:
            _runners[store.database_url] = JobRunner(store, handlers)
        return _runners[store.database_url]
