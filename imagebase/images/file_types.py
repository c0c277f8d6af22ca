"""Image file types: recognised by content, opened, and JPEGs without their end.

Some cameras and downloads leave out the two bytes that end a JPEG. Browsers and OpenCV
show it; Pillow cannot distinguish it from one that was cut off.

Layouts: ITU-T T.81 annex B (JPEG markers), ISO/IEC 23008-12 (HEIF and AVIF brands),
ITU-T T.800 annex A.5 (the size in a JPEG 2000 codestream), W3C PNG 3 section 5,
Truevision TGA 2.0.
"""

import contextlib
import ctypes
import io
import logging
import re
import struct
import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Final, NamedTuple

import numpy as np
import pi_heif
from PIL import Image, PpmImagePlugin, TiffImagePlugin, _imaging

# By name as people know them, the suffixes that each is met with.
_SUFFIXES: Final = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "HEIC": (".heic", ".heif", ".hif"),
    "AVIF": (".avif",),
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "TGA": (".tga",),
}
IMAGE_SUFFIXES: Final = frozenset(
    suffix for all_ in _SUFFIXES.values() for suffix in all_
)
_NAMES: Final = tuple(_SUFFIXES)

# HEIC is opened by pi_heif's own class: registering it would change Pillow for every
# library in the process. TGA has no signature: Pillow takes any bytes for it.
_PILLOW_FORMATS: Final = (
    *("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM"),
)
_TGA_HEADER_BYTES: Final = 18
_TGA_FOOTER: Final = b"TRUEVISION-XFILE.\0"
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_NEUTRAL_BRANDS: Final = frozenset({b"mif1", b"msf1"})

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# A TIFF says itself how large the tiles are that its decoder takes memory for.
_TILE_SIZE_TAGS: Final = (0x0142, 0x0143)
# Start of codestream and of its SIZ segment, then length, capabilities, far and near
# edges. Nothing of a codestream's packets looks like it.
_JPEG2000_SIZE: Final = re.compile(rb"\xff\x4f\xff\x51.{4}(.{16})", re.DOTALL)

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

# What Pillow warns of, such as damaged EXIF, it then reads well enough or refuses.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def _silence_libtiff() -> None:
    """Have libtiff print nothing: what it prints, Pillow raises, and we say it.

    A builtin libtiff whose functions cannot be reached still prints.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


_silence_libtiff()
# What it logs of a damaged file it raises as well, and without a handler Python would
# print it among our own lines.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def formats_in_words(last: str = "or") -> str:
    """Return the formats that are read, as people know them, for a sentence."""
    return f"{', '.join(_NAMES[:-1])} {last} {_NAMES[-1]}"


def is_image_name(name: str) -> bool:
    """Say whether a file's name has the suffix of an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def open_image(data: bytes, *, file_name: str) -> Image.Image:
    """Return an image undecoded, its kind found by content.

    Args:
        file_name: tells a TGA of the first version, which has no signature.

    Raises:
        UnidentifiedImageError: it is of no kind that is read.
        Exception: of any kind, where the file is damaged.
    """
    if data[4:8] == b"ftyp" and not _is_avif(data):
        # One object a call: pi_heif's file objects are not to be shared by threads.
        heif: Image.Image = pi_heif.HeifImageFile(io.BytesIO(data))
        return heif
    formats = ("TGA",) if _is_tga(data, file_name) else _PILLOW_FORMATS
    image = Image.open(io.BytesIO(data), formats=formats)
    if image.format == "PNG" and "exif" not in image.info:
        exif = _png_exif(data)
        if exif:
            image.info["exif"] = b"Exif\0\0" + exif
    return image


def pixels_claimed(image: Image.Image, data: bytes) -> int:
    """Return the most pixels that an image's decoder may take memory for at once.

    A file can claim more inside than its header says: a TIFF in the size of its tiles,
    a JPEG 2000 in its codestream.
    """
    most = image.width * image.height
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        across, down = (int(image.tag_v2.get(tag, 0)) for tag in _TILE_SIZE_TAGS)
        return max(most, across * down)
    if image.format == "JPEG2000":
        for match in _JPEG2000_SIZE.finditer(data):
            right, bottom, left, top = struct.unpack(">4I", match[1])
            most = max(most, (right - left) * (bottom - top))
    return most


