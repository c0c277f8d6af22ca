"""Datasets by name, and how far their review is."""

import pytest

from imagebase.annotation import ReviewStatus
from imagebase.errors import NotFoundError, StoreError
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image, scope_of

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
