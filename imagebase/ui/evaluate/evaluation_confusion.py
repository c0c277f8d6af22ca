"""What was taken for what: a matrix whose cells open their images."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import streamlit as st

from imagebase.evaluation.comparison import Standing
from imagebase.ui import widgets
from imagebase.ui.evaluate import evaluation_data, evaluation_pictures, evaluation_plots

MOST_LABELS: Final = 11
BACKGROUND: Final = "background"
_CELL: Final = "imagebase.evaluate.cell"


def draw(run_id: str, threshold: float) -> None:
    """Draw the confusion matrix of one model, and the images of the cell pressed."""
    fared = evaluation_data.standings(run_id, threshold)
    place = evaluation_pictures.choose_model(
        [one.spec for one in fared], key=f"evaluate.confusion_of.{run_id}"
    )
    standing = fared[place]
    labels = _shown_labels(standing)
    left, right = st.columns(2, gap="medium")
    with left:
        st.caption("Press a cell to see its images.")
        key = f"evaluate.matrix.{run_id}.{place}.{threshold}"
        evaluation_plots.matrix(
            _cells(standing, labels),
            [*(standing.truth.labels[one] for one in labels), BACKGROUND],
            key=key,
            on_pick=lambda cell: _choose(run_id, standing.spec, cell),
        )
        _say_what_is_left_out(standing, labels)
    with right:
        _images(run_id, standing)


def _shown_labels(standing: Standing) -> list[int]:
    """Return the labels most is to be said of: those with the most boxes."""
    counts = standing.verdicts.confusion()[:-1, :-1]
    told = standing.truth.boxes_by_label() * 1000 + counts.sum(axis=0)
    order = np.argsort(-told, kind="stable")[:MOST_LABELS]
    return [int(one) for one in order if told[one]]


def _cells(standing: Standing, labels: Sequence[int]) -> list[dict[str, Any]]:
    counts = standing.verdicts.confusion()
    background = len(counts) - 1
    names = [*standing.truth.labels, BACKGROUND]
    cells = []
    for actual in (*labels, background):
        total = int(counts[actual].sum())
        for said in (*labels, background):
            count = int(counts[actual, said])
            if count:
                cells.append(
                    {
                        "place": actual * len(counts) + said,
                        "actual": names[actual],
                        "said": names[said],
                        "count": count,
                        "share": count / total,
                        "is_right": actual == said,
                        "aria": f"{names[actual]} taken for {names[said]}: {count}",
                    }
                )
    return cells


def _say_what_is_left_out(standing: Standing, labels: Sequence[int]) -> None:
    rest = len(standing.truth.used_labels) - len(labels)
    if rest > 0:
        st.caption(
            f"The {len(labels)} labels with the most boxes; {rest} more are in the "
            "report and under **Mistakes**."
        )


def _choose(run_id: str, spec: str, cell: int) -> None:
    st.session_state[_CELL] = (run_id, spec, cell)


def _images(run_id: str, standing: Standing) -> None:
    chosen_run, spec, cell = st.session_state.get(_CELL, ("", "", 0))
    if (chosen_run, spec) != (run_id, standing.spec):
        st.info(
            "The diagonal is what was right. The last column is what was missed, the "
            "last row what was found where nothing is."
        )
        return
    names = [*standing.truth.labels, BACKGROUND]
    actual, said = divmod(cell, len(names))
    found = standing.verdicts.of_cell(actual, said)
    st.markdown(f"**{_in_words(names[actual], names[said], len(found))}**")
    cards = [evaluation_pictures.card_of(standing.verdicts, one) for one in found]
    evaluation_pictures.grid(cards, key="evaluate.cell", columns=3)


def _in_words(actual: str, said: str, count: int) -> str:
    actual_name, said_name = widgets.escape(actual), widgets.escape(said)
    if actual == said:
        return f"{actual_name} found, {widgets.plural(count, 'time')}"
    if said == BACKGROUND:
        return f"{actual_name} not found, {widgets.plural(count, 'time')}"
    if actual == BACKGROUND:
        return f"{said_name} found where none is, {widgets.plural(count, 'time')}"
    return f"{actual_name} taken for {said_name}, {widgets.plural(count, 'time')}"
