"""The request for an export: as a value, as JSON and in words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from imagebase.annotation.states import APPROVED, SCOPE_WORDS, SCOPES
from imagebase.augmentation import Recipe, recipe_from_json, recipe_json
from imagebase.errors import ExportError
from imagebase.formats.split import Shares
from imagebase.images.resize import (
    Letterbox,
    LongestSide,
    Resizing,
    Stretch,
    resizing_from_json,
    resizing_json,
)

# Treatment of ignore areas.
AREAS_WRITTEN: Final = "written"
AREAS_BLACK: Final = "black"
AREAS_LEFT: Final = "left"
AREAS_WORDS: Final = {
    AREAS_WRITTEN: "write them as ignore regions",
    AREAS_BLACK: "black them out in the images",
    AREAS_LEFT: "leave them out",
}

_USUAL_SHARES: Final = Shares()

SHARES: Final = "shares"
TAGS: Final = "tags"
FOLDERS: Final = "folders"

# A download lies in the server's memory while it is sent.
DEFAULT_ZIP_BYTES: Final = 250_000_000
# A disk full of variants is full for every user.
DEFAULT_MADE_BYTES: Final = 50_000_000_000

_DAMAGED: Final = "These export settings cannot be read; choose them again."


@dataclass(frozen=True, slots=True)
class SplitChoice:
    """How images are dealt out.

    by: `SHARES`; or `TAGS` or `FOLDERS`, where these are called train, val or test.
    seed, keeps_together: of shares; whether near-duplicates stay on one side.
    otherwise: the part of images without such a tag or folder.
    """

    by: str = SHARES
    shares: Shares = _USUAL_SHARES
    seed: int = 0
    keeps_together: bool = True
    otherwise: str = "train"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Content of the zip.

    format: a name the formats know. images: which of `states.SCOPES`.
    with_empty: whether images confirmed to hold nothing are in.
    labels: the only ones whose boxes are in; None is all.
    renumbers: class ids count these labels alone, and not all of the dataset.
    crops: a crop of each box in place of the images.
    areas: one of `AREAS_WORDS`; in variants they are always black, unless left out.
    zip_bytes: from about this size on there are several zips.
    made_bytes: variants may take so much disk.
    """

    format: str
    images: str = APPROVED
    with_images: bool = True
    with_empty: bool = True
    without_metadata: bool = False
    labels: tuple[str, ...] | None = None
    renumbers: bool = False
    crops: bool = False
    split: SplitChoice | None = None
    resizing: Resizing | None = None
    recipe: Recipe | None = None
    areas: str = AREAS_WRITTEN
    zip_bytes: int = DEFAULT_ZIP_BYTES
    made_bytes: int = DEFAULT_MADE_BYTES

    @property
    def varies(self) -> bool:
        """Say whether there are to be variants."""
        return self.recipe is not None and self.recipe.variants > 0

    @property
    def makes_pictures(self) -> bool:
        """Say whether any image has to be rendered, which takes a while."""
        return self.crops or self.resizing is not None or self.varies

    def check(self) -> None:
        """Refuse what cannot be done.

        Raises:
            ExportError: with what to change.
        """
        if self.images not in SCOPES or self.areas not in AREAS_WORDS:
            raise ExportError(_DAMAGED)
        if self.makes_pictures and not self.with_images:
            raise ExportError(
                "Resized images, variants and crops need the images: export with the "
                "images."
            )
        if self.areas == AREAS_BLACK and not self.with_images:
            raise ExportError(
                "Ignore areas are blacked out in the images: export with the images."
            )
        if self.crops and self.format != "classification":
            raise ExportError("Crops are exported as image classification only.")
        if self.varies and self.crops:
            raise ExportError("Crops have no variants; take one or the other.")
        if self.varies and self.split is None:
            raise ExportError(
                "Variants are for training alone: split the images first, so that "
                "there is something to judge by."
            )


_FIELDS: Final = tuple(field.name for field in fields(ExportRequest))


