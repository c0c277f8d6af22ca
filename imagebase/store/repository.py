"""What every part of the store has: a database, image files, scoped transactions."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Insert,
    Table,
    and_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from imagebase.errors import StoreError
from imagebase.settings import Limits
from imagebase.store.database import Database
from imagebase.store.image_files import ImageFiles
from imagebase.store.scope import Scope, chunks, require_dataset
from imagebase.store.tables import datasets, images

_log: Final = logging.getLogger(__name__)


class StorePart:
    """The base of the classes that `Store` is put together from."""

    def __init__(
        self,
        database: Database,
        files: ImageFiles,
        *,
        max_labels: int = Limits().max_labels,
    ) -> None:
        self._database = database
        self._files = files
        self._max_labels = max_labels

    @contextmanager
    def _reading(self, scope: Scope) -> Iterator[Connection]:
        """Open a read transaction on a dataset that is this scope's."""
        with self._database.read() as connection:
            require_dataset(connection, scope)
            yield connection

    @contextmanager
    def _writing(self, scope: Scope, *locks: str) -> Iterator[Connection]:
        """Open a write transaction; nobody else writes to the dataset meanwhile."""
        with self._database.write(*locks, dataset_lock(scope)) as connection:
            require_dataset(connection, scope)
            yield connection

    def _write_file(self, scope: Scope, image_id: str, data: bytes) -> None:
        if not self._files.has(scope.owner_id, image_id, byte_count=len(data)):
            self._files.write(scope.owner_id, image_id, data)

    def _write_lost_file(self, scope: Scope, image_id: str, data: bytes) -> None:
        """Write a file that was there a moment ago, if it was deleted since."""
        if not self._files.has_length(scope.owner_id, image_id, len(data)):
            self._files.write(scope.owner_id, image_id, data)

    def _delete_unused_files(self, owner_id: str, image_ids: Iterable[str]) -> None:
        """Delete the files that no row of this owner counts any more.

        It comes after the rows are gone for good: a process that dies in between leaves
        a file too many, never one too few.
        """
        for chunk in chunks(image_ids):
            with self._database.write(files_lock(owner_id)) as connection:
                counted = counted_images(connection, owner_id, chunk)
                self._delete_files(owner_id, sorted(set(chunk) - counted))

    def _delete_files(self, owner_id: str, image_ids: list[str]) -> None:
        try:
            self._files.delete_all(owner_id, image_ids)
        except StoreError:
            _log.warning("Files of images stay behind", exc_info=True)


def counted_images(
    connection: Connection, owner_id: str, image_ids: Iterable[str]
) -> set[str]:
    """Return those of these images that a dataset of the owner has."""
    query = (
        select(images.c.image_id)
        .join(datasets, datasets.c.dataset_id == images.c.dataset_id)
        .where(datasets.c.owner_id == owner_id, images.c.image_id.in_(image_ids))
    )
    return set(connection.scalars(query))


def dataset_lock(scope: Scope) -> str:
    """Return the name of the lock on a dataset's rows."""
    return f"dataset {scope.dataset_id}"


def files_lock(owner_id: str) -> str:
    """Return the name of the lock on an owner's files; taken before a dataset's."""
    return f"files {owner_id}"


def grow_version(connection: Connection, dataset_id: str) -> None:
    """Note that an export of the dataset would not be the same any more."""
    connection.execute(
        update(datasets)
        .where(datasets.c.dataset_id == dataset_id)
        .values(version=datasets.c.version + 1)
    )


def these_images(scope: Scope, image_ids: Iterable[str]) -> ColumnElement[bool]:
    """Select images of a dataset by their ids."""
    mine = images.c.dataset_id == scope.dataset_id
    return and_(mine, images.c.image_id.in_(list(image_ids)))


def image_keys(
    connection: Connection, scope: Scope, image_ids: Iterable[str]
) -> dict[str, int]:
    """Return the row keys of those of these images that are in the dataset."""
    keys: dict[str, int] = {}
    for chunk in chunks(dict.fromkeys(image_ids)):
        query = select(images.c.image_id, images.c.image_key)
        rows = connection.execute(query.where(these_images(scope, chunk)))
        keys |= dict(rows.all())
    return keys


def insert_or_skip(dialect: Dialect, table: Table) -> Insert:
    """Return an INSERT that leaves a row alone which is there already."""
    if dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def upsert(dialect: Dialect, table: Table, changed: Iterable[str]) -> Insert:
    """Return an INSERT that writes these columns of a row which is there already."""
    make: Any = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    statement = make(table)
    insert: Insert = statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: statement.excluded[name] for name in changed},
    )
    return insert
