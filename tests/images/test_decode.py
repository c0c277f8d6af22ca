import io
import json
import logging
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagebase.annotation import Size
from imagebase.errors import ImageReadError, LimitError
from imagebase.images.decode import (
    LoadedImage,
    display_jpeg,
    encode_jpeg,
    encode_png,
    export_image,
    fitted_size,
    load_image,
    read_header,
    resized,
)
from imagebase.images.file_types import IMAGE_SUFFIXES, formats_in_words
from imagebase.settings import PROJECT_ROOT, SAMPLES_FOLDER
from tests.peak_memory import run_measured

MAX_PIXELS = 50_000_000
HEIC = Path(__file__).parents[1] / "data" / "heic"
SUFFIX_TO_FORMAT = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"} | {
    ".tif": "TIFF",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".jp2": "JPEG2000",
    ".ppm": "PPM",
    ".tga": "TGA",
}

READ_ALL = """
import json, sys, time
from pathlib import Path
from imagebase.errors import ImageBaseError
from imagebase.images.decode import load_image

outcome = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    if path.name == "MANIFEST.json":
        continue
    began = time.process_time()
    try:
        load_image(path.read_bytes(), file_name=path.name, max_pixels=50_000_000)
        said = ""
    except ImageBaseError as error:
        said = str(error)
    outcome[path.name] = [said, time.process_time() - began]
print(json.dumps(outcome))
"""
# pillow__truncated_jpeg.jpg lacks its last byte alone, and libjpeg finds it whole.
REFUSED = {
    "image-png__tests__pngsuite__xcrn0g04.png",
    "image-png__tests__pngsuite__xs1n0g01.png",
    "pillow__bmp__b__reallybig.bmp",
    "pillow__bmp__b__shortfile.bmp",
    "pillow__broken.png",
    "pillow__broken_data_stream.png",
    "pillow__decompression_bomb.gif",
    "pillow__png_decompression_dos.png",
    "pillow__truncated_image.png",
    "pillow__zero_width.gif",
}


def load(data: bytes, *, wanted: Size | None = None) -> LoadedImage:
    return load_image(data, file_name="a.jpg", max_pixels=MAX_PIXELS, wanted=wanted)


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def photograph() -> Image.Image:
    with Image.open(SAMPLES_FOLDER / "skier.jpg") as image:
        return image.convert("RGB")


