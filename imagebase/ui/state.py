"""Session state: typed functions over namespaced keys.

Only the state of the screen; data that outlives the session is in the store.
"""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import wraps
from typing import Final, ParamSpec, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import ScriptRunner, get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import (
    RunLocation,
    ThreadState,
)

from imagebase.annotation import ImageRecord, utc_now
from imagebase.editing.conflicts import Conflict
from imagebase.errors import ImageBaseError, LimitError, NotFoundError
from imagebase.images.scan import prepared_samples
from imagebase.ingest.add_images import AdmissionReport, admit
from imagebase.jobs.evaluation import delete_evaluations
from imagebase.jobs.temporary_files import delete_exports
from imagebase.jobs.training import delete_trainings
from imagebase.learning.taught_models import publish
from imagebase.settings import Mode, settings
from imagebase.store import DatasetInfo, Scope, UndoResult
from imagebase.ui import services
from imagebase.ui.identity import keep_owner, visitor

_DATASET: Final = "imagebase.dataset"
_IMAGE: Final = "imagebase.image"
_REPORT: Final = "imagebase.upload.report"
_UPLOADER: Final = "imagebase.upload.generation"
_MESSAGE: Final = "imagebase.message"
_DIALOG: Final = "imagebase.dialog"
_PROBLEM: Final = "imagebase.edit.problem"
PROBLEM_SECONDS: Final = 12.0
_PAGE: Final = "imagebase.page"
_SEEN_REVISIONS: Final = "imagebase.edit.revisions"
_THEIR_REVISIONS: Final = "imagebase.edit.their_revisions"
_SHOWN: Final = "imagebase.edit.shown"
_KEPT_SHOWN: Final = 32
_CHANGE: Final = "imagebase.edit.change"
_SAVED_AT: Final = "imagebase.edit.saved_at"
_CONFLICTS: Final = "imagebase.edit.conflicts"
# Key of the open tool of the Upload page, and one of the tools.
UPLOAD_TOOL: Final = "upload.tool"
BACK_UP: Final = ":material/archive: Back up or restore"

_FIRST_NAME: Final = "My images"
_SAMPLES_NAME: Final = "Sample images"

# Reruns that may interrupt the saving of one edit.
_RETRIES: Final = 10

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)


def datasets() -> list[DatasetInfo]:
    """Return this visitor's datasets; there is always one."""
    who = visitor()
    known = services.store().datasets(who.owner_id)
    return known or [_first_dataset()]


def _first_dataset() -> DatasetInfo:
    who = visitor()
    with_samples = settings().samples or services.mode() is Mode.DEMO
    name = _SAMPLES_NAME if with_samples else _FIRST_NAME
    keep_owner(who.owner_id)  # may have expired while a tab was open
    created = services.store().create_dataset(who.owner_id, name, who=who.who)
    if with_samples:
        add_samples(Scope(who.owner_id, created.dataset_id, who.who))
    return created


def dataset() -> DatasetInfo:
    """Return the current dataset.

    Raises:
        NotFoundError: it was deleted. An action meant for it, such as a deletion, must
            not apply to another one.
    """
    known = datasets()
    chosen = st.session_state.get(_DATASET)
    for dataset in known:
        if dataset.dataset_id == chosen:
            return dataset
    if chosen:
        raise NotFoundError("This dataset was deleted meanwhile; nothing was changed.")
    st.session_state[_DATASET] = known[0].dataset_id
    return known[0]


def has_chosen() -> bool:
    """Say whether this session has a current dataset."""
    return _DATASET in st.session_state


def has_dataset(known: Iterable[DatasetInfo]) -> bool:
    """Say whether the current dataset, if any, is among these."""
    chosen = st.session_state.get(_DATASET)
    return not chosen or any(dataset.dataset_id == chosen for dataset in known)


def scope() -> Scope:
    """Return owner, dataset and visitor, for every query of this session.

    The store checks in every transaction that the dataset exists and is the owner's.
    """
    who = visitor()
    chosen: str = st.session_state.get(_DATASET) or dataset().dataset_id
    return Scope(who.owner_id, chosen, who.who)


def leave_deleted_dataset() -> None:
    """Rerun the page from the top, out of a fragment, if its dataset was deleted."""
    if not has_dataset(datasets()):
        st.rerun()


def note_dialog(*, is_open: bool) -> None:
    """Remember whether a dialog is open: set by each dialog, cleared by each run."""
    st.session_state[_DIALOG] = is_open


def run_page_again() -> None:
    """Rerun the page from the top, out of a fragment, when a job has ended.

    Not while a dialog is open, since that would close it and lose its input; the page
    is rerun when the dialog is closed.
    """
    if not st.session_state.get(_DIALOG):
        st.rerun()


