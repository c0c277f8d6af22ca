"""Plot `benchmarks.training`: AP50 over minutes, a dot per seed, as SVG.

python -m benchmarks.training_curve ROWS.json [ROWS.json …] > curve.svg
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Final, NamedTuple

WIDTH, HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 150, 24, 44
_LOWEST: Final = 0.7
_COLOURS: Final = ("#4A90D9", "#D9822B", "#3D9970")
_LENGTH: Final = re.compile(r", ([\d.]+) min$")


class Point(NamedTuple):
    """One training: minutes of wall time asked for, and what its files score."""

    minutes: float
    ap50: float


def main() -> None:
    rows = [row for path in sys.argv[1:] for row in json.loads(Path(path).read_text())]
    print(svg_of(curves_of(rows)))


def curves_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Point]]:
    """Return the points of each kind of training whose length was given in minutes."""
    curves: dict[str, list[Point]] = {}
    for row in rows:
        found = _LENGTH.search(row["what"])
        if found:
            name = row["what"][: found.start()]
            point = Point(float(found[1]), row["ap50"])
            curves.setdefault(name, []).append(point)
    return curves


def svg_of(curves: Mapping[str, Sequence[Point]]) -> str:
    """Return the SVG; a curve goes through the means of the seeds."""
    longest = max(point.minutes for points in curves.values() for point in points)
    parts = [*_frame(longest)]
    for number, (name, points) in enumerate(curves.items()):
        parts += _curve(name, points, longest, _COLOURS[number % len(_COLOURS)], number)
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{inside}\n</svg>'
    )


def _x(minutes: float, longest: float) -> float:
    return _LEFT + minutes / longest * (WIDTH - _LEFT - _RIGHT)


def _y(ap50: float) -> float:
    share = (ap50 - _LOWEST) / (1 - _LOWEST)
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _frame(longest: float) -> list[str]:
    right = _x(longest, longest)
    parts = [_text(_LEFT, 14, "AP50 on images that played no part", "start")]
    for tenth in range(round(_LOWEST * 20), 21):
        height = _y(tenth / 20)
        parts.append(f'<path d="M{_LEFT} {height:.1f}H{right:.1f}" stroke="#dddddd"/>')
        parts.append(_text(_LEFT - 8, height + 4, f"{tenth / 20:.2f}", "end"))
    for minute in range(int(longest) + 1):
        place = _x(minute, longest)
        parts.append(_text(place, HEIGHT - _BOTTOM + 18, str(minute), "middle"))
    middle = (_LEFT + right) / 2
    parts.append(_text(middle, HEIGHT - 8, "minutes of wall time, two cores", "middle"))
    return parts


def _curve(
    name: str, points: Sequence[Point], longest: float, colour: str, number: int
) -> list[str]:
    dots = [
        f'<circle cx="{_x(point.minutes, longest):.1f}" cy="{_y(point.ap50):.1f}" '
        f'r="3.5" fill="{colour}" fill-opacity="0.6"/>'
        for point in points
    ]
    means = [
        (minutes, mean(point.ap50 for point in points if point.minutes == minutes))
        for minutes in sorted({point.minutes for point in points})
    ]
    path = "L".join(f"{_x(at, longest):.1f} {_y(ap50):.1f}" for at, ap50 in means)
    height = _TOP + 16 + 18 * number
    left = WIDTH - _RIGHT + 14
    return [
        f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>',
        *dots,
        f'<circle cx="{left}" cy="{height - 4}" r="3.5" fill="{colour}"/>',
        _text(left + 10, height, name, "start"),
    ]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#444444">'
        f"{words}</text>"
    )


if __name__ == "__main__":
    main()
