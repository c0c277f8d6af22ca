"""Copy a whole dataset out of the store, row by row, and back in as a new one."""

import base64
import binascii
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Integer,
    LargeBinary,
    Table,
    insert,
    select,
)

from imagebase.annotation import ReviewStatus, new_id
from imagebase.errors import StoreError
from imagebase.store.candidates import IMAGE_VECTORS
from imagebase.store.column_types import (
    AnySelect,
    CleanJson,
    CleanText,
    JsonObject,
    UtcTime,
)
from imagebase.store.datasets import checked_name, insert_dataset
from imagebase.store.diff import REVIEW
from imagebase.store.mapping import LABEL_NAME
from imagebase.store.repository import StorePart, files_lock, grow_version
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import (
    annotations,
    candidates,
    changes,
    comments,
    datasets,
    doubts,
    events,
    ignore_areas,
    images,
    label_aliases,
    label_mappings,
    label_thresholds,
    labels,
    runs,
    taught_models,
)

_MAX_INTEGER: Final = 2**63 - 1
_MAX_NUMBER: Final = sys.float_info.max


def value_json(value: object) -> Any:  # noqa: ANN401
    """Return a value of a row as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


def value_of_json(column: Column[Any], value: object) -> object:
    """Return a value as a column takes it.

    Raises:
        ValueError: the column cannot have it.
    """
    if value is None:
        if not column.nullable:
            raise ValueError(f"{column.name} is missing")
        return None
    for kind, convert in _CONVERTERS.items():
        if isinstance(column.type, kind):
            return convert(column.name, value)
    raise TypeError(f"{column.type!r} has no way out of JSON")


def text_of_json(name: str, value: object) -> str:
    """Return a text; ValueError where it is not text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is not text")
    return value


def _integer(name: str, value: object) -> int:
    if type(value) is not int or abs(value) > _MAX_INTEGER:
        raise ValueError(f"{name} is not a whole number")
    return value


def _number(name: str, value: object) -> float:
    if type(value) not in (int, float) or not abs(value) <= _MAX_NUMBER:  # type: ignore[arg-type]
        raise ValueError(f"{name} is not a number")
    return float(value)  # type: ignore[arg-type]


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is neither true nor false")
    return value


def _moment(name: str, value: object) -> datetime:
    moment = datetime.fromisoformat(text_of_json(name, value))
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    return moment


def _bytes(name: str, value: object) -> bytes:
    try:
        return base64.b64decode(text_of_json(name, value), validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name} is not valid base64") from error


def _json(name: str, value: object) -> object:
    return value


# Texts come before the types that they are made of.
_CONVERTERS: Final[Mapping[type[Any], Callable[[str, object], object]]] = {
    CleanText: text_of_json,
    CleanJson: _json,
    UtcTime: _moment,
    LargeBinary: _bytes,
    Boolean: _flag,
    Double: _number,
    BigInteger: _integer,
    Integer: _integer,
}

_READ_AT_ONCE: Final = 1000
# This store's own: keys, and ids that nothing else refers to.
_OWN: Final = frozenset(
    {
        *("dataset_id", "image_key", "change_key", "event_id", "comment_id", "run_id"),
        "class_id",
    }
)


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """A table whose rows a copy holds, and the order in which it holds them."""

    table: Table
    order: Sequence[Column[Any]]

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def columns(self) -> list[Column[Any]]:
        return [column for column in self.table.c if column.name not in _OWN]

    @property
    def goes_by_image(self) -> bool:
        return self.table is not images and "image_key" in self.table.c

    @property
    def needs_image(self) -> bool:
        """Say whether every row is of an image; some are of all images of a size."""
        return self.goes_by_image and not self.table.c.image_key.nullable

    @property
    def fields(self) -> frozenset[str]:
        """The names that a row has."""
        names = {column.name for column in self.columns}
        if self.goes_by_image:
            names.add("image_id")
        if self.table is events:
            names.add("change_id")
        if self.table is annotations:
            names.add("label")
        return frozenset(names)


