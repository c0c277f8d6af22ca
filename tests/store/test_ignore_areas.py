"""Areas that nobody labels: kept, counted in every record, undone."""

from dataclasses import replace

import pytest

from imagebase.annotation import Box, ImageRecord, Size
from imagebase.annotation.areas import Point, Shape, ShapeKind, rectangle
from imagebase.errors import EditError, NotFoundError
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image

STAMP = rectangle(Box(0, 40, 20, 48))
BONNET = Shape(ShapeKind.POLYGON, (Point(0, 48), Point(32, 30), Point(64, 48)))


@pytest.fixture
def images(store: Store, scope: Scope) -> list[ImageRecord]:
    """Two images of one size and a larger one."""
    sizes = (Size(64, 48), Size(64, 48), Size(80, 60))
    return [
        add_image(store, scope, f"{i}.jpg", size=size) for i, size in enumerate(sizes)
    ]


def ignored(store: Store, scope: Scope) -> list[tuple[Shape, ...]]:
    return [record.ignored for record in store.records(scope)]


def test_an_area_holds_for_its_image_alone(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> None:
    store.add_ignore_areas(scope, images[0].image_id, [BONNET], all_of_size=False)
    assert ignored(store, scope) == [(BONNET,), (), ()]
    assert store.record(scope, images[0].image_id).ignored == (BONNET,)
    assert store.ignore_areas(scope, images[1].image_id) == []


def test_an_area_can_hold_for_all_images_of_the_size(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> None:
    image_id = images[0].image_id
    store.add_ignore_areas(scope, image_id, [BONNET, STAMP], all_of_size=True)
    late = add_image(store, scope, "9.jpg", size=Size(64, 48))
    shapes = {BONNET, STAMP}
    assert list(map(set, ignored(store, scope))) == [
        shapes,
        shapes,
        set(),
        shapes,
    ]
    found = store.ignored_shapes(scope, [late.image_id, images[2].image_id])
    assert list(found) == [late.image_id]
    assert found[late.image_id].size == Size(64, 48)


def test_each_change_is_undone_and_done_again(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> None:
    image_id = images[0].image_id
    store.add_ignore_areas(scope, image_id, [BONNET, STAMP], all_of_size=False)
    added = store.ignore_areas(scope)
    assert store.delete_ignore_areas(scope, [added[0].area_id]) == 1
    assert store.undo(scope).description == "Undone: 1 ignore area put back."
    assert store.ignore_areas(scope) == added
    assert store.undo(scope).description == "Undone: 2 ignore areas deleted."
    assert store.ignore_areas(scope) == []
    store.redo(scope)
    assert store.ignore_areas(scope) == added
    store.redo(scope)
    assert store.ignore_areas(scope) == added[1:]


def test_an_area_that_somebody_else_deleted_blocks_no_undo(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> None:
    (area,) = store.add_ignore_areas(
        scope, images[0].image_id, [STAMP], all_of_size=False
    )
    store.delete_ignore_areas(replace(scope, who="bob"), [area.area_id])
    assert "nothing of it was left" in store.undo(scope).description
    assert store.ignore_areas(scope) == []


def test_an_area_goes_with_its_image(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> None:
    image_id = images[0].image_id
    (area,) = store.add_ignore_areas(scope, image_id, [STAMP], all_of_size=False)
    store.delete_ignore_areas(scope, [area.area_id])
    store.remove_images(scope, [image_id])
    assert "nothing of it was left" in store.undo(scope).description


def test_an_area_changes_what_an_export_holds(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> None:
    before = store.version(scope)
    store.add_ignore_areas(scope, images[0].image_id, [STAMP], all_of_size=False)
    assert store.version(scope) != before


def test_a_shape_beside_the_image_is_refused_and_nothing_is_kept(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> None:
    beside = rectangle(Box(70, 0, 75, 9))
    with pytest.raises(EditError):
        store.add_ignore_areas(
            scope, images[0].image_id, [STAMP, beside], all_of_size=False
        )
    assert store.ignore_areas(scope) == []


def test_an_image_that_is_gone_takes_no_area(store: Store, scope: Scope) -> None:
    with pytest.raises(NotFoundError):
        store.add_ignore_areas(scope, "0" * 64, [STAMP], all_of_size=True)


def test_another_owner_sees_none(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> None:
    store.add_ignore_areas(scope, images[0].image_id, [STAMP], all_of_size=True)
    with pytest.raises(NotFoundError):
        store.ignore_areas(replace(scope, owner_id="stranger"))
