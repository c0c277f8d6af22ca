"""AP50 over the rounds: each model, and the one before it on the same images."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import altair as alt
import pandas as pd
import streamlit as st

from imagebase.training.sources import Round
from imagebase.ui import cache
from imagebase.wording import plural

_PX: Final = 220
OF_ROUND: Final = "this round's model"
BEFORE: Final = "the model before, on the same images"
_COLOURS: Final = {OF_ROUND: "#4A90D9", BEFORE: "#E69F00"}
_SHAPES: Final = {OF_ROUND: "circle", BEFORE: "diamond"}


def rounds(trainings: Sequence[Round]) -> None:
    """Draw how good each training's model is, where two or more were judged."""
    points = points_of(trainings)
    judged = [one for one in points if one["what"] == OF_ROUND]
    if len(judged) < 2:
        return
    st.markdown("**AP50 over the rounds**")
    st.altair_chart(_chart(points), width="stretch")
    compared = (
        "Each round holds out more images, so compare the two marks of one round."
        if len(points) > len(judged)
        else "Each round holds out more images, so the figures compare only roughly."
    )
    st.caption(f"{compared} Grey lines: 95 % bootstrap confidence intervals.")


def points_of(trainings: Sequence[Round]) -> list[dict[str, Any]]:
    """Return the marks of the rounds that were judged, a row each.

    The model before has one where it is the one that a training began from.
    """
    rows = []
    for number, (last, one) in enumerate(pairwise([None, *trainings]), start=1):
        if one is None or one.ap50 is None:
            continue
        place = f"{number}: {plural(one.images, 'image')}"
        low, high = one.interval or (one.ap50, one.ap50)
        if one.base_ap50 is not None and last and _is_same(one.base, last.model):
            mark = {"round": place, "what": BEFORE, "AP50": one.base_ap50}
            rows.append(mark | {"model": one.base})
        mark = {"round": place, "what": OF_ROUND, "AP50": one.ap50}
        rows.append(mark | {"model": one.model, "low": low, "high": high})
    return rows


def _is_same(name: str, other: str) -> bool:
    """Say whether two names are of one model, which may have been renamed since."""
    if name == other:
        return True
    found = cache.model_called(name)
    return found is not None and found == cache.model_called(other)


def _chart(points: Sequence[dict[str, Any]]) -> alt.LayerChart:
    there = {one["what"] for one in points}
    used = [one for one in _COLOURS if one in there]
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(pd.DataFrame(points)).encode(
        x=alt.X("round:N", sort=None, title=None, axis=alt.Axis(labelAngle=0))
    )
    of_round = base.transform_filter(alt.datum.what == OF_ROUND)
    legend = alt.Legend(title=None, orient="top", labelLimit=400, symbolOpacity=1)
    marks = base.mark_point(filled=True, opacity=1).encode(
        y=alt.Y("AP50:Q", scale=scale, title=None),
        color=alt.Color(
            "what:N",
            scale=alt.Scale(domain=used, range=[_COLOURS[one] for one in used]),
            legend=legend,
        ),
        shape=alt.Shape(
            "what:N",
            scale=alt.Scale(domain=used, range=[_SHAPES[one] for one in used]),
            legend=legend,
        ),
        # Both are seen where one lies on the other.
        size=alt.condition(alt.datum.what == BEFORE, alt.value(260), alt.value(70)),
        tooltip=["model:N", "what:N", alt.Tooltip("AP50:Q", format=".3f")],
    )
    around = of_round.mark_rule(color="#888888", strokeWidth=2).encode(
        y=alt.Y("low:Q", scale=scale, title=None), y2="high:Q"
    )
    line = of_round.mark_line(color=_COLOURS[OF_ROUND], strokeWidth=1.5).encode(
        y=alt.Y("AP50:Q", scale=scale, title=None)
    )
    return alt.LayerChart(layer=[around, line, marks]).properties(height=_PX)
