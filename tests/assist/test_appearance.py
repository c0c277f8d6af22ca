"""How alike boxes look, whatever the file, the decoding and the hand that drew them."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import pytest

from imagebase.annotation import Box, Size
from imagebase.assist.appearance import (
    PLACE_BONUS,
    SIMILARITY,
    decoded_size,
    likeness,
    look_around,
    look_at,
    pack,
    place_distance,
    unpack,
)
from imagebase.images.decode import LoadedImage, RgbArray, load_image, resized
from imagebase.settings import SAMPLES_FOLDER
from tests.planted_logo import SIZE, Made, made_set

BOTTLE: Final = Box(120, 90, 260, 300)


@pytest.fixture(scope="module")
def made() -> list[Made]:
    return list(made_set())


@pytest.fixture(scope="module")
def kitchen() -> LoadedImage:
    data = (SAMPLES_FOLDER / "kitchen.jpg").read_bytes()
    return load_image(data, file_name="kitchen.jpg", max_pixels=10**7)


def opened(photo: Made) -> LoadedImage:
    return load_image(photo.data, file_name=photo.file_name, max_pixels=10**7)


def alike(a: LoadedImage, b: LoadedImage, box: Box, other: Box | None = None) -> float:
    return float(likeness(look_around(a, box), look_at(b, [other or box]))[0])


def changed(loaded: LoadedImage, change: Callable[[RgbArray], RgbArray]) -> LoadedImage:
    return LoadedImage(change(loaded.rgb), loaded.size)


def test_planted_logo_is_told_from_what_else_is_there(made: list[Made]) -> None:
    looks = np.concatenate([look_at(opened(photo), [photo.box]) for photo in made])
    has_logo = np.array([photo.has_logo for photo in made])
    assert has_logo.sum() >= 8
    for asked in np.flatnonzero(has_logo)[:8]:
        found = likeness(look_around(opened(made[asked]), made[asked].box), looks)
        others = has_logo & (np.arange(len(made)) != asked)
        assert (found[others] >= SIMILARITY - PLACE_BONUS).mean() >= 0.95
        assert found[~has_logo].max() < SIMILARITY - PLACE_BONUS


def test_same_box_is_wholly_alike(kitchen: LoadedImage) -> None:
    assert alike(kitchen, kitchen, BOTTLE) == pytest.approx(1, abs=0.02)


def test_box_drawn_carelessly_is_still_alike(kitchen: LoadedImage) -> None:
    off = Box(
        BOTTLE.x_min + 0.1 * BOTTLE.width,
        BOTTLE.y_min - 0.1 * BOTTLE.height,
        BOTTLE.x_max + 0.1 * BOTTLE.width,
        BOTTLE.y_max - 0.1 * BOTTLE.height,
    )
    assert alike(kitchen, kitchen, BOTTLE, off) > 0.9


@pytest.mark.parametrize(
    "change",
    [
        lambda rgb: np.clip(rgb.astype(int) + 25, 0, 255).astype(np.uint8),
        lambda rgb: np.clip(rgb * 0.75, 0, 255).astype(np.uint8),
        lambda rgb: cv2.GaussianBlur(rgb, (5, 5), 0),
        lambda rgb: resized(rgb, Size(240, 180)),
    ],
    ids=["brighter", "less contrast", "blurred", "decoded at 3/8"],
)
def test_look_survives(
    kitchen: LoadedImage, change: Callable[[RgbArray], RgbArray]
) -> None:
    assert alike(kitchen, changed(kitchen, change), BOTTLE) > 0.85


@pytest.mark.parametrize(
    "change",
    [
        lambda rgb: 255 - rgb,
        lambda rgb: np.ascontiguousarray(rgb[::-1]),
        lambda rgb: np.full_like(rgb, 127),
    ],
    ids=["negative", "upside down", "grey"],
)
def test_other_look_is_not_alike(
    kitchen: LoadedImage, change: Callable[[RgbArray], RgbArray]
) -> None:
    assert alike(kitchen, changed(kitchen, change), BOTTLE) < 0.6


def test_colour_alone_tells_two_apart() -> None:
    def badge(colour: tuple[int, int, int]) -> LoadedImage:
        rgb = np.full((60, 60, 3), colour, dtype=np.uint8)
        cv2.circle(rgb, (30, 30), 15, (255, 255, 255), -1)
        return LoadedImage(rgb, Size(60, 60))

    red, blue, box = badge((200, 30, 30)), badge((40, 70, 250)), Box(5, 5, 55, 55)
    assert alike(red, red, box) - alike(red, blue, box) > 0.05


def test_two_flat_boxes_are_alike_in_colour_alone() -> None:
    flat = LoadedImage(np.full((60, 60, 3), 120, dtype=np.uint8), Size(60, 60))
    assert alike(flat, flat, Box(5, 5, 55, 55)) < SIMILARITY


def test_box_over_the_edge_and_box_of_a_pixel_have_a_look(
    kitchen: LoadedImage,
) -> None:
    width, height = kitchen.size
    boxes = [
        Box(-20, -20, 30, 30),
        Box(width - 0.5, height - 0.5, width, height),
        Box(0, 0, width, height),
    ]
    looks = look_at(kitchen, boxes)
    assert np.isfinite(looks).all()
    assert looks.shape[0] == 3
    assert np.isfinite(look_around(kitchen, boxes[1])).all()


def test_no_boxes_have_no_looks(kitchen: LoadedImage) -> None:
    none = look_at(kitchen, [])
    assert none.shape[0] == 0
    assert likeness(look_around(kitchen, BOTTLE), none).shape == (0,)


def test_packed_look_is_the_same_to_a_thousandth(kitchen: LoadedImage) -> None:
    look = look_at(kitchen, [BOTTLE])[0]
    packed = pack(look)
    back = unpack(packed)
    assert back is not None
    np.testing.assert_allclose(back, look, atol=1e-3)
    assert len(packed) < 1_000


@pytest.mark.parametrize(
    "spoil", [b"", b"\x00", b"\x01ab"], ids=["empty", "old", "short"]
)
def test_look_made_another_way_is_none(spoil: bytes) -> None:
    assert unpack(spoil) is None


def test_only_as_many_pixels_are_decoded_as_a_look_needs() -> None:
    assert decoded_size(Size(4000, 3000), Box(0, 0, 200, 100)) == Size(800, 600)
    assert decoded_size(Size(4000, 3000), Box(0, 0, 10, 100)) == Size(4000, 3000)
    assert decoded_size(Size(40, 30), Box(3, 3, 3.1, 3.1)) == Size(40, 30)


def test_place_is_a_share_of_the_image() -> None:
    same = place_distance(Box(0, 0, 64, 48), SIZE, Box(0, 0, 128, 96), Size(1280, 960))
    assert same == 0
    apart = place_distance(Box(0, 0, 64, 48), SIZE, Box(64, 24, 128, 72), SIZE)
    assert apart == pytest.approx(0.1)
