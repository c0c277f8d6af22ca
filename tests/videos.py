"""Videos made of the sample photographs by OpenCV, and ones with false headers."""

import struct
from collections.abc import Iterable
from itertools import chain, repeat
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from imagebase.settings import SAMPLES_FOLDER

RATE = 10
SIZE = (320, 240)
SCENE_FRAMES = 15
CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG"}


def photograph(number: int) -> NDArray[np.uint8]:
    """Return one of the sample photographs as BGR, in the videos' size."""
    path = sorted(SAMPLES_FOLDER.glob("*.jpg"))[number]
    bgr = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(cv2.resize(bgr, SIZE), np.uint8)


def scenes(count: int) -> Iterable[NDArray[np.uint8]]:
    """Return so many photographs, each for one and a half seconds."""
    return chain(*(repeat(photograph(number), SCENE_FRAMES) for number in range(count)))


def moving(count: int) -> Iterable[NDArray[np.uint8]]:
    """Return frames of a photograph that moves by eight pixels a frame."""
    image = photograph(0)
    return (np.roll(image, 8 * number, axis=1) for number in range(count))


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]]) -> Path:
    """Write a video of ten frames a second, with the codec of its suffix."""
    codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix])
    writer = cv2.VideoWriter(str(path), codec, RATE, SIZE)
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def turned(data: bytes) -> bytes:
    """Return an MP4 whose track says that it is to be shown turned by 90 degrees."""
    one = 1 << 16
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, one, 0, -one, 0, 0, SIZE[1] * one, 0, 1 << 30)
    start = data.index(b"tkhd")
    at = data.index(upright, start)
    return data[:at] + clockwise + data[at + len(upright) :]


def claiming_frames(data: bytes, count: int) -> bytes:
    """Return an MP4 or AVI that says that it has so many frames."""
    changed = bytearray(data)
    if data.startswith(b"RIFF"):
        struct.pack_into("<I", changed, data.index(b"avih") + 24, count)
        struct.pack_into("<I", changed, data.index(b"strh") + 40, count)
    else:
        # After the box's name: version, number of entries, then frames and ticks.
        struct.pack_into(">I", changed, data.index(b"stts") + 12, count)
    return bytes(changed)


def with_index_first(data: bytes) -> bytes:
    """Return an MP4 whose index, `moov`, stands before its frames."""
    start = data.index(b"moov") - 4
    index = bytearray(data[start:])
    at = index.index(b"stco") + 8
    for entry in range(struct.unpack_from(">I", index, at)[0]):
        place = at + 4 + 4 * entry
        (offset,) = struct.unpack_from(">I", index, place)
        struct.pack_into(">I", index, place, offset + len(index))
    frames = data.index(b"mdat") - 4
    return data[:frames] + bytes(index) + data[frames:start]
