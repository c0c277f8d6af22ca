"""Charts as SVG text, on white paper and on a dark screen, without a script."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

# Okabe and Ito's without the yellow, which white paper swallows; then two more.
COLOURS: Final = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#6A3D9A",
    "#B15928",
)
_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3")
_WIDTH: Final = 460
_HEIGHT: Final = 320
_LEFT: Final = 46
_RIGHT: Final = 12
_TOP: Final = 12
_BOTTOM: Final = 42
_STEPS: Final = 5

XY = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """A line from 0 to 1 both ways, with a dot where it is used."""

    name: str
    points: Sequence[XY]
    dot: XY | None = None
    is_stepped: bool = True


def colour_of(place: int) -> str:
    """Return the colour of a model by its place in the tables."""
    return COLOURS[place % len(COLOURS)]


def dash_of(place: int) -> str:
    """Return the dashes of a model by its place, for those who see no colours."""
    return _DASHES[place % len(_DASHES)]


def line_chart(
    series: Sequence[Series], *, x_title: str, y_title: str, has_diagonal: bool = False
) -> str:
    """Return lines over each other in a square of 0 to 1; what they are is a legend."""
    parts = [_frame(x_title, y_title)]
    if has_diagonal:
        parts.append(_path([(0, 0), (1, 1)], 'class="guide"'))
    for place, one in enumerate(series):
        style = (
            f'class="line" stroke="{colour_of(place)}" '
            f'stroke-dasharray="{dash_of(place)}"'
        )
        points = _stepped(one.points) if one.is_stepped else list(one.points)
        parts.append(_path(_thinned(points), style))
        if one.dot is not None:
            x, y = _at(one.dot)
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="dot" '
                f'fill="{colour_of(place)}"><title>{escape(one.name)}</title></circle>'
            )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(y_title)} by {escape(x_title)}">{"".join(parts)}</svg>'
        f"{_legend(series)}"
    )


def _legend(series: Sequence[Series]) -> str:
    entries = "".join(
        f'<li><svg viewBox="0 0 28 8" class="key"><path d="M0 4H28" class="line" '
        f'stroke="{colour_of(place)}" stroke-dasharray="{dash_of(place)}"/></svg>'
        f"{escape(one.name)}</li>"
        for place, one in enumerate(series)
    )
    return f'<ul class="legend">{entries}</ul>'


def _frame(x_title: str, y_title: str) -> str:
    parts = []
    for step in range(_STEPS + 1):
        value = step / _STEPS
        x, y = _at((value, value))
        parts.append(
            f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" class="grid"/>'
            f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" class="grid"/>'
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" class="middle">'
            f"{value:.1f}</text>"
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="end">{value:.1f}</text>'
        )
    across, down = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="{across}" y="{_HEIGHT - 6}" class="middle">{escape(x_title)}</text>'
        f'<text transform="translate(12 {down}) rotate(-90)" class="middle">'
        f"{escape(y_title)}</text>"
    )
    return "".join(parts)


def _at(point: XY) -> XY:
    x, y = point
    return (
        _LEFT + x * (_WIDTH - _LEFT - _RIGHT),
        _HEIGHT - _BOTTOM - y * (_HEIGHT - _TOP - _BOTTOM),
    )


def _path(points: Sequence[XY], style: str) -> str:
    if not points:
        return ""
    placed = " ".join("{:.1f} {:.1f}".format(*_at(one)) for one in points)
    return f'<path d="M{placed}" {style}/>'


def _stepped(points: Sequence[XY]) -> list[XY]:
    """Return the line with its corners: recall stays while precision falls."""
    stepped: list[XY] = []
    for x, y in points:
        if stepped:
            stepped.append((x, stepped[-1][1]))
        stepped.append((x, y))
    return stepped


def _thinned(points: Sequence[XY], *, apart: float = 0.002) -> list[XY]:
    """Return the points that can be told apart at this size."""
    kept: list[XY] = []
    for x, y in points:
        if not kept or abs(x - kept[-1][0]) + abs(y - kept[-1][1]) >= apart:
            kept.append((x, y))
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return kept
