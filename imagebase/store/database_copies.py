"""Copies of a SQLite database: made while it is in use, checked, few, and restored.

A copy is `database-copies/<name>-<UTC time>.db` beside the database, with
`-before-<schema>` in its name where a migration followed. It reads one moment of the
database in steps, so that no writer waits for it.
"""

import contextlib
import json
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from imagebase.annotation import new_id, utc_now
from imagebase.errors import StoreError

KEPT_COPIES: Final = 3
MOST_BYTES: Final = 4_000_000_000
_PAUSE: Final = timedelta(days=1)
_STEP_PAGES: Final = 256
_STEP_SLEEP_SECONDS: Final = 0.002
# Time for `quick_check` at the start; it reads 200 MB to 1 GB in a second.
CHECK_SECONDS: Final = 5.0
_OPCODES_BETWEEN: Final = 20_000
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_FOLDER: Final = "database-copies"
_RESTORED: Final = "restored.json"

_log: Final = logging.getLogger(__name__)


class CopyStoppedError(Exception):
    """The server closes; the copy is made after its next start."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored copy: what came after `made_at`, until `restored_at`, has no rows."""

    made_at: datetime
    restored_at: datetime


def copies_folder(database: Path) -> Path:
    """Return the folder of a database's copies."""
    return database.parent / _FOLDER


def copies(database: Path) -> list[Path]:
    """Return the copies of a database, the newest first."""
    found = copies_folder(database).glob(f"{database.stem}-*.db")
    return sorted(found, key=lambda path: path.name, reverse=True)


def made_at(copy: Path) -> datetime:
    """Return when a copy was made; of one with another name, when it was written."""
    for part in copy.stem.split("-"):
        with contextlib.suppress(ValueError):
            return datetime.strptime(part, _STAMP).replace(tzinfo=UTC)
    return datetime.fromtimestamp(copy.stat().st_mtime, UTC)


def damage(database: Path, *, seconds: float = CHECK_SECONDS) -> str:
    """Return what SQLite's quick check finds wrong; empty where nothing was found.

    Args:
        database: the file; one that is missing or empty is not damaged.
        seconds: the time it may take; what is not read by then counts as good.
    """
    if not database.is_file() or not database.stat().st_size:
        return ""
    deadline = time.monotonic() + seconds
    try:
        with closing(_reader(database)) as connection:
            connection.set_progress_handler(
                lambda: time.monotonic() > deadline, _OPCODES_BETWEEN
            )
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        # A full disk or a lock says nothing about the file.
        return str(error) if is_damage(str(error)) else ""
    return "" if found == ("ok",) else str(found[0]).splitlines()[-1]


def is_damage(reason: str) -> bool:
    """Say whether an error of SQLite's means that the file is damaged."""
    return "malformed" in reason or "not a database" in reason


def remedy(database: Path) -> str:
    """Return the sentences that say how to come back from a damaged database."""
    good = newest_good_copy(database)
    if good is None:
        return (
            f"There is no good copy of it in {copies_folder(database)}; "
            "put one of your own backups in its place."
        )
    when = f"{made_at(good):%Y-%m-%d %H:%M} UTC"
    return (
        f"Its newest good copy is {good} ({when}). Stop the app and run: "
        f"imagebase restore --database '{good}'"
    )


def newest_good_copy(database: Path) -> Path | None:
    """Return the newest copy that passes the quick check; None where there is none."""
    return next((copy for copy in copies(database) if not damage(copy)), None)


def copy_if_due(
    database: Path, *, should_stop: Callable[[], bool] = lambda: False
) -> Path | None:
    """Copy the database if it changed since its last copy, a day ago or longer.

    Returns:
        The new copy; None where none is due.

    Raises:
        StoreError: the copy could not be made; nothing is kept of it.
    """
    newest = next(iter(copies(database)), None)
    if newest is not None and not _is_due(database, newest):
        return None
    return copy_database(database, should_stop=should_stop)


def _is_due(database: Path, newest: Path) -> bool:
    # A clock that was set back must not stop the copies.
    if abs(utc_now() - made_at(newest)) < _PAUSE:
        return False
    changed = max(
        path.stat().st_mtime
        for path in (database, _beside(database, "-wal"))
        if path.exists()
    )
    return changed > newest.stat().st_mtime


