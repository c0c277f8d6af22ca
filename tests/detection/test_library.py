import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.detector import load_single
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.detection.library import (
    ModelLibrary,
    all_models,
    bundled_models,
    delete_models,
    find_model,
    fitting_name,
    library_of,
    model_zip,
    registered_model,
)
from imagebase.detection.model_card import CARD_FILE, ModelCard, Score
from imagebase.detection.model_files import model_in_file, model_in_folder, read_names
from imagebase.detection.validation import validate_files, validate_upload
from imagebase.errors import ModelLoadError, UnknownModelError
from imagebase.settings import DEFAULT_MODEL, TEAM_OWNER, Limits, settings
from tests.detection.darknet.darknet_models import (
    ONE_BOX_CFG,
    one_box_weights,
    write_one_box_model,
)
from tests.detection.validation.test_broken_uploads import darknet

VISITOR, OTHER = "a" * 64, "b" * 64


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture
def library() -> ModelLibrary:
    return library_of(TEAM_OWNER)


def card(name: str = "pets") -> ModelCard:
    return ModelCard(
        name=name,
        identity=name,
        family="darknet",
        input_size=Size(32, 32),
        labels=("cat", "dog"),
        sha256="0" * 64,
        byte_count=1234,
        added_by="ann",
        added_at=datetime(2026, 1, 2, tzinfo=UTC),
        source="our own",
        licence="MIT\nwith a second line",
        milliseconds=1.5,
    )


def add(library: ModelLibrary, tmp_path: Path, name: str = "pets") -> None:
    folder = write_one_box_model(tmp_path / "upload")
    library.add({path.name: path for path in folder.iterdir()}, card(name))


def test_added_model_is_found_by_its_name_after_those_that_came_along(
    library: ModelLibrary, home: Path, tmp_path: Path
) -> None:
    add(library, tmp_path)
    assert (home / "models" / "pets" / "obj.weights").is_file()
    model = find_model("pets")
    assert (model.labels, model.title) == (("cat", "dog"), "pets, 2 labels")
    assert model.origin == "our own"
    assert [model.name for model in all_models()][-1] == "pets"
    assert load_single(model).model_id.startswith("pets-")


def test_card_is_kept_as_it_was_given(library: ModelLibrary, tmp_path: Path) -> None:
    add(library, tmp_path)
    assert library.card("pets") == card()


def test_nobody_sees_the_models_of_another_visitor(tmp_path: Path) -> None:
    add(library_of(VISITOR), tmp_path, "mine")
    assert find_model("mine", owner_id=VISITOR).name == "mine"
    for owner_id in (OTHER, TEAM_OWNER):
        assert "mine" not in [model.name for model in all_models(owner_id)]
        with pytest.raises(UnknownModelError):
            find_model("mine", owner_id=owner_id)


def test_models_of_a_visitor_go_with_the_visitor(tmp_path: Path) -> None:
    for owner_id in (VISITOR, OTHER, TEAM_OWNER):
        add(library_of(owner_id), tmp_path)
    delete_models(VISITOR)
    delete_models(TEAM_OWNER)
    assert not library_of(VISITOR).names()
    assert library_of(OTHER).names() == ["pets"]
    assert library_of(TEAM_OWNER).names() == ["pets"]


@pytest.mark.parametrize("owner_id", ["", "..", "a/b", "../team", "a.b"])
def test_owner_that_would_lead_elsewhere_is_refused(owner_id: str) -> None:
    with pytest.raises(ValueError, match="cannot be an owner"):
        library_of(owner_id)


def test_renamed_model_keeps_its_boxes_and_its_old_name_leads_to_it(
    library: ModelLibrary, tmp_path: Path
) -> None:
    add(library, tmp_path)
    before = load_single(find_model("pets")).model_id
    library.rename("pets", "Cats and dogs")
    assert library.names() == ["Cats and dogs"]
    for name in ("Cats and dogs", "pets"):
        assert find_model(name).name == "Cats and dogs"
        assert load_single(find_model(name)).model_id == before


def test_model_gets_its_first_name_back(library: ModelLibrary, tmp_path: Path) -> None:
    add(library, tmp_path)
    library.rename("pets", "beasts")
    library.rename("beasts", "pets")
    assert library.card("pets").former_names == ("beasts",)


def test_name_may_change_in_capitals_only(
    library: ModelLibrary, tmp_path: Path
) -> None:
    add(library, tmp_path)
    assert library.rename("pets", "Pets").name == "Pets"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "1 to 60 letters"),
        ("x" * 61, "1 to 60 letters"),
        ("../pets", "cannot be called"),
        ("a\\b", "cannot be called"),
        (".hidden", "cannot be called"),
        ("pets@416", "cannot be called"),
        ("cats & dogs", "no @, & or +"),
        ("pets+accurate", "no @, & or +"),
        ("YOLOv4-Tiny", "already"),
        ("PETS", "already"),
    ],
)
def test_name_that_cannot_be_used(
    name: str, message: str, library: ModelLibrary, tmp_path: Path
) -> None:
    add(library, tmp_path)
    with pytest.raises(ModelLoadError, match=message):
        add(library, tmp_path, name)
    assert library.names() == ["pets"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Cats & dogs model", "Cats - dogs model"),
        (" ..a/b@416+c\x07", "a-b-416-c"),
        ("x" * 59 + ". model", "x" * 59),
    ],
)
def test_any_text_is_made_a_name(text: str, name: str, library: ModelLibrary) -> None:
    assert library.check_name(fitting_name(text)) == name


