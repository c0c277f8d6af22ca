"""A folder of JPEGs to a COCO file: images per second and two peers.

The peers are OpenCV 4.14's own Darknet importer with the net loaded once, in an
environment of its own, and the bare forward pass of the same graph in OpenVINO. Rounds
alternate between them, so that a slow minute of the machine slows all; the ratios are
taken within a round, and their median is reported.

    python -m benchmarks.throughput [--images FOLDER] [--rounds 5] [--json FILE]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import openvino

from imagebase.batch.run import annotate
from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.detection_model import load_model
from imagebase.detection.runtime import has_bf16
from imagebase.settings import PROJECT_ROOT, WEIGHTS_FOLDER

DEV_IMAGES: Final = PROJECT_ROOT.parent / "shared" / "data" / "coco_val_dev128/images"
PEER_FOLDER: Final = PROJECT_ROOT / ".benchmarks" / "opencv4"
PEER_PACKAGE: Final = "opencv-python-headless==4.14.*"
MODEL: Final = WEIGHTS_FOLDER / "yolov4-tiny"
STREAMS: Final = 2
APART: Final = "ImageBase in a worker process"

Measure = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=DEV_IMAGES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    images = arguments.images
    if not images.is_dir():
        sys.exit(f"{images} is absent; name a folder of JPEGs with --images.")
    result = compare(images, rounds=arguments.rounds)
    print(as_table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def compare(images: Path, *, rounds: int) -> dict[str, Any]:
    """Return images a second of every program in every round, and median ratios."""
    count = len(list(images.glob("*.jpg")))
    programs: dict[str, Measure] = {"OpenCV 4.14, Darknet importer": peer(images)}
    for precision in ["f32", *(["bf16"] if has_bf16() else [])]:
        programs[f"bare OpenVINO, {precision}"] = bare(count, precision)
        programs[f"ImageBase, {precision}"] = ours(images, precision)
        programs[f"{APART}, {precision}"] = ours(images, precision, apart=True)
    rates: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds):
        for name, measure in programs.items():
            rates[name].append(measure())
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return {
        "images": count,
        "rounds": rounds,
        "images_per_second": rates,
        "medians": {name: median(values) for name, values in rates.items()},
        "ratios": ratios(rates),
    }


def ratios(rates: dict[str, list[float]]) -> dict[str, float]:
    """Return the median over rounds of ImageBase's rate against each peer's."""
    found = {}
    for precision in ("f32", "bf16"):
        mine = rates.get(f"ImageBase, {precision}")
        if mine is None:
            continue
        for peer_name in (
            "OpenCV 4.14, Darknet importer",
            f"bare OpenVINO, {precision}",
        ):
            pairs = zip(mine, rates[peer_name], strict=True)
            name = f"ImageBase, {precision} / {peer_name}"
            found[name] = median(a / b for a, b in pairs)
        pairs = zip(rates[f"{APART}, {precision}"], mine, strict=True)
        found[f"{APART} / here, {precision}"] = median(a / b for a, b in pairs)
    return found


def peer(images: Path) -> Measure:
    """Return how to measure OpenCV 4."""
    python = peer_python()
    script = Path(__file__).with_name("opencv4_loop.py")

    def measure() -> float:
        with tempfile.TemporaryDirectory() as folder:
            output = str(Path(folder) / "annotations.json")
            command = [str(python), str(script), str(images), str(MODEL), output]
            finished = subprocess.run(
                command, check=True, capture_output=True, text=True
            )
        return float(json.loads(finished.stdout)["images_per_second"])

    return measure


def peer_python() -> Path:
    """Return the Python of OpenCV 4's environment, which is made at the first time."""
    python = PEER_FOLDER / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER_FOLDER)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", PEER_PACKAGE]
        subprocess.run(pip, check=True)
    return python


def ours(images: Path, precision: str, *, apart: bool = False) -> Measure:
    """Return how to measure ImageBase, as the command line runs it.

    apart: in a worker process, where a copy of the bundled model runs.
    """

    def measure() -> float:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "model" / MODEL.name
            shutil.copytree(MODEL, copy)
            name = str(copy) if apart else MODEL.name
            model = load_model(name, precision=precision)
            summary = annotate(images, Path(folder) / "out", model=model)
        return summary.images_per_second

    return measure


def bare(count: int, precision: str) -> Measure:
    """Return how to measure the forward pass alone: two streams, two threads."""
    onnx = darknet_to_onnx(
        (MODEL / "obj.cfg").read_bytes(), (MODEL / "obj.weights").read_bytes()
    )
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model=onnx, weights=b""),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": STREAMS,
            "ENABLE_CPU_PINNING": False,
        },
    )
    blob = np.random.default_rng(0).random((1, 3, 416, 416), dtype=np.float32)
    # The first run of a process has to be alone: two at once can hang.
    compiled.create_infer_request().infer([blob])

    def work() -> None:
        request = compiled.create_infer_request()
        for _ in range(count // STREAMS):
            request.infer([blob], share_inputs=True)

    def measure() -> float:
        threads = [threading.Thread(target=work) for _ in range(STREAMS)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return STREAMS * (count // STREAMS) / (time.perf_counter() - started)

    return measure


def as_table(result: dict[str, Any]) -> str:
    """Return the figures as two Markdown tables."""
    lines = ["| program | images/s, median | least | most |", "|---|---|---|---|"]
    for name, values in result["images_per_second"].items():
        lines.append(
            f"| {name} | {median(values):.1f} | {min(values):.1f} | {max(values):.1f} |"
        )
    lines += ["", "| ratio | median |", "|---|---|"]
    lines += [f"| {name} | {ratio:.2f} |" for name, ratio in result["ratios"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
