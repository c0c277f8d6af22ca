"""What a run writes: label files with copies of the images, and run.json.

Images are read a second time to copy them. One that cannot be read any more is refused,
and the label files are written without it.
"""

import contextlib
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, Self

from imagebase.annotation import ImageRecord, LabelSet
from imagebase.batch.parts import PartHeaders, PartRecords
from imagebase.batch.resume import Refusal
from imagebase.detection.detector import Detector
from imagebase.errors import ImageBaseError, ImageReadError
from imagebase.formats.base import (
    PARTS,
    ExportImage,
    ExportSet,
    Format,
    StoredImages,
    WriteOptions,
)
from imagebase.formats.file_names import export_names, with_suffix
from imagebase.formats.registry import format_named
from imagebase.formats.verified_export import export_folder
from imagebase.images.decode import (
    ImageHeader,
    export_image,
    read_header,
    written_suffix,
)
from imagebase.images.scan import SourceFile
from imagebase.images.skipped_files import RUN_FILE, SkippedFiles
from imagebase.wording import plural


@dataclass(frozen=True, slots=True)
class AnnotatedImages:
    """The records of the images that could be read, and the refused files.

    records: may be made when it is their turn, each time anew.
    headers: of their files, by name, in their order.
    resumed: how many of the records an interrupted run had done.
    """

    labels: LabelSet
    records: Sequence[ImageRecord]
    refused: tuple[Refusal, ...]
    headers: Mapping[str, ImageHeader]
    resumed: int = 0

    def without(self, refused: Mapping[str, Refusal]) -> "AnnotatedImages":
        """Return the same with some of the records refused."""
        records: Sequence[ImageRecord]
        headers: Mapping[str, ImageHeader]
        if isinstance(self.records, PartRecords):
            records = self.records.without(refused)
            headers = PartHeaders(records)
        else:
            records = tuple(r for r in self.records if r.file_name not in refused)
            headers = {r.file_name: self.headers[r.file_name] for r in records}
        return replace(
            self,
            records=records,
            headers=headers,
            refused=(*self.refused, *refused.values()),
        )


def write_label_files(
    annotated: AnnotatedImages,
    formats: Sequence[str],
    files: Sequence[SourceFile],
    output: Path,
    *,
    max_pixels: int,
) -> AnnotatedImages:
    """Write each format into its folder, and return the images that are in all of them.

    Without images nothing is written: label files of an earlier run stay.

    Raises:
        ExportError: it cannot be written.
    """
    # Formats that copy images go first: they find those that cannot be read any more.
    names = sorted(
        dict.fromkeys(formats), key=lambda name: format_named(name).is_in_place
    )
    while annotated.records:
        images = _ImageFiles(annotated, files, max_pixels)
        try:
            for name in names:
                _write_format(name, annotated, images, output)
            break
        except ImageReadError:
            if not images.refused:
                raise
            # Check all of them now, or each missing one would start the writing over.
            images.check_all()
            annotated = annotated.without(images.refused)
    return annotated


class _ImageFiles:
    """The image files of a run, read a second time. refused: those that cannot be."""

    def __init__(
        self, annotated: AnnotatedImages, files: Sequence[SourceFile], max_pixels: int
    ) -> None:
        self._headers = annotated.headers
        self._reads = {file.name: file.read for file in files}
        self._max_pixels = max_pixels
        self.refused: dict[str, Refusal] = {}

    def bytes_of(self, name: str, *, readable: Container[str] | None = None) -> bytes:
        """Return the bytes of an image file for the output.

        Args:
            readable: suffixes that the format's programs read; None for all.

        Raises:
            ImageReadError: it cannot be read any more, or has changed.
        """
        try:
            data = self._read_again(name)
            return export_image(
                data, file_name=name, max_pixels=self._max_pixels, readable=readable
            ).data
        except ImageBaseError as error:
            self.refused[name] = Refusal(name, str(error))
            raise ImageReadError(str(error)) from error

    def check_all(self) -> None:
        for name in self._headers:
            if name not in self.refused:
                with contextlib.suppress(ImageReadError):
                    self.bytes_of(name)

    def _read_again(self, name: str) -> bytes:
        data = self._reads[name]()
        header = read_header(data, file_name=name, max_pixels=self._max_pixels)
        if header != self._headers[name]:
            raise ImageReadError(f"{name} changed during the run; run it again.")
        return data


