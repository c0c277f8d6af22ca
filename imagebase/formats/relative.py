"""`class cx cy w h` over width and height: what Darknet and Ultralytics share."""

import math
from collections.abc import Sequence
from typing import Final

from imagebase.annotation import Box, LabelSet, Size
from imagebase.errors import AnnotationFileError
from imagebase.formats.boxes import writable
from imagebase.formats.collecting import Collector, lines_of, text_of
from imagebase.formats.label_set_files import ExportImage, FileTree

_MILLION: Final = 1_000_000
CONVENTION: Final = (
    "class cx cy w h: centre and size over width and height, six decimals, "
    "class ids from 0"
)


def label_text(image: ExportImage, class_ids: dict[str, int]) -> bytes:
    """Return an image's label file: one line a box, empty where there is none."""
    size = image.record.size
    lines = [
        f"{class_ids[one.label]} {relative_line(one.box, size)}\n"
        for one in writable(image)
    ]
    return "".join(lines).encode()


def relative_line(box: Box, size: Size) -> str:
    """Return `cx cy w h` such that no edge of what is read leaves the image."""
    cx, width = _centre_and_side(box.x_min / size.width, box.x_max / size.width)
    cy, height = _centre_and_side(box.y_min / size.height, box.y_max / size.height)
    return " ".join(f"{value / _MILLION:.6f}" for value in (cx, cy, width, height))


def _centre_and_side(near: float, far: float) -> tuple[int, int]:
    """Return both in millionths, the side cut where rounding took it over an edge.

    A box a hair over 1.0 makes Ultralytics drop the whole file.
    """
    centre = min(max(round((near + far) / 2 * _MILLION), 1), _MILLION - 1)
    side = max(round((far - near) * _MILLION), 1)
    return centre, min(side, 2 * centre, 2 * (_MILLION - centre))


def relative_tolerance(box: Box, size: Size) -> tuple[float, float]:
    """Return a millionth of the size, two where the box is thinner than that."""
    return _tolerance(box.width, size.width), _tolerance(box.height, size.height)


def _tolerance(side: float, whole: int) -> float:
    unit = whole / _MILLION
    return (unit if side > unit else 2 * unit) + 1e-6


def class_ids_of(labels: LabelSet) -> dict[str, int]:
    """Return each label's position; a class id is that and nothing else."""
    return {name: index for index, name in enumerate(labels.names)}


def names_file(labels: LabelSet) -> bytes:
    """Return `obj.names`: one label a line, blanks around it kept."""
    return "".join(f"{name}\n" for name in labels.names).encode()


def read_names_file(tree: FileTree, file: str) -> list[str]:
    """Return the labels of a file with one a line."""
    lines = lines_of(text_of(tree.read(file), file))
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


class LabelLines:
    """Reads label files one by one; labels without a list are called class_<id>."""

    def __init__(
        self, tree: FileTree, collector: Collector, names: Sequence[str] | None
    ) -> None:
        self._tree = tree
        self._collector = collector
        self._names = names
        self._invented: list[str] = []

    def read(self, file: str, image: str) -> None:
        """Take in the boxes of one label file for an image that was added."""
        try:
            text = text_of(self._tree.read(file), file)
        except AnnotationFileError as error:
            self._collector.skip(file, "", str(error))
            return
        for index, line in enumerate(lines_of(text), start=1):
            if line.strip():
                self._read_line(line, image, file, f"line {index}")

    def _read_line(self, line: str, image: str, file: str, at: str) -> None:
        try:
            values = [_number(value) for value in line.split()]
            label = self._label(values[0])
            box, confidence = _box_and_confidence(values)
        except ValueError as error:
            self._collector.skip_box(file, at, f"{error}, in {line[:60]!r}")
            return
        if len(values) > 6:
            self._collector.change(file, at, "of an outline, the box around it is kept")
        self._collector.add_box(
            image, label, box, file=file, at=at, confidence=confidence
        )

    def _label(self, class_id: float) -> str:
        if not math.isfinite(class_id) or class_id != int(class_id) or class_id < 0:
            raise ValueError("the class id is not a whole number from 0")
        index = int(class_id)
        if self._names is None:
            return self._invented_name(index)
        if index >= len(self._names):
            raise ValueError(
                f"class id {index} is not among the {len(self._names)} labels listed"
            )
        return self._names[index]

    def _invented_name(self, index: int) -> str:
        """Return a name by class id, with those before it, so that ids stay."""
        if index >= self._tree.limits.max_labels:
            raise ValueError(f"class id {index} is too high to be one")
        new = [f"class_{one}" for one in range(len(self._invented), index + 1)]
        self._invented += self._collector.add_labels(new, file="")
        return self._invented[index]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not a number") from None


def _box_and_confidence(values: Sequence[float]) -> tuple[Box, float | None]:
    """Return the box of `cx cy w h`, perhaps a confidence, or the points of an outline.

    Raises:
        ValueError: neither 4, nor 5, nor 3 or more pairs of numbers.
    """
    numbers = values[1:]
    if len(numbers) in (4, 5):
        cx, cy, width, height = numbers[:4]
        if width < 0 or height < 0:
            raise ValueError("width or height is negative")
        box = Box(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        return box, numbers[4] if len(numbers) == 5 else None
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        xs, ys = numbers[::2], numbers[1::2]
        return Box(min(xs), min(ys), max(xs), max(ys)), None
    raise ValueError(f"{len(values)} numbers are not a class id and a box")
