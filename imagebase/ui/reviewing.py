"""The Review page's parts: filters, the table of labels, the table of images."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import pandas as pd
import streamlit as st

from imagebase.annotation import ImageRecord, ReviewStatus, Size, Source
from imagebase.review import (
    BulkReport,
    approve_images,
    delete_boxes,
    reject_images,
    relabel_boxes,
)
from imagebase.store import AnnotationFilter, AnnotationRow
from imagebase.ui import backend, cache, state, widgets

PAGE_SIZE: Final = 60
TABLE_PX: Final = 400
_PICTURE_PX: Final = 400
_STATUSES: Final = list(ReviewStatus)
_ORDERS: Final = {
    "doubt": "doubtful first",
    "upload": "as uploaded",
    "newest": "newest change",
}


def label_table() -> None:
    """Draw every label that passes the filters, with what can be done to a choice."""
    scope, store = state.scope(), backend.store()
    filters = _label_filters()
    total = store.count_annotations(scope, filters)
    if not total:
        st.info(
            "No label passes these filters. Widen them, or let a model look for "
            "objects on **Annotate**."
        )
        return
    offset = _turn_pages(total, "review.labels.page")
    order = st.session_state.get("review.order", "doubt")
    rows = store.annotation_rows(
        scope, filters, order=order, offset=offset, limit=PAGE_SIZE
    )
    table, picture = st.columns([3, 2], gap="medium")
    with table:
        chosen = [rows[i] for i in _labels_frame(rows, offset)]
        _label_actions(chosen)
    with picture:
        _show_chosen(chosen or rows[:1])


def _label_filters() -> AnnotationFilter:
    names = backend.store().labels(state.scope()).names
    cells = st.columns([2, 2, 2, 2, 2, 2], vertical_alignment="bottom")
    statuses = cells[0].multiselect(
        "Status",
        _STATUSES,
        format_func=widgets.STATUS_WORDS.__getitem__,
        key="review.statuses",
        placeholder="any",
        persist_state="session",
    )
    labels = cells[1].multiselect(
        "Label", names, key="review.labels", placeholder="any", persist_state="session"
    )
    sources = cells[2].multiselect(
        "Source",
        list(Source),
        key="review.sources",
        placeholder="any",
        persist_state="session",
    )
    confidence = cells[3].slider(
        "Confidence",
        0.0,
        1.0,
        (0.0, 1.0),
        0.01,
        key="review.confidence",
        persist_state="session",
        help="A person's boxes have none; they show while the slider is wide open.",
    )
    text = cells[4].text_input(
        "Search", key="review.text", placeholder="file name", persist_state="session"
    )
    cells[5].selectbox(
        "Order",
        list(_ORDERS),
        format_func=_ORDERS.__getitem__,
        key="review.order",
        persist_state="session",
    )
    return AnnotationFilter(
        statuses=statuses or None,
        labels=labels or None,
        sources=sources or None,
        confidence=None if confidence == (0.0, 1.0) else confidence,
        text=text or None,
    )


def _turn_pages(total: int, key: str) -> int:
    pages = -(-total // PAGE_SIZE)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{total:,} in all")
        number = widgets.page_number(pages, key=key) if pages > 1 else 1
    return (number - 1) * PAGE_SIZE


def _labels_frame(rows: Sequence[AnnotationRow], offset: int) -> list[int]:
    scope = state.scope()
    frame = pd.DataFrame(
        {
            "crop": [
                cache.crop_data_url(scope, row.image_id, row.size, row.annotation.box)
                for row in rows
            ],
            "image": [row.file_name for row in rows],
            "label": [row.annotation.label for row in rows],
            "confidence": [row.annotation.confidence for row in rows],
            "status": [widgets.STATUS_WORDS[row.status] for row in rows],
            "size": [
                f"{row.annotation.box.width:.0f} × {row.annotation.box.height:.0f}"
                for row in rows
            ],
            "by": [_source(row) for row in rows],
            "who": [row.annotation.changed_by for row in rows],
            "when": [row.annotation.changed_at for row in rows],
        }
    ).astype({"confidence": "float64"})
    event = st.dataframe(
        frame,
        hide_index=True,
        height=TABLE_PX,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"review.table.{offset}.{_fingerprint(rows)}",
        column_config={
            "confidence": st.column_config.ProgressColumn(
                "confidence", min_value=0, max_value=1, format="%.2f", width="small"
            ),
            "crop": st.column_config.ImageColumn("", width=44),
            "image": st.column_config.TextColumn("image", width=120),
            "when": st.column_config.DatetimeColumn("when", format="distance"),
        },
    )
    return list(event["selection"]["rows"])


def _source(row: AnnotationRow) -> str:
    accepted = row.annotation.source is Source.MODEL and row.annotation.accepted
    return "accepted" if accepted else str(row.annotation.source)


def _fingerprint(rows: Sequence[AnnotationRow]) -> int:
    """Return a number that changes with the rows: a selection is only by position."""
    return hash(tuple(row.annotation.annotation_id for row in rows))


def _label_actions(chosen: Sequence[AnnotationRow]) -> None:
    boxes = [(row.image_id, row.annotation.annotation_id) for row in chosen]
    images = {row.image_id: row.revision for row in chosen}
    st.caption(
        f"{widgets.plural(len(boxes), 'label')} on "
        f"{widgets.plural(len(images), 'image')} selected"
        if boxes
        else "Tick rows to act on them."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _image_actions(images, "review.labels")
        with st.popover("Relabel", icon=":material/label:", disabled=not boxes):
            label = st.selectbox(
                "New label",
                backend.store().labels(state.scope()).names,
                accept_new_options=True,
                key="review.relabel.to",
            )
            st.button(
                "Relabel them",
                key="review.relabel",
                disabled=not label,
                on_click=_relabel,
                args=(boxes, label, images),
                type="primary",
            )
        st.button(
            "Delete",
            key="review.delete",
            icon=":material/delete:",
            disabled=not boxes,
            on_click=_delete,
            args=(boxes, images),
        )


def _image_actions(images: Mapping[str, int], key: str) -> None:
    st.button(
        "Approve images",
        key=f"{key}.approve",
        icon=":material/check:",
        type="primary",
        disabled=not images,
        on_click=_approve,
        args=(images,),
    )
    with st.popover("Reject", icon=":material/close:", disabled=not images):
        comment = st.text_area(
            "What is wrong?", key=f"{key}.comment", placeholder="The wheel is cut off."
        )
        st.button(
            "Reject images",
            key=f"{key}.reject",
            type="primary",
            on_click=_reject,
            args=(images, comment),
        )


@state.told
def _approve(seen: Mapping[str, int]) -> None:
    report = approve_images(backend.store(), state.scope(), seen, seen=seen)
    _say("Approved", report)


@state.told
def _reject(seen: Mapping[str, int], comment: str) -> None:
    report = reject_images(
        backend.store(), state.scope(), seen, comment=comment, seen=seen
    )
    _say("Rejected", report)


@state.told
def _relabel(
    boxes: Sequence[tuple[str, str]], label: str, seen: Mapping[str, int]
) -> None:
    report = relabel_boxes(
        backend.store(), state.scope(), boxes, label=label, seen=seen
    )
    _say("Relabelled on", report)


@state.told
def _delete(boxes: Sequence[tuple[str, str]], seen: Mapping[str, int]) -> None:
    report = delete_boxes(backend.store(), state.scope(), boxes, seen=seen)
    _say("Deleted on", report)


def _say(done: str, report: BulkReport) -> None:
    message = f"{done} {widgets.plural(report.changed, 'image')}."
    if report.conflicts:
        message += (
            f" {widgets.plural(report.conflicts, 'image')} had been changed by "
            "somebody else meanwhile and stay as they are."
        )
    state.say(message)


def _show_chosen(chosen: Sequence[AnnotationRow]) -> None:
    """Draw the image of the last chosen row, the chosen boxes on it standing out."""
    image_id = chosen[-1].image_id
    record = backend.store().record(state.scope(), image_id)
    marked = frozenset(row.annotation.annotation_id for row in chosen)
    _show_record(record, marked)


def _show_record(record: ImageRecord, marked: frozenset[str] = frozenset()) -> None:
    scope = state.scope()
    labels = backend.store().labels(scope)
    st.image(
        cache.labelled_picture(scope, record, labels, highlighted=marked),
        width=_picture_width(record.size),
        alt=record.file_name,
    )
    st.caption(
        f"{widgets.escape(record.file_name)} · {record.size.width} × "
        f"{record.size.height} · {widgets.plural(len(record.annotations), 'box')} · "
        f"{widgets.STATUS_WORDS[record.status]}"
    )
    if record.comment:
        st.warning(widgets.escape(record.comment), icon=":material/comment:")
    if st.button("Open in the editor", key="review.open", icon=":material/edit:"):
        state.choose_image(record.image_id)
        st.switch_page(widgets.EDIT_PAGE)


def _picture_width(size: Size) -> int | Literal["stretch"]:
    """Return how wide to show a picture so that it is not much higher than a table."""
    if size.height <= size.width:
        return "stretch"
    return max(round(_PICTURE_PX * size.width / size.height), 1)


def image_table() -> None:
    """Draw the images with their states, with what can be done to a choice."""
    scope, store = state.scope(), backend.store()
    statuses = st.pills(
        "Status",
        _STATUSES,
        selection_mode="multi",
        key="review.image_statuses",
        format_func=widgets.STATUS_WORDS.__getitem__,
        persist_state="session",
        label_visibility="collapsed",
    )
    total = len(store.image_ids(scope, statuses=statuses or None))
    if not total:
        st.info("No image is in this state. Choose another one above.")
        return
    offset = _turn_pages(total, "review.images.page")
    records = store.records(
        scope, statuses=statuses or None, offset=offset, limit=PAGE_SIZE
    )
    table, picture = st.columns([3, 2], gap="medium")
    with table:
        chosen = [records[i] for i in _images_frame(records, offset)]
        with st.container(horizontal=True, vertical_alignment="bottom"):
            _image_actions(
                {one.image_id: one.revision for one in chosen}, "review.images"
            )
    with picture:
        _show_record((chosen or records)[-1 if chosen else 0])


def _images_frame(records: Sequence[ImageRecord], offset: int) -> list[int]:
    frame = pd.DataFrame(
        {
            "image": [one.file_name for one in records],
            "status": [widgets.STATUS_WORDS[one.status] for one in records],
            "boxes": [len(one.annotations) for one in records],
            "labels": [", ".join(one.labels) for one in records],
            "comment": [one.comment for one in records],
            "size": [f"{one.size.width} × {one.size.height}" for one in records],
        }
    )
    event = st.dataframe(
        frame,
        hide_index=True,
        height=TABLE_PX,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"review.image_table.{offset}.{hash(tuple(records))}",
    )
    return list(event["selection"]["rows"])
