"""Progress of background jobs on screen, with Cancel and Resume."""

from dataclasses import replace
from typing import Any, Final

import streamlit as st

from imagebase.backup.restore import delete_half_restored
from imagebase.jobs.temporary_files import forget_dropped
from imagebase.store import JobInfo, JobState
from imagebase.ui import services, state, widgets
from imagebase.wording import ordinal

POLL_SECONDS: Final = 0.5
_NAMES: Final = {
    "annotate": "Annotate",
    "keep": "Save boxes",
    "doubt": "Mirrored check",
    "export": "Export",
    "evaluate": "Evaluate",
    "teach": "Find more like this",
    "train": "Train",
    "bundle": "Training bundle",
    "import": "Import labels",
    "install": "Install training",
    "backup": "Back up",
    "restore": "Restore",
    "vectors": "Compare images",
    "classify": "Propose tags",
    "frames": "Add frames",
}
_KEPT: Final = "Completed work is kept."
_KEPT_OF_CANCELLED: Final = {
    "export": "No zip was created.",
    "backup": "No backup was created.",
    "install": "Nothing was installed.",
    "restore": "Nothing is kept, unless someone has edited the restored part.",
}
_KEPT_OF_INTERRUPTED: Final = {
    "export": "Resuming starts over.",
    "install": "Resuming starts over.",
    "backup": "Resuming starts over.",
    "restore": "Resuming starts over and deletes the restored part, unless someone "
    "has edited it.",
}
_HALF: Final = {
    "import": "An import of labels is only partly in this dataset.",
    "restore": "A backup is only partly restored.",
}
_ACTIVE: Final = (JobState.QUEUED, JobState.RUNNING)


def begin(kind: str, parameters: dict[str, Any]) -> None:
    """Start a job on this dataset; a second click on the same does nothing.

    Raises:
        JobError: another job of this kind has not ended.
    """
    running = latest(kind)
    if running is not None and is_active(running) and running.parameters == parameters:
        return
    services.runner().submit(state.scope(), kind, parameters)


@state.reports_errors
def start(kind: str, parameters: dict[str, Any]) -> None:
    """Start a job, or show why not; for a button that does nothing else."""
    begin(kind, parameters)


def latest(kind: str) -> JobInfo | None:
    """Return this dataset's newest job of a kind."""
    return services.store().latest_job(state.scope(), kind)


def is_active(job: JobInfo | None) -> bool:
    """Say whether a job is queued or running."""
    return job is not None and job.state in _ACTIVE


def show(kind: str) -> None:
    """Draw the newest job of a kind: its progress, or how it failed.

    When it ends the page is rerun, so that what follows shows the result. The container
    is drawn without a job too, so that what follows is not remounted.
    """
    with st.container():
        job = latest(kind)
        if job is not None:
            _show(kind, job)


def _show(kind: str, job: JobInfo) -> None:
    if is_active(job):
        _running(job.job_id)
    elif job.state is JobState.FAILED:
        st.error(widgets.escape(job.error or ""))
    elif job.state is JobState.CANCELLED:
        place = f" after {job.done:,} of {job.total:,}" if job.total else ""
        st.info(f"Cancelled{place}. {_KEPT_OF_CANCELLED.get(kind, _KEPT)}")
    elif job.state is JobState.INTERRUPTED:
        st.warning(f"{_why_stopped(job)} {_KEPT_OF_INTERRUPTED.get(kind, _KEPT)}")
        st.button(
            "Resume",
            key=f"jobs.resume.{job.job_id}",
            icon=":material/play_arrow:",
            on_click=_resume,
            args=(job.job_id,),
        )


def _why_stopped(job: JobInfo) -> str:
    """Return why a job is interrupted: its error where that could not be stored."""
    error = services.runner().unstored_error(job.job_id)
    place = f" at {job.done:,} of {job.total:,}" if job.total else ""
    if error:
        return f"{widgets.escape(error)} It stopped{place}."
    return f"The server stopped{place}."


def interruptions() -> None:
    """Draw what stands half in the dataset, with Resume and Undo; top of every page."""
    for kind, half in _HALF.items():
        job = latest(kind)
        if job is not None and job.state is JobState.INTERRUPTED:
            with st.container(key=f"jobs.interrupted.{kind}"):
                _interruption(job, half)


