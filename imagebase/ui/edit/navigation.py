"""Navigation on the Edit page: the queue of images, previous, next, doubtful."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import streamlit as st

from imagebase.annotation.states import GROUPS, UNDECIDED, group_counts
from imagebase.jobs.scoring import model_in_use, score_images, stale_images
from imagebase.store import ImageFilter, Scope, Store
from imagebase.ui import cache, job_progress, likeness, services, state, widgets
from imagebase.ui.edit import canvas

_QUEUE: Final = "imagebase.edit.queue"
_WIDTH_PX: Final = 172
# At most this many images are scored while the user waits.
_SCORED_AT_ONCE: Final = 500
_WAIT: Final = "Uncertainty is being computed. Try again in a moment."


class ImageQueue(StrEnum):
    """The images that next and previous step through."""

    ALL = "All images"
    NEW = "New"
    WAITING = "To review"
    DOUBTFUL = "Most uncertain"
    NEXT = "What to label next"
    REJECTED = "Rejected"
    MINE = "My rejected"
    COMMENTED = "Open comments"


def choose() -> None:
    """Draw the choice of the queue."""
    current = queue()
    key = f"edit.queue.{current.name}"
    counts = group_counts(services.store().progress(state.scope()))
    st.selectbox(
        "Image queue",
        list(ImageQueue),
        index=list(ImageQueue).index(current),
        format_func=lambda choice: _with_count(choice, counts),
        key=key,
        label_visibility="collapsed",
        width=_WIDTH_PX,
        on_change=_choose,
        args=(key, current),
    )


def _with_count(option: ImageQueue, counts: Mapping[str, int]) -> str:
    count = counts.get(option.lower())
    return option if count is None else f"{option} {count:,}"


def queue() -> ImageQueue:
    """Return the queue of this session."""
    return ImageQueue(st.session_state.get(_QUEUE, ImageQueue.ALL))


@state.reports_errors
def _choose(key: str, before: ImageQueue) -> None:
    canvas.settle()
    chosen = widgets.offered(key, list(ImageQueue), before)
    # A browser that has not heard of a newer choice may send the field as it was.
    if chosen is before:
        return
    st.session_state[_QUEUE] = chosen
    if chosen is ImageQueue.NEXT:
        likeness.compare()
        state.say(likeness.NEXT_IN_WORDS)
    is_scoring = chosen is ImageQueue.DOUBTFUL and _score(
        services.store(), state.scope()
    )
    current, ids = state.image_id(), images()
    if current is None or current in ids:
        return
    following = _neighbour(ids, current, 1) or next(iter(ids), None)
    if following is None:
        st.session_state[_QUEUE] = ImageQueue.ALL
        state.say(
            _WAIT if is_scoring else f"No images in this queue: {chosen.lower()}."
        )
    else:
        state.choose_image(following)


def follow_next() -> None:
    """Step through the images in the order of what to label next; for a callback."""
    likeness.compare()
    st.session_state[_QUEUE] = ImageQueue.NEXT


def images() -> Sequence[str]:
    """Return the ids of the images in the queue, in order."""
    scope, store = state.scope(), services.store()
    match queue():
        case ImageQueue.ALL:
            return cache.image_ids(scope)
        case ImageQueue.NEW | ImageQueue.WAITING | ImageQueue.REJECTED as group:
            return cache.image_ids(scope, statuses=GROUPS[group.lower()])
        case ImageQueue.DOUBTFUL:
            return store.doubtful_ids(scope)
        case ImageQueue.NEXT:
            return likeness.next_order()
        case ImageQueue.MINE:
            return _filtered(store, scope, ImageFilter(rejected_of=scope.who))
        case ImageQueue.COMMENTED:
            return _filtered(store, scope, ImageFilter(has_open_comments=True))


def _filtered(store: Store, scope: Scope, wanted: ImageFilter) -> list[str]:
    return [row.image_id for row in store.image_rows(scope, wanted)]


def neighbours(ids: Sequence[str], current: str) -> tuple[str | None, str | None]:
    """Return the images before and after one, which need not be in the queue."""
    return _neighbour(ids, current, -1), _neighbour(ids, current, 1)


def _neighbour(ids: Sequence[str], current: str, step: int) -> str | None:
    if current in ids:
        place = ids.index(current) + step
        return ids[place] if 0 <= place < len(ids) else None
    if queue() in (ImageQueue.DOUBTFUL, ImageQueue.NEXT):
        return next(iter(ids), None) if step > 0 else None
    # The next one in the order of all images.
    known = cache.image_ids(state.scope())
    here = known.index(current) if current in known else 0
    wanted = set(ids)
    ahead = known[here + 1 :] if step > 0 else reversed(known[:here])
    return next((image_id for image_id in ahead if image_id in wanted), None)


@state.reports_errors
def go(step: int, *, then: str = "") -> None:
    """Go to the next image (step 1) or the previous one (step -1).

    then: the image that the editor shows already; while it is in the queue, that one.
    """
    canvas.settle()
    current = state.image_id()
    if current is None:
        return
    ids = images()
    neighbour = then if then in ids else _neighbour(ids, current, step)
    if neighbour is not None:
        state.choose_image(neighbour)


@state.reports_errors
def show(start: str) -> None:
    """Go to the image whose id starts with this part from the address, if any."""
    canvas.settle()
    known = cache.image_ids(state.scope())
    match = next(
        (image_id for image_id in known if start and image_id.startswith(start)), None
    )
    if match is not None:
        state.choose_image(match)


def ahead() -> Sequence[str]:
    """Return the images of the queue after the current one."""
    ids, current = images(), state.image_id()
    if current not in ids:
        ids = cache.image_ids(state.scope())
    return ids[ids.index(current) + 1 :] if current in ids else ()


def following() -> list[str]:
    """Return the queue from the next image on, those before the current one last."""
    return _from(images(), state.image_id())


def _from(ids: Sequence[str], current: str | None) -> list[str]:
    if current not in ids:
        return [*ids]
    place = ids.index(current)
    return [*ids[place + 1 :], *ids[:place]]


def _waiting(to_come: Sequence[str]) -> list[str]:
    """Return those of the images that are to be shown after an approval."""
    if queue() in (ImageQueue.REJECTED, ImageQueue.MINE, ImageQueue.COMMENTED):
        return [*to_come]
    undecided = set(cache.image_ids(state.scope(), statuses=UNDECIDED))
    return [image_id for image_id in to_come if image_id in undecided]


class WaysOn(NamedTuple):
    """Where the actions lead to from one image; None where they stay, or it is unknown.

    by_next, by_decision: the image after Next, and after an approval.
    """

    by_next: str | None
    by_decision: str | None


def ways_on(current: str, *, most: int) -> dict[str, WaysOn]:
    """Return where the actions lead to from an image, and from those that they lead to.

    most: of the images that they lead to, by any way.
    """
    ids = images()
    waiting = [image_id for image_id in _waiting(ids) if image_id != current]
    ways: dict[str, WaysOn] = {}
    to_see = [current]
    while to_see and len(ways) <= most:
        image_id = to_see.pop(0)
        after = ids[ids.index(image_id) + 1 :] if image_id in ids else ()
        wanted = set(waiting) - {image_id}
        by_decision = next((one for one in _from(ids, image_id) if one in wanted), None)
        ways[image_id] = WaysOn(next(iter(after), None), by_decision)
        ahead = [by_decision, *after[:1]]
        to_see += [one for one in ahead if one and one not in (*ways, *to_see)]
    return ways


def go_next(to_come: Sequence[str], *, then: str = "") -> None:
    """Go to the first of these images that needs review, or show that none does.

    Args:
        to_come: from `following`, before the current image was changed.
        then: the one that the editor shows already; it comes before the others.
    """
    waiting = _waiting(to_come)
    following_id = then if then in waiting else next(iter(waiting), None)
    if following_id is not None:
        state.choose_image(following_id)
    elif queue() is ImageQueue.ALL:
        state.say("Done: all images are reviewed.")
    else:
        state.say(f"Done: no more images in this queue ({queue().lower()}).")


@state.reports_errors
def next_doubtful() -> None:
    """Go to the next doubtful image, after scoring changed images."""
    canvas.settle()
    current = state.image_id()
    if current is None:
        return
    scope, store = state.scope(), services.store()
    is_scoring = _score(store, scope)
    doubtful = store.next_doubtful(scope, current)
    if doubtful is not None:
        state.choose_image(doubtful)
    elif is_scoring:
        state.say(_WAIT)
    else:
        state.say("No other uncertain images.")


def _score(store: Store, scope: Scope) -> bool:
    """Score changed images; return whether that continues in the background."""
    in_use = model_in_use(store, scope)
    stale = stale_images(store, scope, in_use)
    if len(stale) <= _SCORED_AT_ONCE:
        score_images(store, scope, stale, in_use)
        return False
    if not job_progress.is_active(job_progress.latest("doubt")):
        job_progress.start("doubt", {"mirrored": False})
    return True
