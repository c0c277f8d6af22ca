"""Evaluate: choosing, running, every view, and what may not be typed."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from streamlit.testing.v1.element_tree import TextInput

from imagebase.annotation import Annotation, Box, ReviewStatus
from imagebase.evaluation.detection_pass import DetectionPass
from imagebase.evaluation.storage import Run
from imagebase.jobs.evaluation import kept_runs
from imagebase.jobs.temporary_files import exports_folder
from imagebase.store import JobState
from tests.app_fixtures import Tab, begun_elsewhere, records, store, the_scope

QUICK = "yolo-fastest-1.1"
VIEWS = ("Compare", "Confusion", "Mistakes", "Label errors", "Better and worse")


def approve_all(*, label: str = "bottle") -> None:
    """Approve both photographs, one with a box, so that there is something to miss."""
    first, second = records()
    box = Annotation(Box(20, 20, 120, 140), label)
    store().add_labels(the_scope(), [label, "bear"])
    for record, boxes in ((first, (box,)), (second, ())):
        store().save(
            the_scope(),
            replace(record, annotations=boxes, status=ReviewStatus.APPROVED),
        )


@pytest.fixture
def approved(filled: Tab) -> Tab:
    """A tab on Evaluate whose two photographs are approved."""
    approve_all()
    filled.open("evaluate")
    return filled


def run(tab: Tab, *specs: str) -> JobState:
    tab.app.multiselect(key="evaluate.models").set_value(list(specs or (QUICK,))).run()
    tab.press("evaluate.run")
    return tab.wait("evaluate").state


@pytest.fixture
def judged(approved: Tab) -> Tab:
    """The same after a small model was judged."""
    assert run(approved) is JobState.DONE
    return approved


def show(tab: Tab, view: str) -> None:
    tab.app.session_state["evaluate.view"] = view
    tab.app.run()
    assert not tab.app.exception
    assert not tab.app.error


def test_without_approved_images_it_says_what_to_do(filled: Tab) -> None:
    filled.open("evaluate")
    assert "No reviewed images" in filled.words()
    assert filled.app.button(key="evaluate.run").disabled


def test_with_approved_images_it_asks_to_run(approved: Tab) -> None:
    assert "click **Run**" in approved.words()
    assert not approved.app.button(key="evaluate.run").disabled


def test_a_run_is_shown_as_it_comes(judged: Tab) -> None:
    table = judged.app.dataframe[0].value
    assert table["model"].tolist() == [QUICK]
    assert "Only 2 images" in judged.words()
    assert "1.0 clicks per image" in judged.words().replace("\\", "")


def test_every_view_draws_itself(judged: Tab) -> None:
    for view in VIEWS:
        show(judged, view)


def test_mistakes_lead_to_the_editor(judged: Tab) -> None:
    show(judged, "Mistakes")
    assert "missed\\: bottle" in judged.words()
    (key,) = [
        button.key
        for button in judged.app.button
        if button.key and button.key.startswith("evaluate.mistakes.")
    ]
    judged.press(key)
    assert judged.app.session_state["imagebase.image"] == records()[0].image_id


def test_labels_that_changed_since_are_spoken_of(judged: Tab) -> None:
    assert "changed since" not in judged.words()
    approve_all(label="cup")
    judged.app.run()
    assert "changed since" in judged.words()


def test_two_models_and_two_runs_are_compared(judged: Tab) -> None:
    show(judged, "Better and worse")
    assert "Nothing to compare yet" in judged.words()
    assert run(judged, QUICK, "yolox-nano") is JobState.DONE
    assert len(kept_runs(the_scope()).runs()) == 2
    show(judged, "Better and worse")
    assert "clicks per image" in judged.words()
    show(judged, "Compare")
    assert judged.app.dataframe[0].value["model"].tolist() == [QUICK, "yolox-nano"]


def test_of_two_runs_of_one_minute_the_newer_stays_on_screen(judged: Tab) -> None:
    runs = kept_runs(the_scope())
    (info,) = runs.runs()
    newer = replace(info, run_id="newer", made_at=info.made_at + timedelta.resolution)
    runs.save(newer, runs.load(info.run_id))
    judged.app.run()
    for view in ("Confusion", "Better and worse"):
        show(judged, view)
        assert judged.app.selectbox(key="evaluate.run_shown.newer").value == "newer"


def test_confidence_in_use_moves_what_is_counted(judged: Tab) -> None:
    before = judged.app.dataframe[0].value["recall"].tolist()
    judged.app.slider(key="evaluate.confidence").set_value(0.95).run()
    assert not judged.app.exception
    assert judged.app.dataframe[0].value["precision"].tolist() == ["–"]
    assert judged.app.dataframe[0].value["AP"].tolist()
    after = judged.app.dataframe[0].value["recall"].tolist()
    assert before == after == [".000 (.000–.000)"]


@pytest.mark.parametrize("spec", ["/etc", "../weights/a", "nobody", f"{QUICK}&/etc"])
def test_no_path_of_the_server_can_be_typed(approved: Tab, spec: str) -> None:
    approved.app.multiselect(key="evaluate.models").set_value([spec]).run()
    approved.press("evaluate.run")
    assert any("Unknown model" in toast for toast in approved.toasts())
    assert not [job for job in store().jobs(the_scope()) if job.kind == "evaluate"]


def test_a_net_size_that_cannot_be_is_a_sentence(approved: Tab) -> None:
    approved.app.multiselect(key="evaluate.models").set_value([f"{QUICK}@100"]).run()
    approved.press("evaluate.run")
    assert any("try 96" in toast for toast in approved.toasts())


def coco_results(*rows: tuple[str, int, float]) -> bytes:
    """Return a list of results: image, number of the label, confidence."""
    return json.dumps(
        [
            {"image_id": i, "category_id": n, "bbox": [20, 20, 100, 120], "score": s}
            for i, n, s in rows
        ]
    ).encode()


def drop_detections(tab: Tab, *files: tuple[str, bytes]) -> None:
    (field,) = (
        uploader
        for uploader in tab.app.file_uploader
        if uploader.key and uploader.key.startswith("evaluate.others.files")
    )
    field.set_value([(name, data, "application/json") for name, data in files])
    tab.app.run()
    assert not tab.app.exception


def name_field(tab: Tab) -> TextInput:
    (field,) = (
        field
        for field in tab.app.text_input
        if field.key and field.key.startswith("evaluate.others.name.")
    )
    return field


FOUND = coco_results(("kitchen.jpg", 1, 0.9), ("none.jpg", 1, 0.8))


def dropped_files() -> list[str]:
    return [path.name for path in exports_folder(the_scope()).glob("dropped-*")]


def test_another_programs_detections_are_judged_beside_a_model(approved: Tab) -> None:
    drop_detections(approved, ("theirs.json", FOUND))
    assert "1 box on 1 image · bottle · skipped, for example" in approved.words()
    assert name_field(approved).value == "theirs"
    assert len(dropped_files()) == 1
    name_field(approved).input("Other *lab*").run()
    assert run(approved) is JobState.DONE
    table = approved.app.dataframe[0].value
    assert table["model"].tolist() == [QUICK, "Other *lab*"]
    assert table["images/s"].tolist()[1] == "–"
    assert table["AP"].tolist()[1].startswith("1.000")
    assert "**Other \\*lab\\*** Entries that cannot be judged" in approved.words()
    # Kept for the run alone.
    assert not dropped_files()
    assert "Detections from another tool" in approved.popovers()
    for view in VIEWS:
        show(approved, view)


def test_detections_are_judged_without_a_model(approved: Tab) -> None:
    approved.app.multiselect(key="evaluate.models").set_value([]).run()
    assert approved.app.button(key="evaluate.run").disabled
    drop_detections(approved, ("theirs.json", FOUND))
    approved.press("evaluate.run")
    assert approved.wait("evaluate").state is JobState.DONE
    assert approved.app.dataframe[0].value["model"].tolist() == ["theirs"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("broken.json", b"[{", "broken.json cannot be read"),
        ("others.json", coco_results(("x.jpg", 1, 0.5)), "no image has the id 'x.jpg'"),
        ("notes.txt", b"hello", "No readable labels were found in notes.txt"),
        ("a.zip", b"PK", "a.zip"),
    ],
)
def test_detections_that_cannot_be_judged_are_a_sentence(
    approved: Tab, name: str, data: bytes, words: str
) -> None:
    drop_detections(approved, (name, data))
    (warning,) = approved.app.warning
    assert words in warning.value.replace("\\", "")
    assert not dropped_files()
    drop_detections(approved, ("theirs.json", FOUND))
    assert not approved.app.warning


def test_a_name_that_a_model_has_is_not_taken(approved: Tab) -> None:
    drop_detections(approved, (f"{QUICK}.json", FOUND))
    assert name_field(approved).value == f"{QUICK} 2"
    for name, words in ((QUICK, "already in use"), (" ", "a name")):
        name_field(approved).input(name).run()
        approved.press("evaluate.run")
        assert any(words in toast for toast in approved.toasts())
    assert not [job for job in store().jobs(the_scope()) if job.kind == "evaluate"]


def test_detections_can_be_dropped_again(approved: Tab) -> None:
    drop_detections(approved, ("theirs.json", FOUND))
    (key,) = (
        button.key
        for button in approved.app.button
        if button.key and button.key.startswith("evaluate.others.forget.")
    )
    approved.press(key)
    assert not dropped_files()
    assert "Detections from another tool" in approved.popovers()


def test_detections_stay_where_the_evaluation_is_refused(approved: Tab) -> None:
    drop_detections(approved, ("theirs.json", FOUND))
    begun_elsewhere("evaluate")
    approved.press("evaluate.run")
    assert "of this kind" in "".join(approved.toasts())
    assert name_field(approved).value == "theirs"


def test_names_are_shown_as_they_are(judged: Tab) -> None:
    """A model's name, and notes, are a stranger's text."""
    runs = kept_runs(the_scope())
    (info,) = runs.runs()
    kept = runs.load(info.run_id)
    evil = "a_b*c*[x](http://y)"
    passes: tuple[DetectionPass, ...] = tuple(
        replace(pass_, spec=evil) for pass_ in kept.passes
    )
    newer = replace(info, run_id="newer", specs=(evil, evil))
    runs.save(
        replace(newer, made_at=info.made_at.replace(year=info.made_at.year + 1)),
        Run(kept.truth, (*passes, *kept.passes), (evil,)),
    )
    judged.app.run()
    assert evil not in judged.words()
    assert "a\\_b\\*c\\*\\[x\\]" in judged.words()


def test_deleting_the_dataset_deletes_its_evaluations(judged: Tab) -> None:
    scope = the_scope()
    assert kept_runs(scope).runs()
    judged.app.checkbox(key="sidebar.sure").check().run()
    judged.press("sidebar.delete")
    assert not kept_runs(scope).runs()


def test_review_queues_what_the_newest_evaluation_doubts(approved: Tab) -> None:
    approved.open("review")
    approved.app.session_state["review.view"] = "Label errors"
    approved.app.run()
    assert "Run a model on **Evaluate** first" in approved.words()
    approved.open("evaluate")
    assert run(approved) is JobState.DONE
    approved.open("review")
    approved.app.session_state["review.view"] = "Label errors"
    approved.app.run()
    assert not approved.app.exception
    assert "Most likely errors first" in approved.words()
