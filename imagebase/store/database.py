"""Transactions on SQLite or PostgreSQL, short ones, and errors in plain words.

SQLite runs in a mode that is safe for one machine: WAL, synchronous=FULL, foreign keys
on; writers begin immediately and wait at most five seconds for one another.
"""

import hashlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from imagebase.errors import DatabaseBusyError, DatabaseUnreachableError, StoreError
from imagebase.store.database_copies import is_damage, remedy

BUSY_SECONDS: Final = 5
# For a connection to a server, and for a free one of those there are.
ANSWER_SECONDS: Final = 10
_LEAST_BYTES: Final = 1_000_000
_WRITES: Final = "imagebase_writes"


class Database:
    """An engine and the two kinds of transaction there are; safe for threads."""

    def __init__(self, database_url: str) -> None:
        url = _checked_url(database_url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        # Of SQLite; None of a server's database.
        self.path = Path(str(url.database)).absolute() if self.is_sqlite else None
        self.engine = _sqlite_engine(url) if self.is_sqlite else _server_engine(url)
        # SQLite's own waiting is not fair: a thread could starve past its five seconds.
        self._turn: threading.Lock | nullcontext[None] = (
            threading.Lock() if self.is_sqlite else nullcontext()
        )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction whose queries all see the same moment.

        Raises:
            StoreError: the database cannot be reached or read.
        """
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._plain_errors(), self.engine.connect() as connection:
            connection = connection.execution_options(**options)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self, *locks: str) -> Iterator[Connection]:
        """Open a transaction that is kept as a whole or not at all.

        Args:
            locks: what no other writer may touch meanwhile, always in the same order.
                On SQLite there is one writer at a time anyway.

        Raises:
            StoreError: the database cannot be reached or written; nothing was kept.
        """
        with self._turn, self._plain_errors(), self.engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin():
                if not self.is_sqlite:
                    _lock(connection, locks)
                yield connection

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise _plain(error, self.path) from error


def _checked_url(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    # A port that is no number is a ValueError.
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            "IMAGEBASE_DATABASE_URL is not a database address; "
            "write sqlite:///path or postgresql://user@host/name."
        ) from error
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(
            f"IMAGEBASE_DATABASE_URL names {url.get_backend_name()}; "
            "use SQLite or PostgreSQL."
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise StoreError("IMAGEBASE_DATABASE_URL names no file; write sqlite:///path.")
    return url


def _server_engine(url: URL) -> Engine:
    try:
        return create_engine(
            url,
            pool_size=8,
            max_overflow=32,
            pool_pre_ping=True,
            pool_timeout=ANSWER_SECONDS,
            connect_args={"connect_timeout": ANSWER_SECONDS},
        )
    except ModuleNotFoundError as error:
        raise StoreError(
            f"IMAGEBASE_DATABASE_URL needs {error.name}, which is not installed; run "
            "`pip install 'imagebase[postgres]'`."
        ) from error


def _sqlite_engine(url: URL) -> Engine:
    folder = Path(str(url.database)).absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder {folder} cannot be made ({error.strerror}); "
            "set IMAGEBASE_HOME to one that can."
        ) from error
    engine = create_engine(
        url, connect_args={"timeout": BUSY_SECONDS}, pool_size=8, max_overflow=32
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    # Python's own transaction control begins too late and never IMMEDIATE.
    connection.isolation_level = None
    _enter_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch a database to WAL, once; SQLite does not wait for others here itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _lock(connection: Connection, names: tuple[str, ...]) -> None:
    for name in names:
        digest = hashlib.sha256(name.encode()).digest()
        number = int.from_bytes(digest[:8], "big", signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": number})


def _plain(error: SQLAlchemyError, path: Path | None) -> StoreError:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    if _is_full(reason, path):
        return StoreError(
            "The disk is full: nothing was saved; free some space and try again."
        )
    if "locked" in reason:
        return DatabaseBusyError(
            "The database is busy: nothing was saved; try again in a moment."
        )
    if path is not None and ("readonly" in reason or "unable to open" in reason):
        return StoreError(
            f"The database {path} cannot be opened or written ({reason}); check the "
            "permissions of its folder. Nothing was saved."
        )
    if isinstance(error, PoolTimeoutError):
        reason = "all connections are in use"
    if path is None and _is_away(error):
        return DatabaseUnreachableError(
            f"The database does not answer ({reason}); nothing was saved."
        )
    if path is not None and is_damage(reason):
        return StoreError(
            f"The database {path} is damaged ({reason}); nothing was saved. "
            f"{remedy(path)}"
        )
    return StoreError(f"The database could not do this ({reason}); nothing was saved.")


def _is_full(reason: str, path: Path | None) -> bool:
    if "disk is full" in reason or "No space left" in reason:
        return True
    # So SQLite says where it finds no room for the index of its log.
    if path is None or "disk I/O error" not in reason:
        return False
    return shutil.disk_usage(path.parent).free < _LEAST_BYTES


def _is_away(error: SQLAlchemyError) -> bool:
    """Say whether a database server did not answer, which may be over soon."""
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None) or ""
    is_lost = error.connection_invalidated or state[:2] in ("08", "57", "53")
    # A connection that was refused has no code.
    return is_lost or (type(error.orig).__name__ == "OperationalError" and not state)
