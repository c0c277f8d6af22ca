"""Parts of a tree, and two trees as one."""

from collections.abc import Sequence
from typing import IO

from imagebase.formats.label_set_files import FileTree
from imagebase.settings import Limits


class TreeWithout:
    """A tree without the files below some folders, given with `/` at their end."""

    def __init__(self, tree: FileTree, folders: tuple[str, ...]) -> None:
        self.limits: Limits = tree.limits
        self._tree = tree
        self._names = tuple(n for n in tree.names() if not n.startswith(folders))

    def names(self) -> Sequence[str]:
        return self._names

    def read(self, name: str) -> bytes:
        return self._tree.read(name)

    def open(self, name: str) -> IO[bytes]:
        return self._tree.open(name)


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
