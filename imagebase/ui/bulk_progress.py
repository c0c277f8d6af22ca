"""Changes of many images: done with a progress bar, undone, and reported."""

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
from imagebase.store.undo import OnProgress
from imagebase.ui import services, state, widgets
from imagebase.ui.state import undisturbed

# A change of so many images is over before anybody could read a bar.
AT_ONCE: Final = 200
_SECONDS_A_LOOK: Final = 0.1
_ASKED: Final = "imagebase.long_work"

T = TypeVar("T")
Tell = Callable[[int, int], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    """text: what is being done. then: says what came of it."""

    text: str
    work: Callable[[Tell], Any]
    then: Callable[[Any], None]


def ask(text: str, work: Callable[[Tell], T], *, then: Callable[[T], None]) -> None:
    """Have work done as soon as the page is drawn again; for a callback.

    Args:
        text: what is being done, such as `Approving`.
        work: is called once; it tells how many of how many images are done.
        then: is called with what came of it, for the session's state. It may be called
            twice, so that must do no harm.
    """
    st.session_state[_ASKED] = _Asked(text, work, then)


def begin(
    text: str, work: Callable[[Tell], T], *, then: Callable[[T], None], images: int
) -> None:
    """Do work on few images at once, and have it done with a bar where there are many.

    In a fragment the bar has to wait for the page: see `leave_fragment`.

    Args:
        text, work, then: as for `ask`.
        images: on how many.
    """
    if images > AT_ONCE:
        ask(text, work, then=then)
        return
    interruptions: list[BaseException] = []
    undisturbed(partial(then, work(_keep_still)), interruptions)
    if interruptions:
        raise interruptions[-1]


def _keep_still(_done: int, _total: int) -> None:
    """Say nothing of work that is over in a blink."""


def leave_fragment() -> None:
    """Run the page from the top, out of a fragment, where work is waiting for that."""
    if _ASKED in st.session_state:
        st.rerun()


def do() -> None:
    """Do the work that was asked for, if any, and run the page again."""
    asked: _Asked | None = st.session_state.get(_ASKED)
    if asked is None:
        return
    bar = st.progress(0.0, text=f"{asked.text} …")
    # From here on it is done once and to its end, whatever is clicked meanwhile.
    interruptions: list[BaseException] = []
    undisturbed(partial(st.session_state.pop, _ASKED, None), interruptions)
    try:
        result = asked.work(_teller(asked.text, bar.progress, interruptions))
        finish = partial(asked.then, result)
    except ImageBaseError as error:
        _log.warning("A click failed", exc_info=True)
        finish = partial(state.say, str(error))
    undisturbed(finish, interruptions)
    if interruptions:
        raise interruptions[-1]
    st.rerun()


def _teller(
    text: str, draw: Callable[..., object], interruptions: list[BaseException]
) -> Tell:
    """Return what draws how far work is, some times a second."""
    looked = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal looked
        now = time.monotonic()
        if now - looked < _SECONDS_A_LOOK and done < total:
            return
        looked = now
        words = f"{text}: {done:,} of {widgets.plural(total, 'image')}"
        undisturbed(partial(draw, done / max(total, 1), text=words), interruptions)

    return tell


@state.told
def undo() -> None:
    """Take back this visitor's last change in this dataset."""
    scope, store = state.scope(), services.store()

    def work(tell: OnProgress) -> UndoResult:
        return store.undo(scope, on_progress=tell)

    images = store.undo_size(scope)
    begin("Taking back", work, then=state.note_step, images=images)


@state.told
def redo() -> None:
    """Do the change again that was taken back last."""
    scope, store = state.scope(), services.store()

    def work(tell: OnProgress) -> UndoResult:
        return store.redo(scope, on_progress=tell)

    images = store.redo_size(scope)
    begin("Doing again", work, then=state.note_step, images=images)


def report(done: str, told: BulkReport) -> None:
    """Say what came of a change, and what it left alone because others had been there.

    done: begins the sentence, such as `Approved 3 images`.
    """
    message = f"{done}."
    if told.conflicts:
        message += (
            f" {widgets.plural(told.conflicts, 'image')} had been changed by "
            "somebody else meanwhile and stay as they are."
        )
    if told.missing:
        message += f" {widgets.plural(told.missing, 'image')} had been removed."
    state.say(message)


def boxes_on(told: BulkReport) -> str:
    """Return how many boxes on how many images a change was about."""
    boxes = widgets.plural(told.boxes, "box")
    return f"{boxes} on {widgets.plural(told.changed, 'image')}"
