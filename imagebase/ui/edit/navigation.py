"""Which images a person goes through on the Edit page, and going to another one."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import streamlit as st

from imagebase.annotation.states import GROUPS, UNDECIDED, group_counts
from imagebase.jobs.scoring import judge_images, model_in_use, stale_images
from imagebase.store import ImageFilter, Scope, Store
from imagebase.ui import job_progress, services, state
from imagebase.ui.edit import canvas

_AMONG: Final = "imagebase.edit.among"
_WIDTH_PX: Final = 172
# So many are judged while one waits for the next doubtful image.
_JUDGED_AT_ONCE: Final = 500
_WAIT: Final = "The images are being judged; try again in a moment."


class Among(StrEnum):
    """The images that next and previous go through."""

    ALL = "All images"
    NEW = "New"
    WAITING = "To review"
    DOUBTFUL = "Most doubtful"
    REJECTED = "Rejected"
    MINE = "Mine, rejected"
    SAID = "Open comments"


def choose() -> None:
    """Draw the choice of the images to go through."""
    current = among()
    key = f"edit.among.{current.name}"
    counts = group_counts(services.store().progress(state.scope()))
    st.selectbox(
        "Images to go through",
        list(Among),
        index=list(Among).index(current),
        format_func=lambda one: _with_count(one, counts),
        key=key,
        label_visibility="collapsed",
        width=_WIDTH_PX,
        on_change=_choose,
        args=(key,),
    )


def _with_count(one: Among, counts: Mapping[str, int]) -> str:
    count = counts.get(one.lower())
    return one if count is None else f"{one} {count:,}"


def among() -> Among:
    """Return which images this session goes through."""
    return Among(st.session_state.get(_AMONG, Among.ALL))


@state.reports_errors
def _choose(key: str) -> None:
    """Go through other images from now on, and to the first of them from here."""
    canvas.settle()
    chosen = Among(st.session_state[key])
    st.session_state[_AMONG] = chosen
    is_judging = chosen is Among.DOUBTFUL and _judge(services.store(), state.scope())
    current, ids = state.image_id(), images()
    if current is None or current in ids:
        return
    following = _neighbour(ids, current, 1) or next(iter(ids), None)
    if following is None:
        st.session_state[_AMONG] = Among.ALL
        state.say(
            _WAIT if is_judging else f"There are no such images: {chosen.lower()}."
        )
    else:
        state.choose_image(following)


def images() -> list[str]:
    """Return the ids of the images to go through, in their order."""
    scope, store = state.scope(), services.store()
    match among():
        case Among.ALL:
            return store.image_ids(scope)
        case Among.NEW | Among.WAITING | Among.REJECTED as group:
            return store.image_ids(scope, statuses=GROUPS[group.lower()])
        case Among.DOUBTFUL:
            return store.doubtful_ids(scope)
        case Among.MINE:
            return _filtered(store, scope, ImageFilter(rejected_of=scope.who))
        case Among.SAID:
            return _filtered(store, scope, ImageFilter(has_open_comments=True))


def _filtered(store: Store, scope: Scope, wanted: ImageFilter) -> list[str]:
    return [one.image_id for one in store.image_rows(scope, wanted)]


def neighbours(ids: Sequence[str], current: str) -> tuple[str | None, str | None]:
    """Return the images before and after one, which need not be among them itself."""
    return _neighbour(ids, current, -1), _neighbour(ids, current, 1)


def _neighbour(ids: Sequence[str], current: str, step: int) -> str | None:
    if current in ids:
        place = ids.index(current) + step
        return ids[place] if 0 <= place < len(ids) else None
    if among() is Among.DOUBTFUL:
        return next(iter(ids), None) if step > 0 else None
    # The one that stands next to it when all images are in a row.
    known = services.store().image_ids(state.scope())
    here = known.index(current) if current in known else 0
    wanted = set(ids)
    ahead = known[here + 1 :] if step > 0 else reversed(known[:here])
    return next((one for one in ahead if one in wanted), None)


@state.reports_errors
def go(step: int) -> None:
    """Go to the next image, or to the one before."""
    canvas.settle()
    current = state.image_id()
    if current is None:
        return
    found = _neighbour(images(), current, step)
    if found is not None:
        state.choose_image(found)


@state.reports_errors
def show(start: str) -> None:
    """Go to the image whose id begins so, as the address has it; it need not be."""
    canvas.settle()
    known = services.store().image_ids(state.scope())
    found = next((one for one in known if start and one.startswith(start)), None)
    if found is not None:
        state.choose_image(found)


def following() -> list[str]:
    """Return the images to come, those before the present one last."""
    ids, current = images(), state.image_id()
    if current not in ids:
        return ids
    place = ids.index(current)
    return [*ids[place + 1 :], *ids[:place]]


def go_on(to_come: Sequence[str]) -> None:
    """Go to the first of these images that still needs a person; say if none does.

    to_come: as `following` had it before the present image was done with.
    """
    waiting = set(to_come)
    if among() in (Among.ALL, Among.NEW, Among.DOUBTFUL, Among.WAITING):
        waiting &= set(services.store().image_ids(state.scope(), statuses=UNDECIDED))
    found = next((one for one in to_come if one in waiting), None)
    if found is not None:
        state.choose_image(found)
    elif among() is Among.ALL:
        state.say("That was the last one: every image is reviewed.")
    else:
        state.say(f"That was the last one of these: {among().lower()}.")


@state.reports_errors
def next_doubtful() -> None:
    """Go to the next image of the queue of doubts, judged as the images are now."""
    canvas.settle()
    current = state.image_id()
    if current is None:
        return
    scope, store = state.scope(), services.store()
    is_judging = _judge(store, scope)
    found = store.next_doubtful(scope, current)
    if found is not None:
        state.choose_image(found)
    elif is_judging:
        state.say(_WAIT)
    else:
        state.say("Nothing else is doubtful.")


def _judge(store: Store, scope: Scope) -> bool:
    """Judge what changed; return whether that goes on in the background."""
    in_use = model_in_use(store, scope)
    stale = stale_images(store, scope, in_use)
    if len(stale) <= _JUDGED_AT_ONCE:
        judge_images(store, scope, stale, in_use)
        return False
    if not job_progress.is_active(job_progress.latest("doubt")):
        job_progress.start("doubt", {"mirrored": False})
    return True
