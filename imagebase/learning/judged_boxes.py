"""Images on which only some boxes are known: accepted ones, and rejected ones.

They teach by these boxes alone. What else is on such an image is unknown: an object
there may have no box yet.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from imagebase.annotation import Box
from imagebase.detection.taught.described_image import DescribedImage, Places
from imagebase.geometry import FloatArray, pairwise_iou

# What overlaps a judged box so much is judged with it.
_SAME_OBJECT_IOU: Final = 0.5


class JudgedScene(DescribedImage):
    """A described image that has no other places than the judged boxes."""

    __slots__ = ()

    def places(self, sizes: FloatArray) -> Places:
        """Return the judged boxes; none elsewhere, whatever the sizes."""
        return self.described(self.candidates)


def judged_scene(scene: DescribedImage, boxes: Sequence[Box]) -> JudgedScene:
    """Return an image reduced to these boxes, and the candidates that overlap them.

    boxes: at least one, in pixels of the full image.
    """
    judged = np.array(boxes, np.float32).reshape(-1, 4)
    near = pairwise_iou(scene.candidates, judged).max(axis=1) >= _SAME_OBJECT_IOU
    return JudgedScene(
        scene.loaded,
        scene.maps,
        np.concatenate([scene.candidates[near], judged]),
        np.concatenate(
            [scene.confidence[near], scene.described(judged).confidence]
        ).astype(np.float32),
    )
