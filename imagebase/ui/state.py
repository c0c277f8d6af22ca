"""Session state's one door: typed functions over namespaced keys.

What must survive the session is in the store; here is only what is on screen.
"""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import wraps
from typing import Final, ParamSpec, TypeVar

import streamlit as st

from imagebase.annotation import ImageRecord, utc_now
from imagebase.editing.conflicts import Conflict
from imagebase.errors import ImageBaseError, LimitError, NotFoundError
from imagebase.images.scan import sample_incoming
from imagebase.ingest.add_images import AdmissionReport, admit
from imagebase.jobs.evaluation import delete_evaluations
from imagebase.jobs.exports import delete_exports
from imagebase.jobs.training import delete_trainings
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
_SEEN_REVISIONS: Final = "imagebase.edit.revisions"
_SHOWN: Final = "imagebase.edit.shown"
_KEPT_SHOWN: Final = 32
_SAVED_AT: Final = "imagebase.edit.saved_at"
_CONFLICTS: Final = "imagebase.edit.conflicts"
# The tool that the Upload page shows open, and one of its choices.
UPLOAD_TOOL: Final = "upload.tool"
BACK_UP: Final = ":material/archive: Back up or restore"

_FIRST_NAME: Final = "My images"
_SAMPLES_NAME: Final = "Sample photographs"

# Reruns that may come while one edit is saved.
_PATIENCE: Final = 10

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
    keep_owner(who.owner_id)  # it may have expired while a tab was open
    created = services.store().create_dataset(who.owner_id, name, who=who.who)
    if with_samples:
        add_samples(Scope(who.owner_id, created.dataset_id, who.who))
    return created


def dataset() -> DatasetInfo:
    """Return the dataset this session works on.

    Raises:
        NotFoundError: somebody deleted it. What a person meant for it, a deletion say,
            must not go to another one.
    """
    known = datasets()
    chosen = st.session_state.get(_DATASET)
    for one in known:
        if one.dataset_id == chosen:
            return one
    if chosen:
        raise NotFoundError("This dataset was deleted meanwhile; nothing was done.")
    st.session_state[_DATASET] = known[0].dataset_id
    return known[0]


def has_chosen() -> bool:
    """Say whether this session works on a dataset already."""
    return _DATASET in st.session_state


def has_dataset(known: Iterable[DatasetInfo]) -> bool:
    """Say whether the dataset this session works on, if any, is among these."""
    chosen = st.session_state.get(_DATASET)
    return not chosen or any(one.dataset_id == chosen for one in known)


def scope() -> Scope:
    """Return whose and which dataset every query of this session is about.

    Whether the dataset is still there, and this visitor's, is for the store to check:
    it does so in every transaction.
    """
    who = visitor()
    chosen: str = st.session_state.get(_DATASET) or dataset().dataset_id
    return Scope(who.owner_id, chosen, who.who)


def leave_deleted_dataset() -> None:
    """Run the page again from the top, out of a fragment, where its dataset is gone."""
    if not has_dataset(datasets()):
        st.rerun()


def note_dialog(*, is_open: bool) -> None:
    """Remember whether a dialog is open: each says so, and each run of the page not."""
    st.session_state[_DIALOG] = is_open


def run_page_again() -> None:
    """Run the page from the top, out of a fragment, where work has come to its end.

    Not while a dialog is open, which would close with what was typed in it; the page is
    run again when a person closes it.
    """
    if not st.session_state.get(_DIALOG):
        st.rerun()


def choose_dataset(dataset_id: str) -> None:
    """Work on another dataset from now on."""
    if st.session_state.get(_DATASET) != dataset_id:
        st.session_state[_DATASET] = dataset_id
        for key in (_IMAGE, _REPORT):
            st.session_state.pop(key, None)


def create_dataset(name: str) -> None:
    """Begin an empty dataset and work on it.

    Raises:
        LimitError: there are as many as may be.
    """
    who, most = visitor(), services.limits().max_datasets
    if len(datasets()) >= most:
        raise LimitError(f"There are {most:,} datasets already; delete one first.")
    created = services.store().create_dataset(who.owner_id, name, who=who.who)
    choose_dataset(created.dataset_id)


def add_samples(target: Scope) -> AdmissionReport:
    """Add the sample photographs to a dataset."""
    return admit(services.store(), target, sample_incoming(), limits=services.limits())


def upload_report() -> AdmissionReport | None:
    """Return what the last upload of this session came to."""
    report: AdmissionReport | None = st.session_state.get(_REPORT)
    return report


def keep_upload_report(report: AdmissionReport) -> None:
    """Show this report from now on, and empty the field for files."""
    st.session_state[_REPORT] = report
    st.session_state[_UPLOADER] = uploader_generation() + 1


def uploader_generation() -> int:
    """Return a number for the uploader's key: a new one empties it."""
    generation: int = st.session_state.get(_UPLOADER, 0)
    return generation


def image_id() -> str | None:
    """Return the image the editor shows: the chosen one, else the first in need."""
    chosen: str | None = st.session_state.get(_IMAGE)
    return services.store().image_or_first(scope(), chosen)


