"""Is there room on the disk, and a sentence for when there is none."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from imagebase.annotation import Size
from imagebase.errors import TrainingError
from imagebase.wording import plural

FULL: Final = "The disk is full; make room on it, then train again or go on."
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# Checkpoints, the model to begin from and the one that comes of it.
_BESIDE_PICTURES: Final = 400_000_000
_GB: Final = 1_000_000_000


@contextmanager
def named_when_full() -> Iterator[None]:
    """Say in a sentence that the disk is full, where that is why something failed.

    Raises:
        TrainingError: it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise TrainingError(FULL) from error


def check_room(folder: Path, images: int, input_size: Size) -> None:
    """Look whether so many images have room where they are made ready.

    Raises:
        TrainingError: they have not.
    """
    needed = images * input_size.width * input_size.height * 3 + _BESIDE_PICTURES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TrainingError(
            f"Training on {plural(images, 'image')} takes "
            f"{needed / _GB:,.1f} GB of the disk, "
            f"and {free / _GB:,.1f} GB are free; make room, or take a smaller input."
        )
