"""Scratch files: data that may outgrow memory, kept on disk until closed."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.annotation.areas import shape_json, shape_of_json
from imagebase.formats.base import ExportImage, StoredImages
from imagebase.formats.file_names import NameTaker, flat_name, safe_path

_CACHE_KIB: Final = 16_000


class DiskSet:
    """A set of texts that may outgrow memory."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        schema = "CREATE TABLE text (text BLOB PRIMARY KEY) WITHOUT ROWID"
        self._database = scratch_database(schema, cache_kib=2000)
        for text in texts:
            self.add(text)

    def __contains__(self, text: str) -> bool:
        row = self._database.execute(
            "SELECT 1 FROM text WHERE text = ?", (to_bytes(text),)
        )
        return row.fetchone() is not None

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
    """Return text as bytes; names of files may hold lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def from_bytes(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


_IMAGES_SCHEMA: Final = """
CREATE TABLE image (
    place INTEGER PRIMARY KEY, name BLOB, is_named INTEGER, part TEXT,
    byte_count INTEGER, content TEXT
)
"""


class ScratchImages(StoredImages):
    """Images to be written, in the order in which they were added.

    Of a record it keeps what writers ask for: size, status, boxes, tags and areas.
    Names may be any until `make_names_unique`.
    """

    def __init__(self, *, has_flat_names: bool = False) -> None:
        self._database = scratch_database(_IMAGES_SCHEMA)
        self._count = 0
        self.has_flat_names = has_flat_names

    def close(self) -> None:
        self._database.close()

    def add(self, image: ExportImage) -> None:
        name = flat_name(image.name) if self.has_flat_names else image.name
        row = (self._count, to_bytes(name), image.part, image.byte_count)
        self._database.execute(
            "INSERT INTO image VALUES (?, ?, 0, ?, ?, ?)", (*row, _content(image))
        )
        self._count += 1

    def make_names_unique(self) -> None:
        """Make names safe and unique, as `export_names` does it."""
        sets = DiskSet(), DiskSet(), DiskSet()
        taker = NameTaker(*sets)
        # Those that keep their names go first, then the others get free ones.
        self._name_by(lambda name: name if taker.take(name) else None)
        self._name_by(taker.numbered)
        for texts in sets:
            texts.close()

    def _name_by(self, give: Callable[[str], str | None]) -> None:
        rows = "SELECT place, name FROM image WHERE NOT is_named ORDER BY place"
        update = "UPDATE image SET name = ?, is_named = 1 WHERE place = ?"
        for place, wanted in self._database.execute(rows):
            name = give(safe_path(from_bytes(wanted)))
            if name is not None:
                self._database.execute(update, (to_bytes(name), place))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ExportImage]:
        return map(_image, self._select("content, name, part, byte_count"))

    def at(self, places: Iterable[int]) -> Iterator[ExportImage]:
        query = "SELECT content, name, part, byte_count FROM image WHERE place = ?"
        for place in places:
            yield _image(self._database.execute(query, (place,)).fetchone())

    def names(self) -> Iterator[str]:
        return (from_bytes(name) for (name,) in self._select("name"))

    def part_of_each(self) -> Iterator[str]:
        return (part for (part,) in self._select("part"))

    def byte_counts(self) -> list[int]:
        return [count for (count,) in self._select("byte_count")]

    def _select(self, columns: str) -> Iterator[tuple[Any, ...]]:
        return self._database.execute(f"SELECT {columns} FROM image ORDER BY place")


def _content(image: ExportImage) -> str:
    record = image.record
    content = [
        *(record.image_id, record.file_name, list(record.size), record.status),
        *(list(record.tags), image.is_reviewed, image.made),
        [_annotation_json(annotation) for annotation in record.annotations],
        [shape_json(shape) for shape in record.ignored],
    ]
    return json.dumps(content)


def _annotation_json(annotation: Annotation) -> list[Any]:
    box = [float(edge) for edge in annotation.box]
    rest = (
        annotation.label,
        annotation.source,
        annotation.confidence,
        annotation.model_id,
        annotation.accepted,
    )
    return [box, *rest, dict(annotation.attributes)]


def _image(row: tuple[Any, ...]) -> ExportImage:
    content, name, part, byte_count = row
    image_id, file_name, size, status, tags, is_reviewed, made, boxes, ignored = (
        json.loads(content)
    )
    record = ImageRecord(
        image_id,
        file_name,
        Size(*size),
        tuple(map(_annotation, boxes)),
        status=ReviewStatus(status),
        tags=tuple(tags),
        ignored=tuple(map(shape_of_json, ignored)),
    )
    return ExportImage(record, from_bytes(name), is_reviewed, part, made, byte_count)


# Writers need neither an id nor a time of a box.
_bare = partial(Annotation, annotation_id="", changed_at=datetime.min)


def _annotation(content: Sequence[Any]) -> Annotation:
    box, label, source, confidence, model_id, accepted, attributes = content
    return _bare(
        Box(*box),
        label,
        source=Source(source),
        confidence=confidence,
        model_id=model_id,
        accepted=accepted,
        attributes=attributes,
    )
