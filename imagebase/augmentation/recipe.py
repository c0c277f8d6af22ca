"""Which steps, how often, from which seed; and the variants that come of them.

What is drawn for a variant depends on the recipe's seed, the image's id and the
variant's number, and on nothing else: neither the order nor the process matters. Only
the generator's raw doubles and bytes are used, which are the same on every system;
pixels may differ by one between processors, as OpenCV's own arithmetic does.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, NamedTuple

import numpy as np

from imagebase.augmentation.mosaic import PARTNERS, Mosaic
from imagebase.augmentation.moves import RotatedBoxes
from imagebase.augmentation.scene import LabelledImage, Scene
from imagebase.augmentation.steps import STEPS, Random, Step, whole_below
from imagebase.errors import ExportError
from imagebase.formats.split import Split

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
    recipe: Recipe,
    image_id: str,
    number: int,
    *,
    load: Load,
    partners: Sequence[str],
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
        others = [Scene.of(load(one)) for one in drawn]
        scene = recipe.mosaic.apply(scene, others, random)
    for step in recipe.steps:
        if random.random() < step.probability:
            scene = step.apply(scene, random)
    return scene.finished(
        least_visible=recipe.least_visible, least_side_px=recipe.least_side_px
    )


def train_variants(recipe: Recipe, split: Split, load: Load) -> Iterator[Variant]:
    """Yield the variants of the training images; val and test stay as they are.

    One image is held at a time, with three more for a mosaic, which are training images
    too.
    """
    train = sorted(split.image_ids("train"))
    for image_id in train:
        for number in range(recipe.variants):
            made = variant(recipe, image_id, number, load=load, partners=train)
            yield Variant(image_id, number, made)


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON holds it, for a job or a manifest."""
    kept = {one.name: getattr(recipe, one.name) for one in fields(recipe)}
    return {
        **kept,
        "steps": [
            {"step": _NAMES[type(step)], **asdict(step)} for step in recipe.steps
        ],
        "mosaic": None if recipe.mosaic is None else asdict(recipe.mosaic),
    }


def recipe_from_json(kept: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `recipe_json` wrote.

    Raises:
        ExportError: it is not one, or a number in it is out of bounds.
    """
    try:
        steps = tuple(_step(one) for one in kept["steps"])
        mosaic = None if kept["mosaic"] is None else Mosaic(**kept["mosaic"])
        rest = {
            name: value
            for name, value in kept.items()
            if name not in ("steps", "mosaic")
        }
        return Recipe(steps=steps, mosaic=mosaic, **rest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ExportError(_DAMAGED) from error


def _step(kept: Mapping[str, Any]) -> Step:
    parameters = {name: value for name, value in kept.items() if name != "step"}
    if "boxes" in parameters:
        parameters["boxes"] = RotatedBoxes(parameters["boxes"])
    return STEPS[kept["step"]](**parameters)


def _random(seed: int, image_id: str, number: int) -> Random:
    digest = hashlib.sha256(f"{seed} {image_id} {number}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
