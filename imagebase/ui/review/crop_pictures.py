"""What is in boxes, as small pictures for a contact sheet."""

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final, NamedTuple

from imagebase.annotation import Box, Size
from imagebase.errors import ImageBaseError
from imagebase.images.decode import LoadedImage, load_image
from imagebase.images.thumbnails import crop_webp
from imagebase.store import Scope
from imagebase.ui import backend, cache

CROP_PX: Final = 112
# A photograph is decoded no larger for it: a page of crops must come at once.
_MOST_DECODED_PX: Final = 1600
_THREADS: Final = 2
_NOTHING: Final = ""


class Place(NamedTuple):
    """A box on an image of this size."""

    image_id: str
    size: Size
    box: Box


def crop_urls(scope: Scope, places: Sequence[Place]) -> list[str]:
    """Return each box's content as a WebP in a data URL; empty where it cannot be read.

    Sharp to 112 px where the photograph has as many pixels there.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="crops") as pool:
        return list(pool.map(lambda one: _crop_url(scope, one), places))


def _crop_url(scope: Scope, place: Place) -> str:
    try:
        return _kept_url(scope.owner_id, scope.dataset_id, place)
    except ImageBaseError:
        return _NOTHING


@lru_cache(maxsize=4096)
def _kept_url(owner_id: str, dataset_id: str, place: Place) -> str:
    scope = Scope(owner_id, dataset_id, "")
    webp = crop_webp(_loaded(scope, place), place.box, longest_side=CROP_PX)
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")


def _loaded(scope: Scope, place: Place) -> LoadedImage:
    """Return the thumbnail where it is sharp enough for this box, else the photograph.

    Decoded as small as is sharp enough.
    """
    size, longest = place.size, max(place.size)
    side = max(place.box.width, place.box.height, 1.0)
    scale = min(CROP_PX / side, _MOST_DECODED_PX / longest, 1.0)
    if scale * longest <= cache.THUMBNAIL_PX:
        thumbnail = cache.thumbnail(scope, place.image_id)
        rgb = load_image(
            thumbnail, file_name="thumbnail", max_pixels=cache.THUMBNAIL_PX**2
        ).rgb
        return LoadedImage(rgb, size)
    wanted = Size(max(round(size.width * scale), 1), max(round(size.height * scale), 1))
    return load_image(
        backend.store().image_bytes(scope, place.image_id),
        file_name=place.image_id,
        max_pixels=backend.limits().max_image_pixels,
        wanted=wanted,
    )
