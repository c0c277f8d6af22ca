"""Datasets by name, and how far their review is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update

from imagebase.annotation import ReviewStatus, clean_text, new_id, utc_now
from imagebase.errors import StoreError
from imagebase.store.owners import insert_owner
from imagebase.store.part import StorePart
from imagebase.store.scope import Scope, check_owner_id
from imagebase.store.tables import datasets, images


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
        created = DatasetInfo(new_id(), checked_name(name), utc_now())
        with self._database.write() as connection:
            insert_owner(connection, check_owner_id(owner_id))
            connection.execute(
                insert(datasets).values(
                    dataset_id=created.dataset_id,
                    owner_id=owner_id,
                    name=created.name,
                    created_at=created.created_at,
                    created_by=who,
                    version=0,
                )
            )
        return created

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
    cleaned = " ".join(clean_text(name).split())
    if not cleaned:
        raise StoreError("A dataset needs a name; give it one.")
    return cleaned
