"""Limits on the parts of an image file, counted before a decoder sees it.

A file can be small and sound and still hold a core for minutes: a decoder goes over the
whole image for each scan of a JPEG, and Pillow over each chunk, strip and segment in
Python. Photographs stay far below each limit.

Layouts: ITU-T T.81 annex B (JPEG), W3C PNG 3 section 5, TIFF 6.0 section 2 (EXIF too),
GIF89a, RFC 9649 section 2 (WebP), ISO/IEC 14496-12 section 4 (the boxes of HEIC, AVIF
and JPEG 2000), ITU-T T.800 annex A (JPEG 2000 codestreams).
"""

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from imagebase.images.file_types import (
    JPEG_MARKER,
    PNG_SIGNATURE,
    jpeg_segments,
)

# Progressive JPEGs have about 10 scans, and libtiff takes 100 as well.
MAX_JPEG_SCANS: Final = 100
# Scans times pixels: each pixel is visited once a scan, 5 ns at a time.
MAX_SCANNED_PIXELS: Final = 1_000_000_000
# An extended XMP of 64 MB takes a thousand.
MAX_JPEG_SEGMENTS: Final = 2_000
# Libraries write chunks of 8 kB: those of a 200 MB file are 25,000.
MAX_PNG_IMAGE_CHUNKS: Final = 100_000
MAX_PNG_OTHER_CHUNKS: Final = 500
# A strip of one row each, in four planes, of 50 megapixels: 28,000.
MAX_TIFF_PARTS: Final = 30_000
# The colour map of 16 bits has 196,608 numbers.
MAX_TIFF_NUMBERS: Final = 200_000
MAX_GIF_BLOCKS: Final = 20_000
MAX_BOXES: Final = 1_000
# Bytes that belong to nothing, or to comments, before the image begins.
MAX_JUNK_BYTES: Final = 65_536
# Pillow decodes these a pixel at a time in Python.
MAX_SLOW_BYTES: Final = 20_000_000

_JPEG_START: Final = b"\xff\xd8"
_SCAN: Final = 0xDA
_EXIF_SEGMENT: Final = 0xE1
_EXIF_MARK: Final = b"Exif\0\0"
_JPEG_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})

_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SCAN_BYTES: Final = re.compile(rb"\xff\xda")

_PNG_IMAGE_CHUNKS: Final = frozenset({b"IDAT", b"fdAT", b"fcTL"})

_TIFF_STARTS: Final = frozenset(
    order + number
    for order in (b"II", b"MM")
    for number in (b"*\0", b"\0*", b"+\0", b"\0+")
)
_STRIPS_AND_TILES: Final = frozenset({273, 279, 324, 325})
_INNER_IFDS: Final = frozenset({0x8769, 0x8825})
# Bytes of a value, by TIFF's number of its type.
_VALUE_BYTES: Final = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}

_WIDE_ILOC: Final = 2
_GIF_EXTENSION: Final = 0x21
_PNM_NUMBERS: Final = 2

_JP2_START: Final = b"\0\0\0\x0cjP  "
_J2K_START: Final = b"\xff\x4f\xff\x51"
_J2K_TILES_BEGIN: Final = frozenset({0x90, 0xD9})


