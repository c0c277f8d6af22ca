"""The table of every annotation of a dataset: filtered, ordered, a page at a time."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Subquery,
    UnaryExpression,
    and_,
    distinct,
    func,
    literal,
    or_,
    select,
)

from imagebase.annotation import TO_REVIEW, Annotation, ReviewStatus, Size, Source
from imagebase.store.column_types import AnyRow, AnySelect, MemberText
from imagebase.store.labels import stored_labels
from imagebase.store.mapping import (
    ANNOTATION_COLUMNS,
    HAS_LABEL,
    as_annotation,
    boxes_of,
    of_labels,
)
from imagebase.store.repository import StorePart
from imagebase.store.scope import Scope
from imagebase.store.tables import annotations, images
from imagebase.store.tables import labels as labels_table

_Value = TypeVar("_Value")
_Order = ColumnElement[Any] | UnaryExpression[Any]

_UPLOAD: Final = (annotations.c.image_key, annotations.c.position)
_LATEST: Final = (annotations.c.image_key.desc(), annotations.c.position.desc())
_BY_LABEL: Final = "label"
_BY_CONFIDENCE: Final = annotations.c.confidence
_width = annotations.c.x_max - annotations.c.x_min
_height = annotations.c.y_max - annotations.c.y_min
_area = _width * _height

IS_ON_IMAGE: Final = images.c.image_key == annotations.c.image_key
# Of annotations joined with their images; `as_annotation_row` reads them.
ROW_COLUMNS: Final = (
    *ANNOTATION_COLUMNS,
    images.c.image_id,
    images.c.file_name,
    images.c.width,
    images.c.height,
    images.c.status,
    images.c.revision,
)

# Images in these states are a reviewer's to decide; no bulk acceptance changes others.

# The column that comes first, and whether its greatest value does.
_SORTS: Final[Mapping[str, tuple[ColumnElement[Any], bool]]] = {
    "upload": (annotations.c.image_key, False),
    "doubt": (_BY_CONFIDENCE, False),
    "confidence": (_BY_CONFIDENCE, True),
    _BY_LABEL: (labels_table.c.name, False),
    "newest": (annotations.c.changed_at, True),
    "oldest": (annotations.c.changed_at, False),
    "image": (images.c.file_name, False),
    "status": (images.c.status, False),
    "source": (annotations.c.source, False),
    "who": (annotations.c.changed_by, False),
    "smallest": (_area, False),
    "largest": (_area, True),
}
_IMAGE_ORDERS: Final = frozenset({"image", "status"})

# upload: as the images came. doubt: the least confident first. newest, oldest: by the
# last change. smallest, largest: by area. Boxes without a confidence come last by it.
ORDERS: Final = tuple(_SORTS)


class BoxKey(NamedTuple):
    """Which box: an annotation's id is its own only on its image."""

    image_id: str
    annotation_id: str


