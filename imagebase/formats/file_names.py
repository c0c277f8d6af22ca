"""File and folder names that are unique and safe on every system; the export set."""

import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final, Protocol

from imagebase.annotation import ImageRecord, LabelSet, ReviewStatus, clean_text
from imagebase.formats.base import (
    ExportImage,
    ExportSet,
    Format,
    ImageNames,
    StoredImages,
)
from imagebase.images.file_types import IMAGE_SUFFIXES

# Windows refuses these characters and names; the rest of the world can do without.
_UNSAFE: Final = re.compile(r'[<>:"\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029]')
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
# File systems take 255 bytes a part; suffixes and numbers are added to it.
_MAX_PART_BYTES: Final = 180
_SAME_SUFFIX: Final = {
    ".jpg": frozenset({".jpg", ".jpeg"}),
    ".tif": frozenset({".tif", ".tiff"}),
}


def build_export_set(
    name: str,
    labels: LabelSet,
    records: Sequence[ImageRecord],
    suffix_of: Callable[[ImageRecord], str],
    *,
    readable: Container[str] | None = None,
) -> ExportSet:
    """Return the set to be written, in the order of the records.

    Labels that stand on a box but not in the label set are added at its end.

    Args:
        suffix_of: the suffix of the image file that will be written, `.jpg` say; it may
            differ from the original's, as with HEIC.
        readable: as for `with_suffix`.
    """
    used = (annotation.label for record in records for annotation in record.annotations)
    wanted = [
        with_suffix(record.file_name, suffix_of(record), readable) for record in records
    ]
    images = tuple(
        ExportImage(record, unique, record.status is ReviewStatus.APPROVED)
        for record, unique in zip(records, export_names(wanted), strict=True)
    )
    return ExportSet(name, labels.with_labels(dict.fromkeys(used)), images)


def with_suffix(
    file_name: str, suffix: str, readable: Container[str] | None = None
) -> str:
    """Return the name with this suffix; spellings of the same suffix stay.

    Args:
        readable: the spellings that the program it is for reads; None where all are.
    """
    stem, current = split_suffix(file_name)
    is_same = current.lower() in _SAME_SUFFIX.get(suffix, {suffix})
    if is_same and (readable is None or current in readable):
        return file_name
    if current.lower() in IMAGE_SUFFIXES:
        return stem + suffix
    return file_name + suffix


def with_suffix_of(path: str, name: str) -> str:
    """Return a name that label files have without a suffix with that of the disk."""
    if image_stem(name) == name:
        return name + path.removeprefix(image_stem(path))
    return name


def split_suffix(name: str) -> tuple[str, str]:
    """Return a name without its suffix, folders and all, and the suffix."""
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix else name, suffix


def image_stem(name: str) -> str:
    """Return an image's name without its suffix, folders and all.

    Without an image file the name may have none: dots in it then belong to it.
    """
    stem, suffix = split_suffix(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name


def export_names(file_names: Sequence[str]) -> list[str]:
    """Return a name for each file: unique ignoring case and suffix, safe everywhere.

    The first of a name keeps it, later ones are numbered (`a.jpg`, `a_2.png`). Safe
    and unique names come back unchanged.
    """
    taken = NameTaker(set(), set(), set())
    safe = [safe_path(name) for name in file_names]
    keeps = [taken.take(name) for name in safe]
    return [
        name if kept else taken.numbered(name)
        for name, kept in zip(safe, keeps, strict=True)
    ]


def flat_names(names: Iterable[str]) -> list[str]:
    """Return unique names without folders, for formats whose readers know none."""
    return export_names([flat_name(name) for name in names])


def flat_name(name: str) -> str:
    """Return a path as one name."""
    return name.replace("/", "_")


def flat_image_names(export_set: ExportSet) -> Iterable[str]:
    """Return `flat_names` of a set's images; where it has them, none is held here."""
    images = export_set.images
    if isinstance(images, StoredImages) and images.has_flat_names:
        return ImageNames(images)
    return flat_names(image.name for image in export_set.images)


def names_in(format_: Format, export_set: ExportSet) -> Iterable[str]:
    """Return image names as a format writes them, in the order of the images."""
    if format_.has_flat_names:
        return flat_image_names(export_set)
    return ImageNames(export_set.images)


def safe_path(name: str) -> str:
    """Return a relative path without anything that a file system or zip refuses."""
    parts = [
        part
        for part in name.replace("\\", "/").split("/")
        if part not in ("", ".", "..")
    ]
    if not parts:
        return "image"
    *folders, last = parts
    stem = image_stem(last)
    suffix = _safe_text(last.removeprefix(stem)).rstrip(" .")
    return "/".join([*map(safe_part, folders), safe_part(stem) + suffix])


def safe_part(text: str) -> str:
    """Return one part of a path, made safe; never empty."""
    part = _shortened(_safe_text(text)).rstrip(" .")
    if part.startswith("."):
        part = "_" + part[1:]
    if _RESERVED.fullmatch(part):
        part = "_" + part
    return part or "_"


def _safe_text(text: str) -> str:
    return _UNSAFE.sub("_", unicodedata.normalize("NFC", clean_text(text)))


def _shortened(text: str) -> str:
    return text.encode()[:_MAX_PART_BYTES].decode("utf-8", "ignore")


def label_folders(labels: LabelSet) -> dict[str, str]:
    """Return a folder name for each label: safe, unique ignoring case."""
    folders: dict[str, str] = {}
    used = {"_background", "_unlabelled", "backup"}
    for name in labels.names:
        base = safe_part(name.strip().replace("/", "_"))
        folder, number = base, 2
        while folder.casefold() in used:
            folder, number = f"{base}_{number}", number + 1
        used.add(folder.casefold())
        folders[name] = folder
    return folders


class _Texts(Protocol):
    def __contains__(self, text: str, /) -> bool: ...

    def add(self, text: str, /) -> object: ...


class NameTaker:
    """Names in use: files with and without their suffix, and folders."""

    def __init__(self, stems: _Texts, files: _Texts, folders: _Texts) -> None:
        self._stems = stems
        self._files = files
        self._folders = folders
        # The next number to try: a thousand of one name must not begin at 2 each.
        self._numbers: dict[str, int] = {}

    def take(self, name: str) -> bool:
        """Take a name unless it clashes with one taken before."""
        file = name.casefold()
        stem = image_stem(file)
        folders = [
            str(folder) for folder in PurePosixPath(file).parents if str(folder) != "."
        ]
        is_taken = stem in self._stems or file in self._folders
        if is_taken or any(folder in self._files for folder in folders):
            return False
        self._stems.add(stem)
        self._files.add(file)
        for folder in folders:
            self._folders.add(folder)
        return True

    def numbered(self, name: str) -> str:
        if self._is_below_a_file(name):
            name = name.replace("/", "_")
        stem = image_stem(name)
        suffix = name.removeprefix(stem)
        number = self._numbers.get(stem, 2)
        while not self.take(candidate := f"{stem}_{number}{suffix}"):
            number += 1
        self._numbers[stem] = number + 1
        return candidate

    def _is_below_a_file(self, name: str) -> bool:
        parents = PurePosixPath(name.casefold()).parents
        return any(str(folder) in self._files for folder in parents)
