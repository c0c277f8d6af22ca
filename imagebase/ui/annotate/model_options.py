"""Model options of Annotate: model, quality, input size, ensemble, label names."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from imagebase.annotation import MAX_LABEL_LENGTH
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.detector import Detector
from imagebase.detection.factory import (
    ACCURATE,
    FAST,
    FIXED,
    INPUT_SIZES,
    RESIZABLE,
    ModelConfig,
)
from imagebase.detection.model_card import card_of
from imagebase.detection.model_files import Model
from imagebase.jobs.scoring import parameters_in_use
from imagebase.settings import DEFAULT_MODEL
from imagebase.ui import cache, services, state, suggested_boxes, widgets

_MODEL: Final = "annotate.model"
_MOST_OTHERS: Final = 3
_POPOVER_PX: Final = 380
_TABLE_PX: Final = 460
_TABLE_HEIGHT_PX: Final = 220


def model() -> Model:
    """Draw the choice of models; return the chosen one."""
    models = cache.models()
    # Session state, no default: the Train page sets it too.
    if st.session_state.get(_MODEL) not in models:
        st.session_state[_MODEL] = _usual(models)
    chosen: str = st.selectbox(
        "Model",
        list(models),
        format_func=lambda name: models[name].title,
        key=_MODEL,
        persist_state="session",
    )
    return models.get(chosen) or models[DEFAULT_MODEL]


def _usual(models: Collection[str]) -> str:
    """Return the model whose boxes were saved last here, else the project's default."""
    used = parameters_in_use(services.store(), state.scope()) or {}
    name = str(used.get("model"))
    return name if name in models else DEFAULT_MODEL


def options(chosen: Model) -> ModelConfig:
    """Draw the options in a popover; return the model configuration."""
    own = card_of(chosen).input_size.width
    with st.popover(
        "Options", icon=":material/tune:", width="stretch", key="annotate.how"
    ):
        is_accurate = st.toggle(
            "Accurate (test-time augmentation)",
            key="annotate.accurate",
            persist_state="session",
            help="Runs on mirrored copies and parts of each image too and merges the "
            "boxes: fewer missed objects, better boxes, slower.",
        )
        side = _net_size(chosen, own)
        others = _others(chosen)
        setup = ModelConfig(
            (chosen.name, *others), ACCURATE if is_accurate else FAST, side
        )
        st.caption(_cost_in_words(chosen, own, setup), width=_POPOVER_PX)
    return setup


def now(name: str = "") -> ModelConfig:
    """Return the current choice, which the page may not have drawn yet.

    name: of the model, instead of the chosen one.
    """
    fields, models = st.session_state, cache.models()
    name = name or fields.get(_MODEL) or _usual(models)
    chosen = models.get(name) or models[DEFAULT_MODEL]
    side = None
    if chosen.is_darknet:
        own = card_of(chosen).input_size.width
        wanted = widgets.offered(f"annotate.size.{chosen.name}", _sizes(own), own)
        side = None if wanted == own else wanted
    others = widgets.all_offered(f"annotate.vote.{chosen.name}", models)[:_MOST_OTHERS]
    quality = ACCURATE if fields.get("annotate.accurate") else FAST
    return ModelConfig((chosen.name, *others), quality, side)


def _net_size(chosen: Model, own: int) -> int | None:
    """Draw the choice of input sizes; None keeps the model's own."""
    if not chosen.is_darknet:
        st.caption(
            f"Input size: {own} × {own} pixels, fixed for this model.",
            width=_POPOVER_PX,
        )
        return None
    side: int = st.select_slider(
        "Input size",
        _sizes(own),
        value=own,
        format_func=lambda pixels: f"{pixels} px",
        key=f"annotate.size.{chosen.name}",
        persist_state="session",
        width=_POPOVER_PX,
        help="Larger finds smaller objects and is slower. Far from the size the model "
        "was trained at, boxes get worse.",
    )
    return None if side == own else side


def _sizes(own: int) -> list[int]:
    return sorted({*INPUT_SIZES, own})


