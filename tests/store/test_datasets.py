"""Datasets by name, and how far their review is."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Table, func, select

from imagebase.annotation import ReviewStatus
from imagebase.errors import NotFoundError, StoreError
from imagebase.settings import Settings
from imagebase.store import CandidatesKey, Scope, Store, tables
from imagebase.store.annotation_rows import BoxKey
from imagebase.store.similarity import KeptLook
from imagebase.store.uncertainty import Doubt
from tests.store.fixtures import add_image, box, scope_of

pytestmark = pytest.mark.dialect


def test_datasets_come_oldest_first(store: Store) -> None:
    for name in ("Street", "Beach", "Attic"):
        store.create_dataset("team", name, who="ann")
    names = [dataset.name for dataset in store.datasets("team")]
    assert names == ["Street", "Beach", "Attic"]


def test_creation_time_has_its_zone(store: Store) -> None:
    created = store.create_dataset("team", "Street", who="ann")
    assert store.datasets("team") == [created]
    assert created.created_at.utcoffset() is not None


def test_dataset_is_renamed(store: Store, scope: Scope) -> None:
    store.rename_dataset(scope, " Night \n street\0 ")
    assert [dataset.name for dataset in store.datasets("team")] == ["Night street"]


def test_dataset_without_a_name_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="needs a name"):
        store.create_dataset("team", " \0 ", who="ann")


def test_deleted_dataset_is_not_found(store: Store, scope: Scope) -> None:
    store.delete_dataset(scope)
    with pytest.raises(NotFoundError, match="choose another"):
        store.records(scope)


def test_deleted_dataset_leaves_nothing_that_was_made_of_its_images(
    store: Store, scope: Scope, store_settings: Settings
) -> None:
    record = add_image(store, scope)
    image_id = record.image_id
    record = store.save(scope, replace(record, annotations=(box("cat"),)))
    store.thumbnail(scope, image_id, lambda data: b"small")
    store.keep_scene(scope, image_id, b"scene")
    store.put_many(
        scope, CandidatesKey("ab" * 32, 416, "f32", "single"), {image_id: b""}
    )
    store.put_doubts(scope, [Doubt(image_id, record.revision, 0.5, {})])
    kept = KeptLook(record.annotations[0].box, b"look")
    key = BoxKey(image_id, record.annotations[0].annotation_id)
    store.keep_looks(scope, {key: kept})
    made = (tables.candidates, tables.doubts, tables.looks, tables.annotations)
    assert all(map(partial(_rows, store), made))
    store.delete_dataset(scope)
    assert not any(map(partial(_rows, store), made))
    folder = Path(store_settings.storage_url)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def _rows(store: Store, table: Table) -> int:
    with store._database.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def test_file_stays_while_another_dataset_counts_it(store: Store) -> None:
    first = scope_of(store, "team", who="ann")
    second = scope_of(store, "team", who="ann")
    record = add_image(store, first)
    add_image(store, second)
    store.delete_dataset(first)
    assert store.image_bytes(second, record.image_id) == b"cat.jpg"


def test_progress_counts_every_status(store: Store, scope: Scope) -> None:
    add_image(store, scope)
    assert store.progress(scope) == {
        status: int(status is ReviewStatus.NEW) for status in ReviewStatus
    }


def test_usage_counts_images_and_bytes(store: Store, scope: Scope) -> None:
    assert store.usage(scope).images == 0
    add_image(store, scope, data=b"12345")
    add_image(store, scope, data=b"123")
    usage = store.usage(scope)
    assert (usage.images, usage.byte_count) == (2, 8)
