"""The Models page: uploads, validation, cards."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Annotation
from imagebase.detection.library import library_of
from imagebase.settings import TEAM_OWNER
from imagebase.store import JobState
from imagebase.store.taught_models import TaughtRow
from imagebase.ui import services
from tests.app_fixtures import Configure, NewTab, Tab, records, store, the_scope
from tests.detection.onnx.onnx_builder import GraphBuilder, bright_or_dark
from tests.detection.onnx.onnx_graphs import speaking_model, yolox_output
from tests.detection.onnx.onnx_layouts import NAMES, yolov6
from tests.detection.taught.test_taught_file import some_model
from tests.detection.validation.test_broken_uploads import V8, darknet
from tests.detection.validation.test_questions import open_model


@pytest.fixture
def page(filled: Tab) -> Tab:
    filled.open("models")
    return filled


def test_every_model_can_be_downloaded(page: Tab) -> None:
    assert page.downloads() == ["Download"] * 4


def drop(tab: Tab, *files: tuple[str, bytes]) -> None:
    dropped = [(name, data, "application/octet-stream") for name, data in files]
    tab.app.file_uploader[0].set_value(dropped)
    tab.app.run()


def keep(tab: Tab, name: str) -> None:
    tab.app.text_input(key="models.new.name").set_value(name)
    tab.press("models.keep")


def names() -> list[str]:
    return library_of(TEAM_OWNER).names()


def test_cards_of_the_models_that_came_along(page: Tab) -> None:
    words = page.words()
    for name in ("yolov4\\-tiny", "yolo\\-fastest\\-1\\.1", "yolox\\-nano"):
        assert f"**{name}**" in words
    assert "Darknet · 416 × 416 px · 24 MB" in words
    assert "AP .268 · AP50 .482" in words


def test_dropped_model_is_examined_tried_and_kept(page: Tab) -> None:
    drop(page, *darknet())
    assert "21,511 numbers, as the cfg needs" in page.words().replace("\\", "")
    assert "1 box above 25 % confidence" in page.words()
    assert not names()
    keep(page, "Pets")
    assert names() == ["Pets"]
    assert "**Pets** was added." in page.words()
    page.open("annotate")
    assert "Pets" in page.app.selectbox(key="annotate.model").options[-1]


def test_a_taught_model_is_dropped_and_kept(page: Tab) -> None:
    drop(page, ("pets.npz", some_model(("cat", "dog")).to_bytes()))
    assert "Taught by examples" in page.words()
    keep(page, "Pets")
    assert names() == ["Pets"]
    assert "2 labels: cat, dog" in page.words()
    assert page.downloads() == ["Download"] * 5


def taught() -> None:
    """Teach the current dataset's model two labels, by nothing but its file."""
    content = some_model(("cat", "dog")).to_bytes()
    row = TaughtRow(
        labels=("cat", "dog"),
        examples=(),
        image_count=5,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        who="ann",
        taught_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    store().put_taught_row(the_scope(), row)


def test_the_model_of_a_dataset_has_a_card_and_can_be_copied(page: Tab) -> None:
    taught()
    page.app.run()
    words = page.words().replace("\\", "")
    assert "**cat and dog, 5 images**" in words
    assert "Taught by examples · 416 × 416 px" in words
    (name,) = names()
    page.press(f"models.copy.{name}")
    page.app.text_input(key="models.copy.name").set_value("Pets")
    page.press("models.copy.keep")
    assert names() == ["Pets", name]
    page.app.run()
    page.press(f"models.delete.{name}")
    page.press("models.really_delete")
    assert names() == ["Pets"]
    assert store().taught_row(the_scope()) is None


def test_the_model_of_a_dataset_is_offered_by_what_it_was_taught(page: Tab) -> None:
    taught()
    page.open("annotate")
    assert "cat and dog, 5 images" in page.app.selectbox(key="annotate.model").options
    page.open("evaluate")
    (name,) = names()
    assert name in page.app.multiselect(key="evaluate.models").options


def test_bad_model_is_refused_with_its_sentence(page: Tab) -> None:
    drop(page, *darknet(names=b"cat\n"))
    assert "names 1 label and the model knows 2" in page.words()
    assert "No model was added." in page.words()
    assert not page.app.text_input(key="models.new.name") if False else True
    assert not names()


def test_name_that_is_taken_is_told(page: Tab) -> None:
    drop(page, ("pets.onnx", V8))
    keep(page, "yolox-nano")
    assert "There is a model yolox-nano already" in page.app.error[0].value.replace(
        "\\", ""
    )
    assert not names()


def test_ambiguous_model_is_read_as_a_person_says(page: Tab) -> None:
    data = speaking_model(yolox_output(decoded=True))
    drop(page, ("m.onnx", data), ("m.names", b"cat\ndog\n"))
    page.app.selectbox(key="models.family").select("yolox-decoded").run()
    keep(page, "decoded")
    card = library_of(TEAM_OWNER).card("decoded")
    assert (card.family, card.asked) == ("yolox-decoded", True)


def test_open_size_is_asked_for_and_the_model_tried_and_kept(page: Tab) -> None:
    drop(page, ("m.onnx", open_model()), ("m.names", NAMES.encode()))
    assert "say the side of the images it was trained with" in page.words()
    page.app.number_input(key="models.input_size").set_value(320)
    page.app.run()
    assert "YOLOv8, 11 or 12, 320 × 320 pixels, 5 classes" in page.words()
    assert "1 box in kitchen" in page.words()
    keep(page, "Any size")
    assert library_of(TEAM_OWNER).card("Any size").input_size == (320, 320)


def test_numbers_of_another_family_are_read_as_that(page: Tab) -> None:
    content = yolov6(8, 16, 32).replace(b"outputs", b"outout_")
    drop(page, ("m.onnx", content), ("m.names", NAMES.encode()))
    assert "YOLOv6, 320 × 256 pixels" in page.words()
    assert "Its outputs match YOLOv6, so it is read as that" in page.words()
    assert "1 box in kitchen" in page.words()
    page.app.selectbox(key="models.family").set_value("yolox").run()
    assert "its fifth column is 1 throughout" in page.words()
    assert "No model was added." in page.words()
    page.app.selectbox(key="models.family").set_value("yolov6").run()
    assert "1 box in kitchen" in page.words()
    keep(page, "six")
    assert library_of(TEAM_OWNER).card("six").family == "yolov6"


def test_no_check_mark_without_boxes(page: Tab) -> None:
    empty = np.zeros((1, 9, 1680), np.float32)
    content = GraphBuilder((1, 3, 256, 320)).output("output0", empty).model()
    drop(page, ("m.onnx", content), ("m.names", NAMES.encode()))
    (line,) = (word for word in page.words().splitlines() if "0 boxes in" in word)
    assert ":material/warning:" in line


def test_model_is_renamed_and_described(page: Tab) -> None:
    drop(page, *darknet())
    keep(page, "Pets")
    page.press("models.change.Pets")
    page.app.text_input(key="models.own.name").set_value("Beasts")
    page.app.text_input(key="models.own.source").set_value("our own photographs")
    page.press("models.save")
    assert names() == ["Beasts"]
    assert library_of(TEAM_OWNER).card("Beasts").source == "our own photographs"


def test_model_is_deleted_but_not_while_it_is_at_work(page: Tab) -> None:
    drop(page, *darknet())
    keep(page, "Pets")
    job_id = store().submit_job(
        the_scope(), "annotate", {"model": "Pets", "statuses": []}
    )
    page.press("models.delete.Pets")
    page.press("models.really_delete")
    assert "is at work now" in page.toasts()[0]
    assert names() == ["Pets"]
    store().cancel_job(the_scope(), job_id)
    page.app.run()
    page.press("models.delete.Pets")
    page.press("models.really_delete")
    assert not names()


@pytest.mark.parametrize("spec", ["Pets+accurate", "yolov4-tiny&Pets@416"])
def test_model_is_not_deleted_while_it_is_evaluated(page: Tab, spec: str) -> None:
    drop(page, *darknet())
    keep(page, "Pets")
    store().submit_job(the_scope(), "evaluate", {"models": ["yolox-nano", spec]})
    page.press("models.delete.Pets")
    page.press("models.really_delete")
    assert "is at work now" in page.toasts()[0]
    assert names() == ["Pets"]


def test_model_is_tried_on_the_sample(page: Tab) -> None:
    page.press("models.try.yolov4-tiny")
    assert "above 25 % confidence" in page.words()


def test_visitors_of_a_demo_do_not_see_each_others_models(
    configure: Configure, new_tab: NewTab, cookies: dict[str, str], two_samples: None
) -> None:
    configure(MODE="demo")
    mine = new_tab()
    mine.app.run()
    mine.open("models")
    drop(mine, *darknet())
    keep(mine, "Mine")
    assert "**Mine**" in mine.words()
    cookies.clear()
    other = new_tab()
    other.app.run()
    other.open("models")
    assert "**yolov4\\-tiny**" in other.words()
    assert "Mine" not in other.words()
    assert not names()


def test_models_of_a_visitor_go_when_the_visit_is_over(
    configure: Configure, new_tab: NewTab, two_samples: None, tmp_path: Path
) -> None:
    configure(MODE="demo")
    mine = new_tab()
    mine.app.run()
    mine.open("models")
    drop(mine, *darknet())
    keep(mine, "Mine")
    visitors = tmp_path / "home" / "visitors"
    (owner,) = visitors.iterdir()
    store().delete_owner(owner.name)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    store().ensure_owner(owner.name, expires_at=long_ago)
    services.sweep()
    assert not owner.exists()


def annotate_with(tab: Tab, name: str) -> None:
    """Choose a model on the Annotate page, run it and keep its boxes."""
    tab.open("annotate")
    tab.app.selectbox(key="annotate.model").select(name).run()
    run_and_keep(tab)


def run_and_keep(tab: Tab) -> None:
    tab.press("annotate.run")
    assert tab.wait("annotate").state is JobState.DONE
    tab.press("annotate.keep")
    assert tab.wait("keep").state is JobState.DONE


def boxes() -> list[Annotation]:
    return [box for record in records() for box in record.annotations]


def test_added_model_annotates_and_its_boxes_are_kept(page: Tab) -> None:
    drop(page, *darknet())
    keep(page, "Pets")
    annotate_with(page, "Pets")
    assert [box.label for box in boxes()] == ["dog", "dog"]
    assert all((box.model_id or "").startswith("Pets-") for box in boxes())


def test_label_under_a_synonym_gets_the_name_that_the_dataset_has(page: Tab) -> None:
    store().add_labels(the_scope(), ["airplane"])
    drop(page, *darknet(names=b"cat\naeroplane\n"))
    keep(page, "Planes")
    annotate_with(page, "Planes")
    assert [box.label for box in boxes()] == ["airplane", "airplane"]


def test_models_vote_accurately_and_each_box_says_who_saw_it(page: Tab) -> None:
    for name in ("One", "Two"):
        drop(page, *darknet())
        keep(page, name)
    page.open("annotate")
    page.app.selectbox(key="annotate.model").select("One").run()
    page.app.multiselect(key="annotate.vote.One").select("Two").run()
    page.app.toggle(key="annotate.accurate").set_value(True).run()
    assert "Plus the same for Two" in page.words()
    run_and_keep(page)
    assert boxes()
    assert {box.changed_by for box in boxes()} == {"One + Two"}


def test_run_takes_what_is_chosen_when_it_is_pressed(page: Tab) -> None:
    drop(page, *darknet())
    keep(page, "Pets")
    page.open("annotate")
    page.app.selectbox(key="annotate.model").select("Pets")
    page.press("annotate.run")  # in the same run of the page
    job = page.wait("annotate")
    assert job.parameters["model"] == "Pets"


def test_classifier_is_brought_and_deleted(page: Tab) -> None:
    drop(page, ("light.onnx", bright_or_dark()))
    words = page.words().replace("\\", "")
    assert "light.onnx: Classifier, 32 × 32 pixels, 2 classes." in words
    assert "light.onnx names its 2 labels itself." in words
    assert "kitchen.jpg: dark" in words
    keep(page, "Light")
    assert names() == ["Light"]
    words = page.words()
    assert "**Light** was added." in words
    assert "Classifier · 32 × 32 px" in words
    assert page.downloads() == ["Download"] * 5
    page.press("models.try.Light")
    assert "dark" in page.words()
    page.open("annotate")
    assert "Light" not in "".join(page.app.selectbox(key="annotate.model").options)
    page.open("models")
    page.press("models.delete.Light")
    assert "Its tags are kept" in page.words()
    page.press("models.really_delete")
    assert not names()


@pytest.mark.parametrize("is_last", [True, False])
def test_classifier_that_was_cancelled_is_run_again_by_a_click(
    is_last: bool, page: Tab
) -> None:
    drop(page, ("light.onnx", bright_or_dark()))
    keep(page, "Light")
    job_id = store().submit_job(the_scope(), "classify", {"model": "Light"})
    store().cancel_job(the_scope(), job_id)
    if not is_last:  # someone else has run another one since
        other = store().submit_job(the_scope(), "classify", {"model": "Other"})
        store().cancel_job(the_scope(), other)
        place = f"imagebase.tags.source.{the_scope().dataset_id}"
        page.app.session_state[place] = "Light"
    page.open("review")
    page.app.main.button_group[0].set_value("Tags").run()
    assert not page.app.exception
    assert "Tags are proposed by Light." in page.words()
    page.press("tags.run")
    assert page.wait("classify").state is JobState.DONE
    page.app.run()
    assert "Take for all" in str([button.label for button in page.app.button])
