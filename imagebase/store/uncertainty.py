"""How doubtful each image is: the queue that a review walks down."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pydantic import FiniteFloat, TypeAdapter
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    func,
    or_,
    select,
)

from imagebase.annotation import Box, ReviewStatus, utc_now
from imagebase.store.candidates import CandidatesKey, of_key
from imagebase.store.column_types import AnyRow, AnySelect
from imagebase.store.mapping import LABEL_NAME
from imagebase.store.repository import StorePart, these_images, upsert
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import annotations, candidates, doubts, images

_APPROVED: Final = ReviewStatus.APPROVED.value


class DoubtKind(StrEnum):
    """Why an image is doubtful."""

    MISSED = "missed"
    ONE_WAY = "one_way"
    OVERLAP = "overlap"
    NEAR = "near"
    RARE = "rare"


@dataclass(frozen=True, slots=True)
class MissedObject:
    """An object that a pass saw and no box of the record covers."""

    box: Box
    label: str
    confidence: float
    model_id: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an image is doubtful, in words.

    part: what it alone would make the score. found: objects that may be missing.
    """

    part: FiniteFloat
    text: str
    found: tuple[MissedObject, ...] = ()


# As their column holds them.
REASONS: Final = TypeAdapter(Mapping[DoubtKind, Reason])


@dataclass(frozen=True, slots=True)
class Doubt:
    """How doubtful a revision of an image is, 0 to 1; the strongest reason first."""

    image_id: str
    revision: int
    score: float
    reasons: Mapping[DoubtKind, Reason]


@dataclass(frozen=True, slots=True)
class DoubtRow:
    """An image in the queue; revision is the image's own, not that of the reasons."""

    image_id: str
    file_name: str
    status: ReviewStatus
    revision: int
    score: float
    reasons: Mapping[DoubtKind, Reason]


@dataclass(frozen=True, slots=True)
class DoubtCounts:
    """How many images are in the queue, and for how many each reason speaks."""

    images: int
    by_kind: Mapping[DoubtKind, int]


class ImageColumns(NamedTuple):
    """What judging an image needs of its row."""

    image_key: int
    image_id: str
    width: int
    height: int
    status: str
    revision: int


class BoxColumns(NamedTuple):
    """What judging an image needs of a box, or of the mark of a deleted one."""

    image_key: int
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    label: str
    confidence: float | None
    source: str
    accepted: bool
    is_deleted: bool


_BOX_COLUMNS: Final = tuple(
    LABEL_NAME if name == "label" else annotations.c[name]
    for name in BoxColumns._fields
)


_ROW_COLUMNS: Final = (
    images.c.image_id,
    images.c.file_name,
    images.c.status,
    images.c.revision,
    doubts.c.score,
    doubts.c.reasons,
)


