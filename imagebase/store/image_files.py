"""Image files and what is made of them on any fsspec location, in owners' folders.

An image is at `<owner_id>/<aa>/<sha256>`, as it came, where `aa` are the first two
digits. What was made of it, and can be made again, is at
`<owner_id>/thumbnails/<aa>/<sha256>` and `<owner_id>/scenes/<aa>/<sha256>`: what the
models of the assistant see in it.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from fsspec import AbstractFileSystem, url_to_fs

from imagebase.annotation import new_id
from imagebase.errors import (
    ImageFileError,
    StorageUnreachableError,
    StoreError,
)
from imagebase.images.locations import has_secret_in_bucket
from imagebase.store.scope import OWNER_ID, check_owner_id

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
THUMBNAILS: Final = "thumbnails"
SCENES: Final = "scenes"
# Where an image's own file is, and what is made of it.
_FOLDERS: Final = ("", THUMBNAILS, SCENES)


class ImageFiles:
    """Bytes by owner and sha256; safe for threads and processes."""

    def __init__(self, storage_url: str) -> None:
        if has_secret_in_bucket(storage_url):
            raise StoreError(
                "IMAGEBASE_STORAGE_URL takes no credentials; set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, and write s3://bucket/folder."
            )
        try:
            # A remembered listing would not know what other processes do.
            self._files, root = url_to_fs(storage_url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"IMAGEBASE_STORAGE_URL cannot be used: {error}"
            ) from error
        self._root = PurePosixPath(root)
        # Cloud file systems raise errors of their own, which are no OSErrors.
        self._errors: Final = (OSError,) if _is_local(self._files) else (Exception,)

    def holds_images(self, owner_id: str | None = None) -> bool:
        """Say whether there is an image of this owner, or of any where it is None.

        Raises:
            StoreError: the location cannot be read.
        """
        owners = self._names(self._root) if owner_id is None else [owner_id]
        folders = (
            self._root / owner / name
            for owner in owners
            for name in self._names(self._root / owner)
            if len(name) == 2
        )
        return any(
            _SHA256.fullmatch(name)
            for folder in folders
            for name in self._names(folder)
        )

    def check_readable(self) -> None:
        """Do nothing where the location can be read.

        Raises:
            StoreError: it cannot.
        """
        self._names(self._root)

    def check_writable(self) -> None:
        """Write a small file and delete it.

        Raises:
            StoreError: this is not possible, for another reason than a full disk.
        """
        path = str(self._root / f".imagebase-{new_id()}")
        try:
            if self.is_local:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._files.pipe_file(path, b"1")
            self._files.rm_file(path)
        except self._errors as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                return
            raise StoreError(
                f"Images cannot be written to {self._root} ({_reason(error)}); set "
                "IMAGEBASE_STORAGE_URL to a place you may write to."
            ) from error

    @property
    def is_local(self) -> bool:
        """Say whether the files are in a folder of this machine."""
        return _is_local(self._files)

    def _names(self, folder: PurePosixPath) -> list[str]:
        """Return what a folder holds, by name; nothing where it is missing."""
        return [PurePosixPath(file["name"]).name for file in self._listed(folder)]

    def _listed(self, folder: PurePosixPath) -> list[dict[str, Any]]:
        """Return what the file system knows of each entry of a folder."""
        try:
            found = self._files.ls(str(folder), detail=True, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except self._errors as error:
            raise StoreError(
                f"The images in {folder} cannot be listed ({_reason(error)}); "
                "check IMAGEBASE_STORAGE_URL."
            ) from error
        return list(found)

    def owners(self) -> list[str]:
        """Return the owners that have a folder."""
        return [name for name in self._names(self._root) if OWNER_ID.fullmatch(name)]

    def stored(self, owner_id: str) -> Iterator[tuple[str, datetime]]:
        """Yield the id of each image file of an owner, and when it was written.

        Raises:
            StoreError: they cannot be listed.
        """
        folder = self._root / check_owner_id(owner_id)
        for part in self._names(folder):
            if len(part) != 2:
                continue
            for file in self._listed(folder / part):
                name = PurePosixPath(file["name"]).name
                if _SHA256.fullmatch(name):
                    with contextlib.suppress(FileNotFoundError):
                        yield name, self._written_at(file)

    def delete_drafts(self, before: datetime) -> None:
        """Delete what processes that were killed had begun to write until then."""
        if not self.is_local:
            return
        for draft in Path(self._root).glob("*/**/.*"):
            with contextlib.suppress(OSError):
                if draft.is_file() and draft.stat().st_mtime < before.timestamp():
                    draft.unlink()

    def _written_at(self, file: dict[str, Any]) -> datetime:
        # A bucket's listing has it; to ask for each file takes a request.
        moment: datetime = file.get("LastModified") or self._files.modified(
            file["name"]
        )
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def has(self, owner_id: str, image_id: str, *, byte_count: int) -> bool:
        """Say whether the image is there as it came, its length compared first."""
        path = self._path(owner_id, image_id)
        try:
            if self._files.size(path) != byte_count:
                return False
            return _sha256(self._files.cat_file(path)) == image_id
        except self._errors:
            return False

    def has_length(self, owner_id: str, image_id: str, byte_count: int) -> bool:
        """Say whether a file of this length is there; its content is not read."""
        try:
            found: int | None = self._files.size(self._path(owner_id, image_id))
        except self._errors:
            return False
        return found == byte_count

    def write(self, owner_id: str, image_id: str, data: bytes) -> None:
        """Keep an image for good: on return it survives a power cut.

        Raises:
            StoreError: it could not be written; nothing was kept of it.
        """
        self._write(self._path(owner_id, image_id), data)

    def read(self, owner_id: str, image_id: str, *, file_name: str) -> bytes:
        """Return an image as it came: its bytes are those that its id was made of.

        Args:
            file_name: for error messages.

        Raises:
            ImageFileError: its file is missing, damaged or cannot be read.
        """
        path = self._path(owner_id, image_id)
        try:
            data: bytes = self._files.cat_file(path)
        except FileNotFoundError as error:
            raise ImageFileError(
                f"The stored file of {file_name} is missing; add the same image again "
                "on Upload. If all are missing, check IMAGEBASE_STORAGE_URL."
            ) from error
        except self._errors as error:
            kind = ImageFileError if self.is_local else StorageUnreachableError
            raise kind(
                f"The stored file of {file_name} cannot be read ({_reason(error)}); "
                "check IMAGEBASE_STORAGE_URL."
            ) from error
        if _sha256(data) != image_id:
            raise ImageFileError(
                f"The stored file of {file_name} is damaged; add the same image again "
                "on Upload."
            )
        return data

    def made(
        self, owner_id: str, image_id: str, folder: str, *, first: int | None = None
    ) -> bytes | None:
        """Return what was made of an image and kept; None where there is none.

        Args:
            folder: THUMBNAILS or SCENES. first: only so many bytes; None reads all.
        """
        path = self._path(owner_id, image_id, folder)
        try:
            data: bytes = self._files.cat_file(path, end=first)
        except self._errors:
            return None
        return data

    def write_made(
        self, owner_id: str, image_id: str, folder: str, data: bytes
    ) -> None:
        """Keep what was made of an image, or do not: it can be made again."""
        with contextlib.suppress(StoreError):
            self._write(self._path(owner_id, image_id, folder), data)

    def delete(self, owner_id: str, image_id: str) -> None:
        """Delete an image and what was made of it; a missing file is no error.

        Raises:
            StoreError: one could not be deleted.
        """
        for folder in _FOLDERS:
            path = self._path(owner_id, image_id, folder)
            try:
                self._files.rm_file(path)
            except FileNotFoundError:
                continue
            except self._errors as error:
                raise StoreError(
                    f"{path} could not be deleted ({_reason(error)})."
                ) from error

    def delete_all(self, owner_id: str, image_ids: Sequence[str]) -> None:
        """Delete images and what was made of them, hundreds a request in a bucket.

        Raises:
            StoreError: one could not be deleted.
        """
        paths = [
            self._path(owner_id, image_id, folder)
            for image_id in image_ids
            for folder in _FOLDERS
        ]
        if not self.is_local:
            try:
                self._files.rm(paths)
            except FileNotFoundError:
                pass  # of a file system that wants all to be there: one by one
            except self._errors as error:
                raise StoreError(
                    f"Image files could not be deleted ({_reason(error)})."
                ) from error
            else:
                return
        failed: StoreError | None = None
        for image_id in image_ids:
            try:
                self.delete(owner_id, image_id)
            except StoreError as error:
                failed = error
        if failed is not None:
            raise failed

    def delete_owner(self, owner_id: str) -> None:
        """Delete everything of an owner's."""
        folder = str(self._root / check_owner_id(owner_id))
        if _is_local(self._files):
            shutil.rmtree(folder, ignore_errors=True)
            return
        with contextlib.suppress(FileNotFoundError):
            self._files.rm(folder, recursive=True)

    def _path(self, owner_id: str, image_id: str, folder: str = "") -> str:
        if not _SHA256.fullmatch(image_id):
            raise ValueError(f"{image_id!r} is not an image's id")
        owner = self._root / check_owner_id(owner_id)
        return str(owner / folder / image_id[:2] / image_id)

    def _write(self, path: str, data: bytes) -> None:
        try:
            if _is_local(self._files):
                _write_durably(Path(path), data)
            else:
                self._files.pipe_file(path, data)
        except self._errors as error:
            raise StoreError(
                f"The image could not be written ({_reason(error)}); "
                "it was not added. Free some space and try again."
            ) from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_local(files: AbstractFileSystem) -> bool:
    return "file" in files.protocol


def _reason(error: Exception) -> str:
    known: str | None = getattr(error, "strerror", None)
    return known.lower() if known else str(error) or type(error).__name__


def _write_durably(path: Path, data: bytes) -> None:
    """Write a temporary file and rename it: a reader sees the whole file or none."""
    folders = _make_folders(path.parent)
    temporary = path.with_name(f".{path.name}.{new_id()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The name is on disk once its folder is, and so on upwards for new folders.
    for folder in (path.parent, *(created.parent for created in folders)):
        _sync_folder(folder)


def _make_folders(folder: Path) -> list[Path]:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