def choose_dataset(dataset_id: str) -> None:
    """Switch to another dataset."""
    if st.session_state.get(_DATASET) != dataset_id:
        st.session_state[_DATASET] = dataset_id
        for key in (_IMAGE, _REPORT):
            st.session_state.pop(key, None)


def create_dataset(name: str) -> None:
    """Create an empty dataset and switch to it.

    Raises:
        LimitError: the maximum number of datasets is reached.
    """
    who, most = visitor(), services.limits().max_datasets
    if len(datasets()) >= most:
        raise LimitError(f"There are {most:,} datasets already; delete one first.")
    created = services.store().create_dataset(who.owner_id, name, who=who.who)
    choose_dataset(created.dataset_id)


def add_samples(target: Scope) -> AdmissionReport:
    """Add the sample photographs to a dataset."""
    limits = services.limits()
    return admit(services.store(), target, prepared_samples(limits), limits=limits)


def upload_report() -> AdmissionReport | None:
    """Return the result of the last upload of this session."""
    report: AdmissionReport | None = st.session_state.get(_REPORT)
    return report


def keep_upload_report(report: AdmissionReport) -> None:
    """Keep the result of an upload, and empty the file uploader."""
    st.session_state[_REPORT] = report
    st.session_state[_UPLOADER] = uploader_generation() + 1


def uploader_generation() -> int:
    """Return a number for the uploader's key: a new one empties it."""
    generation: int = st.session_state.get(_UPLOADER, 0)
    return generation


def image_id() -> str | None:
    """Return the image in the editor: the chosen one, else the first to review."""
    chosen: str | None = st.session_state.get(_IMAGE)
    return services.store().image_or_first(scope(), chosen)


def choose_image(chosen: str | None) -> None:
    """Show this image in the editor."""
    st.session_state[_IMAGE] = chosen


def save(record: ImageRecord) -> ImageRecord:
    """Save a record."""
    return services.store().save(scope(), record)


def note_revision(record: ImageRecord, *, is_own: bool = False) -> None:
    """Remember the revision of an image that this session has shown, or has saved."""
    seen: dict[str, int] = st.session_state.setdefault(_SEEN_REVISIONS, {})
    theirs: dict[str, int] = st.session_state.setdefault(_THEIR_REVISIONS, {})
    if not is_own and seen.get(record.image_id) != record.revision:
        theirs[record.image_id] = record.revision
    seen[record.image_id] = record.revision


def their_revision(image_id: str) -> int:
    """Return the last shown revision of an image that this session did not save.

    It changes when others change the image, or an undo does.
    """
    theirs: dict[str, int] = st.session_state.get(_THEIR_REVISIONS, {})
    return theirs.get(image_id, 0)


def is_news(record: ImageRecord) -> bool:
    """Say whether someone saved this image since this session showed it."""
    seen: dict[str, int] = st.session_state.setdefault(_SEEN_REVISIONS, {})
    return record.revision > seen.get(record.image_id, record.revision)


def note_change(record: ImageRecord, change_id: str) -> None:
    """Remember the change that made this revision of an image."""
    st.session_state[_CHANGE] = (record.image_id, record.revision, change_id)


def change_of(record: ImageRecord) -> str | None:
    """Return the change that made a revision if it was this session's last, or None."""
    match st.session_state.get(_CHANGE):
        case (record.image_id, record.revision, str(change_id)):
            return change_id
    return None


def note_saved() -> None:
    """Remember the time of the last saved change."""
    st.session_state[_SAVED_AT] = utc_now()


def saved_mark() -> str:
    """Return when the last change was saved, by the visitor's clock, as text."""
    saved_at: datetime | None = st.session_state.get(_SAVED_AT)
    if saved_at is None:
        return "All changes saved"
    return f"Saved {local(saved_at):%H:%M:%S}"


def local(moment: datetime) -> datetime:
    """Return a moment by the visitor's clock."""
    return moment - timedelta(minutes=st.context.timezone_offset or 0)


def note_shown(record: ImageRecord) -> None:
    """Remember a record as shown on this session's screen."""
    shown: dict[str, ImageRecord] = st.session_state.setdefault(_SHOWN, {})
    shown.pop(record.image_id, None)
    shown[record.image_id] = record
    while len(shown) > _KEPT_SHOWN:
        del shown[next(iter(shown))]


def shown(image_id: str) -> ImageRecord | None:
    """Return the record of an image as last shown on this session's screen."""
    record: ImageRecord | None = st.session_state.get(_SHOWN, {}).get(image_id)
    return record


def forget_shown(image_ids: Iterable[str]) -> None:
    """Forget shown records, so that the stored ones are used."""
    for image_id in image_ids:
        st.session_state.get(_SHOWN, {}).pop(image_id, None)


