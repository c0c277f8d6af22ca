"""Scores of boxes by a taught model, and the edges of the objects in them."""

from typing import Final, NamedTuple

import numpy as np

from imagebase.detection.nms import nms
from imagebase.detection.taught.described_image import DescribedImage, Places
from imagebase.detection.taught.model import TaughtModel
from imagebase.geometry import FloatArray, clip_xyxy

# Of the candidates of the nets, and of the windows, that many are looked at; more for
# each further label.
_LOOKED_AT, _WINDOWS_LOOKED_AT = 60, 40
_MORE_EACH, _MOST_WINDOWS_LOOKED_AT = 20, 120
# Windows that overlap are suppressed among so many of the best.
_BEST_WINDOWS: Final = 300
_SAME_BOX_IOU: Final = 0.7
# The score is of the box as found and as placed, half and half, and of its fit.
_FIT_WEIGHT: Final = 0.5
_MOST_SHIFT: Final = 0.6
_LEAST_SIDE_PX: Final = 2.0


class ScoredBoxes(NamedTuple):
    """Boxes of one image with the confidence in each label.

    xyxy: (N, 4), in pixels of the full image. score, confidence: (N, L).
    """

    xyxy: FloatArray
    score: FloatArray
    confidence: FloatArray


def scored(model: TaughtModel, scene: DescribedImage) -> ScoredBoxes:
    """Return the boxes that are likeliest to be like the examples, none suppressed."""
    places = scene.places(model.sizes)
    first = linear(scene.first_features(places), model.first)
    places = places.rows(likeliest(places, first, candidates=len(scene.candidates)))
    looks = scene.looks(places.xyxy)
    before = linear(scene.second_features(places, looks), model.second)
    moves = linear(scene.edge_features(places.xyxy, looks), model.edges)
    placed = scene.described(moved(places.xyxy, moves, scene))
    looks = scene.looks(placed.xyxy)
    after = linear(scene.second_features(placed, looks), model.second)
    fit = linear(scene.edge_features(placed.xyxy, looks), model.edges)[:, 4:]
    score = (before + after) / 2 + _FIT_WEIGHT * fit
    slope, offset = model.calibration
    confidence = 1 / (1 + np.exp(-np.clip(slope * score + offset, -30, 30)))
    return ScoredBoxes(placed.xyxy, score, confidence.astype(np.float32))


def linear(features: FloatArray, weights: FloatArray) -> FloatArray:
    """Return linear scores, shape (N, L); the last row of the weights is added."""
    scores: FloatArray = features @ weights[:-1] + weights[-1]
    return scores


def likeliest(
    places: Places, first: FloatArray, *, candidates: int
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the rows that are worth a look: the best of each label in turn.

    Args:
        places: the candidates, then the windows. candidates: how many there are.
        first: scores, shape (N, L).
    """
    labels = first.shape[1] - 1
    of_nets = np.argsort(_ranks(first[:candidates]), kind="stable")
    ranks = _ranks(first[candidates:])
    windows = np.argsort(ranks, kind="stable")[: _BEST_WINDOWS * (labels + 1)]
    stays = nms(
        places.xyxy[candidates:][windows],
        -ranks[windows].astype(np.float32),
        nms_threshold=_SAME_BOX_IOU,
    )
    most = min(_WINDOWS_LOOKED_AT + _MORE_EACH * labels, _MOST_WINDOWS_LOOKED_AT)
    return np.concatenate(
        [
            of_nets[: _LOOKED_AT + _MORE_EACH * labels],
            windows[stays[:most]] + candidates,
        ]
    )


def _ranks(first: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return each row's best rank in any label, 0 the best, shape (N,)."""
    order = np.argsort(-first, axis=0, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(len(first))[:, None], axis=0)
    best: np.ndarray[tuple[int], np.dtype[np.intp]] = ranks.min(axis=1)
    return best


def moved(xyxy: FloatArray, moves: FloatArray, scene: DescribedImage) -> FloatArray:
    """Return boxes with their edges where the objects' are, inside the image.

    Args:
        moves: (N, 4 or more): shift of the centre across and down in shares of the
            box's width and height, and the logarithms of how much wider and higher.
    """
    moves = np.clip(moves[:, :4], -_MOST_SHIFT, _MOST_SHIFT)
    extent = xyxy[:, 2:] - xyxy[:, :2]
    middle = (xyxy[:, :2] + xyxy[:, 2:]) / 2 + moves[:, :2] * extent
    middle = np.clip(middle, 0, np.array(scene.loaded.size, np.float32))
    half = np.maximum(extent * np.exp(moves[:, 2:]), _LEAST_SIDE_PX) / 2
    edges = np.concatenate([middle - half, middle + half], axis=1)
    return clip_xyxy(edges, scene.loaded.size)
