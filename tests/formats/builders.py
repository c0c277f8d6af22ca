"""Small label sets for the tests of the formats."""

from collections.abc import Sequence
from pathlib import Path

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    LabelSet,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.formats.base import (
    ExportSet,
    ImageReference,
    ReadResult,
    Streamed,
    WriteOptions,
)
from imagebase.formats.file_names import build_export_set
from imagebase.formats.registry import write
from imagebase.formats.trees import MemoryTree

BOX_FORMATS = (
    *("csv", "darknet", "folders", "yolo", "coco", "voc"),
    *("createml", "labelme", "cvat", "labelstudio", "openimages"),
)
FORMAT_NAMES = (*BOX_FORMATS, "classification")
HARD_LABELS = (
    *("zebra: big", 'a & "b"', "x, y", " leading", "🐱", "=1+1", "<b>"),
    *("never used", "yes", "a/b"),
)


def box(*edges: float, label: str = "cat") -> Annotation:
    x_min, y_min, x_max, y_max = edges
    return Annotation(Box(x_min, y_min, x_max, y_max), label)


def model_box(*edges: float, label: str = "cat", confidence: float = 0.5) -> Annotation:
    x_min, y_min, x_max, y_max = edges
    placed = Box(x_min, y_min, x_max, y_max)
    return Annotation(placed, label, source=Source.MODEL, confidence=confidence)


def record(
    *annotations: Annotation, name: str = "a.jpg", size: tuple[int, int] = (64, 48)
) -> ImageRecord:
    return ImageRecord(
        image_id=f"id of {name}",
        file_name=name,
        size=Size(*size),
        annotations=annotations,
        status=ReviewStatus.APPROVED,
    )


def suffix_of(record: ImageRecord) -> str:
    return Path(record.file_name).suffix.lower().replace("jpeg", "jpg")


def export_set(
    *records: ImageRecord, labels: Sequence[str] = ("cat", "dog")
) -> ExportSet:
    return build_export_set("pets", LabelSet.of(labels), records, suffix_of)


def image_bytes(image_id: str) -> bytes:
    return f"pixels of {image_id}".encode()


def written(
    dataset: ExportSet, format_name: str, options: WriteOptions | None = None
) -> dict[str, bytes]:
    """Return the files of an export; images as a few bytes that are not pixels."""
    return {
        path: bytes_of(content)
        for path, content in write(format_name, dataset, options)
    }


def bytes_of(content: bytes | ImageReference | Streamed) -> bytes:
    if isinstance(content, ImageReference):
        return image_bytes(content.image_id)
    return b"".join(content.parts) if isinstance(content, Streamed) else content


def tree_of(files: dict[str, bytes] | dict[str, str]) -> MemoryTree:
    return MemoryTree(
        {n: d.encode() if isinstance(d, str) else d for n, d in files.items()}
    )


def as_export_set(result: ReadResult, like: ExportSet) -> ExportSet:
    """Return what was read as a set to be written again, sizes from the first set."""
    records = []
    for read, image in zip(result.images, like.images, strict=True):
        pixels = read.in_pixels(image.record.size)
        again = ImageRecord(
            image.record.image_id,
            image.name,
            image.record.size,
            pixels.annotations,
            status=image.record.status,
            tags=read.tags,
            ignored=pixels.regions,
        )
        records.append(again)
    return build_export_set(like.name, result.labels, records, suffix_of)


def boxes(result: ReadResult, image: int = 0) -> list[tuple[float, ...]]:
    return [tuple(annotation.box) for annotation in result.images[image].annotations]


def reasons(result: ReadResult) -> list[str]:
    return [str(remark) for remark in result.report.skipped]
