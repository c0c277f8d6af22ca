"""Job rows: queued, claimed by one worker at a time under a lease, ended once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from imagebase.annotation import new_id, utc_now
from imagebase.errors import JobError, NotFoundError
from imagebase.store.column_types import AnyRow, AnySelect, JsonObject
from imagebase.store.repository import StorePart, dataset_lock
from imagebase.store.scope import Scope
from imagebase.store.tables import datasets, jobs

LEASE: Final = timedelta(seconds=30)
# A job that ends its process each time must not end one after the other.
_MOST_RESTARTS: Final = 2
_SHORTEST_SECONDS: Final = 1e-6  # what a clock tells apart
_GONE: Final = "This job no longer exists; start it again."
_CLAIM_LOCK: Final = "claim a job"


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_active(self) -> bool:
        """Say whether the job is running or queued."""
        return self in _ACTIVE


_ACTIVE: Final = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as a person sees it.

    done, total: steps; total is 0 where it is not known yet.
    rate: steps a second since the first one was done, so that neither waiting nor the
        loading of a model counts; None where there is none.
    seconds_left: at this rate.
    error: one sentence; None unless the job failed.
    """

    job_id: str
    kind: str
    state: JobState
    parameters: JsonObject
    done: int
    total: int
    message: str
    result: JsonObject | None
    error: str | None
    cancel_requested: bool
    rate: float | None
    seconds_left: float | None
    who: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job in the hands of one worker; claim_id says which attempt it is."""

    job_id: str
    claim_id: str
    kind: str
    parameters: JsonObject
    scope: Scope


class Jobs(StorePart):
    """Background work that outlives a page, and a process too."""

    def submit_job(self, scope: Scope, kind: str, parameters: JsonObject) -> str:
        """Queue a job and return its id.

        Raises:
            JobError: the dataset has a job of this kind that has not ended.
        """
        job_id = new_id()
        with self._writing(scope) as connection:
            _refuse_second(connection, scope, kind)
            created_at = _after_the_newest(connection, scope)
            connection.execute(
                insert(jobs).values(
                    job_id=job_id,
                    dataset_id=scope.dataset_id,
                    who=scope.who,
                    kind=kind,
                    state=JobState.QUEUED.value,
                    parameters=parameters,
                    done=0,
                    total=0,
                    message="",
                    cancel_requested=False,
                    created_at=created_at,
                )
            )
        return job_id

    def jobs(self, scope: Scope, *, kind: str | None = None) -> list[JobInfo]:
        """Return the dataset's jobs, or those of a kind, the newest first."""
        return self._infos(scope, _of_kind(kind))

    def latest_job(self, scope: Scope, kind: str) -> JobInfo | None:
        """Return the dataset's newest job of a kind."""
        return next(iter(self._infos(scope, _of_kind(kind), limit=1)), None)

    def active_jobs(self, scope: Scope) -> list[JobInfo]:
        """Return the dataset's running and queued jobs, the newest first."""
        infos = self._infos(scope, _is_active())
        return [job for job in infos if job.state.is_active]

    def _infos(
        self, scope: Scope, which: ColumnElement[bool], *, limit: int | None = None
    ) -> list[JobInfo]:
        query = (
            select(jobs)
            .where(jobs.c.dataset_id == scope.dataset_id, which)
            .order_by(jobs.c.created_at.desc(), jobs.c.job_id)
            .limit(limit)
        )
        with self._reading(scope) as connection:
            now = utc_now()
            return [_as_info(row, now) for row in connection.execute(query)]

    def job(self, scope: Scope, job_id: str) -> JobInfo:
        """Return one job.

        Raises:
            NotFoundError: the dataset has no such job.
        """
        with self._reading(scope) as connection:
            return _as_info(_row(connection, scope, job_id), utc_now())

    def cancel_job(self, scope: Scope, job_id: str) -> None:
        """Cancel a job: at once where it waits, else at its next step.

        Raises:
            NotFoundError: the dataset has no such job.
            JobError: it has ended already.
        """
        with self._writing(scope) as connection:
            job = _as_info(_row(connection, scope, job_id, to_change=True), utc_now())
            if job.state is JobState.RUNNING:
                _set(connection, job_id, cancel_requested=True)
            elif job.state in (JobState.QUEUED, JobState.INTERRUPTED):
                _set(
                    connection,
                    job_id,
                    state=JobState.CANCELLED.value,
                    claim_id=None,
                    finished_at=utc_now(),
                )
            else:
                raise JobError("This job has ended; there is nothing to cancel.")

    def resume_job(self, scope: Scope, job_id: str) -> None:
        """Queue a job again that was interrupted, failed or was cancelled.

        Raises:
            NotFoundError: the dataset has no such job.
            JobError: it is done or running, or another of its kind is.
        """
        with self._writing(scope) as connection:
            job = _as_info(_row(connection, scope, job_id, to_change=True), utc_now())
            if job.state.is_active or job.state is JobState.DONE:
                raise JobError("This job needs no resuming; see its progress.")
            _refuse_second(connection, scope, job.kind)
            _set(
                connection,
                job_id,
                state=JobState.QUEUED.value,
                cancel_requested=False,
                claim_id=None,
                error=None,
                finished_at=None,
                restarts=None,
            )

    def claim_job(
        self, worker: str, kinds: Collection[str], *, long_kinds: Collection[str] = ()
    ) -> ClaimedJob | None:
        """Take the first queued job of these kinds, of whatever owner, or None.

        First are the owners with the fewest running jobs, then short kinds before
        `long_kinds`, then the oldest. No two workers get the same one. This and what
        follows serve the workers, who work for every owner; the job says in which
        scope.
        """
        query = (
            _queued(long_kinds)
            .where(jobs.c.kind.in_(kinds))
            .limit(1)
            .with_for_update(of=jobs)
        )
        with self._database.write(_CLAIM_LOCK) as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            claim_id = new_id()
            _set(connection, row.job_id, **_claimed(worker, claim_id))
        scope = Scope(row.owner_id, row.dataset_id, row.who)
        return ClaimedJob(row.job_id, claim_id, row.kind, row.parameters, scope)

    def place_in_line(
        self, scope: Scope, job_id: str, *, long_kinds: Collection[str] = ()
    ) -> int:
        """Return a queued job's place, 1 for the next; 0 where it is not queued."""
        query = _queued(long_kinds).with_only_columns(jobs.c.job_id)
        with self._reading(scope) as connection:
            waiting = list(connection.scalars(query))
        return waiting.index(job_id) + 1 if job_id in waiting else 0

    def active_runs(self, owner_id: str) -> int:
        """Return how many jobs of an owner are running or queued."""
        query = (
            select(func.count())
            .select_from(jobs)
            .join(datasets, datasets.c.dataset_id == jobs.c.dataset_id)
            .where(datasets.c.owner_id == owner_id, _is_active())
        )
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def has_queued_jobs(self, kinds: Collection[str]) -> bool:
        """Say whether a worker for these kinds would find something to do."""
        query = (
            select(jobs.c.job_id)
            .where(jobs.c.state == JobState.QUEUED.value, jobs.c.kind.in_(kinds))
            .limit(1)
        )
        with self._database.read() as connection:
            return connection.scalar(query) is not None

    def renew_leases(self, claim_ids: Collection[str]) -> None:
        """Tell that the workers of these claims are alive."""
        now = utc_now()
        with self._database.write() as connection:
            connection.execute(
                update(jobs)
                .where(_held(claim_ids))
                .values(lease_until=now + LEASE, heartbeat_at=now)
            )

    def report_progress(
        self, claim_id: str, *, done: int, total: int, message: str
    ) -> None:
        """Keep how far a claimed job has come.

        A total of 0, or less done than before, ends what the rate is taken from: other
        work with a rate of its own begins.
        """
        now = utc_now()
        values: dict[str, Any] = {"done": done, "total": total, "message": message}
        begins = or_(jobs.c.rate_from_at.is_(None), jobs.c.done > done)
        from_here = (done, now) if total else (None, None)
        rate = {"rate_from_done": from_here[0], "rate_from_at": from_here[1]}
        with self._database.write() as connection:
            mine = _held([claim_id])
            # First, as it reads the progress so far.
            connection.execute(
                update(jobs).where(mine, begins if total else true()).values(**rate)
            )
            connection.execute(
                update(jobs).where(mine).values(**values, progress_at=now)
            )

    def must_stop(self, claim_id: str) -> bool:
        """Say whether the job was cancelled, or taken from this worker."""
        query = select(jobs.c.cancel_requested).where(_held([claim_id]))
        with self._database.read() as connection:
            return connection.scalar(query) is not False

    def is_claimed(self, claim_id: str) -> bool:
        """Say whether the worker of this claim still has its job."""
        query = select(jobs.c.job_id).where(_held([claim_id]))
        with self._database.read() as connection:
            return connection.scalar(query) is not None

    def end_job(
        self,
        claim_id: str,
        state: JobState,
        *,
        result: JsonObject | None = None,
        error: str | None = None,
    ) -> None:
        """Keep how a claimed job ended; nothing where another worker has it by now."""
        with self._database.write() as connection:
            connection.execute(
                update(jobs)
                .where(_held([claim_id]))
                .values(
                    state=state.value,
                    result=result,
                    error=error,
                    claim_id=None,
                    finished_at=utc_now(),
                )
            )

    def interrupt_expired_jobs(self) -> None:
        """Mark the running jobs interrupted whose worker has not been heard of."""
        with self._database.write() as connection:
            _interrupt(connection, jobs.c.lease_until <= utc_now())

    def continue_expired_jobs(self, kinds: Collection[str]) -> list[str]:
        """Queue the running jobs again whose worker has not been heard of.

        One that was to be cancelled is. One of another kind, that was queued so twice
        already, or beside which another of its kind is active, is interrupted: a person
        decides.

        Returns:
            The ids of those that were queued.
        """
        with self._database.read() as connection:
            found = connection.execute(_expired()).all()
        return [
            row.job_id
            for row in found
            if self._continue(Scope(row.owner_id, row.dataset_id, row.who), row, kinds)
        ]

    def _continue(self, scope: Scope, row: AnyRow, kinds: Collection[str]) -> bool:
        mine = and_(jobs.c.job_id == row.job_id, jobs.c.lease_until <= utc_now())
        may = row.kind in kinds and (row.restarts or 0) < _MOST_RESTARTS
        with self._database.write(dataset_lock(scope)) as connection:
            if row.cancel_requested:
                _end(connection, mine, JobState.CANCELLED)
                return False
            if not may or _has_active(connection, scope, row.kind):
                _interrupt(connection, mine)
                return False
            done = connection.execute(
                update(jobs)
                .where(jobs.c.state == JobState.RUNNING.value, mine)
                .values(
                    state=JobState.QUEUED.value,
                    claim_id=None,
                    restarts=(row.restarts or 0) + 1,
                )
            )
        return done.rowcount > 0

    def running_workers(self) -> set[str]:
        """Return the workers that hold a job."""
        query = select(jobs.c.worker).where(jobs.c.state == JobState.RUNNING.value)
        with self._database.read() as connection:
            return {worker for worker in connection.scalars(query) if worker}

    def interrupt_workers(self, workers: Sequence[str]) -> None:
        """Mark the running jobs of these workers interrupted."""
        with self._database.write() as connection:
            _interrupt(connection, jobs.c.worker.in_(workers))


