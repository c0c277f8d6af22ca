"""Tables and chart series of an evaluation, the same on the page and in the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from imagebase.evaluation.average_precision import CocoFigures
from imagebase.evaluation.bootstrap import Interval
from imagebase.evaluation.comparison import (
    ModelResult,
    best_of,
    clicks_per_image,
    compared,
)
from imagebase.wording import listed

# Okabe and Ito's without the yellow, which white paper swallows; then two more.
COLOURS: Final = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#6A3D9A", "#B15928"),
)
BACKGROUND: Final = "background"
COCO_COLUMNS: Final = (
    *("AP", "AP50", "AP75", "AP small", "AP medium", "AP large"),
    *("AR1", "AR10", "AR100"),
)
USE_COLUMNS: Final = (
    *("precision", "recall", "F1", "clicks", "images/s", "start", "memory"),
)
_MOST_NAMED: Final = 8
# Points of a curve that are nearer to each other look like one.
_POINT_DISTANCE: Final = 0.002

XY = tuple[float, float]
Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Series:
    """A line of one model in a chart from 0 to 1 both ways.

    dot: where the confidence in use is. counts: detections at each point, if counted.
    note: what the legend says of it.
    """

    name: str
    points: Sequence[XY]
    dot: XY | None = None
    counts: Sequence[int] = ()
    note: str = ""


def precision_recall_series(
    results: Sequence[ModelResult], label: str | None = None
) -> list[Series]:
    """Return precision (y) by recall (x) of a label, or of all; a line per model."""
    series = []
    for result in results:
        curve, at = result.curve(label), result.point(label)
        points = zip(curve.recall.tolist(), curve.precision.tolist(), strict=True)
        has_dot = at.recall is not None and at.precision is not None
        dot = (at.recall or 0.0, at.precision or 0.0) if has_dot else None
        series.append(Series(result.spec, _thinned(list(points)), dot))
    return series


def calibration_series(results: Sequence[ModelResult]) -> list[Series]:
    """Return the share of correct detections (y) by confidence (x)."""
    return [
        Series(
            result.spec,
            [(b.mean_confidence, b.share_right) for b in result.calibration.bins],
            counts=[b.count for b in result.calibration.bins],
            note=f"off by {short(result.calibration.error)}",
        )
        for result in results
    ]


def _thinned(points: Sequence[XY]) -> list[XY]:
    thinned: list[XY] = []
    for x, y in points:
        if (
            not thinned
            or abs(x - thinned[-1][0]) + abs(y - thinned[-1][1]) >= _POINT_DISTANCE
        ):
            thinned.append((x, y))
    if points and thinned[-1] != points[-1]:
        thinned.append(points[-1])
    return thinned


def model_rows(results: Sequence[ModelResult]) -> list[dict[str, str]]:
    """Return each model's figures by column, confidence intervals in brackets."""
    return [
        {
            "model": result.spec,
            **_coco_cells(result.figures, result.intervals),
            **_use_cells(result),
        }
        for result in results
    ]


def _coco_cells(
    figures: CocoFigures, intervals: Mapping[str, Interval]
) -> dict[str, str]:
    keys = {column: column.replace(" ", "_") for column in COCO_COLUMNS}
    return {
        column: _with_interval(figures[key], intervals.get(key))
        for column, key in keys.items()
    }


def _use_cells(model_result: ModelResult) -> dict[str, str]:
    at, cost, known = (
        model_result.point(),
        model_result.passed.cost,
        model_result.intervals,
    )
    memory = cost.memory_bytes if cost else None
    return {
        "precision": _with_interval(at.precision, known.get("precision")),
        "recall": _with_interval(at.recall, known.get("recall")),
        "F1": _with_interval(at.f1, known.get("F1")),
        "clicks": f"{clicks_per_image(model_result):.1f}",
        "images/s": f"{cost.images_per_second:.1f}" if cost else "–",
        "start": f"{cost.load_seconds:.1f} s" if cost else "–",
        "memory": f"{memory / 1e6:,.0f} MB" if memory is not None else "–",
    }


def label_rows(result: ModelResult) -> list[dict[str, Value]]:
    """Return the figures of each label by column, the label with most boxes first.

    best confidence: at which the label takes the fewest clicks to correct, with its
    95 % interval; None with fewer than 30 detections.
    """
    best = {threshold.label: threshold for threshold in result.best_thresholds}
    by_boxes = sorted(result.figures.per_label.items(), key=lambda pair: -pair[1].boxes)
    rows: list[dict[str, Value]] = []
    for label, figures in by_boxes:
        at, offer = result.point(label), best[label]
        learned = offer.learned
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
                "best confidence": learned.threshold if learned else None,
                "low": learned.low if learned else None,
                "high": learned.high if learned else None,
                "clicks there": offer.at_best.cost if offer.at_best else None,
            }
        )
    return rows


def summary_sentences(results: Sequence[ModelResult]) -> list[str]:
    """Return which model is best, by how much, and what no model would cost."""
    best = best_of(results)
    others = [_against(best, result) for result in results if result is not best]
    by_hand = 2 * best.truth.boxes / max(len(best.truth.images), 1)
    verdict = [f"{best.spec} is {'; '.join(others)}."] if others else []
    return [
        *verdict,
        f"Without a model: {by_hand:.1f} clicks per image. "
        "In brackets: 95 % bootstrap confidence interval.",
    ]


def _against(best: ModelResult, other: ModelResult) -> str:
    apart = compared(best, other)
    span = f"({signed(apart.low)} to {signed(apart.high)})"
    if apart.is_noise:
        return (
            f"no better than {other.spec}: the difference of {signed(apart.value)} "
            f"{span} is within the noise"
        )
    return f"better than {other.spec} by {short(apart.value)} {span}"


def notes_about(result: ModelResult, *, brief: bool = False) -> Iterator[str]:
    """Yield which labels were mapped, which cannot be judged, and what failed.

    brief: without labels of a model run here that the ground truth does not have.
    """
    mapping, refused = result.passed.mapping, result.passed.refused
    is_run_here = result.passed.cost is not None
    for words, names in (
        ("Mapped labels", [f"{a} as {b}" for a, b in mapping.names.items() if a != b]),
        ("Labels the model does not know", mapping.unknown),
        (
            "Not judged, as the ground truth has no such label",
            () if brief and is_run_here else mapping.unmapped,
        ),
        (
            "Failed images" if is_run_here else "Entries that cannot be judged",
            [f"{place} ({reason})" for place, reason in refused.items()],
        ),
    ):
        if names:
            rest = len(names) - _MOST_NAMED
            more = [f"{rest:,} more"] if rest > 0 else []
            yield f"{words}: {listed([*list(names)[:_MOST_NAMED], *more])}."


def confused_labels(result: ModelResult, *, most: int) -> list[int]:
    """Return the labels for a confusion matrix, most boxes first, as positions."""
    counts = result.outcomes.confusion()[:-1, :-1]
    weight = result.truth.boxes_by_label() * 1000 + counts.sum(axis=0)
    order = np.argsort(-weight, kind="stable")[:most]
    return [int(label) for label in order if weight[label]]


def signed(value: float) -> str:
    """Return a difference with its sign: +.012, −.076."""
    return ("−" if value < 0 else "+") + short(abs(value))


def short(value: float | None) -> str:
    """Return a share for people: .264, and – for none."""
    if value is None:
        return "–"
    return f"{max(value, 0.0):.3f}".removeprefix("0")


def _with_interval(value: float | None, known: Interval | None) -> str:
    if value is None or known is None:
        return short(value)
    return f"{short(value)} ({short(known.low)}–{short(known.high)})"
