"""JPEG files without their end: is the picture whole all the same?

Some cameras and downloads leave out the two bytes that end a JPEG. Browsers and OpenCV
show it; Pillow cannot tell it from one that was cut. Layout: ITU-T T.81 annex B.
"""

import io
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Final, NamedTuple

from PIL import Image

_END_OF_JPEG: Final = b"\xff\xd9"
_START: Final = b"\xff\xd8"
# Stuffed, fill and restart bytes belong to the scan that they are in.
JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_END: Final = 0xD9
_SCAN: Final = 0xDA
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
_COEFFICIENTS: Final = 64


# What a scan with something missing reads on with.
_BITS: Final = (bytes(range(0x01, 0x41)), bytes(range(0xFE, 0xBE, -1)))
_RESTARTS: Final = tuple(bytes([0xFF, 0xD0 + number]) for number in range(8))


class _Segment(NamedTuple):
    marker: int
    content: bytes


def lacks_end(data: bytes) -> bool:
    """Say whether a JPEG stops in its picture: without its end, or cut off."""
    if not data.startswith(_START) or data.endswith(_END_OF_JPEG):
        return False
    last = None
    for last in _segments(data):
        if last.marker == _END:
            return False
    return last is not None and last.marker == _SCAN


def with_end(data: bytes, filler: bytes = b"") -> bytes:
    """Return a JPEG that lacks its end, or the last byte of it, with one."""
    return data.removesuffix(_END_OF_JPEG[:1]) + filler + _END_OF_JPEG


def is_whole_without_end(data: bytes) -> bool:
    """Say whether nothing but the end is missing from a JPEG that lacks it.

    It is decoded with other bytes behind it: a picture that stays the same needs none
    of them.
    """
    try:
        if not lacks_end(data) or not _has_all_scans(data):
            return False
        fillers = (b"", *_BITS, _next_restart(data) + _BITS[0])
        return len({_picture(with_end(data, one)) for one in fillers}) == 1
    except Exception:  # whatever a decoder raises on damaged bytes
        return False


def _next_restart(data: bytes) -> bytes:
    """Return the restart marker that a scan with restarts would go on with."""
    _, last = max((data.rfind(one), number) for number, one in enumerate(_RESTARTS))
    return _RESTARTS[(last + 1) % len(_RESTARTS)]


def _picture(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return sha256(image.tobytes()).digest()


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield a JPEG's segments up to its end, or as far as it goes."""
    at = 2
    while match := JPEG_MARKER.search(data, at):
        start, marker = match.start(), data[match.start() + 1]
        if marker == _END:
            yield _Segment(marker, b"")
            return
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        at = start + 2 + length
        if length < 2 or at > len(data):
            return
        yield _Segment(marker, data[start + 4 : at])


def _has_all_scans(data: bytes) -> bool:
    """Say whether the scans bring every coefficient of every component to its end.

    A progressive JPEG is whole at the end of its last scan only.
    """
    wanted: set[tuple[int, int]] = set()
    for marker, content in _segments(data):
        if marker in _FRAMES:
            parts = content[6::3][: content[5]]
            wanted = {(part, k) for part in parts for k in range(_COEFFICIENTS)}
        elif marker == _SCAN:
            count = content[0]
            first, last, bits = content[1 + 2 * count : 4 + 2 * count]
            if bits & 0x0F == 0:
                parts = content[1 : 1 + 2 * count : 2]
                wanted -= {(part, k) for part in parts for k in range(first, last + 1)}
    return not wanted
