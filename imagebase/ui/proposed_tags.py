"""Tags proposed for images, from those that were tagged: on Edit and on Review."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
import streamlit as st

from imagebase.annotation import ImageRecord, ReviewStatus
from imagebase.learning.image_vectors import vectors_version
from imagebase.learning.proposed_tags import LEAST_TAGGED, ProposedTag, proposed_tags
from imagebase.review.bulk_edits import BulkReport, add_tags
from imagebase.store import ImageFilter, ImageRow
from imagebase.ui import bulk_progress, cache, likeness, services, state, widgets
from imagebase.wording import percent

_PAGE_SIZE: Final = 12
_COLUMNS: Final = 6
_CHOSEN: Final = "imagebase.tags.chosen"

Proposed = Mapping[str, Sequence[ProposedTag]]
OnScreen = Callable[[str, Callable[[], object]], None]


def by_image() -> Proposed:
    """Return the tags that images may lack, by image id; none of approved ones."""
    scope, store = state.scope(), services.store()
    # Cheaper than the images, and in most datasets enough.
    if sum(store.tag_counts(scope).values()) < LEAST_TAGGED:
        return {}
    rows = store.image_summaries(scope)
    likeness.compare()
    tags = _Tags({row.image_id: row.tags for row in rows})
    found = _found(
        scope.owner_id, scope.dataset_id, vectors_version(store, scope), tags
    )
    return {
        row.image_id: found[row.image_id]
        for row in rows
        if row.image_id in found and row.status is not ReviewStatus.APPROVED
    }


class _Tags(dict[str, tuple[str, ...]]):
    """Tags by image id."""


@st.cache_resource(
    max_entries=4,
    show_spinner=False,
    hash_funcs={_Tags: lambda tags: hash(tuple(tags.items()))},
)
def _found(owner_id: str, dataset_id: str, vectors_state: str, tags: _Tags) -> Proposed:
    known = likeness.vectors()
    which = [i for i, image_id in enumerate(known.image_ids) if image_id in tags]
    ids = [known.image_ids[i] for i in which]
    found = proposed_tags(
        known.vectors[np.array(which, np.intp)], [tags[image_id] for image_id in ids]
    )
    return {name: tags for name, tags in zip(ids, found, strict=True) if tags}


def draw(record: ImageRecord, on_screen: OnScreen) -> None:
    """Draw the tags proposed for the image on screen; a click takes one, or all.

    on_screen: does work on an image once all that was drawn on it is saved.
    """
    proposals = by_image().get(record.image_id, ())
    if not proposals:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Proposed tags", width="content")
        for i, (tag, confidence) in enumerate(proposals):
            st.button(
                widgets.escape(tag),
                key=f"tags.take.{i}",
                icon=":material/add:",
                help=f"{percent(confidence)} sure, from the images that are tagged.",
                on_click=on_screen,
                args=(record.image_id, partial(_take_here, record.image_id, [tag])),
            )
        if len(proposals) > 1:
            tags = [tag for tag, _ in proposals]
            st.button(
                "Take all",
                key="tags.take_all",
                icon=":material/done_all:",
                on_click=on_screen,
                args=(record.image_id, partial(_take_here, record.image_id, tags)),
            )


def view() -> None:
    """Draw the view of Review: for each tag the images that may lack it."""
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.caption(
            f"Tag {LEAST_TAGGED} images or more, better 20, and tags are proposed for "
            "the others. Taking a tag does not change the review state.",
            width="content",
        )
        widgets.icon_button(
            "Undo",
            key="tags.undo",
            icon=":material/undo:",
            hint="Undo",
            on_click=bulk_progress.undo,
            disabled=not services.store().can_undo(state.scope()),
        )
    found = by_image()
    images_of: dict[str, list[str]] = {}
    for image_id, proposals in found.items():
        for tag, _ in proposals:
            images_of.setdefault(tag, []).append(image_id)
    if not images_of:
        st.info("No tags are proposed. Tag images under **Image tags** on Edit.")
        return
    names = sorted(images_of, key=lambda tag: (-len(images_of[tag]), tag))
    counts = tuple((tag, len(images_of[tag])) for tag in names)
    # The order changes as tags are taken; the tag on screen stays.
    before = st.session_state.get(_CHOSEN)
    chosen = st.pills(
        "Tag",
        names,
        default=before if before in names else names[0],
        required=True,
        format_func=lambda tag: f"{widgets.escape(tag)} {len(images_of[tag]):,}",
        key=f"tags.chosen.{hash(counts)}",
    )
    st.session_state[_CHOSEN] = chosen
    _draw_tag(chosen, images_of[chosen])


def _draw_tag(tag: str, image_ids: Sequence[str]) -> None:
    scope, store = state.scope(), services.store()
    rows = store.image_rows(scope, ImageFilter(image_ids=image_ids))
    st.button(
        f"Take for all {widgets.plural(len(rows), 'image')}",
        key="tags.take_for_all",
        type="primary",
        icon=":material/done_all:",
        on_click=_take,
        args=(
            {row.image_id: row.revision for row in rows},
            {row.image_id: [tag] for row in rows},
        ),
        help="You can undo this in one step.",
    )
    page = widgets.page_of(rows, page_size=_PAGE_SIZE, key="tags.page")
    for start in range(0, len(page), _COLUMNS):
        cells = st.columns(_COLUMNS, gap="small")
        for cell, row in zip(cells, page[start : start + _COLUMNS], strict=False):
            with cell.container(gap="xsmall"):
                _tile(row, tag)


def _tile(row: ImageRow, tag: str) -> None:
    picture = cache.plain_tile(state.scope(), row.image_id, row.file_name)
    st.image(picture, width="stretch", alt=row.file_name)
    st.button(
        widgets.escape(widgets.short_name(row.file_name, longest=16)),
        key=f"tags.open.{row.image_id}",
        type="tertiary",
        on_click=widgets.open_in_editor,
        args=(row.image_id,),
    )
    st.button(
        "Take",
        key=f"tags.take_one.{row.image_id}",
        icon=":material/add:",
        on_click=_take,
        args=({row.image_id: row.revision}, {row.image_id: [tag]}),
    )


@state.reports_errors
def _take_here(image_id: str, tags: Sequence[str]) -> None:
    # A box may have been drawn since the buttons were.
    revision = services.store().record(state.scope(), image_id).revision
    _take({image_id: revision}, {image_id: tags})


@state.reports_errors
def _take(seen: Mapping[str, int], tags: Mapping[str, Sequence[str]]) -> None:
    store, scope = services.store(), state.scope()

    def work(on_progress: bulk_progress.OnProgress) -> BulkReport:
        return add_tags(store, scope, tags, seen=seen, on_progress=on_progress)

    bulk_progress.run_or_schedule(
        "Tagging", work, then=partial(_finish, seen), images=len(seen)
    )


def _finish(seen: Mapping[str, int], result: BulkReport) -> None:
    state.note_saved()
    state.forget_shown(seen)
    bulk_progress.report(f"Tagged {widgets.plural(result.changed, 'image')}", result)
