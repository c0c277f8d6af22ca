"""What to learn from and how long: labels with their counts, minutes, Train."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from imagebase.annotation import ImageRecord, ReviewStatus
from imagebase.settings import DEFAULT_MODEL, Mode
from imagebase.tasks.train import last_round
from imagebase.training import advice
from imagebase.training.gathering import box_counts
from imagebase.training.settings import DEFAULT_INPUT_SIZE
from imagebase.ui import backend, cache, jobs, state, widgets

MINUTES: Final = 3
_MOST_MINUTES: Final = {Mode.TEAM: 30, Mode.DEMO: 5}
_SIZES: Final = (320, 416, 512, 608)
_HELD_OUT_SHARE: Final = 5
_TABLE_PX: Final = 260


def choose() -> None:
    """Draw labels, warnings, minutes and the button."""
    records = backend.store().records(state.scope(), statuses=[ReviewStatus.APPROVED])
    if not any(one.annotations for one in records):
        _nothing_yet(len(records))
        return
    left, right = st.columns([3, 2], gap="large")
    with right:
        side = _form(len(records))
    with left:
        _labels(records)
        _warnings(records, side)


def _nothing_yet(approved: int) -> None:
    st.info(
        "A model learns from approved images, and no approved image has a box yet. "
        "Approve some first: from about 30 images on it is worth a try."
        if not approved
        else "None of the approved images has a box. Draw some, then train."
    )
    with st.container(horizontal=True):
        st.page_link(
            "pages/review.py", label="**Review**", icon=":material/fact_check:"
        )
        st.page_link("pages/edit.py", label="Edit", icon=":material/edit:")


def _labels(records: Sequence[ImageRecord]) -> None:
    images = widgets.plural(len(records), "approved image")
    st.markdown(f"**Learns from {images}**, of which every fifth is held out to judge.")
    counts = box_counts(records)
    rows = [
        {
            "label": name,
            "boxes": counts[name],
            "images": sum(name in record.labels for record in records),
            "to know": "few" if counts[name] < advice.FEW_BOXES else "",
        }
        for name in backend.store().labels(state.scope()).names
        if counts[name]
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height=min(_TABLE_PX, 36 * (len(rows) + 1)),
        column_config={
            "label": st.column_config.TextColumn("Label"),
            "boxes": st.column_config.ProgressColumn(
                "Boxes",
                format="%d",
                min_value=0,
                max_value=max(counts.values()),
            ),
            "images": st.column_config.NumberColumn("Images"),
            "to know": st.column_config.TextColumn(""),
        },
    )


def _warnings(records: Sequence[ImageRecord], side: int) -> None:
    sides = advice.sides_of(records, side)
    sentences = [
        *advice.few_boxes(box_counts(records)),
        *advice.small_boxes(sides, side),
        *advice.few_held_out(len(records) // _HELD_OUT_SHARE),
    ]
    for sentence in sentences:
        st.caption(f":material/warning: {widgets.escape(sentence)}")
    st.caption(f":material/info: {advice.UNLABELLED}")


def _form(approved: int) -> int:
    """Draw how to train; return the side of the net's input."""
    most = _MOST_MINUTES[backend.mode()]
    name = st.text_input(
        "Name of the model",
        f"{state.dataset().name} model"[:60],
        max_chars=60,
        key=f"train.name.{state.dataset().dataset_id}",
    )
    minutes = st.slider(
        "Minutes",
        1,
        most,
        min(MINUTES, most),
        key="train.minutes",
        persist_state="session",
        help="Three are a good start. The app stays usable meanwhile.",
    )
    with st.popover("More", icon=":material/tune:"):
        more = _more()
    st.button(
        "Train",
        key="train.start",
        type="primary",
        icon=":material/model_training:",
        width="stretch",
        disabled=not approved or not name.strip(),
        on_click=jobs.start,
        args=("train", {"name": name.strip(), "minutes": minutes, **more}),
    )
    return int(more["input_size"])


def _more() -> dict[str, Any]:
    bases = [one.name for one in cache.models().values() if one.is_darknet]
    last = last_round(backend.store().jobs(state.scope()))
    begun = last.model if last is not None and last.model in bases else DEFAULT_MODEL
    models = cache.models()
    base = st.selectbox(
        "Begin from",
        bases,
        index=bases.index(begun),
        format_func=lambda one: models[one].title,
        key=f"train.base.{begun}",
    )
    size = st.select_slider(
        "Input of the net, pixels",
        _SIZES,
        DEFAULT_INPUT_SIZE,
        key="train.input_size",
        help="Larger finds smaller objects and learns more slowly.",
    )
    flip = st.checkbox(
        "Mirrored objects are the same",
        value=True,
        key="train.flip",
        help="Switch it off for text, or where left and right are labels.",
    )
    colours = st.checkbox(
        "Colours may change",
        value=True,
        key="train.colours",
        help="Switch it off where colour is the label.",
    )
    own_anchors = st.checkbox(
        "Anchors for these boxes",
        key="train.own_anchors",
        help="For objects of unusual shapes, such as very wide ones.",
    )
    return {
        "base": base,
        "input_size": size,
        "flip": flip,
        "colours": colours,
        "own_anchors": own_anchors,
    }
