"""Make the images of an export: originals, resized, cropped or augmented.

What label files say of an image is known before its file is written: sizes and boxes at
another size follow from the placement, those of a crop from its box. Variants alone are
made at once, and lie on disk until they are written.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Size
from imagebase.annotation.areas import Point, Shape
from imagebase.annotation.coverage import is_inside, mask_of
from imagebase.augmentation import LabelledImage, variant
from imagebase.errors import ExportError
from imagebase.export.request import (
    AREAS_BLACK,
    AREAS_LEFT,
    AREAS_WRITTEN,
    ExportRequest,
)
from imagebase.formats.base import ExportImage
from imagebase.formats.file_names import split_suffix, with_suffix
from imagebase.formats.registry import format_named
from imagebase.formats.shapes import whole_pixels, writable
from imagebase.images.decode import (
    EXPORT_QUALITY,
    RgbArray,
    encode_jpeg,
    encode_png,
    export_image,
    load_image,
    read_header,
    written_suffix,
)
from imagebase.images.metadata import has_gps, without_metadata
from imagebase.images.resize import Placement

Read = Callable[[str], bytes]

# Approximate bytes in label files of an image and of a box.
_IMAGE_BYTES: Final = 600
_BOX_BYTES: Final = 120


class _Crop(NamedTuple):
    """Whole pixels of an image, and what kind of file they are written as."""

    image_id: str
    box: Box
    suffix: str


class ImageMaker:
    """Makes the images of one export, one at a time.

    with_gps: ids of images handed out that hold the place where they were taken.
    dropped: boxes of variants of which too little was left.
    blacked_boxes: boxes in areas that are black, by image id. black_variants: how many
    have areas of the image that they were made of.
    """

    def __init__(
        self, request: ExportRequest, read: Read, *, folder: Path, max_pixels: int
    ) -> None:
        """Args:
        read: the bytes of an image as it came, by its id.
        folder: for variants; it is there.
        max_pixels: of an image.
        """
        self._request = request
        self._read = read
        self._folder = folder
        self._max_pixels = max_pixels
        self._readable = format_named(request.format).image_suffixes
        self._names: dict[str, str] = {}
        self._crops: dict[str, _Crop] = {}
        self._variants: dict[str, Path] = {}
        self._made_bytes = 0
        self._loaded: tuple[str, RgbArray] | None = None
        self.with_gps: set[str] = set()
        self._black: dict[str, tuple[Shape, ...]] = {}
        self.dropped = 0
        self.blacked_boxes: dict[str, int] = {}
        self.black_variants = 0

    def original(self, record: ImageRecord) -> ExportImage:
        """Return a dataset's image at the size asked for, with its boxes.

        Raises:
            ImageFileError, NotFoundError: its file is not there.
            ImageReadError, LimitError: as for `load_image`.
        """
        image_id = record.image_id
        self._names[image_id] = record.file_name
        record = self._with_areas(record)
        header = read_header(
            self._read(image_id),
            file_name=record.file_name,
            max_pixels=self._max_pixels,
        )
        placement = self._placement(record.size)
        came = written_suffix(header, self._readable)
        boxes = _BOX_BYTES * len(record.annotations)
        if placement.changes_nothing and image_id not in self._black:
            weight = record.byte_count + boxes + _IMAGE_BYTES
            return _export_image(self._named(record, came), came, weight)
        share = _pixels(placement.canvas) / _pixels(record.size)
        weight = round(record.byte_count * share) + boxes + _IMAGE_BYTES
        suffix = _suffix_of(header.export_suffix)
        return _export_image(_placed(record, placement), suffix, weight)

    def _with_areas(self, record: ImageRecord) -> ImageRecord:
        """Return the record with its areas as asked for: to be written, black, or none.

        Black areas show nothing: boxes in them are left out.
        """
        if not record.ignored or self._request.areas == AREAS_WRITTEN:
            return record
        whole = replace(record, ignored=())
        if self._request.areas == AREAS_BLACK:
            self._black[record.image_id] = record.ignored
            whole = whole.with_annotations(_outside(record))
            left = len(record.annotations) - len(whole.annotations)
            self.blacked_boxes[record.image_id] = left
        return whole

    def crops(
        self, record: ImageRecord, original: ExportImage
    ) -> Iterator[ExportImage]:
        """Yield a crop of each box that can be written, in whole pixels."""
        record = replace(self._with_areas(record), ignored=())
        stem, _ = split_suffix(record.file_name)
        annotations = writable(ExportImage(record, record.file_name))
        for number, annotation in enumerate(annotations, start=1):
            crop_id = f"{record.image_id}-box-{number}"
            box = Box(*whole_pixels(annotation.box)).clipped(record.size)
            size = Size(round(box.width), round(box.height))
            suffix = _suffix_of(split_suffix(original.name)[1])
            self._crops[crop_id] = _Crop(record.image_id, box, suffix)
            self._names[crop_id] = record.file_name
            cut = replace(
                record,
                image_id=crop_id,
                file_name=f"{stem}_{number}{suffix}",
                size=self._placement(size).canvas,
                annotations=(),
                tags=(annotation.label,),
            )
            share = _pixels(size) / _pixels(record.size)
            weight = round(record.byte_count * share) + _IMAGE_BYTES
            origin = f"box {number} of {record.file_name}"
            yield _export_image(cut, suffix, weight, origin)

    def variants(
        self,
        record: ImageRecord,
        *,
        original: ExportImage,
        record_of: Callable[[str], ImageRecord],
        partners: Sequence[str],
    ) -> Iterator[ExportImage]:
        """Yield the variants of a training image.

        Args:
            record: of the dataset, not resized.
            original: the same image in the export.
            record_of: other training images, for a mosaic.
            partners: their ids, in order.

        Raises:
            ExportError: they take more disk than they may.
        """
        recipe = self._request.recipe
        if recipe is None:
            return
        areas = self._request.areas
        suffix = _suffix_of(split_suffix(original.name)[1])

        def load(image_id: str) -> LabelledImage:
            own = image_id == record.image_id
            donor = record if own else record_of(image_id)
            rgb = self._pixels_of(donor, keeps=own)
            if not donor.ignored or areas == AREAS_LEFT:
                return LabelledImage(rgb, donor.annotations)
            return LabelledImage(_blacked(rgb, donor.ignored), tuple(_outside(donor)))

        for number in range(recipe.variants):
            copy = variant(
                recipe, record.image_id, number, load=load, partners=partners
            )
            self.dropped += copy.dropped
            self.black_variants += bool(record.ignored) and areas != AREAS_LEFT
            yield self._kept(record, number + 1, copy, suffix)

    def bytes_of(self, image_id: str) -> bytes:
        """Return the file that is written for an image, crop or variant."""
        if image_id in self._variants:
            return self._variants[image_id].read_bytes()
        crop = self._crops.get(image_id)
        if crop is not None:
            return self._cut(crop)
        name = self._names[image_id]
        data = self._read(image_id)
        header = read_header(data, file_name=name, max_pixels=self._max_pixels)
        placement = self._placement(header.size)
        suffix = written_suffix(header, self._readable)
        black = self._black.get(image_id, ())
        is_as_it_came = placement.changes_nothing and not black
        if not is_as_it_came or suffix != header.export_suffix:
            rgb = _blacked(self._decoded(data, name), black)
            return _encoded(placement.pixels(rgb), _suffix_of(suffix))
        return self._as_it_came(image_id, data, name)

    def source_of(self, image_id: str) -> str:
        """Return the id of the dataset's image that an image is or was cut out of."""
        crop = self._crops.get(image_id)
        return image_id if crop is None else crop.image_id

    def _named(self, record: ImageRecord, suffix: str) -> ImageRecord:
        """Return the record under a name that the format's program understands."""
        stem, current = split_suffix(record.file_name)
        readable = self._readable
        if readable is None or current in readable or current.lower() not in readable:
            return record
        return replace(record, file_name=stem + suffix)

    def _as_it_came(self, image_id: str, data: bytes, name: str) -> bytes:
        most = self._max_pixels
        data = export_image(data, file_name=name, max_pixels=most).data
        if self._request.without_metadata:
            data = without_metadata(data, file_name=name, max_pixels=most)
        if has_gps(data):
            self.with_gps.add(image_id)
        return data

    def _cut(self, crop: _Crop) -> bytes:
        name = self._names[crop.image_id]
        if self._loaded is None or self._loaded[0] != crop.image_id:
            data = self._read(crop.image_id)
            black = self._black.get(crop.image_id, ())
            rgb = _blacked(self._decoded(data, name), black)
            self._loaded = (crop.image_id, rgb)
        left, top, right, bottom = map(round, crop.box)
        rgb = self._loaded[1][top:bottom, left:right]
        placement = self._placement(Size(right - left, bottom - top))
        return _encoded(placement.pixels(rgb), crop.suffix)

    def _kept(
        self, record: ImageRecord, number: int, image: LabelledImage, suffix: str
    ) -> ExportImage:
        stem, _ = split_suffix(record.file_name)
        size = Size(image.rgb.shape[1], image.rgb.shape[0])
        placement = self._placement(size)
        data = _encoded(placement.pixels(image.rgb), suffix)
        self._made_bytes += len(data)
        most = self._request.made_bytes
        if self._made_bytes > most:
            raise ExportError(
                f"The variants take more than {most // 10**6:,} MB; ask for fewer, or "
                "for smaller images."
            )
        varied = replace(
            record,
            image_id=f"{record.image_id}-variant-{number}",
            file_name=f"{stem}_v{number}{suffix}",
            size=size,
            annotations=image.annotations,
            quality=None,
            ignored=(),
        )
        path = self._folder / f"{len(self._variants)}{suffix}"
        path.write_bytes(data)
        self._variants[varied.image_id] = path
        weight = len(data) + _BOX_BYTES * len(image.annotations) + _IMAGE_BYTES
        words = f"variant {number} of {record.file_name}"
        return _export_image(_placed(varied, placement), suffix, weight, words)

    def _pixels_of(self, record: ImageRecord, *, keeps: bool) -> RgbArray:
        """Return an image's pixels; the last that was to be kept is at hand."""
        image_id = record.image_id
        if self._loaded is not None and self._loaded[0] == image_id:
            return self._loaded[1]
        rgb = self._decoded(self._read(image_id), record.file_name)
        if keeps:
            self._loaded = (image_id, rgb)
        return rgb

    def _decoded(self, data: bytes, name: str) -> RgbArray:
        return load_image(data, file_name=name, max_pixels=self._max_pixels).rgb

    def _placement(self, size: Size) -> Placement:
        if self._request.resizing is None:
            return Placement(size, size, size)
        return self._request.resizing.placement(size)


