"""Train, val and test: what label files call them, and how images are dealt out.

By shares, the rule is iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On
the Stratification of Multi-Label Data", 2011) with two changes: near-duplicates are
dealt out as one, and no part takes more images than its share while another has room.

1. Each part gets a whole number of images: its share, rounded by largest remainder. A
   part with a share gets one image at least; where there are fewer images than parts,
   those of larger shares get theirs.
2. The label that fewest images left over have is dealt out first, so the rarest chooses
   freely. Images without a box count as having a label of their own.
3. Of the images that have it, large groups of near-duplicates go first, then the order
   of a hash of the seed and the image's own hash: the order they come in, the machine
   and the process make no difference.
4. Each goes to the part, among those with room for it, that lacks most images of this
   label; if several do, to the one with most room; then as the hash has it.

A label of a single image therefore goes to the largest part. Counted are images that
have a label, not its boxes; all sums are of whole numbers.
"""

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from imagebase.annotation import ImageRecord
from imagebase.errors import ExportError
from imagebase.formats.base import PARTS
from imagebase.images.quality import MAX_HASH_DISTANCE, near_duplicates

# Other names of the parts, in columns and folders.
_SPELLINGS: Final = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
# As in train2017, which is what COCO calls its folders and files.
_YEAR: Final = re.compile(r"[-_ ]?20\d\d$")
_WORD: Final = re.compile(r"[a-z]+")


def part_named(text: str) -> str | None:
    """Return the part that a word means, as people spell it; None where none."""
    return _SPELLINGS.get(text.strip().casefold())


def part_in(path: str) -> str:
    """Return the part that the innermost folder with such a name gives, or nothing."""
    folders = reversed(path.split("/")[:-1])
    named = (part_named(_YEAR.sub("", folder)) for folder in folders)
    return next(filter(None, named), "")


def parts_of_files(files: Iterable[str]) -> dict[str, str]:
    """Return the part that each label file is about, by its folder or its name.

    Names count only where they differ by part: `train.csv` next to `test.csv` is one
    of two, `test.csv` alone may be anything.
    """
    by_name = {file: part_in_words(PurePosixPath(file).stem) for file in files}
    tell_apart = len({part for part in by_name.values() if part}) > 1
    return {
        file: part_in(file) or (part if tell_apart else "")
        for file, part in by_name.items()
    }


def part_in_words(text: str) -> str:
    """Return the part that a word in a text means; empty where none does."""
    words = _WORD.findall(text.casefold())
    return next(filter(None, map(part_named, words)), "")


# Shares are rounded to billionths: 0.1 + 0.2 is then what a person means by it.
_SHARE_STEPS: Final = 10**9


class Shares(NamedTuple):
    """How much of the images each part gets, in proportion: 8, 1, 1 say."""

    train: float = 0.8
    val: float = 0.2
    test: float = 0.0


@dataclass(frozen=True, slots=True)
class SplitImage:
    """The facts about an image that a split needs.

    boxes: how many of each label it has. difference_hash: None where never measured; it
    is then nobody's near-duplicate.
    """

    image_id: str
    boxes: Mapping[str, int] = field(default_factory=dict)
    difference_hash: str | None = None


class SplitCount(NamedTuple):
    """Images that have a label, and its boxes on them."""

    images: int = 0
    boxes: int = 0


class SplitRow(NamedTuple):
    """A label with its counts by part, and in all."""

    label: str
    parts: Mapping[str, SplitCount]
    total: SplitCount


@dataclass(frozen=True, slots=True)
class SplitTable:
    """A split in numbers, for a preview.

    labels: a row each, in the order asked for. empty: images without a box.
    all_images: every image, and every box.
    """

    labels: tuple[SplitRow, ...]
    empty: SplitRow
    all_images: SplitRow


@dataclass(frozen=True, slots=True)
class Split:
    """part_of: the part of each image, by its id, in the order they were given."""

    part_of: Mapping[str, str]

    def image_ids(self, part: str) -> tuple[str, ...]:
        """Return the images of a part."""
        return tuple(
            image_id for image_id, its_part in self.part_of.items() if its_part == part
        )


def split_image(record: ImageRecord) -> SplitImage:
    """Return the facts about a record that a split needs."""
    return SplitImage(
        record.image_id,
        Counter(annotation.label for annotation in record.annotations),
        record.quality.difference_hash if record.quality is not None else None,
    )


