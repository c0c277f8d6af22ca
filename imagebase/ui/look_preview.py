"""The boxes that look like a corrected one: shown, ticked, corrected with one undo."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import streamlit as st

from imagebase.review.appearance import LEAST_SIMILARITY, MOST_SIMILARITY, SIMILARITY
from imagebase.review.bulk_edits import BulkReport, delete_boxes, relabel_boxes
from imagebase.review.similar_boxes import Correction, Found, Search, search
from imagebase.store import Scope, Store
from imagebase.ui import backend, long_work, state, widgets
from imagebase.ui.review.bulk_words import boxes_on, report
from imagebase.ui.review.crop_pictures import Place, crop_urls
from imagebase.ui.review.sheet import Tile, draw_sheet
from imagebase.wording import percent

PAGE_SIZE: Final = 35
_PREVIEW: Final = "imagebase.look_alikes.preview"


@dataclass(slots=True)
class _Preview:
    """What was found for a correction, and which of it the person left out or added.

    flipped: keys of boxes whose tick is not the one they began with.
    """

    asked: Correction
    on_done: Callable[[], None]
    found: dict[bool, Search] = field(default_factory=dict)
    flipped: set[str] = field(default_factory=set)


def show(asked: Correction, *, on_done: Callable[[], None]) -> None:
    """Open the dialog about boxes that look like those of a correction.

    on_done: is called once they are corrected.
    """
    st.session_state[_PREVIEW] = _Preview(asked, on_done)
    verb = "Delete" if asked.became is None else "Relabel"
    st.dialog(
        f"{verb} the look-alikes of this {widgets.escape(asked.label)}",
        width="large",
        on_dismiss="rerun",
    )(_dialog)()


@widgets.in_dialog
def _dialog() -> None:
    long_work.leave_fragment()
    preview: _Preview = st.session_state[_PREVIEW]
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    least = left.slider(
        "How alike, at least",
        LEAST_SIMILARITY,
        MOST_SIMILARITY,
        SIMILARITY,
        0.01,
        key="looks.least",
    )
    anywhere = right.toggle(
        "Anywhere on the image",
        key="looks.anywhere",
        help="Also boxes of this label and size at another place.",
    )
    found = _searched(preview, anywhere=anywhere)
    alike = found.alike(least)
    if not alike:
        st.info(
            "No box looks like it. Lower how alike they have to be, or look anywhere."
        )
        return
    head = st.container()
    _draw(preview, alike)
    ticked = _ticked(preview, alike)
    with head:
        _say(found, alike, ticked)
    _act(preview, [one for one in alike if _key(one) in ticked])


def _searched(preview: _Preview, *, anywhere: bool) -> Search:
    if anywhere not in preview.found:
        bar = st.progress(0.0, text="Looking at the boxes …")

        def tell(done: int, total: int) -> None:
            of = f"{done:,} of {widgets.plural(total, 'box')}"
            bar.progress(done / total if total else 1.0, text=f"Looked at {of}")

        preview.found[anywhere] = search(
            backend.store(),
            state.scope(),
            preview.asked,
            anywhere=anywhere,
            max_pixels=backend.limits().max_image_pixels,
            on_progress=tell,
        )
        bar.empty()
    return preview.found[anywhere]


def _key(one: Found) -> str:
    return f"{one.like.key.image_id}/{one.like.key.annotation_id}"


def _ticked(preview: _Preview, alike: Sequence[Found]) -> frozenset[str]:
    """Return the keys that are ticked: at first what nobody has decided on yet."""
    return frozenset(
        _key(one)
        for one in alike
        if one.is_unreviewed is not (_key(one) in preview.flipped)
    )


def _say(found: Search, alike: Sequence[Found], ticked: Collection[str]) -> None:
    reviewed = sum(not one.is_unreviewed for one in alike)
    said = [f"**{len(ticked):,}** of {widgets.plural(len(alike), 'box')} ticked"]
    if reviewed:
        said.append(f"{reviewed:,} that people have seen to begin without a tick")
    if found.unread:
        said.append(f"{widgets.plural(found.unread, 'box')} could not be looked at")
    if not found.is_complete:
        said.append("the nearest 2,000 were looked at")
    st.markdown("; ".join(said) + ".")


def _draw(preview: _Preview, alike: Sequence[Found]) -> None:
    shown = widgets.page_of(alike, page_size=PAGE_SIZE, key="looks.page")
    scope = state.scope()
    places = [
        Place(one.like.key.image_id, one.like.size, one.like.annotation.box)
        for one in shown
    ]
    colour = backend.store().labels(scope).colour_of(preview.asked.label)
    tiles = [
        Tile(
            _key(one),
            url,
            name=percent(one.score),
            colour=colour,
            value="" if one.is_unreviewed else "seen",
            title=one.like.file_name,
        )
        for one, url in zip(shown, crop_urls(scope, places), strict=True)
    ]
    here = {one.id for one in tiles}
    began = {_key(one) for one in shown if one.is_unreviewed}
    flipped = preview.flipped & here
    page = "-".join((shown[0].like.key.annotation_id[:8], str(len(shown))))
    ticked = draw_sheet(
        tiles,
        key=f"looks.sheet.{page}",
        ticked=began ^ flipped,
        version=str(hash(tuple(one.id for one in tiles))),
    )
    preview.flipped = (preview.flipped - here) | (began ^ ticked)


def _act(preview: _Preview, chosen: Sequence[Found]) -> None:
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
        st.caption("One undo brings them all back.")


@state.told
def _apply(preview: _Preview, chosen: Sequence[Found]) -> None:
    """Have it done by the page, which closes the dialog."""
    became, store, scope = preview.asked.became, backend.store(), state.scope()

    def work(tell: long_work.Tell) -> BulkReport:
        return _changed(store, scope, chosen, became, tell)

    def say(told: BulkReport) -> None:
        done = "Deleted" if became is None else "Relabelled"
        report(f"{done} {boxes_on(told)}", told)
        preview.on_done()

    long_work.ask("Deleting" if became is None else "Relabelling", work, then=say)


def _changed(
    store: Store,
    scope: Scope,
    chosen: Sequence[Found],
    became: str | None,
    tell: long_work.Tell,
) -> BulkReport:
    boxes = [one.like.key for one in chosen]
    seen = {one.like.key.image_id: one.like.revision for one in chosen}
    if became is None:
        return delete_boxes(store, scope, boxes, seen=seen, on_progress=tell)
    return relabel_boxes(store, scope, boxes, label=became, seen=seen, on_progress=tell)
