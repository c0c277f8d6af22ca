"""Tags for images, proposed from tagged images or by a classifier.

From tagged images: one ridge regression for each tag, on the vectors of images. Each
example's score is the one it gets when it is left out, which has a closed form (Allen's
PRESS, 1974), so that what is proposed has been right on the examples before.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import clean_label
from imagebase.detection.candidates import unpack
from imagebase.detection.taught.calibration import logistic
from imagebase.geometry import FloatArray

# Fewer tagged images teach nothing that would hold for others.
LEAST_TAGGED: Final = 10
LEAST_OF_A_TAG: Final = 3
MOST_TAGS: Final = 20
# A classifier's, however low its threshold.
MOST_OF_AN_IMAGE: Final = 5
# Of each kind, with and without a tag: it is read while a person waits.
MOST_EXAMPLES: Final = 150
# Of the examples from the lowest proposed score on, and one more, so many bear the tag.
PRECISION: Final = 0.8
_RIDGES: Final = (0.01, 0.03, 0.1, 0.3)


class ProposedTag(NamedTuple):
    """A tag that an image does not have; confidence: from 0 to 1."""

    tag: str
    confidence: float


def proposed_tags(
    vectors: FloatArray, tags: Sequence[Collection[str]]
) -> list[tuple[ProposedTag, ...]]:
    """Return the tags that each image may lack, the likeliest first.

    The images that have any tag are the examples, and count as tagged in full. Nothing
    is proposed from fewer than `LEAST_TAGGED` of them, and no tag that fewer than
    `LEAST_OF_A_TAG` bear, or lack, or that the examples are not told by.

    Args:
        vectors: of length 1, shape (N, D). tags: of each image.
    """
    found: list[list[ProposedTag]] = [[] for _ in tags]
    is_example = np.array([bool(own) for own in tags], np.bool_)
    if is_example.sum() >= LEAST_TAGGED:
        counts = Counter(tag for own in tags for tag in set(own))
        for tag, _ in counts.most_common(MOST_TAGS):
            has_tag = np.array([tag in own for own in tags], np.bool_)
            confidence = _confidence(vectors, is_example, has_tag)
            for place in np.flatnonzero((confidence > 0) & ~has_tag):
                found[place].append(ProposedTag(tag, float(confidence[place])))
    return [tuple(sorted(one, key=lambda tag: -tag.confidence)) for one in found]


def classified_tags(
    found: Mapping[str, bytes],
    labels: Sequence[str],
    tags: Mapping[str, Collection[str]],
    *,
    confidence: float,
) -> dict[str, tuple[ProposedTag, ...]]:
    """Return the tags that a classifier gives images and that they lack, by image id.

    The likeliest first, at most `MOST_OF_AN_IMAGE`.

    Args:
        found: the classifier's stored candidates by image id.
        labels: the classifier's, in order.
        tags: of the images, by image id.
        confidence: the least that a tag needs.
    """
    names = [_tag(label) for label in labels]
    proposed: dict[str, tuple[ProposedTag, ...]] = {}
    for image_id, blob in found.items():
        candidates = unpack(blob)
        order = np.argsort(-candidates.confidence, kind="stable")
        own = [
            ProposedTag(names[candidates.class_id[i]], float(candidates.confidence[i]))
            for i in order
            if candidates.confidence[i] >= confidence
            and 0 <= candidates.class_id[i] < len(names)
        ]
        new = [one for one in own if one.tag and one.tag not in tags.get(image_id, ())]
        if new:
            proposed[image_id] = tuple(new[:MOST_OF_AN_IMAGE])
    return proposed


def _tag(label: str) -> str:
    """Return a label as a tag; empty where it can be none."""
    try:
        return clean_label(label.strip())
    except ValueError:
        return ""


def _confidence(
    vectors: FloatArray, is_example: NDArray[np.bool_], has_tag: NDArray[np.bool_]
) -> FloatArray:
    """Return how sure the tag is on each image, shape (N,); 0 where it is not."""
    right = has_tag[is_example]
    if min(right.sum(), (~right).sum()) < LEAST_OF_A_TAG:
        return np.zeros(len(vectors))
    fitted = _spread(is_example & has_tag) | _spread(is_example & ~has_tag)
    score = _scores(vectors, fitted, has_tag[fitted])
    least = _least_score(score[is_example], right)
    slope, offset = logistic(score[is_example], right.astype(np.float64))
    sure = 1 / (1 + np.exp(-(slope * score + offset)))
    return np.where(score >= least, sure, 0.0)


def _spread(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return at most `MOST_EXAMPLES` of those chosen, spread evenly over them."""
    places = np.flatnonzero(chosen)
    count = min(len(places), MOST_EXAMPLES)
    kept = np.zeros_like(chosen)
    kept[places[np.linspace(0, len(places) - 1, count).astype(np.intp)]] = count > 0
    return kept


def _scores(
    vectors: FloatArray, is_example: NDArray[np.bool_], right: NDArray[np.bool_]
) -> FloatArray:
    """Return the score of each image, near 1 with the tag and near 0 without."""
    # Both kinds of examples count the same, however many there are.
    weight = np.where(right, 0.5 / right.sum(), 0.5 / (~right).sum())
    middle = weight @ vectors[is_example]
    root = np.sqrt(weight)
    rows = (vectors[is_example] - middle).astype(np.float64) * root[:, None]
    wanted = (right - 0.5) * root
    # The products of rows are fewer than those of columns.
    squares, axes = np.linalg.eigh(rows @ rows.T)
    turned = axes.T @ wanted
    best, left_out, least_error = turned, wanted, np.inf
    for ridge in _RIDGES:
        kept = squares / (squares + ridge)
        error = (wanted - axes @ (kept * turned)) / (1 - axes**2 @ kept)
        if error @ error < least_error:
            least_error = float(error @ error)
            best, left_out = turned / (squares + ridge), wanted - error
    direction = rows.T @ (axes @ best)
    score = (vectors @ direction.astype(vectors.dtype)).astype(np.float64)
    score -= middle @ direction
    score[is_example] = left_out / root
    scores: FloatArray = score + 0.5
    return scores


def _least_score(score: FloatArray, right: NDArray[np.bool_]) -> float:
    """Return the score from which on examples are right often enough.

    Halfway to the next example below; infinite where that finds less than a third of
    the right ones.
    """
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(right[order])
    is_precise = hits >= PRECISION * np.arange(2, len(order) + 2)
    is_useful = hits >= max(LEAST_OF_A_TAG - 1, right.sum() / 3)
    good = np.flatnonzero(is_precise & is_useful & right[order])
    if not good.size:
        return np.inf
    around = score[order[good[-1] : good[-1] + 2]]
    return float(around.mean())
