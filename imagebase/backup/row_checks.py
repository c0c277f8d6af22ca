"""Check the rows of a backup, which may come from anywhere."""

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from imagebase.annotation import (
    MAX_LABEL_LENGTH,
    Box,
    ReviewStatus,
    Size,
    Source,
    storable_text,
)
from imagebase.annotation.areas import shape_of_json
from imagebase.annotation.attributes import check_attributes
from imagebase.backup.write import image_path
from imagebase.detection.candidates import unpack
from imagebase.detection.taught.model import labels_in
from imagebase.editing.records import MAX_COMMENT_LENGTH, MAX_TAGS
from imagebase.errors import LimitError, ModelLoadError, StoreError
from imagebase.images.archives import safe_name
from imagebase.learning.image_vectors import LENGTH
from imagebase.settings import Limits
from imagebase.store.backup_rows import CopiedTable, row_of
from imagebase.store.candidates import IMAGE_VECTORS
from imagebase.store.diff import ANNOTATION, AREA, LABEL, REVIEW
from imagebase.store.ignore_areas import area_of_json
from imagebase.store.labels import LabelRow
from imagebase.store.mapping import QUALITY, checked_json, placed_from_json
from imagebase.store.uncertainty import REASONS

_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{6}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_HASH: Final = re.compile(r"[0-9a-f]{16}")
_MAX_POSITION: Final = 2**31 - 1
_MAX_PX: Final = 1e6
_KINDS: Final = frozenset({"edit", "undo", "redo"})
_STATES: Final = frozenset({"done", "undone", "dropped"})

_MAX_NAME_LENGTH: Final = 400
_LONG_TEXTS: Final = frozenset({"text", "comment", "reason", "error", "message"})
# Earlier versions took paths of any length from zips.
_MAX_PATH_LENGTH: Final = 4096

Row = Mapping[str, Any]


# OverflowError: of whole numbers that are too large to be anything.
_UNREADABLE: Final = (
    *(KeyError, TypeError, AttributeError, OverflowError, StoreError),
)


