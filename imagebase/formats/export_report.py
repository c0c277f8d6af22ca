"""EXPORT_REPORT.md: what the manifest says, for people."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from imagebase.formats.base import ExportSet, Format
from imagebase.formats.manifest import FILE as MANIFEST_FILE
from imagebase.formats.manifest import Exported
from imagebase.formats.writable_boxes import writable
from imagebase.formats.writer import WrittenFile
from imagebase.images.file_types import IMAGE_SUFFIXES
from imagebase.wording import plural

FILE: Final = "EXPORT_REPORT.md"
# Longer lists are in the manifest, which programs read and people need not.
_MOST_ROWS: Final = 100


def report(exported: Exported, files: Iterable[WrittenFile]) -> bytes:
    """Return the report; nothing in it depends on when or where it was written."""
    sections = (
        _title(exported),
        _section("What was asked for", _bullets(exported.about.choices)),
        _section("Labels", _labels(exported.export_set, exported.format)),
        _section("How it is meant", _conventions(exported)),
        _section("What to know before training", _bullets(exported.warnings)),
        _section("Left out", _left_out(exported)),
        _section("Checksums", _checksums(files)),
    )
    lines = [line for section in sections for line in section]
    return ("\n".join(lines) + "\n").encode()


def _title(exported: Exported) -> Iterator[str]:
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


def _labels(export_set: ExportSet, one: Format) -> Iterator[str]:
    export_set = one.reduced(export_set)
    boxes: Counter[str] = Counter()
    images: Counter[str] = Counter()
    for image in export_set.images:
        found = Counter(label.label for label in writable(image))
        boxes.update(found)
        images.update(found.keys() if one.has_boxes else image.record.tags)
    if len(export_set.labels):
        yield "| class id | label | images | boxes |"
        yield "|---|---|---|---|"
    for index, name in enumerate(export_set.labels.names):
        yield f"| {index} | {_plain(name)} | {images[name]:,} | {boxes[name]:,} |"


def _conventions(exported: Exported) -> Iterator[str]:
    said = (f"{name}: {text}" for name, text in exported.format.conventions.items())
    yield from _bullets(said)
    if exported.parts and not exported.format.has_parts:
        yield "- parts: the format knows of none, so each lies in a folder of its name"


def _left_out(exported: Exported) -> Iterator[str]:
    left = exported.proof.left_out
    boxes = [f"{one.image}: a box of {one.label}, {one.reason}" for one in left]
    yield from _bullets([*exported.about.left_out, *boxes[:_MOST_ROWS]])
    if len(boxes) > _MOST_ROWS:
        yield f"- {len(boxes) - _MOST_ROWS:,} more: see {MANIFEST_FILE}"


def _checksums(files: Iterable[WrittenFile]) -> Iterator[str]:
    yield f"{MANIFEST_FILE} has the SHA-256 of every file. Those that are no pictures:"
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
    found = list(lines)
    if found:
        yield from ("", f"## {title}", "", *found)


def _bullets(sentences: Iterable[str]) -> Iterator[str]:
    return (f"- {_plain(sentence)}" for sentence in sentences)


def _plain(text: str) -> str:
    """Return a stranger's text so that Markdown shows it as it is."""
    return "".join(f"\\{c}" if c in r"\`*_[]<>|#" else c for c in text)
