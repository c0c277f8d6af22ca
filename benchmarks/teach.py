"""Teaching by example: AP50 from 1, 3, 5 and 10 example images.

Examples are drawn from the images that have the label (seeded); all other images of the
set are judged, as COCO does. Printed are the means over the draws and, in processor
time, what teaching with the most examples takes and an image afterwards, once the nets
have seen it.

    python -m benchmarks.teach [--set bccd|raccoon|all] [--images N] [--draws N]
        [--examples 1,3,5,10] [--together]

`--images` takes the first images of the set in a seeded order; `--together` teaches one
model all labels of the set. Reads `../shared/data`.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.point import Photo, photos
from imagebase.annotation import Box
from imagebase.detection.candidates import Candidates
from imagebase.detection.nms import nms
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.taught_detector import TaughtDetector
from imagebase.detection.taught.teacher import Teacher
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


def judged(
    every: Sequence[Item], labels: Sequence[str], examples: int, draws: int
) -> dict[str, Judged]:
    """Return the figures of labels that are taught together with so many examples."""
    random = np.random.default_rng(0)
    having = [
        index
        for index, item in enumerate(every)
        if all(len(item.boxes[label]) for label in labels)
    ]
    rows = []
    for _ in range(draws):
        chosen = set(random.permutation(having)[:examples].tolist())
        rest = [item for index, item in enumerate(every) if index not in chosen]
        taught = [every[index] for index in sorted(chosen)]
        rows.append(_one_draw(taught, rest, labels))
    return {
        label: Judged(*np.mean([row[label] for row in rows], axis=0).tolist())
        for label in labels
    }


def _one_draw(
    chosen: Sequence[Item], rest: Sequence[Item], labels: Sequence[str]
) -> dict[str, Judged]:
    started = time.process_time()
    teacher = Teacher(labels)
    for item in chosen:
        boxes = [
            (Box(*corners), label)
            for label in labels
            for corners in item.boxes[label].tolist()
        ]
        teacher.put(item.name, item.scene, *zip(*boxes, strict=True))
    detector = TaughtDetector(teacher.model(), name="taught")
    taught = time.process_time()
    found = {label: _Found([]) for label in labels}
    for index, item in enumerate(rest):
        candidates = detector.candidates_of(item.scene, _LEAST_CONFIDENCE)
        for place, label in enumerate(detector.labels):
            found[label].add(index, candidates.rows(candidates.class_id == place))
    spent = (time.process_time() - taught) / max(len(rest), 1)
    return {
        label: Judged(
            coco_figures(_truth(rest, label), Predictions.of(found[label].rows))["AP50"]
            or 0.0,
            taught - started,
            spent,
        )
        for label in labels
    }


class _Found(NamedTuple):
    """Boxes of one label, as `Predictions.of` takes them."""

    rows: list[tuple[int, int, Sequence[float], float]]

    def add(self, image: int, candidates: Candidates) -> None:
        stays = nms(
            candidates.xyxy, candidates.confidence, nms_threshold=DEFAULT_NMS_IOU
        )
        for row in stays[:_MOST_BOXES]:
            corners = candidates.xyxy[row].tolist()
            self.rows.append((image, 0, corners, float(candidates.confidence[row])))


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
    parser.add_argument("--together", action="store_true")
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
        groups = (
            [LABELS[name]] if options.together else [(one,) for one in LABELS[name]]
        )
        for group in groups:
            by_count = [judged(every, group, count, options.draws) for count in counts]
            for label in group:
                rows = [figures[label] for figures in by_count]
                figures = " | ".join(f"{row.ap50:.2f}" for row in rows)
                teaching, image = rows[-1].teaching, rows[-1].image * 1e3
                row = f"| {label} | {len(every)} | {figures} | {teaching:.1f} | "
                print(f"{row}{image:.0f} |", flush=True)
        print(f"{name}: the nets take {nets:.0f} ms an image, once")


if __name__ == "__main__":
    main()
