"""Import uploaded label files into a dataset, as one change."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from imagebase.annotation import ReviewStatus, Size
from imagebase.annotation.areas import Shape, checked_shape
from imagebase.errors import EditError, ImageBaseError, NotFoundError
from imagebase.formats.placement import Frame, fitted
from imagebase.formats.reader import LabelReader
from imagebase.formats.registry import taken_in
from imagebase.formats.trees import is_image_name
from imagebase.images.scan import Incoming, Refused
from imagebase.ingest.add_images import AdmissionReport, admit
from imagebase.ingest.box_merging import Effect, ImportChoice, Replacing
from imagebase.ingest.image_matching import How, Match, look_at_images, match_images
from imagebase.ingest.import_plan import (
    label_rows,
    orientation_of,
    steps,
    wanted_labels,
)
from imagebase.ingest.label_files import DroppedFiles
from imagebase.jobs.runner import JobContext
from imagebase.jobs.temporary_files import Touch, dropped, forget_dropped
from imagebase.settings import Limits

# The job stores only so many reasons; the preview has shown them all.
_KEPT_REASONS: Final = 200
_NOT_ADDED: Final = "Its image could not be added."


def import_labels(context: JobContext) -> dict[str, Any] | None:
    """Import the labels of uploaded files; None if cancelled.

    Parameters of the job: `upload`, the id of the files; `format`; the fields of
    ImportChoice; `limits` of the server. All boxes are one change: one undo reverts
    them, while images and labels stay.
    """
    limits = Limits(**context.parameters["limits"])
    choice = _choice(context.parameters)
    upload_id = context.parameters["upload"]
    tree = _UploadedFiles(dropped(context.scope, upload_id), limits)
    with taken_in(tree, context.parameters["format"]) as labels:
        labels.check()
        admitted = AdmissionReport()
        if choice.takes_new:
            incoming = _incoming(context, tree)
            admitted = admit(
                context.store,
                context.scope,
                incoming,
                limits=limits,
                on_item=lambda _: tree.keep(),
                should_stop=partial(_is_unwanted, context),
            )
        if _is_unwanted(context):
            return None
        matches = _matches(context, tree, labels, choice)
        done = _save_boxes(context, labels, matches, choice, limits)
    if done is None:
        return None
    forget_dropped(context.scope, upload_id)
    reasons = _reasons(admitted, matches)[:_KEPT_REASONS]
    return {**done, "images_added": len(admitted.added), "left_out": reasons}


def _save_boxes(
    context: JobContext,
    labels: LabelReader,
    matches: list[Match],
    choice: ImportChoice,
    limits: Limits,
) -> dict[str, int] | None:
    """Save labels and boxes; return the counts, None if cancelled."""
    store, scope = context.store, context.scope
    former = store.former_label_names(scope)
    rows = label_rows(labels.labels, labels.images(), store.labels(scope), former)
    store.add_labels(scope, wanted_labels(rows, choice))
    effect, conflicts, done = Effect(), 0, 0
    for step in steps(store, scope, labels.images(), matches, choice, limits=limits):
        if _is_unwanted(context):
            return None
        report = store.save_many(scope, step.after, change_id=context.job_id)
        effect += step.effect
        conflicts += len(report.conflicts) + len(report.missing)
        done += len(step.after)
        context.progress(done, len(matches), "Importing labels")
    areas = _save_areas(context, labels, matches, choice)
    return {
        **{name: count for name, count in areas.items() if count},
        "images": effect.images,
        "boxes": effect.boxes,
        "tags": effect.tags,
        "conflicts": conflicts,
    }


def _save_areas(
    context: JobContext, labels: LabelReader, matches: list[Match], choice: ImportChoice
) -> dict[str, int]:
    """Save ignore areas; count those saved and those left out.

    Areas that an image has already are skipped. Approved images are left alone, as for
    boxes.
    """
    store, scope = context.store, context.scope
    added = refused = 0
    for image, match in zip(labels.images(is_bare=True), matches, strict=True):
        if not image.regions or not match.image_id or match.problem:
            continue
        try:
            record = store.record(scope, match.image_id)
            if record.status is ReviewStatus.APPROVED and not choice.takes_approved:
                refused += len(image.regions)
                continue
            frame = Frame(record.size, match.orientation or 1)
            shapes, invalid = _valid_shapes(
                fitted(image, frame).image.regions, record.size
            )
            new = [shape for shape in shapes if shape not in record.ignored]
            store.add_ignore_areas(
                scope, match.image_id, new, all_of_size=False, change_id=context.job_id
            )
            added += len(new)
            refused += invalid
        except (EditError, NotFoundError):
            refused += len(image.regions)
    return {"areas": added, "areas_left_out": refused}


def _valid_shapes(shapes: Iterable[Shape], size: Size) -> tuple[list[Shape], int]:
    valid: dict[Shape, None] = {}
    refused = 0
    for shape in shapes:
        try:
            valid[checked_shape(shape, size)] = None
        except EditError:
            refused += 1
    return list(valid), refused


def _is_unwanted(context: JobContext) -> bool:
    return context.cancelled


def _matches(
    context: JobContext, tree: DroppedFiles, labels: LabelReader, choice: ImportChoice
) -> list[Match]:
    dropped_images = look_at_images(tree, max_pixels=tree.limits.max_image_pixels)
    here = context.store.image_summaries(context.scope)
    matches = match_images(
        *(labels.images(), dropped_images, here),
        takes_new=choice.takes_new,
        orientation_of=partial(
            orientation_of, context.store, context.scope, tree.limits
        ),
    )
    return [
        replace(match, problem=match.problem or _NOT_ADDED)
        if match.how is How.NEW
        else match
        for match in matches
    ]


def _choice(parameters: Mapping[str, Any]) -> ImportChoice:
    return ImportChoice(
        replacing=Replacing(parameters["replacing"]),
        names=parameters["names"],
        takes_new=parameters["takes_new"],
        takes_approved=parameters["takes_approved"],
    )


class _UploadedFiles(DroppedFiles):
    """Uploaded files that do not expire while they are read."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._touch = Touch(folder)
        self.keep()
        super().__init__(folder, limits)

    def read(self, name: str) -> bytes:
        self.keep()
        return super().read(name)

    @property
    def is_gone(self) -> bool:
        """Say whether the files were deleted all the same."""
        return not self._folder.is_dir()

    def keep(self) -> None:
        """Keep the files from expiring; call it often during work."""
        # Deleted files are reported when they are read.
        with contextlib.suppress(OSError):
            self._touch()


def _incoming(
    context: JobContext, tree: _UploadedFiles
) -> Iterator[Incoming | Refused]:
    names = [name for name in tree.names() if is_image_name(name)]
    for number, name in enumerate(names):
        if context.cancelled:
            return
        try:
            yield Incoming(name, tree.read(name))
        except ImageBaseError as error:
            # Otherwise all that follow would be refused, and their labels lost.
            if tree.is_gone:
                raise
            yield Refused(name, str(error))
        context.progress(number + 1, len(names), "Adding images")


def _reasons(admitted: AdmissionReport, matches: list[Match]) -> list[str]:
    refused = [f"{refusal.file_name}: {refusal.reason}" for refusal in admitted.refused]
    return refused + [
        f"{match.name}: {match.problem}" for match in matches if match.problem
    ]
