"""Boxes between two frames of a video that a person labelled."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.editing.records import delete_annotations, move
from imagebase.images.video import frame_name
from imagebase.review.bulk_edits import keep_layer
from imagebase.review.interpolation import (
    MODEL_ID,
    TRACK,
    Interpolation,
    interpolate,
    matched,
)
from imagebase.settings import Settings
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image, sqlite_settings


@pytest.fixture
def store_settings(tmp_path: Path, migrated_sqlite: Path) -> Settings:
    """Settings of an empty store; what differs between databases is the store's."""
    shutil.copy(migrated_sqlite, tmp_path / "imagebase.db")
    return sqlite_settings(tmp_path)


def drawn(x: float, *, label: str = "car", track: int | None = None) -> Annotation:
    attributes = {} if track is None else {TRACK: track}
    return Annotation(Box(x, 10, x + 10, 20), label, attributes=attributes)


def by_model(x: float, *, label: str = "car") -> Annotation:
    return replace(drawn(x, label=label), source=Source.MODEL, model_id="m")


@pytest.fixture
def frames(store: Store, scope: Scope) -> list[ImageRecord]:
    """Five frames of one video, a second apart, among others; the middle one last."""
    for name in ("photo.jpg", frame_name("other", 2000)):
        add_image(store, scope, name)
    for second in (0, 1, 3, 4, 2):
        add_image(store, scope, frame_name("clip", 1000 * second))
    records = store.records(scope)
    return sorted(records[2:], key=lambda record: record.file_name)


def label(
    store: Store,
    scope: Scope,
    record: ImageRecord,
    *boxes: Annotation,
    status: ReviewStatus = ReviewStatus.EDITED,
) -> None:
    known = store.record(scope, record.image_id)
    store.save(scope, replace(known, annotations=boxes, status=status))


def keep(store: Store, scope: Scope, plan: Interpolation) -> None:
    keep_layer(store, scope, plan.boxes, model_id=MODEL_ID, seen=plan.seen)


def lefts(store: Store, scope: Scope, frames: list[ImageRecord]) -> list[list[float]]:
    return [
        [box.box.x_min for box in store.record(scope, frame.image_id).annotations]
        for frame in frames
    ]


def test_boxes_move_on_straight_lines_between_key_frames(
    store: Store, scope: Scope, frames: list[ImageRecord]
) -> None:
    label(store, scope, frames[0], drawn(0))
    label(store, scope, frames[4], drawn(20), status=ReviewStatus.APPROVED)
    for place in (0, 2, 4):
        plan = interpolate(store, scope, frames[place].image_id)
        assert plan.problem == ""
        assert [time.milliseconds for time in plan.keys] == [0, 4000]
        assert plan.box_count == 3
    keep(store, scope, plan)
    assert lefts(store, scope, frames) == [[0], [5], [10], [15], [20]]
    middle = store.record(scope, frames[2].image_id)
    assert middle.status is ReviewStatus.SUGGESTED
    assert middle.annotations[0].is_untouched
    assert middle.annotations[0].model_id == MODEL_ID
    again = interpolate(store, scope, frames[0].image_id)
    assert again.problem.startswith("No new boxes")
    store.undo(scope)
    assert lefts(store, scope, frames) == [[0], [], [], [], [20]]


def test_frames_that_a_person_decided_on_are_not_touched(
    store: Store, scope: Scope, frames: list[ImageRecord]
) -> None:
    label(store, scope, frames[0], drawn(0))
    label(store, scope, frames[4], drawn(20))
    label(store, scope, frames[1], status=ReviewStatus.REJECTED)
    label(store, scope, frames[2], status=ReviewStatus.EDITED)
    keep(store, scope, interpolate(store, scope, frames[0].image_id))
    assert lefts(store, scope, frames) == [[0], [], [], [15], [20]]


def test_frame_that_is_approved_as_empty_ends_the_boxes(
    store: Store, scope: Scope, frames: list[ImageRecord]
) -> None:
    label(store, scope, frames[0], drawn(0))
    label(store, scope, frames[2], status=ReviewStatus.APPROVED)
    label(store, scope, frames[4], drawn(20))
    plan = interpolate(store, scope, frames[1].image_id)
    assert plan.problem.startswith("No new boxes")


