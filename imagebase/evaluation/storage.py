"""Saved evaluations: arrays and their description, and metrics.json."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from imagebase.annotation import Size
from imagebase.annotation.areas import shape_json, shape_of_json
from imagebase.detection.label_mapping import LabelMapping
from imagebase.errors import EvaluationError
from imagebase.evaluation.arrays import EvaluatedImage, Predictions, Truth
from imagebase.evaluation.average_precision import NAMES, NOTHING
from imagebase.evaluation.comparison import ModelResult, clicks_per_image, compared
from imagebase.evaluation.curves import BestThreshold, Calibration, CurvePoint
from imagebase.evaluation.detection_pass import Cost, DetectionPass

KEPT: Final = 30
_VERSION: Final = 1
_TRUTH: Final = ("image", "label", "xyxy", "area", "is_crowd")
_FOUND: Final = ("image", "label", "xyxy", "confidence")


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A saved run: its models, images and time.

    version: of the dataset's labels at that time; figures: AP by model.
    """

    run_id: str
    made_at: datetime
    who: str
    specs: tuple[str, ...]
    images: int
    boxes: int
    version: str
    figures: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Run:
    """Ground truth and detections of an evaluation.

    notes: what a reader should know of the truth.
    """

    truth: Truth
    passes: tuple[DetectionPass, ...]
    notes: tuple[str, ...] = ()


