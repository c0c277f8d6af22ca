"""Guesses at the labels of fresh boxes, made beside the script of the session."""

import logging
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final

import streamlit as st

from imagebase.annotation import ImageRecord, LabelSet
from imagebase.assist.appearance import look_at
from imagebase.assist.label_guess import (
    RankedLabels,
    Surroundings,
    extent_of,
    guessed,
    ranked_labels,
)
from imagebase.errors import ImageBaseError
from imagebase.review.box_examples import box_examples
from imagebase.store import Scope
from imagebase.ui import cache, services, state
from imagebase.ui.edit import digits
from imagebase.ui.edit.canvas_messages import FreshBox, LabelOffer

# The script waits so long for a guess; then the browser asks again.
_WAIT_S: Final = 0.2
_THREADS: Final = 2
_KEPT: Final = 64
_IMAGES_NOW, _IMAGES_LATER = 2, 300

_OFFERED: Final = "imagebase.edit.offered"

_log = logging.getLogger(__name__)
_pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="label-guesses")
_later = ThreadPoolExecutor(1, thread_name_prefix="box-looks")
_guesses: OrderedDict[tuple[Scope, FreshBox], Future[RankedLabels]] = OrderedDict()


def offer(record: ImageRecord, labels: LabelSet, fresh: FreshBox) -> LabelOffer | None:
    """Return the likely labels of a fresh box; None while they are not ready.

    record, labels: as they were before the box.
    """
    offered: tuple[FreshBox, LabelOffer] | None = st.session_state.get(_OFFERED)
    if offered is not None and offered[0] == fresh:
        return offered[1]  # the digits change but once
    made = _offer(record, labels, fresh)
    if made is not None:
        st.session_state[_OFFERED] = (fresh, made)
    return made


def _offer(record: ImageRecord, labels: LabelSet, fresh: FreshBox) -> LabelOffer | None:
    scope = state.scope()
    try:
        ranked = _started(scope, record, labels, fresh).result(timeout=_WAIT_S)
    except TimeoutError:
        return None
    except (ImageBaseError, RuntimeError):  # a network's own errors are of the latter
        _log.warning("The label of a box was not guessed", exc_info=True)
        return LabelOffer()
    if not fresh.is_fresh:
        return LabelOffer(ranked.likely)
    keys = digits.with_guesses(labels, fresh.image_id, ranked.likely)
    return LabelOffer(ranked.likely, ranked.first, keys)


def _started(
    scope: Scope, record: ImageRecord, labels: LabelSet, fresh: FreshBox
) -> Future[RankedLabels]:
    key = (scope, fresh._replace(attempt=1))
    if key not in _guesses:
        others = (
            box
            for box in record.annotations
            if box.annotation_id != fresh.annotation_id
        )
        here = tuple({box.label for box in others})
        names = tuple(labels.shown_names)
        _guesses[key] = _pool.submit(_guess, scope, fresh, names, here)
        while len(_guesses) > _KEPT:
            with suppress(KeyError):
                _guesses.popitem(last=False)
    return _guesses[key]


def _guess(
    scope: Scope, fresh: FreshBox, labels: tuple[str, ...], here: tuple[str, ...]
) -> RankedLabels:
    where = (scope.owner_id, scope.dataset_id, fresh.image_id)
    whole = cache.point_candidates(*where)
    views = cache.views_of_box(*where, fresh.box)
    image = cache.picture_for_views(*where)
    max_pixels = services.limits().max_image_pixels
    examples, is_complete = box_examples(
        services.store(),
        scope,
        max_pixels=max_pixels,
        most_images=_IMAGES_NOW,
        besides=fresh.annotation_id,
    )
    if not is_complete:
        _later.submit(_look_later, scope, max_pixels)
    look = look_at(image, [fresh.box])[0]
    around = Surroundings(
        labels=labels,
        known=cache.assist_labels_here(scope),
        likeness=examples.likeness(look, extent_of(fresh.box, image.size)),
        previous=fresh.previous or None,
        here=here,
    )
    # What all models see on the whole image counts as much as what two see closer.
    guesses = guessed([whole, whole, *views], fresh.box, k=_KEPT)
    return ranked_labels(guesses, around)


def _look_later(scope: Scope, max_pixels: int) -> None:
    """Compute looks of examples for the guesses to come."""
    with suppress(ImageBaseError):
        box_examples(
            services.store(), scope, max_pixels=max_pixels, most_images=_IMAGES_LATER
        )
