"""What outgrows memory: scratch databases on disk, and sets of texts in them."""

import sqlite3
from collections.abc import Iterable
from typing import Final

_CACHE_KIB: Final = 16_000


class DiskSet:
    """A set of texts that may outgrow memory."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        schema = "CREATE TABLE text (text BLOB PRIMARY KEY) WITHOUT ROWID"
        self._database = scratch_database(schema, cache_kib=2000)
        for text in texts:
            self.add(text)

    def __contains__(self, text: str) -> bool:
        found = self._database.execute(
            "SELECT 1 FROM text WHERE text = ?", (to_bytes(text),)
        )
        return found.fetchone() is not None

    def add(self, text: str) -> bool:
        """Add a text; False where it is there already."""
        done = self._database.execute(
            "INSERT OR IGNORE INTO text VALUES (?)", (to_bytes(text),)
        )
        return done.rowcount > 0

    def close(self) -> None:
        self._database.close()


def scratch_database(schema: str, cache_kib: int = _CACHE_KIB) -> sqlite3.Connection:
    """Return a new database that is deleted when it is closed.

    There is nothing to roll back to and nobody else to wait for.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute(f"PRAGMA cache_size = -{cache_kib}")
    database.executescript(schema)
    database.execute("BEGIN")
    return database


def to_bytes(text: str) -> bytes:
    """Return text as it is kept; names of files may hold lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def from_bytes(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
