"""Boxes of the same label, size and place, and what they look like."""

from dataclasses import replace

import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, Size
from imagebase.store import Scope, Store
from imagebase.store.annotation_rows import BoxKey
from imagebase.store.similarity import BoxPattern, KeptLook
from tests.store.fixtures import SIZE, add_image, scope_of

LOGO = Box(48, 36, 60, 44)


def shape(place: float | None = 0.1, size: float = 0.25) -> BoxPattern:
    width, height = SIZE
    relative = Box(
        LOGO.x_min / width, LOGO.y_min / height, LOGO.x_max / width, LOGO.y_max / height
    )
    return BoxPattern("logo", relative, size, place)


def image_with(
    store: Store, scope: Scope, name: str, *boxes: Box, label: str = "logo"
) -> ImageRecord:
    record = add_image(store, scope, name)
    return store.save(
        scope, record.with_annotations(Annotation(box, label) for box in boxes)
    )


def key_of(record: ImageRecord, index: int = 0) -> BoxKey:
    return BoxKey(record.image_id, record.annotations[index].annotation_id)


def moved(across: float = 0, down: float = 0, larger: float = 0) -> Box:
    return Box(
        LOGO.x_min + across,
        LOGO.y_min + down,
        LOGO.x_max + across + larger,
        LOGO.y_max + down,
    )


def found(
    store: Store, scope: Scope, asked: BoxPattern, besides: str = ""
) -> list[str]:
    likes = store.boxes_like(scope, asked, besides=[besides], limit=10)
    return [row.file_name for row in likes]


def test_nearest_box_comes_first(store: Store, scope: Scope) -> None:
    image_with(store, scope, "far.jpg", moved(across=-4))
    image_with(store, scope, "same.jpg", LOGO)
    image_with(store, scope, "near.jpg", moved(down=-2))
    assert found(store, scope, shape()) == ["same.jpg", "near.jpg", "far.jpg"]


def test_other_places_count_only_where_they_are_asked_for(
    store: Store, scope: Scope
) -> None:
    image_with(store, scope, "left.jpg", moved(across=-40))
    assert found(store, scope, shape()) == []
    assert found(store, scope, shape(place=None)) == ["left.jpg"]


@pytest.mark.parametrize(
    ("larger", "is_like"), [(2.5, True), (3.5, False), (-4, False)]
)
def test_size_counts(store: Store, scope: Scope, larger: float, is_like: bool) -> None:
    image_with(store, scope, "other.jpg", moved(larger=larger))
    assert bool(found(store, scope, shape(place=None))) is is_like


def test_size_and_place_are_shares_of_the_image(store: Store, scope: Scope) -> None:
    large = store.add_image(
        scope, b"large", file_name="large.jpg", size=Size(640, 480), quality=None
    ).record
    box = Box(*(10 * edge for edge in LOGO))
    store.save(scope, large.with_annotations([Annotation(box, "logo")]))
    assert found(store, scope, shape()) == ["large.jpg"]


def test_other_labels_deleted_boxes_and_named_images_stay_out(
    store: Store, scope: Scope
) -> None:
    image_with(store, scope, "cat.jpg", LOGO, label="cat")
    own = image_with(store, scope, "own.jpg", LOGO)
    marked = image_with(store, scope, "deleted.jpg", LOGO)
    store.save(scope, replace(marked, annotations=(), deleted=marked.annotations))
    assert found(store, scope, shape(), besides=own.image_id) == []


def test_no_more_than_the_limit(store: Store, scope: Scope) -> None:
    for number in range(3):
        image_with(store, scope, f"{number}.jpg", LOGO)
    assert len(store.boxes_like(scope, shape(), besides=[], limit=2)) == 2


def test_like_box_tells_of_its_image(store: Store, scope: Scope) -> None:
    record = image_with(store, scope, "own.jpg", LOGO)
    (like,) = store.boxes_like(scope, shape(), besides=[], limit=10)
    assert (like.key, like.annotation) == (key_of(record), record.annotations[0])
    assert (like.size, like.status) == (record.size, record.status)
    assert like.revision == record.revision


