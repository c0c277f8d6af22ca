"""What figures of a dataset are drawn from: whole columns, and learned thresholds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    Subquery,
    Text,
    and_,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
)

from imagebase.annotation import Annotation, Box, ReviewStatus, Source, utc_now
from imagebase.geometry import FloatArray
from imagebase.store.annotation_rows import IS_ON_IMAGE
from imagebase.store.column_types import AnyRow, AnySelect, JsonObject
from imagebase.store.diff import ANNOTATION, LABEL
from imagebase.store.image_rows import QUALITY_TEXTS, list_of
from imagebase.store.labels import former_names, stored_labels
from imagebase.store.mapping import (
    ANNOTATION_COLUMNS,
    as_annotation,
    boxes_of,
    placed_from_json,
)
from imagebase.store.repository import StorePart
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import (
    annotations,
    changes,
    events,
    images,
    label_thresholds,
)

# The order of the index that holds all that boxes are filtered by.
_IN_ORDER: Final = (annotations.c.image_key, annotations.c.position)
_ROWS: Final = 50_000
_BOX: Final = tuple(annotations.c[name] for name in Box._fields)


@dataclass(frozen=True, slots=True, eq=False)
class ImageTable:
    """M images, a column each.

    size: (M, 2), width and height in pixels. warnings: of the quality check.
    difference_hash: empty where the image was never measured.
    """

    image_ids: tuple[str, ...]
    size: NDArray[np.float64]
    status: tuple[ReviewStatus, ...]
    tags: tuple[tuple[str, ...], ...]
    warnings: tuple[tuple[str, ...], ...]
    difference_hash: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.image_ids)

    def ids_at(self, places: NDArray[np.intp]) -> tuple[str, ...]:
        """Return the ids of the images at these places, each once, in their order."""
        return tuple(self.image_ids[place] for place in np.unique(places))


@dataclass(frozen=True, slots=True, eq=False)
class BoxTable:
    """N boxes, a column each.

    image: (N,), the place in the table of images. xyxy: (N, 4), float pixels.
    label: (N,), the place in `labels`.
    """

    labels: tuple[str, ...]
    image: NDArray[np.intp]
    xyxy: FloatArray
    label: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.image)

    def of_label(self, name: str) -> "BoxTable":
        """Return the boxes of one label; none where the table does not know it."""
        place = self.labels.index(name) if name in self.labels else -1
        return self.only(self.label == place)

    def only(self, is_wanted: NDArray[np.bool_]) -> "BoxTable":
        """Return the boxes that a mask of shape (N,) chooses."""
        return BoxTable(
            self.labels,
            self.image[is_wanted],
            self.xyxy[is_wanted],
            self.label[is_wanted],
        )


class BoxHistory(NamedTuple):
    """The first and the present state of a box.

    first: None where that is not known any more. last: None where the box was deleted.
    changed_at: when it was changed last.
    """

    image_id: str
    first: Annotation | None
    last: Annotation | None
    changed_at: datetime


class Statistics(StorePart):
    """Aggregates over all images and boxes of a dataset."""

    def health_tables(self, scope: Scope) -> tuple[ImageTable, BoxTable]:
        """Return every image in upload order, and every box, as columns."""
        of_images: AnySelect = select(
            images.c.image_key,
            images.c.image_id,
            images.c.width,
            images.c.height,
            images.c.status,
            cast(images.c.tags, Text).label("tags"),
            *QUALITY_TEXTS,
        )
        of_boxes: AnySelect = select(
            annotations.c.image_key, annotations.c.class_id, *_BOX
        )
        with self._reading(scope) as connection:
            image_rows = connection.execute(
                of_images.where(images.c.dataset_id == scope.dataset_id).order_by(
                    images.c.image_key
                )
            ).all()
            box_rows = _numbers(
                connection, of_boxes.where(boxes_of(scope)).order_by(*_IN_ORDER)
            )
            names = stored_labels(connection, scope.dataset_id).names
        return _image_table(image_rows), _box_table(image_rows, box_rows, names)

    def box_histories(self, scope: Scope) -> list[BoxHistory]:
        """Return the model boxes that people decided on, and the boxes they drew.

        Each box is there once; undone changes do not count.
        """
        with self._reading(scope) as connection:
            spans = _spans(scope)
            span_of = {
                (span.image_id, span.annotation_id): span
                for span in connection.execute(select(spans))
            }
            model_rows = connection.execute(_found_rows(scope)).all()
            drawn = [
                (row, span_of.get((row.image_id, row.annotation_id)))
                for row in connection.execute(_drawn_rows(scope))
            ]
            first_ids = [span.first_id for _, span in drawn if span]
            before = _befores(connection, first_ids)
            deleted = connection.execute(_gone_rows(scope, spans)).all()
            names = former_names(connection, scope.dataset_id)
        histories = []
        for row in model_rows:
            box = as_annotation(row)
            span = span_of.get((row.image_id, row.annotation_id))
            at = span.last_at if span else row.changed_at
            last = None if row.is_deleted else box
            histories.append(BoxHistory(row.image_id, box, last, at))
        for row, span in drawn:
            first = _box_of_event(before[span.first_id], names) if span else None
            at = span.last_at if span else row.changed_at
            histories.append(BoxHistory(row.image_id, first, as_annotation(row), at))
        for row in deleted:
            first = _box_of_event(row.before, names)
            histories.append(BoxHistory(row.image_id, first, None, row.last_at))
        return histories

    def approved_boxes(self, scope: Scope) -> dict[str, list[Annotation]]:
        """Return the boxes of each approved image, of those without boxes too."""
        is_approved = images.c.status == ReviewStatus.APPROVED.value
        of_images = select(images.c.image_id).where(
            images.c.dataset_id == scope.dataset_id, is_approved
        )
        of_boxes = _boxes_with_images().where(boxes_of(scope), is_approved)
        with self._reading(scope) as connection:
            boxes: dict[str, list[Annotation]] = {
                image_id: [] for image_id in connection.scalars(of_images)
            }
            for row in connection.execute(of_boxes):
                boxes[row.image_id].append(as_annotation(row))
        return boxes

    def finished_moments(self, scope: Scope) -> list[datetime]:
        """Return when `scope.who` changed each image last, bulk actions left out."""
        single = (
            select(events.c.change_key)
            .join(changes, changes.c.change_key == events.c.change_key)
            .where(
                events.c.dataset_id == scope.dataset_id,
                events.c.kind != LABEL,
                changes.c.who == scope.who,
                changes.c.kind == "edit",
                changes.c.state == "done",
            )
            .group_by(events.c.change_key)
            .having(func.min(events.c.image_id) == func.max(events.c.image_id))
        )
        query = (
            select(func.max(events.c.created_at))
            .where(events.c.change_key.in_(single))
            .group_by(events.c.image_id)
        )
        with self._reading(scope) as connection:
            return list(connection.scalars(query))

    def label_thresholds(self, scope: Scope, model_id: str) -> dict[str, float]:
        """Return the least confidence of a model's own labels that have theirs here."""
        query = (
            select(label_thresholds.c.label, label_thresholds.c.confidence)
            .where(_of_model(scope, model_id))
            .order_by(label_thresholds.c.label)
        )
        with self._reading(scope) as connection:
            return dict(connection.execute(query).all())

    def save_label_thresholds(
        self, scope: Scope, model_id: str, thresholds: Mapping[str, float]
    ) -> None:
        """Keep the thresholds of a model's own labels; they replace all there were."""
        now = utc_now()
        rows = [
            {
                "dataset_id": scope.dataset_id,
                "model_id": model_id,
                "label": label,
                "confidence": float(confidence),
                "who": scope.who,
                "changed_at": now,
            }
            for label, confidence in thresholds.items()
        ]
        with self._writing(scope) as connection:
            connection.execute(
                delete(label_thresholds).where(_of_model(scope, model_id))
            )
            if rows:
                connection.execute(insert(label_thresholds), rows)


