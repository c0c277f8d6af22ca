"""Images and boxes on disk while a label set is taken in, whatever its size.

A database without a name is SQLite's own scratch file: it stays in the cache while the
set is small, goes to the folder of temporary files as it grows, and is deleted when it
is closed. Text is kept as bytes, since names of files need not be UTF-8.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from imagebase.annotation import Annotation, Attributes, Box, Size, Source
from imagebase.formats.label_set_files import ReadImage, Remark
from imagebase.formats.parts import part_in

_CACHE_KIB: Final = 16_000
_BUFFERED_BOXES: Final = 1000
_ENTRIES_AT_HAND: Final = 5000
_SCHEMA: Final = """
CREATE TABLE image (
    id INTEGER PRIMARY KEY, name BLOB UNIQUE, width INTEGER, height INTEGER,
    is_relative INTEGER, file BLOB, earlier INTEGER, boxes INTEGER, part TEXT
);
CREATE TABLE box (
    image INTEGER, number INTEGER, label INTEGER,
    x_min REAL, y_min REAL, x_max REAL, y_max REAL,
    source INTEGER, confidence REAL, is_crowd INTEGER, attributes TEXT,
    PRIMARY KEY (image, number)
) WITHOUT ROWID;
CREATE TABLE tag (
    image INTEGER, label INTEGER, number INTEGER, PRIMARY KEY (image, label)
) WITHOUT ROWID;
CREATE TABLE remark (is_skipped INTEGER, file BLOB, at BLOB, reason BLOB);
CREATE TABLE link (file INTEGER, key BLOB, image INTEGER, PRIMARY KEY (file, key))
WITHOUT ROWID;
"""
_SOURCES: Final = tuple(Source)
_BARE: Final[dict[str, Any]] = {"annotation_id": "", "changed_at": datetime.min}


@dataclass(slots=True)
class Entry:
    """An image that is being taken in.

    file, earlier: the file whose boxes come in now, and how many boxes those before
        it had. boxes: how many there are, crowds too.
    part: None where nothing has named one yet, empty where two were named.
    """

    image_id: int
    name: str
    size: Size | None
    is_relative: bool
    file: str = ""
    earlier: int = 0
    boxes: int = 0
    part: str | None = None


class BoxRow(NamedTuple):
    """A box that is kept. label: its number."""

    box: Box
    label: int
    source: Source
    confidence: float | None
    is_crowd: bool
    attributes: Attributes | None = None


class Spool:
    """Takes in images, and gives them back in the order in which they came."""

    def __init__(self) -> None:
        self._database = scratch_database(_SCHEMA)
        self._entries: dict[str, Entry] = {}
        self._boxes: list[tuple[object, ...]] = []
        self.images = 0
        self.boxes_read = 0
        self.tags = 0

    def close(self) -> None:
        self._database.close()

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._boxes.clear()
        self.images = self.boxes_read = self.tags = 0
        for table in ("image", "box", "tag", "remark", "link"):
            self._database.execute(f"DELETE FROM {table}")

    def add_image(
        self, name: str, size: Size | None, *, is_relative: bool, part: str = ""
    ) -> None:
        """Take in an image; one that is there already stays, and may gain a size."""
        known = self.find(name)
        if known is not None:
            known.size = known.size or size
            known.part = _joined(known.part, part)
            return
        self.images += 1
        entry = Entry(self.images, name, size, is_relative, part=part or None)
        self._keep_at_hand(entry)
        # The rest of the row is written when the entry goes.
        self._database.execute(
            "INSERT INTO image (id, name) VALUES (?, ?)", (self.images, to_bytes(name))
        )

    def find(self, name: str) -> Entry | None:
        """Return an image; what is changed on it is kept."""
        if name in self._entries:
            return self._entries[name]
        row = self._database.execute(
            "SELECT * FROM image WHERE name = ?", (to_bytes(name),)
        ).fetchone()
        if row is None:
            return None
        image_id, _, width, height, is_relative, file, earlier, boxes, part = row
        size = None if width is None else Size(width, height)
        return self._keep_at_hand(
            Entry(
                image_id,
                name,
                size,
                bool(is_relative),
                from_bytes(file),
                earlier,
                boxes,
                part,
            )
        )

    def _keep_at_hand(self, entry: Entry) -> Entry:
        if len(self._entries) >= _ENTRIES_AT_HAND:
            self._write()
        self._entries[entry.name] = entry
        return entry

    def add_box(self, entry: Entry, row: BoxRow) -> None:
        source = _SOURCES.index(row.source)
        attributes = json.dumps(row.attributes) if row.attributes else None
        rest = (source, row.confidence, row.is_crowd, attributes)
        self._boxes.append((entry.image_id, entry.boxes, row.label, *row.box, *rest))
        entry.boxes += 1
        self.boxes_read += not row.is_crowd
        if len(self._boxes) >= _BUFFERED_BOXES:
            self._write_boxes()

    def has_box(self, entry: Entry, box: Box, label: int) -> bool:
        """Say whether an earlier file brought this very box of this image."""
        self._write_boxes()
        found = self._database.execute(
            "SELECT 1 FROM box WHERE image = ? AND number < ? AND label = ?"
            " AND x_min = ? AND y_min = ? AND x_max = ? AND y_max = ?",
            (entry.image_id, entry.earlier, label, *box),
        )
        return found.fetchone() is not None

    def add_tag(self, entry: Entry, label: int) -> None:
        done = self._database.execute(
            "INSERT OR IGNORE INTO tag SELECT ?, ?, count(*) FROM tag WHERE image = ?",
            (entry.image_id, label, entry.image_id),
        )
        self.tags += done.rowcount

    def add_remark(self, remark: Remark, *, is_skipped: bool) -> None:
        self._database.execute(
            "INSERT INTO remark VALUES (?, ?, ?, ?)",
            (is_skipped, *map(to_bytes, remark)),
        )

    def remarks(self, *, skipped: bool) -> Iterator[Remark]:
        rows = self._database.execute(
            "SELECT file, at, reason FROM remark WHERE is_skipped = ? ORDER BY rowid",
            (skipped,),
        )
        return (Remark(*map(from_bytes, row)) for row in rows)

    def link(self, file: int, key: str, entry: Entry) -> bool:
        """Let a key of a file stand for an image; False where it stands for another."""
        done = self._database.execute(
            "INSERT OR IGNORE INTO link VALUES (?, ?, ?)",
            (file, to_bytes(key), entry.image_id),
        )
        return done.rowcount > 0

    def linked(self, file: int, key: str) -> str | None:
        """Return the name of the image that a key of a file stands for."""
        row = self._database.execute(
            "SELECT name FROM link JOIN image ON id = link.image"
            " WHERE link.file = ? AND key = ?",
            (file, to_bytes(key)),
        ).fetchone()
        return None if row is None else from_bytes(row[0])

    def place_by_folders(self) -> None:
        """Let names say who is where, if nothing else does and each of them says it.

        A single folder of such a name divides nothing.
        """
        self._write()
        self._database.create_function("part_in", 1, _part_in, deterministic=True)
        # Most sets show at their first image that it is not so.
        other = "SELECT 1 FROM image WHERE part IS NOT NULL OR part_in(name) IS NULL"
        if self._database.execute(f"{other} LIMIT 1").fetchone():
            return
        named = "SELECT DISTINCT part_in(name) FROM image LIMIT 2"
        if len(self._database.execute(named).fetchall()) > 1:
            self._database.execute("UPDATE image SET part = part_in(name)")

    def read_images(
        self, labels: tuple[str, ...], *, is_bare: bool = False
    ) -> Iterator[ReadImage]:
        """Yield the images in order.

        Args:
            labels: as they are numbered.
            is_bare: boxes need no id and no time of their own.
        """
        self._write()
        boxes = _Groups(self._database.execute("SELECT * FROM box"))
        tags = _Groups(
            self._database.execute("SELECT * FROM tag ORDER BY image, number")
        )
        for row in self._database.execute("SELECT * FROM image ORDER BY id"):
            found = boxes.of(row[0]), tags.of(row[0])
            yield _image(row, *found, labels, is_bare=is_bare)

    def read_image(self, name: str, labels: tuple[str, ...]) -> ReadImage | None:
        """Return one image by its name."""
        self._write()
        row = self._database.execute(
            "SELECT * FROM image WHERE name = ?", (to_bytes(name),)
        ).fetchone()
        if row is None:
            return None
        which = (row[0],)
        boxes = self._database.execute("SELECT * FROM box WHERE image = ?", which)
        tags = self._database.execute(
            "SELECT * FROM tag WHERE image = ? ORDER BY number", which
        )
        return _image(row, boxes, tags, labels)

    def _write(self) -> None:
        """Write what is at hand."""
        self._write_boxes()
        self._database.executemany(
            "UPDATE image SET width = ?, height = ?, is_relative = ?, file = ?,"
            " earlier = ?, boxes = ?, part = ? WHERE id = ?",
            map(_state, self._entries.values()),
        )
        self._entries.clear()

    def _write_boxes(self) -> None:
        if self._boxes:
            marks = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
            insert = f"INSERT INTO box VALUES ({marks})"
            self._database.executemany(insert, self._boxes)
            self._boxes.clear()


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


class _Groups:
    """Rows that begin with an image's id, in the order of the ids, image by image."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, image_id: int) -> list[tuple[Any, ...]]:
        if self._next is None or self._next[0] != image_id:
            return []
        rows = list(self._next[1])
        self._next = next(self._groups, None)
        return rows


