import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from imagebase.cli import app
from imagebase.formats.registry import read
from imagebase.formats.trees import image_names
from imagebase.images.decode import encode_png
from imagebase.images.scan import Incoming, unpack_uploads
from imagebase.images.skipped_files import NO_SUFFIX, SkippedFiles
from imagebase.ingest.label_files import DroppedFiles, keep_files
from imagebase.settings import Limits
from imagebase.training.sources import from_label_files
from tests.detection.darknet.darknet_models import write_one_box_model


def png(shade: int) -> bytes:
    return encode_png(np.full((48, 64, 3), shade, np.uint8))


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that finds one dog in the middle of every image."""
    return str(write_one_box_model(tmp_path_factory.mktemp("models") / "pets"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two images among files of other kinds."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(60))
    (folder / "sub" / "b.png").write_bytes(png(90))
    for name in ("notes.txt", "sub/more.TXT", "sub/third.txt", "clip.mp4", "README"):
        (folder / name).write_bytes(b"x")
    (folder / ".hidden.txt").write_bytes(b"x")
    return folder


def annotate(source: str | Path, output: Path, *options: str) -> Result:
    arguments = ["annotate", str(source), "--output", str(output), *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    return result


def run_file(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "run.json").read_bytes())
    return found


def as_zip(folder: Path) -> Path:
    path = folder.parent / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def as_url(folder: Path) -> str:
    memory = fsspec.filesystem("memory")
    for file in folder.rglob("*"):
        if file.is_file():
            name = file.relative_to(folder).as_posix()
            memory.pipe_file(f"/{folder.parent.name}/{name}", file.read_bytes())
    return f"memory://{folder.parent.name}"


@pytest.mark.parametrize("kind", [Path, as_zip, as_url])
def test_other_files_are_counted_by_kind(
    tmp_path: Path, photos: Path, pets: str, kind: Callable[[Path], str | Path]
) -> None:
    result = annotate(kind(photos), tmp_path / "out", "--model", pets)
    assert result.stdout.startswith("2 images, 2 boxes in ")
    assert result.stderr == (
        "Passed over: 3 .txt files, 1 file without a suffix and 1 .mp4 file, which are "
        "no images.\n"
    )
    over = run_file(tmp_path / "out")["passed_over"]
    assert over == {".txt": 3, ".mp4": 1, NO_SUFFIX: 1}


def test_what_one_run_writes_the_next_does_not_label(photos: Path, pets: str) -> None:
    options = ("--model", pets, "--format", "yolo", "--format", "coco")
    for _ in range(3):
        result = annotate(photos, photos / "labelled", *options)
        assert result.stdout.startswith("2 images, ")
    result = annotate(photos, photos.parent / "elsewhere", *options)
    assert result.stdout.startswith("2 images, ")
    said = result.stderr.splitlines()
    assert "labelled/yolo/ is an earlier export of ImageBase: passed over." in said
    assert "labelled/coco/ is an earlier export of ImageBase: passed over." in said
    over = run_file(photos.parent / "elsewhere")["passed_over"]
    assert over == {".txt": 3, ".mp4": 1, NO_SUFFIX: 1}


def test_export_that_is_all_there_is_is_labelled(
    tmp_path: Path, photos: Path, pets: str
) -> None:
    options = ("--model", pets, "--format", "yolo")
    annotate(photos, tmp_path / "first", *options)
    for source in (tmp_path / "first", tmp_path / "first" / "yolo"):
        result = annotate(source, tmp_path / "second", *options)
        assert result.stdout.startswith("2 images, ")


def test_manifest_of_another_program_is_no_export(
    tmp_path: Path, photos: Path, pets: str
) -> None:
    (photos / "sub" / "manifest.json").write_text('{"format": "x", "name": "y"}')
    result = annotate(photos, tmp_path / "out", "--model", pets)
    assert result.stdout.startswith("2 images, ")
    assert run_file(tmp_path / "out")["passed_over"][".json"] == 1


def test_earlier_export_in_a_dropped_folder_or_zip_is_passed_over(
    photos: Path, pets: str
) -> None:
    annotate(photos, photos / "labelled", "--model", pets, "--format", "yolo")
    folder: list[tuple[str, bytes]] = [
        (f"photos/{file.relative_to(photos).as_posix()}", file.read_bytes())
        for file in sorted(photos.rglob("*"))
        if file.is_file() and file.name != ".hidden.txt"
    ]
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        for name, data in folder:
            archive.writestr(name, data)
    for files in (folder, [("photos.zip", zipped.getvalue())]):
        over = SkippedFiles()
        found = list(unpack_uploads(files, Limits(), passed_over=over))
        assert all(isinstance(item, Incoming) for item in found)
        names = sorted(item.file_name for item in found)
        assert names == ["photos/a.png", "photos/sub/b.png"]
        assert over.exports == ("photos/labelled/yolo/",)
        assert over.kinds == {".txt": 3, ".mp4": 1, NO_SUFFIX: 1}


CSV = """filename,width,height,class,xmin,ymin,xmax,ymax
a.png,64,48,dog,8,8,40,40
b.png,64,48,dog,8,8,40,40
"""


@pytest.fixture
def labelled(photos: Path, pets: str) -> Path:
    """The folder with a label file of its own and an export of it further down."""
    (photos / "labels.csv").write_text(CSV)
    done = run("convert", photos, "--to", "yolo", "--output", photos / "out")
    assert done.stdout.startswith("2 images, 2 boxes, 1 label")
    return photos


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


SAID = "out/yolo/: an earlier export of ImageBase, passed over"


def test_convert_does_not_read_an_earlier_export_again(labelled: Path) -> None:
    for output in (labelled / "out", labelled.parent / "elsewhere"):
        done = run("convert", labelled, "--to", "yolo", "--output", output)
        assert done.stdout.startswith("2 images, 2 boxes, 1 label")
        assert f"Left out: {SAID}" in done.stderr.splitlines()
        assert len(list((output / "yolo").rglob("*.png"))) == 2


def test_convert_reads_an_export_that_is_all_there_is(labelled: Path) -> None:
    output = labelled.parent / "elsewhere"
    done = run("convert", labelled / "out", "--to", "coco", "--output", output)
    assert done.stdout.startswith("2 images, 2 boxes, 1 label")
    assert "passed over" not in done.stderr


def test_evaluate_does_not_count_an_earlier_export(labelled: Path, pets: str) -> None:
    output = labelled.parent / "judged"
    options = ("--images", labelled, "--labels", labelled, "--output", output)
    done = run("evaluate", *options, "--model", pets, "--quiet")
    (figures,) = json.loads((output / "metrics.json").read_bytes()).values()
    assert (figures["images"], figures["boxes"]) == (2, 2)
    assert f"Not evaluated: {SAID}" in done.stderr.splitlines()


def test_training_does_not_learn_from_an_earlier_export(labelled: Path) -> None:
    gathered = from_label_files(labelled, labelled)
    assert [source.name for source in gathered.sources] == ["a.png", "sub/b.png"]
    assert SAID in gathered.skipped


def test_import_does_not_take_in_an_earlier_export(
    labelled: Path, tmp_path: Path
) -> None:
    files = [
        (
            f"photos/{file.relative_to(labelled).as_posix()}",
            io.BytesIO(file.read_bytes()),
        )
        for file in sorted(labelled.rglob("*"))
        if file.is_file()
    ]
    keep_files(files, tmp_path / "dropped", Limits())
    tree = DroppedFiles(tmp_path / "dropped", Limits())
    assert tree.exports == ("photos/out/yolo/",)
    found = read(tree)
    assert len(found.images) == 2
    assert sorted(image_names(tree)) == ["photos/a.png", "photos/sub/b.png"]
