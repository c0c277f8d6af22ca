"""WIDER FACE: one .txt with each image's path, its number of boxes, and the boxes."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from imagebase.annotation import AttributeValue, Box
from imagebase.annotation.attributes import OCCLUDED
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import FileTree, InputFormat
from imagebase.formats.reader import LabelReader, image_name, number
from imagebase.formats.split import part_in, parts_of_files
from imagebase.formats.text_files import lines_of, text_of
from imagebase.formats.trees import FILES_TO_TRY, is_image_name, names_with_suffix

_LABEL: Final = "face"
# x y w h, blur, expression, illumination, invalid, occlusion, pose.
_INVALID: Final = 7
_ASPECTS: Final = (
    *("blur", "expression", "illumination", "", "occlusion", "atypical_pose"),
)


class _Entry(NamedTuple):
    """An image with the lines of its boxes, each with its number in the file."""

    name: str
    lines: list[tuple[int, str]]


def recognises(tree: FileTree) -> bool:
    """Say whether a .txt begins with the path of an image, and a number below it."""
    return any(
        _is_wider(tree, file) for file in names_with_suffix(tree, ".txt")[:FILES_TO_TRY]
    )


def _is_wider(tree: FileTree, file: str) -> bool:
    try:
        lines = lines_of(text_of(tree.read(file), file))[:3]
    except AnnotationFileError:
        return False
    if len(lines) < 3 or not is_image_name(lines[0].strip()):
        return False
    boxes = number(lines[2].split()[0]) if lines[2].split() else 0.0
    return lines[1].strip().isdecimal() and boxes == boxes


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read every list of the tree; an image with the number 0 has a line of zeros.

    Raises:
        AnnotationFileError: no .txt is such a list, or none can be read.
    """
    files = [file for file in names_with_suffix(tree, ".txt") if _is_wider(tree, file)]
    if not files:
        raise AnnotationFileError(
            "There is no WIDER FACE file here: it is a .txt with the path of an image, "
            "the number of its boxes, and the boxes."
        )
    for file, part in parts_of_files(files).items():
        text = text_of(tree.read(file), file)
        for entry in _entries(lines_of(text)):
            key = collector.find_image(entry.name, file=file, part=part) or ""
            image = collector.add_image(
                entry.name, part=part or part_in(key), file=file
            )
            for line, cells in entry.lines:
                _read_box(cells.split(), image, file, f"line {line}", collector)
    collector.check()


def _entries(lines: Sequence[str]) -> Iterator[_Entry]:
    entry: _Entry | None = None
    for index, line in enumerate(lines, start=1):
        text = line.strip()
        if is_image_name(text):
            if entry is not None:
                yield entry
            entry = _Entry(image_name(text), [])
        # The number of boxes stands by itself; the lines below it show it too.
        elif entry is not None and text and not text.isdecimal():
            entry.lines.append((index, text))
    if entry is not None:
        yield entry


def _read_box(
    cells: Sequence[str], image: str, file: str, at: str, collector: LabelReader
) -> None:
    numbers = [number(cell) for cell in cells]
    if len(numbers) < 4:
        collector.skip_box(file, at, "it has no x, y, width and height")
    elif not any(numbers):
        return
    else:
        x, y, width, height = numbers[:4]
        # Datumaro and CVAT put a label behind the numbers where it is another one.
        words = [
            cell for cell, value in zip(cells, numbers, strict=True) if value != value
        ]
        is_invalid = len(numbers) > _INVALID and numbers[_INVALID] == 1
        collector.add_box(
            image,
            words[0] if words else _LABEL,
            Box(x, y, x + width, y + height),
            file=file,
            at=at,
            is_crowd=is_invalid,
            attributes=_attributes_of(numbers),
        )


def _attributes_of(numbers: Sequence[float]) -> dict[str, object]:
    """Return values other than 0, the default: clear, upright, not hidden."""
    pairs = zip(_ASPECTS, numbers[4:], strict=False)
    attributes: dict[str, object] = {k: int(v) for k, v in pairs if k and 0 < v < 100}
    if "occlusion" in attributes:
        attributes[OCCLUDED] = True
    return attributes


def _holds(name: str, value: AttributeValue) -> bool:
    return name in (*filter(None, _ASPECTS), OCCLUDED)


FORMAT: Final = InputFormat("WIDER FACE", read, recognises, holds=_holds)
