"""Thresholds over many images at once say what they say image by image."""

import numpy as np
import pytest
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.annotation.areas import ImageShapes, rectangle
from imagebase.detection import candidate_pool
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.candidates import Candidates, select
from imagebase.detection.nms import nms_in_groups, nms_per_class
from imagebase.geometry import FloatArray

LABELS = 5


def random_candidates(generator: np.random.Generator, count: int) -> Candidates:
    near = generator.uniform(0, 80, (count, 2))
    extent = generator.uniform(5, 60, (count, 2))
    return Candidates(
        np.concatenate([near, near + extent], axis=1).astype(np.float32),
        generator.uniform(0.01, 1, count).astype(np.float32),
        generator.integers(0, LABELS, count).astype(np.int32),
    )


@pytest.fixture
def candidates() -> dict[str, Candidates]:
    generator = np.random.default_rng(7)
    counts = [40, 0, 1, 25, 90]
    return {f"image-{i}": random_candidates(generator, n) for i, n in enumerate(counts)}


@pytest.mark.parametrize("confidence_threshold", [0.01, 0.25, 0.8, 1.0])
@pytest.mark.parametrize("nms_threshold", [0.0, 0.3, 0.45, 1.0])
@pytest.mark.parametrize("class_ids", [None, {1, 3}, set()], ids=str)
def test_pool_selects_what_each_image_would(
    candidates: dict[str, Candidates],
    confidence_threshold: float,
    nms_threshold: float,
    class_ids: set[int] | None,
) -> None:
    own = {2: 0.6, 3: 0.05}
    selection = CandidatePool.of(candidates).select(
        confidence_threshold=confidence_threshold,
        nms_threshold=nms_threshold,
        class_ids=class_ids,
        per_class_confidence=own,
    )
    for image_id, candidate in candidates.items():
        alone = select(
            candidate,
            confidence_threshold=confidence_threshold,
            nms_threshold=nms_threshold,
            class_ids=class_ids,
            per_class_confidence=own,
        )
        together = selection.of(image_id)
        np.testing.assert_array_equal(together.xyxy, alone.xyxy)
        np.testing.assert_array_equal(together.confidence, alone.confidence)
        np.testing.assert_array_equal(together.class_id, alone.class_id)


def test_counts_and_least_confidence_are_by_image(
    candidates: dict[str, Candidates],
) -> None:
    selection = CandidatePool.of(candidates).select(
        confidence_threshold=0.25, nms_threshold=0.45
    )
    for place, image_id in enumerate(candidates):
        found = selection.of(image_id)
        assert selection.counts[place] == len(found)
        least = found.confidence.min() if len(found) else 1.0
        assert selection.least_confidence[place] == least


def test_pool_of_some_images_is_as_if_there_were_no_others(
    candidates: dict[str, Candidates],
) -> None:
    some = {name: candidates[name] for name in ("image-1", "image-3")}
    cut = CandidatePool.of(candidates).only(some)
    whole = CandidatePool.of(some)
    assert cut.image_ids == whole.image_ids
    np.testing.assert_array_equal(cut.image, whole.image)
    np.testing.assert_array_equal(cut.xyxy, whole.xyxy)


def test_class_counts_are_of_the_sure_ones(candidates: dict[str, Candidates]) -> None:
    counts = CandidatePool.of(candidates).class_counts(confidence_threshold=0.5)
    expected = [
        sum(
            int(np.sum((candidate.class_id == label) & (candidate.confidence >= 0.5)))
            for candidate in candidates.values()
        )
        for label in range(LABELS)
    ]
    assert counts == expected


@pytest.mark.parametrize("images", [{}, {"empty": Candidates.empty()}], ids=str)
def test_nothing_found_is_nothing_selected(images: dict[str, Candidates]) -> None:
    pool = CandidatePool.of(images)
    selection = pool.select(confidence_threshold=0.25, nms_threshold=0.45)
    assert selection.boxes == 0
    assert len(selection.counts) == len(images)
    assert pool.only([]).image_ids == ()


def test_unknown_image_is_a_key_error(candidates: dict[str, Candidates]) -> None:
    selection = CandidatePool.of(candidates).select(
        confidence_threshold=0.25, nms_threshold=0.45
    )
    with pytest.raises(KeyError):
        selection.of("elsewhere")


def test_candidates_in_an_ignore_area_are_left_out(
    candidates: dict[str, Candidates],
) -> None:
    pool = CandidatePool.of(candidates)
    first = pool.image_ids[0]
    everything = ImageShapes(Size(640, 480), (rectangle(Box(0, 0, 640, 480)),))
    left = pool.outside({first: everything})
    assert left.image_ids == pool.image_ids
    assert not (left.image == 0).any()
    np.testing.assert_array_equal(left.xyxy, pool.xyxy[pool.image != 0])
    assert pool.outside({}) is pool
    nowhere = ImageShapes(Size(640, 480), (rectangle(Box(639, 0, 640, 1)),))
    assert pool.outside({first: nowhere}) is pool


def test_threshold_that_moves_suppresses_nothing_anew(
    candidates: dict[str, Candidates], monkeypatch: pytest.MonkeyPatch
) -> None:
    suppressed = []

    def counting(
        xyxy: FloatArray,
        confidence: FloatArray,
        group: NDArray[np.intp],
        *,
        nms_threshold: float,
    ) -> NDArray[np.bool_]:
        suppressed.append(len(xyxy))
        return nms_in_groups(xyxy, confidence, group, nms_threshold=nms_threshold)

    monkeypatch.setattr(candidate_pool, "nms_in_groups", counting)
    pool = CandidatePool.of(candidates)
    for confidence in (0.5, 0.3, 0.9, 0.1):
        pool.select(confidence_threshold=confidence, nms_threshold=0.45)
    assert len(suppressed) == 1
    pool.select(confidence_threshold=0.05, nms_threshold=0.45)
    pool.select(confidence_threshold=0.5, nms_threshold=0.3)
    assert len(suppressed) == 3


@pytest.mark.parametrize("nms_threshold", [0.3, 0.6])
def test_classes_of_one_name_suppress_each_other_at_their_own_thresholds(
    candidates: dict[str, Candidates], nms_threshold: float
) -> None:
    pool = CandidatePool.of(candidates)
    for least in (0.05, 0.4):  # also after the suppression is known
        selection = pool.select(
            confidence_threshold=least,
            nms_threshold=nms_threshold,
            per_class_confidence={1: 0.7},
            counts_as={1: 0},
        )
        for image_id, candidate in candidates.items():
            own = candidate.confidence >= np.where(candidate.class_id == 1, 0.7, least)
            sure = candidate.rows(own)
            kind = np.where(sure.class_id == 1, 0, sure.class_id)
            kept = nms_per_class(
                sure.xyxy, sure.confidence, kind, nms_threshold=nms_threshold
            )
            found = selection.of(image_id)
            np.testing.assert_array_equal(found.xyxy, sure.xyxy[kept])


def test_pools_joined_are_the_pool_of_all_images(
    candidates: dict[str, Candidates],
) -> None:
    names = list(candidates)
    parts = [
        {name: candidates[name] for name in some} for some in (names[:2], names[2:])
    ]
    joined = CandidatePool.joined(map(CandidatePool.of, parts))
    whole = CandidatePool.of(candidates)
    assert joined.image_ids == whole.image_ids
    np.testing.assert_array_equal(joined.image, whole.image)
    np.testing.assert_array_equal(joined.xyxy, whole.xyxy)
    assert CandidatePool.joined([]).image_ids == ()
