from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imagebase.annotation import Size
from imagebase.detection.detector import load_model
from imagebase.detection.library import (
    ModelLibrary,
    delete_models,
    fitting_name,
    library_of,
)
from imagebase.detection.model_card import CARD_FILE, ModelCard, Score
from imagebase.detection.model_registry import all_models, find_model
from imagebase.errors import ModelLoadError, UnknownModelError
from imagebase.settings import TEAM_OWNER, settings
from tests.detection.darknet.darknet_models import write_one_box_model

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
    library.add({one.name: one for one in folder.iterdir()}, card(name))


def test_added_model_is_found_by_its_name_after_those_that_came_along(
    library: ModelLibrary, home: Path, tmp_path: Path
) -> None:
    add(library, tmp_path)
    assert (home / "models" / "pets" / "obj.weights").is_file()
    model = find_model("pets")
    assert (model.labels, model.title) == (("cat", "dog"), "pets, 2 labels")
    assert model.origin == "our own"
    assert [one.name for one in all_models()][-1] == "pets"
    assert load_model(model).model_id.startswith("pets-")


def test_card_is_kept_as_it_was_given(library: ModelLibrary, tmp_path: Path) -> None:
    add(library, tmp_path)
    assert library.card("pets") == card()


def test_nobody_sees_the_models_of_another_visitor(tmp_path: Path) -> None:
    add(library_of(VISITOR), tmp_path, "mine")
    assert find_model("mine", owner_id=VISITOR).name == "mine"
    for owner_id in (OTHER, TEAM_OWNER):
        assert "mine" not in [one.name for one in all_models(owner_id)]
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
    before = load_model(find_model("pets")).model_id
    library.rename("pets", "Cats and dogs")
    assert library.names() == ["Cats and dogs"]
    for name in ("Cats and dogs", "pets"):
        assert find_model(name).name == "Cats and dogs"
        assert load_model(find_model(name)).model_id == before


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
        (" ..a/b@416+c\x07", "a-b-416-c-"),
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
    assert [one.name for one in library.models()] == ["other"]
    with pytest.raises(ModelLoadError, match="card of this model is damaged"):
        library.card("pets")
    library.delete("pets")


def test_half_copied_model_is_no_model(library: ModelLibrary, tmp_path: Path) -> None:
    add(library, tmp_path)
    missing = {"obj.cfg": tmp_path / "there is none"}
    with pytest.raises(ModelLoadError, match="could not be kept"):
        library.add(missing, replace(card(), name="broken"))
    assert [one.name for one in library.folder.iterdir()] == ["pets"]
