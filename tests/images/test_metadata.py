import io
import random
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from imagebase.errors import ImageBaseError, ImageReadError, LimitError
from imagebase.images.decode import LoadedImage, export_image, load_image, read_header
from imagebase.images.metadata import has_gps, without_metadata
from imagebase.settings import SAMPLES_FOLDER

MAX_PIXELS = 50_000_000
HEIC = Path(__file__).parents[1] / "data" / "heic"
TRACES = (
    b"Exif",
    b"eXIf",
    b"EXIF",
    b"http://ns.adobe.com/xap",
    b"GPSLatitude",
    b"8BIM",
)
PLACE_IN_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
    b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'exif:GPSLatitude="52,30.0N" exif:GPSLongitude="13,22.0E"/></rdf:RDF></x:xmpmeta>'
)
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF"]
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def picture(mode: str = "RGB") -> Image.Image:
    """Return a small part of a photograph."""
    with Image.open(SAMPLES_FOLDER / "kitchen.jpg") as photograph:
        return photograph.crop((40, 40, 104, 88)).convert(mode)


def exif_with(gps: Mapping[int, object]) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera of Ann"
    exif[ExifTags.IFD.GPSInfo] = gps
    read = Image.Exif()  # only what was read can be written into a TIFF
    read.load(exif.tobytes())
    return read


PLACE: Mapping[int, object] = {
    ExifTags.GPS.GPSLatitudeRef: "N",
    ExifTags.GPS.GPSLatitude: (52.0, 30.0, 0.0),
    ExifTags.GPS.GPSLongitudeRef: "E",
    ExifTags.GPS.GPSLongitude: (13.0, 22.0, 0.0),
}


def saved(
    file_format: str, image: Image.Image | None = None, **options: object
) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, file_format, **options)
    return file.getvalue()


def with_place(file_format: str) -> bytes:
    return saved(file_format, exif=exif_with(PLACE))


def plain(data: bytes) -> bytes:
    return without_metadata(data, file_name="a.jpg", max_pixels=MAX_PIXELS)


def load(data: bytes) -> LoadedImage:
    return load_image(data, file_name="a.jpg", max_pixels=MAX_PIXELS)


def same_pixels(before: bytes, other: bytes) -> bool:
    return np.array_equal(load(before).rgb, load(other).rgb)


def format_of(data: bytes) -> str:
    return read_header(data, file_name="a.jpg", max_pixels=MAX_PIXELS).file_format


def traces(data: bytes) -> list[bytes]:
    return [trace for trace in TRACES if trace in data]


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return (
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
    )


def riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def heic_with(exif: bytes) -> bytes:
    """Return the photograph that has an EXIF item with another one at the end of it."""
    data = (HEIC / "turned.heic").read_bytes()
    at = data.rindex(b"Exif\0\0") - 4
    item = struct.pack(">I", 6) + exif
    old = struct.pack(">IHII", at, 1, 0, len(data) - at)
    new = struct.pack(">IHII", len(data), 1, 0, len(item))
    assert data.count(old) == 1
    return data.replace(old, new) + item


@pytest.mark.parametrize("file_format", FORMATS)
def test_position_in_exif_is_found(file_format: str) -> None:
    assert has_gps(with_place(file_format))


@pytest.mark.parametrize("file_format", FORMATS)
def test_camera_and_time_are_no_position(file_format: str) -> None:
    version: dict[int, object] = {ExifTags.GPS.GPSVersionID: b"\2\3\0\0"}
    assert not has_gps(saved(file_format, exif=exif_with(version)))
    assert not has_gps(saved(file_format))


def test_position_in_a_heic_is_found() -> None:
    assert has_gps(heic_with(exif_with(PLACE).tobytes()))
    assert not has_gps(heic_with(exif_with({}).tobytes()))
    assert not has_gps((HEIC / "upright.heic").read_bytes())


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
def test_position_in_xmp_is_found(file_format: str) -> None:
    assert has_gps(saved(file_format, xmp=PLACE_IN_XMP))