def choose_image(chosen: str | None) -> None:
    """Show this image in the editor from now on."""
    st.session_state[_IMAGE] = chosen


def save(record: ImageRecord) -> ImageRecord:
    """Write a record through to the store."""
    return services.store().save(scope(), record)


def note_revision(record: ImageRecord) -> None:
    """Remember which revision of an image this session has seen."""
    seen: dict[str, int] = st.session_state.setdefault(_SEEN_REVISIONS, {})
    seen[record.image_id] = record.revision


def is_news(record: ImageRecord) -> bool:
    """Say whether somebody saved this image since this session looked at it."""
    seen: dict[str, int] = st.session_state.setdefault(_SEEN_REVISIONS, {})
    return record.revision > seen.get(record.image_id, record.revision)


def note_saved() -> None:
    """Remember that a change was saved just now."""
    st.session_state[_SAVED_AT] = utc_now()


def saved_mark() -> str:
    """Return when the last change was saved, by the visitor's clock, in words."""
    saved_at: datetime | None = st.session_state.get(_SAVED_AT)
    if saved_at is None:
        return "All is saved"
    return f"Saved {local(saved_at):%H:%M:%S}"


def local(moment: datetime) -> datetime:
    """Return a moment by the visitor's clock."""
    return moment - timedelta(minutes=st.context.timezone_offset or 0)


def note_shown(record: ImageRecord) -> None:
    """Remember how an image is on this session's screen."""
    shown: dict[str, ImageRecord] = st.session_state.setdefault(_SHOWN, {})
    shown.pop(record.image_id, None)
    shown[record.image_id] = record
    while len(shown) > _KEPT_SHOWN:
        del shown[next(iter(shown))]


def shown(image_id: str) -> ImageRecord | None:
    """Return an image as this session's screen had it last."""
    found: ImageRecord | None = st.session_state.get(_SHOWN, {}).get(image_id)
    return found


def forget_shown(image_ids: Iterable[str]) -> None:
    """Take images as they are in the store from now on."""
    for image_id in image_ids:
        st.session_state.get(_SHOWN, {}).pop(image_id, None)


def keep_conflict(conflict: Conflict) -> None:
    """Keep both versions of an image until a person has chosen."""
    st.session_state.setdefault(_CONFLICTS, {})[conflict.image_id] = conflict


def conflict(image_id: str) -> Conflict | None:
    """Return the versions of an image between which this session has to choose."""
    found: Conflict | None = st.session_state.get(_CONFLICTS, {}).get(image_id)
    return found


def drop_conflict(image_id: str) -> None:
    """Forget the versions of an image: one was chosen."""
    st.session_state.get(_CONFLICTS, {}).pop(image_id, None)


def lasting_problem(problem: str, image_id: str) -> str:
    """Return a new problem with an image, or the last one while it is still young.

    The canvas answers what it is given, so that the next run comes at once: a sentence
    that is told in one run alone would be gone before anybody could read it.
    """
    now = time.monotonic()
    if problem:
        st.session_state[_PROBLEM] = (problem, image_id, now)
    told, about, since = st.session_state.get(_PROBLEM, ("", "", now))
    is_current = about == image_id and now - since < PROBLEM_SECONDS
    return str(told) if is_current else ""


def say(message: str) -> None:
    """Show a message once, after the rerun that follows."""
    st.session_state[_MESSAGE] = message


def take_message() -> str:
    """Return once what `say` left; empty when there is nothing to say."""
    return str(st.session_state.pop(_MESSAGE, ""))


def reports_errors(callback: Callable[P, None]) -> Callable[P, None]:
    """Return a callback that shows its errors as a message.

    A callback runs before the page does, where nothing else would catch them.
    """

    @wraps(callback)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except ImageBaseError as error:
            _log.warning("A click failed", exc_info=True)
            say(str(error))

    return run


def note_step(result: UndoResult) -> None:
    """Say what was undone or done again, and show it."""
    note_saved()
    forget_shown(result.image_ids)
    say(result.description)
    if len(result.image_ids) == 1:
        choose_image(result.image_ids[0])


def rename_dataset(name: str) -> None:
    """Give this dataset another name."""
    services.store().rename_dataset(scope(), name)


def delete_dataset() -> None:
    """Delete this dataset with its images, labels and exports, for good."""
    target = scope()
    services.store().delete_dataset(target)
    delete_exports(target.owner_id, target.dataset_id)
    delete_evaluations(target.owner_id, target.dataset_id)
    delete_trainings(target.owner_id, target.dataset_id)
    choose_dataset("")


def has_images() -> bool:
    """Say whether this dataset holds any image."""
    return any(services.store().progress(scope()).values())


def undisturbed(work: Callable[[], T], interruptions: list[BaseException]) -> T:
    """Run to its end what a waiting rerun would cut short; the caller raises it later.

    Streamlit raises a rerun wherever the script touches session state, once, and as no
    Exception; a callback that it cuts short is not called again, and an edit would be
    lost. The work is begun again, so it must be harmless to do twice. A session that
    ends raises every time: then it is over.
    """
    for _ in range(_PATIENCE):
        try:
            return work()
        except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as interruption:
            interruptions.append(interruption)
    raise interruptions[-1]
