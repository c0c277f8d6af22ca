"""A dataset learns while people label: refits, suggestions, training runs."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagebase.annotation import Annotation, ImageRecord, ReviewStatus, Size
from imagebase.detection.library import library_of
from imagebase.detection.model_card import ModelCard
from imagebase.editing.records import approve
from imagebase.geometry import pairwise_iou
from imagebase.jobs.learning import (
    ASKED_EVERY,
    LEARNING,
    MOST_LABELS,
    Learner,
    delete_superseded_models,
)
from imagebase.jobs.learning_thread import LearningThread
from imagebase.jobs.training import KIND, description
from imagebase.settings import WEIGHTS_FOLDER
from imagebase.store import JobState, Scope, Store
from imagebase.store.learning import (
    LearningRow,
    LearningState,
    TrainedWhileLabelling,
    Verdict,
)
from tests.detection.taught.test_teach import scene
from tests.learning.conftest import add_scene, with_boxes

MAX_PIXELS = 10**7


@pytest.fixture
def learner(store: Store, scope: Scope) -> Learner:
    return Learner(store, scope, max_pixels=MAX_PIXELS, start_training=None)


def run(learner: Learner) -> None:
    for _ in range(200):
        pause = learner.step()
        if pause == ASKED_EVERY:
            return
        time.sleep(pause)
    raise AssertionError("it does not come to an end")


def approved(store: Store, scope: Scope, record: ImageRecord) -> ImageRecord:
    return store.save(scope, approve(record, who="ann"))


def set_state(store: Store, scope: Scope, state: LearningState) -> None:
    store.change_learning(scope, lambda row: replace(row, state=state))


def found_discs(learner: Learner, record: ImageRecord, seed: int) -> float:
    """Return which share of an image's discs is suggested."""
    learned = learner.learned(record.image_id)
    assert learned is not None
    true = [xyxy for xyxy, label in scene(seed=seed)[1] if label == "disc"]
    iou = pairwise_iou(np.array(true, np.float32), learned.boxes.xyxy)
    return float((iou.max(axis=1, initial=0) >= 0.5).mean())


def test_suggestions_come_after_the_first_approval(
    store: Store, scope: Scope, scenes: list[ImageRecord], learner: Learner
) -> None:
    run(learner)
    assert learner.learned(scenes[2].image_id) is None

    approved(store, scope, scenes[0])
    run(learner)

    assert learner.status().images == 1
    assert found_discs(learner, scenes[2], 2) == 1.0


def test_nobodys_boxes_change(
    store: Store, scope: Scope, scenes: list[ImageRecord], learner: Learner
) -> None:
    approved(store, scope, scenes[0])
    before = store.records(scope)
    run(learner)

    assert store.records(scope) == before


def test_an_image_that_is_not_approved_any_more_is_unlearned(
    store: Store, scope: Scope, scenes: list[ImageRecord], learner: Learner
) -> None:
    record = approved(store, scope, scenes[0])
    run(learner)
    store.save(scope, replace(record, status=ReviewStatus.SUGGESTED))
    run(learner)

    assert learner.status().images == 0


def test_a_renamed_label_is_suggested_by_its_new_name(
    store: Store, scope: Scope, scenes: list[ImageRecord], learner: Learner
) -> None:
    approved(store, scope, scenes[0])
    run(learner)
    store.rename_label(scope, store.labels(scope).class_id("disc"), "circle")
    run(learner)

    learned = learner.learned(scenes[2].image_id)
    assert learned is not None
    assert set(learned.boxes.label) == {"circle"}


def test_images_are_judged_by_what_was_suggested_before_they_were_approved(
    store: Store, scope: Scope, learner: Learner
) -> None:
    store.add_labels(scope, ["disc"])
    records = [add_scene(store, scope, seed) for seed in range(6)]
    learner.following = [record.image_id for record in records]
    for seed, record in enumerate(records[:5]):
        drawn = store.save(scope, with_boxes(record, seed, "disc"))
        approved(store, scope, drawn)
        run(learner)

    # Nothing was known of the first one.
    assert learner.status().ap50["disc"] > 0.5