def _queued(long_kinds: Collection[str]) -> Select[Any]:
    """Return the queued jobs with their owners, in the order they are taken."""
    theirs, running = datasets.alias("theirs"), jobs.alias("running")
    running_now = (
        select(func.count())
        .select_from(running)
        .join(theirs, theirs.c.dataset_id == running.c.dataset_id)
        .where(
            running.c.state == JobState.RUNNING.value,
            theirs.c.owner_id == datasets.c.owner_id,
        )
        .correlate(datasets)
        .scalar_subquery()
    )
    is_long = case((jobs.c.kind.in_(long_kinds), 1), else_=0)
    return (
        select(jobs, datasets.c.owner_id)
        .join(datasets, datasets.c.dataset_id == jobs.c.dataset_id)
        .where(jobs.c.state == JobState.QUEUED.value)
        .order_by(running_now, is_long, jobs.c.created_at, jobs.c.job_id)
    )


def _claimed(worker: str, claim_id: str) -> dict[str, Any]:
    now = utc_now()
    return {
        "state": JobState.RUNNING.value,
        "worker": worker,
        "claim_id": claim_id,
        "lease_until": now + LEASE,
        "heartbeat_at": now,
        "started_at": now,
        "rate_from_done": None,
        "rate_from_at": None,
        "progress_at": None,
    }


