"""Crops for a contact sheet: sharp where the photograph is, quick where it is large."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from imagebase.annotation import Annotation, Box, Size
from imagebase.store import Scope
from imagebase.ui import cache, services
from imagebase.ui.contact_sheet import CROP_PX, Place, crop_urls
from imagebase.ui.identity import TEAM_OWNER
from tests.app_fixtures import Configure

PREFIX = "data:image/webp;base64,"


@pytest.fixture
def scope(configure: Configure) -> Scope:
    dataset = services.store().create_dataset(TEAM_OWNER, "Crops", who="ann")
    return Scope(TEAM_OWNER, dataset.dataset_id, "ann")


def add(scope: Scope, size: Size) -> str:
    """Add an image whose left half is red; return its id."""
    pixels = np.full((size.height, size.width, 3), 255, dtype=np.uint8)
    pixels[:, : size.width // 2] = (200, 0, 0)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    added = services.store().add_image(
        scope, stream.getvalue(), file_name="a.jpg", size=size, quality=None
    )
    return added.record.image_id


def crop(scope: Scope, place: Place) -> Image.Image:
    (url,) = crop_urls(scope, [place])
    assert url.startswith(PREFIX)
    data = base64.b64decode(url.removeprefix(PREFIX))
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize(
    ("size", "box", "longest"),
    [
        (Size(640, 480), Box(10, 10, 310, 210), CROP_PX),
        (Size(640, 480), Box(10, 10, 70, 50), 72),
        # Decoded at a half; from the thumbnail of 480 px it would be 13 px.
        (Size(4000, 3000), Box(100, 100, 190, 160), 54),
    ],
    ids=["thumbnail", "as many pixels as there are", "from the photograph"],
)
def test_crop_is_as_sharp_as_a_tile_needs(
    scope: Scope, size: Size, box: Box, longest: int
) -> None:
    picture = crop(scope, Place(add(scope, size), size, box))
    assert abs(max(picture.size) - longest) <= 2


def test_crop_shows_the_content_of_the_box(scope: Scope) -> None:
    size = Size(640, 480)
    image_id = add(scope, size)
    left = crop(scope, Place(image_id, size, Box(100, 100, 200, 200)))
    right = crop(scope, Place(image_id, size, Box(420, 100, 520, 200)))
    middle = (left.width // 2, left.height // 2)
    assert left.getpixel(middle) == pytest.approx((200, 0, 0), abs=12)
    assert right.getpixel(middle) == pytest.approx((255, 255, 255), abs=12)


def test_a_renamed_label_is_drawn_by_its_new_name(scope: Scope) -> None:
    store, image_id = services.store(), add(scope, Size(640, 480))
    box = Annotation(Box(100, 100, 500, 400), "cat")
    saved = store.save(scope, store.record(scope, image_id).with_annotations([box]))

    def drawn() -> bytes:
        return cache.marked_picture(scope, image_id, saved.revision, ())

    before = drawn()
    store.rename_label(scope, 0, "an elephant")
    assert drawn() != before


def test_deleted_image_leaves_a_gap(scope: Scope) -> None:
    size = Size(640, 480)
    places = [
        Place("0" * 64, size, Box(0, 0, 9, 9)),
        Place(add(scope, size), size, Box(0, 0, 99, 99)),
    ]
    gone, there = crop_urls(scope, places)
    assert gone == ""
    assert there.startswith(PREFIX)


def test_no_boxes_are_no_crops(scope: Scope) -> None:
    assert crop_urls(scope, []) == []
