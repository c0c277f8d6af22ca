"""A training from images to a model that others read; killed, stopped, gone on."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imagebase.annotation import Size
from imagebase.detection.detector import load_single
from imagebase.detection.library import find_model
from imagebase.errors import TrainingError
from imagebase.training import run_folder
from imagebase.training.data import load_set
from imagebase.training.loop import read_checkpoint, write_checkpoint
from imagebase.training.network import module_of
from imagebase.training.run_folder import Evaluation, Progress, read_log
from imagebase.training.run_settings import TrainingSettings
from imagebase.training.schedule import PATIENCE, EarlyStopping
from imagebase.training.session import (
    ask_to_finish,
    clean_up,
    prepare_run,
    read_plan,
    run_training,
)
from imagebase.training.sources import TrainingSources
from tests.training.conftest import BASE
from tests.training.shapes import LABELS, picture, sources, write_folder

SIZE = Size(96, 96)
STEPS = 20


def ready(folder: Path, *, images: int = 12, **changed: object) -> Path:
    plain = TrainingSettings(base=str(BASE), steps=STEPS, precision="f32")
    settings = replace(plain, **changed)  # type: ignore[arg-type]
    gathered = TrainingSources(tuple(sources(images)), LABELS)
    assert prepare_run(folder, gathered, settings, input_size=SIZE) is not None
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training's work and, in `model`, what it left."""
    folder = tmp_path_factory.mktemp("trained")
    ready(folder / "work")
    run_training(folder / "work", folder / "model")
    return folder


def test_a_few_steps_find_the_shapes(trained: Path) -> None:
    metrics = json.loads((trained / "model" / "metrics.json").read_text())
    assert metrics["AP50"] > 0.5
    low, high = metrics["AP50_interval"]
    assert low <= metrics["AP50"] <= high
    assert metrics["images"] == {"train": 10, "val": 2}
    assert metrics["steps"] == STEPS
    assert any("Only 2 validation images" in warning for warning in metrics["warnings"])


def test_the_written_model_detects_in_a_new_image(trained: Path) -> None:
    detector = load_single(find_model(str(trained / "model")), precision="f32")
    assert detector.labels == LABELS
    rgb, boxes = picture(77)
    found = detector.candidates(rgb, size=Size(160, 120))
    best = found.xyxy[found.confidence.argmax()]
    assert any(np.abs(best - np.array([*box])).max() < 16 for _, box in boxes)


def test_the_onnx_file_gives_the_same_boxes(trained: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.onnx"
    alone.write_bytes((trained / "model" / "obj.onnx").read_bytes())
    rgb, _ = picture(5)
    darknet, onnx = (
        load_single(find_model(str(model)), precision="f32").candidates(
            rgb, size=Size(160, 120)
        )
        for model in (trained / "model", alone)
    )
    np.testing.assert_allclose(darknet.xyxy, onnx.xyxy, atol=1e-3)
    np.testing.assert_allclose(darknet.confidence, onnx.confidence, atol=1e-5)


def test_history_and_report_are_complete(trained: Path) -> None:
    with (trained / "model" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]["step"]) == STEPS
    assert {"loss", "ap50", "ap50 square", "ap50 disc"} <= set(rows[-1])
    page = (trained / "model" / "report.html").read_text()
    assert "AP50" in page
    assert page.count("data:image/jpeg;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")


def test_the_log_contains_every_evaluation(trained: Path) -> None:
    log = read_log(trained / "work")
    assert log.progress is not None
    assert log.progress.phase == "done"
    assert log.evaluations[-1].step == STEPS


def test_a_resumed_run_gives_the_same_weights(tmp_path: Path, trained: Path) -> None:
    work = ready(tmp_path / "work")
    seen: list[Progress | Evaluation] = []
    asked = iter(range(1000))
    stopped = run_training(work, tmp_path / "model", must_stop=lambda: next(asked) >= 9)
    assert stopped is None
    assert not (tmp_path / "model").exists()
    assert (work / run_folder.CHECKPOINT).is_file()
    metrics = run_training(work, tmp_path / "model", on_entry=seen.append)
    assert metrics is not None
    steps = [entry.done for entry in seen if isinstance(entry, Progress)]
    assert min(steps) > 9
    apart, moved = _distances(trained / "model", tmp_path / "model")
    assert max(moved.values()) > 0
    assert all(apart[kernel] <= 0.05 * moved[kernel] for kernel in moved), apart
    unbroken = json.loads((trained / "model" / "metrics.json").read_text())
    assert metrics["AP50"] == pytest.approx(unbroken["AP50"], abs=0.02)