class RowChecks:
    """Checks rows in the order of the tables, and remembers what later ones speak of.

    sizes, file_names, byte_counts: of the images, by id. paths: of their files.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._labels = 0
        self._seen: set[tuple[object, ...]] = set()
        self._image_now, self._boxes_now = "", set[str]()
        self._images_bytes = 0
        self.sizes: dict[str, Size] = {}
        self.file_names: dict[str, str] = {}
        self.byte_counts: dict[str, int] = {}
        self.paths: dict[str, str] = {}
        self._checks: dict[str, Callable[[Row], object]] = {
            "labels": self._label,
            "label_aliases": self._alias,
            "label_mappings": self._mapping,
            "label_thresholds": self._threshold,
            "images": self._image,
            "annotations": self._annotation,
            "comments": self._comment,
            "ignore_areas": self._ignore_area,
            "doubts": self._doubt,
            "candidates": self._candidates,
            "changes": self._change,
            "events": self._event,
            "runs": self._run,
            "taught_models": self._taught_model,
        }

    def check(self, copied: CopiedTable, fields: object) -> None:
        """Check a row.

        Raises:
            ValueError: a value in it is invalid.
            LimitError: the backup holds more than allowed.
        """
        row = row_of(copied, fields)
        is_of_image = copied.needs_image or row.get("image_id") is not None
        if is_of_image and copied.name not in ("images", "events"):
            _must(row["image_id"] in self.sizes, "its image is not in this backup")
        _check_lengths(row)
        try:
            self._checks[copied.name](row)
        except (LimitError, ValueError):
            raise
        except _UNREADABLE as error:
            raise ValueError(f"it cannot be read ({error})") from error

    def _once(self, *key: object) -> None:
        _must(key not in self._seen, "it is a duplicate")
        self._seen.add(key)

    def _label(self, row: Row) -> None:
        _must(row["position"] == self._labels, "class ids are out of order")
        _must(_is_label(row["name"]), "invalid name")
        _must(bool(_COLOUR.fullmatch(row["colour"])), "invalid colour")
        _must(0 <= row["place"] <= _MAX_POSITION, "invalid position")
        self._once("label", row["name"])
        self._labels += 1
        if self._labels > self._limits.max_labels:
            raise LimitError(
                f"A dataset has at most {self._limits.max_labels:,} labels here, and "
                "this backup has more; restore it where more are allowed."
            )

    def _alias(self, row: Row) -> None:
        _must(0 <= row["position"] < self._labels, "unknown label")
        self._once("alias", row["name"])

    def _mapping(self, row: Row) -> None:
        self._once("mapping", row["model_id"], row["model_label"])

    def _threshold(self, row: Row) -> None:
        _must(0 <= row["confidence"] <= 1, "invalid confidence")
        self._once("threshold", row["model_id"], row["label"])

    def _image(self, row: Row) -> None:
        image_id, size = row["image_id"], Size(row["width"], row["height"])
        _must(bool(_SHA256.fullmatch(image_id)), "invalid id")
        self._once("image", image_id)
        _must(min(size) > 0, "invalid size")
        if size.width * size.height > self._limits.max_image_pixels:
            raise LimitError(
                f"{row['file_name']} has more than the "
                f"{self._limits.max_image_pixels // 1_000_000:,} megapixels allowed."
            )
        ReviewStatus(row["status"])
        _check_tags(row["tags"])
        _check_quality(row["quality"])
        _must(row["revision"] >= 0, "invalid revision")
        self.sizes[image_id] = size
        self.file_names[image_id] = safe_name(row["file_name"])
        self.paths[image_id] = image_path(image_id, row["file_name"])
        self.byte_counts[image_id] = row["byte_count"]
        self._count_image(row["byte_count"])

    def _count_image(self, byte_count: int) -> None:
        _must(byte_count >= 0, "invalid file size")
        self._images_bytes += byte_count
        limits = self._limits
        if len(self.sizes) > limits.max_dataset_images:
            raise LimitError(
                f"A dataset has at most {limits.max_dataset_images:,} images here, and "
                "this backup has more; restore it where more are allowed."
            )
        if self._images_bytes > limits.max_dataset_bytes:
            raise LimitError(
                f"A dataset may hold {limits.max_dataset_bytes // 1_000_000:,} MB "
                "here, and this backup is larger; restore it where more is allowed."
            )

    def _annotation(self, row: Row) -> None:
        self._once_on_image(row["image_id"], row["annotation_id"])
        box = Box(row["x_min"], row["y_min"], row["x_max"], row["y_max"])
        Source(row["source"])
        _check_box(box, row["label"], row["confidence"], row["position"])
        check_attributes(row["attributes"])
        _must(
            ("label", row["label"]) in self._seen, "its label is not in the label list"
        )

    def _once_on_image(self, image_id: str, annotation_id: str) -> None:
        """Refuse a box twice; an image's boxes come one after another."""
        if image_id != self._image_now:
            self._image_now, self._boxes_now = image_id, set()
        _must(annotation_id not in self._boxes_now, "it is a duplicate")
        self._boxes_now.add(annotation_id)

    def _comment(self, row: Row) -> None:
        _must(0 < len(row["text"]) <= MAX_COMMENT_LENGTH, "invalid text")
        _check_marks(row["marks"])

    def _ignore_area(self, row: Row) -> None:
        self._once("ignore area", row["area_id"])
        size = Size(row["width"], row["height"])
        _must(min(size) > 0 and max(size) <= _MAX_PX, "invalid size")
        shape_of_json(row["shape"])

    def _doubt(self, row: Row) -> None:
        self._once("doubt", row["image_id"])
        checked_json(REASONS, row["reasons"])

    def _candidates(self, row: Row) -> None:
        # Some backups of version 3 have vectors of images among them.
        if row["passes"] == IMAGE_VECTORS:
            _must(len(row["blob"]) == LENGTH, "a vector has another length")
        else:
            unpack(row["blob"])

    def _change(self, row: Row) -> None:
        _must(row["kind"] in _KINDS, "its kind is unknown")
        _must(row["state"] in _STATES, "its state is unknown")
        self._once("change", row["change_id"])

    def _event(self, row: Row) -> None:
        _must(
            ("change", row["change_id"]) in self._seen,
            "its change is not in this backup",
        )
        _must(row["kind"] in _EVENTS, "its kind is unknown")
        _must(
            row["before"] is not None or row["after"] is not None,
            "it has neither before nor after",
        )
        for state in (row["before"], row["after"]):
            if state is not None:
                _EVENTS[row["kind"]](state)

    def _run(self, row: Row) -> None:
        _must(isinstance(row["parameters"], dict), "invalid parameters")

    def _taught_model(self, row: Row) -> None:
        self._once("taught model")
        content = row["content"]
        try:
            labels = labels_in(content, name="its file")
        except ModelLoadError as error:
            raise ValueError("its file is no taught model") from error
        _must(row["labels"] == list(labels), "its labels are not those of its file")
        _must(row["sha256"] == hashlib.sha256(content).hexdigest(), "invalid digest")
        _must(row["image_count"] >= 0, "invalid number of images")
        _must(
            all(_SHA256.fullmatch(image_id) for image_id in row["examples"]),
            "its examples are no images",
        )


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _is_label(name: str) -> bool:
    """Say whether a version of ImageBase may have stored a label's name.

    Earlier versions kept characters that `clean_label` removes.
    """
    is_storable = name.splitlines() == [name] and storable_text(name) == name
    return is_storable and bool(name.strip()) and len(name) <= MAX_LABEL_LENGTH


