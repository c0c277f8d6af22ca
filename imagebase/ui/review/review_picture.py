"""The picture beside the Review page's tables: an image, its boxes, what was said."""

from functools import partial
from typing import Final, Literal

import streamlit as st

from imagebase.annotation import ImageRecord, Size
from imagebase.ui import (
    cache,
    ignore_areas_dialog,
    marking,
    services,
    state,
    suggested_boxes,
    widgets,
)
from imagebase.ui.image_comments import draw_comments
from imagebase.ui.review import acting

_HIGHEST_PX: Final = 320


def show(record: ImageRecord, marked: frozenset[str] = frozenset()) -> None:
    """Draw an image with its boxes and comments, and the way to the editor.

    marked: ids of the boxes that stand out.
    """
    scope = state.scope()
    suggested = suggested_boxes.of_record(record)
    labels = services.store().labels(scope).with_labels(one.label for one in suggested)
    st.image(
        cache.labelled_picture(
            scope,
            record.with_annotations([*record.annotations, *suggested]),
            labels,
            highlighted=marked,
            marks=marking.open_marks(record.image_id),
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
        acting.open_button(record.image_id, key="review.open")
        ignore_areas_dialog.open_button(record, key="review.areas")
        marking.open_button(
            record,
            key="review.mark",
            why="",
            on_reject=partial(acting.reject_marked, record.image_id, record.revision),
        )
    draw_comments(record.image_id)


def _boxes_in_words(record: ImageRecord, suggestions: int) -> str:
    boxes = widgets.plural(len(record.annotations), "box")
    return widgets.with_suggestions(boxes, suggestions)


def _width(size: Size) -> int | Literal["stretch"]:
    """Return how wide to show a picture so that it is not much higher than a table."""
    if size.height <= size.width:
        return "stretch"
    return max(round(_HIGHEST_PX * size.width / size.height), 1)
