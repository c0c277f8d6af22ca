"""report.html: one file with all figures, curves and the worst images, no script."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import LabelSet
from imagebase.evaluation.bootstrap import warnings_about
from imagebase.evaluation.comparison import ModelResult
from imagebase.evaluation.error_types import boxes_of_mistakes, drawn, listed
from imagebase.evaluation.figures import (
    BACKGROUND,
    COCO_COLUMNS,
    COLOURS,
    USE_COLUMNS,
    XY,
    Series,
    Value,
    calibration_series,
    confused_labels,
    label_rows,
    model_rows,
    notes_about,
    precision_recall_series,
    short,
    summary_sentences,
)
from imagebase.images.decode import RgbArray, encode_jpeg
from imagebase.wording import plural

# Nothing in a report may run or be fetched, whatever a name in it holds.
POLICY: Final = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "img-src data:; style-src 'unsafe-inline'\">"
)
STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #667;
  --rule: #d8dce2; --cell: 0, 114, 178; --wrong: 213, 94, 0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #14171b;
  --soft: #9aa3ad; --rule: #333a42; --cell: 86, 180, 233; --wrong: 230, 120, 40; } }
* { box-sizing: border-box; }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1.5rem; color: var(--ink);
  background: var(--paper); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-top: 1px solid var(--rule);
  padding-top: 1.2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p, li { margin: .3rem 0; } .soft, caption, figcaption { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; }
td:first-child { font-weight: 600; white-space: nowrap; }
td small { color: var(--soft); }
.confusion { font-size: 12px; } .confusion td, .confusion th { padding: .15rem .35rem;
  border: 1px solid var(--rule); text-align: center; min-width: 2rem; }
.confusion th:first-child { text-align: right; white-space: nowrap; }
.confusion thead th { writing-mode: vertical-rl; transform: rotate(180deg);
  vertical-align: bottom; text-align: left; max-height: 9rem; }
.confusion thead th:first-child { writing-mode: initial; transform: none; }
.charts { display: flex; flex-wrap: wrap; gap: 1.5rem; }
.charts > div { flex: 1 1 26rem; max-width: 34rem; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--soft); }
.middle { text-anchor: middle; } .end { text-anchor: end; }
.grid { stroke: var(--rule); stroke-width: 1; fill: none; }
.guide { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 4; fill: none; }
.line { stroke-width: 2; fill: none; } .dot { stroke: var(--paper); stroke-width: 2; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap;
  gap: .2rem 1.2rem; }
.key { width: 28px; height: 8px; margin-right: .4rem; vertical-align: middle; }
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr));
  gap: 1rem; } figure { margin: 0; break-inside: avoid; } figure img { width: 100%;
  display: block; border-radius: 4px; }
figcaption { font-size: 13px; } figcaption b { color: var(--ink); }
@media print {
  body { margin: 0; max-width: none; font-size: 11px; }
  h2, h3 { break-after: avoid; }
  .wide { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

WORST_IMAGES: Final = 12
MOST_LABELS: Final = 15
_QUALITY: Final = 80
# Lines differ for those who see no colours, too.
_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3")
_WIDTH, _HEIGHT = 460, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 42
_STEPS: Final = 5

# Returns a small copy of an image of the truth; None where it cannot be read.
PictureOf = Callable[[int], RgbArray | None]


@dataclass(frozen=True, slots=True)
class ReportHeader:
    """The head of a report.

    title: the ground truth. made: when and with which version. notes: for readers, such
    as entries that are not judged.
    """

    title: str
    made: str
    notes: tuple[str, ...] = ()


def report(
    about: ReportHeader, results: Sequence[ModelResult], picture_of: PictureOf
) -> str:
    """Return the report on these models as the text of one HTML file."""
    truth = results[0].truth
    notes = (*warnings_about(truth), *about.notes)
    body = [
        f"<h1>{escape(about.title)}</h1>",
        f'<p class="soft">{plural(len(truth.images), "image")}, '
        f"{plural(truth.boxes, 'box')}, "
        f"{plural(int(np.count_nonzero(truth.boxes_by_label())), 'label')}. "
        f"{escape(about.made)}</p>",
        *(f"<p>{escape(note)}</p>" for note in notes),
        "<h2>Which model</h2>",
        *_comparison(results),
        '<h2>Precision and recall</h2><div class="charts"><div>',
        "<h3>All labels; the dot is the confidence in use</h3>",
        _chart(
            precision_recall_series(results), x="recall", y="precision", stepped=True
        ),
        "</div><div><h3>Is a confidence of 0.8 right 80 % of the time?</h3>",
        _chart(calibration_series(results), x="confidence", y="right", diagonal=True),
        "</div></div>",
        *(part for result in results for part in _of_one(result, picture_of)),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"{POLICY}"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(about.title)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _comparison(results: Sequence[ModelResult]) -> Iterator[str]:
    rows = model_rows(results)
    yield _table(rows, ("model", *COCO_COLUMNS))
    yield f"<h3>At a confidence of {results[0].threshold:g}</h3>"
    yield _table(rows, ("model", *USE_COLUMNS))
    sentences = [
        *summary_sentences(results),
        "Clicks are per image: deleting, relabelling or moving a box is one, drawing "
        "one two.",
    ]
    yield f'<p class="soft">{escape(" ".join(sentences))}</p>'


def _table(rows: Sequence[Mapping[str, Value]], columns: Sequence[str]) -> str:
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{_cell(row[name])}</td>' for name in columns)}</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: Value) -> str:
    if isinstance(value, str):
        return escape(value)
    return f"{value:,}" if isinstance(value, int) else short(value)


def _of_one(result: ModelResult, picture_of: PictureOf) -> Iterator[str]:
    yield f"<h2>{escape(result.spec)}</h2>"
    for note in notes_about(result):
        yield f'<p class="soft">{escape(note)}</p>'
    yield "<h3>Confusion matrix</h3>"
    yield from _confusion(result)
    yield "<h3>Labels</h3>"
    if rows := label_rows(result):
        yield _table(rows, tuple(rows[0]))
    yield "<h3>The worst images: ground truth solid, detections dashed</h3>"
    yield from _worst(result, picture_of)


def _confusion(result: ModelResult) -> Iterator[str]:
    """Yield the matrix of the labels with the most boxes; the others are one."""
    counts = result.outcomes.confusion()
    background = len(counts) - 1
    shown = confused_labels(result, most=MOST_LABELS)
    rest = sorted({*range(background)} - set(shown))
    groups = [[label] for label in shown] + ([rest] if rest else []) + [[background]]
    names = [result.truth.labels[label] for label in shown]
    names += (["others"] if rest else []) + [BACKGROUND]
    table = np.array(
        [[counts[np.ix_(row, column)].sum() for column in groups] for row in groups]
    )
    if rest:
        place = len(shown)
        table[place, place] = np.trace(counts[np.ix_(rest, rest)])
    yield '<div class="wide"><table class="confusion"><thead><tr>'
    yield "<th>actual ↓ predicted →</th>"
    yield "".join(f"<th>{escape(name)}</th>" for name in names)
    yield "</tr></thead><tbody>"
    for row, name in enumerate(names):
        yield f"<tr><th>{escape(name)}</th>{_confusion_row(table, row)}</tr>"
    yield "</tbody></table></div>"


def _confusion_row(table: NDArray[np.intp], row: int) -> str:
    total = max(int(table[row].sum()), 1)
    cells = []
    for column, count in enumerate(table[row].tolist()):
        if row == column == len(table) - 1:
            cells.append("<td></td>")
            continue
        ink = "--cell" if row == column else "--wrong"
        shade = 0.12 + 0.7 * count / total if count else 0
        cells.append(
            f'<td style="background: rgba(var({ink}), {shade:.2f})">{count or ""}</td>'
        )
    return "".join(cells)


def _worst(result: ModelResult, picture_of: PictureOf) -> Iterator[str]:
    outcomes, truth = result.outcomes, result.truth
    clicks = outcomes.clicks()
    labels = LabelSet.of(truth.labels)
    yield '<div class="images">'
    for image in np.argsort(-clicks, kind="stable")[:WORST_IMAGES].tolist():
        rgb = picture_of(image)
        if not clicks[image] or rgb is None:
            continue
        mistakes = outcomes.mistakes(image=image)
        shown = drawn(
            rgb, boxes_of_mistakes(outcomes, mistakes), labels, truth.images[image].size
        )
        data = base64.b64encode(encode_jpeg(shown, quality=_QUALITY)).decode("ascii")
        name = escape(truth.images[image].name)
        yield (
            f'<figure><img src="data:image/jpeg;base64,{data}" alt="{name}">'
            f"<figcaption><b>{name}</b>, {clicks[image]:.0f} clicks: "
            f"{escape(listed(outcomes, mistakes))}</figcaption></figure>"
        )
    yield "</div>"


def _chart(
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    stepped: bool = False,
    diagonal: bool = False,
) -> str:
    """Return lines over each other in a square of 0 to 1 as SVG, with their legend."""
    parts = [_frame(x, y)]
    if diagonal:
        parts.append(_path([(0, 0), (1, 1)], 'class="guide"'))
    for place, curve in enumerate(series):
        points = _stepped(curve.points) if stepped else curve.points
        parts.append(_path(points, f'class="line" {_stroke(place)}'))
        if curve.dot is not None:
            left, top = _at(curve.dot)
            parts.append(
                f'<circle cx="{left:.1f}" cy="{top:.1f}" r="5" class="dot" '
                f'fill="{_colour(place)}"><title>{escape(curve.name)}</title></circle>'
            )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{y} by {x}">{"".join(parts)}</svg>{_legend(series)}'
    )


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _stroke(place: int) -> str:
    dashes = _DASHES[place % len(_DASHES)]
    return f'stroke="{_colour(place)}" stroke-dasharray="{dashes}"'


def _legend(series: Sequence[Series]) -> str:
    entries = "".join(
        '<li><svg viewBox="0 0 28 8" class="key"><path d="M0 4H28" class="line" '
        f"{_stroke(place)}/></svg>{escape(curve.name)}"
        f"{f': {curve.note}' if curve.note else ''}</li>"
        for place, curve in enumerate(series)
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
    placed = " ".join("{:.1f} {:.1f}".format(*_at(point)) for point in points)
    return f'<path d="M{placed}" {style}/>'


def _stepped(points: Sequence[XY]) -> list[XY]:
    """Return the line with its corners: recall stays while precision falls."""
    stepped: list[XY] = []
    for x, y in points:
        if stepped:
            stepped.append((x, stepped[-1][1]))
        stepped.append((x, y))
    return stepped
