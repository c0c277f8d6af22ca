"""A split in formats that know of none: the whole written once for each part."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO, NamedTuple, TypeVar

from imagebase.formats.base import (
    PARTS,
    ExportFile,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    ImageNames,
    Mapped,
    StoredImages,
    WriteOptions,
)
from imagebase.settings import Limits

T = TypeVar("T")


class Subset(NamedTuple):
    """Images that are written as a label set of their own.

    folder: where its files lie, `/` at its end; empty where the set is one.
    """

    folder: str
    export_set: ExportSet


def subsets(export_set: ExportSet, one: Format) -> list[Subset]:
    """Return what is written one after the other: all, or part by part."""
    if one.has_parts or not export_set.has_split:
        return [Subset("", export_set)]
    members: dict[str, list[int]] = {part: [] for part in PARTS}
    for index, image in enumerate(export_set.images):
        members[image.part].append(index)
    return [
        Subset(f"{part}/", replace(export_set, images=Some(export_set.images, indices)))
        for part, indices in members.items()
        if indices
    ]


def write_subsets(
    export_set: ExportSet, one: Format, options: WriteOptions
) -> Iterator[ExportFile]:
    """Yield the files of each subset, in its folder."""
    for folder, subset in subsets(export_set, one):
        # By itself each is a set without a split.
        whole = _as_whole(subset) if folder else subset
        for file in one.write(whole, options):
            yield file._replace(path=folder + file.path)


def written_names(
    export_set: ExportSet, one: Format
) -> Iterator[tuple[ExportImage, str]]:
    """Yield each image with its name in the files, subset by subset."""
    for folder, subset in subsets(export_set, one):
        for image, name in zip(subset.images, one.names(subset), strict=True):
            yield image, folder + name


def _as_whole(subset: ExportSet) -> ExportSet:
    return replace(subset, images=Mapped(subset.images, _in_training))


def _in_training(image: ExportImage) -> ExportImage:
    return replace(image, part="train")


class Some(StoredImages):
    """Images of a set by their places in it, in order; none is held here."""

    def __init__(self, images: Sequence[ExportImage], places: Sequence[int]) -> None:
        self._images = images
        self._places = places
        if isinstance(images, StoredImages):
            self.has_flat_names = images.has_flat_names

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[ExportImage]:
        return self._of(self._images)

    def names(self) -> Iterator[str]:
        return self._of(ImageNames(self._images))

    def _of(self, items: Iterable[T]) -> Iterator[T]:
        wanted = iter(self._places)
        place = next(wanted, None)
        for at, item in enumerate(items):
            if at == place:
                yield item
                place = next(wanted, None)


class SubTree:
    """The files below a folder of a tree, as if they were all."""

    def __init__(self, tree: FileTree, folder: str) -> None:
        self._tree = tree
        self._folder = folder

    @property
    def limits(self) -> Limits:
        return self._tree.limits

    def names(self) -> Sequence[str]:
        return tuple(
            name.removeprefix(self._folder)
            for name in self._tree.names()
            if name.startswith(self._folder)
        )

    def read(self, name: str) -> bytes:
        return self._tree.read(self._folder + name)

    def open(self, name: str) -> IO[bytes]:
        return self._tree.open(self._folder + name)
