"""Copy a whole store to another database and another place for images, verified.

Image files come first and one by one: a copy that was interrupted finds them there.
Rows follow in one transaction, which ends once all are read back: until then the new
database is empty. The store that is copied from is only read.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sqlalchemy import Connection, Table, func, insert, select, text

from imagebase.annotation import utc_now
from imagebase.errors import ImageFileError, StorageUnreachableError, StoreError
from imagebase.settings import Settings
from imagebase.store.backup_rows import value_json
from imagebase.store.column_types import AnyRow
from imagebase.store.database import Database
from imagebase.store.image_files import ImageFiles
from imagebase.store.jobs import JobState
from imagebase.store.migrate import bring_up_to_date, schema_revision
from imagebase.store.tables import (
    SCHEMA_REVISION,
    annotations,
    datasets,
    images,
    jobs,
    metadata,
    owners,
)

OnProgress = Callable[[str, int, int], None]

_ROWS_AT_ONCE: Final = 1000
# Requests to a bucket spend their time waiting.
_FILES_AT_ONCE: Final = 8
_IMAGES: Final = "Images"
_ROWS: Final = "Rows"
_COMPARING: Final = "Comparing rows"

_BOXES: Final = (
    select(func.count()).select_from(annotations).where(~annotations.c.is_deleted)
)

_log: Final = logging.getLogger(__name__)


class _Sum(NamedTuple):
    """How many rows a table has, and a checksum of them that no order changes."""

    rows: int
    digest: int


@dataclass(frozen=True, slots=True)
class StoreCopySummary:
    """What was copied. tables: rows of each. boxes: those that were not deleted.

    missing: images without a good file. was_there: the new store held all already.
    """

    tables: dict[str, int]
    boxes: int
    byte_count: int
    missing: tuple[str, ...] = ()
    was_there: bool = False

    @property
    def rows(self) -> int:
        return sum(self.tables.values())

    @property
    def datasets(self) -> int:
        return self.tables[datasets.name]

    @property
    def images(self) -> int:
        return self.tables[images.name]


class _ImageFile(NamedTuple):
    owner_id: str
    image_id: str
    file_name: str
    byte_count: int


@dataclass(slots=True)
class _Files:
    """Image files on their way. missing: names of those that were lost before."""

    source: ImageFiles
    target: ImageFiles
    byte_count: int = 0
    missing: list[str] = field(default_factory=list)

    def copy_all(self, files: list[_ImageFile], on_progress: OnProgress) -> None:
        with ThreadPoolExecutor(_FILES_AT_ONCE, "imagebase-copy") as pool:
            for done, copied in enumerate(pool.map(self._copy, files), start=1):
                on_progress(_IMAGES, done, len(files))
                file = files[done - 1]
                if copied:
                    self.byte_count += file.byte_count
                else:
                    self.missing.append(file.file_name)

    def _copy(self, file: _ImageFile) -> bool:
        """Copy and verify one file, if it is not there; False where it is lost."""
        key = (file.owner_id, file.image_id)
        if self.target.has(*key, byte_count=file.byte_count):
            return True
        try:
            data = self.source.read(*key, file_name=file.file_name)
        except StorageUnreachableError:
            raise
        except ImageFileError as error:
            _log.warning("%s", error)
            return False
        self.target.write(*key, data)
        if not self.target.has(*key, byte_count=len(data)):
            raise StoreError(
                f"{file.file_name} was read back and differs from what was written; "
                "check the new storage and run it again."
            )
        return True


def copy_store(
    source: Settings,
    target: Settings,
    *,
    on_progress: OnProgress = lambda title, done, total: None,
) -> StoreCopySummary:
    """Copy all owners, datasets, history, jobs and images; run it again to resume.

    Thumbnails are not copied: they are made again.

    Args:
        source, target: their database and storage count.
        on_progress: called with what is copied, the number done and of all.

    Raises:
        StoreError: one of them cannot be used, the new one holds something else, the
            app still works on the old one, or something read back differs. The new
            database is empty then.
    """
    with (
        closing(Database(source.database_url)) as old,
        closing(Database(target.database_url)) as new,
    ):
        if old.engine.url == new.engine.url:
            raise StoreError("The old and the new database are the same; name another.")
        _check_source(old)
        files = _Files(ImageFiles(source.storage_url), ImageFiles(target.storage_url))
        files.target.check_writable()
        bring_up_to_date(new)
        with old.read() as rows:
            held = _held(rows, new)
            boxes = rows.scalar(_BOXES) or 0
            files.copy_all(_image_files(rows), on_progress)
            sums = held or _copy_rows(rows, old, new, on_progress)
    return StoreCopySummary(
        {name: table.rows for name, table in sums.items()},
        boxes,
        files.byte_count,
        tuple(files.missing),
        was_there=held is not None,
    )


def _check_source(database: Database) -> None:
    path = database.path
    if path is not None and not path.is_file():
        raise StoreError(f"{path} is not there; set IMAGEBASE_HOME to the app's.")
    with database.read() as connection:
        if schema_revision(connection) != SCHEMA_REVISION:
            raise StoreError(
                "The database is of another version of ImageBase; start this version "
                "on it once, then run it again."
            )
        running = (
            select(func.count())
            .select_from(jobs)
            .where(jobs.c.state == JobState.RUNNING, jobs.c.lease_until > utc_now())
        )
        if connection.scalar(running):
            raise StoreError("A job is running; stop the app and run it again.")


def _held(rows: Connection, new: Database) -> dict[str, _Sum] | None:
    """Return the sums of a new database that holds the same; None where it is empty.

    Raises:
        StoreError: it holds something else.
    """
    with new.read() as connection:
        if connection.scalar(select(owners.c.owner_id).limit(1)) is None:
            return None
        there = _sums(connection)
    if there != _sums(rows):
        raise StoreError(
            "The new database holds datasets already; name an empty one. Nothing was "
            "changed."
        )
    return there


def _image_files(rows: Connection) -> list[_ImageFile]:
    query = (
        select(
            datasets.c.owner_id,
            images.c.image_id,
            func.min(images.c.file_name),
            func.min(images.c.byte_count),
        )
        .join(datasets, datasets.c.dataset_id == images.c.dataset_id)
        .group_by(datasets.c.owner_id, images.c.image_id)
        .order_by(datasets.c.owner_id, images.c.image_id)
    )
    return [_ImageFile(*row) for row in rows.execute(query)]


def _copy_rows(
    rows: Connection, old: Database, new: Database, on_progress: OnProgress
) -> dict[str, _Sum]:
    sums = {}
    total = sum(_counts(rows).values())
    done = 0
    with new.write("copy a store") as connection:
        for table in metadata.sorted_tables:
            sums[table.name] = _Sum(0, 0)
            for chunk in _chunks(rows, table):
                connection.execute(insert(table), [dict(row._mapping) for row in chunk])
                sums[table.name] = _with(sums[table.name], chunk)
                done += len(chunk)
                on_progress(_ROWS, done, total)
        _set_sequences(connection)
        _check_equal(sums, _sums(connection, on_progress))
        with old.read() as now:
            _check_unchanged(sums, now)
    return sums


def _check_equal(written: dict[str, _Sum], read: dict[str, _Sum]) -> None:
    for name, expected in written.items():
        if read[name] != expected:
            raise StoreError(
                f"{read[name].rows:,} rows of {name} were read back for "
                f"{expected.rows:,}, or they differ; nothing was kept. Check the new "
                "database and run it again."
            )


def _check_unchanged(then: dict[str, _Sum], now: Connection) -> None:
    if then != _sums(now):
        raise StoreError(
            "Someone worked in the app meanwhile; stop it and run it again. Nothing "
            "was kept but image files."
        )


def _counts(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in metadata.sorted_tables
    }


def _sums(
    connection: Connection,
    on_progress: OnProgress = lambda title, done, total: None,
) -> dict[str, _Sum]:
    sums = {}
    counts = _counts(connection)
    done = 0
    for table in metadata.sorted_tables:
        sums[table.name] = _Sum(0, 0)
        for chunk in _chunks(connection, table):
            sums[table.name] = _with(sums[table.name], chunk)
            done += len(chunk)
            on_progress(_COMPARING, done, sum(counts.values()))
    return sums


def _with(total: _Sum, chunk: list[AnyRow]) -> _Sum:
    digest = total.digest
    for row in chunk:
        line = json.dumps([value_json(value) for value in row], sort_keys=True)
        digest += int.from_bytes(hashlib.sha256(line.encode()).digest(), "big")
    return _Sum(total.rows + len(chunk), digest % 2**256)


def _chunks(connection: Connection, table: Table) -> Iterator[list[AnyRow]]:
    result = connection.execute(
        select(table), execution_options={"yield_per": _ROWS_AT_ONCE}
    )
    for part in result.partitions():
        yield list(part)


def _set_sequences(connection: Connection) -> None:
    """Have PostgreSQL number new rows after those that came with their keys."""
    if connection.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        connection.execute(
            text(
                "SELECT setval(pg_get_serial_sequence(:table, :column), "
                f"COALESCE(MAX({column.name}), 1), MAX({column.name}) IS NOT NULL) "
                f"FROM {table.name}"
            ),
            {"table": table.name, "column": column.name},
        )
