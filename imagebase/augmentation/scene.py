"""An image with boxes on its way through the steps, and what becomes of the boxes.

The rules:

- A box goes where its object goes, and is then clipped to the image.
- Its visible part is a share of its area, from 1 down: each clipping multiplies it by
  the share of the area before this clipping that lies in the image, and
  each covering by the share that is not covered. It never grows again.
- At the end a box is dropped when too small a share of it is left, or when one of its
  sides is too short. What of its object is still in the image is then unlabelled.
- Parts outside the image from the start do not count as lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Annotation, Box, Size
from imagebase.geometry import FloatArray, box_area
from imagebase.images.decode import RgbArray

# Sums of shares such as 0.3 are not exact in binary.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """rgb: (H, W, 3), upright. annotations: their boxes in its pixels.

    dropped: how many boxes are no more on it, since too little was left of them.
    """

    rgb: RgbArray
    annotations: tuple[Annotation, ...] = ()
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """Boxes are clipped to the image; an array has a row for each annotation.

    rgb: (H, W, 3). xyxy: (N, 4) float64, pixels. visible: (N,), the share that is left.
    """

    rgb: RgbArray
    annotations: tuple[Annotation, ...]
    xyxy: FloatArray
    visible: FloatArray

    @classmethod
    def of(cls, image: LabelledImage) -> "Scene":
        """Return the scene to begin with; boxes without area in it are left out."""
        size = _size(image.rgb)
        boxes = [
            annotation.box.normalised().clipped(size)
            for annotation in image.annotations
        ]
        inside = [
            (annotation, box)
            for annotation, box in zip(image.annotations, boxes, strict=True)
            if box.is_finite and box.area > 0
        ]
        xyxy = np.array([box for _, box in inside], dtype=np.float64).reshape(-1, 4)
        return cls(
            image.rgb,
            tuple(annotation for annotation, _ in inside),
            xyxy,
            np.ones(len(inside)),
        )

    @property
    def size(self) -> Size:
        return _size(self.rgb)

    def with_pixels(self, rgb: RgbArray) -> "Scene":
        """Return the scene in other colours; nothing has moved."""
        return replace(self, rgb=rgb)

    def moved(self, rgb: RgbArray, xyxy: FloatArray) -> "Scene":
        """Return the scene on another image.

        Args:
            rgb: (H, W, 3), of any size.
            xyxy: (N, 4), where the boxes have gone; they are clipped here.
        """
        width, height = _size(rgb)
        clipped, share = clipped_to(xyxy, Box(0, 0, width, height))
        return replace(self, rgb=rgb, xyxy=clipped, visible=self.visible * share)

    def covered(self, rgb: RgbArray, mask: NDArray[np.bool_]) -> "Scene":
        """Return the scene with something laid over it; boxes do not move.

        Args:
            rgb: (H, W, 3), of the same size.
            mask: (H, W), where something covers it; a box counts every pixel it is on.
        """
        free = [1 - _mean(mask, row) for row in self.xyxy]
        return replace(
            self, rgb=rgb, visible=self.visible * np.array(free, dtype=np.float64)
        )

    def finished(self, *, least_visible: float, least_side_px: float) -> LabelledImage:
        """Return the image with the boxes of which enough is left.

        Args:
            least_visible: a box of which a smaller share is left is dropped.
            least_side_px: and so is one with a shorter side.
        """
        sides = np.minimum(
            self.xyxy[:, 2] - self.xyxy[:, 0], self.xyxy[:, 3] - self.xyxy[:, 1]
        )
        stays = (
            (self.visible > 0)
            & (self.visible >= least_visible - _ROUNDING)
            & (sides >= least_side_px - _ROUNDING)
        )
        return LabelledImage(
            self.rgb,
            tuple(
                replace(annotation, box=Box(*row))
                for annotation, row, is_kept in zip(
                    self.annotations, self.xyxy.tolist(), stays, strict=True
                )
                if is_kept
            ),
            dropped=len(self.annotations) - int(stays.sum()),
        )


def joined(rgb: RgbArray, scenes: Sequence[Scene]) -> Scene:
    """Return the boxes of several scenes on one image, (H, W, 3)."""
    return Scene(
        rgb,
        tuple(annotation for scene in scenes for annotation in scene.annotations),
        np.concatenate([scene.xyxy for scene in scenes]),
        np.concatenate([scene.visible for scene in scenes]),
    )


def clipped_to(
    xyxy: FloatArray, window: Box
) -> tuple[FloatArray, NDArray[np.floating[Any]]]:
    """Return boxes, (N, 4), limited to a window, and the share left of each, (N,)."""
    near, far = window[:2] * 2, window[2:] * 2
    clipped = np.clip(xyxy, near, far)
    area = box_area(xyxy)
    left = np.divide(box_area(clipped), area, out=np.zeros_like(area), where=area > 0)
    return clipped, left


def _mean(mask: NDArray[np.bool_], xyxy: FloatArray) -> float:
    x_min, y_min = np.floor(xyxy[:2]).astype(int)
    x_max, y_max = np.ceil(xyxy[2:]).astype(int)
    under = mask[y_min:y_max, x_min:x_max]
    return float(under.mean()) if under.size else 0.0


def _size(rgb: RgbArray) -> Size:
    return Size(rgb.shape[1], rgb.shape[0])
