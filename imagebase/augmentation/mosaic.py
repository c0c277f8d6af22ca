"""Four pictures in one (Bochkovskiy et al., "YOLOv4", 2020)."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from imagebase.annotation import Box, Size
from imagebase.augmentation.scene import Scene, clipped_to, joined
from imagebase.augmentation.steps import (
    Random,
    between,
    check_probability,
    whole_below,
)
from imagebase.errors import ExportError
from imagebase.images.resize import Placement

PARTNERS: Final = 3


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Four pictures, each in a quarter, around a point near the middle of the first.

    Each is scaled in proportion to just cover its quarter, and what sticks out, on
    sides that are drawn, is cut off. The result is as large as the first picture.

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

        A picture of one pixel in width or height is returned as it is.
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
        for quarter, one in zip(quarters, [scene, *partners], strict=True):
            filled = _covering(one, quarter, random)
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
