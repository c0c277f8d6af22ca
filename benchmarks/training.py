"""How good a model is after so many minutes of training, judged on a part of its own.

BCCD: learned from its train part (205 images), the moment chosen on its val part (87),
judged on its test part (72). Few images: 30 of the train part, split as the app does
it, then one more round with 30 more from the first round's weights. Raccoon: a fifth
of its train part chooses, judged on its test part. Killed: the same training, killed at
random moments and gone on with. Flattered: as others publish, learned from four fifths
of all, the last one chooses the moment and judges. OpenCV: the trained files in OpenCV
4.14's importer.

    python -m benchmarks.training [PART …] [--minutes 1 3] [--seeds 0 1 2] [--json FILE]

A minute is a minute only on a machine that has nothing else to do; on another, compare
by --steps 500 and by the seconds of CPU.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.throughput import PEER_FOLDER, PEER_PACKAGE
from imagebase.annotation import Box, Size
from imagebase.detection.candidates import Candidates, select
from imagebase.detection.detector import load_single
from imagebase.detection.model_files import model_in_folder
from imagebase.evaluation.arrays import (
    CONFIDENCE_FLOOR,
    MAX_DETECTIONS,
    Predictions,
)
from imagebase.evaluation.average_precision import coco_figures
from imagebase.formats.placement import Frame
from imagebase.formats.split import SplitImage
from imagebase.geometry import cxcywh_to_xyxy
from imagebase.settings import DEFAULT_NMS_IOU, PROJECT_ROOT, WEIGHTS_FOLDER
from imagebase.training.data import (
    TRAIN,
    VAL,
    SourceImage,
    TrainingSet,
    load_set,
    prepare,
)
from imagebase.training.loop import read_checkpoint
from imagebase.training.result import evaluate_model
from imagebase.training.run_folder import read_log
from imagebase.training.run_settings import TrainingSettings
from imagebase.training.session import prepare_run, run_training
from imagebase.training.sources import TrainingSources, next_parts
from imagebase.training.validate import DetectionRow, truth_of

DATA: Final = PROJECT_ROOT.parent / "shared" / "data"
SIZE: Final = Size(416, 416)
FEW: Final = 30
KILLS: Final = 10
LONGEST_LIFE: Final = 40.0


class Length(NamedTuple):
    """How long to train: minutes, or steps where there are some."""

    minutes: float | None = None
    steps: int | None = None

    @property
    def in_words(self) -> str:
        return f"{self.steps} steps" if self.steps else f"{self.minutes:g} min"


class Row(NamedTuple):
    """One training run and the AP of its model on test images."""

    what: str
    seed: int
    ap50: float
    steps: int
    seconds: float
    cpu_seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 3])
    parser.add_argument("--steps", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not (DATA / "bccd").is_dir():
        sys.exit(f"{DATA} is absent: it holds the images of this benchmark.")
    lengths = [Length(minutes=minute) for minute in arguments.minutes]
    if arguments.steps:
        lengths = [Length(steps=step) for step in arguments.steps]
    rows: list[Row] = []
    for name in arguments.parts or PARTS:
        for row in PARTS[name](lengths, arguments.seeds):
            rows.append(row)
            print(f"{row.what}, seed {row.seed}: {row.ap50:.4f}", file=sys.stderr)
            if arguments.json:
                kept = [row._asdict() for row in rows]
                arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    print(as_table(rows))


def as_table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown, seeds of one kind together."""
    lines = [
        "| training | seeds | AP50, mean | least to most | steps | wall s | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for what in dict.fromkeys(row.what for row in rows):
        same = [row for row in rows if row.what == what]
        found = [row.ap50 for row in same]
        lines.append(
            f"| {what} | {len(same)} | {mean(found):.3f} | {min(found):.3f} to "
            f"{max(found):.3f} | {mean(row.steps for row in same):.0f} | "
            f"{mean(row.seconds for row in same):.0f} | "
            f"{mean(row.cpu_seconds for row in same):.0f} |"
        )
    return "\n".join(lines)


def sources(part: str, folder: str = "bccd") -> list[SourceImage]:
    """Return the images of a part by its COCO file."""
    document = json.loads((DATA / folder / f"{part}.coco.json").read_text())
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    boxes: dict[int, list[tuple[str, Box]]] = {}
    for entry in document["annotations"]:
        x, y, width, height = entry["bbox"]
        box = (names[entry["category_id"]], Box(x, y, x + width, y + height))
        boxes.setdefault(entry["image_id"], []).append(box)
    return [
        SourceImage(
            entry["file_name"],
            entry["file_name"],
            (DATA / folder / entry["file_name"]).read_bytes,
            partial(_given, boxes.get(entry["id"], [])),
        )
        for entry in document["images"]
    ]


def _given(boxes: list[tuple[str, Box]], _: Size) -> list[tuple[str, Box]]:
    return boxes


def labels_of(some: Iterable[SourceImage]) -> tuple[str, ...]:
    found = {
        label: None for source in some for label, _ in source.in_pixels(Frame(SIZE))
    }
    return tuple(sorted(found))


class Trained(NamedTuple):
    """Files of a training run in a folder."""

    model: Path
    metrics: dict[str, Any]
    seconds: float
    cpu_seconds: float


def settings_for(
    seed: int, length: Length, base: Path | None = None
) -> TrainingSettings:
    folder = str(base or WEIGHTS_FOLDER / "yolov4-tiny")
    return TrainingSettings(
        base=folder, seed=seed, minutes=length.minutes, steps=length.steps
    )


def trained(
    folder: Path,
    some: Sequence[SourceImage],
    settings: TrainingSettings,
    part_of: dict[str, str] | None = None,
) -> Trained:
    """Train in a folder, and measure the whole of it; None splits as the app does."""
    gathered = TrainingSources(tuple(some), labels_of(some))
    began, cpu = time.perf_counter(), time.process_time()
    prepare_run(
        folder / "work",
        gathered,
        settings,
        input_size=SIZE,
        part_of=part_of,
    )
    metrics = run_training(folder / "work", folder / "model")
    assert metrics is not None  # nobody stops it
    return Trained(
        folder / "model",
        metrics,
        time.perf_counter() - began,
        time.process_time() - cpu,
    )


def learned_and_chosen_by() -> tuple[list[SourceImage], dict[str, str]]:
    """Return the train and the val part of BCCD, and which is which."""
    learn, choose = sources("train"), sources("val")
    parts = dict.fromkeys((source.image_id for source in learn), TRAIN)
    parts |= dict.fromkeys((source.image_id for source in choose), VAL)
    return [*learn, *choose], parts


def parts_of(some: TrainingSet) -> dict[str, str]:
    return {image.image_id: image.part for image in some.images}


def judging_set(folder: Path, part: str, data: str = "bccd") -> TrainingSet:
    """Return the images that nothing was learned from or chosen by."""
    return judging_of(folder, sources(part, data))


def judging_of(folder: Path, given: Sequence[SourceImage]) -> TrainingSet:
    return prepare(
        folder,
        given,
        labels=labels_of(given),
        input_size=SIZE,
        part_of={source.image_id: VAL for source in given},
    )


def row_of(
    what: str,
    seed: int,
    done: Trained,
    judge: TrainingSet,
    *,
    precision: str = "auto",
) -> Row:
    detector = load_single(model_in_folder(done.model), precision=precision)
    ap50 = evaluate_model(detector, judge, judge.of_part(VAL)).ap50
    assert ap50 is not None  # there are boxes to judge by
    steps = int(done.metrics["steps"])
    return Row(what, seed, ap50, steps, done.seconds, done.cpu_seconds)


def bccd(lengths: Sequence[Length], seeds: Sequence[int]) -> Iterable[Row]:
    """Train on all of the train part for each length and seed."""
    for length in lengths:
        for seed in seeds:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                judge = judging_set(folder / "test", "test")
                settings = settings_for(seed, length)
                some, part_of = learned_and_chosen_by()
                done = trained(folder, some, settings, part_of)
                what = f"BCCD, 205 images, {length.in_words}"
                yield row_of(what, seed, done, judge)


def flattered(lengths: Sequence[Length], seeds: Sequence[int]) -> Iterable[Row]:
    """Train on four fifths of all, and let the last one choose the moment and judge it.

    So are most published figures made; beside the others they are too good.
    """
    for length in lengths:
        for seed in seeds:
            some = [
                source for part in ("train", "val", "test") for source in sources(part)
            ]
            random.Random(seed).shuffle(some)
            judge_by, learn = some[: len(some) // 5], some[len(some) // 5 :]
            part_of = dict.fromkeys((source.image_id for source in learn), TRAIN)
            part_of |= dict.fromkeys((source.image_id for source in judge_by), VAL)
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                judge = judging_of(folder / "test", judge_by)
                settings = settings_for(seed, length)
                done = trained(folder, some, settings, part_of)
                what = f"BCCD, {len(learn)} images, chosen by the judge"
                yield row_of(f"{what}, {length.in_words}", seed, done, judge)


def few(lengths: Sequence[Length], seeds: Sequence[int]) -> Iterable[Row]:
    """Train on 30 images, then on 30 more from there."""
    length = lengths[-1]
    for seed in seeds:
        chosen = random.Random(seed).sample(sources("train"), 2 * FEW)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            judge = judging_set(folder / "test", "test")
            settings = settings_for(seed, length)
            first = trained(folder / "first", chosen[:FEW], settings)
            what = f"BCCD, {FEW} images, {length.in_words}"
            yield row_of(what, seed, first, judge)
            again = settings_for(seed + 100, length, first.model)
            parts = next_parts(
                [SplitImage(source.image_id) for source in chosen],
                parts_of(load_set(folder / "first/work")),
                seed=again.seed,
            )
            second = trained(folder / "second", chosen, again, parts)
            what = f"… and {FEW} more, {length.in_words} from there"
            yield row_of(what, seed, second, judge)


def raccoon(lengths: Sequence[Length], seeds: Sequence[int]) -> Iterable[Row]:
    """Train on the raccoons, one seed."""
    for length in lengths:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            judge = judging_set(folder / "test", "test", "raccoon")
            settings = settings_for(seeds[0], length)
            done = trained(folder, sources("train", "raccoon"), settings)
            what = f"Raccoon, {length.in_words}"
            yield row_of(what, seeds[0], done, judge)


def killed(lengths: Sequence[Length], seeds: Sequence[int]) -> Iterable[Row]:
    """Train for as many steps unbroken and killed ten times; minutes do not count."""
    seed, steps = seeds[0], 500
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        judge = judging_set(folder / "test", "test")
        settings = settings_for(seed, Length(steps=steps))
        some, part_of = learned_and_chosen_by()
        whole = trained(folder / "whole", some, settings, part_of)
        yield row_of(f"BCCD, {steps} steps, unbroken", seed, whole, judge)
        began = time.perf_counter()
        _kill_again_and_again(folder / "killed", settings)
        metrics = json.loads((folder / "killed/model/metrics.json").read_text())
        seconds = time.perf_counter() - began
        done = Trained(folder / "killed" / "model", metrics, seconds, 0.0)
        yield row_of(f"… killed {KILLS} times", seed, done, judge)


def _kill_again_and_again(folder: Path, settings: TrainingSettings) -> None:
    some, part_of = learned_and_chosen_by()
    gathered = TrainingSources(tuple(some), labels_of(some))
    work = folder / "work"
    prepare_run(work, gathered, settings, input_size=SIZE, part_of=part_of)
    command = [
        *(sys.executable, "-m", "imagebase.training", str(work)),
        str(folder / "model"),
    ]
    chance = random.Random(settings.seed)
    for _ in range(KILLS):
        process = subprocess.Popen(command)
        before = _learned(work)
        while _learned(work) == before and process.poll() is None:
            time.sleep(0.1)
        time.sleep(chance.uniform(0, LONGEST_LIFE))
        assert process.poll() is None, "it came to its end before it was killed"
        process.kill()
        process.wait()
        kept = read_checkpoint(work, fingerprint=load_set(work).fingerprint)
        step = kept.values["memory"]["step"] if kept else 0
        told = f"killed after {_learned(work)} steps, goes on after {step}"
        print(told, file=sys.stderr)
    subprocess.run(command, check=True)


def _learned(work: Path) -> int:
    losses = read_log(work).losses
    return losses[-1][0] if losses else 0


def opencv(lengths: Sequence[Length], seeds: Sequence[int]) -> Iterable[Row]:
    """Compare the trained model here and in OpenCV 4.14, on the same images."""
    python = PEER_FOLDER / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER_FOLDER)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", PEER_PACKAGE]
        subprocess.run(pip, check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        judge = judging_set(folder / "test", "test")
        settings = settings_for(seeds[0], lengths[0])
        some, part_of = learned_and_chosen_by()
        done = trained(folder, some, settings, part_of)
        np.save(folder / "pictures.npy", np.asarray(judge.pictures))
        script = Path(__file__).with_name("opencv4_heads.py")
        arguments = [folder / "pictures.npy", done.model, folder / "found.npz"]
        subprocess.run([python, script, *arguments], check=True)
        rows = np.load(folder / "found.npz")["rows"]
        for precision in ("f32", "bf16"):
            what = f"OpenCV check: ImageBase, {precision}"
            ours = row_of(what, seeds[0], done, judge, precision=precision)
            yield ours
        theirs = _ap50_of_rows(judge, rows)
        yield ours._replace(what="OpenCV check: OpenCV 4.14, f32", ap50=theirs)


def _ap50_of_rows(judge: TrainingSet, rows: np.ndarray) -> float:
    """Judge OpenCV's boxes as ours are judged."""
    found: list[DetectionRow] = []
    for number, image in enumerate(judge.images):
        own = rows[rows[:, 0] == number]
        sides = np.array([*image.size, *image.size])
        candidates = Candidates(
            (np.clip(cxcywh_to_xyxy(own[:, 3:]), 0, 1) * sides).astype(np.float32),
            own[:, 2].astype(np.float32),
            own[:, 1].astype(np.int32),
        )
        kept = select(
            candidates,
            confidence_threshold=CONFIDENCE_FLOOR,
            nms_threshold=DEFAULT_NMS_IOU,
            max_detections=MAX_DETECTIONS,
        )
        found += [
            (number, int(label), box, float(confidence))
            for label, box, confidence in zip(
                kept.class_id, kept.xyxy.tolist(), kept.confidence, strict=True
            )
        ]
    figures = coco_figures(truth_of(judge.images, judge.labels), Predictions.of(found))
    ap50 = figures["AP50"]
    assert ap50 is not None  # there are boxes to judge by
    return ap50


Part = Callable[[Sequence[Length], Sequence[int]], Iterable[Row]]
PARTS: Final[dict[str, Part]] = {
    "bccd": bccd,
    "flattered": flattered,
    "few": few,
    "opencv": opencv,
    "raccoon": raccoon,
    "killed": killed,
}

if __name__ == "__main__":
    main()
