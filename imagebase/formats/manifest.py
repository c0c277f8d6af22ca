"""manifest.json: what an export holds, how it is meant, and that it compared."""

import json
from collections.abc import Sequence
from typing import Final

from imagebase.formats.label_set_files import ExportSet, Format
from imagebase.formats.proof import Proof
from imagebase.formats.sinks import WrittenFile

FILE: Final = "manifest.json"


def manifest(
    export_set: ExportSet,
    format_name: str,
    one: Format,
    *,
    files: Sequence[WrittenFile],
    proof: Proof,
    warnings: Sequence[str],
) -> bytes:
    """Return the manifest; nothing in it depends on when or where it was written."""
    document = {
        "name": export_set.name,
        "format": format_name,
        "title": one.title,
        "conventions": dict(one.conventions),
        "counts": {
            "images": len(export_set.images),
            "reviewed": sum(image.is_reviewed for image in export_set.images),
            "boxes": proof.boxes_written,
            "labels": len(export_set.labels),
        },
        "labels": list(export_set.labels.names),
        "proof": {
            "holds": proof.holds,
            "images": proof.images,
            "boxes_written": proof.boxes_written,
            "boxes_equal": proof.boxes_equal,
            "differences": list(proof.differences),
        },
        "warnings": list(warnings),
        "left_out": [left._asdict() for left in proof.left_out],
        "images": _images(export_set, one),
        "files": {
            path: {"sha256": sha256, "bytes": byte_count}
            for path, sha256, byte_count in files
        },
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def _images(export_set: ExportSet, one: Format) -> list[dict[str, object]]:
    """Return each image's name in the export and the one that it came with."""
    return [
        {
            "name": name,
            "original_name": image.record.file_name,
            "image_id": image.record.image_id,
            "reviewed": image.is_reviewed,
        }
        for image, name in zip(export_set.images, one.names(export_set), strict=True)
    ]
