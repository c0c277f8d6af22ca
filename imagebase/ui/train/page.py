"""Train page: running and failed training runs, training elsewhere."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import streamlit as st

from imagebase.annotation import utc_now
from imagebase.jobs.exports import BUNDLE_KIND, bundle_request
from imagebase.jobs.installation import KIND as INSTALL_KIND
from imagebase.jobs.installation import install_parameters
from imagebase.jobs.training import KEPT_SECONDS, KIND, work_folder
from imagebase.settings import PROJECT_ROOT, Mode
from imagebase.store import JobInfo, JobState, Scope
from imagebase.training.checks import has_torch
from imagebase.training.install import DOWNLOAD_MB, commands
from imagebase.training.run_folder import CLOSING, Log, Progress, read_log, time_left
from imagebase.training.session import ask_to_finish, read_plan
from imagebase.ui import identity, job_progress, services, state, widgets
from imagebase.ui.train import run_result, setup
from imagebase.ui.web import downloads

_WHY: Final = {
    JobState.CANCELLED: "Training was stopped",
    JobState.INTERRUPTED: "The server stopped during training",
    JobState.FAILED: "Training failed",
}


# Redrawing the curves takes time from the cores that train.
POLL_SECONDS: Final = 2.0
NOTEBOOK: Final = PROJECT_ROOT / "notebooks" / "train_custom_model.ipynb"


@st.fragment(run_every=POLL_SECONDS)
@widgets.guarded
def running(job_id: str) -> None:
    """Draw the progress of a training run; when it ends the page is rerun."""
    state.leave_deleted_dataset()
    job = services.store().job(state.scope(), job_id)
    if not job_progress.is_active(job):
        state.run_page_again()
        return
    log = read_log(work_folder(state.scope(), job_id))
    left, middle, right = st.columns([6, 2, 1], vertical_alignment="center")
    share, text = _progress(job, log)
    is_ending = job.cancel_requested or _is_closing(job, log)
    left.progress(share, text=text)
    middle.button(
        "Finish now",
        key=f"train.finish.{job_id}",
        icon=":material/done_all:",
        width="stretch",
        disabled=is_ending or not log.losses,
        on_click=_finish,
        args=(job_id,),
        help="Ends training and keeps the best model so far.",
    )
    right.button(
        "Stop",
        key=f"train.stop.{job_id}",
        icon=":material/pause:",
        width="stretch",
        disabled=is_ending,
        on_click=_stop,
        args=(job_id,),
        help="Progress is kept. You can resume later.",
    )
    run_result.curves(log.losses, log.evaluations)
    if not log.losses:
        st.caption("Waiting for the first results …")


def _progress(job: JobInfo, log: Log) -> tuple[float, str]:
    progress = log.progress
    if job.state is JobState.QUEUED:
        return 0.0, "Queued …"
    if _is_closing(job, log):
        return 1.0, Progress(CLOSING).in_words()
    # A resumed run has a log before its progress is known.
    if progress is None or not job.total:
        share, text = _share(job.done, job.total), widgets.escape(job.message)
    else:
        share = _share(progress.done, progress.total)
        steps = f"{progress.done:,} of about {progress.total:,} steps"
        left = time_left(progress.seconds_left)
        text = f"{steps}{left} · {progress.compute}"
    return share, "Stopping …" if job.cancel_requested else text or "Starting …"


def _share(done: int, total: int) -> float:
    return min(done / total, 1.0) if total else 0.0


def _is_closing(job: JobInfo, log: Log) -> bool:
    """Say whether training is done and the model is being evaluated and saved."""
    phase = log.progress.phase if log.progress is not None else ""
    return job.state is JobState.RUNNING and phase in {CLOSING, "done"}


@state.reports_errors
def _stop(job_id: str) -> None:
    services.store().cancel_job(state.scope(), job_id)


@state.reports_errors
def _finish(job_id: str) -> None:
    ask_to_finish(work_folder(state.scope(), job_id))


def active_run() -> JobInfo | None:
    """Return the running or queued training run, which need not be the newest."""
    active = services.store().active_jobs(state.scope())
    return next((job for job in active if job.kind == KIND), None)


def show_failed() -> None:
    """Show how the training runs since the last model ended; offer to resume.

    The newest may have no checkpoint, such as one with a bad name, while an earlier one
    can be resumed.
    """
    jobs_since = _runs_since_last_model()
    if not jobs_since:
        return
    newest = jobs_since[0]
    if newest.state is JobState.FAILED:
        st.error(widgets.escape(newest.error or ""))
    ready = (job for job in jobs_since if read_plan(_folder(job)) is not None)
    if (job := next(ready, None)) is not None:
        _offer_resume(job)
    elif newest.state is not JobState.FAILED and not _is_expired(newest):
        st.info(f"{_WHY[newest.state]} before the first step.")


def _runs_since_last_model() -> list[JobInfo]:
    """Return the training runs since the last model, the last to end first."""
    now = utc_now()
    by_end = sorted(
        services.store().jobs(state.scope(), kind=KIND),
        key=lambda job: job.finished_at or now,
        reverse=True,
    )
    return list(takewhile(lambda job: job.state is not JobState.DONE, by_end))


def _is_expired(job: JobInfo) -> bool:
    """Say whether its checkpoint has been deleted by now."""
    if job.finished_at is None:
        return False
    return (utc_now() - job.finished_at).total_seconds() > KEPT_SECONDS


def _folder(job: JobInfo) -> Path:
    return work_folder(state.scope(), job.job_id)


def _offer_resume(job: JobInfo) -> None:
    left, right = st.columns([5, 1], vertical_alignment="center")
    progress = read_log(_folder(job)).progress
    steps = progress.done if progress is not None else 0
    left.info(
        f"{_WHY[job.state]} after {widgets.plural(steps, 'step')}. "
        f"{'Progress is kept.' if steps else 'The images are prepared.'}"
    )
    right.button(
        "Resume",
        key=f"train.resume.{job.job_id}",
        icon=":material/play_arrow:",
        width="stretch",
        on_click=_resume,
        args=(job.job_id,),
    )


@state.reports_errors
def _resume(job_id: str) -> None:
    services.runner().resume(state.scope(), job_id)


@downloads.maker("notebook")
def _notebook(scope: Scope, parameters: downloads.Parameters) -> Path:
    return NOTEBOOK


def offer() -> None:
    """Draw the downloads for training with Darknet or in a notebook."""
    st.markdown(
        "**Darknet**: approved images, split, with the cfg, the weights of the first "
        "29 layers and a README with the command."
    )
    _bundle()
    st.markdown(
        "**Notebook with a GPU**: the same training, from a CSV or Darknet export."
    )
    if NOTEBOOK.is_file():
        downloads.button(
            "Download notebook",
            "notebook",
            {},
            file_name=NOTEBOOK.name,
            mime="application/x-ipynb+json",
            key="train.notebook",
        )


def _bundle() -> None:
    job = job_progress.latest(BUNDLE_KIND)
    if job is not None and job_progress.is_active(job):
        job_progress.show(BUNDLE_KIND)
        return
    if job is not None and job.state is JobState.FAILED:
        st.error(widgets.escape(job.error or ""))
    wanted = _wanted()
    zips = (job.result or {}).get("zips", []) if job is not None else []
    is_there = bool(zips) and all(Path(zip_file["path"]).is_file() for zip_file in zips)
    if job is not None and job.parameters == wanted and is_there:
        _download(zips)
        return
    st.button(
        "Build training bundle",
        key="train.bundle.build",
        icon=":material/inventory_2:",
        on_click=job_progress.start,
        args=(BUNDLE_KIND, wanted),
    )


def _download(zips: Sequence[Mapping[str, Any]]) -> None:
    chosen = zips[0]
    if len(zips) > 1:
        st.caption(
            f"The images are in {len(zips)} zips, each complete for Darknet: unpack "
            "each into its own folder."
        )
        chosen = zips[widgets.page_number(len(zips), key="train.bundle.zip") - 1]
    downloads.button(
        f"Download training bundle · {widgets.megabytes(chosen['byte_count'])}",
        *downloads.export(chosen["path"]),
        file_name=chosen["file_name"],
        key="train.bundle.download",
        is_main=True,
    )


def _wanted() -> dict[str, Any]:
    """Return the job's parameters; a changed dataset needs another zip."""
    version = services.store().version(state.scope())
    return bundle_request() | {"name": state.dataset().name, "version": version}