def _of_model(scope: Scope, model_id: str) -> ColumnElement[bool]:
    return and_(
        label_thresholds.c.dataset_id == scope.dataset_id,
        label_thresholds.c.model_id == model_id,
    )


def _image_table(rows: Sequence[AnyRow]) -> ImageTable:
    sizes = [(row.width, row.height) for row in rows]
    statuses = {status.value: status for status in ReviewStatus}
    return ImageTable(
        image_ids=tuple(row.image_id for row in rows),
        size=np.array(sizes, dtype=np.float64).reshape(-1, 2),
        status=tuple(statuses[row.status] for row in rows),
        tags=tuple(list_of(row.tags) for row in rows),
        warnings=tuple(list_of(row.warnings) for row in rows),
        difference_hash=tuple(row.difference_hash or "" for row in rows),
    )


def _numbers(connection: Connection, query: AnySelect) -> FloatArray:
    """Return the rows of a query for numbers, shape (N, columns).

    A million boxes in a second, straight from the driver: a Row object of each would
    take four.
    """
    width = len(query.selected_columns)
    parts = [np.zeros((0, width))]
    result = connection.execute(query)
    while result.cursor is not None and (rows := result.cursor.fetchmany(_ROWS)):
        flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width)
        parts.append(flat.reshape(-1, width))
    result.close()
    return np.concatenate(parts)


