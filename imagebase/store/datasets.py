"""Datasets by name, their owners, and how far their review is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from imagebase.annotation import (
    MAX_LABEL_LENGTH,
    ReviewStatus,
    clean_text,
    new_id,
    utc_now,
)
from imagebase.errors import LimitError, StoreError
from imagebase.store.repository import StorePart, files_lock, insert_or_skip
from imagebase.store.scope import Scope, check_owner_id
from imagebase.store.tables import datasets, images, owners
from imagebase.wording import plural


def insert_owner(connection: Connection, owner_id: str) -> None:
    """Make an owner that never expires, unless it is there already."""
    row = {"owner_id": check_owner_id(owner_id), "created_at": utc_now()}
    connection.execute(insert_or_skip(connection.dialect, owners).values(**row))


def _exists(connection: Connection, owner_id: str) -> bool:
    query = select(owners.c.owner_id).where(owners.c.owner_id == owner_id)
    return connection.scalar(query) is not None


def _refuse_too_many(connection: Connection, most: int) -> None:
    count = connection.scalar(select(func.count()).select_from(owners)) or 0
    if count >= most:
        raise LimitError(
            f"This server is in use by {plural(count, 'visitor')}, the most that it "
            "takes. Try again in a few minutes."
        )


class Owners(StorePart):
    """Those whom datasets belong to."""

    def ensure_owner(
        self, owner_id: str, *, expires_at: datetime | None, most: int | None = None
    ) -> None:
        """Make an owner where there is none, and say when it expires; None is never.

        most: owners that there may be; None is any number.

        Raises:
            ValueError: the id has other characters than letters, digits, `-` and `_`.
            LimitError: it would be one more than the most.
        """
        if expires_at is None and self._never_expires(owner_id):
            return  # a page opens where nothing can be written
        with self._database.write() as connection:
            if most is not None and not _exists(connection, owner_id):
                _refuse_too_many(connection, most)
            insert_owner(connection, owner_id)
            self._set_expiry(connection, owner_id, expires_at)

    def has_owner(self, owner_id: str) -> bool:
        """Say whether there is such an owner."""
        with self._database.read() as connection:
            return _exists(connection, owner_id)

    def _never_expires(self, owner_id: str) -> bool:
        query = select(owners.c.owner_id).where(
            owners.c.owner_id == check_owner_id(owner_id), owners.c.expires_at.is_(None)
        )
        with self._database.read() as connection:
            return connection.scalar(query) is not None

    def touch(self, owner_id: str, *, expires_at: datetime | None) -> bool:
        """Put off the moment an owner expires; False where there is no such owner."""
        with self._database.write() as connection:
            return self._set_expiry(connection, owner_id, expires_at)

    def expired_owners(self, now: datetime) -> list[str]:
        """Return the owners that expired by this moment, the oldest first."""
        query = (
            select(owners.c.owner_id)
            .where(owners.c.expires_at <= now)
            .order_by(owners.c.expires_at)
        )
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def delete_owner(self, owner_id: str) -> None:
        """Delete an owner with all its datasets, rows and files."""
        self._delete_owner(owner_id)

    def delete_expired_owners(self, now: datetime | None = None) -> list[str]:
        """Delete the owners that expired by this moment, and return their ids."""
        moment = now or utc_now()
        return [
            owner_id
            for owner_id in self.expired_owners(moment)
            if self._delete_owner(owner_id, expired_at=moment)
        ]

    def _delete_owner(
        self, owner_id: str, *, expired_at: datetime | None = None
    ) -> bool:
        """Delete rows, then files; one that was put off meanwhile stays."""
        which = [owners.c.owner_id == check_owner_id(owner_id)]
        if expired_at is not None:
            which.append(owners.c.expires_at <= expired_at)
        with self._database.write() as connection:
            if not connection.execute(delete(owners).where(*which)).rowcount:
                return False
        with self._database.write(files_lock(owner_id)) as connection:
            known = select(owners.c.owner_id).where(owners.c.owner_id == owner_id)
            # A visitor may be back already; then new images may be there.
            if connection.scalar(known) is None:
                self._files.delete_owner(owner_id)
        return True

    @staticmethod
    def _set_expiry(
        connection: Connection, owner_id: str, expires_at: datetime | None
    ) -> bool:
        changed = connection.execute(
            update(owners)
            .where(owners.c.owner_id == owner_id)
            .values(expires_at=expires_at)
        )
        return changed.rowcount > 0


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A dataset by name, and when it was begun."""

    dataset_id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """How many images a dataset has, and the bytes of their files."""

    images: int
    byte_count: int


