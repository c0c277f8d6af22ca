"""File trees: label files in a folder, a zip, in memory, or alone."""

import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from imagebase.errors import AnnotationFileError
from imagebase.formats.base import FileTree
from imagebase.formats.file_names import image_stem
from imagebase.images.archives import is_clutter
from imagebase.images.file_types import is_image_name as is_image_name
from imagebase.settings import Limits

if TYPE_CHECKING:
    from imagebase.formats.reader import LabelReader


# So many files of one kind are opened to recognise their format.
FILES_TO_TRY: Final = 100

_AT_ONCE_BYTES: Final = 8_000_000


@dataclass(frozen=True, slots=True)
class MemoryTree:
    """Files that are at hand as bytes."""

    files: Mapping[str, bytes]
    limits: Limits = field(default_factory=Limits)

    def names(self) -> Sequence[str]:
        return tuple(self.files)

    def read(self, name: str) -> bytes:
        data = self.files[name]
        _check_size(name, len(data), self.limits)
        return data

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self.read(name))


class FolderTree:
    """The files below a folder, or one file by itself."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._root = path if path.is_dir() else path.parent
        members = _files_below(path) if path.is_dir() else iter([path.name])
        self._names = tuple(name for name in members if not is_clutter(name))

    def names(self) -> Sequence[str]:
        return self._names

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            try:
                return file.read()
            except OSError as error:
                raise _unreadable(name, error) from error

    def open(self, name: str) -> IO[bytes]:
        path = self._root / name
        try:
            _check_size(name, path.stat().st_size, self.limits)
            return path.open("rb")
        except OSError as error:
            raise _unreadable(name, error) from error


class ZipTree:
    """The files of a zip; nothing is unpacked to disk."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise AnnotationFileError(
                f"{path.name} is not a zip that can be opened: {error}."
            ) from error
        members = [info for info in self._zip.infolist() if not info.is_dir()]
        if len(members) > self.limits.max_archive_files:
            self._zip.close()
            raise AnnotationFileError(
                f"{path.name} holds {len(members):,} files; at most "
                f"{self.limits.max_archive_files:,} are read."
            )
        self._infos = {
            name: info
            for info in members
            if not is_clutter(name := info.filename.replace("\\", "/"))
        }

    def __enter__(self) -> "ZipTree":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def names(self) -> Sequence[str]:
        return tuple(self._infos)

    def read(self, name: str) -> bytes:
        info = self._infos[name]
        _check_size(name, info.file_size, self.limits)
        try:
            with self._zip.open(info) as file:
                return file.read(info.file_size + 1)
        # zlib, bz2 and lzma have errors of their own, encryption a RuntimeError.
        except Exception as error:
            raise AnnotationFileError(
                f"{name} cannot be read out of its zip: {error}."
            ) from error

    def open(self, name: str) -> IO[bytes]:
        """Return a file to be read in parts; a large one is unpacked to disk for it."""
        if self._infos[name].file_size <= _AT_ONCE_BYTES:
            return io.BytesIO(self.read(name))
        with ExitStack() as stack:
            unpacked = stack.enter_context(tempfile.TemporaryFile())
            self._unpack(name, unpacked)
            unpacked.seek(0)
            stack.pop_all()
            return unpacked

    def _unpack(self, name: str, to: IO[bytes]) -> None:
        info = self._infos[name]
        _check_size(name, info.file_size, self.limits)
        try:
            with self._zip.open(info) as file:
                shutil.copyfileobj(file, to)
        except Exception as error:
            raise AnnotationFileError(
                f"{name} cannot be read out of its zip: {error}."
            ) from error


def open_tree(path: Path, limits: Limits | None = None) -> FileTree:
    """Return the files of a folder, of a zip, or one file by itself.

    Raises:
        AnnotationFileError: nothing is there, or the zip is broken.
    """
    if not path.exists():
        raise AnnotationFileError(f"{path} does not exist; give a folder or a file.")
    if path.is_file() and path.suffix.lower() == ".zip":
        return ZipTree(path, limits)
    return FolderTree(path, limits)


@contextmanager
def opened_tree(path: Path, limits: Limits | None = None) -> Iterator[FileTree]:
    """Give the files of a folder, a zip or one file; a zip is closed afterwards."""
    tree = open_tree(path, limits)
    with tree if isinstance(tree, ZipTree) else nullcontext():
        yield tree


def names_with_suffix(tree: FileTree, *suffixes: str) -> list[str]:
    """Return the names that end so, ignoring case, in the tree's order."""
    return [name for name in tree.names() if name.lower().endswith(suffixes)]


def has_file(
    tree: FileTree, *suffixes: str, is_one: Callable[[FileTree, str], bool]
) -> bool:
    """Say whether one of the first hundred files that end so is of a format.

    Args:
        tree: the files.
        suffixes: in lower case.
        is_one: may raise AnnotationFileError for a broken file, which is passed over.
    """
    for file in names_with_suffix(tree, *suffixes)[:FILES_TO_TRY]:
        try:
            if is_one(tree, file):
                return True
        except AnnotationFileError:
            continue
    return False


def read_each(
    files: Iterable[str],
    collector: "LabelReader",
    *,
    is_one: Callable[[str], bool],
    read_one: Callable[[str], None],
    absent: str,
) -> None:
    """Read the files of a format one by one; a broken one is left out and named.

    Args:
        files: what may be of the format.
        collector: reports broken files.
        is_one: whether a file is of the format. read_one: reads one that is.
        absent: the sentence for a tree without any.

    Raises:
        AnnotationFileError: no file is of the format, or none can be read.
    """
    was_read = False
    for file in files:
        with collector.skipping(file):
            if is_one(file):
                was_read = True
                read_one(file)
    collector.check()
    if not was_read:
        raise AnnotationFileError(absent)


