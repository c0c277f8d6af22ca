"""A dataset's taught model: taught, listed, loaded, kept, and forgotten."""

import shutil
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Source
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.detection.library import all_models, find_model, library_of
from imagebase.detection.model_card import card_of
from imagebase.detection.taught.taught_detector import TaughtDetector
from imagebase.detection.taught.teacher import MOST_EXAMPLES
from imagebase.editing.records import delete_annotations
from imagebase.errors import (
    ImageReadError,
    ModelLoadError,
    NotFoundError,
    TeachingError,
)
from imagebase.geometry import pairwise_iou
from imagebase.learning import taught_models
from imagebase.learning.scenes import scene_of
from imagebase.learning.taught_models import (
    Lesson,
    forget_taught,
    keep_copy,
    lessons_of,
    publish,
    taught_model,
    teach_dataset,
    title_of,
)
from imagebase.settings import TEAM_OWNER
from imagebase.store import CandidatesKey, Scope, Store
from tests.learning.conftest import SIZE, with_boxes
from tests.store.fixtures import add_image, box, scope_of

teach = partial(teach_dataset, max_pixels=10**6)


def test_a_dataset_has_one_model_that_grows(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    model = teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    assert model.title == "disc, 2 images"
    assert model.labels == ("disc",)
    store.save(scope, with_boxes(scenes[2], 2, "disc", "square"))
    again = teach(store, scope, ["square"], image_ids=[scenes[2].image_id])
    assert (again.name, again.labels) == (model.name, ("disc", "square"))
    assert again.title == "disc and square, 3 images"
    info = taught_model(store, scope)
    assert info is not None
    assert (info.name, info.title, info.who) == (again.name, again.title, "ann")
    assert [found.name for found in all_models()][-1] == model.name


def test_the_detector_of_the_name_finds_the_label(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    model = teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    first = configured_detector(ModelConfig((model.name,)))
    assert first.labels == ("disc",)
    # A copy can be taught anew: the detector follows the file.
    teach(store, scope, image_ids=[scenes[1].image_id])
    second = configured_detector(ModelConfig((model.name,)))
    assert second.sha256 != first.sha256
    assert second.sha256 == card_of(find_model(model.name)).sha256


def test_candidates_of_the_version_before_are_deleted(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    other = scope_of(store, TEAM_OWNER, who="bob", name="Other")
    stranger = scope_of(store, "visitor", who="eve")
    teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    digest = store.taught_digests(TEAM_OWNER)[scope.dataset_id]
    key = CandidatesKey(digest, 416, "f32", "single")
    elsewhere = [add_image(store, target) for target in (other, stranger)]
    store.put_many(scope, key, {scenes[3].image_id: b"old"})
    for target, record in zip((other, stranger), elsewhere, strict=True):
        store.put_many(target, key, {record.image_id: b"old"})
    teach(store, scope, image_ids=[scenes[0].image_id])
    assert store.candidates(scope, key)  # the same examples give the same model
    teach(store, scope, image_ids=[scenes[1].image_id])
    assert not store.candidates(scope, key)
    assert not store.candidates(other, key)
    assert store.candidates(stranger, key)


def test_candidates_that_another_dataset_still_uses_stay(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    restored = scope_of(store, TEAM_OWNER, who="ann", name="Street (restored)")
    teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    row = store.taught_row(scope)
    assert row is not None
    store.put_taught_row(restored, row)
    key = CandidatesKey(row.sha256, 416, "f32", "single")
    record = add_image(store, restored)
    store.put_many(restored, key, {record.image_id: b"same"})
    forget_taught(store, scope)
    assert store.candidates(restored, key)
    forget_taught(store, restored)
    assert not store.candidates(restored, key)


def ids_of(lessons: list[Lesson]) -> list[str]:
    return [lesson.image_id for lesson in lessons]


def test_without_chosen_images_the_approved_ones_teach(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    ids = [record.image_id for record in scenes]
    drawn = lessons_of(store, scope, ["disc"])
    assert ids_of(drawn) == ids[:2]
    assert all(lesson.is_complete for lesson in drawn)
    store.save(scope, replace(scenes[3], status=ReviewStatus.APPROVED))
    store.save(scope, replace(scenes[1], status=ReviewStatus.APPROVED))
    approved = lessons_of(store, scope, ["disc"])
    assert ids_of(approved) == [ids[0], ids[1], ids[3]]
    # The first one has no box that anybody missed, as far as is known.
    assert [lesson.is_complete for lesson in approved] == [False, True, True]
    chosen = lessons_of(store, scope, ["disc"], chosen=[ids[0]])
    assert ids_of(chosen) == ids[:2]
    assert all(lesson.is_complete for lesson in chosen)


def test_boxes_that_nobody_checked_are_no_examples(store: Store, scope: Scope) -> None:
    store.add_labels(scope, ["cat"])
    found = replace(box("cat"), source=Source.MODEL, model_id="m")
    store.save(scope, add_image(store, scope).with_annotations([found]))
    assert lessons_of(store, scope, ["cat"]) == []


def test_accepted_and_rejected_boxes_teach_by_themselves(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    found = replace(box("disc"), source=Source.MODEL, model_id="m", confidence=0.5)
    right = replace(found, annotation_id="right", accepted=True)
    wrong = replace(found, annotation_id="wrong", box=Box(50, 50, 90, 90))
    open_box = replace(found, annotation_id="open", box=Box(150, 50, 190, 90))
    record = store.save(scope, scenes[2].with_annotations([right, wrong, open_box]))
    store.save(scope, delete_annotations(record, {"wrong"}))
    lessons = lessons_of(store, scope, ["disc"], chosen=[scenes[0].image_id])
    lesson = lessons[-1]
    assert (lesson.image_id, lesson.is_complete) == (record.image_id, False)
    assert [one.annotation_id for one in lesson.boxes] == ["right"]
    assert lesson.rejected == (wrong.box,)
    store.undo(scope)
    assert lessons_of(store, scope, ["disc"])[-1].rejected == ()


def test_a_rejected_box_is_found_less_likely(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    record = scenes[3]
    model = teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])

    def confidence(at: Box) -> float:
        detector = configured_detector(ModelConfig((model.name,)))
        assert isinstance(detector, TaughtDetector)
        scene = scene_of(store, scope, record.image_id, max_pixels=10**6)
        found = detector.candidates_of(scene)
        iou = pairwise_iou(found.xyxy, np.array([at], np.float32))[:, 0]
        return float(found.confidence[iou > 0.5].max(initial=0))

    discs = [one.box for one in with_boxes(record, 3, "disc").annotations]
    before = [confidence(at) for at in discs]
    wrong = Annotation(
        discs[0], "disc", source=Source.MODEL, model_id="m", annotation_id="wrong"
    )
    record = store.save(scope, record.with_annotations([wrong]))
    store.save(scope, delete_annotations(record, {"wrong"}))
    teach(store, scope)
    assert confidence(discs[0]) < before[0] - 0.1


def test_of_many_examples_some_are_taken_from_all_over(
    store: Store, scope: Scope
) -> None:
    store.add_labels(scope, ["cat"])
    records = [
        store.save(
            scope,
            replace(
                add_image(store, scope, f"{number}.jpg").with_annotations([box("cat")]),
                status=ReviewStatus.APPROVED,
            ),
        )
        for number in range(2 * MOST_EXAMPLES)
    ]
    taken = ids_of(lessons_of(store, scope, ["cat"]))
    assert len(taken) == MOST_EXAMPLES
    assert {records[0].image_id, records[-1].image_id} <= set(taken)


def test_labels_follow_the_dataset(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    store.save(scope, with_boxes(scenes[2], 2, "disc", "square"))
    teach(store, scope, ["disc", "square"], image_ids=[scenes[2].image_id])
    store.rename_label(scope, 0, "wheel")
    model = teach(store, scope)
    assert model.labels == ("wheel", "square")
    store.delete_label(scope, 1, with_boxes=True)
    info = taught_model(store, scope)
    assert info is not None
    assert info.title == "wheel, 3 images"
    assert teach(store, scope).labels == ("wheel",)


def test_without_a_box_there_is_nothing_to_learn(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    with pytest.raises(TeachingError, match="No image has a box of square"):
        teach(store, scope, ["square"], image_ids=[scenes[2].image_id])
    with pytest.raises(TeachingError, match="Draw all of them on one image"):
        teach(store, scope)
    assert taught_model(store, scope) is None


def test_images_that_cannot_be_read_are_left_out(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    broken = store.add_image(
        scope, b"no image", file_name="broken.png", size=SIZE, quality=None
    ).record
    approved = replace(broken, status=ReviewStatus.APPROVED)
    store.save(scope, approved.with_annotations([box("disc")]))
    chosen = [broken.image_id, *(record.image_id for record in scenes[:2])]

    def delete_second(done: int, total: int) -> None:
        if done == 1:
            store.remove_images(scope, [scenes[1].image_id])

    model = teach(store, scope, ["disc"], image_ids=chosen, on_progress=delete_second)
    assert model.title == "disc, 1 image"
    row = store.taught_row(scope)
    assert row is not None
    assert row.examples == (scenes[0].image_id,)
    store.remove_images(scope, [scenes[0].image_id])
    with pytest.raises(ImageReadError, match=r"broken\.png"):
        teach(store, scope)


def test_a_dataset_deleted_meanwhile_leaves_no_model(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    def delete(done: int, total: int) -> None:
        if not done:
            store.delete_dataset(scope)

    with pytest.raises(NotFoundError):
        teach(store, scope, ["disc"], on_progress=delete)
    assert library_of(TEAM_OWNER).names() == []


def test_forgotten_it_is_nowhere(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    forget_taught(store, scope)
    assert taught_model(store, scope) is None
    assert library_of(TEAM_OWNER).names() == []
    assert store.record(scope, scenes[0].image_id).annotations
    forget_taught(store, scope)  # twice does no harm


def test_a_copy_stays_as_it_is(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    with pytest.raises(NotFoundError, match="no taught model"):
        keep_copy(store, scope, "discs")
    teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    copy = keep_copy(store, scope, "discs")
    digest = card_of(copy).sha256
    teach(store, scope, image_ids=[scenes[1].image_id])
    forget_taught(store, scope)
    assert library_of(TEAM_OWNER).names() == ["discs"]
    assert configured_detector(ModelConfig(("discs",))).sha256 == digest


def test_another_process_finds_what_this_one_taught(
    store: Store, scope: Scope, scenes: list[ImageRecord], home: Path
) -> None:
    model = teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    shutil.rmtree(home / "models")
    publish(store, TEAM_OWNER)
    assert find_model(model.name).labels == ("disc",)


def test_a_library_that_cannot_be_written_stops_no_page(
    store: Store, scope: Scope, scenes: list[ImageRecord], home: Path
) -> None:
    teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    shutil.rmtree(home / "models")
    (home / "models").touch()
    publish(store, TEAM_OWNER)
    assert taught_model(store, scope) is None
    with pytest.raises(ModelLoadError, match="make room on the disk"):
        teach(store, scope)
    (home / "models").unlink()
    assert taught_model(store, scope) is not None


def test_a_damaged_row_is_taught_anew(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    row = store.taught_row(scope)
    assert row is not None
    store.put_taught_row(scope, replace(row, content=b"junk", sha256="0" * 64))
    publish(store, TEAM_OWNER)
    assert all(model.name != "Taught in Street" for model in all_models())
    assert teach(store, scope).labels == ("disc",)


def test_a_deleted_dataset_takes_its_model_along(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    store.delete_dataset(scope)
    publish(store, TEAM_OWNER)
    assert library_of(TEAM_OWNER).names() == []


def test_each_owner_sees_only_their_own(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    publish(store, "visitor")
    assert library_of("visitor").names() == []
    assert len(library_of(TEAM_OWNER).names()) == 1


def test_what_people_chose_for_a_model_stays_when_it_is_taught_again(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    model = teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    other = scope_of(store, TEAM_OWNER, who="ann", name="Other")
    before = model_id(model.name)
    store.save_label_thresholds(scope, before, {"disc": 0.6})
    store.save_label_mapping(other, before, {"disc": "coin"})
    teach(store, scope, image_ids=[scenes[1].image_id])
    after = model_id(model.name)
    assert after != before
    assert store.label_thresholds(scope, after) == {"disc": 0.6}
    assert store.label_mapping(other, after) == {"disc": "coin"}
    assert not store.label_thresholds(scope, before)


def model_id(name: str) -> str:
    return configured_detector(ModelConfig((name,)), owner_id=TEAM_OWNER).model_id


def test_a_damaged_file_is_written_again(
    store: Store, scope: Scope, scenes: list[ImageRecord], home: Path
) -> None:
    model = teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    path = home / "models" / model.name / "taught.npz"
    content = path.read_bytes()
    for damaged in (content[:-9], b"\0" * len(content)):
        path.write_bytes(damaged)
        assert taught_model(store, scope) is not None
        assert path.read_bytes() == content
    path.unlink()
    publish(store, TEAM_OWNER)
    assert path.read_bytes() == content


def test_a_renamed_model_keeps_its_name_when_it_is_taught_again(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    model = teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    library_of(TEAM_OWNER).rename(model.name, "my discs")
    again = teach(store, scope, image_ids=[scenes[1].image_id])
    assert (again.name, again.identity) == ("my discs", model.identity)
    assert find_model(model.name).name == "my discs"


def test_threads_that_publish_at_once_make_one_model(
    store: Store, scope: Scope, scenes: list[ImageRecord], home: Path
) -> None:
    teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    shutil.rmtree(home / "models")
    threads = [
        threading.Thread(target=publish, args=(store, TEAM_OWNER)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(library_of(TEAM_OWNER).names()) == 1


def test_a_model_of_two_processes_is_listed_once(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    model = teach(store, scope, ["disc"], image_ids=[scenes[0].image_id])
    library, card = library_of(TEAM_OWNER), card_of(model)
    library.add_taught(model.graph.read_bytes(), replace(card, name="twin"))
    publish(store, TEAM_OWNER)
    assert library.names() == [model.name]


@pytest.mark.parametrize(
    ("labels", "images", "title"),
    [
        (["raccoon"], 1, "raccoon, 1 image"),
        (["a", "b"], 5, "a and b, 5 images"),
        (["a", "b", "c", "d"], 1200, "a, b and 2 more, 1,200 images"),
    ],
)
def test_title_names_labels_and_images(
    labels: list[str], images: int, title: str
) -> None:
    assert title_of(labels, images) == title


def test_a_cancelled_lesson_changes_nothing(
    store: Store, scope: Scope, scenes: list[ImageRecord]
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach(store, scope, ["disc"], on_progress=stop)
    assert taught_models.taught_model(store, scope) is None
