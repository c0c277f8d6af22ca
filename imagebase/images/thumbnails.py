"""Thumbnails and crops for grids and tables, all of one shape."""

import base64
import io
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from imagebase.annotation import Box, Size
from imagebase.images.decode import LoadedImage, RgbArray

_QUALITY = 82
_PLACEHOLDER = "data:image/svg+xml;base64,"
NO_FILE = "The stored file is missing or damaged."
NO_FILE_ADVICE = "Add the same image again on Upload."


def inner_size(size: Size, tile: Size) -> Size:
    """Return the largest size of these proportions that fits a tile."""
    scale = min(tile.width / size.width, tile.height / size.height)
    return Size(max(round(size.width * scale), 1), max(round(size.height * scale), 1))


def tile_webp(rgb: RgbArray, tile: Size) -> bytes:
    """Return an image in the middle of a tile as WebP, the margins transparent.

    Args:
        rgb: shape (H, W, 3), no larger than the tile: see `inner_size`.
    """
    canvas = np.zeros((tile.height, tile.width, 4), dtype=np.uint8)
    height, width = rgb.shape[:2]
    top, left = (tile.height - height) // 2, (tile.width - width) // 2
    canvas[top : top + height, left : left + width, :3] = rgb
    canvas[top : top + height, left : left + width, 3] = 255
    return _as_webp(canvas)


def placeholder(file_name: str, size: Size) -> str:
    """Return a drawn tile for an image whose file cannot be read, in a data URL."""
    lines = (file_name, NO_FILE, NO_FILE_ADVICE)
    middle = size.height // 2
    texts = "".join(
        f'<text x="{size.width // 2}" y="{middle + 24 * (place - 1)}" '
        f'font-weight="{600 if place == 0 else 400}">{escape(line)}</text>'
        for place, line in enumerate(lines)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size.width} '
        f'{size.height}" width="{size.width}" height="{size.height}">'
        '<rect width="100%" height="100%" fill="#e5e7eb"/><g fill="#374151" '
        f'font-family="sans-serif" font-size="14" text-anchor="middle">'
        f"{texts}</g></svg>"
    )
    encoded = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return f"{_PLACEHOLDER}{encoded}"


def is_placeholder(thumbnail: str | bytes) -> bool:
    """Say whether an image is what `placeholder` returned."""
    return isinstance(thumbnail, str) and thumbnail.startswith(_PLACEHOLDER)


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
    """Return a box of an image, with a margin, as a small WebP."""
    cut = crop(loaded, box, margin=0.1)
    thumbnail = Image.fromarray(cut)
    thumbnail.thumbnail((longest_side, longest_side))
    return _as_webp(np.asarray(thumbnail))


def _as_webp(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=_QUALITY, method=1)
    return stream.getvalue()