@pytest.mark.parametrize("compressed", [False, True])
def test_position_in_xmp_of_a_png_is_found(compressed: bool) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", PLACE_IN_XMP.decode(), zip=compressed)
    assert has_gps(saved("PNG", pnginfo=info))


def test_position_behind_the_pixels_of_a_png_is_found() -> None:
    exif = exif_with(PLACE).tobytes().removeprefix(b"Exif\0\0")
    data = saved("PNG").removesuffix(PNG_END) + chunk(b"eXIf", exif) + PNG_END
    assert has_gps(data)
    assert traces(plain(data)) == []


@pytest.mark.parametrize("data", [b"", b"nothing", b"\xff\xd8\xff\xe1\0\x40Exif\0\0II"])
def test_what_cannot_be_read_tells_no_position(data: bytes) -> None:
    assert not has_gps(data)


def test_garbage_for_exif_tells_no_position() -> None:
    data = saved("JPEG")
    garbage = segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\x25\x88" * 40)
    assert not has_gps(data[:2] + garbage + data[2:])


@pytest.mark.parametrize("file_format", FORMATS)
def test_metadata_go_and_pixels_stay(file_format: str) -> None:
    data = with_place(file_format)
    assert b"Camera of Ann" in data
    cleaned = plain(data)
    assert format_of(cleaned) == file_format
    assert traces(cleaned) == []
    assert b"Camera of Ann" not in cleaned
    assert not has_gps(cleaned)
    assert same_pixels(cleaned, data)


@pytest.mark.parametrize("file_format", [*FORMATS, "BMP"])
def test_image_without_metadata_is_what_it_was(file_format: str) -> None:
    data = saved(file_format)
    cleaned = plain(data)
    assert format_of(cleaned) == file_format
    assert same_pixels(cleaned, data)
    if file_format != "TIFF":
        assert cleaned == data


@pytest.mark.parametrize("file_format", FORMATS)
def test_removing_twice_changes_nothing_more(file_format: str) -> None:
    once = plain(with_place(file_format))
    assert plain(once) == once


@pytest.mark.parametrize("file_format", FORMATS)
def test_colour_profile_stays(file_format: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved(file_format, exif=exif_with(PLACE), icc_profile=profile)
    with Image.open(io.BytesIO(plain(data))) as image:
        assert image.info["icc_profile"] == profile


def test_real_files_are_exported_without_metadata_and_lose_no_pixel(
    shared_data: Path,
) -> None:
    seen = set()
    for path in sorted((shared_data / "wild_images").iterdir()):
        data = path.read_bytes()
        try:
            load(data)
        except ImageBaseError:
            continue
        upright = export_image(data, file_name=path.name, max_pixels=MAX_PIXELS).data
        cleaned = plain(upright)
        seen.add(format_of(data))
        assert traces(cleaned) == [], path.name
        assert same_pixels(cleaned, upright), path.name
        assert not has_gps(cleaned), path.name
    assert seen == {"JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF"}


@pytest.mark.parametrize("orientation", range(9))
def test_orientation_goes_and_the_stored_pixels_stay(
    shared_data: Path, orientation: int
) -> None:
    name = f"exif_orientation__Landscape_{orientation}.jpg"
    data = (shared_data / "wild_images" / name).read_bytes()
    cleaned = plain(data)
    assert traces(cleaned) == []
    assert len(data) - len(cleaned) == 100  # the EXIF segment
    with (
        Image.open(io.BytesIO(data)) as original,
        Image.open(io.BytesIO(cleaned)) as other,
    ):
        assert other.getexif() == {}
        assert np.array_equal(np.asarray(original), np.asarray(other))


def test_further_pictures_of_a_camera_go(shared_data: Path) -> None:
    data = (shared_data / "wild_images" / "pillow__frozenpond.mpo").read_bytes()
    cleaned = plain(data)
    assert (format_of(data), format_of(cleaned)) == ("MPO", "JPEG")
    assert data.count(JPEG_START + b"\xff") > cleaned.count(JPEG_START + b"\xff") == 1
    assert cleaned.endswith(JPEG_END)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"progressive": True}),
        ("RGB", {"restart_marker_blocks": 1}),
        ("RGB", {"keep_rgb": True}),
        ("L", {}),
        ("CMYK", {}),
    ],
    ids=["progressive", "restarts", "RGB inside", "grey", "CMYK"],
)
def test_every_kind_of_jpeg_keeps_its_pixels(
    mode: str, options: dict[str, object]
) -> None:
    exif = exif_with(PLACE)
    data = saved("JPEG", picture(mode), exif=exif, comment=b"by Ann", **options)
    cleaned = plain(data)
    assert traces(cleaned) == []
    assert b"by Ann" not in cleaned
    assert same_pixels(cleaned, data)