def _interruption(job: JobInfo, half: str) -> None:
    st.warning(
        f"**{half}** {_why_stopped(job)} Resume it, or undo what it has saved.",
        icon=":material/warning:",
    )
    with st.container(horizontal=True):
        st.button(
            "Resume",
            key=f"jobs.top.resume.{job.job_id}",
            icon=":material/play_arrow:",
            on_click=_resume,
            args=(job.job_id,),
        )
        st.button(
            "Undo",
            key=f"jobs.top.undo.{job.job_id}",
            icon=":material/undo:",
            on_click=_undo,
            args=(job,),
        )


@st.fragment(run_every=POLL_SECONDS)
@widgets.guarded
def _running(job_id: str) -> None:
    state.leave_deleted_dataset()
    job = services.store().job(state.scope(), job_id)
    if not is_active(job):
        state.run_page_again()
        return
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.progress(_share(job), text=_waiting(job) or progress_text(job))
    right.button(
        "Cancel",
        key=f"jobs.cancel.{job_id}",
        icon=":material/close:",
        on_click=_cancel,
        args=(job_id,),
        width="stretch",
    )


def running_strip() -> None:
    """Draw the running jobs of this dataset in the sidebar."""
    if services.store().active_jobs(state.scope()):
        _strip()


@st.fragment(run_every=2 * POLL_SECONDS)
@widgets.guarded
def _strip() -> None:
    state.leave_deleted_dataset()
    active = services.store().active_jobs(state.scope())
    if not active:
        state.run_page_again()
    for job in active:
        name = _NAMES.get(job.kind, job.kind)
        st.progress(_share(job), text=f"{name} · {_waiting(job) or _in_short(job)}")


def _waiting(job: JobInfo) -> str:
    """Return a job's place in line; empty where it is running or about to."""
    if job.state is not JobState.QUEUED:
        return ""
    place = services.runner().place_in_line(state.scope(), job.job_id)
    return f"{ordinal(place)} in line" if place else ""


def _in_short(job: JobInfo) -> str:
    # A training run estimates its time better than from its rate of steps.
    has_own_estimate = job.kind == "train" and job.state is JobState.RUNNING
    return (job.message if has_own_estimate else "") or _time_left(job)


# Kinds whose message says more than a count of images.
_IN_OWN_WORDS: Final = frozenset({"install"})


def progress_text(job: JobInfo) -> str:
    """Return progress, speed and time left of a job as text."""
    if job.state is JobState.QUEUED or not job.total or job.kind in _IN_OWN_WORDS:
        return job.message or "Starting …"
    parts = [f"{job.done:,} of {job.total:,}"]
    if job.rate is not None:
        items = "frames" if job.kind == "frames" else "images"
        parts.append(f"{job.rate:.0f} {items}/s")
    return " · ".join([*parts, _time_left(job)])


def _time_left(job: JobInfo) -> str:
    if job.seconds_left is None:
        return "Estimating time left …"
    minutes, seconds = divmod(round(job.seconds_left), 60)
    return f"{minutes}:{seconds:02d} left"


def _share(job: JobInfo) -> float:
    return min(job.done / job.total, 1.0) if job.total else 0.0


@state.reports_errors
def _cancel(job_id: str) -> None:
    services.store().cancel_job(state.scope(), job_id)


@state.reports_errors
def _resume(job_id: str) -> None:
    services.runner().resume(state.scope(), job_id)


@state.reports_errors
def _undo(job: JobInfo) -> None:
    """Take back what an interrupted import or restore has saved, and end it."""
    store, scope = services.store(), state.scope()
    if job.kind == "restore":
        target = replace(scope, dataset_id=job.parameters["dataset_id"])
        delete_half_restored(store, target)
        said = "Undone: the restored part is deleted."
    else:
        undone = store.undo_change(scope, job.job_id)
        if undone is not None:
            state.forget_shown(undone.image_ids)
        said = undone.description if undone else "Nothing had been saved yet."
    forget_dropped(scope, job.parameters["upload"])
    store.cancel_job(scope, job.job_id)
    state.say(said)
