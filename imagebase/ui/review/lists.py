"""Tables of all boxes and all images, next to the selected image."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, Literal

import pandas as pd
import streamlit as st

from imagebase.annotation import Annotation, ImageRecord, Size, Source, states
from imagebase.annotation.attributes import in_words
from imagebase.formats.text_files import csv_cell
from imagebase.store import AnnotationRow, ImageFilter, ImageRow
from imagebase.ui import (
    cache,
    drawing_dialogs,
    find_more,
    likeness,
    services,
    similar_offer,
    state,
    suggested_boxes,
    widgets,
)
from imagebase.ui.edit.changes import draw_comments
from imagebase.ui.review import actions, filters

_HIGHEST_PX: Final = 320


def show(record: ImageRecord, marked: frozenset[str] = frozenset()) -> None:
    """Draw an image with its boxes and comments, and its actions.

    marked: ids of the boxes to highlight.
    """
    scope = state.scope()
    suggested = suggested_boxes.of_record(record)
    labels = services.store().labels(scope).with_labels(box.label for box in suggested)
    st.image(
        cache.labelled_picture(
            scope,
            record.with_annotations([*record.annotations, *suggested]),
            labels,
            highlighted=marked,
            marks=drawing_dialogs.open_marks(record.image_id),
        ),
        width=_width(record.size),
        alt=record.file_name,
    )
    st.caption(
        f"{widgets.escape(record.file_name)} · {record.size.width} × "
        f"{record.size.height} · {_boxes_in_words(record, len(suggested))} · "
        f"{widgets.STATUS_WORDS[record.status]}"
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        actions.open_button(record.image_id, key="review.open")
        drawing_dialogs.ignore_areas_button(record, key="review.areas")
        likeness.similar_button(record.image_id, key="review.similar")
        drawing_dialogs.marks_button(
            record,
            key="review.mark",
            comment="",
            on_reject=partial(actions.reject_marked, record.image_id, record.revision),
        )
    draw_comments(record.image_id)


def _boxes_in_words(record: ImageRecord, suggestions: int) -> str:
    boxes = widgets.plural(len(record.annotations), "box")
    return widgets.with_suggestions(boxes, suggestions)


def _width(size: Size) -> int | Literal["stretch"]:
    """Return the width at which an image is about as high as the table."""
    if size.height <= size.width:
        return "stretch"
    return max(round(_HIGHEST_PX * size.width / size.height), 1)


PAGE_SIZE: Final = 60
TABLE_PX: Final = 400
SHARES: Final = (10, 3)


def box_table() -> None:
    """Draw the boxes that match the filters, and the actions on selected ones."""
    scope, store = state.scope(), services.store()
    wanted, order = filters.draw_label_filters()
    total = store.count_annotations(scope, wanted)
    with filters.bar():
        filters.draw_labels_chip(wanted)
        offset = filters.draw_paging(
            total, "box", page_size=PAGE_SIZE, key="review.labels.page"
        )
        actions.accept_above(wanted)
    similar_offer.draw_offer()
    if not total:
        filters.say_no_box_matches()
        return
    rows = store.annotation_rows(
        scope, wanted, order=order, offset=offset, limit=PAGE_SIZE
    )
    table, picture = st.columns(SHARES, gap="small")
    with table:
        chosen = [rows[i] for i in _table(rows, offset)]
        actions.act_on_boxes(chosen, key="review.labels")
        actions.say_selected(chosen, hint="Select rows to act on them.")
    with picture:
        _show_chosen(chosen or rows[:1])


def _table(rows: Sequence[AnnotationRow], offset: int) -> list[int]:
    event = st.dataframe(
        _frame(rows),
        hide_index=True,
        height=TABLE_PX,
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="",
        key=f"review.table.{offset}.{_fingerprint(rows)}",
        column_config=_columns(),
    )
    return list(event["selection"]["rows"])


def _frame(rows: Sequence[AnnotationRow]) -> pd.DataFrame:
    scope = state.scope()
    boxes = [row.annotation for row in rows]
    return pd.DataFrame(
        {
            "crop": [
                cache.crop_data_url(scope, row.image_id, row.size, row.annotation.box)
                for row in rows
            ],
            "image": _cells(row.file_name for row in rows),
            "label": _cells(box.label for box in boxes),
            **_attributes(boxes),
            "size": [f"{box.box.width:.0f} × {box.box.height:.0f}" for box in boxes],
            "confidence": [as_percent(box.confidence) for box in boxes],
            "source": [_source(row) for row in rows],
            "who": _cells(box.changed_by for box in boxes),
            "when": [box.changed_at for box in boxes],
            "status": [widgets.STATUS_WORDS[row.status] for row in rows],
        }
    ).astype({"confidence": "float64"})


def _cells(names: Iterable[str]) -> list[str]:
    """Return names for a table, which has a button to download it as CSV."""
    return [str(csv_cell(name)) for name in names]


def _attributes(boxes: Sequence[Annotation]) -> dict[str, list[str]]:
    words = [in_words(box.attributes) for box in boxes]
    return {"attributes": _cells(words)} if any(words) else {}


def as_percent(confidence: float | None) -> float | None:
    return None if confidence is None else confidence * 100


def _columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "crop": config.ImageColumn("", width=38),
        "image": config.TextColumn("image", width=112),
        "label": config.TextColumn("label", width=82),
        "size": config.TextColumn("size", width=76),
        "confidence": config.NumberColumn(
            "conf.", format="%.0f %%", width=48, help="The model's confidence."
        ),
        "source": config.TextColumn("source", width=66),
        "who": config.TextColumn("user", width=58),
        "when": config.DatetimeColumn(
            "changed",
            format="D MMM HH:mm",
            timezone=st.context.timezone or "UTC",
            width=88,
        ),
        "status": config.TextColumn("status", width=70),
        "attributes": config.TextColumn("attributes", width=120),
    }


def _source(row: AnnotationRow) -> str:
    accepted = row.annotation.source is Source.MODEL and row.annotation.accepted
    return "accepted" if accepted else str(row.annotation.source)


def _fingerprint(rows: Sequence[AnnotationRow]) -> int:
    """Return a number that changes with the rows: selections are by position."""
    return hash(tuple(row.annotation.annotation_id for row in rows))


def _show_chosen(chosen: Sequence[AnnotationRow]) -> None:
    record = services.store().record(state.scope(), chosen[-1].image_id)
    marked = frozenset(row.annotation.annotation_id for row in chosen)
    show(record, marked)


_MINE: Final = "mine, rejected"
_OPEN: Final = "open comments"


def image_table() -> None:
    """Draw the images that match the filters, and the actions on selected ones."""
    scope, store = state.scope(), services.store()
    wanted = _filters()
    total = store.count_images(scope, wanted)
    with filters.bar():
        filters.draw_images_chip()
        offset = filters.draw_paging(
            total, "image", page_size=PAGE_SIZE, key="review.images.page"
        )
    if not total:
        st.info(_empty(wanted))
        return
    rows = store.image_rows(scope, wanted, offset=offset, limit=PAGE_SIZE)
    table, picture = st.columns(SHARES, gap="small")
    with table:
        chosen = [rows[i] for i in _image_table(rows, offset)]
        _act(chosen, wanted, total)
    with picture:
        shown = (chosen or rows)[-1 if chosen else 0]
        show(store.record(scope, shown.image_id))


def _filters() -> ImageFilter:
    filters.set_defaults(filters.IMAGE_FILTERS)
    chosen = filters.chosen_images()
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
            help="“mine, rejected” are rejected images that you edited last or drew "
            "a box on.",
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
        return "None of your images were rejected. Clear the filter to see all images."
    return "No images match. Clear a filter."


def _act(chosen: Sequence[ImageRow], wanted: ImageFilter, total: int) -> None:
    with st.container():
        selects_all = total > 1 and st.checkbox(
            f"Select all {widgets.plural(total, 'matching image')}, on every page",
            key=f"review.images.all.{hash((total, str(wanted)))}",
        )
    if selects_all:
        chosen = services.store().image_rows(state.scope(), wanted)
    images = {row.image_id: row.revision for row in chosen}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        actions.act_on_images(images, key="review.images")
        actions.draw_undo(key="review.images")
        actions.remove(chosen, key="review.images")
        labels = dict.fromkeys(label for row in chosen for label in row.boxes)
        find_more.popover(list(labels), list(images), key="review.images.find")
        st.caption(
            f"{widgets.plural(len(images), 'image')} selected"
            if images
            else "Select rows to act on them.",
            width="content",
        )


def _image_table(rows: Sequence[ImageRow], offset: int) -> list[int]:
    config = st.column_config
    event = st.dataframe(
        _image_frame(rows),
        hide_index=True,
        height=TABLE_PX,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"review.image_table.{offset}.{hash(repr(rows))}",
        column_config={
            "image": config.TextColumn("image", width=150),
            "status": config.TextColumn("status", width=74),
            "boxes": config.NumberColumn("boxes", width=52),
            "labels": config.TextColumn("labels", width=150),
            "open": config.TextColumn("open", width=48, help="Unresolved comments"),
            "comment": config.TextColumn("rejection comment", width=150),
            "tags": config.TextColumn("tags", width=80),
        },
    )
    return list(event["selection"]["rows"])


def _image_frame(rows: Sequence[ImageRow]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {
        "image": _cells(row.file_name for row in rows),
        "status": [widgets.STATUS_WORDS[row.status] for row in rows],
        "boxes": [row.box_count for row in rows],
        "labels": _cells(", ".join(row.boxes) for row in rows),
        "open": [str(row.open_comments or "") for row in rows],
        "comment": _cells(row.comment for row in rows),
        "tags": _cells(", ".join(row.tags) for row in rows),
    }
    if not any(columns["tags"]):
        del columns["tags"]
    return pd.DataFrame(columns)
