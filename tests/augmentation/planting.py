"""Coloured rectangles planted in a black image, and found again in the result."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from imagebase.annotation import Annotation, Box, Size
from imagebase.augmentation.scene import LabelledImage, Scene
from imagebase.images.decode import RgbArray

SIZE: Final = Size(160, 120)
COLOURS: Final = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
}
# Apart from each other, each of another shape, none in the middle.
BOXES: Final = {
    "red": Box(10, 12, 50, 32),
    "green": Box(90, 20, 110, 60),
    "blue": Box(30, 70, 70, 110),
    "yellow": Box(120, 80, 150, 90),
}


def planted(boxes: Mapping[str, Box] = BOXES, *, size: Size = SIZE) -> LabelledImage:
    """Return an image with a rectangle of each colour, labelled with its name."""
    rgb = np.zeros((size.height, size.width, 3), dtype=np.uint8)
    for colour, (x_min, y_min, x_max, y_max) in boxes.items():
        rgb[int(y_min) : int(y_max), int(x_min) : int(x_max)] = COLOURS[colour]
    annotations = tuple(Annotation(box, colour) for colour, box in boxes.items())
    return LabelledImage(rgb, annotations)


def scene(boxes: Mapping[str, Box] = BOXES, *, size: Size = SIZE) -> Scene:
    return Scene.of(planted(boxes, size=size))


def found(rgb: RgbArray, colour: str) -> Box | None:
    """Return the box around the pixels that are at least half of this colour."""
    far = np.abs(rgb.astype(int) - np.array(COLOURS[colour])).max(axis=2)
    down, across = np.nonzero(far < 128 - 14)  # the border's grey is 114 from any
    if not len(down):
        return None
    return Box(across.min(), down.min(), across.max() + 1, down.max() + 1)


def boxes_of(image: LabelledImage) -> dict[str, Box]:
    return {annotation.label: annotation.box for annotation in image.annotations}


def finished(result: Scene) -> LabelledImage:
    return result.finished(least_visible=0.0, least_side_px=0.0)


def assert_boxes_fit(image: LabelledImage, *, within: float = 0.0) -> None:
    """Check that every planted colour is where its box says, and none is forgotten."""
    boxes = boxes_of(image)
    for colour in COLOURS:
        seen = found(image.rgb, colour)
        assert (seen is None) == (colour not in boxes), colour
        if seen is not None:
            np.testing.assert_allclose(
                seen, boxes[colour], atol=within + 1e-9, err_msg=colour
            )
