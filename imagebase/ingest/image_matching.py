"""Match images of a label set with those of the dataset: by content, then by name."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from imagebase.annotation import Size
from imagebase.errors import ImageBaseError
from imagebase.formats.base import FileTree, ReadImage
from imagebase.formats.image_index import FileMatches, NameIndex
from imagebase.formats.placement import Frame, fitted, several_meant
from imagebase.formats.trees import is_image_name
from imagebase.images.decode import read_header
from imagebase.store import ImageRow

_FOR_SURE: Final = b"\xff"
_NAMES_SHOWN: Final = 3


class How(StrEnum):
    """How an image was found."""

    CONTENT = "same content"
    NAME = "same name"
    NEW = "comes with the labels"
    NOWHERE = "not found"


@dataclass(frozen=True, slots=True)
class DroppedImage:
    """An image file that came with the labels.

    image_id: of its content. size: upright; None where there is a `problem`.
    orientation: EXIF's.
    """

    image_id: str
    byte_count: int
    size: Size | None = None
    problem: str = ""
    orientation: int = 1


@dataclass(frozen=True, slots=True)
class Match:
    """Where the labels of one image go.

    name: as the label files have it. image_id, size: of the image; empty and None where
        there is none.
    file_name: the image's in the dataset, or the file's that comes with the labels.
    note: a difference that is no obstacle. problem: why nothing of it comes in.
    orientation: EXIF's, 0 where it was not needed. strength: how much the name says
        for this image, as bytes that compare.
    """

    name: str
    how: How
    image_id: str = ""
    file_name: str = ""
    size: Size | None = None
    note: str = ""
    problem: str = ""
    orientation: int = 0
    strength: bytes = _FOR_SURE


def look_at_images(
    tree: FileTree, *, max_pixels: int, on_item: Callable[[str], None] = lambda _: None
) -> dict[str, DroppedImage]:
    """Return the image files that came with the labels, by name; one in memory.

    Args:
        max_pixels: of an image; a larger one is a problem of that image.
        on_item: called with the name of each once it was opened.
    """
    images = {}
    for name in filter(is_image_name, tree.names()):
        images[name] = _look_at(tree, name, max_pixels)
        on_item(name)
    return images


def _look_at(tree: FileTree, name: str, max_pixels: int) -> DroppedImage:
    try:
        data = tree.read(name)
    except ImageBaseError as error:
        return DroppedImage("", 0, problem=str(error))
    image_id = hashlib.sha256(data).hexdigest()
    try:
        header = read_header(data, file_name=name, max_pixels=max_pixels)
    except ImageBaseError as error:
        return DroppedImage(image_id, len(data), problem=str(error))
    orientation = header.orientation
    return DroppedImage(image_id, len(data), header.size, orientation=orientation)


def match_images(
    images: Iterable[ReadImage],
    dropped: Mapping[str, DroppedImage],
    here: Sequence[ImageRow],
    *,
    takes_new: bool,
    orientation_of: Callable[[str], int] = lambda image_id: 1,
) -> list[Match]:
    """Return where the labels of each image go, in the order of the labels.

    Args:
        images: as the label files describe them.
        dropped: the image files that came with them.
        here: the dataset's images.
        takes_new: whether dropped images that are not in the dataset come in; else
            the labels look for one of the same name.
        orientation_of: EXIF's of an image of the dataset; asked for where the labels
            are for another size.
    """
    finder = _ImageFinder(dropped, here, takes_new=takes_new)
    return _only_once(
        [_fitted(finder.find(image), image, orientation_of) for image in images]
    )


class _ImageFinder:
    """Looks images up among the dropped ones and among the dataset's."""

    def __init__(
        self,
        dropped: Mapping[str, DroppedImage],
        here: Sequence[ImageRow],
        *,
        takes_new: bool,
    ) -> None:
        self._dropped = dropped
        self._takes_new = takes_new
        self._by_id = {row.image_id: row for row in here}
        self._by_name: dict[str, list[ImageRow]] = {}
        for row in here:
            self._by_name.setdefault(row.file_name, []).append(row)
        self._names_here = NameIndex(self._by_name)

    def find(self, image: ReadImage) -> Match:
        file = self._dropped.get(image.path)
        if file is not None:
            if file.image_id in self._by_id:
                known = self._by_id[file.image_id]
                return self._same_content(image.name, known, file.orientation)
            if self._takes_new:
                return self._new(image.name, image.path, file)
        elif len(image.others) > 1 and self._takes_new:
            problem = _sentence(several_meant(image.others))
            return Match(image.name, How.NOWHERE, problem=problem)
        return self._by_its_name(image)

    def _same_content(self, name: str, image_row: ImageRow, orientation: int) -> Match:
        note = (
            ""
            if _is_called(name, image_row)
            else f"It is called {image_row.file_name} here."
        )
        return Match(
            *(
                name,
                How.CONTENT,
                image_row.image_id,
                image_row.file_name,
                image_row.size,
                note,
            ),
            orientation=orientation,
        )

    def _new(self, name: str, file: str, dropped_image: DroppedImage) -> Match:
        note = ""
        if self._names_here.find_all(name):
            note = "Another image here has this name; it comes in as a new one."
        problem = dropped_image.problem
        return Match(
            *(
                name,
                How.NEW,
                dropped_image.image_id,
                file,
                dropped_image.size,
                note,
                problem,
            ),
            orientation=dropped_image.orientation,
        )

    def _by_its_name(self, image: ReadImage) -> Match:
        match = self._named_so(image)
        fit = self._search(image).fit
        return replace(match, strength=fit.strength) if match.image_id else match

    def _search(self, image: ReadImage) -> FileMatches:
        stated = image.stated or image.name
        return self._names_here.search(stated, near=image.file, part=image.part)

    def _named_so(self, image: ReadImage) -> Match:
        rows = [
            row for name in self._search(image).paths for row in self._by_name[name]
        ]
        if not rows:
            problem = "No image here has this name, and none like it was dropped."
            return Match(image.name, How.NOWHERE, problem=problem)
        if len(rows) == 1:
            return self._named(image.name, rows[0])
        fitting = [row for row in rows if row.size == image.size]
        if len(fitting) == 1:
            note = f"Of {len(rows)} images of this name it is the only one that fits."
            return self._named(image.name, fitting[0], note)
        listed = ", ".join(
            f"{row.file_name} ({row.size.width:,} × {row.size.height:,})"
            for row in rows[:_NAMES_SHOWN]
        )
        more = len(rows) - _NAMES_SHOWN
        listed += f" and {more:,} more" if more > 0 else ""
        problem = f"Several images here may be meant: {listed}."
        return Match(image.name, How.NOWHERE, problem=problem)

    def _named(self, name: str, image_row: ImageRow, note: str = "") -> Match:
        if not note and image_row.file_name != name and not _is_called(name, image_row):
            note = f"It is called {image_row.file_name} here."
        return Match(
            name,
            How.NAME,
            image_row.image_id,
            image_row.file_name,
            image_row.size,
            note,
        )


