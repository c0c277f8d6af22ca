"""One image as taught models see it: candidates, windows, and what describes a box."""

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.assist.appearance import look_at
from imagebase.detection.candidates import Candidates
from imagebase.detection.detector import CANDIDATE_FLOOR, LoadedModel, load_single
from imagebase.detection.library import find_model
from imagebase.detection.nms import nms
from imagebase.detection.taught.box_features import box_means, box_samples
from imagebase.detection.taught.feature_net import FeatureMaps, feature_net
from imagebase.detection.taught.packing import OTHER_NET, packed, unpacked, vector_of
from imagebase.geometry import FloatArray, pairwise_iou
from imagebase.images.decode import LoadedImage

_SAME_BOX_IOU: Final = 0.7
_MOST_CANDIDATES: Final = 250
# Windows follow each other by a share of their size, further apart where there would
# be more of them than the most.
_STEP: Final = 0.34
_MOST_WINDOWS: Final = 1500
# Weights of the extra features against those of the nets, found on raccoons and blood
# cells (`python -m benchmarks.teach`).
_CONFIDENCE_WEIGHT: Final = 2.0
SIZE_WEIGHT, SQUARE_WEIGHT = 0.3, 0.09
# The look has to be as long as the means.
_LOOK_WEIGHT: Final = 3**0.5


class Places(NamedTuple):
    """Boxes that may be objects, in pixels of the full image.

    xyxy: (N, 4). means: (N, 384), of the net's features.
    confidence: (N,), of the surest candidate near it × their IoU.
    """

    xyxy: FloatArray
    means: FloatArray
    confidence: FloatArray

    def rows(self, indices: NDArray[np.intp] | NDArray[np.bool_]) -> "Places":
        """Return these rows, in this order."""
        return Places(self.xyxy[indices], self.means[indices], self.confidence[indices])


@dataclass(frozen=True, slots=True, eq=False)
class DescribedImage:
    """An image with what two nets find in it, whatever they take it for.

    candidates: (N, 4), class-agnostic, suppressed. confidence: (N,).
    """

    loaded: LoadedImage
    maps: FeatureMaps
    candidates: FloatArray
    confidence: FloatArray

    @classmethod
    def of(cls, rgb: NDArray[np.uint8], size: Size) -> "DescribedImage":
        """Run the nets on an image.

        Args:
            rgb: the upright image, shape (H, W, 3); may be decoded at a reduced size.
            size: the full upright size.
        """
        own, maps = feature_net().run(rgb, size=size, floor=CANDIDATE_FLOOR)
        other = _other_net().candidates(rgb, size=size, floor=CANDIDATE_FLOOR)
        found = Candidates.joined([own, other])
        stays = nms(found.xyxy, found.confidence, nms_threshold=_SAME_BOX_IOU)
        found = found.rows(stays[:_MOST_CANDIDATES])
        return cls(LoadedImage(rgb, size), maps, found.xyxy, found.confidence)

    def pack(self) -> bytes:
        """Return the image as bytes to store; see `packing`."""
        return packed(self.loaded, self.maps, self.candidates, self.confidence)

    @classmethod
    def unpack(cls, content: bytes) -> "DescribedImage | None":
        """Return what was packed; None where it is damaged or made by other nets."""
        parts = unpacked(content)
        return None if parts is None else cls(*parts)

    def vector(self) -> FloatArray:
        """Return a unit vector that describes the whole image, shape (1728,)."""
        return vector_of(self.maps, self.loaded.size)

    @property
    def longer_side(self) -> int:
        return max(self.loaded.size)

    def places(self, sizes: FloatArray) -> Places:
        """Return the candidates, and windows of these sizes all over the image.

        Args:
            sizes: (S, 2), width and height as shares of the image's longer side.
        """
        windows = [windows_over(self.loaded.size, *size) for size in sizes.tolist()]
        return self.described(np.concatenate([self.candidates, *windows]))

    def described(self, xyxy: FloatArray) -> Places:
        """Return boxes with their features."""
        near = pairwise_iou(xyxy, self.candidates) * self.confidence
        return Places(xyxy, box_means(self.maps, xyxy), near.max(axis=1, initial=0))

    def looks(self, xyxy: FloatArray) -> FloatArray:
        """Return what boxes look like, shape (N, 448)."""
        return look_at(self.loaded, [Box(*row) for row in xyxy.tolist()])

    def first_features(self, places: Places) -> FloatArray:
        """Return what the first score reads, shape (N, 389)."""
        return np.concatenate([places.means, self._extras(places)], axis=1)

    def second_features(self, places: Places, looks: FloatArray) -> FloatArray:
        """Return what the second score reads, shape (N, 837)."""
        parts = [places.means, self._extras(places), looks * _LOOK_WEIGHT]
        return np.concatenate(parts, axis=1)

    def edge_features(self, xyxy: FloatArray, looks: FloatArray) -> FloatArray:
        """Return what places the edges, shape (N, 3648)."""
        return np.concatenate([box_samples(self.maps, xyxy), looks], axis=1)

    def _extras(self, places: Places) -> FloatArray:
        extent = places.xyxy[:, 2:] - places.xyxy[:, :2]
        extent = np.log(np.maximum(extent, 1) / self.longer_side)
        root = np.sqrt(places.confidence)[:, None]
        return np.concatenate(
            [
                root * _CONFIDENCE_WEIGHT,
                extent * SIZE_WEIGHT,
                extent**2 * SQUARE_WEIGHT,
            ],
            axis=1,
        )


def windows_over(size: Size, width: float, height: float) -> FloatArray:
    """Return windows of one size all over an image, shape (N, 4).

    Args:
        size: of the image.
        width, height: of the windows, as shares of the image's longer side.
    """
    longer = max(size)
    across, down = min(width * longer, size.width), min(height * longer, size.height)
    count = size.width / across * (size.height / down) / _STEP**2
    step = _STEP * max(1.0, count / _MOST_WINDOWS) ** 0.5
    x, y = (
        np.linspace(0, full - side, int(np.ceil((full - side) / (side * step))) + 1)
        for full, side in ((size.width, across), (size.height, down))
    )
    left, top = (corner.ravel() for corner in np.meshgrid(x, y))
    return np.stack([left, top, left + across, top + down], axis=1).astype(np.float32)


@cache
def _other_net() -> LoadedModel:
    return load_single(find_model(OTHER_NET), precision="f32")
