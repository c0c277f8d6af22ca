from collections.abc import Iterable
from dataclasses import replace

import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Source
from imagebase.errors import EditError
from imagebase.review.bulk_edits import (
    BulkReport,
    ShownImage,
    accept_above,
    accept_boxes,
    accept_suggestions,
    add_tags,
    approve_as_shown,
    approve_images,
    copy_on,
    delete_boxes,
    reject_images,
    reject_suggestions,
    relabel_boxes,
)
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image


def model_box(label: str, *, at: float) -> Annotation:
    box = Box(at, at, at + 10, at + 8)
    return Annotation(box, label, source=Source.MODEL, confidence=0.6, model_id="m")


@pytest.fixture
def records(store: Store, scope: Scope) -> list[ImageRecord]:
    """Two images with a cat and a dog of a model's each, and one without a box."""
    for name in ("a.jpg", "b.jpg"):
        record = add_image(store, scope, name)
        boxes = [model_box("cat", at=1), model_box("dog", at=20)]
        boxed = replace(record, annotations=tuple(boxes), status=ReviewStatus.SUGGESTED)
        store.save(scope, boxed, change_id="boxes")
    add_image(store, scope, "c.jpg")
    return store.records(scope)


@pytest.fixture
def bob(scope: Scope) -> Scope:
    """Somebody else in the same dataset."""
    return Scope(scope.owner_id, scope.dataset_id, "bob")


def ids(records: Iterable[ImageRecord]) -> list[str]:
    return [record.image_id for record in records]


def cats(records: Iterable[ImageRecord]) -> list[tuple[str, str]]:
    return [
        (record.image_id, box.annotation_id)
        for record in records
        for box in record.annotations
        if box.label == "cat"
    ]


def content(store: Store, scope: Scope) -> list[tuple[object, ...]]:
    """Return everything of the records but what an undo has to change: the revision."""
    return [
        (record.annotations, record.deleted, record.status, record.comment)
        for record in store.records(scope)
    ]


