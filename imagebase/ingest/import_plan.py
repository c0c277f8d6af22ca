"""Dry run of an import: its effect, before anything is stored."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from imagebase.annotation import ImageRecord, LabelSet
from imagebase.errors import ImageBaseError
from imagebase.formats.base import ReadImage, ReadResult
from imagebase.images.decode import read_header
from imagebase.ingest.box_merging import Effect, ImportChoice, merged
from imagebase.ingest.image_matching import DroppedImage, How, Match, match_images
from imagebase.settings import Limits
from imagebase.store import Scope, Store
from imagebase.store.edits import BATCH
from imagebase.store.scope import chunks


@dataclass(frozen=True, slots=True)
class ImportedLabel:
    """A label of the files, and what it would be called here.

    number: its class number in the files. uses: boxes, and images tagged with it.
    here: None leaves it out. how: why it is called so, for people.
    """

    number: int
    name: str
    uses: int
    here: str | None
    how: str


class ImportBatch(NamedTuple):
    """Boxes and images that a step touches: befores, afters, and what differs."""

    before: list[ImageRecord]
    after: list[ImageRecord]
    effect: Effect


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Preview of an import: counts, matches and names.

    matches: where the labels of each image would go, in the order of the files.
    new_labels: that the dataset would gain. new_images, new_bytes: that would be added.
    """

    matches: tuple[Match, ...]
    effect: Effect
    new_labels: tuple[str, ...]
    new_images: int
    new_bytes: int

    @property
    def changes_nothing(self) -> bool:
        has_news = self.effect.images or self.new_images or self.new_labels
        return not has_news


def label_rows(
    labels: LabelSet,
    images: Iterable[ReadImage],
    here: LabelSet,
    former: Mapping[str, str],
) -> list[ImportedLabel]:
    """Return the labels of the files with what each would be called in the dataset.

    One of the same name is that label, else one that is the same but for capitals, else
    it is new. Labels that nothing uses come in only where the dataset has none yet:
    then its class numbers are those of the files.

    Args:
        labels, images: of the files.
        here: the dataset's labels.
        former: what its labels were called before, with what each is called now.
    """
    uses = _uses(images)
    folded = _only_ones(here.shown_names)
    rows = []
    for number, name in enumerate(labels.names):
        count = uses[name]
        called, how = _proposed(name, here, former, folded)
        if not count and len(here) and how == "new":
            called, how = None, "not used"
        rows.append(ImportedLabel(number, name, count, called, how))
    return rows


def _uses(images: Iterable[ReadImage]) -> Counter[str]:
    uses: Counter[str] = Counter()
    for image in images:
        uses.update(annotation.label for annotation in image.annotations)
        uses.update(image.tags)
    return uses


def _proposed(
    name: str, here: LabelSet, former: Mapping[str, str], folded: Mapping[str, str]
) -> tuple[str | None, str]:
    if name in here.shown_names:
        return name, "same name"
    if name in former:
        return former[name], "renamed here"
    if _folded(name) in folded:
        return folded[_folded(name)], "same but for capitals"
    return name, "deleted here: comes back" if name in here else "new"


def _only_ones(names: Iterable[str]) -> dict[str, str]:
    """Return names by how they read without capitals, where only one reads so."""
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(_folded(name), []).append(name)
    return {key: ones[0] for key, ones in known.items() if len(ones) == 1}


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def wanted_labels(rows: Iterable[ImportedLabel], choice: ImportChoice) -> list[str]:
    """Return the labels that the dataset is to have, in the order of the files."""
    called = (choice.names.get(row.name, row.here) for row in rows)
    return list(dict.fromkeys(name for name in called if name is not None))


def dry_run(
    store: Store,
    scope: Scope,
    result: ReadResult,
    dropped: Mapping[str, DroppedImage],
    choice: ImportChoice,
    *,
    limits: Limits,
) -> ImportPlan:
    """Return the plan of an import; nothing is written.

    Args:
        result: the labels as read.
        dropped: the image files that came with them.
        choice: how they are to come in.
    """
    here = store.image_summaries(scope)
    matches = match_images(
        *(result.images, dropped, here),
        takes_new=choice.takes_new,
        orientation_of=partial(orientation_of, store, scope, limits),
    )
    effect = Effect()
    for step in steps(store, scope, result.images, matches, choice, limits=limits):
        effect += step.effect
    labels = store.labels(scope)
    former = store.former_label_names(scope)
    rows = label_rows(result.labels, result.images, labels, former)
    new = _new_images(dropped, {row.image_id for row in here})
    return ImportPlan(
        tuple(matches),
        effect,
        tuple(
            label
            for label in wanted_labels(rows, choice)
            if label not in labels.shown_names
        ),
        len(new) if choice.takes_new else 0,
        sum(new.values()) if choice.takes_new else 0,
    )


def steps(
    store: Store,
    scope: Scope,
    images: Iterable[ReadImage],
    matches: Sequence[Match],
    choice: ImportChoice,
    *,
    limits: Limits,
) -> Iterator[ImportBatch]:
    """Yield what becomes of the images that labels go to, at most 50 at a time.

    An image that is not in the dataset yet is taken as it will be once added.
    """
    pairs = (
        (image, match)
        for image, match in zip(images, matches, strict=True)
        if match.image_id and not match.problem
    )
    for batch in chunks(pairs, size=BATCH):
        ids = [match.image_id for _, match in batch]
        known = {
            record.image_id: record for record in store.records(scope, image_ids=ids)
        }
        before, after, effect = [], [], Effect()
        for image, match in batch:
            record = known.get(match.image_id) or _coming(match)
            if record is None:
                continue
            changed, merge = merged(
                record,
                image,
                choice,
                who=scope.who,
                max_boxes=limits.max_boxes_per_image,
                orientation=match.orientation or 1,
            )
            before.append(record)
            after.append(changed)
            effect += merge
        yield ImportBatch(before, after, effect)


def orientation_of(store: Store, scope: Scope, limits: Limits, image_id: str) -> int:
    """Return EXIF's orientation of an image of the dataset; 1 where it has none."""
    most = limits.max_image_pixels
    try:
        data = store.image_bytes(scope, image_id)
        return read_header(data, file_name=image_id, max_pixels=most).orientation
    except (ImageBaseError, OSError):
        return 1


def _coming(match: Match) -> ImageRecord | None:
    if match.how is not How.NEW or match.size is None:
        return None
    return ImageRecord(match.image_id, match.file_name, match.size)


def _new_images(dropped: Mapping[str, DroppedImage], here: set[str]) -> dict[str, int]:
    return {
        value.image_id: value.byte_count
        for value in dropped.values()
        if not value.problem and value.image_id not in here
    }
