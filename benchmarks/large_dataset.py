"""A dataset of many images and boxes, made from the sample photographs.

Every copy differs in its last bytes, so that it is an image of its own; the boxes are
what the default model finds on the photograph, the weakest included. A person has seen
to a fifth of the images, so that there are approvals, corrections and their events.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus
from imagebase.detection.candidates import Candidates, pack, select
from imagebase.detection.detector import Detector
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.detection.selection_rule import as_annotations
from imagebase.editing.records import approve, delete_annotations, move, reject, relabel
from imagebase.images.decode import load_image
from imagebase.images.quality import assess
from imagebase.jobs.inference import candidates_key
from imagebase.settings import DEFAULT_MODEL, SAMPLES_FOLDER
from imagebase.store import Scope, Store
from imagebase.store.scope import chunks

WHO: Final = "Ada"
_BATCH: Final = 50
_FLOOR: Final = 0.01
_NMS: Final = 0.45


@dataclass(frozen=True, slots=True)
class Photograph:
    """A sample with what is the same on all its copies."""

    path: Path
    data: bytes
    record: ImageRecord
    candidates: Candidates
    boxes: tuple[Annotation, ...]


def make_dataset(
    store: Store, owner_id: str, *, images: int, boxes_per_image: int
) -> Scope:
    """Return a new dataset with so many images, most of them to be reviewed."""
    created = store.create_dataset(owner_id, "Large", who=WHO)
    scope = Scope(owner_id, created.dataset_id, WHO)
    detector = shared_detector(find_model(DEFAULT_MODEL))
    samples = [
        _photograph(path, detector, boxes_per_image)
        for path in sorted(SAMPLES_FOLDER.glob("*.jpg"))
    ]
    store.add_labels(scope, detector.labels)
    for numbers in chunks(range(images), size=_BATCH):
        added = [_add(store, scope, samples[n % len(samples)], n) for n in numbers]
        blobs = {record.image_id: pack(like.candidates) for record, like in added}
        store.put_many(scope, candidates_key(detector), blobs)
        boxed = store.save_many(scope, (_with_boxes(*pair) for pair in added)).saved
        _correct(store, scope, zip(numbers, boxed, strict=True))
    return scope


def _photograph(path: Path, detector: Detector, boxes: int) -> Photograph:
    data = path.read_bytes()
    image = load_image(data, file_name=path.name, max_pixels=50_000_000)
    candidates = detector.candidates(image.rgb, size=image.size)
    found = select(candidates, confidence_threshold=_FLOOR, nms_threshold=_NMS)
    kept = as_annotations(
        found, model_labels=detector.labels, model_id=detector.model_id
    )
    record = ImageRecord("", path.name, image.size, quality=assess(image))
    return Photograph(path, data, record, candidates, tuple(kept[:boxes]))


def _add(
    store: Store, scope: Scope, like: Photograph, number: int
) -> tuple[ImageRecord, Photograph]:
    added = store.add_image(
        scope,
        like.data + number.to_bytes(4, "big"),
        file_name=f"{number % 20:02}/{like.path.stem}-{number:05}.jpg",
        size=like.record.size,
        quality=like.record.quality,
    )
    return added.record, like


def _with_boxes(record: ImageRecord, like: Photograph) -> ImageRecord:
    # With ids of their own: an annotation belongs to one image.
    own = tuple(
        Annotation(
            box.box,
            box.label,
            source=box.source,
            confidence=box.confidence,
            model_id=box.model_id,
            changed_by=box.changed_by,
        )
        for box in like.boxes
    )
    return replace(record, annotations=own, status=ReviewStatus.SUGGESTED)


def _correct(
    store: Store, scope: Scope, numbered: Iterable[tuple[int, ImageRecord]]
) -> None:
    """Do to every fifth image what a person would, and send a few of them back."""
    changed = []
    for number, record in numbered:
        if number % 5 or len(record.annotations) < 3:
            continue
        first, second, third = (
            annotation.annotation_id for annotation in record.annotations[:3]
        )
        after = delete_annotations(record, {third})
        after = relabel(after, {second}, "chair", who=WHO)
        if number % 10:
            box = record.annotation(first).box
            after = move(after, first, _shrunk(box), who=WHO)
        is_wrong = number % 100 == 0
        changed.append(
            reject(after, comment="The wheel is cut off.")
            if is_wrong
            else approve(after, who=WHO)
        )
    store.save_many(scope, changed)


def _shrunk(box: Box) -> Box:
    """Return a box a tenth smaller on the right and below."""
    return box._replace(
        x_max=box.x_max - box.width / 10, y_max=box.y_max - box.height / 10
    )
