"""Figures of an evaluation: tables of models, curves, confusion matrix."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import altair as alt
import pandas as pd
import streamlit as st

from imagebase.evaluation.bootstrap import Interval
from imagebase.evaluation.comparison import (
    Standing,
    best_of,
    clicks_per_image,
    compared,
)
from imagebase.evaluation.report import by_hand, short, signed
from imagebase.evaluation.svg_charts import COLOURS
from imagebase.ui import state, widgets
from imagebase.ui.evaluate import run_data

_MOST_POINTS: Final = 400
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


def precision_recall(standings: Sequence[Standing], label: str | None) -> None:
    """Draw precision by recall, a line a model, with the confidence in use as a dot."""
    lines, dots = [], []
    for one in standings:
        curve, at = one.curve(label), one.point(label)
        step = max(1, len(curve.recall) // _MOST_POINTS)
        for recall, precision, confidence in zip(
            curve.recall[::step],
            curve.precision[::step],
            curve.confidence[::step],
            strict=True,
        ):
            lines.append((one.spec, recall, precision, confidence))
        if at.recall is not None and at.precision is not None:
            dots.append((one.spec, at.recall, at.precision, one.threshold))
    columns = ["model", "recall", "precision", "confidence"]
    encoding = _square("recall", "precision", standings, has_legend=True)
    base = alt.Chart(pd.DataFrame(lines, columns=columns)).encode(*encoding)
    curves = base.mark_line(interpolate="step-after").encode(
        order="recall:Q", strokeDash=_dash(standings)
    )
    points = (
        alt.Chart(pd.DataFrame(dots, columns=columns))
        .mark_point(filled=True, size=110, opacity=1)
        .encode(*encoding, tooltip=_tooltip(columns))
    )
    _show(curves + points)


def calibration(standings: Sequence[Standing]) -> None:
    """Draw how often detections of each confidence are right, a line a model."""
    rows = [
        (one.spec, each.mean_confidence, each.share_right, each.count)
        for one in standings
        for each in one.calibration.bins
    ]
    columns = ["model", "confidence", "right", "detections"]
    base = alt.Chart(pd.DataFrame(rows, columns=columns)).encode(
        *_square("confidence", "right", standings, has_legend=False)
    )
    lines = base.mark_line().encode(strokeDash=_dash(standings))
    dots = base.mark_point(filled=True, size=40).encode(tooltip=_tooltip(columns))
    diagonal = (
        alt.Chart(pd.DataFrame({"confidence": [0, 1], "right": [0, 1]}))
        .mark_line(color="#999999", strokeDash=[2, 4], strokeWidth=1)
        .encode(x="confidence:Q", y="right:Q")
    )
    _show(diagonal + lines + dots)


def _square(
    x: str, y: str, standings: Sequence[Standing], *, has_legend: bool
) -> tuple[alt.X, alt.Y, alt.Color]:
    specs = [one.spec for one in standings]
    unit = alt.Scale(domain=[0, 1])
    return (
        alt.X(f"{x}:Q", scale=unit, title=x),
        alt.Y(f"{y}:Q", scale=unit, title=y),
        alt.Color(
            "model:N",
            scale=alt.Scale(domain=specs, range=_colours(len(specs))),
            legend=alt.Legend(**_LEGEND) if has_legend else None,
        ),
    )


def _tooltip(columns: Sequence[str]) -> list[alt.Tooltip]:
    """Return what hovering shows; types are told, as an empty table has none."""
    name, *numbers = columns
    return [
        alt.Tooltip(f"{name}:N"),
        *(alt.Tooltip(f"{one}:Q", format=".3") for one in numbers),
    ]


def _colours(count: int) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(count)]


def _dash(standings: Sequence[Standing]) -> alt.StrokeDash:
    return alt.StrokeDash(
        "model:N", scale=alt.Scale(domain=[one.spec for one in standings]), legend=None
    )


def _show(chart: alt.LayerChart) -> None:
    st.altair_chart(chart.properties(height=_HEIGHT_PX), width="stretch")


def _ink(*, is_dark: bool) -> str:
    return "white" if is_dark else "black"


def matrix(
    rows: Sequence[Mapping[str, object]],
    names: Sequence[str],
    *,
    key: str,
    on_pick: Callable[[int], None],
) -> None:
    """Draw a confusion matrix whose cells can be pressed.

    Args:
        rows: of each cell that counts anything: `place`, `actual`, `said`, `count`,
            `share` of its row, whether it `is_right`, and all of it in words, `aria`.
        names: of rows and columns, in order.
        key: of the chart.
        on_pick: is given the place of a cell that is pressed.
    """
    axis = alt.Axis(labelLimit=_LABEL_PX, labelOverlap=False, ticks=False, domain=False)
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X(
            "said:N",
            sort=list(names),
            scale=alt.Scale(domain=list(names)),
            title="was taken for",
            axis=alt.Axis(
                labelAngle=-60,
                labelLimit=_LABEL_PX,
                labelOverlap=False,
                ticks=False,
                domain=False,
                orient="top",
            ),
        ),
        y=alt.Y(
            "actual:N",
            sort=list(names),
            scale=alt.Scale(domain=list(names)),
            title="what it is",
            axis=axis,
        ),
        # No tooltip: it would stay behind when a press leads to another page.
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
    is_dark = st.context.theme.type == "dark"
    counts = base.mark_text(fontSize=11).encode(
        text="count:Q",
        # A cell of a small share is nearly the page's own colour.
        color=alt.condition(
            "datum.share > 0.6", alt.value("white"), alt.value(_ink(is_dark=is_dark))
        ),
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
_MOST_NAMED: Final = 3
_MOST_LABELS: Final = 8


def draw(run_id: str, threshold: float) -> None:
    """Draw the models of a run beside each other."""
    fared = run_data.standings(run_id, threshold)
    st.dataframe(
        pd.DataFrame([_row(one, fared) for one in fared]),
        hide_index=True,
        width="stretch",
        column_config=_columns(),
        key=f"evaluate.models_table.{run_id}",
    )
    st.caption(_verdict(fared))
    _not_judged(fared)
    left, right = st.columns(2, gap="medium")
    labels = [_ALL, *(one for one in fared[0].truth.used_labels)]
    with left:
        chosen = st.selectbox(
            "Precision and recall of",
            labels,
            key="evaluate.curve_label",
            persist_state="session",
        )
        label = None if chosen == _ALL or chosen not in labels else chosen
        precision_recall(fared, label)
    with right:
        st.markdown("**Is a confidence of 0.8 right 80 % of the time?**")
        calibration(fared)
    _label_by_label(fared, run_id)


def _columns() -> Mapping[str, Any]:
    help_of = {
        "AP": "COCO's average precision, over overlaps of .50 to .95. In brackets: "
        "95 % bootstrap confidence interval.",
        "AP50": "At an overlap of one half.",
        "clicks": "To put an image right: deleting, moving or relabelling a box is "
        "one, drawing one two.",
        "memory": "How much the program grew, at most, while the model worked.",
        "start": "Until the model was ready.",
    }
    return {
        name: st.column_config.TextColumn(name, help=text)
        for name, text in help_of.items()
    } | {"model": st.column_config.TextColumn("model", pinned=True)}


def _row(one: Standing, fared: Sequence[Standing]) -> dict[str, str]:
    figures, at, known = one.figures, one.point(), one.intervals
    cost = one.passed.cost
    memory = cost.memory_bytes if cost else None
    return {
        "model": one.spec,
        "AP": _with_interval(figures["AP"], known.get("AP")),
        "AP50": _with_interval(figures["AP50"], known.get("AP50")),
        "small": short(figures["AP_small"]),
        "medium": short(figures["AP_medium"]),
        "large": short(figures["AP_large"]),
        "precision": short(at.precision),
        "recall": short(at.recall),
        "F1": short(at.f1),
        "clicks": f"{clicks_per_image(one):.1f}",
        "images/s": f"{cost.images_per_second:.0f}" if cost else "–",
        "start": f"{cost.load_seconds:.1f} s" if cost else "–",
        "memory": widgets.megabytes(memory) if memory is not None else "–",
    }


def _with_interval(value: float | None, known: Interval | None) -> str:
    if value is None or known is None:
        return short(value)
    return f"{short(value)}  ({short(known.low)}–{short(known.high)})"


def _verdict(fared: Sequence[Standing]) -> str:
    """Return which model is the best, and by how much more than luck."""
    hand = (
        f"By hand alone an image takes {by_hand(fared[0]):.1f} clicks. "
        "In brackets: 95 % bootstrap confidence interval."
    )
    if len(fared) == 1:
        return hand
    best = best_of(fared)
    said = []
    for one in fared:
        if one is best:
            continue
        apart = compared(best, one)
        how = (
            f"no better than {one.spec}: the difference of {signed(apart.value)} is "
            "within the noise"
            if apart.is_noise
            else f"better than {one.spec} by {short(apart.value)} "
            f"({short(apart.low)}–{short(apart.high)})"
        )
        said.append(how)
    return (
        f"**{widgets.escape(best.spec)}** is {widgets.escape('; '.join(said))}. " + hand
    )


def _not_judged(fared: Sequence[Standing]) -> None:
    """Say which labels were mapped, and which could not be."""
    for one in fared:
        mapping = one.passed.mapping
        told = [f"{a} as {b}" for a, b in mapping.names.items() if a != b]
        refused = one.passed.refused
        is_theirs = one.passed.cost is None
        parts = [
            f"{words} {widgets.escape(', '.join(names))}"
            for words, names in (
                ("takes", told),
                ("cannot say", mapping.unknown),
                (
                    "says what is no label here:",
                    _some(mapping.unmapped) if is_theirs else (),
                ),
                ("could not look at", () if is_theirs else tuple(refused)),
                (
                    "has entries that are not judged, such as",
                    _first(refused) if is_theirs else (),
                ),
            )
            if names
        ]
        if parts:
            st.caption(f"**{widgets.escape(one.spec)}** {'; '.join(parts)}.")


def _some(labels: Sequence[str]) -> Sequence[str]:
    rest = len(labels) - _MOST_LABELS
    return [*labels[:_MOST_LABELS], *([f"{rest:,} more"] if rest > 0 else [])]


def _first(refused: Mapping[str, str]) -> Sequence[str]:
    """Return where the first of another program's entries could not be judged, why."""
    return [f"{place} ({why})" for place, why in islice(refused.items(), _MOST_NAMED)]


