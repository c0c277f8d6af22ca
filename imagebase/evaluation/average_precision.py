"""COCO's figures, by faster-coco-eval.

Ids count from 1 whatever the files had: an annotation of id 0 counts as "no match", so
that two perfect boxes would score an AP of .252. Crowd regions are not judged: a
detection in one is neither right nor wrong. An ignore area is a crowd region of
every label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from imagebase.evaluation.arrays import Predictions, Truth
from imagebase.geometry import xywh_to_xyxy

# In the order in which COCO summarises.
NAMES: Final = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR1",
    "AR10",
    "AR100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
# What COCO writes where there is nothing to judge.
NOTHING: Final = -1.0


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """AP of one label, and on how many images and boxes it rests; None: on none."""

    ap: float | None
    ap50: float | None
    images: int
    boxes: int


@dataclass(frozen=True, slots=True)
class CocoFigures:
    """The twelve figures by their names, None where there is nothing to judge."""

    values: Mapping[str, float | None]
    per_label: Mapping[str, LabelFigures]

    def __getitem__(self, name: str) -> float | None:
        return self.values[name]


class _Judge(COCOeval_faster):  # type: ignore[misc]
    """COCO's judge; a crowd region with a shape is measured by it, not by its box."""

    truth: Truth

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: ANN401, N802, N803
        ious = super().computeIoU(imgId, catId)
        if not self.truth.regions or not len(ious):
            return ious
        rows, detections = (
            dataset.get_instances([imgId], [catId], True)[0][0]
            for dataset in (self.gt_dataset, self.dt_dataset)
        )
        detections = sorted(detections, key=lambda detection: -detection["score"])[
            : len(ious)
        ]
        xywh = np.array([detection["bbox"] for detection in detections], np.float64)
        for column, annotation in enumerate(rows):
            if annotation["id"] - 1 in self.truth.regions:
                ious[:, column] = self.truth.shares_in(
                    annotation["id"] - 1, xywh_to_xyxy(xywh)
                )
        return ious


def coco_figures(truth: Truth, predictions: Predictions) -> CocoFigures:
    """Return COCO's figures over the labels that the truth has boxes of."""
    if not len(truth):
        return CocoFigures(dict.fromkeys(NAMES), _per_label(truth, None))
    document = COCO(_truth_document(truth))
    results = document.loadRes(_result_rows(predictions))
    judge = _Judge(document, results, "bbox", print_function=_say_nothing)
    judge.truth = truth
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    stats = [float(stat) for stat in judge.stats[: len(NAMES)]]
    values = dict(zip(NAMES, map(_or_none, stats), strict=True))
    return CocoFigures(values, _per_label(truth, judge.eval["precision"]))


def _or_none(value: float) -> float | None:
    return None if value == NOTHING else value


def _per_label(
    truth: Truth, precision: NDArray[np.float64] | None
) -> dict[str, LabelFigures]:
    """Return the figures of each label that has boxes.

    precision: (IoU, recall, label, area, detections), as COCO accumulates it.
    """
    boxes, images = truth.boxes_by_label(), truth.images_by_label()
    return {
        name: LabelFigures(
            _mean(precision[:, :, place, 0, -1]) if precision is not None else None,
            _mean(precision[0, :, place, 0, -1]) if precision is not None else None,
            int(images[place]),
            int(boxes[place]),
        )
        for place, name in enumerate(truth.labels)
        if boxes[place]
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[values > NOTHING]
    return float(known.mean()) if known.size else None


def _truth_document(truth: Truth) -> dict[str, Any]:
    return {
        "images": [
            {"id": place, "width": image.size.width, "height": image.size.height}
            for place, image in enumerate(truth.images, start=1)
        ],
        "categories": [
            {"id": place, "name": name}
            for place, name in enumerate(truth.labels, start=1)
        ],
        "annotations": [
            {
                "id": row + 1,
                "image_id": int(truth.image[row]) + 1,
                "category_id": int(truth.label[row]) + 1,
                "bbox": _xywh(truth.xyxy[row].tolist()),
                "area": float(truth.area[row]),
                "iscrowd": int(truth.is_crowd[row]),
            }
            for row in range(len(truth))
        ],
    }


def _result_rows(predictions: Predictions) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image + 1,
            "category_id": label + 1,
            "bbox": _xywh(corners),
            "score": confidence,
        }
        for image, label, corners, confidence in zip(
            predictions.image.tolist(),
            predictions.label.tolist(),
            predictions.xyxy.tolist(),
            predictions.confidence.tolist(),
            strict=True,
        )
    ]


def _xywh(corners: list[float]) -> list[float]:
    left, top, right, bottom = corners
    return [left, top, right - left, bottom - top]


def _say_nothing(*_: object) -> None:
    """Ignore what the judge prints."""
