import numpy as np
import pytest

from imagebase.annotation import Box, Size
from imagebase.detection.box_fusion import FusionInput, fuse
from imagebase.detection.candidates import Candidates
from imagebase.detection.tta import joined, tiles_of


def seen(*rows: tuple[float, ...]) -> Candidates:
    """Return candidates from x_min, y_min, x_max, y_max, confidence, class."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Candidates(
        table[:, :4].astype(np.float32),
        table[:, 4].astype(np.float32),
        table[:, 5].astype(np.int32),
    )


def test_edges_are_the_mean_weighed_by_confidence() -> None:
    first, second = seen((0, 0, 100, 100, 0.9, 0)), seen((10, 0, 110, 100, 0.3, 0))
    found = fuse([FusionInput(first), FusionInput(second)], floor=0)
    np.testing.assert_allclose(found.xyxy, [[2.5, 0, 102.5, 100]], atol=1e-4)
    np.testing.assert_allclose(found.confidence, [(0.9 + 0.3) / 2], atol=1e-6)


def test_look_whose_edges_count_more_places_them() -> None:
    first, second = seen((0, 0, 100, 100, 0.6, 0)), seen((18, 0, 118, 100, 0.6, 0))
    found = fuse([FusionInput(first, edges=8), FusionInput(second)], floor=0)
    np.testing.assert_allclose(found.xyxy, [[2, 0, 102, 100]], atol=1e-4)


def test_what_only_one_look_saw_is_half_as_sure() -> None:
    found = fuse(
        [FusionInput(seen((0, 0, 10, 10, 0.8, 2))), FusionInput(seen())], floor=0
    )
    assert found.confidence.tolist() == pytest.approx([0.4])
    assert found.class_id.tolist() == [2]


def test_boxes_of_two_classes_or_two_places_stay_apart() -> None:
    look = seen((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 1), (50, 0, 60, 10, 0.7, 0))
    found = fuse([FusionInput(look), FusionInput(look)], floor=0)
    assert found.confidence.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert found.class_id.tolist() == [0, 1, 0]


def test_look_that_saw_one_thing_twice_has_one_vote() -> None:
    twice = seen((0, 0, 100, 100, 0.8, 0), (0, 30, 100, 130, 0.6, 0))
    between = seen((0, 14, 100, 114, 0.9, 0))
    found = fuse([FusionInput(between), FusionInput(twice)], floor=0)
    assert found.confidence.max() <= (0.9 + 0.8) / 2 + 1e-6


def test_who_saw_a_box_is_kept_as_bits() -> None:
    both, other = (0, 0, 10, 10, 0.9, 0), (50, 50, 60, 60, 0.8, 0)
    looks = [FusionInput(seen(both), voter=0), FusionInput(seen(both, other), voter=1)]
    found = fuse(looks, floor=0)
    assert found.seen_by is not None
    assert found.seen_by.tolist() == [0b11, 0b10]


def test_floor_is_of_the_fused_confidence() -> None:
    looks = [FusionInput(seen((0, 0, 10, 10, 0.5, 0))), FusionInput(seen())]
    assert len(fuse(looks, floor=0.26)) == 0
    assert len(fuse(looks, floor=0.25)) == 1


def test_nothing_seen_is_nothing_found() -> None:
    found = fuse([FusionInput(seen()), FusionInput(seen())], floor=0)
    assert len(found) == 0
    assert found.seen_by is not None


def test_order_of_the_looks_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 300, (60, 2))
    extents = rng.uniform(20, 90, (60, 2))
    boxes = np.concatenate([corners, corners + extents], axis=1)
    rest = np.stack([rng.uniform(0.1, 1, 60), rng.integers(0, 3, 60)], axis=1)
    rows = np.concatenate([boxes, rest], axis=1)
    first, other = seen(*map(tuple, rows[:30])), seen(*map(tuple, rows[30:]))
    here = fuse([FusionInput(first), FusionInput(other)], floor=0)
    there = fuse([FusionInput(other), FusionInput(first)], floor=0)
    np.testing.assert_allclose(here.xyxy, there.xyxy, atol=1e-3)


def test_four_tiles_overlap_and_cover_the_picture() -> None:
    tiles = tiles_of(Size(180, 90), 2)
    assert [tuple(map(round, tile)) for tile in tiles] == [
        (0, 0, 100, 50),
        (80, 0, 180, 50),
        (0, 40, 100, 90),
        (80, 40, 180, 90),
    ]


def test_box_that_a_tile_cuts_is_left_to_the_other_looks() -> None:
    left, right = tiles_of(Size(180, 90), 2)[:2]
    cut = seen((60, 10, 100, 30, 0.9, 0), (0, 0, 20, 20, 0.8, 0))
    whole = seen((0, 5, 30, 30, 0.7, 0), (70, 5, 100, 30, 0.6, 0))
    found = joined([(left, cut), (right, whole)], Size(180, 90))
    assert found.xyxy.tolist() == [[0, 0, 20, 20], [150, 5, 180, 30]]
    assert isinstance(left, Box)
