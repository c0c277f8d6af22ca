"""A whole export: written, read back, compared, and only then put in its place."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imagebase.errors import ExportError
from imagebase.formats import manifest as manifests
from imagebase.formats.label_set_files import (
    ExportFile,
    ExportSet,
    FileTree,
    Format,
    ImageReference,
    LeftOut,
    WriteOptions,
)
from imagebase.formats.proof import Proof, prove
from imagebase.formats.registry import format_named
from imagebase.formats.sinks import (
    ImageBytes,
    append_to_zip,
    write_folder,
    write_zip,
)
from imagebase.formats.trees import FolderTree, ZipTree
from imagebase.settings import Limits

Progress = Callable[[int, int], None]
Warnings = Callable[[], tuple[str, ...]]

# A process that is killed while it writes leaves a folder of such a name.
DRAFT_PREFIX: Final = ".export-"

# What we wrote ourselves is read back whatever its size.
_OWN_LIMITS: Final = Limits(
    max_file_bytes=1 << 62,
    max_archive_files=1 << 62,
    max_boxes_per_image=1 << 62,
    max_labels=1 << 62,
)


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export came to. warnings: sentences for the person who asked for it."""

    path: Path
    byte_count: int
    images: int
    boxes: int
    labels: int
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]
    proof: Proof


def export_zip(
    export_set: ExportSet,
    format_name: str,
    *,
    images: ImageBytes,
    path: Path,
    options: WriteOptions | None = None,
    progress: Progress | None = None,
    image_warnings: Warnings = tuple,
) -> ExportSummary:
    """Write a zip; it appears under its name only once it has been read back.

    Args:
        images: the bytes to be written for an image id, upright and 8-bit.
        progress: called with images done and all images.
        image_warnings: called once the images are written; what they came to.

    Raises:
        UnknownFormatError: no such format.
        ExportError: it could not be written, or did not compare. No zip is left.
    """
    one = format_named(format_name)
    files = _files(export_set, one, options or WriteOptions(), progress)
    with _temporary_folder(path.parent) as folder:
        draft = folder / "export.zip"
        written = list(write_zip(files, draft, images))
        with ZipTree(draft, _OWN_LIMITS) as tree:
            proof = _proven(export_set, format_name, tree)
        warnings = warnings_about(export_set, one) + image_warnings()
        text = manifests.manifest(
            export_set, format_name, one, files=written, proof=proof, warnings=warnings
        )
        append_to_zip(draft, manifests.FILE, text)
        byte_count = draft.stat().st_size
        draft.replace(path)
    return _summary(path, byte_count, export_set, warnings, proof)


def export_folder(
    export_set: ExportSet,
    format_name: str,
    *,
    images: ImageBytes,
    folder: Path,
    options: WriteOptions | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Write into a folder, as `export_zip` does into a zip.

    Files of an earlier export, as its manifest lists them, make room for the new ones;
    whatever else is there stays.

    Raises:
        UnknownFormatError: no such format.
        ExportError: it could not be written, or did not compare, in which case the
            folder is as it was.
    """
    one = format_named(format_name)
    files = _files(export_set, one, options or WriteOptions(), progress)
    with _temporary_folder(folder.parent) as draft:
        written = list(write_folder(files, draft, images))
        proof = _proven(export_set, format_name, FolderTree(draft, _OWN_LIMITS))
        warnings = warnings_about(export_set, one)
        text = manifests.manifest(
            export_set, format_name, one, files=written, proof=proof, warnings=warnings
        )
        (draft / manifests.FILE).write_bytes(text)
        _remove_earlier(folder)
        for path in [*(file.path for file in written), manifests.FILE]:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            (draft / path).replace(target)
    byte_count = sum(file.byte_count for file in written) + len(text)
    return _summary(folder, byte_count, export_set, warnings, proof)


def warnings_about(export_set: ExportSet, one: Format) -> tuple[str, ...]:
    """Return what a person should know before training on this export."""
    warnings = []
    if not export_set.images:
        warnings.append("There are no images in it.")
    if not len(export_set.labels):
        warnings.append("There are no labels in it.")
    unreviewed = sum(not image.is_reviewed for image in export_set.images)
    if unreviewed:
        total = len(export_set.images)
        warnings.append(f"{unreviewed} of {total} images have not been reviewed.")
    if not one.has_boxes and any(
        image.record.annotations for image in export_set.images
    ):
        warnings.append("It labels whole images: where the boxes are is not in it.")
    if one.lists_train_as_val and export_set.images and not export_set.has_split:
        warnings.append(
            "There is no split: all images are named for training and for validation."
        )
    return tuple(warnings)


def _files(
    export_set: ExportSet, one: Format, options: WriteOptions, progress: Progress | None
) -> Iterator[ExportFile]:
    """Yield the writer's files and tell how far it is, image by image."""
    total = len(export_set.images)
    seen: set[str] = set()
    for file in one.write(export_set, options):
        yield file
        if progress and isinstance(file.content, ImageReference):
            seen.add(file.content.image_id)
            progress(len(seen), total)
    if progress:
        progress(total, total)


def _proven(export_set: ExportSet, format_name: str, tree: FileTree) -> Proof:
    proof = prove(export_set, tree, format_name)
    if not proof.holds:
        first = proof.differences[0] if proof.differences else "Boxes are missing."
        raise ExportError(
            f"The {format_name} export was read back and is not what was written, so "
            f"it is not offered: {first}"
        )
    return proof


def _summary(
    path: Path,
    byte_count: int,
    export_set: ExportSet,
    warnings: tuple[str, ...],
    proof: Proof,
) -> ExportSummary:
    return ExportSummary(
        path,
        byte_count,
        len(export_set.images),
        proof.boxes_written,
        len(export_set.labels),
        proof.left_out,
        warnings,
        proof,
    )


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """Give a folder on the same disk, so that its files can be moved in one step."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=parent))
    except OSError as error:
        raise ExportError(f"{parent} cannot be written to: {error}.") from error
    try:
        yield folder
    except OSError as error:
        raise ExportError(f"The export could not be written: {error}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_earlier(folder: Path) -> None:
    """Remove what an earlier export lists in its manifest, if it is in the folder."""
    try:
        listed = json.loads((folder / manifests.FILE).read_bytes())["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return
    root = folder.resolve()
    for name in listed:
        path = (folder / str(name)).resolve()
        if path.is_relative_to(root) and path.is_file():
            path.unlink()
