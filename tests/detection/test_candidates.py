import struct
import time
import zlib

import numpy as np
import pytest

from imagebase.detection.candidates import Candidates, pack, select, unpack
from imagebase.errors import StoreError


def found(
    *rows: tuple[float, int], boxes: list[list[float]] | None = None
) -> Candidates:
    """Return candidates of these confidences and classes, apart from one another."""
    apart = [[20.0 * i, 0.0, 20.0 * i + 10, 10.0] for i in range(len(rows))]
    return Candidates(
        np.array(boxes or apart, np.float32).reshape(-1, 4),
        np.array([confidence for confidence, _ in rows], np.float32),
        np.array([class_id for _, class_id in rows], np.int32),
    )


def random_candidates(count: int, *, seed: int = 0) -> Candidates:
    rng = np.random.default_rng(seed)
    near = rng.uniform(0, 500, (count, 2))
    far = near + rng.uniform(5, 200, (count, 2))
    return Candidates(
        np.concatenate([near, far], axis=1).astype(np.float32),
        # Few are confident: about ten in ninety pass 0.25.
        (0.01 + rng.beta(0.25, 2, count) * 0.98).astype(np.float32),
        rng.integers(0, 8, count).astype(np.int32),
    )


def test_most_confident_are_kept_in_their_order() -> None:
    some = found((0.2, 1), (0.9, 2), (0.1, 3), (0.5, 4))
    assert some.most_confident(2).class_id.tolist() == [2, 4]
    assert some.most_confident(4) is some


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"xyxy has the shape \(2, 4\)"):
        Candidates(
            np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(1, np.int32)
        )


def test_empty_has_the_shape_of_no_boxes() -> None:
    empty = Candidates.empty()
    assert empty.xyxy.shape == (0, 4)
    assert len(empty) == 0


@pytest.mark.parametrize("count", [0, 1, 90])
def test_unpack_gives_back_what_pack_took(count: int) -> None:
    before = random_candidates(count)
    after = unpack(pack(before))
    np.testing.assert_array_equal(after.xyxy, before.xyxy)
    np.testing.assert_array_equal(after.confidence, before.confidence)
    np.testing.assert_array_equal(after.class_id, before.class_id)
    assert after.xyxy.dtype == after.confidence.dtype == np.float32
    assert after.class_id.dtype == np.int32


def test_ninety_candidates_take_about_two_kilobytes() -> None:
    assert len(pack(random_candidates(90))) < 2_200


PACKED = pack(random_candidates(5))


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        pytest.param(b"", "not candidates", id="empty"),
        pytest.param(b"PK\x03\x04" + bytes(20), "not candidates", id="another file"),
        pytest.param(PACKED[:4] + b"\x09" + PACKED[5:], "version 9", id="newer"),
        pytest.param(PACKED[:-9], "cannot be read", id="cut off"),
        pytest.param(PACKED[:9] + b"garbage", "cannot be read", id="not zlib"),
        pytest.param(
            struct.pack("<4sBI", b"IBCD", 1, 2_000_000_000) + PACKED[9:],
            "2000000000 candidates",
            id="absurd count",
        ),
        pytest.param(
            struct.pack("<4sBI", b"IBCD", 1, 1) + zlib.compress(bytes(10_000_000)),
            "do not take",
            id="more than it says",
        ),
    ],
)
def test_damaged_bytes_are_refused_with_what_to_do(
    damaged: bytes, message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        unpack(damaged)


def test_select_drops_what_is_below_the_threshold() -> None:
    kept = select(
        found((0.2, 0), (0.9, 0), (0.25, 1)),
        confidence_threshold=0.25,
        nms_threshold=0.45,
    )
    assert kept.confidence.tolist() == pytest.approx([0.9, 0.25])


def test_select_suppresses_within_a_class_only() -> None:
    same = [[0.0, 0, 10, 10], [0.0, 0, 10, 9], [0.0, 0, 10, 10]]
    kept = select(
        found((0.5, 0), (0.9, 0), (0.7, 1), boxes=same),
        confidence_threshold=0.1,
        nms_threshold=0.45,
    )
    assert kept.class_id.tolist() == [0, 1]
    assert kept.confidence.tolist() == pytest.approx([0.9, 0.7])


def test_select_keeps_only_the_classes_asked_for() -> None:
    kept = select(
        found((0.5, 0), (0.6, 1), (0.7, 2)),
        confidence_threshold=0.1,
        nms_threshold=0.45,
        class_ids={0, 2},
    )
    assert kept.class_id.tolist() == [2, 0]


def test_select_with_no_class_asked_for_keeps_none() -> None:
    kept = select(
        found((0.5, 0)), confidence_threshold=0.1, nms_threshold=0.45, class_ids=[]
    )
    assert len(kept) == 0


def test_a_threshold_of_its_own_replaces_the_common_one() -> None:
    kept = select(
        found((0.3, 0), (0.3, 1), (0.3, 2)),
        confidence_threshold=0.25,
        nms_threshold=0.45,
        per_class_confidence={1: 0.5, 2: 0.1},
    )
    assert sorted(kept.class_id.tolist()) == [0, 2]


def test_the_best_stay_where_there_is_a_limit() -> None:
    kept = select(
        found((0.3, 0), (0.8, 0), (0.5, 0)),
        confidence_threshold=0.1,
        nms_threshold=0.45,
        max_detections=2,
    )
    assert kept.confidence.tolist() == pytest.approx([0.8, 0.5])


def test_select_of_nothing_is_nothing() -> None:
    kept = select(Candidates.empty(), confidence_threshold=0.25, nms_threshold=0.45)
    assert kept.xyxy.shape == (0, 4)


def test_a_slider_move_over_a_thousand_images_takes_under_half_a_second() -> None:
    packed = [pack(random_candidates(90, seed=seed)) for seed in range(100)]
    started = time.thread_time()
    for copy in packed * 10:
        select(unpack(copy), confidence_threshold=0.25, nms_threshold=0.45)
    # Of this thread's own time: what else the machine does counts for nothing.
    assert time.thread_time() - started < 0.5