# In the order in which they are put back: what others refer to comes first. Jobs are
# this server's; what boxes look like is found again when it is asked for.
COPIED: Final = tuple(
    CopiedTable(table, order)
    for table, order in (
        (labels, [labels.c.position]),
        (label_aliases, [label_aliases.c.name]),
        (label_mappings, [label_mappings.c.model_id, label_mappings.c.model_label]),
        (label_thresholds, [label_thresholds.c.model_id, label_thresholds.c.label]),
        (images, [images.c.image_key]),
        (annotations, [images.c.image_key, annotations.c.position]),
        (comments, [images.c.image_key, comments.c.created_at, comments.c.text]),
        (ignore_areas, [ignore_areas.c.created_at, ignore_areas.c.area_id]),
        (doubts, [images.c.image_key]),
        (
            candidates,
            [
                images.c.image_key,
                *(
                    candidates.c[name]
                    for name in ("model_sha256", "input_size", "precision", "passes")
                ),
            ],
        ),
        (changes, [changes.c.change_key]),
        (events, [events.c.event_id]),
        (runs, [runs.c.started_at, runs.c.model_id]),
        (taught_models, [taught_models.c.taught_at]),
    )
)
COPIED_BY_NAME: Final = {table.name: table for table in COPIED}


class DatasetCopy:
    """A snapshot of a dataset's rows."""

    def __init__(self, connection: Connection, scope: Scope) -> None:
        self._connection = connection
        self._scope = scope

    @property
    def name(self) -> str:
        """Return the dataset's name."""
        query = select(datasets.c.name).where(
            datasets.c.dataset_id == self._scope.dataset_id
        )
        return str(self._connection.scalar(query))

    def rows(self, copied: CopiedTable) -> Iterator[JsonObject]:
        """Yield a table's rows as JSON has them, a thousand in memory."""
        result = self._connection.execute(
            _rows_of(copied, self._scope),
            execution_options={"yield_per": _READ_AT_ONCE},
        )
        for row in result.mappings():
            yield {name: value_json(value) for name, value in row.items()}


class Copies(StorePart):
    """Datasets out and in, with everything that is known of them."""

    @contextmanager
    def copying(self, scope: Scope) -> Iterator[DatasetCopy]:
        """Give the rows of a dataset, all of the same moment."""
        with self._reading(scope) as connection:
            yield DatasetCopy(connection, scope)

    def begin_copy(self, scope: Scope, name: str) -> None:
        """Begin an empty dataset under an id that was chosen before."""
        with self._database.write() as connection:
            insert_dataset(connection, scope, name)

    def put_images(
        self,
        scope: Scope,
        rows: Sequence[Mapping[str, Any]],
        read: Callable[[str], bytes],
    ) -> None:
        """Add images as a copy has them, their files first, as one transaction.

        Args:
            rows: as `row_of` returns them.
            read: returns the file of an image id.
        """
        contents = {row["image_id"]: read(row["image_id"]) for row in rows}
        for image_id, data in contents.items():
            self._write_file(scope, image_id, data)
        with self._writing(scope, files_lock(scope.owner_id)) as connection:
            # Someone may have deleted the last other image with this content.
            for image_id, data in contents.items():
                self._write_lost_file(scope, image_id, data)
            _insert(connection, images, scope, rows)

    def put_rows(
        self, scope: Scope, copied: CopiedTable, rows: Iterable[Mapping[str, Any]]
    ) -> None:
        """Add rows as a copy has them, as one transaction; `put_images` adds images.

        Raises:
            StoreError: a row speaks of an image or a change that is not there.
        """
        with self._writing(scope) as connection:
            ready = _with_keys(connection, scope, copied, list(rows))
            _insert(connection, copied.table, scope, ready)

    def end_copy(self, scope: Scope, name: str) -> None:
        """Give the finished dataset its name."""
        with self._writing(scope) as connection:
            connection.execute(
                datasets.update()
                .where(datasets.c.dataset_id == scope.dataset_id)
                .values(name=checked_name(name))
            )
            grow_version(connection, scope.dataset_id)


