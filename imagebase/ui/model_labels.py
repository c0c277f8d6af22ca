"""The labels of a model on Annotate: what each is called here, and its threshold."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from imagebase.annotation import MAX_LABEL_LENGTH
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.detector import Detector
from imagebase.detection.label_mapping import map_labels
from imagebase.detection.suggestions import found_labels
from imagebase.ui import services, state

FLOOR: Final = 0.05
_TABLE_PX: Final = 460
_TABLE_HEIGHT_PX: Final = 220


def found_here(found: CandidatePool, detector: Detector) -> list[str]:
    """Return the model's labels that were found on images, in the model's order."""
    return list(
        found_labels(found, model_labels=detector.labels, confidence_threshold=FLOOR)
    )


def mapping(detector: Detector) -> dict[str, str]:
    """Return what the model's labels are called here; one that is empty is left out.

    A label of the model's that the dataset has renamed is called so here as well, until
    somebody gives it another name; so is one that the dataset has under a synonym
    (aeroplane, airplane).
    """
    store, scope = services.store(), state.scope()
    renamed = store.former_label_names(scope)
    kept = store.label_mapping(scope, detector.model_id)
    own = {name: renamed[name] for name in detector.labels if name in renamed}
    there = store.labels(scope).shown_names
    unsaid = [name for name in detector.labels if name not in own]
    known = map_labels(unsaid, there).names
    own |= {name: label for name, label in known.items() if name != label}
    return own | {name: label or "" for name, label in kept.items()}


def thresholds(detector: Detector) -> dict[str, float]:
    """Return the thresholds that labels of the model's have of their own here."""
    return services.store().label_thresholds(state.scope(), detector.model_id)


def draw(found: CandidatePool, detector: Detector) -> None:
    """Draw the model's labels with the dataset's names and thresholds beside them."""
    names, own = mapping(detector), thresholds(detector)
    rows = [
        {"model": one, "name": names.get(one, one), "confidence": own.get(one)}
        for one in found_here(found, detector)
    ]
    key = f"annotate.label_table.{hash(str(rows))}"
    st.caption(
        "What each is called in this dataset, for every run of this model. "
        "Clear a name to leave that label out."
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
            "model": st.column_config.TextColumn("The model's label"),
            "name": st.column_config.TextColumn(
                "Your label", max_chars=MAX_LABEL_LENGTH
            ),
            "confidence": st.column_config.NumberColumn(
                "Confidence from", min_value=FLOOR, max_value=1.0, step=0.01
            ),
        },
        key=key,
    )
    st.button(
        "Use these",
        key="annotate.use_labels",
        on_click=_keep_edits,
        args=(key, rows, detector.model_id),
    )


@state.reports_errors
def _keep_edits(key: str, rows: Sequence[Mapping[str, Any]], model_id: str) -> None:
    """Keep the table as it is now: a cell and the button may come in one run."""
    edits = {
        rows[place]["model"]: cells
        for place, cells in st.session_state[key]["edited_rows"].items()
    }
    _keep_names(edits, model_id)
    _keep_thresholds(edits, model_id)


def _keep_names(edits: Mapping[str, Mapping[str, Any]], model_id: str) -> None:
    names = {
        model_label: (cells["name"] or "").strip() or None
        for model_label, cells in edits.items()
        if "name" in cells
    }
    if names:
        store, scope = services.store(), state.scope()
        kept = store.label_mapping(scope, model_id)
        store.save_label_mapping(scope, model_id, kept | names)


def _keep_thresholds(edits: Mapping[str, Mapping[str, Any]], model_id: str) -> None:
    """Keep what was typed; a cell that was emptied leaves its label to the slider."""
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
