"""Datasets by name, and labels that only grow."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from imagebase.annotation import PALETTE, ReviewStatus
from imagebase.errors import NotFoundError, StoreError
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image, scope_of


def test_datasets_come_oldest_first(store: Store) -> None:
    for name in ("Street", "Beach", "Attic"):
        store.create_dataset("team", name, who="ann")
    names = [one.name for one in store.datasets("team")]
    assert names == ["Street", "Beach", "Attic"]


def test_creation_time_has_its_zone(store: Store) -> None:
    created = store.create_dataset("team", "Street", who="ann")
    assert store.datasets("team") == [created]
    assert created.created_at.utcoffset() is not None


def test_dataset_is_renamed(store: Store, scope: Scope) -> None:
    store.rename_dataset(scope, " Night \n street\0 ")
    assert [one.name for one in store.datasets("team")] == ["Night street"]


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


def test_labels_keep_their_order_and_colour(store: Store, scope: Scope) -> None:
    store.add_labels(scope, ["dog", "cat"])
    labels = store.add_labels(scope, ["ant", "dog"])
    assert labels.names == ("dog", "cat", "ant")
    assert [one.colour for one in labels] == list(PALETTE[:3])
    assert store.labels(scope) == labels


def test_label_without_a_name_is_refused(store: Store, scope: Scope) -> None:
    with pytest.raises(StoreError, match="needs a name"):
        store.add_labels(scope, ["cat", "  "])


def test_label_that_no_database_holds_is_cleaned(store: Store, scope: Scope) -> None:
    assert store.add_labels(scope, ["c\0a\ud800t"]).names == ("cat",)


def test_labels_added_at_once_have_each_its_place(store: Store, scope: Scope) -> None:
    wanted = [f"label {number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.add_labels(scope, [name, "all"]), wanted))
    assert sorted(store.labels(scope).names) == sorted([*wanted, "all"])


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
