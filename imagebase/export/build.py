"""Build an export: select, split, make the images, write and verify the zips."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from imagebase.annotation import ImageRecord
from imagebase.errors import (
    ExportError,
    ImageFileError,
    ImageReadError,
    NotFoundError,
    StorageUnreachableError,
)
from imagebase.export.image_maker import ImageMaker
from imagebase.export.preview import Overlay, draw, places_to_draw
from imagebase.export.request import ExportRequest, in_words, request_json
from imagebase.export.selection import (
    ExportSelection,
    LostImageError,
    SourceImages,
    dealt_into_zips,
    labels_of,
    split_of,
    zips_without_parts,
)
from imagebase.formats.base import PARTS, ExportImage, ExportSet, ImagesAt, WriteOptions
from imagebase.formats.manifest import ExportNotes, warnings_about
from imagebase.formats.registry import format_named
from imagebase.formats.scratch import ScratchImages
from imagebase.formats.verified_export import ExportSummary, Progress, export_zip
from imagebase.store.image_rows import ImageRow
from imagebase.wording import plural

# Of images that are missing; where their place is not there it is all of them.
_MOST_NAMED: Final = 10
NOTHING: Final = "No image is left to export; choose more of them."


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """Order for a build: the request, and folders.

    stem: of the zips' names. folder: theirs; it is there. drafts: for files needed
    during the build; it is there too.
    """

    name: str
    request: ExportRequest
    stem: str
    folder: Path
    drafts: Path
    max_pixels: int


@dataclass(frozen=True, slots=True)
class BuildResult:
    """Result of a build.

    left_out: what of the dataset is not in it, in sentences. warnings: about all of it;
    each zip has its own. with_gps: images that
    hold the place they were taken at. made: images that are variants or crops.
    """

    zips: tuple[ExportSummary, ...]
    overlays: tuple[Overlay, ...]
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]
    parts: Mapping[str, int]
    with_gps: int
    made: int


def build(
    order: BuildOrder, images: SourceImages, *, progress: Progress
) -> BuildResult:
    """Write the zips of an order, each read back and compared.

    Raises:
        ExportError: nothing is left to export, it cannot be done, or did not compare.
        LimitError: an image has more pixels than allowed.
    """
    lost: set[str] = set()
    while True:
        try:
            return _Build(order, images, progress, lost).run()
        except LostImageError as error:
            # It went missing after it was counted: all is planned again without it.
            lost.add(error.image_id)
            _empty(order)


def _empty(order: BuildOrder) -> None:
    """Remove what a build that was given up has written."""
    for path in (*order.folder.glob(f"{order.stem}*.zip"), *order.drafts.iterdir()):
        path.unlink()


class _Build:
    """One try. lost: ids of images whose files are known to be missing or damaged."""

    def __init__(
        self,
        order: BuildOrder,
        images: SourceImages,
        progress: Progress,
        lost: set[str],
    ) -> None:
        self._order = order
        self._request = order.request
        self._images = images
        self._progress = progress
        self._selection = ExportSelection(order.request)
        self._maker = ImageMaker(
            order.request, self._read, folder=order.drafts, max_pixels=order.max_pixels
        )
        self._part_of: Mapping[str, str] = {}
        self._known_lost = lost
        self._lost: list[str] = []
        # Places of images with a box or a label of their own, and labels of the boxes.
        self._full: list[int] = []
        self._labels: dict[str, None] = {}
        self._made_count = self._done = self._total = 0

    def _read(self, image_id: str) -> bytes:
        try:
            return self._images.bytes_of(image_id)
        except StorageUnreachableError:
            raise  # all would be left out until it answers again
        except (ImageFileError, NotFoundError) as error:
            raise LostImageError(image_id) from error

    def _bytes_of(self, image_id: str) -> bytes:
        try:
            return self._maker.bytes_of(image_id)
        except ImageReadError as error:
            raise LostImageError(self._maker.source_of(image_id)) from error

    def run(self) -> BuildResult:
        rows = map(self._selection.counted, self._images.contents())
        candidates = [image for image in rows if image is not None]
        if not candidates:
            raise ExportError(NOTHING)
        left_out = self._selection.left_out()
        self._deal(candidates)
        self._total = len(candidates) + self._variants_to_make()
        with closing(ScratchImages()) as stored:
            self._store(stored)
            if not len(stored):
                raise ExportError(" ".join(_lost_warning(self._lost)) or NOTHING)
            stored.make_names_unique()
            left_out += _lost_warning(self._lost)
            if self._maker.dropped:
                left_out += (_dropped_in_words(self._maker.dropped),)
            left_out += self._blacked()
            self._total = self._done + len(stored)
            return self._zipped(stored, left_out)

    def _store(self, stored: ScratchImages) -> None:
        for image in self._made():
            record = image.record
            if record.annotations or record.tags:
                self._full.append(len(stored))
            self._labels |= dict.fromkeys(
                annotation.label for annotation in record.annotations
            )
            self._made_count += bool(image.made)
            stored.add(image)

    def _blacked(self) -> tuple[str, ...]:
        """Return sentences on boxes left out because ignore areas are black."""
        sentences = []
        boxes = sum(self._maker.blacked_boxes.values())
        if boxes:
            verb = "box is" if boxes == 1 else "boxes are"
            sentences.append(
                f"{boxes:,} {verb} not in it: ignore areas are black there."
            )
        if self._maker.black_variants:
            count = self._maker.black_variants
            sentences.append(f"Ignore areas are black in {count:,} of the variants.")
        return tuple(sentences)

    def _selected(
        self, image_ids: Iterable[str], selection: ExportSelection
    ) -> Iterator[ImageRecord]:
        for record in self._images.records(image_ids):
            subset = selection.taken(record)
            if subset is not None:
                yield subset

    def _record(self, image_id: str) -> ImageRecord:
        record = self._images.record(image_id)
        return ExportSelection(self._request).taken(record) or record

    def _deal(self, candidates: Sequence[ImageRow]) -> None:
        self._part_of = {candidate.image_id: "train" for candidate in candidates}
        if self._request.split is not None:
            self._part_of = split_of(self._request.split, candidates).part_of

    def _variants_to_make(self) -> int:
        recipe = self._request.recipe
        train = sum(part == "train" for part in self._part_of.values())
        return 0 if recipe is None else recipe.variants * train

    def _made(self) -> Iterator[ExportImage]:
        """Yield every image of the export, with the part it is in."""
        train = self._partners()
        for record in self._selected(self._part_of, ExportSelection(self._request)):
            original = self._original(record)
            if original is None:
                self._lost.append(record.file_name)
                self._step()
                continue
            part = self._part_of[record.image_id]
            if self._request.crops:
                images: Iterable[ExportImage] = self._maker.crops(record, original)
            else:
                partners = train if part == "train" else []
                images = self._with_variants(record, original, partners)
            for number, image in enumerate(images):
                if self._request.varies or not number:
                    self._step()
                yield replace(image, part=part)

    def _partners(self) -> list[str]:
        """Return the training images that variants are made with."""
        train = sorted(
            image_id for image_id, part in self._part_of.items() if part == "train"
        )
        if not self._request.varies:
            return train
        records = self._images.records(train)
        return [
            record.image_id for record in records if self._original(record) is not None
        ]

    def _original(self, record: ImageRecord) -> ExportImage | None:
        """Return an image; None where its file is missing or damaged."""
        if record.image_id in self._known_lost:
            return None
        try:
            return self._maker.original(record)
        except (LostImageError, ImageReadError):
            return None

    def _with_variants(
        self, record: ImageRecord, original: ExportImage, train: Sequence[str]
    ) -> Iterator[ExportImage]:
        yield original
        if train and self._request.varies:
            yield from self._maker.variants(
                record, original=original, record_of=self._record, partners=train
            )

    def _step(self) -> None:
        self._done += 1
        self._progress(self._done, 2 * self._total)

    def _zipped(self, stored: ScratchImages, left_out: tuple[str, ...]) -> BuildResult:
        labels = labels_of(self._request, self._images.labels())
        whole = ExportSet(self._order.name, labels.with_labels(self._labels), stored)
        drawn = self._to_be_drawn(stored)
        parts = list(stored.part_of_each())
        zips = dealt_into_zips(
            parts, stored.byte_counts(), most_bytes=self._request.zip_bytes
        )
        summaries, overlays = [], []
        for number, places in enumerate(zips, start=1):
            about = ExportNotes(
                number,
                len(zips),
                in_words(self._request),
                _settings(self._request),
                left_out,
            )
            held = replace(whole, images=ImagesAt(stored, places))
            summary = self._zip(held, about, [image.record.image_id for image in drawn])
            summaries.append(summary)
            overlays += draw(
                summary, drawn, whole.labels, max_pixels=self._order.max_pixels
            )
        counts = Counter(parts if self._request.split else ())
        format_ = format_named(self._request.format)
        return BuildResult(
            tuple(summaries),
            tuple(overlays),
            left_out,
            _lost_warning(self._lost)
            + warnings_about(whole, format_)
            + _part_warnings(parts, zips)
            + _gps_warning(len(self._maker.with_gps)),
            {part: counts[part] for part in PARTS if counts[part]},
            len(self._maker.with_gps),
            self._made_count,
        )

    def _to_be_drawn(self, stored: ScratchImages) -> list[ExportImage]:
        if not self._request.with_images:
            return []
        return list(stored.at(places_to_draw(self._full, len(stored))))

    def _zip(
        self, export_set: ExportSet, about: ExportNotes, keep: Sequence[str]
    ) -> ExportSummary:
        order, before = self._order, self._done
        before_gps = len(self._maker.with_gps)

        def report(done: int, total: int) -> None:
            self._progress(before + done, self._total)

        summary = export_zip(
            export_set,
            self._request.format,
            images=self._bytes_of,
            path=order.folder / zip_name(order.stem, about),
            options=WriteOptions(with_images=self._request.with_images),
            progress=report,
            image_warnings=lambda: _gps_warning(len(self._maker.with_gps) - before_gps),
            about=about,
            keep=keep,
            max_pixels=order.max_pixels,
        )
        self._done += len(export_set.images)
        return summary


def zip_name(stem: str, about: ExportNotes) -> str:
    """Return what a zip is called; numbered where there are several."""
    number = f"-{about.number}-of-{about.of}" if about.of > 1 else ""
    return f"{stem}{number}.zip"


def _settings(request: ExportRequest) -> Mapping[str, Any]:
    """Return the parts of a request that describe the files."""
    document = request_json(request)
    return {
        name: value
        for name, value in document.items()
        if name not in ("format", "zip_bytes", "made_bytes")
    }


def _dropped_in_words(count: int) -> str:
    verb, them = ("is", "it") if count == 1 else ("are", "them")
    return (
        f"{plural(count, 'box')} {verb} not in the variants: too little of {them} was "
        "left."
    )


def _part_warnings(
    parts: Sequence[str], zips: Sequence[Sequence[int]]
) -> tuple[str, ...]:
    return tuple(
        f"{count:,} of {plural(len(zips), 'zip')} "
        f"{'has' if count == 1 else 'have'} no image for {part}: give it a larger "
        "share."
        for part, count in zips_without_parts(parts, zips).items()
    )


def _lost_warning(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    named = ", ".join(names[:_MOST_NAMED])
    if len(names) == 1:
        return (f"{named} is not in it: its file is missing or damaged; add it again.",)
    more = len(names) - _MOST_NAMED
    others = f" and {more:,} more" if more > 0 else ""
    return (
        f"{named}{others} are not in it: their files are missing or damaged; add them "
        "again.",
    )


def _gps_warning(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    carry = "1 image carries" if count == 1 else f"{count:,} images carry"
    them = "it was" if count == 1 else "they were"
    return (
        f"{carry} the place {them} taken at; export without metadata to remove it.",
    )
