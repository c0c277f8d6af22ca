"""The model that a dataset teaches by examples: what it was taught, and its file."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from imagebase.store.mapping import HAS_LABEL
from imagebase.store.repository import StorePart
from imagebase.store.scope import Scope
from imagebase.store.tables import (
    annotations,
    candidates,
    datasets,
    images,
    label_mappings,
    label_thresholds,
    labels,
    taught_models,
)


@dataclass(frozen=True, slots=True)
class TaughtRow:
    """A dataset's taught model.

    labels: that it finds, as they were called when it was taught.
    examples: ids of the images that people chose; some may have been deleted since.
    image_count: how many images it was taught with, chosen or not.
    content: of its .npz file. sha256: of the content.
    """

    labels: tuple[str, ...]
    examples: tuple[str, ...]
    image_count: int
    content: bytes
    sha256: str
    who: str
    taught_at: datetime


class TaughtModels(StorePart):
    """At most one taught model for each dataset."""

    def taught_row(self, scope: Scope) -> TaughtRow | None:
        """Return the dataset's taught model; None if nobody taught one."""
        query = select(*_COLUMNS).where(taught_models.c.dataset_id == scope.dataset_id)
        with self._reading(scope) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        labels, examples, *others = row
        return TaughtRow(tuple(labels), tuple(examples), *others)

    def put_taught_row(self, scope: Scope, row: TaughtRow) -> None:
        """Save a dataset's taught model in place of the one before.

        What that one found is deleted in all datasets of the owner.
        """
        values = {column.name: getattr(row, column.name) for column in _COLUMNS}
        with self._writing(scope) as connection:
            self._delete_taught(connection, scope, unless=row.sha256)
            connection.execute(
                insert(taught_models).values(dataset_id=scope.dataset_id, **values)
            )

    def delete_taught_row(self, scope: Scope) -> None:
        """Delete a dataset's taught model and its candidates; its boxes are kept."""
        with self._writing(scope) as connection:
            self._delete_taught(connection, scope)

    def carry_model_choices(self, scope: Scope, before: str, after: str) -> None:
        """Give what people chose for a model to the one that takes its place.

        That is what its labels are called, and their thresholds, in every dataset of
        the owner; what was chosen for the new one already stays.

        Args:
            scope: of the owner.
            before, after: ids of the models.
        """
        if before == after:
            return
        mine = select(datasets.c.dataset_id).where(
            datasets.c.owner_id == scope.owner_id
        )
        with self._writing(scope) as connection:
            for table in (label_mappings, label_thresholds):
                decided = select(table.c.dataset_id).where(table.c.model_id == after)
                connection.execute(
                    update(table)
                    .where(
                        table.c.model_id == before,
                        table.c.dataset_id.in_(mine),
                        table.c.dataset_id.not_in(decided),
                    )
                    .values(model_id=after)
                )

    @staticmethod
    def _delete_taught(
        connection: Connection, scope: Scope, *, unless: str = ""
    ) -> None:
        """Delete the row; and what its model found, unless it has this digest.

        A dataset that was restored beside its original may still have that model.
        """
        mine = taught_models.c.dataset_id == scope.dataset_id
        digest = connection.scalar(select(taught_models.c.sha256).where(mine))
        connection.execute(delete(taught_models).where(mine))
        of_owner = datasets.c.owner_id == scope.owner_id
        theirs = (
            select(images.c.image_key)
            .join(datasets, datasets.c.dataset_id == images.c.dataset_id)
            .where(of_owner)
        )
        still = (
            select(taught_models.c.dataset_id)
            .join(datasets, datasets.c.dataset_id == taught_models.c.dataset_id)
            .where(of_owner, taught_models.c.sha256 == digest)
        )
        if digest not in (None, unless) and connection.scalar(still) is None:
            connection.execute(
                delete(candidates).where(
                    candidates.c.model_sha256 == digest,
                    candidates.c.image_key.in_(theirs),
                )
            )

    def images_with_deleted(self, scope: Scope, names: Collection[str]) -> list[str]:
        """Return the images on which people deleted a model's boxes of these labels.

        In upload order.
        """
        query = (
            select(images.c.image_id)
            .join(annotations, annotations.c.image_key == images.c.image_key)
            .join(labels, HAS_LABEL)
            .where(annotations.c.dataset_id == scope.dataset_id)
            .where(annotations.c.is_deleted, labels.c.name.in_(names))
            .group_by(images.c.image_key, images.c.image_id)
            .order_by(images.c.image_key)
        )
        with self._reading(scope) as connection:
            return list(connection.scalars(query))

    def taught_digests(self, owner_id: str) -> Mapping[str, str]:
        """Return the digests of an owner's taught models by dataset id."""
        query = (
            select(taught_models.c.dataset_id, taught_models.c.sha256)
            .join(datasets, datasets.c.dataset_id == taught_models.c.dataset_id)
            .where(datasets.c.owner_id == owner_id)
        )
        with self._database.read() as connection:
            digests: dict[str, str] = dict(connection.execute(query).all())
        return digests


_COLUMNS: Final = tuple(
    column for column in taught_models.c if column.name != "dataset_id"
)
