"""Score how much an image needs review, and why.

Each finding is taken as a sign that something on the image is wrong, with the share of
such findings that proved right on photographs with known objects as its weight. The
score of an image is the chance that at least one of its findings is right (a noisy or):
1 - product of (1 - weight · strength). Everything is computed for many images at once.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Annotation, Box, ImageRecord, Size, Source
from imagebase.detection.merge import CONTAINED_SHARE, SAME_OBJECT_IOU
from imagebase.editing.records import checked_box, with_edits
from imagebase.geometry import FloatArray, box_area
from imagebase.store.uncertainty import Doubt, DoubtKind, MissedObject, Reason
from imagebase.wording import percent

# Above and below the threshold: where most of the wrong boxes are, and of the missed
# objects that left any trace.
NEAR: Final = 0.15
# An object counts as seen by a pass from this share of its threshold on.
SEEN_SHARE: Final = 1 / 3
RARE_SHARE: Final = 0.005
SAME_LABEL_IOU: Final = 0.5
ANY_LABEL_IOU: Final = 0.8
_NAMED: Final = 3


# The share of findings that were errors on 128 photographs of COCO, by three models at
# a confidence of 0.25, rounded. Half of the boxes at the threshold were wrong, and four
# in five of those that the mirrored image does not show again. A rare label was wrong
# hardly more often than another; it counts for what it is worth to a training set.
WEIGHTS: Final[Mapping[DoubtKind, float]] = {
    DoubtKind.MISSED: 0.4,
    DoubtKind.ONE_WAY: 0.8,
    DoubtKind.OVERLAP: 0.9,
    DoubtKind.NEAR: 0.5,
    DoubtKind.RARE: 0.15,
}
# Of what lies just below the threshold, every fourth was an object that was missed.
WEIGHT_BELOW: Final = 0.25


@dataclass(frozen=True, slots=True)
class Boxes:
    """N boxes of many images, image after image.

    image: (N,) position of the image, rising. xyxy: (N, 4) float pixels. label: (N,)
    position of the label's name. confidence: (N,); NaN where there is none.
    is_untouched: (N,) whether no person changed or accepted it.
    """

    image: NDArray[np.intp]
    xyxy: FloatArray
    label: NDArray[np.intp]
    confidence: FloatArray
    is_untouched: NDArray[np.bool_]

    @classmethod
    def empty(cls) -> "Boxes":
        """Return no boxes, in arrays of the right shapes."""
        return cls(
            np.zeros(0, np.intp),
            np.zeros((0, 4)),
            np.zeros(0, np.intp),
            np.zeros(0),
            np.zeros(0, np.bool_),
        )

    def __len__(self) -> int:
        return len(self.image)

    def only(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Boxes":
        """Return the boxes of these rows, by truth values or by positions."""
        return Boxes(
            self.image[rows],
            self.xyxy[rows],
            self.label[rows],
            self.confidence[rows],
            self.is_untouched[rows],
        )


@dataclass(frozen=True, slots=True)
class Looked:
    """An image as the doubt sees it.

    is_open: not approved, and a person or a model has decided which boxes it has.
    """

    image_id: str
    revision: int
    size: Size
    is_open: bool


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """All that is known of M images.

    boxes, marks: of the records, and of model boxes that a person deleted.
    plain, mirrored: what the two passes show after suppression, from `SEEN_SHARE` of
        the threshold on.
    has_both: (M,) whether both passes were made.
    names: labels, by position. thresholds: (L,) of each label; NaN without a model.
    label_counts: (L,) boxes of each label in the whole dataset.
    """

    images: Sequence[Looked]
    boxes: Boxes
    marks: Boxes
    plain: Boxes
    mirrored: Boxes
    has_both: NDArray[np.bool_]
    names: Sequence[str]
    thresholds: FloatArray
    label_counts: NDArray[np.intp]
    model_id: str = ""


@dataclass(frozen=True, slots=True)
class _Findings:
    """Findings of one kind: the image each is about, and how likely it is right.

    tell: from the positions of one image's findings, strongest first, to its reason.
    """

    kind: DoubtKind
    image: NDArray[np.intp]
    chance: FloatArray
    tell: Callable[[Sequence[int]], tuple[str, tuple[MissedObject, ...]]]


def judge(evidence: ImageEvidence) -> list[Doubt]:
    """Return the doubt of every image, in the order they came."""
    is_open = np.array([image.is_open for image in evidence.images], dtype=np.bool_)
    missed = _missed(evidence)
    kinds = [
        _telling_missed(evidence, missed),
        _one_way(evidence),
        _overlaps(evidence),
        _near(evidence, missed),
        _rare(evidence),
    ]
    certain = np.zeros(len(is_open))  # logarithm of the chance that nothing is wrong
    reasons: list[dict[DoubtKind, Reason]] = [{} for _ in evidence.images]
    for findings in kinds:
        remains = np.log1p(-findings.chance)
        np.add.at(certain, findings.image, remains)
        for place, reason in _reasons(findings, remains, is_open):
            reasons[place][findings.kind] = reason
    scores = np.where(is_open, -np.expm1(certain), 0.0)
    return [
        Doubt(image.image_id, image.revision, float(score), _strongest_first(why))
        for image, score, why in zip(evidence.images, scores, reasons, strict=True)
    ]


def add_missed(record: ImageRecord, missed: MissedObject, *, who: str) -> ImageRecord:
    """Return the record with an object that was missed, as a model box one accepted.

    Raises:
        EditError: nothing of it lies on the image.
    """
    added = Annotation(
        box=checked_box(missed.box, record.size),
        label=missed.label,
        source=Source.MODEL,
        confidence=missed.confidence,
        model_id=missed.model_id,
    ).with_acceptance(who=who)
    return with_edits(record, [*record.annotations, added])


def _strongest_first(reasons: Mapping[DoubtKind, Reason]) -> dict[DoubtKind, Reason]:
    return dict(sorted(reasons.items(), key=lambda reason: -reason[1].part))


def _reasons(
    findings: _Findings, remains: FloatArray, is_open: NDArray[np.bool_]
) -> list[tuple[int, Reason]]:
    """Return the reason of each open image that has findings of a kind."""
    of_image: defaultdict[int, list[int]] = defaultdict(list)
    for i in np.argsort(remains, kind="stable"):
        place = int(findings.image[i])
        if is_open[place]:
            of_image[place].append(int(i))
    of_images = []
    for place, rows in of_image.items():
        text, objects = findings.tell(rows)
        of_images.append(
            (place, Reason(float(-np.expm1(remains[rows].sum())), text, objects))
        )
    return of_images


def _missed(evidence: ImageEvidence) -> Boxes:
    """Return what a pass is sure enough of, but no box or mark of the record covers.

    What both passes show is there once, as the pass that is surer shows it.
    """
    shown = _joined(evidence.plain, evidence.mirrored)
    sure = shown.only(shown.confidence >= evidence.thresholds[shown.label])
    left = sure.only(~_is_covered(sure, evidence.boxes, evidence.marks))
    a, b = _pairs(left.image, left.image)
    same = _same_object(left, left, a, b)
    better = (left.confidence[b] > left.confidence[a]) | (
        (left.confidence[b] == left.confidence[a]) & (b < a)
    )
    is_double = np.zeros(len(left), np.bool_)
    is_double[a[same & better]] = True
    return left.only(~is_double)


def _telling_missed(evidence: ImageEvidence, missed: Boxes) -> _Findings:
    def tell(rows: Sequence[int]) -> tuple[str, tuple[MissedObject, ...]]:
        objects = tuple(_as_found(evidence, missed, row) for row in rows)
        size = evidence.images[int(missed.image[rows[0]])].size
        words = [
            f"{_article(box.label)} {box.label} {place_in_words(box.box, size)} "
            f"{percent(box.confidence)}"
            for box in objects
        ]
        return f"possibly missed: {_listed(words)}", objects

    chance = np.full(len(missed), WEIGHTS[DoubtKind.MISSED])
    return _Findings(DoubtKind.MISSED, missed.image, chance, tell)


def _one_way(evidence: ImageEvidence) -> _Findings:
    """Find untouched boxes that the mirrored image does not show again."""
    boxes = evidence.boxes
    ours = boxes.only(boxes.is_untouched & evidence.has_both[boxes.image])
    lonely = ours.only(~_is_shown(ours, evidence.mirrored))

    def tell(rows: Sequence[int]) -> tuple[str, tuple[MissedObject, ...]]:
        words = [_name(evidence, lonely, row) for row in rows]
        return f"not detected in the mirrored image: {_listed(words)}", ()

    chance = np.full(len(lonely), WEIGHTS[DoubtKind.ONE_WAY])
    return _Findings(DoubtKind.ONE_WAY, lonely.image, chance, tell)


def _overlaps(evidence: ImageEvidence) -> _Findings:
    boxes = evidence.boxes
    a, b = _pairs(boxes.image, boxes.image)
    a, b = a[a < b], b[a < b]
    iou = _iou(boxes.xyxy[a], boxes.xyxy[b])
    is_same = boxes.label[a] == boxes.label[b]
    many = iou > np.where(is_same, SAME_LABEL_IOU, ANY_LABEL_IOU)
    a, b, iou = a[many], b[many], iou[many]

    def tell(rows: Sequence[int]) -> tuple[str, tuple[MissedObject, ...]]:
        words = [
            _overlap_in_words(
                evidence.names[boxes.label[a[row]]],
                evidence.names[boxes.label[b[row]]],
                float(iou[row]),
            )
            for row in rows
        ]
        return _listed(words, "; "), ()

    # Nearly always one of the two is wrong; those that overlap most come first.
    chance = WEIGHTS[DoubtKind.OVERLAP] * (0.9 + 0.1 * iou)
    return _Findings(DoubtKind.OVERLAP, boxes.image[a], chance, tell)


def _near(evidence: ImageEvidence, missed: Boxes) -> _Findings:
    """Find boxes just above the threshold, and what lies just below without a box."""
    boxes = evidence.boxes
    above = boxes.confidence - evidence.thresholds[boxes.label]
    # Boxes saved under a lower threshold than today's count all the more.
    near = boxes.only(boxes.is_untouched & (above < NEAR))
    over = np.clip(near.confidence - evidence.thresholds[near.label], 0, None)
    plain = evidence.plain
    gap = evidence.thresholds[plain.label] - plain.confidence
    below = plain.only((gap > 0) & (gap <= NEAR))
    below = below.only(~_is_covered(below, boxes, evidence.marks, missed))
    under = evidence.thresholds[below.label] - below.confidence
    both = _concatenated(near, below)
    chance = np.concatenate(
        [
            WEIGHTS[DoubtKind.NEAR] * (1 - over / NEAR),
            WEIGHT_BELOW * (1 - 0.5 * under / NEAR),
        ]
    )

    def tell(rows: Sequence[int]) -> tuple[str, tuple[MissedObject, ...]]:
        words = [
            _name(evidence, both, row) + (" (no box)" if row >= len(near) else "")
            for row in rows
        ]
        count = "1 object" if len(rows) == 1 else f"{len(rows)} objects"
        return f"{count} near the threshold: {_listed(words)}", ()

    return _Findings(DoubtKind.NEAR, both.image, chance, tell)


def _rare(evidence: ImageEvidence) -> _Findings:
    """Find the rare labels of each image, each once."""
    counts = evidence.label_counts
    most = RARE_SHARE * counts.sum()
    boxes = evidence.boxes.only(counts[evidence.boxes.label] <= most)
    pairs = np.unique(np.stack([boxes.image, boxes.label], axis=1), axis=0)
    image, label = pairs[:, 0], pairs[:, 1]
    rarity = 1 - (counts[label] - 1) / max(most, 1)

    def tell(rows: Sequence[int]) -> tuple[str, tuple[MissedObject, ...]]:
        words = [
            _rarity_in_words(evidence.names[label[row]], int(counts[label[row]]))
            for row in rows
        ]
        return _listed(words), ()

    return _Findings(DoubtKind.RARE, image, WEIGHTS[DoubtKind.RARE] * rarity, tell)


def _joined(a: Boxes, b: Boxes) -> Boxes:
    both = _concatenated(a, b)
    return both.only(np.argsort(both.image, kind="stable"))


def _concatenated(a: Boxes, b: Boxes) -> Boxes:
    return Boxes(
        np.concatenate([a.image, b.image]),
        np.concatenate([a.xyxy, b.xyxy]),
        np.concatenate([a.label, b.label]),
        np.concatenate([a.confidence, b.confidence]),
        np.concatenate([a.is_untouched, b.is_untouched]),
    )


def _pairs(
    a: NDArray[np.intp], b: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return every pair of rows that are of one image; both are sorted by image."""
    first = np.searchsorted(b, a, "left")
    counts = np.searchsorted(b, a, "right") - first
    begins = np.cumsum(counts) - counts
    in_a = np.repeat(np.arange(len(a)), counts)
    in_b = np.arange(counts.sum()) + np.repeat(first - begins, counts)
    return in_a, in_b


