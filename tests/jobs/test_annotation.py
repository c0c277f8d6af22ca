import numpy as np
import pytest

from imagebase.annotation import ImageRecord
from imagebase.detection.candidates import unpack
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model, library_of
from imagebase.detection.validation import add_to_library, validate_upload
from imagebase.editing.records import approve
from imagebase.jobs.inference import CLASSIFY, candidates_key, classifier_key
from imagebase.learning.proposed_tags import classified_tags
from imagebase.settings import Limits
from imagebase.store import CandidatesKey, JobState, Scope, Store
from tests.detection.onnx import hostile_models
from tests.detection.onnx.onnx_builder import bright_or_dark
from tests.jobs.conftest import SIZE, RunJob, add, png


@pytest.fixture
def key(pets: str) -> CandidatesKey:
    return candidates_key(shared_detector(find_model(pets)))


def test_candidates_of_every_image_are_kept_and_no_box_changes(
    store: Store,
    scope: Scope,
    images: list[ImageRecord],
    run_job: RunJob,
    key: CandidatesKey,
) -> None:
    job = run_job("annotate")
    assert job.state is JobState.DONE
    assert job.result is not None
    assert (job.result["images"], job.result["refused"]) == (3, [])
    assert (job.done, job.total) == (3, 3)
    kept = store.candidates(scope, key)
    assert set(kept) == {image.image_id for image in images}
    for blob in kept.values():
        np.testing.assert_allclose(unpack(blob).xyxy, [[16, 18, 48, 30]], atol=0.3)
    assert store.records(scope) == images


@pytest.mark.usefixtures("images")
def test_second_run_looks_at_nothing_but_what_is_new(
    store: Store, scope: Scope, run_job: RunJob, key: CandidatesKey
) -> None:
    run_job("annotate")
    before = store.candidates_version(scope, key)
    again = run_job("annotate")
    assert again.result is not None
    assert again.result["images"] == 0
    assert store.candidates_version(scope, key) == before
    add(store, scope, "d.png")
    third = run_job("annotate")
    assert third.result is not None
    assert third.result["images"] == 1


def test_only_images_in_the_chosen_states_are_annotated(
    store: Store,
    scope: Scope,
    images: list[ImageRecord],
    run_job: RunJob,
    key: CandidatesKey,
) -> None:
    store.save(scope, approve(images[1], who="ann"))
    run_job("annotate", statuses=["new"])
    assert store.has_candidates(scope, key) == {
        images[0].image_id,
        images[2].image_id,
    }


@pytest.mark.usefixtures("images")
def test_image_that_cannot_be_read_is_named_and_stops_nothing(
    store: Store, scope: Scope, run_job: RunJob, key: CandidatesKey
) -> None:
    add(store, scope, "sub/broken.png", data=b"nothing")
    job = run_job("annotate")
    assert job.state is JobState.DONE
    assert job.result is not None
    (refused,) = job.result["refused"]
    assert refused["file"] == "sub/broken.png"
    assert refused["reason"].startswith("sub/broken.png is not an image")
    assert len(store.has_candidates(scope, key)) == 3


