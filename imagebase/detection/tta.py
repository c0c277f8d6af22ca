"""Test-time augmentation: run a model on several views of an image, fuse the boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.detection.box_fusion import FusionInput, fuse
from imagebase.detection.candidates import Candidates
from imagebase.detection.detector import (
    ACCURATE,
    CANDIDATE_FLOOR,
    Detector,
    run_mirrored,
)

_OVERLAP: Final = 0.2
# A box that ends within this many pixels of a tile's inner edge may be cut off.
_EDGE_PX: Final = 2.0


class View(NamedTuple):
    """One pass of test-time augmentation.

    scale: of the net's side against the model's own. mirrored: flipped left to right.
    tiles: in each direction; 1 is the whole image.
    """

    scale: float
    mirrored: bool = False
    tiles: int = 1

    @property
    def work(self) -> float:
        """Work in units of a single pass at the model's own size."""
        return (self.scale * self.tiles) ** 2


@dataclass(frozen=True, slots=True)
class ViewDetector:
    """A detector at the net size of a view."""

    detector: Detector
    view: View


class TtaDetector:
    """A model run on several views, known by the name and id of the model.

    Its candidates are fused, so that NMS finds few duplicates.
    """

    passes = ACCURATE

    def __init__(self, views: Sequence[ViewDetector]) -> None:
        first = views[0].detector
        self.name = first.name
        self.labels = first.labels
        self.sha256 = first.sha256
        self.model_id = first.model_id
        self.input_size = first.input_size
        self.runtime = first.runtime
        self.precision = first.precision
        self.voters: tuple[str, ...] = ()
        sides = [(each.detector.wanted.width * each.view.tiles) for each in views]
        largest = views[int(np.argmax(sides))]
        wanted, tiles = largest.detector.wanted, largest.view.tiles
        self.wanted = Size(wanted.width * tiles, wanted.height * tiles)
        self._views = tuple(views)

    def candidates(
        self,
        rgb: NDArray[np.uint8],
        *,
        size: Size,
        floor: float = CANDIDATE_FLOOR,
        mirrored: bool = False,
    ) -> Candidates:
        """Return one box for each object that some of the views show.

        Arguments are those of `Detector.candidates`.
        """
        if mirrored:
            return run_mirrored(self, rgb, size=size, floor=floor)
        views = [
            FusionInput(_candidates_in_view(each, rgb, size, floor))
            for each in self._views
        ]
        return replace(fuse(views, floor=floor), seen_by=None)


def _candidates_in_view(
    each: ViewDetector, rgb: NDArray[np.uint8], size: Size, floor: float
) -> Candidates:
    if each.view.tiles == 1:
        return each.detector.candidates(
            rgb, size=size, floor=floor, mirrored=each.view.mirrored
        )
    return _candidates_in_tiles(each, rgb, size, floor)


def _candidates_in_tiles(
    each: ViewDetector, rgb: NDArray[np.uint8], size: Size, floor: float
) -> Candidates:
    parts = []
    for tile in tiles_of(size, each.view.tiles):
        crop = _cut(rgb, tile, size)
        candidates = each.detector.candidates(
            crop, size=Size(round(tile.width), round(tile.height)), floor=floor
        )
        parts.append((tile, candidates))
    return joined(parts, size)


def tiles_of(size: Size, count: int) -> list[Box]:
    """Return count × count tiles of an image, which overlap by a fifth."""
    across, down = (
        np.linspace(
            0,
            side * (1 - _OVERLAP) * (count - 1) / (count - (count - 1) * _OVERLAP),
            count,
        )
        for side in size
    )
    width, height = (side / (count - (count - 1) * _OVERLAP) for side in size)
    return [Box(x, y, x + width, y + height) for y in down for x in across]


def _cut(rgb: NDArray[np.uint8], tile: Box, size: Size) -> NDArray[np.uint8]:
    """Return a tile of an image that may have been decoded at a reduced size."""
    rows, columns = rgb.shape[:2]
    x, y = columns / size.width, rows / size.height
    top, bottom = round(tile.y_min * y), max(round(tile.y_max * y), 1)
    left, right = round(tile.x_min * x), max(round(tile.x_max * x), 1)
    return np.ascontiguousarray(rgb[top:bottom, left:right])


def joined(parts: Sequence[tuple[Box, Candidates]], size: Size) -> Candidates:
    """Return the candidates of tiles in pixels of the whole image.

    A box that a tile's inner edge cuts is left to the other views.
    """
    moved_parts = []
    for tile, candidates in parts:
        edges = np.array([0, 0, round(tile.width), round(tile.height)], np.float64)
        is_inner = np.abs(np.array(tile) - np.array([0, 0, *size])) >= _EDGE_PX
        is_cut = (np.abs(candidates.xyxy - edges) < _EDGE_PX)[:, is_inner]
        offset = np.array([tile.x_min, tile.y_min] * 2, np.float32)
        moved = replace(candidates, xyxy=(candidates.xyxy + offset).astype(np.float32))
        moved_parts.append(moved.rows(np.flatnonzero(~is_cut.any(axis=1))))
    return Candidates.joined(moved_parts)