def insert_dataset(connection: Connection, scope: Scope, name: str) -> DatasetInfo:
    """Begin an empty dataset under the scope's id; its owner is made where missing.

    Raises:
        StoreError: the name is empty.
    """
    created = DatasetInfo(scope.dataset_id, checked_name(name), utc_now())
    insert_owner(connection, scope.owner_id)
    connection.execute(
        insert(datasets).values(
            **asdict(created), owner_id=scope.owner_id, created_by=scope.who, version=0
        )
    )
    return created


class Datasets(StorePart):
    """Sets of images."""

    def datasets(self, owner_id: str) -> list[DatasetInfo]:
        """Return an owner's datasets, the oldest first."""
        query = (
            select(datasets.c.dataset_id, datasets.c.name, datasets.c.created_at)
            .where(datasets.c.owner_id == owner_id)
            .order_by(datasets.c.created_at, datasets.c.dataset_id)
        )
        with self._database.read() as connection:
            return [DatasetInfo(*row) for row in connection.execute(query)]

    def create_dataset(self, owner_id: str, name: str, *, who: str) -> DatasetInfo:
        """Begin an empty dataset; an owner that is not there is made.

        Raises:
            StoreError: the name is empty.
        """
        with self._database.write() as connection:
            return insert_dataset(connection, Scope(owner_id, new_id(), who), name)

    def rename_dataset(self, scope: Scope, name: str) -> None:
        """Give a dataset another name.

        Raises:
            StoreError: the name is empty.
        """
        with self._writing(scope) as connection:
            connection.execute(
                update(datasets)
                .where(datasets.c.dataset_id == scope.dataset_id)
                .values(name=checked_name(name))
            )

    def delete_dataset(self, scope: Scope) -> None:
        """Delete a dataset, and the files that no other dataset of its owner has."""
        with self._writing(scope) as connection:
            query = select(images.c.image_id)
            mine = query.where(images.c.dataset_id == scope.dataset_id)
            held = list(connection.scalars(mine))
            connection.execute(
                delete(datasets).where(datasets.c.dataset_id == scope.dataset_id)
            )
        self._delete_unused_files(scope.owner_id, held)

    def progress(self, scope: Scope) -> Mapping[ReviewStatus, int]:
        """Return how many images stand where; every status is there."""
        query = (
            select(images.c.status, func.count())
            .where(images.c.dataset_id == scope.dataset_id)
            .group_by(images.c.status)
        )
        with self._reading(scope) as connection:
            counted: dict[str, int] = dict(connection.execute(query).all())
        return {status: counted.get(status.value, 0) for status in ReviewStatus}

    def usage(self, scope: Scope) -> Usage:
        """Return how much the dataset holds."""
        total = func.coalesce(func.sum(images.c.byte_count), 0)
        query = select(func.count(), total).where(
            images.c.dataset_id == scope.dataset_id
        )
        with self._reading(scope) as connection:
            count, byte_count = connection.execute(query).one()
        return Usage(images=count, byte_count=int(byte_count))


def checked_name(name: str) -> str:
    cleaned = " ".join(clean_text(name).split())[:MAX_LABEL_LENGTH].rstrip()
    if not cleaned:
        raise StoreError("A dataset needs a name; give it one.")
    return cleaned