def _export_image(
    record: ImageRecord, suffix: str, byte_count: int, made: str = ""
) -> ExportImage:
    return ExportImage(
        record,
        with_suffix(record.file_name, suffix),
        record.status is ReviewStatus.APPROVED,
        made=made,
        byte_count=byte_count,
    )


def _placed(record: ImageRecord, placement: Placement) -> ImageRecord:
    annotations = tuple(
        _moved(annotation, record.size, placement) for annotation in record.annotations
    )
    across = placement.inner.width / placement.source.width
    down = placement.inner.height / placement.source.height
    ignored = tuple(
        shape.moved(Point(across, down), Point(placement.left, placement.top))
        for shape in record.ignored
    )
    return replace(
        record, size=placement.canvas, annotations=annotations, ignored=ignored
    )


def _outside(record: ImageRecord) -> Iterator[Annotation]:
    boxes = np.array([annotation.box for annotation in record.annotations], np.float64)
    inside = is_inside(boxes, record.ignored, record.size)
    for annotation, is_in in zip(record.annotations, inside.tolist(), strict=True):
        if not is_in:
            yield annotation


def _blacked(rgb: RgbArray, shapes: tuple[Shape, ...]) -> RgbArray:
    """Return the image with shapes in its pixels black; itself without any."""
    if not shapes:
        return rgb
    mask = mask_of(shapes, Size(rgb.shape[1], rgb.shape[0]))
    return np.where(mask[..., None], np.uint8(0), rgb)


def _moved(annotation: Annotation, size: Size, placement: Placement) -> Annotation:
    """Return a box where it lies now; what reached over the image is cut first.

    Otherwise it would come to lie on the grey around it.
    """
    if not annotation.box.is_finite:
        return annotation
    return replace(
        annotation, box=placement.box(annotation.box.normalised().clipped(size))
    )


def _suffix_of(suffix: str) -> str:
    """Return what an image made from such a file is written as."""
    return ".jpg" if suffix.lower() in (".jpg", ".jpeg", ".webp") else ".png"


def _encoded(rgb: RgbArray, suffix: str) -> bytes:
    if suffix == ".jpg":
        return encode_jpeg(rgb, quality=EXPORT_QUALITY)
    return encode_png(rgb)


def _pixels(size: Size) -> int:
    return size.width * size.height