def _of_kind(kind: str | None) -> ColumnElement[bool]:
    return true() if kind is None else jobs.c.kind == kind


def _is_active() -> ColumnElement[bool]:
    """Say whether a row may continue; an expired lease is not checked here."""
    return jobs.c.state.in_([state.value for state in _ACTIVE])


def _held(claim_ids: Collection[str]) -> ColumnElement[bool]:
    running = jobs.c.state == JobState.RUNNING.value
    return and_(running, jobs.c.claim_id.in_(claim_ids))


def _row(
    connection: Connection, scope: Scope, job_id: str, *, to_change: bool = False
) -> AnyRow:
    query = select(jobs).where(
        jobs.c.dataset_id == scope.dataset_id, jobs.c.job_id == job_id
    )
    if to_change:
        query = query.with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(_GONE)
    return row


def _set(connection: Connection, job_id: str, **values: object) -> None:
    connection.execute(update(jobs).where(jobs.c.job_id == job_id).values(**values))


def _interrupt(connection: Connection, which: ColumnElement[bool]) -> None:
    _end(connection, which, JobState.INTERRUPTED)


def _end(connection: Connection, which: ColumnElement[bool], state: JobState) -> None:
    connection.execute(
        update(jobs)
        .where(jobs.c.state == JobState.RUNNING.value, which)
        .values(state=state.value, claim_id=None, finished_at=utc_now())
    )


