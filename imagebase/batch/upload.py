"""Upload what a run wrote to a folder behind a URL, such as s3://bucket/labels.

A bucket cannot rename, so a reader tells a whole result by its last file: run.json is
deleted before the first file is replaced and written after the last, and each format's
manifest.json likewise. Until then `.manifest.json` lists what an upload writes: one
that was interrupted is known for ours by the next.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Self

from imagebase.errors import ExportError
from imagebase.formats.manifest import MANIFEST_FILE, ListedFile, files_listed
from imagebase.images.file_types import is_image_name
from imagebase.images.locations import Location
from imagebase.images.skipped_files import RUN_FILE

_MARKER: Final = ".manifest.json"


@dataclass(frozen=True, slots=True)
class Upload:
    """The way from a local folder, where a run writes, to its location.

    folder: on this machine, of the same name; it keeps an interrupted run's journal.
    """

    location: Location
    folder: Path

    @classmethod
    def to(cls, location: Location, home: Path) -> Self:
        """Return the upload to a location, whose folder is in the app's home."""
        digest = hashlib.sha256(location.url.encode()).hexdigest()
        name = PurePosixPath(location.root).name.strip(".") or "labels"
        return cls(location, home / "runs" / digest[:16] / name)

    def check(self, formats: Iterable[str]) -> None:
        """Check that the location takes files, and has none that were changed.

        Raises:
            ExportError: it does not, or a file of an earlier export was changed.
            ImageReadError: it cannot be read.
        """
        self.location.check_writable()
        for name in formats:
            _Stored.at(self.location / name).check_unchanged()
            # What a killed run left; only its journal is of use.
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def send(self, formats: Iterable[str]) -> None:
        """Upload the folders of these formats; one that was not written is left out.

        Raises:
            ExportError: one cannot be written, or would take the place of files that
                another program wrote or changed: then nothing is.
        """
        written = [name for name in formats if (self.folder / name).is_dir()]
        for name in written:
            stored = _Stored.at(self.location / name)
            stored.check_unchanged()
            stored.check_free(_manifest(self.folder / name))
        if written:
            self.location.delete([RUN_FILE])
        for name in written:
            _send_format(self.folder / name, self.location / name)

    def finish(self) -> None:
        """Upload run.json, and remove the local folder with its journal.

        Raises:
            ExportError: it cannot be written.
        """
        self.location.write(RUN_FILE, (self.folder / RUN_FILE).read_bytes())
        shutil.rmtree(self.folder.parent, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Stored:
    """The files of a format at the location. known: as our exports have written them.

    uploads: the lists of those that were interrupted.
    """

    target: Location
    sizes: Mapping[str, int | None]
    known: Mapping[str, set[ListedFile]]
    uploads: Sequence[dict[str, ListedFile]]

    @classmethod
    def at(cls, target: Location) -> Self:
        sizes = target.sizes()
        uploads = _uploads(target.read(_MARKER)) if _MARKER in sizes else []
        manifest = target.read(MANIFEST_FILE) if MANIFEST_FILE in sizes else None
        known: dict[str, set[ListedFile]] = {}
        for listed in (files_listed(manifest) or {}, *uploads):
            for path, file in listed.items():
                known.setdefault(path, set()).add(file)
        if manifest is not None and files_listed(manifest) is None:
            sizes = {**sizes, MANIFEST_FILE: None}
        elif manifest is not None:
            sizes = {path: n for path, n in sizes.items() if path != MANIFEST_FILE}
        return cls(target, sizes, known, uploads)

    def check_unchanged(self) -> None:
        there = [path for path in self.known if path in self.sizes]
        for path in _different(self, {path: self.known[path] for path in there}):
            raise ExportError(
                f"{self.target.url}/{path} was changed after ImageBase wrote it; move "
                "it away and try again, or choose another folder."
            )

    def check_free(self, manifest: Mapping[str, ListedFile]) -> None:
        others = {
            path: {file}
            for path, file in manifest.items()
            if path in self.sizes and path not in self.known
        }
        in_the_way = [MANIFEST_FILE] if MANIFEST_FILE in self.sizes else []
        for path in (*in_the_way, *_different(self, others)):
            raise ExportError(
                f"{self.target.url}/{path} is in the way, and ImageBase did not write "
                "it; move it away and try again, or choose another folder."
            )


def _different(
    stored: _Stored, expected: Mapping[str, set[ListedFile]]
) -> Iterator[str]:
    """Yield the files that are none of the expected ones.

    Images are told by their length: to read all of them takes as long as the run.
    """
    same_length = []
    for path, files in expected.items():
        size = stored.sizes[path]
        if size is not None and size not in {file.byte_count for file in files}:
            yield path
        elif not is_image_name(path):
            same_length.append(path)
    for path, data in stored.target.read_many(same_length):
        digest = hashlib.sha256(data).hexdigest()
        if digest not in {file.sha256 for file in expected[path]}:
            yield path


def _send_format(folder: Path, target: Location) -> None:
    stored = _Stored.at(target)
    manifest = _manifest(folder)
    marker = _marker([*stored.uploads, manifest])

    def check_alone(*_: int) -> None:
        if target.read(_MARKER) != marker:
            raise ExportError(
                f"Another run is writing to {target.url}; wait for its end, or give "
                "another folder."
            )

    target.write(_MARKER, marker)
    target.delete([MANIFEST_FILE])
    target.upload(folder, list(manifest), check_alone)
    _check_whole(target, manifest)
    check_alone()
    target.delete(
        [path for path in stored.known if path in stored.sizes and path not in manifest]
    )
    target.write(MANIFEST_FILE, (folder / MANIFEST_FILE).read_bytes())
    target.delete([_MARKER])


def _check_whole(target: Location, manifest: Mapping[str, ListedFile]) -> None:
    sizes = target.sizes()
    for path, file in manifest.items():
        if sizes.get(path, -1) not in (None, file.byte_count):
            raise ExportError(
                f"{target.url}/{path} was uploaded only in part; run it again."
            )


def _manifest(folder: Path) -> dict[str, ListedFile]:
    return files_listed((folder / MANIFEST_FILE).read_bytes()) or {}


def _marker(uploads: Iterable[dict[str, ListedFile]]) -> bytes:
    return json.dumps([{"files": _as_json(files)} for files in uploads]).encode()


def _as_json(files: Mapping[str, ListedFile]) -> dict[str, object]:
    return {
        path: {"sha256": file.sha256, "bytes": file.byte_count}
        for path, file in files.items()
    }


def _uploads(marker: bytes | None) -> list[dict[str, ListedFile]]:
    try:
        entries = json.loads(marker or b"[]")
        found = [files_listed(json.dumps(entry).encode()) for entry in entries]
    except (ValueError, TypeError):
        return []
    return [files for files in found if files is not None]