def _others(chosen: Model) -> list[str]:
    models = cache.models()
    return list(
        st.multiselect(
            "Ensemble with",
            [name for name in models if name != chosen.name],
            format_func=lambda name: models[name].title,
            key=f"annotate.vote.{chosen.name}",
            placeholder="No other model",
            persist_state="session",
            max_selections=_MOST_OTHERS,
            width=_POPOVER_PX,
            help="Merges the boxes of all models. A box that only some of them found "
            "gets a lower confidence. Choose the most accurate model first.",
            select_all=False,
        )
    )


def _cost_in_words(chosen: Model, own: int, setup: ModelConfig) -> str:
    """Return the cost of the choice, relative to one pass at the model's own size."""
    factor = ((setup.input_size or own) / own) ** 2
    if setup.quality == ACCURATE:
        passes = RESIZABLE if chosen.is_darknet else FIXED
        factor *= sum(pass_.work for pass_ in passes)
    words = "One pass per image: the fastest."
    if abs(factor - 1) > 0.01:
        words = f"About {factor:.1f} times the work of one pass at {own} px."
    if len(setup.models) > 1:
        names = ", ".join(widgets.escape(model) for model in setup.models[1:])
        words += f" Plus the same for {names}, at its own speed."
    return words


def label_table(pool: CandidatePool, detector: Detector) -> None:
    """Draw the model's labels with their names and thresholds in this dataset."""
    names = suggested_boxes.mapping_of(detector)
    own = suggested_boxes.thresholds_of(detector)
    rows = [
        {"model": label, "name": names.get(label, label), "confidence": own.get(label)}
        for label in suggested_boxes.labels_found(pool, detector)
    ]
    key = f"annotate.label_table.{hash(str(rows))}"
    st.caption(
        "Names of the model's labels in this dataset. Clear a name to leave that "
        "label out."
    )
    st.data_editor(
        pd.DataFrame(rows, columns=["model", "name", "confidence"]).astype(
            {"confidence": "float64"}
        ),
        hide_index=True,
        width=_TABLE_PX,
        height=_TABLE_HEIGHT_PX,
        disabled=["model"],
        column_config={
            "model": st.column_config.TextColumn("Model's label"),
            "name": st.column_config.TextColumn(
                "Label here", max_chars=MAX_LABEL_LENGTH
            ),
            "confidence": st.column_config.NumberColumn(
                "Minimum confidence",
                min_value=suggested_boxes.FLOOR,
                max_value=1.0,
                step=0.01,
            ),
        },
        key=key,
    )
    st.button(
        "Apply",
        key="annotate.use_labels",
        on_click=_save_label_table,
        args=(key, rows, detector.model_id),
    )


@state.reports_errors
def _save_label_table(
    key: str, rows: Sequence[Mapping[str, Any]], model_id: str
) -> None:
    """Save the table as edited: a cell and the button may come in one run."""
    edits = {
        rows[place]["model"]: cells
        for place, cells in st.session_state[key]["edited_rows"].items()
    }
    _save_names(edits, model_id)
    _save_thresholds(edits, model_id)


def _save_names(edits: Mapping[str, Mapping[str, Any]], model_id: str) -> None:
    names = {
        model_label: (cells["name"] or "").strip() or None
        for model_label, cells in edits.items()
        if "name" in cells
    }
    if names:
        store, scope = services.store(), state.scope()
        saved = store.label_mapping(scope, model_id)
        store.save_label_mapping(scope, model_id, saved | names)


def _save_thresholds(edits: Mapping[str, Mapping[str, Any]], model_id: str) -> None:
    """Save the typed thresholds; an emptied cell leaves its label to the slider."""
    typed = {
        model_label: cells["confidence"]
        for model_label, cells in edits.items()
        if "confidence" in cells
    }
    if typed:
        store, scope = services.store(), state.scope()
        every = store.label_thresholds(scope, model_id) | typed
        thresholds = {label: float(at) for label, at in every.items() if at is not None}
        store.save_label_thresholds(scope, model_id, thresholds)