def copy_database(
    database: Path,
    *,
    note: str = "",
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Copy the database as it is now, check the copy, and delete the oldest ones.

    Args:
        database: the file, which others may read and write meanwhile.
        note: ends the name, such as `before-0005`.
        should_stop: asked between steps.

    Raises:
        StoreError: it could not be copied, or the copy is damaged.
        CopyStoppedError: `should_stop` said so.
    """
    folder = copies_folder(database)
    name = f"{database.stem}-{utc_now():{_STAMP}}{f'-{note}' if note else ''}.db"
    draft = folder / f".{name}.{new_id()}"
    started = time.monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_space(database, folder)
        _copy_in_steps(database, draft, should_stop)
        if found := damage(draft, seconds=60):
            raise StoreError(f"The database {database} is damaged ({found}).")
        _sync(draft)
        draft.replace(folder / name)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"The database {database} could not be copied to {folder} ({reason})."
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    _delete_oldest(database)
    _log.info("Database copied to %s in %.1f s", name, time.monotonic() - started)
    return folder / name


def _copy_in_steps(database: Path, to: Path, should_stop: Callable[[], bool]) -> None:
    def go_on(_status: int, _remaining: int, _total: int) -> None:
        if should_stop():
            raise CopyStoppedError

    with closing(_reader(database)) as source, closing(sqlite3.connect(to)) as target:
        # In a transaction of its own the copy sees one moment, and does not begin
        # again whenever someone writes.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(
            target,
            pages=_STEP_PAGES,
            progress=go_on,
            sleep=_STEP_SLEEP_SECONDS,
        )
        # A copy is one file, and can be read where nothing can be written.
        target.execute("PRAGMA journal_mode = DELETE")


def _reader(database: Path) -> sqlite3.Connection:
    uri = f"{database.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)


def _require_space(database: Path, folder: Path) -> None:
    needed = database.stat().st_size
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreError(
            f"A copy of the database needs {needed / 1e6:,.0f} MB and "
            f"{free / 1e6:,.0f} MB are free in {folder}; free some space."
        )


def _delete_oldest(database: Path) -> None:
    """Keep the newest copies, as many and as large as the limits say, one at least."""
    total = 0
    for number, copy in enumerate(copies(database)):
        total += copy.stat().st_size
        if number and (number >= KEPT_COPIES or total > MOST_BYTES):
            copy.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def restore_copy(database: Path, copy: Path) -> Path | None:
    """Put a copy in the place of the database, which is moved aside.

    Returns:
        Where the former database is now; None where there was none.

    Raises:
        StoreError: the copy is damaged, an app has the database open, or a file cannot
            be written; the database is as it was.
    """
    if copy.resolve() == database.resolve():
        raise StoreError(f"{copy} is the database itself; give a copy of it.")
    if not copy.is_file() or not copy.stat().st_size:
        raise StoreError(f"{copy} is not there or empty; give a copy of a database.")
    if found := damage(copy, seconds=3600):
        raise StoreError(f"The copy {copy} is damaged ({found}); give another one.")
    _refuse_while_open(database)
    draft = database.with_name(f".{database.name}.{new_id()}")
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        _copy_in_steps(copy, draft, lambda: False)
        _sync(draft)
        aside = _move_aside(database)
        draft.replace(database)
        _note_restored(database, Restored(made_at(copy), utc_now()))
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{copy} could not be restored ({reason}).") from error
    finally:
        draft.unlink(missing_ok=True)
    return aside


def _refuse_while_open(database: Path) -> None:
    """Refuse where another process has the database open.

    Only where nobody else has it open does SQLite leave WAL. A database that is too
    damaged for that cannot be used by an app either.
    """
    if not database.is_file() or not database.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(database, timeout=0)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise StoreError(
                f"{database} is in use; stop the app, then restore the copy."
            ) from error


def _move_aside(database: Path) -> Path | None:
    if not database.exists():
        return None
    aside = database.with_name(f"{database.name}.replaced-{utc_now():{_STAMP}}")
    # Without its log first: beside another database it would damage that one.
    for suffix in ("-wal", "-shm", ""):
        path = _beside(database, suffix)
        if path.exists():
            path.replace(_beside(aside, suffix))
    return aside


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(f"{database.name}{suffix}")


def _note_restored(database: Path, restored: Restored) -> None:
    note = {
        "made_at": restored.made_at.isoformat(),
        "restored_at": restored.restored_at.isoformat(),
    }
    folder = copies_folder(database)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _RESTORED).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(note)}\n")


def restored_copies(database: Path) -> Iterator[Restored]:
    """Yield the copies that were restored, the earliest first."""
    path = copies_folder(database) / _RESTORED
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        note = json.loads(line)
        yield Restored(
            datetime.fromisoformat(note["made_at"]),
            datetime.fromisoformat(note["restored_at"]),
        )
