"""What to label next: AP50 after so many images, chosen in four ways.

In each draw, half of the images (seeded) may be chosen, and the other half is judged.
A taught model learns all labels of the set from the chosen images; printed is the mean
AP50 over the labels and the draws, as COCO counts it. `in order` takes the images by
name, as they were uploaded; `furthest` is k-centre alone; `next` weighs it with the
uncertainty of the model taught so far, as the app does.

    python -m benchmarks.next_images [--set bccd|raccoon] [--images N] [--draws N]

Reads `../shared/data`.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.teach import LABELS, Item, items
from imagebase.annotation import Box
from imagebase.detection.nms import nms
from imagebase.detection.taught.model import TaughtModel
from imagebase.detection.taught.taught_detector import TaughtDetector
from imagebase.detection.taught.teacher import Teacher
from imagebase.evaluation.arrays import EvaluatedImage, Predictions, Truth
from imagebase.evaluation.average_precision import coco_figures
from imagebase.evaluation.ground_truth import truth_of
from imagebase.geometry import FloatArray
from imagebase.learning.image_vectors import pack, unpacked
from imagebase.learning.next_images import NextImages
from imagebase.review.uncertainty import SEEN_SHARE, Boxes, ImageEvidence, Looked, judge
from imagebase.settings import DEFAULT_CONFIDENCE, DEFAULT_NMS_IOU

COUNTS: Final = (3, 5, 10)
_LEAST_CONFIDENCE: Final = 0.01
_MOST_BOXES: Final = 100

Row = tuple[int, int, Sequence[float], float]
Choose = Callable[[Sequence[Item], FloatArray, Sequence[str]], list[int]]


def in_order(
    pool: Sequence[Item], vectors: FloatArray, labels: Sequence[str]
) -> list[int]:
    """Return the positions of the images by name."""
    return sorted(range(len(pool)), key=lambda place: pool[place].name)


def at_random(
    pool: Sequence[Item], vectors: FloatArray, labels: Sequence[str]
) -> list[int]:
    """Return the positions as they came, which is a seeded order."""
    return list(range(len(pool)))


def furthest(
    pool: Sequence[Item], vectors: FloatArray, labels: Sequence[str]
) -> list[int]:
    """Return the positions by k-centre alone."""
    nothing = np.zeros(len(pool), np.bool_)
    order = NextImages(vectors).order(nothing, np.full(len(pool), np.nan))
    return [int(place) for place in order]


def by_app(
    pool: Sequence[Item], vectors: FloatArray, labels: Sequence[str]
) -> list[int]:
    """Return the positions as the app does, the model being taught between counts."""
    chosen: list[int] = []
    uncertainty = np.full(len(pool), np.nan)
    for count in COUNTS:
        is_labelled = np.zeros(len(pool), np.bool_)
        is_labelled[chosen] = True
        order = NextImages(vectors).order(is_labelled, uncertainty)
        chosen += [int(place) for place in order[: count - len(chosen)]]
        uncertainty = _uncertainty(_taught(pool, chosen, labels), pool, labels)
    return chosen


WAYS: Final[dict[str, Choose]] = {
    "in order": in_order,
    "at random": at_random,
    "furthest": furthest,
    "next": by_app,
}


def _taught(
    pool: Sequence[Item], chosen: Sequence[int], labels: Sequence[str]
) -> TaughtModel:
    teacher = Teacher(labels)
    for place in sorted(chosen):
        item = pool[place]
        boxes = [
            (Box(*corners), label)
            for label in labels
            for corners in item.boxes[label].tolist()
        ]
        corners = tuple(box for box, _ in boxes)
        teacher.put(item.name, item.scene, corners, tuple(name for _, name in boxes))
    return teacher.model()


def _found(
    model: TaughtModel, every: Sequence[Item], labels: Sequence[str], least: float
) -> list[Row]:
    detector = TaughtDetector(model, name="taught")
    rows: list[Row] = []
    for index, item in enumerate(every):
        seen = detector.candidates_of(item.scene, least)
        for place, label in enumerate(detector.labels):
            own = seen.rows(seen.class_id == place)
            stays = nms(own.xyxy, own.confidence, nms_threshold=DEFAULT_NMS_IOU)
            rows += [
                (
                    index,
                    labels.index(label),
                    own.xyxy[row].tolist(),
                    float(own.confidence[row]),
                )
                for row in stays[:_MOST_BOXES]
            ]
    return rows


def _uncertainty(
    model: TaughtModel, pool: Sequence[Item], labels: Sequence[str]
) -> NDArray[np.float64]:
    """Return how much each image would need review with the model's boxes saved."""
    rows = _found(model, pool, labels, DEFAULT_CONFIDENCE * SEEN_SHARE)
    seen = Boxes(
        image=np.array([row[0] for row in rows], np.intp),
        xyxy=np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        label=np.array([row[1] for row in rows], np.intp),
        confidence=np.array([row[3] for row in rows]),
        is_untouched=np.ones(len(rows), np.bool_),
    )
    saved = seen.only(seen.confidence >= DEFAULT_CONFIDENCE)
    evidence = ImageEvidence(
        images=[Looked(i.name, 0, i.scene.loaded.size, is_open=True) for i in pool],
        boxes=saved,
        marks=Boxes.empty(),
        plain=seen,
        mirrored=Boxes.empty(),
        has_both=np.zeros(len(pool), np.bool_),
        names=labels,
        thresholds=np.full(len(labels), DEFAULT_CONFIDENCE),
        label_counts=np.bincount(saved.label, minlength=len(labels)).astype(np.intp),
    )
    return np.array([doubt.score for doubt in judge(evidence)])


