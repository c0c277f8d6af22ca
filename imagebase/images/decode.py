"""Image files in, upright RGB out: formats, orientation, limits, reduced decoding.

Pillow decodes everything. OpenCV's JPEG decoder was measured and is as fast to within a
tenth (128 COCO photographs on two threads: 0.83 against 0.92 ms an image), but it hands
over part-filled images for 3 in 10 damaged files that Pillow refuses.
"""

import io
import math
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from imagebase.annotation import Box, Size
from imagebase.errors import EditError, ImageBaseError, ImageReadError, LimitError
from imagebase.images.file_types import (
    formats_in_words,
    is_whole_without_end,
    lacks_end,
    open_image,
    pixels_claimed,
    with_end,
    with_pnm_at_once,
)
from imagebase.images.structure import excess_in, is_cut_off

RgbArray = NDArray[np.uint8]

_SUFFIX_OF_FORMAT: Final = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "TIFF": ".tif",
}
_LOSSY_FORMATS: Final = frozenset({"JPEG", "MPO", "WEBP", "HEIF", "AVIF"})
# Missing among what training tools read, or what browsers show.
_FORMATS_TO_CONVERT: Final = frozenset(
    {"HEIF", "AVIF", "GIF", "JPEG2000", "PPM", "TGA"}
)
_EIGHT_BIT_MODES: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"})

_ORIENTATION_TAG: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_SIDEWAYS_ORIENTATION: Final = 5
# Pillow turns a TIFF as it loads it, and says its size turned from the start.
_FORMATS_TURNED_BY_DECODER: Final = frozenset({"TIFF"})

EXPORT_QUALITY: Final = 95
DISPLAY_QUALITY: Final = 85


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """The pixels of an image, and its true size where they were decoded smaller.

    rgb: (H, W, 3), upright, read-only.
    size: of the full upright image, the one that boxes refer to.
    orientation: as in `ImageHeader`.
    """

    rgb: RgbArray
    size: Size
    orientation: int = 1


class ImageHeader(NamedTuple):
    """What a file says about itself before its pixels are decoded.

    size: of the upright image.
    needs_conversion: other tools would see it turned, wrongly coloured, or not at all.
    export_suffix: of the file that an export writes for it, converted or not.
    orientation: EXIF's, 1 to 8: how the stored pixels are turned to be upright.
    """

    size: Size
    file_format: str
    needs_conversion: bool
    export_suffix: str
    orientation: int = 1


class ExportedImage(NamedTuple):
    """An image file that other tools read as we do; changed only where it must be."""

    data: bytes
    suffix: str
    is_changed: bool


def read_header(data: bytes, *, file_name: str, max_pixels: int) -> ImageHeader:
    """Return what the file says about itself; no pixel is decoded.

    Raises:
        ImageReadError: not an image that can be read.
        LimitError: more pixels than allowed.
    """
    with opened(data, file_name=file_name, max_pixels=max_pixels) as image:
        return _header_of(image, data)


def load_image(
    data: bytes, *, file_name: str, max_pixels: int, wanted: Size | None = None
) -> LoadedImage:
    """Return the upright pixels of an image file; of several frames, the first.

    Grey, palette, CMYK, LAB and 16-bit images become 8-bit RGB; transparent ones are
    laid on white. A JPEG that lacks nothing but its last two bytes is whole.

    Args:
        max_pixels: of the full image; checked before memory is taken.
        wanted: a size that will do. A JPEG may then be decoded at a half, a quarter or
            an eighth, with neither side smaller than this.

    Raises:
        ImageReadError: not an image, damaged, or cut off; never part-filled.
        LimitError: more pixels than allowed.
    """
    try:
        return _loaded(data, file_name, max_pixels, wanted)
    except ImageReadError:
        if not is_whole_without_end(data):
            raise
    return _loaded(with_end(data), file_name, max_pixels, wanted)


def _loaded(
    data: bytes, file_name: str, max_pixels: int, wanted: Size | None
) -> LoadedImage:
    with opened(data, file_name=file_name, max_pixels=max_pixels) as image:
        orientation = _orientation(image)
        size = _upright_size(image, orientation)
        if wanted is not None:
            _ask_for_less(image, wanted, orientation)
        expected = image.size
        rgb = _as_rgb(image)
        if rgb.size != expected:
            raise ImageReadError(_damaged(file_name))
        return LoadedImage(_upright(rgb, image, orientation), size, orientation)


def upright_rgb(image: Image.Image) -> RgbArray:
    """Return the upright pixels of an image that Pillow opened, shape (H, W, 3)."""
    return _upright(_as_rgb(image), image, _orientation(image))


def _upright(rgb: Image.Image, opened_as: Image.Image, orientation: int) -> RgbArray:
    if orientation in _TURNS and opened_as.format not in _FORMATS_TURNED_BY_DECODER:
        rgb = rgb.transpose(_TURNS[orientation])
    return np.asarray(rgb, dtype=np.uint8)


def export_image(
    data: bytes,
    *,
    file_name: str,
    max_pixels: int,
    readable: Container[str] | None = None,
) -> ExportedImage:
    """Return the file as it came, or rewritten where other tools would misread it.

    Rewritten are images that EXIF turns, HEIC, AVIF, GIF, JPEG 2000, PPM, TGA, CMYK,
    LAB and more than 8 bits: as an upright 8-bit JPEG of quality 95 where the original
    was lossy, else as PNG. A JPEG without its last two bytes gets them.

    Args:
        readable: as for `written_suffix`.

    Raises:
        ImageReadError, LimitError: as for `load_image`.
    """
    header = read_header(data, file_name=file_name, max_pixels=max_pixels)
    suffix = written_suffix(header, readable)
    if not header.needs_conversion and suffix == header.export_suffix:
        return ExportedImage(data, suffix, is_changed=False)
    rgb = load_image(data, file_name=file_name, max_pixels=max_pixels).rgb
    if lacks_end(data):
        # Its image is whole, or it would not have been loaded.
        return export_image(
            with_end(data),
            file_name=file_name,
            max_pixels=max_pixels,
            readable=readable,
        )._replace(is_changed=True)
    if suffix == ".jpg":
        converted = encode_jpeg(rgb, quality=EXPORT_QUALITY)
    else:
        converted = encode_png(rgb)
    return ExportedImage(converted, suffix, is_changed=True)


def written_suffix(header: ImageHeader, readable: Container[str] | None = None) -> str:
    """Return the suffix of the file that an export writes for an image.

    Args:
        readable: suffixes that the program it is for reads, JPEG and PNG among them;
            None where all are.
    """
    if readable is None or header.export_suffix in readable:
        return header.export_suffix
    return ".jpg" if header.file_format in _LOSSY_FORMATS else ".png"


def encode_jpeg(rgb: RgbArray, *, quality: int = DISPLAY_QUALITY) -> bytes:
    """Return an RGB array of shape (H, W, 3) as a JPEG file.

    From quality 95 on colours are kept at full resolution (4:4:4).
    """
    file = io.BytesIO()
    subsampling = "4:4:4" if quality >= EXPORT_QUALITY else "4:2:0"
    Image.fromarray(rgb).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return file.getvalue()


def encode_png(rgb: RgbArray) -> bytes:
    """Return an RGB array of shape (H, W, 3) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


def display_jpeg(
    data: bytes, *, file_name: str, max_pixels: int, longest_side: int
) -> bytes:
    """Return an image file as an upright JPEG for the screen, never enlarged.

    Raises:
        ImageReadError, LimitError: as for `load_image`.
    """
    header = read_header(data, file_name=file_name, max_pixels=max_pixels)
    size = fitted_size(header.size, longest_side=longest_side)
    loaded = load_image(data, file_name=file_name, max_pixels=max_pixels, wanted=size)
    return encode_jpeg(resized(loaded.rgb, size))


def detail_jpeg(
    data: bytes, region: Box, *, file_name: str, max_pixels: int, longest_side: int
) -> bytes:
    """Return a part of an image file as an upright JPEG for the screen.

    Args:
        region: in pixels of the upright image; what reaches over its edges is left out.
        longest_side: in pixels; a larger part is made smaller, none is enlarged.

    Raises:
        ImageReadError, LimitError: as for `load_image`.
        EditError: nothing of the region is in the image.
    """
    full = read_header(data, file_name=file_name, max_pixels=max_pixels).size
    part = region.clipped(full)
    if part.area < 1:
        raise EditError("There is nothing of the image in that part of it.")
    scale = min(1.0, longest_side / max(part.width, part.height))
    wanted = Size(math.ceil(full.width * scale), math.ceil(full.height * scale))
    rgb = load_image(
        data, file_name=file_name, max_pixels=max_pixels, wanted=wanted
    ).rgb
    down, across = rgb.shape[0] / full.height, rgb.shape[1] / full.width
    cut = rgb[
        math.floor(part.y_min * down) : math.ceil(part.y_max * down),
        math.floor(part.x_min * across) : math.ceil(part.x_max * across),
    ]
    height, width = cut.shape[:2]
    size = fitted_size(Size(width, height), longest_side=longest_side)
    return encode_jpeg(resized(cut, size))


def fitted_size(size: Size, *, longest_side: int) -> Size:
    """Return the size with neither side above this, in proportion, never enlarged."""
    scale = min(1.0, longest_side / max(size))
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def resized(rgb: RgbArray, size: Size) -> RgbArray:
    """Return the image at another size: averaged where it shrinks, else bilinear."""
    height, width = rgb.shape[:2]
    if (width, height) == size:
        return rgb
    shrinks = size.width <= width and size.height <= height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size, interpolation=method), dtype=np.uint8)


@contextmanager
def opened(data: bytes, *, file_name: str, max_pixels: int) -> Iterator[Image.Image]:
    """Yield an image undecoded; a failure inside is an ImageReadError or LimitError."""
    try:
        excess = excess_in(data, max_pixels=max_pixels)
        if excess is not None:
            raise LimitError(_excessive(file_name, excess))
        if is_cut_off(data):
            raise ImageReadError(_damaged(file_name))
        with open_image(data, file_name=file_name) as image:
            if min(image.size) < 1:
                raise ImageReadError(_damaged(file_name))
            if image.width * image.height > max_pixels:
                raise LimitError(_too_big(file_name, max_pixels, image.size))
            if pixels_claimed(image, data) > max_pixels:
                raise LimitError(_too_big(file_name, max_pixels))
            yield image
    except ImageBaseError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise LimitError(_too_big(file_name, max_pixels)) from error
    except UnidentifiedImageError as error:
        raise ImageReadError(_unknown(file_name)) from error
    # Decoders raise whatever comes to hand on damaged bytes: OSError, ValueError,
    # TypeError, SyntaxError, struct.error, MemoryError, …
    except Exception as error:
        raise ImageReadError(_damaged(file_name)) from error


def _header_of(image: Image.Image, data: bytes) -> ImageHeader:
    orientation = _orientation(image)
    file_format = image.format or ""
    needs_conversion = (
        orientation in _TURNS
        or file_format in _FORMATS_TO_CONVERT
        or image.mode not in _EIGHT_BIT_MODES
        or _has_sixteen_bits(image)
        or lacks_end(data)
    )
    suffix = _SUFFIX_OF_FORMAT.get(file_format, ".png")
    if needs_conversion:
        suffix = ".jpg" if file_format in _LOSSY_FORMATS else ".png"
    size = _upright_size(image, orientation)
    return ImageHeader(size, file_format, needs_conversion, suffix, orientation)


def _has_sixteen_bits(image: Image.Image) -> bool:
    # Pillow reads 16-bit colour as 8-bit modes; only the decoder's arguments tell.
    tiles = getattr(image, "tile", [])
    return any(";16" in str(tile[3]) for tile in tiles)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 where it is absent or garbage."""
    if image.format == "HEIF":
        return 1  # libheif has turned it already, by the container's own entry
    try:
        # Not the method of the PNG class: that one decodes the whole image.
        value = Image.Image.getexif(image).get(_ORIENTATION_TAG)
    except Exception:  # damaged EXIF with a sound image
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def _upright_size(image: Image.Image, orientation: int) -> Size:
    sideways = orientation >= _FIRST_SIDEWAYS_ORIENTATION
    if sideways and image.format not in _FORMATS_TURNED_BY_DECODER:
        return Size(image.height, image.width)
    return Size(image.width, image.height)


