"""Figures of a dataset's health, against figures worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from imagebase.annotation import ReviewStatus, Size
from imagebase.review import health
from imagebase.review.health import (
    Finding,
    area_shares,
    aspect_ratios,
    best_of,
    boxes_per_image,
    centre_cells,
    centre_counts,
    count_by_label,
    count_by_status,
    count_tags,
    duplicate_groups,
    findings,
    histogram,
    is_tiny,
    is_whole_image,
    leading,
    relative_sides,
)
from imagebase.store import ImageRow
from imagebase.store.statistics import BoxTable, ImageTable

# Three images of 100 × 80; the second is upright, the third has no box.
IMAGES = ImageTable(
    image_ids=("a", "b", "c"),
    size=np.array([[100, 80], [80, 100], [100, 80]], dtype=np.float64),
    status=(ReviewStatus.APPROVED, ReviewStatus.SUGGESTED, ReviewStatus.APPROVED),
    tags=(("night", "rain"), ("night",), ()),
    warnings=(("dark",), (), ("dark", "tiny")),
    difference_hash=("00000000000000ff", "", "00000000000000fe"),
)
BOXES = BoxTable(
    labels=("car", "person"),
    image=np.array([0, 0, 1, 1]),
    xyxy=np.array(
        [
            [0, 0, 50, 40],  # a quarter of the first image, 5:4
            [90, 70, 100, 80],  # 10 × 10 in its far corner
            [0, 0, 80, 100],  # the whole second image
            [10, 10, 17, 60],  # 7 px wide
        ],
        dtype=np.float64,
    ),
    label=np.array([1, 0, 1, 1]),
)
NO_BOXES = BOXES.only(np.zeros(4, dtype=bool))


def test_images_are_counted_by_status_and_every_status_is_there() -> None:
    assert count_by_status(IMAGES) == {
        ReviewStatus.NEW: 0,
        ReviewStatus.SUGGESTED: 1,
        ReviewStatus.IMPORTED: 0,
        ReviewStatus.EDITED: 0,
        ReviewStatus.APPROVED: 2,
        ReviewStatus.REJECTED: 0,
    }


def test_labels_and_tags_are_counted_the_commonest_first() -> None:
    assert list(count_by_label(BOXES).items()) == [("person", 3), ("car", 1)]
    assert list(count_tags(IMAGES).items()) == [("night", 2), ("rain", 1)]


def test_labels_beyond_the_leading_ones_are_summed() -> None:
    assert leading({"a": 5, "b": 3, "c": 2, "d": 1}, 2) == ({"a": 5, "b": 3}, 3)
    assert leading({"a": 5}, 2) == ({"a": 5}, 0)


def test_sizes_are_relative_to_the_boxes_own_image() -> None:
    np.testing.assert_allclose(area_shares(BOXES, IMAGES), [0.25, 0.0125, 1, 0.04375])
    np.testing.assert_allclose(
        relative_sides(BOXES, IMAGES), np.sqrt([0.25, 0.0125, 1, 0.04375])
    )


def test_aspect_is_width_over_height() -> None:
    np.testing.assert_allclose(aspect_ratios(BOXES), [1.25, 1, 0.8, 0.14])


def test_centres_are_counted_in_cells_rows_first() -> None:
    # Of 4 rows and 5 columns: centres at (.25, .25), (.95, .94), (.5, .5), (.17, .35).
    cells = centre_cells(BOXES, IMAGES, grid=(4, 5))
    assert cells.tolist() == [[1, 1], [3, 4], [2, 2], [1, 0]]
    counts = centre_counts(cells, grid=(4, 5))
    assert counts.shape == (4, 5)
    assert counts.sum() == 4
    assert counts[3, 4] == 1


def test_a_centre_on_the_far_edge_is_in_the_last_cell() -> None:
    edge = BoxTable(
        ("car",), np.array([0]), np.array([[100.0, 80, 100, 80]]), np.zeros(1, np.intp)
    )
    assert centre_cells(edge, IMAGES, grid=(4, 5)).tolist() == [[3, 4]]


def test_images_without_a_box_count_with_none() -> None:
    assert boxes_per_image(BOXES, IMAGES).tolist() == [2, 2, 0]
    assert boxes_per_image(NO_BOXES, IMAGES).tolist() == [0, 0, 0]


def test_tiny_boxes_are_thin_or_cover_next_to_nothing() -> None:
    big = ImageTable(
        IMAGES.image_ids,
        np.full((3, 2), 4000.0),
        IMAGES.status,
        IMAGES.tags,
        IMAGES.warnings,
        IMAGES.difference_hash,
    )
    assert is_tiny(BOXES, IMAGES).tolist() == [False, False, False, True]
    # A thousandth of 16 megapixels is 16,000: all but none of them reach it.
    assert is_tiny(BOXES, big).tolist() == [True, True, True, True]
    assert is_tiny(NO_BOXES, IMAGES).tolist() == []


def test_whole_image_boxes_cover_more_than_nine_tenths() -> None:
    assert is_whole_image(BOXES, IMAGES).tolist() == [False, False, True, False]


def test_histogram_counts_what_is_beyond_with_the_nearest_bin() -> None:
    found = histogram(np.array([-1.0, 0, 0.5, 1, 1.9, 7]), np.array([0.0, 1, 2, 3]))
    assert found.counts.tolist() == [3, 2, 1]
    assert found.bin_of.tolist() == [0, 0, 0, 1, 1, 2]
    assert histogram(np.zeros(0), np.array([0.0, 1, 2])).counts.tolist() == [0, 0]


def test_near_duplicates_are_found_among_measured_images_only() -> None:
    assert duplicate_groups(IMAGES) == [["a", "c"]]


def test_of_many_images_hashes_alone_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut = replace(IMAGES, difference_hash=("0" * 16, "", "0fff".zfill(16)))
    vectors = dict.fromkeys("abc", np.array([1, 0], np.float32))
    assert duplicate_groups(cut, vectors) == [["a", "c"]]
    monkeypatch.setattr(health, "MOST_BY_VECTORS", 2)
    assert duplicate_groups(cut, vectors) == []
    assert duplicate_groups(IMAGES, vectors) == [["a", "c"]]


def test_findings_name_the_images_and_leave_out_what_was_not_found() -> None:
    assert findings(BOXES, IMAGES) == {
        Finding.TINY_BOX: ("b",),
        Finding.WHOLE_IMAGE_BOX: ("b",),
        Finding.NEAR_DUPLICATE: ("a", "c"),
        Finding.DARK: ("a", "c"),
        Finding.TINY_IMAGE: ("c",),
    }


@pytest.mark.parametrize(("name", "count"), [("person", 3), ("car", 1), ("dog", 0)])
def test_boxes_of_a_label(name: str, count: int) -> None:
    assert len(BOXES.of_label(name)) == count


def row(
    name: str, status: ReviewStatus, *, boxes: int = 0, side: int = 100
) -> ImageRow:
    size = Size(side, side)
    return ImageRow(name, name, size, status, boxes={"cat": boxes} if boxes else {})


def test_the_best_of_near_duplicates_has_most_work_in_it() -> None:
    new, large = row("a", ReviewStatus.NEW), row("b", ReviewStatus.NEW, side=200)
    edited = row("c", ReviewStatus.EDITED, boxes=1)
    more, approved = (
        row("d", ReviewStatus.EDITED, boxes=2),
        row("e", ReviewStatus.APPROVED),
    )
    rejected = row("f", ReviewStatus.REJECTED, boxes=3)
    bare = row("g", ReviewStatus.REJECTED, side=300)
    every = [bare, new, large, rejected, edited, more, approved]
    kept = []
    while every:
        kept.append(best_of(every))
        every.remove(kept[-1])
    assert [image.image_id for image in kept] == list("edcfbag")