def exif_of(orientation: object) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean distance of the grey values, 0 to 255."""
    assert a.shape == b.shape
    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())


@pytest.mark.parametrize("file_format", SUFFIX_TO_FORMAT.values())
def test_every_format_gives_the_same_picture(file_format: str) -> None:
    lossy = {"quality": 95} if file_format in {"JPEG", "WEBP", "AVIF"} else {}
    # The old TGA has no signature; the other names are not heeded.
    name = "a.TGA" if file_format == "TGA" else "a.txt"
    data = saved(photograph(), file_format, **lossy)
    loaded = load_image(data, file_name=name, max_pixels=MAX_PIXELS)
    assert loaded.rgb.dtype == np.uint8
    assert loaded.size == Size(640, 425)
    assert difference(loaded.rgb, np.asarray(photograph())) < 6  # GIF has 256 colours


@pytest.mark.parametrize("name", ["upright.heic", "turned.heic"])
def test_heic_is_upright_once(name: str) -> None:
    loaded = load((HEIC / name).read_bytes())
    expected = np.asarray(photograph().resize((160, 106)))
    assert loaded.size == Size(160, 106)
    assert difference(loaded.rgb, expected) < 4


def test_heic_cut_off_is_refused() -> None:
    data = (HEIC / "upright.heic").read_bytes()
    with pytest.raises(ImageReadError, match="cut off"):
        load(data[: len(data) * 2 // 3])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("1", 0),
        ("L", 120),
        ("LA", 120),
        ("P", 120),
        ("RGBA", 120),
        ("CMYK", 120),
        ("LAB", 120),
    ],
)
def test_mode_becomes_rgb(mode: str, expected: int) -> None:
    image = Image.new("RGB", (8, 8), (expected,) * 3)
    if mode == "LAB":
        converted = Image.new("LAB", (8, 8), (128, 128, 128))  # L* 50: sRGB 119
    else:
        converted = image.quantize() if mode == "P" else image.convert(mode)
    loaded = load(saved(converted, "TIFF"))
    assert loaded.rgb.shape == (8, 8, 3)
    assert np.abs(loaded.rgb.astype(int) - expected).max() <= 3


def test_transparent_pixels_are_laid_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert (load(saved(image, "PNG")).rgb == 255).all()


@pytest.mark.parametrize(("bits", "top"), [(16, 65535), (12, 4095), (8, 255)])
def test_wide_grey_is_scaled_by_its_depth(bits: int, top: int) -> None:
    ramp = np.linspace(0, top, 64 * 64).reshape(64, 64).astype(np.uint16)
    rgb = load(saved(Image.fromarray(ramp), "PNG")).rgb
    assert rgb.min() == 0
    assert rgb.max() == 255
    assert abs(float(rgb.mean()) - 127) < 1.5


def test_float_grey_runs_from_its_least_to_its_most() -> None:
    values = np.array([[-1.0, 0.0], [1.0, 3.0]], dtype=np.float32)
    rgb = load(saved(Image.fromarray(values), "TIFF")).rgb
    assert rgb[..., 0].tolist() == [[0, 63], [127, 255]]


@pytest.mark.parametrize("wanted", [None, Size(416, 416), Size(200, 150)])
def test_all_eight_orientations_are_the_same_picture(
    shared_data: Path, wanted: Size | None
) -> None:
    folder = shared_data / "wild_images"
    first, *others = (
        load(
            (folder / f"exif_orientation__Landscape_{n}.jpg").read_bytes(),
            wanted=wanted,
        )
        for n in range(1, 9)
    )
    for other in others:
        assert other.size == first.size == Size(1800, 1200)
        assert difference(other.rgb, first.rgb) < 4


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_orientation_counts_in_every_format_that_has_it(file_format: str) -> None:
    data = saved(photograph(), file_format, exif=exif_of(6))
    header = read_header(data, file_name="a", max_pixels=MAX_PIXELS)
    assert header.size == Size(425, 640)
    assert header.needs_conversion
    expected = np.asarray(photograph().transpose(Image.Transpose.ROTATE_270))
    assert difference(load(data).rgb, expected) < 4


def test_png_orientation_behind_the_pixels_counts() -> None:
    plain = saved(photograph(), "PNG")
    body = b"eXIf" + exif_of(6).tobytes()[6:]
    chunk = (
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    )
    loaded = load(plain[:-12] + chunk + plain[-12:])
    assert loaded.size == Size(425, 640)
    assert loaded.rgb.shape == (640, 425, 3)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_without_meaning_is_upright(orientation: int) -> None:
    data = saved(photograph(), "JPEG", exif=exif_of(orientation))
    assert load(data).rgb.shape == (425, 640, 3)
    assert not read_header(data, file_name="a", max_pixels=MAX_PIXELS).needs_conversion


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_hide_the_picture() -> None:
    data = saved(photograph(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert load(data).size == Size(640, 425)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("wanted", [Size(416, 416), Size(300, 100), Size(2, 2)])
def test_reduced_decoding_stays_above_what_is_wanted(
    orientation: int, wanted: Size
) -> None:
    big = photograph().resize((1999, 1333))
    loaded = load(saved(big, "JPEG", exif=exif_of(orientation)), wanted=wanted)
    height, width = loaded.rgb.shape[:2]
    assert width >= wanted.width
    assert height >= wanted.height
    assert width < loaded.size.width
    assert loaded.size == (Size(1999, 1333) if orientation == 1 else Size(1333, 1999))


def test_reduced_decoding_never_makes_the_picture_smaller_than_it_is() -> None:
    loaded = load(saved(photograph(), "JPEG"), wanted=Size(4000, 4000))
    assert loaded.rgb.shape == (425, 640, 3)


@pytest.mark.parametrize("wanted", [None, Size(50, 50)])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
@pytest.mark.parametrize(
    "file_format",
    ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA"],
)
def test_file_cut_off_is_refused(
    file_format: str, share: float, wanted: Size | None
) -> None:
    data = saved(photograph(), file_format)
    with pytest.raises(ImageReadError, match=r"a\.jpg is"):
        load(data[: int(len(data) * share)], wanted=wanted)


@pytest.mark.parametrize("data", [b"", b"nope", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(ImageReadError, match=r"^a\.jpg is .*\.$"):
        load(data)


def test_pixels_are_counted_before_they_are_decoded() -> None:
    data = saved(Image.new("L", (3000, 2000)), "PNG")
    with pytest.raises(LimitError, match="3,000 × 2,000 pixels"):
        load_image(data, file_name="a.png", max_pixels=5_999_999)
    assert read_header(data, file_name="a.png", max_pixels=6_000_000).size[0] == 3000


def tiled_tiff(tile: int) -> bytes:
    """Return a grey TIFF of 16 × 16 pixels in one deflated tile of this side."""
    content = zlib.compress(bytes(tile * tile), 9)
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile}
    tags |= {324: 14 + 12 * (len(tags) + 2), 325: len(content)}
    entries = (struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHLH", b"II", 42, 8, len(tags))
    return head + b"".join(entries) + bytes(4) + content


def test_tiles_of_a_tiff_are_counted_as_pixels_too() -> None:
    assert load(tiled_tiff(64)).size == (16, 16)
    with pytest.raises(LimitError, match="more than the"):
        load(tiled_tiff(8192))


def test_wild_images_are_read_or_refused_quickly_in_little_memory(
    shared_data: Path, tmp_path: Path
) -> None:
    done = run_measured(
        [sys.executable, "-W", "error", "-c", READ_ALL, shared_data / "wild_images"],
        notes=tmp_path / "peak",
        cwd=PROJECT_ROOT,
    )
    assert done.code == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert len(outcome) == 42
    assert {name for name, (said, _) in outcome.items() if said} == REFUSED
    assert all(said.startswith(name) for name, (said, _) in outcome.items() if said)
    assert max(seconds for _, seconds in outcome.values()) < 2
    assert done.peak_bytes < 1_000_000_000


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_common_image_is_exported_as_it_came(suffix: str) -> None:
    data = saved(photograph(), SUFFIX_TO_FORMAT[suffix])
    exported = export_image(data, file_name="a", max_pixels=MAX_PIXELS)
    assert exported == (data, suffix, False)


def test_turned_jpeg_is_exported_upright_without_its_orientation() -> None:
    data = saved(photograph(), "JPEG", exif=exif_of(8))
    exported = export_image(data, file_name="a", max_pixels=MAX_PIXELS)
    assert exported.is_changed
    assert exported.suffix == ".jpg"
    with Image.open(io.BytesIO(exported.data)) as image:
        assert image.size == (425, 640)
        assert 0x0112 not in image.getexif()


@pytest.mark.parametrize(
    ("image", "file_format", "suffix"),
    [
        (Image.new("CMYK", (9, 9)), "JPEG", ".jpg"),
        (Image.new("I;16", (9, 9)), "PNG", ".png"),
        (Image.new("LAB", (9, 9)), "TIFF", ".png"),
        (Image.new("P", (9, 9)), "GIF", ".png"),
        (Image.new("RGB", (9, 9)), "AVIF", ".jpg"),
        (Image.new("RGB", (9, 9)), "JPEG2000", ".png"),
        (Image.new("RGB", (9, 9)), "PPM", ".png"),
    ],
    ids=["CMYK", "16-bit", "LAB", "GIF", "AVIF", "JPEG 2000", "PPM"],
)
def test_what_other_tools_misread_is_exported_converted(
    image: Image.Image, file_format: str, suffix: str
) -> None:
    data = saved(image, file_format)
    exported = export_image(data, file_name="a", max_pixels=MAX_PIXELS)
    assert exported.is_changed
    assert exported.suffix == suffix
    with Image.open(io.BytesIO(exported.data)) as converted:
        assert converted.mode == "RGB"


def test_sixteen_bit_colour_is_exported_converted(shared_data: Path) -> None:
    path = shared_data / "wild_images" / "image-png__tests__pngsuite__basn6a16.png"
    exported = export_image(path.read_bytes(), file_name="a", max_pixels=MAX_PIXELS)
    assert exported.is_changed


@pytest.mark.parametrize(
    "name", ["small.avif", "avif_named.jpg", "small.ppm", "no_eoi.jpg"]
)
def test_files_that_opencv_reads_are_the_same_here(
    shared_data: Path, name: str
) -> None:
    path = shared_data / "cases" / "images" / name
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert expected is not None
    np.testing.assert_array_equal(load(path.read_bytes()).rgb, expected)


def test_size_in_the_codestream_of_a_jpeg_2000_counts() -> None:
    data = saved(Image.new("L", (64, 64)), "JPEG2000")
    at = data.index(b"\xff\x4f\xff\x51") + 8
    claims = struct.pack(">II", 60_000, 60_000)
    with pytest.raises(LimitError, match="more than the"):
        load(data[:at] + claims + data[at + 8 :])


@pytest.mark.parametrize(("magic", "greatest"), [("P5", 4095), ("P6", 1023)])
@pytest.mark.parametrize("missing", [0, 1])
def test_pnm_of_unusual_depth_is_what_pillow_reads(
    magic: str, greatest: int, missing: int
) -> None:
    bands = 1 if magic == "P5" else 3
    values = np.linspace(0, greatest, 60 * 40 * bands).astype(">u2")
    data = f"{magic}\n60 40\n{greatest}\n".encode() + values.tobytes()
    if missing:
        with pytest.raises(ImageReadError, match="cut off"):
            load(data[:-missing])
        return
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image)
    if magic == "P5":
        expected = np.repeat(expected[..., np.newaxis] >> 8, 3, axis=2)
    np.testing.assert_array_equal(load(data).rgb, expected)


def test_tga_is_known_by_its_suffix_or_its_footer() -> None:
    new = saved(photograph(), "TGA")
    assert new.endswith(b"TRUEVISION-XFILE.\0")
    assert load(new).size == Size(640, 425)
    old = new[:-26]
    with pytest.raises(ImageReadError, match="is not an image"):
        load(old)
    for name in ("a.tga", "0" * 64):  # an image's id, as what is stored has it
        size = load_image(old, file_name=name, max_pixels=MAX_PIXELS).size
        assert size == Size(640, 425)
    other = saved(photograph(), "JPEG")
    size = load_image(other, file_name="a.tga", max_pixels=MAX_PIXELS).size
    assert size == Size(640, 425)


JPEG_KINDS: list[dict[str, object]] = [
    {},
    {"progressive": True},
    {"restart_marker_rows": 1},
    {"restart_marker_blocks": 1},
]


@pytest.mark.parametrize("kind", JPEG_KINDS, ids=str)
@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("wanted", [None, Size(200, 100)])
def test_jpeg_that_lacks_only_its_end_is_read(
    kind: dict[str, object], missing: int, wanted: Size | None
) -> None:
    whole = saved(photograph(), "JPEG", **kind)
    cut = whole[:-missing]
    rgb = load(cut, wanted=wanted).rgb
    np.testing.assert_array_equal(rgb, load(whole, wanted=wanted).rgb)
    exported = export_image(cut, file_name="a.jpg", max_pixels=MAX_PIXELS)
    assert exported == (whole, ".jpg", True)


@pytest.mark.parametrize("kind", JPEG_KINDS, ids=str)
def test_jpeg_that_lacks_more_than_its_end_is_refused(kind: dict[str, object]) -> None:
    data = saved(photograph(), "JPEG", **kind)
    scans_and_restarts = [
        match.start() for match in re.finditer(rb"\xff[\xc4\xd0-\xd7\xda]", data)
    ]
    cuts = {*range(len(data) - 40, len(data) - 3), *scans_and_restarts[-20:]}
    cuts |= set(range(700, len(data) - 40, 997))
    assert len(cuts) > 50
    for cut in cuts:
        with pytest.raises(ImageReadError):
            load(data[:cut])


NOISY = """
import sys
from pathlib import Path
from imagebase.errors import ImageBaseError
from imagebase.images.decode import load_image
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        load_image(path.read_bytes(), file_name=path.name, max_pixels=50_000_000)
    except ImageBaseError:
        print(path.name)
