"""manifest.json and EXPORT_REPORT.md, and the files that an earlier manifest lists."""

import hashlib
import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from imagebase.annotation import Annotation
from imagebase.annotation.attributes import stated
from imagebase.errors import ExportError
from imagebase.formats.base import PARTS, ExportSet, Format
from imagebase.formats.shapes import writable
from imagebase.formats.text_files import json_line, json_list
from imagebase.formats.verify import Verification
from imagebase.formats.writer import WrittenFile, written_names
from imagebase.images.file_types import IMAGE_SUFFIXES
from imagebase.images.skipped_files import MANIFEST_FILE as MANIFEST_FILE
from imagebase.wording import plural

_END: Final = "\n}"


@dataclass(frozen=True, slots=True)
class ExportNotes:
    """Details of an export that only its requester knows.

    number, of: which zip this is, of how many that together are the whole set.
    choices: the request in sentences. settings: the same, for programs.
    left_out: what of the dataset is not in it, and why, in sentences.
    """

    number: int = 1
    of: int = 1
    choices: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportDetails:
    """A written set with everything that its report shows."""

    export_set: ExportSet
    format_name: str
    format: Format
    proof: Verification
    warnings: tuple[str, ...]
    about: ExportNotes

    @property
    def parts(self) -> dict[str, int]:
        """How many images each part has; empty where there is no split."""
        if not self.export_set.has_split:
            return {}
        counts = Counter(image.part for image in self.export_set.images)
        return {part: counts[part] for part in PARTS if counts[part]}


def manifest_json(
    exported: ExportDetails, files: Iterable[WrittenFile]
) -> Iterator[bytes]:
    """Yield the manifest; nothing in it depends on when or where it was written.

    It is made in parts, as it has a line for every image and for every file.
    """
    format_, proof, about = exported.format, exported.proof, exported.about
    document = {
        "name": exported.export_set.name,
        "format": exported.format_name,
        "title": format_.title,
        "zip": {"number": about.number, "of": about.of},
        "conventions": dict(format_.conventions),
        "counts": _counts(exported),
        "labels": list(exported.export_set.labels.names),
        "choices": dict(about.settings),
        "proof": {
            "holds": proof.holds,
            "images": proof.images,
            "boxes_written": proof.boxes_written,
            "boxes_equal": proof.boxes_equal,
            "files_equal": proof.files_equal,
            "differences": list(proof.differences),
        },
        "warnings": list(exported.warnings),
        "not_in_it": list(about.left_out),
        "left_out": [left._asdict() for left in proof.left_out],
    }
    text = json.dumps(document, ensure_ascii=False, indent=1)
    yield f'{text.removesuffix(_END)},\n "images": '.encode()
    yield from json_list(map(json_line, _images(exported)))
    yield b',\n "files": {'
    before = "\n"
    for path, sha256, byte_count in files:
        entry = json_line({"sha256": sha256, "bytes": byte_count})
        yield f"{before}{json_line(path)}: {entry}".encode()
        before = ",\n"
    yield b"\n}}\n"


def _counts(exported: ExportDetails) -> dict[str, object]:
    reviewed = made = areas = 0
    for image in exported.export_set.images:
        reviewed += image.is_reviewed
        made += bool(image.made)
        areas += len(image.record.ignored)
    counts: dict[str, object] = {
        "images": len(exported.export_set.images),
        "reviewed": reviewed,
        "made": made,
        "boxes": exported.proof.boxes_written,
        "labels": len(exported.export_set.labels),
    }
    if areas and exported.format.holds_areas:
        counts["ignore_areas"] = areas
    return counts | ({"parts": exported.parts} if exported.parts else {})


def _images(exported: ExportDetails) -> Iterator[dict[str, object]]:
    """Yield each image's name in the export and the one that it came with."""
    has_split = exported.export_set.has_split
    for image, name in written_names(exported.export_set, exported.format):
        yield {
            "name": name,
            "original_name": image.record.file_name,
            "image_id": image.record.image_id,
            "reviewed": image.is_reviewed,
            **({"part": image.part} if has_split else {}),
            **({"made": image.made} if image.made else {}),
        }


REPORT_FILE: Final = "EXPORT_REPORT.md"
# Longer lists are in the manifest, which programs read and people need not.
_MOST_ROWS: Final = 100


