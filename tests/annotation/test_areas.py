"""Which pixels a shape covers, and how much of a box lies in it."""

import math
import time

import numpy as np
import pytest

from imagebase.annotation import Box, Size
from imagebase.annotation.areas import (
    MAX_POINTS,
    Point,
    Shape,
    ShapeKind,
    checked_shape,
    rectangle,
    shape_json,
    shape_of_json,
)
from imagebase.annotation.coverage import (
    Region,
    covered_shares,
    is_inside,
    mask_of,
    region_of,
)
from imagebase.errors import EditError
from imagebase.geometry import as_xyxy

SIZE = Size(40, 30)


def polygon(*points: tuple[float, float]) -> Shape:
    return Shape(ShapeKind.POLYGON, tuple(Point(*point) for point in points))


def brush(width: float, *points: tuple[float, float]) -> Shape:
    return Shape(ShapeKind.BRUSH, tuple(Point(*point) for point in points), width)


def test_a_rectangle_covers_its_pixels() -> None:
    mask = mask_of([rectangle(Box(2, 3, 10, 7))], SIZE)
    assert mask.sum() == 8 * 4
    assert mask[3:7, 2:10].all()


def test_a_polygon_of_a_rectangles_corners_covers_the_same() -> None:
    corners = polygon((2, 3), (10, 3), (10, 7), (2, 7))
    expected = mask_of([rectangle(Box(2, 3, 10, 7))], SIZE)
    np.testing.assert_array_equal(mask_of([corners], SIZE), expected)


def test_a_triangle_covers_the_centres_inside() -> None:
    mask = mask_of([polygon((0, 0), (20, 0), (0, 20))], SIZE)
    y, x = np.mgrid[0:30, 0:40] + 0.5
    np.testing.assert_array_equal(mask, x + y < 20)


def test_a_polygon_that_crosses_itself_has_no_hole() -> None:
    star = [
        (
            20 + 14 * math.sin(math.tau * i * 2 / 5),
            15 - 14 * math.cos(math.tau * i * 2 / 5),
        )
        for i in range(5)
    ]
    assert mask_of([polygon(*star)], SIZE)[15, 20]


def test_a_stroke_has_round_ends() -> None:
    mask = mask_of([brush(6, (10, 15), (20, 15))], SIZE)
    y, x = np.mgrid[0:30, 0:40] + 0.5
    along = np.clip(x, 10, 20)
    np.testing.assert_array_equal(mask, np.hypot(x - along, y - 15) <= 3)


def test_a_dot_of_the_brush_is_a_disc() -> None:
    mask = mask_of([brush(8, (20, 15))], SIZE)
    assert mask.sum() == pytest.approx(math.pi * 16, rel=0.1)


def test_an_ellipse_covers_what_is_inside() -> None:
    ellipse = Shape(ShapeKind.ELLIPSE, (Point(4, 2), Point(34, 22)))
    assert mask_of([ellipse], SIZE).sum() == pytest.approx(math.pi * 150, rel=0.02)


def test_what_reaches_over_the_image_is_cut() -> None:
    shapes = [rectangle(Box(-5, -5, 3, 2)), polygon((35, 25), (90, 25), (35, 90))]
    mask = mask_of(shapes, SIZE)
    assert mask[:2, :3].all()
    assert mask[26, 36]
    assert mask.shape == (30, 40)


def test_shares_are_those_of_the_union() -> None:
    shapes = [rectangle(Box(0, 0, 10, 10)), rectangle(Box(5, 0, 20, 10))]
    boxes = as_xyxy([[0, 0, 20, 10], [10, 5, 30, 15], [25, 20, 30, 25]])
    np.testing.assert_allclose(covered_shares(boxes, shapes, SIZE), [1, 0.25, 0])


def test_edges_between_pixels_count_in_part() -> None:
    shapes = [rectangle(Box(0, 0, 10, 10)), rectangle(Box(0, 0, 10, 10))]
    boxes = np.array([[9.25, 0.5, 10.25, 9.5]])
    np.testing.assert_allclose(covered_shares(boxes, shapes, SIZE), [0.75])
    np.testing.assert_allclose(covered_shares(boxes, shapes[:1], SIZE), [0.75])


def test_shares_agree_with_the_mask_itself() -> None:
    shapes = [polygon((3, 3), (35, 8), (20, 28)), brush(5, (2, 25), (30, 4))]
    mask = mask_of(shapes, SIZE)
    generator = np.random.default_rng(1)
    near = generator.integers(0, [30, 20], (50, 2))
    boxes = np.concatenate([near, near + generator.integers(1, 10, (50, 2))], axis=1)
    expected = [mask[t:b, left:r].mean() for left, t, r, b in boxes.tolist()]
    np.testing.assert_allclose(Region(mask).shares(boxes), expected)


