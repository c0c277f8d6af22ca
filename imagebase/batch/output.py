"""What a labelling run writes: label files, and pictures beside them.

Pictures are read a second time for it. One that cannot be read any more is refused, and
all is written without it.
"""

import contextlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from imagebase.annotation import ImageRecord, LabelSet
from imagebase.batch.summary import Refusal
from imagebase.errors import ImageBaseError, ImageReadError
from imagebase.formats.base import ExportImage, ExportSet, WriteOptions
from imagebase.formats.file_names import build_export_set
from imagebase.formats.registry import format_named
from imagebase.formats.verified_export import export_folder
from imagebase.images.decode import (
    ImageHeader,
    export_image,
    read_header,
    written_suffix,
)
from imagebase.images.scan import SourceFile


@dataclass(frozen=True, slots=True)
class Labelled:
    """The records of the images that could be read, and the other files.

    headers: what the image files said of themselves, by name.
    resumed: how many of the records an interrupted run left.
    """

    labels: LabelSet
    records: tuple[ImageRecord, ...]
    refused: tuple[Refusal, ...]
    headers: Mapping[str, ImageHeader]
    resumed: int = 0

    def without(self, refused: Mapping[str, Refusal]) -> "Labelled":
        """Return the same with some of the records refused."""
        kept = tuple(one for one in self.records if one.file_name not in refused)
        return replace(self, records=kept, refused=(*self.refused, *refused.values()))


def write_label_files(
    labelled: Labelled,
    formats: Sequence[str],
    files: Sequence[SourceFile],
    output: Path,
    *,
    max_pixels: int,
) -> Labelled:
    """Write each format into its folder, and return what is in all of them.

    Where nothing is labelled nothing is written: what an earlier run wrote stays.

    Raises:
        ExportError: it cannot be written.
    """
    # Those with pictures find out which of these cannot be read any more.
    names = sorted(
        dict.fromkeys(formats), key=lambda name: format_named(name).is_in_place
    )
    while labelled.records:
        pictures = _Pictures(labelled, files, max_pixels)
        try:
            for name in names:
                _write_format(name, labelled, pictures, output)
            break
        except ImageReadError:
            if not pictures.refused:
                raise
            # All are looked at now, or each lost one would have all written anew.
            pictures.check_all()
            labelled = labelled.without(pictures.refused)
    return labelled


class _Pictures:
    """The image files of a run, read once more. refused: those that cannot be."""

    def __init__(
        self, labelled: Labelled, files: Sequence[SourceFile], max_pixels: int
    ) -> None:
        self._headers = {
            one.file_name: labelled.headers[one.file_name] for one in labelled.records
        }
        self._reads = {one.name: one.read for one in files}
        self._max_pixels = max_pixels
        self.refused: dict[str, Refusal] = {}

    def bytes_of(self, name: str, *, readable: Container[str] | None = None) -> bytes:
        """Return a picture as it is written.

        Args:
            readable: suffixes of what the program reads that it is for.

        Raises:
            ImageReadError: it cannot be read any more, or is another by now.
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
            raise ImageReadError(
                f"{name} was changed while it was labelled; label it again."
            )
        return data


def _write_format(
    format_name: str, labelled: Labelled, pictures: _Pictures, output: Path
) -> None:
    one = format_named(format_name)
    if one.is_in_place:
        export_set = _in_place(labelled)
        options = WriteOptions(with_images=False)
    else:
        export_set = build_export_set(
            output.name,
            labelled.labels,
            labelled.records,
            lambda record: written_suffix(
                labelled.headers[record.file_name], one.image_suffixes
            ),
            readable=one.image_suffixes,
        )
        options = WriteOptions()
    export_folder(
        export_set,
        format_name,
        images=partial(pictures.bytes_of, readable=one.image_suffixes),
        folder=output / format_name,
        options=options,
    )


def _in_place(labelled: Labelled) -> ExportSet:
    """Return the set under the names that the files have where they lie."""
    return ExportSet(
        "annotate",
        labelled.labels,
        tuple(
            ExportImage(record, record.file_name, is_reviewed=False)
            for record in labelled.records
        ),
    )
