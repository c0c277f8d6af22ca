"""The job that teaches a dataset's model and finds more like the examples."""

from imagebase.annotation import ImageRecord
from imagebase.detection.candidates import unpack
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.editing.records import approve
from imagebase.jobs.inference import candidates_key
from imagebase.jobs.teaching import teach_parameters
from imagebase.store import JobState, Scope, Store
from tests.jobs.conftest import RunJob, add
from tests.learning.conftest import add_scene, with_boxes


def images(store: Store, scope: Scope) -> list[ImageRecord]:
    """Three images; on the first one both discs have boxes."""
    store.add_labels(scope, ["disc"])
    first, *others = (add_scene(store, scope, seed) for seed in range(3))
    return [store.save(scope, with_boxes(first, 0, "disc")), *others]


def test_it_finds_more_on_the_other_images(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    first, *others = images(store, scope)
    asked = teach_parameters(store, scope, ["disc"], [first.image_id])
    job = run_job("teach", **asked)
    assert job.state is JobState.DONE, job.error
    assert job.result is not None
    assert (job.result["images"], job.result["refused"]) == (3, [])
    detector = configured_detector(ModelConfig.of(job.parameters))
    found = store.candidates(scope, candidates_key(detector))
    for record in others:
        assert (unpack(found[record.image_id]).confidence > 0.25).sum() >= 2
        assert store.record(scope, record.image_id) == record


def test_without_a_box_it_says_what_to_do(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    images(store, scope)
    job = run_job("teach", **teach_parameters(store, scope, ["cat"]))
    assert job.state is JobState.FAILED
    assert "Draw all of them on one image" in str(job.error)


def test_cancelled_it_has_taught_nothing(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    first, *_ = images(store, scope)
    asked = teach_parameters(store, scope, ["disc"], [first.image_id])
    job = run_job("teach", cancelled=True, **asked)
    assert job.state is JobState.CANCELLED
    assert store.taught_row(scope) is None


def test_taught_again_it_takes_what_is_there(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    first, second, _ = images(store, scope)
    run_job("teach", **teach_parameters(store, scope, ["disc"], [first.image_id]))
    store.save(scope, approve(with_boxes(second, 1, "disc"), who="ann"))
    job = run_job("teach", **teach_parameters(store, scope))
    assert job.state is JobState.DONE, job.error
    row = store.taught_row(scope)
    assert row is not None
    assert (row.labels, row.image_count) == (("disc",), 2)
    assert len(store.runs(scope)) == 2


def test_an_image_that_cannot_be_read_is_named(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    first, *_ = images(store, scope)
    add(store, scope, "broken.png", data=b"no image")
    asked = teach_parameters(store, scope, ["disc"], [first.image_id])
    job = run_job("teach", **asked)
    assert job.state is JobState.DONE
    assert job.result is not None
    assert job.result["images"] == 4
    assert [one["file"] for one in job.result["refused"]] == ["broken.png"]
