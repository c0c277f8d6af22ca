"""Job rows: one claim each, leases, and who may end what."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from imagebase.annotation import utc_now
from imagebase.errors import JobError, NotFoundError
from imagebase.store import JobState, Scope, Store
from imagebase.store.jobs import ClaimedJob
from imagebase.store.tables import jobs
from tests.store.fixtures import scope_of

pytestmark = pytest.mark.dialect

KINDS = ["annotate", "export"]


def _set(store: Store, **values: object) -> None:
    with store._database.write() as connection:
        connection.execute(update(jobs).values(**values))


def _claim(store: Store, scope: Scope, parameters: Mapping[str, Any]) -> ClaimedJob:
    store.submit_job(scope, "annotate", parameters)
    claimed = store.claim_job("host:1:a", KINDS)
    assert claimed is not None
    return claimed


def test_job_is_claimed_with_its_scope_and_parameters(
    store: Store, scope: Scope
) -> None:
    claimed = _claim(store, scope, {"model": "tiny"})
    assert (claimed.scope, claimed.parameters) == (scope, {"model": "tiny"})
    assert store.job(scope, claimed.job_id).state is JobState.RUNNING
    assert store.claim_job("host:1:b", KINDS) is None


def test_jobs_are_claimed_oldest_first_by_kind(store: Store, scope: Scope) -> None:
    first = store.submit_job(scope, "export", {})
    store.submit_job(scope, "train", {})
    claimed = store.claim_job("host:1:a", KINDS)
    assert claimed is not None
    assert claimed.job_id == first
    assert not store.has_queued_jobs(KINDS)


def _queue(store: Store, owner_id: str, *kinds: str) -> list[str]:
    """Queue jobs of an owner, each on a dataset of its own."""
    return [
        store.submit_job(scope_of(store, owner_id, who="ann", name=kind), kind, {})
        for kind in kinds
    ]


def _claims(store: Store, count: int) -> list[str]:
    claims = [
        store.claim_job("host:1:a", KINDS, long_kinds=["annotate"])
        for _ in range(count)
    ]
    return [claim.job_id for claim in claims if claim is not None]


def test_owners_take_turns(store: Store) -> None:
    anns = _queue(store, "ann", "export", "annotate")
    (bobs,) = _queue(store, "bob", "export")
    assert _claims(store, 3) == [anns[0], bobs, anns[1]]


def test_short_kinds_go_first(store: Store) -> None:
    long, short = _queue(store, "ann", "annotate", "export")
    assert _claims(store, 2) == [short, long]


def test_place_in_line_is_the_order_of_the_claims(store: Store) -> None:
    anns = _queue(store, "ann", "annotate", "export")
    scope = scope_of(store, "bob", who="bob", name="Mine")
    mine = store.submit_job(scope, "annotate", {})
    long = ["annotate"]
    assert store.place_in_line(scope, mine, long_kinds=long) == 3
    assert _claims(store, 1) == [anns[1]]
    assert store.place_in_line(scope, mine, long_kinds=long) == 1
    assert _claims(store, 1) == [mine]
    assert store.place_in_line(scope, mine, long_kinds=long) == 0


def test_active_runs_are_counted_by_owner(store: Store) -> None:
    _queue(store, "ann", "annotate", "export")
    _queue(store, "bob", "export")
    _claims(store, 1)
    assert (store.active_runs("ann"), store.active_runs("bob")) == (2, 1)


def test_each_job_is_claimed_once(store: Store) -> None:
    for number in range(6):
        scope = scope_of(store, "team", who="ann", name=str(number))
        store.submit_job(scope, "annotate", {})
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: store.claim_job(f"h:{n}:x", KINDS), range(12)))
    ids = [claim.job_id for claim in claims if claim is not None]
    assert len(ids) == len(set(ids)) == 6


def test_second_job_of_a_kind_is_refused(store: Store, scope: Scope) -> None:
    store.submit_job(scope, "annotate", {})
    with pytest.raises(JobError, match="annotate"):
        store.submit_job(scope, "annotate", {})
    store.submit_job(scope, "export", {})
    store.submit_job(scope_of(store, "team", who="ann"), "annotate", {})


def test_job_that_ended_makes_room(store: Store, scope: Scope) -> None:
    claimed = _claim(store, scope, {})
    store.end_job(claimed.claim_id, JobState.DONE, result={"images": 3})
    assert store.job(scope, claimed.job_id).result == {"images": 3}
    store.submit_job(scope, "annotate", {})


def test_expired_lease_interrupts_a_job(store: Store, scope: Scope) -> None:
    claimed = _claim(store, scope, {})
    _set(store, lease_until=utc_now() - timedelta(seconds=1))
    assert store.job(scope, claimed.job_id).state is JobState.INTERRUPTED
    store.interrupt_expired_jobs()
    assert store.must_stop(claimed.claim_id)
    store.resume_job(scope, claimed.job_id)
    again = store.claim_job("host:2:b", KINDS)
    assert again is not None
    assert again.job_id == claimed.job_id


def test_renewed_lease_keeps_a_job(store: Store, scope: Scope) -> None:
    claimed = _claim(store, scope, {})
    _set(store, lease_until=utc_now() + timedelta(seconds=1))
    store.renew_leases([claimed.claim_id])
    _assert_lease_is_long(store)


def _assert_lease_is_long(store: Store) -> None:
    with store._database.read() as connection:
        lease = connection.execute(jobs.select()).one().lease_until
    assert lease > utc_now() + timedelta(seconds=20)


def test_worker_that_lost_its_job_cannot_end_it(store: Store, scope: Scope) -> None:
    late = _claim(store, scope, {})
    store.interrupt_workers(["host:1:a"])
    store.resume_job(scope, late.job_id)
    store.claim_job("host:2:b", KINDS)
    store.report_progress(late.claim_id, done=5, total=9, message="late")
    store.end_job(late.claim_id, JobState.DONE)
    job = store.job(scope, late.job_id)
    assert (job.state, job.done) == (JobState.RUNNING, 0)


def test_waiting_job_is_cancelled_at_once(store: Store, scope: Scope) -> None:
    job_id = store.submit_job(scope, "annotate", {})
    store.cancel_job(scope, job_id)
    assert store.job(scope, job_id).state is JobState.CANCELLED
    with pytest.raises(JobError, match="has ended"):
        store.cancel_job(scope, job_id)


def test_running_job_is_asked_to_stop(store: Store, scope: Scope) -> None:
    claimed = _claim(store, scope, {})
    assert not store.must_stop(claimed.claim_id)
    store.cancel_job(scope, claimed.job_id)
    assert store.must_stop(claimed.claim_id)


def test_job_that_goes_on_is_not_resumed(store: Store, scope: Scope) -> None:
    claimed = _claim(store, scope, {})
    with pytest.raises(JobError, match="no resuming"):
        store.resume_job(scope, claimed.job_id)


def test_job_is_not_resumed_beside_another_one(store: Store, scope: Scope) -> None:
    job_id = store.submit_job(scope, "annotate", {})
    store.cancel_job(scope, job_id)
    store.submit_job(scope, "annotate", {})
    with pytest.raises(JobError, match="already"):
        store.resume_job(scope, job_id)


def test_jobs_of_a_kind_are_read_alone(store: Store, scope: Scope) -> None:
    first = store.submit_job(scope, "export", {})
    store.cancel_job(scope, first)
    second = store.submit_job(scope, "export", {})
    store.submit_job(scope, "train", {})
    assert [job.job_id for job in store.jobs(scope, kind="export")] == [second, first]
    latest = store.latest_job(scope, "export")
    assert latest is not None
    assert latest.job_id == second
    assert store.latest_job(scope, "annotate") is None


def test_active_jobs_are_those_that_go_on_or_wait(store: Store, scope: Scope) -> None:
    _claim(store, scope, {})
    waiting = store.submit_job(scope, "export", {})
    store.cancel_job(scope, store.submit_job(scope, "train", {}))
    kinds = [job.kind for job in store.active_jobs(scope)]
    assert kinds == ["export", "annotate"]
    _set(store, lease_until=utc_now() - timedelta(seconds=1))
    assert [job.job_id for job in store.active_jobs(scope)] == [waiting]


def test_unknown_job_is_not_found(store: Store, scope: Scope) -> None:
    with pytest.raises(NotFoundError, match="job no longer exists"):
        store.job(scope, "nothing")


def test_other_work_of_a_job_has_a_rate_of_its_own(store: Store, scope: Scope) -> None:
    claimed = _claim(store, scope, {})

    def report(done: int, total: int) -> float | None:
        store.report_progress(claimed.claim_id, done=done, total=total, message="")
        return store.job(scope, claimed.job_id).seconds_left

    report(0, 100)
    assert report(100, 100) is not None
    _set(store, rate_from_at=utc_now() - timedelta(hours=1))
    # Nobody knows how much there is to do; then steps, and no more images.
    assert report(0, 0) is None
    assert report(1, 50) is None
    left = report(2, 50)
    assert left is not None
    assert left < 60
    _set(store, rate_from_at=utc_now() - timedelta(hours=1))
    # From the beginning again, as when it is gone on with.
    assert report(1, 50) is None


def test_time_left_follows_the_rate(store: Store, scope: Scope) -> None:
    claimed = _claim(store, scope, {})
    store.report_progress(claimed.claim_id, done=10, total=100, message="")
    assert store.job(scope, claimed.job_id).seconds_left is None
    store.report_progress(claimed.claim_id, done=40, total=100, message="")
    now = utc_now()
    _set(store, rate_from_at=now - timedelta(seconds=30), progress_at=now)
    # 30 images in 30 seconds; 60 are left.
    info = store.job(scope, claimed.job_id)
    assert info.rate == pytest.approx(1, rel=0.1)
    assert info.seconds_left == pytest.approx(60, abs=2)


def test_loading_a_model_is_no_part_of_the_rate(store: Store, scope: Scope) -> None:
    claimed = _claim(store, scope, {})
    _set(store, started_at=utc_now() - timedelta(hours=1))
    store.report_progress(claimed.claim_id, done=0, total=0, message="Loading …")
    store.report_progress(claimed.claim_id, done=1, total=3, message="")
    assert store.job(scope, claimed.job_id).rate is None
    store.report_progress(claimed.claim_id, done=2, total=3, message="")
    now = utc_now()
    _set(store, rate_from_at=now - timedelta(seconds=0.5), progress_at=now)
    info = store.job(scope, claimed.job_id)
    assert info.rate == pytest.approx(2)
    store.end_job(claimed.claim_id, JobState.DONE, result={}, error=None)
    assert store.job(scope, claimed.job_id).rate is None


def test_job_after_the_clock_was_set_back_is_the_newest(
    store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.submit_job(scope, "export", {})
    yesterday = utc_now() - timedelta(days=1)
    monkeypatch.setattr("imagebase.store.jobs.utc_now", lambda: yesterday)
    newest = store.submit_job(scope, "annotate", {})
    assert store.jobs(scope)[0].job_id == newest


def test_expired_job_is_continued_twice_and_then_left_to_a_person(
    store: Store, scope: Scope
) -> None:
    job_id = _claim(store, scope, {}).job_id
    for _ in range(2):
        _set(store, lease_until=utc_now() - timedelta(seconds=1))
        assert store.continue_expired_jobs(KINDS) == [job_id]
        assert store.continue_expired_jobs(KINDS) == []
        assert store.claim_job("host:2:b", KINDS) is not None
    _set(store, lease_until=utc_now() - timedelta(seconds=1))
    assert store.continue_expired_jobs(KINDS) == []
    assert store.job(scope, job_id).state is JobState.INTERRUPTED
    store.resume_job(scope, job_id)
    store.claim_job("host:2:b", KINDS)
    _set(store, lease_until=utc_now() - timedelta(seconds=1))
    assert store.continue_expired_jobs(KINDS) == [job_id]


def test_expired_job_is_not_continued_beside_its_successor(
    store: Store, scope: Scope
) -> None:
    left = _claim(store, scope, {}).job_id
    _set(store, lease_until=utc_now() - timedelta(seconds=1))
    store.submit_job(scope, "annotate", {})
    assert store.continue_expired_jobs(KINDS) == []
    assert store.job(scope, left).state is JobState.INTERRUPTED


@pytest.mark.parametrize("kind", ["annotate", "install"])
def test_expired_job_is_cancelled_where_it_was_to_be(
    kind: str, store: Store, scope: Scope
) -> None:
    store.submit_job(scope, kind, {})
    claimed = store.claim_job("host:1:a", [kind])
    assert claimed is not None
    store.cancel_job(scope, claimed.job_id)
    _set(store, lease_until=utc_now() - timedelta(seconds=1))
    assert store.continue_expired_jobs(["annotate"]) == []
    assert store.job(scope, claimed.job_id).state is JobState.CANCELLED
