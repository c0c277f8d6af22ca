"""Image files that are small and dear to decode, and what taking one in costs.

Run as a program, it takes one in and prints what came of it:
`python -m tests.images.hostile_images CASE`; `--unchecked` leaves the limits on their
parts away, to see what they are good for.
"""

import io
import json
import struct
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from imagebase.errors import ImageBaseError
from imagebase.images import decode
from imagebase.images.scan import Incoming, prepare
from imagebase.settings import Limits

HEIC: Final = Path(__file__).parents[1] / "data" / "heic" / "upright.heic"


def saved(file_format: str, side: int = 64, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), "grey").save(file, file_format, **options)
    return file.getvalue()


def jpeg_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = saved("JPEG", side, progressive=True, quality=1)
    scan = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + scan * scans + b"\xff\xd9"


def before_scan(filler: bytes) -> bytes:
    data = saved("JPEG")
    at = data.index(b"\xff\xda")
    return data[:at] + filler + data[at:]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg_claims(width: int, height: int) -> bytes:
    """A JPEG of 64 x 64 pixels that says it has more."""
    data = bytearray(saved("JPEG"))
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, height, width)
    return bytes(data)


def ifd(entries: Sequence[tuple[int, int, int, int]]) -> bytes:
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


def tiff(side: int, more: Sequence[tuple[int, int, int, int]], body: bytes) -> bytes:
    tags = {
        **{256: (4, 1, side), 257: (4, 1, side), 258: (3, 1, 8), 259: (3, 1, 1)},
        **{262: (3, 1, 1), 277: (3, 1, 1), 278: (4, 1, 1)},
        **{tag: (kind, count, value) for tag, kind, count, value in more},
    }
    return ifd([(tag, *tags[tag]) for tag in sorted(tags)]) + body


def same_bytes_again(entries: int, byte_count: int) -> bytes:
    """A directory of tags that all hold the same bytes."""
    start = 14 + 12 * entries
    tags = [(1_000 + n, 7, byte_count, start) for n in range(entries)]
    return ifd(tags) + bytes(byte_count)


