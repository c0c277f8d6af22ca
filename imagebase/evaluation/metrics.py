"""metrics.json: the figures of every model, by its name."""

from collections.abc import Sequence
from typing import Any

from imagebase.evaluation.coco import NAMES, NOTHING
from imagebase.evaluation.comparison import Standing, clicks_per_image, compared
from imagebase.evaluation.curves import BestThreshold, Calibration, Point


def metrics(standings: Sequence[Standing]) -> dict[str, Any]:
    """Return what metrics.json says; -1, as COCO has it, where nothing is judged."""
    return {one.spec: _of_one(one, standings) for one in standings}


def _of_one(standing: Standing, standings: Sequence[Standing]) -> dict[str, Any]:
    figures, cost = standing.figures, standing.passed.cost
    return {
        **{name: _or_nothing(figures[name]) for name in NAMES},
        "per_label": {
            label: {
                "AP": _or_nothing(one.ap),
                "AP50": _or_nothing(one.ap50),
                "images": one.images,
                "boxes": one.boxes,
                **_point(standing.point(label)),
            }
            for label, one in figures.per_label.items()
        },
        "images_per_second": cost.images_per_second if cost else None,
        "load_seconds": cost.load_seconds if cost else None,
        "memory_bytes": cost.memory_bytes if cost else None,
        "model_id": standing.passed.model_id,
        "images": len(standing.truth.images),
        "boxes": standing.truth.boxes,
        "confidence": standing.threshold,
        **_point(standing.point()),
        "clicks_per_image": clicks_per_image(standing),
        "intervals": {name: list(one) for name, one in standing.intervals.items()},
        "calibration": _calibration(standing.calibration),
        "best_thresholds": {
            one.label: _best(one) for one in standing.best_thresholds if one.learned
        },
        "compared": {
            other.spec: _compared(standing, other)
            for other in standings
            if other is not standing
        },
        "labels_not_judged": list(standing.passed.mapping.unmapped),
        "labels_it_cannot_say": list(standing.passed.mapping.unknown),
        "mapped_labels": {
            name: target
            for name, target in standing.passed.mapping.names.items()
            if name != target
        },
        "refused": [
            {"file": file, "reason": reason}
            for file, reason in standing.passed.refused.items()
        ],
    }


def _or_nothing(value: float | None) -> float:
    return NOTHING if value is None else value


def _point(at: Point) -> dict[str, float | None]:
    return {"precision": at.precision, "recall": at.recall, "F1": at.f1}


def _calibration(measured: Calibration) -> dict[str, Any]:
    return {
        "error": measured.error,
        "bins": [
            {
                "from": one.from_confidence,
                "to": one.to_confidence,
                "count": one.count,
                "confidence": one.mean_confidence,
                "right": one.share_right,
            }
            for one in measured.bins
        ],
    }


def _best(best: BestThreshold) -> dict[str, Any]:
    assert best.learned is not None
    assert best.at_best is not None
    return {
        "threshold": best.learned.threshold,
        "low": best.learned.low,
        "high": best.learned.high,
        "cost": best.at_best.cost,
        "cost_now": best.now.cost,
    }


def _compared(ours: Standing, theirs: Standing) -> dict[str, Any]:
    apart = compared(ours, theirs)
    return {
        "AP": apart.value,
        "low": apart.low,
        "high": apart.high,
        "verdict": apart.in_words(),
    }
