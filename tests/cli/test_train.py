"""python -m imagebase train, in processes: resumed, refused, reported."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagebase.training.run_folder import read_log
from tests.training.shapes import write_folder

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(labels: Path, output: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "imagebase", "train", "--images", str(labels)),
        *("--labels", str(labels), "--labels-format", "csv"),
        *("--output", str(output), "--input-size", "96", "--precision", "f32"),
        *options,
    ]


def run(labels: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(labels, output, *options),
        check=False,
        capture_output=True,
        text=True,
        env=ONE_THREAD,
    )


def interrupt_one(labels: Path, output: Path) -> int:
    """Begin a training and press Ctrl+C; return how many steps it made."""
    options = ("--steps", "100000", "--quiet")
    process = subprocess.Popen(command(labels, output, *options), env=ONE_THREAD)
    until = time.monotonic() + 120
    while not read_log(output / ".training").losses and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 1
    log = read_log(output / ".training")
    assert log.progress is not None
    return log.progress.done


def metrics_of(output: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((output / "metrics.json").read_text())
    return found


@pytest.mark.long
def test_an_interrupted_training_below_its_labels_goes_on_for_another_length(
    tmp_path: Path,
) -> None:
    # With one image there is no validation, so no early stopping.
    folder = write_folder(tmp_path / "set", 1)
    output = folder / "model"
    steps = interrupt_one(folder, output)
    wanted = steps + 100
    resumed = run(folder, output, "--resume", "--steps", str(wanted))
    assert resumed.returncode == 0, resumed.stderr
    assert "a new one starts" not in resumed.stderr
    assert metrics_of(output)["steps"] == wanted
    # It is finished: --resume does not start another run.
    weights = (output / "obj.weights").read_bytes()
    again = run(folder, output, "--resume", "--steps", "2")
    assert again.returncode == 1
    assert "is finished" in again.stderr
    assert f"--model {output}" in " ".join(again.stderr.split())
    assert (output / "obj.weights").read_bytes() == weights
    again_from_it = run(folder, output, "--model", str(output), "--steps", "2")
    assert again_from_it.returncode == 0, again_from_it.stderr
    assert metrics_of(output)["steps"] == 2


def test_starting_over_reports_what_is_discarded_and_left_out(
    tmp_path: Path,
) -> None:
    folder, output = write_folder(tmp_path / "set", 20), tmp_path / "model"
    missing = [f"{number:03}.png" for number in range(14)]
    for name in missing:
        (folder / name).unlink()
    work = output / ".training"
    work.mkdir(parents=True)
    for name in ("plan.json", "set.json", "checkpoint.pt"):
        (work / name).write_text("{}")
    done = run(folder, output, "--steps", "2")
    assert done.returncode == 0, done.stderr
    printed = " ".join(done.stderr.split())
    assert "interrupted training run in the output is discarded" in printed
    assert "Left out: 000.png: there is no image of this name." in printed
    assert "012.png" not in printed
    assert "Left out: and 2 more without an image" in printed
    assert "count as background" in printed
    left_out = metrics_of(output)["left_out"]
    assert left_out == {
        **{"crowds": 0, "zero_size": 0, "files": []},
        **{"missing": missing, "skipped": [], "changed": []},
    }


def test_an_output_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    folder, output = write_folder(tmp_path / "set", 2), tmp_path / "model"
    output.write_text("not a folder")
    refused = run(folder, output, "--steps", "2")
    assert refused.returncode == 1
    assert "the model cannot be written (Not a directory)" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert output.read_text() == "not a folder"


@pytest.mark.parametrize("detour", ["", "model/.."])
def test_a_model_is_not_written_among_its_labels(tmp_path: Path, detour: str) -> None:
    folder = write_folder(tmp_path / "set", 2)
    (folder / "model").mkdir()
    before = sorted(folder.iterdir())
    refused = run(folder, folder / detour, "--steps", "2")
    assert refused.returncode == 2
    assert "among the labels" in refused.stderr
    assert sorted(folder.iterdir()) == before