def _state(entry: Entry) -> tuple[object, ...]:
    width, height = entry.size or (None, None)
    boxes = (to_bytes(entry.file), entry.earlier, entry.boxes)
    return (
        *(width, height, entry.is_relative),
        *boxes,
        *(entry.part, entry.image_id),
    )


def _joined(known: str | None, part: str) -> str | None:
    """Return the part of an image that one more file names it for."""
    if not part:
        return known
    return part if known in (None, part) else ""


def _part_in(name: bytes) -> str | None:
    return part_in(from_bytes(name)) or None


def _image(
    row: tuple[Any, ...],
    boxes: Iterable[tuple[Any, ...]],
    tags: Iterable[tuple[Any, ...]],
    labels: tuple[str, ...],
    *,
    is_bare: bool = False,
) -> ReadImage:
    _, name, width, height, is_relative, *_, part = row
    found: tuple[list[Annotation], list[Annotation]] = ([], [])
    make: Callable[..., Annotation] = Annotation
    if is_bare:
        make = partial(Annotation, **_BARE)
    for _, _, label, *box, source, confidence, is_crowd, attributes in boxes:
        annotation = make(
            Box(*box),
            labels[label],
            source=_SOURCES[source],
            confidence=confidence,
            attributes=json.loads(attributes) if attributes else {},
        )
        found[is_crowd].append(annotation)
    return ReadImage(
        from_bytes(name),
        None if width is None else Size(width, height),
        tuple(found[0]),
        bool(is_relative),
        tuple(found[1]),
        tuple(labels[label] for _, label, _ in tags),
        part or "",
    )


def to_bytes(text: str) -> bytes:
    """Return text as it is kept; names of files may hold lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def from_bytes(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
