"""Back a dataset up into one zip, and make a backup a dataset, in the background."""

import tempfile
from pathlib import Path
from typing import Any, Final

from imagebase.backup.restore import Backup, restore
from imagebase.backup.write import write_backup
from imagebase.errors import ArchiveError, ExportError, LimitError
from imagebase.formats.verified_export import DRAFT_PREFIX
from imagebase.jobs.runner import JobContext
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


class _CancelledError(Exception):
    """The person does not want it any more."""


def back_up(context: JobContext) -> dict[str, Any] | None:
    """Write the dataset into a zip beside its exports; None where it was cancelled.

    Parameters of the job: `name`, of the dataset; `version`, so that one can tell
    whether the dataset has changed since.
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
                _stop_if_cancelled(context)
                touch()
                context.progress(done, total)

            done = write_backup(context.store, context.scope, draft, progress=progress)
            draft.replace(path)
    except _CancelledError:
        return None
    except OSError as error:
        raise ExportError(
            f"The backup could not be written ({error.strerror or error}); "
            "free some space and try again."
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
    """Make a dropped backup a dataset of the same owner; None where it was cancelled.

    Parameters of the job: `upload`, the id of the dropped file; `file_name`, what it
    was called; `dataset_id`, what the dataset shall go by; `limits`, the server's.
    """
    given, scope = context.parameters, context.scope
    path = dropped(scope, given["upload"])
    limits = Limits(**given["limits"])
    target = Scope(scope.owner_id, given["dataset_id"], scope.who)

    def progress(message: str, done: int, total: int) -> None:
        _stop_if_cancelled(context)
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
    except _CancelledError:
        return None
    except FileNotFoundError as error:
        raise ArchiveError(
            "The dropped backup is not kept any more; drop it again."
        ) from error
    forget_dropped(scope, given["upload"])
    return {"dataset_id": target.dataset_id, "name": name, "images": images}


def _stop_if_cancelled(context: JobContext) -> None:
    if context.cancelled:
        raise _CancelledError


def _check_datasets(context: JobContext, target: Scope, limits: Limits) -> None:
    known = context.store.datasets(target.owner_id)
    others = [one for one in known if one.dataset_id != target.dataset_id]
    if len(others) >= limits.max_datasets:
        raise LimitError(
            f"There are {limits.max_datasets:,} datasets already; delete one first."
        )
