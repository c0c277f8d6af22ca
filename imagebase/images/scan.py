"""What a person drops or points at, as image files, one at a time."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from imagebase.annotation import Quality, Size
from imagebase.errors import ArchiveError, ImageBaseError, ImageReadError, LimitError
from imagebase.images.archives import (
    archive_members,
    is_archive_name,
    is_clutter,
    safe_name,
    too_large,
)
from imagebase.images.decode import load_image, read_header
from imagebase.images.file_types import is_image_name
from imagebase.images.locations import Location, is_url, open_location, shown_url
from imagebase.images.quality import assess, decoding_size
from imagebase.images.skipped_files import SkippedFiles, earlier_exports
from imagebase.settings import SAMPLES_FOLDER, Limits


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file that claims to be an image, not yet looked into."""

    file_name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that stays out, and the sentence that says why."""

    file_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image that decodes from end to end, measured.

    data: the file as it came.
    size: of the upright image.
    """

    file_name: str
    data: bytes
    size: Size
    quality: Quality


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a source holds.

    name: its path inside the source, `/` between the parts.
    read: returns its bytes; raises an ImageBaseError, with a sentence, where it cannot.
        May be called from any thread.
    is_folder: it is one that cannot be searched through, and reading it says why.
    """

    name: str
    read: Callable[[], bytes]
    is_folder: bool = False


def unpack_uploads(
    files: Iterable[tuple[str, bytes | BinaryIO]],
    limits: Limits,
    *,
    passed_over: SkippedFiles | None = None,
) -> Iterator[Incoming | Refused]:
    """Yield uploads as image files, zips unpacked, one file in memory.

    Other files inside zips and folders are no images and no errors, and what an earlier
    export wrote is there already: they are passed over. A file that was dropped by
    itself is yielded, for `prepare` to judge.

    Args:
        files: name, with its sub-path where a folder was dropped, and content.
        limits: checked before a file is read.
        passed_over: collects them.
    """
    passed_over = SkippedFiles() if passed_over is None else passed_over
    given = [(safe_name(name), file) for name, file in files]
    reads = {name: partial(_read_upload, name, file, limits) for name, file in given}
    inner = _without_exports(reads, passed_over)
    for name, file in given:
        if is_clutter(name) or inner.takes(name):
            continue
        if is_archive_name(name):
            yield from _unpacked(name, file, limits, passed_over)
        elif "/" in name and not is_image_name(name):
            passed_over.files.append(name)
        else:
            yield _read_or_refused(name, reads[name])


def prepare(incoming: Incoming, limits: Limits) -> PreparedImage:
    """Return the image, decoded to its end once and measured.

    Raises:
        ImageReadError: not an image, damaged or cut off.
        LimitError: too many bytes or pixels.
    """
    name, data = incoming.file_name, incoming.data
    if len(data) > limits.max_file_bytes:
        raise LimitError(too_large(name, limits))
    max_pixels = limits.max_image_pixels
    size = read_header(data, file_name=name, max_pixels=max_pixels).size
    # A JPEG's data is read to the end at any reduction, so a cut is found all the same.
    loaded = load_image(
        data, file_name=name, max_pixels=max_pixels, wanted=decoding_size(size)
    )
    return PreparedImage(name, data, size, assess(loaded))


def scan_source(
    source: str | os.PathLike[str],
    limits: Limits,
    *,
    passed_over: SkippedFiles | None = None,
) -> Iterator[SourceFile]:
    """Yield the image files of a folder, a zip, one image or an fsspec URL, by name.

    Folders are searched through; hidden files and folders are left alone, and so is
    what an earlier export wrote into it, unless it is all there is.

    Args:
        source: a path, or a URL such as `s3://bucket/folder`.
        limits: for zips and for each file.
        passed_over: collects earlier exports and files that are no images.

    Raises:
        ImageReadError: the source is not there or cannot be opened.
        ArchiveError, LimitError: it is a zip that cannot be unpacked.
    """
    location = os.fspath(source)
    if is_url(location):
        files = _scan_url(location, limits)
    else:
        files = _scan_path(Path(location), limits)
    name = _last_part(shown_url(location) if is_url(location) else location)
    passed_over = SkippedFiles() if passed_over is None else passed_over
    inner = _without_exports({file.name: file.read for file in files}, passed_over)
    for file in sorted(files, key=lambda file: file.name):
        if file.name == name:
            yield file
        elif inner.takes(file.name) or _is_hidden(file.name) or is_clutter(file.name):
            continue
        elif is_archive_name(file.name):
            yield SourceFile(file.name, partial(_refuse_nested, file.name))
        elif file.is_folder or is_image_name(file.name):
            yield file
        else:
            passed_over.files.append(file.name)


def sample_photographs() -> list[tuple[str, Path]]:
    """Return name and file of each sample photograph, by name."""
    return [(path.name, path) for path in sorted(SAMPLES_FOLDER.glob("*.jpg"))]


def prepared_samples(limits: Limits) -> Iterator[PreparedImage | Refused]:
    """Yield the sample photographs, each decoded once in this process."""
    for _, path in sample_photographs():
        yield _prepared_sample(path, limits)


@lru_cache(maxsize=64)
def _prepared_sample(path: Path, limits: Limits) -> PreparedImage | Refused:
    # ImageBase's own files need no worker process.
    try:
        return prepare(Incoming(path.name, path.read_bytes()), limits)
    except ImageBaseError as error:
        return Refused(path.name, str(error))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _without_exports(
    reads: Mapping[str, Callable[[], bytes]], passed_over: SkippedFiles
) -> SkippedFiles:
    """Return the files that an earlier export wrote, which are skipped.

    If all images are in exports, none is skipped.
    """
    exports = earlier_exports(reads, lambda name: reads[name]())
    inner = SkippedFiles()
    inner.exports = exports
    images = [name for name in reads if is_image_name(name)]
    if exports and all(map(inner.takes, images)):
        return SkippedFiles()
    passed_over.exports += exports
    return inner


def _last_part(location: str) -> str:
    return PurePosixPath(location.replace("\\", "/")).name


def _read_or_refused(name: str, read: Callable[[], bytes]) -> Incoming | Refused:
    try:
        return Incoming(name, read())
    except ImageBaseError as error:
        return Refused(name, str(error))


def _unpacked(
    name: str, file: bytes | BinaryIO, limits: Limits, passed_over: SkippedFiles
) -> Iterator[Incoming | Refused]:
    try:
        members = archive_members(file, file_name=name, limits=limits)
    except ImageBaseError as error:
        yield Refused(name, str(error))
        return
    is_empty = True
    reads = {member.name: member.read for member in members}
    inner = _without_exports(reads, passed_over)
    for member in members:
        if inner.takes(member.name):
            continue
        if is_archive_name(member.name):
            yield Refused(member.name, _nested(member.name))
        elif is_image_name(member.name):
            yield _read_or_refused(member.name, member.read)
        else:
            passed_over.files.append(member.name)
            continue
        is_empty = False
    if is_empty:
        yield Refused(name, f"{name} holds no images; zip the folder that has them.")


def _nested(name: str) -> str:
    return f"{name} is a zip among the images; unpack it and add what it holds."


def _read_upload(name: str, file: bytes | BinaryIO, limits: Limits) -> bytes:
    if isinstance(file, bytes):
        return file
    file.seek(0)
    data = file.read(limits.max_file_bytes + 1)
    if len(data) > limits.max_file_bytes:
        raise LimitError(too_large(name, limits))
    return data


def _scan_path(path: Path, limits: Limits) -> list[SourceFile]:
    try:
        if path.is_dir():
            return list(_files_below(path, limits))
        if not path.is_file():
            raise ImageReadError(f"{path} is not there; check the path.")
        if is_archive_name(path.name):
            return _zip_files(path.open("rb"), path.name, limits)
    except OSError as error:
        raise _unopened(path, error) from error
    return [SourceFile(path.name, partial(_read_path, path, limits))]


def _files_below(folder: Path, limits: Limits) -> Iterator[SourceFile]:
    """Yield the files of a folder and of those in it, and the folders that stay shut.

    Raises:
        OSError: the folder itself does.
    """
    shut: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=shut.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(parent, name) for name in names):
            name = path.relative_to(folder).as_posix()
            yield SourceFile(name, partial(_read_path, path, limits))
    for error in shut:
        inside = Path(error.filename).relative_to(folder)
        if not inside.parts:
            raise error
        refuse = partial(_refuse_shut, inside, error)
        yield SourceFile(f"{inside.as_posix()}/", refuse, is_folder=True)


def _refuse_shut(folder: Path, error: OSError) -> bytes:
    raise _unopened(folder, error) from error


def _unopened(path: Path, error: OSError) -> ImageReadError:
    return ImageReadError(
        f"{path} cannot be opened ({error.strerror}); check its permissions."
    )


def _read_path(path: Path, limits: Limits) -> bytes:
    try:
        if path.stat().st_size > limits.max_file_bytes:
            raise LimitError(too_large(path.name, limits))
        return path.read_bytes()
    except OSError as error:
        raise _unopened(Path(path.name), error) from error


def _zip_files(file: BinaryIO, name: str, limits: Limits) -> list[SourceFile]:
    try:
        members = archive_members(file, file_name=name, limits=limits, takes_file=True)
    except ImageBaseError:
        file.close()
        raise
    return [SourceFile(member.name, member.read) for member in members]


def _refuse_nested(name: str) -> bytes:
    raise ArchiveError(_nested(name))


def _scan_url(url: str, limits: Limits) -> list[SourceFile]:
    location = open_location(url)
    name = _last_part(location.url)
    try:
        location.files.invalidate_cache()
        if not location.files.exists(location.root):
            raise ImageReadError(f"{location.url} is not there; check the address.")
        is_file = location.files.isfile(location.root)
        if is_file and is_archive_name(name):
            return _zip_files(location.files.open(location.root, "rb"), name, limits)
    # Every file system brings errors of its own kind.
    except Exception as error:
        location.refuse(error)
    if is_file:
        return [SourceFile(name, partial(_read_url, location, "", None, limits))]
    return [
        SourceFile(file, partial(_read_url, location, file, size, limits))
        for file, size in location.sizes().items()
        if file and not file.endswith("/")
    ]


def _read_url(location: Location, file: str, size: int | None, limits: Limits) -> bytes:
    """Read a file of a location; size: its bytes, where the listing had them."""
    name = _last_part(file or location.url)
    size = location.size(file) if size is None else size
    if (size or 0) > limits.max_file_bytes:
        raise LimitError(too_large(name, limits))
    data = location.read(file)
    if data is None:
        raise ImageReadError(f"{name} is not there any more; run it again.")
    return data
