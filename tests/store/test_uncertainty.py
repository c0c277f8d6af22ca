"""The queue of doubtful images, and what it is made from."""

from dataclasses import replace
from datetime import timedelta

import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, Source, utc_now
from imagebase.editing.records import approve, delete_annotations
from imagebase.store import CandidatesKey, Scope, Store
from imagebase.store.uncertainty import (
    REASONS,
    Doubt,
    DoubtKind,
    MissedObject,
    Reason,
)
from tests.store.fixtures import add_image, box, scope_of

pytestmark = pytest.mark.dialect

KEY = CandidatesKey("ab" * 32, 416, "f32", "mirrored")
PERSON = MissedObject(Box(1.5, 2.25, 30.0, 40.0), "per'son\"}", 0.61, "tiny-abc")


@pytest.fixture
def four(store: Store, scope: Scope) -> list[ImageRecord]:
    return [add_image(store, scope, f"{name}.jpg") for name in "abcd"]


def doubt(record: ImageRecord, score: float, *kinds: DoubtKind) -> Doubt:
    reasons = {
        kind: Reason(score / (1 + i), f"because of {kind}")
        for i, kind in enumerate(kinds or (DoubtKind.NEAR,))
    }
    return Doubt(record.image_id, record.revision, score, reasons)


def names(store: Store, scope: Scope, kind: DoubtKind | None = None) -> str:
    rows = store.doubtful_images(scope, kind=kind)
    return "".join(row.file_name[0] for row in rows)