def chunk(name: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


def png(*before: bytes, side: int = 64, split: bool = False) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    pixels = zlib.compress((b"\0" + b"\0" * 3 * side) * side)
    parts = [pixels[at : at + 1] for at in range(len(pixels))] if split else [pixels]
    image = b"".join(chunk(b"IDAT", part) for part in parts)
    start = b"\x89PNG\r\n\x1a\n"
    return start + header + b"".join(before) + image + chunk(b"IEND", b"")


def gif(before: bytes, side: int = 64) -> bytes:
    data = saved("GIF", side)
    at = data.index(b",", 13 + 3 * 2)
    return data[:at] + before + data[at:]


def gif_frames(frames: int) -> bytes:
    data = saved("GIF")
    at = data.rindex(b",")
    return data[:at] + data[at:-1] * frames + b";"


def riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def webp_canvas(side: int) -> bytes:
    size = (side - 1).to_bytes(3, "little")
    return riff(b"VP8X" + struct.pack("<II", 10, 2) + size + size + saved("WEBP")[12:])


def webp_frames(frames: int) -> bytes:
    still = saved("WEBP", 16)[12:]
    still += bytes(len(still) % 2)
    size = (15).to_bytes(3, "little")
    frame = bytes(6) + size + size + bytes(4) + still
    head = b"VP8X" + struct.pack("<II", 10, 2) + size + size
    one = b"ANMF" + struct.pack("<I", len(frame)) + frame
    return riff(head + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + one * frames)


def jpeg2000(side: int = 64) -> bytes:
    return saved("JPEG2000", side)


def jpeg2000_boxes(count: int) -> bytes:
    data = jpeg2000()
    return data[:12] + struct.pack(">I4s", 8, b"free") * count + data[12:]


def jpeg2000_segments(count: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG2000", no_jp2=True)
    data = file.getvalue()
    at = 4 + int.from_bytes(data[4:6], "big")
    return data[:at] + b"\xff\x30\0\x02" * count + data[at:]


def bmp_run_length(width: int, height: int, body: bytes) -> bytes:
    palette = bytes(1024)
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    start = 14 + len(head) + len(palette)
    file = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    return file + head + palette + body


def heic_boxes(count: int) -> bytes:
    data = HEIC.read_bytes()
    return data + struct.pack(">I4s", 8, b"free") * count


def heic_box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def heic_full_box(name: bytes, content: bytes, version: int = 0) -> bytes:
    return heic_box(name, struct.pack(">I", version << 24) + content)


def heic_parts(data: bytes, at: int) -> dict[bytes, bytes]:
    """Return the boxes from a place on, without their heads."""
    parts = {}
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        parts[name] = data[at + 8 : at + length]
        at += length
    return parts


def heic_grid(rows: int, columns: int, *, lacks_last: bool = False) -> bytes:
    """A HEIC as phones write it: a grid of tiles, here of one and the same."""
    file = heic_parts(HEIC.read_bytes(), 0)
    meta = heic_parts(file[b"meta"], 4)
    shared = heic_parts(meta[b"iprp"], 0)
    kinds = heic_parts(shared[b"ipco"], 0)
    tiles = range(2, 2 + rows * columns)
    width, height = 160 * columns, 106 * rows
    size = heic_full_box(b"ispe", struct.pack(">II", width, height))
    kept = b"".join(heic_box(name, kinds[name]) for name in kinds) + size
    uses = b"".join(struct.pack(">HBBBB", item, 3, 0x81, 2, 3) for item in tiles)
    uses = struct.pack(">IHBB", len(tiles) + 1, 1, 1, len(kinds) + 1) + uses
    properties = heic_box(b"ipco", kept) + heic_full_box(b"ipma", uses)

    def entry(item: int, kind: bytes) -> bytes:
        return heic_full_box(b"infe", struct.pack(">HH4sB", item, 0, kind, 0), 2)

    entries = entry(1, b"grid") + b"".join(entry(item, b"hvc1") for item in tiles)
    items = struct.pack(">H", len(tiles) + 1) + entries
    references = struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *tiles)
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    tile = file[b"mdat"]

    def head(start: int) -> bytes:
        places = struct.pack(">HHHII", 1, 0, 1, start, len(grid))
        for item in tiles:
            at = start + len(grid)
            at += len(tile) // 2 if lacks_last and item == tiles[-1] else 0
            places += struct.pack(">HHHII", item, 0, 1, at, len(tile))
        return heic_box(b"ftyp", file[b"ftyp"]) + heic_full_box(
            b"meta",
            heic_box(b"hdlr", meta[b"hdlr"])
            + heic_full_box(b"pitm", struct.pack(">H", 1))
            + heic_full_box(
                b"iloc", struct.pack(">BBH", 0x44, 0, len(tiles) + 1) + places
            )
            + heic_full_box(b"iinf", items)
            + heic_full_box(b"iref", heic_box(b"dimg", references))
            + heic_box(b"iprp", properties),
        )

    return head(len(head(0)) + 8) + heic_box(b"mdat", grid + tile)


CASES: Final[dict[str, Callable[[], bytes]]] = {
    "scans.jpg": lambda: jpeg_scans(7000, 1500),
    "segments.jpg": lambda: before_scan(segment(0xE5, b"") * 4_000_000),
    "filler.jpg": lambda: before_scan(b"\xff" * 20_000_000),
    "junk.jpg": lambda: before_scan(bytes(20_000_000)),
    "claims.jpg": lambda: jpeg_claims(65_000, 65_000),
    "exif.jpg": lambda: before_scan(
        segment(0xE1, b"Exif\0\0" + same_bytes_again(2_500, 30_000))
    ),
    "strips.tif": lambda: tiff(
        7000, [(273, 4, 5_000_000, 200), (279, 4, 5_000_000, 200)], bytes(40_000_000)
    ),
    "samples.tif": lambda: tiff(
        64, [(273, 4, 1, 8), (338, 3, 20_000_000, 8)], bytes(40_000_000)
    ),
    "tags.tif": lambda: same_bytes_again(60_000, 1_000_000),
    "chunks.png": lambda: png(chunk(b"tEXt", b"a\0b") * 2_000_000),
    "parts.png": lambda: png(chunk(b"IDAT", b"") * 2_000_000),
    "texts.png": lambda: png(
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)) * 20_000
    ),
    "profiles.png": lambda: png(
        chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)) * 20_000
    ),
    "exif.png": lambda: png(chunk(b"eXIf", same_bytes_again(60_000, 1_000_000))),
    "comments.gif": lambda: gif(b"!\xfe" + b"\x01a" * 10_000_000 + b"\0"),
    "junk.gif": lambda: gif(b"a" * 20_000_000),
    "canvas.webp": lambda: webp_canvas(16_000),
    "boxes.jp2": lambda: jpeg2000_boxes(4_000_000),
    "segments.j2k": lambda: jpeg2000_segments(4_000_000),
    "run_length.bmp": lambda: bmp_run_length(7000, 7000, b"\0\0\x01a" * 10_000_000),
    "text.ppm": lambda: b"P3 4000 2000 255 " + b"0 " * 24_000_000,
    "comment.ppm": lambda: b"P6 #" + b"a" * 20_000_000 + b"\n1 1 255 abc",
    "boxes.heic": lambda: heic_boxes(2_000_000),
}
# What has many parts and costs little: these are read.
HARMLESS: Final[dict[str, Callable[[], bytes]]] = {
    "frames.gif": lambda: gif_frames(100_000),
    "frames.webp": lambda: webp_frames(50_000),
    "frames.png": lambda: png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
    "scans.jpg": lambda: jpeg_scans(500, 80),
    "chunks.webp": lambda: riff(saved("WEBP")[12:] + b"XYZW\0\0\0\0" * 4_000_000),
}


def main(case: str, *options: str) -> None:
    data = {**CASES, **{f"harmless {n}": b for n, b in HARMLESS.items()}}[case]()
    if "--unchecked" in options:
        vars(decode)["excess_in"] = lambda *_, **__: None
    begun = time.process_time()
    try:
        outcome = f"read: {prepare(Incoming(case, data), Limits()).size}"
    except ImageBaseError as error:
        outcome = str(error)
    seconds = time.process_time() - begun
    told = {"seconds": seconds, "bytes": len(data), "outcome": outcome}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
