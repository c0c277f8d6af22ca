from dataclasses import replace

import pytest

from imagebase.annotation import Annotation, Box
from imagebase.review import bulk_edits
from imagebase.review.bulk_edits import BulkReport, remove_images
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image

BOXES = tuple(Annotation(Box(at, at, at + 5, at + 5), "cat") for at in (1, 9))


def test_what_went_and_what_stayed_is_counted(store: Store, scope: Scope) -> None:
    bob = replace(scope, who="bob")
    for name in ("a.jpg", "b.jpg", "gone.jpg", "kept.jpg"):
        store.save(scope, replace(add_image(store, scope, name), annotations=BOXES))
    first, theirs, gone, kept = store.records(scope)
    seen = {record.image_id: record.revision for record in (first, theirs, gone)}
    store.save(bob, theirs.with_annotations(BOXES[:1]))
    store.remove_images(bob, [gone.image_id])
    told = remove_images(store, scope, seen)
    assert told == BulkReport(changed=1, boxes=2, conflicts=1, missing=1)
    assert store.image_ids(scope) == [theirs.image_id, kept.image_id]


def test_many_images_go_in_batches_that_are_told_of(
    store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_edits, "_BATCH", 2)
    for name in "abcde":
        store.save(scope, replace(add_image(store, scope, name), annotations=BOXES))
    seen = {record.image_id: record.revision for record in store.records(scope)}
    heard: list[tuple[int, int]] = []
    told = remove_images(
        store, scope, seen, on_progress=lambda done, total: heard.append((done, total))
    )
    assert told == BulkReport(changed=5, boxes=10)
    assert heard == [(2, 5), (4, 5), (5, 5)]
    assert store.image_ids(scope) == []
