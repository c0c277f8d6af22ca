"""Models side by side: figures with their intervals, curves, label by label."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

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
from imagebase.ui import widgets
from imagebase.ui.evaluate import evaluation_data, evaluation_plots

_ALL: Final = "all labels"
_LABELS_PX: Final = 330
_MOST_NAMED: Final = 3
_MOST_LABELS: Final = 8


def draw(run_id: str, threshold: float) -> None:
    """Draw the models of a run beside each other."""
    fared = evaluation_data.standings(run_id, threshold)
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
        evaluation_plots.precision_recall(fared, label)
    with right:
        st.markdown("**Is a confidence of 0.8 right 80 % of the time?**")
        evaluation_plots.calibration(fared)
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
