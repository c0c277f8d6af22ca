"""The store: everything that is kept, put together from its parts."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import select

from imagebase.errors import StoreError
from imagebase.settings import TEAM_OWNER, Limits, Settings
from imagebase.store.annotation_rows import Listing
from imagebase.store.backup_rows import Copies
from imagebase.store.candidates import CandidateStore
from imagebase.store.comments import Comments
from imagebase.store.database import Database
from imagebase.store.database_copies import copy_if_due, damage, remedy
from imagebase.store.datasets import Datasets, Owners
from imagebase.store.edits import Editing
from imagebase.store.ignore_areas import IgnoreAreas
from imagebase.store.image_files import ImageFiles
from imagebase.store.image_rows import ImageRows
from imagebase.store.images import Images
from imagebase.store.jobs import Jobs
from imagebase.store.label_changes import LabelChanges
from imagebase.store.labels import Labels
from imagebase.store.migrate import bring_up_to_date, schema_revision
from imagebase.store.record_reader import Records
from imagebase.store.similarity import Looks
from imagebase.store.statistics import Statistics
from imagebase.store.tables import images, owners
from imagebase.store.uncertainty import Doubts
from imagebase.store.undo import Undo

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
    except BaseException:
        database.close()
        raise
    store = Store(database, files, max_labels=max_labels)
    _log.info(
        "Store opened: %s, images in %s", store.database_url, settings.storage_url
    )
    return store


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
