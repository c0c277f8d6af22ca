"""Teaching by example: AP50 from 1, 3, 5 and 10 example images.

Examples are drawn from the images that have the label (seeded); all other images of the
set are judged, as COCO does. Printed are the means over the draws and, in processor
time, what teaching with the most examples takes and an image afterwards, once the nets
have seen it.

    python -m benchmarks.teach [--set bccd|raccoon|all] [--images N] [--draws N]
        [--examples 1,3,5,10]

`--images` takes the first images of the set in a seeded order. Reads `../shared/data`.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.point import Photo, photos
from imagebase.annotation import Box
from imagebase.detection.nms import nms
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.fit import Lesson, fit
from imagebase.detection.taught.scores import scored
from imagebase.evaluation.arrays import EvaluatedImage, Predictions, Truth
from imagebase.evaluation.average_precision import coco_figures
from imagebase.evaluation.ground_truth import truth_of
from imagebase.geometry import FloatArray
from imagebase.images.decode import load_image
from imagebase.settings import DEFAULT_NMS_IOU

LABELS: Final = {"bccd": ("WBC", "RBC", "Platelets"), "raccoon": ("raccoon",)}
_LEAST_CONFIDENCE: Final = 0.01
_MOST_BOXES: Final = 100


class Item(NamedTuple):
    """An image of a set: its scene, computed once, and its true boxes by label."""

    name: str
    scene: DescribedImage
    boxes: dict[str, FloatArray]


class Judged(NamedTuple):
    """Means over the draws: AP50, processor seconds of teaching, and of an image."""

    ap50: float
    teaching: float
    image: float


def items(name: str, count: int | None) -> list[Item]:
    """Return images of a set in a seeded order, with what the nets see in them."""
    every = photos(name)
    order = np.random.default_rng(1).permutation(len(every))[:count]
    return [_item(every[index], LABELS[name]) for index in order]


def _item(photo: Photo, labels: Sequence[str]) -> Item:
    loaded = load_image(
        photo.path.read_bytes(), file_name=photo.path.name, max_pixels=10**9
    )
    boxes = {
        label: np.array(
            [corners for corners, own in photo.boxes if own == label], np.float32
        ).reshape(-1, 4)
        for label in labels
    }
    return Item(photo.path.name, DescribedImage.of(loaded.rgb, loaded.size), boxes)


def judged(every: Sequence[Item], label: str, examples: int, draws: int) -> Judged:
    """Return the figures of a label from so many example images."""
    random = np.random.default_rng(0)
    having = [index for index, item in enumerate(every) if len(item.boxes[label])]
    rows = []
    for _ in range(draws):
        chosen = set(random.permutation(having)[:examples].tolist())
        rest = [item for index, item in enumerate(every) if index not in chosen]
        rows.append(_one_draw([every[index] for index in sorted(chosen)], rest, label))
    return Judged(*(float(figure) for figure in np.mean(rows, axis=0)))


def _one_draw(chosen: Sequence[Item], rest: Sequence[Item], label: str) -> Judged:
    started = time.process_time()
    lessons = [
        Lesson(item.scene, item.boxes[label], np.zeros(len(item.boxes[label]), np.intp))
        for item in chosen
    ]
    model = fit([label], lessons)
    taught = time.process_time()
    found: list[tuple[int, int, Sequence[float], float]] = []
    for index, item in enumerate(rest):
        boxes = scored(model, item.scene)
        confidence = boxes.confidence[:, 0]
        stays = nms(boxes.xyxy, confidence, nms_threshold=DEFAULT_NMS_IOU)
        found += [
            (index, 0, boxes.xyxy[row].tolist(), float(confidence[row]))
            for row in stays[:_MOST_BOXES]
            if confidence[row] >= _LEAST_CONFIDENCE
        ]
    spent = (time.process_time() - taught) / max(len(rest), 1)
    ap50 = coco_figures(_truth(rest, label), Predictions.of(found))["AP50"]
    return Judged(ap50 or 0.0, taught - started, spent)


def _truth(rest: Sequence[Item], label: str) -> Truth:
    rows = [
        (index, 0, Box(*corners), Box(*corners).area, False)
        for index, item in enumerate(rest)
        for corners in item.boxes[label].tolist()
    ]
    images = [
        EvaluatedImage(item.name, item.name, item.scene.loaded.size) for item in rest
    ]
    return truth_of([label], images, rows, box_ids=[*map(str, range(len(rows)))])


def main() -> None:
    """Print a row for each label."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=[*LABELS, "all"], default="all")
    parser.add_argument("--images", type=int)
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--examples", default="1,3,5,10")
    options = parser.parse_args()
    counts = [int(count) for count in options.examples.split(",")]
    names = list(LABELS) if options.set == "all" else [options.set]
    heads = " | ".join(f"{count} examples" for count in counts)
    print(f"| label | images | {heads} | s to teach | ms an image |")
    print("|" + "---|" * (len(counts) + 4))
    for name in names:
        started = time.process_time()
        every = items(name, options.images)
        nets = (time.process_time() - started) / max(len(every), 1) * 1e3
        for label in LABELS[name]:
            rows = [judged(every, label, count, options.draws) for count in counts]
            figures = " | ".join(f"{row.ap50:.2f}" for row in rows)
            teaching, image = rows[-1].teaching, rows[-1].image * 1e3
            row = (
                f"| {label} | {len(every)} | {figures} | {teaching:.1f} | {image:.0f} |"
            )
            print(row, flush=True)
        print(f"{name}: the nets take {nets:.0f} ms an image, once")


if __name__ == "__main__":
    main()
