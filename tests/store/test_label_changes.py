"""Labels renamed, coloured, ordered, merged, deleted, and all of it taken back."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    LabelSet,
    ReviewStatus,
    Source,
)
from imagebase.errors import (
    NotFoundError,
    RevisionConflictError,
    StoreError,
    UndoRefusedError,
)
from imagebase.formats.file_names import build_export_set
from imagebase.images.draw import draw_annotations
from imagebase.store import Scope, Store
from imagebase.store.label_changes import TakenBoxes
from tests.formats.builders import written
from tests.store.fixtures import SIZE, add_image, box

DOG, CAT, ANT = range(3)


@pytest.fixture
def bob(scope: Scope) -> Scope:
    return replace(scope, who="bob")


@pytest.fixture
def image_id(store: Store, scope: Scope) -> str:
    """An approved image with a dog and two cats, one of them a model's."""
    store.add_labels(scope, ["dog", "cat", "ant"])
    record = add_image(store, scope, "one.jpg")
    boxes = [box("dog", at=1), box("cat", at=2), model_box("cat", at=3)]
    approved = replace(record, annotations=tuple(boxes), status=ReviewStatus.APPROVED)
    return store.save(scope, approved).image_id


def model_box(label: str, *, at: float) -> Annotation:
    return Annotation(
        Box(at, at, at + 10, at + 8),
        label,
        source=Source.MODEL,
        confidence=0.5,
        model_id="tiny",
    )


def names_on(record: ImageRecord) -> list[str]:
    return [annotation.label for annotation in record.annotations]


def content(store: Store, scope: Scope) -> tuple[Any, ...]:
    """Return everything that a person sees of labels and boxes."""
    boxes = [replace(record, revision=0) for record in store.records(scope)]
    return store.labels(scope), store.label_counts(scope), boxes


def test_rename_reaches_every_box_and_no_status(
    store: Store, scope: Scope, image_id: str
) -> None:
    before = store.record(scope, image_id)
    version = store.version(scope)
    store.rename_label(scope, CAT, "kitten")
    assert store.labels(scope).names == ("dog", "kitten", "ant")
    after = store.record(scope, image_id)
    assert names_on(after) == ["dog", "kitten", "kitten"]
    assert after.status is ReviewStatus.APPROVED
    assert [annotation.source for annotation in after.annotations] == [
        annotation.source for annotation in before.annotations
    ]
    assert store.version(scope) != version


def test_name_of_another_label_is_refused_and_merging_offered(
    store: Store, scope: Scope, image_id: str
) -> None:
    with pytest.raises(StoreError, match="label dog already; merge cat into it"):
        store.rename_label(scope, CAT, "dog")
    with pytest.raises(StoreError, match="needs a name"):
        store.rename_label(scope, CAT, "  ")
    assert names_on(store.record(scope, image_id)) == ["dog", "cat", "cat"]


def test_label_keeps_its_name_without_a_change(
    store: Store, scope: Scope, image_id: str
) -> None:
    version = store.version(scope)
    store.rename_label(scope, CAT, "cat")
    store.order_labels(scope, [DOG, CAT, ANT])
    store.recolour_label(scope, CAT, store.labels(scope).colour_of("cat").lower())
    assert store.version(scope) == version
    store.undo(scope)
    assert store.record(scope, image_id).annotations == ()


