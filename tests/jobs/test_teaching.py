"""The job that teaches a dataset's model and finds more like the examples."""

from imagebase.annotation import ImageRecord
from imagebase.detection.candidates import unpack
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.jobs.inference import candidates_key
from imagebase.store import JobState, Scope, Store
from tests.jobs.conftest import RunJob
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
    job = run_job("teach", labels=["disc"], images=[first.image_id])
    assert job.state is JobState.DONE, job.error
    assert job.result is not None
    assert (job.result["images"], job.result["refused"]) == (3, [])
    detector = configured_detector(ModelConfig((job.result["model"],)))
    found = store.candidates(scope, candidates_key(detector))
    for record in others:
        assert (unpack(found[record.image_id]).confidence > 0.25).sum() >= 2
        assert store.record(scope, record.image_id) == record


def test_without_a_box_it_says_what_to_do(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    images(store, scope)
    job = run_job("teach", labels=["cat"], images=[])
    assert job.state is JobState.FAILED
    assert "Draw all of them on one image" in str(job.error)


def test_cancelled_it_has_taught_nothing(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    first, *_ = images(store, scope)
    job = run_job("teach", cancelled=True, labels=["disc"], images=[first.image_id])
    assert job.state is JobState.CANCELLED
    assert store.taught_row(scope) is None
