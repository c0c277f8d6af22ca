"""Commands whose standard output cannot be written to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from imagebase.cli import app
from imagebase.images.decode import encode_png
from imagebase.settings import PROJECT_ROOT
from tests.detection.darknet.darknet_models import write_one_box_model

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")

BOXES = """file,width,height,label,xmin,ymin,xmax,ymax
a.png,64,48,dog,8,8,40,40
a.png,64,48,cat,1,1,9,9
"""


@pytest.fixture
def commands(tmp_path: Path) -> dict[str, list[str]]:
    """A command line of each kind, that would succeed."""
    model = str(write_one_box_model(tmp_path / "model"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(encode_png(np.zeros((48, 64, 3), np.uint8)))
    (tmp_path / "in" / "a.csv").write_text(BOXES)
    folder, out = str(tmp_path / "in"), str(tmp_path / "out")
    judged = ["--labels", f"{folder}/a.csv", "--output", out]
    return {
        "annotate": ["annotate", f"{folder}/a.png", "--output", out, "--model", model],
        "convert": ["convert", folder, "--to", "coco", "--output", out],
        "evaluate": ["evaluate", "--images", folder, *judged, "--model", model],
        "models list": ["models", "list"],
        "models check": ["models", "check", model],
        "help": ["--help"],
        "help of a command": ["train", "--help"],
    }


NAMES = [
    *("annotate", "convert", "evaluate", "models list", "models check", "help"),
    "help of a command",
]
# What a command does to print is the same whatever takes nothing: three stand for all.
FEW = [
    name
    if name in ("annotate", "convert", "models list")
    else pytest.param(name, marks=pytest.mark.long)
    for name in NAMES
]


def run(command: list[str], redirection: str, home: Path) -> tuple[int, list[str]]:
    """Return the exit code of a command and the lines of its standard error."""
    shell = ["bash", "-c", f'"$@" {redirection}', "bash"]
    done = subprocess.run(
        [*shell, sys.executable, "-m", "imagebase", *command],
        cwd=PROJECT_ROOT,
        env=os.environ | {"IMAGEBASE_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_full_disk_is_one_sentence(
    commands: dict[str, list[str]], name: str, tmp_path: Path
) -> None:
    takes_nothing(commands[name], "> /dev/full", tmp_path)


@pytest.mark.parametrize("name", FEW)
def test_closed_output_is_one_sentence(
    commands: dict[str, list[str]], name: str, tmp_path: Path
) -> None:
    takes_nothing(commands[name], ">&-", tmp_path)


def takes_nothing(command: list[str], redirection: str, tmp_path: Path) -> None:
    code, lines = run(command, redirection, tmp_path / "home")
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith("Cannot write to standard output (")


@pytest.mark.parametrize("name", FEW)
def test_closed_pipe_ends_quietly(
    commands: dict[str, list[str]], name: str, tmp_path: Path
) -> None:
    # The reader is gone before anything is written; the exit code is the command's.
    redirection = "| (exec <&-; sleep 0); exit ${PIPESTATUS[0]}"
    code, lines = run(commands[name], redirection, tmp_path / "home")
    assert (code, lines) == (1 if "help" in name else 0, [])


def test_closed_pipe_hides_no_failure(
    commands: dict[str, list[str]], tmp_path: Path
) -> None:
    (tmp_path / "in" / "a.png").write_bytes(b"no image")
    redirection = "| (exec <&-; sleep 0); exit ${PIPESTATUS[0]}"
    code, lines = run(commands["annotate"], redirection, tmp_path / "home")
    assert code == 1
    assert lines[-1].endswith("could be annotated.")


def test_error_of_another_file_is_not_said_of_standard_output() -> None:
    program = (
        "from imagebase.cli.console import run_to_the_end\n"
        "run_to_the_end(lambda: open('/proc/no/such'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "/proc/no/such cannot be used (No such file or directory); check the path and "
        "its permissions.\n"
    )


def test_ctrl_c_in_quiet_is_one_line_and_130(tmp_path: Path) -> None:
    model = str(write_one_box_model(tmp_path / "model"))
    (tmp_path / "in").mkdir()
    image = encode_png(np.zeros((600, 800, 3), np.uint8))
    for number in range(3000):
        (tmp_path / "in" / f"{number}.png").write_bytes(image)
    out = tmp_path / "out"
    command = ["annotate", str(tmp_path / "in"), "--output", str(out), "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "imagebase", *command, "--model", model],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not out.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr == (
        "Interrupted. Start the command again to resume it or start it over.\n"
    )


@pytest.mark.parametrize("url", ["s3://bucket/out", "file:///tmp/out", "gs://b/o.zip"])
@pytest.mark.parametrize(
    "command",
    [
        ["convert", "labels", "--to", "coco", "--output"],
        ["convert", "labels", "--to", "coco", "--zip"],
        ["evaluate", "--labels", "labels", "--output"],
        ["train", "--images", "photos", "--labels", "labels", "--output"],
        ["backup", "My images", "--output"],
    ],
    ids=lambda command: f"{command[0]} {command[-1]}",
)
def test_url_is_refused_as_a_place_to_write(
    command: list[str], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*command, url])
    assert result.exit_code == 2
    scheme = url.partition(":")[0]
    assert result.stderr == (
        f"{scheme}:// cannot be written to; give a path on this machine.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["https://example.org/out", "s3:/bucket/out"])
def test_annotate_refuses_urls_that_take_no_files(url: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["annotate", str(tmp_path), "--output", url])
    assert result.exit_code == 2
    assert result.stderr == (
        f"{url} cannot be written to; give a folder, or a URL such as "
        "s3://bucket/labels.\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        ["convert", "s3://b/labels", "--to", "coco", "--output", "out"],
        ["evaluate", "--labels", "s3://b/labels", "--output", "out"],
        ["train", "--images", "s3://b/a", "--labels", "labels", "--output", "out"],
    ],
    ids=lambda command: command[0],
)
def test_url_is_refused_where_only_a_path_is_read(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert result.stderr == (
        "s3:// cannot be read here; copy it to this machine first.\n"
    )
