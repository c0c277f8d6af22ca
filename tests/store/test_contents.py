"""Whole datasets read without their boxes."""

from dataclasses import replace

from imagebase.annotation import Annotation, Box, Quality, ReviewStatus, Size
from imagebase.editing.records import approve, delete_annotations
from imagebase.store import Scope, Store
from imagebase.store.image_rows import ImageRow
from tests.store.fixtures import SIZE, add_image


def box(label: str) -> Annotation:
    return Annotation(Box(1, 1, 9, 9), label)


def test_contents_are_what_the_records_say(store: Store, scope: Scope) -> None:
    first, second, third = (
        add_image(store, scope, name) for name in ("a.jpg", "sub/b.jpg", "c.jpg")
    )
    boxes = [box("dog"), box("cat"), box("dog"), box("bird")]
    saved = store.save(scope, first.with_annotations(boxes))
    store.save(scope, delete_annotations(saved, {boxes[3].annotation_id}))
    store.save(scope, approve(replace(second, tags=("night", "val")), who="ann"))
    found = store.image_contents(scope)
    assert [image.image_id for image in found] == [
        image.image_id for image in (first, second, third)
    ]
    assert list(found[0].boxes.items()) == [("dog", 2), ("cat", 1)]
    assert found[1] == ImageRow(
        second.image_id,
        "sub/b.jpg",
        SIZE,
        ReviewStatus.APPROVED,
        revision=1,
        tags=("night", "val"),
    )
    approved = store.image_contents(scope, statuses=[ReviewStatus.APPROVED])
    assert approved == [found[1]]


def test_difference_hash_comes_with_an_image(store: Store, scope: Scope) -> None:
    quality = Quality(1, 2, 3, "00ff00ff00ff00ff")
    store.add_image(scope, b"a", file_name="a.jpg", size=Size(9, 9), quality=quality)
    (found,) = store.image_contents(scope)
    assert found.difference_hash == "00ff00ff00ff00ff"
