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
    assert not len(none[0].labels)
    drawn(store, scope, first, "logo")
    drawn(store, scope, second, "badge")
    found, is_complete = box_examples(
        store, scope, max_pixels=MAX_PIXELS, most_images=9
    )
    assert is_complete
    assert set(found.labels) == {"logo", "badge"}
    assert len(found.looks) == len(found.extents) == len(found.labels)


def test_looks_are_computed_for_some_images_and_kept(
    store: Store, scope: Scope
) -> None:
    for record in fill(store, scope, made_set(with_logo=3, without=0)):
        drawn(store, scope, record, "logo")
    (some, is_complete), (more, _), (kept, _) = (
        box_examples(store, scope, max_pixels=MAX_PIXELS, most_images=most)
        for most in (1, 1, 0)
    )
    assert not is_complete
    assert 0 < len(some.labels) < len(more.labels) == len(kept.labels)


def test_a_box_can_be_left_out(store: Store, scope: Scope) -> None:
    (first,) = fill(store, scope, made_set(with_logo=1, without=0))
    drawn(store, scope, first, "logo")
    own = first.annotations[0].annotation_id
    found, _ = box_examples(
        store, scope, max_pixels=MAX_PIXELS, most_images=9, besides=own
    )
    assert len(found.labels) == len(first.annotations) - 1