def _write_format(
    format_name: str, annotated: AnnotatedImages, images: _ImageFiles, output: Path
) -> None:
    target = format_named(format_name)
    if target.is_in_place:
        export_set = _in_place(annotated)
        options = WriteOptions(with_images=False)
    else:
        export_set = _with_copies(output.name, annotated, target)
        options = WriteOptions()
    export_folder(
        export_set,
        format_name,
        images=partial(images.bytes_of, readable=target.image_suffixes),
        folder=output / format_name,
        options=options,
    )


def _in_place(annotated: AnnotatedImages) -> ExportSet:
    """Return the set under the file names of the source."""
    return ExportSet(
        "annotate",
        annotated.labels,
        _Images(annotated.records, tuple(annotated.headers)),
    )


def _with_copies(name: str, annotated: AnnotatedImages, target: Format) -> ExportSet:
    """Return the set under the names of the files that will be written."""
    readable = target.image_suffixes
    wanted = [
        with_suffix(file, written_suffix(header, readable), readable)
        for file, header in annotated.headers.items()
    ]
    images = _Images(annotated.records, export_names(wanted))
    return ExportSet(name, annotated.labels, images)


class _Images(StoredImages):
    """Images whose records are made when it is their turn; nobody has reviewed them."""

    def __init__(self, records: Sequence[ImageRecord], names: Sequence[str]) -> None:
        self._records = records
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[ExportImage]:
        for record, name in zip(self._records, self._names, strict=True):
            yield ExportImage(record, name, is_reviewed=False)

    def names(self) -> Iterator[str]:
        return iter(self._names)

    def part_of_each(self) -> Iterator[str]:
        return repeat(PARTS[0], len(self))


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The result of a run, as run.json has it.

    images, boxes: how many. refused: files that could not be annotated.
    seconds: wall time from the first file opened to the last output closed.
    images_per_second: images divided by `seconds`.
    load_seconds: how long loading the model took, before that.
    model: its `id` and `sha256`. settings: of the run.
    passed_over: how many files of the source are not images, by suffix.
    remarks: those and earlier exports in the source, in sentences; not in run.json.
    resumed: images that an interrupted run had done; not in run.json.
    """

    images: int
    boxes: int
    refused: tuple[Refusal, ...]
    seconds: float
    images_per_second: float
    load_seconds: float
    model: dict[str, str]
    settings: dict[str, Any]
    passed_over: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    resumed: int = 0

    @classmethod
    def of(
        cls,
        annotated: AnnotatedImages,
        *,
        model: Detector,
        settings: dict[str, Any],
        seconds: float,
        load_seconds: float,
        skipped: SkippedFiles,
    ) -> Self:
        count = len(annotated.records)
        return cls(
            images=count,
            boxes=sum(len(record.annotations) for record in annotated.records),
            refused=annotated.refused,
            seconds=seconds,
            images_per_second=count / seconds if seconds else 0.0,
            load_seconds=load_seconds,
            model={"id": model.model_id, "sha256": model.sha256},
            settings=settings,
            passed_over=skipped.kinds,
            remarks=tuple(skipped.sentences()),
            resumed=annotated.resumed,
        )

    def in_words(self) -> str:
        """Return the summary as one line."""
        refused = f", {len(self.refused):,} refused" if self.refused else ""
        resumed = f", {self.resumed:,} of them seen before" if self.resumed else ""
        return (
            f"{plural(self.images, 'image')}{resumed}, {plural(self.boxes, 'box')}"
            f"{refused} in "
            f"{self.seconds:.1f} s ({self.images_per_second:.1f} images/s) with "
            f"{self.model['id']}"
        )

    def as_json(self) -> str:
        """Return the text of run.json."""
        document = asdict(self)
        del document["resumed"], document["remarks"]
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_run_file(output: Path, summary: RunSummary) -> None:
    """Write run.json in one step: a reader finds the previous one or this one.

    Raises:
        OSError: it cannot be written.
    """
    draft = output / f".{RUN_FILE}"
    draft.write_text(summary.as_json(), encoding="utf-8")
    draft.replace(output / RUN_FILE)
