"""Undo and redo: whole, exact, one's own, refused once the record has moved on."""

from dataclasses import replace

import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Source
from imagebase.errors import RevisionConflictError, UndoRefusedError
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image, box

MODEL_BOX = Annotation(
    Box(0.1, 1 / 3, 20.7, 30.000001),
    "dog",
    source=Source.MODEL,
    confidence=0.1 + 0.2,
    model_id="yolov4-tiny",
)


@pytest.fixture
def record(store: Store, scope: Scope) -> ImageRecord:
    return add_image(store, scope)


def content(record: ImageRecord) -> ImageRecord:
    """Return the record without its revision, which always grows."""
    return replace(record, revision=0)


def _edits(store: Store, scope: Scope, record: ImageRecord) -> list[ImageRecord]:
    """Save five different changes; return the record before and after each."""
    steps = [record]
    first, second = MODEL_BOX, box(at=5)
    for change in (
        {"annotations": (first, second), "status": ReviewStatus.SUGGESTED},
        {"annotations": (first.touched(who="ann", label="cat"), second)},
        {"annotations": (replace(first, attributes={"occluded": True}), second)},
        {"annotations": (second,), "deleted": (first,), "tags": ("night",)},
        {"status": ReviewStatus.REJECTED, "comment": "dark"},
    ):
        now = store.record(scope, record.image_id)
        steps.append(store.save(scope, replace(now, **change)))
    return steps


