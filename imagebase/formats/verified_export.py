"""Export into a zip or a folder: write, read back, verify, then move into place."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from imagebase.annotation import Size
from imagebase.errors import ExportError
from imagebase.formats.base import (
    ExportFile,
    ExportSet,
    Format,
    ImageReference,
    SkippedBox,
    WriteOptions,
)
from imagebase.formats.manifest import (
    MANIFEST_FILE,
    REPORT_FILE,
    ExportDetails,
    ExportNotes,
    check_free,
    check_unchanged,
    manifest_json,
    remove_earlier,
    report_markdown,
    warnings_about,
)
from imagebase.formats.registry import format_named
from imagebase.formats.trees import FolderTree, ZipTree
from imagebase.formats.verify import Verification, verify, verify_files
from imagebase.formats.writer import (
    ImageBytes,
    WrittenFiles,
    append_to_zip,
    write_folder,
    write_subsets,
    write_zip,
    written_bytes,
)
from imagebase.settings import Limits

Progress = Callable[[int, int], None]
Warnings = Callable[[], tuple[str, ...]]

_log: Final = logging.getLogger(__name__)

# A process that is killed while it writes leaves a folder of such a name.
DRAFT_PREFIX: Final = ".export-"

# What we wrote ourselves is read back whatever its size.
OWN_LIMITS: Final = Limits(
    max_file_bytes=1 << 62,
    max_archive_files=1 << 62,
    max_boxes_per_image=1 << 62,
    max_labels=1 << 62,
)


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export came to.

    warnings: sentences for the person who asked for it.
    image_paths: in the export, of each image that was kept, by its id.
    """

    path: Path
    byte_count: int
    images: int
    boxes: int
    labels: int
    left_out: tuple[SkippedBox, ...]
    warnings: tuple[str, ...]
    proof: Verification
    image_paths: Mapping[str, str] = field(default_factory=dict)


def export_zip(
    export_set: ExportSet,
    format_name: str,
    *,
    images: ImageBytes,
    path: Path,
    options: WriteOptions | None = None,
    progress: Progress | None = None,
    image_warnings: Warnings = tuple,
    about: ExportNotes | None = None,
    keep: Collection[str] = (),
    max_pixels: int | None = None,
) -> ExportSummary:
    """Write a zip; it appears under its name only once it has been read back.

    Args:
        images: the bytes to be written for an image id, upright and 8-bit.
        progress: called with images done and all images.
        image_warnings: called once the images are written; what they came to.
        about: what the manifest and the report are to say besides.
        keep: ids of images to return in the proof, as read.
        max_pixels: of an image, each of which is then opened and its size compared;
            None compares their bytes alone.

    Raises:
        UnknownFormatError: no such format.
        ExportError: it could not be written, or did not compare. No zip is left.
    """
    layout = format_named(format_name).in_zip
    files = _WriterFiles(
        *(export_set, layout, options or WriteOptions(), progress),
        keep=frozenset(keep),
        with_sizes=max_pixels is not None,
    )
    with _temporary_folder(path.parent) as folder, closing(WrittenFiles()) as written:
        draft = folder / "export.zip"
        written.extend(write_zip(files, draft, images))
        with ZipTree(draft, OWN_LIMITS) as tree:
            proof = verify(export_set, tree, format_name, layout=layout, keep=keep)
            proof = verify_files(
                proof, tree, written, sizes=files.sizes, max_pixels=max_pixels or 0
            )
        _check_holds(proof, format_name)
        warnings = warnings_about(export_set, layout) + image_warnings()
        exported = ExportDetails(
            export_set, format_name, layout, proof, warnings, about or ExportNotes()
        )
        for name, parts in _documents(exported, written):
            append_to_zip(draft, name, parts)
        byte_count = draft.stat().st_size
        draft.replace(path)
    return replace(_summary(path, byte_count, exported), image_paths=files.paths)


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
        ExportError: it could not be written, did not compare, or would take the place
            of files that another program wrote or changed; the folder is unchanged.
    """
    layout = format_named(format_name)
    files = _WriterFiles(export_set, layout, options or WriteOptions(), progress)
    with _temporary_folder(folder.parent) as draft, closing(WrittenFiles()) as written:
        written.extend(write_folder(files, draft, images))
        tree = FolderTree(draft, OWN_LIMITS)
        proof = verify(export_set, tree, format_name)
        proof = verify_files(proof, tree, written, sizes={}, max_pixels=0)
        _check_holds(proof, format_name)
        warnings = warnings_about(export_set, layout)
        exported = ExportDetails(
            export_set, format_name, layout, proof, warnings, ExportNotes()
        )
        for name, parts in _documents(exported, written):
            with (draft / name).open("wb") as file:
                file.writelines(parts)
        byte_count = sum(file.byte_count for file in written)
        byte_count += (draft / MANIFEST_FILE).stat().st_size
        check_unchanged(folder)
        check_free(folder, written)
        remove_earlier(folder)
        # The manifest goes first: whatever ends this, the next export knows its files.
        for path in (MANIFEST_FILE, *(file.path for file in written)):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            (draft / path).replace(target)
    return _summary(folder, byte_count, exported)


def _documents(
    exported: ExportDetails, written: WrittenFiles
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Yield the report, and the manifest, which lists the report too."""
    text = report_markdown(exported, written)
    yield REPORT_FILE, [text]
    written.add(written_bytes(REPORT_FILE, text))
    yield MANIFEST_FILE, manifest_json(exported, written)


@dataclass
class _WriterFiles:
    """The writer's files; reports progress image by image.

    keep: ids of images whose paths are asked for. with_sizes: for all images.
    sizes: of the images written so far, by their paths. paths: by image id.
    """

    export_set: ExportSet
    format: Format
    options: WriteOptions
    progress: Progress | None
    keep: Collection[str] = ()
    with_sizes: bool = False
    sizes: dict[str, Size] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ExportFile]:
        size_of: dict[str, Size] = {}
        if self.with_sizes:
            records = (image.record for image in self.export_set.images)
            size_of = {record.image_id: record.size for record in records}
        total, done, last = len(self.export_set.images), 0, ""
        for file in write_subsets(self.export_set, self.format, self.options):
            yield file
            if isinstance(file.content, ImageReference):
                image_id = file.content.image_id
                if image_id in size_of:
                    self.sizes[file.path] = size_of[image_id]
                if image_id in self.keep:
                    self.paths.setdefault(image_id, file.path)
                # An image that is written more than once is so in one go.
                done += image_id != last
                last = image_id
                self._report(done, total)
        self._report(total, total)

    def _report(self, done: int, total: int) -> None:
        if self.progress:
            self.progress(done, total)


def _check_holds(proof: Verification, format_name: str) -> None:
    if proof.holds:
        _log.info(
            "Export as %s verified: %d boxes and %d files read back equal",
            *(format_name, proof.boxes_equal, proof.files_equal),
        )
    else:
        first = proof.differences[0] if proof.differences else "Boxes are missing."
        raise ExportError(
            f"The {format_name} export failed verification: the files read back "
            f"differ from what was written. {first}"
        )


def _summary(path: Path, byte_count: int, exported: ExportDetails) -> ExportSummary:
    proof = exported.proof
    return ExportSummary(
        path,
        byte_count,
        len(exported.export_set.images),
        proof.boxes_written,
        len(exported.export_set.labels),
        proof.left_out,
        exported.warnings,
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
