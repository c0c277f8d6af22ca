"""Recipe of an augmentation: which steps, how often, from which seed; and mosaics."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, NamedTuple

import numpy as np

from imagebase.annotation import Box, Size
from imagebase.augmentation.scene import LabelledImage, Scene, clipped_to, joined
from imagebase.augmentation.steps import (
    STEPS,
    Random,
    Step,
    between,
    check_probability,
    whole_below,
)
from imagebase.augmentation.transforms import RotatedBoxes
from imagebase.errors import ExportError
from imagebase.formats.split import Split
from imagebase.images.resize import Placement

PARTNERS: Final = 3


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Four images, each in a quarter, around a point near the middle of the first.

    Each is scaled in proportion to just cover its quarter, and what sticks out, on
    sides that are drawn, is cut off. The result is as large as the first image.

    off_centre: how far the point may be from the middle, in shares of the sides.
    """

    off_centre: float = 0.2
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)
        if not 0 <= self.off_centre <= 0.4:
            raise ExportError(
                f"Augmentation: the mosaic's middle is off by {self.off_centre:g}; "
                "choose from 0 to 0.4."
            )

    def apply(self, scene: Scene, partners: list[Scene], random: Random) -> Scene:
        """Return the mosaic of a scene and three others.

        An image of one pixel in width or height is returned unchanged.
        """
        if min(scene.size) < 2:
            return scene
        across, down = (self._middle(side, random) for side in scene.size)
        width, height = scene.size
        quarters = (
            Box(0, 0, across, down),
            Box(across, 0, width, down),
            Box(0, down, across, height),
            Box(across, down, width, height),
        )
        rgb = np.empty_like(scene.rgb)
        placed = []
        for quarter, source_scene in zip(quarters, [scene, *partners], strict=True):
            filled = _covering(source_scene, quarter, random)
            x_min, y_min, x_max, y_max = map(int, quarter)
            rgb[y_min:y_max, x_min:x_max] = filled.rgb
            placed.append(filled)
        return joined(rgb, placed)

    def _middle(self, side: int, random: Random) -> int:
        share = 0.5 + between(random, -self.off_centre, self.off_centre)
        return min(max(round(side * share), 1), side - 1)


def _covering(scene: Scene, quarter: Box, random: Random) -> Scene:
    """Return the scene cut to a quarter, its boxes where the quarter lies."""
    width, height = round(quarter.width), round(quarter.height)
    scale = max(width / scene.size.width, height / scene.size.height)
    inner = Size(
        max(width, round(scene.size.width * scale)),
        max(height, round(scene.size.height * scale)),
    )
    left = whole_below(random, inner.width - width + 1)
    top = whole_below(random, inner.height - height + 1)
    whole = Placement(scene.size, inner, inner).pixels(scene.rgb)
    factors = np.array(
        [inner.width / scene.size.width, inner.height / scene.size.height] * 2
    )
    offset = np.array([quarter.x_min - left, quarter.y_min - top] * 2)
    xyxy, share = clipped_to(scene.xyxy * factors + offset, quarter)
    return replace(
        scene,
        rgb=whole[top : top + height, left : left + width],
        xyxy=xyxy,
        visible=scene.visible * share,
    )


MAX_VARIANTS: Final = 20

_NAMES: Final = {step: name for name, step in STEPS.items()}
_DAMAGED: Final = "These augmentation settings cannot be read; choose them again."

Load = Callable[[str], LabelledImage]


@dataclass(frozen=True, slots=True)
class Recipe:
    """steps: applied in this order. mosaic: before them, where there is one.

    variants: how many of each image, besides the image itself.
    least_visible: boxes of which a smaller share of the area is left are dropped.
    least_side_px: and those with a shorter side.
    """

    steps: tuple[Step, ...] = ()
    mosaic: Mosaic | None = None
    variants: int = 2
    seed: int = 0
    least_visible: float = 0.3
    least_side_px: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.variants <= MAX_VARIANTS:
            raise ExportError(f"Choose at most {MAX_VARIANTS} variants of an image.")
        if not 0 <= self.least_visible <= 1:
            raise ExportError("The share of a box that must be left is from 0 to 1.")
        if not self.least_side_px >= 0:
            raise ExportError("The shortest side of a box cannot be below 0 pixels.")


class Variant(NamedTuple):
    """A changed copy of an image: the variant of this number, from 0."""

    image_id: str
    number: int
    image: LabelledImage


def variant(
    recipe: Recipe, image_id: str, number: int, *, load: Load, partners: Sequence[str]
) -> LabelledImage:
    """Return one variant of an image.

    Args:
        recipe: what to do.
        image_id: of the image, by which `load` knows it.
        number: from 0; each gives another variant.
        load: an image by its id, upright, its boxes in its pixels.
        partners: the ids that a mosaic may draw from, in any order: of training images
            only, or others leak into training. Without one the image is its own.
    """
    random = _random(recipe.seed, image_id, number)
    scene = Scene.of(load(image_id))
    if recipe.mosaic is not None and random.random() < recipe.mosaic.probability:
        known = sorted(partners) or [image_id]
        drawn = [known[whole_below(random, len(known))] for _ in range(PARTNERS)]
        others = [Scene.of(load(image_id)) for image_id in drawn]
        scene = recipe.mosaic.apply(scene, others, random)
    for step in recipe.steps:
        if random.random() < step.probability:
            scene = step.apply(scene, random)
    return scene.finished(
        least_visible=recipe.least_visible, least_side_px=recipe.least_side_px
    )


def train_variants(recipe: Recipe, split: Split, load: Load) -> Iterator[Variant]:
    """Yield the variants of the training images; val and test are not changed.

    One image is held at a time, with three more for a mosaic, which are training images
    too.
    """
    train = sorted(split.image_ids("train"))
    for image_id in train:
        for number in range(recipe.variants):
            copy = variant(recipe, image_id, number, load=load, partners=train)
            yield Variant(image_id, number, copy)


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON holds it, for a job or a manifest."""
    document = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    return {
        **document,
        "steps": [
            {"step": _NAMES[type(step)], **asdict(step)} for step in recipe.steps
        ],
        "mosaic": None if recipe.mosaic is None else asdict(recipe.mosaic),
    }


def recipe_from_json(document: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `recipe_json` wrote.

    Raises:
        ExportError: it is not one, or a number in it is out of bounds.
    """
    try:
        steps = tuple(_step(step) for step in document["steps"])
        mosaic = None if document["mosaic"] is None else Mosaic(**document["mosaic"])
        rest = {
            name: value
            for name, value in document.items()
            if name not in ("steps", "mosaic")
        }
        return Recipe(steps=steps, mosaic=mosaic, **rest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ExportError(_DAMAGED) from error


def _step(document: Mapping[str, Any]) -> Step:
    parameters = {name: value for name, value in document.items() if name != "step"}
    if "boxes" in parameters:
        parameters["boxes"] = RotatedBoxes(parameters["boxes"])
    return STEPS[document["step"]](**parameters)


def _random(seed: int, image_id: str, number: int) -> Random:
    digest = hashlib.sha256(f"{seed} {image_id} {number}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