def request_json(request: ExportRequest) -> dict[str, Any]:
    """Return a request as JSON holds it, for a job or a manifest."""
    split, resizing, recipe = request.split, request.resizing, request.recipe
    return {
        **{name: getattr(request, name) for name in _FIELDS},
        "labels": None if request.labels is None else list(request.labels),
        "split": None if split is None else _split_json(split),
        "resizing": None if resizing is None else resizing_json(resizing),
        "recipe": None if recipe is None else recipe_json(recipe),
    }


def request_from_json(document: Mapping[str, Any]) -> ExportRequest:
    """Return the request that `request_json` wrote, perhaps an earlier version.

    Raises:
        ExportError: it is not one, or asks for what cannot be done.
    """
    readers: dict[str, Callable[[Any], object]] = {
        "labels": tuple,
        "split": _split_from_json,
        "resizing": resizing_from_json,
        "recipe": recipe_from_json,
    }
    given = {name: document[name] for name in _FIELDS if name in document}
    try:
        for name, read in readers.items():
            if given.get(name) is not None:
                given[name] = read(given[name])
        request = ExportRequest(**given)
    except (KeyError, TypeError) as error:
        raise ExportError(_DAMAGED) from error
    request.check()
    return request


def _split_json(split: SplitChoice) -> dict[str, Any]:
    if split.by != SHARES:
        return {"by": split.by, "otherwise": split.otherwise}
    return {
        "by": split.by,
        "shares": list(split.shares),
        "seed": split.seed,
        "keeps_together": split.keeps_together,
    }


def _split_from_json(document: Mapping[str, Any]) -> SplitChoice:
    rest = {name: value for name, value in document.items() if name != "shares"}
    return SplitChoice(**rest, shares=Shares(*document.get("shares", ())))


def in_words(request: ExportRequest) -> tuple[str, ...]:
    """Return the request in sentences."""
    return tuple(_sentences(request))


def _sentences(request: ExportRequest) -> Iterator[str]:
    empty = "with" if request.with_empty else "without"
    yield (
        f"Images: {SCOPE_WORDS[request.images]}, {empty} those confirmed to hold "
        "nothing."
    )
    if request.labels is not None:
        ids = "renumbered from 0" if request.renumbers else "as in the dataset"
        yield f"Labels: {', '.join(request.labels)}; class ids {ids}."
    if request.crops:
        yield "Images: a crop of each box, in whole pixels."
    if request.split is not None:
        yield _split_in_words(request.split)
    if request.resizing is not None:
        yield f"Size: {resizing_in_words(request.resizing)}."
    if request.recipe is not None and request.varies:
        yield _recipe_in_words(request.recipe)
    if request.areas == AREAS_BLACK:
        yield "Ignore areas are black in the images, and boxes in them left out."
    if request.areas == AREAS_LEFT:
        yield "Ignore areas are left out."
    if request.without_metadata:
        yield "Metadata of the images (place, camera, time) was removed."


def _split_in_words(split: SplitChoice) -> str:
    if split.by == SHARES:
        shares = " / ".join(f"{share:g}" for share in split.shares)
        pairs = "on one side" if split.keeps_together else "dealt out one by one"
        return (
            f"Split: train / val / test as {shares}, seed {split.seed}, by the rarest "
            f"label first, near-duplicates {pairs}."
        )
    return f"Split: by the images' {split.by}; those without go to {split.otherwise}."


def resizing_in_words(resizing: Resizing) -> str:
    """Return a choice of size in a few words."""
    match resizing:
        case Stretch(size):
            return f"stretched to {size.width} × {size.height}"
        case Letterbox(size):
            return f"letterboxed to {size.width} × {size.height}"
        case LongestSide(pixels):
            return f"longest side {pixels}"


def _recipe_in_words(recipe: Recipe) -> str:
    document = recipe_json(recipe)
    steps = [str(step["step"]).replace("_", " ") for step in document["steps"]]
    what = ", ".join([*(["mosaic"] if recipe.mosaic else []), *steps]) or "no change"
    return (
        f"Variants: {recipe.variants} of each training image, seed {recipe.seed}: "
        f"{what}. Boxes of which less than {recipe.least_visible:.0%} is left are "
        "dropped."
    )
