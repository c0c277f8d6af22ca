"""Files of a source that are skipped, counted and reported."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Final

from imagebase.errors import ImageBaseError
from imagebase.wording import listed, plural_noun

NO_SUFFIX: Final = "no suffix"
EARLIER: Final = "an earlier export of ImageBase, passed over"

MANIFEST_FILE: Final = "manifest.json"
RUN_FILE: Final = "run.json"  # of `annotate`
# What every manifest begins with, and no manifest of another program.
_BEGINNING: Final = (b'"format": ', b'"title": ', b'"zip": {', b'"conventions": {')
_BEGINNING_BYTES: Final = 8_192


class SkippedFiles:
    """Files of a source that were passed over.

    files: names of files that are no images by their suffix. exports: folders that an
    earlier export or run of ours wrote, each with `/` at its end.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self.exports: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.exports)

    def takes(self, name: str) -> bool:
        """Say whether a file is of an earlier export, and so not of the source."""
        folder, _, last = name.rpartition("/")
        is_run = last == RUN_FILE and any(
            export.startswith(f"{folder}/" if folder else "") for export in self.exports
        )
        return is_run or name.startswith(self.exports)

    @property
    def kinds(self) -> dict[str, int]:
        """How many files there are of each suffix, the most frequent first."""
        suffixes = (PurePosixPath(file).suffix.lower() for file in self.files)
        return dict(Counter(suffix or NO_SUFFIX for suffix in suffixes).most_common())

    def sentences(self) -> list[str]:
        """Return sentences about skipped files."""
        lines = [
            f"{export} is an earlier export of ImageBase: passed over."
            for export in self.exports
        ]
        if self.files:
            verb = "is no image" if len(self.files) == 1 else "are no images"
            counts = [_in_words(kind, count) for kind, count in self.kinds.items()]
            lines.append(f"Passed over: {listed(counts)}, which {verb}.")
        return lines


def _in_words(kind: str, count: int) -> str:
    file = plural_noun(count, "file")
    if kind == NO_SUFFIX:
        return f"{count:,} {file} without a suffix"
    return f"{count:,} {kind} {file}"


def earlier_exports(
    names: Iterable[str], read: Callable[[str], bytes]
) -> tuple[str, ...]:
    """Return the folders that an export wrote, each with `/` at its end.

    The outermost folder is not skipped: naming it means to read it.

    Args:
        names: of files, `/` between the parts.
        read: returns a file's bytes, or its first thousands.
    """
    exports = []
    for name in names:
        folder, _, last = name.rpartition("/")
        if folder and last == MANIFEST_FILE and _is_ours(name, read):
            exports.append(f"{folder}/")
    return tuple(exports)


def is_manifest(data: bytes) -> bool:
    """Say whether a file, or its first thousands of bytes, is a manifest of ours."""
    beginning = data[:_BEGINNING_BYTES]
    return beginning.startswith(b"{") and all(mark in beginning for mark in _BEGINNING)


def _is_ours(name: str, read: Callable[[str], bytes]) -> bool:
    try:
        return is_manifest(read(name))
    except (ImageBaseError, OSError):
        return False
