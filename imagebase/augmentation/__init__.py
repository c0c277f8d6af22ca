"""Changed copies of training images, with boxes that still fit them.

A recipe is steps with their parameters; each makes a scene out of a scene. `scene` has
the rules for boxes, `transforms` how each step moves them.
"""

from imagebase.augmentation.recipe import (
    Mosaic,
    Recipe,
    Variant,
    recipe_from_json,
    recipe_json,
    train_variants,
    variant,
)
from imagebase.augmentation.scene import LabelledImage
from imagebase.augmentation.steps import (
    STEPS,
    Blur,
    BrightnessContrast,
    Crop,
    Cutout,
    FlipHorizontally,
    FlipVertically,
    Hsv,
    Noise,
    QuarterTurn,
    Rotate,
    ScaleShift,
    Step,
)
from imagebase.augmentation.transforms import RotatedBoxes

__all__ = [
    "STEPS",
    "Blur",
    "BrightnessContrast",
    "Crop",
    "Cutout",
    "FlipHorizontally",
    "FlipVertically",
    "Hsv",
    "LabelledImage",
    "Mosaic",
    "Noise",
    "QuarterTurn",
    "Recipe",
    "Rotate",
    "RotatedBoxes",
    "ScaleShift",
    "Step",
    "Variant",
    "recipe_from_json",
    "recipe_json",
    "train_variants",
    "variant",
]
