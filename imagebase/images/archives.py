"""Zip files from strangers: checked before anything in them is unpacked."""

import io
import re
import stat
import weakref
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import BinaryIO, Final

from imagebase.annotation import clean_text
from imagebase.errors import ArchiveError, ImageBaseError, LimitError
from imagebase.settings import Limits

# Files of file managers, not meant to be uploaded.
_CLUTTER: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
# Those of macOS's zips, of a Synology's thumbnails, and of deleted files.
_CLUTTER_FOLDERS: Final = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found"}
)
_RESOURCE_FORK_PREFIX: Final = "._"

# LZMA and bzip2 members could ask for gigabytes of dictionary before the first byte.
COMPRESSIONS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED_FLAG: Final = 0x1
# Small text files may shrink a thousandfold without harm.
_MIN_BYTES_FOR_RATIO: Final = 1_000_000

_MAX_NAME_LENGTH: Final = 400
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")

# The end record of a zip: PKWARE's APPNOTE.TXT, 4.3.14 to 4.3.16.
_END_RECORD: Final = b"PK\x05\x06"
_END_RECORD_BYTES: Final = 22
_MAX_COMMENT_BYTES: Final = 65_535
_BIG_END_RECORD: Final = b"PK\x06\x06"
# Where these records say how long the table of contents is: from byte to byte.
_DIRECTORY_SIZES: Final = ((_END_RECORD, 12, 16), (_BIG_END_RECORD, 40, 48))
_MAX_DIRECTORY_BYTES_PER_FILE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive; nothing is unpacked before `read`.

    name: its path inside, safe to join to a folder, `/` between the parts.
    read: returns its bytes; raises ArchiveError or LimitError, with a sentence, where
        it is unsafe, encrypted, broken or too large.
    """

    name: str
    read: Callable[[], bytes]


def is_archive_name(file_name: str) -> bool:
    """Say whether a file's name is that of a zip."""
    return file_name.lower().endswith(".zip")


def is_clutter(file_name: str) -> bool:
    """Say whether a file belongs to a program, and is no image or label.

    So are all files of hidden folders: checkpoints, thumbnails, versions.
    """
    *folders, name = file_name.lower().replace("\\", "/").split("/")
    return (
        name in _CLUTTER
        or name.startswith(_RESOURCE_FORK_PREFIX)
        or not _CLUTTER_FOLDERS.isdisjoint(folders)
        or any(folder.startswith(".") and folder.strip(".") for folder in folders)
    )


def safe_name(file_name: str) -> str:
    """Return a relative path without anything that leads out of a folder.

    Separators become `/`; drives, roots, `.`, `..` and control characters go.
    """
    plain = _CONTROL_CHARACTERS.sub("", clean_text(file_name)).replace("\\", "/")
    parts = [_DRIVE.sub("", part) for part in plain.split("/")]
    names = [part.strip() for part in parts if part.strip() not in {"", ".", ".."}]
    return "/".join(names)[-_MAX_NAME_LENGTH:].lstrip("/") or "unnamed"


def archive_members(
    file: bytes | BinaryIO, *, file_name: str, limits: Limits, takes_file: bool = False
) -> list[Member]:
    """Return the files of a zip in its own order, without folders and clutter.

    Sizes, counts and ratios are those the zip declares; reading never goes past them.
    Members may be read from several threads, and keep the archive open.

    Args:
        file: the zip.
        file_name: for messages.
        limits: checked before anything is unpacked.
        takes_file: close the file when the last member is gone.

    Raises:
        ArchiveError: not a zip, or a broken one.
        LimitError: more files, or more bytes once unpacked, than allowed.
    """
    opened = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        _check_directory(opened, file_name, limits)
        archive = zipfile.ZipFile(opened)
    except ImageBaseError:
        raise
    # zipfile lets struct.error, ValueError and others through on broken directories.
    except Exception as error:
        raise ArchiveError(
            f"{file_name} is not a zip file, or a broken one; zip the folder again."
        ) from error
    if takes_file:
        weakref.finalize(archive, opened.close)
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    _check_totals(entries, file_name, limits)
    return [
        Member(safe_name(entry.filename), partial(_read, archive, entry, limits))
        for entry in entries
        if not is_clutter(entry.filename)
    ]


