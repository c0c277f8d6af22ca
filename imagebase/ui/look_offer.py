"""After a delete or a relabel: the same for the boxes that look like it, on offer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import streamlit as st

from imagebase.annotation import ImageRecord
from imagebase.review.similar_boxes import (
    Correction,
    Estimate,
    correction,
    correction_of,
    estimate,
    is_still_made,
)
from imagebase.store import AnnotationRow, Scope
from imagebase.ui import backend, look_preview, state, widgets

_OFFER: Final = "imagebase.look_alikes.offer"
_SHOWING: Final = "imagebase.look_alikes.showing"
_LAST: Final = "imagebase.look_alikes.last"


@dataclass(frozen=True, slots=True)
class Offer:
    """A correction that may be wanted elsewhere in the same dataset."""

    dataset_id: str
    asked: Correction


def note_rows(rows: Sequence[AnnotationRow], *, became: str | None) -> None:
    """Remember what was done to boxes of the table, as they were before it.

    became: the label they have now; None where they were deleted.
    """
    done = [
        (ImageRecord(row.image_id, row.file_name, row.size), row.annotation, became)
        for row in rows
        if row.annotation.label != became
    ]
    _keep(correction_of(done))


def follow(record: ImageRecord) -> None:
    """Draw the offer that follows from what was done to the image on screen.

    What was done is the difference to the record of the last call, so call it with the
    image as it is at every run.
    """
    last = _last(record.image_id)
    st.session_state[_LAST] = (state.scope().dataset_id, record)
    if last is not None:
        offer = _offer()
        is_undone = offer is not None and not is_still_made(offer.asked, record)
        # What an undo does is no wish of its own.
        found = None if is_undone else correction(last, record)
        if is_undone or found is not None:
            _keep(found)
    draw_offer()


def _last(image_id: str) -> ImageRecord | None:
    """Return what was last on screen where that is this image, of this dataset."""
    # One photograph has the same id in every dataset.
    dataset_id, last = st.session_state.get(_LAST, ("", None))
    is_here = dataset_id == state.scope().dataset_id
    return last if is_here and last is not None and last.image_id == image_id else None


def draw_offer() -> None:
    """Draw what could be done to boxes like those of the last correction."""
    with st.container():
        _draw_offer()


def _draw_offer() -> None:
    offer, scope = _offer(), state.scope()
    if offer is None:
        return
    found = _estimate(
        scope.owner_id,
        scope.dataset_id,
        backend.store().version(scope),
        offer.asked,
    )
    if found is None or not found.here:
        return
    with st.container(
        horizontal=True,
        vertical_alignment="center",
        gap="small",
        border=True,
        key="looks.offer",
    ):
        st.markdown(f":material/content_copy: {words(offer.asked, found)}")
        st.button(
            "Show them",
            key="looks.show",
            type="primary",
            icon=":material/visibility:",
            on_click=_ask_to_show,
            args=(offer.asked,),
        )
        widgets.icon_button(
            "Leave the others as they are",
            key="looks.drop",
            icon=":material/close:",
            is_plain=True,
            on_click=drop,
        )
    if st.session_state.pop(_SHOWING, None) == offer.asked:
        look_preview.show(offer.asked, on_done=drop)


def _ask_to_show(asked: Correction) -> None:
    """Have the dialog opened where the offer is drawn next: a callback cannot."""
    st.session_state[_SHOWING] = asked


def words(asked: Correction, found: Estimate) -> str:
    """Return a sentence in Markdown about how many there may be."""
    label = widgets.escape(asked.label)
    done = (
        "deleted one"
        if asked.became is None
        else f"relabelled one **{widgets.escape(asked.became)}**"
    )
    images = widgets.plural(found.here, "other image")
    verb = "has" if found.here == 1 else "have"
    where = "at the very place" if found.is_gathered else "about"
    return f"**{images}** {verb} a **{label}** {where} where you {done}."


def drop() -> None:
    """Offer nothing more for the last correction."""
    st.session_state.pop(_OFFER, None)


def _keep(asked: Correction | None) -> None:
    if asked is None:
        drop()
        return
    st.session_state[_OFFER] = Offer(state.scope().dataset_id, asked)


def _offer() -> Offer | None:
    offer: Offer | None = st.session_state.get(_OFFER)
    if offer is None or offer.dataset_id != state.scope().dataset_id:
        return None
    return offer


@lru_cache(maxsize=16)
def _estimate(
    owner_id: str, dataset_id: str, version: str, asked: Correction
) -> Estimate | None:
    """Return how many there are; None where the correction was taken back."""
    scope, store = Scope(owner_id, dataset_id, ""), backend.store()
    changed = store.records(scope, image_ids=asked.image_ids)
    if not all(is_still_made(asked, record) for record in changed):
        return None
    return estimate(store, scope, asked)
