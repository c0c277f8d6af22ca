"""Options of a training run, and when to offer another one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.detection.library import (
    MAX_NAME_LENGTH,
    fitting_name,
    library_of,
    registered_model,
)
from imagebase.jobs.training import (
    KIND,
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

# Drawn after every click on Edit; it need not be up to the second.
_KEPT_SECONDS: Final = 30
_MOST_MINUTES: Final = {Mode.TEAM: 30, Mode.DEMO: 5}
_SIZES: Final = (320, 416, 512, 608)
_HELD_OUT_SHARE: Final = 5
_TABLE_PX: Final = 260
_MINUTES: Final = "train.minutes"
_FIELDS: Final = "imagebase.train.fields"
# Keys of the widgets, by the job's parameters.
_MORE: Final = {
    name: f"train.{name}" for name in ("input_size", "flip", "colours", "own_anchors")
}


def offer() -> None:
    """Draw a link to Train where enough images were approved since the last run."""
    scope = state.scope()
    folder = work_folder(scope, "-").parent
    if not folder.is_dir():
        return  # no query where nothing was trained
    news = _news(scope.owner_id, scope.dataset_id, folder.stat().st_mtime_ns)
    if (
        news < AGAIN_AFTER
        or not has_torch()
        or job_progress.is_active(job_progress.latest(KIND))
    ):
        return
    with st.container(horizontal=True, vertical_alignment="center", key="train.again"):
        st.markdown(
            f"{widgets.plural(news, 'image')} approved since the last training run.",
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
    """Return how many images were approved since the last training run.

    trained: changes with every training run.
    """
    scope, store = Scope(owner_id, dataset_id, ""), services.store()
    last = last_round(store.jobs(scope))
    if last is None:
        return 0
    approved = store.image_ids(scope, statuses=[ReviewStatus.APPROVED])
    return news_since(parts_known(scope, last), approved)


@dataclass(frozen=True, slots=True, eq=False)
class _TrainingData:
    """All images, the boxes on approved ones, and the number of approved images."""

    images: ImageTable
    boxes: BoxTable
    approved: int

    @property
    def counts(self) -> dict[str, int]:
        counts = np.bincount(self.boxes.label, minlength=len(self.boxes.labels))
        pairs = zip(self.boxes.labels, counts.tolist(), strict=True)
        return {name: count for name, count in pairs if count}


@st.cache_resource(max_entries=4, show_spinner=False)
def _tables(owner_id: str, dataset_id: str, version: str) -> _TrainingData:
    """Return the training data; version: changes with the dataset."""
    images, boxes = cache.health_tables(owner_id, dataset_id, version)
    is_approved, approved = checks.approved_tables(images, boxes)
    return _TrainingData(images, approved, int(is_approved.sum()))


def choose() -> None:
    """Draw labels, warnings, options and Train."""
    st.session_state.pop(_FIELDS, None)
    scope = state.scope()
    version = services.store().version(scope)
    data = _tables(scope.owner_id, scope.dataset_id, version)
    if not len(data.boxes):
        _no_training_data(data.approved)
        return
    left, right = st.columns([3, 2], gap="large")
    with right:
        side = _form()
    with left:
        _labels(data)
        _warnings(data, side)


def _no_training_data(approved: int) -> None:
    st.info(
        "No images are approved yet. Training needs approved images with boxes; about "
        "30 are a good start."
        if not approved
        else "No approved image has a box. Draw some first."
    )
    with st.container(horizontal=True):
        st.page_link(
            "pages/review.py", label="**Review**", icon=":material/fact_check:"
        )
        st.page_link("pages/edit.py", label="Edit", icon=":material/edit:")


def _labels(data: _TrainingData) -> None:
    images = widgets.plural(data.approved, "approved image")
    st.markdown(f"**Trains on {images}**; every fifth is used for validation.")
    counts = data.counts
    rows = [
        {
            "label": name,
            "boxes": counts[name],
            "images": len(np.unique(data.boxes.of_label(name).image)),
            "note": "few" if counts[name] < checks.FEW_BOXES else "",
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
                "Boxes", format="%d", min_value=0, max_value=max(counts.values())
            ),
            "images": st.column_config.NumberColumn("Images"),
            "note": st.column_config.TextColumn(""),
        },
    )


def _warnings(data: _TrainingData, side: int) -> None:
    sides = checks.sides_of(data.images, data.boxes, side)
    sentences = [
        *checks.few_boxes(data.counts),
        *checks.small_boxes(sides, side),
        *checks.few_held_out(data.approved // _HELD_OUT_SHARE),
    ]
    for sentence in sentences:
        st.caption(f":material/warning: {widgets.escape(sentence)}")
    st.caption(f":material/info: {checks.UNLABELLED}")


def _form() -> int:
    """Draw the options; return the input size in pixels."""
    most = _MOST_MINUTES[services.mode()]
    name = f"train.name.{state.dataset().dataset_id}"
    st.text_input(
        "Model name",
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
        help="Three are a good start. You can keep working meanwhile.",
    )
    with st.popover("More", icon=":material/tune:", key="train.more"):
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
    """Return twice as many minutes, up to the limit; None if that is not more."""
    wanted = min(round(2 * minutes) or 1, _MOST_MINUTES[services.mode()])
    return wanted if wanted > minutes else None


def start_longer(minutes: int) -> None:
    """Start a run with the page's options for this many minutes; for a callback."""
    if _FIELDS in st.session_state:
        st.session_state[_MINUTES] = minutes
        _start(st.session_state[_FIELDS])


@state.reports_errors
def _start(fields: Mapping[str, str]) -> None:
    """Start a run with the current options: the click may come before a rerun.

    fields: widget keys, by the job's parameters.
    """
    parameters = {field: st.session_state[key] for field, key in fields.items()}
    registered_model(parameters["base"], owner_id=state.scope().owner_id)
    name = parameters["name"].strip()
    library_of(state.scope().owner_id).free_name(name)  # raises if it cannot be used
    services.runner().submit(state.scope(), KIND, parameters | {"name": name})


def _base() -> str:
    """Draw the choice of the model to start from; return the widget's key."""
    models = cache.models()
    bases = [model.name for model in models.values() if model.is_darknet]
    start = _last_model(bases)
    key = f"train.base.{start}"
    st.selectbox(
        "Start from",
        bases,
        index=bases.index(start),
        format_func=lambda name: models[name].title,
        key=key,
    )
    return key


def _more() -> int:
    """Draw the advanced options; return the input size in pixels."""
    size: int = st.select_slider(
        "Input size (pixels)",
        _SIZES,
        DEFAULT_INPUT_SIZE,
        key=_MORE["input_size"],
        help="Larger finds smaller objects and trains more slowly.",
    )
    st.checkbox(
        "Mirror images",
        value=True,
        key=_MORE["flip"],
        help="Augmentation. Turn off for text, or where left and right are labels.",
    )
    st.checkbox(
        "Change colours",
        value=True,
        key=_MORE["colours"],
        help="Augmentation. Turn off where the colour decides the label.",
    )
    st.checkbox(
        "Fit anchors to the boxes",
        key=_MORE["own_anchors"],
        help="For objects of unusual shapes, such as very wide ones.",
    )
    return size


def _last_model(bases: Sequence[str]) -> str:
    last = last_round(services.store().jobs(state.scope()))
    model = cache.model_called(model_to_use(last)) if last is not None else None
    return model.name if model is not None and model.name in bases else DEFAULT_MODEL
