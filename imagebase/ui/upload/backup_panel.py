"""Back up a dataset as one zip, and restore one."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, Final

import streamlit as st

from imagebase.annotation import new_id
from imagebase.errors import ImageBaseError, StoreError
from imagebase.formats.text_files import csv_cell
from imagebase.jobs.temporary_files import dropped, forget_dropped, make_room
from imagebase.settings import Mode
from imagebase.store import JobInfo, JobState
from imagebase.ui import job_progress, services, state, widgets
from imagebase.ui.web import downloads, uploads

_STARTED: Final = "imagebase.backup.started"
_GENERATION: Final = "imagebase.backup.generation"
# An upload is held in the server's memory.
MOST_SENT_BYTES: Final = 1_000_000_000


def section() -> None:
    """Draw backup and restore, side by side."""
    left, right = st.columns(2, gap="large")
    with left:
        _back_up()
    with right:
        _restore()


def _concerns(kind: str) -> bool:
    """Say whether a job runs, waits, or was started by this session."""
    job = job_progress.latest(kind)
    if job is None:
        return False
    is_waiting = job_progress.is_active(job) or job.state is JobState.INTERRUPTED
    return is_waiting or _started().get(kind) == state.scope().dataset_id


def _started() -> dict[str, str]:
    started: dict[str, str] = st.session_state.setdefault(_STARTED, {})
    return started


def _back_up() -> None:
    st.caption(
        "One zip with images, labels, reviews, comments, tags and the full history. "
        "Restoring it gives the same dataset, on any server."
    )
    job = job_progress.latest("backup")
    is_offered = False
    if _concerns("backup") and job is not None:
        if job.state is JobState.DONE:
            is_offered = _offer(job)
        else:
            job_progress.show("backup")
    if not job_progress.is_active(job):
        st.button(
            "Back up again" if is_offered else "Back up this dataset",
            key="backup.start",
            type="tertiary" if is_offered else "secondary",
            icon=":material/archive:",
            disabled=not state.has_images(),
            on_click=_start_backup,
        )


@state.reports_errors
def _start_backup() -> None:
    scope = state.scope()
    version = services.store().version(scope)
    job_progress.begin("backup", {"name": state.dataset().name, "version": version})
    _started()["backup"] = scope.dataset_id


def _offer(job: JobInfo) -> bool:
    """Draw the download of a finished backup; False if it is outdated or deleted."""
    result = job.result or {}
    path = Path(result.get("path", ""))
    is_current = job.parameters["version"] == services.store().version(state.scope())
    if not path.is_file() or not is_current:
        return False
    _warn_of_lost(result.get("not_in_it", []))
    size = widgets.megabytes(result["byte_count"])
    downloads.button(
        f"Download {widgets.escape(result['file_name'])} · {size}",
        *downloads.export(result["path"]),
        file_name=result["file_name"],
        key="backup.download",
        is_main=True,
    )
    st.caption(
        f"{widgets.plural(result['images'], 'image')}, "
        f"{widgets.plural(result['boxes'], 'box')}."
    )
    return True


def _warn_of_lost(names: list[str]) -> None:
    if not names:
        return
    whose, them = ("file is", "it") if len(names) == 1 else ("files are", "them")
    st.warning(
        f"Not in the backup: {widgets.plural(len(names), 'image')} whose {whose} "
        f"missing or damaged. Add {them} again, then back up again.",
        icon=":material/warning:",
    )
    with st.expander("Show images"):
        st.dataframe({"image": list(map(csv_cell, names))}, hide_index=True)


def _restore() -> None:
    st.caption(
        "A backup is restored as a new dataset; this one is not changed. Damaged files "
        "are refused as a whole."
    )
    job = job_progress.latest("restore")
    if _concerns("restore") and job is not None:
        if job.state is JobState.DONE:
            _show_restored(job)
        else:
            job_progress.show("restore")
    if not job_progress.is_active(job):
        _drop_zone()


def _show_restored(job: JobInfo) -> None:
    result = job.result or {}
    st.success(
        f"**{widgets.escape(result['name'])}** restored with "
        f"{widgets.plural(result['images'], 'image')}."
    )
    st.button(
        "Open dataset",
        key="restore.open",
        type="primary",
        icon=":material/folder_open:",
        on_click=state.choose_dataset,
        args=(result["dataset_id"],),
    )


def _drop_zone() -> None:
    generation = st.session_state.get(_GENERATION, 0)
    limits = services.limits()
    most = min(limits.max_file_bytes, limits.max_dataset_bytes, MOST_SENT_BYTES)
    file = st.file_uploader(
        "Restore a backup",
        type="zip",
        max_upload_size=max(most // 1_000_000, 1),
        key=f"restore.file.{generation}",
    )
    st.caption(_larger_in_words(max(most // 1_000_000, 1)))
    if file is not None:
        st.session_state[_GENERATION] = generation + 1
        try:
            _start_restore(file.name, file)
        finally:
            uploads.free([file])
        st.rerun()


def _larger_in_words(most: int) -> str:
    """Return what to do with a backup that is too large to upload: it needs memory."""
    if services.mode() is Mode.DEMO:
        return f"Restore a backup of more than {most:,} MB in ImageBase of your own."
    return (
        f"More than {most:,} MB? Run `imagebase restore FILE.zip` on the server: it "
        "takes a backup of any size."
    )


def _start_restore(file_name: str, file: BinaryIO) -> None:
    scope, upload_id = state.scope(), new_id()
    make_room(scope, services.limits())
    path = dropped(scope, upload_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            shutil.copyfileobj(file, target)
    except OSError as error:
        path.unlink(missing_ok=True)
        reason = (error.strerror or str(error)).lower()
        raise StoreError(
            f"The backup could not be stored ({reason}); free some space and try again."
        ) from error
    parameters = {
        "upload": upload_id,
        "file_name": file_name,
        "dataset_id": new_id(),
        "limits": asdict(services.limits()),
    }
    try:
        job_progress.begin("restore", parameters)
    except ImageBaseError:
        forget_dropped(scope, upload_id)
        raise
    _started()["restore"] = scope.dataset_id
