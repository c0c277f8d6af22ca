"""Preview an export: its split counted, variants, and labelled images of the zips."""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from imagebase.annotation import ImageRecord, LabelSet, Size
from imagebase.augmentation import LabelledImage, Recipe, variant
from imagebase.augmentation.recipe import Load
from imagebase.errors import ImageFileError, ImageReadError
from imagebase.export.request import SHARES, ExportRequest
from imagebase.export.selection import (
    ExportSelection,
    LostImageError,
    SourceImages,
    has_column,
    labels_of,
    split_image,
    split_of,
)
from imagebase.formats.base import ExportImage, FileTree, ReadImage
from imagebase.formats.split import Split, SplitTable, table, torn_groups
from imagebase.formats.trees import ZipTree
from imagebase.formats.verified_export import OWN_LIMITS, ExportSummary
from imagebase.images.decode import load_image, resized
from imagebase.images.draw import draw_annotations
from imagebase.images.resize import Placement
from imagebase.images.thumbnails import inner_size, tile_webp


@dataclass(frozen=True, slots=True)
class SplitPreview:
    """A split that was not used yet.

    table: images and boxes by label and part. torn: groups of near-duplicates that are
    on several sides. has_places: whether any tag or folder names a split; of
    shares always.
    """

    split: Split
    table: SplitTable
    torn: int
    has_places: bool


class VariantPreview(NamedTuple):
    """A variant as it would be exported, and the image it is of."""

    record: ImageRecord
    number: int
    image: LabelledImage


def preview_split(images: SourceImages, request: ExportRequest) -> SplitPreview | None:
    """Return how the images of a request are dealt out; None without a split.

    Raises:
        ExportError: the shares are none, or an image is tagged for two parts.
    """
    if request.split is None:
        return None
    counted = map(ExportSelection(request).counted, images.contents())
    candidates = [image for image in counted if image is not None]
    split = split_of(request.split, candidates)
    split_images = [split_image(candidate) for candidate in candidates]
    names = labels_of(request, images.labels()).shown_names
    by_shares = request.split.by == SHARES
    return SplitPreview(
        split,
        table(split_images, split, names),
        0 if by_shares else len(torn_groups(split_images, split)),
        by_shares or has_column(request.split.by, candidates),
    )


def variants(
    images: SourceImages,
    request: ExportRequest,
    train: Sequence[str],
    *,
    count: int,
    max_pixels: int,
) -> Iterator[VariantPreview]:
    """Yield variants just as the export makes them: of training images with boxes.

    Images whose files are missing or damaged have none, and are in none.

    Args:
        images: of the dataset.
        request: with a recipe.
        train: ids of the training images.
        count: of variants, of as many images as there are, turn by turn.
        max_pixels: of an image.
    """
    recipe = request.recipe
    if recipe is None or not recipe.variants:
        return
    partners = sorted(train)

    def load(image_id: str) -> LabelledImage:
        (record,) = _selected(images, request, [image_id])
        name = record.file_name
        try:
            data = images.bytes_of(image_id)
            rgb = load_image(data, file_name=name, max_pixels=max_pixels).rgb
        except (ImageFileError, ImageReadError) as error:
            raise LostImageError(image_id) from error
        return LabelledImage(rgb, record.annotations)

    shown = _with_boxes(_selected(images, request, train), count)
    for place in range(min(count, len(shown) * recipe.variants)):
        record, number = shown[place % len(shown)], place // len(shown)
        copy = _variant(recipe, record.image_id, number, load, partners)
        if copy is not None:
            yield VariantPreview(record, number + 1, _resized(copy, request))


def _variant(
    recipe: Recipe, image_id: str, number: int, load: Load, partners: list[str]
) -> LabelledImage | None:
    """Return a variant without lost partners, which go; None of a lost image."""
    while True:
        try:
            return variant(recipe, image_id, number, load=load, partners=partners)
        except LostImageError as error:
            if error.image_id == image_id:
                return None
            partners.remove(error.image_id)


def _with_boxes(records: Iterable[ImageRecord], count: int) -> list[ImageRecord]:
    """Return the first records that have boxes, and others where these are too few."""
    full: list[ImageRecord] = []
    empty: list[ImageRecord] = []
    for record in records:
        (full if record.annotations else empty).append(record)
        if len(full) == count:
            break
    return (full + empty)[:count]


def _selected(
    images: SourceImages, request: ExportRequest, image_ids: Iterable[str]
) -> Iterator[ImageRecord]:
    selection = ExportSelection(request)
    records = (selection.taken(record) for record in images.records(image_ids))
    return (image for image in records if image is not None)


def _resized(image: LabelledImage, request: ExportRequest) -> LabelledImage:
    if request.resizing is None:
        return image
    size = Size(image.rgb.shape[1], image.rgb.shape[0])
    placement: Placement = request.resizing.placement(size)
    moved = tuple(
        replace(annotation, box=placement.box(annotation.box))
        for annotation in image.annotations
    )
    return LabelledImage(placement.pixels(image.rgb), moved)


PICTURES: Final = 6
TILE: Final = Size(300, 225)


class Overlay(NamedTuple):
    """An image of the export with its boxes drawn on it, as a data URL.

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
    """Return these images drawn from the zip: its image files, its boxes.

    Args:
        summary: of a zip that kept them; one without image files gives none.
        images: those that were kept.
        labels: where the colours come from.
        max_pixels: of an image.
    """
    drawn = []
    with ZipTree(summary.path, OWN_LIMITS) as tree:
        for image in images:
            path = summary.image_paths.get(image.record.image_id)
            read = summary.proof.kept.get(image.record.image_id)
            if path is not None and read is not None:
                url = _url(tree, path, read, labels, max_pixels)
                drawn.append(Overlay(image.name, ", ".join(read.tags), url))
    return drawn


def _url(
    tree: FileTree, path: str, read: ReadImage, labels: LabelSet, max_pixels: int
) -> str:
    loaded = load_image(
        tree.read(path), file_name=path, max_pixels=max_pixels, wanted=TILE
    )
    rgb = draw_annotations(
        resized(loaded.rgb, inner_size(loaded.size, TILE)),
        read.annotations,
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
        return [Overlay(*load) for load in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []
