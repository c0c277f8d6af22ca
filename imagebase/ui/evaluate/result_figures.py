"""Figures of an evaluation: tables of models, curves, confusion matrix."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import altair as alt
import pandas as pd
import streamlit as st

from imagebase.evaluation.comparison import ModelResult
from imagebase.evaluation.figures import (
    COCO_COLUMNS,
    COLOURS,
    USE_COLUMNS,
    calibration_series,
    label_rows,
    model_rows,
    notes_about,
    precision_recall_series,
    summary_sentences,
)
from imagebase.ui import state, widgets
from imagebase.ui.evaluate import run_data

_HEIGHT_PX: Final = 270
_CELL_PX: Final = 24
_AXES_PX: Final = 110
_LABEL_PX: Final = 100
_PICK: Final = "pick"
_LEGEND: Final[Mapping[str, Any]] = {
    "orient": "bottom",
    "title": None,
    "columns": 3,
    "labelLimit": 200,
    "symbolType": "stroke",
    "symbolStrokeWidth": 3,
}
# These read on white and on black.
_RIGHT: Final = "#009E73"
_WRONG: Final = "#D55E00"


def precision_recall(results: Sequence[ModelResult], label: str | None) -> None:
    """Draw precision by recall, a line a model, with the confidence in use as a dot."""
    series = precision_recall_series(results, label)
    columns = ["model", "recall", "precision", "confidence"]
    lines = [(curve.name, *point, None) for curve in series for point in curve.points]
    dots = [
        (curve.name, *curve.dot, result.threshold)
        for curve, result in zip(series, results, strict=True)
        if curve.dot is not None
    ]
    encoding = _square("recall", "precision", results, has_legend=True)
    base = alt.Chart(pd.DataFrame(lines, columns=columns)).encode(*encoding)
    curves = base.mark_line(interpolate="step-after").encode(
        order="recall:Q", strokeDash=_dash(results)
    )
    points = (
        alt.Chart(pd.DataFrame(dots, columns=columns))
        .mark_point(filled=True, size=110, opacity=1)
        .encode(*encoding, tooltip=_tooltip(columns))
    )
    _show(curves + points)


def calibration(results: Sequence[ModelResult]) -> None:
    """Draw how often detections of each confidence are right, a line a model."""
    rows = [
        (curve.name, *point, count)
        for curve in calibration_series(results)
        for point, count in zip(curve.points, curve.counts, strict=True)
    ]
    columns = ["model", "confidence", "right", "detections"]
    base = alt.Chart(pd.DataFrame(rows, columns=columns)).encode(
        *_square("confidence", "right", results, has_legend=False)
    )
    lines = base.mark_line().encode(strokeDash=_dash(results))
    dots = base.mark_point(filled=True, size=40).encode(tooltip=_tooltip(columns))
    diagonal = (
        alt.Chart(pd.DataFrame({"confidence": [0, 1], "right": [0, 1]}))
        .mark_line(color="#999999", strokeDash=[2, 4], strokeWidth=1)
        .encode(x="confidence:Q", y="right:Q")
    )
    _show(diagonal + lines + dots)


def _square(
    x: str, y: str, results: Sequence[ModelResult], *, has_legend: bool
) -> tuple[alt.X, alt.Y, alt.Color]:
    specs = [result.spec for result in results]
    unit = alt.Scale(domain=[0, 1])
    return (
        alt.X(f"{x}:Q", scale=unit, title=x),
        alt.Y(f"{y}:Q", scale=unit, title=y),
        alt.Color(
            "model:N",
            scale=alt.Scale(
                domain=specs,
                range=[COLOURS[at % len(COLOURS)] for at in range(len(specs))],
            ),
            legend=alt.Legend(**_LEGEND) if has_legend else None,
        ),
    )


def _tooltip(columns: Sequence[str]) -> list[alt.Tooltip]:
    """Return the tooltip; with types, as an empty table has none."""
    name, *numbers = columns
    return [
        alt.Tooltip(f"{name}:N"),
        *(alt.Tooltip(f"{number}:Q", format=".3") for number in numbers),
    ]


def _dash(results: Sequence[ModelResult]) -> alt.StrokeDash:
    return alt.StrokeDash(
        "model:N",
        scale=alt.Scale(domain=[result.spec for result in results]),
        legend=None,
    )


def _show(chart: alt.LayerChart) -> None:
    st.altair_chart(chart.properties(height=_HEIGHT_PX), width="stretch")


def matrix(
    rows: Sequence[Mapping[str, object]],
    names: Sequence[str],
    *,
    key: str,
    on_pick: Callable[[int], None],
) -> None:
    """Draw a confusion matrix whose cells can be clicked.

    Args:
        rows: of each cell that is not empty: `place`, `actual` and `predicted` label,
            `count`, `share` of its row, `is_right`, and all of it in words, `aria`.
        names: of rows and columns, in order.
        key: of the chart.
        on_pick: is called with the place of the clicked cell.
    """
    scale: Mapping[str, Any] = {
        "sort": list(names),
        "scale": alt.Scale(domain=list(names)),
    }
    axis = partial(
        alt.Axis, labelLimit=_LABEL_PX, labelOverlap=False, ticks=False, domain=False
    )
    top = axis(labelAngle=-60, orient="top")
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("predicted:N", title="predicted", axis=top, **scale),
        y=alt.Y("actual:N", title="actual", axis=axis(), **scale),
        # No tooltip: it would remain when the click leads to another page.
        tooltip=alt.value(None),
        description="aria:N",
    )
    picking = alt.selection_point(name=_PICK, fields=["place"], on="click", empty=False)
    cells = (
        base.mark_rect(cursor="pointer")
        .encode(
            color=alt.Color(
                "is_right:N",
                scale=alt.Scale(domain=[True, False], range=[_RIGHT, _WRONG]),
                legend=None,
            ),
            opacity=alt.Opacity(
                "share:Q", scale=alt.Scale(domain=[0, 1], range=[0.25, 1]), legend=None
            ),
        )
        .add_params(picking)
    )
    ink = "white" if st.context.theme.type == "dark" else "black"
    counts = base.mark_text(fontSize=11).encode(
        text="count:Q",
        # A cell of a small share is nearly the page's own colour.
        color=alt.condition("datum.share > 0.6", alt.value("white"), alt.value(ink)),
    )

    @state.reports_errors
    def picked() -> None:
        chosen = st.session_state[key]["selection"].get(_PICK, [])
        if chosen:
            on_pick(int(chosen[0]["place"]))

    st.altair_chart(
        (cells + counts).properties(height=_CELL_PX * len(names) + _AXES_PX),
        key=key,
        width="stretch",
        on_select=picked,
        selection_mode=_PICK,
    )


_ALL: Final = "all labels"
_LABELS_PX: Final = 330


def draw(run_id: str, threshold: float) -> None:
    """Draw the models of a run next to each other."""
    results = run_data.results(run_id, threshold)
    st.dataframe(
        pd.DataFrame(model_rows(results)),
        hide_index=True,
        width="stretch",
        column_config=_columns(),
        column_order=("model", *COCO_COLUMNS[:6], *USE_COLUMNS),
        key=f"evaluate.models_table.{run_id}",
    )
    st.caption(widgets.escape(" ".join(summary_sentences(results))))
    for result in results:
        if notes := list(notes_about(result, brief=True)):
            st.caption(
                f"**{widgets.escape(result.spec)}** {widgets.escape(' '.join(notes))}"
            )
    left, right = st.columns(2, gap="medium")
    labels = [_ALL, *results[0].truth.used_labels]
    with left:
        chosen = st.selectbox(
            "Precision and recall of",
            labels,
            key="evaluate.curve_label",
            persist_state="session",
        )
        label = None if chosen == _ALL or chosen not in labels else chosen
        precision_recall(results, label)
    with right:
        st.markdown("**Is a confidence of 0.8 right 80 % of the time?**")
        calibration(results)
    _label_by_label(results, run_id)


def _columns() -> Mapping[str, Any]:
    help_of = {
        "AP": "COCO's average precision, over overlaps of .50 to .95. In brackets: "
        "95 % bootstrap confidence interval.",
        "AP50": "At an overlap of one half.",
        "clicks": "Per image, to correct it: deleting, moving or relabelling a box is "
        "one, drawing one two.",
        "memory": "How much the program grew, at most, while the model ran.",
        "start": "Until the model was ready.",
    }
    return {
        name: st.column_config.TextColumn(name, help=text)
        for name, text in help_of.items()
    } | {"model": st.column_config.TextColumn("model", pinned=True)}


def _label_by_label(results: Sequence[ModelResult], run_id: str) -> None:
    specs = [result.spec for result in results]
    chosen: str = st.selectbox(
        "Label by label", specs, key=f"evaluate.label_table_of.{run_id}"
    )
    rows = label_rows(results[specs.index(chosen)])
    share = st.column_config.NumberColumn(format="%.3f")
    confidence = st.column_config.NumberColumn(format="%.2f")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height=min(_LABELS_PX, 38 + 35 * len(rows)),
        column_config=dict.fromkeys(("AP", "AP50", "precision", "recall"), share)
        | dict.fromkeys(("low", "high"), confidence)
        | {
            "best confidence": st.column_config.NumberColumn(
                format="%.2f",
                help="At which the label takes the fewest clicks, with its 95 % "
                "interval; it takes 30 detections to say.",
            )
        },
    )
