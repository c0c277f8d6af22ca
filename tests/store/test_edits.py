"""Saving: only what differs, with its events, never over somebody's newer revision."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Source,
    new_id,
    utc_now,
)
from imagebase.errors import NotFoundError, RevisionConflictError, StoreError
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image, box

pytestmark = pytest.mark.dialect

MODEL_BOX = Annotation(
    Box(0.1, 1 / 3, 20.7, 30.000001),
    "dog",
    source=Source.MODEL,
    confidence=0.1 + 0.2,
    model_id="yolov4-tiny",
    changed_by="model",
)


@pytest.fixture
def record(store: Store, scope: Scope) -> ImageRecord:
    return add_image(store, scope)


def test_saved_record_comes_back_exactly(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    wanted = replace(
        record,
        annotations=(MODEL_BOX, box()),
        deleted=(replace(MODEL_BOX, annotation_id=new_id()),),
        status=ReviewStatus.REJECTED,
        comment="too dark – go nearer",
        tags=("night", "rain"),
    )
    saved = store.save(scope, wanted)
    assert saved == replace(wanted, revision=1)
    assert store.record(scope, record.image_id) == saved


def test_time_of_a_change_keeps_its_zone(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    saved = store.save(scope, record.with_annotations([MODEL_BOX]))
    assert saved.annotations[0].changed_at == MODEL_BOX.changed_at
    assert saved.annotations[0].changed_at.utcoffset() is not None


def test_record_without_a_difference_is_not_saved(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    saved = store.save(scope, record.with_annotations([box()]))
    assert store.save(scope, saved) == saved
    assert len(store.history(scope, record.image_id)) == 1


def test_who_and_when_alone_are_no_difference(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    saved = store.save(scope, record.with_annotations([box()]))
    stamped = replace(saved.annotations[0], changed_by="bob", changed_at=utc_now())
    assert store.save(scope, saved.with_annotations([stamped])) == saved


def test_each_annotation_that_changes_is_an_event(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    kept, moved, gone = box(at=1), box(at=2), box(at=3)
    saved = store.save(scope, record.with_annotations([kept, moved, gone]))
    new = box(at=4)
    store.save(
        scope,
        replace(
            saved.with_annotations([kept, moved.touched(who="ann", label="dog"), new]),
            status=ReviewStatus.EDITED,
        ),
    )
    events = store.history(scope, record.image_id)[3:]
    told = {
        event.annotation_id: (event.before is not None, event.after is not None)
        for event in events
    }
    assert told == {
        moved.annotation_id: (True, True),
        gone.annotation_id: (True, False),
        new.annotation_id: (False, True),
        None: (True, True),
    }
    assert {event.who for event in events} == {"ann"}
    assert {event.revision for event in events} == {2}


def test_box_keeps_its_place_in_the_order(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    first, second = box(at=1), box(at=2)
    saved = store.save(scope, record.with_annotations([first, second]))
    moved = first.touched(who="ann", box=Box(5, 5, 9, 9))
    saved = store.save(scope, saved.with_annotations([moved, second, box(at=3)]))
    assert [annotation.box.x_min for annotation in saved.annotations] == [5, 2, 3]


def test_mark_of_a_model_box_is_kept(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    saved = store.save(scope, record.with_annotations([MODEL_BOX]))
    saved = store.save(scope, replace(saved, annotations=(), deleted=(MODEL_BOX,)))
    assert saved.annotations == ()
    assert saved.deleted == (MODEL_BOX,)


def test_box_of_a_person_leaves_no_mark(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    drawn = box()
    saved = store.save(scope, record.with_annotations([drawn]))
    saved = store.save(scope, replace(saved, annotations=(), deleted=(drawn,)))
    assert saved.deleted == ()


def test_unknown_labels_join_the_dataset(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    store.add_labels(scope, ["cat"])
    store.save(scope, record.with_annotations([box("dog"), box("cat"), box("ant")]))
    assert store.labels(scope).names == ("cat", "dog", "ant")


def test_newer_revision_is_not_saved_over(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    theirs = store.save(
        replace(scope, who="bob"), record.with_annotations([box("dog")])
    )
    ours = record.with_annotations([box("cat")])
    with pytest.raises(RevisionConflictError, match=r"cat\.jpg") as conflict:
        store.save(scope, ours)
    assert (conflict.value.ours, conflict.value.theirs) == (ours, theirs)
    assert store.record(scope, record.image_id) == theirs
    assert store.labels(scope).names == ("dog",)


def test_saving_the_same_twice_is_no_conflict(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    wanted = record.with_annotations([box()])
    saved = store.save(scope, wanted)
    assert store.save(scope, wanted) == saved


def test_removed_image_cannot_be_saved(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    store.remove_images(scope, [record.image_id])
    with pytest.raises(NotFoundError):
        store.save(scope, record.with_annotations([box()]))


def test_texts_are_cleaned_and_then_compare_equal(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    dirty = replace(record.with_annotations([box("c\0at")]), comment="d\0ark\ud800")
    saved = store.save(scope, dirty)
    assert (saved.annotations[0].label, saved.comment) == ("cat", "dark")
    assert store.save(scope, replace(dirty, revision=1)) == saved


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (box("  "), "needs a label"),
        (Annotation(Box(0, 0, float("nan"), 1), "cat"), "no number"),
    ],
    ids=["no label", "not a number"],
)
def test_box_that_cannot_be_kept_is_refused(
    store: Store,
    scope: Scope,
    record: ImageRecord,
    annotation: Annotation,
    message: str,
) -> None:
    with pytest.raises(StoreError, match=message):
        store.save(scope, record.with_annotations([annotation]))


def test_two_boxes_of_one_id_are_a_mistake(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    with pytest.raises(ValueError, match="two annotations"):
        store.save(scope, record.with_annotations([MODEL_BOX, MODEL_BOX]))


def test_many_records_are_one_change(store: Store, scope: Scope) -> None:
    added = [add_image(store, scope, f"{number}.jpg") for number in range(60)]
    report = store.save_many(
        scope, [record.with_annotations([box()]) for record in added]
    )
    assert [record.image_id for record in report.saved] == [
        record.image_id for record in added
    ]
    assert len(store.undo(scope).image_ids) == 60
    assert not store.can_undo(scope)


def test_conflict_stops_no_other_record(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    other, gone = add_image(store, scope, "dog.jpg"), add_image(store, scope, "x.jpg")
    store.save(scope, record.with_annotations([box()]))
    store.remove_images(scope, [gone.image_id])
    edited = [r.with_annotations([box("dog")]) for r in (record, other, gone)]
    report = store.save_many(scope, edited)
    assert [saved.image_id for saved in report.saved] == [other.image_id]
    (conflict,) = report.conflicts
    assert conflict.ours.image_id == record.image_id
    assert report.missing == (gone.image_id,)


def test_rest_of_a_change_that_was_undone_is_left_out(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    other = add_image(store, scope, "dog.jpg")
    store.save(scope, record.with_annotations([box()]), change_id="bulk")
    store.undo(scope)
    with pytest.raises(StoreError, match="taken back"):
        store.save(scope, other.with_annotations([box()]), change_id="bulk")


def test_version_differs_after_every_change(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    seen = [store.version(scope)]
    saved = store.save(scope, record.with_annotations([box()]))
    seen.append(store.version(scope))
    store.undo(scope)
    seen.append(store.version(scope))
    store.add_labels(scope, ["dog"])
    seen.append(store.version(scope))
    store.remove_images(scope, [saved.image_id])
    seen.append(store.version(scope))
    assert len(set(seen)) == len(seen)


def test_writers_at_once_lose_nothing(store: Store, scope: Scope) -> None:
    images = [add_image(store, scope, f"{number}.jpg") for number in range(4)]

    def edit(worker: int) -> None:
        who = replace(scope, who=f"worker {worker}")
        for number in range(6):
            image_id = images[(worker + number) % len(images)].image_id
            _add_box(store, who, image_id, label=f"{worker}-{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(edit, range(4)))
    found = {label for record in store.records(scope) for label in record.labels}
    assert found == {f"{worker}-{number}" for worker in range(4) for number in range(6)}


def _add_box(store: Store, scope: Scope, image_id: str, *, label: str) -> None:
    while True:
        now = store.record(scope, image_id)
        try:
            store.save(scope, now.with_annotations([*now.annotations, box(label)]))
        except RevisionConflictError:
            continue
        return
