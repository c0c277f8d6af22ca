"""Contact sheet of the Review page: crops in a grid, selected and corrected in bulk."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.store import AnnotationFilter, AnnotationRow
from imagebase.ui import find_more, services, similar_offer, state, widgets
from imagebase.ui.contact_sheet import Place, Tile, crop_urls, draw_sheet
from imagebase.ui.review import actions, filters
from imagebase.wording import percent

PAGE_SIZE: Final = 48
_MOST_LABELS: Final = 8
_HINT: Final = "Click crops to select them. Shift+click selects a range, A selects all."


def contact_sheet() -> None:
    """Draw the crops of the boxes that match the filters."""
    wanted, order = filters.draw_label_filters()
    _frequent_labels(wanted)
    total = services.store().count_annotations(state.scope(), wanted)
    with filters.bar():
        filters.draw_labels_chip(wanted)
        offset = filters.draw_paging(
            total, "box", page_size=PAGE_SIZE, key="review.crops.page"
        )
        actions.accept_above(wanted)
    if not total:
        similar_offer.draw_offer()
        filters.say_no_box_matches()
        return
    _sheet(wanted, order, offset, services.store().version(state.scope()))


def _frequent_labels(wanted: AnnotationFilter) -> None:
    counts = filters.label_counts(replace(wanted, labels=None))
    chosen = list(wanted.labels or ())
    names = list(dict.fromkeys([*chosen[:1], *counts]))[:_MOST_LABELS]
    current = chosen[0] if len(chosen) == 1 else None
    shown = tuple((name, counts.get(name, 0)) for name in names)
    key = f"review.crops.label.{hash((shown, current))}"
    st.pills(
        "Label",
        names,
        default=current if current in names else None,
        format_func=lambda name: f"{widgets.escape(name)} {counts.get(name, 0):,}",
        key=key,
        label_visibility="collapsed",
        on_change=_choose_label,
        args=(key, current),
    )


def _choose_label(key: str, before: str | None) -> None:
    name = widgets.offered(key, filters.label_names(), None)
    # A browser that has not heard of a newer choice may send the field as it was.
    if name != before:
        st.session_state[filters.LABELS_KEY] = [name] if name else []


@st.fragment
@widgets.guarded
def _sheet(wanted: AnnotationFilter, order: str, offset: int, version: str) -> None:
    """Draw a page of crops and the actions on the selected ones.

    version: of the dataset, as the rest of the page shows it.
    """
    find_more.go_on()
    state.leave_deleted_dataset()
    scope, store = state.scope(), services.store()
    if store.version(scope) != version:
        st.rerun()  # the counts around the sheet have to follow
    similar_offer.draw_offer()
    rows = store.annotation_rows(
        scope, wanted, order=order, offset=offset, limit=PAGE_SIZE
    )
    head = st.container()
    # The selection outlives changes by others; an own change or a new page ends it.
    shown = f"{actions.acts()}.{offset}.{scope.dataset_id}"
    selected = draw_sheet(_tiles(rows), key="review.sheet", version=shown)
    chosen = [row for row in rows if _key(row) in selected]
    with head:
        actions.act_on_boxes(chosen, key="review.crops")
        _say_selected(chosen)


def _say_selected(chosen: Sequence[AnnotationRow]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        actions.say_selected(chosen, hint=_HINT)
        if chosen:
            labels = dict.fromkeys(row.annotation.label for row in chosen)
            image_ids = dict.fromkeys(row.image_id for row in chosen)
            find_more.popover(list(labels), list(image_ids), key="review.crops.find")
        if len({row.image_id for row in chosen}) == 1:
            actions.open_button(chosen[0].image_id, key="review.crops.open")


def _key(row: AnnotationRow) -> str:
    return f"{row.image_id}/{row.annotation.annotation_id}"


def _tiles(rows: Sequence[AnnotationRow]) -> list[Tile]:
    scope = state.scope()
    labels = services.store().labels(scope)
    places = [Place(row.image_id, row.size, row.annotation.box) for row in rows]
    return [
        Tile(
            _key(row),
            url,
            name=row.annotation.label,
            colour=labels.colour_of(row.annotation.label),
            value=_value(row),
            title=_title(row),
        )
        for row, url in zip(rows, crop_urls(scope, places), strict=True)
    ]


def _value(row: AnnotationRow) -> str:
    """Return the confidence of a model's box, or a check mark once reviewed."""
    annotation = row.annotation
    if not annotation.is_untouched or row.status is ReviewStatus.APPROVED:
        return "✓"
    return "" if annotation.confidence is None else percent(annotation.confidence)


def _title(row: AnnotationRow) -> str:
    box, confidence = row.annotation.box, row.annotation.confidence
    sure = "" if confidence is None else f" · confidence {percent(confidence)}"
    return (
        f"{row.file_name} · {box.width:.0f} × {box.height:.0f} px{sure} · "
        f"{widgets.STATUS_WORDS[row.status]}"
    )
