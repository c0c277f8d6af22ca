"""Charts for light and dark themes; a click on a bar or cell filters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

import altair as alt
import pandas as pd
import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.geometry import FloatArray
from imagebase.review.corrections import Fate
from imagebase.ui import state

# Readable on white and on black.
PLAIN: Final = "#4A90D9"
# Colours of Okabe and Ito, as for labels.
STATUS_COLOURS: Final[Mapping[ReviewStatus, str]] = {
    ReviewStatus.NEW: "#999999",
    ReviewStatus.SUGGESTED: "#56B4E9",
    ReviewStatus.IMPORTED: "#CC79A7",
    ReviewStatus.EDITED: "#E69F00",
    ReviewStatus.APPROVED: "#009E73",
    ReviewStatus.REJECTED: "#D55E00",
}
FATE_COLOURS: Final[Mapping[Fate, str]] = {
    Fate.KEPT: "#009E73",
    Fate.MOVED: "#56B4E9",
    Fate.RELABELLED: "#E69F00",
    Fate.DELETED: "#D55E00",
    Fate.ADDED: "#CC79A7",
}
_PICK: Final = "pick"
_AREA: Final = "area"
_PLACE: Final = "place"
_MOST: Final = "most"
# Vega drops fully transparent marks together with their clicks.
_UNSEEN: Final = 0.001
_ROW_PX: Final = 17
_LABEL_PX: Final = 110
_CHART_PX: Final = 170
_MAP_PX: Final = 520

OnPick = Callable[[int], None]
OnSelect = Callable[[Mapping[str, Any], int | None], None]
_Position = TypeVar("_Position", alt.X, alt.Y)


def bars(
    names: Sequence[str],
    counts: Sequence[int],
    *,
    key: str,
    title: str,
    what: str,
    on_pick: OnPick,
    colours: Sequence[str] | None = None,
) -> None:
    """Draw a horizontal bar for each name, below a title.

    Args:
        names: from top to bottom.
        counts: of each.
        key: of the chart.
        title: a sentence in Markdown.
        what: the counted noun in the plural.
        on_pick: is called with the index of the clicked bar.
        colours: of each bar.
    """
    base = _base(_frame(names, counts, colours), what).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names_axis())
    )
    chart = base.encode(x=alt.X("count:Q", title=None, axis=_counts_axis()))
    _draw(
        chart.properties(height=alt.Step(_ROW_PX)),
        key=key,
        title=title,
        on_pick=on_pick,
        reach=_reach(base).encode(x=alt.X(f"{_MOST}:Q")),
    )


def columns(
    names: Sequence[str],
    counts: Sequence[int],
    *,
    key: str,
    title: str,
    what: str,
    on_pick: OnPick,
    axis: str,
    height: int = _CHART_PX,
) -> None:
    """Draw a vertical bar for each bin, as `bars` does; axis: title of the bins."""
    base = _base(_frame(names, counts, None), what).encode(
        x=alt.X(
            "name:N",
            sort=None,
            title=axis,
            axis=alt.Axis(labelAngle=0, labelOverlap=True),
            scale=alt.Scale(paddingInner=0.06),
        )
    )
    chart = base.encode(y=alt.Y("count:Q", title=None, axis=_counts_axis()))
    _draw(
        chart.properties(height=height),
        key=key,
        title=title,
        on_pick=on_pick,
        reach=_reach(base).encode(y=alt.Y(f"{_MOST}:Q")),
    )


def heat_map(
    counts: Sequence[Sequence[int]], *, key: str, title: str, what: str, on_pick: OnPick
) -> None:
    """Draw a grid of cells, as `bars` does; counts: by row and column."""
    cells = [
        {_PLACE: row * len(line) + column, "row": row, "column": column, "count": n}
        for row, line in enumerate(counts)
        for column, n in enumerate(line)
    ]
    chart = (
        alt.Chart(pd.DataFrame(cells))
        .mark_rect(color=PLAIN, cursor="pointer")
        .encode(
            x=alt.X("column:O", axis=None, scale=alt.Scale(padding=0)),
            y=alt.Y("row:O", axis=None, scale=alt.Scale(padding=0)),
            # Opacity instead of colours: empty cells keep the page's background.
            opacity=alt.Opacity(
                "count:Q", legend=None, scale=alt.Scale(type="sqrt", range=[0.04, 1])
            ),
            tooltip=[alt.Tooltip("count:Q", title=what, format=",")],
        )
        .properties(height=_CHART_PX)
    )
    _draw(chart, key=key, title=title, on_pick=on_pick)


def fates_by(
    rows: Sequence[tuple[str, Fate, int]],
    *,
    key: str,
    title: str,
    on_pick: OnPick,
    is_share: bool,
    is_upright: bool = False,
) -> None:
    """Draw a stacked bar of box outcomes for each name.

    Args:
        rows: name, fate and count of each segment.
        key: of the chart.
        title: a sentence in Markdown.
        on_pick: is called with the index of the clicked row.
        is_share: bars of equal length, in percent.
        is_upright: vertical bars, as for time.
    """
    order = list(Fate)
    frame = pd.DataFrame(
        {
            _PLACE: range(len(rows)),
            "name": [name for name, _, _ in rows],
            "fate": [str(fate) for _, fate, _ in rows],
            "order": [order.index(fate) for _, fate, _ in rows],
            "count": [count for _, _, count in rows],
        }
    )
    stack: Literal["normalize", "zero"] = "normalize" if is_share else "zero"
    amount_axis = (
        alt.Axis(format="%", tickCount=4, grid=False) if is_share else _counts_axis()
    )
    upright_axis = alt.Axis(labelAngle=0, labelOverlap=True)
    position = (
        (
            alt.X("name:N", sort=None, title=None, axis=upright_axis),
            alt.Y("count:Q", title=None, stack=stack, axis=amount_axis),
        )
        if is_upright
        else (
            alt.Y("name:N", sort=None, title=None, axis=_names_axis()),
            alt.X("count:Q", title=None, stack=stack, axis=amount_axis),
        )
    )
    chart = (
        alt.Chart(frame)
        .mark_bar(cursor="pointer")
        .encode(
            *position,
            order=alt.Order("order:Q"),
            color=_fate_colours(columns=3 if is_upright else 2),
            tooltip=[
                alt.Tooltip("name:N", title="of"),
                alt.Tooltip("fate:N", title="boxes"),
                alt.Tooltip("count:Q", title="count", format=","),
            ],
        )
        .properties(height=1.4 * _CHART_PX if is_upright else alt.Step(_ROW_PX))
    )
    _draw(chart, key=key, title=title, on_pick=on_pick)


def scatter(
    points: FloatArray,
    *,
    names: Sequence[str],
    groups: Sequence[str],
    colours: Mapping[str, str],
    key: str,
    on_select: OnSelect,
) -> None:
    """Draw points, coloured by their groups; a drag or a click selects some.

    Args:
        points: shape (N, 2).
        names: of each, shown at the pointer.
        groups: of each.
        colours: by group, in the order of the legend.
        key: of the chart.
        on_select: is called with the limits of the rectangle, `x` and `y` by name, and
            with the index of the clicked point; both are empty where nothing is
            selected any more.
    """
    frame = pd.DataFrame(
        {
            _PLACE: range(len(points)),
            "x": points[:, 0],
            "y": points[:, 1],
            "name": names,
            "group": groups,
        }
    )
    area = alt.selection_interval(name=_AREA, encodings=["x", "y"])
    clicked = alt.selection_point(name=_PICK, fields=[_PLACE], on="click", empty=False)
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    chart = (
        alt.Chart(frame)
        .mark_circle(size=_dot_size(len(points)), opacity=0.8)
        .encode(
            x=_bare(alt.X("x:Q")),
            y=_bare(alt.Y("y:Q")),
            color=alt.Color(
                "group:N",
                title=None,
                scale=scale,
                legend=alt.Legend(orient="top", columns=4, symbolSize=60),
            ),
            tooltip=[
                alt.Tooltip("name:N", title="image"),
                alt.Tooltip("group:N", title="group"),
            ],
        )
        .properties(height=_MAP_PX)
        .add_params(area, clicked)
        .properties(usermeta={"embedOptions": {"renderer": "canvas"}})
    )

    @state.reports_errors
    def selected() -> None:
        chosen = st.session_state[key]["selection"]
        picked = chosen.get(_PICK, [])
        on_select(chosen.get(_AREA) or {}, int(picked[0][_PLACE]) if picked else None)

    st.altair_chart(
        chart,
        key=key,
        width="stretch",
        on_select=selected,
        selection_mode=(_AREA, _PICK),
    )


def _dot_size(count: int) -> int:
    """Return the area of a dot in square pixels: many are small."""
    return 90 if count <= 300 else 40 if count <= 3_000 else 14


def _bare(position: _Position) -> _Position:
    """Return a position without an axis: its numbers mean nothing."""
    padded: _Position = position.axis(None).scale(padding=12, nice=False, zero=False)
    return padded


def _fate_colours(*, columns: int) -> alt.Color:
    domain, colours = [str(fate) for fate in Fate], [FATE_COLOURS[f] for f in Fate]
    return alt.Color(
        "fate:N",
        title=None,
        scale=alt.Scale(domain=domain, range=colours),
        legend=alt.Legend(orient="top", columns=columns, symbolSize=60),
    )


def intervals(frame: pd.DataFrame, *, title: str) -> None:
    """Draw learned thresholds with their intervals; ticks mark those in use.

    frame: columns label, colour, learned, low, high, now.
    """
    y = alt.Y("label:N", sort=None, title=None, axis=_names_axis())
    base = alt.Chart(frame).encode(y=y, color=alt.Color("colour:N", scale=None))
    line = base.mark_rule(strokeWidth=3, opacity=0.55).encode(
        x=alt.X(
            "low:Q",
            title="confidence",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(tickCount=5, format=".0%"),
        ),
        x2="high:Q",
    )
    dot = base.mark_point(filled=True, size=90, opacity=1).encode(x=alt.X("learned:Q"))
    tick = base.mark_tick(thickness=2, size=16, color="#999999").encode(
        x=alt.X("now:Q"), color=alt.value("#999999")
    )
    st.markdown(f"**{title}**")
    st.altair_chart(
        (line + tick + dot).properties(height=alt.Step(1.4 * _ROW_PX)), width="stretch"
    )


def _frame(
    names: Sequence[str], counts: Sequence[int], colours: Sequence[str] | None
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            _PLACE: range(len(names)),
            "name": names,
            "count": counts,
            _MOST: [max(counts, default=0)] * len(names),
            "colour": colours or [PLAIN] * len(names),
        }
    )


def _base(frame: pd.DataFrame, what: str) -> alt.Chart:
    chart: alt.Chart = alt.Chart(frame).mark_bar()
    return chart.encode(color=alt.Color("colour:N", scale=None), tooltip=_tooltip(what))


def _reach(base: alt.Chart) -> alt.Chart:
    """Return invisible bars of full length, so that short ones are easy to click."""
    chart: alt.Chart = base.mark_bar(opacity=_UNSEEN, cursor="pointer")
    return chart


def _names_axis() -> alt.Axis:
    return alt.Axis(
        labelLimit=_LABEL_PX,
        labelOverlap=False,
        labelFlush=False,
        ticks=False,
        domain=False,
    )


def _counts_axis() -> alt.Axis:
    return alt.Axis(format="~s", tickCount=3, tickMinStep=1)


def _tooltip(what: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("name:N", title="of"),
        alt.Tooltip("count:Q", title=what, format=","),
    ]


def _draw(
    chart: alt.Chart,
    *,
    key: str,
    title: str,
    on_pick: OnPick,
    reach: alt.Chart | None = None,
) -> None:
    """Draw a chart; reach: invisible marks above it that take the clicks."""
    clicked = alt.selection_point(name=_PICK, fields=[_PLACE], on="click", empty=False)
    picking = (
        chart.add_params(clicked)
        if reach is None
        else alt.layer(chart, reach.add_params(clicked))
    )

    @state.reports_errors
    def picked() -> None:
        chosen = st.session_state[key]["selection"].get(_PICK, [])
        if chosen:
            on_pick(int(chosen[0][_PLACE]))

    with st.container(gap="xsmall"):
        st.markdown(f"**{title}**")
        st.altair_chart(
            picking, key=key, width="stretch", on_select=picked, selection_mode=_PICK
        )
