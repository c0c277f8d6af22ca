"""report.html: one file with all figures, curves and the worst images."""

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from imagebase.annotation import LabelSet
from imagebase.evaluation.average_precision import LabelFigures
from imagebase.evaluation.bootstrap import Interval, warnings_about
from imagebase.evaluation.comparison import (
    Standing,
    best_of,
    clicks_per_image,
    compared,
)
from imagebase.evaluation.curves import BestThreshold
from imagebase.evaluation.error_types import boxes_of_mistakes, drawn, listed
from imagebase.evaluation.svg_charts import Series, line_chart
from imagebase.images.decode import RgbArray, encode_jpeg
from imagebase.wording import plural

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
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr));
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
_MOST_NAMED: Final = 12
_QUALITY: Final = 80

# Returns the pixels of an image of the truth, small; None where it cannot be read.
PictureOf = Callable[[int], RgbArray | None]


@dataclass(frozen=True, slots=True)
class About:
    """What a report says of itself.

    title: what was judged on. made: when and with what, in words. notes: what a reader
    should know, such as what was left out.
    """

    title: str
    made: str
    notes: tuple[str, ...] = ()


def report(about: About, standings: Sequence[Standing], picture_of: PictureOf) -> str:
    """Return the report on these models as the text of one HTML file."""
    truth = standings[0].truth
    body = [
        f"<h1>{escape(about.title)}</h1>",
        f'<p class="soft">{plural(len(truth.images), "image")}, '
        f"{plural(truth.boxes, 'box')}, "
        f"{plural(int(np.count_nonzero(truth.boxes_by_label())), 'label')}. "
        f"{escape(about.made)}</p>",
        *(f"<p>{escape(note)}</p>" for note in (*warnings_about(truth), *about.notes)),
        "<h2>Which model</h2>",
        *_comparison(standings),
        '<h2>Precision and recall</h2><div class="charts"><div>',
        "<h3>All labels; the dot is the confidence in use</h3>",
        precision_recall_chart(standings),
        "</div><div><h3>Is 0.8 right 80 % of the time?</h3>",
        calibration_chart(standings),
        "</div></div>",
        *(part for one in standings for part in _of_one(one, picture_of)),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(about.title)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _comparison(standings: Sequence[Standing]) -> Iterator[str]:
    """Yield two tables: how good by COCO's figures, and how it is to work with."""
    best = best_of(standings)
    yield _table(
        ("model", *_COCO_HEADS, "against the best"),
        ([one.spec, *_coco_cells(one), _against(one, best)] for one in standings),
    )
    first = standings[0]
    yield (
        f"<h3>At a confidence of {first.threshold:g}, and what it costs</h3>"
        + _table(
            ("model", *_USE_HEADS),
            ([one.spec, *_use_cells(one)] for one in standings),
        )
        + '<p class="soft">Small figures are intervals of 95 %: images are drawn '
        "over and over. A click deletes, relabels or moves a box; drawing one counts "
        f"two: by hand alone it would be {by_hand(first):.1f} an image.</p>"
    )


_COCO_HEADS: Final = (
    *("AP", "AP50", "AP75", "AP small", "AP medium", "AP large"),
    *("AR1", "AR10", "AR100"),
)
_USE_HEADS: Final = (
    *("precision", "recall", "F1", "clicks an image"),
    *("images/s", "start, s", "memory, MB"),
)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first cell of a row is somebody's text, the others ours."""
    body = "".join(
        f"<tr><td>{escape(first)}</td>{''.join(f'<td>{one}</td>' for one in rest)}</tr>"
        for first, *rest in rows
    )
    head = "".join(f"<th>{one}</th>" for one in heads)
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def by_hand(standing: Standing) -> float:
    """Return the clicks an image takes without any model."""
    return 2 * standing.truth.boxes / max(len(standing.truth.images), 1)


def _coco_cells(one: Standing) -> list[str]:
    figures, known = one.figures, one.intervals
    return [
        _with_interval(figures["AP"], known.get("AP")),
        _with_interval(figures["AP50"], known.get("AP50")),
        *(
            short(figures[name])
            for name in ("AP75", "AP_small", "AP_medium", "AP_large")
        ),
        *(short(figures[name]) for name in ("AR1", "AR10", "AR100")),
    ]


def _use_cells(one: Standing) -> list[str]:
    at, cost, known = one.point(), one.passed.cost, one.intervals
    memory = cost.memory_bytes if cost else None
    return [
        _with_interval(at.precision, known.get("precision")),
        _with_interval(at.recall, known.get("recall")),
        _with_interval(at.f1, known.get("F1")),
        f"{clicks_per_image(one):.1f}",
        f"{cost.images_per_second:.1f}" if cost else "–",
        f"{cost.load_seconds:.1f}" if cost else "–",
        f"{memory / 1e6:.0f}" if memory is not None else "–",
    ]


def _against(one: Standing, best: Standing) -> str:
    if one is best:
        return "the best"
    apart = compared(one, best)
    return (
        f"{signed(apart.value)}, {apart.in_words()}<br>"
        f"<small>{signed(apart.low)} to {signed(apart.high)}</small>"
    )


def signed(value: float) -> str:
    """Return a difference with its sign: +.012, −.076."""
    return ("−" if value < 0 else "+") + short(abs(value))


def _with_interval(value: float | None, known: Interval | None) -> str:
    if value is None or known is None:
        return short(value)
    return f"{short(value)}<br><small>{short(known.low)}–{short(known.high)}</small>"


def short(value: float | None) -> str:
    """Return a share for people: .264, and – for none."""
    if value is None:
        return "–"
    return f"{max(value, 0.0):.3f}".removeprefix("0")


def precision_recall_chart(standings: Sequence[Standing]) -> str:
    """Return the curves of all labels over each other, as SVG."""
    series = []
    for one in standings:
        curve, at = one.curve(), one.point()
        points = list(zip(curve.recall.tolist(), curve.precision.tolist(), strict=True))
        has_dot = at.recall is not None and at.precision is not None
        dot = (at.recall or 0.0, at.precision or 0.0) if has_dot else None
        series.append(Series(one.spec, points, dot))
    return line_chart(series, x_title="recall", y_title="precision")


def calibration_chart(standings: Sequence[Standing]) -> str:
    """Return how often detections of each confidence are right, as SVG."""
    series = [
        Series(
            f"{one.spec}: off by {short(one.calibration.error)}",
            [(b.mean_confidence, b.share_right) for b in one.calibration.bins],
            is_stepped=False,
        )
        for one in standings
    ]
    return line_chart(
        series, x_title="confidence", y_title="share right", has_diagonal=True
    )


def _of_one(standing: Standing, picture_of: PictureOf) -> Iterator[str]:
    yield f"<h2>{escape(standing.spec)}</h2>"
    yield from _what_was_not_judged(standing)
    yield "<h3>Taken for what</h3>"
    yield from _confusion(standing)
    yield "<h3>Label by label</h3>"
    yield from _labels(standing)
    yield "<h3>The worst images: truth solid, detections dashed</h3>"
    yield from _worst(standing, picture_of)


def _what_was_not_judged(standing: Standing) -> Iterator[str]:
    mapping, refused = standing.passed.mapping, standing.passed.refused
    told = [f"{a} as {b}" for a, b in mapping.names.items() if a != b]
    for words, names in (
        ("Labels that are called otherwise here", told),
        (
            "It says these labels, which the truth has not; they are not judged",
            mapping.unmapped,
        ),
        ("It cannot say these labels, and misses all of them", mapping.unknown),
        ("Not looked at", [f"{file} ({why})" for file, why in refused.items()]),
    ):
        if names:
            rest = len(names) - _MOST_NAMED
            more = f" and {rest} more" if rest > 0 else ""
            listed_names = escape(", ".join(list(names)[:_MOST_NAMED]))
            yield f'<p class="soft">{words}: {listed_names}{more}.</p>'


def _confusion(standing: Standing) -> Iterator[str]:
    """Yield the matrix of the labels with the most boxes; the others are one."""
    counts = standing.verdicts.confusion()
    background = len(counts) - 1
    by_boxes = np.argsort(-standing.truth.boxes_by_label(), kind="stable")
    shown = [int(one) for one in by_boxes[:MOST_LABELS] if counts[one].any()]
    rest = sorted({*range(background)} - set(shown))
    groups = [[one] for one in shown] + ([rest] if rest else []) + [[background]]
    names = [standing.truth.labels[one] for one in shown]
    names += (["others"] if rest else []) + ["background"]
    table = np.array(
        [[counts[np.ix_(row, column)].sum() for column in groups] for row in groups]
    )
    if rest:
        place = len(shown)
        mixed = counts[np.ix_(rest, rest)]
        table[place, place] = np.trace(mixed)
    yield '<div class="wide"><table class="confusion"><thead><tr><th>is ↓ said →</th>'
    yield "".join(f"<th>{escape(name)}</th>" for name in names)
    yield "</tr></thead><tbody>"
    for row, name in enumerate(names):
        yield f"<tr><th>{escape(name)}</th>{_confusion_row(table, row)}</tr>"
    yield "</tbody></table></div>"


def _confusion_row(
    table: "np.ndarray[tuple[int, int], np.dtype[np.intp]]", row: int
) -> str:
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


def _labels(standing: Standing) -> Iterator[str]:
    heads = (
        *("label", "boxes", "images", "AP", "AP50", "precision", "recall"),
        *("best confidence", "clicks there", "clicks now"),
    )
    best = {one.label: one for one in standing.best_thresholds}
    by_boxes = sorted(
        standing.figures.per_label.items(), key=lambda pair: -pair[1].boxes
    )
    yield _table(
        heads, (_label_cells(standing, *one, best[one[0]]) for one in by_boxes)
    )


def _label_cells(
    standing: Standing, label: str, figures: LabelFigures, offer: BestThreshold
) -> list[str]:
    at, learned = standing.point(label), offer.learned
    threshold = (
        f"{learned.threshold:.2f}<br><small>{learned.low:.2f}–{learned.high:.2f}</small>"
        if learned
        else "<small>too few</small>"
    )
    return [
        label,
        f"{figures.boxes:,}",
        f"{figures.images:,}",
        *(short(one) for one in (figures.ap, figures.ap50, at.precision, at.recall)),
        threshold,
        f"{offer.at_best.cost:,}" if offer.at_best else "–",
        f"{offer.now.cost:,}",
    ]


def _worst(standing: Standing, picture_of: PictureOf) -> Iterator[str]:
    told, truth = standing.verdicts, standing.truth
    clicks = told.clicks()
    labels = LabelSet.of(truth.labels)
    yield '<div class="pictures">'
    for image in np.argsort(-clicks, kind="stable")[:WORST_IMAGES].tolist():
        rgb = picture_of(image)
        if not clicks[image] or rgb is None:
            continue
        mistakes = told.mistakes(image=image)
        shown = drawn(
            rgb, boxes_of_mistakes(told, mistakes), labels, truth.images[image].size
        )
        data = base64.b64encode(encode_jpeg(shown, quality=_QUALITY)).decode("ascii")
        name = escape(truth.images[image].name)
        yield (
            f'<figure><img src="data:image/jpeg;base64,{data}" alt="{name}">'
            f"<figcaption><b>{name}</b>, {clicks[image]:.0f} clicks: "
            f"{escape(listed(told, mistakes))}</figcaption></figure>"
        )
    yield "</div>"
