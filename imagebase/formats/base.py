"""Interface of a format, and the values that readers and writers exchange.

To add a format, write one module in this folder and one line in `registry`. The module
ends in `FORMAT`, a `Format` with its `write` and `read` functions, or an `InputFormat`
for one that is only read:

- `write(export_set, options)` yields an `ExportFile` for each file, in parts where it
  grows with the set; images stand as `ImageReference`.
- `read(tree, reader)` gives images, boxes and labels to a `LabelReader`, which checks,
  names and counts them, and reports what it skips.

Import, export, verification, `convert`, `annotate` and the tests of all formats take it
from the registry.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar, overload

from imagebase.annotation import (
    Annotation,
    AttributeValue,
    Box,
    ImageRecord,
    LabelSet,
    Size,
)
from imagebase.annotation.areas import Shape
from imagebase.settings import Limits

if TYPE_CHECKING:
    from imagebase.formats.reader import LabelReader

T = TypeVar("T")

PARTS: Final = ("train", "val", "test")
# The label of areas that nobody labels, in LabelMe and in what we write.
IGNORE: Final = "__ignore__"


@dataclass(frozen=True, slots=True)
class ExportImage:
    """One image to be written.

    name: unique within the set ignoring case and suffix, safe, `/` between its parts.
    part: where a split puts it, one of `PARTS`.
    made: from what it was made for this export, in words; empty for an original.
    byte_count: about how much it takes in a zip; 0 where nobody asks.
    """

    record: ImageRecord
    name: str
    is_reviewed: bool = True
    part: str = "train"
    made: str = ""
    byte_count: int = 0

    def file_at(self, path: str) -> "ExportFile":
        """Return the image's own file, under this path in the export."""
        return ExportFile(path, ImageReference(self.record.image_id))