def test_images_that_were_approved_before_they_were_looked_at_are_judged(
    store: Store, scope: Scope, learner: Learner
) -> None:
    store.add_labels(scope, ["disc"])
    first = add_scene(store, scope, 0)
    approved(store, scope, with_boxes(first, 0, "disc"))
    run(learner)
    for seed in range(1, 5):
        record = add_scene(store, scope, seed)
        approved(store, scope, with_boxes(record, seed, "disc"))
    run(learner)

    assert learner.status().ap50["disc"] > 0.5


def test_switched_off_nothing_is_suggested_and_paused_nothing_is_learned(
    store: Store, scope: Scope, scenes: list[ImageRecord], learner: Learner
) -> None:
    approved(store, scope, scenes[0])
    run(learner)
    set_state(store, scope, LearningState.PAUSED)
    approved(store, scope, scenes[1])
    run(learner)
    assert learner.status().images == 1
    assert learner.learned(scenes[2].image_id) is not None

    set_state(store, scope, LearningState.OFF)
    run(learner)
    assert learner.learned(scenes[2].image_id) is None

    set_state(store, scope, LearningState.ON)
    run(learner)
    assert learner.status().images == 2


def test_a_training_run_starts_once_there_is_enough(
    store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, Any]] = []
    learner = Learner(
        store,
        scope,
        max_pixels=MAX_PIXELS,
        start_training=lambda _, parameters: started.append(parameters),
    )
    record = store.save(scope, with_boxes(add_scene(store, scope, 0), 0, "disc"))
    approved(store, scope, record)
    run(learner)
    assert not started

    monkeypatch.setattr("imagebase.jobs.learning.may_train", lambda *_, **__: True)
    monkeypatch.setattr("imagebase.jobs.learning._CHECK_SECONDS", 0.0)
    run(learner)
    assert started[0]["learning"] is True
    assert started[0]["minutes"] > 0


def test_the_previous_model_is_used_again(store: Store, scope: Scope) -> None:
    first = TrainedWhileLabelling("a", "First", 0.5, 0.7, 10, Verdict.USED)
    second = TrainedWhileLabelling("b", "Second", 0.7, 0.8, 12, Verdict.USED)
    store.change_learning(scope, lambda row: row.with_run(first))
    store.change_learning(scope, lambda row: row.with_run(second))
    assert store.learning(scope).trained == second

    store.change_learning(scope, LearningRow.without_last_used)
    assert store.learning(scope).trained == first
    store.change_learning(scope, LearningRow.without_last_used)
    assert store.learning(scope).trained is None
    assert [run.verdict for run in store.learning(scope).runs] == [Verdict.UNDONE] * 2


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "it did not come true in a minute"
        time.sleep(0.05)


