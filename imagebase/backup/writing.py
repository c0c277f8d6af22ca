"""A dataset written into one zip, image by image and row by row."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imagebase.backup.layout import MANIFEST, image_path, manifest_json, table_path
from imagebase.errors import ImageFileError, NotFoundError
from imagebase.formats.base import ExportFile, ImageReference, Streamed
from imagebase.formats.writer import append_to_zip, write_zip
from imagebase.store import Scope, Store
from imagebase.store.backup_rows import COPIED, COPIED_BY_NAME, CopiedTable, DatasetCopy

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
        said = manifest_json(copy.name, draft.rows, files, lost)
    append_to_zip(path, MANIFEST, said)
    _log.info(
        "Backup written: %d images, %d left out because their file is lost",
        *(draft.rows["images"], len(lost)),
    )
    return BackedUp(draft.rows, lost)


class _Draft:
    """A dataset on its way into a zip.

    rows: of each table, as they are written. lost: images that cannot be in it, by id.
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
        """
        try:
            data = self._store.image_bytes(self._scope, image_id)
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
