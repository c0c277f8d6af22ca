"""Pictures for grids and tables: all of one shape, whatever the photographs'."""

import io

import numpy as np
from PIL import Image

from imagebase.annotation import Box, Size
from imagebase.images import LoadedImage, RgbArray

_QUALITY = 82


def inner_size(size: Size, tile: Size) -> Size:
    """Return the largest size of these proportions that fits a tile."""
    scale = min(tile.width / size.width, tile.height / size.height)
    return Size(max(round(size.width * scale), 1), max(round(size.height * scale), 1))


def tile_webp(rgb: RgbArray, tile: Size) -> bytes:
    """Return a picture in the middle of a tile as WebP, the margins transparent.

    Args:
        rgb: shape (H, W, 3), no larger than the tile: see `inner_size`.
    """
    canvas = np.zeros((tile.height, tile.width, 4), dtype=np.uint8)
    height, width = rgb.shape[:2]
    top, left = (tile.height - height) // 2, (tile.width - width) // 2
    canvas[top : top + height, left : left + width, :3] = rgb
    canvas[top : top + height, left : left + width, 3] = 255
    return _as_webp(canvas)


def crop(loaded: LoadedImage, box: Box, *, margin: float = 0.0) -> RgbArray:
    """Return the pixels under a box, at least one, whole pixels outwards.

    Args:
        box: in pixels of the full image, also where fewer were decoded.
        margin: to take in around it, as a share of its longer side.
    """
    height, width = loaded.rgb.shape[:2]
    across, down = width / loaded.size.width, height / loaded.size.height
    extra = margin * max(box.width, box.height)
    left = min(max(int((box.x_min - extra) * across), 0), width - 1)
    top = min(max(int((box.y_min - extra) * down), 0), height - 1)
    right = min(max(int(np.ceil((box.x_max + extra) * across)), left + 1), width)
    bottom = min(max(int(np.ceil((box.y_max + extra) * down)), top + 1), height)
    return loaded.rgb[top:bottom, left:right]


def crop_webp(loaded: LoadedImage, box: Box, *, longest_side: int) -> bytes:
    """Return what is in a box, with a little around it, as a small WebP."""
    cut = crop(loaded, box, margin=0.1)
    picture = Image.fromarray(cut)
    picture.thumbnail((longest_side, longest_side))
    return _as_webp(np.asarray(picture))


def _as_webp(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=_QUALITY, method=1)
    return stream.getvalue()