def _label_by_label(fared: Sequence[Standing], run_id: str) -> None:
    specs = [one.spec for one in fared]
    chosen: str = st.selectbox(
        "Label by label",
        specs,
        key=f"evaluate.label_table_of.{run_id}",
    )
    one = fared[specs.index(chosen)]
    best = {each.label: each for each in one.best_thresholds}
    rows = []
    for label, figures in sorted(
        one.figures.per_label.items(), key=lambda pair: -pair[1].boxes
    ):
        at, offer = one.point(label), best[label]
        rows.append(
            {
                "label": label,
                "boxes": figures.boxes,
                "images": figures.images,
                "AP": figures.ap,
                "AP50": figures.ap50,
                "precision": at.precision,
                "recall": at.recall,
                "clicks": offer.now.cost,
                "best confidence": offer.learned.threshold if offer.learned else None,
                "clicks there": offer.at_best.cost if offer.at_best else None,
            }
        )
    share = st.column_config.NumberColumn(format="%.3f")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height=min(_LABELS_PX, 38 + 35 * len(rows)),
        column_config=dict.fromkeys(("AP", "AP50", "precision", "recall"), share)
        | {
            "best confidence": st.column_config.NumberColumn(
                format="%.2f",
                help="At which the label costs the fewest clicks; it takes 30 "
                "detections to say.",
            )
        },
    )
