"""The table of every annotation of a dataset: filtered, ordered, a page at a time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Subquery,
    UnaryExpression,
    and_,
    func,
    or_,
    select,
)

from imagebase.annotation import Annotation, ReviewStatus, Size, Source
from imagebase.store.columns import AnyRow, AnySelect
from imagebase.store.part import StorePart
from imagebase.store.rows import ANNOTATION_COLUMNS, as_annotation
from imagebase.store.scope import Scope
from imagebase.store.tables import annotations, images
from imagebase.store.tables import labels as labels_table

_Order = ColumnElement[Any] | UnaryExpression[Any]

_UPLOAD: Final = (annotations.c.image_key, annotations.c.position)
_LATEST: Final = (annotations.c.image_key.desc(), annotations.c.position.desc())
_BY_CONFIDENCE: Final = annotations.c.confidence

_IS_ON_IMAGE: Final = images.c.image_key == annotations.c.image_key

# upload: as the images came. doubt: the least confident first, boxes without a
# confidence last. newest: the last change first.
ORDERS: Final[Mapping[str, tuple[_Order, ...]]] = {
    "upload": _UPLOAD,
    "doubt": (_BY_CONFIDENCE.asc().nulls_last(), *_UPLOAD),
    "confidence": (_BY_CONFIDENCE.desc().nulls_last(), *_LATEST),
    "label": (annotations.c.label, *_UPLOAD),
    "newest": (annotations.c.changed_at.desc(), *_LATEST),
}


@dataclass(frozen=True, slots=True)
class AnnotationRow:
    """One annotation with what the table shows of its image."""

    image_id: str
    file_name: str
    size: Size
    status: ReviewStatus
    revision: int
    annotation: Annotation


@dataclass(frozen=True, slots=True)
class _Filters:
    labels: Collection[str] | None
    statuses: Collection[ReviewStatus] | None
    sources: Collection[Source] | None
    confidence: tuple[float, float] | None
    text: str | None


class Listing(StorePart):
    """Annotations across the images of a dataset."""

    def annotation_rows(
        self,
        scope: Scope,
        *,
        labels: Collection[str] | None = None,
        statuses: Collection[ReviewStatus] | None = None,
        sources: Collection[Source] | None = None,
        confidence: tuple[float, float] | None = None,
        text: str | None = None,
        order: str = "upload",
        offset: int = 0,
        limit: int | None = None,
    ) -> list[AnnotationRow]:
        """Return the annotations that pass every filter given, in one order.

        Args:
            scope: the dataset.
            labels: only these.
            statuses: only on images that stand there.
            sources: only made by these.
            confidence: least and greatest, both included; boxes without one stay out.
            text: contained in the file name or in the label, in either case.
            order: a name in ORDERS.
            offset: how many to leave out at the beginning.
            limit: how many to return at most; None is all.

        Raises:
            ValueError: there is no order of this name.
        """
        if order not in ORDERS:
            raise ValueError(f"no order {order!r}; there are {', '.join(ORDERS)}")
        filters = _Filters(labels, statuses, sources, confidence, text)
        chosen = (
            _filtered(_places(), scope, filters)
            .order_by(*ORDERS[order])
            .offset(offset)
            .limit(limit)
            .subquery()
        )
        query = _rows_at(chosen, scope).order_by(*ORDERS[order])
        with self._reading(scope) as connection:
            return [_as_listed(row) for row in connection.execute(query)]

    def count_annotations(
        self,
        scope: Scope,
        *,
        labels: Collection[str] | None = None,
        statuses: Collection[ReviewStatus] | None = None,
        sources: Collection[Source] | None = None,
        confidence: tuple[float, float] | None = None,
        text: str | None = None,
    ) -> int:
        """Return how many annotations pass every filter given."""
        filters = _Filters(labels, statuses, sources, confidence, text)
        counting: AnySelect = select(func.count()).select_from(annotations)
        with self._reading(scope) as connection:
            return connection.scalar(_filtered(counting, scope, filters)) or 0

    def label_counts(self, scope: Scope) -> dict[str, int]:
        """Return how many annotations each label has, the most frequent first."""
        query = (
            select(annotations.c.label, func.count().label("count"))
            .where(_mine(scope))
            .group_by(annotations.c.label)
            .order_by(func.count().desc(), annotations.c.label)
        )
        with self._reading(scope) as connection:
            return dict(connection.execute(query).all())


def _places() -> AnySelect:
    return select(annotations.c.image_key, annotations.c.position)


def _rows_at(places: Subquery, scope: Scope) -> AnySelect:
    """Select whole rows by their places.

    Skipping to a far page walks over an index alone that way, not over every row.
    """
    same = and_(
        annotations.c.image_key == places.c.image_key,
        annotations.c.position == places.c.position,
    )
    query: AnySelect = select(
        *ANNOTATION_COLUMNS,
        images.c.image_id,
        images.c.file_name,
        images.c.width,
        images.c.height,
        images.c.status,
        images.c.revision,
    )
    return query.join(images, _IS_ON_IMAGE).join(places, same).where(_mine(scope))


def _mine(scope: Scope) -> ColumnElement[bool]:
    in_dataset = annotations.c.dataset_id == scope.dataset_id
    return in_dataset & annotations.c.is_deleted.is_(False)


def _filtered(query: AnySelect, scope: Scope, filters: _Filters) -> AnySelect:
    query = query.where(_mine(scope))
    if filters.labels is not None:
        query = query.where(annotations.c.label.in_(filters.labels))
    if filters.sources is not None:
        sources = [one.value for one in filters.sources]
        query = query.where(annotations.c.source.in_(sources))
    if filters.confidence is not None:
        query = query.where(annotations.c.confidence.between(*filters.confidence))
    if filters.statuses is not None:
        statuses = [one.value for one in filters.statuses]
        query = query.join(images, _IS_ON_IMAGE).where(images.c.status.in_(statuses))
    if filters.text:
        query = query.where(_contains(scope, filters.text))
    return query


def _contains(scope: Scope, text: str) -> ColumnElement[bool]:
    """Find a text in the names of images and labels, which are few beside the boxes."""
    on_images = select(images.c.image_key).where(
        images.c.dataset_id == scope.dataset_id,
        images.c.file_name.icontains(text, autoescape=True),
    )
    of_labels = select(labels_table.c.name).where(
        labels_table.c.dataset_id == scope.dataset_id,
        labels_table.c.name.icontains(text, autoescape=True),
    )
    return or_(
        annotations.c.image_key.in_(on_images), annotations.c.label.in_(of_labels)
    )


def _as_listed(row: AnyRow) -> AnnotationRow:
    return AnnotationRow(
        image_id=row.image_id,
        file_name=row.file_name,
        size=Size(row.width, row.height),
        status=ReviewStatus(row.status),
        revision=row.revision,
        annotation=as_annotation(row),
    )
