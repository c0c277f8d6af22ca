"""The gallery of mistakes of one model: misses, false alarms, mix-ups, loose boxes."""

from typing import Final

import streamlit as st

from imagebase.evaluation.error_types import MISTAKES, Fate
from imagebase.ui.evaluate import evaluation_data, evaluation_pictures

_WORDS: Final = {
    Fate.MISSED: "missed",
    Fate.FALSE_ALARM: "false alarms",
    Fate.MIX_UP: "mix-ups",
    Fate.LOOSE: "loose boxes",
}
_ANY: Final = "any label"


def draw(run_id: str, threshold: float) -> None:
    """Draw what a model got wrong, the worst first, truth solid, detections dashed."""
    fared = evaluation_data.standings(run_id, threshold)
    place = evaluation_pictures.choose_model(
        [one.spec for one in fared], key=f"evaluate.mistakes_of.{run_id}"
    )
    told = fared[place].verdicts
    left, right = st.columns([4, 2], vertical_alignment="bottom")
    with left:
        fate: Fate | None = st.pills(
            "Kind",
            list(MISTAKES),
            default=MISTAKES[0],
            format_func=lambda one: f"{_WORDS[one]} {told.count(one):,}",
            key=f"evaluate.fate.{run_id}.{place}",
            label_visibility="collapsed",
        )
    label = right.selectbox(
        "Label",
        [_ANY, *told.truth.used_labels],
        key=f"evaluate.mistakes_label.{run_id}",
        label_visibility="collapsed",
    )
    found = [
        one
        for one in told.mistakes()
        if (fate is None or one.fate is fate)
        and (label == _ANY or label in told.labels_of(one))
    ]
    if not found:
        st.success("There is none of these.")
        return
    st.caption(
        "Truth is a solid line, what was found a dashed one. The worst come first."
    )
    evaluation_pictures.grid(
        [evaluation_pictures.card_of(told, one) for one in found],
        key=f"evaluate.mistakes.{place}.{fate}",
    )
