"""A whole export: written, read back, compared, and only then put in its place."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from imagebase.annotation import Annotation, Box, Size
from imagebase.annotation.attributes import stated
from imagebase.errors import ExportError
from imagebase.formats.base import (
    ExportFile,
    ExportSet,
    Format,
    ImageReference,
    LeftOut,
    WriteOptions,
)
from imagebase.formats.manifest import (
    MANIFEST_FILE,
    REPORT_FILE,
    About,
    Exported,
    check_free,
    check_unchanged,
    manifest_json,
    remove_earlier,
    report_markdown,
)
from imagebase.formats.registry import format_named
from imagebase.formats.shapes import writable
from imagebase.formats.trees import FolderTree, ZipTree
from imagebase.formats.verify import Verification, compare_files, prove
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
from imagebase.wording import plural

Progress = Callable[[int, int], None]
Warnings = Callable[[], tuple[str, ...]]

_log: Final = logging.getLogger(__name__)

# A process that is killed while it writes leaves a folder of such a name.
DRAFT_PREFIX: Final = ".export-"

SMALL_PX: Final = 4
# Of names in one sentence.
_MOST_NAMES: Final = 8

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
    picture_paths: where in the export the picture of each image that was kept lies.
    """

    path: Path
    byte_count: int
    images: int
    boxes: int
    labels: int
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]
    proof: Verification
    picture_paths: Mapping[str, str] = field(default_factory=dict)


def export_zip(
    export_set: ExportSet,
    format_name: str,
    *,
    images: ImageBytes,
    path: Path,
    options: WriteOptions | None = None,
    progress: Progress | None = None,
    image_warnings: Warnings = tuple,
    about: About | None = None,
    keep: Collection[str] = (),
    max_pixels: int | None = None,
) -> ExportSummary:
    """Write a zip; it appears under its name only once it has been read back.

    Args:
        images: the bytes to be written for an image id, upright and 8-bit.
        progress: called with images done and all images.
        image_warnings: called once the images are written; what they came to.
        about: what the manifest and the report are to say besides.
        keep: ids of images that the proof is to show as they were read.
        max_pixels: of a picture, each of which is then opened and its size compared;
            None compares their bytes alone.

    Raises:
        UnknownFormatError: no such format.
        ExportError: it could not be written, or did not compare. No zip is left.
    """
    one = format_named(format_name).in_zip
    files = _Files(export_set, one, options or WriteOptions(), progress)
    with _temporary_folder(path.parent) as folder, closing(WrittenFiles()) as written:
        draft = folder / "export.zip"
        written.extend(write_zip(files, draft, images))
        with ZipTree(draft, OWN_LIMITS) as tree:
            proof = prove(export_set, tree, format_name, layout=one, keep=keep)
            sizes = files.sizes if max_pixels else {}
            proof = compare_files(
                proof, tree, written, sizes=sizes, max_pixels=max_pixels or 0
            )
        _check_holds(proof, format_name)
        warnings = warnings_about(export_set, one) + image_warnings()
        exported = Exported(
            export_set, format_name, one, proof, warnings, about or About()
        )
        for said in _said(exported, written):
            append_to_zip(draft, *said)
        byte_count = draft.stat().st_size
        draft.replace(path)
    kept = {one: files.paths[one] for one in keep if one in files.paths}
    return replace(_summary(path, byte_count, exported), picture_paths=kept)


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
            of what somebody else wrote or changed; the folder is as it was.
    """
    one = format_named(format_name)
    files = _told(export_set, one, options or WriteOptions(), progress)
    with _temporary_folder(folder.parent) as draft, closing(WrittenFiles()) as written:
        written.extend(write_folder(files, draft, images))
        tree = FolderTree(draft, OWN_LIMITS)
        proof = prove(export_set, tree, format_name)
        proof = compare_files(proof, tree, written, sizes={}, max_pixels=0)
        _check_holds(proof, format_name)
        warnings = warnings_about(export_set, one)
        exported = Exported(export_set, format_name, one, proof, warnings, About())
        for name, parts in _said(exported, written):
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


def _said(
    exported: Exported, written: WrittenFiles
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Yield the report, and the manifest, which lists the report too."""
    text = report_markdown(exported, written)
    yield REPORT_FILE, [text]
    written.add(written_bytes(REPORT_FILE, text))
    yield MANIFEST_FILE, manifest_json(exported, written)


