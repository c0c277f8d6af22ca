"""What a backup looks like: a zip of rows, image files, and the list of them all.

tables/<name>.jsonl      the rows of a table, a line each, as JSON
images/<sha256>.<suffix> an image as it came
backup.json              what this is, of which version, and every file's SHA-256
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from imagebase.errors import ArchiveError
from imagebase.formats.writer import WrittenFile
from imagebase.images.file_types import IMAGE_SUFFIXES

KIND: Final = "imagebase-backup"
# 2: attributes of boxes, marks of comments, and ignore areas.
VERSION: Final = 2
MANIFEST: Final = "backup.json"
_TABLES: Final = "tables/"
_IMAGES: Final = "images/"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The list of a backup.

    rows: of each table. files: SHA-256 of each by its path.
    """

    name: str
    rows: Mapping[str, int]
    files: Mapping[str, str]

    @property
    def images(self) -> int:
        return self.rows["images"]


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
    said = {
        "kind": KIND,
        "version": VERSION,
        "name": name,
        "rows": dict(rows),
        "files": {one.path: one.sha256 for one in files},
        "not_in_it": list(not_in_it),
    }
    return json.dumps(said, ensure_ascii=False, indent=1).encode()


def read_manifest(data: bytes, *, file_name: str) -> Manifest:
    """Return the list of a backup.

    Raises:
        ArchiveError: it is none, a broken one, or of a version to come.
    """
    said = _loaded(data)
    if said.get("kind") != KIND:
        raise foreign(file_name)
    version = said.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ArchiveError(
            f"{file_name} was made by a newer ImageBase; update this one to restore it."
        )
    name, rows, files = said.get("name"), said.get("rows"), said.get("files")
    is_known = type(version) is int and version >= 1
    is_whole = is_known and _is_of(rows, int) and _is_of(files, str)
    if not is_whole or not isinstance(name, str) or "images" not in said["rows"]:
        raise damaged(file_name, f"{MANIFEST} says too little")
    return Manifest(name, said["rows"], said["files"])


def _loaded(data: bytes) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _is_of(said: object, kind: type) -> bool:
    return isinstance(said, dict) and all(type(one) is kind for one in said.values())


def foreign(file_name: str) -> ArchiveError:
    """Return the error for a file that is something else."""
    return ArchiveError(
        f"{file_name} is not a backup of ImageBase; choose a zip that "
        "Back up this dataset has made."
    )


def damaged(file_name: str, reason: str) -> ArchiveError:
    """Return the error for a backup that is not as it was made."""
    return ArchiveError(
        f"{file_name} is damaged ({reason}); nothing of it was restored. "
        "Fetch it again, or make another backup."
    )
