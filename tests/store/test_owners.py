"""Owners expire, and take everything of theirs along."""

from datetime import timedelta
from pathlib import Path

import pytest

from imagebase.annotation import utc_now
from imagebase.settings import Settings
from imagebase.store import Scope, Store
from tests.store.fixtures import add_image, scope_of

pytestmark = pytest.mark.dialect

HOUR = timedelta(hours=1)


def _files(settings: Settings) -> list[Path]:
    return [path for path in Path(settings.storage_url).rglob("*") if path.is_file()]


def test_owner_expires_at_its_time(store: Store) -> None:
    now = utc_now()
    store.ensure_owner("visitor", expires_at=now)
    store.ensure_owner("later", expires_at=now + HOUR)
    store.ensure_owner("team", expires_at=None)
    assert store.expired_owners(now) == ["visitor"]


def test_owner_that_comes_back_is_put_off(store: Store) -> None:
    now = utc_now()
    store.ensure_owner("visitor", expires_at=now)
    assert store.touch("visitor", expires_at=now + HOUR)
    assert store.expired_owners(now) == []


def test_owner_that_is_gone_is_not_made_by_a_touch(store: Store) -> None:
    assert not store.touch("nobody", expires_at=None)


def test_deleted_owner_leaves_neither_rows_nor_files(
    store: Store, store_settings: Settings
) -> None:
    scope = scope_of(store, "visitor", who="ann")
    record = add_image(store, scope)
    store.thumbnail(scope, record.image_id, lambda data: b"small")
    store.delete_owner("visitor")
    assert store.datasets("visitor") == []
    assert _files(store_settings) == []


def test_expired_owners_are_deleted_and_others_stay(store: Store, scope: Scope) -> None:
    add_image(store, scope)
    add_image(store, scope_of(store, "visitor", who="eve"))
    store.ensure_owner("visitor", expires_at=utc_now() - HOUR)
    assert store.delete_expired_owners() == ["visitor"]
    assert store.datasets("visitor") == []
    assert len(store.records(scope)) == 1


@pytest.mark.parametrize("owner_id", ["", "a/b", "..", "ä", "x" * 129])
def test_owner_id_has_to_be_safe_in_a_path(store: Store, owner_id: str) -> None:
    with pytest.raises(ValueError, match="owner's id"):
        store.ensure_owner(owner_id, expires_at=None)
