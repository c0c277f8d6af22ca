"""Back up a dataset into one zip, and restore a backup as a dataset."""

import tempfile
from pathlib import Path
from typing import Any, Final

from imagebase.backup.restore import Backup, restore
from imagebase.backup.write import write_backup
from imagebase.errors import ArchiveError, ExportError, LimitError
from imagebase.formats.verified_export import DRAFT_PREFIX
from imagebase.jobs.runner import JobCancelledError, JobContext
from imagebase.jobs.temporary_files import (
    Touch,
    delete_old_exports,
    dropped,
    exports_folder,
    forget_dropped,
    safe_stem,
)
from imagebase.settings import Limits
from imagebase.store import Scope

CHECKING: Final = "Checking the backup"
RESTORING: Final = "Restoring"


def back_up(context: JobContext) -> dict[str, Any] | None:
    """Write the dataset into a zip in its exports folder; None if cancelled.

    Parameters of the job: `name` and `version` of the dataset; the latter tells whether
    the dataset has changed since.
    """
    delete_old_exports()
    folder = exports_folder(context.scope)
    file_name = f"{safe_stem(context.parameters['name'])}-backup.zip"
    path = folder / f"{context.job_id}-{file_name}"

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=DRAFT_PREFIX, dir=folder) as drafts:
            draft, touch = Path(drafts) / "backup.zip", Touch(Path(drafts))

            def progress(done: int, total: int) -> None:
                context.raise_if_cancelled()
                touch()
                context.progress(done, total)

            done = write_backup(context.store, context.scope, draft, progress=progress)
            draft.replace(path)
    except JobCancelledError:
        return None
    except OSError as error:
        raise ExportError(
            f"The backup could not be written ({error.strerror or error}). "
            "Free some space and try again."
        ) from error
    return {
        "path": str(path),
        "file_name": file_name,
        "byte_count": path.stat().st_size,
        "images": done.rows["images"],
        "boxes": done.rows["annotations"],
        "not_in_it": list(done.not_in_it),
    }


def restore_backup(context: JobContext) -> dict[str, Any] | None:
    """Restore an uploaded backup as a dataset of the same owner; None if cancelled.

    Parameters of the job: `upload`, the id of the uploaded file, and its `file_name`;
    `dataset_id` of the new dataset; `limits` of the server.
    """
    given, scope = context.parameters, context.scope
    path = dropped(scope, given["upload"])
    limits = Limits(**given["limits"])
    target = Scope(scope.owner_id, given["dataset_id"], scope.who)

    def progress(message: str, done: int, total: int) -> None:
        context.raise_if_cancelled()
        context.progress(done, total, message)

    try:
        with Backup(path, limits, file_name=given["file_name"]) as backup:
            backup.check(lambda *steps: progress(CHECKING, *steps))
            _check_datasets(context, target, limits)
            name = restore(
                context.store,
                target,
                backup,
                progress=lambda *steps: progress(RESTORING, *steps),
            )
            images = backup.manifest.images
    except JobCancelledError:
        return None
    except FileNotFoundError as error:
        raise ArchiveError(
            "The uploaded backup has expired. Upload it again."
        ) from error
    forget_dropped(scope, given["upload"])
    return {"dataset_id": target.dataset_id, "name": name, "images": images}


def _check_datasets(context: JobContext, target: Scope, limits: Limits) -> None:
    known = context.store.datasets(target.owner_id)
    others = [entry for entry in known if entry.dataset_id != target.dataset_id]
    if len(others) >= limits.max_datasets:
        raise LimitError(
            f"The limit of {limits.max_datasets:,} datasets is reached; delete one."
        )
