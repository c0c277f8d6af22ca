"""Tags of an image as a whole: chosen from the dataset's, or typed."""

from collections.abc import Callable

import streamlit as st

from imagebase.annotation import ImageRecord
from imagebase.editing import tagged
from imagebase.ui import backend, state

Change = Callable[[ImageRecord, str], ImageRecord]


def draw_tags(record: ImageRecord, *, on_change: Callable[[Change], None]) -> None:
    """Draw the image's tags; what is added or removed goes through `on_change`."""
    known = backend.store().tag_counts(state.scope())
    key = f"edit.tags.{record.image_id[:12]}.{hash(record.tags)}"
    st.multiselect(
        "Tags of the image",
        list(dict.fromkeys([*record.tags, *known])),
        default=list(record.tags),
        accept_new_options=True,
        key=key,
        placeholder="Tag the whole image …",
        label_visibility="collapsed",
        on_change=_apply,
        args=(key, on_change),
    )


def _apply(key: str, on_change: Callable[[Change], None]) -> None:
    tags = list(st.session_state[key])
    on_change(lambda record, who: tagged(record, tags))