def _check_lengths(row: Row) -> None:
    """Refuse names that no version of ImageBase would have stored."""
    for column, value in row.items():
        most = MAX_COMMENT_LENGTH if column in _LONG_TEXTS else _MAX_NAME_LENGTH
        if column == "file_name":
            most = _MAX_PATH_LENGTH
        if isinstance(value, str) and len(value) > most:
            raise ValueError(f"its {column} has more than {most:,} characters")


def _check_tags(tags: object) -> None:
    if not isinstance(tags, list) or len(tags) > MAX_TAGS:
        raise ValueError("invalid tags")
    _must(all(isinstance(tag, str) for tag in tags), "a tag is not text")
    _must(all(len(tag) <= MAX_LABEL_LENGTH for tag in tags), "a tag is too long")


def _check_quality(state: Mapping[str, Any] | None) -> None:
    quality = checked_json(QUALITY, state)
    if quality is None:
        return
    measured = (quality.sharpness, quality.brightness, quality.contrast)
    _must(all(math.isfinite(measure) for measure in measured), "invalid measurements")
    _must(
        _HASH.fullmatch(quality.difference_hash) is not None, "invalid difference hash"
    )


def _check_box(box: Box, label: str, confidence: float | None, position: int) -> None:
    _must(box.is_finite and max(map(abs, box)) <= _MAX_PX, "invalid box")
    _must(_is_label(label), "invalid label")
    _must(confidence is None or 0 <= confidence <= 1, "invalid confidence")
    _must(0 <= position <= _MAX_POSITION, "invalid position")


def _check_placed(state: Mapping[str, Any]) -> None:
    placed = placed_from_json(state)
    annotation = placed.annotation
    texts = (
        annotation.annotation_id,
        annotation.label,
        annotation.changed_by,
        annotation.model_id or "",
    )
    _must(all(isinstance(text, str) for text in texts), "invalid name")
    flags = (annotation.accepted, placed.is_deleted)
    _must(
        all(isinstance(flag, bool) for flag in flags), "invalid accepted or is_deleted"
    )
    _must(annotation.changed_at.tzinfo is not None, "its time has no time zone")
    _check_box(annotation.box, annotation.label, annotation.confidence, placed.position)
    check_attributes(state.get("attributes"))


def _check_marks(marks: object) -> None:
    _must(marks is None or isinstance(marks, list), "invalid marks")
    for shape in marks if isinstance(marks, list) else ():
        shape_of_json(shape)


def _check_review(review: Mapping[str, Any]) -> None:
    ReviewStatus(review["status"])
    _must(isinstance(review["comment"], str), "invalid comment")
    _check_marks(review.get("marks"))
    _check_tags(review["tags"])


def _check_label_row(state: Mapping[str, Any]) -> None:
    row = LabelRow(**state)
    _must(type(row.position) is int and type(row.place) is int, "invalid position")
    _must(
        isinstance(row.name, str) and isinstance(row.is_hidden, bool), "invalid label"
    )
    _must(bool(_COLOUR.fullmatch(row.colour)), "invalid colour")
    _must(
        row.merged_into is None or type(row.merged_into) is int, "invalid merged_into"
    )


def _check_area(state: Mapping[str, Any]) -> None:
    area = area_of_json("", state)
    _must(area.image_id is None or isinstance(area.image_id, str), "invalid image id")
    _must(isinstance(area.who, str), "invalid author")
    _must(area.created_at.tzinfo is not None, "its time has no time zone")


_EVENTS: Final[Mapping[str, Callable[[Mapping[str, Any]], None]]] = {
    ANNOTATION: _check_placed,
    REVIEW: _check_review,
    LABEL: _check_label_row,
    AREA: _check_area,
}