CHANGES: dict[str, Callable[[Store, Scope], object]] = {
    "add": lambda store, scope: store.add_label(scope, "bee", tint="#123456"),
    "rename": lambda store, scope: store.rename_label(scope, CAT, "kitten"),
    "recolour": lambda store, scope: store.recolour_label(scope, CAT, "#abcdef"),
    "order": lambda store, scope: store.order_labels(scope, [ANT, DOG]),
    "merge": lambda store, scope: store.merge_label(scope, CAT, into=ANT),
    "delete": lambda store, scope: store.delete_label(scope, CAT, with_boxes=True),
    "delete empty": lambda store, scope: store.delete_label(scope, ANT),
}
TOLD = {
    "add": "Undone: the label bee is deleted.",
    "rename": "Undone: kitten is called cat.",
    "recolour": "Undone: cat has another colour.",
    "order": "Undone: the labels have another order.",
    "merge": "Undone on one.jpg: 2 boxes changed, the label cat is there again.",
    "delete": "Undone on one.jpg: 2 boxes put back, the label cat is there again.",
    "delete empty": "Undone: the label ant is there again.",
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_is_undone_and_done_again_whole(
    store: Store, scope: Scope, image_id: str, name: str
) -> None:
    before = content(store, scope)
    CHANGES[name](store, scope)
    after = content(store, scope)
    assert after != before
    for _ in range(2):
        undone = store.undo(scope)
        assert undone.description == TOLD[name]
        labels, *rest = content(store, scope)
        assert LabelSet(labels.labels[:3]) == before[0]
        assert labels.shown == before[0].shown
        assert rest == list(before[1:])
        assert store.redo(scope).description.startswith("Done again")
        assert content(store, scope) == after


def test_all_changes_are_taken_back_one_by_one(
    store: Store, scope: Scope, image_id: str
) -> None:
    steps = [content(store, scope)]
    for change in (
        lambda: store.rename_label(scope, CAT, "kitten"),
        lambda: store.merge_label(scope, CAT, into=DOG),
        lambda: store.rename_label(scope, DOG, "kitten"),
        lambda: store.order_labels(scope, [ANT, DOG]),
        lambda: store.delete_label(scope, DOG, with_boxes=True),
    ):
        change()
        steps.append(content(store, scope))
    for before in reversed(steps[:-1]):
        store.undo(scope)
        assert content(store, scope) == before
    for after in steps[1:]:
        store.redo(scope)
        assert content(store, scope) == after


def test_merged_boxes_stay_what_they_were(
    store: Store, scope: Scope, image_id: str
) -> None:
    before = store.record(scope, image_id)
    taken = store.merge_label(scope, CAT, into=DOG)
    assert taken == TakenBoxes(boxes=2, images=1)
    after = store.record(scope, image_id)
    assert after.status is ReviewStatus.APPROVED
    assert after.annotations == tuple(
        replace(annotation, label="dog") for annotation in before.annotations
    )
    assert store.labels(scope).names == ("dog", "cat", "ant")
    assert store.labels(scope).shown_names == ("dog", "ant")
    with pytest.raises(StoreError, match="into itself"):
        store.merge_label(scope, DOG, into=DOG)
    with pytest.raises(NotFoundError, match="no longer exists"):
        store.merge_label(scope, DOG, into=CAT)


def test_marks_of_deleted_boxes_go_with_their_label(
    store: Store, scope: Scope, image_id: str
) -> None:
    record = store.record(scope, image_id)
    *boxes, mark = record.annotations
    store.save(scope, replace(record, annotations=tuple(boxes), deleted=(mark,)))
    assert store.merge_label(scope, CAT, into=ANT) == TakenBoxes(boxes=1, images=1)
    store.rename_label(scope, ANT, "insect")
    assert [mark.label for mark in store.record(scope, image_id).deleted] == ["insect"]


def test_label_with_boxes_is_deleted_only_with_them(
    store: Store, scope: Scope, image_id: str
) -> None:
    with pytest.raises(StoreError, match="cat has boxes"):
        store.delete_label(scope, CAT)
    assert store.delete_label(scope, CAT, with_boxes=True) == TakenBoxes(2, 1)
    record = store.record(scope, image_id)
    assert names_on(record) == ["dog"]
    # What a model says again of the same place stays out.
    assert [mark.source for mark in record.deleted] == [Source.MODEL]
    assert record.status is ReviewStatus.APPROVED
    assert store.delete_label(scope, ANT) == TakenBoxes(0, 0)


def test_added_label_is_at_the_end_and_has_a_colour_of_its_own(
    store: Store, scope: Scope
) -> None:
    store.add_labels(scope, ["dog", "cat"])
    store.order_labels(scope, [CAT, DOG])
    added = store.add_label(scope, "bee")
    labels = store.labels(scope)
    assert labels.shown_names == ("cat", "dog", "bee")
    assert labels.class_id("bee") == 2
    assert labels.colour_of("bee") == added.colour
    assert len({label.colour for label in labels}) == 3
    with pytest.raises(StoreError, match="a label bee already"):
        store.add_label(scope, "bee")
    with pytest.raises(StoreError, match="red is no colour"):
        store.recolour_label(scope, 0, "red")


def test_deleted_label_that_is_added_again_has_its_number(
    store: Store, scope: Scope, image_id: str
) -> None:
    store.merge_label(scope, CAT, into=DOG)
    store.add_label(scope, "cat")
    assert store.labels(scope).shown_names == ("dog", "cat", "ant")
    assert store.labels(scope).class_id("cat") == CAT
    record = store.record(scope, image_id)
    store.save(scope, record.with_annotations([box("cat")]))
    assert names_on(store.record(scope, image_id)) == ["cat"]


def test_label_takes_the_name_of_one_that_went_into_it(
    store: Store, scope: Scope, image_id: str
) -> None:
    store.merge_label(scope, CAT, into=DOG)
    store.rename_label(scope, DOG, "cat")
    assert names_on(store.record(scope, image_id)) == ["cat", "cat", "cat"]
    labels = store.labels(scope)
    assert labels.names == ("cat", "dog", "ant")
    assert labels.shown_names == ("cat", "ant")
    assert store.add_labels(scope, ["dog"]).shown_names == ("cat", "ant")


def test_record_from_before_a_rename_brings_no_old_name_back(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    old = store.record(bob, image_id)
    store.rename_label(scope, CAT, "kitten")
    moved = old.annotations[1].touched(who="bob", box=Box(5, 5, 20, 20))
    drawn = [old.annotations[0], moved, old.annotations[2], box("cat", at=9)]
    saved = store.save(bob, old.with_annotations(drawn))
    assert names_on(saved) == ["dog", "kitten", "kitten", "kitten"]
    assert store.labels(scope).names == ("dog", "kitten", "ant")


def test_record_from_before_a_rename_is_no_change_by_itself(
    store: Store, scope: Scope, image_id: str
) -> None:
    old = store.record(scope, image_id)
    store.rename_label(scope, CAT, "kitten")
    saved = store.save(scope, old)
    assert saved.revision == old.revision
    assert names_on(saved) == ["dog", "kitten", "kitten"]


def test_record_whose_old_name_is_another_labels_by_now_is_a_conflict(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    old = store.record(bob, image_id)
    store.rename_label(scope, CAT, "kitten")
    store.rename_label(scope, ANT, "cat")
    with pytest.raises(RevisionConflictError):
        store.save(bob, replace(old, tags=("night",)))


def test_record_from_before_a_merge_is_a_conflict(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    old = store.record(bob, image_id)
    store.merge_label(scope, CAT, into=DOG)
    with pytest.raises(RevisionConflictError):
        store.save(bob, replace(old, tags=("night",)))


def test_box_drawn_under_a_merged_label_is_the_other_ones(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    store.merge_label(scope, CAT, into=DOG)
    record = add_image(store, bob, "two.jpg")
    saved = store.save(bob, record.with_annotations([box("cat")]))
    assert names_on(saved) == ["dog"]
    assert store.labels(scope).shown_names == ("dog", "ant")


def test_older_change_is_undone_under_the_present_name(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    record = store.record(bob, image_id)
    store.save(bob, record.with_annotations(record.annotations[:1]))
    store.rename_label(scope, CAT, "kitten")
    store.undo(bob)
    assert names_on(store.record(scope, image_id)) == ["dog", "kitten", "kitten"]
    assert store.labels(scope).names == ("dog", "kitten", "ant")
    store.redo(bob)
    assert names_on(store.record(scope, image_id)) == ["dog"]


def test_older_change_is_undone_exactly_where_names_were_exchanged(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    record = store.record(bob, image_id)
    store.save(bob, record.with_annotations([]))
    for class_id, name in ((CAT, "x"), (DOG, "cat"), (CAT, "dog")):
        store.rename_label(scope, class_id, name)
    store.undo(bob)
    assert store.labels(scope).names == ("cat", "dog", "ant")
    assert names_on(store.record(scope, image_id)) == ["cat", "dog", "dog"]


def test_older_change_is_undone_under_the_label_it_went_into(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    record = store.record(bob, image_id)
    store.save(bob, record.with_annotations(record.annotations[:1]))
    store.merge_label(scope, CAT, into=ANT)
    store.rename_label(scope, ANT, "insect")
    store.undo(bob)
    assert names_on(store.record(scope, image_id)) == ["dog", "insect", "insect"]
    assert store.labels(scope).shown_names == ("dog", "insect")


def test_undo_shows_a_deleted_label_whose_boxes_come_back(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    record = store.record(bob, image_id)
    store.save(bob, record.with_annotations(record.annotations[:1]))
    store.delete_label(scope, CAT)
    store.undo(bob)
    assert names_on(store.record(scope, image_id)) == ["dog", "cat", "cat"]
    assert store.labels(scope).shown_names == ("dog", "cat", "ant")


def test_undo_of_a_label_that_moved_on_is_refused(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    store.rename_label(scope, CAT, "kitten")
    store.rename_label(bob, CAT, "puss")
    with pytest.raises(UndoRefusedError, match="The label puss was changed by bob"):
        store.undo(scope)
    assert names_on(store.record(scope, image_id)) == ["dog", "puss", "puss"]
    store.undo(bob)
    store.undo(scope)
    assert store.labels(scope).names == ("dog", "cat", "ant")


def test_undo_to_a_name_that_another_label_has_is_refused(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    store.rename_label(scope, CAT, "kitten")
    store.rename_label(bob, ANT, "cat")
    with pytest.raises(UndoRefusedError, match="another label cat by now"):
        store.undo(scope)
    assert store.labels(scope).names == ("dog", "kitten", "cat")


def test_undo_of_a_label_that_is_in_use_by_now_is_refused(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    store.add_label(scope, "bee")
    record = store.record(bob, image_id)
    store.save(bob, record.with_annotations([box("bee")]))
    with pytest.raises(UndoRefusedError, match="bee has boxes by now"):
        store.undo(scope)
    assert "bee" in store.labels(scope).shown_names


def test_merge_somebody_built_upon_is_not_undone(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    store.merge_label(scope, CAT, into=DOG)
    record = store.record(bob, image_id)
    store.save(bob, replace(record, tags=("night",)))
    before = content(store, scope)
    with pytest.raises(UndoRefusedError, match=r"one\.jpg was changed by bob since"):
        store.undo(scope)
    assert content(store, scope) == before


def test_changes_of_two_people_on_other_labels_do_not_meet(
    store: Store, scope: Scope, bob: Scope, image_id: str
) -> None:
    store.recolour_label(scope, CAT, "#101010")
    store.rename_label(bob, CAT, "kitten")
    store.undo(scope)
    labels = store.labels(scope)
    assert labels.names == ("dog", "kitten", "ant")
    assert labels.colour_of("kitten") != "#101010"


def test_undo_of_an_addition_leaves_its_name_free(store: Store, scope: Scope) -> None:
    store.add_labels(scope, ["cat"])
    store.rename_label(scope, 0, "kitten")
    store.add_label(scope, "cat")
    for _ in range(2):
        store.undo(scope)
        store.undo(scope)
        assert store.labels(scope).shown_names == ("cat",)
        store.redo(scope)
        store.redo(scope)
        assert store.labels(scope).shown_names == ("kitten", "cat")


def test_exports_keep_class_numbers_and_names_by_number(
    store: Store, scope: Scope, image_id: str
) -> None:
    def exported(name: str, suffix: str) -> str:
        export_set = build_export_set(
            "street", store.labels(scope), store.records(scope), lambda _: ".jpg"
        )
        files = written(export_set, name)
        return next(
            data.decode() for path, data in files.items() if path.endswith(suffix)
        )

    before = exported("yolo", "one.txt")
    store.rename_label(scope, DOG, "hound")
    store.order_labels(scope, [ANT, CAT, DOG])
    store.delete_label(scope, ANT)
    assert exported("yolo", "one.txt") == before
    assert yaml.safe_load(exported("yolo", ".yaml"))["names"] == {
        DOG: "hound",
        CAT: "cat",
        ANT: "ant",
    }
    store.merge_label(scope, DOG, into=CAT)
    coco = json.loads(exported("coco", ".json"))
    assert [(category["id"], category["name"]) for category in coco["categories"]] == [
        (1, "hound"),
        (2, "cat"),
        (3, "ant"),
    ]
    assert {annotation["category_id"] for annotation in coco["annotations"]} == {2}


def test_new_colour_is_what_is_drawn(store: Store, scope: Scope, image_id: str) -> None:
    store.recolour_label(scope, CAT, "#12FE34")
    record = store.record(scope, image_id)
    black = np.zeros((SIZE.height * 8, SIZE.width * 8, 3), np.uint8)
    drawn = draw_annotations(
        black, record.annotations[1:2], labels=store.labels(scope), from_size=SIZE
    )
    assert (drawn == (0x12, 0xFE, 0x34)).all(axis=2).any()


def test_many_boxes_are_renamed_and_merged_in_seconds(
    store: Store, scope: Scope
) -> None:
    store.add_labels(scope, ["dog", "cat"])
    records = [add_image(store, scope, f"{number}.jpg") for number in range(50)]
    boxes = [[box("dog", at=at % 30) for at in range(100)] for _ in records]
    save = zip(records, boxes, strict=True)
    store.save_many(scope, [record.with_annotations(of_one) for record, of_one in save])
    started = time.process_time()
    store.rename_label(scope, 0, "hound")
    renamed = time.process_time() - started
    taken = store.merge_label(scope, 0, into=1)
    merged = time.process_time() - started - renamed
    assert taken == TakenBoxes(boxes=5_000, images=50)
    # A twentieth of what a dataset may have.
    assert renamed < 0.25
    assert merged < 3
    assert store.undo(scope).description.startswith("Undone on 50 images")
    assert store.label_counts(scope) == {"hound": 5_000}
