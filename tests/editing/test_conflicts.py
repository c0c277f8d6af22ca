"""What two people did to one image, and what remains of both."""

from dataclasses import replace

import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Size
from imagebase.editing.conflicts import (
    Conflict,
    differences,
    in_words,
    is_separate,
    merged,
    ours_over,
)
from imagebase.editing.records import (
    approve,
    delete_annotations,
    describe,
    move,
    relabel,
)


def box(name: str, at: float) -> Annotation:
    return Annotation(Box(at, at, at + 50, at + 50), "cat", annotation_id=name)


BASE = ImageRecord(
    "id", "a.jpg", Size(640, 480), (box("a", 10), box("b", 100)), revision=3
)
PLACE = Box(200, 200, 300, 300)


def conflict(ours: ImageRecord, theirs: ImageRecord) -> Conflict:
    return Conflict(BASE, ours, replace(theirs, revision=4))


def with_box(record: ImageRecord, added: Annotation) -> ImageRecord:
    boxes = (*record.annotations, added)
    return replace(record, annotations=boxes, status=ReviewStatus.EDITED)


def ids(record: ImageRecord) -> list[str]:
    return [annotation.annotation_id for annotation in record.annotations]


def test_differences_are_told_in_words() -> None:
    version = move(with_box(BASE, box("c", 300)), "a", PLACE, who="Ann")
    assert in_words(differences(BASE, version)) == "1 box added, 1 changed"
    emptied = approve(delete_annotations(BASE, {"a", "b"}), who="Ann")
    assert in_words(differences(BASE, emptied)) == (
        "2 boxes deleted, state or tags changed"
    )
    assert not differences(BASE, BASE)


def test_ours_takes_the_place_of_theirs_whole() -> None:
    found = conflict(with_box(BASE, box("c", 300)), delete_annotations(BASE, {"a"}))
    kept = ours_over(found)
    assert (ids(kept), kept.revision) == (["a", "b", "c"], 4)


def test_both_keeps_what_each_added() -> None:
    found = conflict(with_box(BASE, box("c", 300)), with_box(BASE, box("d", 200)))
    both = merged(found)
    assert ids(both) == ["a", "b", "d", "c"]
    assert both.revision == 4


def test_of_a_box_that_both_changed_ours_is_taken() -> None:
    found = conflict(
        relabel(BASE, {"a"}, "dog", who="Ann"), move(BASE, "a", PLACE, who="Bob")
    )
    both = merged(found)
    assert both.annotation("a").label == "dog"
    assert both.annotation("a").box == BASE.annotation("a").box


def test_attributes_that_two_gave_a_box_are_both_kept() -> None:
    before = describe(BASE, "a", {"old": 1, "gone": 1}, who="Eve")
    ours = describe(before, "a", {"old": 2, "occluded": True}, who="Ann")
    theirs = move(before, "a", PLACE, who="Bob")
    theirs = describe(theirs, "a", {"old": 1, "gone": 1, "new": 3}, who="Bob")
    annotation = merged(Conflict(before, ours, replace(theirs, revision=4))).annotation(
        "a"
    )
    assert annotation.attributes == {"old": 2, "occluded": True, "new": 3}
    assert annotation.box == PLACE


def test_a_box_that_one_deleted_and_the_other_changed_is_never_lost() -> None:
    deleted, moved = (
        delete_annotations(BASE, {"a"}),
        move(BASE, "a", PLACE, who="Bob"),
    )
    assert merged(conflict(deleted, moved)).annotation("a").box == PLACE
    assert merged(conflict(moved, deleted)).annotation("a").box == PLACE


def test_a_box_that_we_deleted_and_they_left_alone_is_gone() -> None:
    found = conflict(delete_annotations(BASE, {"b"}), with_box(BASE, box("d", 200)))
    assert ids(merged(found)) == ["a", "d"]


def test_tags_of_both_are_kept_and_the_removed_ones_gone() -> None:
    tagged = replace(BASE, tags=("old",))
    found = Conflict(
        tagged,
        replace(tagged, tags=("night",)),
        replace(tagged, tags=("old", "rain"), revision=4),
    )
    assert merged(found).tags == ("rain", "night")


def test_what_they_approved_is_not_approved_with_our_change_in_it() -> None:
    found = conflict(with_box(BASE, box("c", 300)), approve(BASE, who="Bob"))
    assert merged(found).status is ReviewStatus.EDITED


MOVED = move(BASE, "a", PLACE, who="Ann")
SEPARATE = {
    "two boxes apart": (with_box(BASE, box("c", 300)), with_box(BASE, box("d", 400))),
    "one deleted, one drawn": (
        delete_annotations(BASE, {"a"}),
        with_box(BASE, box("d", 400)),
    ),
    "stored before": (
        with_box(BASE, replace(box("c", 300), label="dog")),
        with_box(BASE, box("c", 300)),
    ),
}
JOINED = {
    "one over the other": (
        with_box(BASE, box("c", 300)),
        with_box(BASE, box("d", 349)),
    ),
    "moved by both": (MOVED, move(BASE, "a", Box(0, 0, 9, 9), who="Bob")),
    "moved and deleted": (MOVED, delete_annotations(BASE, {"a"})),
    "approved by them": (with_box(BASE, box("c", 300)), approve(BASE, who="Bob")),
    "approved by us": (approve(BASE, who="Ann"), with_box(BASE, box("c", 300))),
    "tagged": (with_box(BASE, box("c", 300)), replace(BASE, tags=("night",))),
}


@pytest.mark.parametrize("case", SEPARATE)
def test_different_work_of_two_needs_no_choice(case: str) -> None:
    assert is_separate(conflict(*SEPARATE[case]))


@pytest.mark.parametrize("case", JOINED)
def test_work_on_the_same_thing_is_chosen_from(case: str) -> None:
    assert not is_separate(conflict(*JOINED[case]))
