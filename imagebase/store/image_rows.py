"""Rows of a dataset's images: whole, filtered, counted, a page at a time."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, func, or_, select

from imagebase.annotation import Quality, ReviewStatus, Size, storable_text
from imagebase.store.candidates import CandidatesKey, of_key
from imagebase.store.column_types import AnyRow, AnySelect
from imagebase.store.diff import ANNOTATION
from imagebase.store.labels import stored_labels
from imagebase.store.mapping import HAS_LABEL, QUALITY, boxes_of
from imagebase.store.repository import StorePart
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import (
    annotations,
    candidates,
    changes,
    comments,
    datasets,
    events,
    images,
    labels,
)


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image without its boxes.

    quality: None where it was never measured. boxes: how many there are of each label.
    Views that do not count leave boxes empty, and open_comments 0.
    """

    image_id: str
    file_name: str
    size: Size
    status: ReviewStatus
    revision: int = 0
    tags: tuple[str, ...] = ()
    comment: str = ""
    quality: Quality | None = None
    boxes: Mapping[str, int] = field(default_factory=dict, hash=False)
    open_comments: int = 0

    @property
    def box_count(self) -> int:
        return sum(self.boxes.values())

    @property
    def difference_hash(self) -> str | None:
        """For finding near-duplicates; None where the image was never measured."""
        return None if self.quality is None else self.quality.difference_hash


class QualityNote(NamedTuple):
    """Quality warnings of an image, and its hash; None where it was never measured."""

    image_id: str
    warnings: tuple[str, ...]
    difference_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFilter:
    """Which images to list: those that pass everything that is set.

    tags: with one of these. text: contained in the file name, in either case.
    image_ids: only these; unknown ones are skipped.
    rejected_of: sent back, and this person was the last to edit it or changed a box.
    has_open_comments: with a comment that nobody has resolved.
    """

    statuses: Collection[ReviewStatus] | None = None
    tags: Collection[str] | None = None
    text: str | None = None
    image_ids: Collection[str] | None = None
    rejected_of: str | None = None
    has_open_comments: bool = False


EVERY_IMAGE: Final = ImageFilter()

_COLUMNS: Final = (
    images.c.image_key,
    images.c.image_id,
    images.c.file_name,
    images.c.width,
    images.c.height,
    images.c.status,
    images.c.revision,
    images.c.tags,
    images.c.comment,
    images.c.quality,
)


# Two facts of many images: of the whole JSON, Python would read 100,000 a second.
QUALITY_TEXTS: Final = (
    images.c.quality["warnings"].as_string().label("warnings"),
    images.c.quality["difference_hash"].as_string().label("difference_hash"),
)


@lru_cache(maxsize=1024)
def list_of(texts: str | None) -> tuple[str, ...]:
    """Return the texts of a JSON list; none of NULL."""
    return tuple(json.loads(texts)) if texts else ()


