"""Progress text of jobs, Cancel and Resume."""

from datetime import timedelta

import pytest

from imagebase.annotation import utc_now
from imagebase.store import JobInfo, JobState
from imagebase.store.jobs import ClaimedJob
from imagebase.ui.job_progress import progress_text
from tests.app_fixtures import Tab, store, the_scope


def job(**known: object) -> JobInfo:
    """Return a running job of which only this is known."""
    values: dict[str, object] = {
        "job_id": "j",
        "kind": "annotate",
        "state": JobState.RUNNING,
        "parameters": {},
        "done": 0,
        "total": 0,
        "message": "",
        "result": None,
        "error": None,
        "cancel_requested": False,
        "rate": None,
        "seconds_left": None,
        "who": "ann",
        "created_at": utc_now(),
        "started_at": None,
        "finished_at": None,
    }
    return JobInfo(**(values | known))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"state": JobState.QUEUED}, "Starting …"),
        ({"message": "Loading the model …"}, "Loading the model …"),
        ({"total": 1200}, "0 of 1,200 · Estimating time left …"),
        ({"done": 3, "total": 9, "seconds_left": 75.4}, "3 of 9 · 1:15 left"),
    ],
)
def test_progress_text(known: dict[str, object], words: str) -> None:
    assert progress_text(job(**known)) == words


def test_speed_is_shown_once_known() -> None:
    # The model took an hour to load; that is no part of how fast it is.
    started = utc_now() - timedelta(hours=1)
    running = job(done=100, total=200, started_at=started, rate=50.0, seconds_left=2.0)
    assert progress_text(running) == "100 of 200 · 50 images/s · 0:02 left"


def begin() -> ClaimedJob:
    """Have a worker of another process begin a job that it never ends."""
    store().submit_job(the_scope(), "annotate", {"model": "x", "statuses": []})
    claimed = store().claim_job("elsewhere:1:x", ["annotate"])
    assert claimed is not None
    store().report_progress(claimed.claim_id, done=3, total=9, message="")
    return claimed


def test_running_job_shows_its_progress_on_every_page(filled: Tab) -> None:
    begin()
    filled.open("annotate")
    assert "3 of 9" in filled.progress()
    assert filled.app.button(key="annotate.run").disabled
    filled.open("review")
    assert "Annotate · " in filled.progress()


def test_cancelled_job_says_that_its_work_is_kept(filled: Tab) -> None:
    job_id = store().submit_job(the_scope(), "annotate", {})
    filled.open("annotate")
    filled.press(f"jobs.cancel.{job_id}")
    assert "Cancelled. Completed work is kept." in filled.words()


def test_late_cancel_is_reported(filled: Tab) -> None:
    running = begin()
    filled.open("annotate")
    store().end_job(running.claim_id, JobState.DONE, result={}, error=None)
    filled.press(f"jobs.cancel.{running.job_id}")
    assert not filled.app.exception
    assert filled.toasts()


def test_interrupted_job_resumes_at_a_click(filled: Tab) -> None:
    job_id = begin().job_id
    store().interrupt_workers(["elsewhere:1:x"])
    filled.open("annotate")
    assert "The server stopped at 3 of 9" in filled.words()
    filled.press(f"jobs.resume.{job_id}")
    assert filled.wait("annotate").state is JobState.FAILED
    assert "no model" in filled.app.error[0].value


def test_failed_job_says_why_as_text(filled: Tab) -> None:
    filled.open("annotate")
    store().end_job(begin().claim_id, JobState.FAILED, result=None, error="*a* <b>")
    filled.app.run()
    assert [error.value for error in filled.app.error] == [r"\*a\* \<b\>"]
