"""Options of a training run: labels, minutes; and when to train again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.detection.library import MAX_NAME_LENGTH, fitting_name, library_of
from imagebase.jobs.training import (
    KIND,
    free_name,
    last_round,
    parts_known,
    work_folder,
)
from imagebase.settings import DEFAULT_MODEL, Mode
from imagebase.store import Scope
from imagebase.store.statistics import BoxTable, ImageTable
from imagebase.training import checks
from imagebase.training.checks import has_torch
from imagebase.training.run_settings import DEFAULT_INPUT_SIZE, DEFAULT_MINUTES
from imagebase.training.sources import AGAIN_AFTER, model_to_use, news_since
from imagebase.ui import cache, job_progress, services, state, widgets

# It is drawn after every press on Edit, and need not be true to the second.
_KEPT_SECONDS: Final = 30


def offer() -> None:
    """Draw the line where enough was approved since the last training."""
    scope = state.scope()
    folder = work_folder(scope, "-").parent
    if not folder.is_dir():
        return  # no query where nobody has trained
    news = _news(scope.owner_id, scope.dataset_id, folder.stat().st_mtime_ns)
    if (
        news < AGAIN_AFTER
        or not has_torch()
        or job_progress.is_active(job_progress.latest(KIND))
    ):
        return
    with st.container(horizontal=True, vertical_alignment="center", key="train.again"):
        st.markdown(
            f"{widgets.plural(news, 'image')} approved since the last training.",
            width="content",
        )
        st.page_link(
            "pages/train.py",
            label="**Train again**",
            icon=":material/model_training:",
            width="content",
        )


@st.cache_data(max_entries=64, ttl=_KEPT_SECONDS, show_spinner=False)
def _news(owner_id: str, dataset_id: str, trained: int) -> int:
    """Return how many approved images the last training does not know.

    trained: changes when there was a training.
    """
    scope, store = Scope(owner_id, dataset_id, ""), services.store()
    last = last_round(store.jobs(scope))
    if last is None:
        return 0
    approved = store.image_ids(scope, statuses=[ReviewStatus.APPROVED])
    return news_since(parts_known(scope, last), approved)


_MOST_MINUTES: Final = {Mode.TEAM: 30, Mode.DEMO: 5}
_SIZES: Final = (320, 416, 512, 608)
_HELD_OUT_SHARE: Final = 5
_TABLE_PX: Final = 260
_MINUTES: Final = "train.minutes"
_FIELDS: Final = "imagebase.train.fields"
# The keys of the fields, by the job's parameters.
_MORE: Final = {
    name: f"train.{name}" for name in ("input_size", "flip", "colours", "own_anchors")
}


@dataclass(frozen=True, slots=True, eq=False)
class _Learnable:
    """Every image, the boxes on approved ones, and how many of those there are."""

    images: ImageTable
    boxes: BoxTable
    approved: int

    @property
    def counts(self) -> dict[str, int]:
        found = np.bincount(self.boxes.label, minlength=len(self.boxes.labels))
        pairs = zip(self.boxes.labels, found.tolist(), strict=True)
        return {name: count for name, count in pairs if count}


@st.cache_resource(max_entries=4, show_spinner=False)
def _tables(owner_id: str, dataset_id: str, version: str) -> _Learnable:
    """Return what there is to learn from; version: changes when the dataset does."""
    images, boxes = cache.health_tables(owner_id, dataset_id, version)
    is_approved, approved = checks.approved_tables(images, boxes)
    return _Learnable(images, approved, int(is_approved.sum()))


def choose() -> None:
    """Draw labels, warnings, minutes and the button."""
    st.session_state.pop(_FIELDS, None)
    scope = state.scope()
    version = services.store().version(scope)
    learnable = _tables(scope.owner_id, scope.dataset_id, version)
    if not len(learnable.boxes):
        _nothing_yet(learnable.approved)
        return
    left, right = st.columns([3, 2], gap="large")
    with right:
        side = _form()
    with left:
        _labels(learnable)
        _warnings(learnable, side)


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


def _labels(learnable: _Learnable) -> None:
    images = widgets.plural(learnable.approved, "approved image")
    st.markdown(f"**Learns from {images}**, of which every fifth is held out to judge.")
    counts = learnable.counts
    rows = [
        {
            "label": name,
            "boxes": counts[name],
            "images": len(np.unique(learnable.boxes.of_label(name).image)),
            "to know": "few" if counts[name] < checks.FEW_BOXES else "",
        }
        for name in services.store().labels(state.scope()).names
        if counts.get(name)
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


def _warnings(learnable: _Learnable, side: int) -> None:
    sides = checks.sides_of(learnable.images, learnable.boxes, side)
    sentences = [
        *checks.few_boxes(learnable.counts),
        *checks.small_boxes(sides, side),
        *checks.few_held_out(learnable.approved // _HELD_OUT_SHARE),
    ]
    for sentence in sentences:
        st.caption(f":material/warning: {widgets.escape(sentence)}")
    st.caption(f":material/info: {checks.UNLABELLED}")


def _form() -> int:
    """Draw how to train; return the side of the net's input."""
    most = _MOST_MINUTES[services.mode()]
    name = f"train.name.{state.dataset().dataset_id}"
    st.text_input(
        "Name of the model",
        fitting_name(f"{state.dataset().name} model"),
        max_chars=MAX_NAME_LENGTH,
        key=name,
    )
    st.slider(
        "Minutes",
        1,
        most,
        min(int(DEFAULT_MINUTES), most),
        key=_MINUTES,
        persist_state="session",
        help="Three are a good start. The app stays usable meanwhile.",
    )
    with st.popover("More", icon=":material/tune:"):
        base = _base()
        size = _more()
    fields = {"name": name, "minutes": _MINUTES, "base": base, **_MORE}
    st.session_state[_FIELDS] = fields
    st.button(
        "Train",
        key="train.start",
        type="primary",
        icon=":material/model_training:",
        width="stretch",
        on_click=_start,
        args=(fields,),
    )
    return size


