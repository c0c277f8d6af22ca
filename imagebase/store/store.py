"""The store: everything that is kept, put together from its parts."""

import logging
from typing import Final

from imagebase.settings import Limits, Settings
from imagebase.store.annotation_rows import Listing
from imagebase.store.backup_rows import Copies
from imagebase.store.candidates import CandidateStore
from imagebase.store.comments import Comments
from imagebase.store.database import Database
from imagebase.store.datasets import Datasets, Owners
from imagebase.store.edits import Editing
from imagebase.store.ignore_areas import IgnoreAreas
from imagebase.store.image_files import ImageFiles
from imagebase.store.image_rows import ImageRows
from imagebase.store.images import Images
from imagebase.store.jobs import Jobs
from imagebase.store.label_changes import LabelChanges
from imagebase.store.labels import Labels
from imagebase.store.migrate import bring_up_to_date
from imagebase.store.record_reader import Records
from imagebase.store.similarity import Looks
from imagebase.store.statistics import Statistics
from imagebase.store.uncertainty import Doubts
from imagebase.store.undo import Undo

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

    def close(self) -> None:
        """Let go of the database; the store cannot be used any more."""
        self._database.close()


def open_store(settings: Settings, *, max_labels: int = Limits().max_labels) -> Store:
    """Return the store these settings name, made or migrated where that is needed.

    Args:
        settings: where the database and the files are.
        max_labels: how many labels a dataset may have.

    Raises:
        StoreError: the database or the place for files cannot be used.
    """
    files = ImageFiles(settings.storage_url)
    database = Database(settings.database_url)
    try:
        bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    store = Store(database, files, max_labels=max_labels)
    _log.info(
        "Store opened: %s, images in %s", store.database_url, settings.storage_url
    )
    return store
