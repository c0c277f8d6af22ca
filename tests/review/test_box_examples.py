"""Boxes of people as examples of their labels."""

from dataclasses import replace

from imagebase.annotation import ImageRecord
from imagebase.review.box_examples import box_examples
from imagebase.store import Scope, Store
from tests.planted_logo import fill, made_set

MAX_PIXELS = 10**7


def drawn(store: Store, scope: Scope, record: ImageRecord, label: str) -> None:
    boxes = [box.touched(who="ann", label=label) for box in record.annotations]
    store.save(scope, replace(record, annotations=tuple(boxes)))


def test_boxes_of_people_are_examples_and_those_of_models_are_not(
    store: Store, scope: Scope
) -> None:
    first, second, *_ = fill(store, scope, made_set(with_logo=3, without=0))
    none = box_examples(store, scope, max_pixels=MAX_PIXELS, most_images=9)
    assert not len(none.labels)
    drawn(store, scope, first, "logo")
    drawn(store, scope, second, "badge")
    found = box_examples(store, scope, max_pixels=MAX_PIXELS, most_images=9)
    assert set(found.labels) == {"logo", "badge"}
    assert len(found.looks) == len(found.extents) == len(found.labels)


def test_looks_are_computed_for_some_images_and_kept(
    store: Store, scope: Scope
) -> None:
    for record in fill(store, scope, made_set(with_logo=3, without=0)):
        drawn(store, scope, record, "logo")
    some = box_examples(store, scope, max_pixels=MAX_PIXELS, most_images=1)
    more = box_examples(store, scope, max_pixels=MAX_PIXELS, most_images=1)
    kept = box_examples(store, scope, max_pixels=MAX_PIXELS, most_images=0)
    assert 0 < len(some.labels) < len(more.labels) == len(kept.labels)