def report_markdown(exported: ExportDetails, files: Iterable[WrittenFile]) -> bytes:
    """Return the report; nothing in it depends on when or where it was written."""
    sections = (
        _title(exported),
        _section("Settings", _bullets(exported.about.choices)),
        _section("Labels", _labels(exported.export_set, exported.format)),
        _section("How it is meant", _conventions(exported)),
        _section("What to know before training", _bullets(exported.warnings)),
        _section("Left out", _left_out(exported)),
        _section("Checksums", _checksums(files)),
    )
    lines = [line for section in sections for line in section]
    return ("\n".join(lines) + "\n").encode()


def _title(exported: ExportDetails) -> Iterator[str]:
    proof, about = exported.proof, exported.about
    images = len(exported.export_set.images)
    labels = len(exported.export_set.labels)
    yield f"# {_plain(exported.export_set.name)}: {exported.format.title}"
    yield ""
    if about.of > 1:
        yield (
            f"Zip {about.number} of {about.of}. Each is a complete label set of its "
            "own; together they are the whole one. Image names differ in all of them, "
            "and class ids are the same."
        )
        yield ""
    yield (
        f"{plural(images, 'image')}, {plural(proof.boxes_written, 'box')}, "
        f"{plural(labels, 'label')}."
    )
    if exported.parts:
        parts = ", ".join(f"{name} {n:,}" for name, n in exported.parts.items())
        yield f"Images by part: {parts}."
    areas = sum(len(image.record.ignored) for image in exported.export_set.images)
    if areas and exported.format.holds_areas:
        yield f"Ignore areas: {areas:,}."
    yield (
        f"Read back and compared: {proof.boxes_equal:,} of {proof.boxes_written:,} "
        f"boxes and {proof.files_equal:,} of {proof.files:,} files are equal."
    )


def _labels(export_set: ExportSet, format_: Format) -> Iterator[str]:
    export_set = format_.reduced(export_set)
    boxes: Counter[str] = Counter()
    images: Counter[str] = Counter()
    for image in export_set.images:
        counts = Counter(label.label for label in writable(image))
        boxes.update(counts)
        images.update(counts.keys() if format_.has_boxes else image.record.tags)
    if len(export_set.labels):
        yield "| class id | label | images | boxes |"
        yield "|---|---|---|---|"
    for index, name in enumerate(export_set.labels.names):
        yield f"| {index} | {_plain(name)} | {images[name]:,} | {boxes[name]:,} |"


def _conventions(exported: ExportDetails) -> Iterator[str]:
    entries = (f"{name}: {text}" for name, text in exported.format.conventions.items())
    yield from _bullets(entries)
    if exported.parts and not exported.format.has_parts:
        yield "- parts: the format knows of none, so each lies in a folder of its name"


def _left_out(exported: ExportDetails) -> Iterator[str]:
    left = exported.proof.left_out
    boxes = [
        f"{skipped.image}: a box of {skipped.label}, {skipped.reason}"
        for skipped in left
    ]
    yield from _bullets([*exported.about.left_out, *boxes[:_MOST_ROWS]])
    if len(boxes) > _MOST_ROWS:
        yield f"- {len(boxes) - _MOST_ROWS:,} more: see {MANIFEST_FILE}"


def _checksums(files: Iterable[WrittenFile]) -> Iterator[str]:
    yield f"{MANIFEST_FILE} has the SHA-256 of every file. Files other than images:"
    yield ""
    rest = 0
    for path, sha256, _ in files:
        if path.lower().endswith(_PICTURES):
            continue
        rest += 1
        if rest <= _MOST_ROWS:
            yield f"    {sha256}  {path}"
    if rest > _MOST_ROWS:
        yield f"    and {rest - _MOST_ROWS:,} more"


_PICTURES: Final = tuple(IMAGE_SUFFIXES)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    content = list(lines)
    if content:
        yield from ("", f"## {title}", "", *content)


def _bullets(sentences: Iterable[str]) -> Iterator[str]:
    return (f"- {_plain(sentence)}" for sentence in sentences)


def _plain(text: str) -> str:
    """Return text escaped so that Markdown shows it unchanged, on one line.

    GitHub makes links of bare addresses too.
    """
    line = " ".join(text.splitlines())
    shown = "".join(f"\\{c}" if c in r"\`*_[]<>|#&~!$@" else c for c in line)
    return shown.replace("://", ":\\//").replace("www.", "www\\.")


def check_unchanged(folder: Path) -> None:
    """Check that no file of an earlier export was changed since.

    Raises:
        ExportError: one was changed, and the change would be lost.
    """
    for path, sha256 in _listed(folder).items():
        if path.is_file() and _sha256(path) != sha256:
            raise ExportError(
                f"{path} was changed after ImageBase wrote it; move it away and try "
                "again, or choose another folder."
            )


