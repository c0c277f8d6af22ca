"""A backup looked through to its last byte, and only then made a dataset again."""

import contextlib
import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

from imagebase.backup.row_checks import RowChecks
from imagebase.backup.write import (
    MANIFEST,
    Manifest,
    damaged,
    foreign,
    read_manifest,
    table_path,
)
from imagebase.errors import (
    ArchiveError,
    ImageBaseError,
    LimitError,
    NotFoundError,
    StoreError,
)
from imagebase.images.archives import COMPRESSIONS, archive_members
from imagebase.images.decode import read_header
from imagebase.images.decode_apart import FORMATS_TO_TRY, Harmful, prepare_each
from imagebase.images.scan import Incoming
from imagebase.settings import Limits
from imagebase.store import Scope, Store
from imagebase.store.backup_rows import COPIED, CopiedTable, row_of
from imagebase.store.edits import BATCH
from imagebase.store.scope import chunks
from imagebase.wording import plural

Progress = Callable[[int, int], None]
# Tables that backups of earlier versions do not have.
_ADDED_SINCE: Final = frozenset({"ignore_areas", "taught_models"})
_OTHER_FILES: Final = len(COPIED) + 1
_UNTOUCHED: Final = "0"
_ROWS_AT_ONCE: Final = 500
# Nothing is deflated further: a blank mask is as small as that, and no bomb.
_MOST_DEFLATED: Final = 1_100
_LONGEST_LINE: Final = 16_000_000
_MOST_MANIFEST_BYTES: Final = 64_000_000

_log: Final = logging.getLogger(__name__)


class Backup:
    """A backup in a file. Nothing in it is believed before `check` has returned."""

    def __init__(self, path: Path, limits: Limits, *, file_name: str) -> None:
        """Open it and read what it lists.

        Args:
            limits: on the dataset that it would become, and on each image.
            file_name: for error messages.

        Raises:
            ArchiveError: not a zip, no backup, or one of a newer version.
            LimitError: it holds more than allowed.
        """
        self.file_name = file_name
        self._limits = limits
        self._file = path.open("rb")
        try:
            self._members = _members(self._file, limits, file_name)
            self._zip = zipfile.ZipFile(self._file)
            self.manifest = self._read_manifest()
        except BaseException:
            self._file.close()
            raise
        self._checks = RowChecks(limits)

    def __enter__(self) -> "Backup":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    def _read_manifest(self) -> Manifest:
        if MANIFEST not in self._members:
            raise foreign(self.file_name)
        if self._zip.getinfo(MANIFEST).file_size > _MOST_MANIFEST_BYTES:
            raise foreign(self.file_name)
        return read_manifest(self._members[MANIFEST](), file_name=self.file_name)

    def check(self, progress: Progress = lambda done, total: None) -> None:
        """Read everything once, and compare it with what the backup lists.

        Args:
            progress: called with images done and all images; what it raises ends it.

        Raises:
            ArchiveError: a file in it differs from what was backed up, or is damaged.
            LimitError: it holds more than allowed.
        """
        listed = {*self.manifest.files, MANIFEST}
        for name in listed ^ set(self._zip.namelist()):
            raise damaged(self.file_name, f"{name} is missing or too much")
        tables = [table for table in COPIED if not self._lacks(table)]
        for copied in tables:
            self._check_table(copied)
        paths = self._checks.paths
        known = {
            *paths.values(),
            *(table_path(table.name) for table in tables),
            MANIFEST,
        }
        if known != listed:
            raise damaged(self.file_name, "its images are others than it lists")
        for image in prepare_each(self._to_decode(paths, progress), self._limits):
            # One that is damaged was so before, and costs nothing but itself.
            if isinstance(image, Harmful):
                raise damaged(self.file_name, image.reason.rstrip("."))

    def rows(self, copied: CopiedTable) -> Iterator[dict[str, Any]]:
        """Yield a table's rows as the database takes them; `check` must have passed."""
        for line in () if self._lacks(copied) else self._lines(copied):
            row = row_of(copied, json.loads(line))
            if copied.name == "images":
                row["file_name"] = self._checks.file_names[row["image_id"]]
            yield row

    def image_bytes(self, image_id: str) -> bytes:
        """Return an image as it came."""
        return self._members[self._checks.paths[image_id]]()

    def _lacks(self, copied: CopiedTable) -> bool:
        """Say whether the backup is of a version that did not have this table."""
        listed = (
            copied.name in self.manifest.rows,
            table_path(copied.name) in self._members,
        )
        return copied.name in _ADDED_SINCE and not any(listed)

    def _check_table(self, copied: CopiedTable) -> None:
        count, digest = 0, hashlib.sha256()
        for count, line in enumerate(self._lines(copied), start=1):
            digest.update(line)
            self._check_row(copied, count, line)
        path = table_path(copied.name)
        if digest.hexdigest() != self.manifest.files[path]:
            raise damaged(self.file_name, f"{path} differs from what was backed up")
        if count != self.manifest.rows.get(copied.name):
            raise damaged(
                self.file_name, f"{path} has {plural(count, 'row')}, not as many"
            )

    def _check_row(self, copied: CopiedTable, number: int, line: bytes) -> None:
        try:
            self._checks.check(copied, json.loads(line))
        except (ValueError, RecursionError) as error:
            where = f"{table_path(copied.name)}, line {number:,}"
            raise damaged(self.file_name, f"{where}: {error}") from error

    def _lines(self, copied: CopiedTable) -> Iterator[bytes]:
        path = table_path(copied.name)
        if path not in self._members:
            raise damaged(self.file_name, f"{path} is missing")
        if self._zip.getinfo(path).compress_type not in COMPRESSIONS:
            raise damaged(self.file_name, f"{path} is compressed unusually")
        try:
            with self._zip.open(path) as file:
                yield from _short_lines(file)
        # Broken members raise zlib.error, EOFError, RuntimeError and more.
        except Exception as error:
            raise damaged(self.file_name, f"{path} cannot be unpacked") from error

    def _to_decode(
        self, paths: Mapping[str, str], progress: Progress
    ) -> Iterator[Incoming]:
        """Check each image against its row; yield those to be decoded for once."""
        for number, (image_id, path) in enumerate(paths.items(), start=1):
            data, file_format = self._checked_image(image_id, path)
            progress(number, len(paths))
            if file_format in FORMATS_TO_TRY:
                yield Incoming(path, data)

    def _checked_image(self, image_id: str, path: str) -> tuple[bytes, str]:
        """Return an image's file and its format."""
        try:
            data = self._members[path]()
        except KeyError as error:
            raise damaged(self.file_name, f"{path} is missing") from error
        except ArchiveError as error:
            raise damaged(self.file_name, f"{path} cannot be unpacked") from error
        is_same = (
            hashlib.sha256(data).hexdigest() == image_id
            and len(data) == self._checks.byte_counts[image_id]
        )
        if not is_same:
            raise damaged(self.file_name, f"{path} differs from what was backed up")
        name, most = self._checks.file_names[image_id], self._limits.max_image_pixels
        try:
            header = read_header(data, file_name=name, max_pixels=most)
        except ImageBaseError as error:
            raise damaged(self.file_name, f"{path} is no image") from error
        if header.size != self._checks.sizes[image_id]:
            raise damaged(self.file_name, f"{path} has another size than it says")
        return data, header.file_format