def keep_conflict(conflict: Conflict) -> None:
    """Keep both versions of an image until one is chosen."""
    st.session_state.setdefault(_CONFLICTS, {})[conflict.image_id] = conflict


def conflict(image_id: str) -> Conflict | None:
    """Return the versions of an image to choose from, if there is a conflict."""
    pending: Conflict | None = st.session_state.get(_CONFLICTS, {}).get(image_id)
    return pending


def drop_conflict(image_id: str) -> None:
    """Drop the conflict of an image, after a version was chosen."""
    st.session_state.get(_CONFLICTS, {}).pop(image_id, None)


def lasting_problem(problem: str, image_id: str) -> str:
    """Return a new problem of an image, or the last one for some seconds.

    The canvas triggers a rerun at once: a message shown in one run only would be gone
    before it could be read.
    """
    now = time.monotonic()
    if problem:
        st.session_state[_PROBLEM] = (problem, image_id, now)
    last, of_image, since = st.session_state.get(_PROBLEM, ("", "", now))
    is_current = of_image == image_id and now - since < PROBLEM_SECONDS
    return str(last) if is_current else ""


def say(message: str) -> None:
    """Show a message once, at the next run."""
    st.session_state[_MESSAGE] = message


def message() -> str:
    """Return the message of `say` until it was shown; empty if there is none."""
    return str(st.session_state.get(_MESSAGE, ""))


def forget_message() -> None:
    """Note that the message was shown."""
    st.session_state[_MESSAGE] = ""


def reports_errors(callback: Callable[P, None]) -> Callable[P, None]:
    """Return a callback that shows its errors as a message.

    A callback runs before the page does, where nothing else would catch them. If a run
    of the page has meanwhile replaced the fragment that was clicked, that is not drawn
    again: then the page is, to show what the click did.
    """

    @wraps(callback)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except ImageBaseError as error:
            _log.warning("A click failed", exc_info=True)
            say(str(error))
        if _is_fragment_gone():
            st.rerun()

    return run


def note_page() -> None:
    """Note which page a run draws, not only some fragments of it."""
    context = get_script_run_ctx(suppress_warning=True)
    st.session_state[_PAGE] = context.page_script_hash if context else ""


def _is_fragment_gone() -> bool:
    """Say whether this run is only of fragments that a run of the page has replaced.

    A click that was still on its way from another page draws nothing of that one.
    """
    context = get_script_run_ctx(suppress_warning=True)
    if context is None or not context.fragment_ids_this_run:
        return False
    if context.page_script_hash != st.session_state.get(_PAGE):
        return False
    known = context.fragment_storage.contains
    return not any(map(known, context.fragment_ids_this_run))


def note_step(result: UndoResult) -> None:
    """Show the result of an undo or redo."""
    note_saved()
    forget_shown(result.image_ids)
    say(result.description)
    if len(result.image_ids) == 1:
        choose_image(result.image_ids[0])


def rename_dataset(name: str) -> None:
    """Rename the current dataset."""
    services.store().rename_dataset(scope(), name)


def delete_dataset() -> None:
    """Delete the current dataset with its images, labels and exports."""
    target = scope()
    services.store().delete_dataset(target)
    delete_exports(target.owner_id, target.dataset_id)
    delete_evaluations(target.owner_id, target.dataset_id)
    delete_trainings(target.owner_id, target.dataset_id)
    publish(services.store(), target.owner_id)
    choose_dataset("")


def has_images() -> bool:
    """Say whether the current dataset has images."""
    return any(services.store().progress(scope()).values())


def _let_callbacks_finish() -> None:
    """Let a rerun that is asked for meanwhile wait until a callback is done.

    Streamlit would raise it inside the callback, at its next touch of session state,
    take it for the callback's own `st.rerun()`, and never call it again: the click
    would be lost, or half done. The script that follows is cut short instead.
    """
    raise_requests = ScriptRunner._maybe_handle_execution_control_request

    def raise_outside_callbacks(runner: ScriptRunner) -> None:
        is_running = runner._execing
        if is_running and ThreadState.get().run_location is RunLocation.CALLBACK:
            return
        raise_requests(runner)

    name = "_maybe_handle_execution_control_request"
    setattr(ScriptRunner, name, raise_outside_callbacks)


_let_callbacks_finish()


def undisturbed(work: Callable[[], T], interruptions: list[BaseException]) -> T:
    """Run work that a pending rerun must not cut short; the caller raises it later.

    Streamlit raises a rerun, once, wherever the script touches session state, and not
    as an Exception. A callback that it cuts short is not called again, and its edit
    would be lost. The work is started again, so running it twice must do no harm. A
    session that ends raises every time; then the last interruption is raised.
    """
    for _ in range(_RETRIES):
        try:
            return work()
        except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as interruption:
            interruptions.append(interruption)
    raise interruptions[-1]
