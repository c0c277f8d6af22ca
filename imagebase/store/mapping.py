"""Rows to values and back: images, annotations, and their JSON in events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, and_, select

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    Quality,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.annotation.areas import Shape
from imagebase.store.column_types import AnyRow, JsonObject
from imagebase.store.scope import Scope
from imagebase.store.tables import annotations, images, labels

_Value = TypeVar("_Value")

# As their column holds the measurements; None is NULL.
QUALITY: Final = TypeAdapter(Quality | None)

RECORD_COLUMNS: Final = (
    images.c.image_key,
    images.c.image_id,
    images.c.file_name,
    images.c.width,
    images.c.height,
    images.c.status,
    images.c.comment,
    images.c.tags,
    images.c.quality,
    images.c.byte_count,
    images.c.revision,
    images.c.head,
)

# Joins annotations with their labels; and the name alone, where nothing is joined.
HAS_LABEL: Final = and_(
    labels.c.dataset_id == annotations.c.dataset_id,
    labels.c.position == annotations.c.class_id,
)
LABEL_NAME: Final = (
    select(labels.c.name)
    .where(HAS_LABEL)
    .correlate(annotations)
    .scalar_subquery()
    .label("label")
)

ANNOTATION_COLUMNS: Final = (
    annotations.c.annotation_id,
    annotations.c.x_min,
    annotations.c.y_min,
    annotations.c.x_max,
    annotations.c.y_max,
    LABEL_NAME,
    annotations.c.source,
    annotations.c.confidence,
    annotations.c.model_id,
    annotations.c.accepted,
    annotations.c.changed_by,
    annotations.c.changed_at,
    annotations.c.attributes,
)


@dataclass(frozen=True, slots=True)
class Placed:
    """An annotation, its place in the order, and whether only its mark is left."""

    annotation: Annotation
    position: int
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A record with what only the store knows of it.

    head: the change whose result it shows. placed: annotations and marks by id.
    """

    image_key: int
    head: str
    record: ImageRecord
    placed: Mapping[str, Placed]


def as_record(
    row: AnyRow, placed: list[Placed], *, ignored: tuple[Shape, ...] = ()
) -> ImageRecord:
    """Return the record of an image row (RECORD_COLUMNS) and its annotations."""
    return ImageRecord(
        image_id=row.image_id,
        file_name=row.file_name,
        size=Size(row.width, row.height),
        annotations=tuple(p.annotation for p in placed if not p.is_deleted),
        deleted=tuple(p.annotation for p in placed if p.is_deleted),
        status=ReviewStatus(row.status),
        comment=row.comment,
        tags=tuple(row.tags),
        quality=QUALITY.validate_python(row.quality),
        byte_count=row.byte_count,
        revision=row.revision,
        ignored=ignored,
    )


def as_annotation(row: AnyRow) -> Annotation:
    """Return the annotation of a row that begins with ANNOTATION_COLUMNS."""
    return Annotation(
        annotation_id=row[0],
        box=Box(row[1], row[2], row[3], row[4]),
        label=row[5],
        source=Source(row[6]),
        confidence=row[7],
        model_id=row[8],
        accepted=row[9],
        changed_by=row[10],
        changed_at=row[11],
        attributes=row[12] or {},
    )


def boxes_of(scope: Scope) -> ColumnElement[bool]:
    """Select a dataset's annotations without the marks of deleted ones."""
    in_dataset = annotations.c.dataset_id == scope.dataset_id
    return in_dataset & annotations.c.is_deleted.is_(False)


def of_labels(dataset_id: str, names: Iterable[str]) -> ColumnElement[bool]:
    """Select annotations and marks of these labels."""
    class_ids = select(labels.c.position).where(
        labels.c.dataset_id == dataset_id, labels.c.name.in_(list(names))
    )
    return annotations.c.class_id.in_(class_ids)


def annotation_row(
    image_key: int, dataset_id: str, placed: Placed, class_ids: Mapping[str, int]
) -> dict[str, Any]:
    """Return the row of an annotation or mark.

    class_ids: by the names of the dataset's labels.
    """
    annotation = placed.annotation
    return {
        "image_key": image_key,
        "annotation_id": annotation.annotation_id,
        "dataset_id": dataset_id,
        "position": placed.position,
        "is_deleted": placed.is_deleted,
        **{edge: float(px) for edge, px in annotation.box._asdict().items()},
        "class_id": class_ids[annotation.label],
        "source": annotation.source.value,
        "confidence": _as_float(annotation.confidence),
        "model_id": annotation.model_id,
        "accepted": annotation.accepted,
        "changed_by": annotation.changed_by,
        "changed_at": annotation.changed_at,
        "attributes": dict(annotation.attributes) or None,
    }


def _as_float(number: float | None) -> float | None:
    return None if number is None else float(number)


def placed_json(placed: Placed) -> JsonObject:
    """Return an annotation as events keep it: exactly, floats and times included."""
    annotation = placed.annotation
    return {
        "annotation_id": annotation.annotation_id,
        "box": [float(edge) for edge in annotation.box],
        "label": annotation.label,
        "source": annotation.source.value,
        "confidence": _as_float(annotation.confidence),
        "model_id": annotation.model_id,
        "accepted": annotation.accepted,
        "changed_by": annotation.changed_by,
        "changed_at": annotation.changed_at.isoformat(),
        "attributes": dict(annotation.attributes),
        "position": placed.position,
        "is_deleted": placed.is_deleted,
    }


def placed_from_json(state: Mapping[str, Any]) -> Placed:
    """Return the annotation that an event kept."""
    return Placed(
        annotation=Annotation(
            annotation_id=state["annotation_id"],
            box=Box(*state["box"]),
            label=state["label"],
            source=Source(state["source"]),
            confidence=state["confidence"],
            model_id=state["model_id"],
            accepted=state["accepted"],
            changed_by=state["changed_by"],
            changed_at=datetime.fromisoformat(state["changed_at"]),
            attributes=state.get("attributes") or {},
        ),
        position=state["position"],
        is_deleted=state["is_deleted"],
    )


def review_json(record: ImageRecord) -> JsonObject:
    """Return the review of the image as events keep it."""
    return {
        "status": record.status.value,
        "comment": record.comment,
        "tags": list(record.tags),
    }


def checked_json(adapter: TypeAdapter[_Value], value: object) -> _Value:
    """Return the value that JSON from elsewhere holds.

    Raises:
        ValueError: it holds none; says in one line where and why.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "value"
        raise ValueError(f"{where}: {first['msg']}") from error
