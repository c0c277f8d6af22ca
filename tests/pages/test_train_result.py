"""Result of a training run: label the rest, also after renaming the model."""

from dataclasses import replace

import pytest
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df

from imagebase.annotation import Annotation, Box
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.candidates import unpack
from imagebase.detection.factory import ACCURATE, ModelConfig, configured_detector
from imagebase.detection.library import library_of
from imagebase.detection.selection_rule import SelectionRule, by_doubt, select_all
from imagebase.editing.records import approve, reject
from imagebase.jobs.handlers import HANDLERS
from imagebase.jobs.inference import candidates_key
from imagebase.jobs.runner import Handler
from imagebase.settings import TEAM_OWNER
from imagebase.store import JobState
from imagebase.ui import services
from tests.app_fixtures import (
    NewTab,
    Tab,
    add_photographs,
    ended,
    records,
    store,
    the_scope,
    undrawn,
)
from tests.pages.trained import add_model, add_round

# Not in the order of doubt.
PICTURES = ("bear.jpg", "kitchen.jpg", "skier.jpg", "street.jpg")
LABEL_REST = "train.label_rest"


@pytest.fixture
def trained(new_tab: NewTab, monkeypatch: pytest.MonkeyPatch) -> Tab:
    """A tab whose dataset has photographs that nobody labelled, and a training.

    One that is started here ends at once: what is asked for counts.
    """
    nothing: dict[str, Handler] = {"train": lambda context: {}}
    monkeypatch.setattr(services, "HANDLERS", {**HANDLERS, **nothing})
    store().create_dataset(TEAM_OWNER, "Photographs", who="ann")
    add_photographs(the_scope(), *PICTURES)
    add_model("Own")
    add_round("Own")
    return undrawn(new_tab)


def shown(tab: Tab) -> list[str]:
    """Return the images of the Annotate page, in order."""
    keys = [str(button.key) for button in tab.app.button]
    return [key.split(".")[-1] for key in keys if key.startswith("annotate.grid.")]


def approve_a_box() -> None:
    box = Annotation(Box(10, 10, 90, 90), "bear")
    first = replace(records()[0], annotations=(box,))
    store().save(the_scope(), approve(first, who="ann"))


def chart_marks(tab: Tab) -> list[tuple[str, float]]:
    """Return the model and the AP50 of each mark of the chart of the rounds."""
    (chart,) = tab.app.get("vega_lite_chart")
    (rows,) = (dataset.data.data for dataset in chart.proto.datasets)
    frame = convert_arrow_bytes_to_pandas_df(rows)
    return list(zip(frame["model"], frame["AP50"], strict=True))


def runs() -> int:
    return sum(job.kind == "annotate" for job in store().jobs(the_scope()))


def most_doubtful_first(setup: ModelConfig) -> list[str]:
    """Return the images by the least certain box that a model's answers come to."""
    looker = configured_detector(setup)
    packed = store().candidates(the_scope(), candidates_key(looker))
    pool = CandidatePool.of({key: unpack(blob) for key, blob in packed.items()})
    rule = SelectionRule(confidence_threshold=0.25, nms_threshold=0.45)
    return by_doubt(select_all(pool, rule, model_labels=looker.labels))


def test_the_rest_is_shown_with_the_models_settings_most_doubtful_first(
    trained: Tab,
) -> None:
    trained.open("annotate")
    trained.app.toggle(key="annotate.accurate").set_value(True).run()
    trained.app.selectbox(key="annotate.images.True").select("open")
    trained.app.session_state["annotate.order"] = "As uploaded"
    trained.app.session_state["annotate.labels"] = ["bear"]
    trained.app.run()
    trained.open("train")
    trained.press(LABEL_REST)
    assert trained.app.title[0].value == "Annotate"
    assert trained.app.selectbox(key="annotate.model").value == "Own"
    job = trained.wait("annotate")
    assert job.state is JobState.DONE, job.error
    assert (job.parameters["model"], job.parameters["quality"]) == ("Own", ACCURATE)
    trained.open("annotate")  # where a browser is already
    assert trained.app.selectbox(key="annotate.model").value == "Own"
    assert trained.app.selectbox(key="annotate.images.True").value == "new"
    wanted = most_doubtful_first(ModelConfig.of(job.parameters))
    assert shown(trained) == wanted
    assert wanted != [record.image_id for record in records()]


