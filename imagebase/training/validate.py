"""Validation during training: AP of a network on the validation images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from imagebase.detection.candidates import select
from imagebase.detection.darknet.heads import decode_heads
from imagebase.evaluation.arrays import (
    CONFIDENCE_FLOOR,
    MAX_DETECTIONS,
    EvaluatedImage,
    Predictions,
    Truth,
)
from imagebase.evaluation.average_precision import CocoFigures, coco_figures
from imagebase.geometry import cxcywh_to_xyxy
from imagebase.settings import DEFAULT_NMS_IOU
from imagebase.training.data import TrainingImage, TrainingSet
from imagebase.training.network import Compute, DarknetModule

_BATCH = 8

DetectionRow = tuple[int, int, Sequence[float], float]


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """AP, AP50 and AP50 by label; None without ground truth."""

    ap: float | None
    ap50: float | None
    per_label: dict[str, float | None]


def judge(
    module: DarknetModule,
    training_set: TrainingSet,
    places: Sequence[int],
    compute: Compute,
) -> ValidationScores:
    """Return COCO's metrics of a network in evaluation mode on some images of a set."""
    truth = truth_of(
        [training_set.images[place] for place in places], training_set.labels
    )
    rows: list[DetectionRow] = []
    for first in range(0, len(places), _BATCH):
        chosen = places[first : first + _BATCH]
        pictures = np.stack([training_set.pictures[row] for row in chosen])
        outputs = _outputs(module, pictures, compute)
        for offset, place in enumerate(chosen):
            heads = [output[offset : offset + 1] for output in outputs]
            size = training_set.images[place].size
            rows += _rows(module, heads, first + offset, [*size, *size])
    figures = coco_figures(truth, Predictions.of(rows))
    return as_judgement(figures)


def as_judgement(figures: CocoFigures) -> ValidationScores:
    """Return those of COCO's metrics that are shown during training."""
    per_label = {name: scores.ap50 for name, scores in figures.per_label.items()}
    return ValidationScores(figures["AP"], figures["AP50"], per_label)


def truth_of(images: Sequence[TrainingImage], labels: Sequence[str]) -> Truth:
    """Return the boxes of training images as ground truth, with their ignore areas."""
    counts = [len(image.labels) for image in images]
    image = np.repeat(np.arange(len(images)), counts)
    label = np.concatenate(
        [image.labels for image in images] or [np.zeros(0, np.int64)]
    )
    corners = [
        cxcywh_to_xyxy(image.boxes.astype(np.float64))
        * np.array([*image.size, *image.size])
        for image in images
    ]
    xyxy = np.concatenate(corners or [np.zeros((0, 4))])
    extent = xyxy[:, 2:] - xyxy[:, :2]
    return Truth(
        tuple(labels),
        tuple(
            EvaluatedImage(image.image_id, image.name, image.size) for image in images
        ),
        image.astype(np.intp),
        label.astype(np.intp),
        xyxy,
        extent.prod(axis=1),
        np.zeros(len(image), np.bool_),
        tuple(str(row) for row in range(len(image))),
    ).with_areas([image.ignored for image in images])


def _outputs(
    module: DarknetModule, pictures: NDArray[np.uint8], compute: Compute
) -> list[NDArray[np.float32]]:
    with torch.inference_mode(), compute.autocast():
        outputs = module(compute.pictures(pictures))
    return [output.float().cpu().contiguous().numpy() for output in outputs]


def _rows(
    module: DarknetModule,
    outputs: Sequence[NDArray[np.float32]],
    image: int,
    sides: Sequence[float],
) -> list[DetectionRow]:
    network = module.network
    relative = decode_heads(
        network.heads, outputs, net_size=network.size, floor=CONFIDENCE_FLOOR
    )
    chosen = select(
        relative,
        confidence_threshold=CONFIDENCE_FLOOR,
        nms_threshold=DEFAULT_NMS_IOU,
        max_detections=MAX_DETECTIONS,
    )
    corners = np.clip(chosen.xyxy, 0, 1) * np.array(sides)
    return [
        (image, int(label), box, float(confidence))
        for label, box, confidence in zip(
            chosen.class_id, corners.tolist(), chosen.confidence, strict=True
        )
    ]