def row_of(copied: CopiedTable, fields: object) -> dict[str, Any]:
    """Return a row as the database takes it from what a copy has of it.

    A copy that an earlier version made lacks the columns added since; they are empty.

    Raises:
        ValueError: it has other fields than the table, or values of other kinds.
    """
    known = {column.name: column for column in copied.columns}
    added = {name for name, column in known.items() if column.nullable}
    if not isinstance(fields, dict) or not copied.fields - added <= fields.keys():
        raise ValueError("its fields are not those of the table")
    if not fields.keys() <= copied.fields:
        raise ValueError("its fields are not those of the table")
    values = dict.fromkeys(added) | fields
    row = {
        name: value_of_json(known[name], value)
        if name in known
        else text_of_json(name, value)
        for name, value in values.items()
        if name != "image_id" or value is not None or copied.needs_image
    }
    if copied.goes_by_image and not copied.needs_image:
        row.setdefault("image_id", None)
    return _with_present_status(row)


def _with_present_status(row: dict[str, Any]) -> dict[str, Any]:
    if isinstance(row.get("status"), str) and "image_id" in row:
        return {**row, "status": ReviewStatus(row["status"]).value}
    if row.get("kind") == REVIEW:
        reviews = {name: row[name] for name in ("before", "after")}
        return {**row, **{name: _review(review) for name, review in reviews.items()}}
    return row


def _review(review: Any) -> Any:  # noqa: ANN401
    if isinstance(review, dict) and isinstance(review.get("status"), str):
        return {**review, "status": ReviewStatus(review["status"]).value}
    return review


def _rows_of(copied: CopiedTable, scope: Scope) -> AnySelect:
    table = copied.table
    query: AnySelect = select(*copied.columns)
    if copied.goes_by_image:
        query = query.add_columns(images.c.image_id)
        query = query.join(
            images,
            images.c.image_key == table.c.image_key,
            isouter=not copied.needs_image,
        )
    if table is events:
        query = query.add_columns(changes.c.change_id)
        query = query.join(changes, changes.c.change_key == events.c.change_key)
    if table is annotations:
        query = query.add_columns(LABEL_NAME)
    if table is candidates:
        query = query.where(candidates.c.passes != IMAGE_VECTORS)
    owner = table if "dataset_id" in table.c else images
    mine = owner.c.dataset_id == scope.dataset_id
    return query.where(mine).order_by(*copied.order)


def _with_keys(
    connection: Connection,
    scope: Scope,
    copied: CopiedTable,
    rows: list[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return the rows with this store's keys for what they speak of."""
    ready = [dict(row) for row in rows]
    if copied.goes_by_image:
        of_image = [row for row in ready if row["image_id"] is not None]
        known = (images.c.image_id, images.c.image_key)
        _put_key(connection, scope, known, of_image, name="image_id", key="image_key")
        for row in ready:
            if "image_id" in row:
                row["image_key"] = row.pop("image_id")
    if copied.table is events:
        known = (changes.c.change_id, changes.c.change_key)
        _put_key(connection, scope, known, ready, name="change_id", key="change_key")
    if copied.table is annotations:
        known = (labels.c.name, labels.c.position)
        _put_key(connection, scope, known, ready, name="label", key="class_id")
    if copied.table is comments:
        ready = [{**row, "comment_id": new_id()} for row in ready]
    if copied.table is runs:
        ready = [{**row, "run_id": new_id()} for row in ready]
    return ready


def _put_key(
    connection: Connection,
    scope: Scope,
    known: tuple[Column[str], Column[int]],
    rows: list[dict[str, Any]],
    *,
    name: str,
    key: str,
) -> None:
    """Put the key that a name has here in its place; known: both, in their table."""
    column, target = known
    keys: dict[str, int] = {}
    for chunk in chunks({row[name] for row in rows}):
        query = select(column, target).where(
            column.table.c.dataset_id == scope.dataset_id, column.in_(chunk)
        )
        keys |= dict(connection.execute(query).all())
    for row in rows:
        row_key = keys.get(row.pop(name))
        if row_key is None:
            raise StoreError(
                "A row of this copy speaks of something that is not in it."
            )
        row[key] = row_key


def _insert(
    connection: Connection,
    table: Table,
    scope: Scope,
    rows: Iterable[Mapping[str, Any]],
) -> None:
    mine = {"dataset_id": scope.dataset_id} if "dataset_id" in table.c else {}
    ready = [{**row, **mine} for row in rows]
    if ready:
        connection.execute(insert(table), ready)
