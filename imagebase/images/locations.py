"""Locations behind fsspec URLs, such as s3://bucket/photos: list, read, write, delete.

Credentials come from the environment, as each file system has it (AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL, …). No message repeats those in a URL.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from fsspec import AbstractFileSystem, url_to_fs

from imagebase.annotation import new_id
from imagebase.errors import ExportError, ImageBaseError, ImageReadError
from imagebase.logs import MASK, redacted

# Requests of one group are under way together, as far as the file system can.
_GROUP: Final = 256
# In the place of a user, where a password is not told apart: a token.
_USER: Final = re.compile(r"(://)[^/@:]+@")
# Bucket names hold neither "@" nor ":", but for Amazon's own of access points.
_SECRET_IN_BUCKET: Final = re.compile(r"\bs3a?://(?!arn:)[^/]*[@:]", re.IGNORECASE)
_EXTRA_OF: Final = {"s3": "s3", "s3a": "s3", "http": "s3", "https": "s3"}


def is_url(location: str | os.PathLike[str]) -> bool:
    """Say whether this is a URL, and no path on this machine."""
    return "://" in os.fspath(location)


def shown_url(url: str) -> str:
    """Return a URL for a message: without credentials, query and fragment."""
    return _USER.sub(rf"\1{MASK}@", redacted(re.split(r"[?#]", url, maxsplit=1)[0]))


def has_secret_in_bucket(url: str) -> bool:
    """Say whether a URL of S3 holds credentials: they would count as a bucket's name.

    The file system would send and repeat them; it takes them from the environment.
    """
    return _SECRET_IN_BUCKET.search(url) is not None


@dataclass(frozen=True, slots=True)
class Location:
    """A file or folder behind a URL; may be pickled, and used from any thread.

    url: for messages. root: its path in the file system.

    >>> folder = open_location("memory://labels")
    >>> folder.write("a.txt", b"0 0.5 0.5 1 1")
    >>> folder.sizes(), folder.read("a.txt")
    ({'a.txt': 13}, b'0 0.5 0.5 1 1')
    """

    url: str
    files: AbstractFileSystem
    root: str

    def __truediv__(self, name: str) -> "Location":
        """Return the location of a folder in this one."""
        return replace(self, url=f"{self.url}/{name}", root=f"{self.root}/{name}")

    @property
    def local_path(self) -> Path | None:
        """The path of a `file://` URL; None elsewhere."""
        return Path(self.root or "/") if "file" in self.files.protocol else None

    def sizes(self) -> dict[str, int | None]:
        """Return the bytes of each file below this folder by name, None if unknown.

        Raises:
            ImageReadError: it cannot be listed.
        """
        try:
            self.files.invalidate_cache()
            found = self.files.find(self.root, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:
            self.refuse(error)
        return {self._name(path): info.get("size") for path, info in found.items()}

    def size(self, name: str) -> int | None:
        """Return how many bytes a file has; None where this is unknown.

        Raises:
            ImageReadError: it is not there, or cannot be asked for.
        """
        try:
            size: int | None = self.files.size(self._path(name))
        except Exception as error:
            (self / name if name else self).refuse(error)
        return size

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None where there is none.

        Args:
            name: below this folder; empty for the location itself, a file.

        Raises:
            ImageReadError: it cannot be read.
        """
        try:
            data: bytes = self.files.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        except Exception as error:
            (self / name if name else self).refuse(error)
        return data

    def read_many(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield name and bytes of each file, some hundreds requested at a time.

        Raises:
            ImageReadError: one cannot be read.
        """
        for group in _groups(names):
            paths = [self._path(name) for name in group]
            try:
                # `cat` would take a name such as "a[1].txt" for a pattern.
                found = self.files.cat_ranges(paths, None, None, on_error="raise")
            except Exception as error:
                self.refuse(error)
            yield from zip(group, found, strict=True)

    def check_writable(self) -> None:
        """Write a small file and delete it.

        Raises:
            ExportError: this is not possible.
        """
        name = f".imagebase-{new_id()}"
        self.write(name, b"1")
        self.delete([name])

    def write(self, name: str, data: bytes) -> None:
        """Write a file; on return a reader finds all of it, before that the old one.

        Raises:
            ExportError: it cannot be written.
        """
        try:
            self.files.pipe_file(self._path(name), data)
        except Exception as error:
            self._refuse_writing(error)

    def upload(
        self,
        folder: Path,
        names: Sequence[str],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Copy files of a folder here, some hundreds at a time.

        Raises:
            ExportError: one cannot be written; some may have been.
        """
        done = 0
        for group in _groups(names):
            try:
                self.files.put(
                    [str(folder / name) for name in group],
                    [self._path(name) for name in group],
                )
            except Exception as error:
                self._refuse_writing(error)
            done += len(group)
            on_progress(done, len(names))

    def delete(self, names: Sequence[str]) -> None:
        """Delete files; one that is not there is no error.

        Raises:
            ExportError: one cannot be deleted.
        """
        for name in names:
            try:
                self.files.rm_file(self._path(name))
            except FileNotFoundError:
                continue
            except Exception as error:
                self._refuse_writing(error)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def _name(self, path: str) -> str:
        return path.removeprefix(self.root).lstrip("/")

    def refuse(self, error: Exception) -> NoReturn:
        """Raise an ImageReadError of a file system's error; each has its own kinds."""
        if isinstance(error, ImageBaseError):
            raise error
        raise ImageReadError(
            f"{self.url} cannot be opened ({_reason(error)}); check the address and "
            "your access."
        ) from error

    def _refuse_writing(self, error: Exception) -> NoReturn:
        raise ExportError(
            f"{self.url} cannot be written to ({_reason(error)}); check the address "
            "and your access, and run it again."
        ) from error


def open_location(url: str) -> Location:
    """Return the location behind a URL such as `s3://bucket/photos`.

    Raises:
        ImageReadError: the package for such URLs is missing, or there is none; or it
            holds credentials that S3 does not take there.
    """
    if has_secret_in_bucket(url):
        raise ImageReadError(
            "An s3:// URL takes no credentials; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, and write s3://bucket/folder."
        )
    try:
        files, root = url_to_fs(url)
    except ImportError as error:
        raise ImageReadError(_missing_package(url, error)) from error
    except ValueError as error:
        raise ImageReadError(
            f"{shown_url(url)} cannot be used ({_reason(error)}); check the address."
        ) from error
    return Location(shown_url(url).rstrip("/"), files, str(root).rstrip("/"))


def _missing_package(url: str, error: ImportError) -> str:
    scheme = url.partition("://")[0]
    extra = _EXTRA_OF.get(scheme)
    how = f"run `pip install 'imagebase[{extra}]'`" if extra else str(error)
    return f"{scheme}:// needs a package that is not installed; {how}."


def _groups(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[at : at + _GROUP] for at in range(0, len(names), _GROUP))


def _reason(error: Exception) -> str:
    known: str | None = getattr(error, "strerror", None)
    return redacted(known or str(error) or type(error).__name__).rstrip(".")
