"""Label files that were dropped for import: kept on disk, zips opened in place."""

import io
import json
import shutil
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import IO, BinaryIO, Final

from imagebase.errors import AnnotationFileError, ImageBaseError, LimitError
from imagebase.formats.registry import own_files
from imagebase.images.archives import (
    archive_members,
    is_archive_name,
    is_clutter,
    safe_name,
    too_large,
)
from imagebase.settings import Limits

_NAMES: Final = "names.json"
_PART: Final = 1 << 20

_GONE: Final = "The uploaded files have expired; upload them again."


def keep_files(
    files: Iterable[tuple[str, BinaryIO]], folder: Path, limits: Limits
) -> None:
    """Write dropped files into a new folder, in parts, under numbers for names.

    Args:
        files: name, with its sub-path where a folder was dropped, and content.
        folder: must not be there yet; nothing of it is left where one is refused.
        limits: on each file and on all of them together.

    Raises:
        LimitError: a file, or all of them, are larger than allowed.
        AnnotationFileError: they cannot be written.
    """
    names: list[str] = []
    room = limits.max_archive_bytes
    known: set[str] = set()
    try:
        folder.mkdir(parents=True)
        for given_name, file in files:
            name = _unused(safe_name(given_name), known)
            if is_clutter(name):
                continue
            most = min(limits.max_file_bytes, room)
            room -= _copy(file, folder / str(len(names)), name, most, limits)
            names.append(name)
            known.add(name)
        (folder / _NAMES).write_text(json.dumps(names), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        reason = (error.strerror or str(error)).lower()
        raise AnnotationFileError(
            f"The files could not be kept ({reason}); free some space and try again."
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _unused(name: str, names: Container[str]) -> str:
    number, unused = 1, name
    while unused in names:
        number += 1
        unused = f"{number}/{name}"
    return unused


def _copy(file: BinaryIO, path: Path, name: str, most: int, limits: Limits) -> int:
    """Copy a file and return its length; one that grows past the limit is refused."""
    written = 0
    file.seek(0)
    with path.open("wb") as target:
        while part := file.read(_PART):
            written += len(part)
            if written > limits.max_file_bytes:
                raise LimitError(too_large(name, limits))
            if written > most:
                raise LimitError(
                    "These files are larger than the "
                    f"{limits.max_archive_bytes // 1_000_000:,} MB that may be "
                    "dropped at once; import them in parts."
                )
            target.write(part)
    return written


class DroppedFiles:
    """The files in such a folder, as the readers of label files want them.

    Of a zip the files in it are there, below its name where more than it was dropped.
    What earlier exports wrote is not, unless the labels are there alone.

    exports: the folders of these exports.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Open the files.

        Raises:
            AnnotationFileError: they are not there any more.
            ArchiveError, LimitError: a zip cannot be unpacked.
        """
        self.limits = limits
        self._read: dict[str, Callable[[], bytes]] = {}
        try:
            names = json.loads((folder / _NAMES).read_bytes())
            for number, name in enumerate(names):
                path = folder / str(number)
                if is_archive_name(name):
                    self._add_zip(path, name, is_alone=len(names) == 1)
                else:
                    self._read[name] = path.read_bytes
        except OSError as error:
            raise AnnotationFileError(_GONE) from error
        own, self.exports = own_files(self)
        self._read = {name: self._read[name] for name in own.names()}

    def _add_zip(self, path: Path, name: str, *, is_alone: bool) -> None:
        file = path.open("rb")
        try:
            members = archive_members(
                file, file_name=name, limits=self.limits, takes_file=True
            )
        except BaseException:
            file.close()
            raise
        prefix = "" if is_alone else f"{name[:-4]}/"
        for member in members:
            self._read.setdefault(prefix + member.name, member.read)

    def names(self) -> Sequence[str]:
        return tuple(self._read)

    def read(self, name: str) -> bytes:
        try:
            return self._read[name]()
        except AnnotationFileError:
            raise
        except ImageBaseError as error:
            raise AnnotationFileError(str(error)) from error
        except OSError as error:
            raise AnnotationFileError(_GONE) from error

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self.read(name))