def test_the_thread_learns_in_the_background_and_ends(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    approved(store, scope, scenes[0])
    thread = LearningThread(store)
    thread.follow(scope, [scenes[2].image_id])
    try:
        end = time.monotonic() + 60
        while thread.learned(scope, scenes[2].image_id) is None:
            assert time.monotonic() < end, "nothing was learned in a minute"
            time.sleep(0.05)
    finally:
        thread.close()
    assert thread.status(scope).images == 1


def test_nothing_is_kept_of_a_deleted_dataset(
    store: Store, scope: Scope, scenes: list[ImageRecord], tmp_path: Path
) -> None:
    approved(store, scope, scenes[0])
    thread = LearningThread(store)
    thread.follow(scope, [scenes[2].image_id])
    try:
        wait_until(lambda: thread.learned(scope, scenes[2].image_id) is not None)
        store.delete_dataset(scope)
        wait_until(lambda: thread.learned(scope, scenes[2].image_id) is None)
    finally:
        thread.close()
    assert not [path for path in tmp_path.rglob("scenes/*/*") if path.is_file()]


def test_a_deleted_dataset_ends_no_thread(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    other = replace(scope, dataset_id="gone")
    thread = LearningThread(store)
    thread.follow(other, [])
    thread.follow(scope, [scenes[2].image_id])
    approved(store, scope, scenes[0])
    try:
        end = time.monotonic() + 60
        while not thread.status(scope).images:
            assert time.monotonic() < end, "nothing was learned in a minute"
            thread.follow(scope, [scenes[2].image_id])
            time.sleep(0.05)
    finally:
        thread.close()


def test_of_very_many_labels_the_first_are_learned(
    store: Store, scope: Scope, scenes: list[ImageRecord], learner: Learner
) -> None:
    box = scenes[0].annotations[0].box
    names = [f"label {number:02}" for number in range(MOST_LABELS + 4)]
    crowd = scenes[0].with_annotations(Annotation(box, name) for name in names)
    approved(store, scope, store.save(scope, crowd))
    run(learner)
    learned = learner.learned(scenes[2].image_id)
    assert learned is not None
    assert sorted(learned.choice.model) == sorted(names[:MOST_LABELS])


def train(store: Store, scope: Scope, verdict: Verdict | None) -> str:
    """Add a model as a run in the background does, and judge it; return its name."""
    library = library_of(scope.owner_id)
    name = library.free_name("Learned while labelling")
    metrics = {
        "AP50": 0.5,
        "AP50_interval": None,
        "images": {"train": 20},
        "minutes": 2.0 + len(library.names()),
        "steps": 90,
        "epochs": 9.0,
        "settings": {"seed": 0, "flip": True, "colours": True, "cluster_anchors": 0},
    }
    bundled = WEIGHTS_FOLDER / "yolox-nano"
    files = {file: bundled / file for file in ("model.onnx", "obj.names")}
    library.add(
        files,
        ModelCard(
            *(name, name, "darknet", Size(416, 416), ("disc",), "", 0, "ann", None),
            description=description(metrics),
        ),
    )
    job_id = store.submit_job(scope, KIND, {"name": name, LEARNING: True})
    claimed = store.claim_job("here:1:a", [KIND])
    assert claimed is not None
    result = {"model": name, "metrics": metrics}
    store.end_job(claimed.claim_id, JobState.DONE, result=result)
    if verdict is not None:
        run = TrainedWhileLabelling(job_id, name, 0.5, 0.7, 10, verdict)
        store.change_learning(scope, lambda row: row.with_run(run))
    return name


def test_only_models_that_may_be_needed_again_are_kept(
    store: Store, scope: Scope, home: Path
) -> None:
    library = library_of(scope.owner_id)
    *_, before, in_use, _, renamed, evaluated, _, newest = [
        train(store, scope, verdict)
        for verdict in [
            *[Verdict.USED, Verdict.REFUSED, None],
            *[Verdict.USED, Verdict.USED, Verdict.REFUSED],
            *[Verdict.REFUSED, Verdict.REFUSED, Verdict.REFUSED, None],
        ]
    ]
    library.rename(renamed, "Discs")
    store.submit_job(scope, "evaluate", {"models": [f"{evaluated}@416"]})

    delete_superseded_models(store, scope)

    assert {*library.names()} == {before, in_use, "Discs", evaluated, newest}
    row = store.learning(scope).without_last_used()
    assert row.trained is not None
    assert row.trained.model == before
    assert row.without_last_used().trained is None


def test_another_model_of_that_name_is_kept(
    store: Store, scope: Scope, home: Path
) -> None:
    library = library_of(scope.owner_id)
    name = train(store, scope, Verdict.REFUSED)
    library.describe(name, description="Mine.", source="", licence="")
    train(store, scope, Verdict.USED)

    delete_superseded_models(store, scope)

    assert name in library.names()
