"""Evaluate models on reviewed images, and store the result."""

import contextlib
import shutil
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from imagebase.annotation import utc_now
from imagebase.annotation.states import SCOPES
from imagebase.detection.library import library_of, registered_model
from imagebase.detection.model_card import Score
from imagebase.detection.pipeline import ImageSource
from imagebase.errors import ImageBaseError
from imagebase.evaluation.arrays import Truth
from imagebase.evaluation.average_precision import CocoFigures
from imagebase.evaluation.comparison import judge_models
from imagebase.evaluation.detection_files import detections_in
from imagebase.evaluation.detection_pass import (
    CancelledError,
    DetectionPass,
    parse_model_spec,
    run_pass,
)
from imagebase.evaluation.ground_truth import notes_about, truth_of_records
from imagebase.evaluation.storage import Run, RunFolder, SavedRun
from imagebase.ingest.label_files import DroppedFiles
from imagebase.jobs.inference import max_image_pixels
from imagebase.jobs.runner import JobContext
from imagebase.jobs.temporary_files import dropped, forget_dropped
from imagebase.settings import Limits, settings
from imagebase.store import Scope, Store
from imagebase.store.scope import check_owner_id

_KEPT_REFUSALS: Final = 200


def evaluate(context: JobContext) -> dict[str, Any] | None:
    """Run models on reviewed images and store the evaluation; None if cancelled.

    Parameters of the job: `models`, as `parse_model_spec` reads them; `images`, a name
    of `states.SCOPES`; `detections` of other tools, names by upload id; `limits` of the
    server. The uploads are deleted afterwards.
    """
    store, scope = context.store, context.scope
    model_specs = [parse_model_spec(spec) for spec in context.parameters["models"]]
    # Before the records are read: changes in the meantime count as changes since.
    version = store.version(scope)
    records = store.records(scope, statuses=SCOPES[context.parameters["images"]])
    truth = truth_of_records(records, store.labels(scope))
    # First: an error in them should cost no work.
    theirs = [
        _theirs(scope, truth, upload_id, name, Limits(**context.parameters["limits"]))
        for upload_id, name in _dropped(context).items()
    ]
    passes: list[DetectionPass] = []
    total = len(model_specs) * len(records)
    for place, model_spec in enumerate(model_specs):
        before = place * len(records)
        context.progress(before, total, f"{model_spec.spec} …")
        try:
            passes.append(
                run_pass(
                    model_spec,
                    truth,
                    _sources(context, truth),
                    choices_for=partial(store.label_mapping, scope),
                    on_looked=partial(_report, context, before, total),
                    should_stop=lambda: context.cancelled,
                    max_pixels=max_image_pixels(),
                    owner_id=scope.owner_id,
                    find=registered_model,
                )
            )
        except CancelledError:
            return None
    ours = {passed.spec for passed in passes}
    passes += theirs
    run = Run(truth, tuple(passes), notes_about(records))
    results = judge_models(truth, passes)
    info = SavedRun(
        run_id=context.job_id,
        made_at=utc_now(),
        who=scope.who,
        specs=tuple(passed.spec for passed in passes),
        images=len(truth.images),
        boxes=truth.boxes,
        version=version,
        figures={result.spec: result.figures["AP"] for result in results},
    )
    kept_runs(scope).save(info, run)
    for result in results:
        if result.spec in ours:
            _note_on_card(
                scope.owner_id, result.spec, result.figures, len(truth.images)
            )
    for upload_id in _dropped(context):
        forget_dropped(scope, upload_id)
    return {"run_id": info.run_id, "figures": dict(info.figures)}


def read_detections(
    store: Store,
    scope: Scope,
    upload_id: str,
    name: str,
    *,
    images: str,
    limits: Limits,
) -> DetectionPass:
    """Return another tool's detections on the images of a scope, from uploaded files.

    Args:
        store: of the dataset.
        scope: the dataset.
        upload_id: of the files.
        name: of the detections, for messages.
        images: a name of `states.SCOPES`.
        limits: on the files.

    Raises:
        AnnotationFileError, ArchiveError, LimitError: the files cannot be read.
        EvaluationError: there is no image to evaluate on, or no detection of one.
    """
    records = store.records(scope, statuses=SCOPES[images])
    truth = truth_of_records(records, store.labels(scope))
    return _theirs(scope, truth, upload_id, name, limits)


def _theirs(
    scope: Scope, truth: Truth, upload_id: str, name: str, limits: Limits
) -> DetectionPass:
    detections = detections_in(
        DroppedFiles(dropped(scope, upload_id), limits), name, truth
    )
    # A run stores only so many of the skipped entries.
    return replace(
        detections, refused=dict(islice(detections.refused.items(), _KEPT_REFUSALS))
    )


def _dropped(context: JobContext) -> dict[str, str]:
    names: dict[str, str] = context.parameters.get("detections", {})
    return names


def _note_on_card(owner_id: str, spec: str, figures: CocoFigures, images: int) -> None:
    """Write the score on the card of an added model, if it ran in its plain setup."""
    library = library_of(owner_id)
    ap, ap50 = figures["AP"], figures["AP50"]
    if spec in library.names() and ap is not None and ap50 is not None:
        measured_on = f"{images} reviewed image{'s'[: images != 1]}"
        # The model may have been deleted; the run keeps its metrics all the same.
        with contextlib.suppress(ImageBaseError, OSError):
            library.put_score(spec, Score(ap, ap50, measured_on))


def _sources(context: JobContext, truth: Truth) -> list[ImageSource]:
    read = partial(context.store.image_bytes, context.scope)
    return [
        ImageSource(image.name, partial(read, image.image_id)) for image in truth.images
    ]


def _report(context: JobContext, before: int, total: int, done: int) -> bool:
    """Report the progress of all models; return whether to continue."""
    context.progress(before + done, total)
    return not context.cancelled


def kept_runs(scope: Scope) -> RunFolder:
    """Return the stored evaluations of a dataset."""
    return RunFolder(_all() / check_owner_id(scope.owner_id) / scope.dataset_id)


def delete_evaluations(owner_id: str, dataset_id: str = "") -> None:
    """Delete every evaluation of an owner or of one dataset.

    Raises:
        ValueError: this cannot be an owner's id.
    """
    folder = _all() / check_owner_id(owner_id) / dataset_id
    shutil.rmtree(folder, ignore_errors=True)


def _all() -> Path:
    return settings().home / "evaluations"
