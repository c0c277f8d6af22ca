"""Images: file first, then row; counted, and gone when nobody counts them."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagebase.annotation import Quality
from imagebase.errors import (
    ImageFileError,
    NotFoundError,
    StoreError,
    UndoRefusedError,
)
from imagebase.settings import Settings
from imagebase.store import Scope, Store
from tests.store.fixtures import SIZE, add_image, box, scope_of

QUALITY = Quality(12.5, 100.1, 30.3, "00ff00ff00ff00ff", ("dark", "tiny"))


def _files(settings: Settings) -> list[str]:
    folder = Path(settings.storage_url)
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_image_is_known_by_its_hash(store: Store, scope: Scope) -> None:
    added = store.add_image(
        scope, b"pixels", file_name="a/cat.jpg", size=SIZE, quality=QUALITY
    )
    assert added.is_new
    assert added.record.image_id == hashlib.sha256(b"pixels").hexdigest()
    assert store.record(scope, added.record.image_id) == added.record
    assert added.record.quality == QUALITY
    assert (added.record.size, added.record.byte_count) == (SIZE, 6)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def alter(path: Path) -> None:
    """Change a file at equal length."""
    path.write_bytes(path.read_bytes()[::-1])


def test_damaged_file_comes_back_with_another_dataset(
    store: Store, scope: Scope, store_settings: Settings
) -> None:
    record = add_image(store, scope, "cat.jpg", data=b"pixels")
    (path,) = Path(store_settings.storage_url).rglob(record.image_id)
    alter(path)
    other = scope_of(store, "team", who="ann")
    add_image(store, other, "cat.jpg", data=b"pixels")
    assert store.image_bytes(scope, record.image_id) == b"pixels"


def test_same_content_is_added_once(store: Store, scope: Scope) -> None:
    first = add_image(store, scope, "cat.jpg", data=b"pixels")
    again = store.add_image(
        scope, b"pixels", file_name="copy.jpg", size=SIZE, quality=None
    )
    assert not again.is_new
    assert again.record == first
    assert len(store.image_ids(scope)) == 1


@pytest.mark.parametrize("damage", [Path.unlink, shorten, alter])
def test_lost_file_of_an_image_comes_back_when_it_is_added_again(
    store: Store,
    scope: Scope,
    store_settings: Settings,
    damage: Callable[[Path], object],
) -> None:
    record = add_image(store, scope, "cat.jpg", data=b"pixels")
    (path,) = Path(store_settings.storage_url).rglob(record.image_id)
    damage(path)
    with pytest.raises(ImageFileError, match=r"cat\.jpg is (missing|damaged)"):
        store.image_bytes(scope, record.image_id)
    before = store.version(scope)
    assert add_image(store, scope, "cat.jpg", data=b"pixels") == record
    assert store.image_bytes(scope, record.image_id) == b"pixels"
    mended = store.version(scope)
    add_image(store, scope, "cat.jpg", data=b"pixels")
    assert store.version(scope) == mended != before


def test_file_name_that_no_database_holds_is_cleaned(
    store: Store, scope: Scope
) -> None:
    assert add_image(store, scope, "c\0a\udc80t.jpg", data=b"x").file_name == "cat.jpg"


def test_image_comes_back_as_it_came(store: Store, scope: Scope) -> None:
    record = add_image(store, scope, data=b"\xff\xd8pixels")
    assert store.image_bytes(scope, record.image_id) == b"\xff\xd8pixels"


def test_image_added_by_many_at_once_is_added_once(store: Store, scope: Scope) -> None:
    def add(number: int) -> bool:
        return store.add_image(
            scope, b"pixels", file_name=f"{number}.jpg", size=SIZE, quality=None
        ).is_new

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(16))) == 1


@contextmanager
def _no_room() -> Iterator[None]:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no RLIMIT_FSIZE")
def test_file_that_cannot_be_written_leaves_no_row(
    store: Store, scope: Scope, store_settings: Settings
) -> None:
    with _no_room(), pytest.raises(StoreError, match="not added"):
        add_image(store, scope, data=bytes(20_000_000))
    assert store.image_ids(scope) == []
    assert _files(store_settings) == []


def test_row_that_cannot_be_written_leaves_no_file(
    store: Store, scope: Scope, store_settings: Settings
) -> None:
    nameless: str = None  # type: ignore[assignment]
    with pytest.raises(StoreError, match="nothing was saved"):
        store.add_image(scope, b"x", file_name=nameless, size=SIZE, quality=None)
    assert not _files(store_settings)


def test_image_removed_while_its_thumbnail_is_made_leaves_none(
    store: Store, scope: Scope, store_settings: Settings
) -> None:
    image_id = add_image(store, scope).image_id

    def make(data: bytes) -> bytes:
        store.remove_images(scope, [image_id])
        return data

    with pytest.raises(NotFoundError):
        store.thumbnail(scope, image_id, make)
    assert not _files(store_settings)


def test_removed_image_is_gone_with_its_file(
    store: Store, scope: Scope, store_settings: Settings
) -> None:
    record = add_image(store, scope)
    kept = add_image(store, scope, "dog.jpg")
    assert store.remove_images(scope, [record.image_id, "0" * 64]) == 1
    assert store.image_ids(scope) == [kept.image_id]
    assert _files(store_settings) == [kept.image_id]


def test_image_that_was_saved_since_one_saw_it_is_not_removed(
    store: Store, scope: Scope, store_settings: Settings
) -> None:
    same, other = add_image(store, scope), add_image(store, scope, "dog.jpg")
    seen = {record.image_id: record.revision for record in (same, other)}
    saved = store.save(scope, other.with_annotations([box()]))
    assert store.remove_images(scope, seen, seen=seen) == 1
    assert store.records(scope) == [saved]
    assert _files(store_settings) == [other.image_id]
    # What was done on the one that stays can still be undone.
    assert store.undo(scope).image_ids == (other.image_id,)


def test_removed_image_can_come_again(store: Store, scope: Scope) -> None:
    record = add_image(store, scope)
    store.save(scope, record.with_annotations([box()]))
    store.remove_images(scope, [record.image_id])
    assert add_image(store, scope) == record


def test_changes_on_a_removed_image_are_not_undone(store: Store, scope: Scope) -> None:
    kept, removed = add_image(store, scope), add_image(store, scope, "dog.jpg")
    store.save(scope, kept.with_annotations([box()]))
    store.save(scope, removed.with_annotations([box()]))
    store.remove_images(scope, [removed.image_id])
    assert store.undo(scope).image_ids == (kept.image_id,)
    with pytest.raises(UndoRefusedError):
        store.undo(scope)


def test_file_stays_while_another_dataset_has_it(store: Store, scope: Scope) -> None:
    record = add_image(store, scope)
    other = scope_of(store, "team", who="ann")
    add_image(store, other)
    store.remove_images(scope, [record.image_id])
    assert store.image_bytes(other, record.image_id) == b"cat.jpg"


def test_thumbnail_is_made_once(store: Store, scope: Scope) -> None:
    record = add_image(store, scope)
    made: list[bytes] = []

    def make(data: bytes) -> bytes:
        made.append(data)
        return b"small"

    for _ in range(2):
        assert store.thumbnail(scope, record.image_id, make) == b"small"
    assert made == [b"cat.jpg"]


def test_thumbnail_that_is_lost_is_made_again(
    store: Store, scope: Scope, store_settings: Settings
) -> None:
    record = add_image(store, scope)
    store.thumbnail(scope, record.image_id, lambda data: b"first")
    folder = Path(store_settings.storage_url) / "team" / "thumbnails"
    (folder / record.image_id[:2] / record.image_id).unlink()
    again = store.thumbnail(scope, record.image_id, lambda data: b"second")
    assert again == b"second"


def test_lost_file_is_explained(
    store: Store, scope: Scope, store_settings: Settings
) -> None:
    record = add_image(store, scope)
    name = record.image_id
    (Path(store_settings.storage_url) / "team" / name[:2] / name).unlink()
    with pytest.raises(StoreError, match="IMAGEBASE_STORAGE_URL"):
        store.image_bytes(scope, record.image_id)


def test_image_of_another_dataset_is_not_found(store: Store, scope: Scope) -> None:
    record = add_image(store, scope_of(store, "team", who="ann"))
    with pytest.raises(NotFoundError):
        store.image_bytes(scope, record.image_id)