@pytest.mark.parametrize(
    "added",
    [
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PLACE_IN_XMP),
        segment(0xE2, b"FPXR\0" + b"x" * 20),
        segment(0xED, b"Photoshop 3.0\x008BIM\4\4" + b"Ann" * 9),
        segment(0xEB, b"JP" + b"x" * 20),
        segment(0xFE, b"by Ann"),
        b"\xff\xff" + segment(0xE5, b""),
        b"junk" + segment(0xEA, b"x"),
    ],
    ids=["XMP", "APP2", "IPTC", "APP11", "comment", "after fill bytes", "after junk"],
)
def test_segment_that_the_picture_does_not_need_goes(added: bytes) -> None:
    data = saved("JPEG")
    at = data.index(b"\xff\xdb")
    assert plain(data[:at] + added + data[at:]) == data


def test_segment_between_the_scans_goes() -> None:
    data = saved("JPEG", progressive=True)
    scans = data.rindex(b"\xff\xda")
    assert plain(data[:scans] + segment(0xFE, b"by Ann") + data[scans:]) == data


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_what_is_appended_to_the_file_goes(file_format: str) -> None:
    data = saved(file_format)
    assert plain(data + b"a film of the place") == data


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"tIME", b"caBX", b"prVt"])
def test_chunk_that_a_png_does_not_need_goes(name: bytes) -> None:
    data = saved("PNG")
    added = chunk(name, b"Author\0Ann")
    assert plain(data.removesuffix(PNG_END) + added + PNG_END) == data


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "1"])
def test_transparency_and_palette_stay(mode: str) -> None:
    data = saved("PNG", picture(mode), transparency=3 if mode == "P" else None)
    assert plain(data) == data


def test_png_without_an_end_gets_one() -> None:
    data = saved("PNG")
    assert plain(data.removesuffix(PNG_END)) == data


def test_animation_stays() -> None:
    frames = [picture(), picture().transpose(Image.Transpose.ROTATE_180)]
    for file_format in ("PNG", "WEBP"):
        data = saved(file_format, save_all=True, append_images=frames[1:])
        assert plain(data) == data


def test_flags_of_a_webp_say_what_is_in_it() -> None:
    cleaned = plain(saved("WEBP", exif=exif_with(PLACE), xmp=PLACE_IN_XMP))
    assert cleaned[12:16] == b"VP8X"
    assert cleaned[20] & 0x0C == 0
    assert int.from_bytes(cleaned[4:8], "little") == len(cleaned) - 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_keeps_mode_and_values(mode: str, compression: str) -> None:
    image = picture("L").convert("I").convert(mode) if ";" in mode else picture(mode)
    data = saved("TIFF", image, compression=compression, artist="Ann of X")
    with Image.open(io.BytesIO(plain(data))) as cleaned:
        assert cleaned.mode == mode
        assert ExifTags.Base.Artist not in cleaned.getexif()
        assert np.array_equal(np.asarray(cleaned), np.asarray(image))


def test_tiff_that_holds_a_jpeg_keeps_its_pixels() -> None:
    data = saved("TIFF", compression="jpeg", artist="Ann of X")
    assert same_pixels(plain(data), data)


def test_only_the_first_page_of_a_tiff_stays() -> None:
    data = saved("TIFF", save_all=True, append_images=[picture()])
    with Image.open(io.BytesIO(plain(data))) as image:
        assert getattr(image, "n_frames", 1) == 1