def header() -> None:
    """Draw the title, and the popover for training elsewhere."""
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.title("Train")
    with (
        right,
        st.popover(
            "Train elsewhere", icon=":material/folder_zip:", key="train.elsewhere"
        ),
    ):
        offer()


def show() -> None:
    """Draw the current run, else the last result and the options of the next run."""
    # One container each, so that a message above does not remount the widgets below.
    run, ended, result = st.container(), st.container(), st.container()
    if (job := active_run()) is not None:
        with run:
            running(job.job_id)
        return
    with ended:
        show_failed()
    with result:
        has_result = run_result.show()
    if not has_torch():
        _how_to_install()
        return
    with st.container(border=has_result):
        if has_result:
            st.subheader("Train again")
        setup.choose()


def _how_to_install() -> None:
    if services.mode() is Mode.DEMO:
        st.info(
            "This demo does not train models. **Train elsewhere** has what you need to "
            "train on your own computer or in a notebook. Finding more like a few "
            "examples needs no training: it works here."
        )
    elif identity.is_own_server():
        _offer_to_install()
    else:
        st.info(
            "Training needs PyTorch, which is not installed on this server. Ask its "
            "operator to run this on the server:"
        )
        _show_commands()


def _offer_to_install() -> None:
    st.info(
        "Training needs PyTorch, which is not installed yet. All else works without it."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Install training (about {DOWNLOAD_MB} MB)",
            key="train.install",
            type="primary",
            icon=":material/download:",
            disabled=job_progress.is_active(job_progress.latest(INSTALL_KIND)),
            on_click=job_progress.start,
            args=(INSTALL_KIND, install_parameters()),
        )
        st.caption("Takes a few minutes. No restart is needed.", width="content")
    job_progress.show(INSTALL_KIND)
    with st.expander("Install it yourself, or for an NVIDIA GPU"):
        _show_commands()


def _show_commands() -> None:
    left, right = st.columns(2)
    left.caption("For the CPU")
    left.code(commands("cpu"), language="bash")
    right.caption("For an NVIDIA GPU")
    right.code(commands("auto"), language="bash")