@dataclass(frozen=True, slots=True)
class AnnotationRow:
    """One annotation with the fields of its image that lists show."""

    image_id: str
    file_name: str
    size: Size
    status: ReviewStatus
    revision: int
    annotation: Annotation

    @property
    def key(self) -> BoxKey:
        return BoxKey(self.image_id, self.annotation.annotation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationFilter:
    """Which annotations to list: those that pass everything that is not None.

    statuses: of the image they are on. sources: who made them.
    confidence: least and greatest, both included; boxes without one stay out.
    text: contained in the file name or in the label, in either case.
    image: contained in the file name, in either case.
    who: made the last change. since, until: when that was; `until` itself is out.
    sides: the shortest side in pixels; at least the first, less than the second.
    share: of the image's area; at least the first, at most the second.
    attribute: its name and its value, in either case; without a value all but false.
    """

    labels: Collection[str] | None = None
    statuses: Collection[ReviewStatus] | None = None
    sources: Collection[Source] | None = None
    confidence: tuple[float, float] | None = None
    text: str | None = None
    image: str | None = None
    who: Collection[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    sides: tuple[float, float] | None = None
    share: tuple[float, float] | None = None
    attribute: tuple[str, str | None] | None = None


class AcceptCounts(NamedTuple):
    """How much of a dataset an acceptance is about."""

    boxes: int
    images: int
    labels: int


EVERYTHING: Final = AnnotationFilter()


class Listing(StorePart):
    """Annotations across the images of a dataset."""

    def annotation_rows(
        self,
        scope: Scope,
        wanted: AnnotationFilter = EVERYTHING,
        *,
        order: str = "upload",
        offset: int = 0,
        limit: int | None = None,
    ) -> list[AnnotationRow]:
        """Return the annotations that pass a filter, in one order.

        Args:
            scope: the dataset.
            wanted: the filter.
            order: a name in ORDERS.
            offset: how many to leave out at the beginning.
            limit: how many to return at most; None is all.

        Raises:
            ValueError: there is no order of this name.
        """
        if order not in ORDERS:
            raise ValueError(f"no order {order!r}; there are {', '.join(ORDERS)}")
        places: AnySelect = select(annotations.c.image_key, annotations.c.position)
        matching = _filtered(places, scope, wanted, with_images=order in _IMAGE_ORDERS)
        if order == _BY_LABEL:
            matching = matching.join(labels_table, HAS_LABEL)
        by = _order(order, is_walked=_is_frequent(wanted))
        chosen = matching.order_by(*by).offset(offset).limit(limit).subquery()
        query = _rows_at(chosen, scope).order_by(*by)
        if order == _BY_LABEL:
            query = query.join(labels_table, HAS_LABEL)
        with self._reading(scope) as connection:
            return [as_annotation_row(row) for row in connection.execute(query)]

    def count_annotations(
        self, scope: Scope, wanted: AnnotationFilter = EVERYTHING
    ) -> int:
        """Return how many annotations pass a filter."""
        counting: AnySelect = select(func.count()).select_from(annotations)
        with self._reading(scope) as connection:
            return connection.scalar(_filtered(counting, scope, wanted)) or 0

    def label_counts(
        self, scope: Scope, wanted: AnnotationFilter = EVERYTHING
    ) -> dict[str, int]:
        """Return how many annotations each label has, the most frequent first."""
        with self._reading(scope) as connection:
            counted = _counts_by(connection, annotations.c.class_id, scope, wanted)
            names = stored_labels(connection, scope.dataset_id).names
        by_name = {names[class_id]: count for class_id, count in counted.items()}
        return dict(sorted(by_name.items(), key=lambda pair: (-pair[1], pair[0])))

    def people_counts(self, scope: Scope) -> dict[str, int]:
        """Return how many annotations each person or model changed last."""
        with self._reading(scope) as connection:
            return _counts_by(connection, annotations.c.changed_by, scope, EVERYTHING)

    def count_acceptable(
        self, scope: Scope, *, labels: Collection[str] | None, min_confidence: float
    ) -> AcceptCounts:
        """Return how many boxes an acceptance from this confidence on would accept.

        These are a model's untouched boxes on images nobody has decided on.

        Args:
            scope: the dataset.
            labels: only of these; None is every label.
            min_confidence: of the boxes; included.
        """
        counting: AnySelect = select(
            func.count(),
            func.count(distinct(annotations.c.image_key)),
            func.count(distinct(annotations.c.class_id)),
        ).select_from(annotations)
        query = _acceptable(counting, scope, labels, min_confidence)
        with self._reading(scope) as connection:
            return AcceptCounts(*connection.execute(query).one())

    def acceptable_images(
        self, scope: Scope, *, labels: Collection[str] | None, min_confidence: float
    ) -> list[str]:
        """Return the ids of the images that `count_acceptable` counts, as uploaded."""
        ids: AnySelect = select(images.c.image_id).select_from(annotations)
        query = _acceptable(ids, scope, labels, min_confidence)
        query = query.group_by(images.c.image_key).order_by(images.c.image_key)
        with self._reading(scope) as connection:
            return list(connection.scalars(query))


def _acceptable(
    query: AnySelect,
    scope: Scope,
    labels: Collection[str] | None,
    min_confidence: float,
) -> AnySelect:
    query = query.join(images, IS_ON_IMAGE).where(
        boxes_of(scope),
        annotations.c.confidence >= min_confidence,
        annotations.c.source == Source.MODEL.value,
        annotations.c.accepted.is_(False),
        images.c.status.in_(TO_REVIEW),
    )
    if labels is None:
        return query
    return query.where(of_labels(scope.dataset_id, labels))


def _rows_at(places: Subquery, scope: Scope) -> AnySelect:
    """Select whole rows by their places.

    Skipping to a far page walks over an index alone that way, not over every row.
    """
    same = and_(
        annotations.c.image_key == places.c.image_key,
        annotations.c.position == places.c.position,
    )
    query: AnySelect = select(*ROW_COLUMNS)
    return query.join(images, IS_ON_IMAGE).join(places, same).where(boxes_of(scope))


def _is_frequent(wanted: AnnotationFilter) -> bool:
    """Say whether every other box or so passes, but for its label or confidence."""
    return replace(wanted, labels=None, confidence=None) == EVERYTHING


def _order(name: str, *, is_walked: bool) -> tuple[_Order, ...]:
    """Return the columns to order by.

    Args:
        is_walked: an index in this order may be walked until enough boxes are found.
            Where few pass, that reads nearly every row; then it is
            quicker to find them in another index and to sort them.
    """
    column, is_descending = _SORTS[name]
    # No index is in the order of an expression.
    by = column if is_walked else func.coalesce(column, column)
    first = by.desc() if is_descending else by.asc()
    if column is _BY_CONFIDENCE:
        first = first.nulls_last()
    return (first, *(_LATEST if is_descending else _UPLOAD))


def _counts_by(
    connection: Connection,
    column: ColumnElement[_Value],
    scope: Scope,
    wanted: AnnotationFilter,
) -> dict[_Value, int]:
    counting: AnySelect = select(column, func.count()).select_from(annotations)
    query = (
        _filtered(counting, scope, wanted)
        .group_by(column)
        .order_by(func.count().desc(), column)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _filtered(
    query: AnySelect,
    scope: Scope,
    wanted: AnnotationFilter,
    *,
    with_images: bool = False,
) -> AnySelect:
    query = query.where(boxes_of(scope), *_conditions(scope, wanted))
    if wanted.text:
        query = query.where(_contains(scope, wanted.text))
    if wanted.image:
        named = _named(scope, wanted.image)
        query = query.where(annotations.c.image_key.in_(named))
    of_image = list(_image_conditions(wanted))
    if of_image or with_images:
        query = query.join(images, IS_ON_IMAGE).where(*of_image)
    return query


def _conditions(
    scope: Scope, wanted: AnnotationFilter
) -> Iterator[ColumnElement[bool]]:
    if wanted.labels is not None:
        yield of_labels(scope.dataset_id, wanted.labels)
    if wanted.sources is not None:
        yield annotations.c.source.in_([source.value for source in wanted.sources])
    if wanted.confidence is not None:
        yield annotations.c.confidence.between(*wanted.confidence)
    if wanted.who is not None:
        yield annotations.c.changed_by.in_(wanted.who)
    if wanted.since is not None:
        yield annotations.c.changed_at >= wanted.since
    if wanted.until is not None:
        yield annotations.c.changed_at < wanted.until
    if wanted.sides is not None:
        least, below = wanted.sides
        yield and_(_width >= least, _height >= least)
        yield or_(_width < below, _height < below)
    if wanted.attribute is not None:
        yield annotations.c.attributes.is_not(None)
        yield _has_attribute(*wanted.attribute)


def _has_attribute(name: str, value: str | None) -> ColumnElement[bool]:
    member = MemberText(annotations.c.attributes, literal(name))
    if value is None:
        return member != "false"
    # SQLite lowers no letters but those of ASCII.
    return or_(member == value, func.lower(member) == value.lower())


def _image_conditions(wanted: AnnotationFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.statuses is not None:
        yield images.c.status.in_([status.value for status in wanted.statuses])
    if wanted.share is not None:
        least, most = wanted.share
        whole = images.c.width * images.c.height
        yield _area.between(least * whole, most * whole)


def _named(scope: Scope, text: str) -> AnySelect:
    query: AnySelect = select(images.c.image_key).where(
        images.c.dataset_id == scope.dataset_id,
        images.c.file_name.icontains(text, autoescape=True),
    )
    return query


def _contains(scope: Scope, text: str) -> ColumnElement[bool]:
    """Find a text in the names of images and labels, which are far fewer than boxes."""
    named = select(labels_table.c.position).where(
        labels_table.c.dataset_id == scope.dataset_id,
        labels_table.c.name.icontains(text, autoescape=True),
    )
    return or_(
        annotations.c.image_key.in_(_named(scope, text)),
        annotations.c.class_id.in_(named),
    )


def as_annotation_row(row: AnyRow) -> AnnotationRow:
    """Return what a row that has ROW_COLUMNS says."""
    return AnnotationRow(
        image_id=row.image_id,
        file_name=row.file_name,
        size=Size(row.width, row.height),
        status=ReviewStatus(row.status),
        revision=row.revision,
        annotation=as_annotation(row),
    )
