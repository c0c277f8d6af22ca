"""Metadata in image files, such as where a photo was taken, and how to remove it.

Layouts: JPEG, ITU-T T.81 annex B; PNG, W3C PNG 3 section 5; WebP, RFC 9649 section 2.
"""

import io
import sys
from collections.abc import Iterator
from typing import Final

from PIL import ExifTags, Image

from imagebase.errors import ImageBaseError
from imagebase.images.decode import export_image, opened
from imagebase.images.file_types import JPEG_MARKER

_XMP_POSITION: Final = b"exif:GPSLatitude"
_POSITION_TAGS: Final = frozenset({ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLongitude})

_END_OF_IMAGE: Final = 0xD9
_START_OF_SCAN: Final = 0xDA
_APPLICATION_AND_COMMENT: Final = frozenset({*range(0xE0, 0xF0), 0xFE})
# Without the last a decoder takes some JPEGs for other colours.
_NEEDED_SEGMENTS: Final = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}

_PNG_SIGNATURE_BYTES: Final = 8
_PNG_FRAME_BYTES: Final = 12
_PNG_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_CHUNKS: Final = frozenset(
    {
        *(b"IHDR", b"PLTE", b"IDAT", b"acTL", b"fcTL", b"fdAT"),
        *(b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI"),
        *(b"bKGD", b"hIST", b"tRNS", b"pHYs", b"sPLT"),
    }
)

_WEBP_CHUNKS: Final = frozenset(
    {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"ANIM", b"ANMF"}
)
_WEBP_METADATA_FLAGS: Final = 0x08 | 0x04


def has_gps(data: bytes) -> bool:
    """Say whether an image file tells where it was taken, in EXIF or in XMP.

    What cannot be read tells nothing.
    """
    if _XMP_POSITION in data:
        return True
    try:
        with opened(data, file_name="", max_pixels=sys.maxsize) as image:
            xmp = image.info.get("xmp")  # a PNG may hold it compressed
            if isinstance(xmp, bytes) and _XMP_POSITION in xmp:
                return True
            # Not the method of the PNG class: that one decodes the whole image.
            exif = Image.Image.getexif(image)
            return not _POSITION_TAGS.isdisjoint(exif.get_ifd(ExifTags.IFD.GPSInfo))
    except ImageBaseError:
        return False


def without_metadata(data: bytes, *, file_name: str, max_pixels: int) -> bytes:
    """Return an image file with only what its image and its colours need.

    JPEG, PNG and WebP keep their compressed image byte for byte. TIFF is written again
    without loss, its first page alone; the other kinds as `export_image` does. The
    orientation goes too: this is for images that are upright without it.

    Raises:
        ImageReadError: not an image, or its structure is damaged.
        LimitError: more pixels than allowed.
    """
    with opened(data, file_name=file_name, max_pixels=max_pixels) as image:
        if image.format in {"JPEG", "MPO"}:
            return _joined(_jpeg_parts(data))
        if image.format == "PNG":
            return _joined(_png_parts(data))
        if image.format == "WEBP":
            return _plain_webp(data)
        if image.format == "TIFF":
            return _plain_tiff(image)
    return export_image(data, file_name=file_name, max_pixels=max_pixels).data


def _joined(parts: Iterator[bytes | memoryview]) -> bytes:
    # Not a list of them: a file can consist of millions of empty parts.
    file = io.BytesIO()
    file.writelines(parts)
    return file.getvalue()


def _jpeg_parts(data: bytes) -> Iterator[bytes | memoryview]:
    """Yield the needed segments and the scans, up to the end of the first image."""
    view = memoryview(data)
    yield view[:2]
    at, is_scan = 2, False
    while match := JPEG_MARKER.search(data, at):
        start, marker = match.start(), data[match.start() + 1]
        # Between segments decoders skip bytes that are no marker.
        if is_scan:
            yield view[at:start]
        if marker == _END_OF_IMAGE:
            yield view[start : match.end()]
            return
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        at, is_scan = start + 2 + length, marker == _START_OF_SCAN
        if length < 2 or at > len(data):
            raise ValueError("a segment's length is wrong")
        if _is_needed(marker, data[start + 4 : start + 16]):
            yield view[start:at]
    raise ValueError("the end is missing")


def _is_needed(marker: int, content: bytes) -> bool:
    if marker not in _APPLICATION_AND_COMMENT:
        return True
    name = _NEEDED_SEGMENTS.get(marker)
    return name is not None and content.startswith(name)


def _png_parts(data: bytes) -> Iterator[bytes | memoryview]:
    """Yield the needed chunks; an end that is missing is put there."""
    view = memoryview(data)
    at = _PNG_SIGNATURE_BYTES
    yield view[:at]
    while at + _PNG_FRAME_BYTES <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name == b"IEND":
            break
        end = at + _PNG_FRAME_BYTES + length
        if end > len(data):
            raise ValueError("a chunk's length is wrong")
        if name in _PNG_CHUNKS:
            yield view[at:end]
        at = end
    yield _PNG_END


def _plain_webp(data: bytes) -> bytes:
    chunks = _joined(_webp_parts(data))
    return b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + b"WEBP" + chunks


def _webp_parts(data: bytes) -> Iterator[bytes | memoryview]:
    """Yield the needed chunks, padded to even lengths."""
    view = memoryview(data)
    at, stop = 12, 8 + int.from_bytes(data[4:8], "little")
    if stop > len(data):
        raise ValueError("the length is wrong")
    while at + 8 <= stop:
        name, length = (
            data[at : at + 4],
            int.from_bytes(data[at + 4 : at + 8], "little"),
        )
        end = at + 8 + length
        if end > stop:
            raise ValueError("a chunk's length is wrong")
        if name == b"VP8X" and length:
            flags = data[at + 8] & ~_WEBP_METADATA_FLAGS
            yield data[at : at + 8] + bytes([flags]) + data[at + 9 : end]
        elif name in _WEBP_CHUNKS:
            yield view[at:end]
            yield bytes(length % 2)
        at = end + length % 2


def _plain_tiff(image: Image.Image) -> bytes:
    # A copy does not know the tags, but what the decoder made of them.
    plain = image.copy()
    profile = image.info.get("icc_profile")
    plain.info = {"icc_profile": profile} if profile else {}
    is_raw = image.info.get("compression") == "raw"
    file = io.BytesIO()
    plain.save(file, "TIFF", compression="raw" if is_raw else "tiff_adobe_deflate")
    return file.getvalue()
