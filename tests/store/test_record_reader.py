"""Records come in upload order, whole, in few queries."""

from dataclasses import replace

import pytest
from sqlalchemy import event

from imagebase.annotation import ImageRecord, ReviewStatus
from imagebase.errors import NotFoundError
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image, box

pytestmark = pytest.mark.dialect


@pytest.fixture
def three(store: Store, scope: Scope) -> list[ImageRecord]:
    """Three images, the second one approved, each with a box more than the last."""
    found = []
    for number in range(3):
        record = add_image(store, scope, f"{number}.jpg")
        record = record.with_annotations(box(at=place) for place in range(number))
        status = ReviewStatus.APPROVED if number == 1 else ReviewStatus.NEW
        found.append(store.save(scope, replace(record, status=status)))
    return found


def test_no_images_are_no_records(store: Store, scope: Scope) -> None:
    assert store.records(scope) == []
    assert store.records(scope, image_ids=[]) == []
    assert store.image_summaries(scope) == []


def test_records_come_in_upload_order(
    store: Store, scope: Scope, three: list[ImageRecord]
) -> None:
    assert store.records(scope) == three
    assert store.image_ids(scope) == [record.image_id for record in three]


def test_records_come_in_pages(
    store: Store, scope: Scope, three: list[ImageRecord]
) -> None:
    assert store.records(scope, offset=1, limit=1) == three[1:2]
    assert store.records(scope, offset=2) == three[2:]


def test_records_are_chosen_by_status(
    store: Store, scope: Scope, three: list[ImageRecord]
) -> None:
    approved = [ReviewStatus.APPROVED]
    assert store.records(scope, statuses=approved) == [three[1]]
    assert store.image_ids(scope, statuses=approved) == [three[1].image_id]
    assert store.records(scope, statuses=[]) == []


def test_attributes_of_a_box_are_kept(store: Store, scope: Scope) -> None:
    record = add_image(store, scope, "a.jpg")
    known = replace(box(), attributes={"occluded": True, "group": 3, "note": "é"})
    saved = store.save(scope, replace(record, annotations=(known, box(at=1))))
    assert store.record(scope, record.image_id) == saved
    assert [annotation.attributes for annotation in saved.annotations] == [
        known.attributes,
        {},
    ]


def test_records_are_chosen_by_id(
    store: Store, scope: Scope, three: list[ImageRecord]
) -> None:
    chosen = [three[2].image_id, "0" * 64, three[0].image_id]
    assert store.records(scope, image_ids=chosen) == [three[0], three[2]]
    assert store.records(scope, image_ids=chosen, offset=1) == [three[2]]


def test_image_is_found_where_it_is_there_else_the_first(
    store: Store, scope: Scope, three: list[ImageRecord]
) -> None:
    first, _, last = (record.image_id for record in three)
    assert store.image_or_first(scope, last) == last
    assert store.image_or_first(scope, "0" * 64) == first
    assert store.image_or_first(scope, None) == first
    store.remove_images(scope, [record.image_id for record in three])
    assert store.image_or_first(scope, last) is None


def test_many_records_take_few_queries(
    store: Store, scope: Scope, three: list[ImageRecord]
) -> None:
    statements: list[str] = []
    engine = store._database.engine
    event.listen(
        engine,
        "before_cursor_execute",
        lambda conn, cursor, statement, *rest: statements.append(statement),
    )
    store.records(scope)
    selects = [statement for statement in statements if statement.startswith("SELECT")]
    assert len(selects) == 4


def test_unknown_image_is_not_found(store: Store, scope: Scope) -> None:
    with pytest.raises(NotFoundError, match="no longer in the dataset"):
        store.record(scope, "0" * 64)


def test_summaries_leave_the_boxes_out(
    store: Store, scope: Scope, three: list[ImageRecord]
) -> None:
    found = [
        (summary.file_name, summary.status) for summary in store.image_summaries(scope)
    ]
    assert found == [(record.file_name, record.status) for record in three]
