"""Image files with too many parts: refused by their bytes, before a decoder sees them.

What each costs without these limits: `python -m tests.images.hostile_images CASE
--unchecked`, and docs/security.md.
"""

import json
import struct
import sys
from pathlib import Path
from typing import Final

import pytest

from imagebase.errors import ImageReadError, LimitError
from imagebase.images.decode import load_image, read_header
from imagebase.images.scan import Incoming, prepare
from imagebase.images.structure import MAX_JPEG_SCANS, excess_in
from imagebase.settings import Limits
from tests.images.hostile_images import (
    CASES,
    HARMLESS,
    HEIC,
    heic_grid,
    jpeg_scans,
    saved,
)
from tests.peak_memory import run_measured

ROOT: Final = Path(__file__).parents[2]
MAX_PIXELS: Final = Limits().max_image_pixels
MAX_SECONDS: Final = 1.0

# What the sentence says that it has.
EXCESS: Final = {
    "scans.jpg": "more than 20 scans",
    "segments.jpg": "more than 2,000 segments",
    "filler.jpg": "more filler than image before its first scan",
    "junk.jpg": "more filler than image before its first scan",
    "claims.jpg": "more than the 50,000,000 pixels allowed",
    "exif.jpg": "more metadata than the file has bytes",
    "strips.tif": "more than 30,000 strips or tiles",
    "samples.tif": "more than 200,000 numbers in a tag",
    "tags.tif": "more metadata than the file has bytes",
    "chunks.png": "more than 500 chunks",
    "parts.png": "more than 100,000 chunks",
    "texts.png": "more than 500 chunks",
    "profiles.png": "more than 500 chunks",
    "exif.png": "more metadata than the file has bytes",
    "comments.gif": "more than 20,000 blocks before its image",
    "junk.gif": "more than 20,000 blocks before its image",
    "canvas.webp": "more than 50,000,000 pixels",
    "boxes.jp2": "more than 1,000 boxes",
    "segments.j2k": "more than 1,000 segments before its image",
    "run_length.bmp": "more than 20 MB",
    "text.ppm": "more than 20 MB",
    "comment.ppm": "more comments than image before its size",
    "boxes.heic": "more than 1,000 boxes",
}


@pytest.mark.parametrize("case", CASES)
def test_too_many_parts_are_refused_at_once(case: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.images.hostile_images", case]
    done = run_measured(command, notes=tmp_path / "peak", cwd=ROOT)
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["outcome"].startswith(case)
    assert EXCESS[case] in told["outcome"]
    assert told["seconds"] < MAX_SECONDS
    # The interpreter, what it imports, and the file twice as the case is made.
    limit = 250_000_000 + 3 * told["bytes"]
    assert case == "scans.jpg" or done.peak_bytes < limit


@pytest.mark.parametrize("case", HARMLESS)
def test_many_parts_that_cost_nothing_are_read(case: str) -> None:
    prepare(Incoming(case, HARMLESS[case]()), Limits())


def test_the_fewer_scans_the_larger_the_image() -> None:
    few = jpeg_scans(500, MAX_JPEG_SCANS - 20)
    assert load_image(few, file_name="a.jpg", max_pixels=MAX_PIXELS).size == (500, 500)
    with pytest.raises(LimitError, match="more than 100 scans"):
        read_header(jpeg_scans(500, 101), file_name="a.jpg", max_pixels=MAX_PIXELS)
    # As many as libjpeg writes, at the most pixels that are taken.
    assert excess_in(jpeg_scans(7000, 0), max_pixels=MAX_PIXELS) is None


def test_thumbnails_do_not_count_as_scans() -> None:
    data = saved("JPEG", progressive=True)
    thumbnail = b"\xff\xda\0\x02" * 10_000
    comment = b"\xff\xfe" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert excess_in(data[:2] + comment + data[2:], max_pixels=MAX_PIXELS) is None


@pytest.mark.parametrize("lacks", [1, 100, 4000])
@pytest.mark.parametrize("states_its_end", [True, False])
def test_heic_that_is_cut_off_is_refused(lacks: int, states_its_end: bool) -> None:
    data = HEIC.read_bytes()
    if not states_its_end:
        at = data.index(b"mdat") - 4
        data = data[:at] + bytes(4) + data[at + 4 :]
    assert load_image(data, file_name="a.heic", max_pixels=MAX_PIXELS).rgb.any()
    with pytest.raises(ImageReadError, match=r"a\.heic is damaged or cut off"):
        load_image(data[:-lacks], file_name="a.heic", max_pixels=MAX_PIXELS)


def test_heic_whose_last_tile_is_cut_off_is_refused() -> None:
    """libheif paints a tile that is missing green, and says nothing."""
    whole = load_image(heic_grid(2, 2), file_name="a.heic", max_pixels=MAX_PIXELS)
    assert whole.size == (320, 212)
    assert (whole.rgb[:106, :160] == whole.rgb[106:, 160:]).all()
    with pytest.raises(ImageReadError, match=r"a\.heic is damaged or cut off"):
        load_image(
            heic_grid(2, 2, lacks_last=True), file_name="a.heic", max_pixels=MAX_PIXELS
        )
