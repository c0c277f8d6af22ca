from collections.abc import Iterable
from typing import Any

import pytest

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Source,
)
from imagebase.annotation.areas import rectangle
from imagebase.editing.records import (
    approve,
    confirm_empty,
    delete_annotations,
    relabel,
    with_edits,
)
from imagebase.store import JobState, Scope, Store
from tests.jobs.conftest import RunJob, add

DOG = Box(16, 18, 48, 30)


def labels(store: Store, scope: Scope) -> list[tuple[str, ...]]:
    return [record.labels for record in store.records(scope)]


def human(label: str, box: Box = DOG) -> Annotation:
    return Annotation(box, label, changed_by="ann")


@pytest.fixture
def annotated(images: list[ImageRecord], run_job: RunJob) -> list[ImageRecord]:
    """Three images that a model has seen, none of which has a box."""
    run_job("annotate")
    return images


@pytest.mark.usefixtures("annotated")
def test_boxes_of_the_model_come_as_its_own_layer(
    store: Store, scope: Scope, run_job: RunJob, pets: str
) -> None:
    job = run_job("keep")
    assert job.result == {"images": 3, "boxes": 3, "conflicts": 0}
    for record in store.records(scope):
        (annotation,) = record.annotations
        assert record.status is ReviewStatus.SUGGESTED
        assert (annotation.label, annotation.source, annotation.accepted) == (
            "dog",
            Source.MODEL,
            False,
        )
        assert annotation.box == pytest.approx(DOG, abs=0.3)
        assert annotation.model_id is not None
        assert annotation.model_id.startswith("pets-")
    assert store.labels(scope).names == ("dog",)


def test_one_undo_takes_all_of_it_back(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    add(store, scope, *(f"{number}.png" for number in range(60)))
    before = store.records(scope)
    run_job("annotate")
    assert run_job("keep").result == {"images": 60, "boxes": 60, "conflicts": 0}
    store.undo(scope)
    assert not store.can_undo(scope)
    after = store.records(scope)
    assert [(record.annotations, record.status) for record in after] == [
        (record.annotations, record.status) for record in before
    ]


@pytest.mark.usefixtures("annotated")
def test_keeping_twice_changes_nothing_the_second_time(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    run_job("keep")
    before = store.records(scope)
    assert run_job("keep").result == {"images": 0, "boxes": 3, "conflicts": 0}
    assert store.records(scope) == before


def test_what_a_person_did_stays(
    store: Store, scope: Scope, annotated: list[ImageRecord], run_job: RunJob
) -> None:
    drawn, approved, empty = annotated
    store.save(scope, with_edits(drawn, [human("sofa")]))
    apart = human("cat", Box(0, 0, 10, 10))
    store.save(scope, approve(approved.with_annotations([apart]), who="ann"))
    store.save(scope, confirm_empty(empty))
    before = store.records(scope)
    assert run_job("keep").result == {"images": 0, "boxes": 0, "conflicts": 0}
    assert store.records(scope) == before


def test_corrected_model_box_is_a_persons_box(
    store: Store, scope: Scope, annotated: list[ImageRecord], run_job: RunJob
) -> None:
    run_job("keep")
    first = store.record(scope, annotated[0].image_id)
    ids = {annotation.annotation_id for annotation in first.annotations}
    corrected = store.save(scope, relabel(first, ids, "wolf", who="ann"))
    run_job("keep")
    assert store.record(scope, first.image_id) == corrected
    assert labels(store, scope) == [("wolf",), ("dog",), ("dog",)]


def test_deleted_model_box_does_not_come_back(
    store: Store, scope: Scope, annotated: list[ImageRecord], run_job: RunJob
) -> None:
    run_job("keep")
    first = store.record(scope, annotated[0].image_id)
    ids = {annotation.annotation_id for annotation in first.annotations}
    store.save(scope, delete_annotations(first, ids))
    run_job("keep")
    assert labels(store, scope) == [(), ("dog",), ("dog",)]


@pytest.mark.usefixtures("annotated")
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"labels": ["cat"]}, ()),
        ({"labels": ["dog"]}, ("dog",)),
        ({"mapping": {"dog": "pet"}}, ("pet",)),
        ({"mapping": {"dog": ""}}, ()),
        ({"confidence_threshold": 0.9999}, ()),
        ({"per_label_confidence": {"dog": 0.9999}}, ()),
        ({"confidence_threshold": 1, "per_label_confidence": {"dog": 0.5}}, ("dog",)),
    ],
    ids=[
        "other label",
        "this label",
        "mapped",
        "left out",
        "unsure",
        "unsure of a dog",
        "sure enough of a dog",
    ],
)
def test_rule_decides_which_boxes_come(
    store: Store,
    scope: Scope,
    run_job: RunJob,
    rule: dict[str, Any],
    expected: tuple[str, ...],
) -> None:
    run_job("keep", **rule)
    assert labels(store, scope) == [expected] * 3


