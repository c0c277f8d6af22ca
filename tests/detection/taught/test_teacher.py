"""A teacher: examples come and go, and the model is the one that the rest teaches."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from imagebase.annotation import Box, Size
from imagebase.detection.taught import lesson
from imagebase.detection.taught import teacher as teaching
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.model import TaughtModel
from imagebase.detection.taught.taught_detector import TaughtDetector
from imagebase.detection.taught.teacher import Teacher
from imagebase.errors import TeachingError
from imagebase.geometry import pairwise_iou
from tests.detection.taught.test_teach import scene as drawn


@cache
def example(seed: int) -> tuple[DescribedImage, tuple[Box, ...], tuple[str, ...]]:
    rgb, boxes = drawn(seed=seed)
    size = Size(rgb.shape[1], rgb.shape[0])
    corners = tuple(Box(*map(float, xyxy)) for xyxy, _ in boxes)
    return DescribedImage.of(rgb, size), corners, tuple(label for _, label in boxes)


def taught(seeds: Sequence[int]) -> Teacher:
    teacher = Teacher()
    for seed in seeds:
        teacher.put(seed, *example(seed))
    return teacher


def found(
    model: TaughtModel, seed: int, floor: float = 0.25
) -> list[tuple[str, float]]:
    """Return labels and confidences on an image, none suppressed within a label."""
    detector = TaughtDetector(model, name="shapes")
    candidates = detector.candidates_of(example(seed)[0], floor)
    names = [model.labels[place] for place in candidates.class_id]
    return list(zip(names, candidates.confidence.tolist(), strict=True))


def best(model: TaughtModel, seed: int, label: str, floor: float = 0.001) -> float:
    return max((c for name, c in found(model, seed, floor) if name == label), default=0)


def assert_alike(a: TaughtModel, b: TaughtModel) -> None:
    assert a.labels == b.labels
    assert a.examples == b.examples
    for seed in (50, 51):
        for label in a.labels:
            assert best(a, seed, label) == pytest.approx(best(b, seed, label), abs=0.1)


def test_an_example_that_comes_later_teaches_the_same() -> None:
    teacher = taught(range(4))
    teacher.model()
    teacher.put(4, *example(4))
    assert_alike(teacher.model(), taught(range(5)).model())


def test_an_example_that_is_taken_away_leaves_nothing() -> None:
    teacher = taught([0, 1])
    before = teacher.model()
    teacher.put(2, *example(2))
    other = teacher.model()
    assert not np.allclose(other.second, before.second, atol=1e-3)
    teacher.drop(2)
    teacher.drop("never there")
    after = teacher.model()
    for name in ("sizes", "first", "second", "edges", "calibration"):
        assert np.allclose(getattr(after, name), getattr(before, name), atol=1e-4), name
    for seed in (0, 1):
        teacher.drop(seed)
    assert len(teacher) == 0
    with pytest.raises(TeachingError, match="boxes of 0 labels"):
        teacher.model()


def test_an_image_is_one_example() -> None:
    scene, boxes, labels = example(0)
    teacher = taught([1, 0])
    teacher.put(0, scene, boxes, ["ball" if one == "disc" else one for one in labels])
    assert teacher.model().labels == ("ball", "disc", "square")
    teacher.put(0, scene, boxes, labels)
    assert_alike(teacher.model(), taught([1, 0]).model())


def test_only_what_is_new_is_studied(monkeypatch: pytest.MonkeyPatch) -> None:
    studied = []
    real = lesson.first_rows

    def counted(*given: object) -> object:
        studied.append(given)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(teaching, "first_rows", counted)
    teacher = taught(range(6))
    teacher.model()
    teacher.model()
    teacher.put(6, *example(6))
    teacher.model()
    assert len(studied) == 7


def test_what_has_no_box_on_an_incomplete_example_may_be_an_object() -> None:
    scene, boxes, labels = example(1)
    disc = labels.index("disc")
    models = []
    for is_complete in (True, False):
        teacher = Teacher()
        one = ([boxes[disc]], ["disc"])
        teacher.put(1, scene, *one, is_complete=is_complete)
        models.append(teacher.model())
    others = [np.sort([c for _, c in found(model, 1, 0.001)])[::-1] for model in models]
    # The other disc is there in both; only the complete example says it is none.
    detectors = [TaughtDetector(model, name="discs") for model in models]
    other = next(
        box
        for box, label in zip(boxes, labels, strict=True)
        if label == "disc" and box != boxes[disc]
    )
    sure = []
    for detector in detectors:
        candidates = detector.candidates_of(scene, 0.001)
        near = pairwise_iou(candidates.xyxy, np.array([other], np.float32))[:, 0] > 0.6
        sure.append(candidates.confidence[near].max(initial=0))
    assert others[1][0] > 0.25
    assert sure[1] > sure[0]


def test_a_rejected_box_is_no_object() -> None:
    scene, boxes, labels = example(1)
    disc, square = labels.index("disc"), labels.index("square")
    teacher = Teacher()
    shown = ([boxes[disc]], ["disc"])
    teacher.put(1, scene, *shown, is_complete=False)
    before = best(teacher.model(), 52, "disc")
    teacher.put(1, scene, *shown, rejected=[boxes[square]], is_complete=False)
    model = teacher.model()
    assert best(model, 52, "disc") > 0.25
    detector = TaughtDetector(model, name="discs")
    candidates = detector.candidates_of(scene, 0.001)
    wrong = np.array([boxes[square]], np.float32)
    near = pairwise_iou(candidates.xyxy, wrong)[:, 0] > 0.5
    assert candidates.confidence[near].max(initial=0) < 0.25 < before


def test_no_object_has_two_labels() -> None:
    detector = TaughtDetector(taught(range(4)).model(), name="shapes")
    for seed in (53, 54):
        found = detector.candidates_of(example(seed)[0], 0.01)
        iou = pairwise_iou(found.xyxy, found.xyxy)
        other = found.class_id[:, None] != found.class_id
        assert not (other & (iou >= 0.6)).any()


def test_threads_share_a_teacher() -> None:
    teacher = taught([0])

    def work(seed: int) -> int:
        teacher.put(seed, *example(seed))
        return teacher.model().examples

    for seed in range(5):
        example(seed)
    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(1, 5))) == 5
    assert_alike(teacher.model(), taught(range(5)).model())