class ImageRows(StorePart):
    """Images of a dataset without their boxes: whole, filtered, counted."""

    def image_summaries(self, scope: Scope) -> list[ImageRow]:
        """Return every image without any counts, in upload order."""
        with self._reading(scope) as connection:
            return [_as_row(row) for row in connection.execute(_all_of(scope))]

    def quality_notes(self, scope: Scope) -> list[QualityNote]:
        """Return what was measured of every image, in upload order."""
        query: AnySelect = select(images.c.image_id, *QUALITY_TEXTS)
        query = query.where(images.c.dataset_id == scope.dataset_id).order_by(
            images.c.image_key
        )
        with self._reading(scope) as connection:
            rows = connection.execute(query).all()
        return [
            QualityNote(row.image_id, list_of(row.warnings), row.difference_hash)
            for row in rows
        ]

    def images_mark(self, scope: Scope) -> str:
        """Return a text that is another one after images were added or removed."""
        mine = images.c.dataset_id == scope.dataset_id
        newest = (
            select(images.c.image_key, images.c.added_at)
            .where(mine)
            .order_by(images.c.image_key.desc())
            .limit(1)
        )
        with self._reading(scope) as connection:
            count = connection.scalar(
                select(func.count()).select_from(images).where(mine)
            )
            last = connection.execute(newest).one_or_none()
        return f"{count} {last.image_key} {last.added_at}" if last else ""

    def image_contents(
        self, scope: Scope, *, statuses: Iterable[ReviewStatus] | None = None
    ) -> list[ImageRow]:
        """Return the images of these statuses in upload order, with boxes by label.

        The labels of an image stand in the order of its boxes.
        """
        counts = (
            select(annotations.c.image_key, annotations.c.class_id, func.count())
            .where(boxes_of(scope))
            .group_by(annotations.c.image_key, annotations.c.class_id)
            .order_by(annotations.c.image_key, func.min(annotations.c.position))
        )
        which = _all_of(scope)
        if statuses is not None:
            which = which.where(
                images.c.status.in_([status.value for status in statuses])
            )
        with self._reading(scope) as connection:
            names = stored_labels(connection, scope.dataset_id).names
            boxes: dict[int, dict[str, int]] = {}
            for key, class_id, count in connection.execute(counts):
                boxes.setdefault(key, {})[names[class_id]] = count
            return [
                _as_row(row, boxes.get(row.image_key))
                for row in connection.execute(which)
            ]

    def image_rows(
        self,
        scope: Scope,
        wanted: ImageFilter = EVERY_IMAGE,
        *,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[ImageRow]:
        """Return the images that pass a filter, with all counts, in upload order.

        Args:
            scope: the dataset.
            wanted: the filter.
            offset: how many to leave out at the beginning.
            limit: how many to return at most; None is all.
        """
        query: AnySelect = select(*_COLUMNS)
        with self._reading(scope) as connection:
            if wanted.image_ids is None:
                query = _filtered(query, scope, wanted).order_by(images.c.image_key)
                rows = connection.execute(query.offset(offset).limit(limit)).all()
            else:
                rows = _among(connection, query, scope, wanted, wanted.image_ids)
                rows = rows[offset : None if limit is None else offset + limit]
            return _with_numbers(connection, rows)

    def count_images(self, scope: Scope, wanted: ImageFilter = EVERY_IMAGE) -> int:
        """Return how many images pass a filter."""
        with self._reading(scope) as connection:
            if wanted.image_ids is not None:
                keys: AnySelect = select(images.c.image_key)
                rows = _among(connection, keys, scope, wanted, wanted.image_ids)
                return len(rows)
            counting: AnySelect = select(func.count()).select_from(images)
            return connection.scalar(_filtered(counting, scope, wanted)) or 0

    def tag_counts(self, scope: Scope) -> dict[str, int]:
        """Return on how many images each tag is, the most frequent first."""
        tagged = self.image_tags(scope).values()
        counts = Counter(tag for tags in tagged for tag in tags)
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def image_tags(self, scope: Scope) -> dict[str, tuple[str, ...]]:
        """Return the tags of the images that have any, by id, in upload order."""
        query = (
            select(images.c.image_id, images.c.tags)
            .where(
                images.c.dataset_id == scope.dataset_id,
                cast(images.c.tags, Text) != "[]",
            )
            .order_by(images.c.image_key)
        )
        with self._reading(scope) as connection:
            rows = connection.execute(query).all()
        return {row.image_id: tuple(row.tags) for row in rows}

    def file_names(self, scope: Scope) -> dict[str, str]:
        """Return the file name of every image, by id, in upload order."""
        query = (
            select(images.c.image_id, images.c.file_name)
            .where(images.c.dataset_id == scope.dataset_id)
            .order_by(images.c.image_key)
        )
        with self._reading(scope) as connection:
            return dict(connection.execute(query).all())

    def version(self, scope: Scope) -> str:
        """Return a text that differs once images, boxes, reviews or labels do."""
        query = select(datasets.c.version).where(
            datasets.c.dataset_id == scope.dataset_id
        )
        with self._reading(scope) as connection:
            return str(connection.scalar(query))

    def candidates_version(self, scope: Scope, key: CandidatesKey) -> str:
        """Return a text that is another one after a model's answers were added."""
        query = (
            select(func.count(), func.max(candidates.c.created_at))
            .join(images, images.c.image_key == candidates.c.image_key)
            .where(images.c.dataset_id == scope.dataset_id, of_key(key))
        )
        with self._reading(scope) as connection:
            count, newest = connection.execute(query).one()
        return f"{count}-{newest}"


def _all_of(scope: Scope) -> AnySelect:
    query: AnySelect = select(*_COLUMNS)
    return query.where(images.c.dataset_id == scope.dataset_id).order_by(
        images.c.image_key
    )


def _as_row(
    row: AnyRow, boxes: Mapping[str, int] | None = None, open_comments: int = 0
) -> ImageRow:
    return ImageRow(
        image_id=row.image_id,
        file_name=row.file_name,
        size=Size(row.width, row.height),
        status=ReviewStatus(row.status),
        revision=row.revision,
        tags=tuple(row.tags),
        comment=row.comment,
        quality=QUALITY.validate_python(row.quality),
        boxes=boxes or {},
        open_comments=open_comments,
    )


def _among(
    connection: Connection,
    query: AnySelect,
    scope: Scope,
    wanted: ImageFilter,
    image_ids: Collection[str],
) -> Sequence[AnyRow]:
    """Return the rows of these images; there may be more than a statement takes."""
    rows: list[AnyRow] = []
    for chunk in chunks(dict.fromkeys(image_ids)):
        here = _filtered(query, scope, wanted).where(images.c.image_id.in_(chunk))
        rows += connection.execute(here).all()
    return sorted(rows, key=lambda row: int(row.image_key))


def _filtered(query: AnySelect, scope: Scope, wanted: ImageFilter) -> AnySelect:
    return query.where(
        images.c.dataset_id == scope.dataset_id, *_conditions(scope, wanted)
    )


def _conditions(scope: Scope, wanted: ImageFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.statuses is not None:
        yield images.c.status.in_([status.value for status in wanted.statuses])
    if wanted.tags is not None:
        yield or_(*map(_has_tag, wanted.tags))
    if wanted.text:
        yield images.c.file_name.icontains(wanted.text, autoescape=True)
    if wanted.rejected_of is not None:
        yield images.c.status == ReviewStatus.REJECTED.value
        yield _is_work_of(scope, wanted.rejected_of)
    if wanted.has_open_comments:
        open_ones = select(comments.c.image_key).where(
            comments.c.dataset_id == scope.dataset_id, comments.c.resolved_at.is_(None)
        )
        yield images.c.image_key.in_(open_ones)


def _has_tag(tag: str) -> ColumnElement[bool]:
    # Not LIKE, which takes no notice of case on SQLite.
    stored, sought = cast(images.c.tags, Text), json.dumps(storable_text(tag))
    return func.replace(stored, sought, "") != stored


def _is_work_of(scope: Scope, who: str) -> ColumnElement[bool]:
    has_box = (
        select(annotations.c.image_key)
        .where(
            annotations.c.image_key == images.c.image_key,
            annotations.c.changed_by == who,
        )
        .exists()
    )
    last_editor = (
        select(changes.c.who)
        .join(events, events.c.change_key == changes.c.change_key)
        .where(
            events.c.dataset_id == scope.dataset_id,
            events.c.image_id == images.c.image_id,
            events.c.kind == ANNOTATION,
        )
        .order_by(events.c.event_id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return or_(has_box, last_editor == who)


def _with_numbers(connection: Connection, rows: Sequence[AnyRow]) -> list[ImageRow]:
    image_rows = []
    for chunk in chunks(rows):
        keys = [row.image_key for row in chunk]
        boxes = _label_counts(connection, keys)
        comment_counts = _open_comments(connection, keys)
        image_rows += [
            _as_row(row, boxes.get(row.image_key), comment_counts.get(row.image_key, 0))
            for row in chunk
        ]
    return image_rows


def _label_counts(
    connection: Connection, image_keys: Collection[int]
) -> dict[int, dict[str, int]]:
    number = func.count()
    query = (
        select(annotations.c.image_key, labels.c.name, number)
        .join(labels, HAS_LABEL)
        .where(
            annotations.c.image_key.in_(image_keys), annotations.c.is_deleted.is_(False)
        )
        .group_by(annotations.c.image_key, labels.c.name)
        .order_by(number.desc(), labels.c.name)
    )
    counts: dict[int, dict[str, int]] = {}
    for key, label, count in connection.execute(query):
        counts.setdefault(key, {})[label] = count
    return counts


def _open_comments(
    connection: Connection, image_keys: Collection[int]
) -> dict[int, int]:
    is_open = and_(
        comments.c.image_key.in_(image_keys), comments.c.resolved_at.is_(None)
    )
    query = (
        select(comments.c.image_key, func.count())
        .where(is_open)
        .group_by(comments.c.image_key)
    )
    return {row[0]: row[1] for row in connection.execute(query)}
