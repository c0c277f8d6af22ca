"""Temporary files of jobs: finished exports and uploads, kept for an hour.

They are also deleted with their dataset, or with its owner.
"""

import contextlib
import math
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from imagebase.disk_space import check_room
from imagebase.errors import LimitError
from imagebase.settings import Limits, settings
from imagebase.store import Scope
from imagebase.store.scope import check_owner_id

KEPT_SECONDS: Final = 3600
_TOUCH_SECONDS: Final = 60
_PREFIX: Final = "dropped-"
_DROPS_AT_ONCE: Final = 3


def exports_folder(scope: Scope) -> Path:
    """Return the folder of a dataset's finished exports and uploads."""
    return _all_exports() / scope.owner_id / scope.dataset_id


def safe_stem(name: str) -> str:
    """Return a dataset's name as a file name of letters, digits and dashes."""
    stem = re.sub(r"[^\w]+", "-", name.lower(), flags=re.UNICODE).strip("-")
    return stem[:60] or "dataset"


class Touch:
    """Keeps a path in the exports folder from expiring; call it often during work."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._touched = -math.inf

    def __call__(self) -> None:
        """Touch the path, at most once a minute.

        Raises:
            FileNotFoundError: it was deleted.
        """
        now = time.monotonic()
        if now - self._touched > _TOUCH_SECONDS:
            self._touched = now
            os.utime(self._path)


def delete_old_exports() -> None:
    """Delete expired exports and uploads, and drafts of killed processes."""
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
    """Delete every export and upload of an owner or of one dataset.

    Raises:
        ValueError: this cannot be an owner's id.
    """
    folder = _all_exports() / check_owner_id(owner_id) / dataset_id
    shutil.rmtree(folder, ignore_errors=True)


def dropped(scope: Scope, upload_id: str) -> Path:
    """Return the path of an upload, a folder or a file."""
    return exports_folder(scope) / f"{_PREFIX}{upload_id}"


def forget_dropped(scope: Scope, upload_id: str) -> None:
    """Delete an upload, if it is still there."""
    path = dropped(scope, upload_id)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def make_room(scope: Scope, limits: Limits) -> None:
    """Delete expired files, and check that there is room for another upload.

    Raises:
        LimitError: the uploads of the last hour have reached the limit, or the disk.
    """
    delete_old_exports()
    check_room(limits)
    most = _DROPS_AT_ONCE * (limits.max_archive_bytes + limits.max_dataset_bytes)
    if sum(_sizes(exports_folder(scope))) > most:
        raise LimitError(
            "Too many files were uploaded to this dataset within an hour. Try again "
            "later."
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