def test_images_are_counted_for_each_group_of_shapes(
    store: Store, scope: Scope
) -> None:
    image_with(store, scope, "twice.jpg", LOGO, moved(down=-1))
    image_with(store, scope, "left.jpg", moved(across=-40))
    image_with(store, scope, "cat.jpg", LOGO, label="cat")
    tight = shape(place=0.001, size=0.01)
    groups = [[shape()], [shape(place=None)], [tight, shape()], [tight]]
    assert store.count_images_like(scope, groups, besides=[]) == [1, 2, 1, 1]


def test_kept_look_comes_back(store: Store, scope: Scope) -> None:
    record = image_with(store, scope, "own.jpg", LOGO, moved(across=-40))
    keys = [key_of(record), key_of(record, 1)]
    store.keep_looks(
        scope,
        {
            keys[0]: KeptLook(LOGO, b"first"),
            keys[1]: KeptLook(moved(across=-40), b"second"),
        },
    )
    assert store.looks(scope, keys) == {keys[0]: b"first", keys[1]: b"second"}
    assert store.looks(scope, keys[:1]) == {keys[0]: b"first"}


def test_newer_look_replaces_the_older_one(store: Store, scope: Scope) -> None:
    key = key_of(image_with(store, scope, "own.jpg", LOGO))
    for descriptor in (b"old", b"new"):
        store.keep_looks(scope, {key: KeptLook(LOGO, descriptor)})
    assert store.looks(scope, [key]) == {key: b"new"}


def test_look_of_a_box_that_moved_is_forgotten(store: Store, scope: Scope) -> None:
    record = image_with(store, scope, "own.jpg", LOGO)
    key = key_of(record)
    store.keep_looks(scope, {key: KeptLook(LOGO, b"look")})
    step_aside = record.annotations[0].touched(who="ann", box=moved(across=-1))
    store.save(scope, record.with_annotations([step_aside]))
    assert store.looks(scope, [key]) == {}


def test_look_comes_back_with_a_box_that_is_put_back(
    store: Store, scope: Scope
) -> None:
    record = image_with(store, scope, "own.jpg", LOGO)
    key = key_of(record)
    store.keep_looks(scope, {key: KeptLook(LOGO, b"look")})
    store.save(scope, record.with_annotations([]))
    assert store.looks(scope, [key]) == {}
    store.undo(scope)
    assert store.looks(scope, [key]) == {key: b"look"}


def test_looks_of_images_that_are_gone_are_left_out(store: Store, scope: Scope) -> None:
    key = key_of(image_with(store, scope, "own.jpg", LOGO))
    gone = BoxKey("0" * 64, "a")
    store.keep_looks(scope, {key: KeptLook(LOGO, b"a"), gone: KeptLook(LOGO, b"b")})
    assert store.looks(scope, [key, gone]) == {key: b"a"}
    store.remove_images(scope, [key.image_id])
    assert store.looks(scope, [key]) == {}


def test_keeping_looks_changes_no_export(store: Store, scope: Scope) -> None:
    key = key_of(image_with(store, scope, "own.jpg", LOGO))
    before = store.version(scope)
    store.keep_looks(scope, {key: KeptLook(LOGO, b"look")})
    assert store.version(scope) == before


def test_another_dataset_has_its_own_boxes_and_looks(
    store: Store, scope: Scope
) -> None:
    key = key_of(image_with(store, scope, "own.jpg", LOGO))
    store.keep_looks(scope, {key: KeptLook(LOGO, b"look")})
    other = scope_of(store, scope.owner_id, who="ann", name="Other")
    assert store.boxes_like(other, shape(), besides=[], limit=10) == []
    assert store.count_images_like(other, [[shape()]], besides=[]) == [0]
    assert store.looks(other, [key]) == {}
    store.keep_looks(other, {key: KeptLook(LOGO, b"theirs")})
    assert store.looks(scope, [key]) == {key: b"look"}
