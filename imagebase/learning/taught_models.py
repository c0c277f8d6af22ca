"""The model that a dataset teaches by examples: taught, found by name, forgotten.

The database holds it, so that it goes where the dataset goes: into backups, and away
with it. Detectors load it from the owner's model library, which `publish` brings up to
date with the database.
"""

import contextlib
import hashlib
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Source,
    utc_now,
)
from imagebase.detection.detector import model_id_of
from imagebase.detection.library import find_model, fitting_name, library_of
from imagebase.detection.model_card import TAUGHT, ModelCard
from imagebase.detection.model_files import Model
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.feature_net import feature_net
from imagebase.detection.taught.model import MAX_LABELS, TaughtModel
from imagebase.detection.taught.teacher import MOST_EXAMPLES, Teacher
from imagebase.errors import (
    ImageBaseError,
    ModelLoadError,
    NotFoundError,
    TeachingError,
    UnknownModelError,
)
from imagebase.learning.judged_boxes import judged_scene
from imagebase.learning.scenes import UNREADABLE, scene_of
from imagebase.store import AnnotationFilter, Scope, Store
from imagebase.store.taught_models import TaughtRow
from imagebase.wording import listed, plural

_log: Final = logging.getLogger(__name__)

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


@dataclass(frozen=True, slots=True)
class Lesson:
    """An image that a model is taught with.

    boxes: of the labels that are taught. rejected: boxes that are no such objects.
    is_complete: whether every object of the labels on the image has a box.
    """

    image_id: str
    boxes: tuple[Annotation, ...]
    rejected: tuple[Box, ...]
    is_complete: bool

    @classmethod
    def from_record(
        cls, record: ImageRecord, labels: Collection[str], *, is_complete: bool
    ) -> "Lesson":
        """Return what a record teaches of these labels."""
        return cls(
            record.image_id,
            tuple(
                box
                for box in record.annotations
                if box.label in labels and (is_complete or not box.is_untouched)
            ),
            tuple(mark.box for mark in record.deleted if mark.label in labels),
            is_complete,
        )

    def of(self, scene: DescribedImage) -> tuple[DescribedImage, list[Box], list[str]]:
        """Return what a teacher takes: the image, and its boxes with their labels."""
        boxes = [annotation.box for annotation in self.boxes]
        if not self.is_complete:
            scene = judged_scene(scene, [*boxes, *self.rejected])
        return scene, boxes, [annotation.label for annotation in self.boxes]


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
        image_ids: images on which all objects of the labels have boxes, besides those
            chosen before; `lessons_of` says what else teaches.
        max_pixels: of an image that may be decoded; what cannot be read is left out.
        on_progress: called with examples done and all; what it raises ends it.

    Raises:
        TeachingError: there is no box to learn from, or there are too many labels.
        ImageFileError, ImageReadError, LimitError: no example can be read.
        NotFoundError: the dataset was deleted meanwhile.
        ModelLoadError: the model's file could not be written.
    """
    before = store.taught_row(scope)
    wanted = _present_labels(
        store, scope, [*(before.labels if before else ()), *labels]
    )
    chosen = list(dict.fromkeys([*(before.examples if before else ()), *image_ids]))
    lessons = lessons_of(store, scope, wanted, chosen=chosen)
    teacher = Teacher(wanted)
    used: list[str] = []
    unread: list[ImageBaseError] = []
    for done, lesson in enumerate(lessons):
        on_progress(done, len(lessons))
        try:
            scene = scene_of(store, scope, lesson.image_id, max_pixels=max_pixels)
        except UNREADABLE as error:
            unread.append(error)
            continue
        teacher.put(lesson.image_id, *lesson.of(scene))
        used.append(lesson.image_id)
    on_progress(len(lessons), len(lessons))
    if unread and not used:
        raise unread[0]
    model = _taught(teacher, wanted)
    content = model.to_bytes()
    row = TaughtRow(
        labels=model.labels,
        examples=tuple(image_id for image_id in chosen if image_id in used),
        image_count=len(used),
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        who=scope.who,
        taught_at=utc_now(),
    )
    store.put_taught_row(scope, row)
    publish(store, scope.owner_id)
    card = _card_of_dataset(scope)
    newest = store.taught_digests(scope.owner_id).get(scope.dataset_id)
    if card is None or card.sha256 != newest:
        raise ModelLoadError(
            "The taught model could not be written; make room on the disk and try "
            "again."
        )
    return find_model(card.name, owner_id=scope.owner_id)


def _taught(teacher: Teacher, wanted: Sequence[str]) -> TaughtModel:
    try:
        return teacher.model()
    except TeachingError as error:
        if len(wanted) > MAX_LABELS:
            raise TeachingError(
                f"A model is taught {MAX_LABELS} labels at most; delete the taught "
                "model to start over."
            ) from error
        raise TeachingError(
            f"No image has a box of {listed(wanted) or 'this label'} to learn from. "
            "Draw all of them on one image."
        ) from error


def taught_model(store: Store, scope: Scope) -> TaughtModelInfo | None:
    """Return the dataset's taught model; None if there is none that can be used."""
    row = store.taught_row(scope)
    if row is None:
        return None
    publish(store, scope.owner_id)
    card = _card_of_dataset(scope)
    if card is None:
        return None
    return TaughtModelInfo(
        card.name,
        title_of(_present_labels(store, scope, row.labels), row.image_count),
        row.labels,
        row.image_count,
        row.sha256,
        row.who,
        row.taught_at,
    )


