"""manifest.json: what an export holds, how it is meant, and that it compared."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from imagebase.formats.base import PARTS, ExportSet, Format
from imagebase.formats.json_stream import json_line, json_list
from imagebase.formats.per_split import written_names
from imagebase.formats.verify import Verification
from imagebase.formats.writer import WrittenFile
from imagebase.images.skipped_files import MANIFEST_FILE

FILE: Final = MANIFEST_FILE
_END: Final = "\n}"


@dataclass(frozen=True, slots=True)
class About:
    """What only the one who asked for an export knows of it.

    number, of: which zip this is, of how many that together are the whole set.
    choices: what was asked for, in sentences. settings: the same, for programs.
    left_out: what of the dataset is not in it, and why, in sentences.
    """

    number: int = 1
    of: int = 1
    choices: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """A written set with everything that is to be said about it."""

    export_set: ExportSet
    format_name: str
    format: Format
    proof: Verification
    warnings: tuple[str, ...]
    about: About

    @property
    def parts(self) -> dict[str, int]:
        """How many images each part has; empty where there is no split."""
        if not self.export_set.has_split:
            return {}
        counts = Counter(image.part for image in self.export_set.images)
        return {part: counts[part] for part in PARTS if counts[part]}


def manifest(exported: Exported, files: Iterable[WrittenFile]) -> Iterator[bytes]:
    """Yield the manifest; nothing in it depends on when or where it was written.

    It is made in parts, as it has a line for every image and for every file.
    """
    one, proof, about = exported.format, exported.proof, exported.about
    document = {
        "name": exported.export_set.name,
        "format": exported.format_name,
        "title": one.title,
        "zip": {"number": about.number, "of": about.of},
        "conventions": dict(one.conventions),
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


def _counts(exported: Exported) -> dict[str, object]:
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


def _images(exported: Exported) -> Iterator[dict[str, object]]:
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
