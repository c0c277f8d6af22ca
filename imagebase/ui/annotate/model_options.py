"""Which model looks at the images, and how: accurate mode, net size, a vote."""

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
_POPOVER_PX: Final = 380


def model() -> Model:
    """Draw the models there are; return the chosen one."""
    models = cache.models()
    # The state of the session, and no default: what was trained sets it from elsewhere.
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
    """Draw how the model looks at pictures, folded away; return what is chosen."""
    own = card_of(chosen).input_size.width
    with st.popover(
        "Options", icon=":material/tune:", width="stretch", key="annotate.how"
    ):
        is_accurate = st.toggle(
            "Accurate",
            key="annotate.accurate",
            persist_state="session",
            help="Looks several times, mirrored and in parts, and fuses what it sees: "
            "better boxes, fewer missed, and slower.",
        )
        side = _net_size(chosen, own)
        others = _others(chosen)
        setup = ModelConfig(
            (chosen.name, *others), ACCURATE if is_accurate else FAST, side
        )
        st.caption(_cost_in_words(chosen, own, setup), width=_POPOVER_PX)
    return setup


def now(name: str = "") -> ModelConfig:
    """Return what is chosen at this moment, which the page may not have drawn yet.

    name: of the model, were it chosen; without one it is the chosen one.
    """
    fields, models = st.session_state, cache.models()
    name = name or fields.get(_MODEL) or _usual(models)
    chosen = models.get(name) or models[DEFAULT_MODEL]
    side = fields.get(f"annotate.size.{chosen.name}")
    if not chosen.is_darknet or side == card_of(chosen).input_size.width:
        side = None
    others = fields.get(f"annotate.vote.{chosen.name}", ())
    quality = ACCURATE if fields.get("annotate.accurate") else FAST
    return ModelConfig((chosen.name, *others), quality, side)


def _net_size(chosen: Model, own: int) -> int | None:
    """Draw the sizes a net may have; None leaves it at its own."""
    if not chosen.is_darknet:
        st.caption(f"Its net is fixed at {own} × {own} pixels.", width=_POPOVER_PX)
        return None
    sizes = sorted({*INPUT_SIZES, own})
    side: int = st.select_slider(
        "Net size",
        sizes,
        value=own,
        format_func=lambda one: f"{one} px",
        key=f"annotate.size.{chosen.name}",
        persist_state="session",
        width=_POPOVER_PX,
        help="Larger finds smaller things; far from the size it was trained at, "
        "boxes get worse.",
    )
    return None if side == own else side


def _others(chosen: Model) -> list[str]:
    models = cache.models()
    return list(
        st.multiselect(
            "Vote with",
            [name for name in models if name != chosen.name],
            format_func=lambda name: models[name].title,
            key=f"annotate.vote.{chosen.name}",
            placeholder="no other model",
            persist_state="session",
            max_selections=3,
            width=_POPOVER_PX,
            help="Boxes of all models are fused. What only some of them saw is less "
            "sure; each box says who saw it. Choose the most accurate model first.",
            select_all=False,
        )
    )


def _cost_in_words(chosen: Model, own: int, setup: ModelConfig) -> str:
    """Return what the choice costs against one look of the model at its own size."""
    factor = ((setup.input_size or own) / own) ** 2
    if setup.quality == ACCURATE:
        looks = RESIZABLE if chosen.is_darknet else FIXED
        factor *= sum(one.work for one in looks)
    words = "One look at each picture, the quickest."
    if abs(factor - 1) > 0.01:
        words = f"About {factor:.1f} times the work of one look at {own} px."
    if len(setup.models) > 1:
        names = ", ".join(widgets.escape(one) for one in setup.models[1:])
        words += f" And as much for {names}, by its own speed."
    return words


_TABLE_PX: Final = 460
_TABLE_HEIGHT_PX: Final = 220


def label_table(pool: CandidatePool, detector: Detector) -> None:
    """Draw the model's labels with their names and thresholds in this dataset."""
    names = suggested_boxes.mapping_of(detector)
    own = suggested_boxes.thresholds_of(detector)
    rows = [
        {"model": one, "name": names.get(one, one), "confidence": own.get(one)}
        for one in suggested_boxes.labels_found(pool, detector)
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
        kept = store.label_mapping(scope, model_id)
        store.save_label_mapping(scope, model_id, kept | names)


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
        kept = {label: float(at) for label, at in every.items() if at is not None}
        store.save_label_thresholds(scope, model_id, kept)