def test_approved_images_have_their_boxes_accepted(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    assert approve_images(store, scope, ids(records)) == BulkReport(3, boxes=4)
    after = store.records(scope)
    assert {record.status for record in after} == {ReviewStatus.APPROVED}
    assert all(box.accepted for record in after for box in record.annotations)
    assert [record.is_confirmed_empty for record in after] == [False, False, True]


def test_rejected_images_say_why(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    report = reject_images(store, scope, ids(records[:2]), comment="a tail is missing")
    assert report == BulkReport(changed=2)
    first, second, third = store.records(scope)
    assert first.status is second.status is ReviewStatus.REJECTED
    assert first.comment == "a tail is missing"
    assert third == records[2]


def test_rejecting_without_a_reason_changes_nothing(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    with pytest.raises(EditError):
        reject_images(store, scope, ids(records), comment="  ")
    assert store.records(scope) == records


def test_relabelled_boxes_become_a_persons_and_others_stay(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    report = relabel_boxes(store, scope, cats(records), label="lynx")
    assert report == BulkReport(changed=2, boxes=2)
    for before, after in zip(records[:2], store.records(scope), strict=False):
        lynx = after.annotation(before.annotations[0].annotation_id)
        assert (lynx.label, lynx.source) == ("lynx", Source.HUMAN)
        assert before.annotations[1] in after.annotations
    assert "lynx" in store.labels(scope).names


def test_deleted_model_boxes_leave_marks(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    assert delete_boxes(store, scope, cats(records)) == BulkReport(2, boxes=2)
    first, *_ = store.records(scope)
    assert first.labels == ("dog",)
    assert [mark.label for mark in first.deleted] == ["cat"]


def test_accepted_boxes_stay_as_they_are_and_count_as_a_persons(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    report = accept_boxes(store, scope, cats(records))
    assert report == BulkReport(changed=2, boxes=2)
    for record in store.records(scope)[:2]:
        cat, dog = record.annotations
        assert (cat.accepted, cat.confidence, dog.accepted) == (True, 0.6, False)
        assert record.status is ReviewStatus.EDITED


def test_sure_boxes_are_accepted_on_images_that_nobody_has_decided_on(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    first, second, _ = records
    reject_images(store, scope, [first.image_id], comment="no")
    weak = replace(model_box("cat", at=30), confidence=0.59)
    store.save(scope, second.with_annotations([*second.annotations, weak]))
    told: list[tuple[int, int]] = []
    counted = store.count_acceptable(scope, labels=["cat"], min_confidence=0.6)
    report = accept_above(
        store,
        scope,
        labels=["cat"],
        min_confidence=0.6,
        on_progress=lambda done, of: told.append((done, of)),
    )
    assert report == BulkReport(changed=1, boxes=1)
    assert (counted.boxes, counted.images, counted.labels) == (1, 1, 1)
    assert told == [(1, 1)]
    _, after, _ = store.records(scope)
    assert [box.accepted for box in after.annotations] == [True, False, False]
    assert store.record(scope, first.image_id).status is ReviewStatus.REJECTED
    every = accept_above(store, scope, labels=None, min_confidence=0.0)
    assert every == BulkReport(changed=1, boxes=2)


@pytest.mark.parametrize(
    "action", ["approve", "reject", "relabel", "delete", "accept", "above"]
)
def test_one_undo_takes_a_bulk_action_back(
    store: Store, scope: Scope, records: list[ImageRecord], action: str
) -> None:
    before = content(store, scope)
    if action == "approve":
        approve_images(store, scope, ids(records))
    elif action == "reject":
        reject_images(store, scope, ids(records), comment="no")
    elif action == "relabel":
        relabel_boxes(store, scope, cats(records), label="lynx")
    elif action == "accept":
        accept_boxes(store, scope, cats(records))
    elif action == "above":
        accept_above(store, scope, labels=["dog"], min_confidence=0.6)
    else:
        delete_boxes(store, scope, cats(records))
    assert content(store, scope) != before
    store.undo(scope)
    assert content(store, scope) == before


def test_action_over_more_images_than_a_transaction_takes_is_one_change(
    store: Store, scope: Scope
) -> None:
    added = [add_image(store, scope, f"{number}.jpg") for number in range(120)]
    assert approve_images(store, scope, ids(added)).changed == 120
    store.undo(scope)
    assert {record.status for record in store.records(scope)} == {ReviewStatus.NEW}


def test_action_that_changes_nothing_counts_nothing_and_costs_no_undo(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    approve_images(store, scope, ids(records))
    after = store.records(scope)
    assert approve_images(store, scope, ids(records)) == BulkReport(changed=0)
    nothing: list[tuple[str, str]] = []
    assert delete_boxes(store, scope, nothing) == BulkReport(changed=0)
    assert store.records(scope) == after


def test_image_named_twice_is_changed_once(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    twice = ids(records[:1]) * 2
    assert approve_images(store, scope, twice) == BulkReport(changed=1, boxes=2)


def test_images_that_were_removed_are_counted_and_stop_nothing(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    store.remove_images(scope, ids(records[:1]))
    report = approve_images(store, scope, ids(records))
    assert report == BulkReport(changed=2, boxes=2, missing=1)


def test_image_that_somebody_changed_meanwhile_is_a_conflict_and_stays_theirs(
    store: Store,
    scope: Scope,
    bob: Scope,
    records: list[ImageRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = store.records

    def and_then_bob_is_quicker(
        scope: Scope, *, image_ids: Iterable[str]
    ) -> list[ImageRecord]:
        found = read(scope, image_ids=image_ids)
        reject_images_of_bob(found)
        return found

    def reject_images_of_bob(found: list[ImageRecord]) -> None:
        monkeypatch.undo()
        reject_images(store, bob, ids(found[:1]), comment="mine")

    monkeypatch.setattr(store, "records", and_then_bob_is_quicker)
    report = approve_images(store, scope, ids(records))
    assert report == BulkReport(changed=2, boxes=2, conflicts=1, names=("a.jpg",))
    first, *others = store.records(scope)
    assert (first.status, first.comment) == (ReviewStatus.REJECTED, "mine")
    assert {other.status for other in others} == {ReviewStatus.APPROVED}


def test_nobody_reaches_images_of_another_dataset(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    created = store.create_dataset("stranger", "Theirs", who="eve")
    eve = Scope("stranger", created.dataset_id, "eve")
    report = approve_images(store, eve, ids(records))
    assert report == BulkReport(changed=0, missing=3)
    assert store.records(scope) == records


def test_image_that_moved_on_since_it_was_looked_at_is_left_alone(
    store: Store, scope: Scope, records: list[ImageRecord], bob: Scope
) -> None:
    seen = {record.image_id: record.revision for record in records}
    store.save(bob, records[0].with_annotations([model_box("bird", at=5)]))
    report = approve_images(store, scope, ids(records), seen=seen)
    assert report == BulkReport(changed=2, boxes=2, conflicts=1, names=("a.jpg",))
    assert store.record(scope, records[0].image_id).status is ReviewStatus.SUGGESTED
    report = delete_boxes(store, scope, cats(records), seen=seen)
    assert report == BulkReport(changed=0, conflicts=2, names=("a.jpg", "b.jpg"))


def suggestions(record: ImageRecord) -> list[Annotation]:
    return [
        replace(model_box("dog", at=at), annotation_id=f"{record.image_id[:8]}-{at}")
        for at in (1, 20)
    ]


def test_suggestions_are_saved_as_accepted_boxes_with_one_undo(
    store: Store, scope: Scope
) -> None:
    store.add_labels(scope, ["dog"])
    records = [add_image(store, scope, name) for name in ("a.jpg", "b.jpg")]
    chosen = {record.image_id: suggestions(record)[:1] for record in records}
    report = accept_suggestions(store, scope, chosen, seen={})
    assert (report.changed, report.boxes) == (2, 2)
    for record in store.records(scope):
        (saved,) = record.annotations
        assert saved.accepted
        assert saved.source is Source.MODEL
    store.undo(scope)
    assert all(not record.annotations for record in store.records(scope))


def test_rejected_suggestions_leave_marks_with_one_undo(
    store: Store, scope: Scope
) -> None:
    store.add_labels(scope, ["dog"])
    record = add_image(store, scope)
    report = reject_suggestions(
        store, scope, {record.image_id: suggestions(record)}, seen={}
    )
    assert (report.changed, report.boxes) == (1, 2)
    saved = store.record(scope, record.image_id)
    assert not saved.annotations
    assert [mark.label for mark in saved.deleted] == ["dog", "dog"]
    store.undo(scope)
    assert store.record(scope, record.image_id).deleted == ()


def test_suggestions_of_an_image_that_someone_saved_since_stay(
    store: Store, scope: Scope
) -> None:
    store.add_labels(scope, ["dog"])
    record = add_image(store, scope)
    chosen = {record.image_id: suggestions(record)}
    store.save(scope, replace(record, tags=("night",)))
    report = accept_suggestions(store, scope, chosen, seen={record.image_id: 0})
    assert (report.changed, report.conflicts) == (0, 1)


def test_images_are_approved_with_exactly_the_boxes_on_screen(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    first, second, empty = records
    suggested, unwanted = model_box("bird", at=40), model_box("fish", at=60)
    added = Annotation(Box(5, 5, 20, 20), "cow")
    shown = {
        first.image_id: ShownImage(
            first.revision,
            (suggested, unwanted),
            frozenset([unwanted.annotation_id, first.annotations[0].annotation_id]),
            (added,),
        ),
        empty.image_id: ShownImage(empty.revision),
    }

    assert approve_as_shown(store, scope, shown) == BulkReport(2, boxes=5)

    after = store.records(scope)
    assert [record.status for record in after] == [
        ReviewStatus.APPROVED,
        ReviewStatus.SUGGESTED,
        ReviewStatus.APPROVED,
    ]
    assert [box.label for box in after[0].annotations] == ["dog", "bird", "cow"]
    assert all(not box.is_untouched for box in after[0].annotations)
    assert {box.label for box in after[0].deleted} == {"cat", "fish"}
    assert after[1] == second
    store.undo(scope)
    assert [(r.status, r.annotations) for r in store.records(scope)] == [
        (r.status, r.annotations) for r in records
    ]


def test_an_image_that_was_saved_since_is_not_approved_as_shown(
    store: Store, scope: Scope, bob: Scope, records: list[ImageRecord]
) -> None:
    shown = {record.image_id: ShownImage(record.revision) for record in records}
    delete_boxes(store, bob, cats(records[:1]))

    report = approve_as_shown(store, scope, shown)

    assert (report.changed, report.conflicts) == (2, 1)
    assert report.names == ("a.jpg",)
    assert store.records(scope)[0].status is ReviewStatus.EDITED


def test_boxes_copied_on_are_one_change(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    first, second, third = records
    cat = first.annotations[0]
    source = replace(first, annotations=(replace(cat, box=Box(2, 30, 20, 46)),))
    seen = {second.image_id: second.revision - 1, third.image_id: third.revision}
    report = copy_on(store, scope, source, ids(records)[1:], seen=seen)
    assert (report.changed, report.boxes, report.conflicts) == (1, 1, 1)
    report = copy_on(store, scope, source, ids(records)[1:])
    assert (report.changed, report.boxes) == (1, 1)
    assert [len(record.annotations) for record in store.records(scope)] == [2, 3, 1]
    store.undo(scope)
    store.undo(scope)
    assert store.records(scope)[1].annotations == second.annotations
    assert store.records(scope)[2].annotations == ()


def test_added_tags_leave_the_review_state(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    approve_images(store, scope, [records[1].image_id])
    before = [record.status for record in store.records(scope)]
    report = add_tags(store, scope, {name: ["day", "street"] for name in ids(records)})
    assert report.changed == 3
    after = store.records(scope)
    assert [record.tags for record in after] == [("day", "street")] * 3
    assert [record.status for record in after] == before
    store.undo(scope)
    assert not any(record.tags for record in store.records(scope))


def test_image_with_the_most_tags_is_left_out_and_named(
    store: Store, scope: Scope, records: list[ImageRecord]
) -> None:
    full = [f"tag {number}" for number in range(50)]
    add_tags(store, scope, {records[1].image_id: full})
    report = add_tags(store, scope, {name: ["day"] for name in ids(records)})
    assert (report.changed, report.full) == (2, ("b.jpg",))
    after = [record.tags for record in store.records(scope)]
    assert after == [("day",), tuple(full), ("day",)]
    # One that bears it already is not left out.
    again = add_tags(store, scope, {name: ["tag 3"] for name in ids(records)})
    assert (again.changed, again.full) == (2, ())