def name_of_taught(store: Store, scope: Scope) -> str:
    """Return the name of the dataset's taught model, or the one that it would get."""
    library = library_of(scope.owner_id)
    for card in library.of_datasets():
        if card.dataset_id == scope.dataset_id:
            return card.name
    dataset = _dataset_name(store, scope)
    return library.free_name(fitting_name(f"Taught in {dataset}"))


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

    Other processes may have taught, restored or deleted since, and may at this moment.
    A model that cannot be written, as on a full disk, is logged: pages go on without.
    """
    with _publishing:
        library, digests = library_of(owner_id), store.taught_digests(owner_id)
        published: dict[str, str] = {}
        for card in library.of_datasets():
            if card.dataset_id not in digests or card.dataset_id in published:
                with contextlib.suppress(UnknownModelError, FileNotFoundError):
                    library.delete(card.name)
            elif library.is_intact(card):
                published[card.dataset_id] = card.sha256
        for dataset_id, sha256 in digests.items():
            if published.get(dataset_id) != sha256:
                try:
                    _publish_one(store, Scope(owner_id, dataset_id, ""))
                except (ModelLoadError, NotFoundError) as error:
                    _log.warning("A taught model is not in the library: %s", error)


def lessons_of(
    store: Store, scope: Scope, labels: Sequence[str], *, chosen: Sequence[str] = ()
) -> list[Lesson]:
    """Return what a dataset's model is taught with, 60 images at most.

    First those on which every object of the labels has a box: chosen ones; approved
    ones with such a box; where neither has one of a label, those on which a person
    drew one; where none is chosen, approved ones without. Then those on which people
    only accepted or rejected some boxes.

    Args:
        store, scope: the dataset.
        labels: that are taught.
        chosen: ids of images that a person chose.
    """
    rows = store.annotation_rows(scope, AnnotationFilter(labels=labels))
    approved = [row.image_id for row in rows if row.status is ReviewStatus.APPROVED]
    certain = {*chosen, *approved}
    covered = {row.annotation.label for row in rows if row.image_id in certain}
    drawn = [
        row.image_id
        for row in rows
        if row.annotation.label not in covered and row.annotation.source is Source.HUMAN
    ]
    complete = _first([*chosen], [*approved, *drawn])
    if not chosen:
        empty = store.image_ids(scope, statuses=[ReviewStatus.APPROVED])
        complete = _first(complete, empty)
    accepted = [row.image_id for row in rows if not row.annotation.is_untouched]
    rejected = store.images_with_deleted(scope, labels)
    every = _first(complete, [*accepted, *rejected])
    is_complete = set(complete)
    lessons = [
        Lesson.from_record(record, labels, is_complete=record.image_id in is_complete)
        for record in store.records(scope, image_ids=every)
    ]
    return [
        lesson
        for lesson in lessons
        if lesson.is_complete or lesson.boxes or lesson.rejected
    ]


def _first(image_ids: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return 60 images at most: these, then others, evenly spread if too many."""
    first = list(dict.fromkeys(image_ids))[:MOST_EXAMPLES]
    rest = [image_id for image_id in dict.fromkeys(others) if image_id not in first]
    room = MOST_EXAMPLES - len(first)
    if len(rest) > room:
        places = np.linspace(0, len(rest) - 1, room).round().astype(int)
        rest = [rest[place] for place in places]
    return [*first, *rest]


def title_of(labels: Sequence[str], images: int) -> str:
    """Return what a taught model is called in lists, such as `raccoon, 5 images`."""
    named = list(labels[:_NAMED_LABELS])
    if len(labels) > _NAMED_LABELS:
        named = [*named[:-1], f"{len(labels) - _NAMED_LABELS + 1} more"]
    return ", ".join(filter(None, [listed(named), plural(images, "image")]))


def _card_of_dataset(scope: Scope) -> ModelCard | None:
    cards = library_of(scope.owner_id).of_datasets()
    return next((card for card in cards if card.dataset_id == scope.dataset_id), None)


def _present_labels(store: Store, scope: Scope, labels: Sequence[str]) -> list[str]:
    """Return labels by today's names, deleted ones left out."""
    now, former = store.labels(scope), store.former_label_names(scope)
    shown = set(now.shown_names)
    names = [former.get(label, label) for label in labels]
    return [label for label in dict.fromkeys(names) if label in shown]


def _publish_one(store: Store, scope: Scope) -> None:
    row = store.taught_row(scope)
    if row is None:  # deleted meanwhile
        return
    library, name = library_of(scope.owner_id), name_of_taught(store, scope)
    card = _card(row, name, _dataset_name(store, scope))
    card = replace(card, dataset_id=scope.dataset_id)
    if name not in library.names():
        library.add_taught(row.content, card)
        return
    before = library.card(name)
    model = library.replace_taught(row.content, card)
    store.carry_model_choices(
        scope, *(model_id_of(model, digest) for digest in (before.sha256, row.sha256))
    )


def _dataset_name(store: Store, scope: Scope) -> str:
    names = {one.dataset_id: one.name for one in store.datasets(scope.owner_id)}
    return names.get(scope.dataset_id, "")


def _card(row: TaughtRow, name: str, dataset: str) -> ModelCard:
    return ModelCard(
        name=name,
        identity=name,
        family=TAUGHT,
        input_size=feature_net().net_size,
        labels=row.labels,
        sha256=row.sha256,
        byte_count=len(row.content),
        added_by=row.who,
        added_at=row.taught_at,
        description=f"Taught by {plural(row.image_count, 'image')} of {dataset}.",
        title=title_of(row.labels, row.image_count),
    )
