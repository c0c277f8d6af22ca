"""The steps of a recipe: how much of what, drawn again for every variant.

Each is a frozen value. `probability` is the share of variants that it is applied to.
Numbers are drawn evenly between the limits that a step states.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np

from imagebase.annotation import Box, Size
from imagebase.augmentation import transforms
from imagebase.augmentation.scene import Scene
from imagebase.augmentation.transforms import RotatedBoxes
from imagebase.errors import ExportError

Random = np.random.Generator

MAX_SCALE: Final = 4.0
MAX_CUTOUTS: Final = 100


class Step(Protocol):
    """One way of changing a scene: a dataclass whose fields are its parameters."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def probability(self) -> float: ...

    def apply(self, scene: Scene, random: Random) -> Scene:
        """Return the scene changed, by what `random` gives."""
        ...


@dataclass(frozen=True, slots=True)
class FlipHorizontally:
    """Left and right exchanged; not for text, nor for labels that name a side."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)

    def apply(self, scene: Scene, random: Random) -> Scene:
        return transforms.flipped_horizontally(scene)


@dataclass(frozen=True, slots=True)
class FlipVertically:
    """Top and bottom exchanged; for images from above, or through a microscope."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)

    def apply(self, scene: Scene, random: Random) -> Scene:
        return transforms.flipped_vertically(scene)


@dataclass(frozen=True, slots=True)
class QuarterTurn:
    """Turned by 90°, 180° or 270°; the sides change places."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)

    def apply(self, scene: Scene, random: Random) -> Scene:
        return transforms.turned(scene, 1 + whole_below(random, 3))


@dataclass(frozen=True, slots=True)
class Rotate:
    """Rotated by up to so many degrees either way; the corners become grey.

    boxes: which rule rotated boxes follow.
    """

    max_degrees: float = 10.0
    boxes: RotatedBoxes = RotatedBoxes.CORNERS
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)
        _check("the greatest angle", self.max_degrees, 0, 45)

    def apply(self, scene: Scene, random: Random) -> Scene:
        degrees = between(random, -self.max_degrees, self.max_degrees)
        return transforms.rotated(scene, degrees, self.boxes)


@dataclass(frozen=True, slots=True)
class ScaleShift:
    """Larger or smaller, wider or narrower, and moved, in an image of the same size.

    smallest, largest: the scale's limits; it is drawn evenly in its logarithm.
    max_aspect: by how much more x may be scaled than y, or the other way round.
    max_shift: in shares of the image's sides, either way.
    """

    smallest: float = 0.7
    largest: float = 1.3
    max_aspect: float = 1.1
    max_shift: float = 0.1
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)
        _check("the smallest scale", self.smallest, 1 / MAX_SCALE, MAX_SCALE)
        _check("the largest scale", self.largest, self.smallest, MAX_SCALE)
        _check("the greatest change of shape", self.max_aspect, 1, 2)
        _check("the greatest shift", self.max_shift, 0, 1)

    def apply(self, scene: Scene, random: Random) -> Scene:
        scale = _log_between(random, self.smallest, self.largest)
        aspect = math.sqrt(_log_between(random, 1 / self.max_aspect, self.max_aspect))
        across, down = (
            between(random, -self.max_shift, self.max_shift) * side
            for side in scene.size
        )
        return transforms.scaled_and_shifted(
            scene, scale=(scale * aspect, scale / aspect), shift=(across, down)
        )


@dataclass(frozen=True, slots=True)
class Crop:
    """A window of the image; the result is as small as that.

    least_side: the least share of each side that stays.
    """

    least_side: float = 0.7
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)
        _check("the smallest side of a crop", self.least_side, 0.1, 1)

    def apply(self, scene: Scene, random: Random) -> Scene:
        width, height = (
            max(1, round(side * between(random, self.least_side, 1)))
            for side in scene.size
        )
        return transforms.cropped(
            scene,
            left=whole_below(random, scene.size.width - width + 1),
            top=whole_below(random, scene.size.height - height + 1),
            size=Size(width, height),
        )


@dataclass(frozen=True, slots=True)
class Hsv:
    """Another hue, stronger or paler colours, more or less light.

    hue: share of the circle, either way; 0 where the colour is what a label means.
    saturation, value: how far their factors may be from 1.
    """

    hue: float = 0.015
    saturation: float = 0.5
    value: float = 0.4
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)
        _check("the change of hue", self.hue, 0, 0.5)
        _check("the change of saturation", self.saturation, 0, 1)
        _check("the change of value", self.value, 0, 1)

    def apply(self, scene: Scene, random: Random) -> Scene:
        rgb = transforms.tinted(
            scene.rgb,
            hue=between(random, -self.hue, self.hue),
            saturation=1 + between(random, -self.saturation, self.saturation),
            value=1 + between(random, -self.value, self.value),
        )
        return scene.with_pixels(rgb)


@dataclass(frozen=True, slots=True)
class BrightnessContrast:
    """brightness: share of white that is added or taken at most.

    contrast: how far its factor may be from 1.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)
        _check("the change of brightness", self.brightness, 0, 1)
        _check("the change of contrast", self.contrast, 0, 1)

    def apply(self, scene: Scene, random: Random) -> Scene:
        rgb = transforms.lit(
            scene.rgb,
            brightness=between(random, -self.brightness, self.brightness),
            contrast=1 + between(random, -self.contrast, self.contrast),
        )
        return scene.with_pixels(rgb)