def test_second_click_opens_the_running_run(trained: Tab) -> None:
    trained.open("train")
    parameters = ModelConfig(("Own",)).parameters() | {"statuses": ["new"]}
    store().submit_job(the_scope(), "annotate", parameters)
    trained.press(LABEL_REST)
    assert trained.app.title[0].value == "Annotate"
    assert runs() == 1


def test_a_run_of_another_model_is_waited_for(trained: Tab) -> None:
    trained.open("train")
    store().submit_job(
        the_scope(), "annotate", {"model": "yolov4-tiny", "statuses": []}
    )
    trained.press(LABEL_REST)
    assert "wait for it or cancel it" in trained.toasts()[0]
    assert trained.app.title[0].value == "Train"
    assert runs() == 1


def test_a_renamed_model_labels_the_rest_under_its_new_name(trained: Tab) -> None:
    library_of(TEAM_OWNER).rename("Own", "Better")
    trained.open("train")
    assert ":material/check_circle: Better" in trained.words()
    trained.press(LABEL_REST)
    assert trained.wait("annotate").parameters["model"] == "Better"


def test_a_deleted_model_labels_nothing_and_a_caption_says_so(trained: Tab) -> None:
    library_of(TEAM_OWNER).delete("Own")
    trained.open("train")
    assert "This model was deleted" in trained.words()
    assert trained.app.button(key=LABEL_REST).disabled


def test_rejected_images_are_left_to_label(trained: Tab) -> None:
    first, *others = records()
    for record in others:
        store().save(the_scope(), reject(record, comment="blurred"))
    store().save(the_scope(), approve(first, who="ann"))
    trained.open("train")
    assert "3 images left to label" in trained.words()
    assert not trained.app.button(key=LABEL_REST).disabled


def test_training_again_begins_from_the_last_model_under_any_name(
    trained: Tab,
) -> None:
    approve_a_box()
    library_of(TEAM_OWNER).rename("Own", "Better")
    trained.open("train")
    assert trained.app.selectbox(key="train.base.Better").value == "Better"


def test_text_typed_with_the_click_is_used(trained: Tab) -> None:
    approve_a_box()
    trained.open("train")
    dataset_id = the_scope().dataset_id
    # Neither is drawn again before the press comes.
    trained.app.text_input(key=f"train.name.{dataset_id}").set_value(" Beasts ")
    trained.app.checkbox(key="train.flip").set_value(False)
    trained.press("train.start")
    (job, *_) = store().jobs(the_scope())
    assert (job.parameters["name"], job.parameters["flip"]) == ("Beasts", False)
    assert (job.parameters["base"], job.parameters["minutes"]) == ("Own", 3)
    ended(the_scope(), "train")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("  ", "Give the model a name"), ("cats & dogs", "cannot be called")],
)
def test_an_invalid_name_is_reported_at_the_click(
    trained: Tab, name: str, sentence: str
) -> None:
    approve_a_box()
    trained.open("train")
    before = len(store().jobs(the_scope()))
    dataset_id = the_scope().dataset_id
    trained.app.text_input(key=f"train.name.{dataset_id}").set_value(name)
    trained.press("train.start")
    assert sentence in trained.toasts()[0]
    assert len(store().jobs(the_scope())) == before


