"""The model that a dataset teaches by examples: taught, found by name, forgotten.

The database holds it, so that it goes where the dataset goes: into backups, and away
with it. Detectors load it from the owner's model library, which `publish` brings up to
date with the database.
"""

import hashlib
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from imagebase.annotation import Annotation, ImageRecord, ReviewStatus, utc_now
from imagebase.detection.library import find_model, fitting_name, library_of
from imagebase.detection.model_card import ModelCard
from imagebase.detection.model_files import Model
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.feature_net import feature_net
from imagebase.detection.taught.fit import Lesson, fit
from imagebase.detection.taught.model import MAX_LABELS
from imagebase.detection.taught.taught_detector import WANTED
from imagebase.detection.taught.teacher import MOST_EXAMPLES
from imagebase.errors import NotFoundError, TeachingError
from imagebase.images.decode import load_image
from imagebase.store import AnnotationFilter, Scope, Store
from imagebase.store.taught_models import TaughtRow
from imagebase.wording import listed, plural

FAMILY: Final = "taught"
_LEAST_SIDE_PX: Final = 2.0
_NAMED_LABELS: Final = 3

# Two threads that publish the same would make two models of it.
_publishing: Final = threading.Lock()

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class TaughtModelInfo:
    """A dataset's taught model, by name.

    name: by which `find_model` finds it. title: such as `raccoon, 5 images`.
    labels: that it finds. images: how many it was taught with.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    images: int
    sha256: str
    who: str
    taught_at: datetime


def teach_dataset(
    store: Store,
    scope: Scope,
    labels: Sequence[str] = (),
    *,
    image_ids: Collection[str] = (),
    max_pixels: int,
    on_progress: Progress = lambda done, total: None,
) -> Model:
    """Teach the dataset's model, or teach it again with what has come since.

    Labels and chosen images add to those of the model before it: one model finds all
    labels, as those that look alike are told apart by being taught together.

    Args:
        store, scope: the dataset, and who teaches.
        labels: to find, besides those that the model finds already.
        image_ids: images on which all objects of the labels have boxes. Approved
            images with a box of a label are examples too; where neither has one,
            so are images on which a person drew one.
        max_pixels: of an image that may be decoded.
        on_progress: called with examples done and all; what it raises ends it.

    Raises:
        TeachingError: there is no box to learn from, or there are too many labels.
        ImageReadError, LimitError, NotFoundError: an example cannot be read.
        ModelLoadError: the model's file could not be written.
    """
    before = store.taught_row(scope)
    wanted = _present_labels(
        store, scope, [*(before.labels if before else ()), *labels]
    )
    if len(wanted) > MAX_LABELS:
        raise TeachingError(
            f"A model is taught {MAX_LABELS} labels at most; delete the taught model "
            "to start over."
        )
    chosen = dict.fromkeys([*(before.examples if before else ()), *image_ids])
    records = example_images(store, scope, wanted, chosen=list(chosen))
    taught = _taught_labels(wanted, records)
    lessons = []
    for done, record in enumerate(records):
        on_progress(done, len(records))
        lessons.append(_lesson(store, scope, record, taught, max_pixels))
    on_progress(len(records), len(records))
    content = fit(taught, lessons).to_bytes()
    kept = {record.image_id for record in records}
    row = TaughtRow(
        labels=tuple(taught),
        examples=tuple(image_id for image_id in chosen if image_id in kept),
        image_count=len(records),
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        who=scope.who,
        taught_at=utc_now(),
    )
    store.put_taught_row(scope, row)
    publish(store, scope.owner_id)
    return find_model(_card_of_dataset(scope).name, owner_id=scope.owner_id)


def taught_model(store: Store, scope: Scope) -> TaughtModelInfo | None:
    """Return the dataset's taught model; None if nobody taught one."""
    row = store.taught_row(scope)
    if row is None:
        return None
    publish(store, scope.owner_id)
    card = _card_of_dataset(scope)
    return TaughtModelInfo(
        card.name,
        title_of(row.labels, row.image_count),
        row.labels,
        row.image_count,
        row.sha256,
        row.who,
        row.taught_at,
    )


def forget_taught(store: Store, scope: Scope) -> None:
    """Delete the dataset's taught model and what it found; boxes are kept."""
    store.delete_taught_row(scope)
    publish(store, scope.owner_id)


def keep_copy(store: Store, scope: Scope, name: str) -> Model:
    """Keep the dataset's taught model as it is now as a model of its own.

    Raises:
        NotFoundError: nobody taught one.
        ModelLoadError: the name cannot be used, or the disk refused.
    """
    row = store.taught_row(scope)
    if row is None:
        raise NotFoundError("This dataset has no taught model any more.")
    return library_of(scope.owner_id).add_taught(
        row.content, _card(row, name, _dataset_name(store, scope))
    )


def publish(store: Store, owner_id: str) -> None:
    """Bring the taught models in an owner's library up to date with the database.

    Other processes may have taught, restored or deleted since.
    """
    with _publishing:
        library, digests = library_of(owner_id), store.taught_digests(owner_id)
        published: dict[str, str] = {}
        for card in library.of_datasets():
            if card.dataset_id not in digests or card.dataset_id in published:
                library.delete(card.name)
            else:
                published[card.dataset_id] = card.sha256
        for dataset_id, sha256 in digests.items():
            if published.get(dataset_id) != sha256:
                _publish_one(store, Scope(owner_id, dataset_id, ""))


