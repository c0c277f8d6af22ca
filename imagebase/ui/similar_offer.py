"""After a correction: offer the same change for similar boxes."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import streamlit as st

from imagebase.annotation import ImageRecord
from imagebase.assist.appearance import LEAST_SIMILARITY, MOST_SIMILARITY, SIMILARITY
from imagebase.review.bulk_edits import BulkReport, delete_boxes, relabel_boxes
from imagebase.review.similar_boxes import (
    Correction,
    Estimate,
    Search,
    SimilarBox,
    correction,
    correction_of,
    estimate,
    is_still_made,
    search,
)
from imagebase.store import AnnotationRow, Scope, Store
from imagebase.ui import bulk_progress, services, state, widgets
from imagebase.ui.bulk_progress import boxes_on, report
from imagebase.ui.contact_sheet import Place, Tile, crop_urls, draw_sheet
from imagebase.wording import percent

PAGE_SIZE: Final = 35
_PREVIEW: Final = "imagebase.similar_boxes.preview"
_OFFER: Final = "imagebase.similar_boxes.offer"
_SHOWING: Final = "imagebase.similar_boxes.showing"
_LAST: Final = "imagebase.similar_boxes.last"


@dataclass(slots=True)
class _Preview:
    """Similar boxes of a correction, and the changes to their selection.

    flipped: keys of boxes that a person has selected or deselected.
    """

    asked: Correction
    on_done: Callable[[], None]
    searches: dict[bool, Search] = field(default_factory=dict)
    flipped: set[str] = field(default_factory=set)


def show(asked: Correction, *, on_done: Callable[[], None]) -> None:
    """Open the dialog with the similar boxes of a correction.

    on_done: is called after they are corrected.
    """
    st.session_state[_PREVIEW] = _Preview(asked, on_done)
    verb = "Delete" if asked.became is None else "Relabel"
    st.dialog(
        f"{verb} similar {widgets.escape(asked.label)} boxes",
        width="large",
        on_dismiss="rerun",
    )(_dialog)()


@widgets.in_dialog
def _dialog() -> None:
    bulk_progress.leave_fragment()
    preview: _Preview = st.session_state[_PREVIEW]
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    least = left.slider(
        "Minimum similarity",
        LEAST_SIMILARITY,
        MOST_SIMILARITY,
        SIMILARITY,
        0.01,
        key="looks.least",
    )
    anywhere = right.toggle(
        "Anywhere in the image",
        key="looks.anywhere",
        help="Includes boxes of this label and size in other positions.",
    )
    result = _searched(preview, anywhere=anywhere)
    alike = result.alike(least)
    if not alike:
        st.info(
            "No similar boxes. Lower the minimum similarity, or turn on Anywhere in "
            "the image."
        )
        return
    head = st.container()
    _draw(preview, alike)
    selected = _selected(preview, alike)
    with head:
        _summary(result, alike, selected)
    _act(preview, [similar for similar in alike if _key(similar) in selected])


def _searched(preview: _Preview, *, anywhere: bool) -> Search:
    if anywhere not in preview.searches:
        bar = st.progress(0.0, text="Comparing boxes …")

        def show_progress(done: int, total: int) -> None:
            of = f"{done:,} of {widgets.plural(total, 'box')}"
            bar.progress(done / total if total else 1.0, text=f"Compared {of}")

        preview.searches[anywhere] = search(
            services.store(),
            state.scope(),
            preview.asked,
            anywhere=anywhere,
            max_pixels=services.limits().max_image_pixels,
            on_progress=show_progress,
        )
        bar.empty()
    return preview.searches[anywhere]


def _key(similar: SimilarBox) -> str:
    return f"{similar.like.key.image_id}/{similar.like.key.annotation_id}"


def _selected(preview: _Preview, alike: Sequence[SimilarBox]) -> frozenset[str]:
    """Return the selected keys: to start with, all unreviewed boxes."""
    return frozenset(
        _key(similar)
        for similar in alike
        if similar.is_unreviewed is not (_key(similar) in preview.flipped)
    )


def _summary(
    result: Search, alike: Sequence[SimilarBox], selected: Collection[str]
) -> None:
    reviewed = sum(not similar.is_unreviewed for similar in alike)
    parts = [f"**{len(selected):,}** of {widgets.plural(len(alike), 'box')} selected"]
    if reviewed:
        parts.append(f"{reviewed:,} reviewed, not selected at first")
    if result.unread:
        parts.append(f"{widgets.plural(result.unread, 'box')} could not be read")
    if not result.is_complete:
        parts.append("only the nearest 2,000 were compared")
    st.markdown("; ".join(parts) + ".")


def _draw(preview: _Preview, alike: Sequence[SimilarBox]) -> None:
    shown = widgets.page_of(alike, page_size=PAGE_SIZE, key="looks.page")
    scope = state.scope()
    places = [
        Place(match.like.key.image_id, match.like.size, match.like.annotation.box)
        for match in shown
    ]
    colour = services.store().labels(scope).colour_of(preview.asked.label)
    tiles = [
        Tile(
            _key(match),
            url,
            name=percent(match.score),
            colour=colour,
            value="" if match.is_unreviewed else "reviewed",
            title=match.like.file_name,
        )
        for match, url in zip(shown, crop_urls(scope, places), strict=True)
    ]
    here = {tile.id for tile in tiles}
    initial = {_key(match) for match in shown if match.is_unreviewed}
    flipped = preview.flipped & here
    page = "-".join((shown[0].like.key.annotation_id[:8], str(len(shown))))
    selected = draw_sheet(
        tiles,
        key=f"looks.sheet.{page}",
        selected=initial ^ flipped,
        version=str(hash(tuple(tile.id for tile in tiles))),
    )
    preview.flipped = (preview.flipped - here) | (initial ^ selected)


def _act(preview: _Preview, chosen: Sequence[SimilarBox]) -> None:
    became = preview.asked.became
    boxes = widgets.plural(len(chosen), "box")
    words = (
        f"Delete {boxes}"
        if became is None
        else f"Relabel {boxes} as {widgets.escape(became)}"
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            words,
            key="looks.apply",
            type="primary",
            disabled=not chosen,
            icon=":material/delete:" if became is None else ":material/label:",
            on_click=_apply,
            args=(preview, chosen),
        )
        st.caption("You can undo this in one step.")


@state.reports_errors
def _apply(preview: _Preview, chosen: Sequence[SimilarBox]) -> None:
    """Schedule the change; the page runs it and closes the dialog."""
    became, store, scope = preview.asked.became, services.store(), state.scope()

    def work(on_progress: bulk_progress.OnProgress) -> BulkReport:
        return _changed(store, scope, chosen, became, on_progress)

    def finish(result: BulkReport) -> None:
        done = "Deleted" if became is None else "Relabelled"
        report(f"{done} {boxes_on(result)}", result)
        preview.on_done()

    bulk_progress.schedule(
        "Deleting" if became is None else "Relabelling", work, then=finish
    )


def _changed(
    store: Store,
    scope: Scope,
    chosen: Sequence[SimilarBox],
    became: str | None,
    on_progress: bulk_progress.OnProgress,
) -> BulkReport:
    boxes = [match.like.key for match in chosen]
    seen = {match.like.key.image_id: match.like.revision for match in chosen}
    if became is None:
        return delete_boxes(store, scope, boxes, seen=seen, on_progress=on_progress)
    return relabel_boxes(
        store, scope, boxes, label=became, seen=seen, on_progress=on_progress
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """A correction that may apply to other images of the same dataset."""

    dataset_id: str
    asked: Correction


def note_rows(rows: Sequence[AnnotationRow], *, became: str | None) -> None:
    """Remember a change to boxes of the table.

    rows: before the change. became: the new label; None if they were deleted.
    """
    done = [
        (ImageRecord(row.image_id, row.file_name, row.size), row.annotation, became)
        for row in rows
        if row.annotation.label != became
    ]
    _keep(correction_of(done))


def follow(record: ImageRecord) -> None:
    """Draw the offer that follows from the last change to the image on screen.

    The change is the difference to the record of the last call: call it at every run
    with the current record.
    """
    last = _last(record.image_id)
    st.session_state[_LAST] = (state.scope().dataset_id, record)
    if last is not None:
        offer = _offer()
        is_undone = offer is not None and not is_still_made(offer.asked, record)
        # The change made by an undo gives no offer.
        fresh = None if is_undone else correction(last, record)
        if is_undone or fresh is not None:
            _keep(fresh)
    draw_offer()


def _last(image_id: str) -> ImageRecord | None:
    """Return the record of the last call if it is of this image and dataset."""
    # The same image has the same id in every dataset.
    dataset_id, last = st.session_state.get(_LAST, ("", None))
    is_here = dataset_id == state.scope().dataset_id
    return last if is_here and last is not None and last.image_id == image_id else None


def draw_offer() -> None:
    """Draw the offer to correct similar boxes, if there is one."""
    with st.container():
        _draw_offer()


def _draw_offer() -> None:
    offer, scope = _offer(), state.scope()
    if offer is None:
        return
    expected = _estimate(
        scope.owner_id, scope.dataset_id, services.store().version(scope), offer.asked
    )
    if expected is None or not expected.here:
        return
    with st.container(
        horizontal=True,
        vertical_alignment="center",
        gap="small",
        border=True,
        key="looks.offer",
    ):
        st.markdown(f":material/content_copy: {words(offer.asked, expected)}")
        st.button(
            "Show",
            key="looks.show",
            type="primary",
            icon=":material/visibility:",
            on_click=_ask_to_show,
            args=(offer.asked,),
        )
        widgets.icon_button(
            "Dismiss",
            key="looks.drop",
            icon=":material/close:",
            is_plain=True,
            on_click=drop,
        )
    if st.session_state.pop(_SHOWING, None) == offer.asked:
        show(offer.asked, on_done=drop)


def _ask_to_show(asked: Correction) -> None:
    """Open the dialog when the offer is drawn next: a callback cannot."""
    st.session_state[_SHOWING] = asked


def words(asked: Correction, expected: Estimate) -> str:
    """Return the offer in Markdown, with the number of images."""
    label = widgets.escape(asked.label)
    done = (
        "deleted one"
        if asked.became is None
        else f"relabelled one **{widgets.escape(asked.became)}**"
    )
    images = widgets.plural(expected.here, "other image")
    verb = "has" if expected.here == 1 else "have"
    where = "at the same place" if expected.is_gathered else "near"
    return f"**{images}** {verb} a **{label}** box {where} where you {done}."


def drop() -> None:
    """Drop the offer for the last correction."""
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
    """Return the estimate; None if the correction was undone."""
    scope, store = Scope(owner_id, dataset_id, ""), services.store()
    changed = store.records(scope, image_ids=asked.image_ids)
    if not all(is_still_made(asked, record) for record in changed):
        return None
    return estimate(store, scope, asked)
