"""What models see on an image, packed for the editor in the browser."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from imagebase.annotation import Size
from imagebase.assist.pointing import (
    LEAST_SCORE,
    LEAST_SCORE_INSIDE,
    POINT_WEIGHTS,
    POOR_SCORE,
    SAME_BOX_IOU,
    SAME_OBJECT_IOU,
    SHARED_EDGES_IOU,
    PointCandidates,
)

_MOST: Final = 65535
_MOST_SENT: Final = 2000
# How the browser ranks, so that no number of it is written twice.
RULES: Final = {
    "weights": list(POINT_WEIGHTS),
    "sameObject": SAME_OBJECT_IOU,
    "sharedEdges": SHARED_EDGES_IOU,
    "sameBox": SAME_BOX_IOU,
    "floor": LEAST_SCORE,
    "inner": LEAST_SCORE_INSIDE,
    "poor": POOR_SCORE,
}


class Sight(NamedTuple):
    """What models see on an image, for pointing at it.

    version: of what the candidates depend on beside the image.
    known: returns the candidates of the whole image.
    closer: returns those of closer views around a point, in pixels.
    labels: returns those of the assist models.
    """

    version: str
    known: Callable[[], PointCandidates]
    closer: Callable[[tuple[float, float]], PointCandidates]
    labels: Callable[[], tuple[str, ...]]


def packed(candidates: PointCandidates, size: Size) -> tuple[dict[str, Any], bytes]:
    """Return candidates as the head and the content of a parcel.

    A candidate takes seven numbers of two bytes: its edges as parts of the image's
    size, its confidence, and its places in the lists of labels and view sides. Of more
    than 2,000, the most confident are sent.
    """
    if len(candidates.confidence) > _MOST_SENT:
        best = np.argsort(-candidates.confidence, kind="stable")[:_MOST_SENT]
        candidates = candidates.rows(best)
    names, name = np.unique(candidates.label, return_inverse=True)
    sides, side = np.unique(candidates.view_side, return_inverse=True)
    parts = [*(candidates.xyxy / np.array([*size, *size])).T, candidates.confidence]
    columns = [*(np.rint(np.clip(part, 0, 1) * _MOST) for part in parts), name, side]
    head = {"names": [*map(str, names)], "sides": [*map(float, sides)]}
    return head, np.stack(columns, axis=1).astype("<u2").tobytes()


def point_in(wish: object, image_id: str, size: Size) -> tuple[float, float] | None:
    """Return the point that the browser asks about; None if it is not on this image."""
    match wish:
        case {"image": str(image), "point": [x, y]} if image == image_id:
            if not all(isinstance(part, int | float) for part in (x, y)):
                return None
            is_inside = 0 <= x <= size.width and 0 <= y <= size.height
            return (float(x), float(y)) if is_inside else None
    return None
