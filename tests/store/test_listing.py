"""The table of annotations: filters, orders, pages."""

from dataclasses import replace
from typing import Any

import pytest

from imagebase.annotation import Annotation, ReviewStatus, Source
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image, box


def _model(label: str, confidence: float) -> Annotation:
    return replace(box(label), source=Source.MODEL, confidence=confidence)


@pytest.fixture
def listed(store: Store, scope: Scope) -> Scope:
    """Two images: cat 0.9 and a drawn dog on the first, ant 0.4 on the second."""
    first = add_image(store, scope, "Street_1.jpg")
    second = add_image(store, scope, "beach.jpg")
    boxes = [_model("cat", 0.9), box("dog")]
    store.save(scope, replace(first, annotations=tuple(boxes)))
    store.save(
        scope,
        replace(
            second,
            annotations=(_model("ant", 0.4),),
            deleted=(_model("bee", 0.5),),
            status=ReviewStatus.APPROVED,
        ),
    )
    return scope


@pytest.mark.parametrize(
    ("filters", "labels"),
    [
        ({}, ["cat", "dog", "ant"]),
        ({"labels": ["cat", "ant"]}, ["cat", "ant"]),
        ({"labels": []}, []),
        ({"statuses": [ReviewStatus.APPROVED]}, ["ant"]),
        ({"sources": [Source.HUMAN]}, ["dog"]),
        ({"confidence": (0.4, 0.9)}, ["cat", "ant"]),
        ({"confidence": (0.5, 1.0)}, ["cat"]),
        ({"text": "street"}, ["cat", "dog"]),
        ({"text": "AN"}, ["ant"]),
        ({"text": "%"}, []),
        ({"text": "_"}, ["cat", "dog"]),
        ({"text": ""}, ["cat", "dog", "ant"]),
        ({"labels": ["cat"], "text": "beach"}, []),
    ],
    ids=str,
)
def test_filter_lists_and_counts_the_same(
    store: Store, listed: Scope, filters: dict[str, Any], labels: list[str]
) -> None:
    rows = store.annotation_rows(listed, **filters)
    assert [row.annotation.label for row in rows] == labels
    assert store.count_annotations(listed, **filters) == len(labels)


@pytest.mark.parametrize(
    ("order", "labels"),
    [
        ("upload", ["cat", "dog", "ant"]),
        ("doubt", ["ant", "cat", "dog"]),
        ("confidence", ["cat", "ant", "dog"]),
        ("label", ["ant", "cat", "dog"]),
        ("newest", ["ant", "dog", "cat"]),
    ],
)
def test_order_is_the_one_asked_for(
    store: Store, listed: Scope, order: str, labels: list[str]
) -> None:
    rows = store.annotation_rows(listed, order=order)
    assert sorted(labels) == sorted(row.annotation.label for row in rows)
    if order != "newest":
        assert [row.annotation.label for row in rows] == labels
        return
    times = [row.annotation.changed_at for row in rows]
    assert times == sorted(times, reverse=True)


def test_unknown_order_is_a_mistake(store: Store, listed: Scope) -> None:
    with pytest.raises(ValueError, match="there are upload"):
        store.annotation_rows(listed, order="size")


def test_row_tells_of_its_image(store: Store, listed: Scope) -> None:
    row = store.annotation_rows(listed, offset=2, limit=1)[0]
    record = store.record(listed, row.image_id)
    assert (row.file_name, row.status, row.revision, row.size) == (
        record.file_name,
        record.status,
        record.revision,
        record.size,
    )
    assert (row.annotation,) == record.annotations


def test_labels_are_counted(store: Store, listed: Scope) -> None:
    assert store.label_counts(listed) == {"ant": 1, "cat": 1, "dog": 1}