def _check_directory(file: BinaryIO, file_name: str, limits: Limits) -> None:
    """Refuse a table of contents that would itself fill the memory."""
    end = file.seek(0, io.SEEK_END)
    tail_bytes = _END_RECORD_BYTES + _MAX_COMMENT_BYTES + 100
    file.seek(max(0, end - tail_bytes))
    tail = file.read(tail_bytes)
    file.seek(0)
    # Where there are several records, which one counts is zipfile's to choose.
    sizes = [
        int.from_bytes(tail[at + first : at + last], "little")
        for record, first, last in _DIRECTORY_SIZES
        for at in _places(tail, record)
    ]
    # One that is larger than the file is nonsense, and zipfile refuses it unread.
    directory_bytes = max((size for size in sizes if size <= end), default=0)
    if directory_bytes > limits.max_archive_files * _MAX_DIRECTORY_BYTES_PER_FILE:
        raise LimitError(_too_many(file_name, limits))


def _places(tail: bytes, record: bytes) -> Iterator[int]:
    at = tail.find(record)
    while at >= 0:
        yield at
        at = tail.find(record, at + 1)


def _check_totals(
    entries: list[zipfile.ZipInfo], file_name: str, limits: Limits
) -> None:
    if len(entries) > limits.max_archive_files:
        raise LimitError(_too_many(file_name, limits))
    if sum(entry.file_size for entry in entries) > limits.max_archive_bytes:
        raise LimitError(
            f"{file_name} holds more than {limits.max_archive_bytes // 1_000_000:,} MB "
            "once unpacked; split it into smaller zips."
        )


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: Limits) -> bytes:
    name = safe_name(entry.filename)
    _check_entry(entry, name, limits)
    try:
        return archive.read(entry)
    # Broken members raise zlib.error, EOFError, RuntimeError and more.
    except Exception as error:
        raise ArchiveError(
            f"{name} is broken inside its zip; zip the folder again."
        ) from error


def _check_entry(entry: zipfile.ZipInfo, name: str, limits: Limits) -> None:
    if _leads_outside(entry.filename):
        raise ArchiveError(
            f"{name} has a path that leads out of its zip; zip the folder again."
        )
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise ArchiveError(f"{name} is a link, not a file; add the file itself.")
    if entry.flag_bits & _ENCRYPTED_FLAG:
        raise ArchiveError(f"{name} is encrypted; make the zip without a password.")
    if entry.compress_type not in COMPRESSIONS:
        raise ArchiveError(f"{name} is compressed unusually; make an ordinary zip.")
    if entry.file_size > limits.max_file_bytes:
        raise LimitError(too_large(name, limits))
    is_bomb = entry.file_size > limits.max_archive_ratio * max(entry.compress_size, 1)
    if is_bomb and entry.file_size >= _MIN_BYTES_FOR_RATIO:
        raise ArchiveError(
            f"{name} would unpack to more than {limits.max_archive_ratio} times its "
            "size, as harmful files do; add it unzipped."
        )


def _leads_outside(path: str) -> bool:
    plain = path.replace("\\", "/")
    is_absolute = plain.startswith("/") or _DRIVE.match(plain) is not None
    return is_absolute or ".." in PurePosixPath(plain).parts


def too_large(file_name: str, limits: Limits) -> str:
    """Return the sentence for a file above the limit on bytes."""
    return (
        f"{file_name} is larger than the {limits.max_file_bytes // 1_000_000:,} MB "
        "allowed; make it smaller and add it again."
    )


def _too_many(file_name: str, limits: Limits) -> str:
    return (
        f"{file_name} holds more than {limits.max_archive_files:,} files; split it "
        "into smaller zips."
    )
