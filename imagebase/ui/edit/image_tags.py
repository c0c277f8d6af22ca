"""Tags of an image as a whole: chosen from the dataset's, or typed."""

from functools import partial

import streamlit as st

from imagebase.annotation import ImageRecord
from imagebase.editing.records import tagged
from imagebase.ui import services, state
from imagebase.ui.edit import changing


def draw_tags(record: ImageRecord) -> None:
    """Draw the image's tags; what is added or removed is saved at once."""
    known = services.store().tag_counts(state.scope())
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
        args=(key, record.image_id),
    )


def _apply(key: str, image_id: str) -> None:
    tags = list(st.session_state[key])
    change = partial(changing.change, lambda record, who: tagged(record, tags))
    changing.on_screen(image_id, change)