def _distances(
    first_folder: Path, other: Path
) -> tuple[dict[str, float], dict[str, float]]:
    """Return by kernel how far two nets are apart, and how far the first has moved."""
    nets = [_kernels(folder) for folder in (first_folder, other, BASE)]
    # The base has heads for other labels.
    same = [name for name in nets[0] if nets[0][name].shape == nets[2][name].shape]
    apart = {name: float((nets[0][name] - nets[1][name]).norm()) for name in same}
    moved = {name: float((nets[0][name] - nets[2][name]).norm()) for name in same}
    return apart, moved


def _kernels(folder: Path) -> dict[str, torch.Tensor]:
    cfg, weights = (folder / "obj.cfg").read_bytes(), folder / "obj.weights"
    named = module_of(cfg, weights.read_bytes()).named_parameters()
    return {name: tensor.detach() for name, tensor in named if tensor.ndim > 1}


@pytest.mark.long
def test_a_run_without_improvement_stops_early(tmp_path: Path, trained: Path) -> None:
    rate = 1e-3
    work = ready(tmp_path / "work", images=110, steps=100, learning_rate=rate)
    asked = iter(range(1000))
    run_training(work, tmp_path / "model", must_stop=lambda: next(asked) >= 3)
    fingerprint = load_set(work).fingerprint
    kept = read_checkpoint(work, fingerprint=fingerprint)
    assert kept is not None
    # Four judgements in vain since one that nothing can beat.
    choice = EarlyStopping(best_ap50=1.5, best_step=1, rose_at=0, waited=PATIENCE - 1)
    values = {**kept.values, "choice": asdict(choice)}
    write_checkpoint(work, replace(kept, values=values))
    best = (trained / "model" / "obj.weights").read_bytes()
    (work / run_folder.BEST).write_bytes(best)
    metrics = run_training(work, tmp_path / "model")
    assert metrics is not None
    assert (tmp_path / "model" / "obj.weights").read_bytes() == best
    assert metrics["best_step"] == 1
    evaluations = read_log(work).evaluations
    assert 25 <= evaluations[-1].step < 100
    assert evaluations[-1].learning_rate < 0.05 * rate
    assert not any(evaluation.is_best for evaluation in evaluations)


def test_a_damaged_checkpoint_is_an_error(tmp_path: Path) -> None:
    work = ready(tmp_path / "work")
    asked = iter(range(1000))
    run_training(work, tmp_path / "model", must_stop=lambda: next(asked) >= 2)
    kept = read_checkpoint(work, fingerprint=load_set(work).fingerprint)
    assert kept is not None
    write_checkpoint(work, replace(kept, values={"memory": {"stride": 3}}))
    with pytest.raises(TrainingError, match="start over"):
        run_training(work, tmp_path / "model")


@pytest.mark.long
def test_a_run_killed_at_random_moments_finishes(tmp_path: Path, trained: Path) -> None:
    """Each process is killed with no warning; the next goes on where it can."""
    work, output = ready(tmp_path / "work"), tmp_path / "model"
    chance = random.Random(5)
    command = [sys.executable, "-m", "imagebase.training", str(work), str(output)]
    log = work / run_folder.LOG
    for _ in range(int(os.environ.get("IMAGEBASE_TEST_TRAINING_KILLS", "1"))):
        process = subprocess.Popen(command)
        until = time.monotonic() + 60
        while not (work / run_folder.CHECKPOINT).is_file() and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines = len(log.read_text().splitlines())
    assert subprocess.run(command, check=False).returncode == 0
    later = [json.loads(line) for line in log.read_text().splitlines()[lines:]]
    learned = [entry["done"] for entry in later if entry.get("phase") == "learning"]
    assert all(step > 1 for step in learned), "it began anew"
    metrics = json.loads((output / "metrics.json").read_text())
    unbroken = json.loads((trained / "model" / "metrics.json").read_text())
    assert metrics["steps"] == STEPS
    # Four validation boxes; benchmarks/training.py does this with more.
    assert metrics["AP50"] == pytest.approx(unbroken["AP50"], abs=0.3)


