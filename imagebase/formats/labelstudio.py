"""Label Studio JSON: a list of tasks, boxes in percent of the original size."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, Final
from urllib.parse import quote

from imagebase.annotation import Annotation, Box, Size
from imagebase.annotation.areas import Shape
from imagebase.formats.base import (
    IGNORE,
    ExportFile,
    ExportImage,
    ExportSet,
    Format,
    Streamed,
    WriteOptions,
)
from imagebase.formats.labelstudio_regions import controls, holds, results
from imagebase.formats.labelstudio_tasks import (
    CONFIG_FILE,
    LOCAL_FILES,
    read,
    recognises,
)
from imagebase.formats.shapes import (
    CONVENTION,
    confidence_of,
    corners,
    has_areas,
    pieces,
    polygons,
    writable,
)
from imagebase.formats.text_files import json_line, json_list, quoted

FILE: Final = "tasks.json"
_TITLE: Final = "Label Studio JSON"
_FROM_NAME: Final = "label"
_AREAS_NAME: Final = "area"
_TO_NAME: Final = "image"
# Thin boxes in large images would vanish in fewer.
_PERCENT_DECIMALS: Final = 8
_CONFIDENCE_DECIMALS: Final = 6


def write(export_set: ExportSet, options: WriteOptions) -> Iterator[ExportFile]:
    """Write the tasks, the labelling config that they fit, and the images."""
    aspects = controls(export_set.images, to_name=_TO_NAME)
    yield ExportFile(CONFIG_FILE, _config(export_set, aspects))
    lines = (json_line(_task(image)) for image in export_set.images)
    yield ExportFile(FILE, Streamed(json_list(lines)))
    if options.with_images:
        for image in export_set.images:
            yield image.file_at(f"images/{image.name}")


def _config(export_set: ExportSet, aspects: str) -> bytes:
    """Return the config; without a category its exporter sorts labels by name.

    aspects: controls of the attributes of boxes.
    """
    lines = (
        f"    <Label value={quoted(label.name, title=_TITLE)} "
        f'background="{label.colour}" category="{class_id}"/>\n'
        for class_id, label in enumerate(export_set.labels)
    )
    areas = (
        f'  <PolygonLabels name="{_AREAS_NAME}" toName="{_TO_NAME}">\n'
        f'    <Label value="{IGNORE}" background="#808080" '
        f'category="{len(export_set.labels)}"/>\n'
        "  </PolygonLabels>\n"
    )
    return (
        "<View>\n"
        f'  <Image name="{_TO_NAME}" value="$image"/>\n'
        f'  <RectangleLabels name="{_FROM_NAME}" toName="{_TO_NAME}">\n'
        f"{''.join(lines)}"
        "  </RectangleLabels>\n"
        f"{areas if has_areas(export_set) else ''}"
        f"{aspects}"
        "</View>\n"
    ).encode()


def _task(image: ExportImage) -> dict[str, object]:
    human: list[dict[str, Any]] = []
    by_model: dict[str, list[dict[str, Any]]] = {}
    for index, annotation in enumerate(writable(image), start=1):
        region = _region(annotation, image.record.size, f"box{index}")
        if annotation.is_untouched:
            regions = by_model.setdefault(annotation.model_id or "model", [])
        else:
            regions = human
        regions += [region, *results(region, annotation.attributes)]
    size = image.record.size
    human += [
        _area(shape, size, f"area{index}")
        for index, shape in enumerate(pieces(image, polygons), start=1)
    ]
    is_annotated = bool(human) or (image.is_reviewed and not by_model)
    width, height = image.record.size
    url = f"{LOCAL_FILES}?d=images/{quote(image.name)}"
    return {
        # Regions have the size too, but an image may have none.
        "data": {"image": url, "width": width, "height": height},
        "annotations": [{"result": human}] if is_annotated else [],
        "predictions": [
            {"model_version": model, "score": _mean_score(results), "result": results}
            for model, results in by_model.items()
        ],
    }


def _region(annotation: Annotation, size: Size, region_id: str) -> dict[str, Any]:
    region: dict[str, Any] = {
        "id": region_id,
        "type": "rectanglelabels",
        "from_name": _FROM_NAME,
        "to_name": _TO_NAME,
        "original_width": size.width,
        "original_height": size.height,
        "image_rotation": 0,
        "value": {
            **_percent(annotation.box, size),
            "rotation": 0,
            "rectanglelabels": [annotation.label],
        },
    }
    confidence = confidence_of(annotation)
    if confidence is not None:
        region["score"] = round(float(confidence), _CONFIDENCE_DECIMALS)
    return region


def _area(shape: Shape, size: Size, region_id: str) -> dict[str, Any]:
    points = [
        [
            round(x / size.width * 100, _PERCENT_DECIMALS),
            round(y / size.height * 100, _PERCENT_DECIMALS),
        ]
        for x, y in corners(shape)
    ]
    return {
        "id": region_id,
        "type": "polygonlabels",
        "from_name": _AREAS_NAME,
        "to_name": _TO_NAME,
        "original_width": size.width,
        "original_height": size.height,
        "image_rotation": 0,
        "value": {"points": points, "closed": True, "polygonlabels": [IGNORE]},
    }


def _percent(box: Box, size: Size) -> dict[str, float]:
    x_min, x_max = _percents(box.x_min, box.x_max, size.width)
    y_min, y_max = _percents(box.y_min, box.y_max, size.height)
    return {
        "x": x_min,
        "y": y_min,
        "width": round(x_max - x_min, _PERCENT_DECIMALS),
        "height": round(y_max - y_min, _PERCENT_DECIMALS),
    }


def _percents(near: float, far: float, whole: int) -> tuple[float, float]:
    return (
        round(float(near) / whole * 100, _PERCENT_DECIMALS),
        round(float(far) / whole * 100, _PERCENT_DECIMALS),
    )


def _mean_score(regions: Sequence[Mapping[str, Any]]) -> float | None:
    scores = [region["score"] for region in regions if "score" in region]
    return round(fmean(scores), _CONFIDENCE_DECIMALS) if scores else None


def tolerance(box: Box, size: Size) -> tuple[float, float]:
    """Return what rounding percents to eight decimals moves, twice at far edges."""
    unit = 1.2 * 10**-_PERCENT_DECIMALS / 100
    return size.width * unit + 1e-6, size.height * unit + 1e-6


FORMAT: Final = Format(
    title=_TITLE,
    write=write,
    read=read,
    recognises=recognises,
    tolerance=tolerance,
    conventions={
        "boxes": "x, y, width, height in percent of original_width and "
        f"original_height, {_PERCENT_DECIMALS} decimals",
        "ignore areas": CONVENTION,
        "labels": f"{CONFIG_FILE}, the class id as category",
        "attributes": "choices and texts of each box, in controls that are per region",
        "predictions": "boxes that only a model has touched; others are annotations",
        "images": "paths below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, which is this "
        "folder",
    },
    has_confidence=True,
    has_parts=False,
    region=polygons,
    holds=holds,
)
