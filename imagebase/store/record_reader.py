"""Records read: images with their annotations, in upload order, in few queries."""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from imagebase.annotation import ImageRecord, ReviewStatus
from imagebase.annotation.areas import Shape, shape_of_json
from imagebase.errors import NotFoundError
from imagebase.store.column_types import AnyRow, AnySelect
from imagebase.store.mapping import (
    ANNOTATION_COLUMNS,
    RECORD_COLUMNS,
    Placed,
    StoredImage,
    as_annotation,
    as_record,
)
from imagebase.store.repository import StorePart
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import annotations, ignore_areas, images

GONE: Final = "This image is no longer in the dataset; choose another one."


def stored_images(
    connection: Connection, dataset_id: str, image_ids: Iterable[str]
) -> dict[str, StoredImage]:
    """Return those of these images that are in the dataset, by image id."""
    stored: dict[str, StoredImage] = {}
    for chunk in chunks(dict.fromkeys(image_ids)):
        rows = connection.execute(
            select(*RECORD_COLUMNS).where(
                images.c.dataset_id == dataset_id, images.c.image_id.in_(chunk)
            )
        ).all()
        stored |= {
            image.record.image_id: image
            for image in _with_annotations(connection, dataset_id, rows)
        }
    return stored


def _with_annotations(
    connection: Connection, dataset_id: str, rows: Sequence[AnyRow]
) -> Iterable[StoredImage]:
    for chunk in chunks(rows):
        placed = _placed(connection, [row.image_key for row in chunk])
        ignored = shapes_by_key(connection, dataset_id, chunk)
        for row in chunk:
            mine = placed.get(row.image_key, [])
            shapes = ignored.get(row.image_key, ())
            yield StoredImage(
                image_key=row.image_key,
                head=row.head,
                record=as_record(row, mine, ignored=shapes),
                placed={box.annotation.annotation_id: box for box in mine},
            )


def shapes_by_key(
    connection: Connection, dataset_id: str, rows: Sequence[AnyRow]
) -> dict[int, tuple[Shape, ...]]:
    """Return the ignore areas of images, by their keys, the oldest first.

    rows: of images, with image_key, width and height.
    """
    keys = [row.image_key for row in rows]
    of_all = ignore_areas.c.image_key.is_(None)
    query = (
        select(ignore_areas)
        .where(
            ignore_areas.c.dataset_id == dataset_id,
            or_(of_all, ignore_areas.c.image_key.in_(keys)),
        )
        .order_by(ignore_areas.c.created_at, ignore_areas.c.area_id)
    )
    # Read once, whatever the number of images that an area holds for.
    shapes: dict[object, list[tuple[int, Shape]]] = {}
    for place, area in enumerate(connection.execute(query)):
        of_size = (area.width, area.height)
        holds_for = of_size if area.image_key is None else area.image_key
        shapes.setdefault(holds_for, []).append((place, shape_of_json(area.shape)))
    shapes_of: dict[int, tuple[Shape, ...]] = {}
    for row in rows if shapes else ():
        own = shapes.get(row.image_key, [])
        placed = [*own, *shapes.get((row.width, row.height), [])]
        if placed:
            in_order = sorted(placed, key=itemgetter(0))
            shapes_of[row.image_key] = tuple(shape for _, shape in in_order)
    return shapes_of


def _placed(connection: Connection, image_keys: list[int]) -> dict[int, list[Placed]]:
    rows = connection.execute(
        select(
            *ANNOTATION_COLUMNS,
            annotations.c.image_key,
            annotations.c.position,
            annotations.c.is_deleted,
        )
        .where(annotations.c.image_key.in_(image_keys))
        .order_by(annotations.c.image_key, annotations.c.position)
    )
    placed_on: dict[int, list[Placed]] = {}
    for row in rows:
        placed = Placed(as_annotation(row), row.position, row.is_deleted)
        placed_on.setdefault(row.image_key, []).append(placed)
    return placed_on


class Records(StorePart):
    """Images with everything known about them but their pixels."""

    def records(
        self,
        scope: Scope,
        *,
        statuses: Iterable[ReviewStatus] | None = None,
        offset: int = 0,
        limit: int | None = None,
        image_ids: Iterable[str] | None = None,
    ) -> list[ImageRecord]:
        """Return records in upload order.

        Args:
            scope: the dataset.
            statuses: only images that stand there; None is all.
            offset: how many to leave out at the beginning.
            limit: how many to return at most; None is all.
            image_ids: only these, unknown ones skipped; offset and limit count
                among them.
        """
        with self._reading(scope) as connection:
            if image_ids is None:
                query = _images_of(scope, statuses).offset(offset)
                rows = connection.execute(query.limit(limit)).all()
            else:
                rows = _chosen(connection, scope, statuses, image_ids)
                rows = rows[offset : None if limit is None else offset + limit]
            stored = _with_annotations(connection, scope.dataset_id, rows)
            return [image.record for image in stored]

    def record(self, scope: Scope, image_id: str) -> ImageRecord:
        """Return one record.

        Raises:
            NotFoundError: the dataset has no such image.
        """
        with self._reading(scope) as connection:
            stored = stored_images(connection, scope.dataset_id, [image_id])
        if not stored:
            raise NotFoundError(GONE)
        return stored[image_id].record

    def image_ids(
        self, scope: Scope, *, statuses: Iterable[ReviewStatus] | None = None
    ) -> list[str]:
        """Return the ids of the images that stand there, in upload order."""
        query = (
            select(images.c.image_id)
            .where(_stands(scope, statuses))
            .order_by(images.c.image_key)
        )
        with self._reading(scope) as connection:
            return list(connection.scalars(query).all())

    def image_or_first(self, scope: Scope, image_id: str | None) -> str | None:
        """Return an image's id where it is there, else the first one's, else None."""
        ids = select(images.c.image_id).where(images.c.dataset_id == scope.dataset_id)
        with self._reading(scope) as connection:
            chosen = ids.where(images.c.image_id == image_id)
            if image_id is not None and connection.scalar(chosen) is not None:
                return image_id
            first = ids.order_by(images.c.image_key).limit(1)
            first_id: str | None = connection.scalar(first)
            return first_id


def _images_of(scope: Scope, statuses: Iterable[ReviewStatus] | None) -> AnySelect:
    query: AnySelect = select(*RECORD_COLUMNS)
    return query.where(_stands(scope, statuses)).order_by(images.c.image_key)


def _stands(
    scope: Scope, statuses: Iterable[ReviewStatus] | None
) -> ColumnElement[bool]:
    mine = images.c.dataset_id == scope.dataset_id
    if statuses is None:
        return mine
    return and_(mine, images.c.status.in_([status.value for status in statuses]))


def _chosen(
    connection: Connection,
    scope: Scope,
    statuses: Iterable[ReviewStatus] | None,
    image_ids: Iterable[str],
) -> list[AnyRow]:
    wanted = None if statuses is None else list(statuses)
    rows: list[AnyRow] = []
    for chunk in chunks(dict.fromkeys(image_ids)):
        query = _images_of(scope, wanted).where(images.c.image_id.in_(chunk))
        rows += connection.execute(query).all()
    return sorted(rows, key=lambda row: int(row.image_key))