@dataclass(frozen=True, slots=True)
class Blur:
    """max_sigma: pixels of the Gaussian; at least a fifth of it is applied."""

    max_sigma: float = 1.5
    probability: float = 0.2

    def __post_init__(self) -> None:
        check_probability(self.probability)
        _check("the strongest blur", self.max_sigma, 0.1, 20)

    def apply(self, scene: Scene, random: Random) -> Scene:
        sigma = between(random, self.max_sigma / 5, self.max_sigma)
        return scene.with_pixels(transforms.blurred(scene.rgb, sigma=sigma))


@dataclass(frozen=True, slots=True)
class Noise:
    """max_deviation: of normal noise, of 255; at least a fifth of it is applied."""

    max_deviation: float = 12.0
    probability: float = 0.2

    def __post_init__(self) -> None:
        check_probability(self.probability)
        _check("the strongest noise", self.max_deviation, 0, 100)

    def apply(self, scene: Scene, random: Random) -> Scene:
        deviation = between(random, self.max_deviation / 5, self.max_deviation)
        rgb = transforms.noisy(scene.rgb, deviation=deviation, random=random)
        return scene.with_pixels(rgb)


@dataclass(frozen=True, slots=True)
class Cutout:
    """Grey patches laid over the image (DeVries and Taylor, 2017).

    count: how many. max_side: their sides as shares of the image's, at most. Boxes
    under them are kept, unless too little of one can still be seen.
    """

    count: int = 4
    max_side: float = 0.15
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)
        _check("the number of patches", self.count, 1, MAX_CUTOUTS)
        _check("the greatest side of a patch", self.max_side, 0.01, 1)

    def apply(self, scene: Scene, random: Random) -> Scene:
        patches = [self._patch(scene.size, random) for _ in range(self.count)]
        return scene.covered(*transforms.covered(scene.rgb, patches))

    def _patch(self, size: Size, random: Random) -> Box:
        width, height = (
            max(1, round(side * between(random, 0, self.max_side))) for side in size
        )
        left = whole_below(random, size.width - width + 1)
        top = whole_below(random, size.height - height + 1)
        return Box(left, top, left + width, top + height)


# In the order in which they are best applied: what moves first, noise after light.
STEPS: Final[dict[str, type[Step]]] = {
    "flip_horizontally": FlipHorizontally,
    "flip_vertically": FlipVertically,
    "quarter_turn": QuarterTurn,
    "rotate": Rotate,
    "scale_shift": ScaleShift,
    "crop": Crop,
    "hsv": Hsv,
    "brightness_contrast": BrightnessContrast,
    "blur": Blur,
    "noise": Noise,
    "cutout": Cutout,
}


def between(random: Random, low: float, high: float) -> float:
    """Return a number from low to below high."""
    return low + (high - low) * random.random()


def whole_below(random: Random, end: int) -> int:
    """Return a whole number from 0 to below this end."""
    return min(int(random.random() * end), end - 1)


def check_probability(probability: float) -> None:
    """Check a probability.

    Raises:
        ExportError: it is not between 0 and 1.
    """
    _check("a probability", probability, 0, 1)


def _log_between(random: Random, low: float, high: float) -> float:
    return math.exp(between(random, math.log(low), math.log(high)))


def _check(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ExportError(
            f"Augmentation: {what} is {value:g}; choose from {low:g} to {high:g}."
        )
