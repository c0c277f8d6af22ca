"""Label sets converted: seconds and the most memory, at two sizes.

`.venv/bin/python -m benchmarks.convert` makes a COCO file of 100,000 images with five
boxes each and no image files, converts it and what comes of it, each pair in a process
of its own, then does the same with a tenth of it. Memory that does not grow with the
set is about the same in both. It prints a table and, last, the same as JSON.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

IMAGES: Final = 100_000
_BOXES: Final = 5
_LABELS: Final = 80
_WIDTH: Final = 640
_HEIGHT: Final = 480
_SEED: Final = 1
# The source of each is the result of one before it.
PAIRS: Final = (
    *(("coco", "csv"), ("csv", "coco"), ("coco", "cvat"), ("cvat", "labelstudio")),
    *(("labelstudio", "createml"), ("coco", "openimages"), ("coco", "yolo")),
    *(("yolo", "darknet"), ("coco", "voc"), ("voc", "labelme")),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One conversion.

    seconds: by the clock. cpu_seconds: of the process, whatever else the machine does.
    peak_mb: the most memory of its process, in 10⁶ bytes.
    """

    source: str
    target: str
    images: int
    boxes: int
    seconds: float
    cpu_seconds: float
    peak_mb: float


def make_coco(path: Path, images: int) -> None:
    """Write a COCO file of random boxes, line by line."""
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8") as file:
        file.write('{"images": [')
        file.writelines(_listed(_images(images)))
        file.write('], "annotations": [')
        file.writelines(_listed(_annotations(images)))
        file.write('], "categories": [')
        names = ({"id": n + 1, "name": f"label {n}"} for n in range(_LABELS))
        file.writelines(_listed(names))
        file.write("]}\n")


def _listed(entries: Iterator[dict[str, object]]) -> Iterator[str]:
    for index, entry in enumerate(entries):
        yield (",\n" if index else "\n") + json.dumps(entry)


def _images(count: int) -> Iterator[dict[str, object]]:
    for number in range(count):
        size = {"width": _WIDTH, "height": _HEIGHT}
        yield {"id": number + 1, "file_name": f"{number:012}.jpg", **size}


def _annotations(images: int) -> Iterator[dict[str, object]]:
    chance = random.Random(_SEED)
    for number in range(images * _BOXES):
        width, height = chance.uniform(8, 200), chance.uniform(8, 200)
        x, y = chance.uniform(0, _WIDTH - width), chance.uniform(0, _HEIGHT - height)
        ids = {"id": number + 1, "image_id": number // _BOXES + 1}
        ids["category_id"] = chance.randrange(_LABELS) + 1
        yield {**ids, "bbox": [round(edge, 2) for edge in (x, y, width, height)]}


def convert(folder: Path, pair: tuple[str, str], images: int) -> Row:
    """Run one conversion in a process of its own.

    A small process stands between, as one that is measured begins at the peak of the
    one that it was forked from.
    """
    source, target = pair
    command = [sys.executable, "-m", "imagebase", "convert", str(folder / source)]
    command += ["--from", source, "--to", target, "--output", str(folder), "--quiet"]
    began = time.perf_counter()
    between = [sys.executable, "-m", "benchmarks.convert", "--measure", *command]
    done = subprocess.run(between, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    used = json.loads(done.stdout.splitlines()[-1])
    return Row(source, target, images, images * _BOXES, seconds, **used)


def measured(command: Sequence[str]) -> int:
    """Run a command, print what it took, and return its code."""
    code = subprocess.run(command, check=False).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = used.ru_utime + used.ru_stime
    peak_mb = used.ru_maxrss * 1024 / 1e6
    print(json.dumps({"cpu_seconds": cpu_seconds, "peak_mb": peak_mb}))
    return code


def run(images: int, pairs: Sequence[tuple[str, str]]) -> list[Row]:
    """Make a set and convert it from format to format."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_coco(folder / "coco" / "annotations.json", images)
        rows = []
        for pair in pairs:
            rows.append(convert(folder, pair, images))
            print(_line(rows[-1]), flush=True)
        return rows


def _line(row: Row) -> str:
    return (
        f"| {row.source} → {row.target} | {row.images:,} | {row.boxes:,} "
        f"| {row.seconds:.1f} | {row.cpu_seconds:.1f} | {row.peak_mb:.0f} |"
    )


def main() -> None:
    """Convert at both sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--pair", action="append", default=[], metavar="FROM:TO")
    parser.add_argument("--measure", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        sys.exit(measured(options.measure))
    chosen = [tuple(part.split(":")) for part in options.pair]
    pairs = [pair for pair in PAIRS if not chosen or pair in chosen]
    print("| formats | images | boxes | seconds | CPU seconds | peak MB |")
    print("|---|---|---|---|---|---|")
    rows = [
        row
        for count in (options.images // 10, options.images)
        for row in run(count, pairs)
    ]
    print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
