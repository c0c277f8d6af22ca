"""A small set that can be learned in a few steps: red squares and blue discs."""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Box, Size
from imagebase.images.decode import encode_png
from imagebase.training.data import SourceImage

LABELS = ("square", "disc")
WIDTH, HEIGHT = 160, 120
COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")


def picture(number: int) -> tuple[NDArray[np.uint8], list[tuple[str, Box]]]:
    """Return a picture with its boxes; the same number gives the same."""
    random = np.random.default_rng([7, number])
    rgb = random.integers(90, 150, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    boxes = []
    for place, label in enumerate(LABELS):
        side = int(random.integers(24, 44))
        left = int(random.integers(0, WIDTH // 2 - side)) + place * WIDTH // 2
        top = int(random.integers(0, HEIGHT - side))
        if label == "square":
            rgb[top : top + side, left : left + side] = (220, 30, 30)
        else:
            half = side // 2
            middle = (left + half, top + half)
            cv2.circle(rgb, middle, half, (30, 30, 220), thickness=-1)
        boxes.append((label, Box(left, top, left + side, top + side)))
    return rgb, boxes


def sources(count: int) -> Iterator[SourceImage]:
    """Yield images for a training set, none of them on disk."""
    for number in range(count):
        rgb, boxes = picture(number)
        name = f"{number:03}.png"
        yield SourceImage(name, name, partial(encode_png, rgb), partial(_given, boxes))


def _given(boxes: list[tuple[str, Box]], _: Size) -> list[tuple[str, Box]]:
    return boxes


def write_folder(folder: Path, count: int) -> Path:
    """Write images with a TensorFlow CSV beside them, as the first system had them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[list[object]] = []
    for number in range(count):
        rgb, boxes = picture(number)
        name = f"{number:03}.png"
        (folder / name).write_bytes(encode_png(rgb))
        rows += [[name, WIDTH, HEIGHT, label, *map(int, box)] for label, box in boxes]
    with (folder / "_annotations.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return folder