def test_description_source_and_licence_are_written_down(
    library: ModelLibrary, tmp_path: Path
) -> None:
    add(library, tmp_path)
    library.describe("pets", description=" two ", source="us", licence="CC0")
    kept = library.card("pets")
    assert (kept.description, kept.source, kept.licence) == ("two", "us", "CC0")


def test_score_is_written_down(library: ModelLibrary, tmp_path: Path) -> None:
    add(library, tmp_path)
    library.put_score("pets", Score(0.5, 0.75, "128 photographs"))
    assert library.card("pets").score == Score(0.5, 0.75, "128 photographs")


def test_deleted_model_is_gone(
    library: ModelLibrary, home: Path, tmp_path: Path
) -> None:
    add(library, tmp_path)
    library.delete("pets", in_use=["yolov4-tiny"])
    assert not list((home / "models").iterdir())
    with pytest.raises(UnknownModelError):
        library.delete("pets")


def test_model_at_work_is_not_deleted_under_any_of_its_names(
    library: ModelLibrary, tmp_path: Path
) -> None:
    add(library, tmp_path)
    library.rename("pets", "beasts")
    for name in ("pets", "beasts"):
        with pytest.raises(ModelLoadError, match="is at work now"):
            library.delete("beasts", in_use=[name])
    assert library.names() == ["beasts"]


def test_damaged_card_hides_one_model_only(
    library: ModelLibrary, tmp_path: Path
) -> None:
    add(library, tmp_path)
    add(library, tmp_path, "other")
    (library.folder / "pets" / CARD_FILE).write_text("{")
    assert [model.name for model in library.models()] == ["other"]
    with pytest.raises(ModelLoadError, match="card of this model is damaged"):
        library.card("pets")
    library.delete("pets")


def test_half_copied_model_is_no_model(library: ModelLibrary, tmp_path: Path) -> None:
    add(library, tmp_path)
    missing = {"obj.cfg": tmp_path / "there is none"}
    with pytest.raises(ModelLoadError, match="could not be kept"):
        library.add(missing, replace(card(), name="broken"))
    assert [path.name for path in library.folder.iterdir()] == ["pets"]


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
    assert all(files[name] == (folder / name).read_bytes() for name in three)
    onnx = tmp_path / "obj.onnx"
    onnx.write_bytes(files["obj.onnx"])
    rgb = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    ours, other = (
        load_single(form).candidates(rgb, size=Size(96, 64), floor=0.0)
        for form in (model, model_in_file(onnx, name="pets"))
    )
    np.testing.assert_allclose(ours.xyxy, other.xyxy)


def test_an_onnx_model_is_packed_with_its_names_and_licence() -> None:
    files = unpacked(model_zip(find_model("yolox-nano")))
    assert set(files) == {"model.onnx", "obj.names", "LICENCE.txt"}
    assert files["obj.names"].decode().splitlines()[:2] == ["person", "bicycle"]


def test_what_was_packed_comes_back_in(folder: Path) -> None:
    data = model_zip(model_in_folder(folder))
    for uploads in ([("pets.zip", data)], list(unpacked(data).items())):
        diagnosis = validate_upload(uploads, limits=Limits())
        assert diagnosis.is_usable, diagnosis.findings
        assert diagnosis.draft is not None
        assert diagnosis.draft.model.is_darknet


def test_the_folder_that_a_training_leaves_can_be_added(folder: Path) -> None:
    files = unpacked(model_zip(model_in_folder(folder)))
    (folder / "obj.onnx").write_bytes(files["obj.onnx"])
    assert validate_files([folder], limits=Limits()).is_usable


def test_an_onnx_file_alone_is_no_copy(folder: Path) -> None:
    files = unpacked(model_zip(model_in_folder(folder)))
    alone = [("obj.onnx", files["obj.onnx"]), ("obj.names", files["obj.names"])]
    diagnosis = validate_upload(alone, limits=Limits())
    assert diagnosis.draft is not None
    assert not diagnosis.draft.model.is_darknet


def test_name_from_a_browser_is_no_path(tmp_path: Path) -> None:
    there = str(write_one_box_model(tmp_path / "pets"))
    said = []
    for path in (there, str(tmp_path / "nowhere"), "/etc"):
        with pytest.raises(UnknownModelError) as error:
            registered_model(path, owner_id="team")
        said.append(str(error.value).replace(path[:60], ""))
    assert len(set(said)) == 1  # the same, whatever is there
    assert registered_model("yolox-nano", owner_id="team").name == "yolox-nano"
    with pytest.raises(UnknownModelError):
        configured_detector(ModelConfig(("yolov4-tiny", there)))
