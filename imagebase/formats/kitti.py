"""KITTI: a .txt for each image, left, top, right, bottom as the fifth to the eighth."""

import math
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from imagebase.annotation import AttributeValue, Box
from imagebase.annotation.areas import rectangle
from imagebase.annotation.attributes import OCCLUDED, TRUNCATED
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import FileTree, InputFormat
from imagebase.formats.image_index import paired, short_names
from imagebase.formats.reader import LabelReader, number
from imagebase.formats.split import part_in
from imagebase.formats.text_files import lines_of, text_of
from imagebase.formats.trees import FILES_TO_TRY, is_image_name, names_with_suffix

# type truncated occluded alpha, four edges, three sizes, three places, rotation; what a
# detector found has a score behind them.
_COLUMNS: Final = 15
_EDGES: Final = slice(4, 8)
_IGNORED: Final = "DontCare"
_FOLDERS: Final = ("image", "label", "data_object")


def recognises(tree: FileTree) -> bool:
    """Say whether a .txt has lines of a word and 14 or 15 numbers."""
    return any(
        _has_lines(tree, file)
        for file in names_with_suffix(tree, ".txt")[:FILES_TO_TRY]
    )


def _has_lines(tree: FileTree, file: str) -> bool:
    """Say whether a label file's first line is KITTI's; an empty one may be any."""
    try:
        lines = lines_of(text_of(tree.read(file), file))
    except AnnotationFileError:
        return False
    first = next((line for line in lines if line.strip()), "")
    return bool(_cells_of(first))


def _cells_of(line: str) -> list[str]:
    """Return the label, of one word or more, and the numbers; nothing where not so."""
    cells = line.split()
    are_words = [math.isnan(number(cell)) for cell in cells]
    words = next((i for i, is_word in enumerate(are_words) if not is_word), 0)
    count = len(cells) - words + 1
    if not words or any(are_words[words:]) or count not in (_COLUMNS, _COLUMNS + 1):
        return []
    return [" ".join(cells[:words]), *cells[words:]]


def read(tree: FileTree, collector: LabelReader) -> None:
    """Read the label file of each image; they have no sizes.

    Raises:
        AnnotationFileError: there is no label file, or none can be read.
    """
    images = [name for name in tree.names() if is_image_name(name)]
    texts = names_with_suffix(tree, ".txt")
    kitti = [file for file in texts if _has_lines(tree, file)]
    folders = {PurePosixPath(file).parent for file in kitti}
    # An image without objects has an empty file among the others.
    files = [file for file in texts if PurePosixPath(file).parent in folders]
    if not kitti:
        raise AnnotationFileError(
            "There is no KITTI file here: it has a .txt for each image, with a word "
            "and 14 numbers a line."
        )
    pairs = paired(images, files, _stem)
    of_no_image = {_stem(file): file for file in pairs.alone}
    for name, short in short_names([*images, *of_no_image], _last_part).items():
        file = pairs.by_image.get(name) or of_no_image.get(name, "")
        image = collector.add_image(
            short,
            part=part_in(name) or part_in(file),
            file=file,
            path=name if is_image_name(name) else "",
        )
        if file:
            _read_file(tree, file, image, collector)
    collector.check()


def _stem(name: str) -> str:
    """Return what an image and its label file have in common."""
    parts = name.removesuffix(PurePosixPath(name).suffix).split("/")
    folders = [part for part in parts[:-1] if not part.lower().startswith(_FOLDERS)]
    return "/".join([*folders, parts[-1]])


def _last_part(name: str) -> str:
    return PurePosixPath(name).name


def _read_file(tree: FileTree, file: str, image: str, collector: LabelReader) -> None:
    try:
        lines = lines_of(text_of(tree.read(file), file))
    except AnnotationFileError as error:
        collector.skip(file, "", str(error))
        return
    for index, line in enumerate(lines, start=1):
        cells, at = _cells_of(line), f"line {index}"
        if line.strip() and not cells:
            what = f"it is not a word and 14 or 15 numbers, in {line[:60]!r}"
            collector.skip_box(file, at, what)
        elif cells and cells[0] == _IGNORED:
            region = rectangle(Box(*map(number, cells[_EDGES])))
            collector.add_region(image, region, file=file, at=at)
        elif cells:
            x_min, y_min, x_max, y_max = map(number, cells[_EDGES])
            score = number(cells[_COLUMNS]) if len(cells) > _COLUMNS else None
            collector.add_box(
                image,
                cells[0],
                Box(x_min, y_min, x_max, y_max),
                file=file,
                at=at,
                confidence=score,
                attributes=_attributes_of(cells),
            )


def _attributes_of(cells: Sequence[str]) -> dict[str, object]:
    """Return how far the object leaves the image, 0 to 1, and how much hides it.

    Occlusion is 0, 1 where it is partly and 2 where it is largely hidden; 3 is unknown.
    """
    truncation, occlusion = number(cells[1]), number(cells[2])
    attributes: dict[str, object] = {}
    if truncation > 0:
        attributes[TRUNCATED] = True
        attributes["truncation"] = truncation if truncation < 1 else None
    if occlusion in (1, 2):
        attributes |= {OCCLUDED: True, "occlusion": int(occlusion)}
    return attributes


def _holds(name: str, value: AttributeValue) -> bool:
    return name in (TRUNCATED, OCCLUDED, "truncation", "occlusion")


FORMAT: Final = InputFormat("KITTI", read, recognises, holds=_holds)
