"""Results of a run on several machines: Parquet files, in a work folder of its output.

Each holds some hundreds of images, is written by whoever ran the model on them, and in
one step: a killed worker leaves all of a file or none of it. They take the place of the
journal that a run on one machine writes.
"""

import contextlib
import io
import json
import pickle
import shutil
import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, overload

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from imagebase.annotation import ImageRecord, Size, new_id
from imagebase.batch.resume import (
    FileHead,
    Fingerprint,
    JournalKey,
    Refusal,
    Seen,
    SeenImage,
)
from imagebase.detection.candidates import pack, unpack
from imagebase.errors import ExportError, StoreError
from imagebase.formats.scratch import scratch_database
from imagebase.images.decode import ImageHeader
from imagebase.images.locations import Location

FOLDER: Final = "run.parts"
_KEY_FILE: Final = "key.json"
_SUFFIX: Final = ".parquet"
_BEGUN: Final = ".begun"
# Raise it with the columns, and with the journal's version.
_VERSION: Final = 1
_PARTS_HELD: Final = 4
_COLUMNS: Final = pa.schema(
    [
        ("file", pa.string()),
        ("bytes", pa.int64()),
        ("crc32", pa.int64()),
        ("header", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("candidates", pa.binary()),
        ("refused", pa.string()),
    ]
)
_DAMAGED: Final = (pa.ArrowException, StoreError, LookupError, TypeError, ValueError)


class Begun(NamedTuple):
    """Tries of a part. lost: images that workers were lost at. at: the one in work."""

    tries: int = 0
    lost: tuple[str, ...] = ()
    at: str = ""


@dataclass(frozen=True)
class Parts:
    """The files of one run in a folder; may be pickled, for workers to write to."""

    location: Location

    def is_seen(self) -> bool:
        """Say whether this machine sees the folder that the run began in."""
        return self.location.read(_KEY_FILE) is not None

    def begin(self, key: JournalKey, *, resume: bool) -> None:
        """Make the folder; delete what was there unless it is to be resumed.

        Raises:
            ExportError, ImageReadError: it cannot be written or read.
        """
        head = json.dumps({"parts": _VERSION, **asdict(key)}).encode()
        if resume and self.location.read(_KEY_FILE) == head:
            return
        self.delete()
        self._write(_KEY_FILE, head)

    def names(self) -> dict[str, list[str]]:
        """Return the files that each part has a result for, without refused ones."""
        found = {}
        for file in sorted(self.location.sizes()):
            part = file.removesuffix(_SUFFIX)
            if part.isdecimal() and part != file:
                images = (
                    item for item in self.read(part) if isinstance(item, SeenImage)
                )
                found[part] = [image.name for image in images]
        return found

    def read(self, part: str) -> list[SeenImage | Refusal]:
        """Return what a part holds; nothing where it is missing or damaged.

        Raises:
            ImageReadError: the place does not answer.
        """
        data = self.location.read(part + _SUFFIX)
        if data is None:
            return []
        try:
            return [_item(row) for row in pq.read_table(io.BytesIO(data)).to_pylist()]
        except _DAMAGED:
            return []

    def write(self, part: str, items: Iterable[SeenImage | Refusal]) -> None:
        """Write a part in one step.

        Raises:
            ExportError: it cannot be written.
        """
        table = pa.Table.from_pylist([_row(item) for item in items], _COLUMNS)
        stream = io.BytesIO()
        pq.write_table(table, stream)
        self._write(part + _SUFFIX, stream.getvalue())

    def begun(self, part: str) -> Begun:
        """Return how often a part was begun, and what is known of its lost workers."""
        try:
            entry = json.loads(self.location.read(part + _BEGUN) or b"{}")
            return Begun(int(entry["tries"]), tuple(entry["lost"]), entry["at"])
        except (ValueError, LookupError, TypeError):
            return Begun()

    def note(self, part: str, begun: Begun) -> None:
        """Write down what `begun` returns if this worker is lost."""
        self._write(part + _BEGUN, json.dumps(begun._asdict()).encode())

    def delete(self) -> None:
        """Delete all files of the run.

        Raises:
            ExportError, ImageReadError: they cannot be listed or deleted.
        """
        if (folder := self.location.local_path) is not None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            self.location.delete(list(self.location.sizes()))

    def _write(self, name: str, data: bytes) -> None:
        folder = self.location.local_path
        if folder is None:
            self.location.write(name, data)
            return
        draft = folder / f".{name}-{new_id()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(data)
            draft.replace(folder / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise ExportError(
                f"{folder} cannot be written ({error.strerror}); give a folder you may "
                "write to with room in it."
            ) from error


def parts_in(output: Path | Location) -> Parts:
    """Return the parts of a run into a folder of this machine, or behind a URL."""
    if isinstance(output, Path):
        path = str(output.absolute())
        output = Location(path, LocalFileSystem(), path)
    return Parts(output / FOLDER)


class PartRecords(Sequence[ImageRecord]):
    """Records of the images in parts, not held in memory.

    Writers go through them a dozen times: the first time they are put into a scratch
    file, as boxes are chosen from candidates then.

    Args:
        parts: to read from.
        names: of the images, in their order.
        part_of: the part of each name.
        record_of: from name and result to a record.
    """

    def __init__(
        self,
        parts: Parts,
        names: Sequence[str],
        part_of: Mapping[str, str],
        record_of: Callable[[str, Seen], ImageRecord],
    ) -> None:
        self._parts = parts
        self.names = names
        self._part_of = part_of
        self._record_of = record_of
        # Images of a part stand together in the order of their names.
        self._images = lru_cache(_PARTS_HELD)(self._images_in)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[ImageRecord]:
        rows = self._scratch.execute("SELECT content FROM record ORDER BY place")
        return (pickle.loads(content) for (content,) in rows)

    @cached_property
    def _scratch(self) -> sqlite3.Connection:
        schema = "CREATE TABLE record (place INTEGER PRIMARY KEY, content BLOB)"
        database = scratch_database(schema)
        database.executemany(
            "INSERT INTO record VALUES (?, ?)",
            ((place, pickle.dumps(self[place])) for place in range(len(self))),
        )
        return database

    @overload
    def __getitem__(self, index: int) -> ImageRecord: ...

    @overload
    def __getitem__(self, index: slice) -> "PartRecords": ...

    def __getitem__(self, index: int | slice) -> "ImageRecord | PartRecords":
        if isinstance(index, slice):
            return self._with(self.names[index])
        name = self.names[index]
        return self._record_of(name, self.image(name).seen)

    def without(self, names: Container[str]) -> "PartRecords":
        """Return the same records but those of these names."""
        return self._with([name for name in self.names if name not in names])

    def image(self, name: str) -> SeenImage:
        """Return what a run came to on an image.

        Raises:
            StoreError: its part is missing or damaged.
        """
        try:
            return self._images(self._part_of[name])[name]
        except KeyError as error:
            raise StoreError(
                f"The result for {name} can no longer be read; run the command again."
            ) from error

    def _with(self, names: Sequence[str]) -> "PartRecords":
        return PartRecords(self._parts, names, self._part_of, self._record_of)

    def _images_in(self, part: str) -> dict[str, SeenImage]:
        items = self._parts.read(part)
        return {item.name: item for item in items if isinstance(item, SeenImage)}


class PartHeaders(Mapping[str, ImageHeader]):
    """Headers of the images that records stand for, by name."""

    def __init__(self, records: PartRecords) -> None:
        self._records = records

    def __getitem__(self, name: str) -> ImageHeader:
        return self._records.image(name).head.header

    def __iter__(self) -> Iterator[str]:
        return iter(self._records.names)

    def __len__(self) -> int:
        return len(self._records)


def _row(item: SeenImage | Refusal) -> dict[str, Any]:
    if isinstance(item, Refusal):
        return {"file": item.file, "refused": item.reason}
    content, header = item.head
    return {
        "file": item.name,
        "bytes": content.byte_count,
        "crc32": content.crc32,
        "header": json.dumps(header),
        "width": item.seen.size.width,
        "height": item.seen.size.height,
        "candidates": pack(item.seen.candidates),
    }


def _item(row: Mapping[str, Any]) -> SeenImage | Refusal:
    if row["refused"] is not None:
        return Refusal(row["file"], row["refused"])
    size, *rest = json.loads(row["header"])
    head = FileHead(
        Fingerprint(row["bytes"], row["crc32"]), ImageHeader(Size(*size), *rest)
    )
    seen = Seen(Size(row["width"], row["height"]), unpack(row["candidates"]))
    return SeenImage(row["file"], head, seen)
