"""The table of annotations: filters, orders, pages."""

import math
import re
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from imagebase.annotation import (
    Annotation,
    AttributeValue,
    Box,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.store import AnnotationFilter, Scope, Store
from tests.store.fixtures import add_image, box

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
EDITED = ReviewStatus.EDITED


def _id(value: object) -> str:
    """Name a case the same in every process that collects it, whatever the time."""
    return re.sub(r"datetime\.datetime\(.*?utc\)", "then", str(value))


def _model(label: str, confidence: float) -> Annotation:
    found = replace(box(label), source=Source.MODEL, changed_by="net")
    return replace(found, confidence=confidence)


@pytest.fixture
def listed(store: Store, scope: Scope) -> Scope:
    """Two images: cat 0.9 and a drawn dog on the first, ant 0.4 on the second.

    Two have attributes. The ant was found two hours ago; it is 60 x 4 pixels of 64 x 4.
    """
    first = add_image(store, scope, "Street_1.jpg")
    second = store.add_image(
        scope, b"b", file_name="beach.jpg", size=Size(64, 4), quality=None
    ).record
    cat = replace(_model("cat", 0.9), attributes={"occluded": True, 'a "b"': "Red"})
    known: dict[str, AttributeValue] = {"seen": False, "n": 2, "hue": "GRÜN"}
    dog = replace(box("dog"), changed_by="ann", attributes=known)
    boxes = [cat, dog]
    store.save(scope, replace(first, annotations=tuple(boxes), status=EDITED))
    ant = replace(_model("ant", 0.4), box=Box(0, 0, 60, 4), changed_at=NOW - 2 * HOUR)
    store.save(
        scope,
        replace(
            second,
            annotations=(ant,),
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
        ({"image": "BEACH"}, ["ant"]),
        ({"image": "ant"}, []),
        ({"who": ["ann"]}, ["dog"]),
        ({"who": ["ann", "net"]}, ["cat", "dog", "ant"]),
        ({"since": NOW - HOUR}, ["cat", "dog"]),
        ({"until": NOW - HOUR}, ["ant"]),
        ({"since": NOW - 3 * HOUR, "until": NOW - HOUR}, ["ant"]),
        ({"sides": (0, 8)}, ["ant"]),
        ({"sides": (8, math.inf)}, ["cat", "dog"]),
        ({"share": (0.8, 1.0)}, ["ant"]),
        ({"attribute": ("occluded", None)}, ["cat"]),
        ({"attribute": ("occluded", "TRUE")}, ["cat"]),
        ({"attribute": ("seen", None)}, []),
        ({"attribute": ("seen", "false")}, ["dog"]),
        ({"attribute": ('a "b"', "red")}, ["cat"]),
        ({"attribute": ('a "b"', "r")}, []),
        ({"attribute": ("n", "2")}, ["dog"]),
        ({"attribute": ("hue", "GRÜN")}, ["dog"]),
        ({"attribute": ("%", None)}, []),
        ({"share": (0.0, 0.5), "statuses": [ReviewStatus.EDITED]}, ["cat", "dog"]),
    ],
    ids=_id,
)
def test_filter_lists_and_counts_the_same(
    store: Store, listed: Scope, filters: dict[str, Any], labels: list[str]
) -> None:
    wanted = AnnotationFilter(**filters)
    rows = store.annotation_rows(listed, wanted)
    assert [row.annotation.label for row in rows] == labels
    assert store.count_annotations(listed, wanted) == len(labels)
    assert store.label_counts(listed, wanted) == dict.fromkeys(sorted(labels), 1)


@pytest.mark.parametrize(
    "wanted", [AnnotationFilter(), AnnotationFilter(until=NOW + HOUR)], ids=_id
)
@pytest.mark.parametrize(
    ("order", "labels"),
    [
        ("upload", ["cat", "dog", "ant"]),
        ("doubt", ["ant", "cat", "dog"]),
        ("confidence", ["cat", "ant", "dog"]),
        ("label", ["ant", "cat", "dog"]),
        ("oldest", ["ant", "cat", "dog"]),
        ("newest", ["dog", "cat", "ant"]),
        ("image", ["cat", "dog", "ant"]),
        ("status", ["ant", "cat", "dog"]),
        ("source", ["dog", "cat", "ant"]),
        ("who", ["dog", "cat", "ant"]),
        ("smallest", ["cat", "dog", "ant"]),
        ("largest", ["ant", "dog", "cat"]),
    ],
)
def test_order_is_the_one_asked_for(
    store: Store,
    listed: Scope,
    order: str,
    labels: list[str],
    wanted: AnnotationFilter,
) -> None:
    rows = store.annotation_rows(listed, wanted, order=order)
    assert [row.annotation.label for row in rows] == labels
    pages = [
        store.annotation_rows(listed, wanted, order=order, offset=n, limit=1)
        for n in range(3)
    ]
    assert [row for page in pages for row in page] == rows


def test_unknown_order_is_a_mistake(store: Store, listed: Scope) -> None:
    with pytest.raises(ValueError, match="there are upload"):
        store.annotation_rows(listed, order="shape")


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


def test_people_are_counted_by_their_last_changes(store: Store, listed: Scope) -> None:
    assert store.people_counts(listed) == {"net": 2, "ann": 1}


@pytest.mark.parametrize(
    ("labels", "min_confidence", "counts", "names"),
    [
        (None, 0.0, (2, 1, 2), ["Street_1.jpg"]),
        (None, 0.9, (1, 1, 1), ["Street_1.jpg"]),
        (None, 0.91, (0, 0, 0), []),
        (["hen"], 0.0, (1, 1, 1), ["Street_1.jpg"]),
        ([], 0.0, (0, 0, 0), []),
    ],
)
def test_untouched_boxes_on_undecided_images_are_acceptable(
    store: Store,
    listed: Scope,
    labels: list[str] | None,
    min_confidence: float,
    counts: tuple[int, int, int],
    names: list[str],
) -> None:
    street = store.records(listed)[0]
    accepted = replace(_model("cat", 0.95), accepted=True)
    more = (*street.annotations, _model("hen", 0.3), accepted)
    store.save(listed, replace(street, annotations=more))
    asked: Any = {"labels": labels, "min_confidence": min_confidence}
    assert store.count_acceptable(listed, **asked) == counts
    found = store.acceptable_images(listed, **asked)
    assert [store.record(listed, image_id).file_name for image_id in found] == names


def test_labels_are_counted_at_one_moment(
    store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = add_image(store, scope)
    store.save(scope, replace(record, annotations=(box("dog"),)))

    begun: list[Scope] = []
    begin = store._reading

    def reading(mine: Scope) -> AbstractContextManager[Connection]:
        if begun:
            store.undo(scope)
        begun.append(mine)
        return begin(mine)

    monkeypatch.setattr(store, "_reading", reading)
    assert store.label_counts(scope) == {"dog": 1}
