"""Pictures of what an export holds, drawn from its files and nothing else."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from imagebase.annotation import LabelSet, Size
from imagebase.formats.base import ExportImage, FileTree, ReadImage
from imagebase.formats.trees import ZipTree
from imagebase.formats.verified_export import OWN_LIMITS, ExportSummary
from imagebase.images.decode import load_image, resized
from imagebase.images.draw import draw_annotations
from imagebase.images.thumbnails import inner_size, tile_webp

PICTURES: Final = 6
TILE: Final = Size(300, 225)


class Overlay(NamedTuple):
    """A picture of the export with its boxes on it, as a data URL.

    line: what it is labelled as a whole; empty where nothing is.
    """

    name: str
    line: str
    url: str


def places_to_draw(full: Sequence[int], count: int) -> list[int]:
    """Return the places of six images from all over a set.

    full: places of those that hold something; they come first, others where there are
    too few. count: of all images.
    """
    chosen = _spread(full, PICTURES)
    if len(chosen) < PICTURES:
        held = set(full)
        others = [place for place in range(count) if place not in held]
        chosen += _spread(others, PICTURES - len(chosen))
    return sorted(chosen)


def _spread(places: Sequence[int], count: int) -> list[int]:
    """Return so many of the places, evenly from the first to the last."""
    if len(places) <= count:
        return list(places)
    step = (len(places) - 1) / max(count - 1, 1)
    return [places[round(number * step)] for number in range(count)]


def draw(
    summary: ExportSummary,
    images: Sequence[ExportImage],
    labels: LabelSet,
    *,
    max_pixels: int,
) -> list[Overlay]:
    """Return these images as the zip has them: its pictures, its boxes.

    Args:
        summary: of a zip that kept them; one without pictures gives none.
        images: those that were kept.
        labels: where the colours come from.
        max_pixels: of a picture.
    """
    drawn = []
    with ZipTree(summary.path, OWN_LIMITS) as tree:
        for image in images:
            path = summary.picture_paths.get(image.record.image_id)
            found = summary.proof.kept.get(image.record.image_id)
            if path is not None and found is not None:
                url = _url(tree, path, found, labels, max_pixels)
                drawn.append(Overlay(image.name, ", ".join(found.tags), url))
    return drawn


def _url(
    tree: FileTree, path: str, found: ReadImage, labels: LabelSet, max_pixels: int
) -> str:
    loaded = load_image(
        tree.read(path), file_name=path, max_pixels=max_pixels, wanted=TILE
    )
    rgb = draw_annotations(
        resized(loaded.rgb, inner_size(loaded.size, TILE)),
        found.annotations,
        labels=labels,
        from_size=loaded.size,
    )
    encoded = base64.b64encode(tile_webp(rgb, TILE)).decode("ascii")
    return f"data:image/webp;base64,{encoded}"


def write_overlays(path: Path, overlays: Sequence[Overlay]) -> None:
    """Keep overlays in a file."""
    path.write_text(json.dumps(overlays), encoding="utf-8")


def read_overlays(path: Path) -> list[Overlay]:
    """Return the overlays of a file; none where it is gone."""
    try:
        return [Overlay(*one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []
