"""The values everything else passes around: boxes, annotations, records, labels.

All of them are frozen: a change is a new object. Boxes are float pixels of the upright
image, the origin at the top-left corner of the top-left pixel, far edges exclusive.
"""

import math
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from imagebase.annotation.palette import UNKNOWN_COLOUR, label_colour

if TYPE_CHECKING:
    from imagebase.annotation.areas import Shape

MAX_LABEL_LENGTH: Final = 200

# Properties of a box beyond its label, such as `{"occluded": True}`.
AttributeValue = bool | int | float | str
Attributes = Mapping[str, AttributeValue]


class Size(NamedTuple):
    """Width and height in pixels, always in this order."""

    width: int
    height: int


class Box(NamedTuple):
    """Corners in float pixels of the upright image; the far edges are exclusive."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @property
    def width(self) -> float:
        return self.x_max - self.x_min

    @property
    def height(self) -> float:
        return self.y_max - self.y_min

    @property
    def area(self) -> float:
        """Square pixels; 0 where the box is empty or its corners are swapped."""
        return max(self.width, 0.0) * max(self.height, 0.0)

    @property
    def is_finite(self) -> bool:
        return all(math.isfinite(edge) for edge in self)

    def normalised(self) -> "Box":
        """Return the box with its corners in order."""
        return Box(
            min(self.x_min, self.x_max),
            min(self.y_min, self.y_max),
            max(self.x_min, self.x_max),
            max(self.y_min, self.y_max),
        )

    def intersects(self, other: "Box") -> bool:
        """Say whether both have a part of the image in common."""
        return (
            self.x_min < other.x_max
            and other.x_min < self.x_max
            and self.y_min < other.y_max
            and other.y_min < self.y_max
        )

    def clipped(self, size: Size) -> "Box":
        """Return the part of the box inside an image of this size; may be empty."""
        return Box(
            min(max(self.x_min, 0.0), float(size.width)),
            min(max(self.y_min, 0.0), float(size.height)),
            min(max(self.x_max, 0.0), float(size.width)),
            min(max(self.y_max, 0.0), float(size.height)),
        )


class Source(StrEnum):
    """Who made a box."""

    MODEL = "model"
    HUMAN = "human"
    IMPORT = "import"


class ReviewStatus(StrEnum):
    """Where an image stands on its way to the export.

    new: nobody and nothing has labelled it.
    suggested: a model labelled it; no person changed or confirmed its boxes.
    imported: label files labelled it; no person changed or confirmed its boxes.
    edited: a person changed its boxes or tags.
    approved: a person confirmed it, with or without boxes.
    rejected: a reviewer sent it back with a comment.
    """

    NEW = "new"
    SUGGESTED = "suggested"
    IMPORTED = "imported"
    EDITED = "edited"
    APPROVED = "approved"
    REJECTED = "rejected"

    @classmethod
    def _missing_(cls, value: object) -> "ReviewStatus | None":
        """Read the name that `suggested` had in earlier databases and backups."""
        return cls.SUGGESTED if value == "auto" else None


# Images that wait for a reviewer: labelled, and neither approved nor rejected yet.
TO_REVIEW: Final = (ReviewStatus.SUGGESTED, ReviewStatus.IMPORTED, ReviewStatus.EDITED)
NOT_APPROVED: Final = tuple(
    status for status in ReviewStatus if status is not ReviewStatus.APPROVED
)


def new_id() -> str:
    """Return an identifier that no other annotation, dataset, change or job has."""
    return uuid.uuid4().hex


def utc_now() -> datetime:
    """Return the time with its zone, to the microsecond, as every table keeps it."""
    return datetime.now(UTC)


# Controls but tab and line ends; marks that turn the reading direction; what takes no
# room. Joiners stay: emoji and Persian need them.
_HIDDEN: Final = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)


def storable_text(text: str) -> str:
    """Return text that every database can hold: without NUL and lone surrogates."""
    if text.isprintable():
        return text
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def clean_text(text: str) -> str:
    """Return a text from outside as it is stored and shown.

    Removed are characters that are invisible: controls, and those that turn what
    follows, with which `photo\\u202egpj.exe` looks like a JPEG.
    """
    return text if text.isprintable() else storable_text(_HIDDEN.sub("", text))


@dataclass(frozen=True, slots=True)
class Annotation:
    """One box with its label, and where it comes from.

    A model box that nobody touched has source `model` and is not accepted. A person who
    moves or relabels it makes it `human`, and its confidence goes; one who accepts it
    leaves it unchanged. Either way it then counts as a person's.

    attributes: properties of the object beyond its label; never changed in place.
    """

    box: Box
    label: str
    annotation_id: str = field(default_factory=new_id)
    source: Source = Source.HUMAN
    confidence: float | None = None
    model_id: str | None = None
    accepted: bool = False
    changed_by: str = ""
    changed_at: datetime = field(default_factory=utc_now)
    attributes: Attributes = field(default_factory=dict, hash=False)

    @property
    def is_untouched(self) -> bool:
        """Say whether no person has changed or accepted this model's box."""
        return self.source is Source.MODEL and not self.accepted

    def touched(
        self, *, who: str, box: Box | None = None, label: str | None = None
    ) -> "Annotation":
        """Return the box as a person's, moved or relabelled."""
        return replace(
            self,
            box=self.box if box is None else box,
            label=self.label if label is None else label,
            source=Source.HUMAN,
            confidence=None,
            accepted=False,
            changed_by=who,
            changed_at=utc_now(),
        )

    def with_acceptance(self, *, who: str) -> "Annotation":
        """Return the box accepted; a person's box is returned unchanged."""
        if not self.is_untouched:
            return self
        return replace(self, accepted=True, changed_by=who, changed_at=utc_now())


