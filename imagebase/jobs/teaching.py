"""Teach a dataset's model by examples, and find more like them on all its images."""

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from imagebase.annotation import ReviewStatus
from imagebase.detection.candidates import Candidates, pack
from imagebase.detection.detector import Detector
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.detection.taught.taught_detector import TaughtDetector
from imagebase.errors import ImageBaseError, ModelLoadError, NotFoundError
from imagebase.jobs.inference import candidates_key, max_image_pixels
from imagebase.jobs.runner import JobCancelledError, JobContext
from imagebase.jobs.scoring import score_stale
from imagebase.learning.scenes import scene_of
from imagebase.learning.taught_models import name_of_taught, teach_dataset
from imagebase.store import Scope, Store
from imagebase.store.scope import chunks
from imagebase.wording import plural

_IMAGES_IN_A_STEP: Final = 16
_THREADS: Final = 2


def teach_parameters(
    store: Store,
    scope: Scope,
    labels: Sequence[str] = (),
    image_ids: Collection[str] = (),
) -> dict[str, Any]:
    """Return the parameters of a job that teaches the dataset's model.

    They name the model too, so that they are read like those of a run of it.

    Args:
        store, scope: the dataset.
        labels: to find, besides those that the model finds already.
        image_ids: images on which all objects of these labels have boxes. Without
            labels and images the model is taught again with what has come since.
    """
    config = ModelConfig((name_of_taught(store, scope),))
    return {
        **config.parameters(),
        "labels": list(labels),
        "images": list(image_ids),
        "statuses": [str(status) for status in ReviewStatus],
    }


def teach(context: JobContext) -> dict[str, Any] | None:
    """Teach the dataset's model, and store what it finds; no box changes.

    Parameters of the job: those of `teach_parameters`. The result counts the `images`,
    the `seconds`, and names the `refused` files with reasons; None if it was cancelled
    before the model was taught.
    """
    started = time.monotonic()

    def report(done: int, total: int) -> None:
        context.raise_if_cancelled()
        context.progress(0, 0, f"Learning from {plural(total, 'image')} …")

    try:
        model = teach_dataset(
            context.store,
            context.scope,
            context.parameters["labels"],
            image_ids=context.parameters["images"],
            max_pixels=max_image_pixels(),
            on_progress=report,
        )
    except JobCancelledError:
        return None
    detector = configured_detector(
        ModelConfig((model.name,)), owner_id=context.scope.owner_id
    )
    run_id = context.store.start_run(
        context.scope, model_id=detector.model_id, parameters=context.parameters
    )
    result = {**_find(context, detector), "seconds": time.monotonic() - started}
    context.store.finish_run(context.scope, run_id, result=result)
    score_stale(context)
    return result


def _find(context: JobContext, detector: Detector) -> dict[str, Any]:
    """Store the candidates of all images that have none yet."""
    if not isinstance(detector, TaughtDetector):
        raise ModelLoadError(f"{detector.name} is no taught model any more.")
    store, scope, key = context.store, context.scope, candidates_key(detector)
    known = store.has_candidates(scope, key)
    wanted = [name for name in store.image_ids(scope) if name not in known]
    refused: list[dict[str, str]] = []
    done = 0
    for found, errors in _seen(context, detector, wanted):
        store.put_many(scope, key, {name: pack(one) for name, one in found.items()})
        refused += [
            {"file": _file_name(store, scope, name), "reason": why}
            for name, why in errors.items()
        ]
        done += len(found) + len(errors)
        context.progress(done, len(wanted))
        if context.cancelled:
            break
    return {"images": done, "refused": refused}


def _seen(
    context: JobContext, detector: TaughtDetector, image_ids: Sequence[str]
) -> Iterator[tuple[dict[str, Candidates], dict[str, str]]]:
    """Yield candidates, and reasons for there being none, by image id, in steps."""

    def look(image_id: str) -> Candidates | ImageBaseError:
        try:
            scene = scene_of(
                context.store, context.scope, image_id, max_pixels=max_image_pixels()
            )
            return detector.candidates_of(scene)
        except ImageBaseError as error:
            return error

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="teach") as pool:
        for step in chunks(image_ids, size=_IMAGES_IN_A_STEP):
            found: dict[str, Candidates] = {}
            errors: dict[str, str] = {}
            for image_id, seen in zip(step, pool.map(look, step), strict=True):
                if isinstance(seen, ImageBaseError):
                    errors[image_id] = str(seen)
                else:
                    found[image_id] = seen
            yield found, errors


def _file_name(store: Store, scope: Scope, image_id: str) -> str:
    try:
        return store.require_image(scope, image_id)
    except NotFoundError:
        return image_id