def with_pnm_at_once(image: Image.Image) -> Image.Image:
    """Return an undecoded image, or a PNM of unusual depth decoded to Pillow's values.

    Pillow takes 14 s for twelve megapixels of these, one by one in Python.

    Raises:
        ValueError: the file is cut off.
    """
    if not isinstance(image, PpmImagePlugin.PpmImageFile) or image.fp is None:
        return image
    tile = image.tile[0]
    if tile.codec_name != "ppm" or not isinstance(tile.args, tuple):
        return image
    greatest, bands = int(tile.args[-1]), len(image.getbands())
    stored = np.dtype(">u2" if greatest > 255 else "u1")
    wanted = np.dtype("u2" if image.mode == "I" else "u1")
    most = int(np.iinfo(wanted).max)
    steps = range(int(np.iinfo(stored).max) + 1)
    table = [min(most, round(value / greatest * most)) for value in steps]
    image.fp.seek(tile.offset)
    values = np.frombuffer(image.fp.read(), stored, image.width * image.height * bands)
    shape = (image.height, image.width, bands)[: 2 + (bands > 1)]
    return Image.fromarray(np.array(table, wanted)[values].reshape(shape))


def _is_avif(data: bytes) -> bool:
    length = int.from_bytes(data[:4], "big")
    major, others = data[8:12], data[16 : min(length, 1024)]
    if major in _AVIF_BRANDS:
        return True
    brands = {others[at : at + 4] for at in range(0, len(others), 4)}
    return major in _NEUTRAL_BRANDS and not brands.isdisjoint(_AVIF_BRANDS)


def _is_tga(data: bytes, file_name: str) -> bool:
    if data.endswith(_TGA_FOOTER):
        return True
    # Where images are kept they have no suffix.
    may_be = PurePosixPath(file_name).suffix.lower() in ("", *_SUFFIXES["TGA"])
    return may_be and _looks_like_tga(data) and not _has_signature(data)


def _looks_like_tga(data: bytes) -> bool:
    """Say whether a header's fields are those of a TGA: colour map, kind, depth."""
    if len(data) < _TGA_HEADER_BYTES:
        return False
    kinds = data[1] in (0, 1) and data[2] in (1, 2, 3, 9, 10, 11)
    return kinds and data[16] in (8, 15, 16, 24, 32)


def _has_signature(data: bytes) -> bool:
    """Say whether a file that may be a TGA is of another kind all the same."""
    try:
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS):
            return True
    except Exception:  # whatever decoders raise on bytes that are not theirs
        return False


def _png_exif(data: bytes) -> bytes:
    """Return the EXIF chunk wherever it stands: some programs write it at the end."""
    at = len(PNG_SIGNATURE)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return b""


class JpegSegment(NamedTuple):
    marker: int
    content: bytes


def lacks_end(data: bytes) -> bool:
    """Say whether a JPEG stops in its image: without its end, or cut off."""
    if not data.startswith(_START) or data.endswith(_END_OF_JPEG):
        return False
    last = None
    for last in jpeg_segments(data):
        if last.marker == _END:
            return False
    return last is not None and last.marker == _SCAN


def with_end(data: bytes, filler: bytes = b"") -> bytes:
    """Return a JPEG that lacks its end, or the last byte of it, with one."""
    return data.removesuffix(_END_OF_JPEG[:1]) + filler + _END_OF_JPEG


def is_whole_without_end(data: bytes) -> bool:
    """Say whether nothing but the end is missing from a JPEG that lacks it.

    It is decoded with other bytes behind it: an image that stays the same needs none
    of them.
    """
    try:
        if not lacks_end(data) or not _has_all_scans(data):
            return False
        fillers = (b"", *_BITS, _next_restart(data) + _BITS[0])
        return len({_pixels_digest(with_end(data, filler)) for filler in fillers}) == 1
    except Exception:  # whatever a decoder raises on damaged bytes
        return False


def _next_restart(data: bytes) -> bytes:
    """Return the restart marker that a scan with restarts would continue with."""
    _, last = max((data.rfind(mark), number) for number, mark in enumerate(_RESTARTS))
    return _RESTARTS[(last + 1) % len(_RESTARTS)]


def _pixels_digest(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return sha256(image.tobytes()).digest()


def jpeg_segments(data: bytes) -> Iterator[JpegSegment]:
    """Yield a JPEG's segments up to its end, or as far as it goes."""
    at = 2
    while match := JPEG_MARKER.search(data, at):
        start, marker = match.start(), data[match.start() + 1]
        if marker == _END:
            yield JpegSegment(marker, b"")
            return
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        at = start + 2 + length
        if length < 2 or at > len(data):
            return
        yield JpegSegment(marker, data[start + 4 : at])


def _has_all_scans(data: bytes) -> bool:
    """Say whether the scans bring every coefficient of every component to its end.

    A progressive JPEG is whole at the end of its last scan only.
    """
    wanted: set[tuple[int, int]] = set()
    for marker, content in jpeg_segments(data):
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
