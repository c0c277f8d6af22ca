"""Changes to many images: run with a progress bar, undone, and reported."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import streamlit as st

from imagebase.errors import ImageBaseError
from imagebase.review.bulk_edits import BulkReport
from imagebase.store import UndoResult
from imagebase.store.undo import OnProgress as OnProgress
from imagebase.ui import services, state, widgets
from imagebase.ui.state import undisturbed

# A change to this many images is done before anybody could read a progress bar.
AT_ONCE: Final = 200
_SECONDS_BETWEEN: Final = 0.1
_SCHEDULED: Final = "imagebase.bulk_work"

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _ScheduledWork:
    text: str
    work: Callable[[OnProgress], Any]
    then: Callable[[Any], None]


def schedule(
    text: str, work: Callable[[OnProgress], T], *, then: Callable[[T], None]
) -> None:
    """Run work at the page's next run, with a progress bar; for a callback.

    Args:
        text: the activity, such as `Approving`.
        work: is called once, with a function that reports its progress.
        then: is called with its result, to update the session's state. It may be
            called twice, so that must do no harm.
    """
    st.session_state[_SCHEDULED] = _ScheduledWork(text, work, then)


def run_or_schedule(
    text: str,
    work: Callable[[OnProgress], T],
    *,
    then: Callable[[T], None],
    images: int,
) -> None:
    """Run work on few images at once; schedule it where there are many.

    In a fragment the bar has to wait for the page: see `leave_fragment`.

    Args:
        text, work, then: as for `schedule`.
        images: number of images.
    """
    if images > AT_ONCE:
        schedule(text, work, then=then)
        return
    interruptions: list[BaseException] = []
    undisturbed(partial(then, work(lambda _done, _total: None)), interruptions)
    if interruptions:
        raise interruptions[-1]


def leave_fragment() -> None:
    """Rerun the page from the top, out of a fragment, where work is scheduled."""
    if _SCHEDULED in st.session_state:
        st.rerun()


def run_scheduled() -> None:
    """Run the scheduled work, if any, and rerun the page."""
    scheduled: _ScheduledWork | None = st.session_state.get(_SCHEDULED)
    if scheduled is None:
        return
    bar = st.progress(0.0, text=f"{scheduled.text} …")
    # From here on it runs once and to its end, whatever is clicked meanwhile.
    interruptions: list[BaseException] = []
    undisturbed(partial(st.session_state.pop, _SCHEDULED, None), interruptions)
    try:
        result = scheduled.work(_reporter(scheduled.text, bar.progress, interruptions))
        finish = partial(scheduled.then, result)
    except ImageBaseError as error:
        _log.warning("A click failed", exc_info=True)
        finish = partial(state.say, str(error))
    undisturbed(finish, interruptions)
    if interruptions:
        raise interruptions[-1]
    st.rerun()


def _reporter(
    text: str, draw: Callable[..., object], interruptions: list[BaseException]
) -> OnProgress:
    """Return a function that draws the progress at most ten times a second."""
    last = 0.0

    def report_progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _SECONDS_BETWEEN and done < total:
            return
        last = now
        words = f"{text}: {done:,} of {widgets.plural(total, 'image')}"
        undisturbed(partial(draw, done / max(total, 1), text=words), interruptions)

    return report_progress


@state.reports_errors
def undo() -> None:
    """Undo this visitor's last change in this dataset."""
    scope, store = state.scope(), services.store()

    def work(on_progress: OnProgress) -> UndoResult:
        return store.undo(scope, on_progress=on_progress)

    run_or_schedule(
        "Undoing", work, then=state.note_step, images=store.undo_size(scope)
    )


@state.reports_errors
def redo() -> None:
    """Redo the change that was undone last."""
    scope, store = state.scope(), services.store()

    def work(on_progress: OnProgress) -> UndoResult:
        return store.redo(scope, on_progress=on_progress)

    run_or_schedule(
        "Redoing", work, then=state.note_step, images=store.redo_size(scope)
    )


def report(done: str, result: BulkReport) -> None:
    """Show what a change did, and what it skipped and why.

    done: begins the sentence, such as `Approved 3 images`.
    """
    message = f"{done}."
    if result.conflicts:
        images = widgets.plural(result.conflicts, "image")
        verb = "was" if result.conflicts == 1 else "were"
        message += f" {images} {verb} skipped: changed by someone else meanwhile"
        message += f" ({widgets.named(result.names)})." if result.names else "."
    if result.missing:
        message += f" {widgets.plural(result.missing, 'image')} had been deleted."
    if result.full:
        images = widgets.plural(len(result.full), "image")
        message += f" Skipped {images} with the most tags allowed"
        message += f" ({widgets.named(result.full)})."
    state.say(message)


def boxes_on(result: BulkReport) -> str:
    """Return how many boxes on how many images a change covered."""
    boxes = widgets.plural(result.boxes, "box")
    return f"{boxes} on {widgets.plural(result.changed, 'image')}"
