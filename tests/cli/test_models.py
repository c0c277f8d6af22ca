import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from imagebase.cli import app
from imagebase.detection.library import library_of
from imagebase.images.decode import read_header
from imagebase.settings import TEAM_OWNER, WEIGHTS_FOLDER, settings
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.detection.onnx.onnx_builder import GraphBuilder
from tests.detection.onnx.onnx_graphs import speaking_model, yolox_output
from tests.detection.onnx.onnx_layouts import NAMES, yolov6
from tests.detection.validation.test_broken_uploads import V8
from tests.detection.validation.test_questions import open_model


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_one_box_model(tmp_path / "pets")


def invoked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


def test_list_names_the_models_that_came_along() -> None:
    found = invoked("list")
    assert found.exit_code == 0
    assert found.stdout.splitlines()[1].split() == [
        *("yolov4-tiny", "Darknet", "416×416", "80", "24.3", "AlexeyAB/darknet")
    ]


def test_check_says_what_it_found_and_keeps_nothing(
    pets: Path, home: Path, tmp_path: Path
) -> None:
    found = invoked("check", pets, "--drawn", tmp_path / "drawn.jpg")
    assert found.exit_code == 0
    assert "✓ obj.weights: 21,511 numbers, as the cfg needs." in found.stdout
    assert "✓ 1 box in kitchen.jpg, " in found.stdout
    drawn = (tmp_path / "drawn.jpg").read_bytes()
    assert read_header(drawn, file_name="d", max_pixels=10**8).size.width > 0
    assert not (home / "models").exists()


def test_check_of_a_broken_model_ends_with_1(pets: Path) -> None:
    (pets / "obj.names").write_text("cat\n")
    found = invoked("check", *sorted(pets.iterdir()))
    assert found.exit_code == 1
    assert "✗ obj.names names 1 label and the model knows 2" in found.stdout


def test_names_that_lie_beside_an_onnx_file_are_found() -> None:
    found = invoked("check", WEIGHTS_FOLDER / "yolox-nano" / "model.onnx")
    assert found.exit_code == 0
    assert "✓ model.onnx: YOLOX, 416 × 416 pixels, 80 classes." in found.stdout


