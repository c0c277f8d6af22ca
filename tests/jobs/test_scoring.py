"""Looking again, mirrored, and judging what needs a look."""

from dataclasses import replace

import numpy as np
import pytest

from imagebase.annotation import Box, ImageRecord
from imagebase.annotation.areas import rectangle
from imagebase.detection.candidates import Candidates, pack, unpack
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.editing.records import approve, delete_annotations, record_ids
from imagebase.jobs.inference import MIRRORED_PASS, candidates_key
from imagebase.jobs.scoring import model_in_use, score_images, stale_images
from imagebase.store import CandidatesKey, DoubtRow, JobState, Scope, Store
from imagebase.store.uncertainty import DoubtKind
from tests.jobs.conftest import RunJob, add

DOG, CAT = 1, 0


@pytest.fixture
def plain(pets: str) -> CandidatesKey:
    return candidates_key(shared_detector(find_model(pets)))


@pytest.fixture
def mirrored(plain: CandidatesKey) -> CandidatesKey:
    return replace(plain, passes=MIRRORED_PASS)


@pytest.fixture
def kept(images: list[ImageRecord], run_job: RunJob) -> list[ImageRecord]:
    """Three images on which the model's dog is in the dataset."""
    run_job("annotate")
    run_job("keep")
    return images


def queue(store: Store, scope: Scope) -> dict[str, DoubtRow]:
    return {row.file_name: row for row in store.doubtful_images(scope)}


def answer(
    store: Store,
    scope: Scope,
    key: CandidatesKey,
    image_id: str,
    *seen: tuple[tuple[float, float, float, float], float, int],
) -> None:
    """Let a model have seen boxes, each with a confidence and a class."""
    blob = pack(
        Candidates(
            np.array([box for box, _, _ in seen], np.float32).reshape(-1, 4),
            np.array([confidence for _, confidence, _ in seen], np.float32),
            np.array([class_id for _, _, class_id in seen], np.int32),
        )
    )
    store.put_many(scope, key, {image_id: blob})


def judged(store: Store, scope: Scope) -> dict[str, DoubtRow]:
    """Score stale images, as opening the queue does."""
    in_use = model_in_use(store, scope)
    score_images(store, scope, stale_images(store, scope, in_use), in_use)
    return queue(store, scope)


def test_mirrored_answers_are_kept_beside_the_plain_ones(
    store: Store,
    scope: Scope,
    kept: list[ImageRecord],
    run_job: RunJob,
    plain: CandidatesKey,
    mirrored: CandidatesKey,
) -> None:
    job = run_job("doubt", mirrored=True)
    assert job.state is JobState.DONE
    assert job.result is not None
    assert (job.result["images"], job.result["refused"]) == (3, [])
    assert (job.done, job.total) == (3, 3)
    there, again = store.candidates(scope, plain), store.candidates(scope, mirrored)
    assert set(again) == set(there) == {image.image_id for image in kept}
    # The one box is in the middle of the image, where its mirror is as well.
    for image_id, blob in again.items():
        first = unpack(there[image_id])
        np.testing.assert_allclose(unpack(blob).xyxy, first.xyxy, atol=0.3)


def test_only_open_images_that_the_model_has_seen_run_again(
    store: Store,
    scope: Scope,
    kept: list[ImageRecord],
    run_job: RunJob,
    mirrored: CandidatesKey,
) -> None:
    first = store.record(scope, kept[0].image_id)
    store.save(scope, approve(first, who="ann"))
    add(store, scope, "unseen.png")
    run_job("doubt", mirrored=True)
    assert store.has_candidates(scope, mirrored) == {
        image.image_id for image in kept[1:]
    }


@pytest.mark.usefixtures("kept")
def test_cancelled_look_keeps_what_was_done_and_is_resumed(
    store: Store, scope: Scope, run_job: RunJob, mirrored: CandidatesKey
) -> None:
    job = run_job("doubt", mirrored=True, cancelled=True)
    assert job.state is JobState.CANCELLED
    assert len(store.has_candidates(scope, mirrored)) == 1
    rest = run_job("doubt", mirrored=True)
    assert rest.result is not None
    assert rest.result["images"] == 2
    assert len(store.has_candidates(scope, mirrored)) == 3


