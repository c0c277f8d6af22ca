"""A dataset written into one zip, row by row and image by image."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from imagebase.backup.layout import MANIFEST, image_path, manifest_json, table_path
from imagebase.formats.label_set_files import ExportFile, ImageReference, Streamed
from imagebase.formats.sinks import append_to_zip, write_zip
from imagebase.store import Scope, Store
from imagebase.store.copies import COPIED, CopiedTable, DatasetCopy

Progress = Callable[[int, int], None]
_PART_BYTES: Final = 64_000


def write_backup(
    store: Store,
    scope: Scope,
    path: Path,
    *,
    progress: Progress = lambda done, total: None,
) -> dict[str, int]:
    """Write everything that is known of a dataset; return how many rows of what.

    The rows are all of the same moment; the same data give the same bytes.

    Args:
        path: of the zip; its folder has to be there.
        progress: called with images done and all images; what it raises ends it.

    Raises:
        StoreError: an image's file cannot be read, or was deleted meanwhile.
        OSError: the zip cannot be written.
    """
    rows: dict[str, int] = {}
    with store.copying(scope) as copy:
        name = copy.name
        files = list(
            write_zip(
                _files(copy, rows, progress),
                path,
                lambda image_id: store.image_bytes(scope, image_id),
            )
        )
    append_to_zip(path, MANIFEST, manifest_json(name, rows, files))
    return rows


def _files(
    copy: DatasetCopy, rows: dict[str, int], progress: Progress
) -> Iterator[ExportFile]:
    images: list[tuple[str, str]] = []
    for copied in COPIED:
        rows[copied.name] = 0
        lines = _lines(copy, copied, rows, images)
        yield ExportFile(table_path(copied.name), Streamed(lines))
    for number, (image_id, path) in enumerate(images, start=1):
        yield ExportFile(path, ImageReference(image_id))
        progress(number, len(images))


def _lines(
    copy: DatasetCopy,
    copied: CopiedTable,
    rows: dict[str, int],
    images: list[tuple[str, str]],
) -> Iterator[bytes]:
    """Yield a table's rows as lines, some at a time; note the images among them."""
    part = bytearray()
    for row in copy.rows(copied):
        rows[copied.name] += 1
        if copied.name == "images":
            image_id = row["image_id"]
            images.append((image_id, image_path(image_id, row["file_name"])))
        part += json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"
        if len(part) >= _PART_BYTES:
            yield bytes(part)
            part.clear()
    yield bytes(part)