def test_undo_goes_back_step_by_step_exactly(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    steps = _edits(store, scope, record)
    for before in reversed(steps[:-1]):
        store.undo(scope)
        assert content(store.record(scope, record.image_id)) == content(before)
    assert not store.can_undo(scope)


def test_redo_goes_forward_step_by_step_exactly(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    steps = _edits(store, scope, record)
    for _ in steps[1:]:
        store.undo(scope)
    for after in steps[1:]:
        store.redo(scope)
        assert content(store.record(scope, record.image_id)) == content(after)
    assert not store.can_redo(scope)


def test_undo_grows_the_revision(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    store.save(scope, record.with_annotations([box()]))
    store.undo(scope)
    assert store.record(scope, record.image_id).revision == 2


def test_undo_says_what_it_did(store: Store, scope: Scope, record: ImageRecord) -> None:
    store.save(scope, record.with_annotations([box(at=1), box(at=2)]))
    result = store.undo(scope)
    assert result.image_ids == (record.image_id,)
    assert result.description == (
        "Undone on cat.jpg: 2 boxes taken away, the label cat is removed."
    )
    assert store.redo(scope).description == "Done again on cat.jpg: 2 boxes put back."


def test_new_change_empties_the_redo_stack(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    store.save(scope, record.with_annotations([box()]))
    store.undo(scope)
    assert store.can_redo(scope)
    now = store.record(scope, record.image_id)
    store.save(scope, now.with_annotations([box("dog")]))
    assert not store.can_redo(scope)


def test_change_that_somebody_built_upon_stays(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    saved = store.save(scope, record.with_annotations([box()]))
    bob = replace(scope, who="bob")
    theirs = store.save(bob, saved.with_annotations([*saved.annotations, box("dog")]))
    with pytest.raises(UndoRefusedError, match=r"cat\.jpg was changed by bob since"):
        store.undo(scope)
    assert store.record(scope, record.image_id) == theirs
    store.undo(bob)
    store.undo(scope)
    assert store.record(scope, record.image_id).annotations == ()


def test_only_own_changes_are_undone(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    store.save(scope, record.with_annotations([box()]))
    bob = replace(scope, who="bob")
    assert not store.can_undo(bob)
    with pytest.raises(UndoRefusedError, match="nothing of yours to undo"):
        store.undo(bob)


def test_bulk_change_is_undone_whole_or_not_at_all(store: Store, scope: Scope) -> None:
    added = [add_image(store, scope, f"{number}.jpg") for number in range(3)]
    report = store.save_many(
        scope, [record.with_annotations([box()]) for record in added]
    )
    last = report.saved[-1]
    store.save(replace(scope, who="bob"), last.with_annotations([box("dog")]))
    before = store.records(scope)
    with pytest.raises(UndoRefusedError):
        store.undo(scope)
    assert store.records(scope) == before


def test_large_undo_says_how_far_it_is(store: Store, scope: Scope) -> None:
    added = [add_image(store, scope, f"{number}.jpg") for number in range(103)]
    store.save_many(scope, [record.with_annotations([box()]) for record in added])
    assert (store.undo_size(scope), store.redo_size(scope)) == (103, 0)
    told: list[tuple[int, int]] = []
    store.undo(scope, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(100, 103), (103, 103)]
    assert not any(record.annotations for record in store.records(scope))
    assert (store.undo_size(scope), store.redo_size(scope)) == (0, 103)
    store.redo(scope, on_progress=lambda done, total: told.append((done, total)))
    assert told[2:] == told[:2]
    assert all(record.annotations for record in store.records(scope))


def test_undo_that_is_interrupted_did_nothing(store: Store, scope: Scope) -> None:
    added = [add_image(store, scope, f"{number}.jpg") for number in range(3)]
    store.save_many(scope, [record.with_annotations([box()]) for record in added])
    before = store.records(scope)

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.undo(scope, on_progress=interrupt)
    assert store.records(scope) == before
    assert store.undo_size(scope) == 3


def test_saves_that_share_a_change_are_undone_together(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    first = store.save(scope, record.with_annotations([box()]), change_id="drag")
    moved = first.annotations[0].touched(who="ann", box=Box(3, 3, 9, 9))
    store.save(scope, first.with_annotations([moved]), change_id="drag")
    store.undo(scope)
    assert store.record(scope, record.image_id).annotations == ()
    store.redo(scope)
    assert store.record(scope, record.image_id).annotations == (moved,)


def test_editor_that_missed_an_undo_is_told(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    saved = store.save(scope, record.with_annotations([box()]))
    store.undo(scope)
    with pytest.raises(RevisionConflictError):
        store.save(scope, saved.with_annotations([box("dog")]))


def test_history_tells_of_undo_and_redo_too(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    store.save(scope, record.with_annotations([box()]))
    store.undo(scope)
    store.redo(scope)
    told = store.history(scope, record.image_id)
    assert [event.action for event in told] == ["edit", "undo", "redo"]
    assert [event.after is None for event in told] == [False, True, False]
    assert [event.revision for event in told] == [1, 2, 3]


# ---------------------------------------------------------------------- labels


def with_label(record: ImageRecord, *names: str) -> ImageRecord:
    boxes = tuple(box(name) for name in names)
    return record.with_annotations((*record.annotations, *boxes))


def test_label_that_came_with_a_box_goes_with_it(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    store.add_labels(scope, ["car"])
    store.save(scope, with_label(record, "oran"))
    assert store.labels(scope).names == ("car", "oran")
    told = store.undo(scope)
    assert "the label oran is removed" in told.description
    assert store.labels(scope).names == ("car",)
    store.redo(scope)
    assert store.labels(scope).names == ("car", "oran")
    store.undo(scope)
    assert store.labels(scope).names == ("car",)
    store.save(scope, with_label(store.record(scope, record.image_id), "orange"))
    assert store.labels(scope).names == ("car", "orange")


def test_label_that_came_with_a_box_stays_while_it_is_used(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    other = add_image(store, scope, "other.jpg")
    store.save(scope, with_label(record, "zebra"))
    store.save(replace(scope, who="bob"), with_label(other, "zebra"))
    store.undo(scope)
    assert store.labels(scope).shown_names == ("zebra",)


def test_label_that_was_there_before_its_box_stays(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    store.add_labels(scope, ["zebra"])
    store.add_label(scope, "horse")
    store.save(scope, with_label(record, "zebra", "horse"))
    store.undo(scope)
    assert store.labels(scope).shown_names == ("zebra", "horse")


def test_label_in_the_middle_is_hidden_so_that_no_number_moves(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    saved = store.save(scope, with_label(record, "oran"))
    store.add_labels(scope, ["car"])
    store.undo(scope)
    assert store.labels(scope).names == ("oran", "car")
    assert store.labels(scope).shown_names == ("car",)
    store.redo(scope)
    assert store.labels(scope).shown_names == ("oran", "car")
    assert store.labels(scope).class_id("oran") == 0
    now = store.record(scope, saved.image_id)
    assert [annotation.label for annotation in now.annotations] == ["oran"]
    store.undo(scope)
    assert store.labels(scope).shown_names == ("car",)


def test_hidden_label_that_a_box_brought_back_is_hidden_again(
    store: Store, scope: Scope, record: ImageRecord
) -> None:
    store.add_labels(scope, ["car", "bus"])
    store.delete_label(scope, 0)
    store.save(scope, with_label(record, "car"))
    assert store.labels(scope).shown_names == ("car", "bus")
    store.undo(scope)
    assert store.labels(scope).names == ("car", "bus")
    assert store.labels(scope).shown_names == ("bus",)