def test_half_a_box_is_inside() -> None:
    boxes = np.array([[5, 0, 15, 10], [5.1, 0, 15.1, 10]])
    area = rectangle(Box(0, 0, 10, 10))
    assert is_inside(boxes, [area], SIZE).tolist() == [True, False]
    assert is_inside(boxes, [], SIZE).tolist() == [False, False]
    assert not len(is_inside(np.zeros((0, 4)), [area], SIZE))


def test_a_shape_comes_back_from_json() -> None:
    shape = brush(4.5, (1, 2), (3.25, 4))
    assert shape_of_json(shape_json(shape)) == shape


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"kind": "star", "points": [], "width": 0},
        {"kind": "polygon", "points": [[0, 0]], "width": 0},
        {"kind": "brush", "points": [[0, float("nan")]], "width": 1},
        {"kind": "brush", "points": [[0]], "width": 1},
        {"kind": "brush", "points": 7, "width": 1},
    ],
    ids=str,
)
def test_what_is_no_shape_is_refused(kept: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the sentence differs
        shape_of_json(kept)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        (polygon((0, 0), (1, 1)), "2 points"),
        (brush(0, (1, 1)), "width"),
        (rectangle(Box(5, 5, 5, 9)), "Nothing"),
        (rectangle(Box(50, 5, 60, 9)), "Nothing"),
        (rectangle(Box(0, 0, math.inf, 9)), "number"),
        (brush(3, *[(1, 1)] * (MAX_POINTS + 1)), "2,000 points"),
    ],
    ids=["few", "width", "flat", "outside", "infinite", "many"],
)
def test_a_shape_that_cannot_be_kept_is_refused(shape: Shape, sentence: str) -> None:
    with pytest.raises(EditError, match=sentence):
        checked_shape(shape, SIZE)


def test_a_moved_shape_keeps_its_form() -> None:
    moved = brush(4, (1, 2), (3, 4)).moved(Point(2, 2), Point(10, 0))
    assert moved == brush(8, (12, 4), (16, 8))


def test_a_stroke_takes_what_is_no_further_off_than_half_its_width() -> None:
    line = brush(3, (2.2, 3.1), (17.4, 9.6), (5.3, 18.7))
    y, x = np.mgrid[0:20, 0:20] + 0.5
    apart = np.full((20, 20), np.inf)
    for (x0, y0), (x1, y1) in zip(line.points, line.points[1:], strict=False):
        dx, dy = x1 - x0, y1 - y0
        along = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)
        along = np.clip(along, 0, 1)
        apart = np.minimum(apart, np.hypot(x - x0 - along * dx, y - y0 - along * dy))
    np.testing.assert_array_equal(mask_of([line], Size(20, 20)), apart <= 1.5)


def test_a_wide_stroke_of_many_points_is_no_burden() -> None:
    """As the whole image for each of its parts it would take minutes."""
    points = [(float(i % 50 * 60), float(i * 7 % 2_000)) for i in range(MAX_POINTS)]
    began = time.process_time()
    assert mask_of([brush(1e6, *points)], Size(3_000, 2_000)).all()
    assert time.process_time() - began < 10


@pytest.mark.parametrize("edge", [1e10, 10**400, math.inf])
def test_a_number_that_is_no_place_on_an_image_is_refused(edge: float) -> None:
    kept = {"kind": "brush", "points": [[edge, 1.0]], "width": 2.0}
    with pytest.raises(ValueError, match=r"no (shape|number)"):
        shape_of_json(kept)


def test_areas_of_an_image_are_drawn_once_for_all_labels() -> None:
    """A truth asks for each area label by label."""
    areas = [brush(2, (3.0 * at, 4), (3.0 * at, 20)) for at in range(12)]
    first = [region_of((area,), SIZE) for area in areas]
    assert all(
        region_of((area,), SIZE) is known
        for area, known in zip(areas, first, strict=True)
    )


def test_few_large_areas_stay_in_memory() -> None:
    """One of a large photograph takes 200 MB."""
    size = Size(1_200, 1_000)
    areas = [rectangle(Box(at, 0, 1_200, 1_000)) for at in range(5)]
    first = region_of((areas[0],), size)
    assert region_of((areas[0],), size) is first
    for area in areas[1:]:
        region_of((area,), size)
    assert region_of((areas[0],), size) is not first
