"""The Review page's table of images, with what can be done to a choice of them."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from imagebase.annotation import states
from imagebase.store import ImageFilter, ImageRow
from imagebase.ui import services, state, widgets
from imagebase.ui.review import acting, removing, review_filters, review_picture
from imagebase.ui.review.reviewing import SHARES, TABLE_PX

PAGE_SIZE: Final = 60
_MINE: Final = "mine, rejected"
_OPEN: Final = "open comments"


def image_table() -> None:
    """Draw the images that pass the filters, with what can be done to a choice."""
    scope, store = state.scope(), services.store()
    wanted = _filters()
    total = store.count_images(scope, wanted)
    with review_filters.bar():
        review_filters.draw_images_chip()
        offset = review_filters.turn_pages(
            total, "image", page_size=PAGE_SIZE, key="review.images.page"
        )
    if not total:
        st.info(_empty(wanted))
        return
    rows = store.image_rows(scope, wanted, offset=offset, limit=PAGE_SIZE)
    table, picture = st.columns(SHARES, gap="small")
    with table:
        chosen = [rows[i] for i in _table(rows, offset)]
        _act(chosen, wanted, total)
    with picture:
        shown = (chosen or rows)[-1 if chosen else 0]
        review_picture.show(store.record(scope, shown.image_id))


def _filters() -> ImageFilter:
    review_filters.begin(review_filters.IMAGE_FILTERS)
    chosen = review_filters.chosen_images()
    counts = states.group_counts(services.store().progress(state.scope()))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text = st.text_input(
            "Search",
            key="review.image_text",
            placeholder="file name",
            persist_state="session",
            width=128,
        )
        statuses = st.pills(
            "Status",
            states.FILTERS,
            selection_mode="multi",
            key="review.image_statuses",
            format_func=lambda name: f"{name} {counts[name]:,}",
            persist_state="session",
        )
        only = st.pills(
            "Only",
            [_MINE, _OPEN],
            selection_mode="multi",
            key="review.image_only",
            help="“Mine, rejected” are images that came back and that you edited last "
            "or drew a box on.",
            persist_state="session",
        )
        tags = _choose_tags()
    return ImageFilter(
        text=text or None,
        statuses=states.statuses_of(statuses) or None,
        tags=tags or None,
        image_ids=chosen.image_ids if chosen else None,
        rejected_of=state.scope().who if _MINE in only else None,
        has_open_comments=_OPEN in only,
    )


def _choose_tags() -> list[str]:
    known = list(services.store().tag_counts(state.scope()))
    if not known:
        return []
    return st.multiselect(
        "Tags",
        known,
        key="review.image_tags",
        placeholder="any",
        persist_state="session",
        width=140,
        select_all=False,
    )


def _empty(wanted: ImageFilter) -> str:
    if wanted.rejected_of is not None:
        return "Nothing of yours was sent back. Take the filter off to see the others."
    return "No images match. Clear a filter."


def _act(chosen: Sequence[ImageRow], wanted: ImageFilter, total: int) -> None:
    with st.container():
        takes_all = total > 1 and st.checkbox(
            f"All {widgets.plural(total, 'image')} that match, on every page",
            key=f"review.images.all.{hash((total, str(wanted)))}",
        )
    if takes_all:
        chosen = services.store().image_rows(state.scope(), wanted)
    images = {one.image_id: one.revision for one in chosen}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        acting.act_on_images(images, key="review.images")
        acting.draw_undo(key="review.images")
        removing.remove(chosen, key="review.images")
        st.caption(
            f"{widgets.plural(len(images), 'image')} selected"
            if images
            else "Select rows to act on them.",
            width="content",
        )


def _table(rows: Sequence[ImageRow], offset: int) -> list[int]:
    """Draw a page of the table; return the places of the rows that are ticked."""
    config = st.column_config
    event = st.dataframe(
        _frame(rows),
        hide_index=True,
        height=TABLE_PX,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"review.image_table.{offset}.{hash(tuple(rows))}",
        column_config={
            "image": config.TextColumn("image", width=150),
            "status": config.TextColumn("status", width=74),
            "boxes": config.NumberColumn("boxes", width=52),
            "labels": config.TextColumn("labels", width=150),
            "open": config.TextColumn(
                "open", width=48, help="Comments that nobody has resolved."
            ),
            "comment": config.TextColumn("sent back with", width=150),
            "tags": config.TextColumn("tags", width=80),
        },
    )
    return list(event["selection"]["rows"])


def _frame(rows: Sequence[ImageRow]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {
        "image": [one.file_name for one in rows],
        "status": [widgets.STATUS_WORDS[one.status] for one in rows],
        "boxes": [one.box_count for one in rows],
        "labels": [", ".join(one.labels) for one in rows],
        "open": [str(one.open_comments or "") for one in rows],
        "comment": [one.comment for one in rows],
        "tags": [", ".join(one.tags) for one in rows],
    }
    if not any(columns["tags"]):
        del columns["tags"]
    return pd.DataFrame(columns)