def _is_called(name: str, image_row: ImageRow) -> bool:
    """Say whether a name is the image's but for its folders and suffix."""
    last = image_row.file_name.rpartition("/")[2].casefold()
    asked = name.rpartition("/")[2].casefold()
    return asked in (last, last.rpartition(".")[0])


def _fitted(
    match: Match, image: ReadImage, orientation_of: Callable[[str], int]
) -> Match:
    """Return the match with what differs between the image's size and the labels'."""
    here = match.size
    if match.problem or here is None or image.size in (None, here):
        return match
    if match.how is not How.NEW and not match.orientation:
        match = replace(match, orientation=orientation_of(match.image_id))
    fit = fitted(image, Frame(here, match.orientation or 1))
    note = " ".join(filter(None, (match.note, _sentence(fit.note))))
    return replace(match, note=note, problem=_sentence(fit.problem))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _only_once(matches: list[Match]) -> list[Match]:
    """Let an image have the labels of the one image whose name fits it best."""
    best: dict[str, Match] = {}
    tied: dict[str, Match] = {}
    for match in matches:
        if not match.image_id or match.problem:
            continue
        known = best.setdefault(match.image_id, match)
        if match.strength > known.strength:
            best[match.image_id] = match
            tied.pop(match.image_id, None)
        elif match is not known and match.strength == known.strength != _FOR_SURE:
            tied.setdefault(match.image_id, match)
    return [_unless_another_is(match, best, tied) for match in matches]


def _unless_another_is(
    match: Match, best: Mapping[str, Match], tied: Mapping[str, Match]
) -> Match:
    first = best.get(match.image_id)
    if match.problem or first is None:
        return match
    second = tied.get(match.image_id)
    if second is not None:
        problem = f"{first.name} and {second.name} may both be {first.file_name} here."
        return replace(match, problem=problem)
    if match is first:
        return match
    problem = f"It is the same image as {first.name}, whose labels it has."
    return replace(match, problem=problem)
