"""What an earlier export left in a folder: replaced only where it is as it was left."""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

from imagebase.errors import ExportError
from imagebase.formats import manifest
from imagebase.formats.writer import WrittenFile


def check_unchanged(folder: Path) -> None:
    """See that nobody worked on the files of an earlier export.

    Raises:
        ExportError: somebody did, and it would be lost.
    """
    for path, sha256 in _listed(folder).items():
        if path.is_file() and _sha256(path) != sha256:
            raise ExportError(
                f"{path} was changed after ImageBase wrote it; move it away and try "
                "again, or choose another folder."
            )


def check_free(folder: Path, files: Iterable[WrittenFile]) -> None:
    """See that nothing is in the way of files but those of an earlier export.

    A file that has the same content already is not in the way.

    Raises:
        ExportError: something is.
    """
    if _manifest_files(folder) is None:
        _check_absent(folder / manifest.FILE)
    listed = _listed(folder)
    for name, sha256, _ in files:
        path = folder / name
        is_ours = path.resolve() in listed
        if not is_ours and not (path.is_file() and _sha256(path) == sha256):
            _check_absent(path)


def check_zip_is_free(path: Path) -> None:
    """See that no file but a zip of an earlier export is in the way.

    Raises:
        ExportError: another file is, or a folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            is_ours = manifest.FILE in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        is_ours = False
    if not is_ours:
        _check_absent(path)


def remove_earlier(folder: Path) -> None:
    """Remove the files of an earlier export, but for its manifest."""
    for path in _listed(folder):
        if path.is_file():
            path.unlink()


def _check_absent(path: Path) -> None:
    if os.path.lexists(path):
        raise ExportError(
            f"{path} is in the way, and ImageBase did not write it; move it away and "
            "try again, or choose another folder."
        )


def _listed(folder: Path) -> dict[Path, str]:
    """Return the SHA-256 of each file that a manifest lists, if it is in the folder."""
    root = folder.resolve()
    files = _manifest_files(folder) or {}
    resolved = {(root / name).resolve(): sha256 for name, sha256 in files.items()}
    return {
        path: sha256 for path, sha256 in resolved.items() if path.is_relative_to(root)
    }


def _manifest_files(folder: Path) -> dict[str, str] | None:
    """Return the SHA-256 of each file in a manifest; None where there is no such."""
    try:
        files = json.loads((folder / manifest.FILE).read_bytes())["files"]
        return {name: str(said.get("sha256")) for name, said in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ExportError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from error
