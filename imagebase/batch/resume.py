"""Journal of a run over images, so that an interrupted one can resume.

A file of lines: first the key that all results depend on, then one line per image,
written as the images come. A line that is cut off or damaged is ignored.
"""

import base64
import errno
import json
import os
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates, pack, unpack
from imagebase.errors import ExportError, StoreError
from imagebase.images.decode import ImageHeader, read_header

FILE_NAME: Final = "run.journal"
# Raise it when the lines change, and when the same network gives other candidates than
# before: the two halves of a run must not differ.
_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class JournalKey:
    """What the candidates depend on, except the image: another key, another journal."""

    model_sha256: str
    input_size: int
    runtime: str
    precision: str
    floor: float


class Fingerprint(NamedTuple):
    """Length and CRC-32 of a file, to tell whether it has changed.

    As in a zip: it finds accidental changes, not malicious ones, at a quarter of the
    cost of SHA-256, which would slow big photographs.
    """

    byte_count: int
    crc32: int


class Seen(NamedTuple):
    """The upright size of an image, and its candidates."""

    size: Size
    candidates: Candidates


def fingerprint(data: bytes) -> Fingerprint:
    """Return the fingerprint of a file's content."""
    return Fingerprint(len(data), zlib.crc32(data))


class FileHead(NamedTuple):
    """What tells whether an image file has changed, and what it says of itself."""

    content: Fingerprint
    header: ImageHeader

    @classmethod
    def of(cls, data: bytes, file_name: str, *, max_pixels: int) -> "FileHead":
        """Return the head of a file's content.

        Raises:
            ImageReadError, LimitError: it is no image, or too large.
        """
        header = read_header(data, file_name=file_name, max_pixels=max_pixels)
        return cls(fingerprint(data), header)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that could not be annotated, and the reason."""

    file: str
    reason: str


class SeenImage(NamedTuple):
    """An image file, and what a run came to on it."""

    name: str
    head: FileHead
    seen: Seen


class Journal:
    """An open journal; `add` from one thread, close it when the run ends."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self._file = file
        self._lines: dict[tuple[str, Fingerprint], tuple[int, int]] = {}
        self._names: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        """Return how many images an earlier run has done."""
        return len(self._lines)

    def __contains__(self, name: str) -> bool:
        """Return whether an earlier run has done a file of this name."""
        return name in self._names

    def find(self, name: str, content: Fingerprint) -> Seen | None:
        """Return an earlier run's result for this file, unless it has changed since."""
        place = self._lines.get((name, content))
        if place is None:
            return None
        offset, length = place
        self._file.seek(offset)
        entry = _entry(self._file.read(length))
        try:
            blob = base64.b64decode(entry["candidates"], validate=True)
            return Seen(Size(*entry["size"]), unpack(blob))
        except (LookupError, TypeError, ValueError, StoreError):
            return None

    def add(self, name: str, content: Fingerprint, seen: Seen) -> None:
        """Add one image; a killed process loses none that was added.

        Raises:
            ExportError: it cannot be written.
        """
        entry = {
            "file": name,
            "content": content,
            "size": seen.size,
            "candidates": base64.b64encode(pack(seen.candidates)).decode("ascii"),
        }
        try:
            self._write(entry)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def finish(self) -> None:
        """Delete the journal of a completed run."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _take_in(self, key: JournalKey) -> bool:
        """Index the lines of an earlier run; False where it had another key."""
        offset = 0
        with self.path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                entry = _entry(line)
                if offset == 0 and entry != _head(key):
                    return False
                self._index(entry, offset, len(line))
                offset += len(line)
        self._file.truncate(offset)
        return offset > 0

    def _index(self, entry: Mapping[str, Any], offset: int, length: int) -> None:
        match entry:
            case {"file": str(name), "content": [int(byte_count), int(crc32)]}:
                content = Fingerprint(byte_count, crc32)
                self._lines[name, content] = (offset, length)
                self._names.add(name)

    def _begin(self, key: JournalKey) -> None:
        self._file.truncate(0)
        self._write(_head(key))

    def _write(self, entry: Mapping[str, Any]) -> None:
        """Write a line to the system's cache, which outlives the process.

        Waiting for the disk would cost more than inference.
        """
        line = json.dumps(entry).encode("ascii") + b"\n"
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def open_journal(folder: Path, key: JournalKey, *, resume: bool) -> Journal:
    """Open the journal in a folder, both made where missing.

    Args:
        folder: where a run's results go.
        key: what the results depend on; a journal with another key starts over.
        resume: whether to keep the results of an interrupted run.

    Raises:
        ExportError: it cannot be written there, or another run has it open.
    """
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Appending writes go to the end, wherever a line was read before.
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise _unwritable(folder, error) from error
    journal = Journal(file, path)
    try:
        _claim(file)
        if not (resume and journal._take_in(key)):
            journal._begin(key)
    except BlockingIOError as error:
        file.close()
        raise ExportError(
            f"Another run is writing to {folder}; wait for its end, or give another "
            "folder."
        ) from error
    except OSError as error:
        file.close()
        raise _unwritable(path, error) from error
    return journal


def _claim(file: BinaryIO) -> None:
    """Lock the journal while it is open; BlockingIOError where another run has.

    Two runs into one folder, as when a job starts twice, would mix their results.
    Windows has no such lock.
    """
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            # Some network file systems know no locks.
            return


def _head(key: JournalKey) -> dict[str, Any]:
    return {"journal": _VERSION, **asdict(key)}


def _entry(line: bytes) -> Mapping[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _unwritable(path: Path, error: OSError) -> ExportError:
    return ExportError(
        f"{path} cannot be written ({error.strerror}); give a folder you may write to "
        "with room in it."
    )