def test_ambiguous_model_asks_and_is_answered_by_family(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(speaking_model(yolox_output(decoded=True)))
    asked = invoked("check", path)
    assert asked.exit_code == 1
    assert "Add --family with one of yolox, yolox-decoded" in asked.stderr
    (tmp_path / "m.names").write_text("cat\ndog\n")
    result = invoked("check", path, "--family", "yolox-decoded")
    assert result.exit_code == 0
    assert "YOLOX with decoded boxes" in result.stdout


def test_numbers_tell_the_family_and_a_person_who_says_another_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(yolov6(8, 16, 32).replace(b"outputs", b"outout_"))
    path.with_suffix(".names").write_text(NAMES)
    result = invoked("check", path)
    assert result.exit_code == 0
    assert "⚠ Its outputs match YOLOv6" in result.stdout
    assert "✓ m.onnx: YOLOv6, 320 × 256 pixels, 5 classes." in result.stdout
    assert "✓ 1 box in kitchen.jpg" in result.stdout
    refused = invoked("check", path, "--family", "yolox")
    assert refused.exit_code == 1
    assert "✗ The model: its fifth column is 1 throughout" in refused.stdout


def test_open_size_is_asked_for_and_said(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(open_model())
    path.with_suffix(".names").write_text(NAMES)
    asked = invoked("check", path)
    assert asked.exit_code == 1
    assert "Add --input-size with the image size" in asked.stderr
    result = invoked("check", path, "--input-size", "320")
    assert result.exit_code == 0
    assert "✓ 1 box in kitchen.jpg" in result.stdout


def test_no_tick_stands_before_no_box(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    empty = np.zeros((1, 9, 1680), np.float32)
    graph = GraphBuilder((1, 3, 256, 320)).output("output0", empty)
    path.write_bytes(graph.model())
    path.with_suffix(".names").write_text(NAMES)
    found = invoked("check", path)
    assert found.exit_code == 0
    assert "⚠ 0 boxes in kitchen.jpg" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check", "no-such-file"], "There is no no-such-file; give the model's"),
        (["check", "README.md", "--family", "x"], "There is no family 'x'; give one"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], sentence: str) -> None:
    found = invoked(*arguments)
    assert found.exit_code == 2
    assert sentence in found.stderr


def test_text_that_is_no_part_of_a_model_is_told() -> None:
    found = invoked("check", "README.md")
    assert found.exit_code == 1
    assert "A Darknet model needs the cfg" in found.stdout


def test_added_model_labels_images_by_its_name(pets: Path, tmp_path: Path) -> None:
    found = invoked("add", pets, "--name", "Our pets", "--licence", "CC0")
    assert found.exit_code == 0
    assert library_of(TEAM_OWNER).card("Our pets").licence == "CC0"
    assert "Our pets  " in invoked("list").stdout
    arguments = ["annotate", "samples/bear.jpg", "--output", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, [*arguments, "--model", "Our pets", "--quiet"])
    assert ran.exit_code == 0
    assert "dog" in (tmp_path / "out" / "coco" / "annotations.json").read_text()


def test_name_that_is_taken_is_refused_before_anything_is_looked_at(
    pets: Path,
) -> None:
    found = invoked("add", pets, "--name", "yolov4-tiny")
    assert found.exit_code == 1
    assert "There is a model yolov4-tiny already" in found.stderr
    assert not found.stdout


def test_broken_model_is_not_added(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(V8[:-50])
    found = invoked("add", tmp_path / "m.onnx", "--name", "m")
    assert found.exit_code == 1
    assert not library_of(TEAM_OWNER).names()


def test_two_models_label_accurately_by_vote(pets: Path, tmp_path: Path) -> None:
    other = write_one_box_model(tmp_path / "other")
    arguments = ["annotate", "samples/bear.jpg", "--output", str(tmp_path / "out")]
    arguments += ["--model", f"{pets},{other}", "--quality", "accurate", "--quiet"]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.stderr
    summary = json.loads((tmp_path / "out" / "run.json").read_text())
    assert summary["settings"]["quality"] == "accurate"
    assert summary["model"]["id"].startswith("pets + other-")
    assert summary["boxes"] >= 1


@pytest.mark.parametrize("command", [["check"], ["add", "--name", "dogs"]])
def test_drawing_into_a_missing_folder_is_refused_before_the_work(
    pets: Path, tmp_path: Path, command: list[str]
) -> None:
    drawn = tmp_path / "nosuch" / "drawn.jpg"
    found = invoked(*command, pets, "--drawn", drawn)
    assert found.exit_code == 2
    assert found.stderr == (
        f"There is no folder {drawn.parent}; make it, or give another one.\n"
    )
    assert found.stdout == ""


@pytest.mark.parametrize(
    ("name", "file_format"), [("d.png", "PNG"), ("d.JPG", "JPEG"), ("d.jpeg", "JPEG")]
)
def test_suffix_says_what_is_drawn(
    pets: Path, tmp_path: Path, name: str, file_format: str
) -> None:
    assert invoked("check", pets, "--drawn", tmp_path / name).exit_code == 0
    drawn = (tmp_path / name).read_bytes()
    header = read_header(drawn, file_name="d", max_pixels=10**8)
    assert header.file_format == file_format


@pytest.mark.parametrize("name", ["d.gif", "d"])
def test_suffix_that_nothing_is_drawn_as_is_refused_before_the_work(
    pets: Path, tmp_path: Path, name: str
) -> None:
    found = invoked("check", pets, "--drawn", tmp_path / name)
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr == f"{name}: give a file that ends in .jpg or .jpeg or .png.\n"


def test_drawing_over_a_folder_is_one_sentence(pets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder.png"
    folder.mkdir()
    found = invoked("check", pets, "--drawn", folder)
    assert found.exit_code == 1
    assert found.stderr == (
        f"{folder} cannot be used (Is a directory); check the path and its "
        "permissions.\n"
    )


def test_mode_that_there_is_not_is_one_sentence(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEBASE_MODE", "x")
    settings.cache_clear()
    found = invoked("add", pets, "--name", "dogs")
    assert found.exit_code == 1
    assert "IMAGEBASE_MODE" in found.stderr
    assert found.stderr.count("\n") == 1