@dataclass(frozen=True, slots=True)
class ExportSet:
    """Everything that a writer needs but the pixels.

    images: to be gone through as often as a writer likes; see `StoredImages`.
    """

    name: str
    labels: LabelSet
    images: Sequence[ExportImage]

    @property
    def has_split(self) -> bool:
        return any(part != "train" for part in self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that images are in, in their order."""
        if isinstance(self.images, StoredImages):
            used = set(self.images.part_of_each())
        else:
            used = {image.part for image in self.images}
        return tuple(part for part in PARTS if part in used)


def items_at(items: Iterable[T], places: Iterable[int]) -> Iterator[T]:
    """Yield the items at these places, which ascend."""
    wanted = iter(places)
    place = next(wanted, None)
    for at, item in enumerate(items):
        if at == place:
            yield item
            place = next(wanted, None)


class StoredImages(Sequence[ExportImage]):
    """Images that are not in memory: each is made when it is its turn.

    has_flat_names: their names have no folders, and stay so in all formats.
    """

    has_flat_names = False

    def names(self) -> Iterator[str]:
        """Yield what `ExportImage.name` is, without the rest of it."""
        return (image.name for image in self)

    def part_of_each(self) -> Iterator[str]:
        """Yield what `ExportImage.part` is, without the rest of it."""
        return (image.part for image in self)

    def at(self, places: Iterable[int]) -> Iterator[ExportImage]:
        """Yield the images at these places, which ascend."""
        return items_at(self, places)

    @overload
    def __getitem__(self, index: int) -> ExportImage: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[ExportImage, ...]: ...

    def __getitem__(self, index: int | slice) -> ExportImage | tuple[ExportImage, ...]:
        """Go through the images up to this one: writers take them in their order."""
        if isinstance(index, slice):
            return tuple(islice(self, *index.indices(len(self))))
        place = range(len(self))[index]
        return next(islice(self, place, None))

    def __iter__(self) -> Iterator[ExportImage]:
        raise NotImplementedError


class MappedImages(StoredImages):
    """Images made from others one by one; their names stay."""

    def __init__(
        self,
        images: Sequence[ExportImage],
        function: Callable[[ExportImage], ExportImage],
    ) -> None:
        self._images = images
        self._function = function
        if isinstance(images, StoredImages):
            self.has_flat_names = images.has_flat_names

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[ExportImage]:
        return map(self._function, self._images)

    def names(self) -> Iterator[str]:
        return iter(ImageNames(self._images))


class ImagesAt(StoredImages):
    """Images of a set by their places in it, which ascend; none is held here."""

    def __init__(self, images: Sequence[ExportImage], places: Sequence[int]) -> None:
        self._images = images
        self._places = places
        if isinstance(images, StoredImages):
            self.has_flat_names = images.has_flat_names

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[ExportImage]:
        if isinstance(self._images, StoredImages):
            return self._images.at(self._places)
        return items_at(self._images, self._places)

    def at(self, places: Iterable[int]) -> Iterator[ExportImage]:
        return iter(ImagesAt(self._images, [self._places[place] for place in places]))

    def names(self) -> Iterator[str]:
        return items_at(ImageNames(self._images), self._places)

    def part_of_each(self) -> Iterator[str]:
        if isinstance(self._images, StoredImages):
            return items_at(self._images.part_of_each(), self._places)
        return (image.part for image in self)


class ImageNames:
    """The names of images, to be gone through as often as one likes."""

    def __init__(self, images: Iterable[ExportImage]) -> None:
        self._images = images

    def __iter__(self) -> Iterator[str]:
        if isinstance(self._images, StoredImages):
            return self._images.names()
        return (image.name for image in self._images)


def class_ids_of(labels: LabelSet) -> dict[str, int]:
    """Return each label's position; a class id is that and nothing else."""
    return {name: index for index, name in enumerate(labels.names)}


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """with_images: write the image files too, not the label files alone.

    voc_is_zero_based: write Pascal VOC the way many tools do, against its definition.
    """

    with_images: bool = True
    voc_is_zero_based: bool = False


class ImageReference(NamedTuple):
    """Stands for the bytes of an image file; the sink puts them there."""

    image_id: str


@dataclass(frozen=True, slots=True)
class Streamed:
    """A file that grows with the set: its bytes in parts, to be taken once."""

    parts: Iterable[bytes]


class ExportFile(NamedTuple):
    """One file of an export; text is UTF-8."""

    path: str
    content: bytes | ImageReference | Streamed


class SkippedBox(NamedTuple):
    """A box that no format can hold, and why."""

    image: str
    label: str
    reason: str


class FileTree(Protocol):
    """Files by name, wherever they lie; `/` between the parts of a name."""

    @property
    def limits(self) -> Limits: ...

    def names(self) -> Sequence[str]: ...

    def read(self, name: str) -> bytes:
        """Return one file; AnnotationFileError where it cannot be read."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Return one file to be read in parts; AnnotationFileError as in `read`."""
        ...


@dataclass(frozen=True, slots=True)
class ReadImage:
    """One image as a label file describes it.

    name: as the label file has it; without its suffix where none is known; longer where
        several would have the same one.
    size: None where the format does not say.
    is_relative: boxes are fractions of the image's size; see `in_pixels`.
    crowds: regions that hold many objects of a label and are not boxes of one.
    regions: areas that nobody labels, in pixels.
    tags: labels of the image as a whole.
    part: of its split; empty where it has none, or two.
    path: of its file among those that were read with the labels; empty where there is
        none. others: files that may be meant where it is unclear; where there is
        just one, it is that of another image.
    file: the label file that names it. stated: as that has it, where it is a path.
    """

    name: str
    size: Size | None
    annotations: tuple[Annotation, ...] = ()
    is_relative: bool = False
    crowds: tuple[Annotation, ...] = ()
    tags: tuple[str, ...] = ()
    part: str = ""
    path: str = ""
    others: tuple[str, ...] = ()
    file: str = ""
    stated: str = ""
    regions: tuple[Shape, ...] = ()

    def in_pixels(self, size: Size) -> "ReadImage":
        """Return the image with boxes in pixels of an image of this size."""
        if not self.is_relative:
            return replace(self, size=self.size or size)
        return replace(
            self,
            size=size,
            annotations=tuple(
                _scaled(annotation, size) for annotation in self.annotations
            ),
            crowds=tuple(_scaled(crowd, size) for crowd in self.crowds),
            is_relative=False,
        )


def _scaled(annotation: Annotation, size: Size) -> Annotation:
    near_x, near_y, far_x, far_y = annotation.box
    box = Box(
        near_x * size.width,
        near_y * size.height,
        far_x * size.width,
        far_y * size.height,
    )
    return replace(annotation, box=box)


class Remark(NamedTuple):
    """Remark of a reader on one item of a label file.

    at: its line, or index and field; empty where it is the file as a whole.
    """

    file: str
    at: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}, {self.at}" if self.at else self.file
        return f"{place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Summary of reading: counts and remarks.

    boxes_found: in the files, of which `boxes_read` were kept.
    skipped: items left out. changed: items kept, but not as they stood in the file.
    """

    images_read: int = 0
    boxes_found: int = 0
    boxes_read: int = 0
    skipped: tuple[Remark, ...] = ()
    changed: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A label set as its files describe it. Nothing is stored yet."""

    labels: LabelSet
    images: tuple[ReadImage, ...]
    report: ImportReport


