"""Look-alikes across a dataset: found, counted, kept, and changed with one undo."""

from dataclasses import replace

import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Size
from imagebase.assist.appearance import SIMILARITY
from imagebase.errors import NotFoundError
from imagebase.review.bulk_edits import delete_boxes, relabel_boxes
from imagebase.review.similar_boxes import (
    MOST_EXAMPLES,
    Correction,
    Search,
    SimilarBox,
    correction,
    correction_of,
    estimate,
    is_still_made,
    search,
)
from imagebase.store import Scope, Store
from imagebase.store.annotation_rows import AnnotationRow, BoxKey
from tests.planted_logo import LABEL, WITH_LOGO, fill, made_set, model_box, with_boxes

MAX_PIXELS = 10**7
CORNER = Box(20, 20, 130, 64)


def made(
    store: Store, scope: Scope, *, with_logo: int = 5, without: int = 2
) -> list[ImageRecord]:
    return fill(store, scope, made_set(with_logo=with_logo, without=without))


def deleted(record: ImageRecord, *indices: int) -> ImageRecord:
    kept = [box for i, box in enumerate(record.annotations) if i not in indices]
    return record.with_annotations(kept)


def relabelled(record: ImageRecord, index: int, label: str) -> ImageRecord:
    boxes = list(record.annotations)
    boxes[index] = boxes[index].touched(who="ann", label=label)
    return record.with_annotations(boxes)


def deletion(record: ImageRecord) -> Correction:
    asked = correction(record, deleted(record, 0))
    assert asked is not None
    return asked


def looked(
    store: Store, scope: Scope, asked: Correction, *, anywhere: bool = False
) -> Search:
    return search(store, scope, asked, anywhere=anywhere, max_pixels=MAX_PIXELS)


def names(found: tuple[SimilarBox, ...]) -> set[str]:
    return {match.like.file_name for match in found}


def test_every_planted_logo_is_found_and_nothing_else(
    store: Store, scope: Scope
) -> None:
    records = fill(store, scope, made_set())
    asked = deletion(records[0])
    store.save(scope, deleted(records[0], 0))
    found = names(looked(store, scope, asked).alike(SIMILARITY))
    with_logo = {record.file_name for record in records[1:WITH_LOGO]}
    assert not found - with_logo
    assert len(found) >= 0.95 * len(with_logo)


@pytest.mark.parametrize("became", [None, "bus"], ids=["delete", "relabel"])
def test_one_undo_brings_all_back(
    store: Store, scope: Scope, became: str | None
) -> None:
    records = made(store, scope)
    found = looked(store, scope, deletion(records[0])).alike(SIMILARITY)
    boxes = [match.like.key for match in found]
    before = {record.image_id: record.annotations for record in store.records(scope)}
    if became is None:
        report = delete_boxes(store, scope, boxes)
    else:
        report = relabel_boxes(store, scope, boxes, label=became)
    assert report.changed == len(boxes) == 4
    assert store.label_counts(scope)[LABEL] == len(records) - 4
    store.undo(scope)
    assert {
        record.image_id: record.annotations for record in store.records(scope)
    } == before


def test_most_alike_comes_first(store: Store, scope: Scope) -> None:
    records = made(store, scope)
    scores = [match.score for match in looked(store, scope, deletion(records[0])).found]
    assert scores == sorted(scores, reverse=True)
    assert max(scores) <= 1


def test_same_look_at_the_same_place_is_worth_more(store: Store, scope: Scope) -> None:
    records = made(store, scope, with_logo=3, without=0)
    (own,) = records[1].annotations
    far = replace(own, box=Box(0, 0, own.box.width, own.box.height))
    store.save(scope, with_boxes(records[1], far))
    asked = deletion(records[0])
    here = looked(store, scope, asked)
    anywhere = looked(store, scope, asked, anywhere=True)
    assert names(here.found) == {"logo-002.jpg"}
    assert names(anywhere.found) == {"logo-001.jpg", "logo-002.jpg"}


def test_looks_are_kept_for_the_next_question(store: Store, scope: Scope) -> None:
    records = made(store, scope)
    first = looked(store, scope, deletion(records[0]))
    keys = [match.like.key for match in first.found]
    assert set(store.looks(scope, keys)) == set(keys)
    seen: list[tuple[int, int]] = []
    again = search(
        store,
        scope,
        deletion(records[0]),
        anywhere=False,
        max_pixels=MAX_PIXELS,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(6, 6)]
    assert [match.like.key for match in again.found] == keys


def test_broken_off_search_goes_on_where_it_stopped(store: Store, scope: Scope) -> None:
    records = made(store, scope, with_logo=60, without=0)
    asked = deletion(records[0])

    class BrokenOffError(Exception):
        pass

    def break_off(done: int, total: int) -> None:
        if done:
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        search(
            store,
            scope,
            asked,
            anywhere=False,
            max_pixels=MAX_PIXELS,
            on_progress=break_off,
        )
    keys = [
        BoxKey(record.image_id, record.annotations[0].annotation_id)
        for record in records
    ]
    assert len(store.looks(scope, keys)) == 50