@pytest.mark.usefixtures("annotated")
def test_stricter_rule_takes_the_models_untouched_boxes_away(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    run_job("keep")
    assert run_job("keep", confidence_threshold=0.9999).result == {
        "images": 3,
        "boxes": 0,
        "conflicts": 0,
    }
    assert labels(store, scope) == [()] * 3


def test_only_images_in_the_chosen_states_get_boxes(
    store: Store, scope: Scope, annotated: list[ImageRecord], run_job: RunJob
) -> None:
    apart = human("cat", Box(0, 0, 10, 10))
    store.save(scope, with_edits(annotated[0], [apart]))
    run_job("keep", statuses=["edited"])
    assert labels(store, scope) == [("cat", "dog"), (), ()]
    run_job("keep", statuses=["new"])
    assert labels(store, scope) == [("cat", "dog"), ("dog",), ("dog",)]


def test_images_that_the_model_has_not_seen_stay_as_they_are(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    assert run_job("keep").result == {"images": 0, "boxes": 0, "conflicts": 0}
    assert store.records(scope) == images


def test_newer_revision_of_another_person_is_not_overwritten(
    store: Store,
    scope: Scope,
    annotated: list[ImageRecord],
    run_job: RunJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = annotated[0]
    bob = Scope(scope.owner_id, scope.dataset_id, "bob")
    read = store.records

    def records(scope: Scope, *, image_ids: Iterable[str]) -> list[ImageRecord]:
        """Let another person save between the job's reading and its saving."""
        found = read(scope, image_ids=image_ids)
        store.save(bob, first.with_annotations([human("sofa")]))
        return found

    monkeypatch.setattr(store, "records", records)
    job = run_job("keep")
    assert job.state is JobState.DONE
    assert job.result == {"images": 2, "boxes": 2, "conflicts": 1}
    monkeypatch.undo()
    assert labels(store, scope) == [("sofa",), ("dog",), ("dog",)]


@pytest.mark.usefixtures("annotated")
def test_cancelled_job_keeps_nothing_it_did_not_do(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    assert run_job("keep", cancelled=True).state is JobState.CANCELLED
    assert labels(store, scope) == [()] * 3


@pytest.mark.usefixtures("annotated")
def test_a_box_in_an_ignore_area_is_not_kept(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    first, *_ = store.records(scope)
    # Just over a half of the box (16, 18, 48, 30) lies in it.
    mirror = rectangle(Box(0, 0, 32.5, 48))
    store.add_ignore_areas(scope, first.image_id, [mirror], all_of_size=False)
    assert run_job("keep").result == {"images": 3, "boxes": 2, "conflicts": 0}
    assert labels(store, scope) == [(), ("dog",), ("dog",)]
    store.add_ignore_areas(scope, first.image_id, [mirror], all_of_size=True)
    assert run_job("keep").result == {"images": 2, "boxes": 0, "conflicts": 0}
    store.undo(scope)
    store.undo(scope)
    run_job("keep")
    assert labels(store, scope) == [(), ("dog",), ("dog",)]
