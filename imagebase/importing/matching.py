"""Which image each image of a label set is: by content first, then by name."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from imagebase.annotation import Size
from imagebase.errors import ImageBaseError
from imagebase.formats.image_index import NameIndex
from imagebase.formats.label_set_files import FileTree, ReadImage
from imagebase.formats.trees import is_image_name
from imagebase.images import read_header
from imagebase.store import ImageSummary

# How far the sides of a resized copy may be from the same shape.
_SAME_SHAPE: Final = 0.01
_NAMES_SHOWN: Final = 3


class How(StrEnum):
    """How an image was found."""

    CONTENT = "same content"
    NAME = "same name"
    NEW = "comes with the labels"
    NOWHERE = "not found"


@dataclass(frozen=True, slots=True)
class DroppedImage:
    """An image file that lies beside the labels.

    image_id: of its content. size: upright; None where `problem` says what is wrong.
    """

    image_id: str
    byte_count: int
    size: Size | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """Where the labels of one image go.

    name: as the label files have it. image_id, size: of the image; empty and None where
        there is none.
    file_name: the image's in the dataset, or the file's that comes with the labels.
    note: a difference that is no obstacle. problem: why nothing of it comes in.
    """

    name: str
    how: How
    image_id: str = ""
    file_name: str = ""
    size: Size | None = None
    note: str = ""
    problem: str = ""


def look_at_images(
    tree: FileTree, *, max_pixels: int, on_item: Callable[[str], None] = lambda _: None
) -> dict[str, DroppedImage]:
    """Return the image files that lie beside the labels, by name; one in memory.

    Args:
        max_pixels: of an image; a larger one is a problem of that image.
        on_item: called with the name of each once it was looked at.
    """
    found = {}
    for name in filter(is_image_name, tree.names()):
        found[name] = _look_at(tree, name, max_pixels)
        on_item(name)
    return found


def _look_at(tree: FileTree, name: str, max_pixels: int) -> DroppedImage:
    try:
        data = tree.read(name)
    except ImageBaseError as error:
        return DroppedImage("", 0, problem=str(error))
    image_id = hashlib.sha256(data).hexdigest()
    try:
        size = read_header(data, file_name=name, max_pixels=max_pixels).size
    except ImageBaseError as error:
        return DroppedImage(image_id, len(data), problem=str(error))
    return DroppedImage(image_id, len(data), size)


def match_images(
    images: Iterable[ReadImage],
    dropped: Mapping[str, DroppedImage],
    here: Sequence[ImageSummary],
    *,
    takes_new: bool,
) -> list[Match]:
    """Return where the labels of each image go, in the order of the labels.

    Args:
        images: as the label files describe them.
        dropped: the image files that lie beside them.
        here: the dataset's images.
        takes_new: whether dropped images that are not in the dataset come in; else
            the labels look for one of the same name.
    """
    finder = _Finder(dropped, here, takes_new=takes_new)
    taken: dict[str, str] = {}
    matches = []
    for one in images:
        match = _fitted(finder.find(one), one)
        if match.image_id and not match.problem:
            match = _only_once(match, taken)
        matches.append(match)
    return matches


class _Finder:
    """Looks images up among the dropped ones and among the dataset's."""

    def __init__(
        self,
        dropped: Mapping[str, DroppedImage],
        here: Sequence[ImageSummary],
        *,
        takes_new: bool,
    ) -> None:
        self._dropped = dropped
        self._takes_new = takes_new
        self._by_id = {one.image_id: one for one in here}
        self._by_name: dict[str, list[ImageSummary]] = {}
        for one in here:
            self._by_name.setdefault(one.file_name, []).append(one)
        self._names_here = NameIndex(self._by_name)
        self._names_dropped = NameIndex(dropped)

    def find(self, image: ReadImage) -> Match:
        file = self._names_dropped.find(image.name)
        if file is not None:
            one = self._dropped[file]
            if one.image_id in self._by_id:
                return self._same_content(image.name, self._by_id[one.image_id])
            if self._takes_new:
                return self._new(image.name, file, one)
        return self._by_its_name(image)

    def _same_content(self, name: str, one: ImageSummary) -> Match:
        note = "" if _is_called(name, one) else f"It is called {one.file_name} here."
        return Match(name, How.CONTENT, one.image_id, one.file_name, one.size, note)

    def _new(self, name: str, file: str, one: DroppedImage) -> Match:
        note = ""
        if self._names_here.find_all(name):
            note = "Another image here has this name; it comes in as a new one."
        problem = one.problem
        return Match(name, How.NEW, one.image_id, file, one.size, note, problem)

    def _by_its_name(self, image: ReadImage) -> Match:
        names = dict.fromkeys(self._names_here.find_all(image.name))
        found = [one for name in names for one in self._by_name[name]]
        if not found:
            problem = "No image here has this name, and none like it was dropped."
            return Match(image.name, How.NOWHERE, problem=problem)
        if len(found) == 1:
            return self._named(image.name, found[0])
        fitting = [one for one in found if one.size == image.size]
        if len(fitting) == 1:
            note = f"Of {len(found)} images of this name it is the only one that fits."
            return self._named(image.name, fitting[0], note)
        listed = ", ".join(_told(one) for one in found[:_NAMES_SHOWN])
        more = len(found) - _NAMES_SHOWN
        listed += f" and {more:,} more" if more > 0 else ""
        problem = f"Several images here may be meant: {listed}."
        return Match(image.name, How.NOWHERE, problem=problem)

    def _named(self, name: str, one: ImageSummary, note: str = "") -> Match:
        if not note and one.file_name != name and not _is_called(name, one):
            note = f"It is called {one.file_name} here."
        return Match(name, How.NAME, one.image_id, one.file_name, one.size, note)


def _told(one: ImageSummary) -> str:
    return f"{one.file_name} ({_sides(one.size)})"


def _is_called(name: str, one: ImageSummary) -> bool:
    """Say whether a name is the image's but for its folders and suffix."""
    last = one.file_name.rpartition("/")[2].casefold()
    asked = name.rpartition("/")[2].casefold()
    return asked in (last, last.rpartition(".")[0])


def _fitted(match: Match, image: ReadImage) -> Match:
    """Return the match with what differs between the image's size and the labels'."""
    here, said = match.size, image.size
    if match.problem or here is None or said in (None, here) or image.is_relative:
        return match
    assert said is not None
    sizes = f"The labels are for {_sides(said)} pixels, the image has {_sides(here)}"
    if is_same_shape(said, here):
        note = f"{match.note} {sizes}: boxes are scaled.".strip()
        return replace(match, note=note)
    if not image.annotations:
        return replace(match, note=f"{match.note} {sizes}.".strip())
    if is_same_shape(Size(said.height, said.width), here):
        return replace(match, problem=f"{sizes}: one of them is turned.")
    return replace(match, problem=f"{sizes}: another picture, or a part of it.")


def is_same_shape(a: Size, b: Size) -> bool:
    """Say whether one size is the other one's, made larger or smaller."""
    across, down = b.width / a.width, b.height / a.height
    # A small copy's sides are rounded to whole pixels.
    rounding = 1 / min(*a, *b)
    return abs(across - down) <= (_SAME_SHAPE + rounding) * max(across, down)


def _only_once(match: Match, taken: dict[str, str]) -> Match:
    first = taken.setdefault(match.image_id, match.name)
    if first == match.name:
        return match
    return replace(
        match, problem=f"It is the same image as {first}, whose labels it has."
    )


def _sides(size: Size) -> str:
    return f"{size.width:,} × {size.height:,}"
