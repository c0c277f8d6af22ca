"""Accuracy and speed of test-time augmentation and ensembles.

AP and AP50 by pycocotools over images with COCO labels: confidence 0.001, NMS 0.45
within each label, the 100 best boxes per image. Images per second are from files to
boxes, two threads.

    python -m benchmarks.accurate [--data FOLDER] [--precision f32] [--json FILE]
"""

import argparse
import contextlib
import io
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imagebase.detection.candidates import select
from imagebase.detection.factory import ACCURATE, FAST, load_detector
from imagebase.detection.library import find_model
from imagebase.detection.pipeline import BatchItem, ImageSource, detect_many
from imagebase.settings import PROJECT_ROOT

DATA: Final = PROJECT_ROOT.parent / "shared" / "data" / "coco_val_dev128"
CONFIDENCE: Final = 0.001
NMS: Final = (0.45, 0.6)
PER_PICTURE: Final = 100


class Setting(NamedTuple):
    """Models, the first placing the edges, and how they look."""

    models: tuple[str, ...]
    quality: str


SETTINGS: Final = (
    Setting(("yolov4-tiny",), FAST),
    Setting(("yolov4-tiny",), ACCURATE),
    Setting(("yolox-nano",), FAST),
    Setting(("yolox-nano",), ACCURATE),
    Setting(("yolox-nano", "yolov4-tiny"), FAST),
    Setting(("yolox-nano", "yolov4-tiny"), ACCURATE),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--quality", choices=(FAST, ACCURATE), help="only this one")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not (arguments.data / "instances.json").is_file():
        sys.exit(f"{arguments.data} has no instances.json; name a folder with --data.")
    print("| models | quality | images/s | AP / AP50 at NMS 0.45 | at NMS 0.6 |")
    print("|---|---|---|---|---|")
    rows = []
    for row in measured(arguments.data, arguments.precision, only=arguments.quality):
        print(as_line(row), flush=True)
        rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def measured(
    data: Path, precision: str, *, only: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the figures of each setting, or of those of one quality."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(data / "instances.json"))
    paths = sorted((data / "images").iterdir())
    sources = [ImageSource(path.name, path.read_bytes) for path in paths]
    for setting in SETTINGS:
        if only not in {None, setting.quality}:
            continue
        models = [find_model(name) for name in setting.models]
        looker = load_detector(models, quality=setting.quality, precision=precision)
        started = time.perf_counter()
        items = list(detect_many(looker, sources, floor=CONFIDENCE))
        seconds = time.perf_counter() - started
        scores = {nms: score(coco, items, looker.labels, nms) for nms in NMS}
        yield {
            "models": " + ".join(setting.models),
            "quality": setting.quality,
            "precision": looker.precision,
            "images_per_second": len(items) / seconds,
            "scores": scores,
        }


def score(
    coco: COCO, items: Sequence[BatchItem], labels: Sequence[str], nms: float
) -> tuple[float, float]:
    """Return AP and AP50; classes are matched by name."""
    category_of = {entry["name"]: entry["id"] for entry in coco.dataset["categories"]}
    image_of = {entry["file_name"]: entry["id"] for entry in coco.dataset["images"]}
    rows = [
        {
            "image_id": image_of[item.name],
            "category_id": category_of[labels[class_id]],
            "bbox": [left, top, right - left, bottom - top],
            "score": confidence,
        }
        for item in items
        for (left, top, right, bottom), confidence, class_id in found_in(item, nms)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        judged = COCOeval(coco, coco.loadRes(rows), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[0]), float(judged.stats[1])


def found_in(
    item: BatchItem, nms: float
) -> Iterator[tuple[tuple[float, float, float, float], float, int]]:
    """Yield the boxes of an image that COCO's figures are about."""
    if item.candidates is None:
        raise item.error or ValueError(item.name)
    found = select(
        item.candidates,
        confidence_threshold=CONFIDENCE,
        nms_threshold=nms,
        max_detections=PER_PICTURE,
    )
    yield from zip(
        map(tuple, found.xyxy.tolist()),
        found.confidence.tolist(),
        found.class_id.tolist(),
        strict=True,
    )


def as_line(row: dict[str, Any]) -> str:
    """Return the figures of a setting as a line of a Markdown table."""
    scores = [f"{ap:.4f} / {ap50:.4f}" for ap, ap50 in row["scores"].values()]
    return (
        f"| {row['models']} ({row['precision']}) | {row['quality']} | "
        f"{row['images_per_second']:.1f} | {' | '.join(scores)} |"
    )


if __name__ == "__main__":
    main()
