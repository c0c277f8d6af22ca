"""What figures are drawn from: columns, decisions, moments and thresholds kept."""

from dataclasses import replace

import pytest

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    Quality,
    ReviewStatus,
    Source,
)
from imagebase.detection.merge import keep_detections
from imagebase.editing.records import (
    accept_all,
    approve,
    delete_annotations,
    move,
    relabel,
    tagged,
)
from imagebase.review.corrections import Decision, Fate, decisions_in
from imagebase.store import Scope, Store
from imagebase.store.label_changes import TakenBoxes
from tests.store.fixtures import SIZE, add_image, box, scope_of

PLACE = Box(1, 2, 11, 12)


def found(label: str = "dog", *, sure: float = 0.5, at: float = 0.0) -> Annotation:
    """Return an untouched box of a model."""
    return Annotation(
        Box(1 + at, 2, 11 + at, 12),
        label,
        source=Source.MODEL,
        confidence=sure,
        model_id="m",
        changed_by="m",
    )


@pytest.fixture
def kept(store: Store, scope: Scope) -> ImageRecord:
    """An image on which a model found four things, as the job keeps them."""
    record = add_image(store, scope)
    boxes = [found(sure=0.3 + at / 100, at=at) for at in (0, 12, 24, 36)]
    return store.save(scope, keep_detections(record, boxes, model_id="m"))


def ids(record: ImageRecord) -> list[str]:
    return [annotation.annotation_id for annotation in record.annotations]


def fates(store: Store, scope: Scope) -> list[str]:
    return sorted(decision.fate for decision in decisions_in(store, scope))


def only(store: Store, scope: Scope) -> Decision:
    (decision,) = decisions_in(store, scope)
    return decision


