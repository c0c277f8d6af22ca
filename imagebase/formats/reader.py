"""LabelReader: collects what a format reads, skips bad items, reports them."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Final, Self

from imagebase.annotation import Attributes, Box, LabelSet, Size, Source, clean_label
from imagebase.annotation.areas import Shape, can_be_kept
from imagebase.annotation.attributes import clean_attributes
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import IGNORE, ImportReport, ReadImage, ReadResult, Remark
from imagebase.formats.image_index import ImageClaims, NameIndex
from imagebase.formats.image_index import image_name as image_name
from imagebase.formats.reader_store import BoxRow, Entry, ReaderStore
from imagebase.settings import Limits

# Boxes a hair over the edge are cut without a word.
_UNSPOKEN_PX: Final = 0.5
_UNSPOKEN_FRACTION: Final = 1e-3
_MAX_FRACTION: Final = 2.0
# The remark on such a region.
CROWD: Final = "a crowd region"
_MAX_SIDE_PX: Final = 1_000_000
# Of remarks that are made once for all items that they are true of.
_MOST_SUMMED: Final = 1_000


class LabelReader:
    """Takes in labels, images and boxes in the order of the files, and gives them back.

    They lie in a scratch file, so that a set of any size takes the same memory.

    Args:
        images: the image files that came with the labels.
    """

    def __init__(self, limits: Limits, images: NameIndex | None = None) -> None:
        self._limits = limits
        self._store = ReaderStore()
        self._claims = ImageClaims(images or NameIndex(()), self._store)
        self._labels: dict[str, int] = {}
        self._files: dict[str, int] = {}
        self._summed: dict[str, tuple[Remark, int]] = {}
        self.boxes_found = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def clear(self) -> None:
        """Forget all that was taken in, to begin again."""
        self._store.clear()
        self._claims.clear()
        self._labels.clear()
        self._summed.clear()
        self.boxes_found = 0

    def skip(self, file: str, at: str, reason: str) -> None:
        """Say that an item was left out."""
        if reason.startswith(f"{file} is "):
            reason = f"it{reason.removeprefix(file)}"
        self._store.add_remark(Remark(file, at, reason), is_skipped=True)

    @contextmanager
    def skipping(self, file: str) -> Iterator[None]:
        """Skip a file that the block cannot read."""
        try:
            yield
        except AnnotationFileError as error:
            self.skip(file, "", str(error))

    def skip_box(self, file: str, at: str, reason: str) -> None:
        """Say that a box was left out, and count it among those found."""
        self.boxes_found += 1
        self.skip(file, at, reason)

    def change(self, file: str, at: str, what: str) -> None:
        """Say that an item was kept, but not as it stood in the file."""
        self._store.add_remark(Remark(file, at, what), is_skipped=False)

    def change_all(self, file: str, at: str, what: str) -> None:
        """Report a change of many items once for all of them."""
        if len(self._summed) >= _MOST_SUMMED and what not in self._summed:
            self.change(file, at, what)
            return
        first, count = self._summed.get(what, (Remark(file, at, what), 0))
        self._summed[what] = first, count + 1

    def add_labels(self, names: Iterable[str], *, file: str) -> list[str]:
        """Take in names in this order; return them cleaned, position by position.

        Of a list longer than the limit only labels in use are added.
        """
        cleaned = []
        for index, name in enumerate(names):
            try:
                cleaned.append(clean_label(name))
            except ValueError:
                cleaned.append(f"class_{index}")
                what = f"it has no name and is called class_{index}"
                self.change(file, f"label {index}", what)
        for name, count in Counter(cleaned).items():
            if count > 1:
                what = f"it lists {name!r} {count} times, which is one label"
                self.change(file, "", f"{what}, so class ids behind it are others now")
        if len(self._labels.keys() | set(cleaned)) > self._limits.max_labels:
            what = f"it lists {len(cleaned):,} labels, of which those in use come in"
            self.change(file, "", what)
            return cleaned
        for name in cleaned:
            if name != IGNORE:
                self._add_label(name, file)
        return cleaned

    def _add_label(self, name: str, file: str) -> int:
        if name not in self._labels and len(self._labels) >= self._limits.max_labels:
            raise AnnotationFileError(
                f"{file} brings more than {self._limits.max_labels:,} labels; "
                "check that its label column or list is the right one."
            )
        return self._labels.setdefault(name, len(self._labels))

    def find_image(self, stated: str, *, file: str, part: str = "") -> str | None:
        """Return the file that a label file means; None for none or several."""
        return self._claims.search(stated, file, part).path

    @property
    def copies(self) -> Set[str]:
        """Image files that were passed over as they have the content of another."""
        return self._claims.index.copies

    def size_of(self, image: str) -> Size | None:
        """Return the size of an image that was added, if it is known."""
        return self._entry(image).size

    def is_relative(self, name: str) -> bool:
        """Say whether the boxes of an image that was added are fractions."""
        return self._entry(name).is_relative

    def size_in(
        self, width: object, height: object, *, file: str, at: str
    ) -> Size | None:
        """Return the size that a file states, or None; nonsense is reported."""
        size = size_of(width, height)
        if size is None and not all(value in (None, "") for value in (width, height)):
            self.change(file, at, "its width and height are no size in pixels")
        return size

    def add_image(
        self,
        name: str,
        size: Size | None = None,
        *,
        is_relative: bool = False,
        part: str = "",
        file: str = "",
        stated: str = "",
        path: str | None = None,
    ) -> str:
        """Take in an image; one that is there already stays, and may gain a size.

        Several label files may speak of one image: it is one where they mean one file,
        or, where no file is there, where they lie in one folder and call it the same.

        Args:
            name: what it is to be called.
            part: where a split puts it by this file; of two parts it is in neither.
            file: the label file that names it, near which its image is looked for.
            stated: as that file has it, where the name is only the end of it.
            path: of its file, where a reader knows it; empty where it knows of none.

        Returns:
            What it is known by here: for its boxes and all else.
        """
        image = self._claims.stated(name, stated or name, file, part, path)
        self._store.add_image(image, size, is_relative=is_relative, part=part)
        return image.key

    def settle(self) -> None:
        """Look for files that nobody has looked for yet, and let no two share a name.

        To be called once everything is taken in.
        """
        self._store.settle(self._claims.looked_for)

    def place_by_folders(self) -> None:
        """Let the folders in names say who trains, if nothing else does and all do."""
        self._store.place_by_folders()

    def link(self, file: str, key: object, image: str) -> bool:
        """Let an id of a file stand for an image; False where it does for another."""
        number_of_it = self._files.setdefault(file, len(self._files))
        return self._store.link(number_of_it, repr(key), self._entry(image))

    def linked(self, file: str, key: object) -> str | None:
        """Return the image that an id of a file stands for."""
        number_of_it = self._files.setdefault(file, len(self._files))
        return self._store.linked(number_of_it, repr(key))

    def add_tag(self, image: str, label: str, *, file: str, at: str) -> None:
        """Take in a label of an image as a whole, or leave it out with a reason."""
        try:
            cleaned = clean_label(label)
        except ValueError as error:
            self.skip(file, at, str(error))
            return
        self._store.add_tag(self._entry(image), self._add_label(cleaned, file))

    def add_box(
        self,
        image: str,
        label: str,
        box: Box,
        *,
        file: str,
        at: str,
        confidence: float | None = None,
        is_crowd: bool = False,
        is_by_model: bool = False,
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        """Take in a box of an image that was added, or leave it out with a reason.

        Who states a confidence is a model too; its box is one nobody touched yet.
        """
        self.boxes_found += 1
        entry = self._entry(image)
        try:
            label = clean_label(label)
            fitted = self._fitted(box, entry, file, at)
            self._check_is_new(fitted, label, entry, file)
            self._check_room(entry)
        except ValueError as error:
            self.skip(file, at, str(error))
            return
        class_id = self._add_label(label, file)
        confidence = self._confidence(confidence, file, at)
        is_by_model = is_by_model or confidence is not None
        source = Source.MODEL if is_by_model else Source.IMPORT
        known = self._attributes(attributes or {}, file, at)
        row = BoxRow(fitted, class_id, source, confidence, is_crowd, known)
        self._store.add_box(entry, row)
        if is_crowd:
            self.skip(file, at, f"{CROWD}, not the box of one object")

    def add_region(self, image: str, shape: Shape, *, file: str, at: str) -> None:
        """Take in an area that nobody labels, or leave it out with a reason."""
        entry = self._entry(image)
        box = shape.bounds
        size = entry.size or Size(_MAX_SIDE_PX, _MAX_SIDE_PX)
        if not can_be_kept(shape):
            self.skip(file, at, "the ignore area has no corners that can be kept")
        elif not box.normalised().clipped(size).area:
            self.skip(file, at, "the ignore area lies outside the image")
        else:
            self._store.add_region(entry, shape)

    def _entry(self, image: str) -> Entry:
        entry = self._store.find(image)
        if entry is None:
            raise KeyError(image)
        return entry

    def _fitted(self, box: Box, entry: Entry, file: str, at: str) -> Box:
        if not box.is_finite:
            raise ValueError("a corner is not a number")
        ordered = box.normalised()
        if entry.is_relative and max(map(abs, ordered)) > _MAX_FRACTION:
            raise ValueError("the corners are not fractions of the image's size")
        size = Size(1, 1) if entry.is_relative else entry.size
        fitted = ordered.clipped(size or Size(_MAX_SIDE_PX, _MAX_SIDE_PX))
        if not fitted.area:
            empty = not ordered.area
            raise ValueError(
                "the box has no area" if empty else "the box lies outside the image"
            )
        if ordered != box:
            self.change(file, at, "its corners were swapped")
        moved = max(abs(a - b) for a, b in zip(ordered, fitted, strict=True))
        if moved > (_UNSPOKEN_FRACTION if entry.is_relative else _UNSPOKEN_PX):
            self.change(file, at, "it reached over the edge of the image and was cut")
        return fitted

    def _check_is_new(self, box: Box, label: str, entry: Entry, file: str) -> None:
        """Refuse a box that another file has: splits often lie next to the whole.

        Within one file the same box twice is two boxes.
        """
        if file != entry.file:
            entry.file, entry.earlier = file, entry.boxes
        class_id = self._labels.get(label)
        if not entry.earlier or class_id is None:
            return
        if self._store.has_box(entry, box, class_id):
            raise ValueError("another file has the same box")

    def _check_room(self, entry: Entry) -> None:
        limit = self._limits.max_boxes_per_image
        if entry.boxes >= limit:
            raise ValueError(f"the image has {limit:,} boxes already, and no more fit")

    def _confidence(self, value: float | None, file: str, at: str) -> float | None:
        if value is None or 0 <= value <= 1:
            return value
        self.change(file, at, f"its confidence {value:g} is not in 0 to 1")
        return None

    def _attributes(
        self, attributes: Mapping[str, object], file: str, at: str
    ) -> Attributes:
        known, problems = clean_attributes(attributes)
        for problem in problems:
            self.change_all(file, at, problem)
        return known

    def check(self) -> None:
        """Raise AnnotationFileError where nothing came, and there is a reason."""
        first = next(self.skipped(), None)
        if not self._store.images and first:
            raise AnnotationFileError(f"{str(first).rstrip('.')}.")

    @property
    def labels(self) -> LabelSet:
        return LabelSet.of(self._labels)

    @property
    def image_count(self) -> int:
        return self._store.images

    @property
    def boxes_read(self) -> int:
        return self._store.boxes_read

    @property
    def tag_count(self) -> int:
        return self._store.tags

    def images(self, *, is_bare: bool = False) -> Iterator[ReadImage]:
        """Yield the images in the order in which they came.

        Args:
            is_bare: boxes need no id and no time of their own, as when they are not
                kept.
        """
        return self._store.read_images(tuple(self._labels), is_bare=is_bare)

    def image(self, name: str) -> ReadImage | None:
        """Return one image by its name."""
        return self._store.read_image(name, tuple(self._labels))

    def skipped(self) -> Iterator[Remark]:
        """Yield the remarks on skipped items."""
        return self._store.remarks(skipped=True)

    def changed(self) -> Iterator[Remark]:
        """Yield the remarks on changed items."""
        yield from self._store.remarks(skipped=False)
        for first, count in self._summed.values():
            times = "once" if count == 2 else f"{count - 1:,} times"
            more = f" (and {times} more)" if count > 1 else ""
            yield first._replace(reason=f"{first.reason}{more}")

    def result(self) -> ReadResult:
        """Return all of it in memory."""
        report = ImportReport(
            self.image_count,
            self.boxes_found,
            self.boxes_read,
            tuple(self.skipped()),
            tuple(self.changed()),
        )
        return ReadResult(self.labels, tuple(self.images()), report)


def number(text: object) -> float:
    """Return a number; NaN where it is none."""
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def size_of(width: object, height: object) -> Size | None:
    """Return a size in whole pixels, or None where these numbers are no size."""
    sides = number(width), number(height)
    if all(1 <= side <= _MAX_SIDE_PX for side in sides):
        return Size(round(sides[0]), round(sides[1]))
    return None