def _expired() -> AnySelect:
    """Return the running jobs whose lease ran out, with their owners."""
    return (
        select(jobs, datasets.c.owner_id)
        .join(datasets, datasets.c.dataset_id == jobs.c.dataset_id)
        .where(jobs.c.state == JobState.RUNNING.value, jobs.c.lease_until <= utc_now())
    )


def _after_the_newest(connection: Connection, scope: Scope) -> datetime:
    """Return when a new job begins: after all others, though a clock was set back."""
    newest: datetime | None = connection.scalar(
        select(func.max(jobs.c.created_at)).where(jobs.c.dataset_id == scope.dataset_id)
    )
    now = utc_now()
    return now if newest is None else max(now, newest + timedelta(microseconds=1))


def _refuse_second(connection: Connection, scope: Scope, kind: str) -> None:
    if _has_active(connection, scope, kind):
        raise JobError(
            f"This dataset has a job of this kind ({kind}) already; "
            "wait for it or cancel it."
        )


def _has_active(connection: Connection, scope: Scope, kind: str) -> bool:
    query = select(jobs).where(
        jobs.c.dataset_id == scope.dataset_id, jobs.c.kind == kind, _is_active()
    )
    now = utc_now()
    return any(_state(row, now).is_active for row in connection.execute(query))


def _state(row: AnyRow, now: datetime) -> JobState:
    """Return where a job stands; one whose lease ran out stands still."""
    state = JobState(row.state)
    if state is JobState.RUNNING and row.lease_until <= now:
        return JobState.INTERRUPTED
    return state


def _as_info(row: AnyRow, now: datetime) -> JobInfo:
    state = _state(row, now)
    rate = _rate(row) if state is JobState.RUNNING else None
    return JobInfo(
        job_id=row.job_id,
        kind=row.kind,
        state=state,
        parameters=row.parameters,
        done=row.done,
        total=row.total,
        message=row.message,
        result=row.result,
        error=row.error,
        cancel_requested=row.cancel_requested,
        rate=rate,
        seconds_left=None if rate is None else _seconds_left(row, now, rate),
        who=row.who,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _rate(row: AnyRow) -> float | None:
    if row.rate_from_at is None or row.done <= row.rate_from_done:
        return None
    elapsed: float = (row.progress_at - row.rate_from_at).total_seconds()
    steps: int = row.done - row.rate_from_done
    return steps / max(elapsed, _SHORTEST_SECONDS)


def _seconds_left(row: AnyRow, now: datetime, rate: float) -> float:
    since: float = (now - row.progress_at).total_seconds()
    remaining: float = (row.total - row.done) / rate - since
    return max(remaining, 0.0)