def _as_it_is(export_set: ExportSet) -> ExportSet:
    return export_set


def no_attribute(name: str, value: AttributeValue) -> bool:
    """Say that a format holds no attribute of a box."""
    return False


def any_attribute(name: str, value: AttributeValue) -> bool:
    """Say that a format holds every attribute of a box."""
    return True


Writer = Callable[[ExportSet, WriteOptions], Iterator[ExportFile]]


class InputFormat(NamedTuple):
    """An annotation format that is read and not written; fields as in `Format`."""

    title: str
    read: Callable[[FileTree, "LabelReader"], None]
    recognises: Callable[[FileTree], bool]
    has_boxes: bool = True
    holds: Callable[[str, AttributeValue], bool] = no_attribute


class Format(NamedTuple):
    """One annotation format.

    title: what people call it.
    read: takes a tree in; AnnotationFileError where nothing can be read.
    recognises: whether a tree shows what no other format's files do.
    has_flat_names: its image names have no folders; see `file_names.names_in`.
    tolerance: how far an edge may move in writing a box, in pixels, along x and y.
    conventions: what a reader of the files should know, for the manifest.
    has_sizes, has_confidence: whether the files have image sizes and confidences.
    lists_train_as_val: without a split both lists name all images.
    is_relative: whether boxes are fractions of the size, which then need not be known.
    is_in_place: names the paths of the images, and needs no copies of them.
    has_boxes: whether it has boxes, and not labels of whole images alone.
    reduced: the set as far as this format can say it; the proof compares with that.
    image_suffixes: of image files that its program finds the labels of; None for all.
    holds: whether it can hold an attribute of this name and value; the proof compares
        those that it can, and an export counts the others.
    has_parts: whether it can say which images train; one that cannot is written once
        for each part of a split, in a folder of that name.
    region: how an ignore area is written; None where it cannot be.
    has_crowds: writes such areas as crowd regions of each label.
    write_zipped: writes another layout inside a zip, one that can say which images
        train.
    """

    title: str
    write: Writer
    read: Callable[[FileTree, "LabelReader"], None]
    recognises: Callable[[FileTree], bool]
    tolerance: Callable[[Box, Size], tuple[float, float]]
    conventions: Mapping[str, str]
    has_sizes: bool = True
    has_confidence: bool = False
    lists_train_as_val: bool = False
    has_flat_names: bool = False
    is_relative: bool = False
    is_in_place: bool = False
    has_boxes: bool = True
    reduced: Callable[[ExportSet], ExportSet] = _as_it_is
    has_parts: bool = True
    image_suffixes: Set[str] | None = None
    holds: Callable[[str, AttributeValue], bool] = no_attribute
    region: Callable[[Shape, Size], Iterable[Shape]] | None = None
    has_crowds: bool = False
    write_zipped: Writer | None = None

    @property
    def holds_areas(self) -> bool:
        """Say whether it can say of an area that nobody labels it."""
        return self.has_crowds or self.region is not None

    @property
    def in_zip(self) -> "Format":
        """The format as a zip holds it, which has the images with it."""
        if self.write_zipped is None:
            return self._replace(is_in_place=False)
        return self._replace(write=self.write_zipped, has_parts=True, is_in_place=False)