def _shared(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the shared area of each pair of boxes, (N, 4) and (N, 4) to (N,)."""
    near, far = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    return np.asarray(np.prod(np.clip(far - near, 0, None), axis=1))


def _iou(a: FloatArray, b: FloatArray) -> FloatArray:
    shared = _shared(a, b)
    union = box_area(a) + box_area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _same_object(
    x: Boxes, y: Boxes, a: NDArray[np.intp], b: NDArray[np.intp]
) -> NDArray[np.bool_]:
    same = x.label[a] == y.label[b]
    return np.asarray(same & (_iou(x.xyxy[a], y.xyxy[b]) >= SAME_OBJECT_IOU))


def _is_shown(boxes: Boxes, shown: Boxes) -> NDArray[np.bool_]:
    """Say of each box whether a pass shows it: its label, IoU ≥ 0.5."""
    a, b = _pairs(boxes.image, shown.image)
    result = np.zeros(len(boxes), np.bool_)
    result[a[_same_object(boxes, shown, a, b)]] = True
    return result


def _is_covered(objects: Boxes, boxes: Boxes, *others: Boxes) -> NDArray[np.bool_]:
    """Say of each found object whether it has a box already, or must not have one.

    A box covers it at IoU ≥ 0.5 whatever its label, and where it contains it with the
    same label, as when detections are kept; the others do with the same label alone.
    """
    a, b = _pairs(objects.image, boxes.image)
    inner, outer = objects.xyxy[a], boxes.xyxy[b]
    area = box_area(inner)
    contained = (_shared(inner, outer) >= CONTAINED_SHARE * area) & (area > 0)
    contained &= objects.label[a] == boxes.label[b]
    result = np.zeros(len(objects), np.bool_)
    result[a[(_iou(inner, outer) >= SAME_OBJECT_IOU) | contained]] = True
    for other in others:
        result |= _is_shown(objects, other)
    return result


def _as_found(evidence: ImageEvidence, boxes: Boxes, row: int) -> MissedObject:
    return MissedObject(
        Box(*(float(edge) for edge in boxes.xyxy[row])),
        evidence.names[boxes.label[row]],
        float(boxes.confidence[row]),
        evidence.model_id,
    )


def _name(evidence: ImageEvidence, boxes: Boxes, row: int) -> str:
    name, confidence = evidence.names[boxes.label[row]], float(boxes.confidence[row])
    # An interpolated or imported box may have none.
    return name if np.isnan(confidence) else f"{name} {percent(confidence)}"


def _listed(words: Sequence[str], between: str = ", ") -> str:
    named = between.join(words[:_NAMED])
    rest = len(words) - _NAMED
    return f"{named} and {rest} more" if rest > 0 else named


def _article(label: str) -> str:
    return "an" if label[:1].lower() in "aeiou" and label else "a"


def _overlap_in_words(label: str, other: str, iou: float) -> str:
    if label == other:
        return f"two '{label}' boxes overlap by {iou * 100:.0f} %"
    return f"'{label}' and '{other}' overlap by {iou * 100:.0f} %"


def _rarity_in_words(label: str, count: int) -> str:
    return f"{'the only' if count <= 1 else f'one of {count}'} '{label}' of the set"


def place_in_words(box: Box, size: Size) -> str:
    """Return where on an image a box lies: its centre, in a grid of three by three."""
    across = (box.x_min + box.x_max) / 2 / max(size.width, 1)
    down = (box.y_min + box.y_max) / 2 / max(size.height, 1)
    row = "top" if down < 1 / 3 else "bottom" if down > 2 / 3 else ""
    column = "left" if across < 1 / 3 else "right" if across > 2 / 3 else ""
    if not row and not column:
        return "in the middle"
    edges = (box.x_min <= 1, box.x_max >= size.width - 1)
    if not row and edges[column == "right"]:
        return f"at the {column} edge"
    return f"at the {' '.join(filter(None, (row, column)))}"
