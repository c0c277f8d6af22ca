"""The store: everything that is kept, put together from its parts."""

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from imagebase.annotation import utc_now
from imagebase.errors import StoreError
from imagebase.settings import TEAM_OWNER, Limits, Settings
from imagebase.store.annotation_rows import Listing
from imagebase.store.backup_rows import Copies
from imagebase.store.candidates import CandidateStore
from imagebase.store.comments import Comments
from imagebase.store.database import Database
from imagebase.store.database_copies import (
    copy_if_due,
    damage,
    remedy,
    restored_copies,
)
from imagebase.store.datasets import Datasets, Owners
from imagebase.store.edits import Editing
from imagebase.store.ignore_areas import IgnoreAreas
from imagebase.store.image_files import ImageFiles
from imagebase.store.image_rows import ImageRows
from imagebase.store.images import Images
from imagebase.store.jobs import Jobs
from imagebase.store.label_changes import LabelChanges
from imagebase.store.labels import Labels
from imagebase.store.learning import Learning
from imagebase.store.migrate import bring_up_to_date, schema_revision
from imagebase.store.record_reader import Records
from imagebase.store.repository import counted_images
from imagebase.store.scope import chunks
from imagebase.store.similarity import Looks
from imagebase.store.statistics import Statistics
from imagebase.store.tables import images, owners
from imagebase.store.taught_models import TaughtModels
from imagebase.store.uncertainty import Doubts
from imagebase.store.undo import Undo

_SETTLED: Final = timedelta(hours=1)
# Of files without a row; more of them than images there are is no accident.
_FEW_FILES: Final = 100
_BARE: Final = "without any dataset"

_log: Final = logging.getLogger(__name__)


class Store(
    Owners,
    Datasets,
    Labels,
    LabelChanges,
    Images,
    Records,
    Listing,
    ImageRows,
    Editing,
    Undo,
    IgnoreAreas,
    Comments,
    CandidateStore,
    Doubts,
    Looks,
    Statistics,
    TaughtModels,
    Learning,
    Jobs,
    Copies,
):
    """One per process, for all its threads; every method is a transaction of its own.

    Each part is a class in a module of its own; they share a database and image files.
    """

    @property
    def database_url(self) -> str:
        """Where the rows are, without a password."""
        return self._database.engine.url.render_as_string(hide_password=True)

    @property
    def is_on_a_server(self) -> bool:
        """Say whether a database server holds the rows, for processes anywhere."""
        return self._database.path is None

    def copy_database_if_due(self, should_stop: Callable[[], bool]) -> Path | None:
        """Copy a SQLite database with images, at most daily; return the new copy.

        Raises:
            StoreError: the copy could not be made.
            CopyStoppedError: `should_stop` said so.
        """
        path = self._database.path
        if path is None or not self._has_rows():
            return None
        return copy_if_due(path, should_stop=should_stop)

    def check_reachable(self) -> None:
        """Do nothing where the database and the image files answer.

        Raises:
            StoreError: one of them does not.
        """
        with self._database.read() as connection:
            connection.execute(select(owners.c.owner_id).limit(1))
        self._files.check_readable()

    def check_writable(self) -> None:
        """Do nothing where image files can be written, or the disk is only full.

        Raises:
            StoreError: they cannot.
        """
        self._files.check_writable()

    def sweep_files(self) -> int:
        """Delete image files that no row counts; return how many there were.

        A file is left alone that is younger than an hour, since its row may be on its
        way; and one that came between a copy of the database and its restoring. Where
        most files have no row this is likely not their database: none is deleted.

        Raises:
            StoreError: the files cannot be listed.
        """
        self._files.delete_drafts(utc_now() - _SETTLED)
        lost = [
            (owner_id, image_id)
            for owner_id in self._files.owners()
            for image_id in self._without_rows(owner_id)
        ]
        kept = self._count_images()
        if len(lost) > max(_FEW_FILES, kept):
            _log.warning(
                "%d image files have no row in this database and %d have one: none is "
                "deleted, as it may be the wrong database",
                *(len(lost), kept),
            )
            return 0
        for owner_id, image_ids in _by_owner(lost).items():
            self._delete_unused_files(owner_id, image_ids)
        if lost:
            _log.info("%d image files without a row deleted", len(lost))
        return len(lost)

    def _without_rows(self, owner_id: str) -> list[str]:
        path = self._database.path
        restored = list(restored_copies(path)) if path else []
        newest = utc_now() - _SETTLED
        old = [
            image_id
            for image_id, written_at in self._files.stored(owner_id)
            if written_at < newest
            and not any(
                one.made_at - _SETTLED <= written_at <= one.restored_at + _SETTLED
                for one in restored
            )
        ]
        with self._database.read() as connection:
            return [
                image_id
                for chunk in chunks(old)
                for image_id in sorted(
                    set(chunk) - counted_images(connection, owner_id, chunk)
                )
            ]

    def _count_images(self) -> int:
        with self._database.read() as connection:
            query = select(func.count()).select_from(images)
            return int(connection.scalar(query) or 0)

    def _has_rows(self) -> bool:
        with self._database.read() as connection:
            return connection.scalar(select(images.c.image_id).limit(1)) is not None

    def close(self) -> None:
        """Let go of the database; the store cannot be used any more."""
        self._database.close()


def open_store(settings: Settings, *, max_labels: int = Limits().max_labels) -> Store:
    """Return the store these settings name, made or migrated where that is needed.

    Args:
        settings: where the database and the files are.
        max_labels: how many labels a dataset may have.

    Raises:
        StoreError: the database or the place for files cannot be used; the database is
            damaged; or it is missing or empty although images are stored.
    """
    files = ImageFiles(settings.storage_url)
    database = Database(settings.database_url)
    try:
        _refuse_damaged(database)
        _refuse_empty(database, files, settings.storage_url)
        bring_up_to_date(database)
    except OSError as error:
        database.close()
        raise StoreError(
            f"The database {database.path} cannot be read ({error.strerror}); check "
            "the permissions of its folder, or set IMAGEBASE_HOME to another one."
        ) from error
    except BaseException:
        database.close()
        raise
    store = Store(database, files, max_labels=max_labels)
    _log.info(
        "Store opened: %s, images in %s", store.database_url, settings.storage_url
    )
    return store


def _by_owner(lost: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for owner_id, image_id in lost:
        grouped.setdefault(owner_id, []).append(image_id)
    return grouped


def _refuse_damaged(database: Database) -> None:
    path = database.path
    if path is not None and (found := damage(path)):
        raise StoreError(
            f"The database {path} is damaged ({found}), so nothing was started. "
            f"{remedy(path)}"
        )


def _refuse_empty(database: Database, files: ImageFiles, storage_url: str) -> None:
    """Refuse to begin anew where images are stored: their labels would be lost."""
    path = database.path
    if path is not None and not (path.exists() and path.stat().st_size):
        state = "missing or empty"
    else:
        state = _emptiness(database)
    if not state or not files.holds_images(TEAM_OWNER if state == _BARE else None):
        return
    name = path or database.engine.url.render_as_string(hide_password=True)
    how = remedy(path) if path else "Restore it from a backup of the database server."
    raise StoreError(
        f"The database {name} is {state}, but images are stored in {storage_url}, so "
        f"nothing was started. {how} To start empty, move that folder away first."
    )


def _emptiness(database: Database) -> str:
    with database.read() as connection:
        if schema_revision(connection) is None:
            return "empty"
        # A team is never deleted; a demo's visitors all are, sooner or later.
        has_owner = connection.scalar(select(owners.c.owner_id).limit(1))
        return "" if has_owner else _BARE
