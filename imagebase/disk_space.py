"""Room on the server's disk: a floor of free bytes, and a total for ImageBase."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from imagebase.errors import LimitError
from imagebase.settings import Limits, settings

_MEASURED_SECONDS: Final = 30.0
_GB: Final = 1_000_000_000

_lock = threading.Lock()
_measured: dict[Path, tuple[float, int]] = {}


def check_room(limits: Limits, *, wanted: int = 0) -> None:
    """Check that a visitor may write to the home; call it before each large write.

    Edits are not checked: the floor leaves room for them, so that no work is lost.

    Args:
        limits: `min_free_bytes` stay free, and ImageBase takes `max_total_bytes`.
        wanted: bytes to be written, as far as known.

    Raises:
        LimitError: this would leave too little free, or take too much.
    """
    home = settings().home
    free = free_bytes(home)
    if free - wanted < limits.min_free_bytes:
        raise LimitError(
            f"The server's disk is nearly full ({max(free, 0) / _GB:,.1f} GB free), so "
            "nothing large can be stored. Delete datasets you no longer need, or ask "
            "the operator to free some space."
        )
    if used_bytes(home) + wanted > limits.max_total_bytes:
        raise LimitError(
            f"This server holds {limits.max_total_bytes / _GB:,.0f} GB at most and is "
            "full. Delete datasets you no longer need, or try again later."
        )


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is on, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def used_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder, measured twice a minute at most."""
    with _lock:
        moment, used = _measured.get(folder, (-_MEASURED_SECONDS, 0))
        if time.monotonic() - moment >= _MEASURED_SECONDS:
            used = folder_bytes(folder)
            _measured[folder] = (time.monotonic(), used)
        return used


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder, measured now."""
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
            except OSError:  # another process may be deleting it
                continue