def test_the_process_exits_with_its_parent(tmp_path: Path) -> None:
    work = ready(tmp_path / "work", steps=100_000)
    command = [
        *(sys.executable, "-m", "imagebase.training", str(work)),
        *(str(tmp_path / "model"), "--parent", "1"),
    ]
    finished = subprocess.run(command, check=False, timeout=120)
    assert finished.returncode == 3


def test_finish_writes_the_best_model_so_far(tmp_path: Path) -> None:
    work = ready(tmp_path / "work", steps=100_000)

    def finish(entry: Progress | Evaluation) -> None:
        ask_to_finish(work)

    metrics = run_training(work, tmp_path / "model", on_entry=finish)
    assert metrics is not None
    assert 1 <= metrics["steps"] < 1000
    assert (tmp_path / "model" / "obj.weights").is_file()
    clean_up(work)
    assert {path.name for path in work.iterdir()} == {"log.jsonl", "plan.json"}


def test_the_base_model_may_be_deleted_meanwhile(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("obj.cfg", "obj.weights", "obj.names"):
        (mine / name).write_bytes((BASE / name).read_bytes())
    work = ready(tmp_path / "work", images=6, base=str(mine), steps=2)
    mine.rename(tmp_path / "yours")
    asked = iter(range(1000))
    assert (
        run_training(work, tmp_path / "model", must_stop=lambda: next(asked) >= 1)
        is None
    )
    metrics = run_training(work, tmp_path / "model")
    assert metrics is not None
    assert metrics["base"] == "mine"


def test_changed_labels_cannot_resume(tmp_path: Path) -> None:
    work = ready(tmp_path / "work")
    asked = iter(range(1000))
    run_training(work, tmp_path / "model", must_stop=lambda: next(asked) >= 1)
    text = (work / run_folder.SET).read_text()
    (work / run_folder.SET).write_text(text.replace('"disc"', '"disk"'))
    with pytest.raises(TrainingError, match="have changed"):
        run_training(work, tmp_path / "model")


def test_reading_can_be_stopped(tmp_path: Path) -> None:
    settings = TrainingSettings(base=str(BASE), steps=1)
    gathered = TrainingSources(tuple(sources(5)), LABELS)
    begun = prepare_run(
        tmp_path / "work", gathered, settings, input_size=SIZE, must_stop=lambda: True
    )
    assert begun is None
    assert read_plan(tmp_path / "work") is None


def test_csv_trains_by_one_command(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", 6)
    command = [
        *(sys.executable, "-m", "imagebase", "train", "--images", str(folder)),
        *("--labels", str(folder / "_annotations.csv"), "--labels-format", "csv"),
        *("--output", str(tmp_path / "out"), "--input-size", "96"),
        *("--steps", "2", "--precision", "f32"),
    ]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "AP50" in finished.stdout
    assert "Note: Few boxes" in finished.stderr
    names = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert names == {
        *("obj.cfg", "obj.weights", "obj.names", "obj.onnx"),
        *("metrics.json", "history.csv", "report.html"),
    }


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--minutes", "1", "--epochs", "2"], 2, "not both"),
        (["--input-size", "100"], 2, "try 96"),
        (["--labels-format", "nothing"], 2, "no annotation format"),
        (["--model", "nothing"], 2, "no model"),
        (["--model", "yolox-nano"], 1, "no Darknet model"),
    ],
)
def test_wrong_usage_is_one_sentence(
    tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    folder = write_folder(tmp_path / "set", 2)
    command = [
        *(sys.executable, "-m", "imagebase", "train", "--images", str(folder)),
        *("--labels", str(folder), "--output", str(tmp_path / "out"), *options),
    ]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    assert said in " ".join(finished.stderr.split())
    assert finished.returncode == code


WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; sys.argv[0] = 'imagebase'; "


def test_without_pytorch_the_command_says_how_to_get_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", 2)
    code = WITHOUT_TORCH + "from imagebase.cli import main; main()"
    command = [
        *(sys.executable, "-c", code, "train", "--images", str(folder)),
        *("--labels", str(folder), "--output", str(tmp_path / "out")),
    ]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    assert finished.returncode == 1
    assert "-m uv pip install torch --torch-backend=cpu" in finished.stderr
    assert "Traceback" not in finished.stderr
