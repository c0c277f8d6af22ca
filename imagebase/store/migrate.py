"""The schema brought up to date when a store is opened, by one process at a time."""

import logging
import time
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from imagebase.errors import DatabaseBusyError, StoreError
from imagebase.store.database import Database
from imagebase.store.database_copies import copy_database
from imagebase.store.tables import SCHEMA_REVISION

MIGRATIONS = Path(__file__).parent / "migrations"

_log: Final = logging.getLogger(__name__)


# As long as another process may take to migrate a large database.
_PATIENCE_SECONDS: Final = 1800


def bring_up_to_date(database: Database) -> None:
    """Make the tables, or migrate them, where that has not been done yet.

    It happens in one transaction: a process that opens at the same time waits and finds
    it done; one that is killed meanwhile leaves the old schema. A SQLite database that
    holds something is copied first.

    Raises:
        StoreError: the schema cannot be written, or is a newer ImageBase's, or the
            database could not be copied.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (revision := _revision(database)) != SCHEMA_REVISION:
        if revision is not None and database.path is not None:
            copy_database(database.path, note=f"before-{SCHEMA_REVISION}")
        try:
            _migrate(database)
        except DatabaseBusyError:
            if time.monotonic() > deadline:
                raise


def _revision(database: Database) -> str | None:
    with database.read() as connection:
        return schema_revision(connection)


def _migrate(database: Database) -> None:
    with database.write("schema") as connection:
        before = schema_revision(connection)
        if before == SCHEMA_REVISION:
            return
        started = time.monotonic()
        _upgrade(connection)
    _log.info(
        "Database schema migrated from %s to %s in %.1f s",
        *(before or "none", SCHEMA_REVISION, time.monotonic() - started),
    )


def schema_revision(connection: Connection) -> str | None:
    """Return the last migration that was run; None where there is none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if version is None else str(version)


def _upgrade(connection: Connection) -> None:
    # Alembic takes a while to load and is needed here only, once in a store's life.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            "The database was made by a newer ImageBase; update this one."
        ) from error