def test_heic_becomes_what_an_export_writes() -> None:
    data = heic_with(exif_with(PLACE).tobytes())
    cleaned = plain(data)
    assert format_of(cleaned) == "JPEG"
    assert traces(cleaned) == []


def _cut(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * share)]


def _with_length(name: bytes, offset: int, length: bytes) -> Callable[[bytes], bytes]:
    """Return what overwrites a length that stands so far from a name."""

    def changed(data: bytes) -> bytes:
        at = data.index(name) + offset
        return data[:at] + length + data[at + len(length) :]

    return changed


@pytest.mark.parametrize(
    ("file_format", "damage"),
    [
        ("JPEG", _cut(0.02)),
        ("JPEG", _cut(0.3)),
        ("JPEG", _cut(0.999)),
        ("JPEG", _with_length(b"\xff\xc4", 2, b"\xff\xff")),
        ("JPEG", _with_length(b"\xff\xda", 2, b"\xff\xff")),
        ("JPEG", _with_length(b"\xff\xda", 2, b"\0\0")),
        ("JPEG", _with_length(b"\xff\xda", 2, b"\0\1")),
        ("PNG", _cut(0.003)),
        ("PNG", _cut(0.5)),
        ("PNG", _with_length(b"IDAT", -4, b"\x7f\xff\xff\xff")),
        ("PNG", _with_length(b"IDAT", -4, b"\xff\xff\xff\xff")),
        ("WEBP", _cut(0.02)),
        ("WEBP", _cut(0.5)),
        ("WEBP", _with_length(b"RIFF", 4, b"\xff\xff\xff\xff")),
        ("WEBP", _with_length(b"RIFF", 4, b"\0\0\0\0")),
        ("WEBP", _with_length(b"VP8 ", 4, b"\xff\xff\xff\xff")),
        ("TIFF", _cut(0.002)),
        ("TIFF", _cut(0.5)),
    ],
)
def test_damaged_structure_is_a_sentence(
    file_format: str, damage: Callable[[bytes], bytes]
) -> None:
    data = damage(saved(file_format))
    with pytest.raises(ImageReadError, match=r"^a\.jpg is .*\.$"):
        plain(data)


def test_bytes_of_no_image_are_a_sentence() -> None:
    with pytest.raises(ImageReadError, match=r"a\.jpg is not an image"):
        plain(b"nothing")


def test_more_pixels_than_allowed_are_refused() -> None:
    with pytest.raises(LimitError, match="more than the 100 pixels allowed"):
        without_metadata(saved("JPEG"), file_name="a.jpg", max_pixels=100)


@pytest.mark.parametrize("file_format", FORMATS)
def test_altered_bytes_are_refused_or_give_the_picture_they_gave(
    file_format: str,
) -> None:
    data, chance = with_place(file_format), random.Random(7)
    for _ in range(150):
        altered = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            altered[chance.randrange(len(data))] = chance.randrange(256)
        try:
            before = load(bytes(altered)).rgb
            cleaned = plain(bytes(altered))
        except ImageBaseError:
            continue
        assert np.array_equal(load(cleaned).rgb, before)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_a_great_many_empty_parts_take_no_memory(file_format: str) -> None:
    data = saved(file_format, progressive=True)
    scan = data.rindex(b"\xff\xda") if file_format == "JPEG" else 0
    many = {
        "JPEG": lambda: data[:scan] + segment(0xE5, b"") * 50_000 + data[scan:],
        "PNG": lambda: data[:-12] + chunk(b"IDAT", b"") * 20_000 + PNG_END,
        "WEBP": lambda: riff(data[12:] + b"ANMF\0\0\0\0" * 20_000),
    }[file_format]()
    tracemalloc.start()
    try:
        cleaned = plain(many)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(many) + 1_000_000
    assert same_pixels(cleaned, data)


def test_megabytes_of_fill_bytes_take_no_time() -> None:
    data = saved("JPEG")
    at = data.rindex(JPEG_END)
    began = time.thread_time()
    plain(data[:at] + b"\xff" * 4_000_000 + b"\0" + JPEG_END)
    assert time.thread_time() - began < 2
