"""Models judged by approved images in the background; runs that are kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Source
from imagebase.detection.library import library_of
from imagebase.detection.validation import add_to_library, validate_files
from imagebase.errors import EvaluationError
from imagebase.evaluation.comparison import judge_models
from imagebase.evaluation.storage import KEPT, RunFolder
from imagebase.jobs.evaluation import delete_evaluations, kept_runs
from imagebase.settings import Limits, settings
from imagebase.store import JobState, Scope, Store
from tests.jobs.conftest import RunJob

DOG = Box(16, 18, 48, 30)


def approve(
    store: Store, scope: Scope, record: ImageRecord, *boxes: Annotation
) -> ImageRecord:
    return store.save(
        scope, replace(record, annotations=boxes, status=ReviewStatus.APPROVED)
    )


@pytest.fixture
def approved(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> list[ImageRecord]:
    """An image with a dog that the model finds, and an empty image."""
    return [
        approve(store, scope, images[0], Annotation(DOG, "dog")),
        approve(store, scope, images[1]),
    ]


def test_approved_images_are_judged_and_the_run_is_kept(
    approved: list[ImageRecord],
    run_job: RunJob,
    store: Store,
    scope: Scope,
    pets: str,
) -> None:
    job = run_job("evaluate", models=[pets], images="approved")
    assert job.state is JobState.DONE, job.error
    assert (job.done, job.total) == (2, 2)
    (info,) = kept_runs(scope).runs()
    assert job.result is not None
    assert job.result["run_id"] == info.run_id
    assert (info.images, info.boxes, info.specs) == (2, 1, (pets,))
    assert info.version == store.version(scope)
    run = kept_runs(scope).load(info.run_id)
    assert [image.image_id for image in run.truth.images] == [
        record.image_id for record in approved
    ]
    (result,) = judge_models(run.truth, run.passes)
    at = result.point()
    assert (at.right, at.wrong, at.missed) == (1, 1, 0)
    assert info.figures[pets] == pytest.approx(result.figures["AP"])
    assert run.truth.box_ids == (approved[0].annotations[0].annotation_id,)


def test_how_an_added_model_fared_is_on_its_card(
    approved: list[ImageRecord],
    run_job: RunJob,
    scope: Scope,
    pets: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    draft = validate_files([Path(pets)], limits=Limits()).draft
    assert draft is not None
    library = library_of(scope.owner_id)
    add_to_library(draft, library, name="Pets", who="ann", trial=None, limits=Limits())
    job = run_job("evaluate", models=["Pets"], images="approved")
    assert job.state is JobState.DONE, job.error
    score = library.card("Pets").score
    assert score is not None
    assert (score.ap, score.measured_on) == (
        job.result and job.result["figures"]["Pets"],
        "2 reviewed images",
    )
    settings.cache_clear()


def test_a_correction_shows_in_the_next_run(
    approved: list[ImageRecord],
    run_job: RunJob,
    store: Store,
    scope: Scope,
    pets: str,
) -> None:
    run_job("evaluate", models=[pets], images="approved")
    approve(store, scope, approved[1], Annotation(DOG, "dog"))
    run_job("evaluate", models=[pets], images="approved")
    after, before = kept_runs(scope).runs()
    first = kept_runs(scope).load(before.run_id)
    second = kept_runs(scope).load(after.run_id)
    assert judge_models(first.truth, first.passes)[0].point().right == 1
    assert judge_models(second.truth, second.passes)[0].point().right == 2
    assert before.version != store.version(scope)


def test_what_a_person_calls_the_models_labels(
    images: list[ImageRecord],
    run_job: RunJob,
    store: Store,
    scope: Scope,
    pets: str,
) -> None:
    approve(store, scope, images[0], Annotation(DOG, "hound"))
    first = run_job("evaluate", models=[pets], images="approved")
    run = kept_runs(scope).load((first.result or {})["run_id"])
    assert run.passes[0].mapping.unknown == ("hound",)
    store.save_label_mapping(scope, run.passes[0].model_id, {"dog": "hound"})
    second = run_job("evaluate", models=[pets], images="approved")
    run = kept_runs(scope).load((second.result or {})["run_id"])
    assert run.passes[0].mapping.names["dog"] == "hound"
    assert judge_models(run.truth, run.passes)[0].point().right == 1


def test_edited_images_count_where_that_is_asked(
    images: list[ImageRecord],
    run_job: RunJob,
    store: Store,
    scope: Scope,
    pets: str,
) -> None:
    store.save(
        scope,
        replace(
            images[0],
            annotations=(Annotation(DOG, "dog"),),
            status=ReviewStatus.EDITED,
        ),
    )
    approved_only = run_job("evaluate", models=[pets], images="approved")
    assert approved_only.state is JobState.FAILED
    assert "approve some images" in (approved_only.error or "")
    assert run_job("evaluate", models=[pets], images="reviewed").state is JobState.DONE


def test_a_models_own_boxes_are_spoken_of(
    images: list[ImageRecord],
    run_job: RunJob,
    store: Store,
    scope: Scope,
    pets: str,
) -> None:
    model_id = "tiny-v4-0123456789ab"
    own = Annotation(DOG, "dog", source=Source.MODEL, accepted=True, model_id=model_id)
    approve(store, scope, images[0], own)
    job = run_job("evaluate", models=[pets], images="approved")
    (note,) = kept_runs(scope).load((job.result or {})["run_id"]).notes
    assert "boxes are tiny-v4's own" in note


def test_a_cancelled_run_keeps_nothing(
    approved: list[ImageRecord], run_job: RunJob, scope: Scope, pets: str
) -> None:
    job = run_job("evaluate", models=[pets], images="approved", cancelled=True)
    assert job.state is JobState.CANCELLED
    assert kept_runs(scope).runs() == []


def test_an_unknown_model_is_a_sentence(
    approved: list[ImageRecord], run_job: RunJob
) -> None:
    job = run_job("evaluate", models=["nobody"], images="approved")
    assert job.state is JobState.FAILED
    assert "no model 'nobody'" in (job.error or "")


def test_damaged_and_foreign_files_are_passed_over(
    approved: list[ImageRecord],
    run_job: RunJob,
    scope: Scope,
    pets: str,
    home: Path,
) -> None:
    run_job("evaluate", models=[pets], images="approved")
    runs = kept_runs(scope)
    (info,) = runs.runs()
    folder = home / "evaluations" / scope.owner_id / scope.dataset_id
    (folder / "0.json").write_text("{")
    (folder / "1.json").write_text('{"format": 99}')
    assert runs.runs() == [info]
    (folder / f"{info.run_id}.npz").write_bytes(b"no zip")
    with pytest.raises(EvaluationError, match="Run again"):
        runs.load(info.run_id)
    with pytest.raises(EvaluationError, match="no such evaluation"):
        runs.load("../../etc/passwd")


def test_only_the_newest_runs_are_kept(
    approved: list[ImageRecord], run_job: RunJob, scope: Scope, pets: str
) -> None:
    run_job("evaluate", models=[pets], images="approved")
    runs: RunFolder = kept_runs(scope)
    (info,) = runs.runs()
    run = runs.load(info.run_id)
    for number in range(KEPT):
        runs.save(replace(info, run_id=f"x{number}", made_at=info.made_at), run)
    assert len(runs.runs()) == KEPT
    loaded = runs.load(runs.runs()[0].run_id)
    np.testing.assert_array_equal(loaded.truth.xyxy, run.truth.xyxy)


def test_runs_go_with_their_dataset(
    approved: list[ImageRecord], run_job: RunJob, scope: Scope, pets: str
) -> None:
    run_job("evaluate", models=[pets], images="approved")
    delete_evaluations(scope.owner_id, scope.dataset_id)
    assert kept_runs(scope).runs() == []
