"""Export a dataset as verified zips, or as a bundle to train with Darknet."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Final

from imagebase.annotation import ImageRecord, LabelSet, ReviewStatus, new_id
from imagebase.annotation.states import APPROVED, SCOPES
from imagebase.detection.model_files import CFG, WEIGHTS
from imagebase.errors import ExportError
from imagebase.export.build import BuildOrder, BuildResult, build
from imagebase.export.preview import write_overlays
from imagebase.export.request import (
    AREAS_BLACK,
    ExportRequest,
    SplitChoice,
    request_from_json,
    request_json,
)
from imagebase.formats.registry import format_named
from imagebase.formats.verified_export import DRAFT_PREFIX, ExportSummary
from imagebase.jobs.inference import max_image_pixels
from imagebase.jobs.runner import JobCancelledError, JobContext
from imagebase.jobs.temporary_files import (
    Touch,
    delete_old_exports,
    exports_folder,
    safe_stem,
)
from imagebase.settings import DEFAULT_MODEL, WEIGHTS_FOLDER
from imagebase.store import Scope, Store
from imagebase.store.image_rows import ImageRow
from imagebase.store.scope import chunks
from imagebase.training.darknet_cfg import CONV_29, first_layers

_CHUNK: Final = 500


class StoreImages:
    """Images of a dataset for an export, read in chunks.

    check: called before each chunk; it may raise to stop.
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

    def contents(self) -> list[ImageRow]:
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


OVERLAYS_FILE: Final = "drawn.json"
BUNDLE_KIND: Final = "bundle"
# Darknet trains from one folder, so the bundle is one zip as large as can be sent.
ZIP_BYTES: Final = 2_000_000_000


def export(context: JobContext) -> dict[str, Any] | None:
    """Build the zips of a dataset in one format; None if cancelled.

    Parameters of the job: `name` of the dataset, and those of `request_from_json`.
    """
    request = request_from_json(context.parameters)
    name = context.parameters["name"]
    delete_old_exports()
    exports = exports_folder(context.scope)
    # Of this attempt: a paused process that wakes must not delete another's zips.
    folder = exports / f"{context.job_id}-{new_id()}"
    try:
        context.raise_if_cancelled()
        # An interrupted job may have left some files.
        for left in exports.glob(f"{context.job_id}-*/"):
            shutil.rmtree(left, ignore_errors=True)
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
    except JobCancelledError:
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
    """Stops the work if the job was cancelled, and keeps its folder from expiring."""

    def __init__(self, context: JobContext, folder: Path) -> None:
        self._context = context
        self._touch = Touch(folder)

    def __call__(self) -> None:
        self._context.raise_if_cancelled()
        self._touch()


def _result(built: BuildResult, format_name: str, folder: Path) -> dict[str, Any]:
    zips = built.zips
    return {
        "zips": [_zip(archive) for archive in zips],
        "path": str(zips[0].path),
        "file_name": zips[0].path.name,
        "byte_count": sum(archive.byte_count for archive in zips),
        "images": sum(archive.images for archive in zips),
        "boxes": sum(archive.boxes for archive in zips),
        "labels": zips[0].labels,
        "has_boxes": format_named(format_name).has_boxes,
        "left_out": [list(left) for archive in zips for left in archive.left_out],
        "not_in_it": list(built.left_out),
        "warnings": list(built.warnings),
        "boxes_equal": sum(archive.proof.boxes_equal for archive in zips),
        "files_equal": sum(archive.proof.files_equal for archive in zips),
        "parts": dict(built.parts),
        "made": built.made,
        "gps": built.with_gps,
        "drawn": str(folder / OVERLAYS_FILE),
    }


def _zip(summary: ExportSummary) -> dict[str, Any]:
    return {
        "path": str(summary.path),
        "file_name": summary.path.name,
        "byte_count": summary.byte_count,
        "images": summary.images,
        "boxes": summary.boxes,
    }


def bundle_request() -> dict[str, Any]:
    """Return the export request of a bundle: approved images, split, Darknet."""
    return request_json(
        ExportRequest(
            "darknet",
            images=APPROVED,
            split=SplitChoice(),
            areas=AREAS_BLACK,
            zip_bytes=ZIP_BYTES,
        )
    )


def training_bundle(context: JobContext) -> dict[str, Any] | None:
    """Export for Darknet and add the first weights, which its README names.

    Parameters of the job: those of an export, from `bundle_request`, and `name`.
    """
    result = export(context)
    if result is None:
        return None
    zips = [_with_weights(archive) for archive in result["zips"]]
    return {
        **result,
        "zips": zips,
        "byte_count": sum(archive["byte_count"] for archive in zips),
    }


def _with_weights(entry: dict[str, Any]) -> dict[str, Any]:
    """Add the first weights to a zip; return its new entry of the result."""
    model, path = WEIGHTS_FOLDER / DEFAULT_MODEL, Path(entry["path"])
    cfg, weights = (model / CFG).read_bytes(), (model / WEIGHTS).read_bytes()
    # Weights hardly compress.
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(CONV_29, first_layers(cfg, weights))
    return {**entry, "byte_count": path.stat().st_size}