def split_by_shares(
    images: Iterable[SplitImage],
    shares: Shares,
    *,
    seed: int = 0,
    max_hash_distance: int | None = MAX_HASH_DISTANCE,
) -> Split:
    """Return the split that the rule above gives; every image is in one part.

    Args:
        images: each once.
        shares: none below 0, and some above.
        seed: another one gives another split, just as good.
        max_hash_distance: bits in which near-duplicates may differ; None deals every
            image out by itself.

    Raises:
        ExportError: the shares are none.
    """
    steps = _whole_shares(shares)
    given = list(images)
    groups = _groups(given, max_hash_distance)
    dealt = _Dealing(groups, _part_sizes(len(given), steps), seed).parts()
    part_of = {
        image_id: part
        for group, part in zip(groups, dealt, strict=True)
        for image_id in group.image_ids
    }
    return Split({image.image_id: part_of[image.image_id] for image in given})


def split_by_column(
    image_ids: Iterable[str], column: Mapping[str, str], *, otherwise: str | None = None
) -> Split:
    """Return the split that a column of part names gives.

    Case and blanks do not matter, and `valid`, `validation`, `dev`, `training` and
    `testing` are understood.

    Args:
        image_ids: the images to be split.
        column: the part of each image, by its id; others in it are passed over.
        otherwise: the part of images whose cell is missing or blank.

    Raises:
        ExportError: a cell names no part, or is missing where `otherwise` is None.
    """
    part_of = {}
    for image_id in image_ids:
        cell = column.get(image_id, "").strip()
        part = part_named(cell) if cell else otherwise
        if part is None and cell:
            raise ExportError(
                f"The column says {cell!r} of an image; write train, val or test."
            )
        if part is None:
            raise ExportError(
                f"The column says nothing of image {image_id[:12]}; fill it in, or "
                "choose a part for images it leaves out."
            )
        part_of[image_id] = part
    return Split(part_of)


def torn_groups(
    images: Iterable[SplitImage],
    split: Split,
    *,
    max_hash_distance: int = MAX_HASH_DISTANCE,
) -> list[list[str]]:
    """Return groups of near-duplicates that a split has put on several sides.

    A split by shares has none; one by column may: its figures will then flatter.
    """
    groups = near_duplicates(_hashes(images), max_distance=max_hash_distance)
    return [
        group
        for group in groups
        if len({split.part_of[image_id] for image_id in group}) > 1
    ]


def table(
    images: Iterable[SplitImage], split: Split, labels: Sequence[str]
) -> SplitTable:
    """Return how many images and boxes of each label the parts have.

    Args:
        images: those that were split.
        split: where they are.
        labels: a row each, in this order; other labels that occur come after them.
    """
    counts: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for label in labels:
        counts[label].clear()
    empty: Counter[tuple[str, str]] = Counter()
    everything: Counter[tuple[str, str]] = Counter()
    for image in images:
        part = split.part_of[image.image_id]
        boxes = {label: count for label, count in image.boxes.items() if count}
        for label, count in boxes.items():
            counts[label].update({(part, "images"): 1, (part, "boxes"): count})
        if not boxes:
            empty[part, "images"] += 1
        everything.update({(part, "images"): 1, (part, "boxes"): sum(boxes.values())})
    return SplitTable(
        tuple(_row(label, counted) for label, counted in counts.items()),
        _row("", empty),
        _row("", everything),
    )


def _row(label: str, counted: Counter[tuple[str, str]]) -> SplitRow:
    parts = {
        part: SplitCount(counted[part, "images"], counted[part, "boxes"])
        for part in PARTS
    }
    total = SplitCount(*map(sum, zip(*parts.values(), strict=True)))
    return SplitRow(label, parts, total)


@dataclass(frozen=True, slots=True)
class _Group:
    """Near-duplicates, or one image; images: how many have each label, by label.

    None stands for the label of images without a box.
    """

    image_ids: tuple[str, ...]
    images: Mapping[str | None, int]

    @property
    def size(self) -> int:
        return len(self.image_ids)

    def rank(self, seed: int, part: str = "") -> bytes:
        """Return what decides between equals: the same everywhere, and fair."""
        text = f"{seed} {part} {min(self.image_ids)}"
        return hashlib.sha256(text.encode()).digest()


