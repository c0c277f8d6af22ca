"""A described image as bytes: feature maps in 8 bits, candidates, and a small copy.

Every channel of a map is kept in steps of a quarter of its deviation and deflated: of
what a ridge regression reads of them nothing is lost (see
docs/decisions/0022-stored-features.md).
"""

import hashlib
import struct
import zlib
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from imagebase.annotation import Size
from imagebase.detection.detector import sha256_of_model
from imagebase.detection.library import find_model
from imagebase.detection.taught.feature_net import FEATURE_MODEL, FeatureMaps, maps_of
from imagebase.detection.taught.model import CHANNELS
from imagebase.errors import ImageReadError, LimitError
from imagebase.geometry import FloatArray
from imagebase.images.decode import (
    LoadedImage,
    encode_jpeg,
    fitted_size,
    load_image,
    resized,
)

# The net whose candidates stand beside those of the feature net.
OTHER_NET: Final = "yolov4-tiny"
# Another number when something else is packed, or is computed another way.
_FORMAT: Final = 1
_STEPS_PER_DEVIATION: Final = 4.0
_MOST_STEPS: Final = 127
_COPY_SIDE: Final = 1024
_COPY_QUALITY: Final = 90
# Corners are kept in steps of the image's sides.
_CORNER_STEPS: Final = 65_535
_DEFLATE: Final = 1
# Full size, scale across and down, net size, candidates, and bytes of what is deflated.
_HEADER: Final = struct.Struct("<2I2f2HHI")
_LEVEL: Final = struct.Struct("<3H")
_LEVELS: Final = 3
_VECTOR_GRID: Final = 3
_VECTOR_LENGTH: Final = _LEVELS * _VECTOR_GRID**2 * CHANNELS


class Unpacked(NamedTuple):
    """What `packed` was given."""

    loaded: LoadedImage
    maps: FeatureMaps
    candidates: FloatArray
    confidence: FloatArray


def packed(
    loaded: LoadedImage,
    maps: FeatureMaps,
    candidates: FloatArray,
    confidence: FloatArray,
) -> bytes:
    """Return a described image as bytes, 100 to 300 kB; its vector comes first.

    Arguments are the fields of `Unpacked`.
    """
    steps = np.array([*loaded.size, *loaded.size], np.float32) / _CORNER_STEPS
    parts = [_packed_level(level) for level in maps.levels]
    parts.append(np.round(candidates / steps).astype("<u2").tobytes())
    parts.append(confidence.astype("<f2").tobytes())
    deflated = zlib.compress(b"".join(parts), _DEFLATE)
    header = _HEADER.pack(
        *loaded.size, *maps.scale, *maps.net_size, len(candidates), len(deflated)
    )
    vector = vector_of(maps, loaded.size).astype("<f2").tobytes()
    small = fitted_size(
        Size(loaded.rgb.shape[1], loaded.rgb.shape[0]), longest_side=_COPY_SIDE
    )
    copy = encode_jpeg(resized(loaded.rgb, small), quality=_COPY_QUALITY)
    return b"".join([_signature(), vector, header, deflated, copy])


def unpacked(content: bytes) -> Unpacked | None:
    """Return what was packed; None where it is damaged or was made another way."""
    start = vector_bytes()
    try:
        if content[: len(_signature())] != _signature():
            return None
        width, height, *scale, net_width, net_height, count, length = (
            _HEADER.unpack_from(content, start)
        )
        start += _HEADER.size
        data = zlib.decompress(content[start : start + length])
        loaded = load_image(
            content[start + length :], file_name="copy", max_pixels=_COPY_SIDE**2
        )
        levels, at = [], 0
        for _ in range(_LEVELS):
            level, at = _unpacked_level(data, at)
            levels.append(level)
        corners = np.frombuffer(data, "<u2", 4 * count, at).astype(np.float32)
        confidence = np.frombuffer(data, "<f2", count, at + 8 * count)
    except (struct.error, ValueError, zlib.error, ImageReadError, LimitError):
        return None
    sides = np.array([width, height, width, height], np.float32) / _CORNER_STEPS
    net_size = Size(net_width, net_height)
    return Unpacked(
        LoadedImage(loaded.rgb, Size(width, height)),
        maps_of(levels, (scale[0], scale[1]), net_size),
        corners.reshape(-1, 4) * sides,
        confidence.astype(np.float32),
    )


def vector_of(maps: FeatureMaps, size: Size) -> FloatArray:
    """Return a unit vector that describes a whole image, shape (1728,), float32.

    It holds the means of the channels over 3 × 3 parts of the image, their roots taken
    so that no few channels outweigh the rest.

    Args:
        size: of the full image.
    """
    shares = (
        size.height * maps.scale[1] / maps.net_size.height,
        size.width * maps.scale[0] / maps.net_size.width,
    )
    parts = []
    for level in maps.levels:
        down, across = (
            max(round(side * share), _VECTOR_GRID)
            for side, share in zip(level.shape, shares, strict=False)
        )
        cells = [
            cell.mean(axis=(0, 1))
            for row in np.array_split(level[:down, :across], _VECTOR_GRID, axis=0)
            for cell in np.array_split(row, _VECTOR_GRID, axis=1)
        ]
        means = np.concatenate(cells)
        parts.append(_unit(np.sign(means) * np.sqrt(np.abs(means))))
    return _unit(np.concatenate(parts))


def vector_bytes() -> int:
    """Return how many of the first bytes tell the vector."""
    return len(_signature()) + 2 * _VECTOR_LENGTH


def packed_vector(content: bytes) -> FloatArray | None:
    """Return the vector out of the first bytes; None where it was made another way."""
    start = len(_signature())
    if content[:start] != _signature() or len(content) < vector_bytes():
        return None
    values = np.frombuffer(content, "<f2", _VECTOR_LENGTH, start)
    return _unit(values.astype(np.float32))


@cache
def _signature() -> bytes:
    """Return what is packed by these nets and this version of the program alone."""
    nets = "".join(
        sha256_of_model(find_model(name)) for name in (FEATURE_MODEL, OTHER_NET)
    )
    return bytes([_FORMAT]) + hashlib.sha256(nets.encode()).digest()


def _packed_level(level: FloatArray) -> bytes:
    flat = level.reshape(-1, level.shape[-1])
    step = np.maximum(
        flat.std(axis=0) / _STEPS_PER_DEVIATION,
        np.abs(flat).max(axis=0) / _MOST_STEPS,
    )
    step = np.maximum(step, np.finfo(np.float32).tiny).astype("<f4")
    steps = np.round(flat / step).astype(np.int8)
    # Channel by channel: what is alike is side by side.
    parts = [_LEVEL.pack(*level.shape), step.tobytes(), steps.T.tobytes()]
    return b"".join(parts)


def _unpacked_level(data: bytes, start: int) -> tuple[FloatArray, int]:
    """Return a level, and where the next one begins."""
    rows, columns, channels = _LEVEL.unpack_from(data, start)
    start += _LEVEL.size
    step = np.frombuffer(data, "<f4", channels, start)
    start += step.nbytes
    steps = np.frombuffer(data, np.int8, rows * columns * channels, start)
    level = steps.reshape(channels, -1).T * step
    shaped: FloatArray = np.ascontiguousarray(level.reshape(rows, columns, channels))
    return shaped.astype(np.float32), start + steps.nbytes


def _unit(vector: FloatArray) -> FloatArray:
    scaled: FloatArray = (vector / max(float(np.linalg.norm(vector)), 1e-6)).astype(
        np.float32
    )
    return scaled
