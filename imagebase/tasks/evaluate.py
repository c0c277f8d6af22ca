"""Judge models by what people approved, in the background, and keep the result."""

import contextlib
import shutil
from functools import partial
from pathlib import Path
from typing import Any, Final

from imagebase.annotation import ReviewStatus, utc_now
from imagebase.detection.batch import ImageSource
from imagebase.detection.library import library_of
from imagebase.detection.model_card import Score
from imagebase.errors import ImageBaseError
from imagebase.evaluation.coco import CocoFigures
from imagebase.evaluation.comparison import stand
from imagebase.evaluation.contenders import parse_contender
from imagebase.evaluation.passing import CancelledError, Pass, run_pass
from imagebase.evaluation.reviewed import notes_about, truth_of_records
from imagebase.evaluation.runs import Run, RunFolder, RunInfo
from imagebase.evaluation.values import Truth
from imagebase.jobs import JobContext
from imagebase.settings import settings
from imagebase.store import Scope
from imagebase.store.scope import check_owner_id
from imagebase.tasks.looking import max_image_pixels

APPROVED: Final = "approved"
REVIEWED: Final = "reviewed"
STATUSES: Final = {
    APPROVED: (ReviewStatus.APPROVED,),
    REVIEWED: (ReviewStatus.APPROVED, ReviewStatus.EDITED),
}


def evaluate(context: JobContext) -> dict[str, Any] | None:
    """Let models look at reviewed images and keep how they fared; None if cancelled.

    Parameters of the job: `models`, as `parse_contender` reads them; `images`, which of
    the `STATUSES`.
    """
    store, scope = context.store, context.scope
    contenders = [parse_contender(spec) for spec in context.parameters["models"]]
    # Before the records are read: what is changed meanwhile counts as changed since.
    version = store.version(scope)
    records = store.records(scope, statuses=STATUSES[context.parameters["images"]])
    truth = truth_of_records(records, store.labels(scope))
    passes: list[Pass] = []
    total = len(contenders) * len(records)
    for place, contender in enumerate(contenders):
        before = place * len(records)
        context.progress(before, total, f"{contender.spec} …")
        try:
            passes.append(
                run_pass(
                    contender,
                    truth,
                    _sources(context, truth),
                    choices_for=partial(store.label_mapping, scope),
                    on_looked=partial(_looked, context, before, total),
                    max_pixels=max_image_pixels(),
                    owner_id=scope.owner_id,
                )
            )
        except CancelledError:
            return None
    run = Run(truth, tuple(passes), notes_about(records))
    standings = stand(truth, passes)
    info = RunInfo(
        run_id=context.job_id,
        made_at=utc_now(),
        who=scope.who,
        specs=tuple(one.spec for one in passes),
        images=len(truth.images),
        boxes=truth.boxes,
        version=version,
        figures={one.spec: one.figures["AP"] for one in standings},
    )
    kept_runs(scope).save(info, run)
    for one in standings:
        _note_on_card(scope.owner_id, one.spec, one.figures, len(truth.images))
    return {"run_id": info.run_id, "figures": dict(info.figures)}


def _note_on_card(owner_id: str, spec: str, figures: CocoFigures, images: int) -> None:
    """Write on the card of an added model how it fared, looking as it is."""
    library = library_of(owner_id)
    ap, ap50 = figures["AP"], figures["AP50"]
    if spec in library.names() and ap is not None and ap50 is not None:
        measured_on = f"{images} reviewed image{'s'[: images != 1]}"
        # It may be deleted meanwhile; the run's own figures are kept all the same.
        with contextlib.suppress(ImageBaseError, OSError):
            library.put_score(spec, Score(ap, ap50, measured_on))


def _sources(context: JobContext, truth: Truth) -> list[ImageSource]:
    read = partial(context.store.image_bytes, context.scope)
    return [ImageSource(one.name, partial(read, one.image_id)) for one in truth.images]


def _looked(context: JobContext, before: int, total: int, done: int) -> bool:
    """Say how far all models have come; return whether to go on."""
    context.progress(before + done, total)
    return not context.cancelled


def kept_runs(scope: Scope) -> RunFolder:
    """Return the kept evaluations of a dataset."""
    return RunFolder(_all() / check_owner_id(scope.owner_id) / scope.dataset_id)


def delete_evaluations(owner_id: str, dataset_id: str = "") -> None:
    """Delete every evaluation of an owner or of one dataset, as when the data go.

    Raises:
        ValueError: this cannot be an owner's id.
    """
    folder = _all() / check_owner_id(owner_id) / dataset_id
    shutil.rmtree(folder, ignore_errors=True)


def _all() -> Path:
    return settings().home / "evaluations"
