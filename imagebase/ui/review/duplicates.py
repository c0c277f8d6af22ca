"""Near-duplicates on the Review page: groups, of which one image is kept."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import streamlit as st

from imagebase.review.health import MOST_BY_VECTORS, best_of
from imagebase.store import ImageFilter, ImageRow
from imagebase.ui import cache, likeness, services, state, widgets
from imagebase.ui.review import actions, filters

PAGE_SIZE: Final = 6
_COLUMNS: Final = 6
# Of a group: frames of one scene may be thousands.
_SHOWN: Final = 24
_NAME_LETTERS: Final = 28


def near_duplicates() -> None:
    """Draw the groups of images that look nearly the same, and what to do with them."""
    likeness.draw_progress()
    groups = likeness.duplicates()
    if not groups:
        st.success("No near-duplicates found.")
        return
    images = sum(map(len, groups))
    is_by_vectors = services.store().count_images(state.scope()) <= MOST_BY_VECTORS
    cut = ", resized or cut off a little" if is_by_vectors else " or resized"
    st.markdown(
        f"**{widgets.plural(len(groups), 'group')}** of images that look nearly the "
        f"same, {widgets.plural(images, 'image')} in all: copies that were saved "
        f"again{cut}, and frames of one scene."
    )
    with filters.bar():
        offset = filters.draw_paging(
            len(groups), "group", page_size=PAGE_SIZE, key="review.duplicates.page"
        )
        actions.draw_undo(key="review.duplicates")
    for group in groups[offset : offset + PAGE_SIZE]:
        _draw_group(group)


def _draw_group(image_ids: Sequence[str]) -> None:
    scope = state.scope()
    rows = services.store().image_rows(scope, ImageFilter(image_ids=image_ids))
    if len(rows) < 2:
        return
    first = best_of(rows)
    shown = [first, *(row for row in rows if row is not first)][:_SHOWN]
    with st.container(border=True):
        pictures = [
            widgets.Picture(
                row.image_id,
                cache.plain_tile(scope, row.image_id, row.file_name),
                row.file_name,
                f"{widgets.plural(row.box_count, 'box')}, "
                f"{row.size.width} × {row.size.height}",
                widgets.STATUS_ICONS[row.status],
            )
            for row in shown
        ]
        widgets.picture_grid(
            pictures, columns=_COLUMNS, key=f"review.duplicates.open.{image_ids[0]}"
        )
        if len(rows) > len(shown):
            st.caption(f"and {len(rows) - len(shown):,} more")
        _actions(rows, key=f"review.duplicates.{image_ids[0]}")


def _actions(rows: Sequence[ImageRow], *, key: str) -> None:
    by_id = {row.image_id: row for row in rows}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        kept = st.selectbox(
            "Keep",
            list(by_id),
            index=list(by_id).index(best_of(rows).image_id),
            format_func=lambda name: widgets.short_name(
                by_id[name].file_name, longest=_NAME_LETTERS
            ),
            key=f"{key}.keep",
            help="Selected at first: approved before edited, then the most boxes, then "
            "the largest.",
            width=260,
        )
        others = [row for row in rows if row.image_id != kept]
        actions.remove(others, key=f"{key}.others", words="Delete the others")
        st.button(
            "Reject the others",
            key=f"{key}.reject",
            icon=":material/close:",
            help="Marks them as rejected, with a comment that names the image that is "
            "kept. You can undo this in one step.",
            on_click=partial(_reject, others, by_id[kept].file_name),
        )


@state.reports_errors
def _reject(others: Sequence[ImageRow], kept: str) -> None:
    seen = {row.image_id: row.revision for row in others}
    actions.reject_all(seen, comment=f"Near-duplicate of {kept}")