def test_columns_hold_every_image_and_every_box_that_shows(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    store.save(scope, delete_annotations(kept, {ids(kept)[0]}))
    quality = Quality(1.0, 2.0, 3.0, "00000000000000ff", ("dark",))
    measured = store.add_image(
        scope, b"dark", file_name="dark.jpg", size=SIZE, quality=quality
    ).record
    store.save(scope, approve(tagged(measured, ["night"]), who="ann"))
    add_image(store, scope_of(store, "team", who="ann"), "other.jpg")
    images, boxes = store.health_tables(scope)
    assert images.image_ids == (kept.image_id, measured.image_id)
    assert images.size.tolist() == [list(SIZE), list(SIZE)]
    assert images.status == (ReviewStatus.EDITED, ReviewStatus.APPROVED)
    assert images.tags == ((), ("night",))
    assert images.warnings == ((), ("dark",))
    assert images.difference_hash == ("", "00000000000000ff")
    assert boxes.labels == ("dog",)
    assert boxes.image.tolist() == [0, 0, 0]
    assert boxes.xyxy.tolist() == [
        list(annotation.box) for annotation in kept.annotations[1:]
    ]


def test_columns_of_an_empty_dataset_have_their_shapes(
    store: Store, scope: Scope
) -> None:
    images, boxes = store.health_tables(scope)
    assert images.size.shape == (0, 2)
    assert boxes.xyxy.shape == (0, 4)
    assert decisions_in(store, scope) == []
    assert store.approved_boxes(scope) == {}
    assert store.finished_moments(scope) == []


def test_untouched_boxes_are_not_decided(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    assert decisions_in(store, scope) == []


def test_each_thing_a_person_does_to_a_models_box_is_told(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    first, second, third, _ = ids(kept)
    moved = kept.annotation(second).box._replace(y_max=7)
    after = delete_annotations(kept, {first})
    after = move(after, second, moved, who="ann")
    after = relabel(after, {third}, "cat", who="ann")
    saved = store.save(scope, accept_all(after, who="ann"))
    told = {decision.fate: decision for decision in decisions_in(store, scope)}
    assert len(told) == 4
    assert told[Fate.DELETED].confidence == pytest.approx(0.3)
    assert told[Fate.MOVED].confidence == pytest.approx(0.42)
    assert told[Fate.MOVED].iou == pytest.approx(0.5)
    assert told[Fate.RELABELLED].new_label == "cat"
    assert told[Fate.RELABELLED].confidence == pytest.approx(0.54)
    assert told[Fate.KEPT].model_id == "m"
    assert {decision.label for decision in told.values()} == {"dog"}
    events = store.history(scope, saved.image_id)
    assert {decision.decided_at for decision in told.values()} == {
        events[-1].changed_at
    }


def test_a_box_moved_thrice_is_one_moved_box(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    record = kept
    for edge in (11, 10, 7):
        box_now = record.annotations[0].box._replace(y_max=edge)
        record = store.save(scope, move(record, ids(kept)[0], box_now, who="ann"))
    assert only(store, scope).fate is Fate.MOVED
    # From where the model had it: 10 × 10 became 10 × 5.
    assert only(store, scope).iou == pytest.approx(0.5)


def test_what_was_undone_never_happened_and_redone_did(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    store.save(scope, delete_annotations(kept, {ids(kept)[0]}))
    store.undo(scope)
    assert decisions_in(store, scope) == []
    store.redo(scope)
    assert only(store, scope).fate is Fate.DELETED


def test_undoing_the_keeping_leaves_no_deleted_boxes(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    store.undo(scope)
    assert decisions_in(store, scope) == []


def test_boxes_that_a_run_replaced_were_not_deleted_by_anybody(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    store.save(scope, keep_detections(kept, [found(at=40)], model_id="m"))
    assert decisions_in(store, scope) == []


def test_a_box_that_was_moved_and_then_deleted_was_deleted(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    moved = store.save(scope, move(kept, ids(kept)[0], Box(1, 2, 9, 9), who="ann"))
    store.save(scope, delete_annotations(moved, {ids(kept)[0]}))
    assert only(store, scope).fate is Fate.DELETED
    assert only(store, scope).confidence == pytest.approx(0.3)


def test_drawn_boxes_count_while_they_are_there_and_imported_ones_never(
    store: Store, scope: Scope
) -> None:
    record = add_image(store, scope)
    imported = replace(box("cat", at=20), source=Source.IMPORT)
    record = store.save(scope, record.with_annotations([box("bus"), imported]))
    assert only(store, scope).fate is Fate.ADDED
    assert only(store, scope).label == "bus"
    record = store.save(scope, relabel(record, set(ids(record)), "tram", who="ann"))
    assert only(store, scope).label == "tram"
    store.save(scope, delete_annotations(record, set(ids(record))))
    assert decisions_in(store, scope) == []


def test_a_label_with_another_name_is_no_correction(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    first, second, *_ = ids(kept)
    after = move(kept, first, Box(1, 2, 11, 9), who="ann")
    store.save(scope, relabel(after, {second}, "cat", who="ann"))
    class_id = store.labels(scope).class_id("dog")
    store.rename_label(scope, class_id, "hound")
    told = {
        decision.fate: (decision.label, decision.new_label)
        for decision in decisions_in(store, scope)
    }
    assert told == {Fate.MOVED: ("hound", ""), Fate.RELABELLED: ("hound", "cat")}


def test_decisions_outlive_an_image_that_was_changed_with_them(
    store: Store, scope: Scope
) -> None:
    records = [add_image(store, scope, name) for name in ("a.jpg", "b.jpg")]
    boxed = [keep_detections(record, [found()], model_id="m") for record in records]
    saved = store.save_many(scope, boxed).saved
    changed = [
        move(record, ids(record)[0], Box(1, 2, 9, 9), who="ann") for record in saved
    ]
    store.save_many(scope, changed)
    # Undo could not take the change back whole any more; what it did is still told.
    store.remove_images(scope, [records[1].image_id])
    assert only(store, scope).fate is Fate.MOVED
    assert only(store, scope).iou == pytest.approx(0.56)


def test_nobody_elses_decisions_are_told(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    store.save(scope, approve(kept, who="ann"))
    other = scope_of(store, "team", who="ann", name="Other")
    assert decisions_in(store, other) == []
    assert fates(store, scope) == ["kept"] * 4


def test_boxes_of_approved_images_say_who_drew_them(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    drawn = replace(box("cat", at=30), changed_by="ann")
    after = move(kept, ids(kept)[0], Box(1, 2, 9, 9), who="ann")
    after = delete_annotations(after, set(ids(kept)[1:]))
    after = after.with_annotations([*after.annotations, drawn])
    store.save(scope, approve(after, who="ann"))
    empty = add_image(store, scope, "empty.jpg")
    store.save(scope, approve(empty, who="ann"))
    add_image(store, scope, "new.jpg")
    moved, own = store.approved_boxes(scope)[kept.image_id]
    assert (moved.box, moved.source, moved.model_id) == (
        Box(1, 2, 9, 9),
        Source.HUMAN,
        "m",
    )
    assert own == drawn
    assert store.approved_boxes(scope).keys() == {kept.image_id, empty.image_id}
    assert store.approved_boxes(scope)[empty.image_id] == []


def test_moments_are_ones_own_last_change_of_each_image_by_itself(
    store: Store, scope: Scope
) -> None:
    records = [add_image(store, scope, f"{name}.jpg") for name in "abcd"]
    for record in (records[0], records[1], records[0]):
        now = store.record(scope, record.image_id)
        tags = [*now.tags, f"{len(now.tags)}"]
        store.save(scope, tagged(now, tags))
    bulk = [approve(record, who="ann") for record in records[2:]]
    store.save_many(scope, bulk)
    bob = replace(scope, who="bob")
    store.save(bob, tagged(store.record(bob, records[2].image_id), ["his"]))
    store.save(scope, tagged(store.record(scope, records[3].image_id), ["undone"]))
    store.undo(scope)
    last = [
        store.history(scope, record.image_id)[-1].changed_at for record in records[:2]
    ]
    assert sorted(store.finished_moments(scope)) == sorted(last)


def test_thresholds_are_kept_by_dataset_and_model(store: Store, scope: Scope) -> None:
    other = scope_of(store, "team", who="ann", name="Other")
    assert store.label_thresholds(scope, "m") == {}
    store.save_label_thresholds(scope, "m", {"dog": 0.4, "cat": 0.3})
    store.save_label_thresholds(scope, "n", {"dog": 0.9})
    store.save_label_thresholds(other, "m", {"dog": 0.8})
    store.save_label_thresholds(scope, "m", {"dog": 0.45})
    assert store.label_thresholds(scope, "m") == {"dog": 0.45}
    assert store.label_thresholds(scope, "n") == {"dog": 0.9}
    assert store.label_thresholds(other, "m") == {"dog": 0.8}
    store.save_label_thresholds(scope, "m", {})
    assert store.label_thresholds(scope, "m") == {}


def test_boxes_of_a_merged_label_are_no_corrections(
    store: Store, scope: Scope, kept: ImageRecord
) -> None:
    store.add_labels(scope, ["pet"])
    names = store.labels(scope)
    store.save(scope, accept_all(kept, who="ann"))
    taken = store.merge_label(scope, names.class_id("dog"), into=names.class_id("pet"))
    assert isinstance(taken, TakenBoxes)
    assert {
        (decision.fate, decision.label) for decision in decisions_in(store, scope)
    } == {(Fate.KEPT, "pet")}
