"""Run a model on images of a dataset and store what it found; no image changes."""

import time
from collections.abc import Collection
from functools import partial
from typing import Any, Final

from imagebase.annotation import NOT_APPROVED, ReviewStatus
from imagebase.detection.candidates import pack
from imagebase.detection.detector import ONE_PASS as ONE_PASS
from imagebase.detection.detector import Detector
from imagebase.detection.factory import memory_allowed, shared_detector
from imagebase.detection.library import registered_model
from imagebase.detection.model_card import ModelCard
from imagebase.detection.pipeline import BatchItem, ImageSource, detect_many, loader_for
from imagebase.errors import NotFoundError
from imagebase.jobs.runner import JobContext
from imagebase.settings import Mode, settings
from imagebase.store import CandidatesKey

CLASSIFY: Final = "classify"
COMMIT_EVERY: Final = 50
MIRRORED_PASS: Final = "mirrored"


def candidates_key(detector: Detector, *, passes: str = ONE_PASS) -> CandidatesKey:
    """Return the key of a detector's stored candidates.

    passes: `ONE_PASS` for the detector's own passes, or `MIRRORED_PASS` for the same on
        mirrored images.
    """
    own = detector.passes
    if passes == ONE_PASS:
        passes = own
    elif own != ONE_PASS:
        passes = f"{own}-{passes}"
    return CandidatesKey(
        model_sha256=detector.sha256,
        input_size=detector.input_size.width,
        precision=detector.precision,
        passes=passes,
    )


def classifier_key(card: ModelCard) -> CandidatesKey:
    """Return the key of a classifier's stored results, without loading it."""
    # Its numbers are computed in f32 everywhere.
    return CandidatesKey(card.sha256, card.input_size.width, "f32", ONE_PASS)


def classify(context: JobContext) -> dict[str, Any]:
    """Run a classifier on the images that it has not run on; approved ones are left.

    Parameters of the job: `model`, by name. The result is that of `run_model`.

    Raises:
        UnknownModelError, ModelLoadError: it is missing or cannot be used.
    """
    owner_id = context.scope.owner_id
    model = registered_model(context.parameters["model"], owner_id=owner_id)
    detector = shared_detector(model, memory_bytes=memory_allowed(owner_id))
    return run_model(context, detector, statuses=NOT_APPROVED)


def run_model(
    context: JobContext,
    detector: Detector,
    *,
    statuses: Collection[ReviewStatus],
    passes: str = ONE_PASS,
    among: Collection[str] | None = None,
) -> dict[str, Any]:
    """Run a detector on the images it has not run on, and store its candidates.

    The run is recorded. Candidates are stored as they come, so that a resumed job
    continues where it stopped.

    Args:
        context: of the job.
        detector: to run.
        statuses: of the images.
        passes: `ONE_PASS`, or `MIRRORED_PASS` for images mirrored left to right.
        among: only these image ids; None is all.

    Raises:
        ModelLoadError: the model crashes on every image.

    Returns:
        The number of `images`, the `seconds`, and the `refused` files with reasons.
    """
    started = time.monotonic()
    key = candidates_key(detector, passes=passes)
    store, scope = context.store, context.scope
    known = store.has_candidates(scope, key)
    wanted = [
        image_id
        for image_id in store.image_ids(scope, statuses=statuses)
        if image_id not in known and (among is None or image_id in among)
    ]
    run_id = store.start_run(
        scope, model_id=detector.model_id, parameters=context.parameters
    )
    items = detect_many(
        detector,
        (ImageSource(name, partial(store.image_bytes, scope, name)) for name in wanted),
        load=loader_for(detector, max_pixels=max_image_pixels()),
        mirrored=passes == MIRRORED_PASS,
        should_stop=lambda: context.cancelled,
    )
    refused: list[dict[str, str]] = []
    pending: dict[str, bytes] = {}
    done = 0
    try:
        for item in items:
            done += 1
            if item.candidates is None:
                refused.append(_refusal(context, item))
            else:
                pending[item.name] = pack(item.candidates)
            if len(pending) >= COMMIT_EVERY:
                store.put_many(scope, key, pending)
                pending = {}
            context.progress(done, len(wanted))
            if context.cancelled:
                break
    finally:
        store.put_many(scope, key, pending)
    result = {"images": done, "refused": refused, "seconds": time.monotonic() - started}
    store.finish_run(scope, run_id, result=result)
    return result


def _refusal(context: JobContext, item: BatchItem) -> dict[str, str]:
    """Return file name and reason of a refused image, which the item names by hash."""
    try:
        name = context.store.record(context.scope, item.name).file_name
    except NotFoundError:
        name = item.name
    return {"file": name, "reason": str(item.error).replace(item.name, name)}


def max_image_pixels() -> int:
    """Return the limit of pixels; a demo's own limit was applied at upload."""
    return settings().limits_for(Mode.TEAM).max_image_pixels
