"""The Review page's table of every label, with what can be done to a choice."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from imagebase.annotation import Annotation, Source
from imagebase.annotation.attributes import in_words
from imagebase.store import AnnotationRow
from imagebase.ui import cache, services, similar_offer, state, widgets
from imagebase.ui.review import (
    accepting,
    acting,
    label_filters,
    review_filters,
    review_picture,
)

PAGE_SIZE: Final = 60
TABLE_PX: Final = 400
SHARES: Final = (10, 3)


def label_table() -> None:
    """Draw every label that passes the filters, with what can be done to a choice."""
    scope, store = state.scope(), services.store()
    wanted, order = label_filters.draw_filters()
    total = store.count_annotations(scope, wanted)
    with review_filters.bar():
        label_filters.draw_chip(wanted)
        offset = review_filters.turn_pages(
            total, "label", page_size=PAGE_SIZE, key="review.labels.page"
        )
        accepting.accept_above(wanted)
    similar_offer.draw_offer()
    if not total:
        label_filters.say_nothing_passes()
        return
    rows = store.annotation_rows(
        scope, wanted, order=order, offset=offset, limit=PAGE_SIZE
    )
    table, picture = st.columns(SHARES, gap="small")
    with table:
        chosen = [rows[i] for i in _table(rows, offset)]
        acting.act_on_boxes(chosen, key="review.labels")
        acting.say_selected(chosen, hint="Select rows to act on them.")
    with picture:
        _show_chosen(chosen or rows[:1])


def _table(rows: Sequence[AnnotationRow], offset: int) -> list[int]:
    """Draw a page of the table; return the places of the rows that are ticked."""
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
            "image": [row.file_name for row in rows],
            "label": [one.label for one in boxes],
            **_known(boxes),
            "size": [f"{one.box.width:.0f} × {one.box.height:.0f}" for one in boxes],
            "confidence": [as_percent(one.confidence) for one in boxes],
            "source": [_source(row) for row in rows],
            "who": [one.changed_by for one in boxes],
            "when": [one.changed_at for one in boxes],
            "status": [widgets.STATUS_WORDS[row.status] for row in rows],
        }
    ).astype({"confidence": "float64"})


def _known(boxes: Sequence[Annotation]) -> dict[str, list[str]]:
    """Return a column of attributes, where any of these boxes has some."""
    words = [in_words(one.attributes) for one in boxes]
    return {"attributes": words} if any(words) else {}


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
        "who": config.TextColumn("who", width=58),
        "when": config.DatetimeColumn(
            "when",
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
    """Return a number that changes with the rows: a selection is only by position."""
    return hash(tuple(row.annotation.annotation_id for row in rows))


def _show_chosen(chosen: Sequence[AnnotationRow]) -> None:
    """Draw the image of the last chosen row, the chosen boxes on it standing out."""
    record = services.store().record(state.scope(), chosen[-1].image_id)
    marked = frozenset(row.annotation.annotation_id for row in chosen)
    review_picture.show(record, marked)