def test_rounds_compare_with_the_model_before_on_the_same_images(trained: Tab) -> None:
    trained.open("train")
    assert "AP50 by training run" not in trained.words()
    add_model("Own 2")
    add_round("Own 2", ap50=0.6, base="Own", base_ap50=0.4, images=20)
    add_round("Own 3", ap50=0.65, base="Second", base_ap50=0.55, images=40)
    library_of(TEAM_OWNER).rename("Own 2", "Second")
    trained.open("train")
    assert "compare the two marks of one run" in trained.words()
    after = [("Own", 0.5), ("Own 2", 0.6), ("Own 3", 0.65)]
    before = [("Own", 0.4), ("Second", 0.55)]
    assert chart_marks(trained) == [after[0], before[0], after[1], before[1], after[2]]


def test_rounds_that_began_elsewhere_stand_alone(trained: Tab) -> None:
    add_round("Own 2", ap50=0.6, base="yolov4-tiny", base_ap50=0.1)
    trained.open("train")
    assert "compare only roughly" in trained.words()
    assert chart_marks(trained) == [("Own", 0.5), ("Own 2", 0.6)]


def test_the_bundle_is_offered_when_it_is_built(trained: Tab) -> None:
    approve_a_box()
    trained.open("train")
    trained.press("train.bundle.build")
    job = trained.wait("bundle")
    assert job.state is JobState.DONE, job.error
    trained.open("train")
    labels = trained.downloads()
    assert any(label.startswith("Download training bundle · ") for label in labels)
    assert "train.bundle.build" not in [button.key for button in trained.app.button]


@pytest.mark.parametrize(
    ("before", "said"), [(0.4, "+0.100"), (0.5001, "unchanged"), (None, "")]
)
def test_the_change_against_the_base_is_shown(
    trained: Tab, before: float | None, said: str
) -> None:
    add_round("Own 2", ap50=0.5, base="Own", base_ap50=before)
    trained.open("train")
    assert trained.app.metric[0].delta == said


@pytest.fixture
def worse(trained: Tab) -> Tab:
    """A tab on Train after a second training whose model is worse than the first."""
    approve_a_box()
    add_model("Own 2")
    add_round(
        "Own 2", ap50=0.075, base="Own", base_ap50=0.694, boxes={"cat": 3, "dog": 40}
    )
    trained.open("train")
    return trained


def test_a_worse_model_is_reported_with_amount_and_reason(worse: Tab) -> None:
    said = worse.words()
    assert ":material/warning: Own 2 is worse than Own" in said
    assert "from **0.694** to **0.075**" in said
    assert "cat \\(3\\)" in said
    assert "dog" not in said.split("is worse than")[1].split("Approve")[0]
    assert ":material/check_circle" not in said


def test_a_worse_model_labels_nothing_unless_one_insists(worse: Tab) -> None:
    assert worse.app.button(key=LABEL_REST).proto.type == "secondary"
    assert worse.app.selectbox(key="train.base.Own").value == "Own"
    worse.open("annotate")
    assert worse.app.selectbox(key="annotate.model").value == "yolov4-tiny"


def test_more_minutes_are_offered_after_a_worse_model(worse: Tab) -> None:
    assert worse.app.button(key="train.longer").label == "Train for 2 minutes"
    worse.press("train.longer")
    (job, *_) = store().jobs(the_scope())
    assert (job.parameters["base"], job.parameters["minutes"]) == ("Own", 2)
    ended(the_scope(), "train")


def test_model_that_finds_almost_nothing_is_no_success(trained: Tab) -> None:
    add_round("Own 2", ap50=0.02)
    trained.open("train")
    assert "Own 2 detects almost nothing" in trained.words()
    assert trained.app.button(key=LABEL_REST).proto.type == "secondary"


def test_annotate_chooses_the_model_whose_boxes_were_saved(trained: Tab) -> None:
    parameters = ModelConfig(("Own",)).parameters() | {"statuses": []}
    store().submit_job(the_scope(), "keep", parameters)
    claimed = store().claim_job("a test", ["keep"])
    assert claimed is not None
    store().end_job(claimed.claim_id, JobState.DONE, result={})
    trained.open("annotate")
    assert trained.app.selectbox(key="annotate.model").value == "Own"
