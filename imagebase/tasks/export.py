"""Write a label set as a zip that was read back and compared, in the background."""

import contextlib
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from imagebase.annotation import ImageRecord, ReviewStatus
from imagebase.errors import ExportError
from imagebase.formats.label_set_files import WriteOptions
from imagebase.formats.names import build_export_set
from imagebase.formats.package import export_zip
from imagebase.images import export_image, read_header
from imagebase.jobs import JobContext
from imagebase.metadata import has_gps, without_metadata
from imagebase.settings import settings
from imagebase.store import Scope
from imagebase.store.scope import check_owner_id
from imagebase.tasks.looking import max_image_pixels

KEPT_SECONDS: Final = 3600
APPROVED: Final = "approved"
REVIEWED: Final = "reviewed"
ALL: Final = "all"
STATUSES: Final = {
    APPROVED: (ReviewStatus.APPROVED,),
    REVIEWED: (ReviewStatus.APPROVED, ReviewStatus.EDITED),
    ALL: tuple(ReviewStatus),
}


def exports_folder(scope: Scope) -> Path:
    """Return where a dataset's finished exports lie; they are not kept for long."""
    return _all_exports() / scope.owner_id / scope.dataset_id


class _CancelledError(Exception):
    """The person does not want the export any more."""


def export(context: JobContext) -> dict[str, Any] | None:
    """Build the zip of a dataset in one format; None where it was cancelled.

    Parameters of the job: `format`, a name the formats know; `images`, which of
    `STATUSES`; `with_images`; `with_empty`, whether images confirmed to hold nothing
    are in; `name`, of the dataset; `without_metadata`, which jobs of earlier versions
    do not have.
    """
    parameters, store, scope = context.parameters, context.store, context.scope
    chosen = [
        record
        for record in store.records(scope, statuses=STATUSES[parameters["images"]])
        if parameters["with_empty"] or not record.is_confirmed_empty
    ]
    if not chosen:
        raise ExportError("No image is left to export; choose more of them.")
    delete_old_exports()
    images = _Images(context, chosen)
    stem = f"{safe_stem(parameters['name'])}-{parameters['format']}"
    path = exports_folder(scope) / f"{stem}-{context.job_id[:8]}.zip"
    labels = store.labels(scope)
    try:
        summary = export_zip(
            build_export_set(parameters["name"], labels, chosen, images.suffix_of),
            parameters["format"],
            images=images.bytes_of,
            path=path,
            options=WriteOptions(with_images=parameters["with_images"]),
            progress=context.progress,
            image_warnings=images.warnings,
        )
    except _CancelledError:
        return None
    return {
        "path": str(path),
        "file_name": f"{stem}.zip",
        "byte_count": summary.byte_count,
        "images": summary.images,
        "boxes": summary.boxes,
        "labels": summary.labels,
        "left_out": list(summary.left_out),
        "warnings": list(summary.warnings),
        "boxes_equal": summary.proof.boxes_equal,
        "gps": len(images.with_gps),
    }


class _Images:
    """The image files of an export, fetched one by one for as long as it is wanted.

    with_gps: ids of those fetched that tell where they were taken.
    """

    def __init__(self, context: JobContext, records: Iterable[ImageRecord]) -> None:
        self._context = context
        self._names = {one.image_id: one.file_name for one in records}
        self._max_pixels = max_image_pixels()
        self._without_metadata = context.parameters.get("without_metadata", False)
        self.with_gps: set[str] = set()

    def bytes_of(self, image_id: str) -> bytes:
        name, most = self._names[image_id], self._max_pixels
        came = self._read(image_id)
        data = export_image(came, file_name=name, max_pixels=most).data
        if self._without_metadata:
            data = without_metadata(data, file_name=name, max_pixels=most)
        if has_gps(data):
            self.with_gps.add(image_id)
        return data

    def warnings(self) -> tuple[str, ...]:
        """Return what a person should know about the images fetched so far."""
        count = len(self.with_gps)
        if not count:
            return ()
        carry = "1 image carries" if count == 1 else f"{count:,} images carry"
        them = "it was" if count == 1 else "they were"
        return (
            f"{carry} the place {them} taken at; export without metadata to remove it.",
        )

    def suffix_of(self, record: ImageRecord) -> str:
        data, name = self._read(record.image_id), record.file_name
        header = read_header(data, file_name=name, max_pixels=self._max_pixels)
        return header.export_suffix

    def _read(self, image_id: str) -> bytes:
        if self._context.cancelled:
            raise _CancelledError
        return self._context.store.image_bytes(self._context.scope, image_id)


def safe_stem(name: str) -> str:
    """Return a dataset's name as a file name of letters, digits and dashes."""
    stem = re.sub(r"[^\w]+", "-", name.lower(), flags=re.UNICODE).strip("-")
    return stem[:60] or "dataset"


def delete_old_exports() -> None:
    """Delete what nobody is going to fetch any more, and drafts of killed processes."""
    oldest = time.time() - KEPT_SECONDS
    for path in _all_exports().glob("*/*/*"):
        # Another process may be deleting the same.
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _all_exports() -> Path:
    return settings().home / "exports"


def delete_exports(owner_id: str, dataset_id: str = "") -> None:
    """Delete every export of an owner or of one dataset, as when the data go.

    Raises:
        ValueError: this cannot be an owner's id.
    """
    folder = _all_exports() / check_owner_id(owner_id) / dataset_id
    shutil.rmtree(folder, ignore_errors=True)
