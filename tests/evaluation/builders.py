"""Small truths and detections, and those that somebody worked out by hand."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from imagebase.annotation import Box, Size
from imagebase.detection.pipeline import ImageSource
from imagebase.evaluation.arrays import EvaluatedImage, Predictions, Truth
from imagebase.evaluation.detection_pass import (
    DetectionPass,
    parse_model_spec,
    run_pass,
)
from imagebase.evaluation.ground_truth import LabelFiles, read_truth, truth_of

DATA = Path(__file__).parents[1] / "data" / "ap_golden"
SIZE = Size(200, 200)

Thing = tuple[int, str, tuple[float, float, float, float]]
Said = tuple[int, str, tuple[float, float, float, float], float]


def truth(
    *things: Thing,
    images: int = 1,
    labels: Sequence[str] = ("cat", "dog"),
    crowds: Sequence[Thing] = (),
) -> Truth:
    """Return objects as image, label and corners; crowds likewise."""
    rows = [
        (image, labels.index(label), Box(*corners), Box(*corners).area, is_crowd)
        for group, is_crowd in ((things, False), (crowds, True))
        for image, label, corners in group
    ]
    return truth_of(
        labels,
        [EvaluatedImage(f"id{n}", f"{n}.jpg", SIZE) for n in range(images)],
        rows,
        box_ids=[f"box{n}" for n in range(len(rows))],
    )


def found(*said: Said, labels: Sequence[str] = ("cat", "dog")) -> Predictions:
    """Return detections as image, label, corners and confidence."""
    return Predictions.of(
        [(image, labels.index(label), box, sure) for image, label, box, sure in said]
    )


def padilla() -> tuple[Truth, Predictions]:
    """Return the seven images of Padilla's object detection metrics, in .txt files."""
    folder = DATA / "odm_padilla"
    things: list[Thing] = []
    said: list[Said] = []
    for image in range(7):
        name = f"{image + 1:05}.txt"
        for line in (folder / "groundtruths" / name).read_text().splitlines():
            things.append((image, "person", _corners(line.split()[1:])))
        for line in (folder / "detections" / name).read_text().splitlines():
            _, confidence, *box = line.split()
            said.append((image, "person", _corners(box), float(confidence)))
    person = ("person",)
    return truth(*things, images=7, labels=person), found(*said, labels=person)


def _corners(words: Sequence[str]) -> tuple[float, float, float, float]:
    x, y, width, height = map(float, words)
    return x, y, x + width, y + height


@cache
def dev128_labels(shared_data: Path) -> LabelFiles:
    """Return the truth of 128 photographs that no bundled model ever saw."""
    path = shared_data / "coco_val_dev128" / "instances.json"
    return read_truth(path, needs_files=False)


@cache
def dev128_pass(shared_data: Path, spec: str) -> DetectionPass:
    """Return what a bundled model finds on them."""
    truth = dev128_labels(shared_data).truth
    folder = shared_data / "coco_val_dev128" / "images"
    sources = [
        ImageSource(image.name, (folder / image.name).read_bytes)
        for image in truth.images
    ]
    return run_pass(parse_model_spec(spec), truth, sources)