def test_corrected_frame_is_a_key_frame_for_what_is_interpolated_again(
    store: Store, scope: Scope, frames: list[ImageRecord]
) -> None:
    label(store, scope, frames[0], drawn(0), drawn(30))
    label(store, scope, frames[4], drawn(20), drawn(30))
    keep(store, scope, interpolate(store, scope, frames[0].image_id))
    middle = store.record(scope, frames[2].image_id)
    first = middle.annotations[0]
    moved = move(middle, first.annotation_id, Box(4, 10, 14, 20), who="ann")
    store.save(scope, moved)
    plan = interpolate(store, scope, middle.image_id)
    assert [time.milliseconds for time in plan.keys] == [0, 2000, 4000]
    keep(store, scope, plan)
    assert lefts(store, scope, frames) == [
        *([0, 30], [30, 2], [4, 30]),
        *([30, 12], [20, 30]),
    ]


def test_boxes_that_a_model_shows_or_a_person_deleted_are_left_out(
    store: Store, scope: Scope, frames: list[ImageRecord]
) -> None:
    label(store, scope, frames[0], drawn(0))
    label(store, scope, frames[4], drawn(20))
    label(store, scope, frames[1], by_model(6), status=ReviewStatus.SUGGESTED)
    other = by_model(10, label="bus")
    label(store, scope, frames[2], other, status=ReviewStatus.SUGGESTED)
    keep(store, scope, interpolate(store, scope, frames[0].image_id))
    assert lefts(store, scope, frames) == [[0], [6], [10, 10], [15], [20]]
    last = store.record(scope, frames[3].image_id)
    store.save(scope, delete_annotations(last, [last.annotations[0].annotation_id]))
    assert "No new boxes" in interpolate(store, scope, frames[0].image_id).problem


def test_image_that_was_saved_meanwhile_is_skipped(
    store: Store, scope: Scope, frames: list[ImageRecord]
) -> None:
    label(store, scope, frames[0], drawn(0))
    label(store, scope, frames[4], drawn(20))
    plan = interpolate(store, scope, frames[0].image_id)
    label(store, scope, frames[2], drawn(50))
    report = keep_layer(store, scope, plan.boxes, model_id=MODEL_ID, seen=plan.seen)
    assert (report.changed, report.conflicts) == (2, 1)
    assert lefts(store, scope, frames) == [[0], [5], [50], [15], [20]]


def test_without_two_key_frames_it_says_what_is_missing(
    store: Store, scope: Scope, frames: list[ImageRecord]
) -> None:
    label(store, scope, frames[0], drawn(0))
    label(store, scope, frames[1], drawn(0))
    label(store, scope, frames[4], by_model(0), status=ReviewStatus.SUGGESTED)
    for image in (*frames, store.records(scope)[0]):
        plan = interpolate(store, scope, image.image_id)
        assert plan.problem.startswith("Label two frames of this video")


def test_boxes_are_matched_by_track_then_overlap_then_distance() -> None:
    size = Size(640, 480)
    before = [drawn(0, track=7), drawn(100), drawn(300), drawn(500, label="bus")]
    after = [drawn(290), drawn(105), drawn(400, track=7), drawn(500)]
    pairs = [(a.box.x_min, b.box.x_min) for a, b in matched(before, after, size)]
    assert pairs == [(0, 400), (100, 105), (300, 290)]


def test_boxes_too_far_or_too_different_are_not_matched() -> None:
    size = Size(640, 480)
    large = Annotation(Box(0, 0, 30, 30), "car")
    assert matched([drawn(0)], [drawn(500)], size) == []
    assert matched([drawn(0)], [large], size) == []
    assert matched([drawn(0, track=1)], [drawn(0, track=2)], size) == []
    assert matched([], [drawn(0)], size) == []


def test_attributes_that_both_have_are_kept(
    store: Store, scope: Scope, frames: list[ImageRecord]
) -> None:
    first, last = drawn(0, track=3), drawn(20, track=3)
    first = replace(first, attributes={**first.attributes, "occluded": True})
    label(store, scope, frames[0], first)
    label(store, scope, frames[4], last)
    plan = interpolate(store, scope, frames[1].image_id)
    assert [dict(box.attributes) for box in plan.frames[0].boxes] == [{TRACK: 3}]
