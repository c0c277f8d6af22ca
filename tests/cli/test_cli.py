import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from imagebase.cli import app
from imagebase.images.decode import encode_png
from imagebase.settings import PROJECT_ROOT, SAMPLES_FOLDER
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.peak_memory import Measured, run_measured
from tests.videos import moving, scenes, write_video

PNG = encode_png(np.zeros((48, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that finds one dog in the middle of every image."""
    return str(write_one_box_model(tmp_path_factory.mktemp("models") / "pets"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of two images, one of them below it, and a file that is none."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.png").write_bytes(PNG)
    (tmp_path / "in" / "sub" / "b.png").write_bytes(PNG)
    (tmp_path / "in" / "notes.txt").write_text("hello")
    return tmp_path / "in"


def invoked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_file(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (output / "run.json").read_text(encoding="utf-8")
    )
    return found


def coco_file(output: Path) -> dict[str, Any]:
    path = output / "coco" / "annotations.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def run_process(*arguments: str | Path, folder: Path) -> Measured:
    """Run the command line as a script would, and measure this process alone."""
    command = [sys.executable, "-m", "imagebase", *map(str, arguments)]
    return run_measured(command, notes=folder / "peak", cwd=PROJECT_ROOT)


def test_process_ends_with_0_and_lists_what_was_refused(
    tmp_path: Path, source: Path, pets: str
) -> None:
    (source / "broken.png").write_bytes(b"nothing")
    output = tmp_path / "out"
    done = run_process(
        "annotate", source, "--output", output, "--model", pets, folder=tmp_path
    )
    assert done.code == 0
    assert done.stdout.startswith("2 images, 2 boxes, 1 refused in ")
    assert done.stdout.count("\n") == 1
    over, refused = done.stderr.splitlines()
    assert over == "Passed over: 1 .txt file, which is no image."
    assert refused.startswith("Refused: broken.png is not an image")
    assert run_file(output)["images"] == 2
    assert run_file(output)["passed_over"] == {".txt": 1}


def test_process_ends_with_1_where_no_image_can_be_read(
    tmp_path: Path, pets: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.png").write_bytes(b"nothing")
    options = ("--output", tmp_path / "out", "--model", pets)
    done = run_process("annotate", tmp_path / "in", *options, folder=tmp_path)
    assert done.code == 1
    assert done.stdout.startswith("0 images, 0 boxes, 1 refused")
    assert "could be annotated" in done.stderr


def test_process_ends_with_2_at_an_unknown_option(tmp_path: Path) -> None:
    done = run_process("annotate", "x", "--nope", folder=tmp_path)
    assert done.code == 2
    assert done.stdout == ""
    assert "--nope" in done.stderr


def test_all_wild_images_are_labelled_or_refused_by_name(
    tmp_path: Path, shared_data: Path
) -> None:
    wild = shared_data / "wild_images"
    formats = [
        argument
        for name in ("coco", "csv", "yolo", "voc")
        for argument in ("--format", name)
    ]
    output = tmp_path / "out"
    done = run_process("annotate", wild, "--output", output, *formats, folder=tmp_path)
    assert done.code == 0
    found = run_file(tmp_path / "out")
    read = {entry["file_name"] for entry in coco_file(tmp_path / "out")["images"]}
    refused = {entry["file"]: entry["reason"] for entry in found["refused"]}
    files = {path.name for path in wild.iterdir()} - {"MANIFEST.json"}
    assert len(files) == 42
    assert read | refused.keys() == files
    assert not read & refused.keys()
    assert all(reason.startswith(name) for name, reason in refused.items())
    assert all(reason.endswith(".") for reason in refused.values())
    assert done.stderr.count("Refused: ") == len(refused) < 15
    assert found["seconds"] < 2 * len(files)
    assert done.peak_bytes < 1_000_000_000


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--model", "nope"], "There is no model 'nope'"),
        (["--format", "nope"], "There is no annotation format 'nope'"),
        (["--labels", "dog,unicorn"], "has no label 'unicorn'"),
        (["--ray-address", "auto"], "--ray-address goes with --engine ray"),
        (["--input-size", "100"], "no multiple of 32; try 96."),
        (["--runtime", "opencv", "--precision", "bf16"], "computes in f32 only"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else "",
)
def test_wrong_usage_is_2_and_one_sentence(
    tmp_path: Path, source: Path, pets: str, options: list[str], sentence: str
) -> None:
    output = tmp_path / "out"
    result = invoked("annotate", source, "--output", output, "--model", pets, *options)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not output.exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--confidence", "0"],
        ["--confidence", "nan"],
        ["--confidence", "1.5"],
        ["--nms", "-1"],
        ["--runtime", "tensorrt"],
        ["--precision", "int8"],
        ["--engine", "cluster"],
        ["--input-size", "0"],
        ["--input-size", "big"],
    ],
    ids=" ".join,
)
def test_value_out_of_range_is_2(
    tmp_path: Path, source: Path, options: list[str]
) -> None:
    result = invoked("annotate", source, "--output", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert options[0] in result.stderr


def test_missing_output_is_2(source: Path) -> None:
    assert invoked("annotate", source).exit_code == 2


def test_no_command_shows_what_there_is() -> None:
    result = invoked()
    assert result.exit_code == 2
    assert "annotate" in result.output
    assert "serve" in result.output


@pytest.mark.parametrize("command", ["annotate", "serve"])
def test_help_of_each_command_is_0(command: str) -> None:
    result = invoked(command, "--help")
    assert result.exit_code == 0
    assert result.stderr == ""


def test_missing_source_is_1_for_nothing_could_be_done(
    tmp_path: Path, pets: str
) -> None:
    options = ("--output", tmp_path / "out", "--model", pets)
    result = invoked("annotate", tmp_path / "gone", *options)
    assert result.exit_code == 1
    assert result.stderr.endswith("gone is not there; check the path.\n")
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["annotate", "convert"])
def test_labels_drawn_by_hand_are_not_overwritten(
    tmp_path: Path, source: Path, pets: str, command: str
) -> None:
    drawn = source / "voc" / "Annotations" / "a.xml"
    drawn.parent.mkdir(parents=True)
    drawn.write_text("by hand")
    (source / "a.csv").write_text(
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,64,48,cat,1,1,9,9\n"
    )
    options = {
        "annotate": ("--format", "voc", "--model", pets),
        "convert": ("--to", "voc", "--from", "csv"),
    }
    done = invoked(command, source, "--output", source, *options[command])
    assert done.exit_code == 1
    assert "a.xml is in the way, and ImageBase did not write it" in done.stderr
    assert drawn.read_text() == "by hand"


def test_broken_model_is_1(tmp_path: Path, source: Path, pets: str) -> None:
    broken = Path(shutil.copytree(pets, tmp_path / "broken"))
    (broken / "obj.weights").write_bytes(b"")
    options = ("--output", tmp_path / "out", "--model", broken)
    assert invoked("annotate", source, *options).exit_code == 1


def test_output_that_is_a_file_is_1(tmp_path: Path, source: Path, pets: str) -> None:
    (tmp_path / "out").write_text("")
    options = ("--output", tmp_path / "out", "--model", pets)
    result = invoked("annotate", source, *options)
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_one_of_each_is_spoken_of_as_one(
    tmp_path: Path, source: Path, pets: str
) -> None:
    (source / "sub" / "b.png").unlink()
    output = tmp_path / "out"
    result = invoked("annotate", source, "--output", output, "--model", pets)
    assert result.stdout.startswith("1 image, 1 box in ")
    found = invoked("convert", output, "--to", "csv", "--output", tmp_path / "csv")
    assert found.stdout.startswith("1 image, 1 box, 2 labels"), found.stderr


def test_quiet_run_prints_its_summary_and_what_it_passed_over(
    tmp_path: Path, source: Path, pets: str
) -> None:
    options = ("--output", tmp_path / "out", "--model", pets, "--quiet")
    result = invoked("annotate", source, *options)
    assert result.exit_code == 0
    assert result.stdout.startswith("2 images, 2 boxes in ")
    assert result.stderr == "Passed over: 1 .txt file, which is no image.\n"


def test_options_reach_the_run_and_its_settings(tmp_path: Path) -> None:
    result = invoked(
        *("annotate", SAMPLES_FOLDER / "street.jpg", "--output", tmp_path),
        *("--confidence", "0.001", "--nms", "0.6", "--labels", "person, car"),
        *("--runtime", "opencv", "--precision", "f32", "--input-size", "320"),
        *("--format", "coco", "--format", "csv", "--no-resume"),
        *("--quality", "fast", "--engine", "local"),
    )
    assert result.exit_code == 0, result.stderr
    assert run_file(tmp_path)["settings"] == {
        "confidence": 0.001,
        "nms": 0.6,
        "labels": ["person", "car"],
        "runtime": "opencv",
        "precision": "f32",
        "input_size": 320,
        "quality": "fast",
        "engine": "local",
        "formats": ["coco", "csv"],
        "resume": False,
    }
    boxes = coco_file(tmp_path)["annotations"]
    assert {box["category_id"] for box in boxes} == {1, 3}
    assert min(box["score"] for box in boxes) < 0.01
    assert (tmp_path / "csv" / "annotations.csv").is_file()


def test_coco_is_the_format_where_none_is_given(
    tmp_path: Path, source: Path, pets: str
) -> None:
    invoked("annotate", source, "--output", tmp_path / "out", "--model", pets)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["coco", "run.json"]


def test_zip_and_single_image_are_sources(
    tmp_path: Path, source: Path, pets: str
) -> None:
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", source)
    for name, expected in ((archive, ["a.png", "sub/b.png"]), ("a.png", ["a.png"])):
        given = source / name
        output = tmp_path / f"out-{given.name}"
        result = invoked("annotate", given, "--output", output, "--model", pets)
        assert result.exit_code == 0, result.stderr
        names = [image["file_name"] for image in coco_file(output)["images"]]
        assert names == expected


def test_file_name_cannot_steer_the_terminal(
    tmp_path: Path, source: Path, pets: str
) -> None:
    (source / "\x1b[2J\n[bold]x.png").write_bytes(b"nothing")
    options = ("--output", tmp_path / "out", "--model", pets)
    result = invoked("annotate", source, *options)
    assert result.exit_code == 0
    assert "\x1b" not in result.stderr
    assert "[bold]x.png" in result.stderr
    assert result.stderr.count("\n") == 2  # with what was passed over


def test_frames_of_a_video_are_written_by_time(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.avi", scenes(2))
    output = tmp_path / "out"
    done = invoked("frames", clip, "--output", output, "--seconds", "0.5")
    assert done.exit_code == 0
    assert "2 frames, 4 near-duplicates left out." in done.stdout
    names = ["clip_00-00-00.000.jpg", "clip_00-00-01.500.jpg"]
    assert sorted(path.name for path in output.iterdir()) == names
    cut = tmp_path / "cut.avi"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    done = invoked("frames", cut, "--output", output, "--every", "1")
    assert done.exit_code == 0
    assert "cut.avi is cut off or damaged after 0:01." in done.stderr


def test_frames_of_another_video_of_that_name_are_named_apart(tmp_path: Path) -> None:
    output = tmp_path / "out"
    clips = [tmp_path / name / "clip.avi" for name in ("monday", "tuesday")]
    for clip, images in zip(clips, (scenes(2), reversed([*moving(16)])), strict=True):
        clip.parent.mkdir()
        write_video(clip, images)
        done = invoked("frames", clip, "--output", output, "--every", "15")
        assert done.exit_code == 0
    first = "clip_00-00-00.000.jpg", "clip_00-00-01.500.jpg"
    second = "clip-2_00-00-00.000.jpg", "clip-2_00-00-01.500.jpg"
    files = {path.name: path.read_bytes() for path in output.iterdir()}
    assert sorted(files) == sorted((*first, *second))
    # The same again is neither lost nor there twice.
    invoked("frames", clips[1], "--output", output, "--every", "15")
    assert {path.name: path.read_bytes() for path in output.iterdir()} == files


def test_frames_of_what_is_no_video_end_with_1_and_wrong_usage_with_2(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    output = tmp_path / "out"
    done = invoked("frames", tmp_path / "a.mp4", "--output", output)
    assert done.exit_code == 1
    assert "a.mp4 is no video" in done.stderr
    assert not output.exists()
    assert invoked("frames", "b.mp4", "--output", output).exit_code == 1
    options = ("--every", "2", "--scenes")
    assert invoked("frames", "a.mp4", "--output", output, *options).exit_code == 2
