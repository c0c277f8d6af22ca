"""Two versions of one image side by side: a person chooses, nothing is lost unasked."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import streamlit as st

from imagebase.annotation import ImageRecord
from imagebase.editing.conflicts import (
    Conflict,
    differences,
    in_words,
    merged,
    ours_over,
)
from imagebase.errors import ImageBaseError, RevisionConflictError
from imagebase.ui import cache, services, state, widgets

_PICTURE_PX: Final = 460


def on_conflict(error: RevisionConflictError) -> None:
    """Keep both versions of an image that could not be saved, to be chosen from."""
    pending = state.conflict(error.ours.image_id)
    base = error.base or (pending.base if pending else state.shown(error.ours.image_id))
    state.keep_conflict(Conflict(base or error.theirs, error.ours, error.theirs))


def newest(conflict: Conflict) -> Conflict | None:
    """Return the conflict with what is stored by now; None once both say the same."""
    theirs = services.store().record(state.scope(), conflict.image_id)
    current = replace(conflict, theirs=theirs)
    if not differences(theirs, current.ours):
        state.drop_conflict(conflict.image_id)
        return None
    return current


def choose(conflict: Conflict) -> None:
    """Draw both versions with what each changed, and the choice between them."""
    st.warning(
        f"**{_who(conflict)} saved this image while you changed it.** Nothing of "
        "yours is saved yet: choose the version to keep. Undo brings back the rest.",
        icon=":material/call_split:",
    )
    left, right = st.columns(2, gap="medium")
    with left:
        _version("Yours, not saved", conflict, conflict.ours)
        _button("Keep yours", "mine", conflict, ours_over)
    with right:
        _version(f"Saved by {_who(conflict)}", conflict, conflict.theirs)
        _button("Keep theirs", "theirs", conflict, lambda one: one.theirs)
    _button("Keep both: add yours to theirs", "both", conflict, merged, is_primary=True)


def _who(conflict: Conflict) -> str:
    events = services.store().history(state.scope(), conflict.image_id)
    return widgets.escape(events[-1].who) if events else "Somebody else"


def _version(title: str, conflict: Conflict, record: ImageRecord) -> None:
    found = differences(conflict.base, record)
    st.markdown(f"**{title}** · {in_words(found)}")
    scope = state.scope()
    picture = cache.labelled_picture(
        scope,
        record,
        services.store().labels(scope),
        highlighted=found.added | found.changed,
    )
    st.image(picture, width=_picture_width(record), alt=title)


def _picture_width(record: ImageRecord) -> int:
    """Return how wide to show a picture so that the buttons below stay in sight."""
    width, height = record.size
    return max(round(min(_PICTURE_PX, 0.75 * _PICTURE_PX * width / height)), 1)


def _button(
    words: str,
    name: str,
    conflict: Conflict,
    version: Callable[[Conflict], ImageRecord],
    *,
    is_primary: bool = False,
) -> None:
    st.button(
        words,
        key=f"versions.{name}",
        type="primary" if is_primary else "secondary",
        on_click=_settle,
        args=(conflict, version),
    )


@state.told
def _settle(conflict: Conflict, version: Callable[[Conflict], ImageRecord]) -> None:
    """Save what was chosen; where a third version came meanwhile, ask again."""
    chosen = version(conflict)
    try:
        if chosen is not conflict.theirs:
            state.note_shown(services.store().save(state.scope(), chosen))
            state.note_saved()
    except RevisionConflictError as error:
        state.keep_conflict(replace(conflict, theirs=error.theirs))
        return
    except ImageBaseError as error:
        state.say(str(error))
        return
    state.forget_shown([conflict.image_id])
    state.drop_conflict(conflict.image_id)
