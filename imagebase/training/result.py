"""Result of a training run: model files, metrics and report."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from imagebase.detection.candidates import Detections, select
from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.detector import Detector
from imagebase.detection.factory import load_apart_if_added
from imagebase.detection.model_files import (
    CFG,
    CONVERTED,
    HISTORY,
    METRICS,
    NAMES,
    REPORT,
    WEIGHTS,
    Model,
    model_in_folder,
)
from imagebase.evaluation.arrays import CONFIDENCE_FLOOR, MAX_DETECTIONS, Predictions
from imagebase.evaluation.average_precision import coco_figures
from imagebase.evaluation.bootstrap import can_resample, draws, interval, resample
from imagebase.evaluation.matching import match
from imagebase.settings import DEFAULT_CONFIDENCE, DEFAULT_NMS_IOU
from imagebase.training import checks, run_folder
from imagebase.training.data import TRAIN, VAL, TrainingSet
from imagebase.training.loop import TrainingOutcome
from imagebase.training.run_folder import Evaluation, write_bytes, write_json
from imagebase.training.run_page import ExampleBox, ExampleImage, report_page
from imagebase.training.run_settings import TrainingSettings
from imagebase.training.validate import DetectionRow, truth_of

EXAMPLES: Final = 6


@dataclass(frozen=True, slots=True)
class ValidationMetrics:
    """Metrics on validation images, AP50 with a 95 % bootstrap confidence interval."""

    ap: float | None
    ap50: float | None
    ap50_interval: tuple[float, float] | None
    per_label: dict[str, dict[str, Any]]


class _Files(NamedTuple):
    cfg: bytes
    weights: bytes
    labels: tuple[str, ...]


def write_model(
    folder: Path,
    output: Path,
    training_set: TrainingSet,
    settings: TrainingSettings,
    outcome: TrainingOutcome,
    *,
    cfg: str,
    base: Model,
) -> dict[str, Any]:
    """Write the best weights of a run as a model, and return its metrics.

    The metrics are measured on the written model files.

    Args:
        folder: of the run. output: created if missing.
        cfg: of the network. base: the model it started from.
    """
    output.mkdir(parents=True, exist_ok=True)
    weights = (folder / run_folder.BEST).read_bytes()
    _write_files(output, _Files(cfg.encode(), weights, training_set.labels))
    detector = load_apart_if_added(model_in_folder(output))
    val, before = training_set.of_part(VAL), load_apart_if_added(base)
    held_out = evaluate_model(detector, training_set, val)
    examples = _examples(detector, before, training_set)
    metrics = _metrics(training_set, settings, outcome, held_out, base.name)
    if set(training_set.labels) & set(base.labels):
        metrics["base_AP50"] = evaluate_model(before, training_set, val).ap50
    metrics["examples"] = [example.as_json() for example in examples]
    write_json(output / METRICS, metrics)
    history = history_csv(outcome.evaluations, training_set.labels)
    write_bytes(output / HISTORY, history.encode())
    pictures = {image.image_id: image for image in training_set.images}
    numbers = {image.image_id: at for at, image in enumerate(training_set.images)}
    page = report_page(
        metrics,
        outcome.evaluations,
        examples,
        picture_of=lambda image_id: training_set.pictures[numbers[image_id]],
        size_of=lambda row: pictures[row].size,
        labels=training_set.labels,
    )
    write_bytes(output / REPORT, page.encode())
    return metrics


def _write_files(output: Path, files: _Files) -> None:
    write_bytes(output / CFG, files.cfg)
    write_bytes(output / WEIGHTS, files.weights)
    write_bytes(output / NAMES, ("\n".join(files.labels) + "\n").encode())
    onnx = darknet_to_onnx(files.cfg, files.weights, labels=files.labels)
    write_bytes(output / CONVERTED, onnx)


def evaluate_model(
    detector: Detector, training_set: TrainingSet, places: Sequence[int]
) -> ValidationMetrics:
    """Return the metrics of a model on some images of a training set, by its labels."""
    if not places:
        return ValidationMetrics(None, None, None, {})
    truth = truth_of(
        [training_set.images[place] for place in places], training_set.labels
    )
    numbers = {name: at for at, name in enumerate(training_set.labels)}
    of_detector = [numbers.get(name) for name in detector.labels]
    rows: list[DetectionRow] = []
    for number, place in enumerate(places):
        detections = _detections(detector, training_set, place, CONFIDENCE_FLOOR)
        rows += [
            (number, label, box, float(confidence))
            for class_id, box, confidence in zip(
                detections.class_id,
                detections.xyxy.tolist(),
                detections.confidence,
                strict=True,
            )
            if (label := of_detector[int(class_id)]) is not None
        ]
    all_found = Predictions.of(rows)
    figures = coco_figures(truth, all_found)
    around = None
    if figures["AP50"] is not None and can_resample(len(places)):
        weights = draws(len(places))
        drawn = resample(truth, all_found, match(truth, all_found), weights)
        around = tuple(round(bound, 4) for bound in interval(drawn.ap50))
    per_label = {
        name: {
            "AP": scores.ap,
            "AP50": scores.ap50,
            "images": scores.images,
            "boxes": scores.boxes,
        }
        for name, scores in figures.per_label.items()
    }
    low_high = (around[0], around[1]) if around else None
    return ValidationMetrics(figures["AP"], figures["AP50"], low_high, per_label)


def _detections(
    detector: Detector, training_set: TrainingSet, place: int, least: float
) -> Detections:
    picture = np.asarray(training_set.pictures[place])
    size = training_set.images[place].size
    candidates = detector.candidates(picture, size=size, floor=min(least, 0.01))
    return select(
        candidates,
        confidence_threshold=least,
        nms_threshold=DEFAULT_NMS_IOU,
        max_detections=MAX_DETECTIONS,
    )


def _examples(
    detector: Detector, base: Detector, training_set: TrainingSet
) -> list[ExampleImage]:
    held_out = training_set.of_part(VAL) or training_set.of_part(TRAIN)
    with_boxes = [row for row in held_out if len(training_set.images[row].labels)]
    chosen = (with_boxes or held_out)[:EXAMPLES]
    return [
        ExampleImage(
            training_set.images[row].image_id,
            training_set.images[row].name,
            _shown(base, training_set, row),
            _shown(detector, training_set, row),
        )
        for row in chosen
    ]


def _shown(
    detector: Detector, training_set: TrainingSet, place: int
) -> tuple[ExampleBox, ...]:
    detections = _detections(detector, training_set, place, DEFAULT_CONFIDENCE)
    return tuple(
        ExampleBox(detector.labels[int(label)], float(confidence), tuple(box))
        for label, confidence, box in zip(
            detections.class_id,
            detections.confidence,
            detections.xyxy.tolist(),
            strict=True,
        )
    )


def _metrics(
    training_set: TrainingSet,
    settings: TrainingSettings,
    outcome: TrainingOutcome,
    held_out: ValidationMetrics,
    base: str,
) -> dict[str, Any]:
    train, val = training_set.of_part(TRAIN), training_set.of_part(VAL)
    left_out = training_set.left_out
    return {
        "AP": held_out.ap,
        "AP50": held_out.ap50,
        "AP50_interval": held_out.ap50_interval,
        "measured_on": measured_on(len(val)),
        "per_label": held_out.per_label,
        "labels": list(training_set.labels),
        "images": {"train": len(train), "val": len(val)},
        "boxes": {
            "train": training_set.box_counts(TRAIN),
            "val": training_set.box_counts(VAL),
        },
        "left_out": {
            "crowds": left_out.crowds,
            "zero_size": left_out.zero_size,
            "files": list(left_out.files),
            "missing": list(left_out.missing),
            "skipped": list(left_out.skipped),
            "changed": list(left_out.changed),
        },
        "warnings": checks.warnings_about(training_set),
        "minutes": round(outcome.seconds / 60, 3),
        "steps": outcome.steps,
        "epochs": round(outcome.epochs, 3),
        "best_step": outcome.best_step,
        "skipped_batches": outcome.skipped,
        "input_size": [*training_set.input_size],
        "base": base,
        "settings": asdict(settings),
        "compute": outcome.compute,
        "torch": str(torch.__version__),
    }


def measured_on(images: int) -> str:
    """Return which images the metrics are from, and how reliable that is."""
    if not images:
        return "nothing: there are no validation images"
    held_out = "1 validation image" if images == 1 else f"{images:,} validation images"
    if images < checks.FEW_HELD_OUT:
        return f"{held_out}, too few for a reliable figure"
    return f"{held_out}, which also selected the best checkpoint"


def history_csv(evaluations: Sequence[Evaluation], labels: Sequence[str]) -> str:
    """Return the evaluations as CSV, a row each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    plain = (
        *("step", "epoch", "seconds", "loss", "box", "objectness", "classes"),
        *("learning_rate", "ap", "ap50", "is_best"),
    )
    writer.writerow([*plain, *(f"ap50 {label}" for label in labels)])
    for evaluation in evaluations:
        values = [_number(getattr(evaluation, name)) for name in plain]
        per_label = [_number(evaluation.per_label.get(label)) for label in labels]
        writer.writerow([*values, *per_label])
    return text.getvalue()


def _number(value: float | bool | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return str(int(value))
    return f"{value:.6g}"
