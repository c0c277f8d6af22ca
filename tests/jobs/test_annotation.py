import numpy as np
import pytest

from imagebase.annotation import ImageRecord
from imagebase.detection.candidates import unpack
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model, library_of
from imagebase.detection.validation import add_to_library, validate_upload
from imagebase.editing.records import approve
from imagebase.jobs.inference import candidates_key
from imagebase.settings import Limits
from imagebase.store import CandidatesKey, JobState, Scope, Store
from tests.detection.onnx import hostile_models
from tests.jobs.conftest import RunJob, add, png


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
