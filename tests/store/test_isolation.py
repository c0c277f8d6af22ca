"""No owner sees or changes anything of another's, whatever is asked."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from imagebase.annotation import Box, ImageRecord
from imagebase.annotation.areas import Point, ShapeKind
from imagebase.annotation.areas import Shape as DrawnShape
from imagebase.errors import NotFoundError, StoreError
from imagebase.store import CandidatesKey, Scope, Store
from imagebase.store.annotation_rows import BoxKey
from imagebase.store.backup_rows import COPIED_BY_NAME
from imagebase.store.similarity import BoxPattern, KeptLook
from imagebase.store.taught_models import TaughtRow
from imagebase.store.uncertainty import Doubt
from tests.store.fixtures import SIZE, add_image, box, scope_of

KEY = CandidatesKey("ab" * 32, 416, "f32", "single")
AREA = DrawnShape(ShapeKind.RECTANGLE, (Point(0, 0), Point(9, 9)))
TAUGHT = TaughtRow(
    ("cat",), (), 1, b"model", "ab" * 32, "ann", datetime(2026, 1, 2, tzinfo=UTC)
)
SHAPE = BoxPattern("cat", Box(0, 0, 0.5, 0.5), size_tolerance=0.25)

Query = Callable[[Store, Scope, str, str], Any]

# Each is asked by an owner for another's dataset, image (i) and job (j).
QUERIES: Final[dict[str, Query]] = {
    "rename_dataset": lambda store, scope, i, j: store.rename_dataset(scope, "Mine"),
    "delete_dataset": lambda store, scope, i, j: store.delete_dataset(scope),
    "progress": lambda store, scope, i, j: store.progress(scope),
    "usage": lambda store, scope, i, j: store.usage(scope),
    "version": lambda store, scope, i, j: store.version(scope),
    "labels": lambda store, scope, i, j: store.labels(scope),
    "add_labels": lambda store, scope, i, j: store.add_labels(scope, ["dog"]),
    "former_label_names": lambda store, scope, i, j: store.former_label_names(scope),
    "label_mapping": lambda store, scope, i, j: store.label_mapping(scope, "tiny"),
    "save_label_mapping": lambda store, scope, i, j: store.save_label_mapping(
        scope, "tiny", {"dog": None}
    ),
    "add_label": lambda store, scope, i, j: store.add_label(scope, "dog"),
    "rename_label": lambda store, scope, i, j: store.rename_label(scope, 0, "dog"),
    "recolour_label": lambda store, scope, i, j: store.recolour_label(
        scope, 0, "#123456"
    ),
    "order_labels": lambda store, scope, i, j: store.order_labels(scope, [0]),
    "merge_label": lambda store, scope, i, j: store.merge_label(scope, 0, into=0),
    "delete_label": lambda store, scope, i, j: store.delete_label(scope, 0),
    "add_image": lambda store, scope, i, j: store.add_image(
        scope, b"new", file_name="new.jpg", size=SIZE, quality=None
    ),
    "image_bytes": lambda store, scope, i, j: store.image_bytes(scope, i),
    "thumbnail": lambda store, scope, i, j: store.thumbnail(scope, i, bytes),
    "require_image": lambda store, scope, i, j: store.require_image(scope, i),
    "stored_scene": lambda store, scope, i, j: store.stored_scene(scope, i),
    "keep_scene": lambda store, scope, i, j: store.keep_scene(scope, i, b"x"),
    "remove_images": lambda store, scope, i, j: store.remove_images(scope, [i]),
    "records": lambda store, scope, i, j: store.records(scope),
    "record": lambda store, scope, i, j: store.record(scope, i),
    "image_ids": lambda store, scope, i, j: store.image_ids(scope),
    "image_or_first": lambda store, scope, i, j: store.image_or_first(scope, i),
    "tag_counts": lambda store, scope, i, j: store.tag_counts(scope),
    "image_summaries": lambda store, scope, i, j: store.image_summaries(scope),
    "forget_candidates": lambda store, scope, i, j: store.forget_candidates(
        scope, KEY.model_sha256
    ),
    "image_tags": lambda store, scope, i, j: store.image_tags(scope),
    "count_unanswered": lambda store, scope, i, j: store.count_unanswered(scope, KEY),
    "quality_notes": lambda store, scope, i, j: store.quality_notes(scope),
    "images_mark": lambda store, scope, i, j: store.images_mark(scope),
    "annotation_rows": lambda store, scope, i, j: store.annotation_rows(scope),
    "count_annotations": lambda store, scope, i, j: store.count_annotations(scope),
    "label_counts": lambda store, scope, i, j: store.label_counts(scope),
    "people_counts": lambda store, scope, i, j: store.people_counts(scope),
    "count_acceptable": lambda store, scope, i, j: store.count_acceptable(
        scope, labels=None, min_confidence=0.0
    ),
    "acceptable_images": lambda store, scope, i, j: store.acceptable_images(
        scope, labels=None, min_confidence=0.0
    ),
    "carry_model_choices": lambda store, scope, i, j: store.carry_model_choices(
        scope, "before", "after"
    ),
    "file_names": lambda store, scope, i, j: store.file_names(scope),
    "image_rows": lambda store, scope, i, j: store.image_rows(scope),
    "count_images": lambda store, scope, i, j: store.count_images(scope),
    "add_comment": lambda store, scope, i, j: store.add_comment(scope, i, "hello"),
    "resolve_comment": lambda store, scope, i, j: store.resolve_comment(scope, j),
    "reopen_comment": lambda store, scope, i, j: store.reopen_comment(scope, j),
    "comments": lambda store, scope, i, j: store.comments(scope, i),
    "open_comment_counts": lambda store, scope, i, j: store.open_comment_counts(scope),
    "add_ignore_areas": lambda store, scope, i, j: store.add_ignore_areas(
        scope, i, [AREA], all_of_size=False
    ),
    "delete_ignore_areas": lambda store, scope, i, j: store.delete_ignore_areas(
        scope, [j]
    ),
    "ignore_areas": lambda store, scope, i, j: store.ignore_areas(scope),
    "ignore_areas_mark": lambda store, scope, i, j: store.ignore_areas_mark(scope),
    "ignored_shapes": lambda store, scope, i, j: store.ignored_shapes(scope, [i]),
    "count_of_size": lambda store, scope, i, j: store.count_of_size(scope, SIZE),
    "put_doubts": lambda store, scope, i, j: store.put_doubts(
        scope, [Doubt(i, 1, 0.5, {})]
    ),
    "doubtful_images": lambda store, scope, i, j: store.doubtful_images(scope),
    "doubt_counts": lambda store, scope, i, j: store.doubt_counts(scope),
    "doubt_scores": lambda store, scope, i, j: store.doubt_scores(scope),
    "queue_rows": lambda store, scope, i, j: store.queue_rows(scope, [i]),
    "doubtful_ids": lambda store, scope, i, j: store.doubtful_ids(scope),
    "next_doubtful": lambda store, scope, i, j: store.next_doubtful(scope, i),
    "stale_doubts": lambda store, scope, i, j: store.stale_doubts(scope),
    "count_seen_once": lambda store, scope, i, j: store.count_seen_once(
        scope, KEY, KEY
    ),
    "doubt_columns": lambda store, scope, i, j: store.doubt_columns(scope, [i]),
    "health_tables": lambda store, scope, i, j: store.health_tables(scope),
    "box_histories": lambda store, scope, i, j: store.box_histories(scope),
    "approved_boxes": lambda store, scope, i, j: store.approved_boxes(scope),
    "finished_moments": lambda store, scope, i, j: store.finished_moments(scope),
    "label_thresholds": lambda store, scope, i, j: store.label_thresholds(scope, "m"),
    "save_label_thresholds": lambda store, scope, i, j: store.save_label_thresholds(
        scope, "m", {"dog": 0.4}
    ),
    "boxes_like": lambda store, scope, i, j: store.boxes_like(
        scope, SHAPE, besides=[], limit=1
    ),
    "count_images_like": lambda store, scope, i, j: store.count_images_like(
        scope, [[SHAPE]], besides=[]
    ),
    "looks": lambda store, scope, i, j: store.looks(scope, [BoxKey(i, "box")]),
    "keep_looks": lambda store, scope, i, j: store.keep_looks(
        scope, {BoxKey(i, "box"): KeptLook(SHAPE.box, b"look")}
    ),
    "save": lambda store, scope, i, j: store.save(scope, _edited(i)),
    "save_many": lambda store, scope, i, j: store.save_many(scope, [_edited(i)]),
    "undo": lambda store, scope, i, j: store.undo(scope),
    "undo_change": lambda store, scope, i, j: store.undo_change(scope, j),
    "redo": lambda store, scope, i, j: store.redo(scope),
    "can_undo": lambda store, scope, i, j: store.can_undo(scope),
    "undo_size": lambda store, scope, i, j: store.undo_size(scope),
    "redo_size": lambda store, scope, i, j: store.redo_size(scope),
    "can_redo": lambda store, scope, i, j: store.can_redo(scope),
    "history": lambda store, scope, i, j: store.history(scope, i),
    "start_run": lambda store, scope, i, j: store.start_run(
        scope, model_id="tiny", parameters={}
    ),
    "finish_run": lambda store, scope, i, j: store.finish_run(scope, "run"),
    "runs": lambda store, scope, i, j: store.runs(scope),
    "put_many": lambda store, scope, i, j: store.put_many(scope, KEY, {i: b"new"}),
    "candidates": lambda store, scope, i, j: store.candidates(scope, KEY),
    "each_candidates": lambda store, scope, i, j: list(
        store.each_candidates(scope, KEY)
    ),
    "candidates_version": lambda store, scope, i, j: store.candidates_version(
        scope, KEY
    ),
    "has_candidates": lambda store, scope, i, j: store.has_candidates(scope, KEY),
    "image_contents": lambda store, scope, i, j: store.image_contents(scope),
    "copying": lambda store, scope, i, j: store.copying(scope).__enter__(),
    "put_images": lambda store, scope, i, j: store.put_images(
        scope, [{"image_id": i}], read=lambda image_id: b"new"
    ),
    "put_rows": lambda store, scope, i, j: store.put_rows(
        scope, COPIED_BY_NAME["annotations"], [{"image_id": i}]
    ),
    "end_copy": lambda store, scope, i, j: store.end_copy(scope, "Mine"),
    "submit_job": lambda store, scope, i, j: store.submit_job(scope, "train", {}),
    "jobs": lambda store, scope, i, j: store.jobs(scope),
    "latest_job": lambda store, scope, i, j: store.latest_job(scope, "annotate"),
    "taught_row": lambda store, scope, i, j: store.taught_row(scope),
    "images_with_deleted": lambda store, scope, i, j: store.images_with_deleted(
        scope, ["dog"]
    ),
    "learning": lambda store, scope, i, j: store.learning(scope),
    "change_learning": lambda store, scope, i, j: store.change_learning(
        scope, lambda row: row
    ),
    "put_taught_row": lambda store, scope, i, j: store.put_taught_row(scope, TAUGHT),
    "delete_taught_row": lambda store, scope, i, j: store.delete_taught_row(scope),
    "active_jobs": lambda store, scope, i, j: store.active_jobs(scope),
    "job": lambda store, scope, i, j: store.job(scope, j),
    "cancel_job": lambda store, scope, i, j: store.cancel_job(scope, j),
    "place_in_line": lambda store, scope, i, j: store.place_in_line(scope, j),
    "resume_job": lambda store, scope, i, j: store.resume_job(scope, j),
}

# These name an owner, or serve the workers and the sweeper, who see no dataset's rows.
WITHOUT_SCOPE: Final = {
    "ensure_owner",
    "has_owner",
    "active_runs",
    "taught_digests",
    "touch",
    "expired_owners",
    "delete_owner",
    "delete_expired_owners",
    "datasets",
    "create_dataset",
    "begin_copy",
    "claim_job",
    "has_queued_jobs",
    "renew_leases",
    "report_progress",
    "must_stop",
    "is_claimed",
    "continue_expired_jobs",
    "is_on_a_server",
    "end_job",
    "interrupt_expired_jobs",
    "interrupt_workers",
    "running_workers",
    "close",
    "copy_database_if_due",
    "check_reachable",
    "check_writable",
    "sweep_files",
    "database_url",
}


def _edited(image_id: str) -> ImageRecord:
    return ImageRecord(image_id, "cat.jpg", SIZE, annotations=(box(),))


def test_every_public_query_is_asked() -> None:
    public = {name for name in dir(Store) if not name.startswith("_")}
    assert public == set(QUERIES) | WITHOUT_SCOPE


@pytest.mark.parametrize("name", QUERIES)
def test_another_owners_dataset_is_not_found(store: Store, name: str) -> None:
    theirs = scope_of(store, "theirs", who="ann")
    record = add_image(store, theirs)
    job_id = store.submit_job(theirs, "annotate", {})
    before = (store.records(theirs), store.jobs(theirs), store.labels(theirs))
    intruder = replace(theirs, owner_id="mine")
    store.ensure_owner("mine", expires_at=None)
    with pytest.raises(NotFoundError, match="dataset no longer exists"):
        QUERIES[name](store, intruder, record.image_id, job_id)
    after = (store.records(theirs), store.jobs(theirs), store.labels(theirs))
    assert after == before


@pytest.mark.parametrize(
    "name",
    [
        "image_bytes",
        "thumbnail",
        "require_image",
        "stored_scene",
        "keep_scene",
        "record",
        "save",
        "job",
        "cancel_job",
        "resume_job",
    ],
)
def test_another_datasets_ids_are_not_found(store: Store, name: str) -> None:
    theirs, mine = (scope_of(store, owner, who="ann") for owner in ("theirs", "mine"))
    record = add_image(store, theirs)
    job_id = store.submit_job(theirs, "annotate", {})
    with pytest.raises(NotFoundError):
        QUERIES[name](store, mine, record.image_id, job_id)


def test_copy_begins_in_no_dataset_that_is_there(store: Store) -> None:
    theirs = scope_of(store, "theirs", who="ann")
    before = store.datasets("theirs")
    with pytest.raises(StoreError):
        store.begin_copy(replace(theirs, owner_id="mine"), "Mine")
    assert store.datasets("theirs") == before
    assert store.datasets("mine") == []


def test_owner_lists_only_their_own_datasets(store: Store) -> None:
    scope_of(store, "theirs", who="ann")
    assert store.datasets("mine") == []