def _groups(
    images: Sequence[SplitImage], max_hash_distance: int | None
) -> list[_Group]:
    by_id = {image.image_id: image for image in images}
    together: list[list[str]] = []
    if max_hash_distance is not None:
        together = near_duplicates(_hashes(images), max_distance=max_hash_distance)
    grouped = {image_id for group in together for image_id in group}
    alone = [[image_id] for image_id in by_id if image_id not in grouped]
    return [
        _group([by_id[image_id] for image_id in ids]) for ids in (*together, *alone)
    ]


def _hashes(images: Iterable[SplitImage]) -> dict[str, str]:
    return {
        image.image_id: image.difference_hash
        for image in images
        if image.difference_hash is not None
    }


def _group(images: Sequence[SplitImage]) -> _Group:
    counted: Counter[str | None] = Counter()
    for image in images:
        labels: list[str | None] = [name for name, n in image.boxes.items() if n]
        counted.update(labels or [None])
    return _Group(tuple(image.image_id for image in images), counted)


def _whole_shares(shares: Shares) -> dict[str, int]:
    if not all(math.isfinite(share) and share >= 0 for share in shares):
        raise ExportError("A share of the images cannot be below 0; change it.")
    total = sum(shares)
    if total <= 0:
        raise ExportError("Give at least one part a share of the images.")
    return {
        part: round(share / total * _SHARE_STEPS)
        for part, share in zip(PARTS, shares, strict=True)
    }


def _part_sizes(count: int, steps: Mapping[str, int]) -> dict[str, int]:
    total = sum(steps.values())
    sizes = {part: count * step // total for part, step in steps.items()}
    # Among equal remainders and shares: train, then val, then test.
    by_remainder = sorted(steps, key=lambda part: -(count * steps[part] % total))
    for part in by_remainder[: count - sum(sizes.values())]:
        sizes[part] += 1
    for part in sorted(steps, key=lambda part: -steps[part]):
        if steps[part] and not sizes[part]:
            richest = max(PARTS, key=lambda part: sizes[part])
            if sizes[richest] > 1:
                sizes[richest] -= 1
                sizes[part] += 1
    return sizes


class _Dealing:
    """Deals groups of images out to the parts."""

    def __init__(
        self, groups: Sequence[_Group], sizes: Mapping[str, int], seed: int
    ) -> None:
        self._groups = groups
        self._sizes = sizes
        self._seed = seed
        self._room = dict(sizes)
        self._in_all: Counter[str | None] = Counter()
        for group in groups:
            self._in_all.update(group.images)
        self._left = Counter(self._in_all)
        self._dealt = {part: Counter[str | None]() for part in PARTS}
        self._part_of: dict[int, str] = {}

    def parts(self) -> list[str]:
        """Return the part of each group."""
        order = sorted(
            range(len(self._groups)),
            key=lambda at: (-self._groups[at].size, self._groups[at].rank(self._seed)),
        )
        waiting: defaultdict[str | None, list[int]] = defaultdict(list)
        for at in order:
            for label in self._groups[at].images:
                waiting[label].append(at)
        while waiting:
            rarest = min(waiting, key=self._rarity)
            for at in waiting.pop(rarest):
                if at not in self._part_of:
                    self._deal(at, rarest)
        return [self._part_of[at] for at in range(len(self._groups))]

    def _rarity(self, label: str | None) -> tuple[int, bool, str]:
        return self._left[label], label is None, label or ""

    def _deal(self, at: int, label: str | None) -> None:
        group = self._groups[at]
        chosen = min(
            self._with_room(group.size),
            key=lambda part: (
                -self._lack(part, label),
                -self._room[part],
                group.rank(self._seed, part),
            ),
        )
        self._part_of[at] = chosen
        self._room[chosen] -= group.size
        self._dealt[chosen].update(group.images)
        self._left.subtract(group.images)

    def _with_room(self, size: int) -> Sequence[str]:
        fitting = [part for part in PARTS if self._room[part] >= size]
        if fitting:
            return fitting
        most = max(self._room.values())
        return [part for part in PARTS if self._room[part] == most]

    def _lack(self, part: str, label: str | None) -> int:
        """Return how many images of a label a part lacks, times the images of all."""
        wanted = self._sizes[part] * self._in_all[label]
        return wanted - self._dealt[part][label] * sum(self._sizes.values())
