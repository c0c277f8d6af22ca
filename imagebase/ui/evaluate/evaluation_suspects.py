"""Where the labels themselves may be wrong: a queue with reasons."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from imagebase.annotation import Annotation, Box, Source
from imagebase.evaluation.arrays import Truth
from imagebase.evaluation.label_errors import Sign, Suspect
from imagebase.ui.evaluate import evaluation_data, evaluation_pictures

_WORDS: Final = {
    Sign.MISSING: "no box where something was found",
    Sign.UNSEEN: "nothing seen in a box",
    Sign.LABEL: "another label",
    Sign.PLACE: "badly placed",
}
# What is less likely than this to be an error is not worth a look.
_LEAST_SCORE: Final = 0.15


def draw(run_id: str) -> None:
    """Draw what may be wrong with the labels, the likeliest first."""
    run = evaluation_data.load(run_id)
    specs = [one.spec for one in run.passes]
    chosen = tuple(specs)
    if len(specs) > 1:
        chosen = tuple(
            st.multiselect(
                "By what these models say",
                specs,
                default=specs,
                key=f"evaluate.opinions.{run_id}",
                select_all=False,
            )
        )
    found = [
        one
        for one in evaluation_data.suspects(run_id, chosen)
        if one.score >= _LEAST_SCORE
    ]
    if not found:
        st.success("These models find nothing to doubt in the labels.")
        return
    sign = _choose_sign(found, run_id)
    shown = [one for one in found if sign is None or one.sign is sign]
    st.caption(
        "Labels are solid, what the models say is dashed. The likeliest errors come "
        "first; a model may be wrong too. Correct them on **Edit**, then run again."
    )
    evaluation_pictures.grid(
        [card_of(run.truth, one) for one in shown], key=f"evaluate.suspects.{sign}"
    )


def _choose_sign(found: Sequence[Suspect], run_id: str) -> Sign | None:
    counts = {sign: sum(one.sign is sign for one in found) for sign in Sign}
    sign: Sign | None = st.pills(
        "Sign",
        [sign for sign in Sign if counts[sign]],
        format_func=lambda one: f"{_WORDS[one]} {counts[one]:,}",
        key=f"evaluate.sign.{run_id}",
        label_visibility="collapsed",
    )
    return sign


def card_of(truth: Truth, suspect: Suspect) -> evaluation_pictures.Card:
    """Return the card of a suspect, with its reason and how likely it is an error."""
    boxes = []
    if suspect.object is not None:
        row = suspect.object
        boxes.append(
            Annotation(
                Box(*truth.xyxy[row].tolist()),
                truth.labels[truth.label[row]],
                source=Source.HUMAN,
            )
        )
    if suspect.box is not None and suspect.label is not None:
        boxes.append(
            Annotation(
                suspect.box,
                suspect.label,
                source=Source.MODEL,
                confidence=suspect.confidence,
            )
        )
    likely = f"{suspect.score:.0%}".replace("%", " %")
    return evaluation_pictures.Card(
        truth.images[suspect.image],
        tuple(boxes),
        f"{likely} · {suspect.reason}",
        evaluation_pictures.around(one.box for one in boxes),
    )
