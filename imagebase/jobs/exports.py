"""Export a dataset as verified zips, in the background."""

import contextlib
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Final

from imagebase.annotation import ImageRecord, LabelSet, ReviewStatus
from imagebase.annotation.states import SCOPES
from imagebase.errors import ExportError
from imagebase.export.build import BuildOrder, BuildResult, build
from imagebase.export.preview import write_overlays
from imagebase.export.request import request_from_json
from imagebase.formats.registry import format_named
from imagebase.formats.verified_export import DRAFT_PREFIX, ExportSummary
from imagebase.jobs.inference import max_image_pixels
from imagebase.jobs.runner import JobContext
from imagebase.settings import settings
from imagebase.store import Scope, Store
from imagebase.store.image_rows import ImageContents
from imagebase.store.scope import check_owner_id, chunks

_CHUNK: Final = 500


class StoreImages:
    """Images of a dataset, fetched piece by piece.

    check: called before each piece; it may raise to stop.
    """

    def __init__(
        self,
        store: Store,
        scope: Scope,
        *,
        statuses: Collection[ReviewStatus],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._scope = scope
        self._statuses = statuses
        self._check = check

    def contents(self) -> list[ImageContents]:
        return self._store.image_contents(self._scope, statuses=self._statuses)

    def records(self, image_ids: Iterable[str]) -> Iterable[ImageRecord]:
        for chunk in chunks(image_ids, size=_CHUNK):
            self._check()
            yield from self._store.records(self._scope, image_ids=chunk)

    def record(self, image_id: str) -> ImageRecord:
        self._check()
        return self._store.record(self._scope, image_id)

    def bytes_of(self, image_id: str) -> bytes:
        self._check()
        return self._store.image_bytes(self._scope, image_id)

    def labels(self) -> LabelSet:
        return self._store.labels(self._scope)


KEPT_SECONDS: Final = 3600
_TOUCH_SECONDS: Final = 60
OVERLAYS_FILE: Final = "drawn.json"


def exports_folder(scope: Scope) -> Path:
    """Return where a dataset's finished exports lie; they are not kept for long."""
    return _all_exports() / scope.owner_id / scope.dataset_id


class _CancelledError(Exception):
    """The person does not want the export any more."""


def export(context: JobContext) -> dict[str, Any] | None:
    """Build the zips of a dataset in one format; None where it was cancelled.

    Parameters of the job: `name`, of the dataset, and what `request_from_json` knows.
    """
    request = request_from_json(context.parameters)
    name = context.parameters["name"]
    delete_old_exports()
    folder = exports_folder(context.scope) / context.job_id
    try:
        # One that was interrupted may have left some.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix=DRAFT_PREFIX, dir=folder) as drafts:
            stem = f"{safe_stem(name)}-{request.format}"
            order = BuildOrder(
                name, request, stem, folder, Path(drafts), max_image_pixels()
            )
            images = StoreImages(
                context.store,
                context.scope,
                statuses=SCOPES[request.images],
                check=_Watch(context, folder),
            )
            built = build(order, images, progress=context.progress)
        write_overlays(folder / OVERLAYS_FILE, built.overlays)
    except _CancelledError:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ExportError(f"The export could not be written: {error}.") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return _result(built, request.format, folder)


class _Watch:
    """Looks up from the work: is it still wanted? And says that it goes on."""

    def __init__(self, context: JobContext, folder: Path) -> None:
        self._context = context
        self._touch = Touch(folder)

    def __call__(self) -> None:
        if self._context.cancelled:
            raise _CancelledError
        self._touch()


class Touch:
    """Says of what lies among the exports that work on it goes on; call it often.

    Whatever nothing has happened to for long is deleted there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._touched = -math.inf

    def __call__(self) -> None:
        """Make it new, at most once a minute.

        Raises:
            FileNotFoundError: it is not there any more.
        """
        now = time.monotonic()
        if now - self._touched > _TOUCH_SECONDS:
            self._touched = now
            os.utime(self._path)


def _result(built: BuildResult, format_name: str, folder: Path) -> dict[str, Any]:
    zips = built.zips
    return {
        "zips": [_zip(one) for one in zips],
        "path": str(zips[0].path),
        "file_name": zips[0].path.name,
        "byte_count": sum(one.byte_count for one in zips),
        "images": sum(one.images for one in zips),
        "boxes": sum(one.boxes for one in zips),
        "labels": zips[0].labels,
        "has_boxes": format_named(format_name).has_boxes,
        "left_out": [list(left) for one in zips for left in one.left_out],
        "not_in_it": list(built.left_out),
        "warnings": list(built.warnings),
        "boxes_equal": sum(one.proof.boxes_equal for one in zips),
        "files_equal": sum(one.proof.files_equal for one in zips),
        "parts": dict(built.parts),
        "made": built.made,
        "gps": built.with_gps,
        "drawn": str(folder / OVERLAYS_FILE),
    }


def _zip(one: ExportSummary) -> dict[str, Any]:
    return {
        "path": str(one.path),
        "file_name": one.path.name,
        "byte_count": one.byte_count,
        "images": one.images,
        "boxes": one.boxes,
    }


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
