"""The table of images: filters, pages, and the numbers beside each."""

from dataclasses import replace
from typing import Any

import pytest

from imagebase.annotation import ReviewStatus
from imagebase.editing.records import delete_annotations, reject
from imagebase.store import ImageFilter, Scope, Store
from tests.store.fixtures import add_image, box

APPROVED, REJECTED = ReviewStatus.APPROVED, ReviewStatus.REJECTED
NAMES = ["a/One.jpg", "two.jpg", "three.jpg", "four.jpg"]


@pytest.fixture
def listed(store: Store, scope: Scope) -> Scope:
    """Four images: Ann's boxes sent back, approved, Bob's sent back, one untouched.

    The third had a box that Ann deleted, so hers was the last edit of boxes.
    """
    bob = replace(scope, who="bob")
    first, two, three, _ = [add_image(store, scope, name) for name in NAMES]
    boxes = [replace(box(label), changed_by="ann") for label in ("cat", "dog", "dog")]
    first = store.save(scope, replace(first, annotations=tuple(boxes), tags=("night",)))
    store.save(bob, reject(first, comment="dark"))
    store.save(scope, replace(two, status=APPROVED, tags=('Night "x"', "fog")))
    drawn = replace(box("ant"), changed_by="bob")
    three = store.save(bob, replace(three, annotations=(drawn,)))
    store.save(bob, reject(three, comment="Loose box"))
    return scope


def names(store: Store, scope: Scope, wanted: ImageFilter) -> list[str]:
    rows = store.image_rows(scope, wanted)
    assert store.count_images(scope, wanted) == len(rows)
    return [row.file_name for row in rows]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [0, 1, 2, 3]),
        ({"statuses": [REJECTED, APPROVED]}, [0, 1, 2]),
        ({"statuses": []}, []),
        ({"tags": ["night"]}, [0]),
        ({"tags": ["Night"]}, []),
        ({"tags": ['Night "x"', "night"]}, [0, 1]),
        ({"tags": ["x"]}, []),
        ({"text": "ONE"}, [0]),
        ({"text": "%"}, []),
        ({"rejected_of": "ann"}, [0]),
        ({"rejected_of": "bob"}, [2]),
        ({"rejected_of": "eve"}, []),
        ({"has_open_comments": True}, [0, 2]),
        ({"has_open_comments": True, "tags": ["night"]}, [0]),
    ],
    ids=str,
)
def test_filter_lists_and_counts_the_same(
    store: Store, listed: Scope, filters: dict[str, Any], found: list[int]
) -> None:
    assert names(store, listed, ImageFilter(**filters)) == [NAMES[n] for n in found]


def test_images_given_are_listed_as_uploaded_as_far_as_they_are_there(
    store: Store, listed: Scope
) -> None:
    every = store.image_ids(listed)
    given = ImageFilter(image_ids=[every[2], "0" * 64, every[0], every[2]])
    assert names(store, listed, given) == [NAMES[0], NAMES[2]]
    among = replace(given, tags=["night"])
    assert names(store, listed, among) == [NAMES[0]]
    (second,) = store.image_rows(listed, given, offset=1, limit=5)
    assert second.file_name == NAMES[2]


def test_who_deleted_the_last_box_of_a_rejected_image_did_edit_it(
    store: Store, listed: Scope
) -> None:
    three = store.records(listed)[2]
    ids = {annotation.annotation_id for annotation in three.annotations}
    empty = delete_annotations(three, ids)
    store.save(listed, replace(empty, status=REJECTED))
    assert NAMES[2] in names(store, listed, ImageFilter(rejected_of="ann"))
    assert NAMES[2] not in names(store, listed, ImageFilter(rejected_of="bob"))


def test_row_tells_what_is_on_the_image_and_said_of_it(
    store: Store, listed: Scope
) -> None:
    first, two, *_ = store.image_rows(listed)
    store.add_comment(listed, first.image_id, "Which street?")
    (row,) = store.image_rows(listed, limit=1)
    record = store.record(listed, row.image_id)
    assert (row.box_count, tuple(row.boxes), row.open_comments) == (
        3,
        ("dog", "cat"),
        2,
    )
    assert (row.tags, row.comment, row.size) == (("night",), "dark", record.size)
    assert (row.status, row.revision) == (record.status, record.revision)
    assert (two.box_count, tuple(two.boxes), two.open_comments) == (0, (), 0)


def test_pages_follow_one_another(store: Store, listed: Scope) -> None:
    pages = [store.image_rows(listed, offset=n, limit=3) for n in (0, 3)]
    assert [row.file_name for page in pages for row in page] == NAMES


def test_quality_notes_are_in_upload_order(store: Store, scope: Scope) -> None:
    measured = add_image(store, scope, "one.jpg")
    add_image(store, scope, "two.jpg")
    notes = store.quality_notes(scope)
    assert [note.image_id for note in notes] == store.image_ids(scope)
    assert measured.quality is None
    assert notes[0] == (measured.image_id, (), None)


def test_tags_are_of_the_images_that_have_any(store: Store, listed: Scope) -> None:
    first, two, *_ = store.image_ids(listed)
    assert store.image_tags(listed) == {first: ("night",), two: ('Night "x"', "fog")}


def test_mark_of_images_changes_with_them_alone(store: Store, scope: Scope) -> None:
    marks = [store.images_mark(scope)]
    record = add_image(store, scope, "one.jpg")
    marks.append(store.images_mark(scope))
    store.save(scope, replace(record, tags=("night",)))
    assert store.images_mark(scope) == marks[-1]
    store.remove_images(scope, [record.image_id])
    assert store.images_mark(scope) == marks[0]
    add_image(store, scope, "other.jpg")
    assert store.images_mark(scope) not in marks
