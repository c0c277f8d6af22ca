"""Curves, points, best thresholds and calibration against values worked out by hand."""

import numpy as np
import pytest

from imagebase.evaluation.curves import (
    Judged,
    best_thresholds,
    calibration,
    curve,
    judged,
    point,
)
from imagebase.evaluation.detection_files import read_detections
from imagebase.evaluation.ground_truth import read_truth
from imagebase.evaluation.matching import match
from tests.evaluation.builders import DATA, found, padilla, truth


def padilla_judged(iou_threshold: float) -> Judged:
    things, said = padilla()
    matching = match(things, said, iou_thresholds=(iou_threshold,))
    return judged(things, said, matching, iou_threshold=iou_threshold)


def toy_judged() -> Judged:
    labels = read_truth(
        DATA / "toyexample" / "toy_example_coco.JSON", needs_files=False
    )
    path = DATA / "toyexample" / "coco_dets.json"
    said = read_detections("toy", path, labels).found
    return judged(labels.truth, said, match(labels.truth, said))


# Padilla's 24 detections, surest first. At IoU 0.3 six of them are on one of the 15
# persons, by hand: .95 (image 5, IoU 986 / 2870), .91 (image 3, 1599 / 2819), .70
# (image 1, 1650 / 3572), .62 (image 5, 836 / 2696), .54 (image 2, 1776 / 3699) and .48
# (image 7, 3465 / 8888). The next closest is .18 of image 3, 1176 / 3983 = .295.
PADILLA_RIGHT_AT = (1, 3, 10, 12, 13, 14)


def test_padilla_precision_and_recall() -> None:
    found_curve = curve(padilla_judged(0.3))
    right = np.zeros(24)
    right[[place - 1 for place in PADILLA_RIGHT_AT]] = 1
    counts = np.cumsum(right)
    assert found_curve.objects == 15
    assert found_curve.confidence[:5].tolist() == [0.95, 0.95, 0.91, 0.88, 0.84]
    assert found_curve.precision.tolist() == pytest.approx(
        [
            *(1 / 1, 1 / 2, 2 / 3, 2 / 4, 2 / 5, 2 / 6, 2 / 7, 2 / 8, 2 / 9, 3 / 10),
            *(3 / 11, 4 / 12, 5 / 13, 6 / 14, 6 / 15, 6 / 16, 6 / 17, 6 / 18, 6 / 19),
            *(6 / 20, 6 / 21, 6 / 22, 6 / 23, 6 / 24),
        ]
    )
    assert found_curve.recall.tolist() == pytest.approx((counts / 15).tolist())


def test_padilla_average_precision() -> None:
    """Recalls 0 to .06 have precision 1, .07 to .13 have 2/3, .14 to .40 have 6/14."""
    by_hand = (7 * 1 + 7 * 2 / 3 + 27 * 6 / 14) / 101
    assert curve(padilla_judged(0.3)).average_precision == pytest.approx(by_hand)


def test_padilla_at_half_overlap_has_one_right() -> None:
    """Only .91 of image 3 overlaps by more, .567; it comes third: 1/3 up to 1/15."""
    found_curve = curve(padilla_judged(0.5))
    assert found_curve.precision[:4].tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert found_curve.average_precision == pytest.approx(7 * (1 / 3) / 101)


def test_padilla_point() -> None:
    """Of 14 detections from .48 on, 6 are right, and 9 persons are left."""
    at = point(padilla_judged(0.3), threshold=0.48)
    assert (at.right, at.wrong, at.missed) == (6, 8, 9)
    assert at.precision == pytest.approx(6 / 14)
    assert at.recall == pytest.approx(6 / 15)
    assert at.f1 == pytest.approx(12 / 29)
    assert at.cost == 2 * 9 + 8


def test_toy_precision_and_recall() -> None:
    """Twelve detections of twelve cats; the ninth, .85, is on an image without one."""
    found_curve = curve(toy_judged())
    assert found_curve.precision.tolist() == pytest.approx(
        [1, 1, 1, 1, 1, 1, 1, 1, 8 / 9, 9 / 10, 10 / 11, 11 / 12]
    )
    assert found_curve.recall.tolist() == pytest.approx(
        [n / 12 for n in (1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11)]
    )


def test_toy_average_precision() -> None:
    """Precision 1 up to recall 8/12, the best of what follows, 11/12, up to 11/12."""
    by_hand = (67 * 1 + 25 * 11 / 12) / 101
    assert curve(toy_judged()).average_precision == pytest.approx(by_hand)


def test_curve_of_one_label_leaves_the_others_out() -> None:
    things = truth((0, "cat", (0, 0, 50, 50)), (0, "dog", (100, 100, 150, 150)))
    said = found((0, "cat", (0, 0, 50, 50), 0.9), (0, "dog", (0, 0, 50, 50), 0.8))
    all_labels = judged(things, said, match(things, said))
    assert curve(all_labels, label=0).precision.tolist() == [1]
    assert curve(all_labels, label=1).precision.tolist() == [0]
    assert curve(all_labels).recall.tolist() == [0.5, 0.5]


def many(right: list[float], wrong: list[float]) -> Judged:
    """Return detections of one label that were judged already."""
    confidence = np.array([*right, *wrong])
    is_right = np.array([True] * len(right) + [False] * len(wrong))
    order = np.argsort(-confidence, kind="stable")
    zeros = np.zeros(len(confidence), dtype=np.intp)
    return Judged(
        zeros, zeros, confidence[order], is_right[order], np.array([len(right)])
    )


def test_best_threshold_and_what_it_saves() -> None:
    """From .60 on every one of 20 is right, below it every one of 20 is wrong."""
    detections = many(
        [0.6 + n / 100 for n in range(20)], [0.3 + n / 100 for n in range(20)]
    )
    (best,) = best_thresholds(detections, ["cat"], threshold=0.25)
    assert best.learned is not None
    assert best.at_best is not None
    assert 0.49 < best.learned.threshold <= 0.6
    assert best.now.cost == 20  # every wrong one would be deleted
    assert best.at_best.cost == 0


def test_too_few_detections_have_no_best_threshold() -> None:
    (best,) = best_thresholds(many([0.9, 0.8], [0.3]), ["cat"], threshold=0.25)
    assert best.learned is None
    assert best.now.right == 2


def test_calibration_by_hand() -> None:
    """Of five at .85 four are right: they are .05 too sure. Of two at .35 one is."""
    detections = many([0.85] * 4 + [0.35], [0.85, 0.35])
    measured = calibration(detections)
    shares = [(bin.count, bin.share_right) for bin in measured.bins]
    assert shares == [(2, 0.5), (5, 0.8)]
    assert measured.error == pytest.approx((5 * 0.05 + 2 * 0.15) / 7)
    assert measured.bins[1].low < 0.8 < measured.bins[1].high


def test_calibration_leaves_out_what_nobody_uses() -> None:
    assert calibration(many([], [0.01, 0.05])).error is None