"""


def test_libtiff_prints_nothing(tmp_path: Path) -> None:
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        data = saved(photograph(), "TIFF", compression=compression)
        (tmp_path / f"{compression}.tif").write_bytes(data[: len(data) // 2])
        middle = len(data) // 2
        altered = data[:middle] + bytes(900) + data[middle + 900 :]
        (tmp_path / f"{compression}-altered.tif").write_bytes(altered)
    done = subprocess.run(
        [sys.executable, "-c", NOISY, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT_ROOT,
    )
    assert len(done.stdout.split()) >= 3
    assert done.stderr == ""


def test_heic_is_exported_as_jpeg() -> None:
    data = (HEIC / "turned.heic").read_bytes()
    exported = export_image(data, file_name="a.heic", max_pixels=MAX_PIXELS)
    assert exported.suffix == ".jpg"
    assert load(exported.data).size == Size(160, 106)


def test_display_picture_fits_and_is_upright() -> None:
    data = saved(photograph(), "JPEG", exif=exif_of(6))
    shown = display_jpeg(data, file_name="a", max_pixels=MAX_PIXELS, longest_side=300)
    assert load(shown).size == Size(199, 300)


def test_display_picture_is_never_enlarged() -> None:
    shown = display_jpeg(
        saved(photograph(), "PNG"),
        file_name="a",
        max_pixels=MAX_PIXELS,
        longest_side=9999,
    )
    assert load(shown).size == Size(640, 425)


def test_encoded_pictures_come_back() -> None:
    rgb = np.asarray(photograph())
    np.testing.assert_array_equal(load(encode_png(rgb)).rgb, rgb)
    assert difference(load(encode_jpeg(rgb, quality=95)).rgb, rgb) < 2


def test_fitted_size_keeps_at_least_a_pixel() -> None:
    assert fitted_size(Size(10_000, 1), longest_side=100) == Size(100, 1)


def test_resized_to_its_own_size_is_the_same_array() -> None:
    rgb = np.zeros((4, 6, 3), np.uint8)
    assert resized(rgb, Size(6, 4)) is rgb
    assert resized(rgb, Size(3, 9)).shape == (9, 3, 3)


def test_suffixes_cover_what_is_read() -> None:
    assert set(SUFFIX_TO_FORMAT) | {".heic", ".jpeg", ".tiff", ".mpo"} <= IMAGE_SUFFIXES
    assert formats_in_words().endswith("AVIF, JPEG 2000, PPM or TGA")


def test_pillow_prints_nothing_of_a_damaged_tiff(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As outside pytest, where nobody has set up logging."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    written = io.BytesIO()
    Image.new("RGB", (8, 8)).save(written, "TIFF")
    one_sample, many = (struct.pack("<HHIH", 277, 3, 1, n) for n in (3, 2_048))
    data = written.getvalue().replace(one_sample, many)
    assert data != written.getvalue()
    with pytest.raises(ImageReadError):
        read_header(data, file_name="a.tif", max_pixels=100)
    assert capfd.readouterr().err == ""
