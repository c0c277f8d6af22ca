"""Boxes like another one, by label, size and place; and what boxes look like, kept."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    distinct,
    func,
    insert,
    or_,
    select,
    tuple_,
)

from imagebase.annotation import Box
from imagebase.store.annotation_rows import (
    IS_ON_IMAGE,
    ROW_COLUMNS,
    AnnotationRow,
    BoxKey,
    as_annotation_row,
)
from imagebase.store.column_types import AnySelect
from imagebase.store.mapping import boxes_of, of_labels
from imagebase.store.repository import StorePart, image_keys, these_images
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import annotations, images, looks

_Number = ColumnElement[float | Decimal]

_KEY: Final = annotations.c.image_key
_SAME_EDGES: Final = and_(
    looks.c.x_min == annotations.c.x_min,
    looks.c.y_min == annotations.c.y_min,
    looks.c.x_max == annotations.c.x_max,
    looks.c.y_max == annotations.c.y_max,
)


@dataclass(frozen=True, slots=True)
class BoxPattern:
    """A label, and where boxes of it are looked for, whatever the images' sizes.

    box: in shares of its image's width and height.
    size_tolerance: how far another's width and height may be off, as a share of its
        own.
    place_tolerance: how far the centre may be, as a share of the image's sides; None
        is anywhere.
    """

    label: str
    box: Box
    size_tolerance: float
    place_tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class KeptLook:
    """What a box looked like while it was at this place on its image."""

    box: Box
    descriptor: bytes


class Looks(StorePart):
    """Finding boxes that may be the same thing again."""

    def boxes_like(
        self, scope: Scope, pattern: BoxPattern, *, besides: Collection[str], limit: int
    ) -> list[AnnotationRow]:
        """Return boxes on other images, those nearest to the place first.

        Args:
            scope: the dataset.
            pattern: label, size and place.
            besides: ids of images to leave out.
            limit: how many to return at most.
        """
        across, down = _offsets(pattern.box)
        query: AnySelect = select(*ROW_COLUMNS)
        query = (
            query.join(images, IS_ON_IMAGE)
            .where(_has_label(scope, pattern.label, besides), _fits(pattern))
            .order_by(
                across * across + down * down,
                annotations.c.image_key,
                annotations.c.position,
            )
            .limit(limit)
        )
        with self._reading(scope) as connection:
            return [as_annotation_row(row) for row in connection.execute(query)]

    def count_images_like(
        self,
        scope: Scope,
        groups: Iterable[Collection[BoxPattern]],
        *,
        besides: Collection[str],
    ) -> list[int]:
        """Return on how many other images there are boxes of any pattern of each group.

        One query answers for all groups, so all patterns are of one label.
        """
        asked = [tuple(group) for group in groups]
        (label,) = {pattern.label for group in asked for pattern in group}
        counted = [
            func.count(distinct(case((or_(*map(_fits, group)), _KEY))))
            for group in asked
        ]
        query = (
            select(*counted)
            .select_from(annotations)
            .join(images, IS_ON_IMAGE)
            .where(_has_label(scope, label, besides))
        )
        with self._reading(scope) as connection:
            return [int(count) for count in connection.execute(query).one()]

    def looks(self, scope: Scope, keys: Collection[BoxKey]) -> dict[BoxKey, bytes]:
        """Return the kept looks of boxes that are still where they were then."""
        wanted = set(keys)
        descriptors: dict[BoxKey, bytes] = {}
        with self._reading(scope) as connection:
            for chunk in chunks(sorted({key.image_id for key in wanted})):
                for row in connection.execute(_kept_looks(scope, chunk)):
                    key = BoxKey(row.image_id, row.annotation_id)
                    if key in wanted:
                        descriptors[key] = row.descriptor
        return descriptors

    def keep_looks(self, scope: Scope, looks_of: Mapping[BoxKey, KeptLook]) -> None:
        """Save the descriptors of boxes in place of earlier ones.

        A box on an image that is not there any more is left out.
        """
        with self._writing(scope) as connection:
            for chunk in chunks(looks_of.items()):
                keys = image_keys(connection, scope, (key.image_id for key, _ in chunk))
                rows = [
                    {
                        "image_key": keys[key.image_id],
                        "annotation_id": key.annotation_id,
                        "dataset_id": scope.dataset_id,
                        **{edge: float(v) for edge, v in look.box._asdict().items()},
                        "descriptor": look.descriptor,
                    }
                    for key, look in chunk
                    if key.image_id in keys
                ]
                _replace(connection, rows)


def _replace(connection: Connection, rows: list[dict[str, object]]) -> None:
    if not rows:
        return
    places = [(row["image_key"], row["annotation_id"]) for row in rows]
    connection.execute(
        delete(looks).where(
            tuple_(looks.c.image_key, looks.c.annotation_id).in_(places)
        )
    )
    connection.execute(insert(looks), rows)


def _kept_looks(scope: Scope, image_ids: Collection[str]) -> AnySelect:
    same_box = and_(
        looks.c.image_key == annotations.c.image_key,
        looks.c.annotation_id == annotations.c.annotation_id,
        _SAME_EDGES,
    )
    query: AnySelect = select(
        images.c.image_id, looks.c.annotation_id, looks.c.descriptor
    )
    return (
        query.join(images, images.c.image_key == looks.c.image_key)
        .join(annotations, same_box)
        .where(these_images(scope, image_ids), annotations.c.is_deleted.is_(False))
    )


def _has_label(
    scope: Scope, label: str, besides: Collection[str]
) -> ColumnElement[bool]:
    return and_(
        boxes_of(scope),
        of_labels(scope.dataset_id, [label]),
        images.c.image_id.not_in(list(besides)),
    )


def _fits(pattern: BoxPattern) -> ColumnElement[bool]:
    width = (annotations.c.x_max - annotations.c.x_min) / images.c.width
    height = (annotations.c.y_max - annotations.c.y_min) / images.c.height
    least, most = 1 - pattern.size_tolerance, 1 + pattern.size_tolerance
    of_size = and_(
        width.between(pattern.box.width * least, pattern.box.width * most),
        height.between(pattern.box.height * least, pattern.box.height * most),
    )
    if pattern.place_tolerance is None:
        return of_size
    reach = pattern.place_tolerance
    across, down = _offsets(pattern.box)
    return and_(of_size, across.between(-reach, reach), down.between(-reach, reach))


def _offsets(box: Box) -> tuple[_Number, _Number]:
    """Return how far a box's centre is from this one's, in shares of the sides."""
    x = (annotations.c.x_min + annotations.c.x_max) / (2 * images.c.width)
    y = (annotations.c.y_min + annotations.c.y_max) / (2 * images.c.height)
    return x - (box.x_min + box.x_max) / 2, y - (box.y_min + box.y_max) / 2