class RunFolder:
    """The kept runs of one dataset, the newest 30 of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, info: SavedRun, run: Run) -> None:
        """Save a run; readers see all of it or nothing.

        Raises:
            EvaluationError: it cannot be written.
        """
        arrays = {f"truth.{name}": getattr(run.truth, name) for name in _TRUTH}
        for place, pass_ in enumerate(run.passes):
            for name in _FOUND:
                arrays[f"{place}.{name}"] = getattr(pass_.found, name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / f"{info.run_id}.npz").open("wb") as file:
                np.savez_compressed(file, **arrays)
            draft = self._folder / f".{info.run_id}.json"
            draft.write_text(_document(info, run), encoding="utf-8")
            draft.replace(self._folder / f"{info.run_id}.json")
        except OSError as error:
            raise EvaluationError(
                f"The evaluation cannot be kept ({error.strerror}); make room for it."
            ) from error
        for old in self.runs()[KEPT:]:
            self.delete(old.run_id)

    def runs(self) -> list[SavedRun]:
        """Return the kept runs, the newest first; a damaged one is passed over."""
        runs = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                document = json.loads(path.read_text(encoding="utf-8"))
                if document["format"] == _VERSION:
                    runs.append(_as_info(path.stem, document))
        return sorted(runs, key=lambda run: run.made_at, reverse=True)

    def load(self, run_id: str) -> Run:
        """Return a run.

        Raises:
            EvaluationError: it is not there any more, or damaged.
        """
        try:
            text = self._path(run_id, ".json").read_text(encoding="utf-8")
            with np.load(self._path(run_id, ".npz"), allow_pickle=False) as arrays:
                return _as_run(json.loads(text), arrays)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EvaluationError(
                "This evaluation can no longer be read; click Run again."
            ) from error

    def delete(self, run_id: str) -> None:
        """Forget a run; nothing happens where it is not there."""
        for suffix in (".json", ".npz"):
            self._path(run_id, suffix).unlink(missing_ok=True)

    def _path(self, run_id: str, suffix: str) -> Path:
        if not run_id.isalnum():
            raise EvaluationError("There is no such evaluation; choose another one.")
        return self._folder / f"{run_id}{suffix}"


def _document(info: SavedRun, run: Run) -> str:
    document = {
        "format": _VERSION,
        "made_at": info.made_at.isoformat(),
        "who": info.who,
        "specs": info.specs,
        "boxes": info.boxes,
        "version": info.version,
        "figures": info.figures,
        "notes": run.notes,
        "labels": run.truth.labels,
        "images": [
            [image.image_id, image.name, image.size.width, image.size.height]
            for image in run.truth.images
        ],
        "box_ids": run.truth.box_ids,
        "regions": {
            row: shape_json(region) for row, region in run.truth.regions.items()
        },
        "passes": [_described(pass_) for pass_ in run.passes],
    }
    return json.dumps(document, ensure_ascii=False)


def _described(passed: DetectionPass) -> dict[str, Any]:
    cost, mapping = passed.cost, passed.mapping
    return {
        "spec": passed.spec,
        "model_id": passed.model_id,
        "names": dict(mapping.names),
        "unmapped": mapping.unmapped,
        "unknown": mapping.unknown,
        "cost": [cost.images_per_second, cost.load_seconds, cost.memory_bytes]
        if cost
        else None,
        "refused": dict(passed.refused),
    }


def _as_info(run_id: str, document: Mapping[str, Any]) -> SavedRun:
    return SavedRun(
        run_id,
        datetime.fromisoformat(document["made_at"]),
        str(document["who"]),
        tuple(document["specs"]),
        len(document["images"]),
        int(document["boxes"]),
        str(document["version"]),
        dict(document["figures"]),
    )


def _as_run(document: Mapping[str, Any], arrays: Mapping[str, Any]) -> Run:
    truth = Truth(
        labels=tuple(document["labels"]),
        images=tuple(
            EvaluatedImage(image_id, name, Size(width, height))
            for image_id, name, width, height in document["images"]
        ),
        box_ids=tuple(document["box_ids"]),
        # Runs of an earlier version have none.
        regions={
            int(row): shape_of_json(region)
            for row, region in document.get("regions", {}).items()
        },
        **{name: arrays[f"truth.{name}"] for name in _TRUTH},
    )
    passes = tuple(
        DetectionPass(
            entry["spec"],
            entry["model_id"],
            Predictions(**{name: arrays[f"{place}.{name}"] for name in _FOUND}),
            LabelMapping(
                entry["names"], tuple(entry["unmapped"]), tuple(entry["unknown"])
            ),
            Cost(*entry["cost"]) if entry["cost"] else None,
            entry["refused"],
        )
        for place, entry in enumerate(document["passes"])
    )
    return Run(truth, passes, tuple(document["notes"]))


def metrics(results: Sequence[ModelResult]) -> dict[str, Any]:
    """Return what metrics.json says; -1, as COCO has it, where nothing is judged."""
    return {result.spec: _of_one(result, results) for result in results}


def _of_one(result: ModelResult, results: Sequence[ModelResult]) -> dict[str, Any]:
    figures, cost = result.figures, result.passed.cost
    return {
        **{name: _or_nothing(figures[name]) for name in NAMES},
        "per_label": {
            label: {
                "AP": _or_nothing(scores.ap),
                "AP50": _or_nothing(scores.ap50),
                "images": scores.images,
                "boxes": scores.boxes,
                **_point(result.point(label)),
            }
            for label, scores in figures.per_label.items()
        },
        "images_per_second": cost.images_per_second if cost else None,
        "load_seconds": cost.load_seconds if cost else None,
        "memory_bytes": cost.memory_bytes if cost else None,
        "model_id": result.passed.model_id,
        "images": len(result.truth.images),
        "boxes": result.truth.boxes,
        "confidence": result.threshold,
        **_point(result.point()),
        "clicks_per_image": clicks_per_image(result),
        "intervals": {
            name: list(interval) for name, interval in result.intervals.items()
        },
        "calibration": _calibration(result.calibration),
        "best_thresholds": {
            threshold.label: _best(threshold)
            for threshold in result.best_thresholds
            if threshold.learned
        },
        "compared": {
            other.spec: _compared(result, other)
            for other in results
            if other is not result
        },
        "labels_not_judged": list(result.passed.mapping.unmapped),
        "labels_it_cannot_say": list(result.passed.mapping.unknown),
        "mapped_labels": {
            name: target
            for name, target in result.passed.mapping.names.items()
            if name != target
        },
        "refused": [
            {"file": file, "reason": reason}
            for file, reason in result.passed.refused.items()
        ],
    }


def _or_nothing(value: float | None) -> float:
    return NOTHING if value is None else value


def _point(at: CurvePoint) -> dict[str, float | None]:
    return {"precision": at.precision, "recall": at.recall, "F1": at.f1}


def _calibration(measured: Calibration) -> dict[str, Any]:
    return {
        "error": measured.error,
        "bins": [
            {
                "from": bin.from_confidence,
                "to": bin.to_confidence,
                "count": bin.count,
                "confidence": bin.mean_confidence,
                "right": bin.share_right,
            }
            for bin in measured.bins
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


def _compared(ours: ModelResult, theirs: ModelResult) -> dict[str, Any]:
    apart = compared(ours, theirs)
    return {
        "AP": apart.value,
        "low": apart.low,
        "high": apart.high,
        "verdict": apart.in_words(),
    }
