"""A model as a zip: all its files, ONNX too, and back in as it went out."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection.detector import load_model
from imagebase.detection.model_archive import model_zip
from imagebase.detection.model_files import model_in_file, model_in_folder
from imagebase.detection.model_registry import find_model
from imagebase.detection.validation import examine, examine_paths
from imagebase.settings import Limits
from tests.detection.validation.test_broken_uploads import darknet

REPORTS = {
    "report.html": "<!doctype html><p>It learned.</p>",
    "metrics.json": '{"AP50": 0.5}',
    "history.csv": "step,loss\n1,2.5\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Darknet model with what its training told."""
    made = tmp_path / "pets"
    made.mkdir()
    for name, content in darknet():
        (made / name).write_bytes(content)
    for name, text in REPORTS.items():
        (made / name).write_text(text)
    return made


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_darknet_model_is_packed_with_its_onnx_and_reports(
    folder: Path, tmp_path: Path
) -> None:
    model = model_in_folder(folder)
    files = unpacked(model_zip(model))
    three = {"obj.cfg", "obj.weights", "obj.names"}
    assert set(files) == {*three, "obj.onnx", *REPORTS}
    assert all(files[one] == (folder / one).read_bytes() for one in three)
    onnx = tmp_path / "obj.onnx"
    onnx.write_bytes(files["obj.onnx"])
    rgb = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    ours, other = (
        load_model(one).candidates(rgb, size=Size(96, 64), floor=0.0)
        for one in (model, model_in_file(onnx, name="pets"))
    )
    np.testing.assert_allclose(ours.xyxy, other.xyxy)


def test_an_onnx_model_is_packed_with_its_names_and_licence() -> None:
    files = unpacked(model_zip(find_model("yolox-nano")))
    assert set(files) == {"model.onnx", "obj.names", "LICENCE.txt"}
    assert files["obj.names"].decode().splitlines()[:2] == ["person", "bicycle"]


def test_what_was_packed_comes_back_in(folder: Path) -> None:
    data = model_zip(model_in_folder(folder))
    for uploads in ([("pets.zip", data)], list(unpacked(data).items())):
        diagnosis = examine(uploads, limits=Limits())
        assert diagnosis.is_usable, diagnosis.findings
        assert diagnosis.draft is not None
        assert diagnosis.draft.model.is_darknet


def test_the_folder_that_a_training_leaves_can_be_added(folder: Path) -> None:
    files = unpacked(model_zip(model_in_folder(folder)))
    (folder / "obj.onnx").write_bytes(files["obj.onnx"])
    assert examine_paths([folder], limits=Limits()).is_usable


def test_an_onnx_file_alone_is_no_copy(folder: Path) -> None:
    files = unpacked(model_zip(model_in_folder(folder)))
    alone = [("obj.onnx", files["obj.onnx"]), ("obj.names", files["obj.names"])]
    diagnosis = examine(alone, limits=Limits())
    assert diagnosis.draft is not None
    assert not diagnosis.draft.model.is_darknet
