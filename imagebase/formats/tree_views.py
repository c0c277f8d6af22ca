"""Parts of a tree, and two trees as one."""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from imagebase.formats.label_set_files import FileTree
from imagebase.formats.names import image_stem
from imagebase.formats.trees import image_names, is_image_name
from imagebase.settings import Limits


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
    """The files of a tree and, beside them, some of another."""

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
    have is there once, and images are looked for near the label files. Images beside
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
