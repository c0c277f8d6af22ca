"""Tiles of one shape, and crops."""

import io

import numpy as np
import pytest
from PIL import Image

from imagebase.annotation import Box, Size
from imagebase.images.decode import LoadedImage
from imagebase.images.thumbnails import crop, crop_webp, inner_size, tile_webp

TILE = Size(40, 30)


def opened(webp: bytes) -> Image.Image:
    return Image.open(io.BytesIO(webp))


@pytest.mark.parametrize(
    ("size", "inner"),
    [
        (Size(80, 60), Size(40, 30)),
        (Size(400, 100), Size(40, 10)),
        (Size(30, 300), Size(3, 30)),
        (Size(8, 6), Size(40, 30)),
        (Size(9000, 1), Size(40, 1)),
    ],
    ids=str,
)
def test_picture_fits_its_tile_and_keeps_its_proportions(
    size: Size, inner: Size
) -> None:
    assert inner_size(size, TILE) == inner


def test_portrait_stands_in_the_middle_between_transparent_margins() -> None:
    white = np.full((30, 10, 3), 255, dtype=np.uint8)
    tile = np.asarray(opened(tile_webp(white, TILE)))
    assert tile.shape == (30, 40, 4)
    assert (tile[:, 15:25, 3] == 255).all()
    assert (tile[:, :15, 3] == 0).all()
    assert (tile[:, 25:, 3] == 0).all()
    assert (tile[:, 16:24, :3] > 250).all()


def test_crop_is_what_is_in_the_box_and_no_larger_than_asked() -> None:
    rgb = np.zeros((100, 200, 3), dtype=np.uint8)
    rgb[20:60, 40:120] = (255, 0, 0)
    loaded = LoadedImage(rgb, Size(2000, 1000))
    picture = opened(crop_webp(loaded, Box(400, 200, 1200, 600), longest_side=64))
    assert max(picture.size) == 64
    red, green, blue = np.asarray(picture.convert("RGB"))[picture.height // 2, 32]
    assert (red > 200, green < 60, blue < 60) == (True, True, True)


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        (Box(10, 10, 30, 50), (20, 10, 3)),
        (Box(-50, -50, 20, 20), (10, 10, 3)),
        (Box(200, 100, 300, 150), (1, 1, 3)),
        (Box(40, 40, 40, 40), (1, 1, 3)),
    ],
)
def test_crop_takes_full_size_pixels_of_a_reduced_picture(
    box: Box, shape: tuple[int, int, int]
) -> None:
    loaded = LoadedImage(np.zeros((50, 100, 3), np.uint8), Size(200, 100))
    assert crop(loaded, box).shape == shape


def test_crop_takes_a_margin_in() -> None:
    loaded = LoadedImage(np.zeros((100, 200, 3), np.uint8), Size(200, 100))
    assert crop(loaded, Box(50, 50, 70, 60), margin=0.1).shape == (14, 24, 3)