def excess_in(data: bytes, *, max_pixels: int) -> str | None:
    """Return what an image file has too much of, in words; None where it is in order.

    The words continue `a.jpg has …`.
    """
    if data.startswith(_JPEG_START):
        return _jpeg_excess(data)
    if data.startswith(PNG_SIGNATURE):
        return _png_excess(data)
    if data[:4] in _TIFF_STARTS:
        return _ifds_excess(data)
    if data.startswith(b"GIF8"):
        return _gif_excess(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_excess(data, max_pixels)
    if data.startswith((_JP2_START, _J2K_START)):
        return _jpeg2000_excess(data)
    if data[4:8] == b"ftyp":
        return _too_many(sum(1 for _ in _boxes(data)), MAX_BOXES, "boxes")
    if len(data) > MAX_SLOW_BYTES and _is_slow(data):
        return _too_many(len(data) // 1_000_000, MAX_SLOW_BYTES // 1_000_000, "MB")
    if data[:1] == b"P" and data[1:2] in b"123456fF":
        return _pnm_excess(data)
    return None


def is_cut_off(data: bytes) -> bool:
    """Say whether a HEIC or AVIF ends before its last box or tile does.

    libheif decodes the tiles that there are, and the rest is green.
    """
    if data[4:8] != b"ftyp":
        return False
    boxes = list(_boxes(data))
    if any(box.end > len(data) for box in boxes):
        return True
    metas = (box for box in boxes if box.name == b"meta")
    return any(end > len(data) for meta in metas for end in _item_ends(data, meta))


def _item_ends(data: bytes, meta: "_BoxAt") -> Iterator[int]:
    """Yield where each part of each item that lies in the file itself ends."""
    inner = _boxes(data[: meta.end], meta.start + 12)
    for box in inner:
        if box.name == b"iloc":
            yield from _extent_ends(_Fields(data[box.start + 8 : box.end]))


def _extent_ends(fields: "_Fields") -> Iterator[int]:
    version = fields.number(1)
    fields.number(3)
    sizes = fields.number(2)
    at_bytes, length_bytes, base_bytes, index_bytes = (
        sizes >> shift & 0xF for shift in (12, 8, 4, 0)
    )
    for _ in range(fields.number(4 if version == _WIDE_ILOC else 2)):
        fields.number(4 if version == _WIDE_ILOC else 2)
        method = fields.number(2) & 0xF if version else 0
        reference = fields.number(2)
        base = fields.number(base_bytes)
        for _ in range(fields.number(2)):
            if version:
                fields.number(index_bytes)
            start, length = fields.number(at_bytes), fields.number(length_bytes)
            if not method and not reference:
                yield base + start + length
        if fields.is_at_end:
            return


class _Fields:
    """Numbers one after the other, the highest byte first; 0 behind the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, byte_count: int) -> int:
        start, self._at = self._at, self._at + byte_count
        return int.from_bytes(self._data[start : self._at], "big")

    def numbers(self, *byte_counts: int) -> list[int]:
        return [self.number(count) for count in byte_counts]

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self._data)


def _too_many(count: int, most: int, what: str) -> str | None:
    return f"more than {most:,} {what}" if count > most else None


def _jpeg_excess(data: bytes) -> str | None:
    exif = bytearray()
    at, junk, pixels, components, is_progressive = 2, 0, 0, 0, True
    for _ in range(MAX_JPEG_SEGMENTS + 1):
        match = JPEG_MARKER.search(data, at, at + MAX_JUNK_BYTES - junk)
        if match is None:
            is_long = len(data) - at > MAX_JUNK_BYTES - junk
            return "more filler than image before its first scan" if is_long else None
        junk += match.start() - at
        marker, content = data[match.start() + 1], match.end() + 2
        at = match.end() + int.from_bytes(data[match.end() : content], "big")
        if marker == _SCAN:
            has_more = is_progressive or data[content] < components
            excess = _scans_excess(data, pixels) if has_more else None
            return excess or _ifds_excess(bytes(exif))
        if marker in _JPEG_FRAMES:
            height, width, components = _Fields(data[content + 1 : at]).numbers(2, 2, 1)
            is_progressive = marker in _PROGRESSIVE
            pixels = height * width
        elif marker == _EXIF_SEGMENT and data.startswith(_EXIF_MARK, content):
            exif += data[content + len(_EXIF_MARK) : at]
    return f"more than {MAX_JPEG_SEGMENTS:,} segments"


def _scans_excess(data: bytes, pixels: int) -> str | None:
    most = min(MAX_JPEG_SCANS, max(MAX_SCANNED_PIXELS // max(pixels, 1), 1))
    # A thumbnail and what follows the end have such bytes too: they are told apart
    # only where there are many.
    if sum(1 for _ in islice(_SCAN_BYTES.finditer(data), most + 1)) <= most:
        return None
    scans = sum(
        1 for jpeg_segment in jpeg_segments(data) if jpeg_segment.marker == _SCAN
    )
    return _too_many(scans, most, "scans")


def _png_excess(data: bytes) -> str | None:
    at, others, parts = len(PNG_SIGNATURE), 0, 0
    while at + 8 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name in _PNG_IMAGE_CHUNKS:
            parts += 1
        else:
            others += 1
        if parts > MAX_PNG_IMAGE_CHUNKS or others > MAX_PNG_OTHER_CHUNKS:
            most = MAX_PNG_IMAGE_CHUNKS if name in _PNG_IMAGE_CHUNKS else others - 1
            return f"more than {most:,} chunks"
        if name == b"eXIf" and (excess := _ifds_excess(data[at + 8 : at + 8 + length])):
            return excess
        if name == b"IEND":
            return None
        at += 12 + length
    return None


class _Entry(NamedTuple):
    """An entry of a TIFF's directory: its tag, how many values, their bytes."""

    tag: int
    values: int
    byte_count: int
    value: int


def _ifds_excess(tiff: bytes) -> str | None:
    """Return what the first directory of a TIFF has too much of, and those in it."""
    order = "<" if tiff[:2] == b"II" else ">"
    is_big = len(tiff) >= 16 and struct.unpack_from(f"{order}H", tiff, 2)[0] == 43
    if len(tiff) < 8:
        return None
    (at,) = struct.unpack_from(
        f"{order}{'Q' if is_big else 'L'}", tiff, 8 if is_big else 4
    )
    entries = list(_entries(tiff, at, order, is_big=is_big))
    inner = [entry.value for entry in entries if entry.tag in _INNER_IFDS]
    for place in inner[: len(_INNER_IFDS)]:
        entries += _entries(tiff, place, order, is_big=is_big)
    for entry in entries:
        if entry.tag in _STRIPS_AND_TILES and entry.values > MAX_TIFF_PARTS:
            return f"more than {MAX_TIFF_PARTS:,} strips or tiles"
        if entry.byte_count > entry.values > MAX_TIFF_NUMBERS:
            return f"more than {MAX_TIFF_NUMBERS:,} numbers in a tag"
    # Entries may mean the same bytes, and each is read by itself.
    if sum(entry.byte_count for entry in entries) > len(tiff) + MAX_JUNK_BYTES:
        return "more metadata than the file has bytes"
    return None


def _entries(tiff: bytes, at: int, order: str, *, is_big: bool) -> Iterator[_Entry]:
    """Yield the entries of a directory whose values lie inside the file."""
    head, each = ("Q", "HHQQ") if is_big else ("H", "HHLL")
    layout = struct.Struct(order + each)
    start = at + struct.calcsize(order + head)
    if start > len(tiff):
        return
    (count,) = struct.unpack_from(order + head, tiff, at)
    last = min(count, (len(tiff) - start) // layout.size)
    for tag, kind, values, value in layout.iter_unpack(
        tiff[start : start + last * layout.size]
    ):
        byte_count = values * _VALUE_BYTES.get(kind, 0)
        if byte_count <= len(tiff):
            yield _Entry(tag, values, byte_count, value)


def _gif_excess(data: bytes) -> str | None:
    """Count the blocks of extensions before the first image."""
    has_palette = len(data) > 10 and data[10] & 0x80
    at = 13 + (3 << (data[10] & 7) + 1 if has_palette else 0)
    blocks = junk = 0
    while at < len(data) and data[at] not in b",;":
        if data[at] != _GIF_EXTENSION:
            junk += 1
            at += 1
        else:
            at += 2
            while at < len(data) and data[at] and blocks <= MAX_GIF_BLOCKS:
                at += 1 + data[at]
                blocks += 1
            at += 1
            blocks += 1
        if blocks > MAX_GIF_BLOCKS or junk > MAX_JUNK_BYTES:
            return f"more than {MAX_GIF_BLOCKS:,} blocks before its image"
    return None


def _webp_excess(data: bytes, max_pixels: int) -> str | None:
    """Compare the canvas: memory for it is taken as the file is opened."""
    if data[12:16] == b"VP8X":
        across, down = (
            1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27)
        )
        if across * down > max_pixels:
            return f"more than {max_pixels:,} pixels"
    return None


def _jpeg2000_excess(data: bytes) -> str | None:
    """Count the boxes before the codestream, and the segments of its main header."""
    at = data.find(_J2K_START)
    if data.startswith(_JP2_START):
        boxes = sum(1 for box in _boxes(data) if box.start < max(at, 0))
        if excess := _too_many(boxes, MAX_BOXES, "boxes"):
            return excess
    at += 2
    for _ in range(MAX_BOXES if at > 1 else 0):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 4 > len(data) or data[at + 1] in _J2K_TILES_BEGIN or length < 2:
            return None
        at += 2 + length
    return f"more than {MAX_BOXES:,} segments before its image" if at > 1 else None


def _is_slow(data: bytes) -> bool:
    """Say whether the pixels are decoded in Python: a text PNM, a run-length BMP."""
    if data.startswith(b"BM"):
        return data[30:34] in (b"\1\0\0\0", b"\2\0\0\0")
    return data[:1] == b"P" and data[1:2] in b"123"


def _pnm_excess(data: bytes) -> str | None:
    """Look for the numbers of the header behind comments of an ordinary length."""
    head = data[2 : 2 + MAX_JUNK_BYTES].splitlines()
    words = b" ".join(line.split(b"#")[0] for line in head).split()
    if len(words) < _PNM_NUMBERS and len(data) > MAX_JUNK_BYTES:
        return "more comments than image before its size"
    return None


class _BoxAt(NamedTuple):
    """Where a box begins, and where it says that it ends; 0 for one without an end."""

    name: bytes
    start: int
    end: int


def _boxes(data: bytes, at: int = 0) -> Iterator[_BoxAt]:
    """Yield the boxes from a place on, at most one more than the limit."""
    for _ in range(MAX_BOXES + 1):
        if at + 8 > len(data):
            return
        length = int.from_bytes(data[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        elif length == 0:
            length = len(data) - at
        if length < 8:
            return
        yield _BoxAt(data[at + 4 : at + 8], at, at + length)
        at += length
