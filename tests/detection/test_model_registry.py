from pathlib import Path

import pytest

from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.model_registry import bundled_models, find_model, read_names
from imagebase.errors import ModelLoadError, UnknownModelError
from imagebase.settings import DEFAULT_MODEL
from tests.detection.darknet.darknet_models import (
    ONE_BOX_CFG,
    one_box_weights,
    write_one_box_model,
)


def test_four_models_come_along_and_the_default_is_first() -> None:
    models = bundled_models()
    assert len(models) == 4
    assert models[0].name == DEFAULT_MODEL
    assert all(len(model.labels) == 80 for model in models)
    assert all(model.title and model.origin for model in models)


@pytest.mark.parametrize("name", [model.name for model in bundled_models()])
def test_a_bundled_model_is_found_by_name(name: str) -> None:
    assert find_model(name).name == name


def test_a_folder_is_found_by_its_path(tmp_path: Path) -> None:
    model = find_model(str(write_one_box_model(tmp_path / "pets")))
    assert (model.name, model.labels) == ("pets", ("cat", "dog"))
    assert model.is_darknet


@pytest.mark.parametrize("names", ["obj.names", "pets.names"])
def test_an_onnx_file_has_its_names_beside_it(names: str, tmp_path: Path) -> None:
    graph = darknet_to_onnx(ONE_BOX_CFG.encode(), one_box_weights())
    (tmp_path / "pets.onnx").write_bytes(graph)
    (tmp_path / names).write_text("cat\ndog")
    model = find_model(str(tmp_path / "pets.onnx"))
    assert (model.name, model.labels) == ("pets", ("cat", "dog"))


def test_an_onnx_file_has_its_names_inside(tmp_path: Path) -> None:
    weights = one_box_weights()
    graph = darknet_to_onnx(ONE_BOX_CFG.encode(), weights, labels=["cat", "dog"])
    (tmp_path / "pets.onnx").write_bytes(graph)
    assert find_model(str(tmp_path)).labels == ("cat", "dog")


def test_an_onnx_file_without_names_is_refused(tmp_path: Path) -> None:
    graph = darknet_to_onnx(ONE_BOX_CFG.encode(), one_box_weights())
    (tmp_path / "pets.onnx").write_bytes(graph)
    with pytest.raises(ModelLoadError, match=r"pets.onnx does not name its labels"):
        find_model(str(tmp_path / "pets.onnx"))


@pytest.mark.parametrize("name", ["yolov9", "", "no/such/folder", "../weights/x.onnx"])
def test_an_unknown_model_is_answered_with_the_known(name: str) -> None:
    with pytest.raises(UnknownModelError, match="give one of yolov4-tiny, yolo-fast"):
        find_model(name)


def test_a_folder_that_lacks_a_file_says_which(tmp_path: Path) -> None:
    folder = write_one_box_model(tmp_path / "pets")
    (folder / "obj.weights").unlink()
    with pytest.raises(ModelLoadError, match=r"pets has no obj.weights; it needs"):
        find_model(str(folder))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"cat\r\ntraffic light\r\n\r\n", id="CRLF and blank lines"),
        pytest.param(b"\xef\xbb\xbfcat\ntraffic light", id="byte order mark"),
        pytest.param(b" cat \n\ttraffic light\n", id="blanks around"),
    ],
)
def test_names_as_people_write_them(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "obj.names"
    path.write_bytes(content)
    assert read_names(path) == ("cat", "traffic light")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"cat\n\ndog\n", "no label on line 2", id="a gap"),
        pytest.param(b"\xff\xfec\x00", "save it as UTF-8 text", id="UTF-16"),
        pytest.param(b"cat\n" * 300_000, "too big", id="huge"),
    ],
)
def test_names_that_cannot_be_used(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "obj.names"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=message):
        read_names(path)