def _ask_for_less(image: Image.Image, wanted: Size, orientation: int) -> None:
    across = orientation >= _FIRST_SIDEWAYS_ORIENTATION
    image.draft(None, (wanted.height, wanted.width) if across else wanted)


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return the image decoded, in mode RGB, not yet turned."""
    image = with_pnm_at_once(image)
    image.load()
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return Image.fromarray(_eight_bit(image)).convert("RGB")
    if image.mode == "LAB":
        return _lab_as_rgb(image)
    if image.has_transparency_data:
        return _on_white(image if image.mode == "RGBA" else image.convert("RGBA"))
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> NDArray[np.uint8]:
    """Return wide grey values as bytes, never clipped.

    Whole numbers lose their lowest bits, as many as their greatest value has over
    eight: cameras put 10 or 12 bits into 16, and the full range would leave those
    black. Fractions and negative numbers have no scale: theirs is from least to most.
    """
    values = np.asarray(image)
    if values.dtype.kind in "ui" and values.min() >= 0:
        shift = max(int(values.max()).bit_length() - 8, 0)
        return (values >> shift).astype(np.uint8)
    # In place, or 50 megapixels would take more than a gigabyte.
    scaled = values.astype(np.float32)
    np.nan_to_num(scaled, copy=False, posinf=0, neginf=0)
    low, high = float(scaled.min()), float(scaled.max())
    scaled -= low
    scaled *= 255 / max(high - low, 1e-12)
    return scaled.astype(np.uint8)


def _lab_as_rgb(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("no colour conversion")
    return converted


def _on_white(rgba: Image.Image) -> Image.Image:
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba)
    return white


def _unknown(file_name: str) -> str:
    return f"{file_name} is not an image ImageBase can read; use {formats_in_words()}."


def _damaged(file_name: str) -> str:
    return (
        f"{file_name} is damaged or cut off; copy it again from where it came from, "
        "or save it again in an image program."
    )


def _excessive(file_name: str, excess: str) -> str:
    return (
        f"{file_name} has {excess}, which would hold up the server; save it again in "
        "an image program."
    )


def _too_big(
    file_name: str, max_pixels: int, size: tuple[int, int] | None = None
) -> str:
    has = f"has {size[0]:,} × {size[1]:,} pixels, " if size else "has "
    return (
        f"{file_name} {has}more than the {max_pixels:,} pixels allowed; make it "
        "smaller and add it again."
    )