def _box_table(
    image_rows: Sequence[AnyRow], box_rows: FloatArray, names: Sequence[str]
) -> BoxTable:
    """Return the boxes of rows of image key, class id and edges, by image key."""
    keys = np.array([row.image_key for row in image_rows], dtype=np.float64)
    class_ids = box_rows[:, 1].astype(np.intp)
    used = sorted(np.unique(class_ids).tolist(), key=names.__getitem__)
    numbers = np.zeros(max(used, default=0) + 1, np.intp)
    numbers[used] = np.arange(len(used))
    return BoxTable(
        labels=tuple(names[class_id] for class_id in used),
        image=np.searchsorted(keys, box_rows[:, 0]),
        xyxy=np.ascontiguousarray(box_rows[:, 2:]),
        label=numbers[class_ids],
    )


def _spans(scope: Scope) -> Subquery:
    """Select the first and last event, and its time, of boxes that were there before.

    That leaves out the events of boxes that came to be, which are most of all.
    """
    return (
        select(
            events.c.image_id,
            events.c.annotation_id,
            func.min(events.c.event_id).label("first_id"),
            func.max(events.c.event_id).label("last_id"),
            func.max(events.c.created_at).label("last_at"),
        )
        .where(
            events.c.dataset_id == scope.dataset_id,
            events.c.kind == ANNOTATION,
            events.c.before.is_not(None),
        )
        .group_by(events.c.image_id, events.c.annotation_id)
        .subquery()
    )


def _boxes_with_images() -> AnySelect:
    query: AnySelect = select(
        *ANNOTATION_COLUMNS, annotations.c.is_deleted, images.c.image_id
    )
    return query.join(images, IS_ON_IMAGE).order_by(*_IN_ORDER)


def _found_rows(scope: Scope) -> AnySelect:
    """Select a model's boxes that people accepted or deleted: they are as found."""
    return _boxes_with_images().where(
        annotations.c.dataset_id == scope.dataset_id,
        # Both values there are: the index is by them.
        annotations.c.is_deleted.in_([False, True]),
        annotations.c.source == Source.MODEL.value,
        or_(annotations.c.accepted.is_(True), annotations.c.is_deleted.is_(True)),
    )


def _drawn_rows(scope: Scope) -> AnySelect:
    return _boxes_with_images().where(
        boxes_of(scope), annotations.c.source == Source.HUMAN.value
    )


def _befores(connection: Connection, event_ids: Iterable[int]) -> dict[int, JsonObject]:
    states: dict[int, JsonObject] = {}
    for chunk in chunks(event_ids):
        query = select(events.c.event_id, events.c.before).where(
            events.c.event_id.in_(chunk)
        )
        states |= dict(connection.execute(query).all())
    return states


def _gone_rows(scope: Scope, spans: Subquery) -> AnySelect:
    """Select a model's boxes that a person first changed and then deleted.

    Such a box leaves no mark; one that nobody had touched went with its model's layer.
    """
    first, last = events.alias("first"), events.alias("last")
    query: AnySelect = select(images.c.image_id, first.c.before, spans.c.last_at)
    return (
        query.select_from(spans)
        .join(first, first.c.event_id == spans.c.first_id)
        .join(last, last.c.event_id == spans.c.last_id)
        .join(
            images,
            and_(
                images.c.dataset_id == scope.dataset_id,
                images.c.image_id == spans.c.image_id,
            ),
        )
        .outerjoin(
            annotations,
            and_(
                annotations.c.image_key == images.c.image_key,
                annotations.c.annotation_id == spans.c.annotation_id,
            ),
        )
        .where(
            annotations.c.annotation_id.is_(None),
            last.c.before["source"].as_string() == Source.HUMAN.value,
        )
    )


def _box_of_event(state: JsonObject, names: Mapping[str, str]) -> Annotation:
    box = placed_from_json(state).annotation
    return replace(box, label=names.get(box.label, box.label))