def files_named(tree: FileTree, *names: str) -> list[str]:
    """Return the files of these names, ignoring case, in whichever folder."""
    return [name for name in tree.names() if PurePosixPath(name).name.lower() in names]


def folder_of(name: str) -> str:
    """Return the folder a file lies in, empty for the outermost."""
    return name.rpartition("/")[0]


def image_names(tree: FileTree) -> list[str]:
    """Return the image files of a tree, in its order."""
    return [name for name in tree.names() if is_image_name(name)]


def are_copies(tree: FileTree, names: Sequence[str]) -> bool:
    """Say whether files have the same content; not where one cannot be read."""
    try:
        return len({sha256(tree.read(name)).digest() for name in names}) == 1
    except AnnotationFileError:
        return False


def _files_below(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yield the files of a folder and of those in it, by name; links to folders not."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if entry.is_dir(follow_symlinks=False) or entry.is_file()
            )
    except OSError as error:
        raise _unreadable(str(folder), error) from error
    for name, is_folder in listed:
        if is_folder:
            yield from _files_below(folder / name, f"{prefix}{name}/")
        else:
            yield prefix + name


def _unreadable(name: str, error: OSError) -> AnnotationFileError:
    return AnnotationFileError(f"{name} cannot be read: {error}.")


def _check_size(name: str, byte_count: int, limits: Limits) -> None:
    if byte_count > limits.max_file_bytes:
        raise AnnotationFileError(
            f"{name} is {byte_count / 1e6:,.0f} MB; label files may have "
            f"{limits.max_file_bytes / 1e6:,.0f} MB, so split it."
        )


class TreeOf:
    """Those files of a tree whose names pass."""

    def __init__(self, tree: FileTree, passes: Callable[[str], bool]) -> None:
        self.limits: Limits = tree.limits
        self._tree = tree
        self._names = tuple(filter(passes, tree.names()))

    def names(self) -> Sequence[str]:
        return self._names

    def read(self, name: str) -> bytes:
        return self._tree.read(name)

    def open(self, name: str) -> IO[bytes]:
        return self._tree.open(name)


class TreeWithout(TreeOf):
    """A tree without the files below some folders, given with `/` at their end."""

    def __init__(self, tree: FileTree, folders: tuple[str, ...]) -> None:
        super().__init__(tree, lambda name: not name.startswith(folders))


class MountedTree:
    """A tree as seen from a folder above it. folder: with `/` at its end, or empty."""

    def __init__(self, tree: FileTree, folder: str) -> None:
        self.limits: Limits = tree.limits
        self._tree = tree
        self._folder = folder

    def names(self) -> Sequence[str]:
        return tuple(self._folder + name for name in self._tree.names())

    def read(self, name: str) -> bytes:
        return self._tree.read(name.removeprefix(self._folder))

    def open(self, name: str) -> IO[bytes]:
        return self._tree.open(name.removeprefix(self._folder))


class JoinedTree:
    """The files of a tree and some of another."""

    def __init__(self, tree: FileTree, others: FileTree, names: Sequence[str]) -> None:
        self.limits: Limits = tree.limits
        self._tree = tree
        self._others = others
        self._own = own = frozenset(tree.names())
        self._names = (*tree.names(), *(name for name in names if name not in own))

    def names(self) -> Sequence[str]:
        return self._names

    def read(self, name: str) -> bytes:
        return self._of(name).read(name)

    def open(self, name: str) -> IO[bytes]:
        return self._of(name).open(name)

    def _of(self, name: str) -> FileTree:
        return self._tree if name in self._own else self._others


class WithImages(NamedTuple):
    """Labels and images as one tree.

    folder: in it, where the images were given; `/` at its end, or empty.
    images: the image files that were given.
    """

    tree: FileTree
    folder: str
    images: Sequence[str]


def with_images(
    labels: FileTree, labels_at: Path, images: FileTree, images_at: Path | None
) -> WithImages:
    """Return label files and the images that a person gave for them.

    Where one lies inside the other they are seen from the outer one: a file that both
    have is there once, and images are looked for near the label files. Images next to
    the labels count where none of their name was given.

    Args:
        labels_at, images_at: where the trees are: folders, zips or files; None for what
            is on no disk here.
    """
    labels_folder, images_folder = _seen_from_the_outer(labels_at, images_at)
    own, given = MountedTree(labels, labels_folder), MountedTree(images, images_folder)
    names = image_names(given)
    known, stems = frozenset(names), frozenset(map(_last_stem, names))

    def counts(name: str) -> bool:
        is_instead = name not in known and is_image_name(name)
        return not (is_instead and _last_stem(name) in stems)

    joined = JoinedTree(TreeOf(own, counts), given, names)
    return WithImages(joined, images_folder, names)


def _last_stem(name: str) -> str:
    return image_stem(PurePosixPath(name.casefold()).name)


def _seen_from_the_outer(labels_at: Path, images_at: Path | None) -> tuple[str, str]:
    """Return the folders of both, from the one that holds the other."""
    if images_at is None:
        return "", ""
    labels, images = (_folder(path.resolve()) for path in (labels_at, images_at))
    if images.is_relative_to(labels):
        return "", _prefix(images.relative_to(labels))
    if labels.is_relative_to(images):
        return _prefix(labels.relative_to(images)), ""
    return "", ""


def _folder(path: Path) -> Path:
    """Return a folder; of a label file that it lies in, a zip is one of its own."""
    is_inside = path.is_file() and path.suffix.lower() != ".zip"
    return path.parent if is_inside else path


def _prefix(folder: Path) -> str:
    return "" if folder == Path() else f"{folder.as_posix()}/"
