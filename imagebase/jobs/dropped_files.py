"""Where files that a person dropped lie until they were used: beside the exports.

They are deleted with them: an hour later, with the dataset, or with its owner.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from imagebase.errors import LimitError
from imagebase.jobs.exports import delete_old_exports, exports_folder
from imagebase.settings import Limits
from imagebase.store import Scope

_PREFIX: Final = "dropped-"
_DROPS_AT_ONCE: Final = 3


def dropped(scope: Scope, upload_id: str) -> Path:
    """Return where what was dropped under this id lies, a folder or a file."""
    return exports_folder(scope) / f"{_PREFIX}{upload_id}"


def forget_dropped(scope: Scope, upload_id: str) -> None:
    """Delete what was dropped under this id, if it is still there."""
    path = dropped(scope, upload_id)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def make_room(scope: Scope, limits: Limits) -> None:
    """Delete what is old, and see that there is room for more.

    Raises:
        LimitError: as much lies there already as may lie there within an hour.
    """
    delete_old_exports()
    most = _DROPS_AT_ONCE * (limits.max_archive_bytes + limits.max_dataset_bytes)
    if sum(_sizes(exports_folder(scope))) > most:
        raise LimitError(
            "Too much was dropped on this dataset within an hour; wait a little and "
            "drop it again."
        )


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.glob(f"{_PREFIX}*/*"):
        yield _size(path)
    for path in folder.glob(f"{_PREFIX}*"):
        yield _size(path)


def _size(path: Path) -> int:
    # A job may be deleting it.
    try:
        return path.stat().st_size
    except OSError:
        return 0
