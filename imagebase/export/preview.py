"""What an export would hold, before it is built: the split counted, variants drawn."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from imagebase.annotation import ImageRecord, Size
from imagebase.augmentation import LabelledImage, Recipe, variant
from imagebase.augmentation.recipe import Load
from imagebase.errors import ImageFileError, ImageReadError
from imagebase.export.build import Images
from imagebase.export.request import SHARES, ExportRequest
from imagebase.export.selection import (
    Selection,
    has_column,
    labels_of,
    split_image,
    split_of,
)
from imagebase.formats.split import Split, Table, table, torn_groups
from imagebase.images.decode import load_image
from imagebase.images.resize import Placement


@dataclass(frozen=True, slots=True)
class Dealt:
    """A split that was not used yet.

    table: images and boxes by label and part. torn: groups of near-duplicates that are
    on several sides. is_told: whether any tag or folder says where an image goes; of
    shares always.
    """

    split: Split
    table: Table
    torn: int
    is_told: bool


class Previewed(NamedTuple):
    """A variant as it would be exported, and the image it is of."""

    record: ImageRecord
    number: int
    image: LabelledImage


def dealt(images: Images, request: ExportRequest) -> Dealt | None:
    """Return how the images of a request are dealt out; None without a split.

    Raises:
        ExportError: the shares are none, or an image is tagged for two parts.
    """
    if request.split is None:
        return None
    counted = map(Selection(request).counted, images.contents())
    candidates = [one for one in counted if one is not None]
    split = split_of(request.split, candidates)
    found = [split_image(one) for one in candidates]
    names = labels_of(request, images.labels()).shown_names
    by_shares = request.split.by == SHARES
    return Dealt(
        split,
        table(found, split, names),
        0 if by_shares else len(torn_groups(found, split)),
        by_shares or has_column(request.split.by, candidates),
    )


def variants(
    images: Images,
    request: ExportRequest,
    train: Sequence[str],
    *,
    count: int,
    max_pixels: int,
) -> Iterator[Previewed]:
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
            raise _LostError(image_id) from error
        return LabelledImage(rgb, record.annotations)

    shown = _with_boxes(_selected(images, request, train), count)
    for place in range(min(count, len(shown) * recipe.variants)):
        record, number = shown[place % len(shown)], place // len(shown)
        made = _variant(recipe, record.image_id, number, load, partners)
        if made is not None:
            yield Previewed(record, number + 1, _resized(made, request))


class _LostError(Exception):
    """An image's file is missing or damaged."""

    def __init__(self, image_id: str) -> None:
        super().__init__(image_id)
        self.image_id = image_id


def _variant(
    recipe: Recipe, image_id: str, number: int, load: Load, partners: list[str]
) -> LabelledImage | None:
    """Return a variant without lost partners, which go; None of a lost image."""
    while True:
        try:
            return variant(recipe, image_id, number, load=load, partners=partners)
        except _LostError as error:
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
    images: Images, request: ExportRequest, image_ids: Iterable[str]
) -> Iterator[ImageRecord]:
    selection = Selection(request)
    found = (selection.taken(one) for one in images.records(image_ids))
    return (one for one in found if one is not None)


def _resized(made: LabelledImage, request: ExportRequest) -> LabelledImage:
    if request.resizing is None:
        return made
    size = Size(made.rgb.shape[1], made.rgb.shape[0])
    placement: Placement = request.resizing.placement(size)
    moved = tuple(replace(one, box=placement.box(one.box)) for one in made.annotations)
    return LabelledImage(placement.pixels(made.rgb), moved)
