"""The bundled detectors and their variants on the same images: quality and cost.

    python -m benchmarks.detectors [--images FOLDER] [--labels FILE] [--output FOLDER]

It runs `imagebase evaluate` once over all of them, and prints its figures as the table
of docs/evaluation.md. AP does not depend on the machine, images a second do.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from imagebase.settings import PROJECT_ROOT

DEV: Final = PROJECT_ROOT.parent / "shared" / "data" / "coco_val_dev128"
MODELS: Final = (
    "yolov4-tiny",
    "yolov4-tiny+f32",
    "yolov4-tiny@320",
    "yolov4-tiny@608",
    "yolov4-tiny+accurate",
    "yolo-fastest-1.1",
    "yolo-fastest-1.1-xl",
    "yolox-nano",
    "yolox-nano+accurate",
    "yolox-nano&yolov4-tiny",
    "yolov4-tiny&yolox-nano",
)
_HEAD: Final = (
    *("model", "AP", "95 %", "AP50", "small", "medium", "large"),
    *("precision", "recall", "clicks", "images/s", "start, s", "MB"),
)


def main() -> None:
    """Judge all of them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=DEV / "images")
    parser.add_argument("--labels", type=Path, default=DEV / "instances.json")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if not arguments.labels.exists():
        sys.exit(f"{arguments.labels} is absent; name a label file with --labels.")
    with tempfile.TemporaryDirectory() as folder:
        output = arguments.output or Path(folder)
        judge(arguments.images, arguments.labels, output)
        document = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    print(as_table(document))


def judge(images: Path, labels: Path, output: Path) -> None:
    """Run the command that makes metrics.json and report.html."""
    command = [sys.executable, "-m", "imagebase", "evaluate"]
    command += ["--images", str(images), "--labels", str(labels)]
    command += [part for name in MODELS for part in ("--model", name)]
    subprocess.run([*command, "--output", str(output)], check=True, cwd=PROJECT_ROOT)


def as_table(document: Mapping[str, Mapping[str, Any]]) -> str:
    """Return metrics.json as a table in Markdown, a model a row."""
    rows = [_row(name, figures) for name, figures in document.items()]
    lines = [_HEAD, ("---",) * len(_HEAD), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = figures["intervals"]["AP"]
    memory = figures["memory_bytes"]
    shares = (figures[f"AP{size}"] for size in ("50", "_small", "_medium", "_large"))
    return (
        f"`{name}`",
        _share(figures["AP"]),
        f"{_share(low)} to {_share(high)}",
        *(_share(share) for share in shares),
        _share(figures["precision"]),
        _share(figures["recall"]),
        f"{figures['clicks_per_image']:.1f}",
        f"{figures['images_per_second']:.1f}",
        f"{figures['load_seconds']:.1f}",
        "–" if memory is None else f"{memory / 1e6:.0f}",
    )


def _share(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


if __name__ == "__main__":
    main()
