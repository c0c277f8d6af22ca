import numpy as np
import pytest

from imagebase.detection.nms import nms, nms_per_class
from imagebase.geometry import FloatArray, as_xyxy, pairwise_iou
from tests.test_geometry import random_boxes

EMPTY = as_xyxy([])


def test_nms_keeps_the_best_of_what_overlaps() -> None:
    boxes = as_xyxy([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    confidence = np.array([0.6, 0.9, 0.3], np.float32)
    assert nms(boxes, confidence, nms_threshold=0.45).tolist() == [1, 2]


def test_nms_keeps_a_box_at_the_threshold_exactly() -> None:
    boxes = as_xyxy([[0, 0, 10, 10], [0, 0, 10, 5]])
    confidence = np.array([0.9, 0.8], np.float32)
    assert nms(boxes, confidence, nms_threshold=0.5).tolist() == [0, 1]
    assert nms(boxes, confidence, nms_threshold=0.49).tolist() == [0]


def test_suppressed_box_suppresses_nothing() -> None:
    boxes = as_xyxy([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    confidence = np.array([0.9, 0.8, 0.7], np.float32)
    assert nms(boxes, confidence, nms_threshold=0.4).tolist() == [0, 2]


def test_equal_confidences_keep_the_earlier_box() -> None:
    boxes = as_xyxy([[0, 0, 10, 10]] * 3)
    assert nms(boxes, np.full(3, 0.5), nms_threshold=0.5).tolist() == [0]


def test_classes_do_not_suppress_each_other() -> None:
    boxes = as_xyxy([[0, 0, 10, 10]] * 3)
    confidence = np.array([0.5, 0.9, 0.7], np.float32)
    kept = nms_per_class(boxes, confidence, np.array([0, 1, 0]), nms_threshold=0.5)
    assert kept.tolist() == [1, 2]


def test_nothing_is_suppressed_among_nothing() -> None:
    none = np.zeros(0, np.float32)
    assert nms(EMPTY, none, nms_threshold=0.5).shape == (0,)
    kept = nms_per_class(EMPTY, none, np.zeros(0, np.int64), nms_threshold=0.5)
    assert kept.shape == (0,)


def greedy(boxes: FloatArray, confidence: FloatArray, threshold: float) -> list[int]:
    """Suppression as textbooks write it, one pair at a time."""
    left = sorted(range(len(boxes)), key=lambda i: -confidence[i])
    kept = []
    while left:
        best, *left = left
        kept.append(best)
        iou = pairwise_iou(boxes[best : best + 1], boxes[left])[0] if left else []
        left = [i for i, value in zip(left, iou, strict=True) if value <= threshold]
    return kept


@pytest.mark.parametrize("count", [1, 50, 700, 3000])
def test_nms_agrees_with_the_textbook_for_few_and_many(count: int) -> None:
    boxes = random_boxes(count, seed=count, side=40 * count**0.5)
    random = np.random.default_rng(1)
    confidence = random.permutation(count).astype(np.float32) / count
    classes = random.integers(0, 3, count)
    assert nms(boxes, confidence, nms_threshold=0.45).tolist() == greedy(
        boxes, confidence, 0.45
    )
    by_class = [
        int(index)
        for class_id in range(3)
        for index in np.flatnonzero(classes == class_id)[
            greedy(boxes[classes == class_id], confidence[classes == class_id], 0.45)
        ]
    ]
    kept = nms_per_class(boxes, confidence, classes, nms_threshold=0.45)
    assert kept.tolist() == sorted(by_class, key=lambda i: -confidence[i])