class Doubts(StorePart):
    """Which images to review first, and why."""

    def put_doubts(
        self, scope: Scope, judged: Iterable[Doubt], *, as_of: datetime | None = None
    ) -> None:
        """Save how doubtful images are, in place of earlier values.

        Images that are not there any more are left out.

        Args:
            scope: the dataset.
            judged: one of each image.
            as_of: the moment before what they follow from was read; now unless given.
        """
        by_id = {doubt.image_id: doubt for doubt in judged}
        moment = as_of or utc_now()
        changed = ("score", "reasons", "revision", "computed_at")
        with self._writing(scope) as connection:
            for chunk in chunks(by_id):
                rows = [
                    {
                        "image_key": row.image_key,
                        "dataset_id": scope.dataset_id,
                        "score": by_id[row.image_id].score,
                        "reasons": REASONS.dump_python(
                            by_id[row.image_id].reasons, mode="json"
                        ),
                        "revision": by_id[row.image_id].revision,
                        "computed_at": moment,
                    }
                    for row in _images_of(connection, scope, chunk)
                ]
                if rows:
                    connection.execute(
                        upsert(connection.dialect, doubts, changed), rows
                    )

    def doubtful_images(
        self,
        scope: Scope,
        *,
        kind: DoubtKind | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[DoubtRow]:
        """Return the images that need review, the most doubtful first.

        Args:
            kind: only those that this reason speaks for; None is all.
            offset: how many to leave out at the beginning.
            limit: how many to return at most; None is all.
        """
        keys: AnySelect = _in_queue(select(doubts.c.image_key), scope, kind)
        # The reasons are long: they are read of this page, not sorted with the queue.
        page = keys.order_by(*_order()).offset(offset).limit(limit)
        query: AnySelect = select(*_ROW_COLUMNS)
        query = (
            query.join(doubts, doubts.c.image_key == images.c.image_key)
            .where(images.c.image_key.in_(page.scalar_subquery()))
            .order_by(*_order())
        )
        with self._reading(scope) as connection:
            return [_as_row(row) for row in connection.execute(query)]

    def doubtful_ids(self, scope: Scope, *, kind: DoubtKind | None = None) -> list[str]:
        """Return the ids of the images that need review, the most doubtful first.

        kind: only those that this reason speaks for; None is all.
        """
        query = _in_queue(select(images.c.image_id), scope, kind).order_by(*_order())
        with self._reading(scope) as connection:
            return list(connection.scalars(query))

    def doubt_scores(self, scope: Scope) -> dict[str, float]:
        """Return the score of each image that needs review, by id."""
        query = _in_queue(select(images.c.image_id, doubts.c.score), scope, None)
        with self._reading(scope) as connection:
            return dict(connection.execute(query).all())

    def queue_rows(self, scope: Scope, image_ids: Iterable[str]) -> list[DoubtRow]:
        """Return these images in this order, also those without a doubt; score 0."""
        query: AnySelect = select(*_ROW_COLUMNS)
        query = query.outerjoin(doubts, doubts.c.image_key == images.c.image_key)
        wanted = list(image_ids)
        rows: dict[str, DoubtRow] = {}
        with self._reading(scope) as connection:
            for chunk in chunks(wanted):
                mine = query.where(these_images(scope, chunk))
                rows |= {row.image_id: _as_row(row) for row in connection.execute(mine)}
        return [rows[image_id] for image_id in wanted if image_id in rows]

    def doubt_counts(self, scope: Scope) -> DoubtCounts:
        """Return the length of the queue, and of what each reason leaves of it."""
        counts = [func.count(_part(kind)) for kind in DoubtKind]
        query = _in_queue(select(func.count(), *counts), scope, None)
        with self._reading(scope) as connection:
            total, *each = connection.execute(query).one()
        return DoubtCounts(total, dict(zip(DoubtKind, each, strict=True)))

    def next_doubtful(self, scope: Scope, after_image_id: str) -> str | None:
        """Return the image to review after this one; None where there is no other.

        It is the next in the queue, which starts over at its end; an image that is not
        in the queue is followed by the first.
        """
        mine = (
            select(doubts.c.score, doubts.c.image_key)
            .join(images, images.c.image_key == doubts.c.image_key)
            .where(these_images(scope, [after_image_id]))
        )
        others: AnySelect = _in_queue(select(images.c.image_id), scope, None)
        others = others.where(images.c.image_id != after_image_id)
        others = others.order_by(*_order()).limit(1)
        with self._reading(scope) as connection:
            here = connection.execute(mine).one_or_none()
            if here is not None and here.score > 0:
                later = or_(
                    doubts.c.score < here.score,
                    and_(
                        doubts.c.score == here.score,
                        doubts.c.image_key > here.image_key,
                    ),
                )
                later_id = connection.scalar(others.where(later))
                if later_id is not None:
                    return str(later_id)
            first = connection.scalar(others)
        return None if first is None else str(first)

    def stale_doubts(
        self, scope: Scope, keys: Sequence[CandidatesKey] = ()
    ) -> list[str]:
        """Return the ids of images that were never judged, or changed since.

        Args:
            scope: the dataset.
            keys: of models' answers; an image has changed where one came since.
        """
        query: AnySelect = (
            select(images.c.image_id)
            .outerjoin(doubts, doubts.c.image_key == images.c.image_key)
            .where(images.c.dataset_id == scope.dataset_id)
            .order_by(images.c.image_key)
        )
        is_changed = [
            doubts.c.image_key.is_(None),
            doubts.c.revision != images.c.revision,
            *(images.c.image_key.in_(_answered_since(scope, key)) for key in keys),
        ]
        with self._reading(scope) as connection:
            return list(connection.scalars(query.where(or_(*is_changed))))

    def count_seen_once(
        self, scope: Scope, first: CandidatesKey, second: CandidatesKey
    ) -> int:
        """Return how many images not approved have one answer and lack another."""
        query = select(func.count()).where(
            images.c.dataset_id == scope.dataset_id,
            images.c.status != _APPROVED,
            _is_answered(first),
            ~_is_answered(second),
        )
        with self._reading(scope) as connection:
            return connection.scalar(query) or 0

    def doubt_columns(
        self, scope: Scope, image_ids: Iterable[str]
    ) -> tuple[list[ImageColumns], list[BoxColumns]]:
        """Return images, and all their boxes and marks, image after image."""
        of_images: list[ImageColumns] = []
        boxes: list[BoxColumns] = []
        with self._reading(scope) as connection:
            for chunk in chunks(image_ids):
                here = [
                    ImageColumns(*row) for row in _images_of(connection, scope, chunk)
                ]
                keys = [image.image_key for image in here]
                query = (
                    select(*_BOX_COLUMNS)
                    .where(annotations.c.image_key.in_(keys))
                    .order_by(annotations.c.image_key, annotations.c.position)
                )
                of_images += here
                boxes += [BoxColumns(*row) for row in connection.execute(query)]
        return of_images, boxes


def _images_of(
    connection: Connection, scope: Scope, image_ids: Sequence[str]
) -> Sequence[AnyRow]:
    query = select(*(images.c[name] for name in ImageColumns._fields))
    mine = query.where(these_images(scope, image_ids))
    return connection.execute(mine.order_by(images.c.image_key)).all()


def _answered_since(scope: Scope, key: CandidatesKey) -> AnySelect:
    query: AnySelect = select(candidates.c.image_key)
    return query.join(doubts, doubts.c.image_key == candidates.c.image_key).where(
        doubts.c.dataset_id == scope.dataset_id,
        candidates.c.created_at > doubts.c.computed_at,
        of_key(key),
    )


def _is_answered(key: CandidatesKey) -> ColumnElement[bool]:
    mine = candidates.c.image_key == images.c.image_key
    return select(candidates.c.image_key).where(mine, of_key(key)).exists()


def _in_queue(query: AnySelect, scope: Scope, kind: DoubtKind | None) -> AnySelect:
    query = (
        query.select_from(doubts)
        .join(images, images.c.image_key == doubts.c.image_key)
        .where(
            doubts.c.dataset_id == scope.dataset_id,
            doubts.c.score > 0,
            images.c.status != _APPROVED,
        )
    )
    return query if kind is None else query.where(_part(kind).is_not(None))


def _order() -> tuple[ColumnElement[Any], ...]:
    return doubts.c.score.desc(), doubts.c.image_key


def _part(kind: DoubtKind) -> ColumnElement[float]:
    """Return what one reason makes of the score; NULL where it is not among them."""
    part: ColumnElement[float] = doubts.c.reasons[(kind.value, "part")].as_float()
    return part


def _as_row(row: AnyRow) -> DoubtRow:
    reasons = REASONS.validate_python(row.reasons or {})
    return DoubtRow(
        image_id=row.image_id,
        file_name=row.file_name,
        status=ReviewStatus(row.status),
        revision=row.revision,
        score=row.score or 0.0,
        reasons=dict(sorted(reasons.items(), key=lambda reason: -reason[1].part)),
    )