def test_image_that_cannot_be_read_is_counted_and_stops_no_other(
    store: Store, scope: Scope
) -> None:
    records = made(store, scope, with_logo=3, without=0)
    broken = store.add_image(
        scope, b"no image", file_name="broken.jpg", size=records[0].size, quality=None
    ).record
    store.save(scope, with_boxes(broken, model_box(records[0].annotations[0].box)))
    found = looked(store, scope, deletion(records[0]))
    assert (len(found.found), found.unread) == (2, 1)


def test_search_whose_own_image_is_gone_says_so(store: Store, scope: Scope) -> None:
    records = made(store, scope)
    store.remove_images(scope, [records[0].image_id])
    with pytest.raises(NotFoundError):
        looked(store, scope, deletion(records[0]))


def test_dataset_without_other_boxes_has_no_look_alikes(
    store: Store, scope: Scope
) -> None:
    records = made(store, scope, with_logo=1, without=0)
    assert looked(store, scope, deletion(records[0])) == Search((), 0, is_complete=True)


def test_estimate_is_never_less_than_what_is_found(store: Store, scope: Scope) -> None:
    records = made(store, scope)
    asked = deletion(records[0])
    guess = estimate(store, scope, asked)
    assert (guess.here, guess.anywhere) == (6, 6)
    assert guess.here >= len(looked(store, scope, asked).found)
    assert guess.is_gathered


def test_boxes_spread_over_the_images_are_not_gathered(
    store: Store, scope: Scope
) -> None:
    records = made(store, scope)
    for number, record in enumerate(records[1:]):
        shift = 45.0 * (number % 3 - 1) or 55.0
        (box,) = record.annotations
        moved = Box(
            box.box.x_min - abs(shift),
            box.box.y_min,
            box.box.x_max - abs(shift),
            box.box.y_max,
        )
        store.save(scope, with_boxes(record, replace(box, box=moved)))
    guess = estimate(store, scope, deletion(records[0]))
    assert guess.here >= 3
    assert not guess.is_gathered


def test_several_deleted_boxes_are_all_examples(store: Store, scope: Scope) -> None:
    records = made(store, scope, with_logo=3, without=0)
    first = with_boxes(
        records[0], records[0].annotations[0], model_box(CORNER), model_box(CORNER)
    )
    asked = correction(first, deleted(first, 0, 1, 2))
    assert asked is not None
    assert len(asked.examples) == 3
    assert len(looked(store, scope, asked).found) == 2


RECORD = ImageRecord(
    "a" * 64,
    "a.jpg",
    Size(640, 480),
    (model_box(CORNER), model_box(Box(300, 300, 400, 340)), model_box(CORNER, "cat")),
)


def test_deleted_box_is_a_correction() -> None:
    asked = deletion(RECORD)
    assert (asked.label, asked.became) == (LABEL, None)
    (example,) = asked.examples
    assert example.box == CORNER
    assert example.key.annotation_id == RECORD.annotations[0].annotation_id


def test_relabelled_box_is_a_correction() -> None:
    asked = correction(RECORD, relabelled(RECORD, 0, "bus"))
    assert asked is not None
    assert (asked.label, asked.became) == (LABEL, "bus")


def test_moved_accepted_or_added_boxes_are_no_correction() -> None:
    first, *others = RECORD.annotations
    moved = first.touched(who="ann", box=Box(25, 25, 140, 70))
    more = Annotation(CORNER, "dog")
    assert correction(RECORD, RECORD.with_annotations([moved, *others, more])) is None
    accepted = first.with_acceptance(who="ann")
    assert correction(RECORD, RECORD.with_annotations([accepted, *others])) is None
    assert correction(RECORD, RECORD) is None
    assert correction_of([]) is None


def test_label_of_most_boxes_is_the_one_asked_for() -> None:
    asked = correction(RECORD, RECORD.with_annotations([]))
    assert asked is not None
    assert (asked.label, len(asked.examples)) == (LABEL, 2)


def test_no_more_than_a_few_boxes_are_examples() -> None:
    done = [(RECORD, model_box(CORNER), None) for _ in range(MOST_EXAMPLES + 3)]
    asked = correction_of(done)
    assert asked is not None
    assert len(asked.examples) == MOST_EXAMPLES


@pytest.mark.parametrize("became", [None, "bus"], ids=["delete", "relabel"])
def test_correction_that_is_taken_back_is_not_made_any_more(became: str | None) -> None:
    after = deleted(RECORD, 0) if became is None else relabelled(RECORD, 0, became)
    asked = correction(RECORD, after)
    assert asked is not None
    assert is_still_made(asked, after)
    assert not is_still_made(asked, RECORD)


@pytest.mark.parametrize(
    ("annotation", "status", "expected"),
    [
        (model_box(CORNER), ReviewStatus.SUGGESTED, True),
        (model_box(CORNER), ReviewStatus.EDITED, True),
        (model_box(CORNER), ReviewStatus.APPROVED, False),
        (model_box(CORNER).with_acceptance(who="ann"), ReviewStatus.EDITED, False),
        (Annotation(CORNER, LABEL), ReviewStatus.EDITED, False),
    ],
    ids=["model", "edited image", "approved image", "accepted", "by hand"],
)
def test_only_what_nobody_reviewed_is_unreviewed(
    annotation: Annotation, status: ReviewStatus, expected: bool
) -> None:
    like = AnnotationRow("a", "a.jpg", Size(640, 480), status, 1, annotation)
    assert SimilarBox(like, 0.9).is_unreviewed is expected
