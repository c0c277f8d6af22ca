"""python -m imagebase evaluate, as a person types it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from imagebase.cli import app
from imagebase.errors import EvaluationError
from imagebase.evaluation.evaluate_files import evaluate
from imagebase.images.decode import encode_png
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.evaluation.builders import DATA
from tests.shut_folders import make_shut_folder

GOLDEN = DATA / "coco_sample100"


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that finds one dog in the middle of every image: 16, 18 to 48, 30."""
    return str(write_one_box_model(tmp_path_factory.mktemp("models") / "pets"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three pictures, of which one is broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(encode_png(np.full((48, 64, 3), 90, np.uint8)))
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """The dog on one picture, a cat on the other, and a picture that is not there."""
    path = tmp_path / "labels.csv"
    path.write_text(
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        "a.png,64,48,dog,16,18,48,30\n"
        "b.png,64,48,cat,0,0,10,10\n"
        "gone.png,64,48,cat,0,0,10,10\n"
    )
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_a_model_against_labels(
    pets: str, images: Path, labels: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    done = run(
        *("--images", images, "--labels", labels, "--model", pets),
        *("--output", output, "--quiet"),
    )
    assert done.exit_code == 0, done.output
    (figures,) = json.loads((output / "metrics.json").read_text()).values()
    # The dog is found once and once more where there is none: 1 of 2; the cat never.
    assert figures["per_label"]["dog"]["AP50"] == pytest.approx(1)
    assert figures["per_label"]["cat"]["AP50"] == 0
    assert figures["AP50"] == pytest.approx(0.5)
    assert figures["images"] == 2
    assert figures["images_per_second"] > 0
    assert (output / "report.html").read_text().startswith("<!doctype html>")
    assert "gone.png" in done.stderr
    assert done.stdout.splitlines()[0].split() == [
        *("model", "AP", "AP50", "precision", "recall", "images/s"),
    ]


def test_one_image_has_no_interval(
    pets: str, images: Path, labels: Path, tmp_path: Path
) -> None:
    (images / "b.png").unlink()
    output = tmp_path / "out"
    done = run(
        *("--images", images, "--labels", labels, "--output", output, "--quiet"),
        *("--model", pets, "--model", f"{pets}+f32"),
    )
    assert done.exit_code == 0, done.output
    for figures in json.loads((output / "metrics.json").read_text()).values():
        assert figures["images"] == 1
        assert figures["AP50"] is not None
        assert figures["intervals"] == {}
    text = (output / "report.html").read_text()
    assert "Only 1 image: there is no confidence interval" in text
    assert "1 image, 1 box, 1 label." in text
    assert "within the noise" in text


def test_folder_that_cannot_be_opened_is_named(
    pets: str, images: Path, labels: Path, tmp_path: Path
) -> None:
    first_part = make_shut_folder(images)
    done = run(
        *("--images", images, "--labels", labels, "--model", pets),
        *("--output", tmp_path / "out"),
    )
    assert done.exit_code == 0, done.output
    assert f"Not evaluated: {first_part}" in done.stderr
    assert "cannot be opened (File name too long)" in done.stderr


def test_the_golden_set_by_its_list_of_results(tmp_path: Path) -> None:
    expected = json.loads((DATA / "EXPECTED.json").read_text())
    done = run(
        *("--labels", GOLDEN / "sampled_gts_bbox_area.json"),
        *("--detections", f"golden={GOLDEN / 'cocoapi_results.json'}"),
        *("--output", tmp_path),
    )
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "metrics.json").read_text())["golden"]
    for name in ("AP", "AP50", "AP75", "AR100"):
        assert figures[name] == pytest.approx(expected[name], abs=1e-5)
    assert figures["images_per_second"] is None


def test_labels_are_called_otherwise(
    pets: str, images: Path, labels: Path, tmp_path: Path
) -> None:
    labels.write_text(labels.read_text().replace("dog", "hound"))
    command: list[str | Path] = [
        *("--images", images, "--labels", labels, "--model", pets),
        *("--output", tmp_path / "out"),
    ]
    assert "labels it cannot detect: hound" in run(*command).stderr
    run(*command, "--map", "dog=hound")
    (figures,) = json.loads((tmp_path / "out" / "metrics.json").read_text()).values()
    assert figures["per_label"]["hound"]["AP50"] == pytest.approx(1)
    assert figures["mapped_labels"] == {"dog": "hound"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Nothing is to be judged"),
        (["--model", "yolov4-tiny@100"], "try 96"),
        (["--model", "nobody"], "There is no model 'nobody'"),
        (["--model", "yolov4-tiny", "--model", "yolov4-tiny"], "named twice"),
        (["--detections", "found.json"], "give NAME=VALUE"),
        (["--detections", "a=x", "--detections", "a=y"], "names a twice"),
        (["--model", "yolov4-tiny", "--labels-format", "word"], "no annotation format"),
        (["--model", "yolov4-tiny", "--map", "dog"], "give NAME=VALUE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(
    arguments: list[str], says: str, images: Path, labels: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    done = run(
        *("--images", images, "--labels", labels, "--output", output), *arguments
    )
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert not output.exists()


def test_a_model_without_images_is_wrong_usage(labels: Path, tmp_path: Path) -> None:
    done = run("--labels", labels, "--model", "yolov4-tiny", "--output", tmp_path)
    assert done.exit_code == 2
    assert "needs images" in done.stderr


@pytest.mark.parametrize("gone", ["images", "labels"])
def test_nothing_could_be_done(
    gone: str, pets: str, images: Path, labels: Path, tmp_path: Path
) -> None:
    paths = {"images": images, "labels": labels} | {gone: tmp_path / "nowhere"}
    done = run(
        *("--images", paths["images"], "--labels", paths["labels"]),
        *("--model", pets, "--output", tmp_path / "out"),
    )
    assert done.exit_code == 1, done.output
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.output


def test_output_that_cannot_be_written_is_an_error_before_any_model_looks(
    pets: str, images: Path, labels: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("in the way")
    looked: list[str] = []
    with pytest.raises(EvaluationError, match="give a folder you may write to"):
        evaluate(
            labels,
            tmp_path / "out",
            images=images,
            models=[pets],
            on_progress=lambda what, done, total: looked.append(what),
        )
    assert looked == []


def broken_copy(model: str, folder: Path) -> Path:
    shutil.copytree(model, folder)
    (folder / "obj.weights").write_bytes(b"")
    return folder


def test_model_that_cannot_be_loaded_does_not_cost_the_others(
    pets: str, images: Path, labels: Path, tmp_path: Path
) -> None:
    broken = broken_copy(pets, tmp_path / "broken")
    done = run(
        *("--images", images, "--labels", labels, "--output", tmp_path / "out"),
        *("--model", pets, "--model", broken),
    )
    assert done.exit_code == 0, done.output
    assert list(json.loads((tmp_path / "out" / "metrics.json").read_text())) == [pets]
    assert f"Not evaluated: {broken}: " in done.stderr
    report = (tmp_path / "out" / "report.html").read_text()
    assert "broken could not be judged: " in report


def test_only_model_that_cannot_be_loaded_is_1(
    pets: str, images: Path, labels: Path, tmp_path: Path
) -> None:
    broken = broken_copy(pets, tmp_path / "broken")
    done = run(
        *("--images", images, "--labels", labels, "--output", tmp_path / "out"),
        *("--model", broken),
    )
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
