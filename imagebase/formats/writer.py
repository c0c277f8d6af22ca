"""Write the files of an export into a folder or a zip, split by split where needed."""

import hashlib
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

from imagebase.errors import ExportError
from imagebase.formats.base import (
    PARTS,
    ExportFile,
    ExportImage,
    ExportSet,
    FileTree,
    Format,
    ImageReference,
    ImagesAt,
    MappedImages,
    Streamed,
    WriteOptions,
)
from imagebase.formats.file_names import names_in
from imagebase.formats.scratch import DiskSet, scratch_database
from imagebase.settings import Limits

# None where an image has no file; then only its labels are written.
ImageBytes = Callable[[str], bytes | None]

# Deflating these again costs time and saves nothing.
_COMPRESSED_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif"})
# The earliest a zip can hold: the same data must give the same bytes at any time.
_TIMESTAMP: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_READABLE_FILE: Final = 0o100644 << 16


class WrittenFile(NamedTuple):
    """A written file, as the manifest lists it."""

    path: str
    sha256: str
    byte_count: int


class WrittenFiles(Collection[WrittenFile]):
    """The written files in order, kept on disk."""

    def __init__(self) -> None:
        schema = "CREATE TABLE file (path TEXT, sha256 TEXT, byte_count INTEGER)"
        self._database = scratch_database(schema, cache_kib=2000)
        self._count = 0

    def extend(self, files: Iterable[WrittenFile]) -> None:
        for file in files:
            self.add(file)

    def add(self, file: WrittenFile) -> None:
        self._database.execute("INSERT INTO file VALUES (?, ?, ?)", file)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[WrittenFile]:
        rows = self._database.execute("SELECT * FROM file ORDER BY rowid")
        return (WrittenFile(*row) for row in rows)

    def __contains__(self, file: object) -> bool:
        return any(folder == file for folder in self)

    def close(self) -> None:
        self._database.close()


def write_folder(
    files: Iterable[ExportFile], folder: Path, images: ImageBytes
) -> Iterator[WrittenFile]:
    """Write the files below a folder, each as the result is asked for.

    Raises:
        ExportError: two files have one name, or one would lie outside the folder.
    """
    for path, parts in _resolved(files, images):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            yield _written(path, parts, file)


def write_zip(
    files: Iterable[ExportFile], target: Path | IO[bytes], images: ImageBytes
) -> Iterator[WrittenFile]:
    """Write the files into a new zip, each as the result is asked for.

    Same files, same bytes. Compressed images are stored without compressing them again.

    Raises:
        ExportError: two files have one name, or one would lie outside the zip's root.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for path, parts in _resolved(files, images):
            with archive.open(_entry(path), "w", force_zip64=True) as file:
                yield _written(path, parts, file)


def append_to_zip(path: Path, name: str, data: bytes | Iterable[bytes]) -> None:
    """Add one more file to a zip, given whole or in parts."""
    with (
        zipfile.ZipFile(path, "a") as archive,
        archive.open(_entry(name), "w", force_zip64=True) as file,
    ):
        file.writelines([data] if isinstance(data, bytes) else data)


def _entry(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _TIMESTAMP)
    info.create_system = _UNIX
    info.external_attr = _READABLE_FILE
    is_compressed = PurePosixPath(path).suffix.lower() in _COMPRESSED_SUFFIXES
    info.compress_type = zipfile.ZIP_STORED if is_compressed else zipfile.ZIP_DEFLATED
    return info


def _resolved(
    files: Iterable[ExportFile], images: ImageBytes
) -> Iterator[tuple[str, Iterable[bytes]]]:
    with closing(DiskSet()) as seen:
        yield from _each_once(files, images, seen)


def _each_once(
    files: Iterable[ExportFile], images: ImageBytes, seen: DiskSet
) -> Iterator[tuple[str, Iterable[bytes]]]:
    for path, content in files:
        is_outside = path.startswith("/") or ".." in path.split("/")
        if is_outside or not seen.add(path.casefold()):
            raise ExportError(f"{path!r} is there twice, or outside the export.")
        if isinstance(content, Streamed):
            yield path, content.parts
        elif isinstance(content, ImageReference):
            data = images(content.image_id)
            if data is not None:
                yield path, (data,)
        else:
            yield path, (content,)


def written_bytes(path: str, data: bytes) -> WrittenFile:
    """Return how the manifest lists a file of these bytes."""
    return WrittenFile(path, hashlib.sha256(data).hexdigest(), len(data))


def _written(path: str, parts: Iterable[bytes], file: IO[bytes]) -> WrittenFile:
    digest, byte_count = hashlib.sha256(), 0
    for part in parts:
        file.write(part)
        digest.update(part)
        byte_count += len(part)
    return WrittenFile(path, digest.hexdigest(), byte_count)


class Subset(NamedTuple):
    """Images that are written as a label set of their own.

    folder: where its files lie, `/` at its end; empty where the set is one.
    """

    folder: str
    export_set: ExportSet


def subsets(export_set: ExportSet, format_: Format) -> list[Subset]:
    """Return the sets that are written one after the other: one, or one per part."""
    if format_.has_parts or not export_set.has_split:
        return [Subset("", export_set)]
    members: dict[str, list[int]] = {part: [] for part in PARTS}
    for index, image in enumerate(export_set.images):
        members[image.part].append(index)
    return [
        Subset(
            f"{part}/", replace(export_set, images=ImagesAt(export_set.images, indices))
        )
        for part, indices in members.items()
        if indices
    ]


def write_subsets(
    export_set: ExportSet, format_: Format, options: WriteOptions
) -> Iterator[ExportFile]:
    """Yield the files of each subset, in its folder."""
    for folder, subset in subsets(export_set, format_):
        # By itself each is a set without a split.
        whole = (
            replace(subset, images=MappedImages(subset.images, _in_training))
            if folder
            else subset
        )
        for file in format_.write(whole, options):
            yield file._replace(path=folder + file.path)


def written_names(
    export_set: ExportSet, format_: Format
) -> Iterator[tuple[ExportImage, str]]:
    """Yield each image with its name in the files, subset by subset."""
    for folder, subset in subsets(export_set, format_):
        for image, name in zip(subset.images, names_in(format_, subset), strict=True):
            yield image, folder + name


def _in_training(image: ExportImage) -> ExportImage:
    return replace(image, part="train")


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
