"""Write a dataset into one zip: its layout, image by image and row by row."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from imagebase.errors import (
    ArchiveError,
    ImageFileError,
    NotFoundError,
    StorageUnreachableError,
)
from imagebase.formats.base import ExportFile, ImageReference, Streamed
from imagebase.formats.writer import WrittenFile, append_to_zip, write_zip
from imagebase.images.file_types import IMAGE_SUFFIXES
from imagebase.store import Scope, Store
from imagebase.store.backup_rows import COPIED, COPIED_BY_NAME, CopiedTable, DatasetCopy

KIND: Final = "imagebase-backup"
# 2: attributes of boxes, marks of comments, and ignore areas. 3: taught models.
VERSION: Final = 3
MANIFEST: Final = "backup.json"
_TABLES: Final = "tables/"
_IMAGES: Final = "images/"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The list of a backup.

    rows: of each table. files: SHA-256 of each by its path.
    """

    name: str
    rows: dict[str, int]
    files: dict[str, str]

    @property
    def images(self) -> int:
        return self.rows["images"]


_MANIFEST: Final = TypeAdapter(Manifest)


def table_path(name: str) -> str:
    """Return where a table's rows are."""
    return f"{_TABLES}{name}.jsonl"


def image_path(image_id: str, file_name: str) -> str:
    """Return where an image's file is: its id, and the suffix that it came with."""
    suffix = PurePosixPath(file_name).suffix.lower()
    return f"{_IMAGES}{image_id}{suffix if suffix in IMAGE_SUFFIXES else ''}"


def manifest_json(
    name: str,
    rows: Mapping[str, int],
    files: list[WrittenFile],
    not_in_it: Sequence[str],
) -> bytes:
    """Return the list of a backup as its file has it, and what it could not hold."""
    listed = {
        "kind": KIND,
        "version": VERSION,
        "name": name,
        "rows": dict(rows),
        "files": {file.path: file.sha256 for file in files},
        "not_in_it": list(not_in_it),
    }
    return json.dumps(listed, ensure_ascii=False, indent=1).encode()


def read_manifest(data: bytes, *, file_name: str) -> Manifest:
    """Return the list of a backup.

    Raises:
        ArchiveError: it is no list, a broken one, or of a newer version.
    """
    listed = _loaded(data)
    if listed.get("kind") != KIND:
        raise foreign(file_name)
    version = listed.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ArchiveError(
            f"{file_name} was made by a newer ImageBase; update this one to restore it."
        )
    try:
        manifest = _MANIFEST.validate_json(data, strict=True)
    except ValidationError as error:
        raise damaged(file_name, f"{MANIFEST} says too little") from error
    if type(version) is not int or version < 1 or "images" not in manifest.rows:
        raise damaged(file_name, f"{MANIFEST} says too little")
    return manifest


def _loaded(data: bytes) -> dict[str, Any]:
    try:
        listed = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return listed if isinstance(listed, dict) else {}


def foreign(file_name: str) -> ArchiveError:
    """Return the error for a file that is something else."""
    return ArchiveError(
        f"{file_name} is not a backup of ImageBase; choose a zip that "
        "Back up this dataset has made."
    )


def damaged(file_name: str, reason: str) -> ArchiveError:
    """Return the error for a damaged backup."""
    return ArchiveError(
        f"{file_name} is damaged ({reason}); nothing of it was restored. "
        "Fetch it again, or make another backup."
    )


Progress = Callable[[int, int], None]
_PART_BYTES: Final = 64_000

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup came to.

    rows: how many of each table. not_in_it: names of images whose file is missing or
    damaged; neither they nor their boxes are in it.
    """

    rows: Mapping[str, int]
    not_in_it: tuple[str, ...]


def write_backup(
    store: Store,
    scope: Scope,
    path: Path,
    *,
    progress: Progress = lambda done, total: None,
) -> BackedUp:
    """Write everything that is known of a dataset.

    The rows are all of the same moment; the same data give the same bytes.

    Args:
        path: of the zip; its folder has to be there.
        progress: called with images done and all images; what it raises ends it.

    Raises:
        ImageFileError: no image's file can be read.
        StoreError: the dataset cannot be read.
        OSError: the zip cannot be written.
    """
    with store.copying(scope) as copy:
        draft = _Draft(store, scope, copy, progress)
        files = list(write_zip(draft.files(), path, draft.bytes_of))
        lost = tuple(draft.lost.values())
        listed = manifest_json(copy.name, draft.rows, files, lost)
    append_to_zip(path, MANIFEST, listed)
    _log.info(
        "Backup written: %d images, %d left out because their file is lost",
        *(draft.rows["images"], len(lost)),
    )
    return BackedUp(draft.rows, lost)


class _Draft:
    """A dataset on its way into a zip.

    rows: of each table, as written. lost: images that cannot be in it, by id.
    """

    def __init__(
        self, store: Store, scope: Scope, copy: DatasetCopy, progress: Progress
    ) -> None:
        self._store = store
        self._scope = scope
        self._copy = copy
        self._progress = progress
        self._names: dict[str, str] = {}
        self.rows: dict[str, int] = {}
        self.lost: dict[str, str] = {}

    def files(self) -> Iterator[ExportFile]:
        """Yield the images first: rows of those that are lost are left out."""
        for row in self._copy.rows(COPIED_BY_NAME["images"]):
            self._names[row["image_id"]] = row["file_name"]
        for number, (image_id, name) in enumerate(self._names.items(), start=1):
            yield ExportFile(image_path(image_id, name), ImageReference(image_id))
            self._progress(number, len(self._names))
        for copied in COPIED:
            self.rows[copied.name] = 0
            yield ExportFile(table_path(copied.name), Streamed(self._lines(copied)))

    def bytes_of(self, image_id: str) -> bytes | None:
        """Return an image as it came; None where it is not that any more.

        Raises:
            ImageFileError: so it is with all of them: their place is not there.
            StorageUnreachableError: their place does not answer; they may be whole.
        """
        try:
            data = self._store.image_bytes(self._scope, image_id)
        except StorageUnreachableError:
            raise
        except (ImageFileError, NotFoundError):
            self._lose(image_id)
            if len(self.lost) == len(self._names):
                raise
            return None
        return data

    def _lose(self, image_id: str) -> None:
        self.lost[image_id] = self._names[image_id]

    def _lines(self, copied: CopiedTable) -> Iterator[bytes]:
        """Yield a table's rows as lines, some at a time."""
        part = bytearray()
        for row in self._copy.rows(copied):
            if self._is_lost(copied, row):
                continue
            self.rows[copied.name] += 1
            line = json.dumps(row, ensure_ascii=False, sort_keys=True)
            part += line.encode() + b"\n"
            if len(part) >= _PART_BYTES:
                yield bytes(part)
                part.clear()
        yield bytes(part)

    def _is_lost(self, copied: CopiedTable, row: Mapping[str, Any]) -> bool:
        """Say whether a row is of a lost image; history tells of any, also deleted."""
        return copied.name != "events" and row.get("image_id") in self.lost