@pytest.mark.usefixtures("images")
def test_image_that_an_added_model_crashes_on_is_named_and_stops_nothing(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    content = hostile_models.reads_far_on_white()
    uploads = [("odd.onnx", content), ("odd.names", hostile_models.NAMES.encode())]
    draft = validate_upload(uploads, limits=Limits()).draft
    assert draft is not None
    library = library_of(scope.owner_id)
    add_to_library(draft, library, name="odd", who="", trial=None, limits=Limits())
    add(store, scope, "sub/white.png", data=png(255))
    job = run_job("annotate", model="odd")
    assert job.state is JobState.DONE
    assert job.result is not None
    assert job.result["images"] == 4
    (refused,) = job.result["refused"]
    assert refused["file"] == "sub/white.png"
    assert refused["reason"].startswith("The model odd crashed on sub/white.png; ")


@pytest.mark.usefixtures("images")
def test_cancelled_run_keeps_what_was_done_and_can_go_on(
    store: Store, scope: Scope, run_job: RunJob, key: CandidatesKey
) -> None:
    job = run_job("annotate", cancelled=True)
    assert job.state is JobState.CANCELLED
    assert job.result is not None
    assert job.result["images"] == 1
    assert len(store.has_candidates(scope, key)) == 1
    rest = run_job("annotate")
    assert rest.result is not None
    assert rest.result["images"] == 2
    assert len(store.has_candidates(scope, key)) == 3


@pytest.mark.usefixtures("images")
def test_each_run_is_noted_with_its_model_and_what_it_came_to(
    store: Store, scope: Scope, run_job: RunJob, pets: str
) -> None:
    run_job("annotate")
    (noted,) = store.runs(scope)
    assert noted.model_id == shared_detector(find_model(pets)).model_id
    assert noted.parameters["model"] == pets
    assert noted.who == "ann"
    assert noted.result is not None
    assert noted.result["images"] == 3
    assert noted.finished_at is not None


def test_unknown_model_fails_with_its_sentence(run_job: RunJob) -> None:
    job = run_job("annotate", model="nope")
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.startswith("There is no model 'nope'")


def test_empty_dataset_is_done_at_once(run_job: RunJob) -> None:
    job = run_job("annotate")
    assert job.state is JobState.DONE
    assert job.result is not None
    assert job.result["images"] == 0


def brought(scope: Scope) -> str:
    """Add a classifier to the owner's models; return its name."""
    result = validate_upload([("light.onnx", bright_or_dark())], limits=Limits())
    assert result.draft is not None
    library = library_of(scope.owner_id)
    model = add_to_library(
        result.draft, library, name="Light", who="ann", trial=None, limits=Limits()
    )
    return model.name


def test_classifier_is_run_on_images_that_nobody_approved(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    for name, shade in (("night.png", 10), ("day.png", 240), ("done.png", 200)):
        store.add_image(scope, png(shade), file_name=name, size=SIZE, quality=None)
    before = store.records(scope)
    store.save(scope, approve(before[2], who="ann"))
    name = brought(scope)
    job = run_job(CLASSIFY, model=name)
    assert (job.state, job.error) == (JobState.DONE, None)
    assert (job.result or {})["images"] == 2
    card = library_of(scope.owner_id).card(name)
    kept = store.candidates(scope, classifier_key(card))
    tags = {record.image_id: record.tags for record in before}
    found = classified_tags(kept, card.labels, tags, confidence=0.6)
    assert [found[record.image_id][0].tag for record in before[:2]] == [
        "dark",
        "bright",
    ]
    assert all(one.confidence > 0.9 for tags in found.values() for one in tags)
    # Boxes, tags and review states stay.
    assert store.records(scope)[:2] == before[:2]
    # What an image has, or what is less sure, is not proposed.
    assert not classified_tags(kept, card.labels, tags, confidence=0.99999)
    own = {record.image_id: ("dark", "bright") for record in before}
    assert not classified_tags(kept, card.labels, own, confidence=0.6)
    assert len(classified_tags(kept, card.labels, {}, confidence=0)) == 2
    # The same again runs on nothing; another dataset's results stay.
    assert (run_job(CLASSIFY, model=name).result or {})["images"] == 0
    store.forget_candidates(scope, "another")
    assert store.has_candidates(scope, classifier_key(card)) == kept.keys()
    store.forget_candidates(scope, card.sha256)
    assert not store.has_candidates(scope, classifier_key(card))


def test_jobs_that_find_boxes_refuse_a_classifier(
    scope: Scope, run_job: RunJob
) -> None:
    job = run_job("annotate", model=brought(scope))
    assert job.state is JobState.FAILED
    assert "Light is a classifier, which proposes image tags" in (job.error or "")