def test_without_a_model_boxes_alone_are_scored(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    job = run_job("doubt", mirrored=True)
    assert job.state is JobState.DONE
    assert job.result == {"judged": len(images)}
    assert queue(store, scope) == {}


def test_model_that_was_deleted_is_no_model_in_use(
    store: Store, scope: Scope, kept: list[ImageRecord], run_job: RunJob
) -> None:
    assert model_in_use(store, scope) is not None
    run_job("annotate", model="nope")
    assert model_in_use(store, scope) is not None  # its boxes are still those kept
    run_job("keep", model="nope")
    assert model_in_use(store, scope) is not None  # that run failed


def test_each_job_leaves_nothing_stale(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    for kind in ("annotate", "keep"):
        run_job(kind)
        assert stale_images(store, scope, model_in_use(store, scope)) == []
    run_job("doubt", mirrored=True)
    assert stale_images(store, scope, model_in_use(store, scope)) == []


def test_threshold_of_the_last_keep_is_the_one_in_use(
    store: Store, scope: Scope, kept: list[ImageRecord], run_job: RunJob
) -> None:
    box = store.record(scope, kept[0].image_id).annotations[0]
    assert box.confidence is not None
    assert queue(store, scope) == {}  # the model is sure of its dog
    run_job("keep", confidence_threshold=box.confidence - 0.01)
    rows = queue(store, scope)
    assert set(rows) == {"a.png", "b.png", "c.png"}
    assert list(rows["a.png"].reasons) == [DoubtKind.NEAR]


def test_object_only_in_the_mirrored_image_is_possibly_missed(
    store: Store, scope: Scope, kept: list[ImageRecord], mirrored: CandidatesKey
) -> None:
    dog, cat = (16, 18, 48, 30), (0, 20, 10, 30)
    answer(store, scope, mirrored, kept[1].image_id, (dog, 0.9, DOG), (cat, 0.61, CAT))
    rows = judged(store, scope)
    assert set(rows) == {"b.png"}
    reasons = rows["b.png"].reasons
    assert list(reasons) == [DoubtKind.MISSED]
    assert (
        reasons[DoubtKind.MISSED].text == "possibly missed: a cat at the left edge 61 %"
    )
    (missed,) = reasons[DoubtKind.MISSED].found
    assert (missed.box, missed.label) == (cat, "cat")


def test_box_not_found_in_the_mirrored_image_is_uncertain(
    store: Store, scope: Scope, kept: list[ImageRecord], mirrored: CandidatesKey
) -> None:
    answer(store, scope, mirrored, kept[1].image_id)
    rows = judged(store, scope)
    assert set(rows) == {"b.png"}
    assert list(rows["b.png"].reasons) == [DoubtKind.ONE_WAY]


def test_box_that_a_person_deleted_is_not_missed(
    store: Store, scope: Scope, kept: list[ImageRecord], run_job: RunJob
) -> None:
    run_job("doubt", mirrored=True)
    record = store.record(scope, kept[0].image_id)
    store.save(scope, delete_annotations(record, record_ids(record)))
    assert judged(store, scope) == {}


@pytest.mark.usefixtures("images")
def test_found_but_not_kept_is_nothing_to_doubt_yet(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    run_job("annotate")
    run_job("doubt", mirrored=True)
    assert queue(store, scope) == {}


def test_mapped_labels_are_compared_under_their_new_names(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    run_job("annotate")
    run_job("keep", mapping={"dog": "hound"})
    run_job("doubt", mirrored=True)
    assert store.records(scope)[0].labels == ("hound",)
    assert queue(store, scope) == {}


def test_renamed_label_is_still_the_models(
    store: Store, scope: Scope, kept: list[ImageRecord], run_job: RunJob
) -> None:
    run_job("doubt", mirrored=True)
    dog = store.labels(scope).class_id("dog")
    store.rename_label(scope, dog, "hound")
    assert store.records(scope)[0].labels == ("hound",)
    assert judged(store, scope) == {}


def test_nothing_of_a_deleted_label_is_missed(
    store: Store, scope: Scope, kept: list[ImageRecord], mirrored: CandidatesKey
) -> None:
    store.add_labels(scope, ["cat"])
    answer(store, scope, mirrored, kept[1].image_id, ((0, 20, 10, 30), 0.61, CAT))
    assert DoubtKind.MISSED in judged(store, scope)["b.png"].reasons
    store.delete_label(scope, store.labels(scope).class_id("cat"))
    in_use = model_in_use(store, scope)
    score_images(store, scope, [kept[1].image_id], in_use)
    assert DoubtKind.MISSED not in queue(store, scope)["b.png"].reasons


def test_nothing_in_an_ignore_area_is_doubtful(
    store: Store, scope: Scope, kept: list[ImageRecord], mirrored: CandidatesKey
) -> None:
    """Neither the dog that one look does not show, nor a cat that is perhaps missed."""
    image_id = kept[1].image_id
    answer(store, scope, mirrored, image_id, ((0, 20, 10, 30), 0.61, CAT))
    assert set(judged(store, scope)) == {"b.png"}
    area = rectangle(Box(0, 0, 64, 48))
    store.add_ignore_areas(scope, image_id, [area], all_of_size=False)
    # It is scored again, since less of it counts now.
    assert stale_images(store, scope, model_in_use(store, scope)) == [image_id]
    assert judged(store, scope) == {}