def restore(
    store: Store,
    scope: Scope,
    backup: Backup,
    *,
    progress: Progress = lambda done, total: None,
) -> str:
    """Make a checked backup a dataset of its own; return the name it has.

    Its name says so while it is incomplete. It is deleted where restoring fails,
    unless someone has worked in it meanwhile.

    Args:
        scope: the dataset that it shall be, which is not there yet or is what an
            attempt before this has left.
        progress: called with images done and all images; what it raises ends it.

    Raises:
        StoreError: it could not be written, or someone has worked in what an attempt
            before this has left.
    """
    taken = {dataset.name for dataset in store.datasets(scope.owner_id)}
    delete_half_restored(store, scope)
    name = backup.manifest.name
    store.begin_copy(scope, f"{name} (being restored)")
    try:
        for copied in COPIED:
            if copied.name == "images":
                _put_images(store, scope, backup, copied, progress)
                continue
            for batch in chunks(backup.rows(copied), size=_ROWS_AT_ONCE):
                store.put_rows(scope, copied, batch)
        name = f"{name} (restored)" if name in taken else name
        store.end_copy(scope, name)
    except BaseException:
        # Why it ends is what a person has to know; what stays says so by its name.
        with contextlib.suppress(StoreError):
            delete_half_restored(store, scope)
        raise
    _log.info("Backup restored: %d images", backup.manifest.images)
    return name


def _put_images(
    store: Store, scope: Scope, backup: Backup, copied: CopiedTable, progress: Progress
) -> None:
    done, total = 0, backup.manifest.images
    for batch in chunks(backup.rows(copied), size=BATCH):
        store.put_images(scope, batch, backup.image_bytes)
        done += len(batch)
        progress(done, total)


def delete_half_restored(store: Store, scope: Scope) -> None:
    """Delete a half-restored dataset; only a person's work grows its version.

    Raises:
        StoreError: someone has worked in it.
    """
    try:
        if store.version(scope) != _UNTOUCHED:
            raise StoreError(
                "Someone has worked in the half-restored dataset; it stays. Upload the "
                "backup again for another copy."
            )
        store.delete_dataset(scope)
    except NotFoundError:
        return


def _members(
    file: BinaryIO, limits: Limits, file_name: str
) -> dict[str, Callable[[], bytes]]:
    try:
        members = archive_members(
            file, file_name=file_name, limits=_for_archive(limits)
        )
    except ArchiveError as error:
        raise ArchiveError(
            f"{file_name} is not a zip file, or a broken one; fetch the backup again."
        ) from error
    except LimitError as error:
        raise LimitError(
            f"{file_name} holds more than a dataset may have here, "
            f"{limits.max_dataset_images:,} images of "
            f"{limits.max_dataset_bytes // 1_000_000:,} MB in all; "
            "restore it where more is allowed."
        ) from error
    return {member.name: member.read for member in members}


def _for_archive(limits: Limits) -> Limits:
    """Return the limits on a zip that holds a dataset which keeps to them."""
    return replace(
        limits,
        max_archive_files=limits.max_dataset_images + _OTHER_FILES,
        max_archive_bytes=limits.max_dataset_bytes + limits.max_archive_bytes,
        max_archive_ratio=_MOST_DEFLATED,
    )


def _short_lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(_LONGEST_LINE):
        if not line.endswith(b"\n"):
            raise ValueError("a line does not end")
        yield line
