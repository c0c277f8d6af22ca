import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.annotation import Box, Size
from imagebase.errors import ExportError
from imagebase.images.decode import RgbArray
from imagebase.images.resize import BORDER, Letterbox, LongestSide, Resizing, Stretch

RED = (220, 20, 20)

sizes = st.builds(Size, st.integers(1, 400), st.integers(1, 400))
resizings = st.one_of(
    st.builds(Stretch, sizes),
    st.builds(Letterbox, sizes, st.booleans()),
    st.builds(LongestSide, st.integers(1, 400), st.booleans()),
)


def planted(size: Size, box: Box) -> RgbArray:
    """Return a black image with a red rectangle at whole pixels."""
    rgb = np.zeros((size.height, size.width, 3), dtype=np.uint8)
    x_min, y_min, x_max, y_max = map(int, box)
    rgb[y_min:y_max, x_min:x_max] = RED
    return rgb


def found(rgb: RgbArray) -> Box:
    """Return where at least half of a pixel is red."""
    is_red = (rgb[..., 0] >= RED[0] / 2) & (rgb[..., 1] < BORDER[1] / 2)
    down, across = np.nonzero(is_red)
    return Box(across.min(), down.min(), across.max() + 1, down.max() + 1)


@pytest.mark.parametrize(
    "resizing",
    [
        Stretch(Size(320, 320)),
        Stretch(Size(1280, 240)),  # one direction grows, the other shrinks
        Letterbox(Size(416, 416)),
        Letterbox(Size(1000, 1000), enlarges=True),
        Letterbox(Size(801, 603)),  # larger than the image, an odd border
        LongestSide(333),
        LongestSide(1000, enlarges=True),
    ],
    ids=str,
)
def test_planted_rectangle_is_found_where_its_box_says(resizing: Resizing) -> None:
    size, box = Size(640, 480), Box(100, 60, 420, 300)
    placement = resizing.placement(size)
    seen = found(placement.pixels(planted(size, box)))
    np.testing.assert_allclose(seen, placement.box(box), atol=0.51)


def test_halved_picture_has_halved_boxes_exactly() -> None:
    size, box = Size(640, 480), Box(100, 60, 420, 300)
    placement = Stretch(Size(320, 240)).placement(size)
    assert placement.box(box) == (50, 30, 210, 150)
    assert found(placement.pixels(planted(size, box))) == (50, 30, 210, 150)


def test_letterbox_puts_the_picture_in_the_middle_of_grey() -> None:
    white = np.full((50, 100, 3), 255, dtype=np.uint8)
    placement = Letterbox(Size(60, 61)).placement(Size(100, 50))
    rgb = placement.pixels(white)
    assert placement.box(Box(0, 0, 100, 50)) == (0, 15, 60, 45)
    assert rgb.shape == (61, 60, 3)
    assert (rgb[15:45] == 255).all()
    assert (rgb[:15] == BORDER).all()
    assert (rgb[45:] == BORDER).all()


@pytest.mark.parametrize("resizing", [LongestSide(640), Letterbox(Size(640, 640))])
def test_small_picture_is_not_enlarged_unless_told(resizing: Resizing) -> None:
    assert resizing.placement(Size(64, 48)).inner == (64, 48)


def test_stretch_enlarges_since_its_size_is_exact() -> None:
    assert Stretch(Size(640, 640)).placement(Size(64, 48)).inner == (640, 640)


def test_shrinking_averages_every_pixel() -> None:
    stripes = np.zeros((8, 80, 3), dtype=np.uint8)
    stripes[:, ::8] = 240  # one column in eight: skipping pixels would show 0 or 240
    rgb = LongestSide(10).placement(Size(80, 8)).pixels(stripes)
    assert (rgb == 30).all()


def test_shrinking_one_direction_averages_while_the_other_grows() -> None:
    stripes = np.zeros((8, 80, 3), dtype=np.uint8)
    stripes[:, ::8] = 240
    rgb = Stretch(Size(10, 16)).placement(Size(80, 8)).pixels(stripes)
    assert (rgb == 30).all()


def test_picture_of_the_same_size_keeps_its_pixels() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    same = Letterbox(Size(64, 48)).placement(Size(64, 48)).pixels(rgb)
    np.testing.assert_array_equal(same, rgb)


def test_picture_of_another_size_than_placed_is_refused() -> None:
    placement = LongestSide(10).placement(Size(20, 20))
    with pytest.raises(ValueError, match="not 30 × 20"):
        placement.pixels(np.zeros((20, 30, 3), dtype=np.uint8))


@pytest.mark.parametrize("side", [0, -1, 100_000])
def test_impossible_size_is_refused_with_a_sentence(side: int) -> None:
    for make in (lambda: LongestSide(side), lambda: Stretch(Size(side, 10))):
        with pytest.raises(ExportError, match="from 1 to"):
            make()


@given(sizes, resizings)
def test_picture_lies_on_its_canvas_and_boxes_come_back(
    size: Size, resizing: Resizing
) -> None:
    placement = resizing.placement(size)
    inner, canvas = placement.inner, placement.canvas
    assert min(inner) >= 1
    assert placement.left + inner.width <= canvas.width
    assert placement.top + inner.height <= canvas.height
    full = Box(0, 0, *size)
    np.testing.assert_allclose(
        placement.box(full).clipped(canvas), placement.box(full), atol=1e-9
    )

    rgb = np.zeros((size.height, size.width, 3), dtype=np.uint8)
    assert placement.pixels(rgb).shape == (canvas.height, canvas.width, 3)


@given(sizes, resizings)
def test_nothing_grows_unless_told(size: Size, resizing: Resizing) -> None:
    if not isinstance(resizing, Stretch) and not resizing.enlarges:
        inner = resizing.placement(size).inner
        assert inner.width <= size.width
        assert inner.height <= size.height