def check_free(folder: Path, files: Iterable[WrittenFile]) -> None:
    """Check that only files of an earlier export would be replaced.

    A file that has the same content already is not in the way.

    Raises:
        ExportError: something is.
    """
    if _manifest_files(folder) is None:
        _check_absent(folder / MANIFEST_FILE)
    listed = _listed(folder)
    for name, sha256, _ in files:
        path = folder / name
        is_ours = path.resolve() in listed
        if not is_ours and not (path.is_file() and _sha256(path) == sha256):
            _check_absent(path)


def check_zip_is_free(path: Path) -> None:
    """Check that only a zip of an earlier export would be replaced.

    Raises:
        ExportError: another file is, or a folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            is_ours = MANIFEST_FILE in archive.namelist()
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


class ListedFile(NamedTuple):
    """A file as a manifest lists it."""

    sha256: str
    byte_count: int | None


def _listed(folder: Path) -> dict[Path, str]:
    """Return the SHA-256 of each file that a manifest lists, if it is in the folder."""
    root = folder.resolve()
    files = _manifest_files(folder) or {}
    resolved = {(root / name).resolve(): file.sha256 for name, file in files.items()}
    return {
        path: sha256 for path, sha256 in resolved.items() if path.is_relative_to(root)
    }


def _manifest_files(folder: Path) -> dict[str, ListedFile] | None:
    try:
        return files_listed((folder / MANIFEST_FILE).read_bytes())
    except OSError:
        return None


def files_listed(manifest: bytes | None) -> dict[str, ListedFile] | None:
    """Return each file that a manifest lists, by its path; None where it is no such."""
    try:
        files = json.loads(manifest or b"")["files"]
        return {
            name: ListedFile(str(entry.get("sha256")), entry.get("bytes"))
            for name, entry in files.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ExportError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from error


SMALL_PX: Final = 4
# Of names in one sentence.
_MOST_NAMES: Final = 8


def warnings_about(export_set: ExportSet, format_: Format) -> tuple[str, ...]:
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
            small += min(box.box.width, box.box.height) < SMALL_PX
            lost = not_held(box, format_) if box.attributes else ()
            described += bool(lost)
            names |= dict.fromkeys(lost)
    if unreviewed:
        total, have = len(export_set.images), "has" if unreviewed == 1 else "have"
        warnings.append(
            f"{unreviewed:,} of {plural(total, 'image')} {have} not been reviewed."
        )
    if small and format_.has_boxes:
        verb = "box is" if small == 1 else "boxes are"
        warnings.append(
            f"{small:,} {verb} under {SMALL_PX} pixels wide or high; detectors hardly "
            "learn from these."
        )
    if described and format_.has_boxes:
        warnings.append(_cannot_hold(described, list(names), format_))
    if not format_.holds_areas:
        warnings += _areas_left(export_set, format_)
    if not format_.has_boxes and any(
        image.record.annotations for image in export_set.images
    ):
        warnings.append("It labels whole images: where the boxes are is not in it.")
    if format_.lists_train_as_val and export_set.images and not export_set.has_split:
        warnings.append(
            "There is no split: all images are named for training and for validation."
        )
    return tuple(warnings)


def _areas_left(export_set: ExportSet, format_: Format) -> Iterator[str]:
    counts = [len(image.record.ignored) for image in export_set.images]
    areas, images = sum(counts), sum(map(bool, counts))
    if areas:
        verb = "area is" if areas == 1 else "areas are"
        where = "1 image" if images == 1 else f"{images:,} images"
        yield (
            f"{areas:,} ignore {verb} not in it, on {where}: {format_.title} "
            "cannot hold them. Black them out instead, or a model learns that nothing "
            "is there."
        )


def not_held(box: Annotation, format_: Format) -> tuple[str, ...]:
    """Return the names of a box's attributes that this format cannot hold."""
    known = stated(box.attributes).items()
    return tuple(name for name, value in known if not format_.holds(name, value))


def _cannot_hold(boxes: int, names: list[str], format_: Format) -> str:
    most = _MOST_NAMES
    listed = ", ".join(sorted(names)[:most])
    if len(names) > most:
        listed += f" and {len(names) - most:,} more"
    verb = "box has" if boxes == 1 else "boxes have"
    return f"{boxes:,} {verb} attributes ({listed}) that {format_.title} cannot hold."