@dataclass(frozen=True, slots=True)
class Quality:
    """Measurements of an image, and the warnings that follow from them.

    sharpness: variance of the Laplacian of the grey image at a working size.
    brightness, contrast: mean and standard deviation of its grey values, 0 to 255.
    difference_hash: 64 bits as 16 hex digits; near-duplicates differ in few of them.
    warnings: names among `blurred`, `dark`, `bright`, `flat`, `tiny`.
    """

    sharpness: float
    brightness: float
    contrast: float
    difference_hash: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a dataset with everything known about it but its pixels.

    image_id: SHA-256 of the file as it came, 64 hex digits.
    file_name: as it came, with its sub-path where it had one, `/` between the parts.
    size: of the upright image.
    deleted: model boxes a person deleted; each keeps its like from coming back.
    comment: of the reviewer, at the last rejection.
    revision: 0 where never saved; grows by one with every save.
    ignored: areas that nobody labels, those of all images of its size too.
    marks: what a reviewer drew for this rejection, on its way to the store; read back,
        it is with the comment.
    """

    image_id: str
    file_name: str
    size: Size
    annotations: tuple[Annotation, ...] = ()
    deleted: tuple[Annotation, ...] = ()
    status: ReviewStatus = ReviewStatus.NEW
    comment: str = ""
    tags: tuple[str, ...] = ()
    quality: Quality | None = None
    byte_count: int = 0
    revision: int = 0
    ignored: "tuple[Shape, ...]" = ()
    marks: "tuple[Shape, ...]" = ()

    @property
    def is_confirmed_empty(self) -> bool:
        """Say whether a person approved this image without a box on it."""
        return self.status is ReviewStatus.APPROVED and not self.annotations

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels on this image, each once, in order of appearance."""
        return tuple(dict.fromkeys(box.label for box in self.annotations))

    def annotation(self, annotation_id: str) -> Annotation:
        """Return one annotation; KeyError where there is none of this id."""
        for annotation in self.annotations:
            if annotation.annotation_id == annotation_id:
                return annotation
        raise KeyError(annotation_id)

    def with_annotations(self, annotations: Iterable[Annotation]) -> "ImageRecord":
        """Return the record with these annotations, everything else unchanged."""
        return replace(self, annotations=tuple(annotations))


class Label(NamedTuple):
    """A class name and the colour it has everywhere, as `#RRGGBB`.

    place: where a person sees it among the others, whatever its class id is.
    is_hidden: deleted by a person; it keeps its class id and is offered no more.
    """

    name: str
    colour: str
    place: int = 0
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Ordered labels: a label's class id is its position. It only grows.

    A label is removed from sight by hiding it, never from the order: exported class
    numbers must mean the same tomorrow.
    """

    labels: tuple[Label, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Return the set of these names with the palette's colours, repeats dropped."""
        unique = dict.fromkeys(names)
        return cls(
            tuple(Label(name, label_colour(i), i) for i, name in enumerate(unique))
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __contains__(self, name: object) -> bool:
        return any(label.name == name for label in self.labels)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name by class id, hidden ones too: what an export lists."""
        return tuple(label.name for label in self.labels)

    @property
    def shown(self) -> tuple[Label, ...]:
        """The labels that a person can choose, in the order of their places."""
        visible = [label for label in self.labels if not label.is_hidden]
        return tuple(sorted(visible, key=lambda label: label.place))

    @property
    def shown_names(self) -> tuple[str, ...]:
        """The names that a person can choose, in the order of their places."""
        return tuple(label.name for label in self.shown)

    def class_id(self, name: str) -> int:
        """Return the position of a label; KeyError where it is not in the set."""
        for index, label in enumerate(self.labels):
            if label.name == name:
                return index
        raise KeyError(name)

    def colour_of(self, name: str) -> str:
        """Return a label's colour, or UNKNOWN_COLOUR where it is not in the set."""
        for label in self.labels:
            if label.name == name:
                return label.colour
        return UNKNOWN_COLOUR

    def with_label(self, name: str) -> "LabelSet":
        """Return the set with this label shown, at its end where it was not there."""
        for index, label in enumerate(self.labels):
            if label.name == name:
                return self._with_shown(index) if label.is_hidden else self
        place = max((label.place for label in self.labels), default=-1) + 1
        return LabelSet(
            (*self.labels, Label(name, label_colour(len(self.labels)), place))
        )

    def _with_shown(self, index: int) -> "LabelSet":
        shown = self.labels[index]._replace(is_hidden=False)
        return LabelSet((*self.labels[:index], shown, *self.labels[index + 1 :]))

    def with_labels(self, names: Iterable[str]) -> "LabelSet":
        """Return the set with each of these labels, new ones at its end in order."""
        grown = self
        for name in names:
            grown = grown.with_label(name)
        return grown


def clean_label(name: str) -> str:
    """Return a label name fit to be kept: cleaned, one line, not longer than 200.

    Leading and trailing blanks stay: a label set from elsewhere may mean them.

    Raises:
        ValueError: nothing is left of it.
    """
    cleaned = clean_text(" ".join(name.splitlines()))[:MAX_LABEL_LENGTH]
    if not cleaned.strip():
        raise ValueError("a label needs a name")
    return cleaned