def longer(minutes: float) -> int | None:
    """Return twice as many minutes, at most what may be; None where it was as many."""
    wanted = min(round(2 * minutes) or 1, _MOST_MINUTES[services.mode()])
    return wanted if wanted > minutes else None


def start_longer(minutes: int) -> None:
    """Train as the fields of the page say, but for so many minutes; for a callback."""
    if _FIELDS in st.session_state:
        st.session_state[_MINUTES] = minutes
        _start(st.session_state[_FIELDS])


@state.reports_errors
def _start(fields: Mapping[str, str]) -> None:
    """Train as the fields say now: the press may come before the page is drawn again.

    fields: the keys of their widgets, by the job's parameters.
    """
    asked = {field: st.session_state[key] for field, key in fields.items()}
    name = asked["name"].strip()
    free_name(library_of(state.scope().owner_id), name)  # or it is said why not
    services.runner().submit(state.scope(), KIND, asked | {"name": name})


def _base() -> str:
    """Draw the models to begin from; return the key of the field."""
    models = cache.models()
    bases = [one.name for one in models.values() if one.is_darknet]
    begun = _last_model(bases)
    key = f"train.base.{begun}"
    st.selectbox(
        "Begin from",
        bases,
        index=bases.index(begun),
        format_func=lambda one: models[one].title,
        key=key,
    )
    return key


def _more() -> int:
    """Draw what few change; return the side of the net's input."""
    size: int = st.select_slider(
        "Input of the net, pixels",
        _SIZES,
        DEFAULT_INPUT_SIZE,
        key=_MORE["input_size"],
        help="Larger finds smaller objects and learns more slowly.",
    )
    st.checkbox(
        "Mirrored objects are the same",
        value=True,
        key=_MORE["flip"],
        help="Switch it off for text, or where left and right are labels.",
    )
    st.checkbox(
        "Colours may change",
        value=True,
        key=_MORE["colours"],
        help="Switch it off where colour is the label.",
    )
    st.checkbox(
        "Anchors for these boxes",
        key=_MORE["own_anchors"],
        help="For objects of unusual shapes, such as very wide ones.",
    )
    return size


def _last_model(bases: Sequence[str]) -> str:
    """Return the model to go on with after the last training, or the usual one."""
    last = last_round(services.store().jobs(state.scope()))
    model = cache.model_called(model_to_use(last)) if last is not None else None
    return model.name if model is not None and model.name in bases else DEFAULT_MODEL