def _truth(every: Sequence[Item], labels: Sequence[str]) -> Truth:
    rows = [
        (index, place, Box(*corners), Box(*corners).area, False)
        for index, item in enumerate(every)
        for place, label in enumerate(labels)
        for corners in item.boxes[label].tolist()
    ]
    images = [
        EvaluatedImage(item.name, item.name, item.scene.loaded.size) for item in every
    ]
    return truth_of(list(labels), images, rows, box_ids=[*map(str, range(len(rows)))])


def draws(every: Sequence[Item], labels: Sequence[str], count: int) -> FloatArray:
    """Return AP50 by way, number of images and draw."""
    vectors = unpacked([pack(item.scene.vector()) for item in every])
    figures = np.zeros((len(WAYS), len(COUNTS), count))
    for draw in range(count):
        order = np.random.default_rng(draw).permutation(len(every))
        pool, judged = np.split(order, [len(order) // 2])
        mine, rest = [every[i] for i in pool], [every[i] for i in judged]
        truth = _truth(rest, labels)
        for way, choose in enumerate(WAYS.values()):
            chosen = choose(mine, vectors[pool], labels)
            for place, images in enumerate(COUNTS):
                model = _taught(mine, chosen[:images], labels)
                found = _found(model, rest, labels, _LEAST_CONFIDENCE)
                ap50 = coco_figures(truth, Predictions.of(found))["AP50"]
                figures[way, place, draw] = ap50 or 0.0
    return figures.astype(np.float32)


def main() -> None:
    """Print a row for each way of choosing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=[*LABELS], default="raccoon")
    parser.add_argument("--images", type=int)
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    labels = LABELS[options.set]
    figures = draws(items(options.set, options.images), labels, options.draws)
    heads = " | ".join(f"{count} images" for count in COUNTS)
    print(f"| {options.set} | {heads} |\n|{'---|' * (len(COUNTS) + 1)}")
    for way, of_way in zip(WAYS, figures, strict=True):
        cells = [f"{row.mean():.2f} ± {row.std():.2f}" for row in of_way]
        print(f"| {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
