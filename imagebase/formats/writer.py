"""Where the files of an export go: a folder, or a zip that is the same every time."""

import hashlib
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

from imagebase.errors import ExportError
from imagebase.formats.base import ExportFile, ImageReference, Streamed
from imagebase.formats.scratch import DiskSet, scratch_database

# None where an image has no file to be written; only what is said of it then is.
ImageBytes = Callable[[str], bytes | None]

# Deflating these again costs time and saves nothing.
_COMPRESSED_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif"})
# The earliest a zip can hold: the same data must give the same bytes at any time.
_TIMESTAMP: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_READABLE_FILE: Final = 0o100644 << 16


class WrittenFile(NamedTuple):
    """What was written, as the manifest lists it."""

    path: str
    sha256: str
    byte_count: int


class WrittenFiles(Collection[WrittenFile]):
    """What was written, in its order, kept on disk."""

    def __init__(self) -> None:
        schema = "CREATE TABLE file (path TEXT, sha256 TEXT, byte_count INTEGER)"
        self._database = scratch_database(schema, cache_kib=2000)
        self._count = 0

    def extend(self, files: Iterable[WrittenFile]) -> None:
        for file in files:
            self.add(file)

    def add(self, file: WrittenFile) -> None:
        self._database.execute("INSERT INTO file VALUES (?, ?, ?)", file)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[WrittenFile]:
        rows = self._database.execute("SELECT * FROM file ORDER BY rowid")
        return (WrittenFile(*row) for row in rows)

    def __contains__(self, file: object) -> bool:
        return any(one == file for one in self)

    def close(self) -> None:
        self._database.close()


def write_folder(
    files: Iterable[ExportFile], folder: Path, images: ImageBytes
) -> Iterator[WrittenFile]:
    """Write the files below a folder, each as the result is asked for.

    Raises:
        ExportError: two files have one name, or one would lie outside the folder.
    """
    for path, parts in _resolved(files, images):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            yield _written(path, parts, file)


def write_zip(
    files: Iterable[ExportFile], target: Path | IO[bytes], images: ImageBytes
) -> Iterator[WrittenFile]:
    """Write the files into a new zip, each as the result is asked for.

    Same files, same bytes. Images that are compressed already are stored as they are.

    Raises:
        ExportError: two files have one name, or one would lie outside the zip's root.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for path, parts in _resolved(files, images):
            with archive.open(_entry(path), "w", force_zip64=True) as file:
                yield _written(path, parts, file)


def append_to_zip(path: Path, name: str, data: bytes | Iterable[bytes]) -> None:
    """Add one more file to a zip, given whole or in parts."""
    with (
        zipfile.ZipFile(path, "a") as archive,
        archive.open(_entry(name), "w", force_zip64=True) as file,
    ):
        file.writelines([data] if isinstance(data, bytes) else data)


def _entry(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _TIMESTAMP)
    info.create_system = _UNIX
    info.external_attr = _READABLE_FILE
    is_compressed = PurePosixPath(path).suffix.lower() in _COMPRESSED_SUFFIXES
    info.compress_type = zipfile.ZIP_STORED if is_compressed else zipfile.ZIP_DEFLATED
    return info


def _resolved(
    files: Iterable[ExportFile], images: ImageBytes
) -> Iterator[tuple[str, Iterable[bytes]]]:
    with closing(DiskSet()) as seen:
        yield from _each_once(files, images, seen)


def _each_once(
    files: Iterable[ExportFile], images: ImageBytes, seen: DiskSet
) -> Iterator[tuple[str, Iterable[bytes]]]:
    for path, content in files:
        is_outside = path.startswith("/") or ".." in path.split("/")
        if is_outside or not seen.add(path.casefold()):
            raise ExportError(f"{path!r} is there twice, or outside the export.")
        if isinstance(content, Streamed):
            yield path, content.parts
        elif isinstance(content, ImageReference):
            data = images(content.image_id)
            if data is not None:
                yield path, (data,)
        else:
            yield path, (content,)


def written_bytes(path: str, data: bytes) -> WrittenFile:
    """Return how the manifest lists a file of these bytes."""
    return WrittenFile(path, hashlib.sha256(data).hexdigest(), len(data))


def _written(path: str, parts: Iterable[bytes], file: IO[bytes]) -> WrittenFile:
    digest, byte_count = hashlib.sha256(), 0
    for part in parts:
        file.write(part)
        digest.update(part)
        byte_count += len(part)
    return WrittenFile(path, digest.hexdigest(), byte_count)