def warnings_about(export_set: ExportSet, one: Format) -> tuple[str, ...]:
    """Return what a person should know before training on this export."""
    warnings = []
    if not export_set.images:
        warnings.append("There are no images in it.")
    if not len(export_set.labels):
        warnings.append("There are no labels in it.")
    unreviewed = small = described = 0
    names: dict[str, None] = {}
    for image in export_set.images:
        unreviewed += not image.is_reviewed
        for box in writable(image):
            small += _is_small(box.box)
            lost = not_held(box, one) if box.attributes else ()
            described += bool(lost)
            names |= dict.fromkeys(lost)
    if unreviewed:
        total, have = len(export_set.images), "has" if unreviewed == 1 else "have"
        warnings.append(
            f"{unreviewed:,} of {plural(total, 'image')} {have} not been reviewed."
        )
    if small and one.has_boxes:
        verb = "box is" if small == 1 else "boxes are"
        warnings.append(
            f"{small:,} {verb} under {SMALL_PX} pixels wide or high; detectors hardly "
            "learn from these."
        )
    if described and one.has_boxes:
        warnings.append(_cannot_hold(described, list(names), one))
    if not one.holds_areas:
        warnings += _areas_left(export_set, one)
    if not one.has_boxes and any(
        image.record.annotations for image in export_set.images
    ):
        warnings.append("It labels whole images: where the boxes are is not in it.")
    if one.lists_train_as_val and export_set.images and not export_set.has_split:
        warnings.append(
            "There is no split: all images are named for training and for validation."
        )
    return tuple(warnings)


def _areas_left(export_set: ExportSet, one: Format) -> Iterator[str]:
    counts = [len(image.record.ignored) for image in export_set.images]
    areas, images = sum(counts), sum(map(bool, counts))
    if areas:
        verb = "area is" if areas == 1 else "areas are"
        where = "1 image" if images == 1 else f"{images:,} images"
        yield (
            f"{areas:,} ignore {verb} not in it, on {where}: {one.title} cannot hold "
            "them. Black them out instead, or a model learns that nothing is there."
        )


def not_held(box: Annotation, one: Format) -> tuple[str, ...]:
    """Return the names of a box's attributes that this format cannot hold."""
    said = stated(box.attributes).items()
    return tuple(name for name, value in said if not one.holds(name, value))


def _cannot_hold(boxes: int, names: list[str], one: Format) -> str:
    most = _MOST_NAMES
    listed = ", ".join(sorted(names)[:most])
    if len(names) > most:
        listed += f" and {len(names) - most:,} more"
    verb = "box has" if boxes == 1 else "boxes have"
    return f"{boxes:,} {verb} attributes ({listed}) that {one.title} cannot hold."


def _is_small(box: Box) -> bool:
    return min(box.width, box.height) < SMALL_PX


def _told(
    export_set: ExportSet, one: Format, options: WriteOptions, progress: Progress | None
) -> Iterator[ExportFile]:
    """Yield the writer's files, and tell how far it is, image by image."""
    total = len(export_set.images)
    done, last = 0, ""
    for file in write_subsets(export_set, one, options):
        yield file
        if progress and isinstance(file.content, ImageReference):
            # An image that is written more than once is so in one go.
            done += file.content.image_id != last
            last = file.content.image_id
            progress(done, total)
    if progress:
        progress(total, total)


@dataclass
class _Files:
    """The writer's files, that tell how far it is, image by image.

    sizes: of the pictures written so far, by their paths. paths: by image id.
    """

    export_set: ExportSet
    format: Format
    options: WriteOptions
    progress: Progress | None
    sizes: dict[str, Size] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ExportFile]:
        by_id = {
            image.record.image_id: image.record.size for image in self.export_set.images
        }
        for file in write_subsets(self.export_set, self.format, self.options):
            yield file
            if isinstance(file.content, ImageReference):
                image_id = file.content.image_id
                self.sizes[file.path] = by_id[image_id]
                self.paths.setdefault(image_id, file.path)
                self._tell(len(self.paths), len(by_id))
        self._tell(len(by_id), len(by_id))

    def _tell(self, done: int, total: int) -> None:
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
            f"The {format_name} export was read back and is not what was written, so "
            f"it is not offered: {first}"
        )


def _summary(path: Path, byte_count: int, exported: Exported) -> ExportSummary:
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