def test_most_doubtful_comes_first_and_what_is_sure_stays_out(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    scores = (0.2, 0.9, 0.0, 0.9)
    store.put_doubts(scope, map(doubt, four, scores))
    assert names(store, scope) == "bda"
    in_order = [four[i].image_id for i in (1, 3, 0)]
    assert store.doubtful_ids(scope) == in_order
    (middle,) = store.doubtful_images(scope, offset=1, limit=1)
    assert (middle.image_id, middle.score) == (four[3].image_id, 0.9)


def test_reasons_come_back_as_they_were_the_strongest_first(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    reasons = {
        DoubtKind.RARE: Reason(0.1, "the only 'zebra' of the set"),
        DoubtKind.MISSED: Reason(0.4, "perhaps missed: a person", (PERSON, PERSON)),
    }
    store.put_doubts(scope, [Doubt(four[0].image_id, 1, 0.5, reasons)])
    (row,) = store.doubtful_images(scope)
    assert row.reasons == reasons
    assert list(row.reasons) == [DoubtKind.MISSED, DoubtKind.RARE]


def test_later_judgement_replaces_the_earlier(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    store.put_doubts(scope, [doubt(four[0], 0.3)])
    store.put_doubts(scope, [doubt(four[0], 0.7, DoubtKind.OVERLAP)])
    (row,) = store.doubtful_images(scope)
    assert row.score == 0.7
    assert list(row.reasons) == [DoubtKind.OVERLAP]


def test_queue_is_filtered_and_counted_by_reason(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    store.put_doubts(
        scope,
        [
            doubt(four[0], 0.2, DoubtKind.NEAR),
            doubt(four[1], 0.5, DoubtKind.NEAR, DoubtKind.MISSED),
            doubt(four[2], 0.4, DoubtKind.RARE),
        ],
    )
    assert names(store, scope, DoubtKind.NEAR) == "ba"
    assert names(store, scope, DoubtKind.ONE_WAY) == ""
    counts = store.doubt_counts(scope)
    assert counts.images == 3
    assert counts.by_kind == {
        DoubtKind.MISSED: 1,
        DoubtKind.ONE_WAY: 0,
        DoubtKind.OVERLAP: 0,
        DoubtKind.NEAR: 2,
        DoubtKind.RARE: 1,
    }


def test_approved_image_leaves_the_queue_and_comes_back(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    store.put_doubts(scope, [doubt(record, 0.5) for record in four])
    store.save(scope, approve(four[0], who="ann"))
    assert names(store, scope) == "bcd"
    assert store.doubt_counts(scope).images == 3
    store.undo(scope)
    assert names(store, scope) == "abcd"


def test_next_walks_down_the_queue_and_begins_anew(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    a, b, c, d = (record.image_id for record in four)
    store.put_doubts(scope, map(doubt, four, (0.2, 0.9, 0.0, 0.9)))
    walked = [b]
    for _ in range(3):
        following = store.next_doubtful(scope, walked[-1])
        assert following is not None
        walked.append(following)
    assert walked == [b, d, a, b]
    assert store.next_doubtful(scope, c) == b
    store.save(scope, approve(four[3], who="ann"))
    assert store.next_doubtful(scope, b) == a
    assert store.next_doubtful(scope, d) == a


def test_nothing_follows_where_nothing_else_is_doubtful(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    assert store.next_doubtful(scope, four[0].image_id) is None
    store.put_doubts(scope, [doubt(four[0], 0.5)])
    assert store.next_doubtful(scope, four[0].image_id) is None
    assert store.next_doubtful(scope, "0" * 64) == four[0].image_id


def test_images_are_stale_until_judged_and_once_changed(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    assert store.stale_doubts(scope) == [record.image_id for record in four]
    store.put_doubts(scope, [doubt(record, 0.5) for record in four])
    assert store.stale_doubts(scope) == []
    store.save(scope, four[2].with_annotations([box()]))
    assert store.stale_doubts(scope) == [four[2].image_id]


def test_images_are_stale_where_a_model_answered_since(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    store.put_doubts(scope, [doubt(record, 0.5) for record in four])
    store.put_many(scope, KEY, {four[1].image_id: b"blob"})
    assert store.stale_doubts(scope, [KEY]) == [four[1].image_id]
    assert store.stale_doubts(scope) == []
    long_ago = utc_now() - timedelta(hours=1)
    store.put_doubts(scope, [doubt(four[1], 0.5)], as_of=long_ago)
    assert store.stale_doubts(scope, [KEY]) == [four[1].image_id]
    store.put_doubts(scope, [doubt(four[1], 0.5)])
    assert store.stale_doubts(scope, [KEY]) == []


def test_images_that_lack_a_second_answer_are_counted(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    plain = replace(KEY, passes="single")
    assert store.count_seen_once(scope, plain, KEY) == 0
    store.put_many(scope, plain, {record.image_id: b"blob" for record in four[:3]})
    store.put_many(scope, KEY, {four[0].image_id: b"blob"})
    store.save(scope, approve(four[1], who="ann"))
    assert store.count_seen_once(scope, plain, KEY) == 1


def test_columns_hold_boxes_and_marks_of_the_images_asked_for(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    found = Annotation(
        Box(3, 4, 5, 6), "dog", source=Source.MODEL, confidence=0.3, model_id="m"
    )
    first = store.save(scope, four[0].with_annotations([box(), found]))
    store.save(scope, delete_annotations(first, {found.annotation_id}))
    store.save(scope, four[1].with_annotations([box()]))
    images, boxes = store.doubt_columns(scope, [four[0].image_id, four[2].image_id])
    assert [image.image_id for image in images] == [four[0].image_id, four[2].image_id]
    assert (images[0].revision, images[0].status) == (2, "edited")
    assert [(row.label, row.is_deleted) for row in boxes] == [
        ("cat", False),
        ("dog", True),
    ]
    mark = boxes[1]
    assert (mark[1:5], mark.confidence, mark.source) == ((3, 4, 5, 6), 0.3, "model")


def test_doubts_stay_in_their_dataset_and_go_with_their_image(
    store: Store, scope: Scope, four: list[ImageRecord]
) -> None:
    other = scope_of(store, "team", who="bob", name="Other")
    store.put_doubts(other, [doubt(four[0], 0.5)])
    assert names(store, scope) == ""
    store.put_doubts(scope, [doubt(four[0], 0.5)])
    assert names(store, other) == ""
    assert store.next_doubtful(other, four[1].image_id) is None
    store.remove_images(scope, [four[0].image_id])
    assert store.doubt_counts(scope).images == 0


def test_reasons_are_kept_as_earlier_versions_wrote_them() -> None:
    kept = {
        "missed": {
            "part": 0.4,
            "text": "perhaps missed: a person",
            "found": [
                {
                    "box": [1.5, 2.25, 30.0, 40.0],
                    "label": "per'son\"}",
                    "confidence": 0.61,
                    "model_id": "tiny-abc",
                }
            ],
        }
    }
    reasons = REASONS.validate_python(kept)
    assert reasons[DoubtKind.MISSED].found == (PERSON,)
    assert REASONS.dump_python(reasons, mode="json") == kept