def example_images(
    store: Store, scope: Scope, labels: Sequence[str], *, chosen: Sequence[str] = ()
) -> list[ImageRecord]:
    """Return the images that a model is taught with, 60 at most.

    Args:
        store, scope: the dataset.
        labels: that are taught.
        chosen: ids of images that a person chose; they come first.
    """
    rows = store.annotation_rows(scope, AnnotationFilter(labels=labels))
    approved = [r.image_id for r in rows if r.status is ReviewStatus.APPROVED]
    certain = {*chosen, *approved}
    covered = {row.annotation.label for row in rows if row.image_id in certain}
    drawn = [
        row.image_id
        for row in rows
        if row.annotation.label not in covered and not row.annotation.is_untouched
    ]
    ids = [*dict.fromkeys(chosen)]
    ids += _spread([*dict.fromkeys([*approved, *drawn])], MOST_EXAMPLES - len(ids))
    if not chosen:
        ids += store.image_ids(scope, statuses=[ReviewStatus.APPROVED])
    return store.records(scope, image_ids=list(dict.fromkeys(ids))[:MOST_EXAMPLES])


def title_of(labels: Sequence[str], images: int) -> str:
    """Return what a taught model is called in lists, such as `raccoon, 5 images`."""
    named = list(labels[:_NAMED_LABELS])
    if len(labels) > _NAMED_LABELS:
        named = [*named[:-1], f"{len(labels) - _NAMED_LABELS + 1} more"]
    return f"{listed(named)}, {plural(images, 'image')}"


def _card_of_dataset(scope: Scope) -> ModelCard:
    cards = library_of(scope.owner_id).of_datasets()
    return next(card for card in cards if card.dataset_id == scope.dataset_id)


def _spread(image_ids: Sequence[str], most: int) -> list[str]:
    """Return at most so many of the images, evenly spread."""
    if len(image_ids) <= most:
        return list(image_ids)
    places = np.linspace(0, len(image_ids) - 1, max(most, 0)).round().astype(int)
    return [image_ids[place] for place in places]


def _present_labels(store: Store, scope: Scope, labels: Sequence[str]) -> list[str]:
    """Return labels by today's names, deleted ones left out."""
    now, former = store.labels(scope), store.former_label_names(scope)
    shown = set(now.shown_names)
    names = [former.get(label, label) for label in labels]
    return [label for label in dict.fromkeys(names) if label in shown]


def _taught_labels(wanted: Sequence[str], records: Sequence[ImageRecord]) -> list[str]:
    """Return the labels that have a box on these images.

    Raises:
        TeachingError: none has.
    """
    there = {box.label for record in records for box in _boxes(record)}
    taught = [label for label in wanted if label in there]
    if not taught:
        raise TeachingError(
            f"No image has a box of {listed(wanted) or 'this label'} to learn from. "
            "Draw all of them on one image."
        )
    return taught


def _boxes(record: ImageRecord) -> list[Annotation]:
    return [
        annotation
        for annotation in record.annotations
        if min(annotation.box.width, annotation.box.height) >= _LEAST_SIDE_PX
    ]


def _lesson(
    store: Store,
    scope: Scope,
    record: ImageRecord,
    labels: Sequence[str],
    max_pixels: int,
) -> Lesson:
    boxes = [box for box in _boxes(record) if box.label in labels]
    return Lesson(
        _scene(store, scope, record.image_id, max_pixels),
        np.array([box.box for box in boxes], np.float32).reshape(-1, 4),
        np.array([labels.index(box.label) for box in boxes], np.intp),
    )


def _scene(
    store: Store, scope: Scope, image_id: str, max_pixels: int
) -> DescribedImage:
    loaded = load_image(
        store.image_bytes(scope, image_id),
        file_name=image_id,
        max_pixels=max_pixels,
        wanted=WANTED,
    )
    return DescribedImage.of(loaded.rgb, loaded.size)


def _publish_one(store: Store, scope: Scope) -> None:
    row = store.taught_row(scope)
    if row is None:  # deleted meanwhile
        return
    library = library_of(scope.owner_id)
    names = [
        card.name
        for card in library.of_datasets()
        if card.dataset_id == scope.dataset_id
    ]
    dataset = _dataset_name(store, scope)
    name = (
        names[0] if names else library.free_name(fitting_name(f"Taught in {dataset}"))
    )
    card = replace(_card(row, name, dataset), dataset_id=scope.dataset_id)
    put = library.replace_taught if names else library.add_taught
    put(row.content, card)


def _dataset_name(store: Store, scope: Scope) -> str:
    names = {one.dataset_id: one.name for one in store.datasets(scope.owner_id)}
    return names.get(scope.dataset_id, "")


def _card(row: TaughtRow, name: str, dataset: str) -> ModelCard:
    return ModelCard(
        name=name,
        identity=name,
        family=FAMILY,
        input_size=feature_net().net_size,
        labels=row.labels,
        sha256=row.sha256,
        byte_count=len(row.content),
        added_by=row.who,
        added_at=row.taught_at,
        description=f"Taught by {plural(row.image_count, 'image')} of {dataset}.",
        title=title_of(row.labels, row.image_count),
    )
